"""For tests of workflows: a clock that is moved by hand, and a project in which nothing waits.

Knows nothing of pytest.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiflow._project import Project
from aiflow.clock import PATIENCE, as_datetime, as_timestamp
from aiflow.errors import OffsetPruned
from aiflow.execution import Execution
from aiflow.graph.job import seconds
from aiflow.graph.state import ExecutionState
from aiflow.graph.workflow import Workflow
from aiflow.replaying import replay
from aiflow.serving import Server
from aiflow.store import log

__all__ = ["ManualClock", "assert_replays", "project_for_tests", "run_until_idle", "serving"]


class ManualClock:
    """A clock that stands still until it is moved.

    Parameters
    ----------
    start
        The time that it shows first.
    patience
        Seconds of real time after which a wait in which nothing happens is given up: nothing would ever come.

    Examples
    --------
    >>> clock = ManualClock()
    >>> before = clock.now()
    >>> clock.advance(60)
    >>> clock.now() - before
    60.0
    """

    stands_still = True

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), patience: float = PATIENCE) -> None:
        self._now, self.patience = as_timestamp(start), patience
        self._set = 0.0  # by how much it was set
        self._engines: list[Any] = []
        self._guard = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def elapsed(self) -> float:
        """Seconds that have passed: those that it was set by do not count."""
        return self._now - self._set

    @property
    def time(self) -> datetime:
        """What it shows, as a `datetime` in UTC."""
        return as_datetime(self._now)

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """Wait until notified: this clock does not move by itself."""
        condition.wait()

    def attach(self, wake: Any) -> None:
        """Take note of an engine whose timers this clock drives."""
        with self._guard:
            self._engines.append(wake)

    def detach(self, wake: Any) -> None:
        """Forget an engine."""
        with self._guard:
            if wake in self._engines:
                self._engines.remove(wake)

    def advance(self, duration: float | timedelta) -> None:
        """Move on by `duration` seconds, through each timer in turn; run to idle before, between and after."""
        end = round(self._now + seconds(duration, "advance(seconds)"), 6)
        self._settle()
        while True:
            due = [d for engine in self._engines if (d := engine.ticker.next_due()) is not None and d <= end]
            if not due:
                break
            self._now = max(self._now, min(due))
            for engine in list(self._engines):
                engine.on_clock()
            self._settle()
        self._now = end
        self._settle()

    def jump(self, duration: float | timedelta) -> None:
        """Set the clock on (or back, if negative) by `duration` seconds, as somebody at the machine could: no time passes."""
        ahead = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
        self._settle()
        self._now = round(self._now + ahead, 6)
        self._set += ahead
        for engine in list(self._engines):
            engine.on_clock()
        self._settle()

    def _settle(self) -> None:
        for engine in list(self._engines):
            engine.settle()


def project_for_tests(
    home: Path | str, clock: ManualClock | None = None, name: str = "tests", **options: Any
) -> Project:
    """Open a project whose jobs run inline and whose time stands still (unless they say otherwise)."""
    return Project(name, home=home, clock=clock or ManualClock(), _runner="inline", **options)


def serving(project: Project, *workflows: Workflow) -> Server:
    """Serve workflows for as long as a ``with`` lasts, without waiting: the test publishes and moves the clock meanwhile.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> @af.workflow(start_on=af.every(60))
    ... def minutely(): ...
    >>> clock = ManualClock()
    >>> with tempfile.TemporaryDirectory() as home, project_for_tests(home, clock) as project, serving(project, minutely):
    ...     clock.advance(180)
    ...     project.executions.count()
    3
    """
    return Server(project, workflows)


def run_until_idle(project: Project, timeout: float = 30.0) -> None:
    """Run inline jobs and wait for all others until nothing is under way; the clock stands still.

    Raises
    ------
    TimeoutError
        If something still runs after `timeout` seconds of real time.
    """
    project._shared.settle(timeout)


def assert_replays(execution: Execution) -> None:
    """Check that the log of an execution, stepped again, gives the same decisions (rule 35).

    What an INTERRUPTED one has yet to decide, of events that came meanwhile, is left out.

    Raises
    ------
    AssertionError
        With the first decision that differs.
    OffsetPruned
        If the log does not tell all of it any more.
    """
    project = execution._project
    live = project._shared.live(execution.id) or project._launcher.rebuilt(execution)
    state = ExecutionState(live.plan, execution.id, execution.namespace, execution.context)
    pruned = project._store.pruned_until
    if execution.first_offset < pruned:
        raise OffsetPruned(f"execution {execution.id} cannot be replayed", execution.first_offset, pruned, "prune less")
    events = log.of_execution(project._store.reader(), execution.id, execution.first_offset, live.plan.keys_heard)
    left = replay(state, events)
    if left and execution.status != "INTERRUPTED":
        raise AssertionError(f"decided again, and not found in the log: {left[0].key} {left[0].value}")
    if state.status != execution.status and execution.status != "INTERRUPTED":
        raise AssertionError(f"the log says {execution.status}, the same events lead to {state.status}")
