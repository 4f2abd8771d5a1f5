"""What is known of a running execution from its events: where each job stands, and what it waits for.

Knows nothing of terminals, and reads no clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiflow.graph.event import Event, EventType
from aiflow.graph.rule import Action

if TYPE_CHECKING:
    from aiflow.graph.building import Graph

__all__ = ["BUSY", "Board", "Row"]

BUSY = ("RUNNING", "STOPPING", "RETRYING", "QUEUED")
_URGENCY = {"FAILED": 0, "RUNNING": 1, "STOPPING": 1, "RETRYING": 2, "QUEUED": 3}


@dataclass(slots=True)
class Row:
    """Where a job stands: its latest execution. Times are seconds since 1970."""

    job: str
    number: int = 1
    attempt: int = 1
    status: str = "INIT"
    started: float | None = None
    ended: float | None = None
    reason: str = ""

    def seconds(self, now: float) -> float | None:
        """How long it took, or has taken until `now`."""
        if self.started is None:
            return None
        return max(0.0, (self.ended if self.ended is not None else now) - self.started)


class Board:
    """Takes the events of one execution, in their order.

    Attributes
    ----------
    status
        The status of the execution.
    rows
        A `Row` for each job that was heard of, by name.
    changed
        The time of the last event.
    """

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self.status = "INIT"
        self.rows: dict[str, Row] = {}
        self.changed = 0.0

    def take(self, event: Event) -> Row | None:
        """Take an event; give the row that it changed, if it changed one."""
        if event.execution_id != self.execution_id:
            return None
        if event.type == EventType.EXECUTION_STATUS_CHANGED:
            self.status, self.changed = event.value["status"], event.timestamp
        if event.type != EventType.JOB_STATUS_CHANGED:
            return None
        self.changed = event.timestamp
        return self._change(event.key.removeprefix("job:"), event)

    def _change(self, job: str, event: Event) -> Row:
        value = event.value
        row = self.rows.get(job)
        if row is None or value["number"] > row.number:
            row = self.rows[job] = Row(job, value["number"])
        row.status, row.attempt, row.reason = value["status"], value["attempt"], value.get("reason") or ""
        if row.status == "RUNNING":
            row.started, row.ended = event.timestamp, None
        elif row.status not in BUSY:
            row.ended = event.timestamp
            row.started = event.timestamp if row.started is None else row.started
        return row

    def counts(self) -> Counter[str]:
        """Count the jobs by status."""
        return Counter(row.status for row in self.rows.values())

    def selection(self, most: int) -> list[Row]:
        """Give `most` rows at most, in the order of their starts: what failed or is busy goes before the rest."""
        rows = list(self.rows.values())
        if len(rows) > most:
            newest = sorted(enumerate(rows), key=lambda item: (_URGENCY.get(item[1].status, 9), -item[0]))[:most]
            rows = [row for _, row in sorted(newest)]
        return rows

    def waits(self, graph: Graph) -> list[str]:
        """Say what goes on, and what has not begun because something from outside must happen first."""
        lines = [f"{row.job} ({row.status})" for row in self.rows.values() if row.status in BUSY]
        for node in graph.nodes:
            if node.name in self.rows and self.rows[node.name].status in BUSY:
                continue
            conditions = [str(r.condition) for r in node.rules if r.action is not Action.STOP]
            if conditions:
                lines.append(f"{' or '.join(conditions)} (starts {node.name})")
        return lines
