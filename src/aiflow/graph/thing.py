"""What has a lineage: a version or a job execution, as a value that names it, and as text.

Knows nothing of what came from what.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from aiflow.graph.version import Version

__all__ = ["JOB", "KINDS", "Thing"]

JOB = "job"
KINDS = ("dataset", "model", "artifact", JOB)
"""The kinds of things."""


class Thing(NamedTuple):
    """A version, or a job execution.

    Attributes
    ----------
    kind
        One of `KINDS`.
    name, number
        What a version is of, and which; the job, and which of its executions.
    execution_id
        Of a job: the execution of the workflow; of a version ''.
    """

    kind: str
    name: str
    number: int
    execution_id: str = ""

    @classmethod
    def of(cls, version: Version) -> Self:
        """Name a version."""
        return cls(version.kind, version.name, version.number)

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.execution_id}/' if self.execution_id else ''}{self.name}:{self.number}"
