"""Brings committed events to subscribers: in order for each, and none can hold up another.

Knows nothing of the scheduler; it is called after commits, and calls users' callbacks on threads of its own.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from aiflow.errors import StoreError
from aiflow.graph.event import Event

__all__ = ["Deliveries", "EventSource", "Subscription"]

logger = logging.getLogger(__name__)
BACKLOG = 10_000
"""Events kept in memory for a slow subscriber; beyond that it reads them from the log again."""
_THREADS = 16


class EventSource(Protocol):
    """Where past events are read, and where positions and failures are kept."""

    def read(self, wanted: Any, after: int, limit: int) -> list[Event]:
        """Read events after an offset."""

    def join(self, subscription: Subscription) -> bool:
        """Add the subscription to the live ones if it has read everything; done between two commits."""

    def save_position(self, subscription: Subscription, offset: int) -> None:
        """Make a named subscription's position durable."""

    def record_failure(self, offset: int, handler: str, error: str) -> None:
        """Keep a callback's failure."""

    def left(self, subscription: Subscription) -> None:
        """Take note that a subscriber has gone."""


class Subscription:
    """A callback that gets events; a context manager, or `close()` it.

    Attributes
    ----------
    name
        A durable subscription's name: a restart goes on after the last event whose callback returned.
    position
        The offset of the last event that was handed over.
    """

    def __init__(
        self,
        owner: Deliveries,
        callback: Callable[[Event], Any],
        wanted: Any,
        position: int,
        name: str | None,
        namespace: str,
    ) -> None:
        self.callback, self.wanted, self.position, self.name, self.namespace = (
            callback,
            wanted,
            position,
            name,
            namespace,
        )
        self.begin = position
        self._owner = owner
        self._backlog: deque[Event] = deque()
        self._scheduled = False
        self._guard = threading.Lock()
        self._idle = threading.Event()
        self.live = False
        self.closed = False

    @property
    def is_behind(self) -> bool:
        """Whether another thread still reads what was there before it came, or what it could not keep in mind."""
        return not (self.live or self.closed or self._owner._closed or self._owner.is_own_thread())

    def close(self, timeout: float = 5.0) -> None:
        """End the subscription, after what is being handed over (`timeout` seconds at most)."""
        is_first, self.closed = not self.closed, True
        if is_first:
            self._owner.remove(self)
        if self._scheduled and not self._owner.is_own_thread():
            self._idle.wait(timeout)
        if is_first:  # now: what it was at is saved, so that the next one of its name goes on after it
            self._owner.source.left(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<subscription {self.name or getattr(self.callback, '__name__', 'callback')} at offset {self.position}>"


class Deliveries:
    """All subscriptions of one engine, and the few threads that serve them.

    Parameters
    ----------
    source
        Where past events are read.
    later
        Calls something later: whoever does it then delivers, and no threads are needed. Or None.
    """

    def __init__(self, source: EventSource, later: Callable[[Callable[[], Any]], None] | None = None) -> None:
        self.source, self._later = source, later
        self.subscriptions: dict[int, Subscription] = {}
        self._by_key: dict[str, dict[int, Subscription]] = {}
        self._for_all: dict[int, Subscription] = {}
        self._guard = threading.Lock()
        self._ready: deque[Subscription] = deque()
        self._stalled: deque[Subscription] = deque()
        self._wake = threading.Condition()
        self._threads: set[int] = set()
        self._idle = 0
        self._stuck = 0
        self._closed = False

    def add(
        self, callback: Callable[[Event], Any], wanted: Any, position: int, name: str | None, namespace: str, live: bool
    ) -> Subscription:
        """Add a subscription that begins after `position`; `live` if nothing has happened since."""
        subscription = Subscription(self, callback, wanted, position, name, namespace)
        subscription.live = live
        with self._guard:
            self.subscriptions[id(subscription)] = subscription
            for listeners in self._places(subscription):
                listeners[id(subscription)] = subscription
        if not live:
            self._schedule(subscription)
        return subscription

    def _places(self, subscription: Subscription) -> list[dict[int, Subscription]]:
        """Give where a subscription is found: under each key, if it wants some keys only, and no globs."""
        keys = subscription.wanted.exact_keys
        return [self._for_all] if keys is None else [self._by_key.setdefault(key, {}) for key in keys]

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._guard:
            self.subscriptions.pop(id(subscription), None)
            for listeners in self._places(subscription):
                listeners.pop(id(subscription), None)
            for key in subscription.wanted.exact_keys or ():
                if not self._by_key.get(key, True):
                    del self._by_key[key]

    def announce(self, events: Sequence[Event]) -> None:
        """Take note of committed events; called in the order of commits. Who wants other keys only is not even asked."""
        found: dict[int, tuple[Subscription, list[Event]]] = {}
        with self._guard:
            for event in events:
                for listeners in (self._by_key.get(event.key), self._for_all):
                    for own, one in listeners.items() if listeners else ():
                        if one.live and event.offset > one.begin and one.wanted.fits(event):
                            found.setdefault(own, (one, []))[1].append(event)
        for subscription, wanted in found.values():
            with subscription._guard:
                if len(subscription._backlog) > BACKLOG:
                    subscription.live = False  # it reads on from the log, when it has worked off what it has
                else:
                    subscription._backlog.extend(wanted)
            self._schedule(subscription)

    def relieve(self) -> None:
        """Try again those whose events could not be read, and start one more thread if all are held up; called regularly."""
        while self._stalled:
            self._schedule(self._stalled.popleft())
        with self._wake:
            if self._ready and not self._idle:
                self._stuck += 1
                if self._stuck >= 2:
                    self._stuck = 0
                    self._spawn()
            else:
                self._stuck = 0

    def lagging(self) -> list[int]:
        """Give the positions of those that still have to read what they want from the log."""
        return [s.position for s in list(self.subscriptions.values()) if not s.live]

    def at_rest(self, before: int) -> list[Subscription]:
        """Give the named ones that have handled all that was announced, and stand before an offset: they wanted none since."""
        return [
            s
            for s in list(self.subscriptions.values())
            if s.name is not None and s.live and s.position < before and not s._backlog and not s._scheduled
        ]

    def is_idle(self) -> bool:
        """Tell whether every subscriber has handled what it was given."""
        return not any(s._scheduled for s in list(self.subscriptions.values()))

    def is_own_thread(self) -> bool:
        """Tell whether the caller is one of the threads that call callbacks, or might be."""
        return self._later is not None or threading.get_ident() in self._threads

    def _schedule(self, subscription: Subscription) -> None:
        with self._wake:
            if subscription._scheduled or subscription.closed or self._closed:
                return
            subscription._scheduled = True
            subscription._idle.clear()
            if self._later is not None:
                self._later(partial(self._deliver_some, subscription))
                return
            self._ready.append(subscription)
            if self._idle:
                self._wake.notify()
            elif len(self._threads) < _THREADS:
                self._spawn()

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._serve, name="aiflow-delivery", daemon=True)
        thread.start()
        if thread.ident is not None:
            self._threads.add(thread.ident)

    def _serve(self) -> None:
        self._threads.add(threading.get_ident())
        while True:
            with self._wake:
                while not self._ready and not self._closed:
                    self._idle += 1
                    self._wake.wait()
                    self._idle -= 1
                if self._closed:
                    return
                subscription = self._ready.popleft()
            try:
                self._deliver(subscription)
            except Exception:  # the store cannot be read now, or is being closed
                if not self._closed:
                    logger.exception("Delivering events failed")
                with self._wake:
                    subscription._scheduled = False
                    self._stalled.append(subscription)
                subscription._idle.set()

    def _deliver(self, subscription: Subscription) -> None:
        pause = threading.Event()
        while not subscription.closed and not self._closed:
            batch = self._take(subscription)
            for event in batch:
                if subscription.closed or self._closed:
                    break
                self._call(subscription, event)
            if batch:
                pause.wait(0.001)  # events come in bunches: one wake-up for each would slow down who brings them
            elif self._is_done(subscription):
                break
        with self._wake:
            if subscription.closed:
                subscription._scheduled = False
        subscription._idle.set()

    def _deliver_some(self, subscription: Subscription) -> None:
        """Hand over what there is now, and come back later for more."""
        for event in self._take(subscription):
            if not subscription.closed and not self._closed:
                self._call(subscription, event)
        if self._later is not None and not (subscription.closed or self._closed or self._is_done(subscription)):
            self._later(partial(self._deliver_some, subscription))

    def _is_done(self, subscription: Subscription) -> bool:
        """Tell whether there is nothing more to hand over; whoever brings more schedules it again."""
        with self._wake, subscription._guard:
            if subscription.live and not subscription._backlog:
                subscription._scheduled = False
            return not subscription._scheduled

    def _take(self, subscription: Subscription) -> list[Event]:
        with subscription._guard:
            if subscription._backlog:
                batch = list(subscription._backlog)
                subscription._backlog.clear()
                return batch
            if subscription.live:
                return []
        batch = self.source.read(subscription.wanted, subscription.position, 1000)
        if not batch:
            self.source.join(subscription)
        return batch

    def _call(self, subscription: Subscription, event: Event) -> None:
        try:
            subscription.callback(event)
        except (
            BaseException
        ) as error:  # foreign code: recorded and passed over; sys.exit() in it ends no thread of ours
            handler = subscription.name or getattr(subscription.callback, "__qualname__", repr(subscription.callback))
            what, told = "The subscriber %s failed at event %s (offset %d)", {"offset": event.offset, "key": event.key}
            logger.exception(what, handler, event.key, event.offset, extra={"handler": handler, **told})
            self._keep(self.source.record_failure, event.offset, handler, f"{type(error).__name__}: {error}")
        subscription.position = event.offset
        if subscription.name is not None:
            self._keep(self.source.save_position, subscription, event.offset)

    def _keep(self, write: Callable[..., None], *values: Any) -> None:
        """Write something; if that cannot be done now, the event may come again after a restart, and none is lost."""
        try:
            write(*values)
        except StoreError as error:
            if not self._closed:
                logger.error("What a subscriber did could not be recorded: %s", error)

    def close(self) -> None:
        """End all threads; what was not handed over stays in the log."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
