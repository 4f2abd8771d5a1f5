"""Runs jobs on threads of this process: values are shared by reference, and an idle worker costs nothing.

Knows nothing of what comes next: `done` may hand back the next work, which then runs on the same thread at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from aiflow.runners.base import Ended, RunnerHost, Work
from aiflow.runners.calling import perform, perform_async
from aiflow.runners.output import attach_log, close_log, rewrap

__all__ = ["AsyncRunner", "InlineRunner", "ThreadRunner", "run_here"]

logger = logging.getLogger(__name__)
Done = Callable[[Work, Ended], Any]


def run_here(work: Work) -> Ended:
    """Run one attempt on this thread and say how it ended."""
    context = work.context
    rewrap()  # somebody may have put another stream in place of standard output meanwhile
    attach_log(context, lambda: work.log_path)
    try:
        return perform(work.load, context, work.options, work.asked_outputs)
    finally:
        close_log(context)


class ThreadRunner:
    """The default: daemon threads, made when they are needed. A thread cannot be killed (rules 16 and 22)."""

    runs_in_place = True

    def __init__(self, host: RunnerHost) -> None:
        self.capacity: int | None = host.workers
        self._waiting: deque[tuple[Any, Done | None]] = deque()
        self._idle: deque[threading.Lock] = deque()
        self._guard = threading.Lock()
        self._count = 0
        self._closed = False

    def start(self, work: Work, done: Done) -> None:
        """Give the work to an idle thread, or to a new one."""
        self._waiting.append((work, done))
        self._wake()

    def call(self, action: Callable[[], Any]) -> None:
        """Call something on a worker; it takes no job's place."""
        self._waiting.append((action, None))
        self._wake()

    def _wake(self) -> None:
        try:
            self._idle.popleft().release()
        except IndexError:
            with self._guard:
                if self._closed:
                    return
                self._count += 1
                number = self._count
            rewrap()
            threading.Thread(target=self._loop, name=f"aiflow-worker-{number}", daemon=True).start()

    def _loop(self) -> None:
        nap = threading.Lock()
        nap.acquire()
        while not self._closed:
            try:
                work, done = self._waiting.popleft()
            except IndexError:
                self._idle.append(nap)
                if self._waiting or self._closed:  # something came between looking and lying down
                    try:
                        self._idle.remove(nap)
                        continue
                    except ValueError:  # somebody has woken us already
                        pass
                nap.acquire()
                continue
            if done is None:
                try:
                    work()
                except Exception:  # whatever was asked for: the worker lives on
                    logger.exception("An action on a worker failed")
                continue
            following: Any = work
            while following is not None and not self._closed:
                following = done(following, run_here(following))
            work = done = following = None  # an idle worker keeps no values alive

    def stop(self, work: Work) -> None:
        """Ask: `af.current().stopping` becomes true."""
        work.context.stop_event.set()

    def close(self) -> None:
        """Let the threads go; what still runs is left alone, for threads cannot be killed."""
        self._closed = True
        while self._idle:
            try:
                self._idle.popleft().release()
            except IndexError:
                break


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
