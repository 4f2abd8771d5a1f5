"""Wakes at the right time: timers, and a regular look for what other processes wrote.

Knows nothing of what is done then. One thread, and only while there is something to wait for. When somebody sets the
clock, durations stay what they were, and appointments stay when they were.
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

__all__ = ["Ticker", "Timer"]

logger = logging.getLogger(__name__)
_AGAIN = 0.5
"""Seconds until a timer is tried again that could not be handled because the store could not be written."""
_GLANCE = 1.0
"""Seconds between two glances at the clock: somebody may set it, and the machine may sleep."""
_DRIFT = 1.0
"""Seconds by which the time of day may run away from the time that passes before it counts as set."""
_SLIP = 0.1
"""Seconds between readings of the two clocks that are too many to compare them."""


class Timer:
    """One action that waits for its time.

    Attributes
    ----------
    due
        When, in seconds since 1970; moved when the clock is set, if the timer `measures` a duration.
    action
        What is called; None when that is over, or was cancelled.
    """

    __slots__ = ("action", "due", "measures")

    def __init__(self, due: float, action: Callable[[], Any], measures: bool) -> None:
        self.due, self.measures = due, measures
        self.action: Callable[[], Any] | None = action


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
    pause
        Waits between two looks, for seconds at most; it may come back before, when there is something to see.
    is_driven
        Whether somebody calls `run_next`, so that no thread is needed; nobody looks then.
    """

    def __init__(
        self,
        clock: Clock,
        look: Callable[[], None],
        interval: float = 0.05,
        is_driven: bool = False,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self.clock, self.look, self.interval, self._is_driven = clock, look, interval, is_driven
        self._heap: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._numbers = itertools.count()
        self._ahead = clock.now() - clock.elapsed()  # by how much the time of day is ahead of the time that passes
        self._condition = threading.Condition()
        self._look_wanted = threading.Event()
        self._closing = threading.Event()
        self._pause: Callable[[float], Any] = pause or self._closing.wait
        self._running = 0
        self._watchers = 0
        self._thread: threading.Thread | None = None
        self._looker: threading.Thread | None = None
        self._closed = False

    def at(self, due: float, action: Callable[[], Any], *, measures: bool = True) -> Timer:
        """Call `action` at `due` (seconds since 1970), on the ticker's thread; at once if that is past.

        A timer that `measures` a duration, such as a timeout, is moved along when somebody sets the clock; another one,
        such as an appointment, keeps the time that it was given.
        """
        timer = Timer(due, action, measures)
        with self._condition:
            if self._closed:
                timer.action = None
                return timer
            self._follow()
            heapq.heappush(self._heap, (due, next(self._numbers), timer))
            if self._is_driven:
                return timer
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aiflow-timer", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is timer:
                self._condition.notify()
        return timer

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; one that is over is no longer there."""
        with self._condition:
            if timer.action is None:
                return
            timer.action = None
            self._cancelled += 1
            if self._cancelled > 64 and 2 * self._cancelled > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].action is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def _follow(self) -> None:
        """Move the timers that measure along with a clock that was set; the caller has the lock."""
        clock = self.clock
        before = clock.elapsed()
        ahead = clock.now() - before
        drift = ahead - self._ahead
        if abs(drift) < _DRIFT or clock.elapsed() - before > _SLIP:  # the process may have stood still in between
            return
        self._ahead = ahead
        logger.warning("The clock was set by %.1f s", drift)
        for _, _, timer in self._heap:
            if timer.measures:
                timer.due += drift
        self._heap = [(timer.due, number, timer) for _, number, timer in self._heap]
        heapq.heapify(self._heap)

    def _first(self) -> Timer | None:
        """Give the timer that is next; the caller has the lock."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][2] if heap else None

    def _take_due(self) -> Callable[[], Any] | None:
        with self._condition:
            self._follow()
            timer = self._first()
            if timer is None or timer.due > self.clock.now():
                return None
            heapq.heappop(self._heap)
            self._running += 1
            action, timer.action = timer.action, None
            return action

    def run_due(self) -> bool:
        """Call what is due now; tell whether anything was."""
        ran = False
        while self.run_next():
            ran = True
        return ran

    def run_next(self) -> bool:
        """Call the first of what is due now; tell whether anything was."""
        action = self._take_due()
        if action is None:
            return False
        try:
            action()
        except StoreError as error:  # there may be room on the disk in a while
            if not self._closed:
                logger.error("A timer could not be handled, trying again: %s", error)
                self.at(self.clock.now() + _AGAIN, action)
        except Exception:  # one timer's trouble must not end the others
            logger.exception("A timer failed")
        finally:
            with self._condition:
                self._running -= 1
        return True

    def next_due(self) -> float | None:
        """Give the time of the next timer."""
        with self._condition:
            timer = self._first()
            return None if timer is None else timer.due

    def waiting(self) -> list[Timer]:
        """Give all timers that wait for their time, in no order."""
        with self._condition:
            return [timer for _, _, timer in self._heap if timer.action is not None]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, and nothing that was due is still being done."""
        with self._condition:
            timer = self._first()
            return not self._running and (timer is None or timer.due > self.clock.now())

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
                timer, now = self._first(), self.clock.now()
                if timer is None:
                    self.clock.wait(self._condition, None)
                elif timer.due > now:
                    self.clock.wait(self._condition, min(timer.due, now + _GLANCE))

    def watch(self) -> None:
        """Begin to look regularly; calls are counted."""
        with self._condition:
            self._watchers += 1
            self._look_wanted.set()
            if self._looker is None and not self._closed and not self._is_driven:
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
            self._pause(self.interval)
            if self._closed or not self._watchers:
                continue
            try:
                self.look()
            except Exception:  # a full disk now may be none at the next look
                if self._closed:
                    break
                logger.exception("Looking for events of other processes failed")
        self._pause(0.0)  # whoever is asked to pause may have something to let go of

    def close(self) -> None:
        """End the threads."""
        with self._condition:
            self._closed = True
            self._heap.clear()
            self._look_wanted.set()
            self._closing.set()
            self._condition.notify_all()
