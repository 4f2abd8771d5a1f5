"""Owns what is measured and what came out: a figure, its readings, and what is to be reached.

Knows nothing of how anything is measured or shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.bench import Bench

__all__ = ["Figure", "Reach", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a figure is meant to reach: a bound of our value, or of its ratio to the floor."""

    of: Literal["ours", "ratio"]
    most: float | None = None
    least: float | None = None

    def is_met(self, value: float) -> bool:
        """Tell whether a median is good enough."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def text(self, unit: str) -> str:
        """Say it in a few characters."""
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        return f"{sign} {bound:,g} {'× floor' if self.of == 'ratio' else unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a figure, with the floor of the same run.

    Attributes
    ----------
    ours, floor
        The samples. If there are as many of each they were taken in turns, floor first, and belong together in pairs.
    floor_is
        What the floor is, in words.
    durability
        ``"NORMAL"`` or ``"FULL"``: of our store and of the floor's alike; ``"-"`` where nothing is written.
    """

    what: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = ()
    floor_is: str = ""
    durability: str = "NORMAL"
    reach: Reach | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours divided by the floor, pair by pair."""
        if len(self.ours) == len(self.floor):
            return [o / f for o, f in zip(self.ours, self.floor, strict=True) if f > 0]
        if not self.floor or not statistics.median(self.floor):
            return []
        return [o / statistics.median(self.floor) for o in self.ours]

    @property
    def is_reached(self) -> bool | None:
        """Whether the median reaches what it should; None if nothing is asked."""
        if self.reach is None:
            return None
        values = self.ours if self.reach.of == "ours" else self.ratios
        return bool(values) and self.reach.is_met(statistics.median(values))

    def as_json(self) -> dict[str, Any]:
        """Give everything as JSON data."""
        reach = None if self.reach is None else self.reach.text(self.unit)
        return {
            "what": self.what,
            "unit": self.unit,
            "durability": self.durability,
            "floor_is": self.floor_is,
            "ours": list(self.ours),
            "floor": list(self.floor),
            "ratios": self.ratios,
            "median": {"ours": _median(self.ours), "floor": _median(self.floor), "ratio": _median(self.ratios)},
            "reach": reach,
            "reached": self.is_reached,
        }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that is measured.

    Attributes
    ----------
    name
        What one writes after `python -m benchmarks`.
    measure
        Takes the readings.
    profile
        Runs the same once under a profiler and gives its report; None if there is none.
    """

    name: str
    title: str
    measure: Callable[[Bench], list[Reading]]
    profile: Callable[[Bench], str] | None = None
