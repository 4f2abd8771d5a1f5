"""A job that runs outside and has gauges, for kills: what it passes is told once, whenever its process dies."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import invariants

import aiflow as af
from aiflow.errors import AIFlowError
from aiflow.graph.mark import Mark, Reading, passed
from aiflow.hooks import hookimpl
from aiflow.runners.base import Ended, RunnerHost, Work

READINGS = (7, 24, 18, 41)
"""What the gauge shows; it goes back once."""

MARK = Mark("records", None, 10)


class Meter:
    """A runner whose jobs go on without it: where they are follows from how often somebody has looked."""

    keeps_running = True
    capacity: int | None = None

    @hookimpl
    def aiflow_runners(self) -> dict[str, Callable[[RunnerHost], Any]]:
        return {"meter": lambda host: self}

    def start(self, work: Work, done: Callable[[Any, Ended], Any]) -> None:
        threading.Thread(target=self._watch, args=(work, done), daemon=True).start()

    def _watch(self, work: Work, done: Callable[[Any, Ended], Any]) -> None:
        seen = {"looks": 0, "records": None} if work.noted is None else work.noted
        try:
            for look in range(seen["looks"], len(READINGS)):
                before, now = Reading(records=seen["records"]), Reading(records=READINGS[look])
                seen = {"looks": look + 1, "records": before.furthest(now).records}
                if not work.note(seen, passed([MARK], before, now)):
                    return
        except AIFlowError:  # the project is closed
            return
        done(work, Ended("SUCCESS", seen["records"]))

    def stop(self, work: Work) -> None: ...

    def close(self) -> None: ...


METER = Meter()


@af.job(runner="meter")
def source() -> None: ...


@af.job
def ten() -> Any:
    event = af.current().event
    return None if event is None else event.value["at"]


@af.workflow
def metered() -> None:
    source()
    ten().start_on(af.event("job:source", type="JOB_PASSED"))


def check(home: Path, recover: Callable[[Path], dict[str, Any]]) -> None:
    """Check that each boundary was told once, and that one run came of it."""
    (execution,) = recover(home)["executions"]
    assert execution["status"] == "SUCCESS", execution
    with af.Project(home=home) as project:
        told = [(e.value["at"], e.value["number"], e.value["attempt"]) for e in project.events.list(types="JOB_PASSED")]
        assert [at for at, _, _ in told] == [10, 20, 30, 40], told
        assert project.executions.list()[0].results("ten") == [10, 20, 30, 40]
    invariants.check(home)
