"""Long and wide graphs work, and cost no more per job than short ones."""

from typing import Any

import pytest
from tests import invariants

import aiflow as af


@af.job
def add(*numbers: int) -> int:
    return sum(numbers) + 1


@pytest.mark.slow
def test_a_chain_of_ten_thousand_jobs_works(project: af.Project) -> None:
    @af.workflow
    def long(length: int) -> None:
        node: Any = 0
        for _ in range(length):
            node = add(node)

    execution = project.run(long, length=10_000, timeout=120)
    assert execution.result("add_10000") == 10_000
    assert project.events.count(types="JOB_STATUS_CHANGED") == 20_000


def test_one_thousand_jobs_side_by_side_work(project: af.Project) -> None:
    @af.workflow
    def wide(width: int) -> None:
        first = add(0)
        add.options(name="last")(*[add(first) for _ in range(width)])

    execution = project.run(wide, width=1000, timeout=60)
    assert execution.result("last") == 2001
    assert len(execution.jobs) == 1002


def test_a_failure_above_a_thousand_jobs_skips_them_all(project: af.Project) -> None:
    @af.job
    def fail() -> int:
        raise ValueError("no")

    @af.workflow
    def wide() -> None:
        first = fail()
        add.options(name="last")(*[add(add(first)) for _ in range(500)])

    execution = project.run(wide, check=False, timeout=60)
    assert execution.status == "FAILED"
    assert {str(j.status) for j in execution.jobs} == {"FAILED", "SKIPPED"}
    assert len(execution.jobs) == 1002


def test_many_executions_at_once_are_kept_apart(project: af.Project) -> None:
    @af.job
    def own() -> str:
        return af.current().execution_id

    @af.workflow
    def small() -> None:
        own()
        own()

    executions = [project.start(small) for _ in range(100)]
    for execution in executions:
        execution.wait(60)
        assert execution.results("own") == execution.results("own_2") == [execution.id]
    invariants.check(project.home)


def test_an_empty_workflow_succeeds_at_once(project: af.Project) -> None:
    @af.workflow
    def nothing() -> None:
        return None

    assert project.run(nothing, timeout=20).status == "SUCCESS"
