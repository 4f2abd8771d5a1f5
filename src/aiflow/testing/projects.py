"""Projects in which nothing waits, and what can be checked in any project.

Knows nothing of pytest, and nothing of simulations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiflow._project import Project
from aiflow.errors import OffsetPruned
from aiflow.execution import Execution
from aiflow.graph.state import ExecutionState
from aiflow.graph.workflow import Workflow
from aiflow.replaying import replay
from aiflow.serving import Server
from aiflow.store import log
from aiflow.testing.clock import ManualClock

__all__ = ["assert_replays", "project_for_tests", "run_until_idle", "serving"]


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
