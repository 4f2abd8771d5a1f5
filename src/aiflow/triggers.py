"""What starts executions by itself, as users ask for it: `project.triggers` and `project.schedules`.

Knows nothing of how a trigger is served (`serving`): it keeps rows, and says by events what should become of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime, as_timestamp
from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.events.timetable import next_after
from aiflow.graph.card import Card, HasCard, Listing, Note, listed
from aiflow.graph.condition import Any_, Condition, shown
from aiflow.graph.event import Draft, EventType
from aiflow.graph.file import FileCondition
from aiflow.graph.metadata import asking_now
from aiflow.graph.notation import from_json, to_json
from aiflow.graph.params import json_text
from aiflow.graph.pausing import Pause, action_of
from aiflow.graph.timing import Every, TimeCondition
from aiflow.graph.trigger import check_params
from aiflow.launching import folder_of, remember
from aiflow.turns import Entry
from aiflow.views import HasList, where

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.engine import Engine
    from aiflow.graph.workflow import Workflow

__all__ = ["Trigger", "Triggers", "asked", "forget", "look_for_files"]

_ROW = (
    "id, kind, name, namespace, workflow, source, condition, notation, declared, params, if_running, max_parallel, paused, owner, "
    "epoch, first_offset, created, updated, "
    "(SELECT w.paused FROM workflows w WHERE w.namespace = triggers.namespace AND w.name = triggers.workflow)"
)


@dataclass(frozen=True, slots=True)
class Trigger(HasCard):
    """A condition that starts executions of a workflow while somebody serves it.

    Attributes
    ----------
    id, name
        Commands take either; the name is the workflow's, unless another was given.
    kind
        ``"trigger"``, or ``"schedule"`` if nothing but time meets its condition.
    workflow, source, namespace
        What it starts, and the file that defines it.
    condition
        As text.
    params
        Parameters that it gives to each execution; what the event says goes before.
    declared
        Whether the workflow's `start_on` says so; else it was added at run time.
    paused, workflow_paused
        Whether what comes is passed over: because it is paused itself, or the workflow is.
    served
        Whether a living process serves it.
    created, updated
        When it was registered first, and last changed.
    """

    id: str
    kind: str
    name: str
    namespace: str
    workflow: str
    source: str
    condition: str
    params: dict[str, Any]
    if_running: str
    max_parallel: int | None
    paused: bool
    served: bool
    created: datetime
    updated: datetime
    declared: bool = True
    workflow_paused: bool = False
    notation: str | None = field(default=None, repr=False)
    owner: str | None = field(default=None, repr=False)
    epoch: int = field(default=1, repr=False)
    first_offset: int = field(default=0, repr=False)
    _project: Any = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> str:
        """The key of its own events in the log."""
        return f"trigger:{self.name}"

    @property
    def status(self) -> str:
        """``ACTIVE`` or ``PAUSED``, by itself or with its workflow."""
        return "PAUSED" if Pause(self.paused, self.workflow_paused).is_on else "ACTIVE"

    @property
    def next(self) -> datetime | None:
        """When time is due to meet its condition next; None if it does not follow the time, or is paused."""
        if self.kind != "schedule" or self.status == "PAUSED":
            return None
        now = self._project._clock.now()
        dues = [d for leaf in self.leaves() if (d := _next(leaf, as_timestamp(self.created), now)) is not None]
        return as_datetime(min(dues)) if dues else None

    def leaves(self) -> list[Condition]:
        """Give the parts of its condition that are written down."""
        return [] if self.notation is None else list(from_json(json.loads(self.notation)).leaves())

    @property
    def executions(self) -> list[Any]:
        """The executions that it has started, newest first."""
        found: list[Any] = self._project.executions.list(limit=None, trigger_id=self.id)
        return found

    def _row(self) -> dict[str, Any]:
        return {
            self.kind: self.name, "status": self.status, "workflow": self.workflow, "starts on": self.condition,
            "parameters": self.params, "served": "yes" if self.served else "no", "next": self.next,
        }  # fmt: skip

    def _card(self) -> Card:
        facts = {head: value for head, value in self._row().items() if head not in (self.kind, "status")}
        parts = [Note(self.problem)] if self.problem else []
        newest = listed(self.executions, "execution")
        return Card(kind=self.kind, name=self.name, status=self.status, facts=facts, parts=[*parts, newest])

    @property
    def problem(self) -> str | None:
        """What went wrong at its last start that failed, or None."""
        row = self._project._store.row(
            "SELECT error FROM failed_events WHERE handler = ? ORDER BY id DESC LIMIT 1", (self.key,)
        )
        return None if row is None else str(row[0])


class Triggers(HasList):
    """The triggers of workflows, or, as `project.schedules`, those that follow the time.

    Parameters
    ----------
    kind
        Which of the two.
    """

    def __init__(self, project: Project, kind: str = "trigger") -> None:
        super().__init__(project)
        self._noun = self._kind = kind

    def find(self, name_or_id: str) -> Trigger | None:
        """Give one by its id or its name; None if there is none."""
        sql = f"SELECT {_ROW} FROM triggers WHERE kind = ? AND (id = ? OR (name = ? AND namespace = ?))"
        row = self._project._store.row(sql, (self._kind, name_or_id, name_or_id, self._project.name))
        return None if row is None else self._made(row)

    def get(self, name_or_id: str) -> Trigger:
        """Give one by its id or its name.

        Raises
        ------
        NotFound
            If there is none; close names are listed.
        """
        found = self.find(name_or_id)
        if found is None:
            raise NotFound(self._kind, name_or_id, [t.name for t in self.list(limit=None)])
        return found

    def list(self, limit: int | None = 100, offset: int = 0, **filters: Any) -> list[Trigger]:
        """Give all by name; filter by `name`, `workflow`, `namespace`, `paused`."""
        clause, values = where(filters, ("name", "workflow", "namespace", "paused", "id"), f"{self._kind}s")
        sql = f"SELECT {_ROW} FROM triggers WHERE kind = ? AND {clause} ORDER BY namespace, name"
        if limit is not None:
            sql += f" LIMIT {int(limit)} OFFSET {int(offset)}"
        return Listing((self._made(row) for row in self._project._store.rows(sql, (self._kind, *values))), self._kind)

    def _made(self, row: tuple[Any, ...]) -> Trigger:
        (trigger_id, kind, name, namespace, workflow, source, condition, notation, declared, params, if_running, max_parallel,
         paused, owner, epoch, first_offset, created, updated, held) = row  # fmt: skip
        served = self._project._store.is_owner_alive(owner)
        return Trigger(
            trigger_id, kind, name, namespace, workflow, source, condition, json.loads(params), if_running, max_parallel,
            bool(paused), served, as_datetime(created), as_datetime(updated), bool(declared), bool(held), notation, owner, epoch, first_offset, self._project,
        )  # fmt: skip

    # --- changing -----------------------------------------------------------------------------------------------------

    def pause(self, name_or_id: str) -> Trigger:
        """Pass over what comes until `resume`; pausing twice is fine. What it has started goes on."""
        return self._set_paused(self.get(name_or_id), True)

    def resume(self, name_or_id: str) -> Trigger:
        """End a pause; without one, nothing changes."""
        return self._set_paused(self.get(name_or_id), False)

    def _set_paused(self, trigger: Trigger, paused: bool) -> Trigger:
        if trigger.paused is not paused:
            look_for_files(self._project, trigger)
            engine = self._project._shared.engine

            def apply() -> None:
                before = _pause_of(engine, trigger.id)
                if before is None:  # deleted meanwhile
                    return
                action = action_of(before, before._replace(own=paused))
                if action is not None:
                    engine.publish_now([asked(action, trigger.name, trigger.namespace, trigger.id)])
                _update(engine, trigger.id, {"paused": paused, "updated": engine.record.now})

            engine.submit(Entry(apply))
        return self.get(trigger.id)

    def delete(self, name_or_id: str) -> None:
        """Forget it; what it has started goes on. One that a workflow declares comes back when that is served again."""
        trigger, engine = self.get(name_or_id), self._project._shared.engine
        engine.submit(Entry(lambda: forget(engine, trigger.name, trigger.namespace, trigger.id)))

    def register(
        self,
        workflow: Workflow,
        condition: Condition | None = None,
        *,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Trigger:
        """Have executions of a workflow started each time a condition is met, while somebody serves it.

        Registering it again changes nothing; with another condition or other parameters it begins anew: what it had half met
        is forgotten.

        Parameters
        ----------
        workflow
            What is started. Who serves it must have it defined.
        condition
            When; by default the workflow's own `start_on`.
        name
            Unique in the namespace; by default the workflow's, which is that of its own `start_on` if it has one.
        params
            Parameters for each execution.

        Raises
        ------
        ParameterError
            If there is no condition, or a parameter does not fit, or is needed and nothing brings it; nothing is registered.
        Conflict
            If the name is that of another workflow's trigger, or of this workflow's own `start_on`, which is another.
        """
        made = condition if condition is not None else workflow.start_condition
        if condition is not None and not isinstance(condition, Condition):
            raise ParameterError(f"a trigger takes a condition such as af.event('go'), not {shown(condition)}")
        if not isinstance(made, Condition):
            raise ParameterError(
                f"workflow {workflow.name!r} has no start_on, so nothing starts it by itself: give it one, or a condition here"
            )
        if workflow.start_condition not in (None, made) and name in (None, workflow.name):
            raise Conflict(
                f"the name {workflow.name!r} is that of the workflow's own start_on ({workflow.start_condition}); "
                "give this condition another: name=… (--name …)"
            )
        check_params(workflow, made, params or {})
        return self._registered(workflow, made, name or workflow.name, dict(params or {}), condition is None)

    def _registered(
        self, workflow: Workflow, condition: Condition, name: str, params: dict[str, Any], is_declared: bool
    ) -> Trigger:
        project = self._project
        kind = "schedule" if all(isinstance(leaf, TimeCondition) for leaf in condition.leaves()) else "trigger"
        notation = _notation(condition, is_declared)
        text, given = str(condition), json_text(params, "the parameters")
        namespace, engine = workflow.namespace or project.name, project._shared.engine
        options = {
            "source": workflow.source, "if_running": workflow.if_running, "max_parallel": workflow.max_parallel
        }  # fmt: skip

        def apply() -> str:
            row = project._store.writer.execute(
                "SELECT id, workflow, condition, params, epoch FROM triggers WHERE namespace = ? AND name = ?",
                (namespace, name),
            ).fetchone()
            if row is not None and row[1] != workflow.name:
                raise Conflict(f"the name {name!r} is that of a {kind} of workflow {row[1]!r}; give this one another")
            remember(engine, workflow, namespace)
            if row is not None and row[2:4] == (text, given):
                _update(engine, row[0], options)
                return str(row[0])
            trigger_id = row[0] if row is not None else f"t-{project._shared.new_id()}"
            if row is not None:  # whoever serves it must not go on with what it was
                engine.publish_now([asked("taken_over", name, namespace, trigger_id, owner=None)])
            begun = engine.record.append(_begun(name, namespace, trigger_id))
            is_paused = _is_paused(engine, namespace, workflow.name, trigger_id)
            if not is_paused:  # what is so while it is paused is passed over, too
                for finding in engine.findings(asking_now(condition.leaves()), namespace, trigger_id):
                    engine.record.append(finding)
            fields = {
                **options, "kind": kind, "condition": text, "notation": notation, "declared": is_declared,
                "params": given, "first_offset": begun.offset - 1, "updated": engine.record.now,
            }  # fmt: skip
            if row is None:
                named = {"id": trigger_id, "name": name, "namespace": namespace, "workflow": workflow.name}
                _insert(engine, {**named, **fields, "created": engine.record.now})
            else:
                forgotten = {"snapshot": None, "snapshot_offset": None, "owner": None, "epoch": row[4] + 1}
                _update(engine, trigger_id, {**fields, **forgotten})
            if is_paused:
                engine.record.append(asked("pause", name, namespace, trigger_id))
            return str(trigger_id)

        made = engine.submit(Entry(apply)).result
        return Triggers(project, kind).get(made)


def _insert(engine: Engine, fields: dict[str, Any]) -> None:
    places = ", ".join("?" * len(fields))
    engine.store.writer.execute(f"INSERT INTO triggers ({', '.join(fields)}) VALUES ({places})", tuple(fields.values()))


def _update(engine: Engine, trigger_id: str, fields: dict[str, Any]) -> None:
    changes = ", ".join(f"{name} = ?" for name in fields)
    engine.store.writer.execute(f"UPDATE triggers SET {changes} WHERE id = ?", (*fields.values(), trigger_id))


def _pause_of(engine: Engine, trigger_id: str) -> Pause | None:
    """Say whether a trigger and its workflow are paused; only inside a turn. None if it is not there."""
    sql = (
        "SELECT t.paused, coalesce(w.paused, 0) FROM triggers t LEFT JOIN workflows w "
        "ON w.namespace = t.namespace AND w.name = t.workflow WHERE t.id = ?"
    )
    row = engine.store.writer.execute(sql, (trigger_id,)).fetchone()
    return None if row is None else Pause(bool(row[0]), bool(row[1]))


def _is_paused(engine: Engine, namespace: str, workflow: str, trigger_id: str) -> bool:
    """Tell whether a trigger is to be paused that is there, or is about to be; only inside a turn."""
    own = _pause_of(engine, trigger_id)
    sql = "SELECT paused FROM workflows WHERE namespace = ? AND name = ?"
    row = engine.store.writer.execute(sql, (namespace, workflow)).fetchone()
    return Pause(own is not None and own.own, row is not None and bool(row[0])).is_on


def look_for_files(project: Project, trigger: Trigger) -> None:
    """Have the files told that are there by now, before a pause begins or ends: so the log says which came in it."""
    folder, folders = folder_of(trigger.source), project._shared.engine.folders
    for leaf in trigger.leaves():
        if isinstance(leaf, FileCondition):
            folders.look_once(trigger.namespace, leaf.inside(folder))


def forget(engine: Engine, name: str, namespace: str, trigger_id: str) -> None:
    """Delete the row of a trigger, and say so to whoever serves it; only inside a turn."""
    engine.publish_now([asked("stop", name, namespace, trigger_id)])
    engine.store.writer.execute("DELETE FROM triggers WHERE id = ?", (trigger_id,))
    engine.store.writer.execute("DELETE FROM deleted_starts WHERE trigger_id = ?", (trigger_id,))


def _next(leaf: Condition, since: float, now: float) -> float | None:
    if not isinstance(leaf, TimeCondition):
        return None
    if isinstance(leaf, Every):
        return since + max(1, math.ceil((now - since) / leaf.seconds)) * leaf.seconds
    return next_after(leaf, now)


def _notation(condition: Condition, is_declared: bool) -> str | None:
    """Write a condition down; one with a function must be in the code, to be found there when it is served: only its files are."""
    try:
        return json.dumps(to_json(condition))
    except ParameterError:
        if not is_declared:
            raise
        files = tuple(leaf for leaf in condition.leaves() if isinstance(leaf, FileCondition))
        return json.dumps(to_json(Any_(files))) if files else None


def asked(action: str, name: str, namespace: str, trigger_id: str, **more: Any) -> Draft:
    """Give the event that asks whoever serves a trigger for something; one that is taken over by nobody is served anew."""
    kind = str(EventType.REQUESTED)
    return Draft(f"trigger:{name}", {"action": action, **more}, kind, namespace, None, trigger_id, trigger_id)


def _begun(name: str, namespace: str, trigger_id: str) -> Draft:
    """Give the event with which a trigger's own log begins."""
    value = {"status": "RUNNING"}
    kind = str(EventType.EXECUTION_STATUS_CHANGED)
    return Draft(f"trigger:{name}", value, kind, namespace, None, trigger_id, trigger_id)
