"""Says which runs of its upstreams a run of a job takes its values from.

Knows nothing of the values, and of who asks.
"""

from __future__ import annotations

from collections.abc import Callable

from aiflow.graph.plan import Vertex
from aiflow.graph.state import ExecutionState, JobState, Start

__all__ = ["Finder", "inputs_of", "takes_first_runs"]

Finder = Callable[[Start, str, int], "int | None"]
"""Finds out in which run of a stream an item was emitted that started something: the start, the key of the stream, the item."""


def takes_first_runs(state: ExecutionState, vertex: Vertex) -> bool:
    """Tell, quickly, whether a run that is about to begin takes the first run of each upstream that it needs a value of."""
    jobs = state.jobs
    for up, needed in vertex.feeds:
        if needed and (up not in vertex.items or jobs[up].began != 1):  # an item of the first run of a stream will do
            return False
    for up, needed in vertex.needs:  # noqa: SIM110 - a generator would cost as much as all the rest
        if needed and jobs[up].success != 1:
            return False
    return True


def inputs_of(state: ExecutionState, vertex: Vertex, start: Start, find: Finder) -> dict[int, int]:
    """Give for each upstream whose value is needed the number of the run that gave it.

    Parameters
    ----------
    state
        As it is when the run begins.
    start
        What the run is started by.
    find
        Asked about items of streams that have run more than once.
    """
    jobs = state.jobs
    found = {up: jobs[up].success for up, needed in vertex.needs if needed}
    if vertex.feeds:
        numbers = dict(start.inputs)
        for up, needed in vertex.feeds:
            if needed and up in vertex.items:
                item = numbers.get(up) or jobs[up].success
                found[up] = (
                    _run_that_emitted(jobs[up], item)
                    or find(start, state.plan.vertices[up].key, item)
                    or jobs[up].began
                )
            elif needed:
                found[up] = numbers.get(up) or (jobs[up].began if up in vertex.takes else jobs[up].success)
    return found


def _run_that_emitted(stream: JobState, item: int) -> int | None:
    """Give the number of the run of a stream in which an item was emitted, if that is plain."""
    run = (stream.runs or {}).get(stream.began)
    if stream.began == 1 or (run is not None and item > stream.items - run.items):
        return stream.began
    return None
