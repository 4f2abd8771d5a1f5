"""Tells what happened in a simulation, one line for each event of its log, and checks what must be true of any log.

Knows nothing of how a simulation goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiflow.graph.event import Event, EventType, is_finding

__all__ = ["check_statuses", "told"]

_MAY_FOLLOW: dict[str | None, tuple[str, ...]] = {
    None: ("RUNNING", "SKIPPED"),
    "RUNNING": ("SUCCESS", "FAILED", "STOPPED", "SKIPPED", "RETRYING", "STOPPING", "QUEUED"),
    "STOPPING": ("STOPPED",),
    "RETRYING": ("QUEUED", "STOPPED"),
    "QUEUED": ("RUNNING", "STOPPED"),
}


def told(event: Event, names: Mapping[str, str]) -> str | None:
    """Tell an event in a line, without its time; None if it is only of interest to aiflow.

    Parameters
    ----------
    names
        What executions and triggers are called, by their ids.
    """
    value, name = event.value, names.get(event.execution_id or "", "")
    if is_finding(event):
        return f"{name} {event.sender} was so already: {json.dumps(value, sort_keys=True)}"
    if event.execution_id is not None and event.execution_id.startswith("t-"):
        return _told_of_trigger(event, name)
    job = f"{name} {event.key.removeprefix('job:')}"
    match event.type:
        case EventType.EXECUTION_STATUS_CHANGED:
            return f"{name} {value['status']}{_reason(value)}"
        case EventType.JOB_STATUS_CHANGED:
            return f"{job}{_run(value)} {value['status']}{_reason(value)}"
        case EventType.JOB_LOST:
            return f"{job}{_run(value)} was lost"
        case EventType.JOB_TIMED_OUT:
            return f"{job}{_run(value)} took too long"
        case EventType.JOB_PASSED:
            return f"{job}{_run(value)} has come to {value['gauge']} {value['at']}"
        case EventType.STREAM_ITEM:
            return f"{job} gave item {value['item']}"
        case EventType.CONDITION_ANSWERED:
            return f"{name if value.get('about') else job} {_answer(value)}"
        case EventType.REQUESTED:
            return f"{name} was asked: {_request(value)}"
        case EventType.TIMER_FIRED:
            return f"{name} {event.key.removeprefix('timer:')} was due"
        case EventType.FILE_CHANGED:
            return f"{event.key}{' was ' + value['change'] if isinstance(value, dict) and 'change' in value else ''}"
    return _told_of_user(event, names)


def _told_of_trigger(event: Event, name: str) -> str | None:
    if event.type == EventType.TIMER_FIRED:
        return f"{name} {event.key.removeprefix('timer:')} was due"
    if event.type == EventType.CONDITION_ANSWERED:
        return f"{name} {_answer(event.value)}"
    if event.type == EventType.JOB_STATUS_CHANGED and event.value["status"] == "FAILED":
        return f"{name} could not start it{_reason(event.value)}"
    return None


def _told_of_user(event: Event, names: Mapping[str, str]) -> str:
    kind = "" if event.type == "UNDEFINED" else f" ({event.type})"
    context = "" if event.context is None else f" for {names.get(event.context, event.context)}"
    who = names.get(event.execution_id or "", event.execution_id)
    sender = " ".join(part for part in (who, event.sender) if part)
    value = "" if event.value is None else f" = {json.dumps(event.value, sort_keys=True)}"
    return f"event {event.key}{value}{kind}{context}{' by ' + sender if sender else ''}"


def _run(value: Mapping[str, Any]) -> str:
    number = f" ({value['number']})" if value["number"] > 1 else ""
    return number + (f" attempt {value['attempt']}" if value["attempt"] > 1 else "")


def _reason(value: Mapping[str, Any]) -> str:
    return f": {value['reason']}" if value.get("reason") else ""


def _answer(value: Mapping[str, Any]) -> str:
    about = "its context function" if value.get("about") else f"a condition (rule {value['rule'] + 1})"
    return f"asked {about} about event {value['offset']}: {value.get('error') or value['answer']}"


def _request(value: Mapping[str, Any]) -> str:
    if value["action"] == "taken_over":
        return "to go on in another process"
    return " ".join(str(part) for part in (value["action"], value.get("job"), value.get("reason")) if part)


def check_statuses(events: Iterable[Event], names: Mapping[str, str]) -> None:
    """Check that each run of a job took one way through the states, and ended once.

    Raises
    ------
    AssertionError
        With the first change that there must not be.
    """
    latest: dict[tuple[str | None, str, int], str] = {}
    for event in events:
        if event.type == EventType.JOB_STATUS_CHANGED:
            run = event.execution_id, event.key, event.value["number"]
            before, after = latest.get(run), event.value["status"]
            if after not in _MAY_FOLLOW.get(before, ()):
                name = names.get(event.execution_id or "", event.execution_id)
                raise AssertionError(f"{name}: {event.key} number {run[2]} went from {before} to {after}")
            latest[run] = after
