"""Asks what takes how much room in a store: `aiflow db check`.

Knows nothing of what could be done about it.
"""

from __future__ import annotations

from typing import NamedTuple

from aiflow.store.store import Store

__all__ = ["Weight", "weigh"]

_PARTS = {
    "events": ("events", "failed_events"),
    "executions": ("executions", "job_executions", "documents", "items", "job_states", "cached_results", "workflows"),
    "metrics": ("metrics",),
}
_REST = "metadata and the rest"


class Weight(NamedTuple):
    """How many rows a part of the database has, and about how many bytes it takes, indexes and all."""

    rows: int
    bytes: int


def weigh(store: Store) -> dict[str, Weight]:
    """Share the pages of the database among its parts, by what their rows hold.

    SQLite could tell it to the page (`dbstat`), but not each build of it does. What waits for new rows is a part, too.
    """
    part_of = {table: part for part, tables in _PARTS.items() for table in tables}
    rows, content = dict.fromkeys((*_PARTS, _REST), 0), dict.fromkeys((*_PARTS, _REST), 0)
    for (table,) in store.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        part = part_of.get(table, _REST)
        columns = [name for _, name, *_ in store.rows(f"PRAGMA table_info({table})")]
        held = " + ".join(f'coalesce(length(CAST("{column}" AS BLOB)), 0)' for column in columns)
        count, size = store.rows(f"SELECT count(*), coalesce(sum({held}), 0) FROM {table}")[0]
        rows[part] += count
        content[part] += size
    size = store.size
    used, whole = size["database"] - size["free"], sum(content.values()) or 1
    found = {part: Weight(rows[part], round(used * content[part] / whole)) for part in rows}
    return {**found, "free": Weight(0, size["free"])}
