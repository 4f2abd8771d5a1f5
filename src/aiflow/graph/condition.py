"""What a condition is: a value that says which events meet it.

Knows nothing of jobs, executions or of what happens when it is met (that is a rule).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import translate
from functools import lru_cache
from typing import Any, ClassVar, NoReturn, Self, TypeVar, overload

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.event import ANY, NOW, RESERVED, Event, EventType, is_finding
from aiflow.graph.job import seconds

__all__ = [
    "All",
    "Any_",
    "AskedCondition",
    "Condition",
    "EventCondition",
    "JobCondition",
    "StatusCondition",
    "condition",
    "event",
    "is_glob",
    "matches_glob",
    "same_json",
    "shown",
]


V = TypeVar("V")


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

    @property
    def enclosed(self) -> str:
        """The condition as text, such that a method can be written behind it."""
        return str(self)

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
        return self.each_leaf(lambda leaf: leaf.only_own() if isinstance(leaf, Heard) else leaf)

    def now(self) -> Condition:
        """Count also what is true already when the execution starts."""
        return self.each_leaf(lambda leaf: replace(leaf, from_now=True) if hasattr(leaf, "from_now") else leaf)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """Give the condition as JSON data; `from_json` makes an equal one of it.

        Raises
        ------
        ParameterError
            If it holds a function.

        Examples
        --------
        >>> import aiflow as af
        >>> af.event("go").times(3).to_json()
        {'kind': 'times', 'inner': {'kind': 'event', 'key': 'go'}, 'n': 3}
        """
        from aiflow.graph.notation import to_json

        return to_json(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Condition:
        """Make a condition of what `to_json` gave.

        Raises
        ------
        ParameterError
            If that is not what `data` is.
        """
        from aiflow.graph.notation import from_json

        return from_json(data)

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Self:
        """Give the same condition with `change` applied to each leaf."""
        raise NotImplementedError

    def leaves(self) -> Iterator[Leaf]:
        """Go through the leaves, from left to right."""
        raise NotImplementedError


class Leaf(Condition):
    """A condition without parts: one event can meet it.

    Attributes
    ----------
    keeps_open
        Whether it will be met again and again by itself, so that an execution that waits for it does not end (rule 20).
    """

    __slots__ = ()
    keeps_open: ClassVar[bool] = False

    @property
    def merges(self) -> bool:
        """Whether of the starts that it makes in a busy job only one waits, unless the job says otherwise (rule 14)."""
        return False

    def each_leaf(self, change: Callable[[Leaf], Leaf]) -> Any:
        """Apply `change` to this leaf."""
        return change(self)

    def leaves(self) -> Iterator[Leaf]:
        """Give this leaf."""
        yield self


class Heard(Leaf):
    """A leaf that is met by events of the log, and may leave the last word to a function of the user."""

    __slots__ = ()
    own_only: bool

    def only_own(self) -> Any:
        """Give the same leaf, met only by events that the same execution caused."""
        return replace(self, own_only=True)  # type: ignore[type-var]  # its kinds are dataclasses

    @property
    def is_asked(self) -> bool:
        """Whether a function of the user is asked, after the commit, about each event that fits (rule 9)."""
        return False

    @property
    def keys_heard(self) -> tuple[str, ...]:
        """The keys that fit, as texts or globs."""
        raise NotImplementedError

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether `event` fits, seen from an execution in `namespace`; no function of the user is asked."""
        raise NotImplementedError


class JobCondition(Leaf):
    """A leaf that is met by what becomes of a job of the same execution.

    Attributes
    ----------
    job
        The job.
    """

    __slots__ = ()
    job: str

    @property
    def title(self) -> str:
        """What is to become of the job, in a word or two."""
        return str(self).removeprefix(f"{self.job}.")


@dataclass(frozen=True, slots=True)
class StatusCondition(JobCondition):
    """A job of the same execution reaching one of some statuses; made by ``node.succeeded`` and its like."""

    job: str
    name: str
    statuses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.job}.{self.name}"


