"""From `publish` in another process to the first line of the job that it starts here; and by a program that only writes rows.

Knows nothing of what happens in between. Both processes read the same clock.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import p99

__all__ = ["FIGURES"]

PUBLISHER = """
import sys, time
import aiflow as af
with af.Project(home=sys.argv[1]) as project:
    project.publish("warm")
    time.sleep(0.6)
    for _ in range(int(sys.argv[2])):
        time.sleep(0.02)
        project.publish("go", time.perf_counter())
"""
WRITER = """
import json, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1] + "/aiflow.db", timeout=30, isolation_level=None)
for _ in range(int(sys.argv[2])):
    time.sleep(0.06)
    begun = time.perf_counter()
    database.execute(
        "INSERT INTO events (time, key, type, value, namespace) VALUES (?, 'go', 'UNDEFINED', ?, 'bench')",
        (time.time(), json.dumps(begun)),
    )
"""


class Waiting:
    """An execution with a job that waits for the event ``go``, and notes how old it is."""

    def __init__(self, project: af.Project) -> None:
        self.out: list[float] = []
        self._all = threading.Semaphore(0)

        @af.job
        def react() -> None:
            event = af.current().event
            assert event is not None
            self.out.append((time.perf_counter() - event.value) * 1e3)
            self._all.release()

        def wait() -> None:
            react().start_on(af.event("go"))

        self.home = project.home
        self.execution = project.start(af.workflow(wait, name="elsewhere", ends="never"))

    def milliseconds(self, bench: Bench, program: str, n: int) -> list[float]:
        """Let another process do its work, and give the milliseconds that each of its events took."""
        self.out.clear()
        command = [sys.executable, "-c", program, str(Path(self.home)), str(n)]
        subprocess.run(command, env=bench.environment(), check=True)
        for _ in range(n):
            if not self._all.acquire(timeout=10):
                raise RuntimeError("the job did not start")
        return list(self.out)


def _measure(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(100, 30), bench.pick(5, 2)
    readings = []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        waiting = Waiting(project)
        for who, program, bounds in (
            ("another aiflow process publishes", PUBLISHER, (3.0, None)),
            ("a program writes a row", WRITER, (60.0, None)),
        ):
            floor, ours = [], []
            for _ in range(repeats):
                floor.append([wake / 1e3 for wake in floors.wakes(n)])
                ours.append(waiting.milliseconds(bench, program, n))
            for name, take, most in (("p50", statistics.median, bounds[0]), ("p99", p99, bounds[1])):
                readings.append(
                    Reading(
                        what=f"{who}, {name}",
                        unit="ms",
                        ours=[take(samples) for samples in ours],
                        floor=[take(samples) for samples in floor],
                        floor_is="a thread wakes (blocked queue)",
                        reach=None if most is None else Reach(of="ours", most=most),
                    )
                )
        waiting.execution.stop().wait()
    return readings


FIGURES = (
    Figure(
        name="elsewhere",
        title="publish in another process -> first line of the job that it starts here",
        measure=_measure,
    ),
)
