"""What an operation of the ledger may do: read and write rows of the transaction that is open, and say what has changed.

Knows nothing of what the operations mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiflow.graph.change import Who
from aiflow.graph.event import Draft, Event, EventType
from aiflow.graph.params import json_text
from aiflow.store import bulk

__all__ = ["Book", "Log", "columns", "decoded", "deployed", "encoded", "select"]

_JSON = frozenset(("schema", "catalog", "properties"))


def encoded(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Give fields as columns hold them: those that hold trees as JSON text.

    Raises
    ------
    ParameterError
        If one of them is not JSON data.
    """
    return {
        k: json_text(v, f"{k} of {what}") if k in _JSON and v is not None else v for k, v in fields.items()
    }  # fmt: skip


def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `encoded`."""
    return {k: json.loads(v) if k in _JSON and v is not None else v for k, v in row.items()}


class Rows(Protocol):
    """What is asked for rows: a store."""

    def rows(self, sql: str, values: Iterable[Any] = ...) -> list[tuple[Any, ...]]:
        """Give the rows of a query."""


def select(store: Rows, table: str, clause: str, values: Any) -> list[dict[str, Any]]:
    """Read whole rows of a table of the ledger as dicts."""
    names = columns(store, table)
    rows = store.rows(f"SELECT {', '.join(names)} FROM {table} WHERE {clause}", values)
    return [decoded(dict(zip(names, row, strict=True))) for row in rows]


def columns(store: Rows, table: str) -> list[str]:
    """Give the names of the columns of a table."""
    return [row[0] for row in store.rows("SELECT name FROM pragma_table_info(?)", (table,))]


def deployed(store: Rows, model: str) -> dict[str, Any] | None:
    """Read the row of the version of a model that is deployed, if one is."""
    found = select(store, "model_versions", "model = ? AND stage = 'DEPLOYED'", (model,))
    return found[0] if found else None


class Log(Protocol):
    """The event log, as a turn has it: what is said is appended in its transaction, and brought to whom it concerns."""

    @property
    def next_offset(self) -> int:
        """The offset that the next event will have."""

    def publish_now(self, drafts: Iterable[Draft]) -> list[Event]:
        """Append events, one after the other with what follows from it."""

    def say_now(self, draft: Draft, said: Iterable[tuple[str, Any, str]]) -> None:
        """Append events like a draft: key, value, and the value as JSON. Their offsets follow each other."""


class Book:
    """The open transaction, on behalf of somebody.

    Parameters
    ----------
    writer
        The connection that holds the transaction.
    log
        The event log.
    who
        On whose behalf.
    now
        The time of the turn.
    """

    def __init__(self, writer: Any, log: Log, who: Who, now: float) -> None:
        self._writer, self._log, self.who, self.now = writer, log, who, now

    def row(self, sql: str, values: Iterable[Any] = ()) -> dict[str, Any] | None:
        """Read one row as a dict by column, or None."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Read rows as dicts by column."""
        cursor = self._writer.execute(sql, tuple(values))
        names = [column[0] for column in cursor.description]
        return [decoded(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def insert(self, table: str, fields: Mapping[str, Any]) -> int:
        """Write a row and give its id."""
        row = encoded(fields, table)
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        return int(self._writer.execute(sql, tuple(row.values())).lastrowid)

    def update(self, table: str, row_id: int, fields: Mapping[str, Any]) -> None:
        """Change a row."""
        row = encoded(fields, table)
        sql = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?"
        self._writer.execute(sql, (*row.values(), row_id))

    def execute(self, sql: str, values: Iterable[Any] = ()) -> Any:
        """Do any other statement."""
        return self._writer.execute(sql, tuple(values))

    def execute_many(self, sql: str, rows: Iterable[Any]) -> None:
        """Do one statement for many rows."""
        self._writer.executemany(sql, rows)

    def insert_many(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write many rows, as columns hold them."""
        bulk.insert(self._writer, table, columns, rows)

    def say(self, key: str, type: EventType | str, value: Any) -> Event:
        """Say that something has changed; changes of metadata concern every execution, so they have no context."""
        return self._log.publish_now((self._draft(key, str(type), value),))[0]

    def say_many(self, type: EventType, said: Iterable[tuple[str, Any, str]]) -> None:
        """Say many such things: key, value, and the value as JSON. The first gets `next_offset`, and the others follow it."""
        self._log.say_now(self._draft("", str(type), None), said)

    @property
    def next_offset(self) -> int:
        """The offset that the next event will have."""
        return self._log.next_offset

    def _draft(self, key: str, kind: str, value: Any) -> Draft:
        who = self.who
        return Draft(key, value, kind, who.namespace, who.job, None, who.execution_id)

    @property
    def made_by(self) -> dict[str, Any]:
        """The columns that say which job execution made something."""
        who = self.who
        return {"execution_id": who.execution_id, "job": who.job, "job_number": who.number}
