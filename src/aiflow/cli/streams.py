"""Keeps standard output for data: what the user's code and its processes print goes to standard error.

Knows nothing of what is written.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["data_stream", "flush", "is_pipe_closed", "stdout_is_for_data"]

_kept: list[TextIO | None] = []


def data_stream() -> TextIO | None:
    """Give the stream for data: standard output, wherever `sys.stdout` leads just now; None if there is none."""
    return _kept[-1] if _kept else sys.stdout


def flush() -> None:
    """Have what was written reach its reader."""
    stream = data_stream()
    if stream is not None:
        stream.flush()


def is_pipe_closed() -> bool:
    """Tell whether nobody can read standard output any more, so that a follower ends with its reader."""
    stream = data_stream()
    if stream is None or not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors and hang-ups are always told
    except (OSError, ValueError):  # a stream without a descriptor
        return False
    return any(happened & (select.POLLERR | select.POLLNVAL) for _, happened in poll.poll(0))


@contextmanager
def stdout_is_for_data() -> Iterator[None]:
    """While it is entered, `sys.stdout` is standard error, for this process and for those that it starts."""
    stream, descriptor = sys.stdout, -1
    data = stream
    try:
        if stream is not None and sys.stderr is not None and stream.fileno() == 1:
            stream.flush()
            descriptor = os.dup(1)
            os.dup2(sys.stderr.fileno(), 1)
            data = open(
                descriptor, "w", encoding=stream.encoding, errors="backslashreplace", closefd=False
            )  # closed below
    except (OSError, ValueError):  # streams without descriptors: in a notebook, or under a test runner
        pass
    _kept.append(data)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = stream
        _kept.remove(data)
        if descriptor >= 0:
            try:
                with suppress(BrokenPipeError):  # nobody reads it any more
                    data.close()
            finally:
                os.dup2(descriptor, 1)
                os.close(descriptor)
