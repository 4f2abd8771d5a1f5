"""How long simulations take in real time: a day of cron with 10,000 events, and a small workflow, again and again.

Knows nothing of what happens in between.
"""

from __future__ import annotations

import time

import aiflow as af
from aiflow.testing import Simulation, simulate
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading

__all__ = ["FIGURES"]

DAY = 86_400.0


@af.job
def collect() -> int:
    """Stand for a job that gives something."""
    return 1


@af.job
def add_up(number: int) -> int:
    """Stand for a job that takes it."""
    return number + 1


@af.workflow(start_on=af.cron("* * * * *"))
def minutely() -> None:
    """Run each minute."""
    add_up(collect())


@af.workflow(start_on=af.event("sensor", where=lambda event: event.value % 100 == 0), if_running="parallel")
def alarming() -> None:
    """Run now and then."""
    collect()


@af.workflow
def small() -> None:
    """Run once."""
    add_up(collect())


def _day(bench: Bench, events: int, seed: int) -> tuple[float, Simulation]:
    readings = [((0, DAY), "sensor", number) for number in range(events)]
    begun = time.perf_counter()
    found = simulate(minutely, readings, serve=[alarming], until=DAY, seed=seed, home=bench.fresh())
    return time.perf_counter() - begun, found


def _measure(bench: Bench) -> list[Reading]:
    events, repeats, seeds = bench.pick(10_000, 1_000), bench.pick(3, 1), bench.pick(100, 20)
    days, commits, each, pairs = [], [], [], []
    for seed in range(repeats):
        took, found = _day(bench, events, seed)
        days.append(took)
        commits.append(sum(floors.commits(bench, len(found.events))) / 1e6)
        pairs.append(sum(floors.commits(bench, 4 * seeds)) / seeds / 1e3)
        begun = time.perf_counter()
        for number in range(seeds):
            simulate(small, seed=number)
        each.append((time.perf_counter() - begun) / seeds * 1e3)
    return [
        Reading(
            what=f"a day of cron each minute, and {events:,} events",
            unit="s",
            ours=days,
            floor=commits,
            floor_is="as many commits as there are events in the log",
            reach=Reach(of="ours", most=10.0),
        ),
        Reading(
            what="a workflow of two jobs, one seed",
            unit="ms",
            ours=each,
            floor=pairs,
            floor_is="four commits",
        ),
    ]


FIGURES = (Figure(name="simulate", title="simulations: virtual days and many seeds", measure=_measure),)
