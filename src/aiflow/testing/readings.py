"""What the gauges of jobs on Flink show in a simulation: nothing of Flink runs there, so the test says how far they come.

Knows nothing of when.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aiflow.engine import Engine
from aiflow.errors import ParameterError
from aiflow.graph.mark import END, Reading, moment, passed

__all__ = ["Progress", "progress", "tell"]


class Progress(NamedTuple):
    """How far a job has come; made by `progress`."""

    job: str
    reading: Reading


def progress(job: str, *, watermark: datetime | str | None = None, records: int | None = None) -> Progress:
    """Say how far a job on Flink has come, among the events of `simulate`.

    Parameters
    ----------
    job
        Its name.
    watermark
        A `datetime` with a time zone, or a text such as ``"2026-01-31T12:00Z"``; ``"end"`` when the input has ended.
    records
        How many records it has handled.

    Raises
    ------
    ParameterError
        If neither is said, or something is no moment or no number.

    Examples
    --------
    >>> import aiflow as af
    >>> from aiflow.testing import progress, simulate
    >>> @af.job(runner="flink")
    ... def clicks(): ...
    >>> @af.job
    ... def report():
    ...     return af.current().event.value["at"]
    >>> @af.workflow
    ... def hourly():
    ...     report().start_on(clicks().watermark.every(3600))
    >>> hours = [(t, progress("clicks", watermark=f"2026-01-31T{h}:00Z")) for t, h in ((1, 12), (2, 13), (3, 15))]
    >>> simulate(hourly, hours, durations={"clicks": 10}).execution.results("report")
    ['2026-01-31T13:00:00+00:00', '2026-01-31T14:00:00+00:00', '2026-01-31T15:00:00+00:00']
    """
    if watermark is None and records is None:
        raise ParameterError(f"progress({job!r}) takes a watermark= or records=, or both")
    if records is not None and (isinstance(records, bool) or not isinstance(records, int) or records < 0):
        raise ParameterError(f"progress({job!r}, records=…) takes a whole number, not {records!r}")
    if watermark == "end":
        return Progress(job, Reading(END, records))
    when = None if watermark is None else moment(watermark, f"progress({job!r}, watermark=…)")
    return Progress(job, Reading(when, records))


def tell(engine: Engine, told: Progress) -> None:
    """Let whoever runs the job have read its gauges: what is passed is an event."""
    for live in list(engine.lives.values()):
        for work in list(live.works.values()):
            if work.key.job == told.job and work.vertex.runner == "flink":
                before = Reading(**(engine.store.note(work.key) or work.noted_before or {}))
                work.note(before.furthest(told.reading)._asdict(), passed(work.marks, before, told.reading))
