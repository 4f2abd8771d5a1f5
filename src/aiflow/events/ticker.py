"""Wakes at the right time: timers, and a regular look for what other processes wrote.

Knows nothing of what is done then. One thread, and only while there is something to wait for.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

from aiflow.clock import Clock
from aiflow.errors import StoreError

__all__ = ["Ticker"]

logger = logging.getLogger(__name__)
_AGAIN = 0.5
"""Seconds until a timer is tried again that could not be handled because the store could not be written."""


class Ticker:
    """Calls functions at given times, and `look` every `interval` seconds of real time while `watching`.

    Parameters
    ----------
    clock
        Whose time the timers follow.
    look
        Called regularly while `watch` was called more often than `unwatch`.
    interval
        Seconds between two looks.
    """

    def __init__(self, clock: Clock, look: Callable[[], None], interval: float = 0.05) -> None:
        self.clock, self.look, self.interval = clock, look, interval
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._condition = threading.Condition()
        self._look_wanted = threading.Event()
        self._pause = threading.Event()
        self._running = 0
        self._watchers = 0
        self._thread: threading.Thread | None = None
        self._looker: threading.Thread | None = None
        self._closed = False

    def at(self, due: float, action: Callable[[], Any]) -> None:
        """Call `action` at `due` (seconds since 1970), on the ticker's thread; at once if that is past."""
        with self._condition:
            if self._closed:
                return
            heapq.heappush(self._heap, (due, next(self._numbers), action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aiflow-timer", daemon=True)
                self._thread.start()
            elif self._heap[0][0] == due:
                self._condition.notify()

    def run_due(self) -> bool:
        """Call what is due now; tell whether anything was."""
        ran = False
        while True:
            with self._condition:
                if not self._heap or self._heap[0][0] > self.clock.now():
                    return ran
                _, _, action = heapq.heappop(self._heap)
                self._running += 1
            ran = True
            try:
                action()
            except StoreError as error:  # there may be room on the disk in a while
                if self._closed:
                    return ran
                logger.error("A timer could not be handled, trying again: %s", error)
                self.at(self.clock.now() + _AGAIN, action)
            except Exception:  # one timer's trouble must not end the others
                logger.exception("A timer failed")
            finally:
                with self._condition:
                    self._running -= 1

    def next_due(self) -> float | None:
        """Give the time of the next timer."""
        with self._condition:
            return self._heap[0][0] if self._heap else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, and nothing that was due is still being done."""
        with self._condition:
            return not self._running and (not self._heap or self._heap[0][0] > self.clock.now())

    @property
    def is_watching(self) -> bool:
        """Whether `look` is called regularly."""
        return self._watchers > 0

    def _run(self) -> None:
        while not self._closed:
            self.run_due()
            with self._condition:
                if self._closed:
                    return
                due = self._heap[0][0] if self._heap else None
                if due is None or due > self.clock.now():
                    self.clock.wait(self._condition, due)

    def watch(self) -> None:
        """Begin to look regularly; calls are counted."""
        with self._condition:
            self._watchers += 1
            self._look_wanted.set()
            if self._looker is None and not self._closed:
                self._looker = threading.Thread(target=self._watch, name="aiflow-watch", daemon=True)
                self._looker.start()

    def unwatch(self) -> None:
        """End one `watch`."""
        with self._condition:
            self._watchers -= 1
            if not self._watchers:
                self._look_wanted.clear()

    def _watch(self) -> None:
        while not self._closed:
            self._look_wanted.wait()
            self._pause.wait(self.interval)
            if self._closed or not self._watchers:
                continue
            try:
                self.look()
            except Exception:  # a full disk now may be none at the next look
                if self._closed:
                    return
                logger.exception("Looking for events of other processes failed")

    def close(self) -> None:
        """End the threads."""
        with self._condition:
            self._closed = True
            self._heap.clear()
            self._look_wanted.set()
            self._pause.set()
            self._condition.notify_all()
