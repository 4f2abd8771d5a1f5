"""The statements of one turn of a chain, with the real schema and nothing around them: what the store alone needs.

Knows nothing of the engine: whoever changes what a turn writes changes this list, too.
"""

from __future__ import annotations

import time
from typing import Any

from aiflow.store import store as rows
from aiflow.store.connection import begin
from aiflow.store.store import Store
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reading

__all__ = ["FIGURES"]

ENDED, STARTED = '{"status":"SUCCESS","number":1,"attempt":1}', '{"status":"RUNNING","number":1,"attempt":1}'
EXECUTION = "abcdefghjkmn"


def _event(offset: int, job: int, value: str) -> tuple[Any, ...]:
    name = f"noop_{job}"
    return (offset, 1.7e9, f"job:{name}", "JOB_STATUS_CHANGED", value, "bench", name, EXECUTION, EXECUTION, None)


def _turns(store: Store, first: int, n: int) -> dict[str, float]:
    """Give the mean microseconds of each piece."""
    writer, now = store.writer, time.perf_counter
    spent = dict.fromkeys(("BEGIN IMMEDIATE", "PRAGMA data_version", "2 events", "job SUCCESS", "job RUNNING", "COMMIT"), 0.0)
    names = list(spent)
    for job in range(first, first + n):
        offset, key = 2 * job, (EXECUTION, f"noop_{job}", 1)
        marks = [now()]
        begin(writer)
        marks.append(now())
        writer.execute("PRAGMA data_version").fetchone()
        marks.append(now())
        writer.executemany(rows.APPEND, [_event(offset, job, ENDED), _event(offset + 1, job + 1, STARTED)])
        marks.append(now())
        writer.execute(rows.JOB_ENDED, ("SUCCESS", 1.7e9, None, None, "json", "null", None, 4, *key))
        marks.append(now())
        writer.execute(rows.JOB_RUNNING, (1.7e9, None, 1, EXECUTION, f"noop_{job + 1}", 1))
        marks.append(now())
        writer.execute("COMMIT")
        marks.append(now())
        for name, before, after in zip(names, marks, marks[1:], strict=False):
            spent[name] += after - before
    return {name: seconds / n * 1e6 for name, seconds in spent.items()}


def _measure(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(1000, 300), bench.pick(7, 3)
    readings = []
    for durability in ("NORMAL", "FULL"):
        count = n if durability == "NORMAL" else n // 4
        floor: list[float] = []
        ours: dict[str, list[float]] = {}
        store = Store(bench.fresh(), durability=durability.lower())
        try:
            _turns(store, 1, count)
            for repeat in range(1, repeats + 1):
                floor.append(sum(floors.commits(bench, count, durability)) / count)
                for name, value in _turns(store, 1 + repeat * count, count).items():
                    ours.setdefault(name, []).append(value)
        finally:
            store.close()
        whole = [sum(values) for values in zip(*ours.values(), strict=True)]
        readings.append(Reading(what="SQL of one turn, all", unit="µs", ours=whole, floor=floor, floor_is="one commit", durability=durability))
        readings += [Reading(what=f"  {name}", unit="µs", ours=values, durability=durability) for name, values in ours.items()]
    return readings


FIGURES = (Figure(name="pieces", title="the statements of one turn, BEGIN to COMMIT, with the real schema", measure=_measure),)
