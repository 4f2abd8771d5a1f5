"""Trouble on order: a connection that passes everything on to the real one, and fails or does something when told to."""

from collections.abc import Callable
from typing import Any

import aiflow as af
from aiflow.store.connection import sqlite3


class Watched:
    """A connection; `before` and `after` are called with each statement."""

    def __init__(self, connection: Any, before: Callable[[str], None], after: Callable[[str], None]) -> None:
        self._connection, self._before, self._after = connection, before, after

    def execute(self, sql: str, *values: Any) -> Any:
        self._before(sql)
        answer = self._connection.execute(sql, *values)
        self._after(sql)
        return answer

    def executemany(self, sql: str, rows: Any) -> Any:
        self._before(sql)
        answer = self._connection.executemany(sql, rows)
        self._after(sql)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def watch(
    project: af.Project,
    *,
    before: Callable[[str], None] = lambda sql: None,
    after: Callable[[str], None] = lambda sql: None,
) -> None:
    """Have `before` and `after` called around each statement that the project writes with."""
    store = project._shared.store
    store.writer = Watched(store.writer, before, after)


class Disk:
    """Says that it is full at each COMMIT while `full` is set; the transaction is undone, as SQLite does it."""

    def __init__(self, project: af.Project) -> None:
        self.full = False
        self.refused = 0
        watch(project, before=self._before)

    def _before(self, sql: str) -> None:
        if self.full and sql == "COMMIT":
            self.refused += 1
            raise sqlite3.OperationalError("database or disk is full")
