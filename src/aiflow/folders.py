"""Which folders this process watches for whom, and which versions of files are told: each of them once.

Knows nothing of how files are found (that is `events`), nor of rules: it brings events, in turns of the engine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.events.filewatch import FileWatch, Found, Senses
from aiflow.events.scanning import Version, is_written, version_of
from aiflow.events.watching import FileWatcher
from aiflow.graph.event import Draft, EventType
from aiflow.graph.file import FileCondition, FilePattern, file_key
from aiflow.turns import Entry

if TYPE_CHECKING:
    from aiflow.engine import Engine
    from aiflow.live import Live

__all__ = ["Folders"]

_KNOWN = "SELECT path, size, mtime_ns, inode FROM files WHERE namespace = ? AND settle = ? AND path >= ? AND path < ?"
_ONE = "SELECT size, mtime_ns, inode, offset FROM files WHERE namespace = ? AND settle = ? AND path = ?"
_KEEP = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM files WHERE namespace = ? AND settle = ? AND path = ?"

Wanted = tuple[str, str, float]
"""Namespace, absolute pattern, settle: who wants the same shares a watch."""


class Folders:
    """The files of one home that this process waits for.

    Parameters
    ----------
    engine
        Whose turns the events are written in.
    make_watcher
        Makes the watcher, when the first file is waited for.
    """

    def __init__(self, engine: Engine, make_watcher: Callable[..., FileWatcher]) -> None:
        self._engine, self._make_watcher = engine, make_watcher
        self._watcher: FileWatcher | None = None
        self._watches: dict[Wanted, FileWatch] = {}
        self._users: dict[Wanted, int] = {}

    # --- who waits; called in turns ---------------------------------------------------------------------------------

    def watch(self, namespace: str, condition: FileCondition) -> FileWatch:
        """Begin to watch for a condition with an absolute pattern, or do so for one user more."""
        wanted = (namespace, condition.pattern, condition.settle)
        watch = self._watches.get(wanted)
        self._users[wanted] = self._users.get(wanted, 0) + 1
        if watch is None:
            watch = self._watches[wanted] = self._made(namespace, condition)
            if self._watcher is None:
                engine = self._engine
                self._watcher = self._make_watcher(engine.clock.now, engine.ticker.at)
            self._watcher.watch(watch)
        return watch

    def _made(self, namespace: str, condition: FileCondition) -> FileWatch:
        settle, pattern = condition.settle, condition.apart
        load, take = partial(self._load, namespace, settle, pattern), partial(self._take, namespace, settle)
        return FileWatch(pattern, settle, load, take)

    def look_once(self, namespace: str, condition: FileCondition) -> None:
        """Tell what is there now and not told yet, whoever watches; on the calling thread, outside of turns."""
        watch = self._made(namespace, condition)
        watch.senses = Senses(time.time, lambda *_: None, is_written, lambda _: None)  # files live in real time
        watch.look_once()
        watch.tell()

    def let_go(self, namespace: str, condition: FileCondition) -> None:
        """One user less."""
        wanted = (namespace, condition.pattern, condition.settle)
        self._users[wanted] -= 1
        if not self._users[wanted]:
            del self._users[wanted]
            if self._watcher is not None:
                self._watcher.let_go(self._watches.pop(wanted))

    def adopt(self, live: Live) -> None:
        """Watch for an execution; what is found is told in later turns, so it is RUNNING by then."""
        asked = set()
        for condition in live.plan.files:
            watch = self.watch(live.namespace, condition)
            if condition.from_now and watch not in asked:
                asked.add(watch)
                assert self._watcher is not None
                self._watcher.ask(watch, partial(self._tell_what_is_there, live, condition.settle))

    def release(self, live: Live) -> None:
        """Watch no more for an execution."""
        for condition in live.plan.files:
            self.let_go(live.namespace, condition)

    def look(self) -> None:
        """Look through everything soon: for a manual clock, which no notice may outrun."""
        if self._watcher is not None:
            self._watcher.look()

    @property
    def is_watching(self) -> bool:
        """Whether somebody waits for a file."""
        return bool(self._watches)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being looked at."""
        return self._watcher is None or self._watcher.is_idle

    def close(self) -> None:
        """End the watcher."""
        if self._watcher is not None:
            self._watcher.close()

    # --- what the watcher calls, on its thread ----------------------------------------------------------------------

    def _load(self, namespace: str, settle: float, pattern: FilePattern) -> dict[str, Version]:
        """Read which versions were told."""
        first = pattern.root.rstrip(os.sep) + os.sep
        last = first[:-1] + chr(ord(os.sep) + 1)
        rows = self._engine.store.rows(_KNOWN, (namespace, settle, first, last))
        return {path: Version(*version) for path, *version in rows if pattern.fits(path)}

    def _take(self, namespace: str, settle: float, found: list[Found]) -> None:
        self._engine.submit(Entry(lambda: self._record(namespace, settle, found)))

    def _record(self, namespace: str, settle: float, found: Iterable[Found]) -> None:
        """Tell what is not told yet; other watches and other processes may have found the same."""
        writer = self._engine.store.writer
        for path, version, anew, same in found:
            row = (namespace, settle, path)
            known = writer.execute(_ONE, row).fetchone()
            if version is None:
                if version_of(path) is None:  # now that nobody else can tell a new one
                    writer.execute(_DROP, row)
            elif known is None or known[:3] != version:
                offset = known[3] if same and known is not None else 0
                if not offset:
                    change = "created" if known is None or anew else "modified"
                    draft = _draft(namespace, path, version, change, settle)
                    offset = self._engine.publish_now([draft])[0].offset
                writer.execute(_KEEP, (*row, *version, offset))

    def _tell_what_is_there(self, live: Live, settle: float, known: dict[str, Version]) -> None:
        """Tell one execution which files are there that were told before it started (``.now()``)."""
        there = sorted((v.mtime_ns, path) for path, v in known.items() if version_of(path) == v)
        if there:
            self._engine.submit(Entry(lambda: self._record_what_is_there(live, settle, [path for _, path in there])))

    def _record_what_is_there(self, live: Live, settle: float, paths: list[str]) -> None:
        engine, own = self._engine, live.execution_id
        if own not in engine.lives:
            return
        for path in paths:
            known = engine.store.writer.execute(_ONE, (live.namespace, settle, path)).fetchone()
            if known is not None and known[3] <= live.first_offset:
                draft = _draft(live.namespace, path, Version(*known[:3]), "created", settle)
                once = f"file:{own}:{settle:g}:{path}"
                engine.publish_now([draft._replace(context=own, execution_id=own, dedupe_key=once)])


def _draft(namespace: str, path: str, version: Version, change: str, settle: float) -> Draft:
    value: dict[str, Any] = {"path": path, "size": version.size, "mtime": version.mtime_ns / 1e9, "change": change}
    if settle:
        value["settle"] = settle
    return Draft(file_key(path), value, str(EventType.FILE_CHANGED), namespace)