@dataclass(frozen=True, slots=True)
class EventCondition(Heard):
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
        return f"event({', '.join(parts)})" + ".own()" * self.own_only + NOW * self.from_now

    @property
    def merges(self) -> bool:
        """Metrics do."""
        return self.type == EventType.METRIC_LOGGED

    @property
    def is_asked(self) -> bool:
        """Whether `where` has the last word."""
        return self.where is not None

    @property
    def keys_heard(self) -> tuple[str, ...]:
        """The key, as text or glob."""
        return (self.key,)

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether `event` fits, seen from an execution in `namespace`; `where` is not asked here."""
        if not matches_glob(self.key, event.key):
            return False
        if self.type is None:
            if event.type in RESERVED:
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
        return (self.value is ANY or same_json(self.value, event.value)) and not is_finding(event)


@dataclass(frozen=True, slots=True)
class AskedCondition(Heard):
    """A fold of the user over events; made by `af.condition`. Calling it calls the function, so it can be tested."""

    function: Callable[[Event, dict[str, Any]], bool]
    keys: tuple[str, ...] = ("*",)
    own_only: bool = False

    def __hash__(self) -> int:
        return hash((self.name, self.keys, self.own_only))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.keys))})" + ".own()" * self.own_only

    def __call__(self, event: Event, state: dict[str, Any]) -> bool:
        """Call the function as it is."""
        return self.function(event, state)

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def is_asked(self) -> bool:
        """Always: nothing but its function decides."""
        return True

    @property
    def keys_heard(self) -> tuple[str, ...]:
        """The keys of the events that it is asked about, as texts or globs."""
        return self.keys

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether the function is to be asked about `event`."""
        if event.type in RESERVED or event.namespace != namespace:
            return False
        if self.own_only and event.execution_id != execution_id:
            return False
        return any(matches_glob(key, event.key) for key in self.keys) and not is_finding(event)


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
        return f"{self.inner.enclosed}.sticky()"


@dataclass(frozen=True, slots=True)
class Times(_Wrapped):
    """Met the n-th time."""

    n: int

    def __str__(self) -> str:
        return f"{self.inner.enclosed}.times({self.n})"


@dataclass(frozen=True, slots=True)
class Within(_Wrapped):
    """Met when all parts were met inside a window of seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"{self.inner.enclosed}.within({self.seconds:g})"


def shown(what: object) -> str:
    """Show what should be a condition and is none, and say how one is made of it if that is known."""
    advice = getattr(what, "_advice", None)
    return f"{what!r} ({advice})" if isinstance(advice, str) else repr(what)


def _parts(kind: type[_Composite], a: object, b: object) -> tuple[Condition, ...]:
    out: list[Condition] = []
    for one in (a, b):
        if not isinstance(one, Condition):
            raise GraphError(f"& and | combine conditions, which this is not: {shown(one)}")
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
        `type`, any but what aiflow itself writes of its work (the status of jobs and executions, requests, ticks).
    value
        The JSON value that the event must have; `af.ANY` (default) for any.
    where
        A function of the event that must return True. It is asked on a worker when the event is durable; its answer is
        recorded once, and decides. After a crash it may be asked again. An exception in it counts as False, and
        ``execution.why(job)`` shows it.

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


Fold = Callable[[Event, dict[str, Any]], bool]
"""A function of an event and of what it remembers."""


@overload
def condition(function: Fold, /, *, keys: str | Iterable[str] = "*") -> AskedCondition: ...
@overload
def condition(
    function: None = None, /, *, keys: str | Iterable[str] = "*"
) -> Callable[[Callable[[Event, dict[str, V]], bool]], AskedCondition]: ...
def condition(function: Fold | None = None, /, *, keys: str | Iterable[str] = "*") -> Any:
    """Make a condition of a function that sees events one after the other and remembers what it wants.

    Parameters
    ----------
    function
        Called as ``function(event, state)`` for each event that fits, in order; what it returns says whether the
        condition is met by that event. `state` is a dict of JSON data, empty at first, which the function may change: it
        is kept per rule and execution, saved with the answer, and survives a crash. It is kept after the rule has
        fired, too, unless the function clears it.
    keys
        Which events it is asked about: a key or several; globs work.

    Raises
    ------
    ParameterError
        If `keys` are no texts, or if it is not used as a decorator of a function.

    Notes
    -----
    It is asked on a worker thread after the event is durable, never while aiflow decides. The answer is recorded once
    and decides; the function may be called again after a crash. An exception in it, or a state that is not JSON data,
    counts as False, leaves the state as it was, and is shown by ``execution.why(job)``.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.condition(keys=["num"])
    ... def enough(event, state):
    ...     state["sum"] = state.get("sum", 0) + event.value
    ...     return state["sum"] >= 100
    >>> print(enough & af.event("go"))
    all(enough('num'), event('go'))
    """
    wanted = (keys,) if isinstance(keys, str) else tuple(keys) if isinstance(keys, Iterable) else ()
    if not wanted or not all(isinstance(key, str) and key for key in wanted):
        raise ParameterError(f"af.condition(keys=…) takes one or more texts that are not empty, not {keys!r}")

    def decorate(f: Fold) -> AskedCondition:
        if not callable(f) or isinstance(f, Condition):
            raise ParameterError(f"@af.condition is for functions of (event, state), not for {f!r}")
        return AskedCondition(f, wanted)

    return decorate if function is None else decorate(function)
