"""Decides what can still happen when nothing runs: which jobs something may yet start, and which never will (rule 20).

Knows nothing of how skips and ends are said (that is the machine). A least fixpoint: two jobs that only wait for each
other are not live.
"""

from __future__ import annotations

from aiflow.graph.condition import All, Any_, Condition, Leaf, Sticky, StatusCondition, Times, Within
from aiflow.graph.plan import Vertex
from aiflow.graph.rule import Action, Progress, is_external
from aiflow.graph.state import ExecutionState

__all__ = ["unreachable"]


def unreachable(state: ExecutionState) -> list[tuple[int, str]]:
    """Give the jobs that never ended and that nothing can start any more, with what they missed.

    A job that may still start is kept as `state.witness`, so that the next look is short.
    """
    live = _live(state)
    lost = [v for v in state.plan.vertices if not v.given and state.jobs[v.index].last is None and v.index not in live]
    state.witness = next((i for i in sorted(live) if state.jobs[i].last is None), -1)
    roots = [v for v in lost if v.has_start] or lost  # what depends on the roots is skipped with them
    return [(v.index, _missed(state, v, live)) for v in roots]


def _live(state: ExecutionState) -> set[int]:
    live: set[int] = set()
    todo = [v.index for v in state.plan.vertices if not v.given]
    while todo:
        index = todo.pop()
        if index in live or not _may_start(state, state.plan.vertices[index], live):
            continue
        live.add(index)
        todo += state.plan.vertices[index].down
        todo += [vertex for _, (vertex, _, _) in state.plan.by_status.get(index, ()) if vertex >= 0]
    return live


def _may_start(state: ExecutionState, vertex: Vertex, live: set[int]) -> bool:
    job = state.jobs[vertex.index]
    if job.runs or job.restart is not None:
        return True
    starters = [r for r, rule in enumerate(vertex.rules) if rule.action is not Action.STOP]
    by_rule = any(_can_be_met(state, vertex, r, live) for r in starters)
    if vertex.has_start:
        return (by_rule or bool(job.starts)) and _inputs_come(state, vertex, live)
    if by_rule or (job.starts and _inputs_come(state, vertex, live)):
        return True
    if vertex.feeds:
        fed = all((job.feeds or {}).get(up) or up in live for up, _ in vertex.feeds)
        return fed and _inputs_come(state, vertex, live, feeds=False)
    return job.last is None and _inputs_come(state, vertex, live)


def _inputs_come(state: ExecutionState, vertex: Vertex, live: set[int], feeds: bool = True) -> bool:
    jobs = state.jobs
    once = job_need = jobs[vertex.index].need
    if once > 0:
        missing = sum(up in live for up, _ in vertex.needs if jobs[up].last is None)
        if missing < job_need:
            return False
    if not feeds:
        return True
    return all(jobs[up].success or up in live or state.plan.vertices[up].given for up, needed in vertex.feeds if needed)


def _can_be_met(state: ExecutionState, vertex: Vertex, rule: int, live: set[int]) -> bool:
    progress = (state.jobs[vertex.index].progress or {}).get(rule)
    number = [0]

    def leaf_met(leaf: Leaf) -> bool:
        at = number[0]
        number[0] += 1
        if isinstance(leaf, StatusCondition):
            source = state.plan.by_name.get(leaf.job)
            return source in live or _latched(progress, at)
        return is_external(leaf) or _latched(progress, at) or bool(live)

    def met(condition: Condition) -> bool:
        if isinstance(condition, All):
            return all([met(p) for p in condition.parts])
        if isinstance(condition, Any_):
            return any([met(p) for p in condition.parts])
        if isinstance(condition, Sticky | Times | Within):
            return met(condition.inner)
        assert isinstance(condition, Leaf)
        return leaf_met(condition)

    return met(vertex.rules[rule].condition)


def _latched(progress: Progress | None, leaf: int) -> bool:
    return progress is not None and leaf in progress.latches


def _missed(state: ExecutionState, vertex: Vertex, live: set[int]) -> str:
    waits = [str(r.condition) for r in vertex.rules if r.action is Action.START]
    if waits:
        return f"nothing can start it any more; it waited for {' or for '.join(waits)}"
    names = [state.plan.vertices[up].name for up, _ in (*vertex.needs, *vertex.feeds) if up not in live]
    return f"nothing can start it any more; it waited for {', '.join(names)}"
