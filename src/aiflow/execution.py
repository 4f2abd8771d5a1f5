"""Executions as users see them: handles that read the store, and act on it, from whatever process.

Knows nothing of turns: what it does is an event that the execution's owner takes.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime
from aiflow.errors import Conflict, ExecutionFailed, NotFound, OwnershipLost, StoreError
from aiflow.graph.card import Card, HasCard, Listing
from aiflow.graph.event import Draft, Event, EventType
from aiflow.graph.execution import ExecutionStatus, JobStatus
from aiflow.graph.experiment import is_block
from aiflow.graph.job import seconds
from aiflow.graph.params import mask
from aiflow.store import log
from aiflow.values.codec import Stored

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.graph.building import Graph

__all__ = ["Execution", "JobExecution"]

_ROW = (
    "id, workflow, namespace, status, params, context, owner, epoch, definition, provenance, source, part, "
    "event_offset, first_offset, created, started, ended, reason"
)
_JOB_ROW = "job, number, attempt, status, started, ended, reason, error, label, event_offset, items, note"


@dataclass(frozen=True, slots=True, repr=False)
class JobExecution(HasCard):
    """One execution of a job: its latest attempt. Two are equal if they are the same one, whatever has become of it.

    Attributes
    ----------
    job, number, attempt
        Which; `number` counts the executions of this job from 1, `attempt` the tries of this one.
    status
        A `JobStatus`.
    started, ended
        Times in UTC, or None.
    error
        What went wrong, as text with its traceback, or None.
    reason
        One line on why it ended so, or None.
    label
        What the job said of itself; of a stream job that says nothing, how many items it has emitted.
    event
        The event that started it, or None.
    note
        What its runner keeps of it to find it again, such as where it runs; None for most.
    """

    job: str
    number: int
    attempt: int = field(compare=False)
    status: JobStatus = field(compare=False)
    started: datetime | None = field(compare=False, default=None)
    ended: datetime | None = field(compare=False, default=None)
    error: str | None = field(compare=False, default=None)
    reason: str | None = field(compare=False, default=None)
    label: str | None = field(compare=False, default=None)
    event_offset: int | None = field(compare=False, default=None)
    execution_id: str = ""
    traceback: str = field(compare=False, default="", repr=False)
    note: dict[str, Any] | None = field(compare=False, default=None)
    _project: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<job execution {self}: {self.status}>"

    def __str__(self) -> str:
        return (
            f"{self.job}:{self.number} of {self.execution_id}"
            if self.number > 1
            else f"{self.job} of {self.execution_id}"
        )

    @property
    def event(self) -> Event | None:
        """The event that started it, or None."""
        return (
            None if self.event_offset is None or self._project is None else self._project.events.get(self.event_offset)
        )

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        if self.started is None:
            return None
        end = self.ended or (as_datetime(self._project._clock.now()) if self._project is not None else self.started)
        return max(0.0, (end - self.started).total_seconds())

    def _card(self) -> Card:
        from aiflow.display import job_card

        return job_card(self)

    def _row(self) -> dict[str, Any]:
        from aiflow.display import job_row

        return job_row(self)

    def story(self, brief: bool = False) -> str:
        """Say what went wrong, once; `brief`: in about a line, without what its process wrote."""
        reason, error = self.reason, self.error
        if not reason or not error:
            return error or reason or "failed"
        if brief or error in reason:
            return reason
        return error if reason in error else f"{reason}: {error}"


def _job_of(row: tuple[Any, ...], execution_id: str, project: Any) -> JobExecution:
    job, number, attempt, status, started, ended, reason, error, label, offset, items, note = row
    told = json.loads(error) if error else None
    text = None if told is None else (f"{told['type']}: {told['message']}" if told["message"] else told["type"])
    if status == "FAILED" and reason and (text is None or text in reason):
        text = reason  # it says more: which element of a map, how long a timeout
    if items and not label:
        label = f"{items:,} items"
    return JobExecution(
        job, number, attempt, JobStatus(status), _time(started), _time(ended), text, reason, label, offset, execution_id,
        told["traceback"] if told else "", json.loads(note) if note else None, project,
    )  # fmt: skip


def _time(timestamp: float | None) -> datetime | None:
    return None if timestamp is None else as_datetime(timestamp)


class Execution(HasCard):
    """A live handle on one execution of a workflow; each look reads the store.

    Attributes
    ----------
    id
        Unique; the command line takes the first characters, too.
    workflow, params, context, namespace
        What was started, with what, for whom.
    """

    def __init__(self, project: Project, row: tuple[Any, ...]) -> None:
        self._project = project
        self._take(row)
        self._held = project._shared.live(self.id)  # keeps values in memory for as long as somebody may ask for them

    def _take(self, row: tuple[Any, ...]) -> None:
        (self.id, self.workflow, self.namespace, status, params, self.context, self._owner, self._epoch, self._definition,
         self._provenance, self.source, part, self._event_offset, self.first_offset, created, started, ended, self._reason) = row  # fmt: skip
        self.params: dict[str, Any] = json.loads(params)
        self._status, self._part = str(status), json.loads(part) if part else None
        self.created, self._started, self._ended = _time(created), _time(started), _time(ended)

    @staticmethod
    def columns() -> str:
        """The columns that a row for this class has."""
        return _ROW

    def _refresh(self) -> Execution:
        row = self._project._store.row(f"SELECT {_ROW} FROM executions WHERE id = ?", (self.id,))
        if row is None:
            raise NotFound("execution", self.id)
        self._take(row)
        return self

    def __repr__(self) -> str:
        return f"<execution {self.id} of {self.workflow}: {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Execution) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def status(self) -> ExecutionStatus:
        """An `ExecutionStatus`; INTERRUPTED if the process that ran it is gone."""
        self._refresh()
        if self._status in ("RUNNING", "STOPPING", "INIT") and not self._project._store.is_owner_alive(self._owner):
            return ExecutionStatus.INTERRUPTED
        return ExecutionStatus(self._status)

    @property
    def started(self) -> datetime | None:
        """When it began, in UTC; None if it has not."""
        return self._started or self._refresh()._started

    @property
    def ended(self) -> datetime | None:
        """When it ended, in UTC; None if it has not."""
        return self._refresh()._ended  # one that was resumed has not ended any more

    @property
    def reason(self) -> str | None:
        """One line on why it ended so, or None."""
        self._refresh()
        return None if self._reason is None else str(self._reason)

    @property
    def event(self) -> Event | None:
        """The event that started it, or None."""
        return None if self._event_offset is None else self._project.events.get(self._event_offset)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        if self.started is None:
            return None
        end = self.ended or as_datetime(self._project._clock.now())
        return max(0.0, (end - self.started).total_seconds())

    @property
    def provenance(self) -> dict[str, Any]:
        """Git commit and whether the tree was dirty, Python, packages, host, command."""
        self._refresh()
        if self._provenance is None:
            self._project._shared.await_records()
            self._refresh()
        return dict(self._project._store.document(self._provenance) or {})

    @property
    def shown_params(self) -> dict[str, Any]:
        """The parameters as they may be shown: what looks like a password is hidden."""
        return mask(self.params)

    @property
    def jobs(self) -> list[JobExecution]:
        """All executions of jobs, in the order in which they started, then of the body; each with its latest attempt."""
        rows = self._project._store.rows(f"SELECT {_JOB_ROW} FROM job_executions WHERE execution_id = ?", (self.id,))
        places = {name: place for place, name in enumerate(self.job_names)}
        found = [_job_of(row, self.id, self._project) for row in rows]
        found.sort(key=lambda one: (one.started is None, one.started, places.get(one.job, 0), one.number))
        return Listing(found, "job execution")

    def job(self, name: str) -> JobExecution | None:
        """Give the latest execution of a job; None before its first.

        Raises
        ------
        NotFound
            If the workflow has no such job.
        """
        rows = self._project._store.rows(
            f"SELECT {_JOB_ROW} FROM job_executions WHERE execution_id = ? AND job = ? ORDER BY number DESC LIMIT 1",
            (self.id, name),
        )
        if not rows:
            self._check_job(name)
            return None
        return _job_of(rows[0], self.id, self._project)

    def _check_job(self, name: str) -> None:
        names = self.job_names
        if name not in names:
            raise NotFound("job", name, names)

    @property
    def not_begun(self) -> list[JobExecution]:
        """The jobs that have not run yet, in the order of the body, with what they wait for as their `reason`.

        QUEUED if only a place or a limit is missing, else INIT; their `number` is 0. They do not stand in `jobs`.
        """
        return self._not_begun(self.jobs)

    @property
    def all_jobs(self) -> list[JobExecution]:
        """What `jobs` and `not_begun` have, as of one moment; for displays."""
        jobs = self.jobs
        return [*jobs, *self._not_begun(jobs)]

    def _not_begun(self, jobs: list[JobExecution]) -> list[JobExecution]:
        from aiflow.waiting import not_begun

        shared, statuses = self._project._shared, {one.job: str(one.status) for one in jobs}
        found = not_begun(self, statuses, shared.engine.admission if shared.has_engine else None)
        return [
            JobExecution(job, 0, 0, JobStatus.QUEUED if queued else JobStatus.INIT, reason=waits, execution_id=self.id)
            for job, queued, waits in found
        ]

    def takes_part(self, job: str) -> bool:
        """Tell whether a job of the workflow is one of those to run: neither given nor left out."""
        part = self._part or {"only": None, "given": ()}
        return job not in part["given"] and (part["only"] is None or job in part["only"])

    @property
    def definition(self) -> dict[str, Any]:
        """The structure that it was started with, as JSON data: names, edges, rules, constants."""
        return dict(self._project._store.document(self._definition) or {"nodes": []})

    @property
    def when_interrupted(self) -> str:
        """What to say of it while it is INTERRUPTED: how somebody goes on with it, if anybody can."""
        if self.is_experiment:
            return "its process is gone, and its code with it: an experiment is not resumed"
        return f"its process is gone; go on with it: aiflow execution resume {self.id}"

    @property
    def is_experiment(self) -> bool:
        """Whether it is a block of code that was tracked, and not a workflow."""
        return is_block(self.definition)

    def check_resumable(self) -> None:
        """Raise `Conflict` if nobody can go on with it, whatever its status: the code of an experiment is nowhere."""
        if self.is_experiment:
            raise Conflict(
                f"execution {self.id} is the experiment {self.workflow!r}, a block of code of a process that is over; it cannot "
                f"be resumed. What it had logged is kept; to do it again, run the code that has project.track({self.workflow!r})"
            )

    @property
    def live(self) -> Any:
        """What this process holds of it, or None; for displays."""
        return self._project._shared.live(self.id)

    def events_at(self, offsets: Iterable[int]) -> list[Event]:
        """Read events by their offsets."""
        return log.by_offsets(self._project._store.reader(), offsets)

    def why(self, job: str | None = None) -> str:
        """Say which rule and which events started the latest run of a job, or what it still waits for; without one, of each.

        Raises
        ------
        NotFound
            If the workflow has no such job.
        """
        from aiflow.explaining import why

        if job is None:
            return "\n".join(why(self, name) for name in self.job_names)
        self._check_job(job)
        return why(self, job)

    @property
    def job_names(self) -> list[str]:
        """The names of all jobs of the workflow, in the order of its body."""
        return [n["name"] for n in self.definition["nodes"]]

    def result(self, name: str) -> Any:
        """Give the value of the latest successful execution of a job.

        Raises
        ------
        NotFound
            If there is no such job, or it has not succeeded yet.
        """
        store = self._project._store
        row = store.row(
            "SELECT number, codec, value, blob, size FROM job_executions WHERE execution_id = ? AND job = ? AND status = 'SUCCESS' "
            "ORDER BY number DESC LIMIT 1",
            (self.id, name),
        )
        if row is None:
            given = self._given(name)
            if given is not None:
                return given[0]
            self._check_job(name)
            status = self.statuses.get(name)
            told = f"it {f'is {status}' if status else 'has not run'}; execution.why({name!r}) tells more"
            raise NotFound("result of the job", name, why=told)
        return self._value(name, row)

    def _given(self, name: str) -> tuple[Any] | None:
        part = self._part or {}
        if name in part.get("given", {}):
            return (self._project._store.codec.decode(from_portable(part["given"][name])),)
        if name in part.get("from", {}):
            execution_id, number = part["from"][name]
            return (self._project._store.value(execution_id, name, number),)
        return None

    def _value(self, name: str, row: tuple[Any, ...]) -> Any:
        number, codec, value, blob, size = row
        if codec is not None:
            return self._project._store.codec.decode(Stored(codec, value, blob, size or 0))
        live = self._project._shared.live(self.id)
        if live is not None and (live.plan.by_name[name], number) in live.values:
            return live.values[live.plan.by_name[name], number]
        raise StoreError(
            f"the value of {name} (number {number}) was not kept (persist=False), and this process does not have it"
        )

    def results(self, name: str) -> list[Any]:
        """Give the values of all successful executions of a job, oldest first."""
        rows = self._project._store.rows(
            "SELECT number, codec, value, blob, size FROM job_executions WHERE execution_id = ? AND job = ? AND status = 'SUCCESS' ORDER BY number",
            (self.id, name),
        )
        if not rows:
            self._check_job(name)
        return [self._value(name, row) for row in rows]

    def events(self) -> list[Event]:
        """Give the events that this execution caused, its own statuses included, in their order."""
        return Listing(log.of_execution(self._project._store.reader(), self.id, 0), "event")

    def logs(self, job: str | None = None) -> str:
        """Give what the jobs printed and logged; of one job, or of all with headings.

        Raises
        ------
        NotFound
            If there is no such job.
        """
        if job is not None:
            self._check_job(job)
        parts = []
        for one in self.jobs:
            if job is not None and one.job != job:
                continue
            for attempt in range(1, one.attempt + 1):
                path = self._project._log_path(self.id, one.job, one.number, attempt)
                if path.is_file():
                    text = path.read_text(encoding="utf-8", errors="replace")
                    several = job is None or one.number > 1 or one.attempt > 1
                    parts.append(f"--- {one.job} number {one.number} attempt {attempt}\n{text}" if several else text)
        return "".join(p if p.endswith("\n") else p + "\n" for p in parts if p)

    @property
    def graph(self) -> Graph:
        """The graph that this execution runs.

        Raises
        ------
        NotFound
            If its workflow is not defined in this process.
        """
        live = self._project._shared.live(self.id)
        return live.plan.graph if live is not None else self._project._launcher.graph_of(self)

    @property
    def statuses(self) -> dict[str, str]:
        """The latest status of each job that has run; what a picture of the graph is coloured with."""
        return {one.job: str(one.status) for one in sorted(self.jobs, key=lambda j: j.number)}

    def _card(self) -> Card:
        from aiflow.display import execution_card

        return execution_card(self)

    def _ipython_display_(self) -> None:
        from aiflow.notebook import show

        if not show(self):
            raise NotImplementedError  # IPython shows the card then

    def _row(self) -> dict[str, Any]:
        from aiflow.display import execution_row

        return execution_row(self)

    # --- acting -----------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | timedelta | None = None) -> Execution:
        """Wait until it has ended; `TimeoutError` after `timeout` seconds leaves it running.

        With a clock that stands still, it is also raised when nothing is under way that could ever end it.

        Raises
        ------
        OwnershipLost
            If another process took it over.
        """
        return self._wait(timeout)

    def _wait(
        self, timeout: float | timedelta | None = None, quiet: Callable[[str, bool], None] | None = None
    ) -> Execution:
        """Wait; tell `quiet` what is waited for, and whether a job is busy, if nothing happens for a while."""
        with self._project._shared.place_lent():
            return self._await_end(timeout, quiet)

    def _await_end(self, timeout: float | timedelta | None, quiet: Callable[[str, bool], None] | None) -> Execution:
        from aiflow.waiting import Quiet, waits_for

        timeout = None if timeout is None else seconds(timeout, "timeout")
        shared = self._project._shared
        deadline = None if timeout is None else shared.moment() + timeout
        live = shared.live(self.id)
        if live is not None:
            watch = Quiet(shared, live, quiet)
            if not shared.drive_until(live.ended, deadline, live, watch.look):
                raise TimeoutError(
                    f"execution {self.id} of {self.workflow} is still {self.status} after {timeout:g} s; it goes on, "
                    f"and waits for {waits_for(live)}"
                )
            if live.lost and not ExecutionStatus(self._refresh()._status).is_ended:
                raise OwnershipLost(
                    f"execution {self.id} of {self.workflow} was taken over by another process, or its project was closed"
                )
            return self
        pause = threading.Event()
        while not (status := self.status).is_ended and status is not ExecutionStatus.INTERRUPTED:
            if deadline is not None and shared.moment() >= deadline:
                raise TimeoutError(
                    f"execution {self.id} of {self.workflow} is still {status} after {timeout:g} s; it goes on"
                )
            pause.wait(0.05)
        return self

    def check(self) -> Execution:
        """Raise `ExecutionFailed` unless it ended in SUCCESS."""
        status = self.status
        if status is not ExecutionStatus.SUCCESS:
            raise ExecutionFailed(self._story(status), self)
        return self

    def _story(self, status: ExecutionStatus, brief: bool = False) -> str:
        """Tell how it ended; `brief`: without the output of processes, for those who have seen it already."""
        lines = [
            f"execution {self.id} of workflow {self.workflow!r} is {status}"
            + (f": {self._reason}" if self._reason else "")
        ]
        lines += [f"  {line}" for line in self._failures(brief)]
        if status is ExecutionStatus.INTERRUPTED:
            lines.append(f"  {self.when_interrupted}")
        return "\n".join(lines)

    def _failures(self, brief: bool = False) -> list[str]:
        """Tell of each job that has failed its error, where its function was, and the end of its traceback, in lines."""
        lines = []
        for one in {one.job: one for one in self.jobs}.values():
            if one.status is JobStatus.FAILED:
                tries = f" (attempt {one.attempt})" if one.attempt > 1 else ""
                head, *more = one.story(brief).splitlines()
                lines.append(f"{one.job}{tries}: {head}")
                lines += [f"  {line}" for line in (*more, *_shortened(one.traceback))]
        return lines

    def _request(self, action: str, **value: Any) -> None:
        status = self.status
        if status is ExecutionStatus.INTERRUPTED:
            raise Conflict(
                f"execution {self.id} is INTERRUPTED, so nothing of it can be started or stopped: {self.when_interrupted}"
            )
        if status.is_ended:
            if action == "stop":
                return
            raise Conflict(
                f"execution {self.id} has ended ({status}); a job of it cannot be started or stopped any more"
            )
        draft = Draft(
            "execution:" + self.workflow,
            {"action": action, **value},
            str(EventType.REQUESTED),
            self.namespace,
            None,
            self.id,
            self.id,
        )
        self._project._publish([draft])

    def stop(self, reason: str | None = None) -> Execution:
        """Ask it to stop: jobs that run are stopped, nothing new starts. Returns when that is durable; `wait` waits for the end."""
        self._request("stop", **({"reason": reason} if reason else {}))
        deadline = time.monotonic() + 30
        pause = threading.Event()
        while (status := self.status) is ExecutionStatus.RUNNING and time.monotonic() < deadline:
            pause.wait(0.01)  # another process owns it, and looks every 50 ms
        if status is ExecutionStatus.RUNNING:
            raise StoreError(f"the process that runs execution {self.id} has not taken the request to stop within 30 s")
        return self

    def resume(self, *, take_over: bool = False) -> Execution:
        """Go on with it: what was INTERRUPTED, or what did not succeed of a FAILED or STOPPED one (rules 33 and 34).

        Parameters
        ----------
        take_over
            Go on also if its process still holds its lock and has been silent for 60 s: it hangs, or was stopped by a
            signal. What that process still writes of it is refused, and who waits there gets `OwnershipLost`.

        Raises
        ------
        Conflict
            If it runs, or has succeeded, or the workflow's structure is another than it was.
        NotFound
            If its workflow is not defined in this process.
        """
        self._project._resume(self, take_over=take_over)
        return self

    def start_job(self, name: str) -> None:
        """Start a job of it, once."""
        self._check_job(name)
        self._request("start_job", job=name)

    def stop_job(self, name: str) -> None:
        """Stop what runs of a job."""
        self._check_job(name)
        self._request("stop_job", job=name)

    def restart_job(self, name: str) -> None:
        """Stop what runs of a job and start it again."""
        self._check_job(name)
        self._request("restart_job", job=name)

    def to_dict(self) -> Mapping[str, Any]:
        """Give what is shown of it as JSON data."""
        return {
            "id": self.id, "workflow": self.workflow, "namespace": self.namespace, "status": str(self.status),
            "params": self.shown_params, "context": self.context, "started": _iso(self.started), "ended": _iso(self.ended),
            "reason": self._reason, "source": self.source,
        }  # fmt: skip


def portable(value: Stored) -> list[Any]:
    """Give a stored value as JSON data."""
    data = value.data
    return [
        value.codec,
        {"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else data,
        value.blob,
        value.size,
    ]


def from_portable(value: list[Any]) -> Stored:
    """Give the stored value that `portable` made JSON data of."""
    codec, data, blob, size = value
    return Stored(codec, base64.b64decode(data["base64"]) if isinstance(data, dict) else data, blob, size)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _shortened(traceback: str, most: int = 8) -> list[str]:
    """Give of a traceback, without its last line, the first frame and the end; the first frame is the job's own function.

    An error that is raised deep in a library would otherwise be told without the line that led there.
    """
    lines = traceback.rstrip().splitlines()[:-1]
    frames = [i for i, line in enumerate(lines) if line.startswith('  File "')]
    if len(lines) <= most or len(frames) < 2:
        return lines[-most:]
    kept = lines[: frames[1]]
    later = [i for i in frames[1:] if i >= len(lines) - most] or frames[-1:]
    return [*kept, *(["  …"] if later[0] > frames[1] else []), *lines[later[0] :]]
