"""Measures what one no-op job costs: (median(build + run of n) - median(n = 1)) / (n - 1), after a first run.

Knows nothing of floors' insides; chains, wide fans and their growth are measured with it.
"""

from __future__ import annotations

import cProfile
import gc
import statistics
import threading
import time
from collections.abc import Callable

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Reach, Reading
from benchmarks.profiling import profiled
from benchmarks.workflows import chain, count_of_jobs, noop, wide

__all__ = ["Runs", "compare", "profile"]

FLOOR = "a thread pool and 2 commits per job"
_END = str(af.EventType.EXECUTION_STATUS_CHANGED)


class Runs:
    """Runs one workflow again and again in a project; with a live subscriber, until that has seen the last event."""

    def __init__(self, project: af.Project, workflow: af.Workflow, subscribed: bool = False) -> None:
        self.project, self.workflow = project, workflow
        self._seen = threading.Event()
        self._subscribed = subscribed
        if subscribed:
            project.subscribe(self._hear)
        self.seconds(10)

    def _hear(self, event: af.Event) -> None:
        if event.type == _END and event.value["status"] == "SUCCESS":
            self._seen.set()

    def seconds(self, n: int) -> float:
        """Give the seconds to build and run `n` jobs."""
        self._seen.clear()
        count_of_jobs()
        gc.collect()  # of what the run before has left
        begun = time.perf_counter()
        self.project.run(self.workflow, n=n)
        if self._subscribed and not self._seen.wait(60):
            raise RuntimeError("the subscriber did not get the last event")
        took = time.perf_counter() - begun
        wanted, ran = n + 2 * (self.workflow is wide), count_of_jobs()
        if ran != wanted:
            raise RuntimeError(f"{ran} jobs ran instead of {wanted}")
        return took

    def microseconds(self, n: int) -> float:
        """Give what one job of `n` costs."""
        one = statistics.median(self.seconds(1) for _ in range(3))
        return (self.seconds(n) - one) / (n - 1) * 1e6


def compare(
    bench: Bench,
    what: str,
    most: float,
    *,
    workflow: af.Workflow = chain,
    subscribed: bool = False,
    durability: str = "NORMAL",
) -> list[Reading]:
    """Take turns with the floor."""
    n, repeats = bench.pick(1000, 300), bench.pick(9, 3)
    full = durability == "FULL"
    is_wide = workflow is wide
    floor, ours = [], []
    with af.Project("bench", home=bench.fresh(), workers=2, durability=durability.lower()) as project:
        runs = Runs(project, workflow, subscribed)
        runs.microseconds(n)
        for _ in range(repeats):
            floor.append(floors.settled_two_commits(bench, n // 4 if full else n, wide=is_wide, durability=durability))
            ours.append(runs.microseconds(n))
    reach = Reach(of="ratio", most=most)
    return [
        Reading(what=what, unit="µs/job", ours=ours, floor=floor, floor_is=FLOOR, durability=durability, reach=reach)
    ]


def profile(
    bench: Bench, *, workflow: af.Workflow = chain, subscribed: bool = False, durability: str = "NORMAL"
) -> str:
    """Profile the worker thread that goes through `n` jobs; of a wide fan, one of the two, and what it does per job."""
    n = bench.pick(1000, 300)
    is_wide = workflow is wide
    begin: Callable[[], object] = time.perf_counter

    @af.job
    def first() -> None:
        begin()  # on the worker's own thread, which goes on with the next job

    @af.workflow
    def the_same() -> None:
        node = first()
        if is_wide:
            noop.options(name="last")([noop(node) for _ in range(n)])
        for _ in range(0 if is_wide else n):
            node = noop(node)

    def work(profiler: cProfile.Profile) -> None:
        nonlocal begin
        begin = profiler.enable
        project.run(the_same)

    with af.Project("bench", home=bench.fresh(), workers=2, durability=durability.lower()) as project:
        runs = Runs(project, workflow, subscribed)
        plain = min(runs.microseconds(n) for _ in range(3))
        building = min(_seconds(the_same.build) for _ in range(3)) / n * 1e6
        text = profiled(work, n, plain - building, "job")
    return (
        f"{plain:.1f} µs per job in all, {building:.1f} of them for building the graph, on the starting thread\n{text}"
    )


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
