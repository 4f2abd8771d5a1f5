"""Runs jobs on threads of this process: values are shared by reference, and an idle worker costs nothing.

Knows nothing of what comes next; what is started while a worker reports an end is run by that worker itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aiflow.runners.base import Ended, RunnerHost, Work
from aiflow.runners.calling import perform, perform_async
from aiflow.runners.output import attach_log, close_log, rewrap

__all__ = ["AsyncRunner", "InlineRunner", "ThreadRunner", "run_here"]

logger = logging.getLogger(__name__)
Done = Callable[[Work, Ended], Any]
Item = tuple[Any, Done | None]
_SHORT = 0.0001
"""Seconds that a job may take so that waking a second worker for the next one would not be worth it."""
_PATIENCE = 0.001
"""Seconds that a line must not move until a second worker takes what is in it."""


def run_here(work: Work) -> Ended:
    """Run one attempt on this thread and say how it ended."""
    context = work.context
    rewrap()  # somebody may have put another stream in place of standard output meanwhile
    attach_log(context, lambda: work.log_path)
    try:
        return perform(work.load, context, work.options, work.asked_outputs, work.outlet)
    finally:
        close_log(context)


class _Seat:
    """Where a worker lies down; who wakes it may hand it an item."""

    __slots__ = ("has_thread", "item", "nap")

    def __init__(self) -> None:
        self.item: Item | None = None
        self.has_thread = False
        self.nap = threading.Lock()
        self.nap.acquire()


class ThreadRunner:
    """The default: daemon threads, made when they are needed. A thread cannot be killed (rules 16 and 22).

    Waking a thread costs more than a short job. So workers that are about to come back from `done` find what has been
    started meanwhile in the line, and nobody is woken for it. While jobs are short, one worker goes through the line by
    itself; another one watches, and takes what is in it as soon as it has not moved for `_PATIENCE` seconds.
    """

    runs_in_place = True

    def __init__(self, host: RunnerHost) -> None:
        self.capacity: int | None = host.workers
        self._guard = threading.Lock()
        self._line: deque[Item] = deque()
        self._idle: list[_Seat] = []
        self._watcher: _Seat | None = None  # a worker that is neither idle nor busy
        self._coming = 0  # workers that look at the line in a moment
        self._moves = 0  # items taken from the line
        self._brisk = False  # whether the job that ended last was short
        self._count = 0
        self._closed = False

    def start(self, work: Work, done: Done) -> None:
        """Give the work to a worker: one that is about to come back, an idle one, or a new one.

        `done` says False if it was another thread that did what there was to do: of two workers with short jobs that
        meet there, one rests.
        """
        self._put((work, done), may_wait=True)

    def call(self, action: Callable[[], Any]) -> None:
        """Call something on a worker; it takes no job's place."""
        self._put((action, None), may_wait=False)

    def _put(self, item: Item, may_wait: bool) -> None:
        with self._guard:
            if self._closed:
                return
            if len(self._line) < self._coming:
                self._line.append(item)
                return
            if may_wait and self._brisk and self._coming:
                self._line.append(item)
                if self._watcher is not None:
                    return
                seat = self._watcher = self._rouse(None)
            else:
                seat = self._rouse(item)
        self._wake(seat)

    def _rouse(self, item: Item | None) -> _Seat:
        """Choose an idle worker, or a new one; the caller has the guard, and wakes it when it has let go of that."""
        seat = self._idle.pop() if self._idle else _Seat()
        seat.item = item
        return seat

    def _wake(self, seat: _Seat) -> None:
        if seat.has_thread:
            seat.nap.release()
            return
        seat.has_thread = True
        rewrap()
        self._count += 1
        threading.Thread(target=self._loop, args=(seat,), name=f"aiflow-worker-{self._count}", daemon=True).start()

    def _loop(self, seat: _Seat) -> None:
        item = self._next(seat, False)
        while item is not None:
            work, done = item
            if done is None:
                goes_on = True
                try:
                    work()
                except Exception:  # whatever was asked for: the worker lives on
                    logger.exception("An action on a worker failed")
            else:
                goes_on = self._run(work, done)
            item = work = done = None  # an idle worker keeps no values alive
            item = self._next(seat, goes_on)

    def _run(self, work: Work, done: Done) -> bool:
        """Run a job and tell how it ended; tell whether to look at the line at once."""
        begun = time.monotonic()
        ended = run_here(work)
        is_brisk = time.monotonic() - begun < _SHORT
        with self._guard:
            self._coming += 1
            self._brisk = is_brisk
        goes_on = True
        try:
            goes_on = done(work, ended) is not False
        except Exception:  # somebody may count on this worker to come back
            logger.exception("The end of job %s could not be told", work.key.job, extra=work.key._asdict())
        with self._guard:
            self._coming -= 1
            return goes_on or not (is_brisk and self._coming)

    def _next(self, seat: _Seat, at_once: bool) -> Item | None:
        """Give what was handed over, or is first in line; wait for it lying down. None at the end."""
        while not self._closed:
            with self._guard:
                if seat.item is not None:
                    item, seat.item = seat.item, None
                    return item
                if self._line and at_once:
                    item, others = self._take(seat)
                    break
                watches = bool(self._line) and self._watcher in (None, seat)
                if watches:
                    self._watcher = seat
                else:
                    self._watcher = None if self._watcher is seat else self._watcher
                    self._idle.append(seat)
                moves = self._moves
            seat.nap.acquire(timeout=_PATIENCE if watches else -1)
            at_once = watches and moves == self._moves
        else:
            return None
        for other in others:
            self._wake(other)
        return item

    def _take(self, seat: _Seat) -> tuple[Item, list[_Seat]]:
        """Take the first of the line; the caller has the guard. The watcher gives all others to somebody, too."""
        item, others = self._line.popleft(), []
        self._moves += 1
        if self._watcher is seat:
            self._watcher = None
            others = [self._rouse(left) for left in self._line]
            self._line.clear()
        return item, others

    def stop(self, work: Work) -> None:
        """Ask: `af.current().stopping` becomes true."""
        work.context.stop_event.set()

    def close(self) -> None:
        """Let the threads go; what still runs is left alone, for threads cannot be killed."""
        with self._guard:
            self._closed = True
            seats, self._idle = self._idle, []
        for seat in seats:
            seat.nap.release()


