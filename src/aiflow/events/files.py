"""Owns watchdog: folders are watched, and what the system says of them becomes notices.

Knows nothing of patterns and of who is interested. A notice is only a hint of where to look: some are lost, some come
twice, and the threads that bring them only hand them on, for an exception would end them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

__all__ = ["Inotify", "Kind", "Notice", "Notifier", "Observed", "notifier"]


class Kind(StrEnum):
    """What a notice says of its path."""

    CLOSED = "CLOSED"  # a file was closed after writing, or moved here: it is complete
    THERE = "THERE"  # a file is there, or was touched: that is all that is known
    TIMES = "TIMES"  # something about a file was changed, such as its times, and not what it holds
    GONE = "GONE"  # a file is not there any more
    FOLDER = "FOLDER"  # a folder came or went: nobody has told what is in it
    LOST = "LOST"  # this folder is watched no more: it was deleted or moved, or notices of all folders were lost ("")


class Notice(NamedTuple):
    """A hint of where to look."""

    kind: Kind
    path: str


Take = Callable[[Notice], None]


class Notifier(Protocol):
    """Watches folders.

    Attributes
    ----------
    sees_inside
        Whether watching a folder is watching the folders in it, too.
    """

    sees_inside: bool

    def watch(self, folder: str, deep: bool) -> None:
        """Watch a folder, unless it is watched; raises `OSError` if that cannot be."""

    def is_watched(self, folder: str) -> bool:
        """Tell whether the folder that has this path now is the one that is watched."""

    def forget(self, folder: str) -> None:
        """Watch a folder no more, nor what is in it."""

    def close(self) -> None:
        """End everything."""


def notifier(take: Take) -> Notifier:
    """Make the notifier for this system; raises `OSError` if there can be none now."""
    return Inotify(take) if sys.platform == "linux" else Observed(take)


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Inotify:
    """Notices from Linux, with one descriptor and one thread for all folders.

    Not watchdog's own observer: that one has a thread for each folder, holds back all that comes after a file was moved
    out of it for half a second, and does not pass on that the kernel's queue has overflowed.
    """

    sees_inside = False

    def __init__(self, take: Take) -> None:
        from watchdog.observers.inotify_c import InotifyConstants as In
        from watchdog.observers.inotify_c import InotifyFD, Mask

        self.take = take
        self._mask = Mask(
            In.IN_CREATE | In.IN_CLOSE_WRITE | In.IN_ATTRIB | In.IN_DELETE | In.IN_MOVED_FROM | In.IN_MOVED_TO
            | In.IN_DELETE_SELF | In.IN_MOVE_SELF | In.IN_ONLYDIR
        )  # fmt: skip
        self._folders: dict[str, _Watched] = {}
        self._source = InotifyFD()
        self._source.start()

    def watch(self, folder: str, deep: bool) -> None:
        """Watch one folder."""
        if self.is_watched(folder):
            return
        self._forget(folder)
        watched = _Watched(self, folder)
        watched.descriptor = self._source.add_callback(os.fsencode(folder), self._mask, watched, watched.number)
        if watched.descriptor < 0:  # watchdog says nothing when it is not allowed to
            self._source.remove_callbacks([(watched.descriptor, watched.number)])
            raise PermissionError(f"not allowed to watch {folder}")
        self._folders[folder] = watched

    def is_watched(self, folder: str) -> bool:
        """Compare by number what is there with what was there: a folder may have been put in another's place."""
        watched = self._folders.get(folder)
        return watched is not None and watched.identity is not None and watched.identity == _identity(folder)

    def forget(self, folder: str) -> None:
        """Forget the folder and all in it."""
        inside = folder.rstrip(os.sep) + os.sep
        for known in [f for f in self._folders if f == folder or f.startswith(inside)]:
            self._forget(known)

    def _forget(self, folder: str) -> None:
        watched = self._folders.pop(folder, None)
        if watched is not None and watched.descriptor >= 0:
            self._source.remove_callbacks([(watched.descriptor, watched.number)])

    def close(self) -> None:
        """End the thread and free the descriptor."""
        self._source.stop()
        self._source.join(5.0)


