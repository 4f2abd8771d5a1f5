"""A process that runs a stream on Flink and dies in the middle of what it writes down of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.faults import Watched
from tests.flink import deeds
from tests.flink.waiting import until

import aiflow as af

Note = dict[str, Any]

NOTES: dict[str, Callable[[Note], bool]] = {
    "submitted": lambda note: bool(note["jobs"]),
    "complete": lambda note: note["is_complete"],
    "asked": lambda note: note["is_asked"],
    "saved": lambda note: note["is_asked"] and "/savepoint-" in str(note["savepoints"]),
}
"""What is written down of the job, in this order; checkpoints, which come when they come, may be noted between."""


class Dying(Watched):
    """Dies before or after the commit of the first note of a kind."""

    def __init__(self, connection: Any, kind: str, when: str) -> None:
        super().__init__(connection, self._before, self._after)
        self._kind, self._when, self._is_noting = kind, when, False

    def execute(self, sql: str, *values: Any) -> Any:
        if sql.startswith("UPDATE job_executions SET note") and NOTES[self._kind](json.loads(values[0][0])):
            self._is_noting = True
        return super().execute(sql, *values)

    def _before(self, sql: str) -> None:
        self._die_at(sql, "before")

    def _after(self, sql: str) -> None:
        self._die_at(sql, "after")

    def _die_at(self, sql: str, when: str) -> None:
        if sql == "COMMIT" and self._is_noting and self._when == when:
            os.kill(os.getpid(), signal.SIGKILL)


def main(home: str, path: str, kind: str, when: str) -> None:
    """Run a stream and stop it, and die at the commit of a note."""
    project = af.Project("flink", home=home)
    store = project._shared.store
    store.writer = Dying(store.writer, kind, when)
    execution = project.start(deeds.endless, path=path)
    print(execution.id, flush=True)
    until(lambda: len(deeds.lines(path)) > 20)
    execution.stop()
    execution.wait(300)


def run(home: object, path: object, kind: str, when: str) -> str:
    """Run it until it is dead; give the execution's id."""
    call = f"from tests.flink.killed import main; main({str(home)!r}, {str(path)!r}, {kind!r}, {when!r})"
    done = subprocess.run([sys.executable, "-c", call], stdout=subprocess.PIPE, text=True, timeout=400, check=False)
    assert done.returncode == -signal.SIGKILL
    return done.stdout.strip()