class InlineRunner:
    """Runs jobs on the thread that waits for them, so that a debugger works: `drive` is called by who waits."""

    runs_in_place = False

    def __init__(self, host: RunnerHost) -> None:
        self.capacity: int | None = None
        self._waiting: deque[tuple[Work, Done]] = deque()
        self.on_start: Callable[[], None] = lambda: None

    def start(self, work: Work, done: Done) -> None:
        """Keep the work for the next thread that drives."""
        self._waiting.append((work, done))
        self.on_start()

    def drive(self) -> bool:
        """Run one waiting work here; tell whether there was one."""
        try:
            work, done = self._waiting.popleft()
        except IndexError:
            return False
        rewrap()
        ended = run_here(work)
        done(work, ended)
        if ended.interrupted:
            raise KeyboardInterrupt
        return True

    @property
    def waiting(self) -> bool:
        """Whether there is work to drive."""
        return bool(self._waiting)

    def stop(self, work: Work) -> None:
        """Ask: `af.current().stopping` becomes true; what has not begun is not run."""
        work.context.stop_event.set()
        for entry in list(self._waiting):
            if entry[0] is work:
                self._waiting.remove(entry)
                entry[1](work, Ended("STOPPED", reason="stopped before it began"))

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


class AsyncRunner:
    """Runs `async def` jobs on an event loop of aiflow's own, on a thread of its own; never the notebook's."""

    runs_in_place = False

    def __init__(self, host: RunnerHost) -> None:
        self.capacity: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard = threading.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._begun: set[int] = set()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run_loop, args=(self._loop,), name="aiflow-async", daemon=True).start()
            return self._loop

    def start(self, work: Work, done: Done) -> None:
        """Make a task of the work."""
        rewrap()
        loop = self._running_loop()
        loop.call_soon_threadsafe(self._spawn, work, done)

    def _spawn(self, work: Work, done: Done) -> None:
        assert self._loop is not None
        self._tasks[id(work)] = self._loop.create_task(self._run(work, done))

    async def _run(self, work: Work, done: Done) -> None:
        self._begun.add(id(work))
        attach_log(work.context, lambda: work.log_path)
        try:
            ended = await perform_async(work.load, work.context, work.options, work.asked_outputs)
        finally:
            close_log(work.context)
            self._tasks.pop(id(work), None)
            self._begun.discard(id(work))
        await asyncio.get_running_loop().run_in_executor(None, done, work, ended)

    def stop(self, work: Work) -> None:
        """Ask, and cancel the task at its next `await`."""
        work.context.stop_event.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, work)

    def _cancel(self, work: Work) -> None:
        task = self._tasks.get(id(work))
        if task is None:
            return
        if id(work) in self._begun:
            task.cancel()
        elif self._loop is not None:  # cancelled before its first step it would end without a word
            self._loop.call_soon(self._cancel, work)

    def close(self) -> None:
        """Cancel what is left and end the loop."""
        loop = self._loop
        if loop is None:
            return
        self._loop = None

        async def end() -> None:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await loop.shutdown_default_executor()
            loop.stop()

        asyncio.run_coroutine_threadsafe(end(), loop)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
