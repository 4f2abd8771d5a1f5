"""What users hold: a project. The composition root, the only place that picks implementations.

Knows nothing of how anything is done.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiflow.clock import Clock, SystemClock
from aiflow.driving import Driver
from aiflow.errors import Conflict, GraphError, NotFound, OffsetPruned, ParameterError, StoreError
from aiflow.eventlog import EventLog
from aiflow.events.deliveries import Subscription
from aiflow.execution import Execution
from aiflow.graph.card import Card, HasCard
from aiflow.graph.event import Draft, Event, check_draft
from aiflow.graph.execution import ExecutionStatus, RunKey
from aiflow.graph.job import seconds
from aiflow.graph.params import json_text
from aiflow.graph.workflow import Workflow, is_defined_here
from aiflow.interrupting import Interrupts
from aiflow.keep import read_keep
from aiflow.launching import Launcher
from aiflow.live import log_path
from aiflow.notebook import finish, shown_while_waiting
from aiflow.opening import add_plugins, guard, named_plugins, open_home, projects_in
from aiflow.runners.context import current_or_none
from aiflow.settings import load_settings
from aiflow.store.connection import find_store
from aiflow.store.log import EventFilter
from aiflow.triggers import Triggers
from aiflow.views import Executions, Jobs
from aiflow.workflows import Workflows

if TYPE_CHECKING:
    from aiflow.metadata.artifacts import Artifacts
    from aiflow.metadata.datasets import Datasets
    from aiflow.metadata.lineage import Lineage
    from aiflow.metadata.metrics import Metrics
    from aiflow.metadata.models import Models
    from aiflow.pruning import Pruned
    from aiflow.tracking import Experiment

__all__ = ["Project", "project"]

logger = logging.getLogger(__name__)
_entered: list[Project] = []
_default: Project | None = None
_within: ContextVar[tuple[Any, Project] | None] = ContextVar("aiflow_within", default=None)
"""The innermost project that was entered here, and by which job."""


class Project(HasCard):
    """The embedded system: a home, the events, the executions. A context manager.

    Opening makes the home if it is not there, and starts nothing.

    Parameters
    ----------
    name
        The namespace of what is published and run through it; the first project of a home gives the home its name.
    home
        The directory; by default found as git finds its own (`docs/reference`).
    durability
        ``"normal"``: what is acknowledged survives the death of the process; ``"full"``: the loss of power too.
    workers
        How many jobs run at a time on threads, and how many in processes.
    keep
        How much of the past is kept: ``{"executions": 1000, "days": 30, "events": 1_000_000, "blobs": "2 GB"}``, or some of
        these. `serve` prunes by it now and then, and `prune` at once.
    clock
        Where the time comes from; for tests.
    plugins
        Modules or objects with hooks of `aiflow.hooks`.

    Raises
    ------
    StoreError
        If the home cannot be used.
    ParameterError
        If an argument or a setting does not fit.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     event = project.publish("hello", {"n": 1})
    ...     [e.value for e in project.events.list(keys="hello")]
    [{'n': 1}]
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        home: str | Path | None = None,
        durability: str | None = None,
        workers: int | None = None,
        keep: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        plugins: Iterable[Any] | None = None,
        _make: bool = True,
        _runner: str = "thread",
        _driver: Driver | None = None,
    ) -> None:
        settings = load_settings(name=name, home=home, durability=durability, workers=workers, keep=keep)
        self._keep = settings.keep
        if not _make and not find_store(settings.home).exists():
            raise StoreError(
                f"there is no home at {settings.home}; run a workflow there first, or name another with --home or AIFLOW_HOME"
            )
        plugins = [*named_plugins(settings), *(plugins or ())]
        if plugins:
            add_plugins(plugins)
        shared = open_home(settings, clock or SystemClock(), _runner, self, _driver)
        self._shared, self._closed = shared, False
        self._tokens: list[Any] = []
        self._store, self._clock = shared.store, shared.clock
        known = self._store.meta("name")
        self.name: str = (settings.insisted_name or known or settings.name) or "default"
        self._is_new = known is None  # whether this made the home
        if known is None:
            self._store.set_meta("name", self.name)
        self._launcher = Launcher(shared, self.name)
        if plugins:
            shared.tell_plugins()

    @property
    def home(self) -> Path:
        """The directory."""
        return self._store.home

    @property
    def db(self) -> Any:
        """The store as a read-only `sqlite_utils.Database`, for questions of your own."""
        from aiflow.store.tables import read_only

        return read_only(self.home)

    def __repr__(self) -> str:
        return f"<project {self.name} in {self.home}>"

    def _card(self) -> Card:
        from aiflow.display import project_card

        return project_card(self)

    # --- views ------------------------------------------------------------------------------------------------------

    @property
    def events(self) -> EventLog:
        """The event log."""
        return EventLog(self)

    @property
    def executions(self) -> Executions:
        """The executions of workflows."""
        return Executions(self)

    @property
    def jobs(self) -> Jobs:
        """The executions of jobs."""
        return Jobs(self)

    @property
    def workflows(self) -> Workflows:
        """The workflows that were run or registered."""
        return Workflows(self)

    @property
    def triggers(self) -> Triggers:
        """What starts executions when events come."""
        return Triggers(self)

    @property
    def schedules(self) -> Triggers:
        """What starts executions when it is time."""
        return Triggers(self, "schedule")

    @property
    def datasets(self) -> Datasets:
        """The datasets and their versions."""
        from aiflow.metadata.datasets import Datasets

        return Datasets(self)

    @property
    def artifacts(self) -> Artifacts:
        """The artifacts and their versions."""
        from aiflow.metadata.artifacts import Artifacts

        return Artifacts(self)

    @property
    def models(self) -> Models:
        """The models and their versions."""
        from aiflow.metadata.models import Models

        return Models(self)

    @property
    def metrics(self) -> Metrics:
        """What was measured."""
        from aiflow.metadata.metrics import Metrics

        return Metrics(self)

    @property
    def lineage(self) -> Lineage:
        """What came from what: versions, and the job executions between them."""
        from aiflow.metadata.lineage import Lineage

        return Lineage(self)

    # --- events -----------------------------------------------------------------------------------------------------

    def publish(
        self,
        key: str,
        value: Any = None,
        *,
        type: str | None = None,
        namespace: str | None = None,
        sender: str | None = None,
        context: Any = ...,
        dedupe_key: str | None = None,
    ) -> Event:
        """Append an event to the log and bring it to whom it concerns; return when it is durable.

        Parameters
        ----------
        key
            What it is about; globs of conditions and subscriptions match it.
        value
            JSON data.
        type, namespace, sender, context
            See `Event`; inside a job `context` is the own execution and `sender` the job's name, unless given.
        dedupe_key
            Unique in the namespace: publishing it again gives the event of the first time.

        Raises
        ------
        ParameterError
            If the value is not JSON data, or a text is empty; nothing is stored.
        StoreError
            If the store cannot be written; nothing is stored.
        """
        return self._publish([self._draft(key, value, type, namespace, sender, context, dedupe_key)])[0]

    def publish_many(self, drafts: Iterable[Any]) -> list[Event]:
        """Append several events in one transaction: all or none.

        Parameters
        ----------
        drafts
            ``(key, value)`` pairs, keys alone, `Draft`s, or dicts with the arguments of `publish`.
        """
        ready = [self._draft_of(d) for d in drafts]
        return self._publish(ready) if ready else []

    def _draft_of(self, draft: Any) -> Draft:
        if isinstance(draft, Draft):
            json_text(draft.value, f"the value of event {draft.key!r}")
            return check_draft(draft)
        if isinstance(draft, str):
            return self._draft(draft)
        if isinstance(draft, Mapping):
            return self._draft(**draft)
        if isinstance(draft, tuple | list) and len(draft) == 2:
            return self._draft(draft[0], draft[1])
        raise ParameterError(f"publish_many takes (key, value) pairs, dicts or drafts, not {draft!r}")

    def _draft(
        self, key: str, value: Any = None, type: str | None = None, namespace: str | None = None, sender: str | None = None,
        context: Any = ..., dedupe_key: str | None = None,
    ) -> Draft:  # fmt: skip
        json_text(value, f"the value of event {key!r}")
        job = current_or_none()
        if job is not None:
            job.check_alive()
            if context is ...:
                context = job.execution_id
            if sender is None:
                sender = job.job
        execution_id = job.execution_id if job is not None else None
        kind, space = "UNDEFINED" if type is None else type, self.name if namespace is None else namespace
        return check_draft(
            Draft(key, value, kind, space, sender, None if context is ... else context, execution_id, 0.0, dedupe_key)
        )

    def _publish(self, drafts: list[Draft]) -> list[Event]:
        self._check_open()
        events = self._shared.engine.publish(None, drafts)
        self._shared.drive_if_nobody_does()
        return events

    def subscribe(
        self,
        callback: Callable[[Event], Any],
        *,
        keys: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        namespaces: str | Iterable[str] | None = None,
        senders: str | Iterable[str] | None = None,
        since: int | str | datetime | None = None,
        name: str | None = None,
    ) -> Subscription:
        """Call `callback` with each event that fits, in order, on a thread of aiflow's.

        Parameters
        ----------
        keys, types, namespaces, senders
            A glob or several; None for all.
        since
            ``"now"`` (default), ``"start"``, an offset (exclusive) or a `datetime`.
        name
            Makes it durable: a restart goes on after the last event whose callback returned.

        Returns
        -------
        Subscription
            A context manager; `close()` ends it.

        Raises
        ------
        Conflict
            If a subscription of that name is open, in whatever process of the home.
        """
        self._check_open()
        if not callable(callback):
            raise ParameterError(f"subscribe takes a function of an event, not {callback!r}")
        position = None if since in (None, "now") else self.events.position(since, "now")
        return self._shared.engine.subscriptions.subscribe(
            callback, EventFilter(keys, types, namespaces, senders), position, name, self.name
        )

    # --- running ----------------------------------------------------------------------------------------------------

    def start(
        self,
        workflow: Workflow,
        *,
        context: str | None = None,
        only: str | Iterable[str] | None = None,
        start_from: str | Iterable[str] | None = None,
        given: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Execution:
        """Start an execution and return when it is RUNNING, without waiting for its end.

        Parameters
        ----------
        context
            Which events it gets besides those for all.
        only, start_from
            Names of jobs: run just these, or these and all that follows. What they need of others comes from `given`,
            else from the newest execution of the workflow in which that job succeeded.
        given
            Values that stand for jobs: ``given={"load": rows}``.
        params, **more
            The workflow's parameters.

        Raises
        ------
        ParameterError
            If a parameter does not fit.
        GraphError
            If the body cannot be built.
        """
        self._check_open()
        if not isinstance(workflow, Workflow):
            raise ParameterError(f"a workflow is needed (a function with @af.workflow), not {workflow!r}")
        bound = workflow.bind({**(params or {}), **more})
        graph = workflow.build_bound(bound)
        live = self._launcher.launch(workflow, graph, bound, context, only, start_from, dict(given or {}))
        execution = self.executions.get(live.execution_id)  # it takes hold of `live`, which may have ended already
        self._shared.drive_if_nobody_does()
        return execution

    def run(
        self, workflow: Workflow, *, check: bool = True, timeout: float | timedelta | None = None, **more: Any
    ) -> Execution:
        """Start an execution and wait for its end.

        Parameters
        ----------
        check
            Raise `ExecutionFailed` unless it ends in SUCCESS.
        timeout
            Seconds after which it is stopped and `TimeoutError` raised.
        **more
            What `start` takes.

        Raises
        ------
        ExecutionFailed
            If it did not end in SUCCESS; the message has each failed job with the end of its traceback.
        """
        with Interrupts() as interrupts:
            execution = self._start_for_a_wait(workflow, more)
            interrupts.watch(execution)
            self.wait_for(execution, check=False, timeout=timeout)
        if interrupts.came:
            raise KeyboardInterrupt
        return execution.check() if check else execution

    def wait_for(
        self,
        execution: Execution,
        *,
        check: bool = True,
        timeout: float | timedelta | None = None,
        quiet: Callable[[str, bool], None] | None = None,
    ) -> Execution:
        """Wait as `run` does: an interrupt stops the execution gracefully, a second one at once.

        Parameters
        ----------
        quiet
            Called after 5 s in which nothing happened, with what is waited for and whether a job is busy; by default
            that is logged: as a warning, or as information if a job is busy.
        """
        timeout = None if timeout is None else seconds(timeout, "timeout")
        took_too_long = f"took longer than {timeout:g} s" if timeout is not None else ""
        call_off = None if timeout is None else self._shared.after(timeout, partial(execution.stop, took_too_long))
        with shown_while_waiting(execution):
            try:
                execution._wait(quiet=quiet or partial(_log_quiet, execution))
            except KeyboardInterrupt:
                execution.stop("interrupted").wait()
                raise
            finally:
                if call_off is not None:
                    call_off()
        if took_too_long and execution.status is ExecutionStatus.STOPPED and execution.reason == took_too_long:
            raise TimeoutError(f"execution {execution.id} of {execution.workflow} {took_too_long} and was stopped")
        return execution.check() if check else execution

    def track(self, experiment: str, /, **params: Any) -> Experiment:
        """Record a block of code as an execution, without a workflow; a context manager.

        The execution has one job of the name of the experiment. It is RUNNING in the block, then SUCCESS; FAILED if the block
        raised, and INTERRUPTED if its process died. What is logged in the block is logged by that job. An experiment does
        not begin inside a job or another experiment.

        Parameters
        ----------
        experiment
            What it is called; many executions may have the same name.
        **params
            What it is done with: JSON data, to compare executions by.

        Returns
        -------
        Experiment
            With `log_metric`, `log_metrics`, `log_model`, `log_artifact`, `set_result` and the `execution`.

        Raises
        ------
        ParameterError
            If a parameter is not JSON data.
        Conflict
            On entering, inside a job or another experiment.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     with project.track("fit", k=3) as experiment:
        ...         logged = experiment.log_metric("accuracy", 0.9)
        ...     execution = experiment.execution
        ...     print(execution.workflow, execution.params, execution.status, project.metrics.newest(execution=execution))
        fit {'k': 3} SUCCESS {'accuracy': Metric(value=0.9, ...)}
        """
        from aiflow.tracking import Experiment

        self._check_open()
        code = sys._getframe(1).f_code.co_filename
        return Experiment(self, experiment, params, str(Path(code).resolve()) if Path(code).is_file() else "")

    async def arun(
        self, workflow: Workflow, *, check: bool = True, timeout: float | timedelta | None = None, **more: Any
    ) -> Execution:
        """Do what `run` does, for async code: the event loop is free meanwhile. Cancelling it stops the execution."""
        starting = asyncio.ensure_future(asyncio.to_thread(self._start_for_a_wait, workflow, more))
        try:
            execution = await asyncio.shield(starting)
            wait = asyncio.to_thread(self.wait_for, execution, check=False, timeout=timeout)
            await asyncio.shield(asyncio.ensure_future(wait))
            return execution.check() if check else execution
        except asyncio.CancelledError:
            execution = await starting
            await asyncio.to_thread(lambda: execution.stop("cancelled").wait())
            raise

    def _start_for_a_wait(self, workflow: Workflow, more: Mapping[str, Any]) -> Execution:
        with self._shared.driving():  # inline jobs run while somebody waits, so that the timeout holds for them, too
            return self.start(workflow, **more)

    def serve(
        self,
        *workflows: Workflow,
        until: datetime | float | timedelta | Callable[[], bool] | None = None,
        start: Workflow | Iterable[Workflow] = (),
    ) -> None:
        """Keep running: triggers and schedules start executions, and what was INTERRUPTED goes on, until interrupted.

        Workflows with `start_on` are registered as triggers, or as schedules if nothing but time starts them. One process
        serves a trigger; others that serve it stand by, and go on within seconds when the first is gone. What came
        while nobody served is handled now.

        Parameters
        ----------
        workflows
            What may be started.
        until
            When to stop: a `datetime`, seconds from now, or a function that is asked again and again until it says True.
        start
            A workflow or several that are started once, as soon as the others are served: what these publish is heard.

        Raises
        ------
        ParameterError
            If something else than workflows is given, or none at all.
        KeyboardInterrupt
            If it is interrupted. What was started goes on for as long as the project is open.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> @af.job
        ... def greet(name): return f"hello {name}"
        >>> @af.workflow(start_on=af.event("guest"))
        ... def welcome(name: str = "you"):
        ...     greet(name)
        >>> with tempfile.TemporaryDirectory() as home, af.Project("inn", home=home) as project:
        ...     trigger = project.triggers.register(welcome)
        ...     event = project.publish("guest", {"name": "Ada"})
        ...     project.serve(welcome, until=lambda: bool(project.executions.list(status="SUCCESS")))
        ...     project.executions.list()[0].result("greet")
        'hello Ada'
        """
        from aiflow.serving import Server, serve_until

        self._check_open()
        at_once = (start,) if isinstance(start, Workflow) else tuple(start)
        for one in (*workflows, *at_once):
            if not isinstance(one, Workflow):
                raise ParameterError(f"serve takes workflows (functions with @af.workflow), not {one!r}")
        if not workflows:
            raise ParameterError("serve needs to know which workflows may be started: project.serve(first, second)")
        with self._shared.driving(), Server(self, workflows) as server:
            for one in at_once:
                self.start(one)
            serve_until(server, until)

    def recover(self, _passed_over: set[str] | None = None) -> list[Execution]:
        """Go on with the INTERRUPTED executions whose workflows are defined in this process."""
        self._check_open()
        taken = []
        for execution in self.executions.list(status="INTERRUPTED", limit=None):
            if _passed_over is not None and execution.id in _passed_over:
                continue
            if is_defined_here(execution.workflow, execution.source) and not execution.is_experiment:
                try:
                    self._resume(execution, and_run=False)
                    taken.append(execution)
                except (
                    Conflict,
                    GraphError,
                    NotFound,
                    OffsetPruned,
                    ParameterError,
                ) as error:  # that one stays; the others go on
                    told = {"execution_id": execution.id, "workflow": execution.workflow}
                    logger.warning("execution %s stays INTERRUPTED: %s", execution.id, error, extra=told)
                    if _passed_over is not None:
                        _passed_over.add(execution.id)
        return taken

    def _resume(self, execution: Execution, and_run: bool = True, take_over: bool = False) -> None:
        self._launcher.resume(execution, and_run, take_over)
        self._shared.drive_if_nobody_does()

    def prune(
        self,
        *,
        executions: int | None = None,
        days: float | None = None,
        events: int | None = None,
        blobs: int | str | None = None,
        dry_run: bool = False,
        vacuum: bool = False,
    ) -> Pruned:
        """Delete what is beyond the limits and what nobody needs any more, in small steps, also while others use the home.

        Limits that are not given are those of `keep`; without any, only what no row names is swept up. What running and
        interrupted executions, triggers, schedules, durable subscriptions and cached values need stays in any case.

        Parameters
        ----------
        executions, days, events, blobs
            Keep so many executions that have ended; what is younger; so many events; so many bytes of values in files.
        dry_run
            Delete nothing, and tell what would go.
        vacuum
            Give free space back to the file system: the database is written anew, and others cannot write meanwhile.
            Otherwise it is used for what comes.

        Returns
        -------
        Pruned
            What went, and the sizes before and after.

        Raises
        ------
        ParameterError
            If a limit does not fit.
        Conflict
            If another process prunes the home all the while.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     made = project.publish_many(["tick"] * 5)
        ...     pruned = project.prune(events=2)
        ...     (pruned.went["events"], project.events.count())
        (3, 2)
        """
        from aiflow.pruning import Pruner

        self._check_open()
        said = {"executions": executions, "days": days, "events": events, "blobs": blobs}
        keep = self._keep | read_keep(said, "the argument")
        engine = None if dry_run and not self._shared.has_engine else self._shared.engine
        pruned = Pruner(self._store, self._clock, engine, keep, dry_run=dry_run).run()
        if not vacuum or dry_run:
            return pruned
        self._store.shrink()
        return replace(pruned, after=self._store.size)

    # --- opening and closing ----------------------------------------------------------------------------------------

    def _log_path(self, execution_id: str, job: str, number: int, attempt: int) -> Path:
        return log_path(self.home, RunKey(execution_id, job, number, attempt))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(
                f"the project {self.name!r} is closed; open it again with af.Project({self.name!r}, home={str(self.home)!r})"
            )

    def close(self, *, detach: bool = False, timeout: float = 10.0) -> None:
        """Close the project: wait up to `timeout` seconds for what it runs, then stop it.

        Parameters
        ----------
        detach
            Leave what runs as INTERRUPTED, for a later `recover`; jobs are ended at once.
        """
        if self._closed:
            return
        try:
            if self._shared.has_engine and self._shared.users == 1 and not detach:
                self._finish(timeout)
            if self._shared.users == 1:
                finish(self._shared)
                self._shared.await_told()
        finally:
            self._closed = True
            with guard:
                global _default
                if _default is self:
                    _default = None
                    atexit.unregister(self.close)
                if self in self._shared.projects:
                    self._shared.projects.remove(self)
            self._shared.release()

    def _finish(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        lives = [live for live in self._shared.engine.lives.values() if not live.is_trigger]
        for live in lives:
            self._shared.drive_until(live.ended, deadline, live)
        left = [live for live in lives if not live.ended.is_set()]
        for live in left:
            self.executions.get(live.execution_id).stop("the project was closed")
        for live in left:
            self._shared.drive_until(live.ended, time.monotonic() + 15.0, live)

    def __enter__(self) -> Self:
        _entered.append(self)
        self._tokens.append(_within.set((current_or_none(), self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in _entered:
            _entered.remove(self)
        with contextlib.suppress(ValueError):  # left in another context than it was entered in
            _within.reset(self._tokens.pop())
        self.close(timeout=10.0 if kind is None else 0.0)


def _log_quiet(execution: Execution, text: str, is_busy: bool) -> None:
    level = logging.INFO if is_busy else logging.WARNING
    told = {"execution_id": execution.id, "workflow": execution.workflow}
    logger.log(level, "execution %s of %s waits for %s", execution.id, execution.workflow, text, extra=told)


def project() -> Project:
    """Give the current project: the job's own inside a job, that of the innermost `with`, else the default one.

    The default one is opened on first use; see `Project` for where its home is.
    """
    global _default
    job = current_or_none()
    if job is not None:
        inside = _within.get()
        if inside is not None and inside[0] is job:
            return inside[1]
        found = job.project
        if found is not None:
            return found  # type: ignore[no-any-return]
    with guard:
        if _entered:
            return _entered[-1]
        if _default is None or _default._closed:
            _default = Project()
            atexit.register(_default.close)
        return _default


def project_of(home: str) -> Project:
    """Give the project of a home: that of the running job if it is there, else one that is open in this process.

    Raises
    ------
    StoreError
        If none is.
    """
    job = current_or_none()
    if job is not None and (own := job.project) is not None and str(own.home) == home:
        return own  # type: ignore[no-any-return]
    with guard:
        found = projects_in(Path(home))
    if not found:
        raise StoreError(f"the home {home} is not open in this process: open it with af.Project(home={home!r}) first")
    return found[-1]


def publish(key: str, value: Any = None, **more: Any) -> Event:
    """Publish through the current project; see `Project.publish`."""
    return project().publish(key, value, **more)


def subscribe(callback: Callable[[Event], Any], **more: Any) -> Subscription:
    """Subscribe through the current project; see `Project.subscribe`."""
    return project().subscribe(callback, **more)


def open_in_child(home: str, name: str) -> Project:
    """Open the project of a job in the job's own process."""
    return Project(name, home=home)
