"""What a condition on time is: `every` so many seconds, by a `cron` expression, or once `at` a moment.

Knows nothing of what time it is and of when the next tick is due (that is `events/timetable.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import ClassVar

from aiflow.errors import ParameterError
from aiflow.graph.condition import Condition, Leaf
from aiflow.graph.job import seconds

__all__ = ["At", "Cron", "Every", "Misfire", "TimeCondition", "at", "cron", "every", "timer_key"]


class Misfire(StrEnum):
    """What becomes of ticks that were missed while nothing ran (rule 24)."""

    ONCE = "once"
    SKIP = "skip"
    ALL = "all"


def timer_key(condition: TimeCondition) -> str:
    """Give the key of a condition's ticks; conditions that print the same share one timer in an execution."""
    return f"timer:{condition}"


class TimeCondition(Leaf):
    """A leaf that time meets: by ticks of the execution's own, under `timer_key`.

    Attributes
    ----------
    measures
        Whether it measures a duration; else it goes by the clock on the wall, and follows when that is set.
    """

    __slots__ = ()
    measures: ClassVar[bool] = False
    from_now: bool

    @property
    def misfire(self) -> Misfire:
        """What becomes of ticks that were missed."""
        return Misfire.ONCE

    @property
    def merges(self) -> bool:
        """Whether of the starts that it makes in a busy job only one waits: not if all ticks count."""
        return self.misfire is not Misfire.ALL


@dataclass(frozen=True, slots=True)
class Every(TimeCondition):
    """Each time so many seconds have passed; made by `af.every`."""

    seconds: float
    misfire: Misfire = Misfire.ONCE
    from_now: bool = False

    measures: ClassVar[bool] = True
    keeps_open: ClassVar[bool] = True

    def __str__(self) -> str:
        shown = f"{self.seconds:.6f}".rstrip("0").rstrip(".")
        return f"every({shown}{_told(self.misfire)})" + ".now()" * self.from_now


@dataclass(frozen=True, slots=True)
class Cron(TimeCondition):
    """Each time that the wall clock of a zone fits an expression; made by `af.cron`."""

    expression: str
    zone: str = "UTC"
    misfire: Misfire = Misfire.ONCE
    from_now: bool = False

    keeps_open: ClassVar[bool] = True

    def __str__(self) -> str:
        zone = "" if self.zone == "UTC" else f", tz={self.zone!r}"
        return f"cron({self.expression!r}{zone}{_told(self.misfire)})" + ".now()" * self.from_now


@dataclass(frozen=True, slots=True)
class At(TimeCondition):
    """One moment, in seconds since 1970; made by `af.at`."""

    moment: float
    from_now: bool = False

    def __str__(self) -> str:
        return f"at({datetime.fromtimestamp(self.moment, UTC).isoformat()!r})" + ".now()" * self.from_now


def _told(misfire: Misfire) -> str:
    return "" if misfire is Misfire.ONCE else f", misfire={str(misfire)!r}"


check_cron: Callable[[str, str], None] | None = None
"""Set by the composition root: raises `ParameterError` if an expression or the name of a zone means nothing."""


def every(interval: float | timedelta, *, misfire: str = "once") -> Condition:
    """Make a condition that is met each time `interval` has passed, counted from the start of the execution.

    Parameters
    ----------
    interval
        Seconds, or a `timedelta`; microseconds count.
    misfire
        What becomes of ticks that were missed while nothing ran: ``"once"`` makes one tick of them, ``"skip"`` none,
        ``"all"`` as many as there were.

    Raises
    ------
    ParameterError
        If the interval is not longer than nothing, or `misfire` is something else.

    Examples
    --------
    >>> import aiflow as af
    >>> print(af.every(60) | af.event("go"))
    any(every(60), event('go'))
    """
    length = round(seconds(interval, "af.every(interval)"), 6)
    if length <= 0:
        raise ParameterError(f"af.every(interval) must be longer than 0 seconds, not {interval!r}")
    return Every(length, _misfire(misfire, "every"))


def cron(expression: str, *, tz: str | tzinfo = "UTC", misfire: str = "once") -> Condition:
    """Make a condition that is met whenever the wall clock of a time zone fits a cron expression.

    A time that the clocks leave out runs at the next one that there is, and a time that they show twice runs once. An
    expression with ``*`` as its hour goes on through both: it runs in each hour that passes.

    Parameters
    ----------
    expression
        Minute, hour, day of the month, month and day of the week; with six fields, the first is the second.
    tz
        The name of a zone, such as ``"Europe/Berlin"``, or a `zoneinfo.ZoneInfo`.
    misfire
        As in `every`.

    Raises
    ------
    ParameterError
        If the expression, the zone or `misfire` means nothing.

    Examples
    --------
    >>> import aiflow as af
    >>> print(af.cron("0 6 * * MON-FRI", tz="Europe/Berlin"))
    cron('0 6 * * MON-FRI', tz='Europe/Berlin')
    """
    if not isinstance(expression, str) or not expression.strip():
        raise ParameterError(f"af.cron(expression) takes a text such as '0 6 * * *', not {expression!r}")
    zone = getattr(tz, "key", None) or ("UTC" if tz is UTC else tz)
    if not isinstance(zone, str):
        raise ParameterError(f"af.cron(tz=…) takes the name of a zone such as 'Europe/Berlin', not {tz!r}")
    expression = " ".join(expression.split())
    if check_cron is not None:
        check_cron(expression, zone)
    return Cron(expression, zone, _misfire(misfire, "cron"))


def at(moment: datetime) -> Condition:
    """Make a condition that is met once, at `moment`; one that is past when the execution starts is never met.

    Parameters
    ----------
    moment
        An aware `datetime`. With ``.now()``, one that is past is met when the execution starts.

    Raises
    ------
    ParameterError
        If `moment` is no `datetime`, or has no time zone.

    Examples
    --------
    >>> import aiflow as af
    >>> from datetime import UTC, datetime
    >>> print(af.at(datetime(2030, 1, 1, tzinfo=UTC)))
    at('2030-01-01T00:00:00+00:00')
    """
    if not isinstance(moment, datetime):
        raise ParameterError(f"af.at(moment) takes a datetime with a time zone, not {moment!r}")
    if moment.utcoffset() is None:
        raise ParameterError(
            f"af.at(moment) takes a datetime with a time zone, and {moment!r} has none: "
            "say datetime(…, tzinfo=UTC) or tzinfo=ZoneInfo('Europe/Berlin')"
        )
    return At(round(moment.timestamp(), 6))


def _misfire(misfire: str, name: str) -> Misfire:
    if misfire not in tuple(Misfire):
        raise ParameterError(f"af.{name}(misfire=…) must be one of {', '.join(Misfire)}, not {misfire!r}")
    return Misfire(misfire)
