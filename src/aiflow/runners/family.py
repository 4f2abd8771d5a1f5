"""The processes that a runner starts, and all that those start: how they are marked, and that none of them stays.

Knows nothing of jobs.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiflow.runners import guard

__all__ = ["Family"]


class Family:
    """All processes of one runner.

    Each carries a mark in its environment, and so do its own children, also those that move to another session. When
    this process dies, whatever way, the guard (a small process) kills all that carry the mark. Process groups alone
    would miss those that left them, and `PDEATHSIG` reaches direct children only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._name = secrets.token_hex(8)
        self._guard: subprocess.Popen[bytes] | None = None
        self._count = 0

    def join(self) -> str:
        """Give a new mark: that of one child and all that it starts."""
        if os.getpid() != self._pid:  # a fork founds a family of its own
            self._lock = threading.Lock()
            self._begin()
        with self._lock:
            self._count += 1
            return f"{self._name}.{self._count};"

    def environment(self, mark: str, base: Mapping[str, str]) -> dict[str, str]:
        """Give an environment with the mark; marks of outer families stay, for they must find it as well."""
        return {**base, guard.MARK: base.get(guard.MARK, "") + mark}

    def watch(self) -> None:
        """See to it that the guard runs."""
        if os.name != "posix":
            return
        with self._lock:
            if self._guard is None or self._guard.poll() is not None:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(guard.__file__)), f"{self._name}.", str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,  # an interrupt from the terminal must not reach it
                )

    def sweep(self, mark: str | None = None) -> list[int]:
        """Kill all that carry this mark, or any of this family; give the pids of those that could not be killed."""
        return guard.sweep(mark or f"{self._name}.")

    def wait(self, mark: str, until: float) -> None:
        """Wait until nobody carries this mark any more, or until this moment (of `time.monotonic`)."""
        while guard.members(mark) and time.monotonic() < until:
            time.sleep(0.01)

    def close(self) -> None:
        """Kill all that is left, and the guard."""
        if os.getpid() != self._pid:
            return
        if self._count:
            self.sweep()
        with self._lock:
            if self._guard is not None:
                self._guard.kill()
                self._guard.wait()
                with suppress(OSError):
                    self._guard.stdin.close()  # type: ignore[union-attr]  # it was asked for as a pipe
                self._guard = None
