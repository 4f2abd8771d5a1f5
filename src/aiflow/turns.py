"""Says who holds the turn: one thread at a time, the one that brings something to do; there is no thread just for that.

Knows nothing of what is done in a turn. Who finds the turn taken leaves its entry and parks; the holder does it along.
In the main thread a KeyboardInterrupt could land in the middle of a turn, so signals are deferred; where it would have to
wait for other processes, it parks, and an usher holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from aiflow.deferring import deferred
from aiflow.errors import AIFlowError, StoreError

__all__ = ["Busy", "Courtesy", "Entry", "Turns"]

logger = logging.getLogger(__name__)
_MAIN = threading.main_thread().ident
_ENTRIES = 500
_TURNS = 4
_LEFT = 16
_BUSY, _MOMENT = 0.02, 0.001
"""Seconds after which who has been busy all the time leaves the store to others, and for how many."""


class Busy(Exception):
    """Another process is writing, and who holds the turn must not wait for it: nothing has been done."""


class Courtesy:
    """When to leave the store to others: whoever works without a pause leaves it free for a moment now and then.

    Without that, those who wait for it, and try again each half millisecond, would hardly ever find it free.

    Parameters
    ----------
    now, sleep
        Give the time that passes, in seconds, and wait for some of it.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now, self._sleep = now, sleep
        self._left = self._busy_since = float("-inf")

    def give_way(self) -> None:
        """Wait for a moment, if the store was not left free for one in all the last time; before it is locked."""
        now = self._now()
        if now - self._left >= _MOMENT:
            self._busy_since = now
        elif now - self._busy_since >= _BUSY:
            self._sleep(_MOMENT)
            self._busy_since = now

    def left(self) -> None:
        """Take note that the store was left just now."""
        self._left = self._now()


class Entry:
    """One thing that somebody brought to be done in a turn: `apply` is called inside the transaction."""

    __slots__ = ("apply", "error", "finished", "held", "is_left", "is_main", "lead", "nap", "result")

    def __init__(self, apply: Callable[[], Any]) -> None:
        self.apply = apply
        self.held = False  # whether who brought it held the turn
        self.is_main = False  # whether the main thread brought it
        self.finished = self.lead = False
        self.is_left = False  # whether nobody waits for it
        self.result: Any = None
        self.error: BaseException | None = None
        self.nap: Any = None

    def finish(self) -> None:
        """Wake who waits for it."""
        self.finished = True
        if self.nap is not None:
            _release(self.nap)


