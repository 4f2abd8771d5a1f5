"""What processes beside the test do in its end-to-end stories. Each function is called in a fresh interpreter."""

import importlib.util
import os
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.children import Fork, fork

import aiflow as af
from aiflow.testing import ManualClock


def load(file: str) -> ModuleType:
    """Import a file of the user's."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run_file(home: str, file: str) -> str:
    """Start the workflow `flow` of a file, say its id, and wait for its end; jobs may talk on standard output."""
    flow = load(file).flow
    with af.Project("story", home=home) as project:
        execution = project.start(flow)
        sys.stdout.write(f"id {execution.id}\n")  # in one piece, for jobs talk, too
        sys.stdout.flush()
        execution.wait()
        return str(execution.status)


def serve_until_told(home: str, file: str) -> list[str]:
    """Start the workflow `flow` of a file and keep the project open until standard input ends."""
    flow = load(file).flow
    with af.Project("story", home=home) as project:
        execution = project.start(flow)
        sys.stdout.write(f"id {execution.id}\n")  # in one piece, for jobs talk, too
        sys.stdout.flush()
        sys.stdin.read()
        statuses = [str(execution.status)]
        if not execution.status.is_ended:
            execution.stop().wait(20)
        return statuses


def recover_file(home: str, file: str) -> dict[str, Any]:
    """Import a file and recover; give what became of each execution."""
    load(file)
    with af.Project("story", home=home) as project:
        before = {e.id: str(e.status) for e in project.executions.list()}
        taken = [e.id for e in project.recover()]
        for name in taken:
            project.executions.get(name).wait(30)
        return {"before": before, "taken": taken, "after": describe(project)}


def resume_file(home: str, file: str, execution_id: str) -> dict[str, Any]:
    """Import a file and resume one execution; give the error, if it is refused, or what became of it."""
    load(file)
    with af.Project("story", home=home) as project:
        execution = project.executions.get(execution_id)
        try:
            execution.resume()
        except af.AIFlowError as error:
            return {"error": f"{type(error).__name__}: {error}", "after": describe(project)}
        execution.wait(30)
        return {"error": None, "after": describe(project)}


def describe(project: af.Project) -> dict[str, Any]:
    """Give the executions of a project, with their jobs and JSON results."""
    return {
        e.id: {
            "status": str(e.status),
            "jobs": [[j.job, j.number, j.attempt, str(j.status), j.reason] for j in e.jobs],
        }
        for e in project.executions.list(limit=None)
    }


def act(home: str, execution_id: str, *steps: Any) -> list[Any]:
    """Act on an execution of another process; give what each step gave, or its error."""
    answers: list[Any] = []
    with af.Project("story", home=home) as project:
        execution = project.executions.get(execution_id)
        for step, *values in steps:
            try:
                if step == "publish":
                    answers.append(project.publish(*values).offset)
                elif step == "wait":
                    execution.wait(20)
                    answers.append(str(execution.status))
                elif step == "status":
                    answers.append(str(execution.status))
                elif step == "jobs":
                    answers.append([[j.job, j.number, str(j.status)] for j in execution.jobs])
                elif step == "result":
                    answers.append(execution.result(*values))
                elif step == "logs":
                    answers.append(execution.logs(*values))
                else:
                    getattr(execution, step)(*values)
                    answers.append("done")
            except af.AIFlowError as error:
                answers.append(f"{type(error).__name__}: {error}")
    return answers


def lose_three_times(home: str) -> dict[str, Any]:
    """Kill the process of a job whenever it runs; give what becomes of it."""
    print_before = []

    @af.job
    def deadly() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @af.job
    def after(value: Any) -> int:
        return 1

    @af.workflow
    def doomed() -> None:
        after(deadly())

    def run() -> None:
        project = af.Project("story", home=home)
        if project.executions.count():
            project.recover()[0].wait(30)
        else:
            project.run(doomed)

    def look() -> dict[str, Any]:
        with af.Project("story", home=home) as project:
            (execution,) = project.executions.list()
            job = execution.job("deadly")
            assert job is not None
            return {
                "status": str(execution.status),
                "job": str(job.status),
                "attempt": job.attempt,
                "reason": job.reason,
            }

    while Fork(run).wait().killed:
        print_before.append(fork(look)["status"])
    return {"kills": len(print_before), "between": print_before, **fork(look)}


def take_at_once(home: str, file: str, count: int) -> list[Any]:
    """Let several processes recover the same execution at the same moment; give how many each has taken."""
    from tests.children import fork_together

    load(file)
    assert af.Project

    def recover(number: int) -> int:
        with af.Project("story", home=home) as project:
            taken = project.recover()
            for execution in taken:
                execution.wait(30)
            return len(taken)

    return fork_together(count, recover)


def wait_forever() -> None:
    """Wait until the process is killed."""
    threading.Event().wait()


def take_over_later(home: str, file: str, execution_id: str, seconds: float) -> dict[str, Any]:
    """Try to take an execution over, with a clock that is so many seconds ahead."""
    load(file)
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=seconds))
    with af.Project("story", home=home, clock=clock) as project:
        execution = project.executions.get(execution_id)
        errors = []
        for take_over in (False, True):
            try:
                execution.resume(take_over=take_over).wait(30)
            except af.Conflict as error:
                errors.append(str(error))
        return {"errors": errors, "after": describe(project)}
