"""The same workflow in every runner: values, failures, output, `af.current()`, and trouble that stays with its job."""

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import child, is_alive, until
from tests.end_to_end import deeds

import aiflow as af

RUNNERS = ["thread", "inline", "process"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    with af.Project("runners", home=tmp_path / "home", workers=3) as project:
        yield project
        invariants.check(project.home)


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_values_of_all_kinds_go_from_job_to_job(project: af.Project, runner: str) -> None:
    @af.job(outputs=2)
    def make() -> Any:
        return {"a": (1, {2})}, b"\0" * 50_000

    @af.job
    def check(first: Any, second: bytes, constant: list[Any]) -> Any:
        return [first["a"], len(second), constant]

    @af.job
    def square(n: int) -> int:
        return n * n

    @af.workflow(runner=runner)
    def passing() -> None:
        first, second = make()
        check(first, second, [None, {"k": 1.5}])
        square.map([1, 2, 3])

    execution = project.run(passing, timeout=60)
    assert execution.result("check") == [(1, {2}), 50_000, [None, {"k": 1.5}]]
    assert execution.result("square") == [1, 4, 9]


def test_what_a_job_prints_and_logs_is_kept_with_it(project: af.Project, runner: str) -> None:
    @af.job(retries=1, retry_delay=0)
    def talk() -> None:
        print("out", af.current().attempt)
        print("err", file=sys.stderr)
        logging.getLogger("mine").warning("careful")
        if af.current().attempt == 1:
            raise ValueError("once")

    @af.workflow(runner=runner)
    def talking() -> None:
        talk()

    execution = project.run(talking, timeout=60)
    text = execution.logs("talk")
    assert "out 1" in text
    assert "out 2" in text
    assert "err" in text
    assert "WARNING mine: careful" in text
    assert text.index("attempt 1") < text.index("out 1") < text.index("attempt 2") < text.index("out 2")


def test_a_job_knows_who_it_is_and_may_publish(project: af.Project, runner: str) -> None:
    @af.job
    def tell() -> Any:
        job = af.current()
        job.set_label("telling")
        af.publish("told", {"n": job.number})
        job.publish("told", {"n": -1})
        return [job.job, job.number, job.attempt, job.params, job.context, job.scratch.is_dir(), job.project.name]

    @af.job
    def hear() -> Any:
        job = af.current()
        assert job.event is not None
        return [job.event.sender, [e.value for e in job.events]]

    @af.workflow(runner=runner)
    def telling(k: int = 3) -> None:
        tell()
        hear().start_on(af.event("told").times(2))

    execution = project.run(telling, context="here", timeout=60)
    assert execution.result("tell") == ["tell", 1, 1, {"k": 3}, "here", True, "runners"]
    assert execution.result("hear") == ["tell", [{"n": 1}, {"n": -1}]]
    assert execution.job("tell").label == "telling"  # type: ignore[union-attr]


def test_a_failure_comes_with_its_traceback_and_without_our_frames(project: af.Project, runner: str) -> None:
    class Two(Exception):
        def __init__(self, first: str, second: str) -> None:  # does not survive pickling
            super().__init__(f"{first} {second}")

    @af.job
    def fail() -> None:
        raise Two("one", "two")

    @af.workflow(runner=runner)
    def failing() -> None:
        fail()

    with pytest.raises(af.ExecutionFailed, match="one two") as failed:
        project.run(failing, timeout=60)
    assert 'raise Two("one", "two")' in str(failed.value)
    job = failed.value.execution.job("fail")
    assert "aiflow/runners" not in job.traceback


def test_a_job_may_skip_itself(project: af.Project, runner: str) -> None:
    @af.job
    def skip() -> None:
        raise af.Skip("nothing to do")

    @af.workflow(runner=runner)
    def skipping() -> None:
        skip()

    job = project.run(skipping, timeout=60).job("skip")
    assert job is not None
    assert (job.status, job.reason) == ("SKIPPED", "nothing to do")


def test_stopping_reaches_the_job(project: af.Project) -> None:
    for runner in ("thread", "process"):

        @af.job(runner=runner)
        def wait() -> None:
            print("waiting", flush=True)
            af.current().wait_stop(30)

        @af.workflow
        def waiting() -> None:
            wait()

        execution = project.start(waiting)
        until(lambda e=execution: "waiting" in e.logs("wait"))
        execution.stop().wait(20)
        assert [str(j.status) for j in execution.jobs] == ["STOPPED"], runner


def die_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_by_exit() -> None:
    os._exit(0)


def hang_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()


@pytest.mark.parametrize(
    ("deed", "says"),
    [(die_by_signal, "SIGKILL|signal 9|killed"), (die_by_exit, "exit|0"), (hang_deaf, "timed out after 0.3 s")],
)
def test_a_process_that_dies_or_hangs_fails_its_job_and_no_other(project: af.Project, deed: Any, says: str) -> None:
    @af.job(runner="process")
    def fine(n: int) -> int:
        return n + 1

    @af.workflow
    def troubled() -> None:
        af.job(runner="process", name="bad", timeout=0.3 if deed is hang_deaf else 30, stop_timeout=0.1)(deed)()
        fine(fine(1))

    execution = project.run(troubled, check=False, timeout=60)
    bad = execution.job("bad")
    assert bad is not None
    assert bad.status == "FAILED"
    assert re.search(says, f"{bad.reason} {bad.error}")
    assert execution.result("fine_2") == 3


def test_commands_run_beside_jobs(project: af.Project) -> None:
    @af.job
    def length(text: str) -> int:
        return len(text)

    @af.workflow
    def mixed() -> None:
        length(af.command(["echo", "hello world"]))
        af.command([sys.executable, "-c", "import sys; sys.exit('no good')"], name="bad", allow_failure=True)

    execution = project.run(mixed, timeout=60)
    assert execution.result("length") == 11
    bad = execution.job("bad")
    assert bad is not None
    assert bad.status == "FAILED"
    assert "no good" in f"{bad.reason} {bad.error}"


def test_a_runner_that_is_not_there_is_named_before_anything_starts(project: af.Project) -> None:
    @af.workflow(runner="proces")
    def odd() -> None:
        af.job(name="one")(lambda: 1)()

    with pytest.raises(af.ParameterError, match="one.*proces.*did you mean 'process'"):
        project.run(odd)
    assert project.executions.count() == 0


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(
        "import os, subprocess, sys, threading\nimport aiflow as af\n"
        "@af.job(runner='process')\ndef own():\n"
        "    other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "    os.write(1, f'{os.getpid()} {other.pid}\\n'.encode())\n    threading.Event().wait()\n"
        "@af.workflow(name='parents')\ndef flow():\n    own()\n"
    )
    with child(deeds.run_file, str(tmp_path / "home"), str(file)) as parent:
        heard = [parent.hear(), parent.hear()]
        pids = [int(p) for line in heard if not line.startswith("id") for p in line.split()]
        assert len(pids) == 2
        parent.kill()
    until(lambda: not any(map(is_alive, pids)))
