"""Owns how executions, events and tables are shown: as HTML for notebooks, and as plain text.

Knows nothing of stores or turns: it asks what it shows for its attributes, and gives text. What users wrote is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from aiflow.errors import AIFlowError
from aiflow.graph.execution import JobStatus
from aiflow.graph.palette import PAINTS
from aiflow.graph.params import shown

if TYPE_CHECKING:
    from aiflow.execution import Execution, JobExecution
    from aiflow.graph.event import Event

__all__ = ["duration", "events_html", "execution_html", "execution_text", "registered_html", "table_html"]

_T = TypeVar("_T")
_MOST_ROWS, _MOST_ERRORS = 200, 20
_LONGEST_VALUE, _LONGEST_TRACEBACK = 200, 6_000

_STAGES = {
    "GENERATED": "QUEUED", "VALIDATED": "RUNNING", "DEPLOYED": "SUCCESS", "DEPRECATED": "SKIPPED", "DELETED": "STOPPED"
}  # fmt: skip
"""Stages have the colours of statuses."""

_STYLE = """
.aiflow-view{--ink:#0f172a;--soft:#64748b;--line:#e2e8f0;--panel:#fff;--code:#f1f5f9;
background:var(--panel);color:var(--ink);border:1px solid var(--line);border-radius:10px;padding:12px 16px;
font:13px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;overflow-x:auto}
@media (prefers-color-scheme:dark){
.aiflow-view{--ink:#f1f5f9;--soft:#94a3b8;--line:#334155;--panel:#0f172a;--code:#1e293b}}
.aiflow-view p{margin:4px 0;color:inherit}
.aiflow-view .soft{color:var(--soft)}
.aiflow-view code,.aiflow-view pre{background:var(--code);color:var(--ink);border-radius:4px;padding:1px 5px;
font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.aiflow-view pre{padding:8px 10px;margin:4px 0;overflow-x:auto;white-space:pre}
.aiflow-view .picture{margin:8px 0;overflow-x:auto}
.aiflow-view.aiflow-view table{border-collapse:collapse;margin:8px 0;font-size:13px;color:var(--ink);border:0}
.aiflow-view.aiflow-view tr:nth-child(n){background:transparent}
.aiflow-view.aiflow-view th,.aiflow-view.aiflow-view td{text-align:left;vertical-align:top;padding:3px 14px 3px 0;
border:0;border-bottom:1px solid var(--line);white-space:normal}
.aiflow-view th{color:var(--soft);font-weight:500}
.aiflow-view td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.aiflow-view .status{display:inline-block;border:1px solid;border-radius:9px;padding:0 8px;
font-size:11px;font-weight:600}
.aiflow-view summary{cursor:pointer}
"""


def execution_html(execution: Execution) -> str:
    """Show an execution as HTML: its graph in the colours of the statuses, its jobs, its errors.

    The text needs no scripts, follows light and dark pages, and holds nothing that a name, value or error could break.

    Parameters
    ----------
    execution
        What to show, as it stands now.
    """
    status, jobs = str(execution.status), execution.all_jobs
    parts = [
        f"<p>{_pill(status)} <strong>{_text(execution.workflow)}</strong> "
        f'<span class="soft">execution <code>{_text(execution.id)}</code>{_when(execution)}</span></p>',
        _reason(execution, status),
        _params(execution.shown_params),
        _picture(execution),
        _job_table(jobs),
        _errors(jobs),
    ]
    return _view(parts)


def events_html(events: Iterable[Event]) -> str:
    """Show events as an HTML table, in the order in which they are given."""
    shown, more = _first(list(events), _MOST_ROWS)
    rows = [
        [
            _cell(event.offset, "number"), f'<td class="number">{_time(event.time)}</td>', _cell(event.key),
            f"<td>{_value(event.value)}</td>",
            _cell(event.type), _cell(event.sender), _cell(event.context),
        ]
        for event in shown
    ]  # fmt: skip
    table = _table(("offset", "time", "key", "value", "type", "sender", "context"), rows)
    return _view([table if rows else '<p class="soft">no events</p>', _more(more, "event")])


def table_html(heads: Iterable[str], rows: Iterable[Iterable[tuple[object, str]]]) -> str:
    """Show rows as an HTML table; a cell is a value and its class (``"number"``, or none)."""
    shown, more = _first(list(rows), _MOST_ROWS)
    return _view([_table(heads, [[_cell(*cell) for cell in row] for row in shown]), _more(more, "row")])


def registered_html(
    kind: str, name: str, facts: Mapping[str, Any], versions: Sequence[_T], show: Callable[[_T], Mapping[str, Any]]
) -> str:
    """Show a dataset, a model or an artifact as HTML: what was said of it, and its versions, the newest first.

    Parameters
    ----------
    kind, name
        What it is, and what it is called.
    facts
        What was said of it; what is empty is left out, and what is secret by its name is hidden.
    versions
        The versions, oldest first.
    show
        Gives what is shown of one, by heading; asked of those that are shown.
    """
    said = ", ".join(f'<span class="soft">{_text(word)}</span> {_fact(fact)}' for word, fact in facts.items() if fact)
    some, more = _first(versions[::-1], _MOST_ROWS)
    told = [show(one) for one in some]
    rows = [[_version_cell(head, value) for head, value in one.items()] for one in told]
    table = _table(told[0], rows) if told else '<p class="soft">no versions</p>'
    head = f'<p><span class="soft">{_text(kind)}</span> <strong>{_text(name)}</strong></p>'
    return _view([head, f"<p>{said}</p>" if said else "", table, _more(more, "version")])


def _fact(fact: Any) -> str:
    return _value(shown(fact)) if isinstance(fact, Mapping) else _text(shown(str(fact)))


def _version_cell(head: str, value: Any) -> str:
    if isinstance(value, datetime):
        return f'<td class="number">{_time(value)}</td>'
    if head == "stage":
        return f'<td><span class="status {_text(_STAGES.get(value, value))}">{_text(value)}</span></td>'
    if isinstance(value, Mapping):
        return f"<td>{_value(value) if value else ''}</td>"
    return _cell(value, "number" if isinstance(value, int) else "")


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
      load  SUCCESS ...
    """
    status, jobs = str(execution.status), execution.all_jobs
    took = duration(_seconds_of(execution))
    lines = [f"execution {execution.id} of {execution.workflow}: {status}" + (f" in {took}" if took else "")]
    if said := _reason_of(execution, status):
        lines.append(f"  {said}")
    if params := execution.shown_params:
        lines.append("  " + ", ".join(f"{name} = {_short(value)}" for name, value in params.items()))
    shown, more = _first(jobs, _MOST_ROWS)
    width = max((len(_job_name(one)) for one in shown), default=0)
    for one in shown:
        parts = (f"{one.status:<8}", f"{_took(one):>7}", _attempt(one), _said(one))
        lines.append(f"  {_job_name(one):<{width}}  " + "  ".join(part for part in parts if part).rstrip())
    if more:
        lines.append(f"  … and {more} more")
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """Write a duration as people say it; '' if there is none.

    Examples
    --------
    >>> [duration(s) for s in (0.0042, 1.25, 75, 7260)]
    ['4 ms', '1.2 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


# --- the parts of an execution --------------------------------------------------------------------------------------


def _when(execution: Execution) -> str:
    parts = [f", began {_time(execution.started)}"] if execution.started else []
    if took := duration(_seconds_of(execution)):
        parts.append(f", took {took}")
    if execution.context:
        parts.append(f", context <code>{_text(execution.context)}</code>")
    return "".join(parts)


def _seconds_of(execution: Execution) -> float | None:
    if execution.started is None or execution.ended is None:
        return None
    return max(0.0, (execution.ended - execution.started).total_seconds())


def _reason(execution: Execution, status: str) -> str:
    said = _reason_of(execution, status)
    return f"<p>{_text(said)}</p>" if said else ""


def _reason_of(execution: Execution, status: str) -> str | None:
    if status == "INTERRUPTED":
        return execution.when_interrupted
    return execution.reason


def _params(params: Mapping[str, Any]) -> str:
    shown = ", ".join(f"<code>{_text(name)} = {_text(_short(value))}</code>" for name, value in params.items())
    return f'<p><span class="soft">parameters</span> {shown}</p>' if shown else ""


def _picture(execution: Execution) -> str:
    try:
        return f'<div class="picture">{execution.graph.to_svg(execution.statuses)}</div>'
    except AIFlowError as error:
        return f'<p class="soft">no picture: {_text(error)}</p>'
    except Exception as error:
        what = _text(f"the body of the workflow raised {type(error).__name__}: {error}")
        return f'<p class="soft">no picture: {what}</p>'


def _job_table(jobs: Sequence[JobExecution]) -> str:
    shown, more = _first(jobs, _MOST_ROWS)
    if not shown:
        return '<p class="soft">no jobs</p>'
    rows = [
        [
            _cell(_job_name(one)), f"<td>{_pill(one.status)}</td>", _cell(_took(one), "number"),
            _cell(one.attempt or None, "number"), _cell(_said(one)),
        ]
        for one in shown
    ]  # fmt: skip
    return _table(("job", "status", "time", "attempt", "label or reason"), rows) + _more(more, "job execution")


def _errors(jobs: Sequence[JobExecution]) -> str:
    latest = {one.job: one for one in sorted(jobs, key=lambda one: one.number)}
    failed, more = _first([one for one in latest.values() if one.error], _MOST_ERRORS)
    parts = []
    for one in failed:
        head = f"<strong>{_text(_job_name(one))}</strong>: {_text(_short_text(one.error or ''))}"
        story = one.traceback.rstrip() or one.error or ""
        if len(story) > _LONGEST_TRACEBACK:
            story = "…" + story[-_LONGEST_TRACEBACK:]
        is_open = " open" if len(failed) == 1 else ""
        parts.append(f"<details{is_open}><summary>{head}</summary><pre>{_text(story)}</pre></details>")
    return "".join(parts) + _more(more, "error")


def _job_name(one: JobExecution) -> str:
    return one.job if one.number < 2 else f"{one.job} #{one.number}"


def _took(one: JobExecution) -> str:
    return "" if one.status is JobStatus.SKIPPED else duration(one.seconds)


def _attempt(one: JobExecution) -> str:
    return f"attempt {one.attempt}" if one.attempt > 1 else ""


def _said(one: JobExecution) -> str:
    parts = dict.fromkeys(_short_text(text) for text in (one.label, one.reason, one.error) if text)
    return " · ".join(parts)


# --- texts, cells, tables -------------------------------------------------------------------------------------------


def _view(parts: Iterable[str]) -> str:
    return f'<div class="aiflow-view"><style>{_style()}</style>{"".join(parts)}</div>'


@lru_cache(maxsize=1)
def _style() -> str:
    light, dark = [], []
    for status in (*JobStatus, "INTERRUPTED"):
        known = status if status in PAINTS else JobStatus.STOPPING
        fill, edge, dark_fill, dark_edge = PAINTS[known]
        text, _, dark_text, _ = PAINTS[f"{known}-text"]
        light.append(f".aiflow-view .{status}{{background:{fill};border-color:{edge};color:{text}}}")
        dark.append(f".aiflow-view .{status}{{background:{dark_fill};border-color:{dark_edge};color:{dark_text}}}")
    return f"{_STYLE}{''.join(light)}\n@media (prefers-color-scheme:dark){{{''.join(dark)}}}"


def _text(value: object) -> str:
    """Give a text that is text in HTML, too, whatever is in it."""
    return escape(str(value).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _short(value: Any) -> str:
    return _short_text(json.dumps(value, ensure_ascii=False, default=str))


def _short_text(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else line[: _LONGEST_VALUE - 1] + "…"


def _value(value: Any) -> str:
    return "" if value is None else f"<code>{_text(_short(value))}</code>"


def _pill(status: str) -> str:
    return f'<span class="status {_text(status)}">{_text(status)}</span>'


def _time(moment: datetime) -> str:
    return f'<time datetime="{_text(moment.isoformat())}">{moment:%Y-%m-%d %H:%M:%S.%f} UTC</time>'


def _cell(value: object, kind: str = "") -> str:
    start = f'<td class="{kind}">' if kind else "<td>"
    return f"{start}{'' if value is None else _text(value)}</td>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _first(items: Sequence[_T], most: int) -> tuple[Sequence[_T], int]:
    return items[:most], max(0, len(items) - most)


def _more(count: int, noun: str) -> str:
    return f'<p class="soft">… and {count} more {noun}{"s" if count != 1 else ""}</p>' if count else ""
