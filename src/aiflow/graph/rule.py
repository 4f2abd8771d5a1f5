"""What a rule is: when a condition is met, a job is started, stopped or restarted. And how far it has come.

Knows nothing of the machine that fires it. Progress is plain data, folded from events alone (rules 5, 6, 8 and 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiflow.graph.condition import (
    All,
    Any_,
    Condition,
    EventCondition,
    Heard,
    JobCondition,
    Leaf,
    Sticky,
    Times,
    Within,
)
from aiflow.graph.event import INTERNAL, EventType

__all__ = ["Action", "Progress", "Rule"]


class Action(StrEnum):
    """What a rule does to its job."""

    START = "START"
    STOP = "STOP"
    RESTART = "RESTART"


@dataclass(frozen=True, slots=True)
class Rule:
    """One `start_on`, `stop_on` or `restart_on` of a node."""

    action: Action
    condition: Condition

    def __str__(self) -> str:
        return f"{self.action} on {self.condition}"

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The leaves of the condition, from left to right; their positions are their numbers."""
        return tuple(self.condition.leaves())


Latch = tuple[int, float]
"""The offset and the time of an event that met a leaf."""


class Progress:
    """How far one rule of one execution has come: its latches and counts.

    Leaves are numbered from left to right, `times` likewise; so two equal conditions never share anything (rule 10).
    """

    __slots__ = ("condition", "latches", "meetings", "memories")

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.latches: dict[int, Latch] = {}
        self.meetings: dict[int, list[tuple[float, list[int]]]] = {}
        self.memories: dict[int, dict[str, Any]] = {}  # the states of functions of the user, by leaf; kept after firing

    def take(self, leaves: Sequence[int], offset: int, time: float) -> list[int] | None:
        """Latch these leaves; if the whole condition is met now, consume all and give the offsets that met it."""
        for leaf in leaves:
            self.latches[leaf] = (offset, time)
        met = _Walk(self, leaves).met(self.condition)
        if not met:
            return None
        _consume(self, self.condition, _Numbers())
        return sorted(set(met))

    def dump(self) -> dict[str, Any]:
        """Give the progress as JSON data."""
        return {
            "latches": {str(k): list(v) for k, v in self.latches.items()},
            "meetings": {str(k): [[t, o] for t, o in v] for k, v in self.meetings.items()},
            "memories": {str(k): v for k, v in self.memories.items()},
        }

    def load(self, data: dict[str, Any]) -> Progress:
        """Take the progress from JSON data that `dump` gave."""
        self.latches = {int(k): (v[0], v[1]) for k, v in data["latches"].items()}
        self.meetings = {int(k): [(t, list(o)) for t, o in v] for k, v in data["meetings"].items()}
        self.memories = {int(k): v for k, v in data["memories"].items()}
        return self


class _Numbers:
    """Counts leaves and `times` while a condition is walked from left to right."""

    __slots__ = ("leaf", "times")

    def __init__(self) -> None:
        self.leaf = self.times = 0


class _Walk:
    """One evaluation of a condition after a leaf was latched."""

    def __init__(self, progress: Progress, leaves: Sequence[int]) -> None:
        self.progress, self.touched = progress, leaves
        self.numbers = _Numbers()

    def met(self, condition: Condition) -> list[int]:
        """Give the offsets of the events that meet a condition, as often as they do; none if it is not met.

        What is latched in an alternative that is not met, as `a` in ``(a & b) | c`` met by `c`, is not among them.
        """
        numbers = self.numbers
        if isinstance(condition, All | Any_):
            parts = [self.met(p) for p in condition.parts]  # every part is walked, so that all are numbered
            return [o for p in parts for o in p] if isinstance(condition, Any_) or all(parts) else []
        if isinstance(condition, Sticky):
            return self.met(condition.inner)
        if isinstance(condition, Within):
            return self._within(condition)
        if isinstance(condition, Times):
            return self._times(condition)
        number, numbers.leaf = numbers.leaf, numbers.leaf + 1
        return [self.progress.latches[number][0]] if number in self.progress.latches else []

    def _within(self, condition: Within) -> list[int]:
        """Forget what is older than the window before the newest latch, then ask again."""
        leaf, times = self.numbers.leaf, self.numbers.times
        self.met(condition.inner)
        leaves, counts = range(leaf, self.numbers.leaf), range(times, self.numbers.times)
        progress = self.progress
        moments = [progress.latches[i][1] for i in leaves if i in progress.latches]
        moments += [t for i in counts for t, _ in progress.meetings.get(i, ())]
        if not moments:
            return []
        oldest = max(moments) - condition.seconds
        for i in leaves:
            if i in progress.latches and progress.latches[i][1] < oldest:
                del progress.latches[i]
        for i in counts:
            progress.meetings[i] = [m for m in progress.meetings.get(i, []) if m[0] >= oldest]
        self.numbers.leaf, self.numbers.times = leaf, times
        touched, self.touched = self.touched, ()  # the second look counts no meeting again
        met = self.met(condition.inner)
        self.touched = touched
        return met

    def _times(self, condition: Times) -> list[int]:
        progress = self.progress
        number, self.numbers.times = self.numbers.times, self.numbers.times + 1
        start, inner_times = self.numbers.leaf, self.numbers.times
        met = self.met(condition.inner)
        meetings = progress.meetings.setdefault(number, [])
        if met and any(start <= leaf < self.numbers.leaf for leaf in self.touched):
            latched = [progress.latches[i] for i in range(start, self.numbers.leaf) if i in progress.latches]
            moment = max((t for _, t in latched), default=0.0)
            meetings.append((moment, sorted(set(met))))
            del meetings[: -condition.n]  # the newest are enough: what never fires must not grow
            at = _Numbers()
            at.leaf, at.times = start, inner_times
            _consume(progress, condition.inner, at)
        return [o for _, offsets in meetings for o in offsets] if len(meetings) >= condition.n else []


def _consume(progress: Progress, condition: Condition, at: _Numbers, sticky: bool = False) -> None:
    """Forget latches and counts of what has fired, those under `sticky` excepted."""
    if isinstance(condition, All | Any_):
        for part in condition.parts:
            _consume(progress, part, at, sticky)
    elif isinstance(condition, Sticky):
        _consume(progress, condition.inner, at, True)
    elif isinstance(condition, Within):
        _consume(progress, condition.inner, at, sticky)
    elif isinstance(condition, Times):
        if not sticky:
            progress.meetings.pop(at.times, None)
        at.times += 1
        _consume(progress, condition.inner, at, sticky)
    else:
        if not sticky:
            progress.latches.pop(at.leaf, None)
        at.leaf += 1


def is_external(leaf: Leaf) -> bool:
    """Tell whether something outside of the execution can meet this leaf (rule 20)."""
    if isinstance(leaf, EventCondition):
        return not leaf.own_only and (leaf.type not in INTERNAL or leaf.type == EventType.REQUESTED)
    if isinstance(leaf, Heard):
        return not leaf.own_only
    return not isinstance(leaf, JobCondition)