class _Watched:
    """One folder; watchdog's thread calls it."""

    def __init__(self, owner: Inotify, folder: str) -> None:
        self._take, self._folder = owner.take, folder
        self.identity = _identity(folder)
        self.number: Any = id(self)
        self.descriptor: Any = -1

    def on_event(self, event: Any) -> None:
        """Hand on what happened in the folder."""
        if event.is_delete_self or event.is_move_self:
            self._take(Notice(Kind.LOST, self._folder))
            return
        if event.is_directory:
            if event.is_attrib:
                return
            kind = Kind.FOLDER
        elif event.is_close_write or event.is_moved_to:
            kind = Kind.CLOSED
        elif event.is_create:
            kind = Kind.THERE
        else:
            kind = Kind.TIMES if event.is_attrib else Kind.GONE
        self._take(Notice(kind, os.path.join(self._folder, os.fsdecode(event.name))))

    def on_watch_deleted(self, descriptor: Any) -> None:
        """Hand on that the kernel has let go of the folder."""
        self.identity, self.descriptor = None, -1
        self._take(Notice(Kind.LOST, self._folder))

    def on_queue_overflow(self) -> None:
        """Hand on that notices were lost."""
        self._take(Notice(Kind.LOST, ""))


class Observed:
    """Notices from watchdog's observer, which there is for each system; it tells nothing of closing but on Linux.

    Parameters
    ----------
    take
        Gets the notices.
    make
        Makes the observer, if not the one for this system.
    """

    sees_inside = True

    def __init__(self, take: Take, make: Callable[[], Any] | None = None) -> None:
        from watchdog.observers import Observer

        self.take = take
        self._observer = (make or Observer)()
        self._observer.start()
        self._folders: dict[str, tuple[Any, tuple[int, int] | None]] = {}

    def watch(self, folder: str, deep: bool) -> None:
        """Watch a folder and what is in it."""
        if self.is_watched(folder):
            return
        self.forget(folder)
        identity, real = _identity(folder), os.path.realpath(folder)
        handler: Any = _Handler(self.take, folder, real)
        self._folders[folder] = self._observer.schedule(handler, real, recursive=deep), identity

    def is_watched(self, folder: str) -> bool:
        """Compare by number what is there with what was there, and see whether it is still looked at."""
        watch, identity = self._folders.get(folder, (None, None))
        if watch is None or identity is None or identity != _identity(folder):
            return False
        return any(emitter.watch == watch and emitter.is_alive() for emitter in self._observer.emitters)

    def forget(self, folder: str) -> None:
        """Watch it no more."""
        watch, _ = self._folders.pop(folder, (None, None))
        if watch is not None:
            self._observer.unschedule(watch)

    def close(self) -> None:
        """End the observer and its threads."""
        self._observer.stop()
        self._observer.join(5.0)


_FILES = {
    "closed": Kind.CLOSED,
    "created": Kind.THERE,
    "modified": Kind.THERE,
    "attrib": Kind.TIMES,
    "deleted": Kind.GONE,
}


class _Handler:
    """What an observer calls for one folder."""

    def __init__(self, take: Take, folder: str, real: str) -> None:
        self._take, self._folder, self._real = take, folder, real

    def dispatch(self, event: Any) -> None:
        """Hand on what happened."""
        source, target = self._path(event.src_path), self._path(event.dest_path)
        if event.is_directory:
            if event.event_type in ("created", "moved", "deleted"):
                is_root = event.event_type == "deleted" and source == self._folder
                self._take(Notice(Kind.LOST if is_root else Kind.FOLDER, target or source))
        elif event.event_type == "moved":
            for kind, path in ((Kind.GONE, source), (Kind.CLOSED, target)):
                if path:
                    self._take(Notice(kind, path))
        elif event.event_type in _FILES:
            self._take(Notice(_FILES[event.event_type], source))

    def _path(self, path: str | bytes) -> str:
        text = os.fsdecode(path)
        if not text.startswith(self._real):
            return text
        inside = text[len(self._real) :].lstrip(os.sep)
        return os.path.join(self._folder, inside) if inside else self._folder
