"""Says which items of a stream are still wanted: those that wait for a batch job, and those that one is using.

Knows nothing of where items are kept.
"""

from __future__ import annotations

from aiflow.graph.state import REFUSED, ExecutionState, JobState, Start

__all__ = ["first_wanted"]


def first_wanted(state: ExecutionState, up: int) -> int:
    """Give the number of the first item of a stream that a job may still ask for; all before it can be deleted.

    Items are used in their order, but for restarts, so this is as good as a count of uses, and is a fold over the log
    as everything else is. It looks at the first ones of each line only, however many wait.
    """
    vertices, jobs = state.plan.vertices, state.jobs
    newest = jobs[up].items
    first = newest + 1
    for index in vertices[up].down:
        vertex = vertices[index]
        if up in vertex.items:
            if vertex.has_start and newest:  # it starts with the latest item, whenever that is
                first = min(first, newest)
            for start in _earliest(jobs[index]):
                for which, number in start.inputs:
                    if which == up and number < first:
                        first = number
            line = (jobs[index].feeds or {}).get(up)
            if line and line[0].number < first:
                first = line[0].number
    return first


def _earliest(job: JobState) -> list[Start]:
    """Give some starts of a job that are not done with; among them is the one that takes the earliest item."""
    found: list[Start] = []
    if job.runs:
        for run in job.runs.values():
            found.append(run.start)  # noqa: PERF401 - it is looked at in each turn, and this is the quickest
    for line in (job.starts, job.left):
        if line:
            for start in line:
                if start.inputs:
                    found.append(start)
                    break
    if job.restart is not None:
        found.append(job.restart)
    if job.used is not None and job.last not in ("SUCCESS", REFUSED):  # for `resume`
        found.append(job.used)
    return found
