"""When conditions on time are due: pure arithmetic over moments, in seconds since 1970. The only door to cronsim.

Knows nothing of what time it is, and of what a tick starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, assert_never
from zoneinfo import ZoneInfo

from aiflow.errors import ParameterError
from aiflow.graph.timing import At, Cron, Every, Misfire, TimeCondition

if TYPE_CHECKING:
    from cronsim import CronSim

__all__ = ["BATCH", "GRACE", "Tick", "check_cron", "dues", "first_due", "next_after", "ticks"]

GRACE = 10.0
"""Seconds that a tick may be late and still count as in time."""

BATCH = 500
"""How many missed ticks are made up for at one go, so that no turn is long."""

COUNTED = 10_000
"""How many missed ticks of a `cron` are counted: a clock that comes from 1970 must not keep all other timers waiting."""

_LOOKS = tuple(days * 86_400.0 for days in (1 / 24, 1, 40, 800, 20_000))
"""How far back the newest due time is looked for, in seconds; the next if there is none."""

_MINUTE, _HOURS = timedelta(minutes=1), frozenset(range(24))


class Tick(NamedTuple):
    """One tick that is to be told: when it was due, and how many before it are not told because of it."""

    due: float
    missed: int = 0


def first_due(condition: TimeCondition, last: float | None, since: float, now: float) -> float | None:
    """Give when the next tick is due; None if there is none any more.

    Parameters
    ----------
    last
        When the last tick was due that was told; None if none was.
    since
        When the condition began to be waited for.
    now
        A duration is never longer than from now on: the clock may have been set back while nothing ran.
    """
    if isinstance(condition, At):
        comes = last is None and (condition.moment > since or condition.from_now)
        return condition.moment if comes else None
    if last is None and condition.from_now:
        return since
    due = next_after(condition, since if last is None else last)
    return min(due, round(now + condition.seconds, 6)) if due is not None and isinstance(condition, Every) else due


def next_after(condition: TimeCondition, moment: float) -> float | None:
    """Give the first due time after `moment`, which for `every` was one itself; None if there is none."""
    return next(dues(condition, moment), None)


def dues(condition: TimeCondition, after: float) -> Iterator[float]:
    """Give all due times after `after`, in order."""
    if isinstance(condition, Every):
        return _steps(condition.seconds, after)
    if isinstance(condition, Cron):
        return _cron_dues(condition, after)
    if isinstance(condition, At):
        return iter((condition.moment,) if condition.moment > after else ())
    raise TypeError(condition)


def ticks(condition: TimeCondition, due: float, now: float) -> tuple[list[Tick], float]:
    """Say which ticks are told `now` of all that are due since `due`, the first (rule 24).

    Returns
    -------
    tuple
        The ticks in order, and the due time from which to go on: the newest that is told or passed over.
    """
    newest, missed = due, 0
    if condition.misfire is Misfire.ALL:
        found = [due, *islice(_until(condition, due, now), BATCH - 1)]
        return [Tick(d) for d in found], found[-1]
    if isinstance(condition, Every):
        missed = max(0, round((now - due) * 1e6) // round(condition.seconds * 1e6))
        newest = round(due + missed * condition.seconds, 6)
    else:
        found = list(islice(_until(condition, due, now), COUNTED))
        missed = len(found)
        newest = due if not found else found[-1] if missed < COUNTED else _newest(condition, now)
    if condition.misfire is Misfire.ONCE:
        return [Tick(newest, missed)], newest
    if condition.misfire is Misfire.SKIP:
        return [Tick(newest, missed)] if now - newest <= GRACE else [], newest
    assert_never(condition.misfire)


def _newest(condition: TimeCondition, now: float) -> float:
    """Give the last due time up to `now`; there is one."""
    return next(due for back in _LOOKS for due in [*_until(condition, now - back, now)][-1:])


def _until(condition: TimeCondition, after: float, now: float) -> Iterator[float]:
    for due in dues(condition, after):
        if due > now:
            return
        yield due


def _steps(length: float, after: float) -> Iterator[float]:
    """Whole microseconds, as the interval is, so that nothing adds up over the years."""
    while True:
        after = round(after + length, 6)
        yield after


# --- cron -------------------------------------------------------------------------------------------------------------


def check_cron(expression: str, zone: str) -> None:
    """Raise `ParameterError` if an expression or the name of a zone means nothing."""
    from cronsim import CronSimError

    try:
        _zone(zone)
    except (OSError, ValueError, KeyError) as error:  # zoneinfo: an unknown name is a KeyError, a folder an OSError
        raise ParameterError(
            f"af.cron(tz={zone!r}): there is no such time zone here; zones have names such as 'Europe/Berlin' "
            "(on a system without a list of zones, install the package tzdata)"
        ) from error
    try:
        _simulator(expression, datetime(2000, 1, 1))
    except CronSimError as error:
        raise ParameterError(
            f"af.cron({expression!r}): {error}; an expression has five fields: minute, hour, day of the month, month, "
            "day of the week, such as '*/15 6-18 * * MON-FRI' (with six, the first is the second)"
        ) from None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _simulator(expression: str, after: datetime) -> CronSim:
    from cronsim import CronSim

    return CronSim(expression, after)


def _cron_dues(condition: Cron, after: float) -> Iterator[float]:
    """Walk over the wall clock of the zone; each moment comes once, however the clock was turned."""
    zone = _zone(condition.zone)
    local = datetime.fromtimestamp(after, zone)
    walk = _simulator(condition.expression, local.replace(tzinfo=None, fold=0))
    if walk.hours == _HOURS:  # it goes on in each hour that passes: cronsim walks in elapsed time
        fields = condition.expression.split()
        fields[-4] = "*"
        yield from (moment.timestamp() for moment in _simulator(" ".join(fields), local))
        return
    last = after
    for shown in walk:
        moment = _moment(shown, zone)
        if moment > last:
            last = moment
            yield moment


def _moment(shown: datetime, zone: ZoneInfo) -> float:
    """Say when the wall clock shows this first; if it never does, then when it shows the next that it does show."""
    while True:
        moment = shown.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == shown:
            return moment.timestamp()
        shown = shown.replace(second=0) + _MINUTE
