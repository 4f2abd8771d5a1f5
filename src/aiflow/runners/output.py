"""Leads what a job prints and logs to the job's own log file, and on to the terminal.

Knows nothing of how the job runs: it asks only which job is current on this thread or task.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

from aiflow.graph.execution import RunKey
from aiflow.runners.context import JobContext, current_or_none

__all__ = [
    "CAP",
    "FORMAT",
    "JobLog",
    "attach_log",
    "capture",
    "close_log",
    "log_of",
    "record_in",
    "release",
    "rewrap",
    "show",
]

CAP = 10_000_000
"""Bytes that a job's log may have; the rest is counted and left out."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""How a record stands in a job's log, and in what a process of a job writes to its standard error."""

_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) (\S+): (.*)", re.DOTALL)
_LONGEST_BEGUN = 8_192
"""Characters of a line that is not over yet which are held back; a terminal in itself does the same."""

_guard = threading.RLock()  # and so are those of logs: a warning, or what is let go of, may print at any moment


class JobLog:
    """The log file of one attempt: opened when something is written, closed when the attempt ends, never over `CAP`.

    What is to be seen elsewhere, too, is passed on in whole lines, so that those of several jobs do not get mixed up.
    """

    __slots__ = ("_begun", "_closed", "_file", "_lock", "_path", "_size", "cap", "key", "lost", "secrets")

    def __init__(
        self,
        path: Path | Callable[[], Path],
        cap: int = CAP,
        secrets: Collection[str] = (),
        key: RunKey | None = None,
    ) -> None:
        self._path, self.cap, self.secrets, self.key = path, cap, secrets, key
        self.lost = 0
        self._file: IO[bytes] | None = None
        self._size = 0
        self._lock = threading.RLock()
        self._closed = False
        self._begun: dict[Any, str] = {}  # stream -> a line of it that is not over yet

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self._path() if callable(self._path) else self._path

    def write(self, data: str | bytes) -> None:
        """Append text (as UTF-8) or bytes."""
        raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        for secret in self.secrets:
            raw = raw.replace(secret.encode("utf-8", "backslashreplace"), b"***")
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                path = self.path
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self._file = open(descriptor, "ab", buffering=0)
                self._size = os.fstat(descriptor).st_size
            room = self.cap - self._size
            if len(raw) > room:
                self.lost += len(raw) - max(room, 0)
                raw = raw[: max(room, 0)]
            if raw:
                self._size += len(raw)
                self._file.write(raw)

    def pass_on(self, stream: Any, text: str) -> None:
        """Write text to a stream once its line is over."""
        if not self._begun and text.endswith("\n"):
            self.show(stream, text)
            return
        with self._lock:
            text = self._begun.pop(stream, "") + text
            end = len(text) if self._closed or len(text) > _LONGEST_BEGUN else text.rfind("\n") + 1
            if end < len(text):
                self._begun[stream] = text[end:]
            if end:
                self.show(stream, text[:end])

    def flush(self, stream: Any) -> None:
        """Write what a line of a stream begins with, though it is not over."""
        with self._lock:
            text = self._begun.pop(stream, "")
            if text:
                self.show(stream, text)

    def show(self, stream: Any, text: str) -> None:
        """Write text to a stream without the secrets of the job: who sees its terminal may be anybody, as who reads its log."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        show(stream, text, self.key)

    def close(self) -> None:
        """Close the file; say in it how much was left out."""
        for stream in tuple(self._begun):
            self.flush(stream)
        if self._file is None:  # nothing was written: nothing to close, and no file
            self._closed = True
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._file is not None:
                if self.lost:
                    self._file.write(f"\n… {self.lost} more bytes were left out (a log keeps {self.cap})\n".encode())
                self._file.close()


def record_in(line: str) -> tuple[str, str, str] | None:
    """Give level, logger and message of a record that was written in our `FORMAT`; None if it is not.

    Examples
    --------
    >>> record_in("2026-11-27 22:52:59,422 WARNING mine: 3 rows are odd")
    ('WARNING', 'mine', '3 rows are odd')
    """
    found = _RECORD.fullmatch(line)
    return None if found is None else (found[1], found[2], found[3])


