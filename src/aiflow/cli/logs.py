"""What `--log-format json` makes of standard error: one JSON object a line, with the ids that are known.

Knows nothing of what is said there: log records, what jobs print, and what commands tell.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiflow.cli.formats import compact
from aiflow.clock import SystemClock
from aiflow.graph.execution import RunKey
from aiflow.runners.context import current_or_none
from aiflow.runners.output import record_in

__all__ = ["JsonStream", "begin", "current", "end", "record_of"]

_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What any log record has; all else was given as `extra`."""


class JsonStream(io.TextIOBase):
    """Stands in the place of `sys.stderr`: each line that is written there becomes a JSON object."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._guard = threading.RLock()
        self._begun: dict[RunKey | None, str] = {}  # lines that are not over yet

    def say(self, message: str, level: str, more: Mapping[str, Any], logger: str = "aiflow", time: float = 0.0) -> None:
        """Write one object."""
        when = datetime.fromtimestamp(time or SystemClock().now(), UTC).isoformat(timespec="milliseconds")
        line = compact({"time": when, "level": level, "logger": logger, "message": message, **more}) + "\n"
        with self._guard:
            self.stream.write(line.encode("utf-8", "backslashreplace").decode())
            self.stream.flush()

    def write(self, text: str) -> int:
        """Take what somebody writes: the job that does so now, if one does."""
        context = current_or_none()
        self.write_of(None if context is None else context.key, text)
        return len(text)

    def write_of(self, key: RunKey | None, text: str) -> None:
        """Take what a job writes, wherever it runs."""
        with self._guard:
            *lines, self._begun[key] = (self._begun.pop(key, "") + text).split("\n")
            if not self._begun[key]:
                del self._begun[key]
        for line in lines:
            self._tell(key, line)

    def _tell(self, key: RunKey | None, line: str) -> None:
        if not line.strip():
            return
        if key is None:
            self.say(line, "info", {})
            return
        level, logger, message = record_in(line) or ("INFO", f"aiflow.job.{key.job}", line)
        self.say(message, level.lower(), key._asdict(), logger)

    def finish(self) -> None:
        """Write what has no line feed."""
        with self._guard:
            begun, self._begun = self._begun, {}
        for key, line in begun.items():
            self._tell(key, line)

    def flush(self) -> None:
        """Pass whole lines on; they have been already."""
        self.stream.flush()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Tell that nobody is to draw here."""
        return False

    def fileno(self) -> int:
        """Give the descriptor behind it."""
        return int(self.stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind it."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def __del__(self) -> None:
        """Leave the stream behind it alone."""


class _Handler(logging.Handler):
    """Writes log records."""

    def __init__(self, stream: JsonStream) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = record_of(record)
            self._stream.say(record.getMessage(), record.levelname.lower(), told, record.name, record.created)
        except Exception:  # logging must break nothing
            self.handleError(record)


def record_of(record: logging.LogRecord) -> dict[str, Any]:
    """Give what a log record has besides its message: the ids of the job that logs, what was given as `extra`, the traceback."""
    context = current_or_none()
    found: dict[str, Any] = {} if context is None else context.key._asdict()
    found |= {name: value for name, value in vars(record).items() if name not in _USUAL}
    if record.exc_info and record.exc_info[0] is not None:
        found["exception"] = logging.Formatter().formatException(record.exc_info)
    return found


_begun: tuple[JsonStream, _Handler, int] | None = None


def current() -> JsonStream | None:
    """Give what writes JSON just now, if that is wanted."""
    return None if _begun is None else _begun[0]


def begin() -> None:
    """Begin to write JSON on standard error; twice is fine."""
    global _begun
    if _begun is not None or sys.stderr is None:
        return
    stream, ours = JsonStream(sys.stderr), logging.getLogger("aiflow")
    handler = _Handler(stream)
    _begun = stream, handler, ours.level
    logging.getLogger().addHandler(handler)
    ours.setLevel(logging.INFO)
    sys.stderr = stream


def end() -> None:
    """End what `begin` began."""
    global _begun
    if _begun is None:
        return
    (stream, handler, level), _begun = _begun, None
    logging.getLogger().removeHandler(handler)
    logging.getLogger("aiflow").setLevel(level)
    stream.finish()
    if sys.stderr is stream:
        sys.stderr = stream.stream
