"""How many new versions of a model a second: an object of a few hundred bytes is kept, and a row and an event say so.

Knows nothing of training.
"""

from __future__ import annotations

import cProfile
import time
from itertools import count

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.profiling import profiled
from benchmarks.sampling import on_a_thread

__all__ = ["FIGURES"]

_numbers = count()


def _log(project: af.Project, n: int) -> float:
    """Give how many versions a second are logged; no two objects are equal, and none is JSON."""
    knn = project.models.register("knn")
    begun = time.perf_counter()
    for _ in range(n):
        knn.log((next(_numbers), [0.1 * k for k in range(32)]))
    return n / (time.perf_counter() - begun)


def _measure(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(2000, 300), bench.pick(7, 3)
    floor, ours = [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        on_a_thread(lambda: _log(project, 100))
        for _ in range(repeats):
            floor.append(floors.files_and_rows(bench, n))
            ours.append(on_a_thread(lambda: _log(project, n)))
    return [
        Reading(
            what="new versions of a model, from a worker thread",
            unit="versions/s",
            ours=ours,
            floor=floor,
            floor_is="pickle, hash, one file, one rename, one commit",
            reach=Reach(of="ours", least=2000),
        )
    ]


def _profile(bench: Bench) -> str:
    n = bench.pick(2000, 300)
    with af.Project("bench", home=bench.fresh(), workers=2) as project:

        def work(profiler: cProfile.Profile) -> None:
            def enabled() -> None:
                profiler.enable()
                _log(project, n)
                profiler.disable()

            on_a_thread(enabled)

        plain = 1e6 / on_a_thread(lambda: _log(project, n))
        return profiled(work, n, plain, "version")


FIGURES = (Figure(name="versions", title="new versions of a model a second", measure=_measure, profile=_profile),)