def show(stream: Any, text: str, key: RunKey | None) -> None:
    """Write what a job printed to a stream: one that has `write_of` wants to know which job it was."""
    write_of = None if key is None else getattr(stream, "write_of", None)
    if write_of is None:
        stream.write(text)
    else:
        write_of(key, text)


def attach_log(context: JobContext, path: Callable[[], Path]) -> None:
    """Let a job have a log as soon as it writes something: most write nothing, and a log costs a lock and a file."""
    context.open_log = lambda: log_of(context, path)


def close_log(context: JobContext) -> None:
    """Close the log of a job, if it wrote anything."""
    context.open_log = None
    if context.log is not None:
        context.log.close()


def current_log() -> JobLog | None:
    """Give the log of the job that runs on this thread or task, if one does."""
    context = current_or_none()
    if context is None:
        return None
    log: JobLog | None = context.log
    if log is None and context.open_log is not None:
        with _guard:
            if context.log is None and context.open_log is not None:
                context.open_log()
        log = context.log
    return log


def log_of(context: JobContext, path: Path | Callable[[], Path]) -> JobLog:
    """Give a log for `context`; what the job prints and logs goes there while `capture` is on."""
    log = JobLog(path, secrets=context.secrets, key=context.key)
    context.log = log
    return log


class _Tee(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`: passes everything on, and copies what a job writes to its log."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        log = current_log()
        if log is None:
            self.stream.write(text)
        else:
            log.write(text)
            log.pass_on(self.stream, text)
        return len(text)

    def flush(self) -> None:
        log = current_log()
        if log is not None:
            log.flush(self.stream)
        self.stream.flush()

    def __del__(self) -> None:
        """Leave the stream alone: it is another's, and by default it would be flushed, by whoever happens to run."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        return int(self.stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _LogHandler(logging.Handler):
    """Copies the log records of a job to its log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = current_log()
        if log is not None:
            try:
                log.write(self.format(record) + "\n")
            except Exception:  # logging must never break the job
                self.handleError(record)


class _Terminal(logging.Handler):
    """Shows warnings on the terminal, as logging does where nobody has set it up; past the jobs' logs, which have them."""

    def emit(self, record: logging.LogRecord) -> None:
        stream: Any = sys.stderr.stream if isinstance(sys.stderr, _Tee) else sys.stderr
        if stream is not None:
            stream.write(self.format(record) + "\n")


_terminal = _Terminal(logging.WARNING)
_users = 0
_handler: _LogHandler | None = None
_tees: list[_Tee] = []


def capture() -> None:
    """Begin to lead the output of jobs to their logs; calls are counted."""
    global _users, _handler
    with _guard:
        _users += 1
        if _users > 1:
            return
        _handler = _LogHandler()
        _handler.setFormatter(logging.Formatter(FORMAT))
        root = logging.getLogger()
        if not root.handlers:  # without this, warnings of jobs would no longer reach the terminal
            root.addHandler(_terminal)
        root.addHandler(_handler)
    _wrap()


def _wrap() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Tee):
            tee = _Tee(stream)
            _tees.append(tee)
            setattr(sys, name, tee)


def rewrap() -> None:
    """Look again: somebody (a test runner, a notebook) may have put another stream in place."""
    if _users and not (isinstance(sys.stdout, _Tee) and isinstance(sys.stderr, _Tee)):
        with _guard:
            _wrap()


def release() -> None:
    """End what `capture` began, when its last user is gone."""
    global _users, _handler
    with _guard:
        _users -= 1
        if _users:
            return
        root = logging.getLogger()
        if _handler is not None:
            root.removeHandler(_handler)
        root.removeHandler(_terminal)
        _handler = None
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Tee):
                setattr(sys, name, stream.stream)
        _tees.clear()
