"""Decides what can still happen when nothing runs: which jobs something may yet start, and which never will (rule 20).

Knows nothing of how skips and ends are said (that is the machine). A least fixpoint: two jobs that only wait for each
other are not live.
"""

from __future__ import annotations

from collections.abc import Collection

from aiflow.graph.condition import (
    All,
    Any_,
    Condition,
    JobCondition,
    Leaf,
    StatusCondition,
    Sticky,
    Times,
    Within,
)
from aiflow.graph.plan import Vertex
from aiflow.graph.rule import Action, Progress, is_external
from aiflow.graph.state import ExecutionState, is_true
from aiflow.graph.ticking import comes_still
from aiflow.graph.timing import At

__all__ = ["stays_open", "unreachable"]


def unreachable(state: ExecutionState) -> list[tuple[int, str]]:
    """Give the jobs that never ended and that nothing can start any more, with what they missed.

    What depends on one of these is left out: it is skipped with it, or its rules wait for that skip. A job that may
    still start, whatever happens, is kept as `state.witness`, so that the next look is short.
    """
    vertices, jobs = state.plan.vertices, state.jobs
    live = _Look(state).live()
    lost = [v for v in vertices if not v.given and jobs[v.index].last is None and v.index not in live]
    lasting = _Look(state, lasting=True).live() if live else set()
    state.witness = next((i for i in sorted(lasting) if jobs[i].last is None), -1)
    if not lost:
        return []
    waiting = _Look(state, skipped=frozenset(v.index for v in lost)).live()
    gone = [v for v in lost if v.index not in waiting] or lost[:1]
    indices = {v.index for v in gone}
    roots = [v for v in gone if not any(up in indices for up, _ in (*v.needs, *v.feeds))]
    return [(v.index, _missed(state, v, live)) for v in roots]


def stays_open(state: ExecutionState) -> bool:
    """Tell whether a rule that is met again and again by itself can still start a job, so that nothing is over.

    One that can, whatever happens, is kept as `state.keeper`.
    """
    if state.keeper >= 0:
        return True
    for lasting in (True, False):
        look = _Look(state, lasting)
        look.live()
        for index, rule in state.plan.keepers:
            if look.may_start_by(state.plan.vertices[index], rule):
                state.keeper = index if lasting else -1
                return True
    return False


