"""What a stream is to the function that takes one: an iterator; and how a function says that it wants one.

Knows nothing of where the items come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, get_origin

__all__ = ["Stream", "stream_parameters"]

Item = TypeVar("Item")
_WRITTEN = re.compile(r"(\w+\.)*Stream(\[.*\])?")


class Stream(Iterator[Item], Generic[Item]):
    """The items of a stream job, as another job gets them: an iterator.

    Annotate a parameter with it (``items: af.Stream`` or ``items: af.Stream[int]``), and the job is started once for the
    whole stream and goes through its items as they come; without it, a job is started once for each item. It waits for
    items that are not there yet, and ends when the stream has ended and all of its items have been taken.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def numbers(n):
    ...     yield from range(n)
    >>> @af.job
    ... def total(items: af.Stream) -> int:
    ...     return sum(items)
    >>> total(numbers(4))
    6
    >>> @af.workflow
    ... def totals():
    ...     total(numbers(4))
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        raise NotImplementedError


def stream_parameters(function: Callable[..., Any]) -> frozenset[str]:
    """Give the names of the parameters that are annotated as streams, also by a string."""
    try:
        found = getattr(function, "__annotations__", None)
    except NameError:  # Python 3.14 reads annotations late: names that only type checkers know
        from annotationlib import Format, get_annotations  # type: ignore[import-not-found,unused-ignore]

        found = get_annotations(function, format=Format.STRING)
    if not found:
        return frozenset()
    return frozenset(name for name, annotation in found.items() if name != "return" and _is_stream(annotation))


def _is_stream(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return _WRITTEN.fullmatch(annotation.strip().strip("'\"")) is not None
    return annotation is Stream or get_origin(annotation) is Stream
