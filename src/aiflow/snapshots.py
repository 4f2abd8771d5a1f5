"""Keeps the states of executions now and then, so that going on with one reads little of the log.

Knows nothing of what is in a state. A snapshot can be thrown away at any time: the log has everything.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from aiflow.live import Live
from aiflow.turns import Entry

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Snapshots"]

_EACH, _JOBS, _SOME = 1_000, 200, 20
"""After how many events the state of one more execution is kept, how many jobs it may have, and how many may be looked at."""

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

_TABLES = ("executions", "triggers")
_KEEP = {table: f"UPDATE {table} SET snapshot = ?, snapshot_offset = ? WHERE id = ?" for table in _TABLES}
_MOVE = {table: f"UPDATE {table} SET snapshot_offset = ? WHERE id = ?" for table in _TABLES}


class Snapshots:
    """The snapshots of one engine's executions, each in its turn: the cost of an event does not grow with their number."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rotation: deque[str] = deque()
        self.due = engine.record.head + _EACH

    def add(self, live: Live) -> None:
        """Take an execution into the rotation; it falls out of it when it has ended."""
        self._rotation.append(live.execution_id)

    def keep_next(self) -> None:
        """Keep the state of one execution as it is now; only inside a turn, when nothing is left to be said.

        Those in which nothing has happened since cost little: some more of them are said to be as they were.
        """
        engine = self._engine
        self.due = engine.record.head + _EACH
        engine.subscriptions.move_on(engine.record.head - _EACH)
        for _ in range(min(len(self._rotation), _SOME)):
            live = engine.lives.get(self._rotation.popleft())
            if live is not None:
                self._rotation.append(live.execution_id)
                if not live.has_moved:
                    self.keep(live)
                elif len(live.plan) <= _JOBS:
                    self.due += live.state.waiting  # what waits is in it: the more, the seldomer
                    self.keep(live)
                    return

    def keep_all(self, until: int) -> None:
        """Keep the states of what in this process still needs what is before `until`; some in each turn."""
        engine = self._engine

        def apply() -> bool:
            engine.subscriptions.move_on(until)
            left = [live for live in engine.lives.values() if live.needed_after < until]
            for live in left[:_SOME]:
                self.keep(live)
            return len(left) > _SOME

        while engine.submit(Entry(apply)).result:
            threading.Event().wait(0.001)

    def keep(self, live: Live) -> None:
        """Keep the state of an execution; only inside a turn."""
        engine = self._engine
        before, head = (live.snapshot, live.has_moved), engine.record.head
        if live.has_moved or live.snapshot is None or engine.has_touched(live):
            live.snapshot = _encode(live.state.dump()), head
            engine.record.write(_KEEP[live.table], (*live.snapshot, live.execution_id))
        else:
            live.snapshot = live.snapshot[0], head
            engine.record.write(_MOVE[live.table], (head, live.execution_id))
        live.has_moved = False
        engine.undo(partial(_put_back, live, *before))


def _put_back(live: Live, snapshot: tuple[str, int] | None, has_moved: bool) -> None:
    live.snapshot, live.has_moved = snapshot, has_moved
