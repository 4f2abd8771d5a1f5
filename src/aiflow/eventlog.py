"""The event log as users see it: `project.events`.

Knows nothing of turns; it reads the store, and follows it.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime, as_timestamp
from aiflow.errors import OffsetPruned, ParameterError
from aiflow.graph.card import Card, HasCard, Listing, Note, listed
from aiflow.graph.event import Event
from aiflow.keep import Keep
from aiflow.store import log
from aiflow.store.log import EventFilter

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.pruning import Pruned

__all__ = ["EventLog"]

Texts = str | Iterable[str] | None
_READING = 0.01
"""Seconds between two looks whether who follows has read the past."""
_SHOWN = 20
"""How many events notebooks show of the log."""
_ADVICE = "say since='start' for what is left"


class EventLog(HasCard):
    """Questions to the log of all events; got as `project.events`. Notebooks show the newest ones."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __repr__(self) -> str:
        return f"<events of project {self._project.name}>"

    def _card(self) -> Card:
        after, count = self._project._store.pruned_until, self.count()
        newest = log.select(self._reader(), EventFilter(), after, limit=_SHOWN, newest=True)
        left = [Note(f"… and {count - len(newest)} older ones")] if count > len(newest) else []
        return Card(kind="events of project", name=self._project.name, parts=[listed(newest, "event"), *left])

    def list(
        self,
        keys: Texts = None,
        types: Texts = None,
        namespaces: Texts = None,
        senders: Texts = None,
        since: int | str | datetime | None = None,
        until: int | datetime | None = None,
        limit: int | None = None,
    ) -> list[Event]:
        """Give events in their order.

        Parameters
        ----------
        keys, types, namespaces, senders
            A glob or several; None for all.
        since
            An offset (exclusive), a `datetime`, ``"start"`` (default) or ``"now"``.
        until
            An offset (inclusive) or a `datetime`.
        limit
            How many at most, from the oldest.
        """
        wanted = EventFilter(keys, types, namespaces, senders)
        found = log.select(self._reader(), wanted, self.position(since, "start"), self._until(until), _limit(limit))
        return Listing(found, "event")

    def count(
        self,
        keys: Texts = None,
        types: Texts = None,
        namespaces: Texts = None,
        senders: Texts = None,
        since: int | str | datetime | None = None,
        until: int | datetime | None = None,
    ) -> int:
        """Count events; the parameters are those of `list`."""
        wanted = EventFilter(keys, types, namespaces, senders)
        return log.count(self._reader(), wanted, self.position(since, "start"), self._until(until))

    def latest(self, key: str = "*", **filters: Any) -> Event | None:
        """Give the newest event of a key, or None."""
        after = self._project._store.pruned_until
        found = log.select(self._reader(), EventFilter(key, **filters), after, limit=1, newest=True)
        return found[0] if found else None

    def failed(self, limit: int | None = None) -> Sequence[dict[str, Any]]:
        """Give the events that a subscriber or the scheduler could not handle, oldest first.

        Returns
        -------
        Sequence
            Dicts with `event` (None if it was pruned), `offset`, `handler`, `error` and `time`.
        """
        rows = self._project._store.rows(
            "SELECT offset, handler, error, time FROM failed_events ORDER BY id LIMIT ?",
            (-1 if limit is None else limit,),
        )
        return [
            {"event": self.get(offset), "offset": offset, "handler": handler, "error": error, "time": as_datetime(time)}
            for offset, handler, error, time in rows
        ]

    def get(self, offset: int) -> Event | None:
        """Give the event at an offset, or None."""
        found = log.by_offsets(self._reader(), (offset,))
        return found[0] if found else None

    def offset_at(self, moment: datetime) -> int:
        """Give the offset of the last event before a time; 0 if there is none."""
        return log.offset_at(self._reader(), as_timestamp(moment))

    def follow(
        self,
        keys: Texts = None,
        types: Texts = None,
        namespaces: Texts = None,
        senders: Texts = None,
        since: int | str | datetime | None = None,
        timeout: float | None = None,
    ) -> Following:
        """Go through events as they come, in a `for` or an `async for`.

        Parameters
        ----------
        timeout
            Seconds without any event after which it ends; None for never. Those of the past are given in any case.
        """
        return Following(self._project, keys, types, namespaces, senders, self.position(since, "now"), timeout)

    def position(self, since: int | str | datetime | None, default: str) -> int:
        """Turn a `since` into an offset.

        Raises
        ------
        OffsetPruned
            If the log was pruned past it.
        """
        since = default if since is None else since
        store = self._project._store
        if since == "now":
            return store.head()
        pruned = store.pruned_until
        if since == "start":
            return pruned
        if isinstance(since, datetime):
            return self._position_at(since, pruned)
        if isinstance(since, bool) or not isinstance(since, int) or not 0 <= since < 2**63:
            raise ParameterError(f"since must be 'start', 'now', an offset or a datetime, not {since!r}")
        if since < pruned:
            raise OffsetPruned(f"since={since}", since, pruned, _ADVICE)
        return since

    def _position_at(self, moment: datetime, pruned: int) -> int:
        found = self.offset_at(moment)
        if found >= pruned:
            return found
        if as_timestamp(moment) > float(self._project._store.meta("pruned_time") or 0.0):
            return pruned  # nothing happened between
        raise OffsetPruned(f"since={moment.isoformat()}", None, pruned, _ADVICE)

    def prune(self, before: int | datetime) -> Pruned:
        """Delete the events before an offset or a time, as far as nobody needs them.

        What running and interrupted executions, triggers, schedules and durable subscriptions still need stays, and so
        does the newest event. Executions that have ended stay as they are, but one that did not succeed cannot be
        resumed if its events are gone.

        Parameters
        ----------
        before
            An offset (that event stays), or a `datetime`.

        Returns
        -------
        Pruned
            What went, and who needs the log from further back.
        """
        from aiflow.pruning import Pruner

        if isinstance(before, datetime):
            before = self.offset_at(before) + 1
        if isinstance(before, bool) or not isinstance(before, int) or not 0 <= before < 2**63:
            raise ParameterError(f"before must be an offset or a datetime, not {before!r}")
        project = self._project
        project._check_open()
        return Pruner(project._store, project._clock, project._shared.engine, Keep(), before=before).run()

    def _until(self, until: int | datetime | None) -> int | None:
        if isinstance(until, datetime):
            return self.offset_at(until)
        if until is not None and (isinstance(until, bool) or not isinstance(until, int)):
            raise ParameterError(f"until must be an offset or a datetime, not {until!r}")
        return until

    def _reader(self) -> Any:
        return self._project._store.reader()


