"""Appends events for who has no engine: functions on a Flink cluster, in processes of their own.

Knows nothing of who hears of them: whoever works in the home sees what was appended, as of any other process.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from aiflow.errors import Conflict, StoreError
from aiflow.graph.event import Draft, Event
from aiflow.graph.execution import ENDED
from aiflow.graph.params import json_text
from aiflow.store import connection as door
from aiflow.store import log
from aiflow.store.store import APPEND, Store

__all__ = ["STATUS", "append", "check_runs"]

_KNOWN = f"SELECT {log.COLUMNS} FROM events WHERE namespace = ? AND dedupe_key = ?"
STATUS = "SELECT status FROM job_executions WHERE execution_id = ? AND job = ? AND number = ?"


def append(store: Store, drafts: Iterable[Draft], now: float, run: tuple[str, str, int] | None = None) -> list[Event]:
    """Append drafts in one transaction; a `dedupe_key` that is known gives the event of then.

    Parameters
    ----------
    store
        The home; one thread at a time.
    drafts
        Checked ones.
    now
        What time it is, in seconds since 1970.
    run
        The execution, job and number that asks; if that is over, nothing is appended.

    Raises
    ------
    Conflict
        If `run` is over, or unknown.
    StoreError
        If the store cannot be written; nothing was appended.
    """
    with door.opening:  # nobody forks meanwhile
        try:
            store.begin()
            if run is not None:
                check_runs(store.writer.execute(STATUS, run).fetchone(), run)
            found = [_append(store, draft, now) for draft in drafts]
            store.writer.execute("COMMIT")
        except BaseException as error:
            with suppress(door.DatabaseError):  # there may be no transaction any more
                store.writer.execute("ROLLBACK")
            if isinstance(error, door.DatabaseError):
                raise StoreError(f"the store in {store.home} could not be written: {error}") from error
            raise
    return found


def _append(store: Store, draft: Draft, now: float) -> Event:
    key, value, kind, namespace, sender, context, execution_id, _, dedupe_key = draft
    if dedupe_key is not None:
        known = store.writer.execute(_KNOWN, (namespace, dedupe_key)).fetchone()
        if known is not None:
            return log.event_of(known)
    offset = int(store.writer.execute("SELECT max(offset) FROM events").fetchone()[0] or 0) + 1
    text = json_text(value, f"the value of event {key!r}")
    row = (offset, now, key, kind, text, namespace, sender, context, execution_id, dedupe_key)
    store.writer.execute(APPEND, row)
    return log.event_of(row)


def check_runs(row: tuple[str] | None, run: tuple[str, str, int]) -> None:
    """Refuse what a run of a job still says that is over, or that is not there; `row` has its status."""
    execution_id, job, number = run
    if row is None:
        raise Conflict(
            f"job {job!r} number {number} of execution {execution_id} is not known here: nothing of it is recorded"
        )
    if row[0] in ENDED:
        raise Conflict(
            f"job {job!r} number {number} of execution {execution_id} is {row[0]}: nothing it does is recorded any more"
        )
