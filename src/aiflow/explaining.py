"""Says in words why a job ran, or what it waits for: `execution.why(job)`.

Knows nothing of turns; it reads what the log and the definition say, and the state where this process has it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiflow.graph.condition import All, Any_, Condition, Sticky, Times, Within
from aiflow.graph.event import Event, EventType, job_key
from aiflow.graph.execution import JobStatus
from aiflow.graph.rule import Progress
from aiflow.graph.state import REQUESTED

if TYPE_CHECKING:
    from aiflow.execution import Execution
    from aiflow.live import Live

__all__ = ["why"]


def why(execution: Execution, job: str) -> str:
    """Say which rule and which events started the latest run of a job, or what it still waits for."""
    definition = next(n for n in execution.definition["nodes"] if n["name"] == job)
    latest = execution.job(job)
    live = execution.live
    if latest is None or (live is not None and latest.status.is_ended and live.is_to_begin(job)):
        return _not_yet(execution, job, definition)
    if latest.status is JobStatus.SKIPPED:
        return f"{job} number {latest.number} was skipped: {latest.reason}"
    started = _started(execution, job, latest.number)
    lines = [_cause(job, latest.number, definition, started, latest.event)]
    if started is not None:
        lines += [_line(e) for e in execution.events_at(started.value.get("events", []))]
        consumed = [definition["rules"][r] for r in started.value.get("shadowed", ())]
        lines += [f"  met by the same event and consumed by it: {rule}" for rule in consumed]
    if latest.status is JobStatus.STOPPED and latest.reason:
        lines.append(f"  it was stopped: {latest.reason}")
    return "\n".join(lines)


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
    lines += _answers(execution, job)
    latest = {j.job: str(j.status) for j in execution.jobs}
    ups = [*definition.get("data", ()), *definition.get("after", ()), *definition.get("run_if", ())]
    lines += [
        f"  {'✓' if latest.get(u) == 'SUCCESS' else '·'} upstream {u}: {latest.get(u, 'has not run yet')}" for u in ups
    ]
    return "\n".join(lines)


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
        extra = str(condition).removeprefix(str(condition.inner))
        return [f"{pad}{extra.lstrip('.')}", *_tree(condition.inner, progress, number, depth + 1)]
    at, number[0] = number[0], number[0] + 1
    latch = progress.latches.get(at) if progress is not None else None
    return [f"{pad}✓ {condition} (event {latch[0]})" if latch is not None else f"{pad}· {condition}"]
