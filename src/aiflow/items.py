"""Makes the items of streams and the states of jobs durable, and lets go of items that nobody wants any more.

Knows nothing of how jobs run; it is asked by those that do, and works in the engine's turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiflow.errors import StoreError
from aiflow.graph.backlog import first_wanted
from aiflow.graph.event import Draft, EventType
from aiflow.graph.execution import ExecutionStatus
from aiflow.live import JobWork, Live
from aiflow.runners.performed import Outcome
from aiflow.store.store import ITEM_ADDED, ITEMS_COUNTED, ITEMS_USED, STATE_SAVED
from aiflow.turns import Entry
from aiflow.values.codec import Stored

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Items"]

_ITEM = str(EventType.STREAM_ITEM)


_MANY, _SELDOM = 32, 1.0
"""Used items are deleted so many at a time, or after so many seconds: one statement for each would cost as much as a job."""


def _done() -> bool:
    return True


class Items:
    """What a turn does for streams.

    Parameters
    ----------
    engine
        Whose turns these are.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._used: list[tuple[Live, int, int]] = []

    # --- what workers bring -----------------------------------------------------------------------------------------

    def record(
        self, work: JobWork, item: Any, state: str | None, truth: Any, before: Entry | None, may_wait: bool
    ) -> Entry:
        """Have an item made durable, with the job's state, and who depends on it started; its result: whether it was.

        It is refused if the attempt is over or its execution stops, or if the one before it was: after a restart, the job
        yields it again.
        """
        stored = item
        if type(item) is not Stored and type(item) is not Outcome:
            stored = self.engine.store.codec.encode(item, f"an item of job {work.key.job!r}")
        entry = Entry(lambda: self._take(work, item, stored, state, truth, before))
        return self.engine.turns.leave(entry, may_wait=may_wait)

    def wait(self, entry: Entry) -> bool:
        """Wait until an item is durable; False if it was refused. Raises what went wrong."""
        if not entry.finished:
            self.engine.turns.wait(entry)
        entry.apply = _done  # it holds the one before it
        if entry.error is not None:
            raise entry.error
        return bool(entry.result)

    def _take(
        self, work: JobWork, item: Any, stored: Stored, state: str | None, truth: Any, before: Entry | None
    ) -> bool:
        if before is not None and (before.error is not None or before.result is False):
            return False
        engine, live, index, number = self.engine, work.live, work.vertex.index, work.key.number
        job = live.state.jobs[index]
        run = (job.runs or {}).get(number)
        if run is None or run.attempt != work.key.attempt or run.status not in ("RUNNING", "STOPPING"):
            return False
        if live.works.get((index, number)) is not work or live.state.status is not ExecutionStatus.RUNNING:
            return False
        if type(item) is Outcome:
            item, stored = engine.item_of(work, item)
        at = job.items + 1
        value: dict[str, Any] = {"number": number, "item": at}
        if truth is not None:
            value["truth"] = truth
        own = live.execution_id
        event = engine.record.append(Draft(work.vertex.key, value, _ITEM, live.namespace, work.key.job, own, own))
        engine.record.write(ITEM_ADDED, (own, work.key.job, at, *stored))
        if state is not None:
            engine.record.write(STATE_SAVED, (own, work.key.job, state))
        if item is not stored:
            live.items[index, at] = item
        engine.step(live, event)
        if engine.record.now >= work.counted_at + _SELDOM:
            self.count(work)
        return True

    def save_states(self, live: Live, states: dict[str, str]) -> None:
        """Make the states of a checkpoint durable, all of them together."""
        try:
            self.engine.submit(Entry(lambda: self._write_states(live, states)))
        except StoreError:  # closed, or the disk is full: then it goes on from an earlier one after a crash
            return

    def _write_states(self, live: Live, states: dict[str, str]) -> None:
        if live.execution_id in self.engine.lives:
            for job, state in states.items():
                self.engine.record.write(STATE_SAVED, (live.execution_id, job, state))
            for work in live.works.values():
                if work.vertex.pours:
                    self.count(work)

    # --- in a turn --------------------------------------------------------------------------------------------------

    def let_go(self, live: Live) -> None:
        """Have the items deleted that nobody wants any more; before the commit."""
        state, record = live.state, self.engine.record
        for index in live.plan.emitters:
            first = first_wanted(state, index)
            if state.status is ExecutionStatus.SUCCESS:  # nothing resumes it
                first = state.jobs[index].items + 1
            live.wanted_from[index] = first
            kept = live.kept_from.get(index, 1)
            if first - kept >= _MANY or (first > kept and (state.status.is_ended or record.now >= live.let_go_at)):
                name = live.plan.vertices[index].name
                record.write(ITEMS_USED, (live.execution_id, name, first))
                self._used.append((live, index, first))
                live.let_go_at = record.now + _SELDOM

    def count(self, work: JobWork) -> None:
        """Note how many items a run has emitted; that is for people, so at checkpoints and at its end will do."""
        key, outlet, work.counted_at = work.key, work.outlet, self.engine.record.now
        if outlet is not None and outlet.count:
            self.engine.record.write(ITEMS_COUNTED, (outlet.count, key.execution_id, key.job, key.number))

    def committed(self) -> None:
        """Let go of used items in memory, too; after the commit."""
        for live, index, first in self._used:
            for item in range(live.kept_from.get(index, 1), first):
                live.items.pop((index, item), None)
            live.kept_from[index] = first
        self._used = []

    def forget(self) -> None:
        """Nothing of the turn has happened."""
        self._used = []