class _Look:
    """One look for what is live.

    Parameters
    ----------
    lasting
        Look only for what stays live whatever happens: nothing counts that could be used up.
    skipped
        Vertices that are taken to be SKIPPED next.
    """

    def __init__(self, state: ExecutionState, lasting: bool = False, skipped: Collection[int] = ()) -> None:
        self.state, self.lasting, self.skipped = state, lasting, skipped
        self.found: set[int] = set()

    def live(self) -> set[int]:
        plan, found = self.state.plan, self.found
        everyone = [v.index for v in plan.vertices if not v.given]
        todo = list(everyone)
        while todo:
            index = todo.pop()
            if index in found or not self._may_start(plan.vertices[index]):
                continue
            if not found:
                todo += everyone  # who waits for events of this very execution may hope now
            found.add(index)
            todo += plan.vertices[index].down
            todo += [vertex for _, (vertex, _, _) in plan.by_status.get(index, ()) if vertex >= 0]
        return found

    def _may_start(self, vertex: Vertex) -> bool:
        job = self.state.jobs[vertex.index]
        starters = [number for number, rule in enumerate(vertex.rules) if rule.action is not Action.STOP]
        started = bool(job.starts and not self.lasting) or any(self._can_fire(vertex, r) for r in starters)
        if started and self._inputs_come(vertex):
            return True
        if vertex.has_start:
            return False
        if vertex.feeds:
            kept = {} if self.lasting else job.feeds or {}
            return self._needs_come(vertex) and all(kept.get(up) or up in self.found for up, _ in vertex.feeds)
        return job.last is None and job.need > 0 and self._needs_come(vertex)

    def may_start_by(self, vertex: Vertex, rule: int) -> bool:
        """Tell whether this rule can start this vertex; after `live`."""
        return self._can_fire(vertex, rule) and self._inputs_come(vertex) and not self._is_barred(vertex)

    def _is_barred(self, vertex: Vertex) -> bool:
        """Tell whether `run_if` has said no, and its value will not change any more."""
        ended = [(up, output) for up, output in vertex.conditions if self.state.jobs[up].last and up not in self.found]
        return any(not is_true(self.state, up, output) for up, output in ended)

    def _needs_come(self, vertex: Vertex) -> bool:
        """Tell whether the one-shot upstreams that have not succeeded still can, all of them."""
        jobs = self.state.jobs
        need = jobs[vertex.index].need
        return need <= 0 or need <= sum(up in self.found for up, _ in vertex.needs if jobs[up].last is None)

    def _inputs_come(self, vertex: Vertex) -> bool:
        jobs, vertices = self.state.jobs, self.state.plan.vertices
        feeds = all(
            (jobs[up].began if up in vertex.takes else jobs[up].success) or up in self.found or vertices[up].given
            for up, needed in vertex.feeds
            if needed
        )
        return feeds and self._needs_come(vertex)

    def _can_fire(self, vertex: Vertex, rule: int) -> bool:
        """Tell whether a rule can be met by what is live or outside; something must still come that concerns it."""
        progress = None if self.lasting else (self.state.jobs[vertex.index].progress or {}).get(rule)
        at = _Place()
        return self._can_be_met(vertex.rules[rule].condition, progress, at) and at.touched

    def _can_be_met(self, condition: Condition, progress: Progress | None, at: _Place) -> bool:
        if isinstance(condition, All):
            return all([self._can_be_met(p, progress, at) for p in condition.parts])  # a list: every leaf is numbered
        if isinstance(condition, Any_):
            return any([self._can_be_met(p, progress, at) for p in condition.parts])
        if isinstance(condition, Times):
            number, at.times = at.times, at.times + 1
            counted = progress is not None and len(progress.meetings.get(number, ())) >= condition.n
            return self._can_be_met(condition.inner, progress, at) or counted
        if isinstance(condition, Sticky | Within):
            return self._can_be_met(condition.inner, progress, at)
        assert isinstance(condition, Leaf)
        number, at.leaf = at.leaf, at.leaf + 1
        comes = self._can_come(condition)
        at.touched = at.touched or comes
        return comes or (progress is not None and number in progress.latches)

    def _can_come(self, leaf: Leaf) -> bool:
        if isinstance(leaf, JobCondition):
            source = self.state.plan.by_name.get(leaf.job)
            is_told = isinstance(leaf, StatusCondition) and "SKIPPED" in leaf.statuses
            return source in self.found or (is_told and source in self.skipped)
        if isinstance(leaf, At):
            return not self.lasting and comes_still(self.state, leaf)
        return is_external(leaf) or bool(self.found)


class _Place:
    """Where a walk through a condition has come, and whether it met a leaf that something can still meet."""

    __slots__ = ("leaf", "times", "touched")

    def __init__(self) -> None:
        self.leaf = self.times = 0
        self.touched = False


def _missed(state: ExecutionState, vertex: Vertex, live: set[int]) -> str:
    rules = [r for r in vertex.rules if r.action is Action.START]
    if rules:
        named = (leaf.job for r in rules for leaf in r.leaves if isinstance(leaf, JobCondition))
        absent = [job for job in dict.fromkeys(named) if not state.plan.runs(job)]
        note = f" ({', '.join(absent)} did not run in this execution)" if absent else ""
        return f"nothing can start it any more; it waited for {' or for '.join(str(r.condition) for r in rules)}{note}"
    names = [state.plan.vertices[up].name for up, _ in (*vertex.needs, *vertex.feeds) if up not in live]
    if not names:
        return "nothing can start it any more; it was stopped before it ran"
    return f"nothing can start it any more; it waited for {', '.join(names)}"
