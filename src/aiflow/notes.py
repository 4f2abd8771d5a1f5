"""What runners note of attempts that run outside of this process, and finding these again after a crash (rule 33).

Knows nothing of what stands in a note. The note of a run is in its row; a run of a process that died, whose runner says
that its jobs outlive it, and that has a note, is not lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aiflow.errors import OwnershipLost
from aiflow.graph.admission import Ticket
from aiflow.graph.commands import StartJob, StopJob
from aiflow.graph.event import Draft, EventType, job_key
from aiflow.graph.mark import Passed
from aiflow.graph.params import json_text
from aiflow.graph.state import Run
from aiflow.live import JobWork, Live
from aiflow.runners.base import keeps_running
from aiflow.store.store import NOTED
from aiflow.turns import Entry

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Notes"]

_FOUND = (
    "SELECT note, started FROM job_executions WHERE execution_id = ? AND job = ? AND number = ? AND note_attempt = ? "
    "AND note IS NOT NULL"
)


class Notes:
    """The notes of one home, in the process that runs its executions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, work: JobWork, note: dict[str, Any], passed: Sequence[Passed] = ()) -> bool:
        """Keep a note of an attempt, and tell what is passed; False if it is over. Raises what `runners.base.Work.note` says."""
        text = json_text(note, f"the note of job {work.key.job!r}")
        kept: bool = self._engine.submit(Entry(lambda: self._keep(work, text, passed))).result
        work.has_note = work.has_note or kept
        if not kept and work.has_note and work.live.lost and self._engine.store.note(work.key) is not None:
            raise OwnershipLost(
                f"{work.key.job} of execution {work.key.execution_id} was taken over by another process"
            )
        return kept

    def _keep(self, work: JobWork, text: str, passed: Sequence[Passed]) -> bool:
        """Write a note, and append what is passed, if the attempt still runs; only inside a turn."""
        live, key = work.live, work.key
        if live.works.get((work.vertex.index, key.number)) is not work or live.execution_id not in self._engine.lives:
            return False
        self._engine.record.write(NOTED, (text, key.attempt, key.execution_id, key.job, key.number))
        run, own = {"number": key.number, "attempt": key.attempt}, key.execution_id
        told = [
            Draft(job_key(key.job), run | one.value, str(EventType.JOB_PASSED), live.namespace, key.job, own, own) for one in passed
        ]  # fmt: skip
        self._engine.publish_now(told)
        return True

    def find_again(self, live: Live, index: int, run: Run) -> bool:
        """Have the runner of an attempt that a process left behind go on with it; False if it is lost. Only inside a turn."""
        engine, vertex = self._engine, live.plan.vertices[index]
        if vertex.node.mapped or not keeps_running(engine.performer.runner(vertex.runner)):
            return False
        key = (live.execution_id, vertex.name, run.number, run.attempt)
        row = engine.store.writer.execute(_FOUND, key).fetchone()
        if row is None:
            return False
        self._take_place(live, index, run.number)
        live.state.commands.append(StartJob(index, run.number, run.attempt, json.loads(row[0]), row[1]))
        if run.status == "STOPPING" or run.timed_out:
            live.state.commands.append(StopJob(index, run.number, run.attempt, run.timed_out))
        return True

    def _take_place(self, live: Live, index: int, number: int) -> None:
        """Give a run that goes on the place that it has, although there may be one too many at work for a while."""
        vertex, admission = live.plan.vertices[index], self._engine.admission
        ticket = live.tickets[index, number] = Ticket(live, index, vertex.runner, vertex.limits, not vertex.flows)
        admission.retake(ticket)
        self._engine.undo(lambda: admission.release(live.tickets.pop((index, number))))
