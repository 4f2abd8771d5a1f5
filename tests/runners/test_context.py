"""How a job waits for others: while it is not sure that it has to, it does not seem to be at rest (`run_until_idle` asks)."""

from __future__ import annotations

from typing import Any

from aiflow.graph.execution import RunKey
from aiflow.runners.context import JobContext


class Watched(JobContext):
    """A context that remembers whether it ever seemed to be at rest."""

    rests: list[bool]

    @property
    def is_resting(self) -> bool:  # type: ignore[override]
        return self.rests[-1]

    @is_resting.setter
    def is_resting(self, rests: bool) -> None:
        self.__dict__.setdefault("rests", []).append(rests)


def context() -> Watched:
    port: Any = None
    return Watched(RunKey("e", "take", 1, 1), port, namespace="shop")


def test_what_comes_while_a_job_begins_to_wait_finds_it_awake() -> None:
    came: list[int] = []
    job = context()
    assert job.wait_for(lambda: bool(came), lambda wake: came.append(1))
    assert True not in job.rests


def test_a_job_that_is_woken_while_it_begins_to_wait_does_not_rest() -> None:
    asked: list[int] = []
    job = context()

    def ready() -> bool:
        asked.append(1)
        return len(asked) > 3  # not yet when it is asked after the wake

    assert job.wait_for(ready, lambda wake: wake())
    assert True not in job.rests
