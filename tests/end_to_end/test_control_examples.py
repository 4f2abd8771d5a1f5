"""E1 to E3, E15, E19 and E22 of the parity list: what starts, stops and restarts what within one execution."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import hatchery
from tests.children import until
from tests.end_to_end.conftest import EXAMPLES, Example

import aiflow as af
from aiflow.testing import simulate


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    with af.Project("control", home=tmp_path / "home") as project:
        yield project


def runs_of(execution: af.Execution) -> dict[str, list[str]]:
    """Give the statuses in which the runs of each job ended, in their order."""
    found: dict[str, list[str]] = {}
    for job in execution.jobs:
        found.setdefault(job.job, []).append(str(job.status))
    return found


def when(execution: af.Execution, job: str, status: str, number: int = 1) -> int:
    """Give the offset of the event that says that a job came to a status."""
    for event in execution.events():
        if event.key == f"job:{job}" and (event.value["status"], event.value["number"]) == (status, number):
            return event.offset
    raise AssertionError(f"{job} was never {status}")


def processes_of(execution: af.Execution) -> list[int]:
    """Give the processes of this machine that the jobs of an execution have started, or that these have started."""
    mark, found = f"AIFLOW_EXECUTION={execution.id}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:  # it is gone, or somebody else's
            continue
    return found


def test_e1_both_jobs_succeed_in_their_order(project: af.Project, example: Example) -> None:
    execution = project.run(example("simple_workflow").simple_workflow)
    assert runs_of(execution) == {"task_1": ["SUCCESS"], "task_2": ["SUCCESS"]}
    assert when(execution, "task_1", "SUCCESS") < when(execution, "task_2", "RUNNING")
    assert execution.logs("task_2") == "hello from task_2\n"


def test_e2_a_job_is_stopped_by_the_job_that_it_has_started_and_no_process_is_left(
    project: af.Project, example: Example
) -> None:
    execution = project.start(example("control_cycle").control_cycle, seconds=0.3)
    until(lambda: processes_of(execution) or execution.status.is_ended)
    execution.wait(60)
    assert runs_of(execution) == {"task_1": ["SUCCESS"], "task_2": ["STOPPED"], "task_3": ["SUCCESS"]}
    assert when(execution, "task_2", "RUNNING") < when(execution, "task_3", "RUNNING")
    assert when(execution, "task_3", "SUCCESS") < when(execution, "task_2", "STOPPED")
    assert execution.status == "SUCCESS"
    assert execution.job("task_2").reason == "the command was killed by SIGTERM after it was asked to stop"
    assert processes_of(execution) == []


def test_e3_a_job_runs_again_when_another_has_stopped(project: af.Project, example: Example) -> None:
    execution = project.run(example("action_on_status").action_on_status, seconds=0.3)
    assert runs_of(execution) == {"task_1": ["SUCCESS"], "task_2": ["STOPPED"], "task_3": ["SUCCESS", "SUCCESS"]}
    assert when(execution, "task_1", "SUCCESS") < when(execution, "task_2", "STOPPED")
    assert when(execution, "task_2", "STOPPED") < when(execution, "task_3", "RUNNING", 2)
    assert execution.status == "SUCCESS"


def test_e15_one_job_waits_for_two_and_another_for_what_it_publishes(project: af.Project, example: Example) -> None:
    execution = project.run(example("quickstart").quickstart)
    assert runs_of(execution) == {f"task_{number}": ["SUCCESS"] for number in (1, 2, 3, 4)}
    assert max(when(execution, job, "SUCCESS") for job in ("task_1", "task_2")) < when(execution, "task_3", "RUNNING")
    (published,) = project.events.list("key")
    assert execution.job("task_4").event == published
    assert published.value == "This is a custom message."
    assert when(execution, "task_3", "RUNNING") < published.offset < when(execution, "task_4", "RUNNING")


def check_consumer(project: af.Project, execution: af.Execution) -> None:
    assert runs_of(execution) == {"consumer": ["SUCCESS"], **{f"producer_{n}": ["STOPPED"] for n in (1, 2, 3)}}
    last = execution.job("consumer").event
    total = sum(event.value for event in project.events.list("produced", limit=None) if event.offset <= last.offset)
    assert total - last.value < 100 <= total
    assert execution.status == "SUCCESS"


def test_e19_one_consumer_starts_when_the_sum_is_reached_and_ends_all_producers(
    project: af.Project, example: Example
) -> None:
    check_consumer(project, project.run(example("custom_condition").custom_condition, pause=0.001, timeout=60))


@pytest.mark.parametrize("seed", range(3))
def test_e19_the_same_in_any_order_and_over_a_crash(example: Example, seed: int) -> None:
    found = simulate(example("custom_condition").custom_condition, seed=seed, crashes=1)
    check_consumer(found.project, found.execution)


def test_e22_each_kind_of_job_succeeds_and_its_log_is_there_for_another_process(tmp_path: Path) -> None:
    words = ["-m", "aiflow", "run", str(EXAMPLES / "one_of_each.py"), "-o", "json"]
    env = {**os.environ, "AIFLOW_HOME": str(tmp_path)}
    ran = hatchery.run(words, cwd=tmp_path, env=env, timeout=60)
    assert ran.returncode == 0, ran.stderr
    with af.Project(home=tmp_path) as project:
        execution = project.executions.get(json.loads(ran.stdout)["id"])
        kinds = ("program", "thread", "process", "inline", "async")
        assert runs_of(execution) == {"observer": ["STOPPED"], **{kind: ["SUCCESS"] for kind in (*kinds, "last")}}
        assert all(execution.logs(kind).startswith(f"{kind}: ") for kind in kinds)
        assert execution.result("process") != execution.result("thread") == execution.result("inline")
        assert execution.job("observer").label.startswith("the load is ")
