"""From `publish` to the first line of the job that the event starts.

Knows nothing of what happens in between.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import on_a_thread, p99

__all__ = ["FIGURES"]

FLOOR = "a thread wakes (blocked queue) + one commit"


class Reaction:
    """An execution with a job that waits for the event ``go``."""

    def __init__(self, project: af.Project) -> None:
        self.project = project
        self._begun, self._came = 0.0, threading.Event()
        self._out: list[float] = []

        @af.job
        def react() -> None:
            self._out.append(time.perf_counter() - self._begun)
            self._came.set()

        def wait() -> None:
            react().start_on(af.event("go"))

        self.execution = project.start(af.workflow(wait, name="reaction", ends="never"))

    def microseconds(self, n: int) -> list[float]:
        """Publish `n` times, each when the job before has begun and a little time has passed."""
        self._out.clear()
        for number in range(n):
            self._came.clear()
            time.sleep(0.003)
            self._begun = time.perf_counter()
            self.project.publish("go", number)
            if not self._came.wait(10):
                raise RuntimeError("the job did not start")
        return [seconds * 1e6 for seconds in self._out]


def _floor(bench: Bench, n: int) -> tuple[float, float]:
    wake, commit = floors.wakes(n), floors.commits(bench, n, pause=0.002)
    return statistics.median(wake) + statistics.median(commit), p99(wake) + p99(commit)


def _measure(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(300, 100), bench.pick(5, 2)
    readings = []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        reaction = Reaction(project)
        here: Callable[[int], list[float]] = reaction.microseconds
        for where, take in (("a user's thread", lambda n: on_a_thread(lambda: here(n))), ("the main thread", here)):
            take(50)
            floor, ours = [], []
            for _ in range(repeats):
                floor.append(_floor(bench, n))
                ours.append(take(n))
            label = f"from {where}"
            readings += [
                Reading(
                    what=f"{label}, p50",
                    unit="µs",
                    ours=[statistics.median(o) for o in ours],
                    floor=[f[0] for f in floor],
                    floor_is=FLOOR,
                    reach=Reach(of="ours", most=200),
                ),
                Reading(
                    what=f"{label}, p99",
                    unit="µs",
                    ours=[p99(o) for o in ours],
                    floor=[f[1] for f in floor],
                    floor_is=FLOOR + ", p99 of both",
                    reach=Reach(of="ours", most=1500),
                ),
            ]
        reaction.execution.stop().wait()
    return readings


FIGURES = (Figure(name="reaction", title="publish -> first line of the job that it starts", measure=_measure),)
