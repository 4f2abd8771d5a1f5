"""The workflows that a home knows, as users ask for them: `project.workflows`.

Knows nothing of how triggers are served: it says by events what should become of those of a workflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime
from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.graph.card import Listing
from aiflow.graph.casting import registrations
from aiflow.graph.change import Change, Who
from aiflow.graph.event import Draft, EventType
from aiflow.graph.pausing import Pause, action_of
from aiflow.launching import folder_of, remember
from aiflow.triggers import asked, forget, look_for_files
from aiflow.turns import Entry
from aiflow.views import HasList, where

if TYPE_CHECKING:
    from aiflow.graph.workflow import Workflow

__all__ = ["Workflows"]

_FIELDS = ("namespace", "name", "description", "source", "paused", "created", "updated")
_LIVE = "status IN ('RUNNING', 'STOPPING', 'INIT')"


class Workflows(HasList):
    """The workflows that were run or registered; got as `project.workflows`."""

    _noun = "workflow"
    _KNOWN = ("name", "namespace", "description", "source", "paused")

    def list(self, limit: int | None = 100, offset: int = 0, **filters: Any) -> list[dict[str, Any]]:
        """Give workflows as dicts, by name."""
        clause, values = where(filters, self._KNOWN, "workflows")
        sql = f"SELECT {', '.join(_FIELDS)} FROM workflows WHERE {clause} ORDER BY name"
        if limit is not None:
            sql += f" LIMIT {int(limit)} OFFSET {int(offset)}"
        return Listing(map(_made, self._project._store.rows(sql, values)), "workflow")

    def find(self, name: str) -> dict[str, Any] | None:
        """Give a workflow by name, that of the own namespace if several have it; or None."""
        found = [w for w in self.list(limit=None) if w["name"] == name]
        own = [w for w in found if w["namespace"] == self._project.name]
        return next(iter(own or found), None)

    def get(self, name: str) -> dict[str, Any]:
        """Give a workflow by name; raises `NotFound`."""
        found = self.find(name)
        if found is None:
            raise NotFound("workflow", name, [w["name"] for w in self.list(limit=None)])
        return found

    def register(self, workflow: Workflow) -> dict[str, Any]:
        """Make a workflow known without running it, with the datasets, models and artifacts that its jobs work on.

        Those of a workflow that has parameters without defaults are registered when it is started.

        Raises
        ------
        Conflict
            If one of them is registered differently; nothing is changed.
        """
        project = self._project
        engine, needed = project._shared.engine, _named_in(workflow)
        namespace = workflow.namespace or project.name

        def apply() -> None:
            engine.change_now(Who(namespace), needed)
            remember(engine, workflow, namespace)

        engine.submit(Entry(apply))
        return self.get(workflow.name)

    # --- pausing ------------------------------------------------------------------------------------------------------

    def pause(self, name: str) -> dict[str, Any]:
        """Have no event, file or time start it until `resume`: all its triggers and schedules are paused, also those to come.

        What comes meanwhile is passed over; what runs goes on; `run` and `start` still start it. Pausing twice is fine.

        Parameters
        ----------
        name
            Of the workflow.

        Returns
        -------
        dict
            The workflow; its `paused` is True.

        Raises
        ------
        NotFound
            If there is none; close names are listed.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> @af.workflow(start_on=af.event("guest"))
        ... def welcome(name: str = "you"): ...
        >>> with tempfile.TemporaryDirectory() as home, af.Project("inn", home=home) as project:
        ...     trigger = project.triggers.register(welcome)
        ...     paused = project.workflows.pause("welcome")
        ...     paused["paused"], project.triggers.get("welcome").status
        (True, 'PAUSED')
        """
        return self._set_paused(name, True)

    def resume(self, name: str) -> dict[str, Any]:
        """End a pause; a trigger or schedule that is paused by itself stays so. Without a pause, nothing changes."""
        return self._set_paused(name, False)

    def _set_paused(self, name: str, paused: bool) -> dict[str, Any]:
        row = self.get(name)
        if row["paused"] is paused:
            return row
        project = self._project
        engine, key = project._shared.engine, (row["namespace"], row["name"])
        for view in (project.triggers, project.schedules):
            for trigger in view.list(limit=None, namespace=key[0], workflow=key[1]):
                look_for_files(project, trigger)

        def apply() -> None:
            writer = engine.store.writer
            sql = "UPDATE workflows SET paused = ? WHERE namespace = ? AND name = ? AND paused <> ?"
            if not writer.execute(sql, (paused, *key, paused)).rowcount:
                return
            sql = "SELECT id, name, paused FROM triggers WHERE namespace = ? AND workflow = ? ORDER BY name"
            for trigger_id, trigger, own in writer.execute(sql, key).fetchall():
                action = action_of(Pause(bool(own), not paused), Pause(bool(own), paused))
                if action is not None:
                    engine.publish_now([asked(action, trigger, key[0], trigger_id)])
            engine.publish_now([_said(*key, "paused" if paused else "resumed")])

        engine.submit(Entry(apply))
        return self.get(name)

    # --- deleting -----------------------------------------------------------------------------------------------------

    def delete(self, name: str) -> None:
        """Forget a workflow with its triggers and schedules; its executions stay, and can be deleted by themselves.

        One that is run, registered or served again is known again.

        Parameters
        ----------
        name
            Of the workflow.

        Raises
        ------
        NotFound
            If there is none; close names are listed.
        Conflict
            If an execution of it runs; nothing is changed.
        """
        row, project = self.get(name), self._project
        engine, key = project._shared.engine, (row["namespace"], row["name"])

        def apply() -> None:
            writer = engine.store.writer
            sql = f"SELECT id, owner FROM executions WHERE namespace = ? AND workflow = ? AND {_LIVE}"
            running = [one for one, owner in writer.execute(sql, key).fetchall() if engine.store.is_owner_alive(owner)]
            if running:
                raise Conflict(
                    f"workflow {name!r} cannot be deleted while it runs: stop it first (aiflow execution stop {running[0]})"
                )
            sql = "SELECT id, name FROM triggers WHERE namespace = ? AND workflow = ? ORDER BY name"
            for trigger_id, trigger in writer.execute(sql, key).fetchall():
                forget(engine, trigger, key[0], trigger_id)
            writer.execute("DELETE FROM workflows WHERE namespace = ? AND name = ?", key)
            engine.publish_now([_said(*key, "deleted")])

        engine.submit(Entry(apply))


def _made(row: tuple[Any, ...]) -> dict[str, Any]:
    fields = dict(zip(_FIELDS, row, strict=True))
    times = {name: as_datetime(fields[name]) for name in ("created", "updated")}
    return {**fields, "paused": bool(fields["paused"]), **times}


def _said(namespace: str, name: str, action: str) -> Draft:
    """Give the event that says so; like all changes of the metadata it concerns every execution."""
    value = {"kind": "workflow", "id": name, "action": action}
    return Draft(name, value, str(EventType.METADATA_CHANGED), namespace, None, None, None)


def _named_in(workflow: Workflow) -> list[Change]:
    """Give the changes that register what the roles of a workflow's jobs name, as far as that can be known."""
    try:
        graph = workflow.build()
    except ParameterError:  # a parameter that has no default
        return []
    return registrations(graph, folder_of(workflow.source))
