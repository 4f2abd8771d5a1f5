"""Writes many rows at once: some dozens by one statement, and what is the same in all of them is handed over once.

Knows nothing of what the rows are. Handing values to SQLite one by one costs more than what it does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

__all__ = ["insert"]

_MANY = 8
"""Rows from which on it pays to see what they have in common."""
_SIZES = (64, 8, 1)
"""How many rows one statement may have."""
_VARIABLES = 900
"""How many values one statement may have; old builds of SQLite take 999."""


def insert(connection: Any, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, in their order; inside a transaction.

    Parameters
    ----------
    connection
        Holds the transaction.
    table, columns
        Where to; the names of known things, for they become part of a statement.
    rows
        A value for each column. Those of one column are all of one type, or None.

    Examples
    --------
    >>> from aiflow.store.connection import sqlite3
    >>> connection = sqlite3.connect(":memory:")
    >>> cursor = connection.execute("CREATE TABLE points (name TEXT, x INTEGER, y INTEGER)")
    >>> insert(connection, "points", ("name", "x", "y"), [("a", 1, n) for n in range(75)])
    >>> connection.execute("SELECT count(*), sum(x), sum(y), max(name) FROM points").fetchone()
    (75, 75, 2775, 'a')
    """
    count, at = len(rows), 0
    if count < _MANY:
        statement = _statement(table, tuple(columns), (False,) * len(columns), 1)
        for row in rows:
            connection.execute(statement, row)
        return
    held = list(zip(*rows, strict=True))
    is_same = tuple(values.count(values[0]) == count for values in held)
    same = [values[0] for values, is_one in zip(held, is_same, strict=True) if is_one]
    own = [values for values, is_one in zip(held, is_same, strict=True) if not is_one]
    for size in _SIZES:
        while count - at >= size and (size == 1 or size * len(own) + len(same) <= _VARIABLES):
            part = chain.from_iterable(zip(*(values[at : at + size] for values in own), strict=True))
            connection.execute(_statement(table, tuple(columns), is_same, size), [*same, *part])
            at += size


@lru_cache(maxsize=256)
def _statement(table: str, columns: tuple[str, ...], is_same: tuple[bool, ...], size: int) -> str:
    """Give the statement for `size` rows: the values that are the same are ?1, ?2, …, and those of the rows follow."""
    shared = iter(range(1, 1 + sum(is_same)))
    fixed = [next(shared) if is_one else 0 for is_one in is_same]
    number = sum(is_same)
    rows = []
    for _ in range(size):
        places = []
        for place in fixed:
            number += not place
            places.append(f"?{place or number}")
        rows.append(f"({', '.join(places)})")
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join(rows)}"
