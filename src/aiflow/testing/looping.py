"""Runs an `async def` job of a simulation on an event loop whose time is virtual: `asyncio.sleep` sleeps for no real time.

Knows nothing of what else may happen meanwhile.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiflow.clock import Clock
from aiflow.runners import calling
from aiflow.runners.base import Ended

__all__ = ["perform_async"]

Rest = Callable[[Callable[[], bool], "float | None"], Any]
_GRACE = 0.2
"""Seconds of real time that a loop which waits for no time is given to hear of something real: a socket, a thread."""


class _Selector(selectors.BaseSelector):
    """Waits by letting other things of the simulation happen."""

    def __init__(self, rest: Rest) -> None:
        self._real, self._rest = selectors.DefaultSelector(), rest

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Hand it on."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Hand it on."""
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Hand it on."""
        return self._real.get_map()

    def close(self) -> None:
        """Hand it on."""
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready; wait for `timeout` seconds of virtual time."""
        found = self._real.select(_GRACE if timeout is None else 0)
        if found or (timeout is not None and timeout <= 0):
            return found
        self._rest(lambda: bool(self._real.select(0)), timeout)
        return self._real.select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self, clock: Clock, rest: Rest) -> None:
        super().__init__(_Selector(rest))
        self._clock, self._clock_resolution = clock, 1e-5

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._clock.now()


def perform_async(work: Any, clock: Clock, rest: Rest) -> Ended:
    """Call the function of a work, and say how it ended; it is cancelled when it is asked to stop."""
    context, loop = work.context, _Loop(clock, rest)
    task = loop.create_task(calling.perform_async(work.load, context, work.options, work.asked_outputs))

    def cancel() -> None:
        loop.call_soon_threadsafe(task.cancel)

    context.stop_event.wakers.append(cancel)
    try:
        if context.stopping:
            loop.call_soon(cancel)
        return loop.run_until_complete(task)
    except BaseException:  # the simulated process is gone
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        raise
    finally:
        context.stop_event.wakers.remove(cancel)
        loop.close()
