"""Chains of 10,000 and of 100,000 jobs: what one job costs beside one of 1,000, and the memory that it takes.

Each size runs in a fresh process: `python -m benchmarks.growth time|memory|floor-memory N FOLDER`.
"""

from __future__ import annotations

import gc
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, peak_kb, resident_kb
from benchmarks.figure import Figure, Reach, Reading

__all__ = ["FIGURES"]

SMALL = 1000


def _measure(bench: Bench, n: int) -> list[Reading]:
    if bench.quick:
        n //= 5
    times = bench.answer_of("benchmarks.growth", "time", n, bench.fresh("growth"))
    memory = bench.answer_of("benchmarks.growth", "memory", n, bench.fresh("growth"))
    floor = bench.answer_of("benchmarks.growth", "floor-memory", n, bench.fresh("growth"))
    label = f"chain of {n:,}"
    note = f"pool and 2 commits, {n:,} beside {SMALL:,}"
    return [
        Reading(
            what=f"{label}, graph building included",
            unit="µs/job",
            ours=times["ours"],
            floor=times["floor"],
            floor_is="a thread pool and 2 commits per job",
        ),
        Reading(
            what=f"{label}, per job beside {SMALL:,}",
            unit="×",
            ours=times["growth"],
            floor=times["floor_growth"],
            floor_is=note,
            reach=Reach(of="ours", most=1.3),
        ),
        Reading(
            what=f"{label}, memory while it runs (peak)",
            unit="KB/job",
            ours=[memory["peak"]],
            floor=[floor["peak"]],
            floor_is="the same of the floor",
            reach=Reach(of="ours", most=3.0),
        ),
        Reading(
            what=f"{label}, memory that stays after it",
            unit="KB/job",
            ours=[memory["after"]],
            floor=[floor["after"]],
            floor_is="the same of the floor",
        ),
    ]


def _times(bench: Bench, n: int, repeats: int) -> dict[str, Any]:
    import aiflow as af
    from benchmarks import floors
    from benchmarks.per_job import Runs
    from benchmarks.workflows import chain

    out: dict[str, list[float]] = {"ours": [], "floor": [], "growth": [], "floor_growth": []}
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        runs = Runs(project, chain)
        runs.microseconds(SMALL)
        for _ in range(repeats):
            floor_small = floors.settled_two_commits(bench, SMALL)
            small = sorted(runs.microseconds(SMALL) for _ in range(3))[1]
            floor = floors.settled_two_commits(bench, n)
            large = runs.microseconds(n)
            out["ours"].append(large)
            out["floor"].append(floor)
            out["growth"].append(large / small)
            out["floor_growth"].append(floor / floor_small)
    return out


def _memory(bench: Bench, n: int) -> dict[str, float]:
    import aiflow as af
    from benchmarks.workflows import chain

    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        project.run(chain, n=SMALL)
        gc.collect()
        before = resident_kb()
        execution = project.run(chain, n=n)
        after, peak = resident_kb(), peak_kb()
        return {"peak": (peak - before) / n, "after": (after - before) / n, "jobs": len(execution.jobs)}


def _floor_memory(bench: Bench, n: int) -> dict[str, float]:
    from benchmarks import floors

    floors.two_commits(bench, SMALL)
    before = resident_kb()
    floors.two_commits(bench, n)
    return {"peak": (peak_kb() - before) / n, "after": (resident_kb() - before) / n}


FIGURES = tuple(
    Figure(name=str(n), title=f"chain of {n:,} jobs: time beside 1,000, memory", measure=partial(_measure, n=n))
    for n in (10_000, 100_000)
)


if __name__ == "__main__":
    what, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir()
    here = Bench(folder=folder)
    if what == "time":
        answer = _times(here, count, 3 if count <= 10_000 else 2)
    else:
        answer = _memory(here, count) if what == "memory" else _floor_memory(here, count)
    print(json.dumps(answer))
