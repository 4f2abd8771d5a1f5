"""Runs a mapped job: once per element of its lists, some at a time, and one list of results at the end.

Knows nothing of turns or stores; the elements run on whatever runner the job has.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import accumulate
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.job import Fixed, JobOptions
from aiflow.live import ElementWork, JobWork
from aiflow.runners.base import Ended, Runner, failure_of
from aiflow.runners.calling import finish, judge, perform, perform_async
from aiflow.runners.performed import Outcome

__all__ = ["MappedRun", "elements_of", "run_again", "run_here"]


class MappedRun:
    """One attempt of a mapped job. Elements that succeeded in an earlier attempt of this process are not run again."""

    def __init__(
        self, work: JobWork, runner: Runner, width: int, done: Callable[[Any, Ended], Any], kept: dict[int, Ended]
    ) -> None:
        self.work, self.runner, self.width, self.done, self.results = work, runner, width, done, kept
        self._guard = threading.Lock()
        self._todo: list[ElementWork] = []
        self._running: dict[int, ElementWork] = {}
        self._failed: Ended | None = None
        self._count = 0
        self._begun = self._stopped = self._over = False

    def start(self) -> None:
        """Load the lists and begin with the first elements."""
        try:
            elements = elements_of(self.work)
            self._count = len(elements)
            self._todo = [e for e in reversed(elements) if e.element not in self.results]
        except BaseException as error:  # loading the inputs runs foreign code
            self.done(self.work, judge(error, self.work.options))
            return
        self._begun = True
        self._advance()

    def stop(self) -> None:
        """Ask the running elements to stop; the others do not begin."""
        with self._guard:
            self._stopped = True
            running = list(self._running.values())
        for element in running:
            self.runner.stop(element)
        if self._begun:
            self._advance()

    def _advance(self) -> None:
        while True:
            with self._guard:
                if not self._todo or self._failed is not None or self._is_stopping or len(self._running) >= self.width:
                    break
                element = self._todo.pop()
                self._running[element.element] = element
            try:
                self.runner.start(element, self._element_done)
            except Exception as error:  # a plugin's runner: its trouble is this element's
                failure = failure_of(error)
                self._element_done(element, Ended("FAILED", error=failure, reason=str(failure)))
                return
        with self._guard:
            if self._running or self._over:
                return
            self._over = True
        self.done(self.work, self._verdict())

    @property
    def _is_stopping(self) -> bool:
        return self._stopped or self.work.context.stopping  # the elements that run may have heard of it before `stop`

    def _element_done(self, element: Any, ended: Ended) -> None:
        with self._guard:
            self._running.pop(element.element, None)
            if ended.outcome == "SUCCESS":
                if type(ended.value) is Outcome:  # a plugin's runner gives what the function has returned
                    ended = finish(ended.value, JobOptions())
                self.results[element.element] = ended
            elif self._failed is None:
                which = f"element [{element.element}] (the {ordinal(element.element + 1)} of {self._count})"
                ended.reason = f"{which}: {ended.reason or ended.error or ended.outcome}"
                self._failed = ended
        self._advance()

    def _verdict(self) -> Ended:
        if self._failed is not None:
            return self._failed
        if len(self.results) < self._count:
            return Ended("STOPPED", reason="stopped before all elements ran")
        ends = [ended for _, ended in sorted(self.results.items())]
        decode = self.work.live.store.codec.decode
        values = [ended.value if ended.stored is None else decode(ended.stored) for ended in ends]
        whole = finish(values, self.work.options, self.work.asked_outputs)
        whole.changes = tuple(change for ended in ends for change in ended.changes)
        before = accumulate((len(ended.changes) for ended in ends), initial=0)
        given = [at + ended.gives for at, ended in zip(before, ends, strict=False) if isinstance(ended.gives, int)]
        if given and len(given) == len(ends):
            whole.gives = tuple(given)
        return whole


def ordinal(number: int) -> str:
    """Write a place in a row as people say it.

    Examples
    --------
    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '111th']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def run_here(work: JobWork | ElementWork) -> Ended:
    """Run a work on this thread, whatever its runner; an `async def` on an event loop made for it."""
    if not work.job.is_async:
        return perform(work.load, work.context, work.options)
    found: list[Ended] = []

    def on_a_loop() -> None:
        found.append(asyncio.run(perform_async(work.load, work.context, work.options)))

    thread = threading.Thread(target=on_a_loop, name="aiflow-again")  # this one may have a loop that is running
    thread.start()
    thread.join()
    return found[0]


def run_again(work: JobWork) -> Ended:
    """Run a whole work on this thread, all of its elements one after the other if it is mapped."""
    if not work.vertex.node.mapped:
        return run_here(work)
    values = []
    for element in elements_of(work):
        ended = run_here(element)
        if ended.outcome != "SUCCESS":
            return ended
        values.append(ended.value)
    return finish(values, work.options)


def _length(name: str, value: Any) -> int:
    """Count elements; who goes through a table gets its columns, of a dict the keys, of a text letters, and means none of these."""
    kind = type(value).__name__
    if not isinstance(value, str | bytes | Mapping) and kind != "DataFrame":
        with suppress(TypeError):
            return len(value)
    rows = "; of a table, give the rows: table.to_dict('records')" if kind == "DataFrame" else ""
    raise ParameterError(f"{name} is mapped over a value of the type {kind}, which is no list{rows}")


def elements_of(work: JobWork) -> list[ElementWork]:
    """Give the elements of a mapped job, in order; raises what loading its lists raises."""
    node = work.vertex.node
    positional = [(isinstance(a, Fixed), work.resolve(a)) for a in node.args]
    named = {k: (isinstance(v, Fixed), work.resolve(v)) for k, v in node.kwargs.items()}
    work.note_versions(value for _, value in [*positional, *named.values()])
    sizes = [_length(node.name, v) for is_fixed, v in [*positional, *named.values()] if not is_fixed]
    if len(set(sizes)) > 1:
        raise ParameterError(f"{node.name} is mapped over lists of different lengths: {', '.join(map(str, sizes))}")
    columns = [v if is_fixed else list(v) for is_fixed, v in positional]
    named_columns = {k: v if is_fixed else list(v) for k, (is_fixed, v) in named.items()}
    elements = []
    for i in range(sizes[0]):
        args = tuple(c if is_fixed else c[i] for (is_fixed, _), c in zip(positional, columns, strict=True))
        kwargs = {k: named_columns[k] if named[k][0] else named_columns[k][i] for k in named}
        elements.append(ElementWork(work, i, args, kwargs))
    return elements
