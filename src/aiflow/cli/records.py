"""Executions, jobs and events as data for programs and as rows for people.

Knows nothing of how data are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiflow.cli.formats import Table
from aiflow.values.masking import masked

if TYPE_CHECKING:
    from aiflow import Event, Execution, JobExecution, Project

__all__ = [
    "brief",
    "duration",
    "event_record",
    "event_table",
    "execution_header",
    "execution_record",
    "execution_table",
    "interrupted",
    "job_records",
    "job_table",
    "not_begun_records",
    "reason_of",
]

Record = Mapping[str, Any]
_MANY = 20
"""More runs of a job than this, with the same status, are one row for people."""


def duration(seconds: float | None) -> str:
    """Give a duration as people say it.

    Examples
    --------
    >>> duration(0.0421), duration(12.34), duration(3725.0)
    ('0.04 s', '12.3 s', '1 h 02 min')
    """
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def event_record(event: Event) -> dict[str, Any]:
    """Give an event, its fields named as its attributes."""
    return {
        "offset": event.offset, "key": event.key, "value": event.value, "type": event.type,
        "namespace": event.namespace, "sender": event.sender, "context": event.context,
        "execution_id": event.execution_id, "time": event.time,
    }  # fmt: skip


def event_table(rows: list[dict[str, Any]]) -> Table:
    """Lay events out for people."""
    columns = {
        "OFFSET": "offset",
        "TIME": "time",
        "KEY": "key",
        "VALUE": "value",
        "TYPE": "type",
        "SENDER": "sender",
        "EXECUTION": "execution_id",
    }
    return Table(rows, columns, wide=("VALUE", "TYPE"))


def interrupted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of what had not ended in an execution whose process is gone that it does not go on."""
    return [
        row if row["ended"] else {**row, "seconds": None, "reason": row["reason"] or "its process is gone"}
        for row in rows
    ]


def job_records(project: Project, jobs: Iterable[JobExecution]) -> list[dict[str, Any]]:
    """Give executions of jobs, each with the event that started it; those that have not run yet are left out."""
    from aiflow.store import log

    jobs = [j for j in jobs if j.number]
    offsets = {j.event_offset for j in jobs if j.event_offset is not None}
    events = {e.offset: event_record(e) for e in log.by_offsets(project._store.reader(), offsets)}
    return [
        {
            "execution_id": j.execution_id, "job": j.job, "number": j.number, "attempt": j.attempt, "status": j.status,
            "started": j.started, "ended": j.ended, "seconds": j.seconds, "error": j.error, "reason": j.reason,
            "traceback": j.traceback or None, "label": j.label, "note": j.note, "event": None if j.event_offset is None else events.get(j.event_offset),
        }
        for j in jobs
    ]  # fmt: skip


def not_begun_records(jobs: Iterable[JobExecution]) -> list[dict[str, Any]]:
    """Give the jobs that have not run yet, with what they wait for; fields as those of `job_records`."""
    nothing = dict.fromkeys(("attempt", "started", "ended", "seconds", "error", "traceback", "label", "note", "event"))
    return [
        {"execution_id": j.execution_id, "job": j.job, "number": 0, "status": j.status, "reason": j.reason, **nothing}
        for j in jobs
        if not j.number
    ]


def job_table(
    rows: list[dict[str, Any]], results: Mapping[str, str] | None = None, with_execution: bool = False
) -> Table:
    """Lay executions of jobs out for people; `results` are short texts by job name."""
    columns: dict[str, Any] = {"EXECUTION": "execution_id"} if with_execution else {}
    columns |= {"JOB": _name, "STATUS": "status", "TIME": lambda row: duration(row["seconds"]), "ATTEMPT": "attempt"}
    if with_execution:
        columns["STARTED"] = "started"
    if results is not None:
        latest = {row["job"]: row["number"] for row in rows if row["status"] == "SUCCESS"}
        columns["RESULT"] = lambda row: results.get(row["job"], "") if latest.get(row["job"]) == row["number"] else ""
    if results is None or any(_note(row) for row in rows):
        columns["NOTE"] = _note
    return Table(rows, columns, wide=("RESULT", "NOTE"))


