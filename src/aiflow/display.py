"""Owns what is shown of an execution, of a job execution and of a project: as cards for notebooks, and as plain text.

Knows nothing of turns: it asks what it shows for its attributes, and the store for what jobs gave, which may be more than is to be loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiflow.errors import AIFlowError
from aiflow.graph.card import Card, Note, Part, Picture, Rows, Story, listed
from aiflow.graph.execution import ENDED, JobStatus
from aiflow.graph.html import duration, short, short_json
from aiflow.values.codec import Stored
from aiflow.values.describing import describe
from aiflow.values.masking import masked

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.execution import Execution, JobExecution

__all__ = ["execution_card", "execution_row", "execution_text", "job_card", "job_row", "project_card"]

_MOST_ROWS, _MOST_ERRORS, _MOST_EXECUTIONS, _MOST_RESULTS = 200, 20, 10, 1000
_HEADS = ("job", "status", "time", "attempt", "result", "label or reason")


def execution_card(execution: Execution) -> Card:
    """Say what is shown of an execution as it stands: its graph in the colours of the statuses, its jobs, its errors."""
    status, jobs = str(execution.status), execution.all_jobs
    facts = {
        "execution": execution.id, "began": execution.started, "took": _took_all(execution),
        "so far": _length(execution.seconds) if status in ("RUNNING", "STOPPING") else None,
        "jobs": None if execution.ended else _progress(jobs), "context": execution.context,
        "parameters": execution.shown_params,
    }  # fmt: skip
    said = _reason_of(execution, status)
    parts: list[Part] = [
        *([Note(said)] if said else []),
        _picture(execution),
        _job_table(execution, jobs),
        *_errors(jobs),
    ]
    return Card(kind="workflow", name=execution.workflow, status=status, facts=facts, parts=parts)


def execution_row(execution: Execution) -> dict[str, Any]:
    """Say what stands of an execution in a table."""
    return {
        "execution": execution.id, "workflow": execution.workflow, "status": execution.status, "began": execution.started,
        "time": _length(execution.seconds) if execution.ended else None, "parameters": execution.shown_params,
        "reason": execution.reason,
    }  # fmt: skip


def execution_text(execution: Execution) -> str:
    """Show an execution as plain text: a line about it, one for its parameters, and one for each job.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.workflow
    ... def loads(k: int = 3):
    ...     load()
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     print(execution_text(project.run(loads)))
    execution ... of loads: SUCCESS in ...
      k = 3
      load  SUCCESS ... → [1, 2]
    """
    status, jobs = str(execution.status), execution.all_jobs
    took, results = _took_all(execution), _results(execution)
    lines = [f"execution {execution.id} of {execution.workflow}: {status}"]
    if took is not None:
        lines[0] += f" in {duration(took.total_seconds())}"
    if said := _reason_of(execution, status):
        lines.append(f"  {said}")
    if params := execution.shown_params:
        lines.append("  " + ", ".join(f"{name} = {short_json(value)}" for name, value in params.items()))
    some, more = jobs[:_MOST_ROWS], len(jobs) - _MOST_ROWS
    width = max((len(_job_name(one)) for one in some), default=0)
    for one in some:
        attempt = f"attempt {one.attempt}" if one.attempt > 1 else ""
        result = f"→ {found}" if (found := results.get((one.job, one.number))) else ""
        parts = (f"{one.status:<8}", f"{duration(_seconds(one)):>7}", attempt, result, _said(one))
        lines.append(f"  {_job_name(one):<{width}}  " + "  ".join(part for part in parts if part).rstrip())
    if more > 0:
        lines.append(f"  … and {more} more")
    return "\n".join(lines)


def job_card(one: JobExecution) -> Card:
    """Say what is shown of an execution of a job; what it printed is in the logs of its execution."""
    facts = {
        "execution": one.execution_id, "began": one.started, "took": _length(_seconds(one)), "attempt": one.attempt or None,
        "started by": None if one.event is None else one.event.key, "label": one.label,
    }  # fmt: skip
    notes = [Note(one.reason)] if one.reason and one.reason != one.error else []
    return Card(kind="job", name=_job_name(one), status=str(one.status), facts=facts, parts=[*notes, *_errors([one])])


def job_row(one: JobExecution) -> dict[str, Any]:
    """Say what stands of an execution of a job in a table."""
    brief = {head: told for head, told in _brief(one).items() if head != "result"}
    return {**brief, "execution": one.execution_id, "began": one.started}


def project_card(project: Project) -> Card:
    """Say what is shown of a project: where it is, how much there is in it, and its newest executions."""
    counts = {
        "executions": project.executions.count(), "events": project.events.count(), "datasets": project.datasets.count(),
        "models": project.models.count(), "artifacts": project.artifacts.count(),
    }  # fmt: skip
    facts = {"home": str(project.home), **{noun: count for noun, count in counts.items() if count}}
    newest = listed(project.executions.list(limit=_MOST_EXECUTIONS), "execution")
    more = counts["executions"] - len(newest.rows)
    left = [Note(f"… and {more} older executions")] if more > 0 else []
    return Card(kind="project", name=project.name, facts=facts, parts=[newest, *left])


# --- the parts of an execution --------------------------------------------------------------------------------------


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _took_all(execution: Execution) -> timedelta | None:
    if execution.started is None or execution.ended is None:
        return None
    return max(timedelta(0), execution.ended - execution.started)


def _progress(jobs: Sequence[JobExecution]) -> str:
    """Say how many jobs of the workflow are done, by their latest runs."""
    latest = {one.job: one.status for one in sorted(jobs, key=lambda one: one.number)}
    return f"{sum(status in ENDED for status in latest.values())} of {len(latest)} done"


def _reason_of(execution: Execution, status: str) -> str | None:
    if status == "INTERRUPTED":
        return execution.when_interrupted
    return execution.reason


def _picture(execution: Execution) -> Part:
    try:
        return Picture(execution.graph.to_svg(execution.statuses))
    except AIFlowError as error:
        return Note(f"no picture: {error}")
    except Exception as error:  # the body of the workflow is the user's
        return Note(f"no picture: the body of the workflow raised {type(error).__name__}: {error}")


def _job_table(execution: Execution, jobs: Sequence[JobExecution]) -> Rows:
    results = _results(execution)
    rows = [list(_brief(one, results.get((one.job, one.number))).values()) for one in jobs]
    return Rows(_HEADS, rows, "job execution")


def _results(execution: Execution) -> dict[tuple[str, int], str]:
    """Say what jobs gave, by name and number: data in short, of other values what was noted when they were written."""
    store, found = execution._project._store, {}
    rows = store.rows(
        "SELECT job, number, codec, value, blob, size, summary FROM job_executions "
        f"WHERE execution_id = ? AND status = 'SUCCESS' AND codec IS NOT NULL ORDER BY started LIMIT {_MOST_RESULTS}",
        (execution.id,),
    )
    for job, number, *kept in rows:
        stored = Stored(*kept)
        text = stored.summary or ""
        if stored.codec in ("json", "version") and stored.blob is None:  # reading these runs no code of anybody's
            value = store.codec.decode(stored)
            text = "" if value is None else describe(value)
        found[job, number] = text
    shown: dict[tuple[str, int], str] = dict(zip(found, masked(list(found.values()), execution.params), strict=True))
    return shown


def _brief(one: JobExecution, result: str | None = None) -> dict[str, Any]:
    told = (_job_name(one), one.status, _length(_seconds(one)), one.attempt or None, result or None, _said(one))
    return dict(zip(_HEADS, told, strict=True))


def _errors(jobs: Sequence[JobExecution]) -> list[Part]:
    latest = {one.job: one for one in sorted(jobs, key=lambda one: one.number)}
    failed = [one for one in latest.values() if one.error]
    parts: list[Part] = [
        Story(_job_name(one), one.error or "", one.traceback.rstrip() or one.error or "", len(failed) == 1)
        for one in failed[:_MOST_ERRORS]
    ]
    more = len(failed) - _MOST_ERRORS
    return [*parts, *([Note(f"… and {more} more error{'s' * (more > 1)}")] if more > 0 else [])]


def _job_name(one: JobExecution) -> str:
    return one.job if one.number < 2 else f"{one.job} #{one.number}"


def _seconds(one: JobExecution) -> float | None:
    return None if one.status is JobStatus.SKIPPED else one.seconds


def _said(one: JobExecution) -> str:
    parts = dict.fromkeys(short(text) for text in (one.label, one.reason, one.error) if text)
    return " · ".join(parts)
