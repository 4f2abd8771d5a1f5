"""Passes on what another process prints: to the job's log and to the stream of the same name of this process.

Knows nothing of how the bytes arrive.
"""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress

from aiflow.runners.output import JobLog

__all__ = ["Relay"]

_TAIL = 4_000
_LINE = 1_000_000


class Relay:
    """One stream of another process; knows its last lines.

    Parameters
    ----------
    name
        ``"stdout"`` or ``"stderr"``.
    keep_line
        Whether the whole last line is wanted (up to a million bytes of it).

    Attributes
    ----------
    count
        How many bytes have come.
    is_busy
        Whether some are being passed on now (a terminal may be slow).
    """

    def __init__(self, name: str, keep_line: bool = False) -> None:
        self.name, self.keep_line = name, keep_line
        self.log: JobLog | None = None
        self.count = 0
        self.is_busy = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail = b""
        self._line = bytearray()
        self._is_line_over = False

    def begin(self, log: JobLog) -> None:
        """Lead what follows to this log."""
        self.log, self._tail = log, b""

    def feed(self, data: bytes) -> None:
        """Take what was printed."""
        self.is_busy = True
        self.count += len(data)
        if self.log is not None:
            with suppress(OSError):  # the disk is full: the job's own output must not fail it
                self.log.write(data)
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        if self.keep_line:
            self._follow_line(data)
        self._show(self._decoder.decode(data))
        self.is_busy = False

    def end(self) -> None:
        """Lead nothing to the log any more."""
        self._show(self._decoder.decode(b"", True))
        self.log = None
        self._decoder.reset()

    def _show(self, text: str) -> None:
        stream = getattr(sys, self.name)
        if text and stream is not None:
            with suppress(Exception):  # somebody's stream: closed, a broken pipe, an encoding without this letter
                if self.log is None:
                    stream.write(text)
                else:
                    self.log.show(stream, text)
                stream.flush()

    def _follow_line(self, data: bytes) -> None:
        """Keep the last line; its line feed belongs to it."""
        body = data[:-1] if data.endswith(b"\n") else data
        at = body.rfind(b"\n")
        if at >= 0 or self._is_line_over:
            self._line.clear()
        self._line += data[at + 1 :][: _LINE - len(self._line)]
        self._is_line_over = data.endswith(b"\n")

    @property
    def last_line(self) -> str:
        """The last line, without its line feed."""
        return self._line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")

    @property
    def tail(self) -> str:
        """The last lines, for a message."""
        return self._tail.decode("utf-8", "replace").strip()
