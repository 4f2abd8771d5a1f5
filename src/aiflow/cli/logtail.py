"""Follows the logs of an execution while its jobs write them: `execution logs --follow`.

Knows nothing of how logs are written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aiflow import Execution, Project

__all__ = ["Piece", "follow_logs"]

_PAUSE = 0.1  # seconds between two looks


class Piece(NamedTuple):
    """Whole lines that an attempt of a job has written."""

    job: str
    number: int
    attempt: int
    text: str


def follow_logs(
    project: Project, execution: Execution, job: str | None, is_closed: Callable[[], bool]
) -> Iterator[Piece]:
    """Give what has been written, and then what is written, until the execution is over or nobody reads it."""
    read: dict[tuple[str, int, int], int] = {}
    pause = threading.Event()
    while not is_closed():
        is_over = execution.status not in ("INIT", "RUNNING", "STOPPING")  # asked first: what comes after it is read
        for one in execution.jobs:
            for attempt in range(1, one.attempt + 1) if job in (None, one.job) else ():
                key = (one.job, one.number, attempt)
                text = _new(project, execution, key, read, is_over)
                if text:
                    yield Piece(*key, text)
        if is_over:
            return
        pause.wait(_PAUSE)


def _new(
    project: Project,
    execution: Execution,
    key: tuple[str, int, int],
    read: dict[tuple[str, int, int], int],
    whole: bool,
) -> str:
    """Read on in the log of an attempt, up to the last whole line, or to its end."""
    path = project._log_path(execution.id, *key)
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        file.seek(read.get(key, 0))
        found = file.read()
    found = found if whole else found[: found.rfind(b"\n") + 1]
    read[key] = read.get(key, 0) + len(found)
    return found.decode("utf-8", "replace").rstrip("\n")
