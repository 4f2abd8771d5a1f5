"""What a condition is: a value that says which events meet it.

Knows nothing of jobs, executions or of what happens when it is met (that is a rule).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import translate
from functools import lru_cache
from typing import Any, NoReturn, Self

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.event import ANY, INTERNAL, Event
from aiflow.graph.job import seconds

__all__ = [
    "All",
    "Any_",
    "Condition",
    "EventCondition",
    "StatusCondition",
    "event",
    "is_glob",
    "matches_glob",
    "same_json",
]


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def is_glob(text: str) -> bool:
    """Tell whether `text` holds one of the characters that make it a pattern: ``* ? [``."""
    return "*" in text or "?" in text or "[" in text


def matches_glob(glob: str, text: str | None) -> bool:
    """Tell whether `text` fits `glob`, case and all; None fits ``*`` only."""
    if text is None:
        return glob == "*"
    return glob == "*" or glob == text or (is_glob(glob) and _pattern(glob).match(text) is not None)


def same_json(a: Any, b: Any) -> bool:
    """Tell whether two JSON values are the same; unlike ``==``, true is not 1, and a tuple is a list."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same_json(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(x, b[k]) for k, x in a.items())
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


class Condition:
    """Something that events meet; combine with ``&`` and ``|``, refine with the methods."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return All(_parts(All, self, other))

    def __or__(self, other: Condition) -> Condition:
        return Any_(_parts(Any_, self, other))

    def __bool__(self) -> NoReturn:
        raise GraphError(
            f"the condition {self} is true or false only when events come: use & and | (not and, or, not, if)"
        )

    def times(self, n: int) -> Condition:
        """Be met the n-th time that this is met, counted since the last firing."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ParameterError(f"times(n) takes a whole number ≥ 1, not {n!r}")
        return self if n == 1 else Times(self, n)

    def within(self, duration: float | timedelta) -> Condition:
        """Be met only when all parts were met inside `duration` seconds."""
        return Within(self, seconds(duration, "within(seconds)"))

    def sticky(self) -> Condition:
        """Stay met after firing (AIFlow's REPEATED)."""
        return Sticky(self)

    def own(self) -> Condition:
        """Count only events that the same execution caused."""
        return self.each_leaf(lambda leaf: replace(leaf, own_only=True) if isinstance(leaf, EventCondition) else leaf)

    def now(self) -> Condition:
        """Count also what is true already when the execution starts."""
        return self.each_leaf(lambda leaf: replace(leaf, from_now=True) if isinstance(leaf, EventCondition) else leaf)

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Self:
        """Give the same condition with `change` applied to each leaf."""
        raise NotImplementedError

    def leaves(self) -> Iterator[Leaf]:
        """Go through the leaves, from left to right."""
        raise NotImplementedError


class Leaf(Condition):
    """A condition without parts: one event can meet it."""

    __slots__ = ()

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Any:
        """Apply `change` to this leaf."""
        return change(self)

    def leaves(self) -> Iterator[Leaf]:
        """Give this leaf."""
        yield self


@dataclass(frozen=True, slots=True)
class StatusCondition(Leaf):
    """A job of the same execution reaching one of some statuses; made by ``node.succeeded`` and its like."""

    job: str
    name: str
    statuses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.job}.{self.name}"