def brief(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give for people one row, the last, in the place of many runs of a job that ended alike, as the items of a stream make them."""
    left = Counter((row["job"], row["status"]) for row in rows)
    many = {key: count for key, count in left.items() if count > _MANY}
    shown = []
    for row in rows:
        key = (row["job"], row["status"])
        left[key] -= 1
        if key not in many:
            shown.append(row)
        elif not left[key]:
            note = _note(row)
            shown.append({**row, "reason": f"the last of {many[key]:,} such runs{f'; {note}' if note else ''}"})
    return shown


def _name(row: Record) -> str:
    return row["job"] if row["number"] < 2 else f"{row['job']} ({row['number']})"


def _note(row: Record) -> str:
    """Give one line; the whole error is for programs."""
    noted = ", ".join(f"{name}={value}" for name, value in (row["note"] or {}).items())
    return _first_line(row["reason"] or row["error"] or row["label"] or noted)


def _first_line(text: str) -> str:
    line, _, more = text.strip().partition("\n")
    return f"{line} …" if more else line


def reason_of(execution: Execution) -> str | None:
    """Say in one line why an execution stands where it does: of one that FAILED, what has failed."""
    status = execution.status
    if status == "INTERRUPTED":
        return execution.when_interrupted
    if status != "FAILED" or execution.reason:
        return execution.reason
    failed = execution._project.jobs.list(execution_id=execution.id, status="FAILED", limit=9)
    names = list(dict.fromkeys(one.job for one in failed))
    if len(names) == 1:
        return str(masked(f"{names[0]}: {_first_line(failed[0].error or '')}", execution.params))
    return f"failed: {', '.join(names)}" if names else None


def execution_record(execution: Execution) -> dict[str, Any]:
    """Give an execution without its jobs; what looks like a password is hidden."""
    status, event = execution.status, execution.event
    started = None if execution.started is None else execution.started.timestamp()
    ended = execution._project._clock.now() if execution.ended is None else execution.ended.timestamp()
    return {
        "id": execution.id, "workflow": execution.workflow, "namespace": execution.namespace, "status": status,
        "params": execution.shown_params, "context": execution.context,
        "event": None if event is None else event_record(event), "created": execution.created,
        "started": execution.started, "ended": execution.ended,
        "seconds": None if started is None or status == "INTERRUPTED" else max(0.0, ended - started),
        "reason": reason_of(execution), "source": execution.source,
    }  # fmt: skip


def _params(row: Record) -> str:
    return ", ".join(f"{name}={value}" for name, value in row["params"].items())


def execution_table(rows: list[dict[str, Any]]) -> Table:
    """Lay executions out for people."""
    columns: dict[str, Any] = {
        "ID": "id", "WORKFLOW": "workflow", "STATUS": "status", "STARTED": "started",
        "TIME": lambda row: duration(row["seconds"]), "PARAMETERS": _params, "NOTE": lambda row: row["reason"],
    }  # fmt: skip
    if any(row["context"] is not None for row in rows):
        columns["CONTEXT"] = "context"
    return Table(rows, columns, wide=("PARAMETERS", "NOTE"))


def execution_header(row: Record) -> dict[str, Any]:
    """Give what stands above the jobs of an execution; what it does not have is left out."""
    header = {
        "execution": row["id"], "workflow": row["workflow"], "status": row["status"], "reason": row["reason"],
        "parameters": _params(row), "context": row["context"], "started": row["started"], "ended": row["ended"],
        "time": duration(row["seconds"]), "event": row["event"]["key"] if row["event"] else None,
    }  # fmt: skip
    return {name: value for name, value in header.items() if value not in (None, "")}
