"""Owns the event log's rows: events as they stand in the table, and the questions asked of them.

Knows nothing of who is interested.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from aiflow.graph.condition import is_glob, matches_glob
from aiflow.graph.event import Event

__all__ = ["COLUMNS", "EventFilter", "Row", "event_of"]

Row = tuple[int, float, str, str, str, str, str | None, str | None, str | None, str | None]
COLUMNS = "offset, time, key, type, value, namespace, sender, context, execution_id"
_SELECT = f"SELECT {COLUMNS} FROM events"


def event_of(row: Sequence[Any]) -> Event:
    """Make an event of a row with `COLUMNS`."""
    offset, time, key, kind, value, namespace, sender, context, execution_id = row[:9]
    return Event(offset, key, json.loads(value), kind, namespace, sender, context, execution_id, time)


def _many(texts: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if texts is None:
        return None
    return (texts,) if isinstance(texts, str) else tuple(texts)


class EventFilter:
    """Which events somebody wants, as SQL and as a test of one event. Globs are those of `af.event`."""

    def __init__(
        self,
        keys: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
        senders: str | Iterable[str] | None = None,
    ) -> None:
        self.fields = {
            "key": _many(keys),
            "type": _many(types),
            "namespace": _many(namespaces),
            "sender": _many(senders),
        }
        self._checks = tuple(
            (name, globs) for name, globs in self.fields.items() if globs is not None and "*" not in globs
        )

        keys = self.fields["key"]
        self.exact_keys = None if keys is None or any(map(is_glob, keys)) else frozenset(keys)
        """The keys, if it is only for some, and none of them is a glob."""

    def fits(self, event: Event) -> bool:
        """Tell whether `event` is wanted."""
        return not self._checks or all(
            any(matches_glob(glob, getattr(event, name)) for glob in globs) for name, globs in self._checks
        )

    def where(self) -> tuple[str, list[Any]]:
        """Give the condition for SQL, and its values."""
        parts: list[str] = []
        values: list[Any] = []
        for name, globs in self._checks:
            ors: list[str] = []
            for glob in globs:
                ors.append(
                    f"fits_glob(?, {name})" if "[" in glob else f"{name} GLOB ?" if is_glob(glob) else f"{name} = ?"
                )
                values.append(glob)
            parts.append("(" + " OR ".join(ors or ["0"]) + ")")
        if self.fields["key"] and all(not is_glob(k) and not k.startswith("job:") for k in self.fields["key"]):
            parts.append("type <> 'JOB_STATUS_CHANGED'")  # so that the index on keys is used
        return " AND ".join(parts), values


def select(
    connection: Any,
    wanted: EventFilter,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[Event]:
    """Read events in the order of their offsets: those after `after`, up to and including `until`."""
    where, values = wanted.where()
    parts = ["offset > ?"] + ([where] if where else [])
    values = [after, *values]
    if until is not None:
        parts.append("offset <= ?")
        values.append(until)
    sql = f"{_SELECT} WHERE {' AND '.join(parts)} ORDER BY offset {'DESC' if newest else ''}"
    if limit is not None:
        sql += " LIMIT ?"
        values.append(limit)
    return [event_of(r) for r in connection.execute(sql, values).fetchall()]


def count(connection: Any, wanted: EventFilter, after: int = 0, until: int | None = None) -> int:
    """Count events after `after`, which is not before the pruned part of the log."""
    where, values = wanted.where()
    if not where:  # offsets have no gaps
        head = connection.execute("SELECT max(offset) FROM events").fetchone()[0] or 0
        return max(0, (head if until is None else min(head, until)) - after)
    parts, values = ["offset > ?", where], [after, *values]
    if until is not None:
        parts.append("offset <= ?")
        values.append(until)
    return int(connection.execute(f"SELECT count(*) FROM events WHERE {' AND '.join(parts)}", values).fetchone()[0])


def by_offsets(connection: Any, offsets: Iterable[int]) -> list[Event]:
    """Read the events with these offsets, in order."""
    found = []
    for offset in sorted(set(offsets)):
        row = connection.execute(f"{_SELECT} WHERE offset = ?", (offset,)).fetchone()
        if row is not None:
            found.append(event_of(row))
    return found


def newest_item(connection: Any, execution_id: str, key: str) -> list[Event]:
    """Read the newest item that a stream job of an execution has emitted, if there is one; `key` is that of the job."""
    sql = f"{_SELECT} WHERE key = ? AND type <> 'JOB_STATUS_CHANGED' AND type = 'STREAM_ITEM' AND execution_id = ? ORDER BY offset DESC LIMIT 1"
    return [event_of(row) for row in connection.execute(sql, (key, execution_id)).fetchall()]


def offset_at(connection: Any, timestamp: float) -> int:
    """Give the offset of the last event before the first one that happened at `timestamp` or later; 0 if there is none.

    Times grow with offsets but for those of timers, which say when they were due; so it is found by halving.
    """
    sql = "SELECT offset, time FROM events WHERE offset >= ? AND type <> 'TIMER_FIRED' ORDER BY offset LIMIT 1"
    ends = connection.execute("SELECT (SELECT min(offset) FROM events), (SELECT max(offset) FROM events)").fetchone()
    low, high = (ends[0] or 1), (ends[1] or 0) + 1
    first = low
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(sql, (middle,)).fetchone()
        if row is None or row[1] >= timestamp:
            high = middle
        else:
            low = row[0] + 1
    return low - 1 if low > first else 0


def of_execution(connection: Any, execution_id: str, after: int, keys: Sequence[str] | None = ()) -> list[Event]:
    """Read what can concern an execution: its own events, and those of others with one of `keys` (None: any)."""
    own = f"{_SELECT} WHERE execution_id = ? AND offset > ?"
    values: list[Any] = [execution_id, after]
    if keys is None:
        sql = f"{_SELECT} WHERE offset > ? AND (execution_id = ? OR type NOT IN ('JOB_STATUS_CHANGED', 'EXECUTION_STATUS_CHANGED')) ORDER BY offset"
        return [event_of(r) for r in connection.execute(sql, (after, execution_id)).fetchall()]
    found = {row[0]: row for row in connection.execute(own, values).fetchall()}
    others = f"{_SELECT} WHERE key = ? AND offset > ? AND type <> 'JOB_STATUS_CHANGED'"
    for key in keys:
        found.update((row[0], row) for row in connection.execute(others, (key, after)).fetchall())
    return [event_of(found[offset]) for offset in sorted(found)]
