"""What a mark is: how far a job is to come by its watermark or its count of records; and which ones it has passed.

Knows nothing of who asks (conditions), and of who reads the gauges (runners).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiflow.errors import ParameterError

__all__ = [
    "END",
    "GAUGES",
    "Mark",
    "Passed",
    "Reading",
    "length",
    "mark_in",
    "moment",
    "number",
    "passed",
    "steps",
    "text",
]

END = 2**63 - 1
"""The watermark of an input that has ended."""

GAUGES = ("watermark", "records")
"""What can be read of a job on Flink."""

MOST = 100_000
"""How many boundaries of one mark may be passed between two readings: what starts a job so often is a mistake."""

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


class Reading(NamedTuple):
    """What the gauges of a job show; None for what is not known.

    `watermark` is in milliseconds since 1970; it is `END` when the input has ended.
    """

    watermark: int | None = None
    records: int | None = None

    def furthest(self, other: Reading) -> Reading:
        """Give how far both have come at most: after a restore, gauges go back."""
        ways = ([one for one in pair if one is not None] for pair in zip(self, other, strict=True))
        return Reading(*(max(way, default=None) for way in ways))


class Mark(NamedTuple):
    """What is asked of a gauge: to come to `at`, or to each boundary that is a multiple of `every` after `since`.

    Counts of records, or milliseconds; moments are since 1970. Without `since`, the boundaries of a watermark are multiples
    since 1970 (whole hours in UTC, for an hour), those after the first watermark that is read.
    """

    gauge: str
    at: int | None = None
    every: int | None = None
    since: int | None = None


class Passed(NamedTuple):
    """A mark that a gauge has come to, and which boundary of it."""

    mark: Mark
    at: int

    @property
    def value(self) -> dict[str, Any]:
        """What its event says, as JSON data; moments are texts."""
        gauge, _, every, since = self.mark
        told: dict[str, Any] = {"gauge": gauge, "at": shown(gauge, self.at)}
        if every is not None:
            told["every"] = length(gauge, every)
        if since is not None:
            told["since"] = shown(gauge, since)
        return told


def passed(marks: Iterable[Mark], before: Reading, now: Reading) -> list[Passed]:
    """Say which marks a job has passed since the reading before, each boundary once and in order.

    Parameters
    ----------
    marks
        What is asked.
    before
        The furthest that was read so far (`Reading.furthest`), by earlier attempts and runs that this one goes on from, too;
        so what was told once is not told again.
    now
        What is read now. Where it is not further than before, nothing is passed.

    Raises
    ------
    ParameterError
        If more than 100,000 boundaries of one mark were passed at once.

    Examples
    --------
    >>> hour = 3_600_000
    >>> [one.at // hour for one in passed([Mark("watermark", every=hour)], Reading(hour // 2), Reading(3 * hour))]
    [1, 2, 3]
    >>> passed([Mark("records", at=100)], Reading(records=99), Reading(records=250))[0].at
    100
    """
    found = []
    for mark in dict.fromkeys(marks):
        last, here = getattr(before, mark.gauge), getattr(now, mark.gauge)
        if here is not None and (last is None or last < here):
            found += [Passed(mark, at) for at in _boundaries(mark, last, here)]
    return sorted(found, key=lambda one: (one.mark.gauge, one.at))


def _boundaries(mark: Mark, last: int | None, here: int) -> Iterable[int]:
    """Give the boundaries of a mark that lie after `last`, up to `here`."""
    if mark.at is not None:
        return (mark.at,) if mark.at <= here and (last is None or last < mark.at) else ()
    assert mark.every is not None
    origin = mark.since or 0
    if mark.gauge == "records" or mark.since is not None:
        last = origin if last is None else max(origin, last)
    if last is None or last > _LATEST:  # the first watermark that is read; or the input had ended before
        return ()
    first = origin + ((last - origin) // mark.every + 1) * mark.every
    if mark.gauge == "watermark" and here > _LATEST:  # the end passes all that is to come; that is told by the next one
        return (first,) if first <= _LATEST else ()
    found = range(first, here + 1, mark.every)
    if len(found) > MOST:
        raise ParameterError(
            f"{mark.gauge}.every({length(mark.gauge, mark.every)}): {len(found):,} boundaries were passed at once, and "
            f"more than {MOST:,} is taken for a mistake; take longer steps, or a later since="
        )
    return found


def mark_in(value: Mapping[str, Any]) -> Mark:
    """Give the mark that an event tells of, whose value was made by `Passed`."""
    gauge, every, since = value["gauge"], value.get("every"), value.get("since")
    if every is None:
        return Mark(gauge, at=number(gauge, value["at"]))
    return Mark(gauge, None, steps(gauge, every), None if since is None else number(gauge, since))


# --- moments and lengths, as people write them ------------------------------------------------------------------------


def moment(when: datetime | str, what: str) -> int:
    """Give a moment in milliseconds since 1970; a text is ISO 8601. The first whole millisecond that is not earlier.

    Raises
    ------
    ParameterError
        If it is no moment, or in no time zone.
    """
    given = when
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise ParameterError(
                f"{what} takes a datetime or a text such as '2026-01-31T12:00Z', not {given!r}"
            ) from None
    if not isinstance(when, datetime):
        raise ParameterError(f"{what} takes a datetime or a text such as '2026-01-31T12:00Z', not {given!r}")
    if when.tzinfo is None:
        raise ParameterError(f"{what} takes a moment with a time zone, and {given!r} has none: say '…Z' or tzinfo=UTC")
    return -((_EPOCH - when) // _MILLISECOND)


def text(milliseconds: int) -> str:
    """Give a moment as ISO 8601."""
    return (_EPOCH + milliseconds * _MILLISECOND).isoformat()


def shown(gauge: str, at: int) -> int | str:
    """Give where a gauge stands, as JSON data."""
    return at if gauge == "records" else text(at)


def number(gauge: str, told: Any) -> int:
    """Read what `shown` gave."""
    return int(told) if gauge == "records" else moment(told, "a watermark")


def length(gauge: str, step: int) -> int | float:
    """Give the length of a step as people say it: in seconds, for a watermark."""
    if gauge == "records":
        return step
    return step / 1000 if step % 1000 else step // 1000


def steps(gauge: str, told: float) -> int:
    """Read what `length` gave."""
    return int(told) if gauge == "records" else round(told * 1000)
