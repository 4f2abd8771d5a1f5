"""Tells plugins what this process has committed: batch after batch, in order, on one worker at a time.

Knows nothing of what plugins do with it, nor of what is told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from aiflow.graph.event import Event

__all__ = ["Telling"]


class Telling:
    """What plugins have not been told yet.

    Parameters
    ----------
    tell
        Tells one batch; nothing that a plugin raises escapes it.
    later
        Has something called on a worker.
    """

    def __init__(self, tell: Callable[[list[Event]], None], later: Callable[[Callable[[], Any]], None]) -> None:
        self._tell, self._later = tell, later
        self._untold: deque[list[Event]] = deque()
        self._guard = threading.Condition()
        self._teller = 0  # the thread that tells just now

    @property
    def is_idle(self) -> bool:
        """Whether everything has been told."""
        return not self._untold

    def wait(self, timeout: float) -> None:
        """Wait until everything has been told, some seconds at most; a plugin that waits here itself has to do without."""
        with self._guard:
            if self._teller != threading.get_ident():
                self._guard.wait_for(lambda: not self._untold, timeout)

    def add(self, events: list[Event]) -> None:
        """Have a batch told after those before it."""
        with self._guard:
            self._untold.append(events)
            if len(self._untold) > 1:  # whoever tells these goes on with it
                return
        self._later(self._tell_all)

    def _tell_all(self) -> None:
        self._teller = threading.get_ident()
        while True:
            self._tell(self._untold[0])
            with self._guard:
                self._untold.popleft()
                if not self._untold:
                    self._teller = 0
                    self._guard.notify_all()
                    return
