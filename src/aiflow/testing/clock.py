"""A clock that stands still until a test moves it.

Knows nothing of what waits for a time: the timers of engines that it is told of are passed one by one.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from aiflow.clock import as_datetime, as_timestamp
from aiflow.graph.job import seconds

__all__ = ["ManualClock"]


class ManualClock:
    """A clock that stands still until it is moved.

    Parameters
    ----------
    start
        The time that it shows first.
    patience
        Seconds of real time after which a wait in which nothing happens is given up: nothing would ever come.

    Examples
    --------
    >>> clock = ManualClock()
    >>> before = clock.now()
    >>> clock.advance(60)
    >>> clock.now() - before
    60.0
    """

    stands_still = True

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), patience: float = 1.0) -> None:
        self._now, self.patience = as_timestamp(start), patience
        self._set = 0.0  # by how much it was set
        self._engines: list[Any] = []
        self._guard = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def elapsed(self) -> float:
        """Seconds that have passed: those that it was set by do not count."""
        return self._now - self._set

    @property
    def time(self) -> datetime:
        """What it shows, as a `datetime` in UTC."""
        return as_datetime(self._now)

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """Wait until notified: this clock does not move by itself."""
        condition.wait()

    def attach(self, wake: Any) -> None:
        """Take note of an engine whose timers this clock drives."""
        with self._guard:
            self._engines.append(wake)

    def detach(self, wake: Any) -> None:
        """Forget an engine."""
        with self._guard:
            if wake in self._engines:
                self._engines.remove(wake)

    def advance(self, duration: float | timedelta) -> None:
        """Move on by `duration` seconds, through each timer in turn; run to idle before, between and after."""
        end = round(self._now + seconds(duration, "advance(seconds)"), 6)
        self._settle()
        while True:
            due = [d for engine in self._engines if (d := engine.ticker.next_due()) is not None and d <= end]
            if not due:
                break
            self._now = max(self._now, min(due))
            for engine in list(self._engines):
                engine.on_clock()
            self._settle()
        self._now = end
        self._settle()

    def move_to(self, moment: float) -> None:
        """Show this time (seconds since 1970), which comes after what it shows; nothing is done about it."""
        self._now = max(self._now, moment)

    def jump(self, duration: float | timedelta) -> None:
        """Set the clock on (or back, if negative) by `duration` seconds, as somebody at the machine could: no time passes."""
        ahead = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
        self._settle()
        self._now = round(self._now + ahead, 6)
        self._set += ahead
        for engine in list(self._engines):
            engine.on_clock()
        self._settle()

    def _settle(self) -> None:
        for engine in list(self._engines):
            engine.settle()
