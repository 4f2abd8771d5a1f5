"""The frames that a runner and its child process exchange over their socket.

Knows nothing of what they mean: a frame is a small JSON head and any number of bytes.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Frame", "Inbox", "event_row", "pack", "read_frame"]

_SIZES = struct.Struct("!IQ")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Frame(NamedTuple):
    """One message: what it is about (JSON data), and the bytes that belong to it."""

    head: dict[str, Any]
    body: bytes | bytearray = b""


def pack(head: dict[str, Any], body: bytes | bytearray | memoryview = b"") -> list[bytes | bytearray | memoryview]:
    """Give the pieces of a frame, to be sent one after the other.

    Examples
    --------
    >>> inbox = Inbox()
    >>> inbox.feed(b"".join(pack({"op": "stop"}, b"abc")))
    >>> list(inbox)
    [Frame(head={'op': 'stop'}, body=b'abc')]
    """
    text = _encode(head).encode("ascii")
    start = _SIZES.pack(len(text), len(body)) + text
    if len(body) < 65_536:
        return [start + body]
    return [start, body]


class Inbox:
    """Puts frames together from the pieces in which a socket that does not block gives them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._buffer += data

    def __iter__(self) -> Iterator[Frame]:
        while len(self._buffer) >= _SIZES.size:
            text, size = _SIZES.unpack_from(self._buffer)
            begin = _SIZES.size + text
            if len(self._buffer) < begin + size:
                return
            head = json.loads(self._buffer[_SIZES.size : begin])
            body = bytes(memoryview(self._buffer)[begin : begin + size])
            del self._buffer[: begin + size]
            yield Frame(head, body)


def read_frame(sock: socket.socket) -> Frame | None:
    """Read one frame from a socket that blocks; None if the other side is gone."""
    sizes = _read(sock, _SIZES.size)
    if sizes is None:
        return None
    text, size = _SIZES.unpack(sizes)
    head, body = _read(sock, text), _read(sock, size)
    return None if head is None or body is None else Frame(json.loads(head), body)


def _read(sock: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = sock.recv_into(view)
        except OSError:  # reset: the other side was killed
            return None
        if not count:
            return None
        view = view[count:]
    return data


def event_row(event: Any) -> list[Any]:
    """Give the fields of an `Event` in their order."""
    return [getattr(event, name) for name in event.__slots__]
