"""A runner of a plugin whose jobs outlive the process that started them: each is a program of its own, found by its pid.

What a job's function returns is a folder. There the program waits until somebody writes into `fifo`: the job's value.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.children import is_alive

import aiflow as af
from aiflow.hooks import hookimpl
from aiflow.runners.base import Ended, Work
from aiflow.testing import ManualClock

PROGRAM = "(read line < fifo; echo $line > half && mv half out) > /dev/null 2>&1 & echo $!"


class Outside:
    """The runner, and the plugin that gives it.

    Parameters
    ----------
    heeds
        Whether it heeds a stop; else it takes its time.
    notes
        Whether it comes to note where its job runs.
    """

    keeps_running = True
    capacity: int | None = 2

    def __init__(self, heeds: bool = True, notes: bool = True) -> None:
        self.heeds, self.notes = heeds, notes
        self.works: list[Work] = []
        self.started: list[int] = []
        self.has_started, self.never = threading.Event(), threading.Event()

    @hookimpl
    def aiflow_runners(self) -> dict[str, Any]:
        return {"outside": lambda host: self}

    def start(self, work: Work, done: Callable[[Any, Ended], Any]) -> None:
        self.works.append(work)
        if self.notes:
            pid, folder = self._found(work) if work.noted is not None else self._started(work)
            threading.Thread(target=self._watch, args=(work, done, pid, folder), daemon=True).start()
        self.has_started.set()

    def _found(self, work: Work) -> tuple[int, Path]:
        assert work.noted is not None
        return work.noted["pid"], Path(work.noted["folder"])

    def _started(self, work: Work) -> tuple[int, Path]:
        function, args, kwargs = work.load()
        folder = Path(function(*args, **kwargs))
        if not (folder / "fifo").exists():
            os.mkfifo(folder / "fifo")
        (folder / "out").unlink(missing_ok=True)
        shell = subprocess.run(["/bin/sh", "-c", PROGRAM], cwd=folder, start_new_session=True, stdout=-1, check=True)
        self.started.append(int(shell.stdout))
        assert work.note({"pid": self.started[-1], "folder": str(folder)})
        return self.started[-1], folder

    def _watch(self, work: Work, done: Callable[[Any, Ended], Any], pid: int, folder: Path) -> None:
        out = folder / "out"
        while is_alive(pid) and not work.context.is_over:
            work.context.wait_stop(0.005) if self.heeds else self.never.wait(0.005)
            if self.heeds and work.context.stopping and not work.context.is_over:
                os.kill(pid, signal.SIGKILL)
        if work.context.is_over:  # another process goes on with it
            return
        text = (
            out.read_text().strip() if out.exists() else None
        )  # it stays: two may watch until one hears that it has lost
        failed = Ended("FAILED", reason="it was told to fail")
        done(work, Ended("STOPPED") if text is None else failed if text == "fail" else Ended("SUCCESS", text))

    def stop(self, work: Work) -> None:
        work.context.stop_event.set()

    def close(self) -> None: ...


def tell(folder: Path, line: str) -> None:
    """Let the program in a folder end with this value."""
    (folder / "fifo").write_text(line + "\n")


@af.job(runner="outside", retry_delay=0.0)
def far(folder: str) -> str:
    return folder


@af.job
def near(value: str) -> str:
    return value.upper()


@af.workflow(name="afar")
def flow(folder: str) -> None:
    near(far(folder))


def run_until_killed(home: str, folder: str) -> None:
    """Run the workflow in a process that is killed when its job has a note; and says what came of it if it is not."""
    outside = Outside()
    with af.Project("p", home=home, plugins=[outside]) as project:
        execution = project.start(flow, folder=folder)
        outside.has_started.wait(30)
        print("\nnoted", execution.id, outside.started[0], flush=True)
        execution.wait()


def take_over(home: str, folder: str, execution_id: str) -> list[Any]:
    """Take an execution over from a process that has not said for long that it works; give how often the job was started."""
    outside, later = Outside(), datetime.now(UTC) + timedelta(seconds=80)
    with af.Project("p", home=home, plugins=[outside], clock=ManualClock(later)) as project:
        execution = project.executions.get(execution_id).resume(take_over=True)
        outside.has_started.wait(30)
        return [len(outside.started), end(Path(folder), "hello", execution), execution.result("near")]


def end(folder: Path, line: str, execution: af.Execution) -> str:
    """Let a program end, and wait for the execution."""
    tell(folder, line)
    return str(execution.wait(30).status)
