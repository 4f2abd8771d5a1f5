"""What users hold: a project. The composition root, the only place that picks implementations.

Knows nothing of how anything is done.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiflow.clock import Clock, SystemClock
from aiflow.engine import Engine
from aiflow.errors import Conflict, GraphError, NotFound, ParameterError, RunnerError, StoreError
from aiflow.eventlog import EventLog
from aiflow.events.deliveries import Subscription
from aiflow.execution import Execution
from aiflow.graph.building import Graph, differences
from aiflow.graph.event import Draft, Event, EventType
from aiflow.graph.execution import ENDED, RunKey
from aiflow.graph.params import Secret, json_text, stored as stored_params
from aiflow.graph.plan import Plan
from aiflow.graph.workflow import Workflow, defined
from aiflow.live import Live, log_path
from aiflow.provenance import provenance
from aiflow.runners import output
from aiflow.runners.base import Runner
from aiflow.runners.context import current_or_none
from aiflow.settings import Settings, load_settings
from aiflow.store.connection import find_store
from aiflow.store.log import EventFilter
from aiflow.store.store import Store, document_hash
from aiflow.turns import Entry
from aiflow.values.codec import Stored
from aiflow.views import Executions, Jobs, Workflows

__all__ = ["Project", "project"]

_guard = threading.RLock()
_homes: dict[Path, _Home] = {}
_entered: list[Project] = []
_default: Project | None = None


class _Home:
    """One opened home of this process: shared by all projects that were opened in it."""

    def __init__(self, settings: Settings, clock: Clock, default_runner: str) -> None:
        self.settings, self.clock, self.default_runner = settings, clock, default_runner
        self.home = settings.home
        self.store = Store(settings.home, durability=settings.durability)
        self.users = 0
        self.projects: list[Project] = []
        self.bells: set[threading.Event] = set()
        self.drivers = 0
        self._engine: Engine | None = None

    @property
    def workers(self) -> int:
        """How many jobs run at a time on threads, and in processes."""
        return self.settings.workers or min(32, (os.cpu_count() or 1) + 4)

    @property
    def engine(self) -> Engine:
        """The engine, made when it is first needed."""
        with _guard:
            if self._engine is None:
                self.store.claim_owner(self.clock.now())
                output.capture()
                self._engine = Engine(
                    self.store, self.clock, self._runner, limits=self.settings.limits,
                    project_of=lambda _: self.projects[0] if self.projects else None, hooks=self._observer(),
                )  # fmt: skip
                self._engine.on_failure = self._call_on_failure
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
                subprocess.run(argv, shell=isinstance(argv, str), env={**os.environ, **told}, check=True, stdin=subprocess.DEVNULL)
        except Exception:  # foreign code
            output_logger().exception("on_failure of %s failed", job or live.workflow)

    def _observer(self) -> Callable[[Any], None] | None:
        from aiflow import hooks

        return self._observe if hooks.has_observers() else None

    def _observe(self, events: Any) -> None:
        """Tell plugins what was committed; their trouble is logged and changes nothing."""
        from aiflow import hooks

        project = self.projects[0] if self.projects else None
        if project is None:
            return
        for event in events:
            hooks.tell("aiflow_event_recorded", event=event)
            status = event.value.get("status") if isinstance(event.value, dict) else None
            if event.type == EventType.JOB_STATUS_CHANGED and status in ("RUNNING", *ENDED):
                hook = "aiflow_job_started" if status == "RUNNING" else "aiflow_job_ended"
                hooks.tell(hook, execution=project.executions.get(event.execution_id).job(event.key[4:]))
            elif event.type == EventType.EXECUTION_STATUS_CHANGED and status in ("SUCCESS", "FAILED", "STOPPED"):
                hooks.tell("aiflow_execution_ended", execution=project.executions.get(event.execution_id))

    @property
    def has_engine(self) -> bool:
        """Whether anything was started here yet."""
        return self._engine is not None

    def encode(self, value: Any, what: str) -> Stored:
        """Serialise a value."""
        return self.store.codec.encode(value, what)

    def _runner(self, name: str) -> Runner:
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
        from aiflow.hooks import plugin_runners

        found = plugin_runners()
        if name not in found:
            raise NotFound("runner", name, ["thread", "process", "inline", "command", "observe", *found])
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

    def ring(self) -> None:
        """Wake those who wait and run inline jobs."""
        for bell in list(self.bells):
            bell.set()

    def release(self) -> None:
        """One user less; the last one closes everything."""
        with _guard:
            self.users -= 1
            if self.users:
                return
            _homes.pop(self.home, None)
            engine, self._engine = self._engine, None
        if engine is not None:  # outside of the guard: a turn that is under way may want it
            engine.close()
            output.release()
        self.store.close()


class Project:
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
        clock: Clock | None = None,
        plugins: Iterable[Any] | None = None,
        _make: bool = True,
        _runner: str = "thread",
    ) -> None:
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise ParameterError(f"a project's name must be a text that is not empty, not {name!r}")
        settings = load_settings(name=name, home=home, durability=durability, workers=workers)
        if not _make and not find_store(settings.home).exists():
            raise StoreError(f"there is no home at {settings.home}; run a workflow there first, or name another with --home or AIFLOW_HOME")
        with _guard:
            shared = _homes.get(settings.home)
            if shared is None:
                shared = _Home(settings, clock or SystemClock(), _runner)
                _homes[settings.home] = shared
            shared.users += 1
            shared.projects.append(self)
        self._shared, self._closed = shared, False
        self._store, self._clock = shared.store, shared.clock
        known = self._store.meta("name")
        self.name: str = settings.name if name is not None and settings.name else known or settings.name or "default"
        if known is None:
            self._store.set_meta("name", self.name)
        if plugins:
            from aiflow.hooks import register

            for plugin in plugins:
                register(plugin)

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
            return draft
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
        for what, text in (("key", key), ("type", type), ("namespace", namespace), ("sender", sender), ("dedupe_key", dedupe_key)):
            if text is None and what != "key":
                continue
            if not isinstance(text, str) or not text:
                raise ParameterError(f"an event's {what} must be a text that is not empty, not {text!r}")
            if not text.isprintable():
                _check_text(text, f"an event's {what}")
        if context is not ... and context is not None and not isinstance(context, str):
            raise ParameterError(f"an event's context must be a text or None, not {context!r}")
        kind = str(type) if type is not None else "UNDEFINED"
        json_text(value, f"the value of event {key!r}")
        job = current_or_none()
        if job is not None:
            job.check_alive()
            if context is ...:
                context = job.execution_id
            sender = sender or job.job
        execution_id = job.execution_id if job is not None else None
        return Draft(key, value, kind, namespace or self.name, sender, None if context is ... else context, execution_id, 0.0, dedupe_key)

    def _publish(self, drafts: list[Draft]) -> list[Event]:
        self._check_open()
        events = self._shared.engine.publish(None, drafts)
        self._drive_if_nobody_does()
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
        """
        self._check_open()
        if not callable(callback):
            raise ParameterError(f"subscribe takes a function of an event, not {callback!r}")
        position = None if since in (None, "now") else self.events.position(since, "now")
        return self._shared.engine.subscribe(callback, EventFilter(keys, types, namespaces, senders), position, name, self.name)

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
        execution = self._launch(workflow, graph, bound, context, only, start_from, dict(given or {}))
        self._drive_if_nobody_does()
        return execution

    def run(self, workflow: Workflow, *, check: bool = True, timeout: float | None = None, **more: Any) -> Execution:
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
        execution = self.start(workflow, **more)
        return self.wait_for(execution, check=check, timeout=timeout)

    def wait_for(self, execution: Execution, *, check: bool = True, timeout: float | None = None) -> Execution:
        """Wait as `run` does: an interrupt stops the execution gracefully, a second one at once."""
        try:
            execution.wait(timeout)
        except TimeoutError:
            execution.stop(f"took longer than {timeout:g} s").wait()
            raise TimeoutError(f"execution {execution.id} of {execution.workflow} took longer than {timeout:g} s and was stopped") from None
        except KeyboardInterrupt:
            execution.stop("interrupted").wait()
            raise
        return execution.check() if check else execution

    async def arun(self, workflow: Workflow, *, check: bool = True, timeout: float | None = None, **more: Any) -> Execution:
        """Do what `run` does, for async code: the event loop is free meanwhile. Cancelling it stops the execution."""
        execution = await asyncio.to_thread(self.start, workflow, **more)
        try:
            await asyncio.to_thread(execution.wait, timeout)
        except TimeoutError:
            await asyncio.to_thread(lambda: execution.stop(f"took longer than {timeout:g} s").wait())
            raise TimeoutError(f"execution {execution.id} of {execution.workflow} took longer than {timeout:g} s and was stopped") from None
        except asyncio.CancelledError:
            execution.stop("cancelled")
            raise
        return execution.check() if check else execution

    def recover(self) -> list[Execution]:
        """Go on with the INTERRUPTED executions whose workflows are defined in this process."""
        self._check_open()
        taken = []
        for execution in self.executions.list(status="INTERRUPTED", limit=None):
            if execution.workflow in defined:
                try:
                    taken.append(execution.resume())
                except Conflict as error:
                    output_logger().warning("%s", error)
        return taken

    def _launch(
        self, workflow: Workflow, graph: Graph, bound: Mapping[str, Any], context: str | None, only: Any, start_from: Any, given: dict[str, Any]
    ) -> Execution:
        chosen = _choose(graph, only, start_from, given)
        plan = self._plan(workflow, graph, chosen, given)
        self._shared.check_runners(plan)
        part = self._part(workflow, plan, chosen, given)
        text = json.dumps(graph.definition(), separators=(",", ":"))
        params, execution_id = json_text(stored_params(bound), "the parameters"), _new_id()
        namespace = workflow.namespace or self.name
        live = Live(plan, execution_id, namespace, context, _resolved(bound), self._store, workflow.name)
        live.secrets.update(_secrets(bound))
        live.on_failure = workflow.options.get("on_failure")
        self._give(live, part, given)
        engine, store = self._shared.engine, self._store
        source = workflow.source

        def insert() -> None:
            now = self._clock.now()
            writer = store.writer
            writer.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (document_hash(text), text))
            writer.execute(
                "INSERT INTO workflows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "description = excluded.description, source = excluded.source, updated = excluded.updated",
                (namespace, workflow.name, workflow.description, source, now, now),
            )
            writer.execute(
                "INSERT INTO executions (id, workflow, namespace, status, params, context, owner, definition, source, part, first_offset, created, started) "
                "VALUES (?, ?, ?, 'RUNNING', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (execution_id, workflow.name, namespace, params, context, store.owner_id, document_hash(text), source,
                 json.dumps(part) if part else None, engine.head, now, now),
            )  # fmt: skip

        engine.begin(live, insert)
        engine.later(partial(self._record_provenance, engine, execution_id, source))
        return self.executions.get(execution_id)

    def _plan(self, workflow: Workflow, graph: Graph, chosen: set[str] | None, given: Mapping[str, Any]) -> Plan:
        return Plan(graph, chosen, given=given, stop_on=workflow.stop_condition, ends=workflow.ends, runner=self._shared.default_runner)

    def _record_provenance(self, engine: Engine, execution_id: str, source: str) -> None:
        text = json.dumps(_provenance(source))

        def apply() -> None:
            name = self._store.put_document(text)
            engine.write("UPDATE executions SET provenance = ? WHERE id = ?", (name, execution_id))

        try:
            engine.submit(Entry(apply))
        except StoreError:  # the project was closed meanwhile
            return

    def _part(self, workflow: Workflow, plan: Plan, chosen: set[str] | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
        if chosen is None and not given:
            return None
        kept = {n: _portable(self._shared.encode(v, f"the given value of job {n!r}")) for n, v in given.items()}
        taken = {}
        for vertex in plan.vertices:
            if vertex.given and vertex.name not in given:
                taken[vertex.name] = self._latest_result(workflow, vertex.name)
        return {"only": sorted(chosen) if chosen is not None else None, "given": kept, "from": taken}

    def _latest_result(self, workflow: Workflow, job: str) -> list[Any]:
        row = self._store.row(
            "SELECT e.id, j.number FROM job_executions j JOIN executions e ON e.id = j.execution_id WHERE e.workflow = ? AND e.namespace = ? "
            "AND j.job = ? AND j.status = 'SUCCESS' AND j.codec IS NOT NULL ORDER BY j.ended DESC LIMIT 1",
            (workflow.name, workflow.namespace or self.name, job),
        )
        if row is None:
            raise ParameterError(
                f"the value of job {job!r} is needed, and no execution of {workflow.name!r} has it yet; give it with given={{{job!r}: …}}, or run the job"
            )
        return list(row)

    def _give(self, live: Live, part: dict[str, Any] | None, given: Mapping[str, Any]) -> None:
        if part is None:
            return
        for name, value in given.items():
            live.given[live.plan.by_name[name]] = value
        for name, (execution_id, number) in part["from"].items():
            live.given_from[live.plan.by_name[name]] = (execution_id, number)

    def _resume(self, execution: Execution) -> None:
        status = execution.status
        if status in ("RUNNING", "STOPPING"):
            raise Conflict(f"execution {execution.id} is {status} in a living process; it cannot be resumed")
        if status == "SUCCESS":
            raise Conflict(f"execution {execution.id} has succeeded; there is nothing to resume")
        live = self._rebuilt(execution)
        self._shared.check_runners(live.plan)
        ended = status.is_ended
        request = Draft(
            "execution:" + execution.workflow, {"action": "resume"}, str(EventType.REQUESTED), execution.namespace, None, execution.id, execution.id
        )
        sql = "UPDATE executions SET owner = ?, epoch = epoch + 1, ended = NULL WHERE id = ? AND epoch = ? AND owner IS ?"
        values = (self._store.claim_owner(self._clock.now()), execution.id, execution._epoch, execution._owner)
        if not self._shared.engine.take(live, (sql, values), request if ended else None):
            raise Conflict(f"execution {execution.id} was just taken by another process")
        self._drive_if_nobody_does()

    def _rebuilt(self, execution: Execution) -> Live:
        """Make what this process holds of an execution anew, from what is recorded; its state is not loaded yet."""
        graph, bound, workflow = self._rebuild(execution)
        part = execution._part
        given = {n: self._store.codec.decode(_from_portable(s)) for n, s in (part or {}).get("given", {}).items()}
        chosen = None if part is None or part["only"] is None else set(part["only"])
        plan = self._plan(workflow, graph, chosen, given)
        live = Live(plan, execution.id, execution.namespace, execution.context, _resolved(bound), self._store, workflow.name)
        live.secrets.update(_secrets(bound))
        live.on_failure = workflow.options.get("on_failure")
        live.cause = execution._event_offset
        self._give(live, part, given)
        return live

    def _rebuild(self, execution: Execution) -> tuple[Graph, Mapping[str, Any], Workflow]:
        """Build the body again, and refuse if the structure is another than it was (rule 34)."""
        workflow = defined.get(execution.workflow)
        if workflow is None:
            where = f" (it was defined in {execution.source})" if execution.source else ""
            raise NotFound("workflow", execution.workflow + where, defined)
        try:
            bound = workflow.bind(execution.params)
            graph = workflow.build_bound(bound)
        except (GraphError, ParameterError) as error:
            raise Conflict(f"execution {execution.id} cannot be resumed: its workflow cannot be built any more: {error}") from error
        old = self._store.document(execution._definition)
        found = differences(old, graph.definition()) if old else []
        if found:
            raise Conflict(
                f"execution {execution.id} cannot be resumed: the workflow {workflow.name!r} is not what it was started with:\n  "
                + "\n  ".join(found)
                + "\nUndo that, or start a new execution (start_from=… takes over what has succeeded)."
            )
        return graph, bound, workflow

    def _graph_of(self, execution: Execution) -> Graph:
        return self._rebuild(execution)[0]

    # --- waiting ----------------------------------------------------------------------------------------------------

    def _live(self, execution_id: str) -> Live | None:
        if not self._shared.has_engine:
            return None
        return self._shared.engine.lives.get(execution_id) or self._shared.engine.recent.get(execution_id)

    def _drive_until(self, done: threading.Event, deadline: float | None, live: Live | None = None) -> bool:
        """Wait for `done`, and run inline jobs here meanwhile; tell whether it came before `deadline`."""
        shared = self._shared
        bell = threading.Event()
        with _guard:
            shared.bells.add(bell)
            shared.drivers += 1
        if live is not None:
            live.watchers.append(bell.set)
        try:
            while not done.is_set():
                bell.clear()
                inline = shared.engine.performer.runners.get("inline") if shared.has_engine else None
                if inline is not None and inline.drive():  # type: ignore[attr-defined]
                    continue
                if done.is_set():
                    break
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                bell.wait(left if live is not None else min(left or 0.05, 0.05))
            return True
        finally:
            with _guard:
                shared.bells.discard(bell)
                shared.drivers -= 1

    def _drive_if_nobody_does(self) -> None:
        """Run inline jobs on this thread, the calling one, unless somebody waits and runs them."""
        shared = self._shared
        if not shared.has_engine or shared.drivers or current_or_none() is not None:
            return
        inline = shared.engine.performer.runners.get("inline")
        if inline is None or shared.engine.deliveries.is_own_thread():
            return
        with _guard:
            if shared.drivers:
                return
            shared.drivers += 1
        try:
            while inline.drive():  # type: ignore[attr-defined]
                pass
        finally:
            with _guard:
                shared.drivers -= 1

    def _settle(self, timeout: float = 30.0) -> None:
        """Run inline jobs here and wait for all others, until nothing is under way and nobody waits in line."""
        if not self._shared.has_engine:
            return
        engine, deadline, pause = self._shared.engine, time.monotonic() + timeout, threading.Event()
        while True:
            inline = engine.performer.runners.get("inline")
            while inline is not None and inline.drive():  # type: ignore[attr-defined]
                pass
            if engine.is_idle() and not (inline is not None and inline.waiting):  # type: ignore[attr-defined]
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"something still runs after {timeout:g} s")
            pause.wait(0.001)

    # --- opening and closing ----------------------------------------------------------------------------------------

    def _log_path(self, execution_id: str, job: str, number: int, attempt: int) -> Path:
        return log_path(self.home, RunKey(execution_id, job, number, attempt))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the project {self.name!r} is closed; open it again with af.Project({self.name!r}, home={str(self.home)!r})")

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
        finally:
            self._closed = True
            with _guard:
                global _default
                if _default is self:
                    _default = None
                    atexit.unregister(self.close)
                if self in self._shared.projects:
                    self._shared.projects.remove(self)
            self._shared.release()

    def _finish(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        lives = list(self._shared.engine.lives.values())
        for live in lives:
            self._drive_until(live.ended, deadline, live)
        left = [live for live in lives if not live.ended.is_set()]
        for live in left:
            self.executions.get(live.execution_id).stop("the project was closed")
        for live in left:
            self._drive_until(live.ended, time.monotonic() + 15.0, live)

    def __enter__(self) -> Self:
        _entered.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self in _entered:
            _entered.remove(self)
        self.close(timeout=10.0 if kind is None else 0.0)


def project() -> Project:
    """Give the current project: the job's own inside a job, that of the innermost `with`, else the default one.

    The default one is opened on first use; see `Project` for where its home is.
    """
    global _default
    job = current_or_none()
    if job is not None:
        found = job.project
        if found is not None:
            return found  # type: ignore[no-any-return]
    with _guard:
        if _entered:
            return _entered[-1]
        if _default is None or _default._closed:
            _default = Project()
            atexit.register(_default.close)
        return _default


def publish(key: str, value: Any = None, **more: Any) -> Event:
    """Publish through the current project; see `Project.publish`."""
    return project().publish(key, value, **more)


def subscribe(callback: Callable[[Event], Any], **more: Any) -> Subscription:
    """Subscribe through the current project; see `Project.subscribe`."""
    return project().subscribe(callback, **more)


def open_in_child(home: str, name: str) -> Project:
    """Open the project of a job in the job's own process."""
    return Project(name, home=home)


def output_logger() -> Any:
    """Give the logger of projects."""
    import logging

    return logging.getLogger("aiflow.project")


_recent_provenance: dict[str, tuple[float, dict[str, Any]]] = {}


def _provenance(source: str) -> dict[str, Any]:
    """Ask git no more than once in five seconds for the same file."""
    known = _recent_provenance.get(source)
    if known is None or time.monotonic() - known[0] > 5.0:
        known = _recent_provenance[source] = (time.monotonic(), provenance(source))
    return known[1]


def _new_id() -> str:
    """Give an id that nobody has: letters and digits, easy to type; the command line takes its first characters."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "".join(secrets.choice(alphabet) for _ in range(12))


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"{what} has a character that cannot be stored (half of a surrogate pair): {text!r}") from error


def _names(value: str | Iterable[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)


def _choose(graph: Graph, only: Any, start_from: Any, given: Mapping[str, Any]) -> set[str] | None:
    """Find the jobs to run."""
    for name in (*(_names(only) or ()), *(_names(start_from) or ()), *given):
        graph.nodes[name]  # raises NotFound with close names
    if only is None and start_from is None:
        return None
    chosen = set(_names(only) or ())
    todo = _names(start_from) or []
    down: dict[str, list[str]] = {}
    for edge in graph.edges:
        down.setdefault(edge.source, []).append(edge.target)
    while todo:
        name = todo.pop()
        if name not in chosen:
            chosen.add(name)
            todo += down.get(name, ())
    return chosen


def _resolved(bound: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters as jobs see them: secrets looked up."""
    return {k: v.resolve(os.environ) if isinstance(v, Secret) else v for k, v in bound.items()}


def _secrets(bound: Mapping[str, Any]) -> set[str]:
    return {v.resolve(os.environ) for v in bound.values() if isinstance(v, Secret)}


def _portable(value: Stored) -> list[Any]:
    data = value.data
    return [value.codec, {"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else data, value.blob, value.size]


def _from_portable(value: list[Any]) -> Stored:
    codec, data, blob, size = value
    return Stored(codec, base64.b64decode(data["base64"]) if isinstance(data, dict) else data, blob, size)
