"""An opened home of this process, shared by all projects in it. The composition root: here implementations are picked.

Knows nothing of workflows; it joins store, engine and runners, and lends the threads that wait to inline jobs.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiflow.clock import Clock
from aiflow.driving import Driver
from aiflow.engine import Engine
from aiflow.errors import Conflict, NotFound, ParameterError, StoreError
from aiflow.graph.event import INTERNAL, Draft, Event, EventType
from aiflow.graph.execution import ENDED
from aiflow.graph.plan import Plan
from aiflow.ledger.book import deployed
from aiflow.live import Live
from aiflow.runners import output
from aiflow.runners.base import Runner
from aiflow.runners.context import current_or_none
from aiflow.settings import Settings
from aiflow.store import connection as door
from aiflow.store.appending import STATUS, check_runs
from aiflow.store.store import Store
from aiflow.turns import Turns
from aiflow.values.codec import Stored
from aiflow.values.serializers import Serializer, checked

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.endpoint import Endpoint

__all__ = ["Home", "add_plugins", "guard", "named_plugins", "open_home", "serializers_of_plugins"]

logger = logging.getLogger(__name__)
guard = threading.RLock()
"""Held while homes are opened and counted; never while a turn is waited for."""

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""What ids are made of."""

_homes: dict[Path, Home] = {}


def open_home(
    settings: Settings, clock: Clock, default_runner: str, project: Project, driver: Driver | None = None
) -> Home:
    """Give the opened home of this process, opened now if it is not yet; `release` it in the end."""
    with guard:
        home = _homes.get(settings.home)
        if home is None:
            home = _homes[settings.home] = Home(settings, clock, default_runner, driver)
        elif driver is not None and home.driver is not driver:
            raise Conflict(
                f"the home {settings.home} is open in this process, so that nothing else can drive it; close it first, or "
                "give another home"
            )
        home.users += 1
        home.projects.append(project)
        return home


def projects_in(home: Path) -> list[Project]:
    """Give the projects that are open in a home of this process; the caller holds `guard`."""
    found = _homes.get(home)
    return [] if found is None else found.projects


def add_plugins(plugins: Iterable[Any]) -> None:
    """Add plugins by hand: objects, or names of modules.

    Raises
    ------
    ParameterError
        If one cannot be imported, or its hooks or serializers do not fit; then none of them is added.
    """
    from aiflow import hooks

    news: list[Any] = []
    try:
        for plugin in [hooks.named(one) if isinstance(one, str) else one for one in plugins]:
            if hooks.register(plugin):
                news += [plugin]  # those before stay known if this one does not fit
        serializers_of_plugins()
    except ParameterError:
        for plugin in news:
            hooks.unregister(plugin)
        raise


def named_plugins(settings: Settings) -> list[Any]:
    """Import the plugins that settings name.

    Raises
    ------
    ParameterError
        If one cannot be imported; names it, and where it was said.
    """
    from aiflow import hooks

    try:
        return [hooks.named(name, settings.folder) for name in settings.plugins]
    except ParameterError as error:
        raise ParameterError(f"{error} ({settings.said['plugins']})") from error.__cause__


def serializers_of_plugins() -> tuple[Serializer, ...]:
    """Give the serializers of all plugins of this process, checked."""
    global _checked
    from aiflow import hooks

    offered = hooks.plugin_serializers()
    if offered != _checked[0]:
        _checked = offered, checked(offered)
    return _checked[1]


_checked: tuple[tuple[tuple[str, Any], ...], tuple[Serializer, ...]] = (), ()


