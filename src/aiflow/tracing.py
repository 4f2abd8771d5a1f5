"""Traces what flows from job to job: which run of a job gave its value to which, in executions that deal with versions.

Knows nothing of turns, nor of what jobs do with versions. What a run takes is noted beside it where it is not what one would
think; so an execution can be traced from its beginning when it turns out later that it matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aiflow.graph.inputs import Finder, inputs_of
from aiflow.graph.thing import JOB, Thing
from aiflow.store import lineage

if TYPE_CHECKING:
    from aiflow.graph.plan import Vertex
    from aiflow.graph.state import Start
    from aiflow.live import Live

__all__ = ["Inputs", "Link", "inputs", "links", "noted", "reused", "trace"]

Inputs = Mapping[str, Any]
"""By the names of the upstreams: the number of the run that gave the value; if that is of another execution, its id, job and
number; None for a value that was given by hand. By its own name, a run has the equal call whose value it has used again."""

Link = tuple[Thing, Thing]

_RAN = "SELECT job, number, inputs, started FROM job_executions WHERE execution_id = ? AND status <> 'SKIPPED'"
_DEFINITION = "SELECT d.text FROM executions e JOIN documents d ON d.hash = e.definition WHERE e.id = ?"


def inputs(live: Live, vertex: Vertex, start: Start, find: Finder) -> Inputs:
    """Give what a run takes that is about to begin; `find` is that of `inputs_of`."""
    vertices = live.plan.vertices
    found: dict[str, Any] = {}
    for up, number in inputs_of(live.state, vertex, start, find).items():
        if vertices[up].given:
            taken = live.given_from.get(up)
            found[vertices[up].name] = None if taken is None else [taken[0], vertices[up].name, taken[1]]
        else:
            found[vertices[up].name] = number
    return found


def noted(taken: Inputs) -> str | None:
    """Give what is noted beside a run; None if it takes the first run of each of its upstreams."""
    unlike = {job: number for job, number in taken.items() if number != 1}
    return json.dumps(unlike, separators=(",", ":")) if unlike else None


def links(execution_id: str, job: str, number: int, taken: Inputs) -> Iterator[Link]:
    """Give what a run has taken as things of which one came from the other."""
    target = Thing(JOB, job, number, execution_id)
    for name, of in taken.items():
        if isinstance(of, list):
            yield Thing(JOB, of[1], of[2], of[0]), target
        elif of is not None:
            yield Thing(JOB, name, of, execution_id), target


def reused(writer: Any, execution_id: str, job: str, number: int, origin: tuple[str, str, int]) -> Link:
    """Note that the value of a run is that of an equal call, in a transaction; give it as a link."""
    key = (execution_id, job, number)
    where = "WHERE execution_id = ? AND job = ? AND number = ?"
    (text,) = writer.execute(f"SELECT inputs FROM job_executions {where}", key).fetchone() or (None,)
    taken = {**json.loads(text or "{}"), job: list(origin)}
    writer.execute(f"UPDATE job_executions SET inputs = ? {where}", (json.dumps(taken, separators=(",", ":")), *key))
    return Thing(JOB, origin[1], origin[2], origin[0]), Thing(JOB, job, number, execution_id)


def trace(writer: Any, execution_ids: Iterable[str]) -> None:
    """Record, in a transaction, what has flowed so far between the jobs of executions, and of those that they took values from."""
    todo, seen = list(execution_ids), set[str]()
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        ups, found = _upstreams(writer, one), list[tuple[Thing, Thing, float]]()
        for job, number, text, started in writer.execute(_RAN, (one,)).fetchall():
            taken = dict.fromkeys(ups.get(job, ()), 1) | json.loads(text or "{}")
            found += [(*link, started) for link in links(one, job, number, taken)]
        others = {source.execution_id for source, _, _ in found} - {one}
        todo += [other for other in others if not lineage.is_known(writer, other)]
        lineage.link_many(writer, found)


def _upstreams(writer: Any, execution_id: str) -> dict[str, list[str]]:
    """Give for each job of an execution, by its definition, those whose values it needs."""
    row = writer.execute(_DEFINITION, (execution_id,)).fetchone()
    nodes = {node["name"]: node for node in json.loads(row[0])["nodes"]} if row else {}
    return {
        name: [*node.get("data", ()), *(_job_in(asked, nodes) for asked in node.get("run_if", ()))]
        for name, node in nodes.items()
    }  # fmt: skip


def _job_in(name: str, nodes: Mapping[str, Any]) -> str:
    """Give the job of what a `run_if` asks, which may be one of its outputs: ``split['test']``."""
    while name not in nodes and "[" in name:
        name = name[: name.rindex("[")]
    return name
