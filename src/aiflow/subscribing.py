"""Subscriptions as the engine keeps them: begun between two commits, with a position if they have a name.

Knows nothing of how events reach a callback (that is `events/deliveries`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.errors import Conflict
from aiflow.events.deliveries import Deliveries, Subscription
from aiflow.graph.event import Event
from aiflow.store import log
from aiflow.store.log import EventFilter
from aiflow.turns import Entry

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Subscriptions"]

_MOVE = "UPDATE subscriptions SET position = ?, updated = ? WHERE namespace = ? AND name = ?"
_NEW_NAME = "subscribe with since='start' for what is left, under another name if this one has a position"
_MOST = 20
"""How many positions are moved on in one turn."""


class Subscriptions:
    """The subscriptions of one engine; where `deliveries` reads past events, and keeps positions and failures.

    Parameters
    ----------
    engine
        Whose turns are taken.
    later
        Has something called on a worker, if no thread may do it by itself; or None.
    """

    def __init__(self, engine: Engine, later: Callable[[Callable[[], Any]], None] | None) -> None:
        self._engine, self._store = engine, engine.store
        self.deliveries = Deliveries(self, later)

    def subscribe(
        self, callback: Callable[[Event], Any], wanted: EventFilter, since: int | None, name: str | None, namespace: str
    ) -> Subscription:
        """Add a subscription that begins after `since` (None: now).

        Raises
        ------
        Conflict
            If one of that name is open already, here or in another process.
        """
        if name is not None:
            self._hold_name(namespace, name)
        try:
            apply = partial(self._begin, callback, wanted, since, name, namespace)
            subscription: Subscription = self._engine.submit(Entry(apply)).result
        except BaseException:
            if name is not None:
                self._store.names.free(namespace, name)
            raise
        self._engine.ticker.watch()
        return subscription

    def _begin(
        self, callback: Callable[[Event], Any], wanted: EventFilter, since: int | None, name: str | None, namespace: str
    ) -> Subscription:
        record = self._engine.record
        start, position = record.head if since is None else since, since
        if name is not None:
            sql = "SELECT position FROM subscriptions WHERE namespace = ? AND name = ?"
            row = self._store.writer.execute(sql, (namespace, name)).fetchone()
            if row is not None:
                start = position = row[0]
            if position is not None:
                self._store.check_reaches(position, f"the subscription {name!r}", _NEW_NAME)
            if row is None:
                record.write("INSERT INTO subscriptions VALUES (?, ?, ?, ?)", (namespace, name, start, record.now))
        is_new = position is None or start >= record.head
        added = self.deliveries.add(callback, wanted, start, name, namespace, live=is_new)
        self._engine.undo(lambda: self.deliveries.remove(added))
        return added

    def _hold_name(self, namespace: str, name: str) -> None:
        """Hold the name of a durable subscription: it has one position, so two could not share it."""
        holder = self._store.names.hold(namespace, name)
        if holder is not None:
            raise Conflict(
                f"the subscription {name!r} of {namespace!r} is open already, in {holder}, and a name has one position in "
                "the log: close that one first, or give this one another name"
            )

    def read(self, wanted: EventFilter, after: int, limit: int) -> list[Event]:
        """Read past events for a subscriber."""
        return log.select(self._store.reader(), wanted, after, limit=limit)

    def join(self, subscription: Subscription) -> bool:
        """Between two commits: if the subscriber has read everything, it is fed from now on."""

        def apply() -> bool:
            if not log.select(self._store.writer, subscription.wanted, subscription.position, limit=1):
                subscription.live = True
            return subscription.live

        return bool(self._engine.submit(Entry(apply)).result)

    def left(self, subscription: Subscription) -> None:
        """A subscriber has gone."""
        if subscription.name is not None:
            self._store.names.free(subscription.namespace, subscription.name)
        self._engine.ticker.unwatch()

    def save_position(self, subscription: Subscription, offset: int) -> None:
        """Make a named subscription's position durable."""
        record, own = self._engine.record, (subscription.namespace, subscription.name)
        self._engine.submit(Entry(lambda: record.write(_MOVE, (offset, record.now, *own))))

    def record_failure(self, offset: int, handler: str, error: str) -> None:
        """Keep what a subscriber could not handle."""
        record, sql = (
            self._engine.record,
            "INSERT INTO failed_events (offset, handler, error, time) VALUES (?, ?, ?, ?)",
        )
        self._engine.submit(Entry(lambda: record.write(sql, (offset, handler, error, record.now))))

    def move_on(self, before: int) -> None:
        """Move positions on over events that were announced and not wanted; only inside a turn."""
        record = self._engine.record
        told = record.events[0].offset - 1 if record.events else record.head
        for one in self.deliveries.at_rest(min(before, told))[:_MOST]:
            self._engine.undo(partial(setattr, one, "position", one.position))
            one.position = told
            record.write(_MOVE, (told, record.now, one.namespace, one.name))
