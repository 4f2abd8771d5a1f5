"""Turns events and ends of jobs into rows, and writes the rows of one turn.

Knows nothing of why things happen, nor of transactions: the engine begins and commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from aiflow.graph.event import Draft, Event, EventType
from aiflow.graph.execution import ENDED
from aiflow.graph.inputs import takes_first_runs
from aiflow.graph.params import hide, json_text
from aiflow.graph.state import Start
from aiflow.live import Live
from aiflow.runners.base import Ended
from aiflow.store import bulk, lineage, log
from aiflow.store.store import (
    APPEND,
    EVENT_COLUMNS,
    ITEM_ADDED,
    ITEM_COLUMNS,
    JOB_CHANGED,
    JOB_ENDED,
    JOB_RUNNING,
    JOB_SKIPPED,
    Store,
)
from aiflow.tracing import Link, inputs, links, noted, trace
from aiflow.values.codec import Stored

__all__ = ["Recorder", "storable"]

_JOB, _ITEM = str(EventType.JOB_STATUS_CHANGED), str(EventType.STREAM_ITEM)
_NO_START = Start(())


class Recorder:
    """What one turn will write.

    Attributes
    ----------
    head
        The offset of the newest event that is known.
    now
        The time of the turn, in seconds since 1970.
    events
        The events of this turn: our own, and those read of other processes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.head = store.head()
        self.now = 0.0
        self.events: list[Event] = []
        self._rows: list[tuple[Any, ...]] = []
        self._writes: list[tuple[str, tuple[Any, ...]]] = []

    def forget(self, head: int) -> None:
        """Drop everything that was not committed."""
        self.head = head
        self.events, self._rows, self._writes = [], [], []

    def take_events(self) -> list[Event]:
        """Give the events of the turn that was committed, and begin anew."""
        events, self.events = self.events, []
        return events

    def append(self, draft: Draft) -> Event:
        """Give a draft its offset; only inside a turn. It is not routed yet."""
        key, value, kind, namespace, sender, context, execution_id, time, dedupe_key = draft
        self.head = offset = self.head + 1
        if not time:
            time = self.now
        if kind == _ITEM and len(value) == 2:
            text = '{"number":%d,"item":%d}' % (value["number"], value["item"])
        elif kind != _JOB:
            text = json_text(value, f"the value of event {key!r}")
            if isinstance(value, dict | list | tuple):
                value = json.loads(text)  # a copy, and just as everybody else will read it
        elif len(value) == 3:  # the most common event by far
            text = '{"status":"%s","number":%d,"attempt":%d}' % (value["status"], value["number"], value["attempt"])
        else:
            text = json_text(value, "a status")
        self._rows.append((offset, time, key, kind, text, namespace, sender, context, execution_id, dedupe_key))
        event = Event(offset, key, value, kind, namespace, sender, context, execution_id, time)
        self.events.append(event)
        return event

    def append_many(self, draft: Draft, said: Iterable[tuple[str, Any, str]]) -> list[Event]:
        """Give offsets to events that are like a draft but for key and value; with each value comes the same as JSON text."""
        _, _, kind, namespace, sender, context, execution_id, _, _ = draft
        offset, time = self.head, self.now
        rows, events = self._rows, []
        for key, value, text in said:
            offset += 1
            rows.append((offset, time, key, kind, text, namespace, sender, context, execution_id, None))
            events.append(Event(offset, key, value, kind, namespace, sender, context, execution_id, time))
        self.head = offset
        self.events += events
        return events

    def write(self, sql: str, values: tuple[Any, ...]) -> None:
        """Have one statement done with the commit of this turn."""
        self._writes.append((sql, values))

    def write_job(self, live: Live, event: Event, status: str, ended: Ended | None, stored: Stored | None) -> None:
        """Write the row of a job whose status changed; a projection of the event."""
        if live.is_trigger:  # its log is enough
            return
        value = event.value
        number, job, time = value["number"], event.key[4:], event.timestamp
        key = (live.execution_id, job, number)
        if status == "RUNNING":
            vertex, taken = live.plan.vertices[live.plan.by_name[job]], None
            starts = live.state.jobs[vertex.index].starts if value["attempt"] == 1 else None
            start = starts[0] if starts else _NO_START
            offsets = value.get("events") or start.events
            cause = offsets[-1] if offsets else None
            if value["attempt"] == 1 and (live.is_traced or not takes_first_runs(live.state, vertex)):
                taken = inputs(live, vertex, start, partial(self._find_run, live))
            text = noted(taken) if taken else None
            self._writes.append((JOB_RUNNING, (time, cause, value["attempt"], text, *key)))
            if taken and live.is_traced:
                self.link(links(*key, taken), time)
        elif status == "SKIPPED":
            self._writes.append((JOB_SKIPPED, (time, time, storable(value.get("reason")), event.offset, *key)))
        elif status in ENDED:
            error = _error_text(ended, live.secrets)
            kept = stored or (None, None, None, None, None)
            self._writes.append(
                (JOB_ENDED, (status, time, storable(value.get("reason")), error, *kept[:4], storable(kept[4]), *key))
            )
        else:
            self._writes.append(
                (JOB_CHANGED, (status, storable(value.get("reason")), _error_text(ended, live.secrets), *key))
            )

    def _find_run(self, live: Live, start: Start, stream: str, item: int) -> int | None:
        """Look in the log for the run of a stream in which an item was emitted that something starts with."""
        self.flush()  # it may be of this turn
        writer = self._store.writer
        newest = log.newest_item(writer, live.execution_id, stream)  # what a rule starts takes that one
        for event in (*log.by_offsets(writer, start.events), *newest):
            if event.type == _ITEM and event.key == stream and event.value["item"] == item:
                return int(event.value["number"])
        return None

    def link(self, found: Iterable[Link], time: float) -> None:
        """Record that jobs took the values of others; those of other executions are traced, too."""
        writer, pairs = self._store.writer, list(found)
        for source, target in pairs:
            other = source.execution_id
            if other != target.execution_id and not lineage.is_known(writer, other):
                trace(writer, [other])
        self._writes += [(lineage.NODE_ADDED, lineage.node(thing)) for pair in pairs for thing in pair]
        self._writes += [(lineage.EDGE_ADDED, lineage.edge(*pair, time)) for pair in pairs]

    def write_execution(self, live: Live, event: Event, status: str) -> None:
        """Write the row of an execution whose status changed."""
        if live.is_trigger:
            return
        is_over = status in ("SUCCESS", "FAILED", "STOPPED")
        sql = "UPDATE executions SET status = ?, ended = ?, reason = ? WHERE id = ?"
        self._writes.append(
            (
                sql,
                (status, event.timestamp if is_over else None, storable(event.value.get("reason")), live.execution_id),
            )
        )

    def flush(self) -> None:
        """Write all of it; inside the transaction."""
        writer = self._store.writer
        rows, writes = self._rows, self._writes
        if rows:
            if len(rows) == 1:
                writer.execute(APPEND, rows[0])
            else:
                bulk.insert(writer, "events", EVENT_COLUMNS, rows)
            self._rows = []
        if writes:
            i, n = 0, len(writes)
            while i < n:
                sql = writes[i][0]
                j = i + 1
                while j < n and writes[j][0] is sql:
                    j += 1
                if j == i + 1:
                    writer.execute(sql, writes[i][1])
                elif sql is ITEM_ADDED:
                    bulk.insert(writer, "items", ITEM_COLUMNS, [w[1] for w in writes[i:j]])
                else:
                    writer.executemany(sql, [w[1] for w in writes[i:j]])
                i = j
            self._writes = []


def storable(text: str | None) -> str | None:
    """Give a text that came from foreign code without what no database takes: halves of surrogate pairs are spelled out."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _error_text(ended: Ended | None, secrets: Iterable[str]) -> str | None:
    if ended is None or ended.error is None:
        return None
    error = ended.error
    message, trace = hide(error.message, secrets), hide(error.traceback[-20_000:], secrets)
    return json_text({"type": error.type, "message": message, "traceback": trace}, "an error")
