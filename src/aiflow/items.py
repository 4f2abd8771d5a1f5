"""Makes the items of streams and the states of jobs durable, and lets go of items that nobody wants any more.

Knows nothing of how jobs run; it is asked by those that do, and works in the engine's turns.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.errors import StoreError
from aiflow.flowing import UNDER_WAY
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

__all__ = ["Items", "Recording"]

_ITEM = str(EventType.STREAM_ITEM)
_Item = tuple[Any, Any, str | None, Any]
"""An item of a stream: itself, as it is stored, the job's state that goes with it, and what `run_if` asks of it."""
_MANY, _SELDOM = 32, 1.0
"""Used items are deleted so many at a time, or after so many seconds: one statement for each would cost as much as a job."""


class Recording:
    """The items of one attempt on their way into the log: those that come while others hold the turn go in together.

    Parameters
    ----------
    items
        Who takes them.
    work
        The attempt.
    """

    def __init__(self, items: Items, work: JobWork) -> None:
        self._items, self._work, self._turns = items, work, items.engine.turns
        self._most = min(UNDER_WAY, work.options.buffer)
        self._line: deque[_Item] = deque()  # those that no turn has taken yet
        self._is_awaited = False  # whether one is about to
        self._entries: deque[Entry] = deque()  # of the turns that take them, oldest first
        self._newest: Entry | None = None
        self._under_way = 0
        self._is_refused = False

    def __len__(self) -> int:
        """How many are not in the log yet."""
        return len(self._line)

    def add(self, item: Any, state: str | None, truth: Any, may_wait: bool) -> bool:
        """Send an item on its way; False if one was refused. `may_wait`: some that come next may go with it.

        After a restart, a job yields again what was refused.
        """
        # What changes of the metadata with an item may be impossible: those before it are not to suffer from that.
        # Else wait to the last of many: who makes items quickly is woken once for all of them.
        if self._entries:
            self._settle(0 if type(item) is Outcome or self._under_way >= self._most else self._most)
        if self._is_refused:
            return False
        stored = item
        if type(item) is not Stored and type(item) is not Outcome:
            stored = self._items.engine.store.codec.encode(item, f"an item of job {self._work.key.job!r}")
        self._under_way += 1
        self._line.append((item, stored, state, truth))
        if not self._is_awaited:  # a turn looks into the line after it has said that it is awaited no more
            self._is_awaited = True
            self._newest = Entry(partial(self._take, self._newest))
            self._entries.append(self._turns.leave(self._newest, may_wait))
        elif not may_wait:
            self._turns.nudge()
        if self._entries and self._entries[0].finished:
            self._settle(self._most)
        return not self._is_refused

    def _take(self, before: Entry | None) -> int | None:
        """Have the items taken that there are; give how many, None if one was refused, now or before. Called in a turn."""
        if before is not None and (before.error is not None or before.result is None):
            return None
        self._is_awaited = False
        taken: list[_Item] = []
        self._items.engine.undo(partial(self._put_back, taken))
        return len(taken) if self._items.take(self._work, self._line, taken) else None

    def _put_back(self, taken: list[_Item]) -> None:
        self._line.extendleft(reversed(taken))
        self._is_awaited = True

    def nudge(self) -> None:
        """Have those that are under way committed."""
        if self._entries:
            self._turns.nudge()

    def flush(self) -> bool:
        """Wait until all are durable; False if one was refused. Raises what went wrong."""
        self._settle(0)
        return not self._is_refused

    def _settle(self, most: int) -> None:
        entries = self._entries
        while entries and (self._under_way > most or entries[0].finished):
            entry = entries.popleft()
            if not entry.finished:
                self._turns.wait(entry)
            entry.apply = _done  # it holds the one before it
            if entry.error is not None or entry.result is None:
                self._is_refused = True
            if entry.error is not None:
                raise entry.error
            self._under_way -= entry.result or 0


def _done() -> None:
    return


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

    def recording(self, work: JobWork) -> Recording:
        """Give what takes the items of an attempt."""
        return Recording(self, work)

    def take(self, work: JobWork, line: deque[_Item], taken: list[_Item]) -> bool:
        """Make items durable, each with the job's state, and start who depends on them; only inside a turn.

        They go from `line` to `taken`. False if one is refused: the attempt is over, or its execution stops.
        """
        engine, live, number = self.engine, work.live, work.key.number
        state, index = live.state, work.vertex.index
        run = (state.jobs[index].runs or {}).get(number)
        if run is None or run.attempt != work.key.attempt or live.works.get((index, number)) is not work:
            return not line
        is_refused = False
        while line and not is_refused:
            is_refused = run.status not in ("RUNNING", "STOPPING") or state.status is not ExecutionStatus.RUNNING
            if not is_refused:
                taken.append(line.popleft())
                self._take(work, state.jobs[index].items + 1, taken[-1])
                if state.outbox:
                    engine.drain()
        if taken and taken[-1][2] is not None:  # the state that goes with the last of them
            engine.record.write(STATE_SAVED, (work.key.execution_id, work.key.job, taken[-1][2]))
        if engine.record.now >= work.counted_at + _SELDOM:
            self.count(work)
        return not is_refused

    def _take(self, work: JobWork, at: int, one: _Item) -> None:
        item, stored, _, truth = one
        engine, live, (own, job, number, _) = self.engine, work.live, work.key
        record = engine.record
        if type(item) is Outcome:
            item, stored = engine.item_of(work, item)
        value = {"number": number, "item": at} if truth is None else {"number": number, "item": at, "truth": truth}
        event = record.append(Draft(work.vertex.key, value, _ITEM, live.namespace, job, own, own))
        record.write(ITEM_ADDED, (own, job, at, *stored[:4]))
        if item is not stored:
            live.items[work.vertex.index, at] = item
        engine.step(live, event)

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
            if first - kept >= _MANY or (first > kept and (record.now >= live.let_go_at or state.status.is_ended)):
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
