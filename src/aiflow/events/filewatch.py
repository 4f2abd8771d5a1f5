"""One pattern of files that somebody waits for: what is known, what is settling, what was found and is to be told.

Knows nothing of threads and notices: it is told where to look, by one thread at a time.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from aiflow.events.files import Kind
from aiflow.events.scanning import Version, Walk, changed_at, is_inside, version_of
from aiflow.graph.file import FilePattern

__all__ = ["FileWatch", "Found", "Senses"]

logger = logging.getLogger(__name__)
_UNSEEN = 1.0
"""Seconds that a file must have stayed the same, if nobody can tell whether it is being written."""
_TIMES_SET = 1.0
"""Seconds after it was told in which a change of times alone is by who made it (`shutil.copy2` sets them at the end)."""
_BATCH = 500


class Found(NamedTuple):
    """What became of a path.

    Attributes
    ----------
    version
        The version that is complete; None: it is gone.
    anew
        Whether its folder was gone meanwhile, so that it is another file of the same name.
    same
        Whether only its times were set since it was told: nobody needs to hear of it.
    """

    path: str
    version: Version | None
    anew: bool = False
    same: bool = False


class Senses(NamedTuple):
    """What a watch needs of the world.

    Attributes
    ----------
    now
        The time, in seconds since 1970.
    look_later
        Has a path looked at again at a time.
    is_written
        Whether somebody has a file open for writing; None if that is not to be learned.
    found
        Called when there is something to tell.
    """

    now: Callable[[], float]
    look_later: Callable[[FileWatch, str, float], None]
    is_written: Callable[[str], bool | None]
    found: Callable[[FileWatch], None]


class FileWatch:
    """One pattern that somebody waits for.

    Parameters
    ----------
    pattern
        The paths.
    settle
        Seconds that a file must have stayed the same after it was closed.
    load
        Gives the versions that are known from before; called once, before the first look.
    take
        Takes what was found. If it raises, it gets the same again later.
    """

    def __init__(
        self,
        pattern: FilePattern,
        settle: float,
        load: Callable[[], dict[str, Version]],
        take: Callable[[list[Found]], Any],
    ) -> None:
        self.pattern, self.settle, self._load, self._take = pattern, settle, load, take
        self.senses: Senses
        self.known: dict[str, Version] | None = None
        self._told: dict[str, float] = {}  # when
        self._settling: dict[str, tuple[Version, float]] = {}  # which version may be told when
        self._lost: set[str] = set()  # known paths whose folder was gone since
        self._found: dict[str, Found] = {}
        self._complained: set[str] = set()

    # --- looking ----------------------------------------------------------------------------------------------------

    def look_through(self, enter: Callable[[str], None], below: str = "") -> None:
        """Look at all that fits, or at what lies in the folder `below`; `enter` is called with each folder first."""
        known = self._known()
        root = self.pattern.root
        if not os.path.isdir(root):
            self._lost |= known.keys()
            self._settling.clear()
            return
        walk, seen, others = Walk(self.pattern, enter, below), set(), []
        for path in walk:
            seen.add(path)
            version = version_of(path)
            if version is not None and (version != known.get(path) or path in self._lost):
                others.append((version.mtime_ns, path))
        for _, path in sorted(others):  # in the order in which they were written
            self.look(path, Kind.THERE)
        inside = (below or root).rstrip(os.sep) + os.sep
        for path in [p for p in known if p not in seen and p.startswith(inside)]:
            if not any(path.startswith(folder + os.sep) for folder in walk.blind):
                self.look(path, Kind.GONE)
        for folder, error in walk.blind.items():
            self._complain(folder, f"The folder {folder} cannot be read: {error.strerror}")

    def look_once(self) -> None:
        """Look at all that fits, for somebody who will not look again: what has settled is seen by when it was changed."""
        self.look_through(lambda folder: None)
        for path, (version, due) in list(self._settling.items()):
            now = self.senses.now()
            if changed_at(path) <= now - (due - now):
                self._find(Found(path, version, anew=path in self._lost))

    def look(self, path: str, kind: Kind) -> None:
        """Look at one path; `kind` is what is said of it."""
        version, known = version_of(path), self._known().get(path)
        if version is None:
            self._miss(path)
        elif version == known:
            self._settling.pop(path, None)
            self._lost.discard(path)  # its folder has come back with it, a disk that was away, say
        elif self._is_acceptable(path):
            if kind is Kind.TIMES and self._is_same(path, version, known):
                self._find(Found(path, version, same=True))
            elif self._is_complete(path, version, kind):
                self._find(Found(path, version, anew=path in self._lost))

    def _known(self) -> dict[str, Version]:
        if self.known is None:
            self.known = self._load()
        return self.known

    def _find(self, found: Found) -> None:
        self._settling.pop(found.path, None)
        self._found[found.path] = found
        self.senses.found(self)

    def _miss(self, path: str) -> None:
        self._settling.pop(path, None)
        self._found.pop(path, None)
        self._complained.discard(path)
        if path in self._known():
            if os.path.isdir(self.pattern.root):
                self._find(Found(path, None))
            else:
                self._lost.add(path)

    def _is_same(self, path: str, version: Version, known: Version | None) -> bool:
        if known is None or (version.size, version.inode) != (known.size, known.inode):
            return False
        return self.senses.now() - self._told.get(path, 0.0) < _TIMES_SET

    def _is_acceptable(self, path: str) -> bool:
        """Refuse what leads out of the root, and what no text can hold."""
        try:
            path.encode()
        except UnicodeEncodeError:
            self._complain(path, f"The file {path!r} was passed over: its name is no UTF-8")
            return False
        if is_inside(path, self.pattern.root):
            return True
        self._complain(path, f"The file {path} was passed over: it leads out of {self.pattern.root} (a link)")
        return False

    def _is_complete(self, path: str, version: Version, kind: Kind) -> bool:
        """Tell whether a version is whole and has settled; if it has not, it will be looked at again."""
        is_written = self.senses.is_written(path)
        if is_written:  # when it is closed, there will be another notice
            self._settling.pop(path, None)
            self._found.pop(path, None)
            return False
        is_told = is_written is False or kind is Kind.CLOSED
        wait = self.settle if is_told else max(self.settle, _UNSEEN)
        now = self.senses.now()
        seen, due = self._settling.get(path, (None, 0.0))
        if seen == version:
            return now >= due or (is_told and wait == 0)
        if wait == 0:
            return True
        self._settling[path] = version, now + wait
        self.senses.look_later(self, path, now + wait)
        return False

    def _complain(self, path: str, text: str) -> None:
        if path not in self._complained:
            self._complained.add(path)
            logger.warning("%s", text, extra={"path": path})

    # --- telling ----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """Have the finds taken, those excepted that are others by now: these are looked at again.

        Raises
        ------
        Exception
            What `take` raised; what it did not take is kept.
        """
        while self._found:
            left, self._found = deque(self._found.values()), {}
            while left:
                batch = self._unchanged([left.popleft() for _ in range(min(len(left), _BATCH))])
                try:
                    self._take(batch)
                except BaseException:
                    self._found = {one.path: one for one in (*batch, *left)} | self._found
                    raise
                for one in batch:
                    self._note(one)

    def _unchanged(self, batch: list[Found]) -> list[Found]:
        """Give the finds that are still so; look at the others again."""
        same = []
        for one in batch:
            if version_of(one.path) == one.version:
                same.append(one)
            else:
                self.look(one.path, Kind.THERE)
        return same

    def _note(self, found: Found) -> None:
        known = self._known()
        self._lost.discard(found.path)
        if found.version is None:
            known.pop(found.path, None)
            self._told.pop(found.path, None)
        else:
            known[found.path] = found.version
            self._told[found.path] = self.senses.now()
