"""A keeper: the thread that has one child process, gives it jobs, answers what it asks, stops and buries it.

Knows nothing of the other keepers: the runner deals the jobs out.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aiflow.errors import RunnerError
from aiflow.graph.change import Change
from aiflow.runners.base import Call, Ended, Failure, RunnerHost, Work
from aiflow.runners.calling import judge
from aiflow.runners.childprocess import ChildProcess, fate
from aiflow.runners.family import Family
from aiflow.runners.output import JobLog
from aiflow.runners.piping import Pipes, lines_of
from aiflow.runners.port import answer
from aiflow.runners.wire import Frame
from aiflow.values.codec import Stored, pickle_call

__all__ = ["OPENER", "Done", "Keeper", "Pool", "ended_of", "head_of", "key_of", "pack_call"]

Done = Callable[[Work, Ended], Any]
OPENER = "aiflow._project:open_in_child"
"""What opens the project in a child; by name, for runners may not import what is above them."""

logger = logging.getLogger(__name__)


def key_of(work: Work) -> tuple[Any, ...]:
    """Give what tells a work from all others, elements of a mapped job included."""
    return (*work.key, work.element)


class Pool(Protocol):
    """What a keeper needs of its runner."""

    host: RunnerHost
    family: Family
    idle_timeout: float

    def ended(self, keeper: Keeper, work: Work) -> bool:
        """Learn that a work is over, so the keeper is free; tell whether its end is still wanted."""

    def lets_go(self, keeper: Keeper) -> bool:
        """Tell whether an idle keeper may leave: not if it was given work meanwhile."""


class _Order(NamedTuple):
    """What a keeper is told: "start" a work, "stop" it, or "close"."""

    verb: str
    work: Any = None
    done: Any = None


class _Task:
    """The work that a keeper has now, and how far stopping it has come."""

    def __init__(self, work: Work, done: Done) -> None:
        self.work, self.done = work, done
        self.log = JobLog(work.log_path, secrets=work.context.secrets, key=work.context.key)
        self.signals: deque[tuple[float, int, bool]] = deque()
        self.frame: tuple[dict[str, Any], bytes] | None = None  # what starts it, until the child has it
        self.is_stopping = self.was_killed = False
        self.pipes: Pipes | None = None

    def stop(self) -> None:
        """Plan the signals: SIGTERM soon, SIGKILL at the end of `stop_timeout`.

        A function that looks at `af.current().stopping` has half a second to end by itself. The second SIGTERM is for
        the child alone: Python may miss one that comes just before a call that blocks.
        """
        now, patience = time.monotonic(), self.work.options.stop_timeout
        self.is_stopping = True
        self.signals.append((now + min(0.5, patience / 2), signal.SIGTERM, True))
        self.signals.append((now + min(1.0, patience * 3 / 4), signal.SIGTERM, False))
        self.signals.append((now + patience, signal.SIGKILL, True))


class Keeper(threading.Thread):
    """Keeps one child process at a time; all that it does with it happens on this thread."""

    def __init__(self, pool: Pool, number: int) -> None:
        super().__init__(name=f"aiflow-keeper-{number}", daemon=True)
        self.pool = pool
        self.orders: deque[_Order] = deque()
        self.is_reporting = False
        self._child: ChildProcess | None = None
        self._task: _Task | None = None
        self._idle_since = time.monotonic()
        self._bell = threading.Lock()  # the pipe may not be rung once it is closed: its number may be another's
        self._bell_in, self._bell_out = os.pipe()
        os.set_blocking(self._bell_in, False)
        os.set_blocking(self._bell_out, False)

    def tell(self, verb: str, work: Work | None = None, done: Done | None = None) -> None:
        """Give an order, from any thread."""
        self.orders.append(_Order(verb, work, done))
        with self._bell, suppress(OSError):  # a full pipe rings as well
            if self._bell_out >= 0:
                os.write(self._bell_out, b"!")

    @property
    def has_child(self) -> bool:
        """Whether its next work finds a process that waits."""
        return self._child is not None

    # --- all below happens on the keeper's own thread ---------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to close, or idle for too long."""
        try:
            while self._carry_out_orders():
                self._wait()
                if self._is_tired() and self.pool.lets_go(self):
                    break
        except Exception as error:  # a mistake of ours: the job must end all the same
            logger.exception("A keeper of a process failed")
            if self._child is not None:
                self._child.bury()
            self._end(_failed(f"the process runner failed: {type(error).__name__}: {error}"), spoiled=True)
            self.pool.lets_go(self)
        finally:
            self._leave()

    def _carry_out_orders(self) -> bool:
        """Do what was ordered; False when told to close."""
        while self.orders:
            verb, work, done = self.orders.popleft()
            if verb == "close":
                return False
            if verb == "start":
                self._start(work, done)
            elif verb == "go on":
                self._go_on()
            elif self._task is not None and key_of(self._task.work) == key_of(work) and not self._task.is_stopping:
                self._task.stop()
                if self._child is not None:
                    self._child.send({"op": "stop", "key": work.key})
                self._go_on()
        return True

    def _go_on(self) -> None:
        """Answer what a job with streams has waited for."""
        if self._task is not None and self._task.pipes is not None and self._child is not None:
            for head, body in self._task.pipes.go_on():
                self._child.send(head, body)

    def _wait(self) -> None:
        """Wait for the bell, the child or the next moment to do something, and do it."""
        child, patience = self._child, self._patience()
        if child is None:
            select.select([self._bell_in], [], [], patience)
        else:
            child.wait(patience)
        with suppress(BlockingIOError):
            os.read(self._bell_in, 4096)
        if child is None:
            return
        while child.frames:
            self._take(child, child.frames.popleft())
        if child.is_over and self._child is child:
            self._mourn(child)
        elif self._task is not None:
            self._escalate(child, self._task)

    def _patience(self) -> float | None:
        now = time.monotonic()
        if self._task is None:
            return max(0.0, self._idle_since + self.pool.idle_timeout - now)
        return max(0.0, self._task.signals[0][0] - now) if self._task.signals else None

    def _is_tired(self) -> bool:
        return self._task is None and time.monotonic() >= self._idle_since + self.pool.idle_timeout

    # --- one work ---------------------------------------------------------------------------------------------------

    def _start(self, work: Work, done: Done) -> None:
        self._task = _Task(work, done)
        if any(o.verb == "stop" and key_of(o.work) == key_of(work) for o in self.orders):
            return self._end(Ended("STOPPED", reason="it was stopped before it began"))
        try:
            child = self._child_at_hand()  # first, for a new one needs some time to get ready
        except (OSError, RunnerError) as error:
            return self._end(_failed(f"no process could be started: {error}"))
        try:
            call, lines = lines_of(work.load())
            if lines or work.outlet is not None:
                self._task.pipes = Pipes(self.pool.host, work, lines, partial(self.tell, "go on"))
            body = pack_call(self.pool.host, work, call)
        except RunnerError as error:
            return self._end(_failed(str(error), retryable=False))
        except BaseException as error:  # foreign code: reading a value may run anything
            return self._end(judge(error, work.options))
        self._task.frame = head_of(self.pool.host, work, call), body
        return self._send(child, self._task)

    def _send(self, child: ChildProcess, task: _Task) -> None:
        child.stdout.begin(task.log)
        child.stderr.begin(task.log)
        if task.frame is not None:
            child.send(*task.frame)

    def _child_at_hand(self) -> ChildProcess:
        """Give the child that waits, or a new one if there is none, if it has died or if it knows old files."""
        if self._child is not None:
            self._child.wait(0)
            if self._child.is_stale():
                self._dismiss(self._child)
        if self._child is None:
            self._child = ChildProcess(self.pool.family, self._bell_in)
        return self._child

    def _take(self, child: ChildProcess, frame: Frame) -> None:
        """Take what the child says: the end of its job, or a question."""
        head, task = frame.head, self._task
        if head["op"] == "begun":
            if task is not None:
                task.frame = None
        elif head["op"] == "end":
            child.has_served = True
            child.note_files(head["files"])
            self._end(ended_of(frame), spoiled=head["spoiled"])
        elif head["op"] in ("item", "take"):
            is_mine = task is not None and task.pipes is not None and tuple(head["key"]) == task.work.key
            for reply, body in task.pipes.handle(frame) if is_mine else ():  # type: ignore[union-attr]  # it is mine
                child.send(reply, body)
        else:
            child.send(answer(task.work if task else None, head))

    def _escalate(self, child: ChildProcess, task: _Task) -> None:
        while task.signals and task.signals[0][0] <= time.monotonic():
            _, number, whole_group = task.signals.popleft()
            task.was_killed = number == signal.SIGKILL
            child.signal(number, whole_group)

    def _mourn(self, child: ChildProcess) -> None:
        """See to it that a child that is over is gone, and say how that came if it had a job."""
        child.dismiss()
        left_alive = not child.has_exited()
        how = fate(child.bury())
        self._child = None
        task = self._task
        if task is None:
            return None
        if task.frame is not None and child.has_served and not task.is_stopping:
            try:
                return self._send(self._child_at_hand(), task)  # it died of what was before: the job has not begun
            except (OSError, RunnerError) as error:
                return self._end(_failed(f"no process could be started: {error}"))
        self._child = child  # its last words belong to the job
        work = task.work
        if task.is_stopping:
            late = f"it did not end within {work.options.stop_timeout:g} s of being asked to, and was killed"
            return self._end(Ended("STOPPED", reason=late if task.was_killed else f"its process {how}"))
        if left_alive:
            how = "closed its connection to aiflow and went on"
        reason = f"the process of job {work.key.job!r} {how}; it gave no result"
        tail = child.stderr.tail[-2000:]
        message = f"{reason}; the end of its standard error:\n{tail}" if tail else reason
        return self._end(Ended("FAILED", error=Failure("ProcessDied", message), reason=reason[:500]))

    def _end(self, ended: Ended, spoiled: bool = False) -> None:
        """Report how the work ended, after all that it printed is in its log."""
        task, self._task, child = self._task, None, self._child
        if child is not None:
            child.drain()
            if spoiled or child.is_over or (task is not None and task.is_stopping):
                child.bury()  # with what a stopped job has left running
                self._child = None
            child.stdout.end()
            child.stderr.end()
        self._idle_since = time.monotonic()
        if task is None:
            return
        task.log.close()
        if task.work.outlet is not None:
            task.work.outlet.finish(ended)
        if self.pool.ended(self, task.work):
            self.is_reporting = True
            try:
                task.done(task.work, ended)
            except Exception:  # the engine's trouble must not end the keeper
                logger.exception("The end of a job could not be reported", extra=task.work.key._asdict())
            self.is_reporting = False

    def _dismiss(self, child: ChildProcess) -> None:
        child.dismiss()
        child.bury()
        self._child = None

    def _leave(self) -> None:
        if self._child is not None and self._task is None:
            self._dismiss(self._child)
        elif self._child is not None:
            self._child.bury()
        if self._task is not None:
            self._task.log.close()
        with self._bell:
            os.close(self._bell_in)
            os.close(self._bell_out)
            self._bell_out = -1


