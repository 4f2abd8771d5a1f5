"""Runs jobs in processes of their own, one child per running job, kept warm in between.

Knows nothing of how a child is talked to (keeper) or of what runs in it (child).
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from aiflow.errors import RunnerError
from aiflow.runners.base import RunnerHost, Work
from aiflow.runners.family import Family
from aiflow.runners.keeper import Done, Keeper, key_of

__all__ = ["ProcessRunner"]


class ProcessRunner:
    """The runner ``"process"``.

    Whatever a job does to its process (a crash, ``os._exit``, no memory left), only that job fails. A job succeeds
    by giving a result, never by its process ending. Values travel by `values.codec`, exceptions as text.

    Stopping: `af.current().stopping` turns true at once; a function that goes on gets SIGTERM (which raises
    `af.Stopped` in it) with its whole process group after half of its `stop_timeout`, and SIGKILL at the end of it.
    What a stopped job has started is killed, also what has moved to a session of its own.

    A child that waits is used again, the latest first, with its folder, environment and `sys.path` put back. It is
    replaced when those of this process or a file of the user have changed, and ends after `idle_timeout` seconds.

    Parameters
    ----------
    host
        The project it works for.
    idle_timeout
        After how many seconds without a job a child ends.
    """

    runs_in_place = False

    def __init__(self, host: RunnerHost, *, idle_timeout: float = 60.0) -> None:
        if os.name != "posix":
            raise RunnerError("process jobs need Linux or macOS; here, use runner 'thread' or 'command'")
        self.host, self.idle_timeout = host, idle_timeout
        self.capacity: int | None = host.workers
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self.family = Family()
        self._pid = os.getpid()
        self._keepers: set[Keeper] = set()
        self._idle: list[Keeper] = []
        self._busy: dict[tuple[Any, ...], Keeper] = {}
        self._count = 0
        self._is_closed = False

    def start(self, work: Work, done: Done) -> None:
        """Give the work to a child that waits, or to a new one; `done` is called on the thread of its keeper.

        Raises
        ------
        RunnerError
            If the runner is closed.
        """
        if os.getpid() != self._pid:  # this is a fork: the keepers' threads did not come along
            self._lock = threading.Lock()
            self._begin()
        with self._lock:
            if self._is_closed:
                raise RunnerError(f"job {work.key.job!r} cannot start: the process runner is closed")
            keeper = self._choose()
            self._busy[key_of(work)] = keeper
            keeper.tell("start", work, done)

    def _choose(self) -> Keeper:
        """Take the keeper that became idle last; one that is still reporting a job's end only if it is the only one."""
        for keeper in reversed(self._idle):
            if not keeper.is_reporting:
                self._idle.remove(keeper)
                return keeper
        if self._idle:
            return self._idle.pop()
        self._count += 1
        keeper = Keeper(self, self._count)
        keeper.start()
        self._keepers.add(keeper)
        return keeper

    def stop(self, work: Work) -> None:
        """Ask the work to stop; see the class for what follows. Does nothing if it is over."""
        with self._lock:
            keeper = self._busy.get(key_of(work))
            if keeper is not None:
                keeper.tell("stop", work)

    def ended(self, keeper: Keeper, work: Work) -> bool:
        """Learn from a keeper that a work is over; tell whether its end is still wanted."""
        with self._lock:
            self._busy.pop(key_of(work), None)
            self._idle.insert(len(self._idle) if keeper.has_child else 0, keeper)  # a warm one is taken first
            return not self._is_closed

    def lets_go(self, keeper: Keeper) -> bool:
        """Let an idle keeper leave, unless it was given work meanwhile."""
        with self._lock:
            if keeper.orders:
                return False
            self._keepers.discard(keeper)
            if keeper in self._idle:
                self._idle.remove(keeper)
            return True

    def close(self, patience: float = 3.0) -> None:
        """End all children with all that they started; what was running is not reported any more."""
        with self._lock:
            if self._is_closed or os.getpid() != self._pid:
                return
            self._is_closed = True
            keepers = list(self._keepers)
        for keeper in keepers:
            keeper.tell("close")
        end = time.monotonic() + patience
        for keeper in keepers:
            if keeper is not threading.current_thread():
                keeper.join(max(0.0, end - time.monotonic()))
        self.family.close()