def _limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ParameterError(f"limit must be a whole number ≥ 0, not {limit!r}")
    return limit


class Following:
    """Events as they come; it ends with `close`, and when nobody has it any more: after the loop that it was made for."""

    def __init__(
        self,
        project: Project,
        keys: Texts,
        types: Texts,
        namespaces: Texts,
        senders: Texts,
        since: int,
        timeout: float | None,
    ) -> None:
        events: deque[Event] = deque()
        bell = threading.Event()

        def take(event: Event) -> None:  # knows nothing of the Following, so that it can be forgotten
            events.append(event)
            bell.set()

        self._events, self._bell, self._timeout = events, bell, timeout
        self._subscription = project.subscribe(
            take, keys=keys, types=types, namespaces=namespaces, senders=senders, since=since
        )
        self._end = weakref.finalize(self, self._subscription.close, 0.0)
        self._end.atexit = False

    def close(self) -> None:
        """Stop following; what has come until now is still given."""
        self._end()
        self._bell.set()

    def _next(self) -> Event | None:
        while True:
            try:
                return self._events.popleft()
            except IndexError:
                if self._subscription.closed:
                    return None
            self._bell.clear()
            if self._events or self._subscription.closed:
                continue
            if self._bell.wait(self._timeout) or self._events:
                continue
            if self._subscription.is_behind:  # it is the reading that takes so long
                self._bell.wait(_READING)
            else:
                self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self._next()
        if event is None:
            raise StopIteration
        return event

    async def _follow(self) -> AsyncIterator[Event]:
        try:
            while (event := await asyncio.to_thread(self._next)) is not None:
                yield event
        finally:
            self.close()  # the thread that waits would hold up the end of the loop

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._follow()
