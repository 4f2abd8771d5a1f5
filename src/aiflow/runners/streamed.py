"""The function of a job with a role that yields items, or takes streams: it goes on while versions are deployed.

Knows nothing of how deployments are heard of: the live model comes from the job's project.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from aiflow.graph.model import ModelVersion
from aiflow.graph.role import RoleSpec
from aiflow.graph.version import Version
from aiflow.graph.versions import use_of
from aiflow.runners.context import JobContext, current
from aiflow.runners.performed import Loaded, Performed
from aiflow.values.codec import Codec

__all__ = ["Followed", "Streamed"]


class Followed(NamedTuple):
    """Stands in a call for a live model, until it is opened where the function runs.

    Attributes
    ----------
    version
        The one that was chosen when the job began; there was one.
    """

    version: ModelVersion


class Streamed(Performed):
    """A user's function of that kind; what it works on is recorded as it goes, for it may only ever be stopped.

    Parameters
    ----------
    function, spec, version, home, folder
        See `Performed`.
    is_stream
        Whether it yields items.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        spec: RoleSpec,
        version: Version | None,
        home: str,
        folder: str,
        is_stream: bool,
    ) -> None:
        super().__init__(function, spec, version, home, folder)
        self.is_stream = is_stream

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Open and load what is meant, and call the function; what a generator yields is handed on with what comes of it."""
        context, codec = current(), self._codec()
        given = (*args, *kwargs.values())
        with ExitStack() as stack:
            put = partial(self._put, context, codec, stack)
            if self.version is not None and not any(type(one) is Followed for one in given):
                self._work_on(context, self.version)
            for one in given:
                if type(one) is Loaded and one.version != self.version:
                    context.change(use_of(one.version))
            value = self.function(*map(put, args), **{k: put(v) for k, v in kwargs.items()})
            if self.is_stream:
                return self._items(iter(value), codec, stack.pop_all())
            if inspect.iscoroutine(value):
                return self._end_of(value, codec, stack.pop_all())
            return self.outcome(value, codec)

    def _put(self, context: JobContext, codec: Codec, stack: ExitStack, value: Any) -> Any:
        if type(value) is not Followed:
            return self.loaded(codec, value)
        live = stack.enter_context(context.project.models.live(value.version.model))
        live._tell_of_versions(partial(self._work_on, context))
        return live

    def _work_on(self, context: JobContext, version: Version) -> None:
        """Take note of the version that the job works on from now on."""
        self.version, context.works_on = version, (version,)
        context.change(use_of(version))

    async def _end_of(self, coming: Any, codec: Codec, stack: ExitStack) -> Any:
        with stack:
            return self.outcome(await coming, codec)

    def _items(self, items: Iterator[Any], codec: Codec, stack: ExitStack) -> Generator[Any, None, Any]:
        """Give items, or outcomes where the metadata changes with an item: whoever records it does both."""
        with stack:
            if (close := getattr(items, "close", None)) is not None:  # what stream=True was said of may have none
                stack.callback(close)
            while True:
                try:
                    item = next(items)
                except StopIteration as end:
                    return end.value
                outcome = self.outcome(item, codec)
                yield outcome if outcome.changes else outcome.value
