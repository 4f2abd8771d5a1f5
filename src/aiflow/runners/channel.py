"""The way of a stream's items from one job to another in this process: a bounded line in memory, with marks in it.

Knows nothing of executions or stores. One thread puts and one takes, and no lock is handed over per item: who finds the
line empty (or full) leaves a call that wakes it, and looks again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from aiflow.graph.stream import Stream
from aiflow.runners.context import JobContext
from aiflow.values.codec import Stored

__all__ = ["Channel", "ChannelStream", "Mark"]

_guard = threading.Lock()  # marks are few
Wake = Callable[[], None]


class Mark:
    """A place between two items of a stream. When all who take the stream have come to it, it is a checkpoint.

    Each of them leaves its state in it, as it was between the two items; all of these are saved together.

    Attributes
    ----------
    states
        State of each job, as JSON text.
    is_saved
        Whether everybody has come to it and the states are durable.
    is_spoilt
        Whether somebody who should have come to it has failed for good: nothing is saved then.
    """

    __slots__ = ("_awaited", "_pending", "_save", "_saved", "is_saved", "is_spoilt", "states")

    def __init__(self, save: Callable[[dict[str, str]], None]) -> None:
        self.states: dict[str, str] = {}
        self.is_saved = self.is_spoilt = False
        self._save = save
        self._pending = 1  # who makes it holds it until it is in all lines
        self._awaited: Wake | None = None
        self._saved: list[Wake] = []

    def expect(self, saved: Wake | None = None) -> bool:
        """Wait for one more to come to it; `saved` is called then. False if that is too late."""
        with _guard:
            if self.is_saved:
                return False
            self._pending += 1
            if saved is not None:
                self._saved.append(saved)
            return True

    def arrive(self) -> None:
        """Say that one of them has come to it, or never will; the last one saves."""
        with _guard:
            self._pending -= 1
            if self._pending:
                return
        try:
            if self.states and not self.is_spoilt:
                self._save(self.states)
        finally:
            with _guard:
                self.is_saved, calls = True, self._saved
            for call in calls:
                call()
            if self._awaited is not None:
                self._awaited()

    def call_when_saved(self, wake: Wake) -> None:
        """Have `wake` called then."""
        self._awaited = wake


class Channel:
    """The line between one run of a stream job and one job that takes its items as an iterator.

    Parameters
    ----------
    size
        With how many waiting items it is full: who puts waits then.
    latest
        Whether only the newest item is of interest; it is never full then.
    keeps
        Whether what was taken since the last checkpoint is kept, to be given again.
    """

    __slots__ = ("_taken", "is_broken", "is_closed", "is_ended", "items", "latest", "on_item", "on_room", "size")

    def __init__(self, size: int, latest: bool = False, keeps: bool = False) -> None:
        self.size, self.latest = size, latest
        self.items: deque[Any] = deque()
        self.is_ended = False  # nothing more comes
        self.is_closed = False  # nobody takes any more
        self.is_broken = False  # and that is because it failed
        self.on_item: Wake | None = None
        self.on_room: Wake | None = None
        self._taken: deque[Any] | None = deque() if keeps else None

    @property
    def is_full(self) -> bool:
        """Whether who puts has to wait."""
        return len(self.items) >= self.size and not self.is_closed and not self.latest

    @property
    def has_room(self) -> bool:
        """Whether who waits for room should go on: not before half of the line is empty."""
        return len(self.items) <= self.size // 2 or self.is_closed or self.latest

    def put(self, item: Any) -> None:
        """Add an item; never waits."""
        if self.is_closed:
            return
        if self.latest:
            self._forget_older()
        self.items.append(item)
        if self.on_item is not None:
            self._call("on_item")

    def put_mark(self, mark: Mark) -> None:
        """Add a mark; who takes comes to it when it asks for the item behind it."""
        mark.is_spoilt = mark.is_spoilt or self.is_broken
        if not self.is_closed and mark.expect(lambda: self._forget_taken(mark)):
            self.items.append(mark)
            if self.is_closed:  # meanwhile
                self.close(self.is_broken)
            self._call("on_item")

    def take(self) -> Any:
        """Give the next item or mark; IndexError if there is none now."""
        item = self.items.popleft()
        if self._taken is not None:
            self._taken.append(item)
        if self.on_room is not None and self.has_room:
            self._call("on_room")
        return item

    def rewind(self) -> None:
        """Put back what was taken since the last checkpoint; nobody takes meanwhile."""
        taken, self._taken = self._taken, deque() if self._taken is not None else None
        again = [i for i in taken or () if type(i) is not Mark or i.expect()]
        self.items.extendleft(reversed(again))

    def end(self) -> None:
        """Say that nothing more will be put."""
        self.is_ended = True
        self._call("on_item")

    def close(self, is_broken: bool = False) -> None:
        """Say that nobody will take any more; what waits is let go. `is_broken`: who took it has failed."""
        self.is_broken, self.is_closed = is_broken, True
        with suppress(IndexError):
            while True:
                item = self.items.popleft()
                if type(item) is Mark:
                    item.is_spoilt = item.is_spoilt or is_broken
                    item.arrive()
        self._call("on_room")

    def _call(self, name: str) -> None:
        call = getattr(self, name)
        if call is not None:
            setattr(self, name, None)
            call()

    def _forget_older(self) -> None:
        marks = []
        with suppress(IndexError):
            while True:
                item = self.items.popleft()
                if type(item) is Mark:
                    marks.append(item)
        self.items.extend(marks)

    def _forget_taken(self, mark: Mark) -> None:
        if self._taken is not None and mark in self._taken:
            while self._taken and self._taken.popleft() is not mark:
                pass


class ChannelStream(Stream[Any]):
    """The items of a channel, as a job on a thread of this process gets them.

    Parameters
    ----------
    channel
        Where they come from.
    context
        The job's; when it is asked to stop, who waits for an item gets `Stopped`.
    pass_mark
        Called at a mark, before the item behind it is given.
    part
        The output of which only the items' part is wanted, or None.
    decode
        Reads an item that came from another process.
    """

    __slots__ = ("_channel", "_context", "_decode", "_items", "_mark", "_part", "_pass_mark")

    def __init__(
        self,
        channel: Channel,
        context: JobContext,
        pass_mark: Callable[[Mark], None],
        part: int | str | None,
        decode: Callable[[Stored], Any],
    ) -> None:
        self._channel, self._context, self._pass_mark, self._part = channel, context, pass_mark, part
        self._decode = decode
        self._mark: Mark | None = None
        self._items = self._iterate()

    def __iter__(self) -> Iterator[Any]:
        return self._items  # a generator: no call of Python code for each item

    def __next__(self) -> Any:
        return next(self._items)

    def _iterate(self) -> Iterator[Any]:
        channel, part, take = self._channel, self._part, self._channel.take
        while True:
            try:
                item = take()
            except IndexError:
                if not self._await_item():
                    return
                continue
            kind = type(item)
            if kind is Mark:
                self._pass_mark(item)
                continue
            if kind is Stored:
                item = self._decode(item)
            yield item if part is None else item[part]
            if self._context.stopping:
                self._context.refuse_to_go_on()
            if channel.is_closed:
                return

    # --- for who must not wait --------------------------------------------------------------------------------------

    def pass_waiting_mark(self) -> None:
        """Pass the mark before which `take_now` has stopped: who takes has used all before it."""
        mark, self._mark = self._mark, None
        if mark is not None:
            self._pass_mark(mark)

    def take_now(self) -> tuple[Any] | None:
        """Give the next item, in a tuple; None if there is none now, or a mark that comes first and has to be passed."""
        while self._mark is None:
            try:
                item = self._channel.take()
            except IndexError:
                return None
            if type(item) is Mark:
                self._mark = item
            elif self._part is None:
                return (item,)
            else:
                return ((self._decode(item) if type(item) is Stored else item)[self._part],)
        return None

    @property
    def takes_one(self) -> bool:
        """Whether only one item may be taken at a time: newer ones will take the place of those that wait."""
        return self._channel.latest

    @property
    def has_item(self) -> bool:
        """Whether there is an item, or a mark that waits."""
        return bool(self._channel.items) or self._mark is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self._mark is None and self._channel.is_ended and not self._channel.items

    def when_item(self, wake: Wake) -> None:
        """Have `wake` called when there may be an item."""
        self._channel.on_item = wake

    def _await_item(self) -> bool:
        """Wait for an item; False when none will come."""
        channel = self._channel

        def register(wake: Wake) -> None:
            channel.on_item = wake

        if not self._context.wait_for(lambda: bool(channel.items) or channel.is_ended, register):
            self._context.refuse_to_go_on()
        return bool(channel.items) or not channel.is_ended
