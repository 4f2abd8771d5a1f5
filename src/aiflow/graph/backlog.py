"""Says which items of a stream are still wanted: those that wait for a batch job, and those that one is using.

Knows nothing of where items are kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiflow.graph.state import REFUSED, ExecutionState, JobState, Start

__all__ = ["first_wanted"]


def first_wanted(state: ExecutionState, up: int) -> int:
    """Give the number of the first item of a stream that a job may still ask for; all before it can be deleted.

    Items are used in their order, but for restarts, so this is as good as a count of uses, and is a fold over the log
    as everything else is. It looks at the first ones of each line only, however many wait.
    """
    vertices, source = state.plan.vertices, state.jobs[up]
    first = source.items + 1
    for index in vertices[up].down:
        vertex = vertices[index]
        if up in vertex.items:
            if vertex.has_start and source.items:  # it starts with the latest item, whenever that is
                first = min(first, source.items)
            first = min(first, _first_of(state.jobs[index], up, first))
    return first


def _first_of(job: JobState, up: int, first: int) -> int:
    if job.feeds and job.feeds.get(up):
        first = min(first, job.feeds[up][0].number)
    for run in (job.runs or {}).values():
        first = _first_in((run.start,), up, first)
    if job.starts:
        first = _first_in(job.starts, up, first)
    if job.left:
        first = _first_in(job.left, up, first)
    if job.restart is not None:
        first = _first_in((job.restart,), up, first)
    if job.used is not None and job.last not in ("SUCCESS", REFUSED):  # for `resume`
        first = _first_in((job.used,), up, first)
    return first


def _first_in(line: Iterable[Start], up: int, first: int) -> int:
    for start in line:
        for index, number in start.inputs:
            if index == up:
                return min(first, number)
    return first
