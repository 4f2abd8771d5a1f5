"""How far a job has come that runs for long, its watermark and its count of records, and conditions on these.

Knows nothing of who reads the gauges. A condition asks for a mark: a value, or each boundary of a row of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.condition import Condition, JobCondition
from aiflow.graph.job import seconds
from aiflow.graph.mark import END, GAUGES, Mark, length, moment, number, steps, text

__all__ = ["Gauge", "GaugeCondition"]


@dataclass(frozen=True, slots=True)
class GaugeCondition(JobCondition):
    """A gauge of a job of the same execution coming so far; made by ``node.watermark`` and ``node.records``.

    Moments are texts, and lengths of time are seconds.
    """

    job: str
    gauge: str
    at: int | str | None = None
    every: float | None = None
    since: str | None = None

    def __post_init__(self) -> None:
        if self.gauge not in GAUGES or (self.at is None) is (self.every is None):
            raise ValueError(f"{self.gauge!r} is no gauge, or not asked for one thing")
        mark = self.mark
        for step in (mark.every, mark.at if self.gauge == "records" else None):
            if step is not None and step < 1:
                raise ValueError(f"{step} is nothing to come to")

    def __str__(self) -> str:
        gauge = f"{self.job}.{self.gauge}"
        if self.every is None:
            return f"{gauge} >= {self.at}"
        since = "" if self.since is None else f", since={self.since!r}"
        return f"{gauge}.every({self.every:.15g}{since})"

    @property
    def enclosed(self) -> str:
        """A comparison in brackets, for what follows would belong to the number."""
        return f"({self})" if self.every is None else str(self)

    @property
    def mark(self) -> Mark:
        """What it asks for, as the runner gets it."""
        gauge, since = self.gauge, None if self.since is None else number(self.gauge, self.since)
        if self.every is not None:
            return Mark(gauge, None, steps(gauge, self.every), since)
        return Mark(gauge, number(gauge, self.at))


class Gauge:
    """How far a job has come, which is no condition yet: ``>=`` and ``every`` make one.

    Got by ``node.watermark`` and ``node.records``.
    """

    __slots__ = ("_job", "_name")
    __hash__ = None  # type: ignore[assignment]  # as for all that comparing makes conditions of

    def __init__(self, job: str, name: str) -> None:
        self._job, self._name = job, name

    def __repr__(self) -> str:
        return f"{self._job}.{self._name}"

    @property
    def _advice(self) -> str:
        other = "'2026-01-31T12:00Z'" if self._name == "watermark" else "1000"
        step = "3600" if self._name == "watermark" else "1000"
        return f"say ({self!r} >= {other}), in brackets beside & and |, or {self!r}.every({step})"

    def __ge__(self, other: datetime | str | int) -> Condition:
        what = f"{self!r} >= …"
        if self._name == "watermark":
            return GaugeCondition(self._job, self._name, text(moment(other, what)))  # type: ignore[arg-type]  # it is checked there
        return GaugeCondition(self._job, self._name, _count(other, what))

    def every(self, step: float | timedelta, *, since: datetime | str | None = None) -> Condition:
        """Be met each time that another `step` is passed, once for each.

        Parameters
        ----------
        step
            Seconds of the watermark, or a `timedelta`, to milliseconds; or a number of records.
        since
            From when on, for a watermark: the boundaries are counted from there, and all of them are told, also those that the
            first watermark has passed already. Without it they are multiples of `step` since 1970 in UTC (so 3600 means
            each whole hour), and told are those after the first watermark that is known.

        Raises
        ------
        ParameterError
            If the step is not longer than nothing, or `since` is no moment with a time zone.
        """
        what = f"{self!r}.every(step)"
        if self._name == "records":
            if since is not None:
                raise ParameterError(f"{self!r}.every(step) counts from the first record; it takes no since=")
            return GaugeCondition(self._job, self._name, every=_count(step, what))
        long = steps(self._name, seconds(step, what))
        if long < 1:
            raise ParameterError(f"{what} must be a millisecond at least, not {step!r}")
        begin = None if since is None else text(moment(since, f"{self!r}.every(since=…)"))
        return GaugeCondition(self._job, self._name, every=length(self._name, long), since=begin)

    def _refuse(self, *_: object) -> NoReturn:
        raise GraphError(f"{self!r} only grows, and is nothing by itself: {self._advice}")

    __lt__ = __le__ = __gt__ = __eq__ = __ne__ = _refuse
    __bool__ = __and__ = __or__ = __rand__ = __ror__ = _refuse

    if not TYPE_CHECKING:  # else nothing would be a mistake

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(f"{self!r} has no {name!r}: {self._advice}")


def _count(given: Any, what: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= END:
        raise ParameterError(f"{what} takes a whole number of records ≥ 1, not {given!r}")
    return given
