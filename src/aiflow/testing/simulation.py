"""`simulate`: a run of a workflow in virtual time, in an order that follows from a seed; and what came of it.

Knows nothing of how the next thing is chosen (`simulating`), nor of how the scene is set (`staging`).
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from aiflow._project import Project
from aiflow.clock import as_datetime
from aiflow.errors import NotFound
from aiflow.execution import Execution
from aiflow.graph.event import Event
from aiflow.graph.job import seconds
from aiflow.graph.workflow import Workflow
from aiflow.testing.clock import ManualClock
from aiflow.testing.given import Given
from aiflow.testing.performing import Durations
from aiflow.testing.simulating import Simulator
from aiflow.testing.staging import Staging
from aiflow.testing.stories import check_statuses, told

__all__ = ["Simulation", "simulate"]


class Simulation:
    """What came of a simulation.

    Attributes
    ----------
    workflow
        The name of what was simulated.
    seed
        What everything that could happen in any order follows from.
    executions
        Those that were started in it, in that order. What still ran at the end is left as it is; for whoever opens the
        home next, it is INTERRUPTED.
    project
        The project, which is closed: it can be read.
    start, end
        Virtual times, in UTC.
    choices
        How often something was chosen.
    """

    def __init__(self, workflow: str, seed: int, project: Project, start: datetime, end: datetime) -> None:
        self.workflow, self.seed, self.project, self.start, self.end = workflow, seed, project, start, end
        self.executions: list[Execution] = []
        self.choices = 0
        self._first = self._last = 0
        self._crashes: list[tuple[int, float]] = []
        self._left: list[str] = []

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for status in (str(execution.status) for execution in self.executions):
            counts[status] = counts.get(status, 0) + 1
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no execution"
        return f"<simulation of {self.workflow} with seed={self.seed}: {statuses}>"

    @property
    def execution(self) -> Execution:
        """The only execution.

        Raises
        ------
        NotFound
            If there are none, or several.
        """
        if len(self.executions) != 1:
            raise NotFound(
                f"the only execution of a simulation with {len(self.executions)} of them", self.workflow,
                [execution.workflow for execution in self.executions],
            )  # fmt: skip
        return self.executions[0]

    @cached_property
    def events(self) -> list[Event]:
        """The log: all events, in their order."""
        return self.project.events.list(since=self._first, until=self._last, limit=None)

    @cached_property
    def story(self) -> list[str]:
        """What happened, a line each: the seconds since the start, and what it was. The first line has the seed.

        It says the same whenever the same is simulated with the same seed.
        """
        names, now = self._names, self.start.timestamp()
        start = now
        lines = [f"simulation of {self.workflow} with seed={self.seed} from {self.start:%Y-%m-%d %H:%M:%S} UTC"]
        crashes = list(self._crashes)
        for event in self.events:
            while crashes and crashes[0][0] < event.offset:
                lines.append(f"{crashes.pop(0)[1] - start:12.3f}  --- the process died, and another one goes on")
            line = told(event, names)
            now = max(now, event.timestamp)  # a tick has the time when it was due
            if line is not None:
                lines.append(f"{now - start:12.3f}  {line}")
        return [*lines, *(f"{self.end.timestamp() - start:12.3f}  {line}" for line in self._left)]

    @cached_property
    def _names(self) -> dict[str, str]:
        """What executions and triggers are called: a workflow's name, with a number if it has several."""
        names: dict[str, str] = {t.id: f"trigger {t.name}" for t in self.project.triggers.list(limit=None)}
        names.update((t.id, f"schedule {t.name}") for t in self.project.schedules.list(limit=None))
        counts: dict[str, int] = {}
        for execution in self.executions:
            count = counts[execution.workflow] = counts.get(execution.workflow, 0) + 1
            names[execution.id] = f"{execution.workflow}#{count}"
        return names


