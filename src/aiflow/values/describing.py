"""A value in a few words: tables and arrays by their shape, data by their beginning, other objects by their type.

Knows nothing of how values are kept. It imports no library, and calls no `__repr__` of an object, which may be slow or the
user's; who may do that says so with `Brief.other`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from datetime import date, time, timedelta
from itertools import islice
from pathlib import PurePath
from types import NoneType
from typing import Any

from aiflow.graph.version import Version

__all__ = ["LONGEST", "Brief", "describe", "is_number"]

LONGEST = 80
"""Characters that a description has at most."""

_DATA = (list, tuple, set, frozenset, dict)
_SORTABLE = 1000  # items of a set or dict; more are not sorted only to show a few of them
_SPOKEN = (date, time, timedelta, PurePath, complex)
_PLAIN = (float, bool, NoneType)  # exactly these: a subclass may write itself as it likes


class Brief(reprlib.Repr):
    """Writes values shortly: versions as everywhere, ``knn:2``, numbers of NumPy as numbers, tables by their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = LONGEST
        self.maxlevel, self.maxdict = 3, 8

    def describe(self, value: Any) -> str:
        """Give a value on one line of at most `LONGEST` characters; how many items it has, if not all are shown."""
        kind = type(value)
        is_cut = kind in _DATA and len(value) > getattr(self, f"max{kind.__name__}")
        count = f" ({len(value):,} items)" if is_cut else ""
        return _cut(" ".join(self.repr(value).split()), LONGEST - len(count)) + count

    def repr1(self, x: Any, level: int) -> str:
        """Write a part of a value."""
        if type(x) in (set, frozenset, dict) and len(x) > _SORTABLE:
            return f"<{type(x).__name__}>"
        return super().repr1(x, level)

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Write bytes, if they are few."""
        return repr(x) if len(x) <= self.maxstring // 2 else f"<{len(x):,} bytes>"

    def repr_instance(self, x: Any, level: int) -> str:
        """Write what is no plain data."""
        if isinstance(x, Version):
            return str(x)
        if is_number(x):
            return super().repr_instance(x.item(), level)
        is_spoken = type(x) in _PLAIN or isinstance(x, _SPOKEN)
        return _shaped(x) or (super().repr_instance(x, level) if is_spoken else self.other(x))

    def other(self, x: Any) -> str:
        """Write an object of which nothing is known."""
        return f"<{type(x).__qualname__}>"


_brief = Brief()


def describe(value: Any) -> str:
    """Give a value in a few words, without running code of its class, as far as that can be.

    Examples
    --------
    >>> import numpy
    >>> describe(numpy.zeros((3, 4)))
    'ndarray (3, 4) float64'
    >>> describe([numpy.float64(0.5)] * 1000)
    '[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...] (1,000 items)'
    >>> describe((numpy.zeros(8), 0.5, None, Brief()))
    '(ndarray (8,) float64, 0.5, None, <Brief>)'
    """
    try:
        return _brief.describe(value)
    except Exception:  # foreign code: `shape` of any class
        return f"<{type(value).__qualname__}>"


def is_number(value: Any) -> bool:
    """Tell whether it is a number of NumPy or the like."""
    return (
        not isinstance(value, type) and getattr(value, "shape", None) == () and callable(getattr(value, "item", None))
    )


def _shaped(value: Any) -> str | None:
    """Describe what has a shape: frames of pandas and polars, tables of pyarrow, arrays, tensors, sparse matrices."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not shape or not all(type(n) is int for n in shape):
        return None
    kind = type(value).__name__
    names = _names(value)
    if names is not None and len(shape) == 2:
        return _with_names(f"{kind} {shape[0]:,} × {shape[1]:,}", names)
    dtype = getattr(value, "dtype", None)
    fields = getattr(dtype, "names", None)
    size = f"{kind} ({', '.join(f'{n:,}' for n in shape)}{',' * (len(shape) == 1)})"
    if fields:
        return _with_names(size, fields)
    return size if dtype is None else f"{size} {str(dtype).removeprefix('torch.')}"


def _names(value: Any) -> Iterable[Any] | None:
    """Give the names of columns: pyarrow has them as `column_names`, its `columns` are the values."""
    for attribute in ("column_names", "columns"):
        names = getattr(value, attribute, None)
        if isinstance(names, list) or type(names).__name__.endswith("Index"):
            return names
    return None


def _with_names(head: str, names: Iterable[Any]) -> str:
    """Add names, as many as there is room for."""
    some = [str(name) for name in islice(names, LONGEST)]
    for count in range(len(some), 0, -1):
        text = f"{head} ({', '.join(some[:count])}{', …' * (count < len(some))})"
        if len(text) <= LONGEST:
            return text
    return head


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
