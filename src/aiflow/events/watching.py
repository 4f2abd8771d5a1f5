"""Watches for files: looks where notices point, and looks through everything when they may have missed something.

Knows nothing of what its finds start, nor of what of them is in the log. One thread, and only while there is a watch.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from aiflow.errors import StoreError
from aiflow.events.files import Kind, Notice, Notifier, notifier
from aiflow.events.filewatch import FileWatch, Senses
from aiflow.events.scanning import Version, is_written

__all__ = ["FileWatcher", "Rhythm"]

logger = logging.getLogger(__name__)


class Rhythm(NamedTuple):
    """How often to look, in seconds of real time, for files live in it.

    Attributes
    ----------
    pulse
        Whether each root is still the folder that is watched.
    poll
        Through a root of which no notices come.
    audit
        Through a root of which notices come: not every file system tells all.
    """

    pulse: float = 0.5
    poll: float = 1.0
    audit: float = 30.0


class _Root:
    """The folder of some patterns."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.watches: list[FileWatch] = []
        self.is_deep = False  # whether a pattern looks into its folders
        self.is_silent = False  # whether notices of it, or of a folder in it, cannot be had
        self.is_asked = False  # whether it will be looked through anyhow
        self.next_look = 0.0


class FileWatcher:
    """Finds files for all who wait for some.

    Parameters
    ----------
    now
        Gives the time in seconds since 1970.
    at
        Has a function called at such a time.
    make
        Makes a notifier; may raise `OSError`, and is tried again later.
    is_written
        Tells whether somebody has a file open for writing.
    rhythm
        How often to look.
    later
        Calls something later: whoever does it then looks, when he is asked to, and no thread and no notices are needed.
        Or None.
    """

    def __init__(
        self,
        now: Callable[[], float],
        at: Callable[[float, Callable[[], Any]], Any],
        *,
        later: Callable[[Callable[[], Any]], None] | None = None,
        make: Callable[[Callable[[Notice], None]], Notifier] = notifier,
        is_written: Callable[[str], bool | None] = is_written,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._at, self._make, self._rhythm, self._later = at, make, rhythm or Rhythm(), later
        self._senses = Senses(now, self._look_later, is_written, self._have_found)
        self._roots: dict[str, _Root] = {}
        self._finders: dict[FileWatch, None] = {}  # who has something to tell, in order
        self._notifier: Notifier | None = None
        self._next_try = 0.0
        self._has_warned = False
        self._wake = threading.Condition()
        self._actions: deque[Callable[[], None]] = deque()
        self._is_busy = self._is_closed = False
        self._thread: threading.Thread | None = None

    # --- what others call: it is done on the thread -----------------------------------------------------------------

    def watch(self, watch: FileWatch) -> None:
        """Begin to watch: first look through everything."""
        self._put(partial(self._begin, watch))

    def let_go(self, watch: FileWatch) -> None:
        """Watch no more for this one."""
        self._put(partial(self._end, watch))

    def ask(self, watch: FileWatch, action: Callable[[dict[str, Version]], None]) -> None:
        """Call `action` with what is known, after what was asked for before was done."""
        self._put(partial(self._answer, watch, action))

    def look(self) -> None:
        """Look through everything soon, as notices may be under way."""
        self._put(self._look_everywhere)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be looked at."""
        return not self._actions and not self._is_busy

    def close(self) -> None:
        """End the thread and what it watches by."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _put(self, action: Callable[[], None]) -> None:
        with self._wake:
            if self._is_closed:
                return
            if self._later is not None:
                self._later(partial(self._do_asked, action))
                return
            self._actions.append(action)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aiflow-files", daemon=True)
                self._thread.start()
            else:
                self._wake.notify()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        next_pulse = 0.0
        while True:
            with self._wake:
                self._is_busy = False
                while not self._actions and not self._is_closed:
                    left = next_pulse - time.monotonic() if self._roots else None
                    if left is not None and left <= 0:
                        break
                    self._wake.wait(left)
                actions, self._actions = self._actions, deque()
                self._is_busy = True
            if self._is_closed:
                break
            if time.monotonic() >= next_pulse:
                actions.append(self._pulse)
                next_pulse = time.monotonic() + self._rhythm.pulse
            for action in (*actions, self._tell):
                self._do(action)
        self._stop_notices()

    def _do_asked(self, action: Callable[[], None]) -> None:
        for one in (action, self._tell):
            self._do(one)

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except StoreError as error:  # what was found is kept, and told at the next pulse
            if not self._is_closed:
                logger.error("Files that were found could not be recorded, trying again: %s", error)
        except Exception:  # one folder's trouble must not end the others
            logger.exception("Looking for files failed")

    def _begin(self, watch: FileWatch) -> None:
        watch.senses = self._senses
        root = self._roots.setdefault(watch.pattern.root, _Root(watch.pattern.root))
        root.watches.append(watch)
        if watch.pattern.is_deep and not root.is_deep:
            root.is_deep = True
            if self._notifier is not None:  # until now it may have been watched without its folders
                self._notifier.forget(root.folder)
        self._look_through(root)

    def _end(self, watch: FileWatch) -> None:
        root = self._roots[watch.pattern.root]
        root.watches.remove(watch)
        self._finders.pop(watch, None)
        if not root.watches:
            del self._roots[root.folder]
            if self._notifier is not None:
                self._notifier.forget(root.folder)
        if not self._roots:
            self._stop_notices()

    def _answer(self, watch: FileWatch, action: Callable[[dict[str, Version]], None]) -> None:
        self._tell()
        action(dict(watch.known or {}))

    def _tell(self) -> None:
        finders, self._finders = self._finders, {}
        for watch in finders:
            self._do(partial(self._tell_of, watch))

    def _tell_of(self, watch: FileWatch) -> None:
        try:
            watch.tell()
        except BaseException:
            self._finders[watch] = None
            raise

    def _have_found(self, watch: FileWatch) -> None:
        self._finders[watch] = None

    def _look_later(self, watch: FileWatch, path: str, due: float) -> None:
        self._at(due, lambda: self._put(partial(watch.look, path, Kind.THERE)))

    # --- looking through --------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        now = time.monotonic()
        for root in list(self._roots.values()):
            if now >= root.next_look or not (root.is_silent or self._is_watched(root.folder)):
                self._look_through(root)

    def _look_everywhere(self) -> None:
        for root in list(self._roots.values()):
            self._look_through(root)

    def _look_through(self, root: _Root) -> None:
        root.is_silent = root.is_asked = False
        begun = time.monotonic()
        for watch in root.watches:
            watch.look_through(partial(self._enter, root))
        done = time.monotonic()
        often = self._rhythm.poll if root.is_silent else self._rhythm.audit
        root.next_look = done + max(often, 20 * (done - begun))  # a twentieth of one processor at most

    def _enter(self, root: _Root, folder: str) -> None:
        """Watch a folder before it is looked into: so nothing that comes meanwhile is missed."""
        if self._notifier is not None and self._notifier.sees_inside and folder != root.folder:
            return
        try:
            source = self._notices()
            if source is not None:
                source.watch(folder, root.is_deep)
                return
        except (FileNotFoundError, NotADirectoryError):  # gone again
            return
        except OSError as error:
            self._warn(folder, error)
        root.is_silent = True

    def _warn(self, folder: str, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The folder %s is looked through every %g s, because the system cannot tell of changes in it: %s"
                " (on Linux, see fs.inotify.max_user_instances and max_user_watches). This is said once",
                folder, self._rhythm.poll, error.strerror or error,
            )  # fmt: skip

    # --- notices ----------------------------------------------------------------------------------------------------

    def _notices(self) -> Notifier | None:
        """Give the notifier; None if there could be none a moment ago, or nobody would take its notices."""
        if self._later is None and self._notifier is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + self._rhythm.audit
            self._notifier = self._make(self._notice)
        return self._notifier

    def _stop_notices(self) -> None:
        source, self._notifier, self._next_try = self._notifier, None, 0.0
        if source is not None:
            source.close()

    def _is_watched(self, folder: str) -> bool:
        return self._notifier is not None and self._notifier.is_watched(folder)

    def _notice(self, notice: Notice) -> None:
        """Take a hint, on a thread that is not ours."""
        self._put(partial(self._noticed, notice))

    def _noticed(self, notice: Notice) -> None:
        kind, path = notice
        if kind is Kind.LOST and self._notifier is not None and path:
            self._notifier.forget(path)
        for root in list(self._roots.values()) if not path else self._above(path):
            if not path or (kind is Kind.LOST and path == root.folder):
                if not root.is_asked:
                    root.is_asked = True
                    self._put(partial(self._look_if_asked, root))
            elif kind is Kind.LOST or kind is Kind.FOLDER:
                if root.is_deep:
                    for watch in root.watches:
                        watch.look_through(partial(self._enter, root), path)
            else:
                for watch in root.watches:
                    if watch.pattern.fits(path):
                        watch.look(path, kind)

    def _look_if_asked(self, root: _Root) -> None:
        if root.is_asked:
            self._look_through(root)

    def _above(self, path: str) -> Iterator[_Root]:
        """Give the roots that a path lies in or is."""
        while True:
            root = self._roots.get(path)
            if root is not None:
                yield root
            outer = os.path.dirname(path)
            if outer == path:
                return
            path = outer
