"""Holds back the starts of jobs that work on a version of a model, for as long as there is none (rule 38).

Knows nothing of what the jobs do with it. What is held back is still a start that waits, for the machine: that it has begun
is in the log, so a replay needs nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiflow.graph.building import Node, Output
from aiflow.graph.event import Event
from aiflow.graph.machine import can_start
from aiflow.graph.model import Model
from aiflow.graph.plan import Vertex
from aiflow.graph.role import BASE_STAGES, SLOT, Place, RoleSpec, read_call
from aiflow.graph.state import IMPLIED, ExecutionState, Start
from aiflow.lifecycle import Finder
from aiflow.live import Live
from aiflow.store import log

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Held", "Withheld"]

_HELD = """INSERT INTO job_executions (execution_id, job, number, attempt, status, label) VALUES (?, ?, ?, 1, 'QUEUED', ?)
    ON CONFLICT (execution_id, job, number) DO UPDATE SET status = 'QUEUED', label = excluded.label"""
_DROPPED = "DELETE FROM job_executions WHERE execution_id = ? AND job = ? AND status = 'QUEUED' AND started IS NULL"


class Held(NamedTuple):
    """A start that waits for a version.

    Attributes
    ----------
    model
        Of which model.
    text
        That in words.
    number
        The number that the start will have.
    """

    model: str
    text: str
    number: int


class Withheld:
    """What is held back in the executions of one engine; touched only by who holds the turn.

    Parameters
    ----------
    engine
        Whose turns these are.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lives: dict[str, Live] = {}  # by their ids: those in which something is held back

    def holds(self, live: Live, index: int) -> bool:
        """Tell whether the next start of a job has to wait for a version, and note that it does."""
        vertex = live.plan.vertices[index]
        role = vertex.node.job.role
        if role is None or not live.waits_for_models:
            return False
        name = self._missing(live, vertex, role)
        if name is None:
            live.withheld.pop(index, None)
            return False
        number, text = _next_start(live.state, index)[0], f"waits for a version of {name}"
        held = Held(name, text, number)
        if live.withheld.get(index) != held:
            live.withheld[index] = held
            self._lives[live.execution_id] = live
            self._engine.record.write(_HELD, (live.execution_id, vertex.name, number, text))
        return True

    def hear(self, event: Event) -> None:
        """A version of a model has changed: let those look again that wait for one."""
        for live in list(self._lives.values()):
            waiting = [index for index, held in live.withheld.items() if held.model == event.key]
            if waiting and live.execution_id in self._engine.lives:
                live.state.ready += waiting
                self._engine.wake(live)

    def tidy(self, live: Live) -> None:
        """Forget what was dropped in this turn; before the commit."""
        for index in [i for i in live.withheld if not can_start(live.state, i)]:
            del live.withheld[index]
            self._engine.record.write(_DROPPED, (live.execution_id, live.plan.vertices[index].name))

    def forget(self, live: Live) -> None:
        """An execution is over, or its state is made anew."""
        live.withheld.clear()
        self._lives.pop(live.execution_id, None)

    # --- which versions are there -----------------------------------------------------------------------------------

    def _missing(self, live: Live, vertex: Vertex, role: RoleSpec) -> str | None:
        """Name the model of which a version is missing for the next start of a job, if one is."""
        (_, start), node = _next_start(live.state, vertex.index), vertex.node
        find = self._finder()
        if role.takes == "model" and self._is_left_out(live, vertex, role, start):
            offsets = start.events if start.rule != IMPLIED else ()
            if not (find.of_events(role, offsets, live.cause) or find.latest(role.name, role.stages)):
                return role.name
        if role.base is not None and not find.latest(role.base.name, BASE_STAGES) and _asks_for_base(node, role):
            return role.base.name
        return None

    def _finder(self) -> Finder:
        engine = self._engine
        writer = engine.store.writer
        engine.record.flush()  # what this turn has written so far counts
        return Finder(
            lambda sql, values: writer.execute(sql, values).fetchall(),
            lambda offsets: log.by_offsets(writer, offsets),
            str(engine.store.home),
        )

    def _is_left_out(self, live: Live, vertex: Vertex, role: RoleSpec, start: Start) -> bool:
        """Tell whether a start comes without a version; nothing of the user's is unpickled for that.

        Where only loading would tell, it is taken to bring one: without any, the job fails then.
        """
        node = vertex.node
        if node.place is not Place.EITHER:
            return node.place is Place.CHOSEN
        try:
            signature = node.job.signature
        except (TypeError, ValueError):  # nothing is known of it
            return False
        value = read_call(role, signature, node.args, node.kwargs, chosen=False).subject
        if node.mapped or type(value) is Output:
            return False
        if type(value) is not Node:
            return not role.is_of(value)
        up = live.plan.by_name[value.name]
        number = next((n for index, n in start.inputs if index == up), live.state.jobs[up].success)
        emits = live.plan.vertices[up].emits
        known = (live.items if emits else live.values).get((up, number), live.given.get(up, SLOT))
        if known is not SLOT:
            return not role.is_of(known)
        execution_id, number = live.given_from.get(up, (live.execution_id, number))
        table, column = ("items", "item") if emits else ("job_executions", "number")
        row = self._engine.store.writer.execute(
            f"SELECT codec FROM {table} WHERE execution_id = ? AND job = ? AND {column} = ?",
            (execution_id, value.name, number),
        ).fetchone()
        return row is not None and row[0] != "version"


def _next_start(state: ExecutionState, index: int) -> tuple[int, Start]:
    """Give the start of a job that comes next, with the number that it has, or will have."""
    job = state.jobs[index]
    for run in (job.runs or {}).values():
        if run.status == "QUEUED":
            return run.number, run.start
    return job.number + 1, job.starts[0] if job.starts else Start(())


def _asks_for_base(node: Node, role: RoleSpec) -> bool:
    assert isinstance(role.base, Model)
    try:
        reading = read_call(role, node.job.signature, node.args, node.kwargs, chosen=False)
    except (TypeError, ValueError):  # a builtin that does not tell
        return False
    return reading.bound.arguments.get("base") is SLOT
