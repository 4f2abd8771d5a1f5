"""Says what the state of an execution, as it was kept, still asks of the past: which events, and which runs' values.

Knows nothing of where they are kept. It reads the data that `ExecutionState.dump` gives, for who prunes a home need not
have the code of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["events_named", "first_runs_wanted"]


def events_named(state: Mapping[str, Any]) -> set[int]:
    """Give the offsets of the events that it names: those of starts, latches and questions; nothing else of before matters."""
    found = {one[0] for held in state["held"].values() for one in held} | {one[0] for one in state["gated"]}
    if state["stop"] is not None:
        found.update(_latched(state["stop"]))
    for job in state["jobs"].values():
        for start in _starts(job):
            found.update(start[0])
        for feeds in job["feeds"].values():
            found.update(feed[1] for feed in feeds)
        for progress in job["progress"].values():
            found.update(_latched(progress))
    return found


def first_runs_wanted(state: Mapping[str, Any]) -> dict[int, int]:
    """Give for each job that has run, by its place in the body, the number of the oldest run whose value may be asked for.

    Values of recurring jobs are used in order, so all before it were used. Items of streams are counted beside runs
    here, which can only make the number smaller.
    """
    found: dict[int, int] = {}
    for index, job in state["jobs"].items():
        numbers = [job["number"], job["began"], job["success"], *(run[0] for run in job["runs"])]
        found[int(index)] = min((n for n in numbers if n), default=0)
    for job in state["jobs"].values():
        asked = [pair for start in _starts(job) for pair in start[2]]
        asked += [(int(up), feed[0]) for up, feeds in job["feeds"].items() for feed in feeds]
        for up, number in asked:
            found[up] = min(found.get(up, number), number)
    return found


def _starts(job: Mapping[str, Any]) -> Iterator[list[Any]]:
    yield from job["starts"]
    yield from job["left"]
    yield from (run[-1] for run in job["runs"] if run[-1] is not None)
    yield from (start for start in (job["restart"], job["used"]) if start is not None)


def _latched(progress: Mapping[str, Any]) -> Iterator[int]:
    yield from (offset for offset, _ in progress["latches"].values())
    yield from (offset for meetings in progress["meetings"].values() for _, offsets in meetings for offset in offsets)
