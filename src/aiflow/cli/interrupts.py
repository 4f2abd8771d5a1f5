"""Makes SIGINT and SIGTERM stop what runs: gracefully the first time, at once the second time.

Knows nothing of what runs, but that it can be stopped. Stopping takes turns of the engine, which must not be done in a
signal handler: the signal only wakes a thread, through a socket.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AT_ONCE = 0.01
"""Seconds: signals that come so close are one; `timeout`, for one, sends to the process and to its group."""


class Interrupts:
    """A context manager for the main thread.

    Parameters
    ----------
    has_work
        Whether there is anything to stop; if not, the signal does what it did before.
    stop
        Called on a thread at the first signal.
    abandon
        Called on that thread at the second one, with the exit code; does not return, but ends the process. Whatever the
        main thread comes to meanwhile does not count: it is held at the end of the ``with``.
    """

    def __init__(self, has_work: Callable[[], bool], stop: Callable[[], None], abandon: Callable[[int], None]) -> None:
        self._has_work, self._stop, self._abandon = has_work, stop, abandon
        self.exit_code: int | None = None
        self._came = 0.0
        self._before: dict[signal.Signals, Any] = {}
        self._stopping: threading.Thread | None = None
        self._is_given_up = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are the main thread's business
        wanted = [
            number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
        ]  # nohup, or a shell's &
        if not wanted:
            return self
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        for number in wanted:
            self._before[number] = signal.signal(number, self._handle)
        self._wakeup = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="aiflow-interrupts", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_given_up:
            threading.Event().wait()  # for the other thread, which ends this process
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._writing.close()  # ends the thread

    def _handle(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(signal.Signals(number))
        if self.exit_code is None and not self._has_work() and callable(before):
            before(number, frame)

    def _watch(self) -> None:
        with self._reading:
            while received := self._reading.recv(16):
                for number in received:
                    if number in _SIGNALS:
                        self._take(number)

    def _take(self, number: int) -> None:
        code = 128 + number
        if self.exit_code is not None:
            if time.monotonic() - self._came > _AT_ONCE:
                self._is_given_up = True
                self._abandon(code)
        elif self._has_work():
            self.exit_code, self._came = code, time.monotonic()
            self._stopping = threading.Thread(target=self._stop, name="aiflow-stopping", daemon=True)
            self._stopping.start()
