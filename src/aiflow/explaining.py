"""Says in words why a job ran, or what it waits for: `execution.why(job)`.

Knows nothing of turns; it reads what the log and the definition say, and the state where this process has it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from aiflow.errors import AIFlowError
from aiflow.events.scanning import folder_problem
from aiflow.graph.condition import All, Any_, Condition, Sticky, Times, Within
from aiflow.graph.event import Event, EventType, job_key
from aiflow.graph.execution import JobStatus
from aiflow.graph.file import files_in
from aiflow.graph.role import needed
from aiflow.graph.rule import Progress
from aiflow.graph.state import REQUESTED, ExecutionState, Firing
from aiflow.replaying import replay
from aiflow.store import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiflow.execution import Execution
    from aiflow.graph.plan import Plan
    from aiflow.live import Live

__all__ = ["why"]


def why(execution: Execution, job: str) -> str:
    """Say which rule and which events started the latest run of a job, or what it still waits for."""
    definition = next(n for n in execution.definition["nodes"] if n["name"] == job)
    latest = execution.job(job)
    live = execution.live
    has_begun = latest is not None and latest.started is not None
    if (
        latest is None
        or not (has_begun or latest.status.is_ended)
        or (live is not None and latest.status.is_ended and live.is_to_begin(job))
    ):
        return "\n".join([_not_yet(execution, job, definition), *_consumed(execution, job)])
    if latest.status is JobStatus.SKIPPED:
        told = f"{job} number {latest.number} was skipped: {latest.reason}"
        return "\n".join([told, *_answers(execution, job), *_consumed(execution, job)])
    started = _started(execution, job, latest.number)
    if started is None and _is_pruned(execution):
        until = execution._project._store.pruned_until
        return f"{job} number {latest.number} ran; why is not known any more: the log was pruned up to offset {until}"
    lines = [_cause(job, latest.number, definition, started, latest.event)]
    if started is not None:
        lines += [_line(e) for e in execution.events_at(started.value.get("events", []))]
        consumed = [definition["rules"][r] for r in started.value.get("shadowed", ())]
        lines += [f"  met by the same event and consumed by it: {rule}" for rule in consumed]
    if latest.status is JobStatus.STOPPED and latest.reason:
        lines.append(f"  it was stopped: {latest.reason}")
    if latest.status is JobStatus.FAILED:
        lines.append(f"  it has failed: {latest.error or latest.reason}")
    shown = started.value.get("events", ()) if started is not None else ()
    return "\n".join([*lines, *_consumed(execution, job, shown)])


def _consumed(execution: Execution, job: str, shown: Sequence[int] = (), most: int = 3) -> list[str]:
    """Tell which events met several rules of a job, so that one acted and the others were consumed; the newest last.

    The log is stepped once more for that. It takes the workflow's definition, which another process may not have.
    """
    plan, firings = _firings(execution)
    if plan is None or job not in plan.by_name:
        return []
    index = plan.by_name[job]
    found = [f for f in firings if f.vertex == index and f.consumed and f.offset not in shown][-most:]
    rules, keys = plan.vertices[index].rules, {e.offset: e.key for e in execution.events_at(f.offset for f in found)}
    return [
        f"  event {f.offset} ({keys.get(f.offset, 'pruned')}) met {rules[f.rule]}, which acted, and so consumed "
        + " and ".join(str(rules[r]) for r in f.consumed)
        for f in found
    ]


def _firings(execution: Execution) -> tuple[Plan | None, list[Firing]]:
    try:
        live = execution.live or execution._project._launcher.rebuilt(execution)
    except AIFlowError:  # it is not defined here, or otherwise than it was
        return None, []
    if _is_pruned(execution) or not any(len(vertex.rules) > 1 for vertex in live.plan.vertices):
        return live.plan, []
    state = ExecutionState(live.plan, execution.id, execution.namespace, execution.context)
    state.firings = []
    reader, first = execution._project._store.reader(), execution.first_offset
    replay(state, log.of_execution(reader, execution.id, first, live.plan.keys_heard))
    return live.plan, state.firings


def _is_pruned(execution: Execution) -> bool:
    """Whether the log does not tell all of it any more."""
    return bool(execution.first_offset < execution._project._store.pruned_until)


def _started(execution: Execution, job: str, number: int) -> Event | None:
    found = [
        e
        for e in execution.events()
        if e.key == job_key(job) and e.value.get("status") == "RUNNING" and e.value["number"] == number
    ]
    return found[0] if found else None


def _cause(job: str, number: int, definition: dict[str, Any], started: Event | None, event: Event | None) -> str:
    rule = started.value.get("rule") if started is not None else None
    if rule == REQUESTED:
        return f"{job} number {number} was started because somebody asked:"
    if rule is not None:
        return f"{job} number {number} was started by its rule “{definition['rules'][rule]}”, met by:"
    ups = [*definition.get("data", ()), *definition.get("after", ()), *definition.get("run_if", ())]
    last = "" if event is None else f", the last by event {event.offset} ({event.key})"
    if not ups:
        return f"{job} number {number} was started with the execution: it waits for nothing"
    return f"{job} number {number} was started when its upstreams were there: {', '.join(ups)}{last}"


def _line(event: Event) -> str:
    value = json.dumps(event.value)
    return f"  event {event.offset}: {event.key} = {value if len(value) < 80 else value[:77] + '…'}" + (
        f" from {event.sender}" if event.sender else ""
    )


def _not_yet(execution: Execution, job: str, definition: dict[str, Any]) -> str:
    live = execution.live
    waits = "" if execution.status.is_ended else ", and waits"
    lines = [f"{job} has not run yet{waits}:"]
    if live is None:
        lines += [f"  {rule}" for rule in definition.get("rules", ())]
    else:
        lines += _progress(live, job)
    lines += _files(execution, definition)
    lines += _answers(execution, job)
    lines += [f"  {one.label}" for one in execution.jobs if one.job == job and one.status == "QUEUED" and one.label]
    latest = {j.job: str(j.status) for j in execution.jobs}
    ups = [*definition.get("data", ()), *definition.get("after", ()), *definition.get("run_if", ())]
    lines += [
        f"  {'✓' if latest.get(u) == 'SUCCESS' else '·'} upstream {u}: {latest.get(u, 'has not run yet')}" for u in ups
    ]
    return "\n".join([*lines, *_lacked(execution, definition, ups, latest)])


def _files(execution: Execution, definition: dict[str, Any]) -> list[str]:
    """Tell where files are looked for, and whether there is such a folder; it goes by what the rules say."""
    live = execution.live
    folder = live.plan.folder if live is not None else os.path.dirname(execution.source or "")
    found = [file for rule in definition.get("rules", ()) for file in files_in(rule)]
    seen = {file: file.inside(folder) for file in found if folder or os.path.isabs(file.pattern)}
    return [
        f"  {file} is {where.pattern}" + (f", and {problem}" if problem else "")
        for file, where in seen.items()
        if (problem := folder_problem(where.apart)) or where.pattern != file.pattern
    ]


def _lacked(execution: Execution, definition: dict[str, Any], ups: Sequence[str], latest: dict[str, str]) -> list[str]:
    """Tell of which model there was no version when an execution ended, if nothing else kept a job with a role from running."""
    need = needed(definition["role"]) if "role" in definition else None
    is_due = "rules" not in definition and all(latest.get(up) == "SUCCESS" for up in ups)
    if need is None or not is_due or not execution.status.is_ended:
        return []
    store, (model, stages) = execution._project._store, need
    end = store.row("SELECT max(offset) FROM events WHERE execution_id = ?", (execution.id,))
    is_data = store.row("SELECT 1 FROM datasets WHERE name = ? AND deleted IS NULL", (model,)) and not store.row(
        "SELECT 1 FROM models WHERE name = ? AND deleted IS NULL", (model,)
    )  # monitor is for both
    if end is None or end[0] is None or is_data or store.row(_FITTING_THEN, (model, end[0], json.dumps(stages))):
        return []
    return [f"  it waited for a version of {model} ({' or '.join(stages)}), and there was none"]


_FITTING_THEN = """SELECT 1 FROM model_stages s WHERE model = ?1 AND offset <= ?2 AND stage IN (SELECT value FROM json_each(?3))
    AND NOT EXISTS (SELECT 1 FROM model_stages n WHERE n.model = ?1 AND n.number = s.number AND n.id > s.id AND n.offset <= ?2)"""
"""Whether any version was in one of these stages by some event of the log."""


def _progress(live: Live, job: str) -> list[str]:
    index = live.plan.by_name[job]
    progress = live.state.jobs[index].progress or {}
    lines = []
    for number, rule in enumerate(live.plan.vertices[index].rules):
        lines.append(f"  {rule.action}:")
        lines += _tree(rule.condition, progress.get(number), [0], 2)
        for held in live.state.held.get(index, ()):
            if any(rule == number for rule, _ in held.open):
                lines.append(f"    ? a function is asked about event {held.offset} and has not answered yet")
    return lines


def _answers(execution: Execution, job: str, most: int = 3) -> list[str]:
    """Tell where functions of the user raised, the newest last."""
    failed = [
        e
        for e in execution.events()
        if e.type == EventType.CONDITION_ANSWERED
        and e.value.get("error")
        and (e.key == job_key(job) or e.value.get("about") == "context")
    ]
    return [f"  ! at event {e.value['offset']}, a function raised {e.value['error']}" for e in failed[-most:]]


def _tree(condition: Condition, progress: Progress | None, number: list[int], depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(condition, All | Any_):
        word = "all of" if isinstance(condition, All) else "one of"
        parts = [line for p in condition.parts for line in _tree(p, progress, number, depth + 1)]
        return [f"{pad}{word}", *parts]
    if isinstance(condition, Sticky | Times | Within):
        extra = str(condition).removeprefix(condition.inner.enclosed)
        return [f"{pad}{extra.lstrip('.')}", *_tree(condition.inner, progress, number, depth + 1)]
    at, number[0] = number[0], number[0] + 1
    latch = progress.latches.get(at) if progress is not None else None
    return [f"{pad}✓ {condition} (event {latch[0]})" if latch is not None else f"{pad}· {condition}"]
