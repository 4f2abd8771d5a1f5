"""Looks into folders: which files fit a pattern, which version of each is there, and whether somebody is writing it.

Knows nothing of notifications and of what was told before. Nothing here is kept; each look is at the disk.
"""

from __future__ import annotations

import math
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from aiflow.graph.file import FilePattern, fits_name

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Version", "Walk", "changed_at", "file_system_of", "folder_problem", "is_inside", "is_written", "version_of"]

_LOCAL = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"))
"""File systems that nobody on another machine writes to; only there, what the kernel knows of writers is all."""
_devices: dict[int, bool] = {}
_CAN_LEASE = fcntl is not None and hasattr(fcntl, "F_SETLEASE") and hasattr(fcntl, "F_SETSIG")


class Version(NamedTuple):
    """What tells one version of a file from another."""

    size: int
    mtime_ns: int
    inode: int


def version_of(path: str) -> Version | None:
    """Give the version of a file that is there now; None if there is no file, or a thing that is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Version(
        found.st_size, found.st_mtime_ns, found.st_ino & 0x7FFF_FFFF_FFFF_FFFF
    )  # SQLite's integers are signed


def changed_at(path: str) -> float:
    """Say since when a file is as it is now, in seconds since 1970; that of none is infinite."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return math.inf
    return max(found.st_ctime, found.st_mtime)  # the first counts moving and the setting of times, where it is known


class Walk:
    """One walk through the folders of a pattern: goes through the paths that fit.

    Parameters
    ----------
    pattern
        What is looked for.
    enter
        Called with each folder before it is looked into.
    below
        Look only into this folder of the root, or only at this file of it.

    Attributes
    ----------
    blind
        Folders that are there and could not be read, with the reason: whatever is in them may be there all the same.
    """

    def __init__(self, pattern: FilePattern, enter: Callable[[str], None], below: str = "") -> None:
        self._pattern, self._enter, self._below = pattern, enter, below
        self.blind: dict[str, OSError] = {}

    def __iter__(self) -> Iterator[str]:
        return self._look(self._pattern.root, {self._pattern.parts})

    def _look(self, folder: str, wanted: set[tuple[str, ...]]) -> Iterator[str]:
        """Look for what fits one of the rests of the pattern."""
        for rest in list(wanted):
            while rest[0] == "**":  # it may stand for no folder at all
                rest = rest[1:]
                wanted.add(rest)
        self._enter(folder)
        inner: list[tuple[str, set[tuple[str, ...]]]] = []
        for entry in self._entries(folder):
            rests = set(_rests(entry, wanted))
            if entry.is_dir():
                rests.discard(())
                if rests:
                    inner.append((entry.path, rests))
            elif () in rests:
                yield entry.path
        for path, rests in inner:
            yield from self._look(path, rests)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Give what is in a folder; only what leads to `below`, if that lies deeper."""
        try:
            with os.scandir(folder) as entries:
                inside = folder.rstrip(os.sep) + os.sep
                if not self._below.startswith(inside):
                    return list(entries)
                name = self._below[len(inside) :].split(os.sep, 1)[0]
                return [entry for entry in entries if entry.name == name]
        except (FileNotFoundError, NotADirectoryError):  # not there yet, or not any more
            return []
        except OSError as error:
            self.blind[folder] = error
            return []


def _rests(entry: os.DirEntry[str], wanted: set[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Give what of the pattern is left behind an entry; ``**`` does not follow links, which may lead round and round."""
    for parts in wanted:
        if parts[0] != "**":
            if fits_name(parts[0], entry.name):
                yield parts[1:]
        elif fits_name("*", entry.name) and not entry.is_symlink():
            yield parts


def is_inside(path: str, root: str) -> bool:
    """Tell whether a path, its links followed, still lies in the root, its links followed."""
    real, home = os.path.realpath(path), os.path.realpath(root)
    return real.startswith(home.rstrip(os.sep) + os.sep)


def folder_problem(pattern: FilePattern) -> str:
    """Say that the folder is not there in which files are looked for, or that one is where a file is meant; else ''."""
    if not os.path.isdir(pattern.root):
        return f"there is no folder {pattern.root}"
    named = os.path.join(pattern.root, *pattern.parts)
    return f"{named} is a folder; for the files in it, write {named}/*" if os.path.isdir(named) else ""


def is_written(path: str) -> bool | None:
    """Tell whether somebody has a file open for writing; None where that is not to be learned.

    The kernel gives a lease for reading only while nobody writes. Only Linux has leases, and only on one's own files. If
    somebody begins to write in the microsecond in which it is held, that one waits, and the signal that we get for it
    is one that is ignored.
    """
    if not _CAN_LEASE:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not _is_local(path, os.fstat(descriptor).st_dev):
            return None
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _is_local(path: str, device: int) -> bool:
    known = _devices.get(device)
    if known is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            mounts = ""
        known = _devices[device] = file_system_of(os.path.realpath(path), mounts) in _LOCAL
    return known


def file_system_of(path: str, mounts: str) -> str:
    """Give the type of the file system that a path lies on, from the text of ``/proc/self/mountinfo``."""
    best, found = "", ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        inside = point.rstrip("/") + "/"
        if path.startswith(inside) and len(inside) >= len(best):
            best, found = inside, rest.split(" ", 1)[0]
    return found
