"""What an operation of the ledger may do: read and write rows of the transaction that is open, and say what has changed.

Knows nothing of what the operations mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiflow.graph.change import Who
from aiflow.graph.event import Draft, Event, EventType
from aiflow.graph.params import json_text

__all__ = ["Book", "decoded", "encoded"]

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


class Book:
    """The open transaction, on behalf of somebody.

    Parameters
    ----------
    writer
        The connection that holds the transaction.
    say
        Appends an event in the same transaction, and brings it to whom it concerns.
    who
        On whose behalf.
    now
        The time of the turn.
    """

    def __init__(self, writer: Any, say: Any, who: Who, now: float) -> None:
        self._writer, self._say, self.who, self.now = writer, say, who, now

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

    def say(self, key: str, type: EventType | str, value: Any) -> Event:
        """Say that something has changed; changes of metadata concern every execution, so they have no context."""
        who = self.who
        draft = Draft(key, value, str(type), who.namespace, who.job, None, who.execution_id)
        found: Event = self._say(draft)
        return found

    @property
    def made_by(self) -> dict[str, Any]:
        """The columns that say which job execution made something."""
        who = self.who
        return {"execution_id": who.execution_id, "job": who.job, "job_number": who.number}
