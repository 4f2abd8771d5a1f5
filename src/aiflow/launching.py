"""Makes executions: from a workflow and its parameters, or anew from what is recorded of one.

Knows nothing of turns; it prepares what the engine then begins or takes.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from aiflow.engine import SILENT, Engine
from aiflow.errors import Conflict, GraphError, NotFound, ParameterError, StoreError
from aiflow.execution import Execution, from_portable, portable
from aiflow.graph.building import Graph, differences
from aiflow.graph.casting import registrations
from aiflow.graph.change import Who
from aiflow.graph.event import Draft, EventType
from aiflow.graph.experiment import Block
from aiflow.graph.params import Secret, json_text
from aiflow.graph.params import stored as stored_params
from aiflow.graph.plan import Plan, Vertex
from aiflow.graph.workflow import Workflow, defined, find_defined
from aiflow.live import Live
from aiflow.opening import Home
from aiflow.provenance import provenance
from aiflow.store.store import document_hash
from aiflow.turns import Entry

__all__ = ["Launcher", "folder_of", "remember"]

logger = logging.getLogger(__name__)
_STOPPING = 600.0  # seconds in which what died while it was being stopped has stopped: a stream on Flink writes a savepoint first


class Launcher:
    """Makes the executions of one namespace.

    Parameters
    ----------
    home
        Where they run and are recorded.
    namespace
        Whose they are, unless the workflow says otherwise.
    """

    def __init__(self, home: Home, namespace: str) -> None:
        self._home, self.namespace = home, namespace
        self._store, self._clock = home.store, home.clock

    def launch(
        self,
        workflow: Workflow | Block,
        graph: Graph,
        bound: Mapping[str, Any],
        context: str | None,
        only: Any,
        start_from: Any,
        given: dict[str, Any],
        started_by: tuple[str, int] | None = None,
    ) -> Live:
        """Begin an execution; give what this process holds of it when it is RUNNING.

        `started_by`: the id of a trigger and the offset of the event that met it; an execution is started once for these.
        """
        chosen = _choose(graph, only, start_from, given)
        plan = self._plan(workflow, graph, chosen, given, workflow.source)
        self._home.check_runners(plan)
        part = self._part(workflow, plan, chosen, given)
        text = json.dumps(workflow.definition(graph), separators=(",", ":"))
        if not graph.nodes:
            logger.warning(
                "Nothing runs: the body of workflow %r called no job (a function with @af.job)", workflow.name
            )
        params, execution_id = json_text(stored_params(bound), "the parameters"), self._home.new_id()
        namespace = workflow.namespace or self.namespace
        live = Live(plan, execution_id, namespace, context, _resolved(bound), self._store, workflow.name)
        live.secrets.update(_secrets(bound))
        _adapt(live, workflow)
        self._give(live, part, given)
        trigger_id, live.cause = started_by or (None, None)
        engine, store = self._home.engine, self._store
        source = workflow.source

        needed = registrations(graph, folder_of(source))

        def insert() -> None:
            now = engine.record.now
            if needed:
                engine.change_now(Who(namespace, execution_id), needed)
            live.first_offset = engine.record.head
            writer = store.writer
            writer.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (document_hash(text), text))
            if isinstance(workflow, Workflow):
                remember(engine, workflow, namespace)
            writer.execute(
                "INSERT INTO executions (id, workflow, namespace, status, params, context, owner, definition, source, part, trigger_id, event_offset, "
                "first_offset, created, started) VALUES (?, ?, ?, 'RUNNING', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (execution_id, workflow.name, namespace, params, context, store.owner_id, document_hash(text), source,
                 json.dumps(part) if part else None, trigger_id, live.cause, engine.record.head, now, now),
            )  # fmt: skip

        engine.begin(live, insert)
        recorded = threading.Event()
        self._home.pending.add(recorded)
        engine.later(partial(self._record_provenance, engine, execution_id, source, recorded))
        return live

    def _plan(
        self, workflow: Workflow | Block, graph: Graph, chosen: set[str] | None, given: Mapping[str, Any], source: str
    ) -> Plan:
        return Plan(
            graph,
            chosen,
            given=given,
            stop_on=workflow.stop_condition,
            ends=workflow.ends,
            runner=self._home.default_runner,
            asks_context=workflow.context_function is not None,
            folder=folder_of(source),
        )

    def _record_provenance(self, engine: Engine, execution_id: str, source: str, recorded: threading.Event) -> None:
        try:
            self._write_provenance(engine, execution_id, _provenance(source))
        finally:
            self._home.pending.discard(recorded)
            recorded.set()

    def _write_provenance(self, engine: Engine, execution_id: str, text: str) -> None:

        def apply() -> None:
            name = self._store.put_document(text)
            engine.record.write("UPDATE executions SET provenance = ? WHERE id = ?", (name, execution_id))

        try:
            engine.submit(Entry(apply))
        except StoreError:  # the project was closed meanwhile
            return

    def _part(
        self, workflow: Workflow | Block, plan: Plan, chosen: set[str] | None, given: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        if chosen is None and not given:
            return None
        kept = {n: portable(self._home.encode(v, f"the given value of job {n!r}")) for n, v in given.items()}
        taken = {}
        for vertex in plan.vertices:
            if vertex.given and vertex.node.job.is_stream:
                _check_given_stream(plan, vertex, vertex.name in given)
            if vertex.given and vertex.name not in given:
                taken[vertex.name] = self._latest_result(workflow, vertex.name)
        return {"only": sorted(chosen) if chosen is not None else None, "given": kept, "from": taken}

    def _latest_result(self, workflow: Workflow | Block, job: str) -> list[Any]:
        row = self._store.row(
            "SELECT e.id, j.number FROM job_executions j JOIN executions e ON e.id = j.execution_id WHERE e.workflow = ? AND e.namespace = ? "
            "AND j.job = ? AND j.status = 'SUCCESS' AND j.codec IS NOT NULL ORDER BY j.ended DESC LIMIT 1",
            (workflow.name, workflow.namespace or self.namespace, job),
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

    def resume(self, execution: Execution, and_run: bool = True, take_over: bool = False) -> None:
        """Take an execution that is INTERRUPTED, FAILED or STOPPED, and go on with it (rules 33 and 34).

        One whose process died while it was being stopped is STOPPED first, and goes on only with `and_run`. With
        `take_over`, also one whose owner holds its lock and has been silent for long (rule 32).
        """
        execution.check_resumable()
        status, was_stopping = execution.status, execution._status == "STOPPING"
        if status in ("RUNNING", "STOPPING"):
            self._check_silent(execution, status, take_over)
        if status == "SUCCESS":
            raise Conflict(f"execution {execution.id} has succeeded; there is nothing to resume")
        live = self.rebuilt(execution)
        self._home.check_runners(live.plan)
        ended = status.is_ended
        request = Draft(
            "execution:" + execution.workflow,
            {"action": "resume"},
            str(EventType.REQUESTED),
            execution.namespace,
            None,
            execution.id,
            execution.id,
        )
        sql = (
            "UPDATE executions SET owner = ?, epoch = epoch + 1, ended = NULL WHERE id = ? AND epoch = ? AND owner IS ?"
        )
        values = (self._store.claim_owner(self._clock.now()), execution.id, execution._epoch, execution._owner)
        if not self._home.engine.take(live, (sql, values), request if ended else None):
            raise Conflict(f"execution {execution.id} was just taken by another process")
        if was_stopping and and_run:
            live.ended.wait(_STOPPING)
            self.resume(execution)

    def _check_silent(self, execution: Execution, status: str, take_over: bool) -> None:
        """Raise unless somebody wants to take over an execution whose owner has been silent for long."""
        silence = self._store.silence_of(execution._owner, self._clock.now())
        if execution._owner != self._store.owner_id and silence >= SILENT:
            if take_over:
                return
            raise Conflict(
                f"execution {execution.id} is {status} in a process that has been silent for {silence:.0f} s and still holds "
                "its lock: end that process, or take over with execution.resume(take_over=True) or --take-over"
            )
        raise Conflict(f"execution {execution.id} is {status} in a living process; it cannot be resumed")

    def rebuilt(self, execution: Execution) -> Live:
        """Make what this process holds of an execution anew, from what is recorded; its state is not loaded yet."""
        graph, bound, workflow = self._rebuild(execution)
        part = execution._part
        given = {n: self._store.codec.decode(from_portable(s)) for n, s in (part or {}).get("given", {}).items()}
        chosen = None if part is None or part["only"] is None else set(part["only"])
        plan = self._plan(workflow, graph, chosen, given, execution.source)
        live = Live(
            plan, execution.id, execution.namespace, execution.context, _resolved(bound), self._store, workflow.name
        )
        live.secrets.update(_secrets(bound))
        _adapt(live, workflow)
        live.cause, live.first_offset = execution._event_offset, execution.first_offset
        live.snapshot = self._store.snapshot("executions", execution.id)
        self._give(live, part, given)
        return live

    def _rebuild(self, execution: Execution) -> tuple[Graph, Mapping[str, Any], Workflow]:
        """Build the body again, and refuse if the structure is another than it was (rule 34)."""
        workflow = find_defined(execution.workflow, execution.source)
        if workflow is None:
            raise NotFound("workflow", execution.workflow, defined)
        try:
            bound = workflow.bind(execution.params)
            graph = workflow.build_bound(bound)
        except (GraphError, ParameterError) as error:
            raise Conflict(
                f"execution {execution.id} cannot be resumed: its workflow cannot be built any more: {error}"
            ) from error
        old = self._store.document(execution._definition)
        found = differences(old, workflow.definition(graph)) if old else []
        if found:
            raise Conflict(
                f"execution {execution.id} cannot be resumed: the workflow {workflow.name!r} is not what it was started with:\n  "
                + "\n  ".join(found)
                + "\nUndo that, or start a new execution (start_from=… takes over what has succeeded)."
            )
        return graph, bound, workflow

    def graph_of(self, execution: Execution) -> Graph:
        """Build the graph of an execution again."""
        if execution.is_experiment:
            return Block(execution.workflow).graph
        return self._rebuild(execution)[0]


def _check_given_stream(plan: Plan, vertex: Vertex, is_given: bool) -> None:
    """Refuse a part that leaves a stream out whose items somebody in it needs."""
    if not is_given:
        raise ParameterError(
            f"{vertex.name} is a stream, and its items are not kept: run it as well, or give items with given={{{vertex.name!r}: [...]}}"
        )
    for index in vertex.down:
        node = plan.vertices[index].node
        if any(vertex.node is up for up in node.data) and not any(vertex.node is taken for taken in node.taken):
            raise ParameterError(
                f"{node.name} runs once for each item of {vertex.name}, and given items cannot start it: run {vertex.name} as well"
            )


def _adapt(live: Live, workflow: Workflow | Block) -> None:
    """Let an execution have what the options of its workflow say; nothing of this decides in the machine."""
    live.on_failure, live.context_function = workflow.options.get("on_failure"), workflow.context_function
    live.waits_for_models = workflow.options.get("wait_for_models") is not False


_recent_provenance: dict[str, tuple[float, str]] = {}


def _provenance(source: str) -> str:
    """Give it as JSON text; ask git no more than once in five seconds for the same file."""
    known = _recent_provenance.get(source)
    if known is None or time.monotonic() - known[0] > 5.0:
        known = _recent_provenance[source] = (time.monotonic(), json.dumps(provenance(source)))
    return known[1]


def folder_of(source: str) -> str:
    """Give the folder that relative names in a workflow are taken from: that of its file, else the working directory."""
    return os.path.dirname(source) if source else os.getcwd()


def remember(engine: Engine, workflow: Workflow, namespace: str) -> None:
    """Write down that there is such a workflow, and what it is now; only inside a turn."""
    now = engine.record.now
    engine.store.writer.execute(
        "INSERT INTO workflows (namespace, name, description, source, created, updated) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET description = excluded.description, source = excluded.source, updated = excluded.updated",
        (namespace, workflow.name, workflow.description, workflow.source, now, now),
    )


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