@dataclass(frozen=True, slots=True)
class EventCondition(Leaf):
    """An event that fits; made by `af.event`."""

    key: str = "*"
    value: Any = ANY
    type: str | None = None
    namespace: str | None = None
    sender: str | None = None
    where: Callable[[Event], bool] | None = None
    own_only: bool = False
    from_now: bool = False

    def __hash__(self) -> int:
        return hash((self.key, self.type, self.namespace, self.sender, self.own_only))

    def __str__(self) -> str:
        parts = [repr(self.key)]
        if self.value is not ANY:
            parts.append(repr(self.value))
        parts += [f"{n}={v!r}" for n in ("type", "namespace", "sender") if (v := getattr(self, n)) is not None]
        if self.where is not None:
            parts.append(f"where={getattr(self.where, '__name__', 'function')}")
        return f"event({', '.join(parts)})" + ".own()" * self.own_only + ".now()" * self.from_now

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether `event` fits, seen from an execution in `namespace`; `where` is not asked here."""
        if not matches_glob(self.key, event.key):
            return False
        if self.type is None:
            if event.type in INTERNAL:
                return False
        elif not matches_glob(self.type, event.type):
            return False
        if self.own_only and event.execution_id != execution_id:
            return False
        if self.namespace is None:
            if event.namespace != namespace:
                return False
        elif not matches_glob(self.namespace, event.namespace):
            return False
        if self.sender is not None and not matches_glob(self.sender, event.sender):
            return False
        return self.value is ANY or same_json(self.value, event.value)


@dataclass(frozen=True, slots=True)
class _Composite(Condition):
    parts: tuple[Condition, ...]

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Any:
        return type(self)(tuple(p.each_leaf(change) for p in self.parts))

    def leaves(self) -> Iterator[Leaf]:
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True, slots=True)
class All(_Composite):
    """Met when all parts are; made by ``a & b``."""

    def __str__(self) -> str:
        return f"all({', '.join(map(str, self.parts))})"


@dataclass(frozen=True, slots=True)
class Any_(_Composite):
    """Met when one part is; made by ``a | b``."""

    def __str__(self) -> str:
        return f"any({', '.join(map(str, self.parts))})"


@dataclass(frozen=True, slots=True)
class _Wrapped(Condition):
    inner: Condition

    def leaves(self) -> Iterator[Leaf]:
        yield from self.inner.leaves()

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Any:
        return replace(self, inner=self.inner.each_leaf(change))


@dataclass(frozen=True, slots=True)
class Sticky(_Wrapped):
    """Stays met after firing."""

    def __str__(self) -> str:
        return f"{self.inner}.sticky()"


@dataclass(frozen=True, slots=True)
class Times(_Wrapped):
    """Met the n-th time."""

    n: int

    def __str__(self) -> str:
        return f"{self.inner}.times({self.n})"


@dataclass(frozen=True, slots=True)
class Within(_Wrapped):
    """Met when all parts were met inside a window of seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"{self.inner}.within({self.seconds:g})"


def _parts(kind: type[_Composite], a: object, b: object) -> tuple[Condition, ...]:
    out: list[Condition] = []
    for one in (a, b):
        if not isinstance(one, Condition):
            raise GraphError(f"& and | combine conditions; {one!r} is not one (a node has .succeeded, .failed, …)")
        out.extend(one.parts if type(one) is kind else (one,))
    return tuple(out)


def event(
    key: str = "*",
    value: Any = ANY,
    *,
    type: str | None = None,
    namespace: str | None = None,
    sender: str | None = None,
    where: Callable[[Event], bool] | None = None,
) -> Condition:
    """Make a condition that an event meets.

    Parameters
    ----------
    key, type, namespace, sender
        What the event must have; globs such as ``sensor.*`` work. Without `namespace`, the project's own; without
        `type`, any but the engine's bookkeeping (the status of jobs and executions, requests).
    value
        The JSON value that the event must have; `af.ANY` (default) for any.
    where
        A function of the event that must return True. It is asked after the event is durable, once or more.

    Examples
    --------
    >>> import aiflow as af
    >>> print(af.event("go") & af.event("sensor.*", 3))
    all(event('go'), event('sensor.*', 3))
    """
    for name, text in (("key", key), ("type", type), ("namespace", namespace), ("sender", sender)):
        if text is not None and (not isinstance(text, str) or not text):
            raise ParameterError(f"af.event({name}=…) takes a text that is not empty, not {text!r}")
    return EventCondition(key, value, type, namespace, sender, where)
