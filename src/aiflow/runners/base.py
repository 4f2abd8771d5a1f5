"""What a runner is, what it is given and what it reports. The protocol that plugins implement.

Knows nothing of stores, schedules or rules: a runner only runs and reports.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiflow.graph.change import Change
from aiflow.graph.execution import RunKey
from aiflow.graph.job import Job, JobOptions
from aiflow.graph.mark import Mark, Passed

if TYPE_CHECKING:
    from aiflow.runners.context import JobContext

__all__ = [
    "Call",
    "Emitter",
    "Ended",
    "Failure",
    "Outlet",
    "Runner",
    "RunnerHost",
    "Work",
    "failure_of",
    "keeps_running",
]


class Call(NamedTuple):
    """A function with all of its arguments at hand."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, as text: exceptions never travel (they may not be picklable)."""

    type: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


def failure_of(error: BaseException, skip_frames: int = 0) -> Failure:
    """Put an exception into text; the first `skip_frames` frames of its traceback are ours and left out."""
    trace = error.__traceback__
    for _ in range(skip_frames):
        if trace is not None:
            trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as broken:  # a user's __str__ may raise
        text = f"(the traceback cannot be shown: {type(broken).__name__})"
    try:
        message = str(error)
    except Exception as broken:  # likewise
        message = f"(its text cannot be shown: {type(broken).__name__})"
    return Failure(type(error).__qualname__, message, text)


@dataclass(slots=True)
class Ended:
    """How an attempt ended.

    Attributes
    ----------
    outcome
        SUCCESS, FAILED, STOPPED or SKIPPED.
    value
        The value, if it is in this process; else `stored` holds it as `values.codec.Stored`.
    retryable
        For FAILED: whether `retry_on` of the job covers it, judged where the exception was.
    truth
        What `run_if` of others asks of the value: a bool, or a dict of output name to bool.
    reason
        One line that says why, for SKIPPED and for what is shown of a failure.
    interrupted
        Whether a KeyboardInterrupt ended it, which is meant for whoever waits on that thread.
    state
        The job's `af.current().state` that is to be saved with this end, as JSON text; or None.
    changes
        What of the metadata changes with this end, if it is a success: all of it in the same transaction.
    gives
        Which of the changes gives the value (a version, which has a number only then), or which give the values of the
        elements of a mapped job; or None.
    refused
        Why what depends on the job is skipped although it has succeeded; or None.
    """

    outcome: str
    value: Any = None
    stored: Any = None
    error: Failure | None = None
    retryable: bool = True
    truth: Any = None
    reason: str | None = None
    interrupted: bool = False
    state: str | None = None
    changes: tuple[Change, ...] = ()
    gives: int | tuple[int, ...] | None = None
    refused: str | None = None


class Emitter(Protocol):
    """Takes the items of one attempt of a stream job, where its function runs."""

    def emit(self, item: Any) -> None:
        """Pass an item on, together with the job's state; waits while too many wait. Raises `Stopped` if it is refused."""

    def finish(self, ended: Ended) -> None:
        """Wait until those who take the items as an iterator have taken all; note the state to be saved with the end."""


class Outlet(Emitter, Protocol):
    """Where the items of one attempt of a stream job go, in the process that runs the execution."""

    def accept(self, item: Any, state: str | None, truth: Any = None) -> bool:
        """Do the same for who must not wait: an item and a state from elsewhere; False if no more should come now."""

    @property
    def is_full(self) -> bool:
        """Whether too many items wait for somebody."""

    def has_room(self) -> bool:
        """Tell whether who waits for room should go on."""

    def when_room(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once when there may be room."""


class Work(Protocol):
    """One attempt of a job, as a runner gets it. For a mapped job: one element of it."""

    @property
    def key(self) -> RunKey:
        """What identifies the attempt."""

    @property
    def job(self) -> Job:
        """The job, with its function."""

    @property
    def options(self) -> JobOptions:
        """The options of this call of the job."""

    @property
    def asked_outputs(self) -> tuple[int | str | None, ...]:
        """Which outputs a `run_if` of other jobs asks about."""

    @property
    def element(self) -> int | None:
        """Which element of a mapped job, or None."""

    @property
    def outlet(self) -> Outlet | None:
        """Where its items go, if it is a stream job."""

    @property
    def log_path(self) -> Path:
        """Where what the job prints and logs is kept."""

    @property
    def context(self) -> JobContext:
        """The job's view of itself."""

    @property
    def noted(self) -> dict[str, Any] | None:
        """What the runner has noted of this attempt, if it runs already and is to be found again; else None."""

    @property
    def noted_before(self) -> dict[str, Any] | None:
        """The newest note of an earlier run of this job in this execution, or of an earlier attempt; or None."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What conditions of the execution ask of the job's watermark and count of records."""

    def note(self, note: dict[str, Any], passed: Sequence[Passed] = ()) -> bool:
        """Keep JSON data of this attempt, in the place of what was noted of it before; durable when it returns.

        What is `passed` (`graph.mark.passed`) is told by events in the same transaction: so a note that says how far the gauges
        had come makes each be told once, also over crashes.

        Returns False if the attempt is over: then what was started for it is to be ended. Raises `OwnershipLost` if
        another process has found it again and goes on with it, and `StoreError` if the project is closed: then it is to
        be let go. An element of a mapped job has no notes (`RunnerError`).
        """

    def load(self) -> Call:
        """Give the call with all arguments at hand; raises what reading them raises."""


class RunnerHost(Protocol):
    """What a runner may use of the project that it works for."""

    @property
    def home(self) -> Path:
        """The directory of the project."""

    @property
    def workers(self) -> int:
        """How many jobs it may run at a time."""

    @property
    def serializers(self) -> tuple[Any, ...]:
        """The serializers of plugins, for a process that has its own codec."""

    def endpoint(self) -> tuple[str, str]:
        """Give the address where jobs on other machines publish, and the token that they need."""

    def follow(self, model: str, note: Callable[[int], Any]) -> Callable[[], None]:
        """Have `note` told which version of a model is deployed, and each that will be, until what it gives is called.

        It is called on threads that must not wait.
        """

    def encode(self, value: Any, what: str) -> Any:
        """Serialise a value into a `Stored`; raises `RunnerError` naming `what` and the type."""


class Runner(Protocol):
    """Runs jobs. `start` and `stop` do not block; the end is told by calling `done` once, from any thread.

    A runner whose class has ``keeps_running = True`` runs jobs that outlive this process. Of each it keeps a note
    (`Work.note`). When another process goes on with the execution, an attempt with a note is no lost one: it is handed to
    `start` once more, with the note as `work.noted`, and to `stop` after that if it was being stopped. So `close` lets go
    of the jobs that have a note, and ends those that have none. A job that it watches and whose ``work.context.is_over``
    is another process's by now.
    """

    @property
    def capacity(self) -> int | None:
        """How many jobs it runs at a time; None for as many as come."""

    def start(self, work: Work, done: Callable[[Any, Ended], Any]) -> None:
        """Begin the work; call `done` exactly once when it is over, however it ends."""

    def stop(self, work: Work) -> None:
        """Ask the work to stop; end it by force after its `stop_timeout` where that is possible."""

    def close(self) -> None:
        """End everything that is left and free all resources; nothing is reported any more."""


def keeps_running(runner: Runner) -> bool:
    """Tell whether the jobs of a runner outlive this process."""
    return bool(getattr(runner, "keeps_running", False))
