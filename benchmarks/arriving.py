"""From the closing of a file to the first line of the job that it starts.

Knows nothing of what happens in between. The floor needs watchdog, as there is nothing in the standard library.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import on_a_thread, p99

__all__ = ["FIGURES"]

FLOOR = "watchdog alone: closed -> its handler is called"


def _milliseconds(folder: Path, n: int, came: threading.Event, moment: Callable[[], float]) -> list[float]:
    """Write `n` small files, each a little after the one before has come."""
    out = []
    for number in range(n):
        came.clear()
        time.sleep(0.003)
        with open(folder / f"{time.time_ns()}-{number}.csv", "w", encoding="ascii") as file:
            file.write("1,2,3\n")
        closed = time.perf_counter()
        if not came.wait(10):
            raise RuntimeError("the file was not noticed")
        out.append((moment() - closed) * 1e3)
    return out


def _ours(bench: Bench, folder: Path, n: int, repeats: int, floor: list[list[float]]) -> list[list[float]]:
    """Take the samples of floor and ours in turns."""
    came, first_line = threading.Event(), [0.0]

    @af.job
    def take() -> None:
        first_line[0] = time.perf_counter()
        came.set()

    def wait() -> None:
        take().start_on(af.file(folder / "*.csv"))

    ours = []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        execution = project.start(af.workflow(wait, name="arriving", ends="never"))
        for repeat in range(repeats + 1):
            floor.append(floors.notices(bench.fresh("watched"), n))
            ours.append(on_a_thread(lambda: _milliseconds(folder, n, came, lambda: first_line[0])))
            if not repeat:  # the first of each warms up
                floor.pop(), ours.pop()
        execution.stop().wait()
    return ours


def _measure(bench: Bench) -> list[Reading]:
    folder = bench.fresh("inbox")
    folder.mkdir()
    floor: list[list[float]] = []
    ours = _ours(bench, folder, bench.pick(300, 100), bench.pick(5, 2), floor)
    return [
        Reading(
            what=f"file closed, {name}",
            unit="ms",
            ours=[take(samples) for samples in ours],
            floor=[take(samples) for samples in floor],
            floor_is=FLOOR,
            reach=Reach(of="ours", most=most),
        )
        for name, take, most in (("p50", statistics.median, 2.0), ("p99", p99, 10.0))
    ]


FIGURES = (Figure(name="file", title="file closed -> first line of the job that it starts", measure=_measure),)
