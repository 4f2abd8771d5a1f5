"""How many values of metrics a second a job logs: one by one, and a thousand at a time; on a thread and in a process.

Knows nothing of what is measured, nor of who listens.
"""

from __future__ import annotations

import cProfile
import time

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.profiling import profiled

__all__ = ["FIGURES"]

BATCH = 1000


@af.job
def one_by_one(n: int) -> float:
    """Give how many a second are logged, each by a call of its own."""
    log = af.current().log_metric
    for step in range(50):
        log("warm", 0.5, step)
    begun = time.perf_counter()
    for step in range(n):
        log("loss", step * 0.1, step)
    return n / (time.perf_counter() - begun)


@af.job
def in_batches(n: int) -> float:
    """Give how many a second are logged, `BATCH` by each call."""
    log = af.current().log_metrics
    log([("warm", 0.5, step) for step in range(BATCH)])
    begun = time.perf_counter()
    for first in range(0, n, BATCH):
        log([("loss", step * 0.1, step) for step in range(first, first + BATCH)])
    return n / (time.perf_counter() - begun)


def _rate(project: af.Project, job: af.Job, n: int, runner: str) -> float:
    @af.workflow(name=f"measuring_{job.name}", runner=runner)
    def measuring(n: int) -> None:
        job(n)

    found: float = project.run(measuring, n=n).result(job.name)
    return found


def _measure(bench: Bench) -> list[Reading]:
    repeats = bench.pick(7, 3)
    readings = []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        for job, n, size, what, least in (
            (one_by_one, bench.pick(5000, 500), 1, "one by one", 10_000),
            (in_batches, bench.pick(100_000, 10_000), BATCH, f"{BATCH:,} at a time", 100_000),
        ):
            for runner, where in (("thread", "a thread"), ("process", "a process")):
                floor, ours = [], []
                for _ in range(repeats):
                    floor.append(floors.pairs_of_rows(bench, n, size))
                    ours.append(_rate(project, job, n, runner))
                readings.append(
                    Reading(
                        what=f"metrics {what}, from a job in {where}",
                        unit="values/s",
                        ours=ours,
                        floor=floor,
                        floor_is=f"two rows each in indexed tables, {size:,} values a commit",
                        reach=Reach(of="ours", least=least) if runner == "thread" else None,
                    )
                )
    return readings


def _profile(bench: Bench) -> str:
    n = bench.pick(5000, 500)
    plain = 0.0

    @af.job
    def logs() -> str:
        nonlocal plain
        log = af.current().log_metric

        def work(profiler: cProfile.Profile) -> None:
            profiler.enable()
            for step in range(n):
                log("loss", 0.5, step)
            profiler.disable()

        begun = time.perf_counter()
        for step in range(n):
            log("loss", 0.5, step)
        plain = (time.perf_counter() - begun) / n * 1e6
        return profiled(work, n, plain, "value")

    @af.workflow(name="profiling_metrics")
    def profiling() -> None:
        logs()

    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        found: str = project.run(profiling).result("logs")
        return found


FIGURES = (Figure(name="metrics", title="values of metrics a second", measure=_measure, profile=_profile),)
