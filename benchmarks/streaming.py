"""What an item of a stream costs: through memory from job to job, and as the start of a batch job.

Knows nothing of what happens in between. Items are small numbers; the jobs do nothing with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.per_job import Runs
from benchmarks.workflows import chain, noop

__all__ = ["FIGURES"]


@af.job
def numbers(n: int) -> Iterator[int]:
    """Yield some numbers."""
    yield from range(n)


@af.job
def count(items: af.Stream[int]) -> int:
    """Count what comes."""
    return sum(1 for _ in items)


@af.workflow
def flowing(n: int = 1000) -> None:
    """From a stream job to one that takes its items as an iterator."""
    count(numbers(n))


@af.workflow
def dripping(n: int = 1000) -> None:
    """From a stream job to one that runs once for each item."""
    noop(numbers(n))


def _per_second(project: af.Project, n: int) -> float:
    begun = time.perf_counter()
    execution = project.run(flowing, n=n)
    took = time.perf_counter() - begun
    if execution.result("count") != n:
        raise RuntimeError(f"{execution.result('count')} items came instead of {n}")
    return n / took


def _through_memory(bench: Bench) -> list[Reading]:
    n, ours, floor = bench.pick(1_000_000, 200_000), [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        _per_second(project, n // 10)
        for _ in range(bench.pick(7, 3)):
            floor.append(floors.queued(n))
            ours.append(_per_second(project, n))
    return [
        Reading(
            what="stream to stream, threads",
            unit="items/s",
            ours=ours,
            floor=floor,
            floor_is="queue.SimpleQueue between two threads",
            durability="-",
            reach=Reach(of="ours", least=200_000),
        )
    ]


def _to_batch_jobs(bench: Bench, n: int) -> list[Reading]:
    ours, floor = [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        chains, drops = Runs(project, chain), Runs(project, dripping)
        for _ in range(bench.pick(7, 3)):
            floor.append(chains.microseconds(n))
            ours.append(drops.microseconds(n))
    return [
        Reading(
            what="stream to batch job, per item",
            unit="µs/item",
            ours=ours,
            floor=floor,
            floor_is="aiflow's own chain, per job",
            reach=Reach(of="ratio", most=1.0),
        )
    ]


FIGURES = (
    Figure(
        name="stream", title="items a second from a stream job to one that takes the stream", measure=_through_memory
    ),
    Figure(
        name="stream-batch",
        title="an item that starts a batch job, beside a job of a chain",
        measure=partial(_to_batch_jobs, n=1000),
    ),
)
