"""What executions are: the statuses of one run of a workflow and of the runs of its jobs.

Knows nothing of how statuses change (that is the machine).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["ENDED", "ExecutionStatus", "JobStatus", "RunKey"]


class ExecutionStatus(StrEnum):
    """The status of an execution of a workflow."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens in it by itself."""
        return self in (ExecutionStatus.SUCCESS, ExecutionStatus.FAILED, ExecutionStatus.STOPPED)


class JobStatus(StrEnum):
    """The status of one execution of a job."""

    INIT = "INIT"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    RETRYING = "RETRYING"
    SKIPPED = "SKIPPED"

    @property
    def is_ended(self) -> bool:
        """Whether this execution of the job is over."""
        return self in ENDED


ENDED = frozenset((JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.SKIPPED))


class RunKey(NamedTuple):
    """What identifies one attempt of one execution of a job."""

    execution_id: str
    job: str
    number: int
    attempt: int
