"""Sets the scene of a simulation: makes the home, opens the project, starts and serves, and checks what came of it.

Knows nothing of what happens in between, nor of how it is told.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from aiflow._project import Project
from aiflow.errors import ParameterError
from aiflow.execution import Execution
from aiflow.graph.workflow import Workflow
from aiflow.keep import Keep
from aiflow.serving import Server
from aiflow.testing.projects import assert_replays
from aiflow.testing.simulating import Simulator
from aiflow.waiting import waits_for

__all__ = ["Staging"]

_ROOM = 1 << 30
"""Bytes that must be free in memory for a temporary home to be made there."""


def _folder() -> Path:
    """Make a folder for a home that nobody keeps; in memory, if there is room: disks are slow to be sure of what they write."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return Path(tempfile.mkdtemp(prefix="aiflow-simulation-", dir=memory if is_roomy else None))


class Staging:
    """Sets the scene of a simulation: opens the project, starts and serves, and reads what came of it."""

    def __init__(
        self,
        workflow: Workflow,
        serve: tuple[Workflow, ...],
        params: dict[str, Any],
        home: str | Path | None,
        workers: int,
    ) -> None:
        for one in (workflow, *serve):
            if not isinstance(one, Workflow):
                raise ParameterError(f"simulate takes workflows (functions with @af.workflow), not {one!r}")
        self.workflow, self.params, self.workers = workflow, params, workers
        self.is_started = workflow.start_condition is None
        if params and not self.is_started:
            raise ParameterError(
                f"the parameters of {workflow.name!r} come with the events that start it: it has start_on"
            )
        self.served = serve if self.is_started else (workflow, *serve)
        self.home = _folder() if home is None else Path(home)
        self.is_temporary = home is None
        self.execution_id: str | None = None
        self.server: Server | None = None
        self.first = self.last = 0
        self.project: Project | None = None
        self.left: list[str] = []

    def open(self, simulator: Simulator) -> None:
        """Open the project, and start or go on."""
        project = Project(home=self.home, clock=simulator.clock, workers=self.workers, _driver=simulator)
        simulator.project = self.project = project
        project._keep = Keep()  # nothing is pruned, whatever the settings say: that would be done on a thread
        project.__enter__()
        if not simulator.crashes:
            self.first = project._store.head()
            if self.is_started:
                self.execution_id = project.start(self.workflow, params=self.params).id
                simulator.is_enough = lambda: self._has_ended(simulator)
        if self.served:
            server = self.server = Server(project, self.served).__enter__()
            simulator.looks = lambda: server.look if server.wants_to_look() else None
        elif simulator.crashes:
            project.recover()

    def clear(self) -> None:
        """Remove what nobody will look at."""
        if self.is_temporary:
            shutil.rmtree(self.home, ignore_errors=True)

    def _has_ended(self, simulator: Simulator) -> bool:
        assert simulator.project is not None
        return not self.served and self.execution_id not in simulator.project._shared.engine.lives

    def close(self, project: Project) -> None:
        """Note what came of it, check it, and let go."""
        self.last = project._store.head()
        for live in project._shared.engine.lives.values():
            if not live.is_trigger:
                self.left.append(f"{live.workflow} is still {live.state.status}: it waits for {waits_for(live)}")
        for execution in self.executions(project):
            assert_replays(execution)
        if self.server is not None:
            self.server.let_go()

    def executions(self, project: Project) -> list[Execution]:
        """Give the executions that were started in the simulation, in that order."""
        every = project.executions.list(limit=None)
        return [one for one in reversed(every) if self.first <= one.first_offset < self.last]