class Turns:
    """The right to hold a turn, and the entries that wait for one.

    Parameters
    ----------
    do
        Does some entries: sets their results or errors, and finishes them. Called on one thread at a time. Raises
        `Busy` if it would have to wait for another process while `may_wait` is False.
    """

    def __init__(self, do: Callable[[list[Entry]], None]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._inbox: deque[Entry] = deque()
        self._usher: threading.Thread | None = None
        self._bell = threading.Semaphore(0)
        self._holder: int | None = None
        self.held = 0  # how many turns are over
        self.closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for a turn."""
        return not self._inbox and self._holder is None

    @property
    def may_wait(self) -> bool:
        """Whether who holds the turn can wait for other processes: the main thread could not be interrupted."""
        return self._holder != _MAIN

    def submit(self, entry: Entry) -> Entry:
        """Have `entry` done in a turn; return when it is. Raises what its `apply` raised.

        Raises
        ------
        StoreError
            If the project is closed, or the store cannot be written; nothing of the entry is.
        """
        if self.closed:
            raise StoreError("the project is closed")
        me = threading.get_ident()
        if self._holder == me:
            raise AIFlowError("a turn cannot begin inside a turn: this is a fault of aiflow")
        if me == _MAIN:
            entry.is_main = True
            deferred(partial(self._bring, entry, me))
        else:
            self._bring(entry, me)
        if not entry.finished:
            self._wait(entry)
        if entry.error is not None:
            raise entry.error
        return entry

    def _bring(self, entry: Entry, me: int) -> None:
        """Leave an entry; if nobody holds the turn, hold it. Who holds it will find the entry."""
        self._inbox.append(entry)
        if self.closed:  # meanwhile: nobody may look into the inbox any more
            self._refuse()
        elif self._lock.acquire(False):
            entry.held = True
            self._hold(me)

    def leave(self, entry: Entry, may_wait: bool = False) -> Entry:
        """Have `entry` done in a turn, and go on: who holds the turn now does it; if nobody does, it is done at once.

        `may_wait`: whoever holds the next turn will do; somebody is about to, or `nudge` is called.

        Raises
        ------
        StoreError
            If the project is closed.
        """
        if self.closed:
            raise StoreError("the project is closed")
        entry.is_left = True
        self._inbox.append(entry)
        if self.closed:
            self._refuse()
        elif not may_wait or len(self._inbox) >= _LEFT:
            self.nudge()
        return entry

    def nudge(self) -> None:
        """Do what was left, if nobody holds a turn."""
        me = threading.get_ident()
        if self._inbox and me == _MAIN:
            self._call_usher()
        elif self._inbox and self._holder != me and self._lock.acquire(False):
            self._hold(me)

    def wait(self, entry: Entry) -> None:
        """Wait until an entry that was left has been done."""
        entry.is_left = False
        self.nudge()
        self._wait(entry)

    def _wait(self, entry: Entry) -> None:
        while not entry.finished:
            nap = threading.Lock()
            nap.acquire()
            entry.nap = nap
            if entry.finished:
                return
            if not entry.lead:
                nap.acquire()
            if entry.lead:
                entry.lead, entry.nap = False, None
                if self._lock.acquire(False):
                    entry.held = True
                    self._hold(threading.get_ident())

    def _call_usher(self) -> None:
        if self._usher is None:
            self._usher = threading.Thread(target=self._ush, name="aiflow-usher", daemon=True)
            self._usher.start()
        self._bell.release()

    def _ush(self) -> None:
        while not self.closed:
            self._bell.acquire()
            if self._inbox and self._lock.acquire(False):
                self._hold(threading.get_ident())

    def _hold(self, me: int) -> None:
        """Hold turns until the inbox is empty, or for as long as is fair; the caller has the lock, and loses it."""
        turns = 0
        inbox = self._inbox
        while True:
            self._holder = me
            try:
                while inbox and turns < _TURNS:
                    turns += 1
                    self._once()
                    self.held += 1
            except Busy:
                turns = _TURNS
            finally:
                self._holder = None
                self._lock.release()
            if not inbox:  # looked at after the release: who came in between has found the lock free, or is seen here
                return
            if turns >= _TURNS:
                self._pass_on()
                return
            if not self._lock.acquire(False):
                return

    def _once(self) -> None:
        inbox = self._inbox
        if self.closed:
            self._refuse()
            return
        entries = [inbox.popleft()]
        while inbox and len(entries) < _ENTRIES:
            entries.append(inbox.popleft())
        try:
            self._do(entries)
        except Busy:
            inbox.extendleft(entry for entry in reversed(entries) if not entry.finished)
            raise
        except BaseException as error:
            logger.exception("A turn failed")
            for entry in entries:
                if not entry.finished:
                    entry.error = entry.error or error
                    entry.finish()

    def _pass_on(self) -> None:
        """Let the first of those who wait hold the next turns; the main thread may be gone, by an interrupt."""
        waiting = list(self._inbox)
        if not waiting:
            return
        entry = next((e for e in waiting if not e.is_left), None)
        if entry is None or entry.is_main:
            self._call_usher()
            return
        entry.lead = True
        if entry.nap is not None:
            _release(entry.nap)

    def pause(self) -> None:
        """Keep everybody from holding a turn, until `go_on` or `abandon`; for a fork."""
        self._lock.acquire()

    def go_on(self) -> None:
        """End the pause."""
        self._lock.release()
        if self._inbox:  # who came meanwhile has parked
            self._call_usher()

    def abandon(self) -> None:
        """End the pause in a forked child: the threads that waited are not here."""
        self.closed = True
        self._inbox.clear()
        self._lock.release()

    def close(self) -> None:
        """Let nobody in any more, after the turn that is held now."""
        with self._lock:
            self.closed = True
        self._bell.release()
        self._refuse()

    def _refuse(self) -> None:
        """Tell those who have come too late, and those who have waited too long."""
        while True:
            try:
                entry = self._inbox.popleft()
            except IndexError:  # several threads may be at it
                return
            entry.error = StoreError("the project is closed")
            entry.finish()


def _release(nap: Any) -> None:
    try:
        nap.release()
    except RuntimeError:  # it was woken already
        return
