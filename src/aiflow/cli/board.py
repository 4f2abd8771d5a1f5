"""What is known of a running execution from its events: where each job stands, and what it waits for.

Knows nothing of terminals, and reads no clock.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from aiflow.graph.building import describe
from aiflow.graph.event import Event, EventType
from aiflow.waiting import waits_of

if TYPE_CHECKING:
    from aiflow.graph.building import Graph

__all__ = ["BUSY", "Board", "Row"]

BUSY = ("RUNNING", "STOPPING", "RETRYING", "QUEUED")


@dataclass(slots=True)
class Row:
    """Where a job stands: its latest execution. Times are seconds since 1970; `place` is that in the body."""

    job: str
    place: int
    execution_id: str = ""
    number: int = 0
    attempt: int = 1
    status: str = "INIT"
    started: float | None = None
    ended: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The job's name, with the number of its execution from the second on."""
        return self.job if self.number < 2 else f"{self.job} ({self.number})"

    def seconds(self, now: float) -> float | None:
        """How long it took, or has taken until `now`."""
        if self.started is None:
            return None
        return max(0.0, (self.ended if self.ended is not None else now) - self.started)


class Board:
    """Takes the events of one execution, in their order; any thread may look at it.

    Attributes
    ----------
    status
        The status of the execution.
    changed
        The time of the last event.
    """

    def __init__(self, execution_id: str, jobs: Iterable[str], graph: Graph | None = None) -> None:
        self.execution_id, self._graph = execution_id, graph
        self.status = "INIT"
        self.changed = 0.0
        self._guard = threading.Lock()
        self._rows = {
            job: Row(job, place, execution_id) for place, job in enumerate(jobs)
        }  # the one that changed last is last
        self._counts = Counter(row.status for row in self._rows.values())
        self._urgent: dict[str, Row] = {}

    def take(self, event: Event) -> Row | None:
        """Take an event; give the row that it changed, if it changed one."""
        if event.execution_id != self.execution_id:
            return None
        self.changed = event.timestamp
        if event.type == EventType.EXECUTION_STATUS_CHANGED:
            self.status = event.value["status"]
        if event.type != EventType.JOB_STATUS_CHANGED:
            return None
        with self._guard:
            return self._change(event.key.removeprefix("job:"), event)

    def _change(self, job: str, event: Event) -> Row:
        value = event.value
        row = self._rows.pop(job, None)
        if row is None:  # not among those that were expected
            row = Row(job, len(self._rows), self.execution_id)
        else:
            self._counts[row.status] -= 1
        self._rows[job] = row
        if value["number"] != row.number:
            row.number, row.started, row.ended = value["number"], None, None
        row.status, row.attempt, row.reason = value["status"], value["attempt"], value.get("reason") or ""
        if row.status == "RUNNING":
            row.started, row.ended = event.timestamp, None
        elif row.status not in BUSY:
            row.ended = event.timestamp
            row.started = event.timestamp if row.started is None else row.started
        self._counts[row.status] += 1
        if row.status in BUSY or row.status == "FAILED":
            self._urgent[job] = row
        else:
            self._urgent.pop(job, None)
        return row

    def counts(self) -> dict[str, int]:
        """Count the jobs by status."""
        with self._guard:
            return {status: count for status, count in self._counts.items() if count > 0}

    def busy(self) -> list[Row]:
        """Give the jobs that run, or are about to."""
        with self._guard:
            return [row for row in self._urgent.values() if row.status in BUSY]

    def selection(self, most: int) -> list[Row]:
        """Give `most` rows at most, in the order of the body: what failed or is busy goes before what changed last."""
        with self._guard:
            chosen = dict(islice(reversed(self._urgent.items()), most))
            for job, row in reversed(self._rows.items()) if len(self._rows) > most else self._rows.items():
                if len(chosen) >= most:
                    break
                chosen[job] = row
        return sorted(chosen.values(), key=lambda row: row.place)

    def note(self, row: Row) -> str:
        """Say why a job ended so, or what it waits for if it has not begun."""
        if row.status != "INIT" or self._graph is None:
            return row.reason
        waits = waits_of(describe(self._graph.nodes[row.job]), self._status_of)
        return f"waits for {waits}" if waits else ""

    def _status_of(self, job: str) -> str | None:
        row = self._rows.get(job)
        return "SUCCESS" if row is None else row.status
