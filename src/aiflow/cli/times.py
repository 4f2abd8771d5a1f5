"""Reads times as people write them, and tells them as people say them.

Knows nothing of what they are times of.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import rich_click as click

from aiflow.clock import SystemClock
from aiflow.errors import ParameterError
from aiflow.graph.params import convert

__all__ = ["ago", "moment", "moment_or_ago"]

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


def moment(text: str, option: str, besides: str = "") -> datetime:
    """Read a time in ISO 8601; without a zone it is local.

    Parameters
    ----------
    text
        What was said.
    option
        After which option.
    besides
        What else could have been said there, for the message.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is {f'neither {besides} nor a' if besides else 'no'} time such as 2026-11-23 or 2026-11-23T14:03",
            param_hint=option,
        ) from None
    return found.astimezone() if found.tzinfo is None else found


def moment_or_ago(text: str, option: str) -> datetime:
    """Read a time, or how long ago it was: seconds, or spans such as ``1h30m``."""
    try:
        span: timedelta = convert(text, timedelta, "the time")
        return datetime.fromtimestamp(SystemClock().now(), UTC) - span
    except (ParameterError, OverflowError):
        return moment(text, option, "a span such as 1h30m")


def ago(then: datetime, now: float) -> str:
    """Say how long ago something was, or in how long it will be; of what is a month away, the day.

    Examples
    --------
    >>> from datetime import timedelta, UTC
    >>> now = datetime(2026, 11, 23, tzinfo=UTC)
    >>> [ago(now - timedelta(seconds=s), now.timestamp()) for s in (0.4, 75, 7200, 200_000, -3599)]
    ['now', '1 min ago', '2 h ago', '2 days ago', 'in 59 min']
    """
    passed = now - then.timestamp()
    left = abs(passed)
    if left < 1:
        return "now"
    if left >= 30 * 86400:
        return then.astimezone().strftime("%Y-%m-%d")
    unit, size = next(u for u in _UNITS if left >= u[1])
    count = int(left // size)
    text = f"{count} {unit}{'s' * (unit == 'day' and count != 1)}"
    return f"{text} ago" if passed > 0 else f"in {text}"
