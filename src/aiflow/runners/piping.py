"""The streams of a job in a child process: its items go up the socket, and those that it takes come down.

Knows nothing of executions; the keeper's side talks to the same lines as a job on a thread does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from aiflow import errors
from aiflow.graph.change import Change
from aiflow.graph.job import JobOptions
from aiflow.graph.stream import Stream
from aiflow.runners.base import Call, Ended, RunnerHost, Work
from aiflow.runners.calling import finish
from aiflow.runners.channel import ChannelStream
from aiflow.runners.context import JobContext
from aiflow.runners.performed import Outcome
from aiflow.runners.port import SocketPort, explained
from aiflow.runners.wire import Frame
from aiflow.values.codec import Codec, Stored

__all__ = ["Pipes", "SocketOutlet", "Taken", "plug_in"]

_WINDOW = 50
"""After so many items the child wants to hear whether there is room for more; it sends on meanwhile."""
_BATCH, _BATCH_BYTES = 100, 1_000_000
"""How many items go down at a time, at most."""


class Taken(NamedTuple):
    """Stands in a call for a stream that the job takes: the number of that stream among those of the call."""

    number: int


def lines_of(call: Call) -> tuple[Call, list[ChannelStream]]:
    """Put a `Taken` in the place of each stream that a job takes, and give these streams."""
    found: list[ChannelStream] = []

    def replaced(value: Any) -> Any:
        if type(value) is not ChannelStream:
            return value
        found.append(value)
        return Taken(len(found) - 1)

    args = tuple(replaced(a) for a in call.args)
    return Call(call.function, args, {k: replaced(v) for k, v in call.kwargs.items()}), found


def plug_in(call: Call, port: SocketPort, context: JobContext, codec: Codec) -> Call:
    """Put iterators in the place of each `Taken`, in the child."""

    def replaced(value: Any) -> Any:
        return SocketStream(value.number, port, context, codec) if type(value) is Taken else value

    args = tuple(replaced(a) for a in call.args)
    return Call(call.function, args, {k: replaced(v) for k, v in call.kwargs.items()})


# --- the child's side -------------------------------------------------------------------------------------------------


class SocketStream(Stream[Any]):
    """The items of a stream, as a job in a child process gets them: some at a time."""

    __slots__ = ("_codec", "_context", "_items", "_number", "_port")

    def __init__(self, number: int, port: SocketPort, context: JobContext, codec: Codec) -> None:
        self._number, self._port, self._context, self._codec = number, port, context, codec
        self._items = self._iterate()

    def __iter__(self) -> Iterator[Any]:
        return self._items

    def __next__(self) -> Any:
        return next(self._items)

    def _iterate(self) -> Iterator[Any]:
        context = self._context
        while True:
            state = context.dump_state()
            answer = self._port.ask("take", key=context.key, stream=self._number, state=state).wait()
            at = 0
            for codec, kind, blob, size, length in answer.head["value"]:
                data: Any = bytes(answer.body[at : at + length])
                at += length
                yield self._codec.decode(Stored(codec, _data(kind, data), blob, size))
                if context.stopping:
                    context.refuse_to_go_on()
            if answer.head.get("ended"):
                return


class SocketOutlet:
    """Where the items of a stream job in a child process go."""

    def __init__(
        self,
        port: SocketPort,
        context: JobContext,
        options: JobOptions,
        asked: Sequence[int | str | None],
        codec: Codec,
    ) -> None:
        self._port, self._context, self._options, self._asked = port, context, options, asked
        self._codec = codec
        self._is_checked = options.outputs != 1 or bool(asked)
        self._count = 0
        self._window = max(1, min(_WINDOW, options.buffer // 4))
        self._unanswered: deque[Any] = deque()

    def emit(self, item: Any) -> None:
        """Send an item up."""
        context, truth = self._context, None
        if self._is_checked:
            item, truth = checked(item, self._options, self._asked)
        state = context.dump_state()
        fields = {"key": context.key, "state": state, "truth": truth}
        if type(item) is Outcome:
            fields |= {"changes": item.changes, "gives": item.gives}
            item = item.value
        head, body = _packed(self._codec.encode(item, f"an item of job {context.job!r}"))
        fields["stored"] = head[:-1]
        self._count += 1
        if self._count % self._window:
            self._port.tell("item", body, **fields)
        else:
            self._unanswered.append(self._port.ask("item", body, **fields))
            if len(self._unanswered) > 1 or self._window == 1:
                self._unanswered.popleft().wait()

    def finish(self, ended: Ended) -> None:
        """Nothing is left to do here: the keeper waits for those who take the items."""


def checked(item: Any, options: JobOptions, asked: Sequence[int | str | None]) -> tuple[Any, Any]:
    """Check the number of outputs of an item, and answer what `run_if` of other jobs asks of it.

    Raises
    ------
    ValueError
        If it has another number of outputs than the job declares, or cannot tell whether it is true.
    """
    ended = finish(item, options, asked)
    if ended.error is not None:
        raise ValueError(ended.error.message.replace("returned", "yielded"))
    return (item if type(item) is Outcome else ended.value), ended.truth


def _packed(stored: Stored) -> tuple[list[Any], bytes]:
    data = stored.data
    body = data.encode() if isinstance(data, str) else data or b""
    return [stored.codec, "text" if isinstance(data, str) else "bytes", stored.blob, stored.size, len(body)], body


def _data(kind: str, data: bytes) -> Any:
    return data.decode() if kind == "text" else data


# --- the keeper's side ------------------------------------------------------------------------------------------------

Reply = tuple[dict[str, Any], bytes]


class Pipes:
    """What a keeper does for the streams of the job that its child runs.

    Nothing here waits: what cannot be answered yet is answered by `go_on`, which has to be called after `ring`.

    Parameters
    ----------
    host, work
        Who serialises items, and the job.
    streams
        Those that it takes.
    ring
        Called from any thread when there may be something to go on with.
    """

    def __init__(self, host: RunnerHost, work: Work, streams: list[ChannelStream], ring: Callable[[], None]) -> None:
        self._host, self._work, self._streams, self._bell = host, work, streams, ring
        self._outlet = work.outlet
        self._waiting: list[dict[str, Any]] = []
        self._guard, self._is_rung = threading.Lock(), False

    def _ring(self) -> None:
        with self._guard:
            self._is_rung = True
            self._work.context.is_resting = False
        self._bell()

    def _waits(self, register: Callable[[Callable[[], None]], None], is_enough: Callable[[], bool]) -> bool:
        """Wait for something, unless it is so already; the job does not rest once it was rung, not for a moment."""
        self._is_rung = False
        register(self._ring)
        if is_enough():
            return False
        with self._guard:
            self._work.context.is_resting = not self._is_rung
        return True

    def handle(self, frame: Frame) -> list[Reply]:
        """Take an item, or the wish for some; give what there is to answer now."""
        head = frame.head
        context = self._work.context
        try:
            if head["op"] == "item" and self._outlet is not None:
                codec, kind, blob, size = head["stored"]
                item: Any = Stored(codec, None if blob is not None else _data(kind, bytes(frame.body)), blob, size)
                if head.get("changes"):
                    item = Outcome(item, tuple(Change(*change) for change in head["changes"]), head["gives"])
                self._outlet.accept(item, head["state"], head["truth"])
            context.told_state = head["state"]
        except (Exception, errors.Stopped) as error:  # an engine's trouble is the asking job's
            return [({"op": "reply", "id": head.get("id", 0), "value": None, "error": explained(error)}, b"")]
        if "id" not in head:
            return []
        self._waiting.append(head)
        return self.go_on()

    def go_on(self) -> list[Reply]:
        """Give the answers that have become possible."""
        waiting, self._waiting = self._waiting, []
        replies = []
        for head in waiting:
            try:
                reply = self._room(head) if head["op"] == "item" else self._items(head)
            except (Exception, errors.Stopped) as error:  # an item that cannot be serialised, say
                reply = ({"op": "reply", "id": head["id"], "value": None, "error": explained(error)}, b"")
            if reply is None:
                self._waiting.append(head)
            else:
                replies.append(reply)
        return replies

    def _room(self, head: dict[str, Any]) -> Reply | None:
        outlet, context = self._outlet, self._work.context
        must_wait = outlet is not None and outlet.is_full and not context.stopping
        if outlet is not None and must_wait and self._waits(outlet.when_room, outlet.has_room):
            return None
        return {"op": "reply", "id": head["id"], "value": None}, b""

    def _items(self, head: dict[str, Any]) -> Reply | None:
        stream, context = self._streams[head["stream"]], self._work.context
        if context.stopping:
            context.refuse_to_go_on()
        rows: list[list[Any]] = []
        body, ended = bytearray(), False
        stream.pass_waiting_mark()
        while len(rows) < _BATCH and len(body) < _BATCH_BYTES and not ended:
            item = stream.take_now()
            if item is None:
                break
            stored = item[0] if type(item[0]) is Stored else self._host.encode(item[0], "an item of a stream")
            row, data = _packed(stored)
            rows.append(row)
            body += data
            ended = stream.takes_one
        if not rows and not stream.is_over:
            if self._waits(stream.when_item, lambda: stream.has_item or stream.is_over):
                return None
            return self._items(head)
        return {"op": "reply", "id": head["id"], "value": rows, "ended": not rows}, bytes(body)
