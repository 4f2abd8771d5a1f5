"""Decides: given the state of an execution and the next event, what changes, what is to be said and what is to be done.

Knows nothing of clocks, threads, stores or users' functions. `step` is total and deterministic: the same log gives the
same decisions. What it wants to say goes to `state.outbox` (and comes back as events), what may start to `state.ready`,
what is to be done after the commit to `state.commands`. The rule numbers are those of `docs/semantics.md`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, NamedTuple

from aiflow.graph import asking, ticking
from aiflow.graph.asking import progress_of
from aiflow.graph.commands import EndExecution, RetryLater, StartJob, StopJob
from aiflow.graph.condition import Heard
from aiflow.graph.event import INTERNAL, Draft, Event, EventType
from aiflow.graph.execution import ExecutionStatus
from aiflow.graph.file import FileCondition, folders_of
from aiflow.graph.job import IfRunning
from aiflow.graph.liveness import stays_open, unreachable
from aiflow.graph.mark import mark_in
from aiflow.graph.plan import WORKFLOW, Spot, Vertex
from aiflow.graph.rule import Action
from aiflow.graph.state import IMPLIED, REFUSED, REQUESTED, ExecutionState, Feed, Firing, JobState, Run, Start, is_true

__all__ = ["Report", "can_start", "dispatch", "retry", "retry_delay", "settle", "step"]

_JOB, _EXECUTION = str(EventType.JOB_STATUS_CHANGED), str(EventType.EXECUTION_STATUS_CHANGED)
_ITEM = str(EventType.STREAM_ITEM)
_ORDERED = (None, IfRunning.QUEUE, IfRunning.PARALLEL)
_ENDING = "ENDING"
"""The status of a run whose end is decided and not in the log yet; nobody outside sees it."""


class Report(NamedTuple):
    """What a runner says of the end of one attempt: `outcome` is SUCCESS, FAILED, STOPPED or SKIPPED.

    `is_refused`: it has succeeded, and what depends on it is skipped all the same.
    """

    job: str
    number: int
    attempt: int
    outcome: str
    retryable: bool = True
    truth: Any = None
    reason: str | None = None
    is_refused: bool = False


def step(state: ExecutionState, event: Event) -> None:
    """Take one event into the state. Events come in the order of their offsets; each is taken once."""
    kind = event.type
    if kind == _JOB:
        if event.execution_id == state.execution_id:
            _job_changed(state, event)
    elif kind == _EXECUTION:
        if event.execution_id == state.execution_id:
            _execution_changed(state, event)
    elif kind == _ITEM:
        if event.execution_id == state.execution_id and not state.status.is_ended:
            _emitted(state, event)
    elif kind in INTERNAL and event.execution_id != state.execution_id:
        return
    elif state.status.is_ended:
        if kind == EventType.REQUESTED and event.value["action"] == "resume" and not state.outbox:
            _resume(state, event)
        return
    elif kind == EventType.JOB_LOST:
        _lost(state, event)
    elif state.outbox and state.outbox[-1].type == _EXECUTION:
        return  # its end, or that it stops, is decided and only not in the log yet: this came too late
    elif kind == EventType.REQUESTED:
        _requested(state, event)
    elif kind == EventType.JOB_TIMED_OUT:
        _timed_out(state, event)
    elif kind == EventType.CONDITION_ANSWERED:
        _answered(state, event)
    elif state.status is ExecutionStatus.RUNNING:
        if ticking.is_own_tick(state, event):
            ticking.take(state, event)
        if not state.paused:
            _heard(state, event)
    if not state.busy and not state.outbox and event.offset >= state.begun_at:
        _settle_quiet(state, event)


def settle(state: ExecutionState, report: Report, now: float) -> Draft | None:
    """Say how an attempt that a runner reports as over has ended; None if it is not running (any more).

    A job that was asked to stop ends STOPPED however it returns (rule 15); a failure with attempts left is RETRYING
    (rule 18).
    """
    index = state.plan.by_name.get(report.job)
    run = (state.jobs[index].runs or {}).get(report.number) if index is not None else None
    if index is None or run is None or run.attempt != report.attempt or run.status not in ("RUNNING", "STOPPING"):
        return None
    vertex = state.plan.vertices[index]
    status, reason = report.outcome, report.reason
    value: dict[str, Any] = {"status": status, "number": report.number, "attempt": report.attempt}
    if run.status == "STOPPING":
        status = "STOPPED"
    elif run.timed_out:
        status, reason = "FAILED", _timeout_of(vertex)
    value["status"] = status
    if status == "FAILED" and report.retryable:
        _try_again(vertex, run, value, now)
        status = value["status"]
    if status == "SUCCESS" and report.truth is not None:
        value["truth"] = report.truth
    if status == "SUCCESS" and report.is_refused:
        value["refused"] = True
    if reason:
        value["reason"] = reason
    return _say(state, vertex, value, now)


def _try_again(vertex: Vertex, run: Run, value: dict[str, Any], now: float) -> None:
    """Make a failure a retry, if an attempt is left (rule 18); attempts that were lost do not count (rule 33)."""
    if run.attempt - run.losses <= vertex.retries:
        value["status"], value["due"] = "RETRYING", now + retry_delay(vertex, run)


def retry_delay(vertex: Vertex, run: Run) -> float:
    """Say how long a run waits between its latest attempt and the next."""
    return vertex.delay * vertex.backoff ** (run.attempt - run.losses - 1)


def _timeout_of(vertex: Vertex) -> str:
    return "timed out" if vertex.timeout is None else f"timed out after {vertex.timeout:g} s"


def dispatch(state: ExecutionState, index: int, now: float) -> Draft | None:
    """Say that a job starts running, if there is a start or a retry that may; the caller gave it a slot."""
    vertex, job = state.plan.vertices[index], state.jobs[index]
    if not can_start(state, index):
        return None
    for run in (job.runs or {}).values():
        if run.status == "QUEUED":
            return _say(state, vertex, {"status": "RUNNING", "number": run.number, "attempt": run.attempt + 1}, now)
    assert job.starts
    start = job.starts[0]
    value: dict[str, Any] = {"status": "RUNNING", "number": job.number + 1, "attempt": 1}
    if start.rule != IMPLIED:
        value["rule"], value["events"] = start.rule, list(start.events)
        if start.shadowed:
            value["shadowed"] = list(start.shadowed)
    return _say(state, vertex, value, now)


def retry(state: ExecutionState, index: int, number: int, attempt: int, now: float) -> Draft | None:
    """Say that a job whose retry is due goes back to the queue; None if it is not waiting for that (any more)."""
    run = (state.jobs[index].runs or {}).get(number)
    if run is None or run.status != "RETRYING" or run.attempt != attempt:
        return None
    return _say(state, state.plan.vertices[index], {"status": "QUEUED", "number": number, "attempt": attempt}, now)


def can_start(state: ExecutionState, index: int) -> bool:
    """Tell whether a vertex has a start or a retry that nothing but room holds back."""
    job = state.jobs[index]
    runs = job.runs
    if runs:
        if any(run.status == "QUEUED" for run in runs.values()):
            return True
        if len(runs) >= state.plan.vertices[index].parallel or job.restart is not None:
            return False
    return bool(job.starts) and not job.starved and state.status is ExecutionStatus.RUNNING


def _say(state: ExecutionState, vertex: Vertex, value: dict[str, Any], now: float) -> Draft:
    return Draft(vertex.key, value, _JOB, state.namespace, vertex.name, state.execution_id, state.execution_id, now)


def _emit(state: ExecutionState, vertex: Vertex, value: dict[str, Any], event: Event) -> None:
    state.outbox.append(_say(state, vertex, value, event.timestamp))


# --- a job's status changed -----------------------------------------------------------------------------------------


def _job_changed(state: ExecutionState, event: Event) -> None:
    value = event.value
    index = state.plan.by_name[event.key[4:]]
    vertex, job, status = state.plan.vertices[index], state.jobs[index], value["status"]
    number = value["number"]
    if status == "RUNNING":
        _now_running(state, vertex, job, number, value["attempt"])
        if vertex.pours and value["attempt"] == 1:
            _stream_began(state, vertex, number, event)
        if job.starts and job.starts[0].skip is not None:
            _skip_those_in_front(state, vertex, job, event)
    elif status == "SUCCESS" or status == "FAILED" or status == "STOPPED" or status == "SKIPPED":
        _now_ended(state, vertex, job, event, status, number)
    elif job.runs and number in job.runs:
        run = job.runs[number]
        run.status = status
        if status == "RETRYING":
            run.due = value["due"]
            state.commands.append(RetryLater(index, number, run.attempt, run.due))
            run.timed_out = False
        elif status == "QUEUED":
            state.ready.append(index)
        elif status == "STOPPING":
            state.commands.append(StopJob(index, number, run.attempt))
    plan = state.plan
    if (index in plan.by_status or plan.hears_internal) and state.status is ExecutionStatus.RUNNING:
        spots = [spot for leaf, spot in plan.by_status.get(index, ()) if status in leaf.statuses]
        if plan.hears_internal:
            spots += _spots(state, event)
        if spots:
            _fire(state, spots, event)


def _now_running(state: ExecutionState, vertex: Vertex, job: JobState, number: int, attempt: int) -> None:
    runs = job.runs
    if runs is None:
        runs = job.runs = {}
    run = runs.get(number)
    if run is None:
        start = Start(())
        if job.starts:
            start = job.starts.popleft()
            if not job.starts:
                job.starts = None  # an empty deque is 600 bytes
        if vertex.feeds and not start.inputs:
            ups = ((up, _latest(state, vertex, up)) for up, needed in vertex.feeds if needed)
            start = start._replace(inputs=tuple(ups))
        run = runs[number] = Run(number, start)
        job.used, job.began = start, number
        if number > job.number:
            job.number = number
        if job.starts and len(runs) < vertex.parallel:
            state.ready.append(vertex.index)
    run.status, run.attempt = "RUNNING", attempt
    state.commands.append(StartJob(vertex.index, number, attempt))


def _now_ended(state: ExecutionState, vertex: Vertex, job: JobState, event: Event, status: str, number: int) -> None:
    run = job.runs.pop(number, None) if job.runs else None
    state.busy -= run is not None
    if number > job.number:
        job.number = number
    before = job.last
    state.unended -= before is None
    state.unsettled = True
    job.last = _outcome(event)
    if job.last == "SUCCESS":
        job.success = job.success if vertex.emits else number
        job.truth = event.value.get("truth")
    if state.status is not ExecutionStatus.RUNNING:
        return
    for index in vertex.down:
        down = state.plan.vertices[index]
        if vertex.stream and (vertex.index in down.items or vertex.index in down.takes):
            _stream_ended(state, down, vertex, run is None or not run.items, event)
        else:
            _upstream_ended(state, down, vertex, before, event)
    if job.restart is not None and not job.runs:
        start, job.restart = job.restart, None
        state.busy -= 1
        _start_again(state, vertex, job, start, event)
    elif job.starts:
        state.ready.append(vertex.index)


# --- upstreams ------------------------------------------------------------------------------------------------------


def _is_good(up: Vertex, status: str | None, value_needed: bool) -> bool:
    """Tell whether an end of an upstream lets its dependant run (rules 19 and 20)."""
    return status == "SUCCESS" or (status == "FAILED" and up.allow_failure and not value_needed)


def _upstream_ended(state: ExecutionState, vertex: Vertex, up: Vertex, before: str | None, event: Event) -> None:
    """Give a dependant one run or one skip for one end of an upstream (rules 12, 13, 19)."""
    job, status = state.jobs[vertex.index], _outcome(event)
    needed = up.index not in vertex.after_only
    good = _is_good(up, status, needed)
    if up.recurring:
        if not vertex.has_start:
            reason = None if good else _because(up, status, event)
            _feed(state, vertex, up, Feed(event.value["number"], event.offset, reason, event.value.get("truth")), event)
            _drop_unpaired(state, vertex, job)
        _feed_starts(state, vertex, job, event)
        return
    was_good = _is_good(up, before, needed)
    was_bad = before is not None and not was_good
    job.need += was_good - good
    job.bad += (not good) - was_bad
    if not good:
        state.witness = state.keeper = -1
        if job.bad == 1 and not was_bad:
            _upstream_failed(state, vertex, job, _because(up, status, event), event)
    elif job.need == 0:
        if vertex.feeds:
            _pair(state, vertex, job, event)
        elif not vertex.has_start and not job.starved:
            _start_or_skip(state, vertex, job, Start((event.offset,)), None, event)
        _feed_starts(state, vertex, job, event)


def _feed(state: ExecutionState, vertex: Vertex, up: Vertex, feed: Feed, event: Event) -> None:
    """Keep one end or item of a recurring upstream until it is used, in their order."""
    job = state.jobs[vertex.index]
    if job.feeds is None:
        job.feeds = {}
    line = job.feeds.setdefault(up.index, deque())
    if vertex.latest:
        line.clear()
    at = len(line)
    while at and line[at - 1].number > feed.number:  # it ran beside one that ended earlier
        at -= 1
    line.insert(at, feed)
    _pair(state, vertex, job, event)


def _upstream_failed(state: ExecutionState, vertex: Vertex, job: JobState, reason: str, event: Event) -> None:
    """Skip a dependant whose one-shot upstream did not succeed; `resume` goes on with the start that waited."""
    waited = job.starts[0] if job.starts and not job.runs else None
    _drop_starts(state, job)
    if not vertex.has_start or job.last is None:
        _skip(state, vertex, job, reason, event, inherited=True)
        job.used = waited if not job.runs else job.used
    _pair(state, vertex, job, event)


def _has_inputs(state: ExecutionState, vertex: Vertex) -> bool:
    return all(_latest(state, vertex, up) or state.plan.vertices[up].given for up, needed in vertex.feeds if needed)


def _latest(state: ExecutionState, vertex: Vertex, up: int) -> int:
    """Give the number of the latest value of a recurring upstream; of the latest run of a stream that is taken as such."""
    job = state.jobs[up]
    return job.began if up in vertex.takes else job.success


def _outcome(event: Event) -> str:
    """Say how a job ended for those that depend on it: a success that was refused is none (rule 38)."""
    status: str = event.value["status"]
    return REFUSED if status == "SUCCESS" and event.value.get("refused") else status


def _because(up: Vertex, status: str, event: Event) -> str:
    """Say why a dependant of `up` is skipped: what began it, however far up the graph."""
    reason = event.value.get("reason")
    if reason and (event.value.get("inherited") or status == REFUSED):
        return str(reason)
    verb = {"FAILED": "failed", "STOPPED": "was stopped", "SKIPPED": "was skipped", REFUSED: "was refused"}[status]
    return f"{up.name} {verb}" + (f" ({reason})" if reason and status == "SKIPPED" else "")


def _pair(state: ExecutionState, vertex: Vertex, job: JobState, event: Event) -> None:
    """Start once for each complete set of unused ends of the recurring upstreams, first with first (rule 13)."""
    feeds = job.feeds
    if feeds is None or (job.need > 0 and not job.bad):
        return
    while all(_has_next(state, vertex, up, feeds) for up, _ in vertex.feeds):
        taken = [(up, feeds[up].popleft()) for up, _ in vertex.feeds]
        bad = [feed.reason for _, feed in taken if feed.reason is not None]
        offsets = tuple(sorted(feed.offset for _, feed in taken))
        start = Start(offsets, IMPLIED, tuple((up, feed.number) for up, feed in taken))
        if bad:
            _refuse(state, vertex, job, start, bad[0], event, inherited=True)
        else:
            _start_or_skip(state, vertex, job, start, {up: feed.truth for up, feed in taken}, event)


def _has_next(state: ExecutionState, vertex: Vertex, up: int, feeds: dict[int, deque[Feed]]) -> bool:
    """Tell whether the next end of a recurring upstream is there: one with a smaller number may still run."""
    feed, runs = feeds.get(up), state.jobs[up].runs
    if not feed:
        return False
    return not runs or up in vertex.items or up in vertex.takes or min(runs) > feed[0].number


def _start_or_skip(
    state: ExecutionState, vertex: Vertex, job: JobState, start: Start, truths: dict[int, Any] | None, event: Event
) -> None:
    """Start, unless an upstream or a `run_if` says no."""
    reason = _refusal(state, vertex, job, start, truths) if vertex.conditions or job.bad else None
    if reason is None:
        _offer(state, vertex, job, start, event)
    else:
        _refuse(state, vertex, job, start, reason, event)


def _refusal(
    state: ExecutionState, vertex: Vertex, job: JobState, start: Start, truths: dict[int, Any] | None = None
) -> str | None:
    """Say why a job must not start; None if it may, or if a start has to wait for those who decide.

    What somebody asks for does not ask `run_if`.
    """
    if start.skip is not None:
        return start.skip
    if job.bad:
        return "an upstream did not succeed"
    if start.rule == REQUESTED or job.need > 0 or not _has_inputs(state, vertex):
        return None
    for up, output in vertex.conditions:
        if not is_true(state, up, output, truths):
            name = state.plan.vertices[up].name
            return f"run_if: {name if output is None else f'{name}[{output!r}]'} was not true"
    return None


def _refuse(
    state: ExecutionState,
    vertex: Vertex,
    job: JobState,
    start: Start,
    reason: str,
    event: Event,
    inherited: bool = False,
) -> None:
    """Skip one start; after those that came before it, if who depends on this job counts on their order (rule 13).

    What rules ask for in vain is not told again and again; that also ends cycles of rules on skips.
    """
    is_skip = event.type == _JOB and event.value["status"] == "SKIPPED"
    if start.rule >= 0 and ((job.bad and job.last is not None) or (is_skip and job.last == "SKIPPED")):
        return
    if job.starts and vertex.feeds and not vertex.has_start and vertex.policy in _ORDERED:
        _enqueue(state, vertex, job, start._replace(skip=reason))
    else:
        _skip(state, vertex, job, reason, event, inherited)


def _skip_those_in_front(state: ExecutionState, vertex: Vertex, job: JobState, event: Event) -> None:
    """Skip the starts whose turn has come and that are not to run: all before them have a number now."""
    while job.starts and job.starts[0].skip is not None:
        state.busy -= 1
        _skip(state, vertex, job, job.starts.popleft().skip or "", event, inherited=True)


def _skip(
    state: ExecutionState, vertex: Vertex, job: JobState, reason: str, event: Event, inherited: bool = False
) -> None:
    """Say that a job is skipped; `inherited`: the reason is that of an upstream, and will do for dependants too."""
    job.number += 1
    if not job.runs:
        job.used = None
    value: dict[str, Any] = {"status": "SKIPPED", "number": job.number, "attempt": 1, "reason": reason}
    if inherited:
        value["inherited"] = True
    _emit(state, vertex, value, event)


# --- streams --------------------------------------------------------------------------------------------------------


def _stream_began(state: ExecutionState, up: Vertex, number: int, event: Event) -> None:
    """Start who takes the items of this run of a stream as an iterator."""
    for index in up.down:
        vertex, job = state.plan.vertices[index], state.jobs[index]
        if up.index in vertex.takes:
            if not vertex.has_start:
                _feed(state, vertex, up, Feed(number, event.offset), event)
            _feed_starts(state, vertex, job, event)


def _emitted(state: ExecutionState, event: Event) -> None:
    """Start the batch jobs that depend on a stream once for this item (rule 27)."""
    up = state.plan.vertices[state.plan.by_name[event.key[4:]]]
    value, source = event.value, state.jobs[up.index]
    source.items = source.success = value["item"]
    run = (source.runs or {}).get(value["number"])
    if run is not None:
        run.items += 1
        run.setbacks = 0
    if state.status is not ExecutionStatus.RUNNING or (state.outbox and state.outbox[-1].type == _EXECUTION):
        return
    source.truth = value.get("truth")
    for index in up.down:
        vertex, job = state.plan.vertices[index], state.jobs[index]
        if up.index not in vertex.items:
            continue
        if vertex.has_start:
            pass
        elif len(vertex.feeds) == 1 and job.need <= 0 and not (job.feeds and job.feeds.get(up.index)):
            start = Start((event.offset,), IMPLIED, ((up.index, value["item"]),))  # there is nothing to pair it with
            _start_or_skip(state, vertex, job, start, {up.index: source.truth}, event)
        elif not _is_short(state, vertex, up.index):
            _feed(state, vertex, up, Feed(value["item"], event.offset, None, source.truth), event)
        _feed_starts(state, vertex, job, event)
    if state.plan.hears_internal:
        _heard(state, event)


def _stream_ended(state: ExecutionState, vertex: Vertex, up: Vertex, is_empty: bool, event: Event) -> None:
    """Skip who has got nothing of a stream that is over; else its end starts nothing (rule 30)."""
    job, status = state.jobs[vertex.index], event.value["status"]
    reason = f"{up.name} yielded nothing" if status == "SUCCESS" else _because(up, status, event)
    if vertex.has_start:
        return
    if up.index in vertex.takes:
        if status == "SKIPPED":
            _feed(state, vertex, up, Feed(event.value["number"], event.offset, reason), event)
        return
    if is_empty and job.last in (None, "SKIPPED") and not job.runs and not job.starts and not job.bad:
        _skip(state, vertex, job, reason, event, inherited=True)
    _drop_unpaired(state, vertex, job)


def _drop_unpaired(state: ExecutionState, vertex: Vertex, job: JobState) -> None:
    """Let go of items that nothing will ever be paired with, so that nobody waits until they are used."""
    if job.feeds and any(_is_short(state, vertex, index) for index in vertex.items):
        job.feeds = {index: feed for index, feed in job.feeds.items() if index not in vertex.items}


def _is_short(state: ExecutionState, vertex: Vertex, but: int) -> bool:
    """Tell whether another upstream than `but` that each start needs something of is over, with nothing left of it."""
    feeds = state.jobs[vertex.index].feeds or {}
    return any(up != but and not feeds.get(up) and _is_over(state, up) for up, _ in vertex.feeds)


def _is_over(state: ExecutionState, up: int) -> bool:
    """Tell whether a recurring upstream has ended for good: nothing can start it again."""
    vertex, job = state.plan.vertices[up], state.jobs[up]
    if job.last is None or job.runs or job.starts or job.restart is not None or vertex.rules:
        return False
    return all(_is_over(state, other) for other, _ in vertex.feeds)


# --- starting, stopping, restarting ---------------------------------------------------------------------------------


def _offer(state: ExecutionState, vertex: Vertex, job: JobState, start: Start, event: Event) -> None:
    """Take one start; what happens if the job is busy is its `if_running` (rule 14)."""
    if not job.runs and not job.starts and job.restart is None:
        _enqueue(state, vertex, job, start)
        return
    if vertex.latest and start.rule == IMPLIED and job.starts and job.starts[-1].rule == IMPLIED:
        job.starts[-1] = start
        return
    policy = vertex.policy or (IfRunning.MERGE if start.merges else IfRunning.QUEUE)
    if policy is IfRunning.IGNORE:
        return
    if policy is IfRunning.RESTART:
        _restart(state, vertex, job, start, event)
    elif policy is IfRunning.MERGE and job.starts and (at := _joined(vertex, job.starts)) is not None:
        events = tuple(sorted({*job.starts[at].events, *start.events}))
        job.starts[at] = start._replace(events=events)
    else:
        _enqueue(state, vertex, job, start)


def _joined(vertex: Vertex, starts: deque[Start]) -> int | None:
    """Say which of the starts that wait a merged one joins: none that wants its own events, as `queue` promises."""
    every = vertex.policy is IfRunning.MERGE
    return next((at for at in reversed(range(len(starts))) if every or starts[at].merges), None)


def _enqueue(state: ExecutionState, vertex: Vertex, job: JobState, start: Start) -> None:
    if job.starts is None:
        job.starts = deque((start,))
    else:
        job.starts.append(start)
    if job.starved or job.need > 0 or (vertex.feeds and not start.inputs and not _has_inputs(state, vertex)):
        job.starved = True
    else:
        state.busy += 1
        if not job.runs or len(job.runs) < vertex.parallel:  # else the end of a run makes it ready
            state.ready.append(vertex.index)


def _feed_starts(state: ExecutionState, vertex: Vertex, job: JobState, event: Event) -> None:
    """Let the starts go on that waited for values, if all of these exist now."""
    if not job.starved or job.need > 0 or not _has_inputs(state, vertex):
        return
    waiting, job.starts, job.starved = job.starts or (), None, False
    for start in waiting:
        reason = _refusal(state, vertex, job, start)
        if reason is None:
            _enqueue(state, vertex, job, start)
        else:
            _refuse(state, vertex, job, start, reason, event)


def _start_again(state: ExecutionState, vertex: Vertex, job: JobState, start: Start, event: Event) -> None:
    """Start what was to be restarted, before the starts that came later."""
    reason = _refusal(state, vertex, job, start)
    if reason is not None:
        _refuse(state, vertex, job, start, reason, event)
        return
    _enqueue(state, vertex, job, start)
    assert job.starts
    job.starts.rotate(1)


def _drop_starts(state: ExecutionState, job: JobState) -> None:
    if job.starts:
        if not job.starved:
            state.busy -= len(job.starts)
        job.starts, job.starved = None, False
        state.unsettled = True


def _stop(state: ExecutionState, vertex: Vertex, job: JobState, event: Event, reason: str | None = None) -> None:
    """Drop what waits and stop what runs (rule 15)."""
    if job.restart is not None:
        job.restart = None
        state.busy -= 1
    if job.starts and not job.runs and state.status is ExecutionStatus.STOPPING:
        job.used = job.starts[0]  # `resume` goes on with it
    if job.starts and vertex.items and state.status is ExecutionStatus.STOPPING:
        job.left = tuple(job.starts if job.runs else list(job.starts)[1:])  # an item that waits is not lost
    _drop_starts(state, job)
    for run in list((job.runs or {}).values()):
        if run.status == "STOPPING" or run.status == _ENDING:
            continue
        status = "STOPPING" if run.status == "RUNNING" else "STOPPED"
        value = {"status": status, "number": run.number, "attempt": run.attempt}
        if reason:
            value["reason"] = reason
        run.status = "STOPPING" if status == "STOPPING" else _ENDING  # it cannot succeed any more, nor be told twice
        _emit(state, vertex, value, event)


def _restart(state: ExecutionState, vertex: Vertex, job: JobState, start: Start, event: Event) -> None:
    """Stop what runs and start once with the newest events; several restarts become one (rule 16)."""
    if not job.runs:
        _drop_starts(state, job)
        _start_again(state, vertex, job, start, event)
        return
    _stop(state, vertex, job, event)
    job.restart = start
    state.busy += 1


# --- events from outside, and rules ---------------------------------------------------------------------------------


def _heard(state: ExecutionState, event: Event) -> None:
    spots = _spots(state, event)
    if spots and not asking.gate(state, spots, event):
        _fire(state, spots, event)


def _answered(state: ExecutionState, event: Event) -> None:
    """Go on with the events that waited for this answer (rule 9)."""
    for through in asking.answered(state, event):
        if state.status is not ExecutionStatus.RUNNING or (state.outbox and state.outbox[-1].type == _EXECUTION):
            return
        then = replace(event, offset=through.offset, timestamp=through.time)
        spots = asking.hold(state, through.spots, then) if through.is_new else through.spots
        if spots:
            _decide(state, spots, then, event)


def _spots(state: ExecutionState, event: Event) -> list[Spot]:
    """Give the leaves that an event meets, those of statuses excepted."""
    plan = state.plan
    exact = plan.by_key.get(event.key, ())
    found = [s for leaf, s in (*exact, *plan.patterns) if _fits(state, leaf, event)] if exact or plan.patterns else []
    if ticking.is_own_tick(state, event):
        found += plan.by_timer.get(event.key, ())
    if plan.by_mark and event.type == EventType.JOB_PASSED:
        found += plan.by_mark.get((plan.by_name[event.key[4:]], mark_in(event.value)), ())
    if plan.by_folder:
        for folder in folders_of(event):
            found += [s for leaf, s in plan.by_folder.get(folder, ()) if _fits(state, leaf, event)]
    return found


def _fits(state: ExecutionState, leaf: Heard | FileCondition, event: Event) -> bool:
    return leaf.fits(event, state.namespace, state.execution_id)


def _fire(state: ExecutionState, spots: list[Spot], event: Event) -> None:
    """Let an event meet the leaves at `spots`; those that ask a function of the user wait for its answer."""
    if state.plan.asked:
        spots = asking.hold(state, spots, event)
    if spots:
        _decide(state, spots, event, event)


def _decide(state: ExecutionState, spots: list[Spot], met_by: Event, event: Event) -> None:
    """Latch the leaves at `spots`; of each job, the first declared rule that is met acts (rules 5 to 8).

    `met_by` is what meets them; `event` is what is stepped now, the same or the answer that was waited for.
    """
    by_rule: dict[tuple[int, int], list[int]] = {}
    for place, rule, leaf in spots:
        by_rule.setdefault((place, rule), []).append(leaf)
    met: dict[int, list[tuple[int, list[int]]]] = {}
    for (index, rule), leaves in sorted(by_rule.items()):
        offsets = progress_of(state, index, rule).take(leaves, met_by.offset, met_by.timestamp)
        state.unsettled = True
        if offsets is not None:
            met.setdefault(index, []).append((rule, offsets))
    if WORKFLOW in met and state.status is ExecutionStatus.RUNNING:
        state.stop_reason = f"stopped by {state.plan.stop_on}"
        _say_execution(state, "STOPPING", event)
        return
    for index, fired in met.items():
        vertex, job = state.plan.vertices[index], state.jobs[index]
        (rule, offsets), *others = fired
        if state.firings is not None:
            state.firings.append(Firing(index, rule, tuple(r for r, _ in others), met_by.offset))
        merges = any((index, rule, leaf) in state.plan.merging for leaf in by_rule[index, rule])
        start = Start(tuple(offsets), rule, (), tuple(r for r, _ in others), merges=merges)
        action = vertex.rules[rule].action
        if action is Action.START:
            _start_or_skip(state, vertex, job, start, None, event)
        elif action is Action.STOP:
            _stop(state, vertex, job, event, f"stop_on {vertex.rules[rule].condition}")
        else:
            _restart(state, vertex, job, start, event)


# --- requests, losses, timeouts -------------------------------------------------------------------------------------


def _requested(state: ExecutionState, event: Event) -> None:
    action = event.value["action"]
    if action in ("pause", "go_on"):
        state.paused = action == "pause"  # of a trigger: what comes meanwhile is passed over (rule 25)
        return
    if action == "stop":
        if state.status is ExecutionStatus.RUNNING:
            state.stop_reason = event.value.get("reason")
            _say_execution(state, "STOPPING", event)
        return
    index = state.plan.by_name.get(event.value.get("job", ""))
    if index is None or state.status is not ExecutionStatus.RUNNING:
        return
    vertex, job = state.plan.vertices[index], state.jobs[index]
    if vertex.given:
        return
    start = Start((event.offset,), REQUESTED)
    if action == "start_job":
        _start_or_skip(state, vertex, job, start, None, event)
    elif action == "stop_job":
        _stop(state, vertex, job, event, "somebody asked")
    elif action == "restart_job":
        _restart(state, vertex, job, start, event)


def _run_of(state: ExecutionState, event: Event) -> tuple[Vertex, Run] | None:
    index = state.plan.by_name[event.key[4:]]
    run = (state.jobs[index].runs or {}).get(event.value["number"])
    if run is None or run.attempt != event.value["attempt"]:
        return None
    return state.plan.vertices[index], run


def _lost(state: ExecutionState, event: Event) -> None:
    """The process died under a running job: it runs again, a third loss fails it (rule 33)."""
    found = _run_of(state, event)
    if found is None or found[1].status not in ("RUNNING", "STOPPING"):
        return
    vertex, run = found
    value: dict[str, Any] = {"number": run.number, "attempt": run.attempt}
    if run.status == "STOPPING":
        value |= {"status": "STOPPED", "reason": "the process died while it was being stopped"}
    elif run.timed_out:
        value |= {"status": "FAILED", "reason": f"{_timeout_of(vertex)}, and the process died"}
        _try_again(vertex, run, value, event.timestamp)
    else:
        run.losses += 1
        run.setbacks += 1
        if run.setbacks >= vertex.most_losses:
            value |= {"status": "FAILED", "reason": f"was running when the process died, {run.setbacks} times"}
        else:
            value |= {"status": "QUEUED", "reason": "was running when the process died"}
    run.status = value["status"] if value["status"] in ("QUEUED", "RETRYING") else _ENDING
    _emit(state, vertex, value, event)


def _timed_out(state: ExecutionState, event: Event) -> None:
    found = _run_of(state, event)
    if found is not None and found[1].status == "RUNNING" and not found[1].timed_out:
        vertex, run = found
        run.timed_out = True
        state.commands.append(StopJob(vertex.index, run.number, run.attempt, timed_out=True))


# --- the execution itself -------------------------------------------------------------------------------------------


def _say_execution(state: ExecutionState, status: str, event: Event, reason: str | None = None) -> None:
    value = {"status": status} | ({"reason": reason} if reason else {})
    draft = Draft(
        state.plan.key, value, _EXECUTION, state.namespace, None, state.execution_id, state.execution_id, event.timestamp
    )  # fmt: skip
    state.outbox.append(draft)


def _execution_changed(state: ExecutionState, event: Event) -> None:
    status = ExecutionStatus(event.value["status"])
    if status is ExecutionStatus.RUNNING:
        if state.status is ExecutionStatus.INIT:
            state.status, state.began = status, event.timestamp
            state.begun_at = event.offset + event.value.get("findings", 0)
            _begin(state, event)
        state.status = status
        ticking.arm(state)
    elif status is ExecutionStatus.STOPPING:
        state.status = status
        asking.drop(state)
        for vertex in state.plan.vertices:
            job = state.jobs[vertex.index]
            for run in (job.runs or {}).values():
                if run.status == "STOPPING":  # it was told, but then nobody was in a hurry (rules 16 and 22)
                    state.commands.append(StopJob(vertex.index, run.number, run.attempt))
            if job.runs or job.starts or job.restart is not None:
                _stop(state, vertex, job, event, "the execution was stopped")
    else:
        state.status = status
        state.commands.append(EndExecution(str(status)))


def _begin(state: ExecutionState, event: Event) -> None:
    """Start what needs nothing (rule 11); jobs that do not run in this part count as having succeeded before."""
    for vertex in state.plan.vertices:
        if not vertex.given and not vertex.has_start and not vertex.feeds and state.jobs[vertex.index].need <= 0:
            _start_or_skip(state, vertex, state.jobs[vertex.index], Start((event.offset,)), None, event)
    if state.plan.met_before:
        _fire(state, state.plan.met_before, event)


def _settle_quiet(state: ExecutionState, event: Event) -> None:
    """Nothing runs and nothing waits: skip what can never run, and end if that was all (rules 20 and 21)."""
    if state.status is ExecutionStatus.STOPPING:
        _say_execution(state, "STOPPED", event, state.stop_reason)
        return
    if state.status is not ExecutionStatus.RUNNING or state.plan.ends == "never":
        return
    if state.unended and state.plan.ends is None:
        waiting = state.witness >= 0 and state.jobs[state.witness].last is None
        if not waiting and state.unsettled:
            state.unsettled = False
            for index, reason in unreachable(state):
                _drop_starts(state, state.jobs[index])
                _skip(state, state.plan.vertices[index], state.jobs[index], reason, event)
        return
    if state.plan.keepers and state.plan.ends is None and stays_open(state):
        return
    vertices = state.plan.vertices
    failed = any(job.last == "FAILED" and not vertices[i].allow_failure for i, job in enumerate(state.jobs))
    _say_execution(state, "FAILED" if failed else "SUCCESS", event)


def _resume(state: ExecutionState, event: Event) -> None:
    """Open an ended execution again: run what did not succeed, keep what did (rule 34)."""
    vertices, jobs = state.plan.vertices, state.jobs
    again = {v.index for v in vertices if jobs[v.index].last in ("FAILED", "STOPPED", None)}
    todo = list(again)
    while todo:  # what was skipped because of one of these gets another chance
        for index in vertices[todo.pop()].down:
            if index not in again and jobs[index].last == "SKIPPED":
                again.add(index)
                todo.append(index)
    again |= {v.index for v in vertices if again and v.has_start and jobs[v.index].last == "SKIPPED"}
    for vertex in reversed(vertices):  # what a job has not taken of a stream is in nobody's memory any more
        again |= {up for up in vertex.takes if vertex.index in again}
        again |= {vertex.index} if jobs[vertex.index].left else set()
    rerun = [(i, jobs[i].used) for i in sorted(again) if not vertices[i].takes]  # who takes a stream starts with it
    for index in again:
        job = jobs[index]
        state.unended += job.last is not None
        job.last, job.starts, job.starved = None, None, False
        job.feeds = job.feeds if vertices[index].items else None
    state.unsettled, state.witness, state.keeper, state.stop_reason, state.busy = True, -1, -1, None, 0
    for vertex in vertices:
        ends = [
            (_is_good(vertices[up], jobs[up].last, needed), jobs[up].last is not None) for up, needed in vertex.needs
        ]
        jobs[vertex.index].need = sum(
            not (good or vertices[up].given) for (good, _), (up, _) in zip(ends, vertex.needs, strict=True)
        )
        jobs[vertex.index].bad = sum(ended and not good for good, ended in ends)
    _say_execution(state, "RUNNING", event)
    started = set()
    for index, start in rerun:
        left, jobs[index].left = jobs[index].left, ()
        for again_start in (start, *left) if start is not None else left:
            started.add(index)
            _enqueue(state, vertices[index], jobs[index], again_start)
    for index in sorted(again - started):
        vertex, job = vertices[index], jobs[index]
        if not vertex.given and not vertex.has_start and not vertex.feeds and job.need <= 0:
            _enqueue(state, vertex, job, Start((event.offset,)))
