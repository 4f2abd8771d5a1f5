"""Traces for OpenTelemetry: a span for each execution, and below it one for each attempt of a job. The door to that package.

Knows nothing of the engine: it is an observer, as plugins are, and is imported only where OpenTelemetry has been set up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, NamedTuple

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags, TracerProvider

from aiflow._version import __version__
from aiflow.graph.event import Event, EventType
from aiflow.graph.execution import RunKey
from aiflow.hooks import hookimpl

__all__ = ["Spans", "enter_span", "is_set_up", "spans"]

_ENDED = ("SUCCESS", "FAILED", "STOPPED")
_LONGEST = 20_000
"""Characters of a traceback that a span is given."""


class _Failed(NamedTuple):
    """A job whose span ends as soon as its error is known: that comes with the next call."""

    span: Span
    time: int
    number: int


class _Ids(threading.local):
    """Gives spans the ids that were asked for on this thread, and else those that the provider gives.

    A span is made after the commit, while the job may run already; so that both know it, its ids follow from what it is of.
    """

    def __init__(self, usual: Any) -> None:
        self._usual = usual
        self.trace = self.span = 0

    def generate_trace_id(self) -> int:
        asked, self.trace = self.trace, 0
        return asked or int(self._usual.generate_trace_id())

    def generate_span_id(self) -> int:
        asked, self.span = self.span, 0
        return asked or int(self._usual.generate_span_id())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)


def _ids_of(tracer: Any) -> _Ids | None:
    """Have a tracer, which is ours alone, take ids that are asked for; None if it is not the SDK's, or like it."""
    found = getattr(tracer, "id_generator", None)
    if found is not None and not isinstance(found, _Ids):  # the provider keeps its tracers
        found = tracer.id_generator = _Ids(found)
    return found


def _trace_id(execution_id: str) -> int:
    return int.from_bytes(sha256(execution_id.encode()).digest()[:16])


def _span_id(key: RunKey) -> int:
    return int.from_bytes(sha256("\0".join(map(str, key)).encode()).digest()[:8])


def enter_span(traceparent: str) -> Callable[[], None]:
    """Make a span of another place the current one, by its ``traceparent``; give what ends that."""
    _, trace_id, span_id, flags = traceparent.split("-")
    place = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return partial(contexts.detach, contexts.attach(trace.set_span_in_context(NonRecordingSpan(place))))


class Spans:
    """Makes spans of what is told; a plugin.

    Parameters
    ----------
    provider
        Where they go; by default the provider of this process.
    """

    of_simulations = False
    """Their times are not real, and being told would be one more thing that a seed chooses the moment of."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer: Any = trace.get_tracer("aiflow", __version__, provider)
        self._ids = _ids_of(self._tracer)
        self._executions: dict[str, Span] = {}
        self._jobs: dict[tuple[str, str, int], Span] = {}
        self._failed: dict[tuple[str, str], _Failed] = {}

    def span_of(self, key: RunKey, workflow: str) -> str | None:
        """Give the ``traceparent`` of the span of an attempt, made or to be made; None where its ids cannot be said."""
        if self._ids is None:
            return None
        trace_id, flags = _trace_id(key.execution_id), TraceFlags.SAMPLED
        try:
            if not self._tracer.sampler.should_sample(None, trace_id, _title(workflow)).decision.is_sampled():
                flags = TraceFlags.DEFAULT
        except Exception:  # foreign code, and no reason for a job not to run
            pass
        return f"00-{trace_id:032x}-{_span_id(key):016x}-{flags:02x}"

    @hookimpl
    def aiflow_event_recorded(self, event: Event) -> None:
        """Begin and end spans, at the times of the events."""
        if event.execution_id is None or not isinstance(event.value, dict):
            return
        kind, _, name = event.key.partition(":")
        if event.type == EventType.JOB_STATUS_CHANGED and kind == "job":
            self._take_job(event, name)
        elif kind == "execution" and event.type in (EventType.EXECUTION_STATUS_CHANGED, EventType.REQUESTED):
            self._take_execution(event, name)

    @hookimpl
    def aiflow_job_ended(self, execution: Any) -> None:
        """End the span of a job that failed, with its error."""
        failed = self._failed.pop((execution.execution_id, execution.job), None)
        if failed is None:
            return
        if execution.number == failed.number and execution.error:  # else it has been started again meanwhile
            kind, _, message = (execution.reason or execution.error).partition(": ")
            said = {"exception.type": kind, "exception.message": message}
            told = {**said, "exception.stacktrace": (execution.traceback or execution.error)[-_LONGEST:]}
            failed.span.add_event("exception", told, failed.time)
        failed.span.end(failed.time)

    def _take_execution(self, event: Event, workflow: str) -> None:
        id_, time = str(event.execution_id), _nanoseconds(event)
        status = event.value.get("status")
        if status == "RUNNING" or event.value.get("action") == "taken_over":
            if id_ not in self._executions:
                about = {"aiflow.execution.id": id_, "aiflow.workflow": workflow, "aiflow.namespace": event.namespace}
                if self._ids is not None:
                    self._ids.trace = _trace_id(id_)
                self._executions[id_] = self._tracer.start_span(
                    _title(workflow), Context(), attributes=about, start_time=time
                )
        elif status in _ENDED and (span := self._executions.pop(id_, None)) is not None:
            _tell_status(span, event.value)
            for key in [key for key in self._jobs if key[0] == id_]:
                self._jobs.pop(key).end(time)
            span.end(time)

    def _take_job(self, event: Event, job: str) -> None:
        id_, time, value = str(event.execution_id), _nanoseconds(event), event.value
        parent, key = self._executions.get(id_), (id_, job, value["number"])
        if parent is None or value["status"] == "STOPPING":  # a trigger's jobs are of no execution
            return
        span = self._jobs.pop(key, None)
        if value["status"] == "RUNNING":
            if span is not None:
                span.end(time)
            about = {"aiflow.job": job, "aiflow.job.number": key[2], "aiflow.job.attempt": value["attempt"]}
            if self._ids is not None:
                self._ids.span = _span_id(RunKey(*key, value["attempt"]))
            self._jobs[key] = self._tracer.start_span(
                f"job {job}",
                trace.set_span_in_context(parent, Context()),
                attributes={"aiflow.execution.id": id_, **about},
                start_time=time,
            )
        elif span is not None:
            _tell_status(span, value)
            if value["status"] == "FAILED":
                self._failed[id_, job] = _Failed(span, time, key[2])
            else:
                span.end(time)


def _title(workflow: str) -> str:
    return f"workflow {workflow}"


def _nanoseconds(event: Event) -> int:
    return round(event.timestamp * 1e9)


def _tell_status(span: Span, value: dict[str, Any]) -> None:
    status, reason = value["status"], value.get("reason")
    span.set_attribute("aiflow.status", status)
    if reason:
        span.set_attribute("aiflow.reason", reason)
    if status in ("FAILED", "RETRYING"):
        span.set_status(Status(StatusCode.ERROR, reason or ""))
    elif status == "SUCCESS":
        span.set_status(Status(StatusCode.OK))


def is_set_up() -> bool:
    """Tell whether this process has a provider of traces; without one, spans would be made for nobody."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


@lru_cache(maxsize=1)
def spans() -> Spans:
    """Give the plugin that reports to the provider of this process."""
    return Spans()
