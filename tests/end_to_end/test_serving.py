"""Serving from the command line: triggers and schedules, other processes, a second server that stands by, interrupts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import invariants
from tests.children import until

import aiflow as af
from aiflow.cli import main

FLOWS = """
import time
import aiflow as af

@af.job
def greet(name):
    print("hello", name)
    if name == "slow":
        af.current().wait_stop(60)
    return name

@af.workflow(start_on=af.event("guest"), max_parallel=5)
def welcome(name: str = "you"):
    greet(name)

@af.workflow
def plain(name: str = "plain"):
    greet(name)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "flows.py").write_text(FLOWS)
    home = tmp_path / "home"
    with af.Project("inn", home=home):
        pass
    yield home
    invariants.check(home)


@contextmanager
def served(home: Path) -> Iterator[subprocess.Popen[str]]:
    """`aiflow serve` in a process of its own, once it serves or stands by."""
    command = [sys.executable, "-m", "aiflow", "serve", str(home.parent / "flows.py"), "--home", str(home)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving inn")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_execution_that_was_deleted_after_its_server_died_is_not_started_again(home: Path) -> None:
    with af.Project(home=home) as project:
        with served(home):
            project.publish("guest", {"name": "slow"})
            until(lambda: [one for one in project.executions.list(status="RUNNING") if one.job("greet")])
        (slow,) = until(lambda: project.executions.list(status="INTERRUPTED"))
        project.executions.delete(slow)
        with served(home):
            project.publish("guest", {"name": "Ada"})
            until(lambda: project.executions.list(status="SUCCESS"))
        assert [one.params["name"] for one in project.executions.list()] == ["Ada"]


def test_a_file_that_is_changed_while_it_is_served_is_told_once(home: Path) -> None:
    with served(home) as process:
        assert process.stderr is not None
        (home.parent / "flows.py").write_text(FLOWS + "\n# another line\n")
        said = next(line for line in process.stderr if "changed" in line)
        assert said.startswith(f"{home.parent / 'flows.py'} was changed; what is served is what it was before")
        process.send_signal(signal.SIGINT)
        assert "was changed" not in process.stderr.read()


def test_events_and_schedules_start_executions_in_the_process_that_serves(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with af.Project(home=home) as project, served(home) as process:
        until(lambda: [t for t in project.triggers.list() if t.served])
        project.publish("guest", {"name": "Ada"}, context="table 7")
        until(lambda: project.executions.list(workflow="welcome", status="SUCCESS"))
        execution = project.executions.list(workflow="welcome")[0]
        assert (execution.result("greet"), execution.logs("greet")) == ("Ada", "hello Ada\n")
        add = ["schedule", "add", f"{home.parent / 'flows.py'}:plain", "--every", "0.2", "-p", "name=often"]
        assert main([*add, "--home", str(home)]) == 0
        until(lambda: project.executions.list(workflow="plain", status="SUCCESS"))
        assert main(["schedule", "pause", "plain", "--home", str(home)]) == 0
        assert main(["list", "schedules", "-o", "json", "--home", str(home)]) == 0
        told = capsys.readouterr().out
        assert '"PAUSED"' in told[told.index("[") :]
        assert project.schedules.get("plain").paused
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"welcome {execution.id}  started for table 7 by guest" in errors
        assert "SUCCESS" in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_what_runs_and_then_the_server(home: Path, number: signal.Signals, code: int) -> None:
    with af.Project(home=home) as project, served(home) as process:
        until(lambda: [t for t in project.triggers.list() if t.served])
        project.publish("guest", {"name": "slow"})
        until(lambda: project.executions.list(status="RUNNING"))
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == code
        assert [str(e.status) for e in project.executions.list()] == ["STOPPED"]


def test_25_another_server_stands_by_and_goes_on_when_the_first_was_killed(home: Path) -> None:
    with af.Project(home=home) as project, served(home) as first:
        until(lambda: [t for t in project.triggers.list() if t.served])
        with served(home) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == (
                "  welcome: on event('guest'); another process serves it, and this one stands by\n"
            )
            project.publish("guest", {"name": "slow"})
            until(lambda: project.executions.list(status="RUNNING"))
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            project.publish("guest", {"name": "Ada"})
            until(lambda: project.executions.list(status="SUCCESS"), seconds=40)
            slow = next(e for e in project.executions.list() if e.params["name"] == "slow")
            until(lambda: str(slow.status) == "RUNNING" and slow.job("greet") is not None, seconds=40)
            slow.stop().wait(30)
            assert len(project.executions.list()) == 2
