"""What `publish` costs alone: from a worker thread, from the main thread, and from eight threads at once.

Knows nothing of what anybody does with the events.
"""

from __future__ import annotations

import cProfile
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.profiling import profiled
from benchmarks.sampling import on_a_thread

__all__ = ["FIGURES"]

THREADS = 8


def _publish(project: af.Project, n: int) -> list[float]:
    out, now, publish = [], time.perf_counter, project.publish
    for number in range(n):
        begun = now()
        publish("reading", {"n": number})
        out.append((now() - begun) * 1e6)
    return out


def _measure_one(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(1000, 300), bench.pick(7, 3)
    readings = []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        for where in ("a worker thread", "the main thread"):
            floor, ours = [], []
            _publish(project, 100)
            for _ in range(repeats):
                floor.append(statistics.median(floors.commits(bench, n)))
                is_main = where == "the main thread"
                took = _publish(project, n) if is_main else on_a_thread(lambda: _publish(project, n))
                ours.append(statistics.median(took))
            readings.append(
                Reading(
                    what=f"publish alone from {where}, p50",
                    unit="µs",
                    ours=ours,
                    floor=floor,
                    floor_is="one commit",
                    reach=Reach(of="ours", most=60),
                )
            )
    return readings


def _rate(project: af.Project, n: int) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: _publish(project, n // THREADS), range(THREADS)))
    return n / (time.perf_counter() - begun)


def _measure_many(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(16_000, 4000), bench.pick(5, 2)
    floor, ours = [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        _rate(project, 800)
        for _ in range(repeats):
            floor.append(floors.publishers(bench, n, THREADS))
            ours.append(_rate(project, n))
    return [
        Reading(
            what=f"{THREADS} threads publishing",
            unit="events/s",
            ours=ours,
            floor=floor,
            floor_is="8 threads, a lock, one commit each",
            reach=Reach(of="ours", least=15_000),
        )
    ]


def _profile(bench: Bench) -> str:
    n = bench.pick(3000, 500)
    with af.Project("bench", home=bench.fresh(), workers=2) as project:

        def work(profiler: cProfile.Profile) -> None:
            def enabled() -> None:
                profiler.enable()
                _publish(project, n)
                profiler.disable()

            on_a_thread(enabled)

        plain = statistics.median(on_a_thread(lambda: _publish(project, n)))
        return profiled(work, n, plain, "event")


FIGURES = (
    Figure(
        name="publish",
        title="publish alone, from a worker thread and from the main thread",
        measure=_measure_one,
        profile=_profile,
    ),
    Figure(name="publish-8", title="8 threads publishing", measure=_measure_many),
)
