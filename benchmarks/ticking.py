"""How late a job begins that time starts: from when a tick was due to the first line of its job.

Knows nothing of what happens in between.
"""

from __future__ import annotations

import statistics
import threading
import time

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import p99

__all__ = ["FIGURES"]

FLOOR = "threading.Condition.wait alone: due -> it returns"
INTERVAL = 0.02


class Ticking:
    """An execution with a job that starts every so many seconds."""

    def __init__(self, project: af.Project) -> None:
        self._late: list[float] = []
        self._wanted, self._done = 0, threading.Event()

        @af.job
        def note() -> None:
            now = time.time()
            event = af.current().event
            if event is None or len(self._late) >= self._wanted:
                return
            self._late.append((now - event.timestamp) * 1e3)
            if len(self._late) == self._wanted:
                self._done.set()

        def tick() -> None:
            note().start_on(af.every(INTERVAL))

        self.execution = project.start(af.workflow(tick, name="ticking"))

    def milliseconds(self, n: int) -> list[float]:
        """Wait for `n` runs; give how late each began."""
        self._done.clear()
        self._late, self._wanted = [], n
        if not self._done.wait(60):
            raise RuntimeError("the job did not start")
        return self._late


def _measure(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(150, 50), bench.pick(5, 2)
    floor, ours = [], []
    for _ in range(repeats):
        floor.append(floors.waits(n, INTERVAL))
        with af.Project("bench", home=bench.fresh(), workers=2) as project:
            ticking = Ticking(project)
            ticking.milliseconds(20)
            ours.append(ticking.milliseconds(n))
            ticking.execution.stop().wait()
    return [
        Reading(
            what=f"late, {name}",
            unit="ms",
            ours=[take(samples) for samples in ours],
            floor=[take(samples) for samples in floor],
            floor_is=FLOOR,
            reach=reach,
        )
        for name, take, reach in (("p50", statistics.median, Reach(of="ours", most=1.0)), ("p99", p99, None))
    ]


FIGURES = (Figure(name="timer", title="a tick is due -> first line of the job that it starts", measure=_measure),)
