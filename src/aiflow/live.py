"""What this process holds of an execution that it owns: its state, the values in memory, the work under way.

Knows nothing of turns or of runners' ways; it finds values (in memory, else in the store) for those who ask.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiflow.errors import RunnerError
from aiflow.events.ticker import Timer
from aiflow.flowing import Flows, GivenStream, StreamOutlet, stream_of
from aiflow.graph.building import Node, Output
from aiflow.graph.commands import StartJob
from aiflow.graph.event import Draft, EventType
from aiflow.graph.execution import RunKey
from aiflow.graph.job import Fixed, Job, JobOptions
from aiflow.graph.mark import Mark, Passed
from aiflow.graph.params import Secret, is_secret_name
from aiflow.graph.plan import Plan, Vertex
from aiflow.graph.state import IMPLIED, ExecutionState, Run, Start
from aiflow.graph.version import Version
from aiflow.graph.versions import versions_in
from aiflow.runners.base import Call, Ended
from aiflow.runners.context import JobContext, Port
from aiflow.store.store import Store

__all__ = ["ElementWork", "JobWork", "Live", "file_name", "log_path", "stop_request", "taken_over"]


def file_name(job: str) -> str:
    """Give a file name for a job's name: what a file system may not take is written as ``%xx``."""
    safe = "".join(c if c.isalnum() or c in "-_.[] " else f"%{ord(c):x}" for c in job)
    if len(safe.encode()) > 150:  # file systems take 255 bytes
        from hashlib import sha256

        safe = (
            safe.encode()[:120].decode("utf-8", "ignore")
            + "%"
            + sha256(job.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        )
    return safe if safe not in ("", ".", "..") else f"%{safe}"


def stop_request(live: Live, reason: str) -> Draft:
    """Give the event that asks an execution to stop."""
    value = {"action": "stop", "reason": reason}
    own = live.execution_id
    return Draft(live.plan.key, value, str(EventType.REQUESTED), live.namespace, None, own, own)


def taken_over(live: Live, owner: str | None) -> Draft:
    """Give the event that says whose an execution is now; None: nobody's."""
    value, own = {"action": "taken_over", "owner": owner}, live.execution_id
    return Draft(live.plan.key, value, str(EventType.REQUESTED), live.namespace, None, own, own)


def log_path(home: Path, key: RunKey) -> Path:
    """Give the log file of one attempt of a job."""
    return home / "logs" / key.execution_id / f"{file_name(key.job)}.{key.number}.{key.attempt}.log"


def scratch_path(home: Path, key: RunKey) -> Path:
    """Give the folder where a run of a job may keep files of its own."""
    return home / "scratch" / key.execution_id / f"{file_name(key.job)}.{key.number}"


class Live:
    """One execution of this process.

    Attributes
    ----------
    state
        What the machine knows; touched only in a turn.
    ended
        Set when the execution has ended, or was taken over by another process (`lost`).
    """

    def __init__(
        self,
        plan: Plan,
        execution_id: str,
        namespace: str,
        context: str | None,
        params: Mapping[str, Any],
        store: Store,
        workflow: str,
    ) -> None:
        self.plan, self.execution_id, self.namespace, self.context = plan, execution_id, namespace, context
        self.workflow, self.params, self.store = workflow, dict(params), store
        self.state = ExecutionState(plan, execution_id, namespace, context)
        self.snapshot: tuple[str, int] | None = None  # a state as JSON, and the offset up to which it is folded
        self.has_moved = True  # whether anything has happened since
        self.first_offset = 0  # what came before does not concern it
        self.given: dict[int, Any] = {}
        self.given_from: dict[int, tuple[str, int]] = {}
        self.is_traced = False  # whether what flows from job to job is recorded: it deals with versions
        self.cause: int | None = None
        self.values: dict[tuple[int, int], Any] = {}
        self.uses: dict[tuple[int, int], int] = {}
        self.works: dict[tuple[int, int], JobWork] = {}
        self.questions: set[Any] = set()  # what functions of the user are being asked
        self.mapped: dict[tuple[int, int], Any] = {}
        self._elements: dict[tuple[int, int], dict[int, Any]] = {}
        self.tickets: dict[tuple[int, int], Any] = {}
        self.withheld: dict[int, Any] = {}  # starts that wait for a version of a model
        self.waits_for_models = True
        self.flows = Flows(plan) if plan.has_streams else None
        self.items: dict[tuple[int, int], Any] = {}  # those that batch jobs still want
        self.kept_from: dict[int, int] = {}  # stream -> its oldest item that is still kept
        self.wanted_from: dict[int, int] = {}  # stream -> its oldest item that somebody still wants
        self.let_go_at = 0.0
        self.secrets: set[str] = {
            str(v) for k, v in self.params.items() if is_secret_name(k) and isinstance(v, str) and len(v) > 3
        }
        self.ended = threading.Event()
        self.lost = False
        self.table = "executions"  # where its row is: a trigger's is in `triggers`
        self.watchers: list[Callable[[], None]] = []
        self.timers: dict[Any, Timer] = {}  # of conditions on time, and of retries; touched only by who holds a turn
        self.on_failure: Any = None
        self.context_function: Any = None
        self.port: Any = None
        self.run_again: Callable[[JobWork], Ended]  # set with `port`, by who adopts it
        self.prepare: Callable[[JobWork, Call], Call]  # for jobs with roles; likewise
        self._again = threading.RLock()

    def fresh_state(self) -> ExecutionState:
        """Give the state as it was at the last snapshot, or at the start."""
        state = ExecutionState(self.plan, self.execution_id, self.namespace, self.context)
        return state.load(json.loads(self.snapshot[0])) if self.snapshot else state

    @property
    def needed_after(self) -> int:
        """The offset after which all events of the log are needed to make its state anew."""
        return self.snapshot[1] if self.snapshot else self.first_offset

    def value(self, index: int, number: int) -> Any:
        """Give the value of one run of a job, from memory or from the store; one that a crash lost is computed again."""
        if self.plan.vertices[index].emits:
            found = self.items.get((index, number), self)
            return (
                self.store.item(self.execution_id, self.plan.vertices[index].name, number) if found is self else found
            )
        found = self.values.get((index, number), self)
        if found is not self:
            return found
        if index in self.given:
            return self.given[index]
        if self.given_from.get(index) is None and not self.plan.vertices[index].node.options.persist:
            return self._compute_again(index, number)
        if index in self.given_from:
            execution_id, number = self.given_from[index]
            return self.store.value(execution_id, self.plan.vertices[index].name, number)
        return self.store.value(self.execution_id, self.plan.vertices[index].name, number)

    def _compute_again(self, index: int, number: int) -> Any:
        """Compute a value that a crash lost and that is kept nowhere (`persist=False`), without a word (rule 37)."""
        with self._again:
            found = self.values.get((index, number), self)
            if found is not self:
                return found
            vertex = self.plan.vertices[index]
            job = self.state.jobs[index]
            run = Run(number, job.used if job.used is not None and job.number == number else Start(()))
            ended = self.run_again(JobWork(self, vertex, run, StartJob(index, number, 1), self.port))
            if ended.outcome != "SUCCESS":
                told = ended.error or ended.reason
                raise RunnerError(f"the value of {vertex.name} was lost, and computing it again failed: {told}")
            self.values[index, number] = ended.value
            return ended.value

    def keep(self, index: int, number: int, value: Any, persisted: bool) -> None:
        """Keep a value in memory for the jobs that need it."""
        vertex = self.plan.vertices[index]
        if not persisted:
            self.values[index, number] = value
        elif vertex.down and not vertex.recurring:
            self.values[index, number] = value
            self.uses[index, number] = len(vertex.down)

    def is_to_begin(self, job: str) -> bool:
        """Tell whether a job has neither ended nor begun since the execution was started, or resumed."""
        index = self.plan.by_name.get(job)
        return index is not None and self.state.jobs[index].last is None and not self.state.jobs[index].runs

    def kept_elements(self, work: JobWork) -> dict[int, Any]:
        """Give the results of the elements of a mapped job that succeeded in an earlier attempt."""
        return self._elements.setdefault((work.vertex.index, work.key.number), {})

    def used(self, index: int, number: int) -> None:
        """A job is over: let go of the values that only it still needed."""
        if self._elements:
            self._elements.pop((index, number), None)
        for up, _ in self.plan.vertices[index].needs:
            key = (up, self.state.jobs[up].success)
            left = self.uses.get(key)
            if left is not None:
                if left <= 1:
                    del self.uses[key]
                    self.values.pop(key, None)
                else:
                    self.uses[key] = left - 1

    @property
    def is_trigger(self) -> bool:
        """Whether it is a trigger, which starts executions, and no execution itself."""
        return self.table == "triggers"

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is under way here."""
        return not self.questions and all(work.is_resting for work in tuple(self.works.values()))

    def end(self) -> None:
        """Release who waits, and the values that the store has."""
        vertices = self.plan.vertices
        self.values = {k: v for k, v in self.values.items() if not vertices[k[0]].node.options.persist}
        self.uses.clear()
        self.items.clear()
        self.ended.set()
        for watcher in self.watchers:
            watcher()


class JobWork:
    """One attempt of one job, as its runner gets it."""

    __slots__ = (
        "_chosen",
        "_context",
        "_noted_before",
        "_outlet",
        "asked_outputs",
        "began",
        "cache_key",
        "counted_at",
        "deadline",
        "element",
        "has_note",
        "job",
        "key",
        "live",
        "noted",
        "options",
        "origin",
        "port",
        "run",
        "versions",
        "vertex",
    )

    def __init__(self, live: Live, vertex: Vertex, run: Run, command: StartJob, port: Port) -> None:
        self.live, self.vertex, self.run, self.port = live, vertex, run, port
        self.key = RunKey(live.execution_id, vertex.name, command.number, command.attempt)
        self.job: Job = vertex.node.job
        self.options: JobOptions = vertex.node.options
        self.asked_outputs: tuple[int | str | None, ...] = vertex.asked_outputs
        self.element: int | None = None
        self.noted, self.began = command.noted, command.began
        self.has_note = command.noted is not None
        self._noted_before: Any = ...
        self._context: JobContext | None = None
        self.cache_key: str | None = None
        self.origin: tuple[str, str, int] | None = None  # the run whose value it has, if that is an equal call's
        self.deadline: Timer | None = None
        self._outlet: StreamOutlet | None = None
        self.counted_at = 0.0
        self._chosen: dict[str, Any] = {}
        self.versions: dict[Version, None] = {}  # those that its call gives it

    def note_versions(self, arguments: Iterable[Any]) -> None:
        """Take note of the versions among the arguments of a call: their ways through the workflow are its lineage."""
        home = str(self.live.store.home)
        self.versions.update((one, None) for one in versions_in(arguments) if one.home == home)

    def chosen(self, place: str, choose: Callable[[], Any]) -> Any:
        """Give the version that was chosen for a place in its call; `choose` is asked once."""
        if place not in self._chosen:
            self._chosen.setdefault(place, choose())  # elements of a mapped job may ask at the same time
        return self._chosen[place]

    @property
    def outlet(self) -> StreamOutlet | None:
        """Where its items go, if it is a stream job."""
        vertex, flows = self.vertex, self.live.flows
        if self._outlet is None and vertex.stream and flows is not None:
            port: Any = self.port
            self._outlet = StreamOutlet(
                vertex,
                self.context,
                flows.lines(vertex.index, self.key.number),
                port.items.recording(self) if vertex.emits else None,
                flows.backlogs.get(vertex.index),
                partial(port.items.save_states, self.live),
                port.clock.elapsed,
            )
        return self._outlet

    @property
    def noted_before(self) -> dict[str, Any] | None:
        """The newest note of an earlier run of this job in this execution, or of an earlier attempt; or None."""
        if self._noted_before is ...:
            self._noted_before = self.live.store.note_before(self.key)
        found: dict[str, Any] | None = self._noted_before
        return found

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What conditions of the execution ask of the job's watermark and count of records."""
        return self.live.plan.marks_of(self.vertex.index)

    def note(self, note: dict[str, Any], passed: Sequence[Passed] = ()) -> bool:
        """Keep JSON data of this attempt, and tell what is passed; False if it is over. See `runners.base.Work`."""
        self._noted_before = self.noted_before  # read now: the note of an earlier attempt is in the same row
        kept: bool = self.live.port.notes.keep(self, note, passed)
        return kept

    @property
    def is_resting(self) -> bool:
        """Whether it does nothing but wait for what others do."""
        context = self._context
        return context is not None and (context.is_outside or (context.is_resting and not context.stopping))

    @property
    def log_path(self) -> Path:
        """Where what it prints and logs is kept."""
        return log_path(self.live.store.home, self.key)

    @property
    def is_over(self) -> bool:
        """Whether nothing that the job still does is recorded any more."""
        return self._context is not None and self._context.is_over

    @is_over.setter
    def is_over(self, over: bool) -> None:
        if self._context is not None:
            self._context.is_over = over

    @property
    def context(self) -> JobContext:
        """The job's view of itself; made when it is first asked for."""
        context = self._context
        if context is None:
            live = self.live
            start, vertex = self.run.start, self.vertex
            context = self._context = JobContext(
                self.key,
                self.port,
                namespace=live.namespace,
                workflow=live.workflow,
                params=live.params,
                context=live.context,
                event_offsets=start.events if start.rule != IMPLIED or vertex.needs or vertex.feeds else (),
                cause=live.cause,
                folder=live.plan.folder,
                scratch=partial(
                    scratch_path, live.store.home, self.key
                ),  # not a method: a cycle would wait for the collector
            )
            context.secrets, context.codec = live.secrets, live.store.codec
            if live.port.span_of is not None and not live.is_trigger:
                context.span = live.port.span_of(self.key, live.workflow)
        return context

    def load(self) -> Call:
        """Give the call with the values of the upstreams in place."""
        node = self.vertex.node
        args = tuple(self.resolve(a) for a in node.args)
        call = Call(self.job.function, args, {k: self.resolve(v) for k, v in node.kwargs.items()})
        self.note_versions((*args, *call.kwargs.values()))
        return call if self.job.role is None else self.live.prepare(self, call)

    def resolve(self, value: Any) -> Any:
        """Put values in the place of nodes, also inside lists, tuples, sets and dicts."""
        kind = type(value)
        if kind is Node:
            return self._value_of(value, None)
        if kind is Output:
            return self._value_of(value.node, value.output)
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            return kind(self.resolve(v) for v in value)
        if kind is dict:
            return {k: self.resolve(v) for k, v in value.items()}
        if kind is Fixed:
            return self.resolve(value.value)
        if kind is Secret:
            text = value.resolve(os.environ)
            self.live.secrets.add(text)
            return text
        return value

    def _value_of(self, node: Node, output: int | str | None) -> Any:
        index = self.live.plan.by_name[node.name]
        number = next((n for up, n in self.run.start.inputs if up == index), self.live.state.jobs[index].success)
        if index in self.vertex.takes and self.live.flows is not None:
            channel = self.live.flows.channel(index, number, self.vertex.index)
            return stream_of(channel, self.vertex, self.context, self.outlet, output, self.live.store.codec.decode)
        value = self.live.value(index, number)
        if any(node is taken for taken in self.vertex.node.taken):
            return GivenStream(value, output)
        return value if output is None else value[output]


class ElementWork:
    """One element of a mapped job, as its runner gets it."""

    __slots__ = ("args", "asked_outputs", "element", "job", "key", "kwargs", "log_path", "options", "outlet", "parent")
    noted = noted_before = None
    marks: tuple[Mark, ...] = ()

    def __init__(self, parent: JobWork, element: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.parent, self.element, self.args, self.kwargs = parent, element, args, kwargs
        self.key, self.job, self.options, self.log_path = parent.key, parent.job, parent.options, parent.log_path
        self.asked_outputs: tuple[int | str | None, ...] = ()
        self.outlet = None

    @property
    def context(self) -> JobContext:
        """The context of the whole job."""
        return self.parent.context

    def note(self, note: dict[str, Any], passed: Sequence[Passed] = ()) -> bool:
        """Refuse: after a crash, the whole mapped job runs again."""
        raise RunnerError(
            f"runner {self.options.runner!r} keeps notes of its jobs, and an element of a mapped job ({self.key.job}) has none: "
            "call the job without map"
        )

    def load(self) -> Call:
        """Give the call for this element."""
        call = Call(self.job.function, self.args, self.kwargs)
        return call if self.job.role is None else self.parent.live.prepare(self.parent, call)
