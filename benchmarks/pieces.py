"""The statements of one turn of a chain and nothing around them: what the store alone needs, BEGIN to COMMIT.

The statements are those that the engine really makes: one execution is recorded, and written again into fresh homes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

import aiflow as af
from aiflow.store.store import Store
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reading
from benchmarks.workflows import chain

__all__ = ["FIGURES"]

Statement = tuple[str, str, Any]  # "execute" or "executemany", SQL, values


class Recorded:
    """Stands in for the store's connection that writes, and keeps what it is given."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.statements: list[Statement] = []

    def execute(self, sql: str, values: Iterable[Any] = ()) -> Any:
        """Pass on one statement."""
        self.statements.append(("execute", sql, values))
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Any]) -> Any:
        """Pass on one statement with many values."""
        self.statements.append(("executemany", sql, values))
        return self._connection.executemany(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _record(bench: Bench, n: int) -> list[Statement]:
    """Run a chain and give the statements of its turns, without those before and after."""
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        store = project._store
        recorded = store.writer = Recorded(store.writer)
        project.run(chain, n=n)
        store.writer = recorded._connection
        return recorded.statements


def _label(sql: str) -> str:
    found = re.match(
        r"\s*(BEGIN|COMMIT|PRAGMA \w+|INSERT(?: OR \w+)? INTO \w+|UPDATE \w+|SELECT|DELETE FROM \w+)",
        sql,
        re.IGNORECASE,
    )
    return found.group(1) if found else "other"


def _replay(store: Store, statements: list[Statement], n: int) -> dict[str, float]:
    """Give the mean microseconds per job of each kind of statement."""
    writer, now = store.writer, time.perf_counter
    spent: dict[str, float] = {}
    for how, sql, values in statements:
        label = _label(sql)
        call = writer.execute if how == "execute" else writer.executemany
        begun = now()
        cursor = call(sql, values)
        if label.startswith(("PRAGMA", "SELECT")):
            cursor.fetchall()
        spent[label] = spent.get(label, 0.0) + now() - begun
    return {label: seconds / n * 1e6 for label, seconds in spent.items()}


def _measure(bench: Bench) -> list[Reading]:
    readings = []
    for durability in ("NORMAL", "FULL"):
        n, repeats = bench.pick(2000 if durability == "NORMAL" else 500, 300), bench.pick(9, 3)
        statements = _record(bench, n)
        floor: list[float] = []
        ours: list[dict[str, float]] = []
        for _ in range(repeats):
            floor.append(sum(floors.commits(bench, n, durability)) / n)
            store = Store(bench.fresh(), durability=durability.lower())
            try:
                ours.append(_replay(store, statements, n))
            finally:
                store.close()
        whole = [sum(one.values()) for one in ours]
        readings.append(
            Reading(
                what="SQL of one job, all",
                unit="µs",
                ours=whole,
                floor=floor,
                floor_is="one commit",
                durability=durability,
            )
        )
        for label in sorted(ours[0], key=lambda label: -ours[0][label]):
            values = [one.get(label, 0.0) for one in ours]
            if max(values) >= 0.1:
                readings.append(Reading(what=f"  {label}", unit="µs", ours=values, durability=durability))
    return readings


FIGURES = (
    Figure(
        name="pieces",
        title="the statements of one job of a chain, without Python around them (means)",
        measure=_measure,
    ),
)