def simulate(
    workflow: Workflow,
    events: Iterable[Any] = (),
    *,
    seed: int = 0,
    until: float | timedelta | datetime | None = None,
    durations: Mapping[str, float] | Callable[[str, int], float] | None = None,
    params: Mapping[str, Any] | None = None,
    home: str | Path | None = None,
    serve: Iterable[Workflow] = (),
    start: datetime | None = None,
    workers: int = 8,
    crashes: int = 0,
) -> Simulation:
    """Run a workflow in virtual time, and let a seed choose of all that may happen next.

    The engine and the store are the real ones, and the functions of jobs are really called; but nothing waits, and no
    thread decides what comes first. Which of the jobs that run ends first, when a question to a function of yours is
    answered, when a subscriber hears of an event: wherever the order is free, it follows from the seed. The same seed
    tells the same story. In the end, each execution is checked by `assert_replays`.

    A workflow that has `start_on` is served, as `Project.serve` does; another one is started. It ends when what was
    started has ended; if workflows are served, when nothing more happens but what time brings again and again.

    Parameters
    ----------
    workflow
        What is simulated.
    events
        What comes from outside: ``(seconds, key, value)``, where the seconds are since the start, or a pair between
        which the seed chooses; ``(key, value)`` for some time that the seed chooses; or `Draft`s, or ``(seconds, draft)``.
        In the place of a draft, ``progress(job, watermark=…)`` says how far a job on Flink has come. Nothing of Flink runs: such a
        job takes its duration, and its value is None; a stream without one, or what is observed, goes on until it is stopped.
    seed
        Another seed, another order.
    until
        Seconds after which it ends at the latest, or a `datetime`. What follows the time (`every`, `cron`) has no end of
        its own and needs it.
    durations
        Seconds that jobs take, by name, or a function ``(job, number) -> seconds``; 0 for what is not said. The job's
        function is called at the end of that time, and earlier if the job is asked to stop and heeds that at once, which
        is for the seed to say. A job can also take time itself, by ``af.current().wait_stop(seconds)`` or
        ``asyncio.sleep``.
    params
        The parameters of the execution that is started.
    home
        Where it is recorded; by default a folder that is removed when nobody holds the simulation any more.
    serve
        More workflows that are served meanwhile.
    start
        What time it is at first; by default that of a `ManualClock`.
    workers
        How many jobs run at a time on each runner.
    crashes
        How often the process dies on the way, at moments that the seed chooses, and another one goes on. A run that is
        over before the next of them has one less.

    Returns
    -------
    Simulation
        With `executions`, `events`, and the `story`, line by line.

    Raises
    ------
    AssertionError
        If the log of an execution does not lead to the same decisions again.
    ParameterError
        If an argument does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> from aiflow.testing import simulate
    >>> @af.job
    ... def load(): return [1, 2, 3]
    >>> @af.job
    ... def report(rows): return len(rows)
    >>> @af.workflow
    ... def weekly():
    ...     report(load()).start_on(af.every(3600) & af.event("asked"))
    >>> simulation = simulate(weekly, [(5000, "asked", None)], until=9000, durations={"load": 60})
    >>> for line in simulation.story[1:6]: print(line)
           0.000  weekly#1 RUNNING
           0.000  weekly#1 load RUNNING
          60.000  weekly#1 load SUCCESS
        3600.000  weekly#1 every(3600) was due
        5000.000  event asked
    >>> simulation.execution.result("report")
    3
    """
    clock = ManualClock() if start is None else ManualClock(start)
    random, begun = Random(f"aiflow {seed}"), clock.now()
    given = Given(events, begun, random)
    end = (
        until.timestamp() if isinstance(until, datetime) else None if until is None else begun + seconds(until, "until")
    )
    takes = Durations(durations)
    staging = Staging(workflow, tuple(serve), dict(params or {}), home, workers)
    simulator = Simulator(staging.open, staging.close, clock, random, given, takes, end, crashes)
    try:
        simulator.strands.run()
        return _told(staging, simulator, seed, begun)
    except BaseException as error:
        error.add_note(f"in the simulation of {workflow.name} with seed={seed}")
        simulator.die()
        staging.clear()
        raise


def _told(staging: Staging, simulator: Simulator, seed: int, begun: float) -> Simulation:
    """Make what users get."""
    project = staging.project
    assert project is not None
    made = Simulation(staging.workflow.name, seed, project, as_datetime(begun), simulator.clock.time)
    made.executions, made.choices = staging.executions(project), simulator.choices
    made._first, made._last, made._crashes, made._left = staging.first, staging.last, simulator.crashes, staging.left
    if simulator.given.left:
        made._left.append(f"events that did not come: {simulator.given.left}")
    if staging.is_temporary:
        weakref.finalize(project, shutil.rmtree, staging.home, ignore_errors=True)
    check_statuses(made.events, made._names)
    names = (name for execution in made.executions for name in execution.job_names)
    simulator.durations.check(names, simulator.given.jobs)
    return made