def _failed(message: str, retryable: bool = True) -> Ended:
    return Ended("FAILED", error=Failure("RunnerError", message), retryable=retryable, reason=message[:500])


def pack_call(host: RunnerHost, work: Work, call: Call) -> bytes:
    """Pickle what only pickle can carry; together, so that they share their classes."""
    try:
        return pickle_call(*call, work.options.retry_on, work.context.params, host.serializers)
    except RunnerError:
        for serializer in host.serializers:
            try:
                pickle_call(serializer.load, (), {})
            except RunnerError as error:
                raise RunnerError(
                    f"the serializer {serializer.name!r} of a plugin cannot be sent to another process "
                    f"({error.__cause__}); it must be picklable"
                ) from error
        raise


def head_of(host: RunnerHost, work: Work, call: Call) -> dict[str, Any]:
    """Give the head of the frame that starts a job."""
    context = work.context
    return {
        "op": "start",
        "key": work.key,
        "namespace": context.namespace,
        "workflow": context.workflow,
        "context": context.context,
        "event_offsets": context.event_offsets,
        "cause": context.cause,
        "scratch": str(_scratch_of(work)),
        "folder": work.context.folder,
        "span": context.span,
        "home": str(Path(host.home).absolute()),
        "outputs": work.options.outputs,
        "asked": work.asked_outputs,
        "stream": work.outlet is not None,
        "buffer": work.options.buffer,
        "is_async": work.job.is_async,
        "opener": OPENER,
        "level": logging.getLogger().level,
        "argv": sys.argv,
    }


def _scratch_of(work: Work) -> Path:
    """Give the scratch directory without making it."""
    scratch = work.context._scratch
    return Path(scratch() if callable(scratch) else scratch).absolute()


def ended_of(frame: Frame) -> Ended:
    """Read the frame that reports the end of a job."""
    head, stored = frame.head, None
    if "stored" in head:
        codec, kind, blob, size, summary = head["stored"]
        data = None if blob is not None else frame.body.decode() if kind == "text" else bytes(frame.body)
        stored = Stored(codec, data, blob, size, summary)
    error = head["error"] and Failure(*head["error"])
    ended = Ended(head["outcome"], None, stored, error, head["retryable"], head["truth"], head["reason"])
    ended.state, ended.gives, ended.refused = head["state"], head["gives"], head["refused"]
    ended.changes = tuple(Change(*change) for change in head["changes"])
    return ended
