"""A process that runs a stream on Flink and dies in the middle of what it writes down of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.faults import watch
from tests.flink import deeds
from tests.flink.waiting import until

import aiflow as af


def main(home: str, path: str, nth: str, when: str) -> None:
    """Die before or after the commit of the `nth` note of the job: begun, submitted, complete, asked to stop, where the state is."""
    project = af.Project("flink", home=home)
    notes, is_noting = 0, False

    def before(sql: str) -> None:
        nonlocal notes, is_noting
        if sql.startswith("UPDATE job_executions SET note"):
            notes, is_noting = notes + 1, True
        if sql == "COMMIT" and is_noting and notes == int(nth) and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)

    def after(sql: str) -> None:
        nonlocal is_noting
        if sql == "COMMIT" and is_noting:
            is_noting = False
            if notes == int(nth) and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)

    watch(project, before=before, after=after)
    execution = project.start(deeds.endless, path=path)
    print(execution.id, flush=True)
    until(lambda: len(deeds.lines(path)) > 20)
    execution.stop()
    execution.wait(300)


def run(home: object, path: object, nth: int, when: str) -> str:
    """Run it until it is dead; give the execution's id."""
    call = f"from tests.flink.killed import main; main({str(home)!r}, {str(path)!r}, {str(nth)!r}, {when!r})"
    done = subprocess.run([sys.executable, "-c", call], stdout=subprocess.PIPE, text=True, timeout=400, check=False)
    assert done.returncode == -signal.SIGKILL
    return done.stdout.strip()
