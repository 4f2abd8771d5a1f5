"""What a job can ask and say while it runs: `af.current()`.

Knows nothing of engines: it talks through a `Port`, in this process or over a socket.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from aiflow.errors import AIFlowError, Stopped
from aiflow.graph.change import Change
from aiflow.graph.event import Draft, Event
from aiflow.graph.execution import RunKey
from aiflow.graph.metric import Metric, measure, measures, subject_of
from aiflow.graph.params import json_text
from aiflow.graph.version import Version

__all__ = ["JobContext", "Port", "current", "current_or_none", "enter", "is_flink_worker", "leave"]


_guard = threading.Lock()
Rest = Callable[[Callable[[], bool], "float | None"], Any]
"""Waits until something is so, or for some seconds."""


class Port(Protocol):
    """The way from a job to its engine. Every call returns after it is durable, or raises `Stopped`."""

    def publish(self, key: RunKey, drafts: list[Draft]) -> list[Event]:
        """Append events to the log."""

    def set_label(self, key: RunKey, text: str) -> None:
        """Show a short text beside the job."""

    def events(self, offsets: Iterable[int], key: RunKey) -> list[Event]:
        """Read events by their offsets; `key` says who asks, for several jobs may share a process."""

    def project(self) -> Any:
        """Give the job's project, opened in this process."""

    def load_state(self, key: RunKey) -> str | None:
        """Give the state of a job that was saved last, as JSON text."""

    def change(self, key: RunKey, changes: list[Change]) -> list[Any]:
        """Do changes of the metadata on behalf of a job, all in one transaction; give what each gives."""


class StopEvent(threading.Event):
    """Set when a job is asked to stop; wakes also who waits for something else."""

    def __init__(self) -> None:
        super().__init__()
        self.wakers: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask to stop."""
        super().set()
        for wake in tuple(self.wakers):
            wake()


def _add_ids(record: logging.LogRecord) -> bool:
    """Give a record of a job's logger the ids of who logs, for whatever handler there is."""
    context = current_or_none()
    if context is not None:
        vars(record).update(context.key._asdict())
    return True


