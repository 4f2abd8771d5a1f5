"""What a job finds around it in a process: folder, environment, limits; put back before the next job gets it.

Knows nothing of jobs.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

__all__ = ["Surroundings", "here"]

_LIMITS = ("AS", "CORE", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")


def here() -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    """Give what a child process takes over from this one when it starts: folder, `sys.path` and environment."""
    try:
        folder: str | None = os.getcwd()
    except FileNotFoundError:  # it was deleted
        folder = None
    return folder, tuple(p for p in sys.path if isinstance(p, str)), dict(os.environ)


class Surroundings:
    """The surroundings of a process as they were when it was `remember`-ed."""

    def remember(self) -> None:
        """Take down how things are."""
        self._folder, self._path, self._environment = here()
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._depth = sys.getrecursionlimit()
        self._umask = _umask()
        self._limits = _limits()

    def restore(self) -> None:
        """Put back what a job has changed."""
        if self._folder is not None:
            with suppress(OSError):
                os.chdir(self._folder)
        if tuple(sys.path) != self._path:
            sys.path[:] = self._path
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        sys.setrecursionlimit(self._depth)
        os.umask(self._umask)

    def flush(self) -> None:
        """Write out what was printed, also where a job has put another stream in place."""
        for stream in {sys.stdout, sys.stderr, *self._streams[1:]}:
            with suppress(Exception):  # somebody's stream, or None
                stream.flush()

    def is_spoiled(self) -> bool:
        """Tell whether a job has changed what cannot be put back: a limit that was lowered stays low."""
        return _limits() != self._limits


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _limits() -> list[tuple[int, int]]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    return [resource.getrlimit(getattr(resource, f"RLIMIT_{n}")) for n in _LIMITS if hasattr(resource, f"RLIMIT_{n}")]
