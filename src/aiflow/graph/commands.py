"""What the machine asks the engine to do after a commit. Imperatives, as data.

Knows nothing of how they are done; each is done again after a crash, keyed by (execution, job, number, attempt).
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["ArmTimer", "Ask", "Command", "EndExecution", "RetryLater", "StartJob", "StopJob"]


class StartJob(NamedTuple):
    """Start one attempt of a job.

    With `noted`, what its runner has noted of it, it runs already, outside of every process of ours, and has done so since
    `began` (seconds since 1970): the runner is to find it again.
    """

    vertex: int
    number: int
    attempt: int
    noted: dict[str, Any] | None = None
    began: float | None = None


class StopJob(NamedTuple):
    """Ask a running job to stop, and end it by force after its `stop_timeout` (`timed_out`: it took too long)."""

    vertex: int
    number: int
    attempt: int
    timed_out: bool = False


class RetryLater(NamedTuple):
    """Bring the job back into the queue at `due` (seconds since 1970)."""

    vertex: int
    number: int
    attempt: int
    due: float


class Ask(NamedTuple):
    """Ask a function of the user about an event, on a worker, and append its answer (rule 9).

    `vertex` and `rule` and `leaf` say where the condition stands; `vertex` is `plan.GATE` for the workflow's `context`.
    """

    vertex: int
    rule: int
    leaf: int
    offset: int


class ArmTimer(NamedTuple):
    """Tick when the condition on time with this key is due next.

    `last` is when it was due the last time (None: never), `since` when the execution began.
    """

    key: str
    last: float | None
    since: float


class EndExecution(NamedTuple):
    """The execution has ended: release who waits for it."""

    status: str


Command = StartJob | StopJob | RetryLater | Ask | ArmTimer | EndExecution