class JobContext:
    """A job's view of its own execution; got by `af.current()` inside a job, in every runner.

    Attributes
    ----------
    execution_id, job, number, attempt
        What identifies this call; use the first three as idempotency key.
    context
        The context of the execution.
    workflow
        The name of the workflow.
    scratch
        A directory of this run; made when it is asked for.
    folder
        Where relative uris and patterns of the workflow begin: the folder of its file.
    """

    def __init__(
        self,
        key: RunKey,
        port: Port,
        *,
        namespace: str,
        workflow: str = "",
        params: Mapping[str, Any] | None = None,
        context: str | None = None,
        event_offsets: tuple[int, ...] = (),
        cause: int | None = None,
        scratch: Path | str | Callable[[], Path] = "",
        folder: str = "",
    ) -> None:
        self.key, self.port, self.namespace, self.workflow = key, port, namespace, workflow
        self.execution_id, self.job, self.number, self.attempt = key
        self._params, self.context = params, context
        self.event_offsets, self.cause = event_offsets, cause
        self._scratch, self.folder = scratch, folder
        self._stop_event: StopEvent | None = None
        self.is_over = False
        self.is_outside = False  # whether its function is a block of the user's code, which nobody waits for
        self.is_resting = False  # whether it does nothing but wait, for as long as nobody else does anything
        self.before_rest: Callable[[], None] | None = None  # called when it is about to wait for a stop
        self._state: dict[str, Any] | None = None
        self.told_state: str | None = None  # of a job in another process, as it was when that asked last
        self.used: set[tuple[str, str, int, str]] = set()  # the versions that it is known to work on
        self.secrets: set[str] = set()  # what must not be seen in logs and errors
        self.log: Any = None  # where this job's output goes; set by its runner, or made when something is written
        self.open_log: Callable[[], Any] | None = None
        self.codec: Any = None  # reads and writes values where the job runs; set by its runner
        self._pid = os.getpid()
        self.rest: Rest | None = None  # how it waits, if not by holding up its thread; set by its runner
        self.span: str | None = None  # the traceparent of its span, where somebody collects traces
        self.works_on: tuple[Version, ...] = ()  # the versions that a job with a role works on

    def __repr__(self) -> str:
        return f"<job {self.job} number {self.number} attempt {self.attempt} of execution {self.execution_id}>"

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the execution."""
        return dict(self._params or {})

    @property
    def stop_event(self) -> StopEvent:
        """Set when this job was asked to stop; made when somebody first asks for it."""
        if self._stop_event is None:
            with _guard:
                if self._stop_event is None:
                    self._stop_event = StopEvent()
        return self._stop_event

    @property
    def is_a_copy(self) -> bool:
        """Whether this is a process that the job has forked, which is not the job, and has no way to its engine."""
        return os.getpid() != self._pid

    @property
    def project(self) -> Any:
        """The job's project."""
        return self.port.project()

    @property
    def logger(self) -> logging.Logger:
        """A logger named after the job; what it logs goes to the job's log, and its records have the ids as attributes."""
        logger = logging.getLogger(f"aiflow.job.{self.job}")
        if _add_ids not in logger.filters:
            logger.addFilter(_add_ids)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)  # what a job says on purpose is kept, whatever the program's own threshold
        return logger

    @property
    def events(self) -> list[Event]:
        """All events that met the rule which started this job, in offset order; none if it began with the execution."""
        return self.port.events(self.event_offsets, self.key)

    @property
    def event(self) -> Event | None:
        """What started this job (the newest of `events`), else what started the execution; None if that was started by hand.

        If the job itself was (`Execution.start_job`), it is an event of the type REQUESTED.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> @af.job
        ... def greet():
        ...     event = af.current().event
        ...     return "hello, " + ("nobody" if event is None else event.value)
        >>> @af.workflow(start_on=af.event("guest"))
        ... def greeting():
        ...     greet()
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     project.run(greeting).result("greet")
        'hello, nobody'
        """
        offset = self.event_offsets[-1] if self.event_offsets else self.cause
        if offset is None:
            return None
        found = self.port.events((offset,), self.key)
        return found[0] if found else None

    @property
    def version(self) -> Version | None:
        """The version that a job with a role works on, of a model or a dataset; else None.

        In a stream job that predicts or monitors, it is the one that is deployed at the time.
        """
        return self.works_on[0] if self.works_on else None

    @property
    def scratch(self) -> Path:
        """A directory for files of this run."""
        path = self._scratch() if callable(self._scratch) else Path(self._scratch)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def stopping(self) -> bool:
        """Whether this job was asked to stop; a long loop should look at it."""
        return self._stop_event is not None and self._stop_event.is_set()

    def wait_stop(self, timeout: float | None = None) -> bool:
        """Wait until this job is asked to stop, `timeout` seconds at most; tell whether it was."""
        if self.rest is not None:
            self.rest(self.stop_event.is_set, timeout)
            return self.stopping
        if self.before_rest is not None:
            self.before_rest()
        self.is_resting = True
        try:
            return self.stop_event.wait(timeout)
        finally:
            self.is_resting = False

    def wait_for(
        self, ready: Callable[[], bool], register: Callable[[Callable[[], None]], None], until_over: bool = False
    ) -> bool:
        """Wait until `ready`, or until this job is asked to stop; tell whether it was ready first.

        `register` is handed a call that wakes it; `until_over`: being asked to stop is no reason to go on.
        """
        event = self.stop_event

        def is_enough() -> bool:
            return ready() or self.is_over or (event.is_set() and not until_over)

        while not ready():
            if is_enough():
                return False
            if self.rest is not None:
                self.rest(is_enough, None)
                continue
            nap, guard = threading.Lock(), threading.Lock()
            nap.acquire()

            def wake(nap: Any = nap, guard: Any = guard) -> None:
                with guard:
                    self.is_resting = False  # now, not when its thread has come to it
                    with suppress(RuntimeError):  # it was woken already
                        nap.release()

            event.wakers.append(wake)
            try:
                register(wake)
                if not is_enough():
                    with guard:  # it does not rest once it was woken, not for a moment: all would seem to be at rest
                        self.is_resting = nap.locked()
                    nap.acquire()
            finally:
                self.is_resting = False
                event.wakers.remove(wake)
        return True

    def refuse_to_go_on(self) -> None:
        """End the job's function: it was asked to stop."""
        raise Stopped("the job was asked to stop")

    @property
    def state(self) -> dict[str, Any]:
        """A dict of this job that outlives its runs, crashes and restarts; what is in it must be JSON data.

        It starts with what was saved last for this job in this execution. A stream job's state is saved together with
        each item that starts a batch job, at checkpoints, and at its end; that of another job when it succeeds.
        """
        if self._state is None:
            text = self.port.load_state(self.key)
            self._state = {} if text is None else json.loads(text)
        return self._state

    def dump_state(self) -> str | None:
        """Give the state as JSON text; None if the job never asked for it.

        Raises
        ------
        ParameterError
            If something in it is not JSON data.
        """
        if self._state is None:
            return self.told_state
        return json_text(self._state, f"the state of job {self.job!r}")

    def publish(
        self,
        key: str,
        value: Any = None,
        *,
        type: str | None = None,
        namespace: str | None = None,
        sender: str | None = None,
        context: Any = ...,
        dedupe_key: str | None = None,
    ) -> Event:
        """Publish an event; `context` is the own execution and `sender` the job's name, unless given."""
        self.check_alive()
        json_text(value, f"the value of event {key!r}")
        draft = Draft(
            key,
            value,
            type or "UNDEFINED",
            namespace or self.namespace,
            sender or self.job,
            self.execution_id if context is ... else context,
            self.execution_id,
            0.0,
            dedupe_key,
        )
        return self.port.publish(self.key, [draft])[0]

    def set_label(self, text: str) -> None:
        """Show a short text beside this job wherever its status is shown."""
        self.check_alive()
        self.port.set_label(self.key, str(text)[:200])

    def log_metric(
        self, name: str, value: Any, step: int | None = None, model: Any = None, dataset: Any = None
    ) -> Metric:
        """Log one value of a metric; it is durable when this returns.

        Parameters
        ----------
        name
            What was measured.
        value
            A number, NaN and infinities among them, or a scalar of NumPy and the like.
        step
            Which step of a training or the like.
        model, dataset
            What it says something of: a name, ``"knn:2"``, an `af.Model`, a version. Without a number it is the version
            that this job works on, if it works on one of that name.

        Raises
        ------
        ParameterError
            If the name, the value or the step cannot be one; nothing is logged.
        NotFound
            If there is no such model, dataset or version.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> @af.job
        ... def train():
        ...     for step in range(3):
        ...         af.current().log_metric("loss", 1 / (step + 1), step)
        >>> @af.workflow
        ... def training():
        ...     train()
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     execution = project.run(training)
        ...     [metric.value for metric in project.metrics.history("loss")]
        [1.0, 0.5, 0.3333333333333333]
        """
        subject = subject_of(model, dataset, self.works_on)
        one = measure(name, value, step)
        made = self.change(Change("log_metrics", {"metrics": [one], **subject._asdict()}))[0]
        return Metric.of(one, subject, made["time"], made["id"], self.execution_id, self.job, self.number)

    def log_metrics(self, metrics: Any, step: int | None = None, model: Any = None, dataset: Any = None) -> None:
        """Log many values at once: all of them, or none.

        Parameters
        ----------
        metrics
            Numbers by name, as a dict; or ``(name, value)`` and ``(name, value, step)``, as a list or the like.
        step, model, dataset
            See `log_metric`.
        """
        ready = measures(metrics, step)
        if ready:
            self.change(
                Change("log_metrics", {"metrics": ready, **subject_of(model, dataset, self.works_on)._asdict()})
            )

    def log_artifact(self, artifact: Any, path: Path | str | None = None) -> Any:
        """Keep what is in the file or folder of an artifact now, as a version that this job has made.

        Parameters
        ----------
        artifact
            An `aiflow.Artifact`, which is registered by that; or a name, and if that is new, a path.
        path
            The file or folder, if it is another one than was declared.

        Returns
        -------
        ArtifactVersion
            The new version; the latest one, if the content is the same.

        Raises
        ------
        NotFound, ParameterError, Conflict, StoreError, OSError
            As `aiflow.metadata.artifacts.Artifacts.log`.
        """
        self.check_alive()
        return self.project.artifacts._log(artifact, path, self)

    def change(self, *changes: Change) -> list[Any]:
        """Do changes of the metadata on behalf of this job, all in one transaction; give what each gives."""
        self.check_alive()
        return self.port.change(self.key, list(changes))

    def abandon(self) -> None:
        """Refuse all that it still calls, and wake it if it waits."""
        self.is_over = True
        self.stop_event.set()

    def check_alive(self) -> None:
        """Raise `Stopped` if this attempt is over: what an abandoned job still calls is refused."""
        if self.is_over:
            raise Stopped(f"{self!r} is over; nothing it does is recorded any more")


_current: ContextVar[JobContext | None] = ContextVar("aiflow_current_job", default=None)
current_or_none = _current.get
enter = _current.set
leave = _current.reset


def is_flink_worker() -> bool:
    """Tell whether this is a process in which Flink runs functions of a job; the module says for which."""
    return find_spec("aiflow_flink_job") is not None


def current() -> JobContext:
    """Give the `JobContext` of the running job.

    Raises
    ------
    AIFlowError
        If no job is running on this thread.
    """
    context = _current.get()
    if context is None and is_flink_worker():
        raise AIFlowError(
            "af.current() works in the function that builds a Flink job, not in functions that Flink runs: there, publish with "
            "af.flink.publish, and take what else they need from af.current() where the job is built"
        )
    if context is None:
        raise AIFlowError(
            "af.current() works inside a running job only (and in threads that the job starts with its context: "
            "contextvars.copy_context().run)"
        )
    return context
