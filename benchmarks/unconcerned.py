"""What an event costs that many could want and nobody does: many subscribers, many running executions.

Knows nothing of what an event costs that somebody wants. The floor is the same with few of them, in the same process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import aiflow as af
from benchmarks.bench import Bench, resident_kb
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import on_a_thread

__all__ = ["FIGURES"]

FEW, MANY = 10, 10_000


def _publish(project: af.Project, n: int) -> float:
    """Give the microseconds that one publish takes, of many."""
    out = []
    for number in range(n):
        begun = time.perf_counter()
        project.publish("unwanted", number)
        out.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(out)


def _subscribe(project: af.Project, first: int, until: int) -> None:
    for number in range(first, until):
        project.subscribe(lambda event: None, keys=f"key.{number}")


def _start(project: af.Project, first: int, until: int) -> None:
    @af.job
    def wanted() -> None: ...

    def body(number: int) -> None:
        wanted().start_on(af.event(f"key.{number}"))

    workflow = af.workflow(body, name="waits", ends="never")
    for number in range(first, until):
        project.start(workflow, number=number)


def _measure(bench: Bench, add: Callable[[af.Project, int, int], None], who: str) -> list[Reading]:
    n, many = bench.pick(1000, 300), bench.pick(MANY, 1000)
    few_times: list[float] = []
    many_times: list[float] = []
    with (
        af.Project("few", home=bench.fresh(), workers=2) as few,
        af.Project("many", home=bench.fresh(), workers=2) as big,
    ):
        add(few, 0, FEW)
        before = resident_kb()
        add(big, 0, many)
        memory = (resident_kb() - before) / many
        for project in (few, big):
            on_a_thread(partial(_publish, project, 200))
        for _ in range(bench.pick(7, 3)):
            few_times.append(on_a_thread(partial(_publish, few, n)))
            many_times.append(on_a_thread(partial(_publish, big, n)))
        few.close(detach=True)
        big.close(detach=True)
    told = f"publish beside {many:,} {who} that do not want it"
    floor_is = f"the same beside {FEW}"
    return [
        Reading(
            what=told, unit="µs", ours=many_times, floor=few_times, floor_is=floor_is, reach=Reach(of="ratio", most=1.2)
        ),
        Reading(what=f"  memory of one of the {who}", unit="KB", ours=[memory], durability="-"),
    ]


FIGURES = (
    Figure(
        name="subscribers",
        title="an event that 10 or 10,000 subscribers do not want",
        measure=partial(_measure, add=_subscribe, who="subscribers"),
    ),
    Figure(
        name="unwanted",
        title="an event that no rule wants, with 10 and with 10,000 running executions",
        measure=partial(_measure, add=_start, who="executions"),
    ),
)
