"""Keeps Python's signal handlers from running in the main thread for a moment: one that raises may land anywhere.

Knows nothing of what is done in that moment. Handlers are put back as they were found, then those that were asked for run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["deferred"]

try:  # those of `signal` look up names of handlers, which takes ten times as long
    from _signal import getsignal as _handler_of  # type: ignore[import-not-found]
    from _signal import signal as _handle
except ImportError:  # another Python
    _handler_of, _handle = signal.getsignal, signal.signal

Handler = Callable[[int, FrameType | None], Any]
_SIGNALS = sorted(
    (n for n in signal.valid_signals() if n not in (getattr(signal, "SIGKILL", 0), getattr(signal, "SIGSTOP", 0))),
    key=lambda n: n == signal.SIGINT,  # the last to be put back, for then it may raise
)


class _Deferral:
    """What stands in for the handlers. Left in place by an exception, it passes on what comes."""

    __slots__ = ("came", "found", "is_on")

    def __init__(self) -> None:
        self.found: list[tuple[int, Handler]] = []
        self.came: list[tuple[int, Handler]] = []
        self.is_on = True

    def begin(self) -> None:
        for number in _SIGNALS:
            handler = _handler_of(number)
            if callable(handler):
                self.found.append((number, handler))
                _handle(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        handler = next(handler for found, handler in self.found if found == number)
        if self.is_on:
            self.came.append((number, handler))
        else:
            handler(number, frame)

    def end(self) -> None:
        for number, handler in self.found:
            _handle(number, handler)

    def call(self) -> None:
        """Call the handlers of signals that came; each, also if one before it raises."""
        while self.came:
            number, handler = self.came.pop(0)
            try:
                handler(number, sys._getframe())
            finally:
                self.call()


def deferred(act: Callable[[], None]) -> None:
    """Call `act` in the main thread, and the handlers of signals that come meanwhile when it has returned.

    Handlers are Python functions that the main thread calls between any two instructions; KeyboardInterrupt is raised by
    one. A mask of the thread would not help: another thread may get the signal, and the main thread call the handler.
    """
    deferral = _Deferral()
    try:
        deferral.begin()
        act()
    finally:
        deferral.is_on = False
        try:
            deferral.end()
        finally:
            deferral.call()
