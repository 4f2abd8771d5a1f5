"""The events that a simulation is given: when each of them comes, or that this is for the seed to say.

Knows nothing of how they are published.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.event import Draft
from aiflow.graph.job import seconds
from aiflow.testing.readings import Progress

__all__ = ["Given"]

_FORMS = (
    "(seconds, key, value), (seconds, draft), (seconds, progress(job, …)), (key, value), a draft or a progress, where seconds "
    "are since the start, or a pair between which the seed chooses"
)


class Given:
    """The events that were given and have not come yet.

    Parameters
    ----------
    events
        As `simulate` takes them.
    start
        When the simulation starts, in seconds since 1970.
    random
        Chooses what is not said.
    """

    def __init__(self, events: Iterable[Any], start: float, random: Random) -> None:
        self._random = random
        self._loose: list[Any] = []
        self.jobs: set[str] = set()  # whose progress is told
        timed: list[tuple[float, Any]] = []
        for event in events:
            when, draft = _taken_apart(event)
            if isinstance(draft, Progress):
                self.jobs.add(draft.job)
            if when is None:  # any time
                self._loose.append(draft)
            else:
                timed.append((round(start + self._moment(when), 6), draft))
        self._timed = sorted(timed, key=lambda pair: pair[0])  # those of one moment stay in the order of the list
        self._next = 0
        self._pace = 4 ** -random.uniform(0, 2)  # some seeds give all of the loose ones at once, others now and then

    def _moment(self, when: Any) -> float:
        if isinstance(when, tuple):
            first, last = sorted(seconds(one, "the time of an event") for one in when)
            return round(self._random.uniform(first, last), 3)
        return seconds(when, "the time of an event")

    @property
    def is_empty(self) -> bool:
        """Whether all have come."""
        return not self.left

    @property
    def left(self) -> int:
        """How many have not come."""
        return len(self._loose) + len(self._timed) - self._next

    @property
    def next_due(self) -> float | None:
        """When the next one comes whose time was said, in seconds since 1970."""
        return self._timed[self._next][0] if self._next < len(self._timed) else None

    @property
    def is_any_loose(self) -> bool:
        """Whether there are some that may come at any time."""
        return bool(self._loose)

    def offers_loose(self) -> bool:
        """Choose whether one of them may come now."""
        return bool(self._loose) and self._random.random() < self._pace

    def take_due(self) -> Any:
        """Give the next one whose time was said."""
        self._next += 1
        return self._timed[self._next - 1][1]

    def take_loose(self) -> Any:
        """Give one that may come at any time."""
        at = self._random.randrange(len(self._loose))
        self._loose[at], self._loose[-1] = self._loose[-1], self._loose[at]
        return self._loose.pop()


def _taken_apart(event: Any) -> tuple[Any, Any]:
    """Give when an event comes (None: at any time), and what can be published."""
    if isinstance(event, Draft | Progress):
        return None, event
    if isinstance(event, tuple | list):
        parts = tuple(event)
        if len(parts) == 2 and isinstance(parts[0], str):
            return None, parts
        if len(parts) in (2, 3) and _is_time(parts[0]):
            if len(parts) == 3 and isinstance(parts[1], str):
                return parts[0], parts[1:]
            if len(parts) == 2 and isinstance(parts[1], Draft | Progress):
                return parts[0], parts[1]
    raise ParameterError(f"an event for a simulation is {_FORMS}; not {event!r}")


def _is_time(when: Any) -> bool:
    if isinstance(when, tuple):
        return len(when) == 2 and all(_is_time(one) for one in when)
    return isinstance(when, int | float | timedelta) and not isinstance(when, bool)
