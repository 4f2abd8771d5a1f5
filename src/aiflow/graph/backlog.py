"""Says which items of a stream are still wanted: those that wait for a batch job, and those that one is using.

Knows nothing of where items are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiflow.graph.state import ExecutionState, JobState, Start

__all__ = ["first_wanted"]


def first_wanted(state: ExecutionState, up: int) -> int:
    """Give the number of the first item of a stream that a job may still ask for; all before it can be deleted.

    Items are used in their order, but for restarts, so this is as good as a count of uses, and is a fold over the log
    as everything else is. It looks at the first ones of each line only, however many wait.
    """
    vertices, source = state.plan.vertices, state.jobs[up]
    first = source.items + 1
    for index in vertices[up].down:
        if up in vertices[index].items:
            first = min(first, *_wanted(state.jobs[index], up), source.items + 1)
            if vertices[index].has_start and source.items:  # it starts with the latest item, whenever that is
                first = min(first, source.items)
    return first


def _wanted(job: JobState, up: int) -> Iterator[int]:
    if job.feeds and job.feeds.get(up):
        yield job.feeds[up][0].number
    lines: list[Iterable[Start]] = [(run.start,) for run in (job.runs or {}).values()]
    lines += [job.starts or (), job.left]
    lines += [(start,) for start in (job.restart, None if job.last == "SUCCESS" else job.used) if start is not None]
    for line in lines:
        number = next((n for start in line for i, n in start.inputs if i == up), None)
        if number is not None:
            yield number
