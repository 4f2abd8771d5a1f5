"""A pickle whose large buffers stand apart in the same file, so that neither writing nor reading needs a second copy of them.

Knows nothing of classes and of how they are pickled.

The file is the pickle, then each buffer at a multiple of 64 bytes, then where they are. Where no buffer is large, it is the
pickle and nothing else, as `pickle.load` reads it. Large files are mapped into memory: their pages come from the disk as
they are touched, and what is written to them stays in this process (copy on write), so the file never changes. A mapped
file may be deleted; its pages live as long as what uses them.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["dump", "is_worth_mapping", "load", "mapped"]

_LARGE = 1 << 20  # below, one more copy costs less than a place of its own
_WORTH_MAPPING = 1 << 24  # below, reading is as fast; and until Python 3.13 each mapping holds a file descriptor
# (on Windows a mapped file could not be deleted)
_ALIGNED = 64
_END = b"aiflow: buffers stand apart\n"  # a pickle ends with a dot
_PLACE = struct.Struct("<QQ?")
_COUNT = struct.Struct("<Q")
_WITHOUT_DESCRIPTOR: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def dump(value: Any, file: Any, make_pickler: Callable[..., Any]) -> None:
    """Write a value to a file that has `write` and `tell`; the pickler is made with a file and a `buffer_callback`."""
    large: list[memoryview] = []

    def keep_apart(buffer: pickle.PickleBuffer) -> bool:
        """Tell whether the buffer belongs into the pickle."""
        raw = buffer.raw()
        if raw.nbytes < _LARGE:
            return True
        large.append(raw)
        return False

    make_pickler(file, keep_apart).dump(value)
    if not large:
        return
    places = []
    for raw in large:
        file.write(b"\0" * (-file.tell() % _ALIGNED))
        places.append(_PLACE.pack(file.tell(), raw.nbytes, raw.readonly))
        file.write(raw)
    file.write(b"".join(places) + _COUNT.pack(len(places)) + _END)


def load(file: BinaryIO) -> Any:
    """Give the value back; this runs whatever code the pickle asks for."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - len(_END)))
    buffers: list[Any] = []
    if file.read() == _END:
        end = file.seek(end - len(_END) - _COUNT.size)
        (count,) = _COUNT.unpack(file.read(_COUNT.size))
        file.seek(end - count * _PLACE.size)
        places = list(_PLACE.iter_unpack(file.read(count * _PLACE.size)))
        whole = mapped(file)
        for start, size, is_readonly in places:
            buffer = _read(file, start, size) if whole is None else memoryview(whole)[start : start + size]
            buffers.append(buffer.toreadonly() if is_readonly else buffer)
    file.seek(0)
    return pickle.load(file, buffers=buffers)


def _read(file: BinaryIO, start: int, size: int) -> memoryview:
    buffer = memoryview(bytearray(size))
    file.seek(start)
    if file.readinto(buffer) != size:  # type: ignore[attr-defined]  # binary files have it
        raise EOFError("the file ends within a buffer")
    return buffer


def is_worth_mapping(file: BinaryIO) -> bool:
    """Tell whether a file is large, and real."""
    try:
        return sys.platform != "win32" and os.fstat(file.fileno()).st_size >= _WORTH_MAPPING
    except OSError:  # bytes in memory
        return False


def mapped(file: BinaryIO) -> mmap.mmap | None:
    """Map a whole file, to be changed by this process only; None where reading it is better, or all there is."""
    if not is_worth_mapping(file):
        return None
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY, **_WITHOUT_DESCRIPTOR)
    except OSError:  # no more descriptors, or no room for what might be written
        return None
