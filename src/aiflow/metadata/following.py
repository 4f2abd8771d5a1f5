"""Follows the deployments of a model: holds the object that answers, and loads the next one while that answers.

Knows nothing of how users ask the object. It hears of deployments through `noticing`, in this process or another one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

from aiflow.errors import AIFlowError, NotFound, Stopped, StoreError
from aiflow.graph import version
from aiflow.graph.event import Event, EventType
from aiflow.graph.model import ModelVersion
from aiflow.ledger.book import deployed

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.engine import Engine

__all__ = ["AGAIN", "PATIENCE", "Follower"]

logger = logging.getLogger(__name__)
PATIENCE = 1.0
"""Seconds after a deployment for which a call waits for the new object, if that is small."""

LARGE = 1 << 20
"""Bytes from which on an object is large: the old one answers while it is loaded."""

AGAIN = 5.0
"""Seconds after which an object that could not be loaded is tried again."""

_MOVES = frozenset(map(str, (EventType.MODEL_DEPLOYED, EventType.MODEL_DEPRECATED, EventType.MODEL_DELETED)))


class Follower:
    """What answers for a model now.

    Parameters
    ----------
    home
        The home that the model is registered in; it must be open in this process when somebody first asks.
    name
        The model's.
    on_new_kind
        Called when an object of another class than the one before begins to answer.

    Attributes
    ----------
    now
        The object that answers and its version, always replaced together.
    told, seen
        While they differ, `hurry` should be called before `now` is used: something has changed.
    first
        Set when a first object answers.
    problem
        Why what answers is not what is deployed, or None.
    on_version
        Called with each version that begins to answer, on the thread that has loaded it; or None.
    """

    def __init__(self, home: str, name: str, on_new_kind: Callable[[], None], project: Project | None = None) -> None:
        self.home, self.name, self._on_new_kind, self._project = home, name, on_new_kind, project
        self._elapsed: Callable[[], float] = time.monotonic
        self.now: tuple[Any, ModelVersion | None] = (Nobody(name), None)
        self.told = 1  # counts what may have changed; only ever changed by who holds a turn
        self.seen = 0  # up to where that was looked at; only ever changed by who holds `_loading`
        self.first = threading.Event()
        self.problem: AIFlowError | None = None
        self.is_closed = False
        self.on_version: Callable[[ModelVersion], None] | None = None
        self._is_slow = False  # whether a large object is being loaded, for which nobody waits
        self._failed = 0  # up to where what is deployed cannot be loaded
        self._told_at, self._retry_at = -inf, inf
        self._loading, self._changed = threading.Lock(), threading.Condition()
        self._engine: Engine | None = None
        self._leave: Any = None
        _followers.add(self)

    # --- hearing of deployments ---------------------------------------------------------------------------------------

    def _joined(self) -> Project:
        """Give the project; from the first time on, hear of what happens to the model."""
        if self._project is not None and self._engine is not None:
            return self._project
        if self._project is None:
            assert version.project_of is not None
            self._project = version.project_of(self.home)
        project: Project = self._project
        self._elapsed = project._clock.elapsed
        engine, note = project._shared.engine, partial(_note, weakref.ref(self))
        engine.noticing.add(self.name, note)
        engine.ticker.watch()  # other processes deploy, too
        self._engine, self._leave = engine, weakref.finalize(self, _forget, engine, self.name, note)
        self._leave.atexit = False
        return project

    def take_note(self, event: Event) -> None:
        """Take note of an event of the model; in a turn."""
        if event.type in _MOVES:
            self._told_at = self._elapsed()
            self.told += 1
            if self._engine is not None:
                self._engine.later(self.look)

    def begin_anew(self) -> None:
        """Go on in a forked child: its engine is another one, and whoever held the lock is not here."""
        if self._leave is not None:
            self._leave.detach()
        self._loading, self._changed = threading.Lock(), threading.Condition()
        self._engine, self._leave, self._is_slow = None, None, False
        self.told += 1

    @property
    def is_deaf(self) -> bool:
        """Whether the project was closed, so that no deployment is heard of any more."""
        return self._engine is not None and self._engine.turns.closed

    def close(self) -> None:
        """Let go of the object, and hear of nothing any more; twice is fine."""
        self.is_closed, self.on_version = True, None
        if self._leave is not None:
            self._leave()
        with self._loading:
            self.now = Nobody(self.name, f"this live model of {self.name!r} is closed"), None
            self.problem = None
            self._tell(seen=self.told)

    def current(self) -> tuple[Any, ModelVersion | None]:
        """Give the object that answers and its version, after a look at whether another should."""
        if self.told != self.seen:
            self.hurry()
        return self.now

    # --- loading ------------------------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Let a call that comes right after a deployment have the new object, if that is small."""
        if self._is_slow:
            return
        if self._failed == self.told:
            if self._elapsed() < self._retry_at:
                return
            self._retry_at, self._failed = inf, 0
            if self._engine is not None:
                self._engine.later(self.look)
                return
        if self._engine is None or self._project is None or self._project._shared.driver is not None:
            self.catch_up()  # nobody else would
            return
        left = self._told_at + PATIENCE - self._elapsed()
        with self._changed:
            self._changed.wait_for(lambda: self._is_slow or self.told in (self.seen, self._failed), max(0.0, left))

    def look(self) -> None:
        """Have what is deployed answer, unless somebody is at it: who is looks again at the end; on a worker."""
        while self.told not in (self.seen, self._failed) and not self.is_closed and self._loading.acquire(False):
            try:
                self._load_newest()
            finally:
                self._loading.release()

    def catch_up(self) -> None:
        """Have what is deployed answer; it does when this returns, if it can."""
        with self._loading:
            self._load_newest()

    def _load_newest(self) -> None:
        """Do that until nothing has happened meanwhile; the caller has `_loading`."""
        while self.seen != (told := self.told) and not self.is_closed:
            found, before, self._retry_at = None, self.now[1], inf
            try:
                found = self._deployed()
                if found is not None and found.size > LARGE and before not in (None, found):
                    self._tell(is_slow=True)
                self._put(found)
            except (Exception, SystemExit) as error:  # foreign code: __setstate__ of any class
                self._complain(found, error)
                self._tell(failed=told)
                return
            self._tell(seen=told)
            if self.on_version is not None and found is not None and found != before:
                self._report(found, self.on_version)

    def _report(self, found: ModelVersion, on_version: Callable[[ModelVersion], None]) -> None:
        try:
            on_version(found)
        except (Exception, Stopped) as error:  # who wanted to know is gone, or the store cannot be written
            logger.debug("That %s answers now could not be told: %s", found, error)

    def _tell(self, *, seen: int = 0, failed: int = 0, is_slow: bool = False) -> None:
        """Let those go on who wait for that."""
        with self._changed:
            self.seen, self._failed, self._is_slow = seen or self.seen, failed or self._failed, is_slow
            self._changed.notify_all()

    def _deployed(self) -> ModelVersion | None:
        """Ask which version is deployed."""
        row = deployed(self._joined()._store, self.name)
        return None if row is None else ModelVersion.of_row(row, self.home)

    def _object(self, version: ModelVersion) -> Any:
        """Load the object of a version."""
        return version.load()

    def _put(self, found: ModelVersion | None) -> None:
        answering, current = self.now
        if found is None and current is not None:
            self._warn(AIFlowError(f"no version of {self.name!r} is deployed any more; {current} goes on answering"))
            return
        if found is None:
            self.now = Nobody(self.name), None
        elif found != current:
            loaded = self._object(found)
            self.now = loaded, found
            if type(loaded) is not type(answering):
                self._on_new_kind()
            self.first.set()
        self.problem = None

    def _complain(self, found: ModelVersion | None, error: BaseException) -> None:
        """Let answer what does, say why it is not the new one, and try again in a while."""
        self._retry_at = self._elapsed() + AGAIN
        current = self.now[1]
        what = f"which version of {self.name!r} is deployed" if found is None else f"{found}, which is deployed,"
        goes_on = "nothing answers yet" if current is None else f"{current} goes on answering"
        why = str(error) if isinstance(error, AIFlowError) else f"{type(error).__name__}: {error}"
        problem = StoreError(f"{what} could not be {'told' if found is None else 'loaded'}, and {goes_on}: {why}")
        problem.__cause__ = error
        self._warn(problem)
        if current is None:
            self.now = Nobody(self.name, str(problem)), None

    def _warn(self, problem: AIFlowError) -> None:
        if str(problem) != str(self.problem):  # once is enough
            logger.warning("%s", problem, extra={"model": self.name})
        self.problem = problem


class Nobody:
    """Stands where an object will answer one day; who asks it for anything is told why it cannot."""

    def __init__(self, name: str, why: str | None = None) -> None:
        self._name, self._why = name, why

    def __getattr__(self, name: str) -> NoReturn:
        if name[:1] == "_":
            raise AttributeError(name)
        raise self.refusal()

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to be called."""
        raise self.refusal()

    def refusal(self) -> AIFlowError:
        """Say why nobody answers."""
        if self._why is not None:
            return StoreError(self._why)
        error = NotFound("deployed version of model", self._name)
        error.add_note("Deploy one by its number, or wait for one: project.models.live(name, wait=seconds).")
        return error


_followers: weakref.WeakSet[Follower] = weakref.WeakSet()


def _note(follower: weakref.ref[Follower], event: Event) -> None:
    if (one := follower()) is not None:
        one.take_note(event)


def _forget(engine: Engine, name: str, note: Any) -> None:
    engine.noticing.remove(name, note)
    engine.ticker.unwatch()


def _begin_anew() -> None:
    for follower in list(_followers):
        follower.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
