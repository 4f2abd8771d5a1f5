"""The streams of an execution as they flow in this process: who gives to whom, and how far each has come.

Knows nothing of turns: it is told what the state says after each commit, and the engine writes what is to be durable.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiflow.errors import StoreError
from aiflow.graph.execution import ExecutionStatus
from aiflow.graph.plan import Plan, Vertex
from aiflow.graph.state import ExecutionState
from aiflow.graph.stream import Stream
from aiflow.graph.versions import version_of
from aiflow.runners.base import Ended, Failure
from aiflow.runners.channel import Channel, ChannelStream, Mark
from aiflow.runners.context import JobContext
from aiflow.runners.performed import Outcome
from aiflow.runners.piping import checked
from aiflow.values.codec import Stored

__all__ = ["UNDER_WAY", "Backlog", "Flows", "GivenStream", "StreamOutlet", "stream_of"]

UNDER_WAY = 128
"""How many items may be on their way into the log, at most."""
_MOMENT = 0.001
"""Seconds within which a commit is worth waiting for."""
_MOST = 1000
"""How many items there are between two checkpoints, at most."""

Save = Callable[[dict[str, str]], None]
Wake = Callable[[], None]


class Backlog:
    """How many items of one stream wait for batch jobs, or are being used by them."""

    __slots__ = ("_moved", "first", "last", "on_room", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.first, self.last = 1, 0  # the oldest that is wanted, the newest that there is
        self.on_room: Wake | None = None
        self._moved = 0.0

    def is_brisk(self, now: float) -> bool:
        """Tell whether some wait and one was used a moment ago: then the next end of a job is about to be committed."""
        return self.last > self.first and now - self._moved < _MOMENT

    def is_full(self, under_way: int) -> bool:
        """Tell whether more wait than should, those included that are not committed yet."""
        return self.last - self.first + 1 + under_way > self.size

    def has_room(self, under_way: int = 0) -> bool:
        """Tell whether half of them have been used."""
        return self.last - self.first + 1 + under_way <= max(1, self.size // 2)

    def move(self, first: int, last: int, now: float) -> None:
        """Take note of what is committed."""
        if first > self.first:
            self._moved = now
        self.first, self.last = first, last
        if self.on_room is not None and self.has_room():
            wake, self.on_room = self.on_room, None
            wake()


class Flows:
    """The lines between the stream jobs of an execution and those who take their items as iterators.

    Everything here is made and ended between two turns, from what the state says.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.backlogs = {i: Backlog(plan.vertices[i].node.options.buffer) for i in plan.emitters}
        self._lines: dict[tuple[int, int], list[Channel]] = {}  # run of a stream -> its lines
        self._channels: dict[tuple[int, int, int], Channel] = {}  # (stream, number, who takes it)

    def open(self, up: int, number: int) -> None:
        """Make the lines of a run of a stream to all who start with it; no item passes them by, however late they start."""
        for taker in self.plan.vertices[up].down:
            vertex = self.plan.vertices[taker]
            if up in vertex.takes and not vertex.has_start:
                self._connect(up, number, taker)

    def attach(self, taker: int, inputs: tuple[tuple[int, int], ...], is_again: bool, state: ExecutionState) -> None:
        """Give a job its lines; `is_again`: it gets what it has taken since the last checkpoint once more."""
        for up, number in inputs:
            if up in self.plan.vertices[taker].takes:
                channel = self._connect(up, number, taker)
                if is_again:
                    channel.rewind()
                if number not in (state.jobs[up].runs or ()):
                    channel.end()

    def _connect(self, up: int, number: int, taker: int) -> Channel:
        channel = self._channels.get((up, number, taker))
        if channel is None:
            source, options = self.plan.vertices[up].node.options, self.plan.vertices[taker].node.options
            channel = Channel(source.buffer, options.latest, keeps=bool(options.retries))
            self._channels[up, number, taker] = channel
            self.lines(up, number).append(channel)
        return channel

    def lines(self, up: int, number: int) -> list[Channel]:
        """Give the lines of one run of a stream; more may come."""
        return self._lines.setdefault((up, number), [])

    def channel(self, up: int, number: int, taker: int) -> Channel:
        """Give the line between a run of a stream and a job."""
        return self._channels[up, number, taker]

    def follow(self, state: ExecutionState, wanted_from: dict[int, int], now: float) -> None:
        """End the lines of runs that are over, and close those of jobs that take no more; after a commit."""
        for index, backlog in self.backlogs.items():
            backlog.move(wanted_from.get(index, 1), state.jobs[index].items, now)
        for (up, number, taker), channel in list(self._channels.items()) if self._channels else ():
            job = state.jobs[taker]
            if not channel.is_ended and number not in (state.jobs[up].runs or ()):
                channel.end()
            if job.runs or job.starts or job.restart:
                continue
            if state.status is ExecutionStatus.STOPPING and job.last is None:  # it never began, and now never will
                del self._channels[up, number, taker]
                channel.close(is_broken=True)
            elif job.last is not None and not (job.feeds or {}).get(up):
                del self._channels[up, number, taker]
                channel.close(is_broken=job.last == "FAILED")
            if number not in (state.jobs[up].runs or ()):
                self._lines.pop((up, number), None)


