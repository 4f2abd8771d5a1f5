"""Serves triggers: goes on with those that nobody serves, and starts the executions that they ask for (rule 25).

Knows nothing of conditions: a trigger is an execution of one job (`graph/trigger.py`), and this is that job's runner.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiflow.clock import Clock, as_timestamp
from aiflow.errors import AIFlowError, Conflict, NotFound, StoreError
from aiflow.graph.condition import Condition
from aiflow.graph.event import Event
from aiflow.graph.job import seconds
from aiflow.graph.notation import from_json
from aiflow.graph.plan import STARTER
from aiflow.graph.trigger import params_of, trigger_plan
from aiflow.graph.workflow import Workflow
from aiflow.launching import folder_of
from aiflow.live import JobWork, Live
from aiflow.runners.base import Ended, failure_of
from aiflow.triggers import Trigger

if TYPE_CHECKING:
    from aiflow._project import Project

__all__ = ["LOOK", "Server", "serve_until"]

logger = logging.getLogger(__name__)
LOOK = 5.0
"""Seconds between two looks for triggers and executions that nobody takes care of any more."""

PRUNE = 60.0
"""Seconds between two prunings."""

_STEP = 0.1
"""Seconds between two questions whether it is enough."""


class Server:
    """Serves the triggers of some workflows; a context manager.

    Parameters
    ----------
    project
        Whose triggers.
    workflows
        What may be started; those with `start_on` are registered.
    prune_each
        Seconds between two prunings, if the project's `keep` says how much is kept.
    """

    def __init__(self, project: Project, workflows: Iterable[Workflow], prune_each: float = PRUNE) -> None:
        self.project = self._project = project
        self._workflows = {(w.namespace or project.name, w.name): w for w in workflows}
        self._lives: dict[str, Live] = {}
        self._refused: set[str] = set()
        self._looked = 0.0
        self._is_asked = False
        self._pruning: threading.Thread | None = None
        self._prune_each, self._pruned_at = prune_each, -math.inf
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        starter = Starter(self._project, self._workflow_of)
        self._project._shared.engine.performer.add_runner(STARTER, starter)
        for workflow in self._workflows.values():
            if workflow.start_condition is not None:
                self._project.triggers.register(workflow)
            else:
                self._project.workflows.register(workflow)
        self._ears = self._project.subscribe(self._hear, keys="trigger:*", types="EXECUTION_STATUS_CHANGED")
        self.look()
        return self

    def _hear(self, event: Event) -> None:
        self._is_asked = True  # somebody has registered a trigger

    def wants_to_look(self) -> bool:
        """Tell whether somebody has registered a trigger since the last look; once."""
        was_asked, self._is_asked = self._is_asked, False
        return was_asked

    def look_now_and_then(self) -> None:
        """Look if `LOOK` seconds have passed, or if a trigger was registered."""
        if self._is_asked or time.monotonic() - self._looked >= LOOK:
            self.look()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()

    def _workflow_of(self, namespace: str, name: str) -> Workflow:
        found = self._workflows.get((namespace, name))
        if found is None:
            raise NotFound("workflow", name, [n for _, n in self._workflows])
        return found

    def look(self) -> None:
        """Take over what nobody takes care of: triggers, and INTERRUPTED executions of these workflows."""
        self._looked, self._is_asked = time.monotonic(), False
        self._project.recover(self._refused)  # first: what a trigger has started and still runs holds up its next start
        for trigger in self._triggers():
            live = self._lives.get(trigger.id)
            if (live is None or live.ended.is_set()) and not trigger.served:
                self._serve(trigger)
        self._prune_now_and_then()

    def _prune_now_and_then(self) -> None:
        """Begin to prune on a thread, unless that was done a moment ago, is under way, or nothing says how much to keep."""
        is_at_work = self._pruning is not None and self._pruning.is_alive()
        if self._project._keep and not is_at_work and time.monotonic() - self._pruned_at >= self._prune_each:
            self._pruned_at = time.monotonic()
            self._pruning = threading.Thread(target=self._prune, name="aiflow-pruning", daemon=True)
            self._pruning.start()

    def _prune(self) -> None:
        from aiflow.pruning import Pruner

        project = self._project
        try:
            engine = project._shared.engine
            pruner = Pruner(project._store, project._clock, engine, project._keep, stop=self._stop)
            pruned = pruner.run(wait=False, measure=False)
        except Conflict:  # another process is at it
            return
        except AIFlowError as error:  # the disk is full, say; it is tried again in a while
            logger.warning("Pruning was not finished: %s", error)
            return
        if pruned.went:
            logger.info("Pruned: %s", ", ".join(f"{count} {name}" for name, count in pruned.went.items()))

    def _triggers(self) -> list[Trigger]:
        every = [*self._project.triggers.list(limit=None), *self._project.schedules.list(limit=None)]
        return [t for t in every if (t.namespace, t.workflow) in self._workflows]

    def _serve(self, trigger: Trigger) -> None:
        workflow = self._workflows[trigger.namespace, trigger.workflow]
        condition = self._condition_of(trigger, workflow)
        if condition is None:
            return
        project = self._project
        plan = trigger_plan(
            trigger.name, condition, trigger.if_running, trigger.max_parallel, folder_of(workflow.source)
        )
        live = Live(plan, trigger.id, trigger.namespace, None, trigger.params, project._store, trigger.workflow)
        live.table, live.first_offset = "triggers", trigger.first_offset
        live.snapshot = project._store.snapshot("triggers", trigger.id)
        owner = project._store.claim_owner(project._clock.now())
        sql = "UPDATE triggers SET owner = ?, epoch = epoch + 1 WHERE id = ? AND epoch = ? AND owner IS ?"
        if project._shared.engine.take(live, (sql, (owner, trigger.id, trigger.epoch, trigger.owner))):
            self._lives[trigger.id] = live
            told = {"trigger": trigger.name, "workflow": trigger.workflow}
            logger.info("Serves %s: %s on %s", trigger.name, trigger.workflow, trigger.condition, extra=told)

    def _condition_of(self, trigger: Trigger, workflow: Workflow) -> Condition | None:
        if not trigger.declared and trigger.notation is not None:
            return from_json(json.loads(trigger.notation))
        declared = workflow.start_condition
        if declared is None or str(declared) != trigger.condition:
            if trigger.id not in self._refused:
                self._refused.add(trigger.id)
                logger.warning(
                    "The trigger %s waits for %s, which is not in the code any more",
                    trigger.name,
                    trigger.condition,
                    extra={"trigger": trigger.name, "workflow": trigger.workflow},
                )
            return None
        return declared

    def let_go(self) -> None:
        """Serve nothing any more; what was started goes on, and what comes now is handled at the next serve."""
        self._ears.close()
        self._stop.set()
        if self._pruning is not None:
            self._pruning.join(10.0)
        if self._project._shared.has_engine:  # else the project was closed, which has let go of all
            self._project._shared.engine.let_go([live for live in self._lives.values() if not live.ended.is_set()])
        self._lives.clear()


def serve_until(server: Server, until: datetime | float | timedelta | Callable[[], bool] | None) -> None:
    """Serve on the calling thread, which runs inline jobs meanwhile; look every `LOOK` seconds for what nobody serves."""
    project = server.project
    is_over = _end_of(until, project._clock)
    nothing = threading.Event()
    while not is_over():
        project._shared.drive_until(nothing, time.monotonic() + _STEP)
        server.look_now_and_then()


def _end_of(until: datetime | float | timedelta | Callable[[], bool] | None, clock: Clock) -> Callable[[], bool]:
    if until is None:
        return lambda: False
    if callable(until):
        return until
    end = as_timestamp(until) if isinstance(until, datetime) else clock.now() + seconds(until, "until")
    return lambda: clock.now() >= end


class Starter:
    """The runner of a trigger's job: starts an execution, and is done when that has ended."""

    capacity: int | None = None
    runs_in_place = False

    def __init__(self, project: Project, workflow_of: Callable[[str, str], Workflow]) -> None:
        self._project, self._workflow_of, self._engine = project, workflow_of, project._shared.engine

    def start(self, work: Any, done: Callable[[Any, Ended], Any]) -> None:
        """Start the execution on a worker."""
        self._engine.later(partial(self._start, work, done))

    def _start(self, work: JobWork, done: Callable[[Any, Ended], Any]) -> None:
        trigger, offset = work.live, work.run.start.events[-1]
        try:
            execution_id = self._known(trigger, offset) or self._launch(trigger, offset)
        except BaseException as error:  # params functions and workflow bodies are the user's
            if self._engine.turns.closed:  # who serves next starts it
                return
            told = {"trigger": trigger.plan.key, "workflow": trigger.workflow, "offset": offset}
            if isinstance(error, StoreError):  # there may be room on the disk in a while
                what = "The trigger %s could not start %s, trying again: %s"
                logger.error(what, trigger.plan.key, trigger.workflow, error, extra=told)
                threading.Event().wait(0.5)
                self.start(work, done)
                return
            failure = failure_of(error)
            what = "The trigger %s could not start %s: %s"
            logger.error(what, trigger.plan.key, trigger.workflow, failure, extra=told)
            self._engine.subscriptions.record_failure(offset, trigger.plan.key, str(failure)[:2000])
            done(work, Ended("FAILED", error=failure, retryable=False, reason=str(failure)[:500]))
            return
        self._watch(work, done, execution_id)

    def _known(self, trigger: Live, offset: int) -> str | None:
        """Find the execution that was started for this event before a crash, though it may have been deleted since."""
        sql = "SELECT id FROM executions WHERE trigger_id = ? AND event_offset = ?"
        key = (trigger.execution_id, offset)
        gone = "SELECT 'deleted' FROM deleted_starts WHERE trigger_id = ? AND event_offset = ?"
        row = self._project._store.row(sql, key) or self._project._store.row(gone, key)
        return None if row is None else str(row[0])

    def _launch(self, trigger: Live, offset: int) -> str:
        project = self._project
        workflow = self._workflow_of(trigger.namespace, trigger.workflow)
        event = project._shared.engine.events((offset,))[0]
        choose = workflow.options.get("params")
        bound = workflow.bind(params_of(event, workflow.signature, choose, trigger.params))
        graph = workflow.build_bound(bound)
        started_by = (trigger.execution_id, offset)
        context = None if event.context == trigger.execution_id else event.context  # that was for the trigger alone
        live = project._launcher.launch(workflow, graph, bound, context, None, None, {}, started_by)
        return live.execution_id

    def _watch(self, work: JobWork, done: Callable[[Any, Ended], Any], execution_id: str) -> None:
        """Be done when the execution has ended; one that no process goes on with does not hold up the next start."""
        shared = self._project._shared
        live = shared.live(execution_id)
        guard, told = threading.Lock(), threading.Event()

        def tell() -> None:
            with guard:
                if told.is_set():
                    return
                told.set()
                work.context.is_resting = False
            self._engine.later(partial(done, work, Ended("SUCCESS")))

        if live is None or live.lost:
            tell()
            return
        live.watchers.append(tell)
        if live.ended.is_set():
            tell()
        with guard:  # not after it was told, not for a moment: all would seem to be at rest
            work.context.is_resting = not told.is_set()
        shared.ring()

    def stop(self, work: Any) -> None:
        """Nothing to do: what was started goes on, and a trigger that is stopped waits for nothing."""

    def close(self) -> None:
        """Nothing to do."""