class Home:
    """One opened home of this process: shared by all projects that were opened in it."""

    def __init__(self, settings: Settings, clock: Clock, default_runner: str, driver: Driver | None = None) -> None:
        self.settings, self.clock, self.default_runner, self.driver = settings, clock, default_runner, driver
        self.new_id = _new_id if driver is None else driver.new_id
        self.home = settings.home
        self.store = Store(settings.home, durability=settings.durability, serializers=serializers_of_plugins)
        self.users = 0
        self.projects: list[Project] = []
        self.bells: set[threading.Event] = set()
        self.drivers = 0
        self.pending: set[threading.Event] = set()
        self._engine: Engine | None = None
        self._endpoint: Endpoint | None = None
        self._endpoint_guard = threading.Lock()

    @property
    def serializers(self) -> tuple[Serializer, ...]:
        """Those of plugins, for values."""
        return serializers_of_plugins()

    @property
    def workers(self) -> int:
        """How many jobs run at a time on threads, and in processes."""
        return self.settings.places

    @property
    def engine(self) -> Engine:
        """The engine, made when it is first needed.

        Raises
        ------
        StoreError
            If the last project here was closed: what is still under way on some thread must not open it again.
        """
        with guard:
            if self._engine is None:
                if not self.users:
                    raise StoreError("the project is closed")
                serializers_of_plugins()  # two that exclude each other are told now, not with the first value
                self.store.reopen()
                self.store.claim_owner(self.clock.now())
                output.capture()
                self._engine = Engine(
                    self.store, self.clock, self._runner, limits=self.settings.limits,
                    project_of=lambda _: self.projects[0] if self.projects else None,
                    driver=self.driver,
                )  # fmt: skip
                self._engine.on_failure = self._call_on_failure
                self.tell_plugins()
            return self._engine

    def _call_on_failure(self, action: Any, live: Live, job: str | None) -> None:
        """Call an `on_failure`: a function gets the execution (of the job, or the whole); a command is run."""
        project = self.projects[0] if self.projects else None
        if project is None:
            return
        execution = project.executions.get(live.execution_id)
        try:
            if callable(action):
                action(execution if job is None else execution.job(job))
            else:
                import subprocess

                told = {"AIFLOW_HOME": str(self.home), "AIFLOW_EXECUTION": live.execution_id, "AIFLOW_JOB": job or ""}
                argv = action if isinstance(action, str) else list(action)
                subprocess.run(
                    argv, shell=isinstance(argv, str), env={**os.environ, **told}, check=True, stdin=subprocess.DEVNULL
                )
        except Exception:  # foreign code
            ids: dict[str, Any] = {"execution_id": live.execution_id, "job": job}
            logger.exception("on_failure of %s failed", job or live.workflow, extra=ids)

    def tell_plugins(self) -> None:
        """Tell plugins of what happens from now on, if any wants to know."""
        from aiflow import hooks

        if "opentelemetry.trace" in sys.modules:  # else nobody can have set it up, and not even looking costs anything
            from aiflow.spans import Spans, is_set_up, spans

            if is_set_up():
                hooks.register(spans())
            made = hooks.registered(Spans)
            if self._engine is not None and made is not None and self.driver is None:
                self._engine.span_of = made.span_of
        if self._engine is not None and hooks.has_observers(simulated=self.driver is not None):
            self._engine.tell(self._observe)

    def _observe(self, events: Any) -> None:
        """Tell plugins what was committed; their trouble is logged and changes nothing."""
        from aiflow import hooks

        project = self.projects[0] if self.projects else None
        if project is None:
            return
        simulated = self.driver is not None
        for event in events:
            hooks.tell("aiflow_event_recorded", simulated, event=event)
            status = event.value.get("status") if isinstance(event.value, dict) else None
            execution = project.executions.find(event.execution_id or "") if event.type in INTERNAL else None
            if execution is None:  # a trigger has a log of its own, and is no execution
                continue
            if event.type == EventType.JOB_STATUS_CHANGED and status in ("RUNNING", *ENDED):
                hook = "aiflow_job_started" if status == "RUNNING" else "aiflow_job_ended"
                hooks.tell(hook, simulated, execution=execution.job(event.key[4:]))
            elif event.type == EventType.EXECUTION_STATUS_CHANGED and status in ("SUCCESS", "FAILED", "STOPPED"):
                hooks.tell("aiflow_execution_ended", simulated, execution=execution)

    @property
    def has_engine(self) -> bool:
        """Whether anything was started here yet."""
        return self._engine is not None

    def encode(self, value: Any, what: str) -> Stored:
        """Serialise a value."""
        return self.store.codec.encode(value, what)

    def _runner(self, name: str) -> Runner:
        if self.driver is not None:
            driven: Runner = self.driver.runner(name, self)
            return driven
        return self.make_runner(name)

    def make_runner(self, name: str) -> Runner:
        """Make the runner of this name, which runs jobs by itself.

        Raises
        ------
        NotFound
            If there is none.
        """
        if name in ("thread", "async", "inline"):
            from aiflow.runners.threads import AsyncRunner, InlineRunner, ThreadRunner

            if name == "inline":
                inline = InlineRunner(self)
                inline.on_start = self.ring
                return inline
            return ThreadRunner(self) if name == "thread" else AsyncRunner(self)
        if name == "process":
            from aiflow.runners.processes import ProcessRunner

            return ProcessRunner(self)
        if name == "command":
            from aiflow.runners.command import CommandRunner

            return CommandRunner(self)
        if name == "observe":
            from aiflow.runners.observing import ObserveRunner

            return ObserveRunner()
        if name == "flink":
            from aiflow.runners.flink import FlinkRunner

            return FlinkRunner(self, self.settings.flink)
        from aiflow.hooks import plugin_runners

        found = plugin_runners()
        if name not in found:
            raise NotFound("runner", name, ["thread", "process", "inline", "command", "observe", "flink", *found])
        made: Runner = found[name](self)
        return made

    def check_runners(self, plan: Plan) -> None:
        """Raise if a job of a plan names a runner that there is not, before anything starts."""
        for name in {v.runner for v in plan.vertices if not v.given}:
            try:
                self.engine.performer.runner(name)
            except NotFound as error:
                jobs = ", ".join(v.name for v in plan.vertices if v.runner == name)
                raise ParameterError(f"job {jobs}: {error}") from None

    def endpoint(self) -> tuple[str, str]:
        """Give the address where jobs on other machines publish, and the token that they need; it is opened when first asked for."""
        with self._endpoint_guard:
            if self._endpoint is None:
                from aiflow.endpoint import Endpoint

                self._endpoint = Endpoint(self.home / "flink", self, self.settings.flink.endpoint)
            return self._endpoint.url, self._endpoint.token

    def publish_for(self, run: tuple[str, str, int], drafts: list[Draft]) -> list[Event]:
        """Publish on behalf of a job that runs elsewhere."""
        check_runs(self.store.row(STATUS, run), run)
        return self.engine.publish(None, drafts)

    def deployed(self, model: str) -> dict[str, Any] | None:
        """Give the row of the version of a model that is deployed, or None."""
        return deployed(self.store, model)

    def object_of(self, hash: str) -> Path | None:
        """Give the file with the object of a version of a model; None if no version has this hash."""
        known = self.store.row("SELECT 1 FROM model_versions WHERE hash = ? AND stage <> 'DELETED' LIMIT 1", (hash,))
        return None if known is None else self.store.blobs.path(hash)

    def follow(self, model: str, note: Callable[[int], Any]) -> Callable[[], None]:
        """Have `note` told the number of the version of a model that is deployed, and of each that will be, until what it gives is called.

        It is told on the threads that bring the events, and is quick.
        """
        engine = self.engine

        def take(event: Event) -> None:
            if event.type == EventType.MODEL_DEPLOYED:
                note(event.value["number"])

        engine.noticing.add(model, take)
        engine.ticker.watch()  # other processes deploy, too
        now = self.deployed(model)
        if now is not None:
            note(now["number"])

        def leave() -> None:
            engine.noticing.remove(model, take)
            engine.ticker.unwatch()

        return leave

    def ring(self) -> None:
        """Wake those who wait and run inline jobs."""
        for bell in list(self.bells):
            bell.set()

    def await_records(self) -> None:
        """Wait until it is recorded where executions came from: that is done beside them, and takes a moment."""
        if self.driver is not None:  # nothing comes by itself
            return
        for asked in list(self.pending):
            asked.wait(3.0)

    def await_told(self) -> None:
        """Wait until plugins have been told what was committed, 5 s at most."""
        telling = None if self._engine is None or self.driver is not None else self._engine.telling
        if telling is not None:
            telling.wait(5.0)

    def release(self) -> None:
        """One user less; the last one closes everything."""
        with guard:
            self.users -= 1
            if self.users:
                return
            _homes.pop(self.home, None)
            engine, self._engine = self._engine, None
        self.await_records()
        if self._endpoint is not None:
            self._endpoint.close()
        if engine is not None:  # outside of the guard: a turn that is under way may want it
            engine.close()
            output.release()
        self.store.close()

    # --- forks ------------------------------------------------------------------------------------------------------

    def begin_anew(self) -> None:
        """Go on after a fork, in the child: what runs is the parent's; an engine and connections of its own come when needed."""
        self.store.begin_anew()
        engine, self._engine = self._engine, None
        endpoint, self._endpoint, self._endpoint_guard = self._endpoint, None, threading.Lock()
        if endpoint is not None:
            endpoint.forget()
        if engine is not None:
            self.clock.detach(engine)
            engine.pokes.forget()
        self.bells.clear()
        self.drivers = 0

    # --- waiting ----------------------------------------------------------------------------------------------------

    def live(self, execution_id: str) -> Live | None:
        """Give what this process holds of an execution, or None."""
        if self._engine is None:
            return None
        return self._engine.lives.get(execution_id) or self._engine.recent.get(execution_id)

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Say that this thread is going to wait, and will run inline jobs then."""
        with guard:
            self.drivers += 1
        try:
            yield
        finally:
            with guard:
                self.drivers -= 1

    @contextmanager
    def place_lent(self) -> Iterator[None]:
        """Inside a job: let others have its place while it waits for them (rule 36)."""
        job, engine = current_or_none(), self._engine
        lent = job is not None and engine is not None and job.port is engine and engine.lend_place(job.key)
        try:
            yield
        finally:
            if lent and job is not None and engine is not None:
                with suppress(StoreError):  # then it goes on without: nobody can be started now anyway
                    engine.take_place_back(job.key)

    def moment(self) -> float:
        """Give the seconds since some moment, to reckon deadlines by: they pass as the time does that is waited for."""
        return time.monotonic() if self.driver is None else self.clock.now()

    def after(self, duration: float, action: Callable[[], Any]) -> Callable[[], None]:
        """Call something after so many seconds; give what keeps it from being called."""
        if self.driver is not None:
            ticker = self.engine.ticker
            return partial(ticker.cancel, ticker.at(self.clock.now() + duration, action))
        timer = threading.Timer(duration, action)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def drive_until(
        self,
        done: threading.Event,
        deadline: float | None,
        live: Live | None = None,
        look: Callable[[], None] | None = None,
    ) -> bool:
        """Wait for `done`, and run inline jobs here meanwhile; tell whether it came before `deadline`.

        `look` is called whenever this thread has slept for as long as the patience of the clock.
        """
        if self.driver is not None:
            return self.driver.wait(done.is_set, None if deadline is None else max(0.0, deadline - self.moment()))
        bell, longest = threading.Event(), None if look is None else self.clock.patience
        with guard:
            self.bells.add(bell)
            self.drivers += 1
        if live is not None:
            live.watchers.append(bell.set)
        try:
            while not done.is_set():
                bell.clear()
                inline = self.engine.performer.runners.get("inline") if self.has_engine else None
                if inline is not None and inline.drive():  # type: ignore[attr-defined]
                    continue
                if done.is_set():
                    break
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if live is None:
                    bell.wait(min(left or 0.05, 0.05))
                elif longest is None or (left is not None and left < longest):
                    bell.wait(left)
                elif not bell.wait(longest) and look is not None:
                    look()
            return True
        finally:
            with guard:
                self.bells.discard(bell)
                self.drivers -= 1

    def drive_if_nobody_does(self) -> None:
        """Run inline jobs on this thread, the calling one, unless somebody waits and runs them."""
        if self.driver is not None or not self.has_engine or self.drivers or current_or_none() is not None:
            return
        inline = self.engine.performer.runners.get("inline")
        if inline is None or self.engine.deliveries.is_own_thread():
            return
        with guard:
            if self.drivers:
                return
            self.drivers += 1
        try:
            while inline.drive():  # type: ignore[attr-defined]
                pass
        finally:
            with guard:
                self.drivers -= 1

    def settle(self, timeout: float = 30.0) -> None:
        """Run inline jobs here and wait for all others, until nothing is under way and nobody waits in line."""
        if not self.has_engine:
            return
        engine, deadline, pause = self.engine, time.monotonic() + timeout, threading.Event()
        engine.folders.look()
        while True:
            inline = engine.performer.runners.get("inline")
            while inline is not None and inline.drive():  # type: ignore[attr-defined]
                pass
            engine.turns.nudge()
            if engine.turns.closed or (engine.is_idle() and not (inline is not None and inline.waiting)):  # type: ignore[attr-defined]
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"something still runs after {timeout:g} s")
            pause.wait(0.001)


def _new_id() -> str:
    """Give an id that nobody has: letters and digits, easy to type; the command line takes its first characters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


_forking = threading.Lock()
_paused: list[Turns] = []


def _before_fork() -> None:
    """Let nothing be under way in any store while the process forks.

    First the turns, then the guard, then SQLite: who holds one of these may be about to take the next, never one before.
    """
    _forking.acquire()
    while True:
        guard.acquire()
        held = [home._engine.turns for home in _homes.values() if home._engine is not None]
        news = [turns for turns in held if turns not in _paused]
        if not news:
            break
        guard.release()
        for turns in news:
            turns.pause()
        _paused.extend(news)
    door.opening.acquire()  # of homes, too, that are being closed
    for home in _homes.values():
        home.store.hold_still()


def _after_fork_in_parent() -> None:
    for home in _homes.values():
        home.store.go_on()
    door.opening.release()
    guard.release()
    for turns in _paused:
        turns.go_on()
    _paused.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    for home in _homes.values():
        home.begin_anew()
    door.opening.release()
    guard.release()
    for turns in _paused:
        turns.abandon()
    _paused.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