class GivenStream(Stream[Any]):
    """The items that somebody gave in the place of a stream job (``given={"readings": [...]}``)."""

    __slots__ = ("_items",)

    def __init__(self, items: Any, part: int | str | None) -> None:
        self._items = iter(items) if part is None else iter([item[part] for item in items])

    def __next__(self) -> Any:
        return next(self._items)


class StreamOutlet:
    """Where the items of one attempt of a stream job go, when it runs on a thread of this process.

    Parameters
    ----------
    vertex, context
        The job, and its view of itself.
    lines
        Those who take the items as an iterator.
    record
        Makes items durable with the job's state, if batch jobs want them (`add`, `flush` and its length); or None.
    backlog
        Of those items; or None.
    save
        Makes the states of a checkpoint durable.
    elapsed
        Tells the seconds that have passed since some moment.
    """

    def __init__(
        self,
        vertex: Vertex,
        context: JobContext,
        lines: list[Channel],
        record: Any,
        backlog: Backlog | None,
        save: Save,
        elapsed: Callable[[], float],
    ) -> None:
        self._elapsed = elapsed
        self._vertex, self._context, self._lines = vertex, context, lines
        self._record, self._backlog, self._save = record, backlog, save
        self._options = vertex.node.options
        self._is_checked = self._options.outputs != 1 or bool(vertex.asked_outputs)
        self._most = min(_MOST, self._options.buffer)
        if record is not None:
            context.before_rest = record.nudge  # nobody may come along for as long as it waits
        self._mark_at = 0
        self._mark_time = 0.0
        self.count = 0
        self.state: str | None = None  # as it was with the item that was emitted last

    # --- one item ---------------------------------------------------------------------------------------------------

    def emit(self, item: Any) -> None:
        """Pass an item on; waits while too many wait, and raises `Stopped` if it is refused."""
        if not self.accept(item, self._context.dump_state()):
            self._context.wait_for(self.has_room, self.when_room)

    def accept(self, item: Any, state: str | None, truth: Any = None) -> bool:
        """Pass an item on without waiting; False if the next one should wait for room."""
        if (
            self._is_checked
            and type(item) is not Stored
            and (type(item) is not Outcome or type(item.value) is not Stored)
        ):
            item, truth = checked(item, self._options, self._vertex.asked_outputs)
        if self._context.is_over:
            self._context.refuse_to_go_on()
        if type(item) is Outcome and (
            self._lines or self._record is None
        ):  # who takes it through memory has it at once
            item = self._done(item)
        if self._record is not None and not self._record.add(item, state, truth, self._is_brisk()):
            self._context.refuse_to_go_on()
        self.state = state
        self.count += 1
        for channel in self._lines:
            channel.put(item)
        if not self._vertex.takes and self._lines and self._is_mark_due():
            self._mark(state)
        return not self.is_full

    def _done(self, outcome: Outcome) -> Any:
        """Have done what changes with an item, and give the item."""
        given = self._context.change(*outcome.changes)
        if outcome.gives is None:
            return outcome.value
        return version_of(
            outcome.changes[outcome.gives].gives or "", given[outcome.gives], str(self._context.project.home)
        )

    @property
    def is_full(self) -> bool:
        """Whether too many items wait for somebody."""
        for channel in self._lines:
            if channel.is_full:
                return True
        backlog = self._backlog
        return backlog is not None and backlog.is_full(UNDER_WAY) and backlog.is_full(len(self._record))

    def has_room(self) -> bool:
        """Whether who waits for room should go on."""
        return all(c.has_room for c in self._lines) and (
            self._backlog is None or self._backlog.has_room(len(self._record))
        )

    def when_room(self, wake: Wake) -> None:
        """Have `wake` called when there may be room."""
        for channel in self._lines:
            channel.on_room = wake
        if self._backlog is not None:
            self._backlog.on_room = wake
            self._record.nudge()

    def _flushed(self, ended: Ended) -> bool:
        """Wait until all items are durable; if one is not, then the attempt has not succeeded either."""
        try:
            if self._record.flush():
                return True
            reason = "an item was refused"
        except StoreError as error:
            reason = f"an item could not be recorded: {error}"
        if ended.outcome == "SUCCESS":
            ended.outcome, ended.reason, ended.error = "FAILED", reason, Failure("StoreError", reason)
        ended.state = None  # it is that of the last item
        return False

    def _is_brisk(self) -> bool:
        return self._backlog is not None and self._backlog.is_brisk(self._elapsed())

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def _is_mark_due(self) -> bool:
        return self.count >= self._mark_at or self._elapsed() >= self._mark_time

    def _mark(self, state: str | None) -> None:
        self._mark_at = self.count + self._most
        self._mark_time = self._elapsed() + self._options.checkpoint
        mark = Mark(self._save)
        if state is not None and not self.has_durable_items:
            mark.states[self._vertex.name] = state
        self.pour(mark)
        mark.arrive()

    @property
    def has_durable_items(self) -> bool:
        """Whether the state is saved with each item; a checkpoint, which comes later, must not put an older one back."""
        return self._record is not None

    def pour(self, mark: Mark) -> None:
        """Put a mark into all lines, behind what was emitted."""
        for channel in self._lines:
            channel.put_mark(mark)

    def finish(self, ended: Ended) -> None:
        """Wait until those who take the items have taken all: a crash before that must not lose any."""
        if self._record is not None and not self._flushed(ended):
            return
        if ended.outcome in ("FAILED", "SKIPPED"):
            ended.state = None if self._vertex.takes else self.state
            if self._vertex.takes:  # it goes back to the last checkpoint
                return
        elif ended.outcome == "STOPPED" and not self._vertex.takes:
            ended.state = self.state
        if not self._lines:
            return
        mark = Mark(self._save)
        if ended.state is not None and not self.has_durable_items:
            mark.states[self._vertex.name] = ended.state
        self.pour(mark)
        mark.arrive()
        self._context.wait_for(lambda: mark.is_saved, mark.call_when_saved, until_over=True)
        if mark.is_spoilt:  # who takes it has failed: from the last checkpoint on, if somebody resumes it
            ended.state = None


def pass_mark(mark: Mark, job: str, context: JobContext, outlet: StreamOutlet | None) -> None:
    """Leave a job's state in a mark, and hand the mark on to those who take its own items."""
    try:
        state = context.dump_state()
        if state is not None and (outlet is None or not outlet.has_durable_items):
            mark.states[job] = state
        if outlet is not None:
            outlet.pour(mark)
    finally:
        mark.arrive()


def stream_of(
    channel: Channel, vertex: Vertex, context: JobContext, outlet: StreamOutlet | None, part: Any, decode: Any
) -> ChannelStream:
    """Give a line as the iterator that a job's function gets."""
    passing = partial(pass_mark, job=vertex.name, context=context, outlet=outlet)
    return ChannelStream(channel, context, passing, part, decode)
