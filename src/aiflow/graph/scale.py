"""Scales of plots: from a least to a greatest value, with round ticks and their labels; of numbers and of times.

Knows nothing of what is drawn along them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["Scale", "Tick", "number_scale", "shown", "time_scale"]


class Tick(NamedTuple):
    """A place on a scale that has a label."""

    at: float
    label: str


class Scale(NamedTuple):
    """From where to where, what is marked, and what stands beside it."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    caption: str = ""

    def place(self, value: float) -> float:
        """Say where a value is: 0 at the low end, 1 at the high end."""
        return (value / 2 - self.low / 2) / (
            self.high / 2 - self.low / 2
        )  # their difference may be too large for a float


def shown(value: float) -> str:
    """Give a value as people read it.

    Examples
    --------
    >>> [shown(v) for v in (0.1 + 0.2, 1234567.0, 12.0, 1e-9, float("nan"), 123456)]
    ['0.3', '1.23457e+06', '12', '1e-09', 'nan', '123456']
    """
    return f"{value:.6g}"


_LARGEST = sys.float_info.max

# --- numbers --------------------------------------------------------------------------------------------------------


def number_scale(values: Iterable[float], most: int = 6, is_whole: bool = False, caption: str = "") -> Scale:
    """Give a scale of numbers with round ticks.

    Parameters
    ----------
    values
        Finite numbers; the scale holds them all.
    most
        How many ticks at most, at least 2.
    is_whole
        Whether there are whole numbers only, and the scale ends where they end.

    Examples
    --------
    >>> scale = number_scale([0.12, 0.87])
    >>> scale.low, scale.high, [tick.label for tick in scale.ticks]
    (0.0, 1.0, ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0'])
    """
    found = list(values) or [0.0, 1.0]
    unit = 1e20 if max(map(abs, found)) > 1e290 else 1.0  # else what is computed here would be too large for a float
    low, high = _range([value / unit for value in found])
    step = _step((high - low) / max(1, most - 1), is_whole)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if not is_whole:
        low, first = _end(low, high, first, -step)
        high, last = _end(high, low, last, step)
    ticks = [n * step for n in range(first, last + 1) if math.isfinite(n * step * unit)]
    labels = _labels(ticks, step, unit)
    low = max(min(low * unit, min(found)), -_LARGEST)  # a tiny value may have become 0 on the way
    high = min(max(high * unit, max(found)), _LARGEST)
    return Scale(low, high, tuple(Tick(tick * unit, text) for tick, text in zip(ticks, labels, strict=True)), caption)


def _end(end: float, other: float, tick: int, step: float) -> tuple[float, int]:
    """Give where a scale ends, and its last tick: at the next tick, or a little beyond the values if that is far."""
    outer = tick + (1 if step > 0 else -1)
    beyond = outer * abs(step)
    if abs(end - tick * abs(step)) < abs(step) * 1e-6:
        return (max if step > 0 else min)(end, tick * abs(step)), tick
    if abs(beyond - end) <= 0.7 * abs(step):
        return beyond, outer
    return end + (end - other) * 0.05, tick


def _range(values: list[float]) -> tuple[float, float]:
    """Give the least and the greatest; something around them if they are hardly apart."""
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-9, 1e-300):
        return low, high
    room = size * 0.1 if size > 1e-290 else 1.0
    return low - room, high + room


def _step(least: float, is_whole: bool) -> float:
    """Give the least round number, 1, 2 or 5 times a power of ten, that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= least * (1 - 1e-9))
    return max(1.0, step) if is_whole else step


def _labels(ticks: list[float], step: float, unit: float) -> list[str]:
    largest = max(map(abs, ticks), default=0.0)
    if unit == 1 and step >= 1 and largest >= 10_000:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if largest >= size and largest < 1e13:
                digits = max(0, -math.floor(math.log10(step / size) + 1e-9))
                return [f"{t / size:.{digits}f}{letter}" if t else "0" for t in ticks]
    if largest >= 1e5 or (step < 1e-4 and largest < 1e-2):
        digits = max(0, math.floor(math.log10(largest) + 1e-9) - math.floor(math.log10(step) + 1e-9))
        return [f"{t * unit:.{digits}e}" if t else "0" for t in ticks]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{t + 0.0:.{digits}f}" for t in ticks]


# --- times ----------------------------------------------------------------------------------------------------------

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_STEPS = (
    *(n * m for m in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1) for n in (1, 2, 5)), 1, 2, 5, 10, 15, 30,
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)), *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14)),
)  # fmt: skip
_MONTHS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000)


def time_scale(values: Iterable[float], most: int = 6) -> Scale:
    """Give a scale of times, seconds since 1970 in UTC, with ticks at round ones; the caption says of which day.

    Examples
    --------
    >>> scale = time_scale([1795809092.0, 1795810000.0])
    >>> [tick.label for tick in scale.ticks], scale.caption
    (['19:55', '20:00', '20:05'], '2026-11-27, UTC')
    """
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if high - low < 1e-5:
        low, high = low - 0.5, high + 0.5
    least = (high - low) / max(1, most)
    step = next((s for s in _STEPS if s >= least), None)
    moments = _months(low, high, most) if step is None else _evenly(low, high, step)
    begin, end = _moment(low), _moment(high)
    if step is None:
        form = "%Y" if end.year - begin.year > 3 else "%b %Y"
    else:
        form = "%d %b" if step >= _DAY else "%H:%M" if step >= _MINUTE else "%H:%M:%S"
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step is not None and step < 1 else 0
    ticks = tuple(Tick(at, _time_label(at, form, digits)) for at in moments)
    if begin.date() == end.date():
        caption = f"{begin:%Y-%m-%d}, UTC"
    elif step is not None and step < _DAY:
        caption = f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}, UTC"
    else:
        caption = f"{begin:%Y}, UTC" if begin.year == end.year else f"{begin:%Y} to {end:%Y}, UTC"
    return Scale(low, high, ticks, caption)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _evenly(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _months(low: float, high: float, most: int) -> list[float]:
    begin, end = _moment(low), _moment(high)
    count = (end.year - begin.year) * 12 + end.month - begin.month
    step = next((m for m in _MONTHS if count / m <= most), _MONTHS[-1])
    first = begin.year * 12 + begin.month - 1
    months = range(-(-first // step) * step, end.year * 12 + end.month, step)
    found = [datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC).timestamp() for m in months]
    return [at for at in found if low <= at <= high]


def _time_label(at: float, form: str, digits: int) -> str:
    whole = math.floor(at + 1e-9) if digits else round(at)
    part = f"{at - whole:.{digits}f}"[1:] if digits else ""
    return f"{_moment(whole):{form}}{part}"
