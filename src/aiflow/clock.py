"""Owns the time: the only place of aiflow that asks what time it is.

Knows nothing of events, jobs or stores. Times are seconds since 1970 in UTC, as `float`, inside; aware `datetime` outside.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

__all__ = ["PATIENCE", "Clock", "SystemClock", "as_datetime", "as_timestamp"]

PATIENCE = 5.0
"""Seconds of quiet after which it is said what is waited for (rule 20)."""


class Clock(Protocol):
    """What the rest of aiflow needs to know of time.

    Attributes
    ----------
    patience
        Seconds of real time in which nothing happens, after which who waits says what for.
    stands_still
        Whether it moves only when somebody moves it.
    """

    patience: float
    stands_still: bool

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""

    def elapsed(self) -> float:
        """Return seconds since some moment; they pass evenly, whatever somebody sets the time of day to."""

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """Wait on `condition` (held by the caller) until it is notified or the time is `until`."""

    def attach(self, wake: object) -> None:
        """Be told of an engine (`on_clock()` is called when a manual clock was moved)."""

    def detach(self, wake: object) -> None:
        """Forget that engine."""


_AWAKE = 0.0003
"""Seconds before an appointment that are spent awake: the kernel wakes a sleeper a fifth of a millisecond late."""

# Time that the machine sleeps counts: CLOCK_BOOTTIME on Linux and CLOCK_MONOTONIC on macOS, where time.monotonic omits it.
_STEADY = next((getattr(time, name) for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC") if hasattr(time, name)), None)


class SystemClock:
    """The machine's own clock.

    Parameters
    ----------
    patience
        See `Clock`.
    """

    stands_still = False

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic if _STEADY is None else partial(time.clock_gettime, _STEADY))

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """Wait on `condition` until notified or `until`, whichever comes first; it is free in the last moment before `until`."""
        if until is None:
            condition.wait()
            return
        left = until - time.time()
        if left > _AWAKE and condition.wait(left - _AWAKE):
            return
        condition.release()
        try:
            while 0 < until - time.time() <= _AWAKE:  # else somebody has set the clock
                time.sleep(0)  # other threads may want the interpreter
        finally:
            condition.acquire()

    def attach(self, wake: object) -> None:
        """Nothing to do: the machine's clock moves by itself."""

    def detach(self, wake: object) -> None:
        """Nothing to do: the machine's clock moves by itself."""


def as_datetime(timestamp: float) -> datetime:
    """Turn seconds since 1970 into an aware `datetime` in UTC.

    Examples
    --------
    >>> as_datetime(0.0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(timestamp, UTC)


def as_timestamp(moment: datetime) -> float:
    """Turn a `datetime` into seconds since 1970; a naive one is taken as local time.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> as_timestamp(datetime(1970, 1, 2, tzinfo=UTC))
    86400.0
    """
    return moment.timestamp()
