"""How much of the past a home keeps: the limits, and how they are written in settings, the environment and arguments.

Knows nothing of how anything is pruned.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from aiflow.errors import ParameterError, suggest

__all__ = ["Keep", "read_keep", "read_size"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE).fullmatch
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Limits of what is kept; None: no limit. What something still needs is kept beyond them.

    Attributes
    ----------
    executions
        How many executions that have ended, the newest ones; of one that still runs, how many runs of each job.
    days
        For how many days executions that have ended, and events.
    events
        How many events, the newest ones.
    blobs
        How many bytes the values in files may take: beyond that, the oldest executions go.
    """

    executions: int | None = None
    days: float | None = None
    events: int | None = None
    blobs: int | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) is not None for one in fields(self))

    def __or__(self, stronger: Keep) -> Keep:
        """Give these limits, with those of the other in the place of its own."""
        told = {one.name: getattr(stronger, one.name) for one in fields(self)}
        return Keep(**{name: getattr(self, name) if value is None else value for name, value in told.items()})


def read_keep(said: Any, where: str) -> Keep:
    """Read limits: a table of names and numbers, or a text such as ``"executions=1000, days=30, blobs=2 GB"``.

    Raises
    ------
    ParameterError
        If one does not fit; the message names it, and `where` it stands.

    Examples
    --------
    >>> read_keep("days=30, blobs=2 GB", "AIFLOW_KEEP")
    Keep(executions=None, days=30.0, events=None, blobs=2000000000)
    """
    if isinstance(said, Keep):
        return said
    if isinstance(said, str):
        said = dict(_pair(part, where) for part in said.split(",") if part.strip())
    if not isinstance(said, Mapping):
        raise ParameterError(f"keep in {where} must be a table such as {{executions = 1000, days = 30}}, not {said!r}")
    known = [one.name for one in fields(Keep)]
    found: dict[str, Any] = {}
    for name, value in said.items():
        if name not in known:
            raise ParameterError(f"unknown limit keep.{name} in {where}{suggest(str(name), known)}")
        if value is not None:
            found[name] = _READERS[name](value, f"keep.{name} in {where}")
    return Keep(**found)


def _pair(text: str, where: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(
            f"keep in {where} must be written as executions=1000, days=30; {text.strip()!r} has no '='"
        )
    return name.strip(), value.strip()


def _count(value: Any, what: str) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ParameterError(f"{what} must be a whole number ≥ 0, not {value!r}")
    return value


def _days(value: Any, what: str) -> float:
    try:
        days = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        days = math.nan
    if not 0 <= days < math.inf:
        raise ParameterError(f"{what} must be a number of days ≥ 0, not {value!r}")
    return days


def read_size(value: Any, what: str) -> int:
    """Read a number of bytes: a whole number, or a text such as ``"500 MB"``.

    Raises
    ------
    ParameterError
        If it does not fit; the message begins with `what`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ParameterError(f"{what} must be a number of bytes, or a text such as '2 GB' or '500 MB', not {value!r}")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


_READERS = {"executions": _count, "days": _days, "events": _count, "blobs": read_size}
