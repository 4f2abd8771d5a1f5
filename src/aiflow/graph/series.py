"""What a plot shows: series of points, the scales that hold them, and how many points are worth drawing.

Knows nothing of how it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiflow.graph.scale import Scale, number_scale, time_scale

__all__ = ["MOST_SERIES", "Plot", "Point", "Series", "X", "runs", "thinned"]

Point = tuple[float, float]

MOST_SERIES = 8
"""How many series are drawn: each has a colour and a mark of its own."""


class X(StrEnum):
    """What a plot has from left to right."""

    STEP = "step"
    TIME = "time"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, in the order in which they are joined; a `y` that is NaN is a gap.

    Attributes
    ----------
    label
        What to call them, where there are several.
    points
        Pairs of x and y. An infinite y stands at the edge.
    """

    label: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Plot:
    """Series with a title, along steps, times (seconds since 1970 UTC) or just their order."""

    title: str
    series: tuple[Series, ...]
    x: X = X.STEP

    @property
    def drawn(self) -> tuple[tuple[Series, ...], int]:
        """The series that are drawn, the last ones, and how many are not: more could not be told apart."""
        return self.series[-MOST_SERIES:], max(0, len(self.series) - MOST_SERIES)

    def scales(self, most_x: int = 8, most_y: int = 6) -> tuple[Scale, Scale]:
        """Give the scales of x and y that hold all points that are drawn, with so many ticks at most."""
        series, _ = self.drawn
        xs = [x for one in series for x, y in one.points]
        ys = [y for one in series for x, y in one.points if math.isfinite(y)]
        across = time_scale(xs, most_x) if self.x is X.TIME else number_scale(xs, most_x, True, str(self.x))
        return across, number_scale(ys, most_y)


def runs(points: Iterable[Point]) -> list[list[Point]]:
    """Give the parts of a series without gaps: a line each, or a dot.

    Examples
    --------
    >>> runs([(0, 1.0), (1, 2.0), (2, float("nan")), (3, 4.0)])
    [[(0, 1.0), (1, 2.0)], [(3, 4.0)]]
    """
    found: list[list[Point]] = []
    goes_on = False
    for point in points:
        if math.isfinite(point[1]):
            if not goes_on:
                found.append([])
            found[-1].append(point)
        goes_on = math.isfinite(point[1])
    return found


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Give so few points that they look the same: of each part the first, least, greatest and last one.

    Where a part is as wide as a pixel the line drawn is the same, pixel by pixel (M4: Jugel et al., "M4: A
    Visualization-Oriented Time Series Data Aggregation", VLDB 2014).

    Examples
    --------
    >>> thinned([(n, float(n % 7)) for n in range(100)], 8)
    [(0, 0.0), (6, 6.0), (49, 0.0), (50, 1.0), (55, 6.0), (56, 0.0), (99, 1.0)]
    """
    if len(points) <= most:
        return points
    parts = max(1, most // 4)
    out: list[Point] = []
    for part in range(parts):
        begin, end = len(points) * part // parts, len(points) * (part + 1) // parts
        places = range(begin, end)
        least = min(places, key=lambda i: points[i][1])
        greatest = max(places, key=lambda i: points[i][1])
        out += [points[i] for i in sorted({begin, least, greatest, end - 1})]
    return out
