"""Rule 38: a job that works on a version waits until there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.children import alone, until
from tests.metadata import deeds

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

knn = af.Model("knn")
old = af.Model("old")
WAITS = "waits for a version of knn"


@af.predict(knn)
def add(model: float, n: float) -> float:
    return model + n


@af.push_model(knn)
def push(version: af.ModelVersion) -> None: ...


@af.train(knn, base=old)
def fit(rows: list[float], base: float) -> float:
    return base + sum(rows)


@af.workflow
def adding() -> None:
    add(1)


@af.workflow
def pushing() -> None:
    add(push(), 1)


@af.workflow
def fitting() -> None:
    fit([1])


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """A project whose clock is turned by hand, with jobs that run when somebody waits."""
    with project_for_tests(tmp_path / "home", clock=ManualClock()) as project:
        yield project


def test_38_a_job_without_a_version_is_queued_with_a_label_and_starts_when_one_appears(still: af.Project) -> None:
    execution = still.start(adding)
    run_until_idle(still)
    waiting = execution.job("add")
    assert waiting is not None
    assert (execution.status, waiting.status, waiting.label, waiting.started) == ("RUNNING", "QUEUED", WAITS, None)
    assert WAITS in execution.why("add")
    still.models.get("knn").log(1.0)  # of a stage that does not fit
    run_until_idle(still)
    assert execution.status == "RUNNING"
    still.models.get("knn").deploy(1)
    run_until_idle(still)
    assert (execution.status, execution.result("add")) == ("SUCCESS", 2.0)
    ended = execution.job("add")
    assert ended is not None
    assert (ended.number, ended.label) == (1, None)
    assert_replays(execution)


def test_38_a_job_waits_for_the_base_that_it_asks_for(still: af.Project) -> None:
    execution = still.start(fitting)
    run_until_idle(still)
    waiting = execution.job("fit")
    assert waiting is not None
    assert (waiting.status, waiting.label) == ("QUEUED", "waits for a version of old")
    still.models.get("old").log(10)
    run_until_idle(still)
    assert execution.result("fit").load() == 11


def test_38_a_call_that_binds_the_base_itself_waits_for_none(still: af.Project) -> None:
    execution = still.run(af.workflow(lambda: fit([1], base=5), name="bound"))
    assert execution.result("fit").load() == 6


def test_38_wait_for_models_false_fails_it_at_once(still: af.Project) -> None:
    flow = af.workflow(adding.function, name="hasty", wait_for_models=False)
    execution = still.run(flow, check=False)
    failed = execution.job("add")
    assert failed is not None
    assert (execution.status, failed.status) == ("FAILED", "FAILED")
    assert failed.error == "NotFound: no version (DEPLOYED) for add of model 'knn'"


def test_a_wait_for_models_that_is_no_bool_is_refused() -> None:
    with pytest.raises(af.ParameterError, match="'wait_for_models' of workflow 'odd' must be True or False, not 3"):
        af.workflow(adding.function, name="odd", wait_for_models=3)


def test_38_what_waits_for_a_version_is_dropped_by_a_stop(still: af.Project) -> None:
    execution = still.start(adding)
    run_until_idle(still)
    execution.stop()
    run_until_idle(still)
    assert (execution.status, execution.jobs) == ("STOPPED", [])
    still.models.get("knn").log(1.0, stage="DEPLOYED")
    run_until_idle(still)
    assert execution.jobs == []


@pytest.mark.parametrize(
    ("workflow", "job", "said"),
    [
        (adding, "add", "waited for a version of knn (DEPLOYED)"),
        (fitting, "fit", "waited for a version of old (GENERATED or VALIDATED or DEPLOYED)"),
    ],
)
def test_38_what_waited_for_a_version_is_known_when_its_execution_has_ended(
    still: af.Project, workflow: af.Workflow, job: str, said: str
) -> None:
    execution = still.start(workflow)
    run_until_idle(still)
    execution.stop("it took too long")
    still.models.register(knn).log(1.0, stage="DEPLOYED")  # too late for it
    still.models.register(old).log(1.0)
    later = still.start(workflow)
    run_until_idle(still)
    assert said in execution.why(job)
    assert "waited for a version" not in later.why(job)


def test_38_what_waits_for_a_version_is_dropped_by_a_rule(still: af.Project) -> None:
    @af.workflow
    def stoppable() -> None:
        add(1).stop_on(af.event("enough"))

    execution = still.start(stoppable)
    run_until_idle(still)
    still.publish("enough")
    run_until_idle(still)
    jobs = [(j.job, j.status, j.label) for j in execution.jobs]
    assert (execution.status, jobs) == ("SUCCESS", [("add", "SKIPPED", None)])


def test_38_a_start_that_brings_a_version_does_not_wait(still: af.Project) -> None:
    models = still.models.register(knn)

    @af.workflow
    def following() -> None:
        add(1).start_on(af.event("knn", type="MODEL_GENERATED"))

    execution = still.start(following)
    models.log(5.0)
    run_until_idle(still)
    assert execution.result("add") == 6.0


def test_38_the_version_of_another_process_is_seen(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        execution = project.start(pushing)
        until(lambda: execution.job("push") is not None)
        alone(deeds.log_validated, str(tmp_path), 1.5)
        execution.wait(30)
        assert execution.result("add") == 2.5


def test_38_what_waits_goes_on_waiting_in_the_process_that_resumes(tmp_path: Path) -> None:
    clock = ManualClock()
    with project_for_tests(tmp_path / "home", clock=clock) as project:
        execution = project.start(adding)
        run_until_idle(project)
        project.close(detach=True)
    with project_for_tests(tmp_path / "home", clock=clock) as project:
        again = project.executions.get(execution.id)
        assert again.status == "INTERRUPTED"
        again.resume()
        run_until_idle(project)
        assert [(j.status, j.label) for j in again.jobs] == [("QUEUED", WAITS)]
        project.models.get("knn").log(1.0, stage="DEPLOYED")
        run_until_idle(project)
        assert again.result("add") == 2.0


@af.predict(knn)
def either(model: Any, n: Any = 0) -> Any:
    return [model, n]


@af.job
def hand_on(value: Any) -> Any:
    return value


@af.job(outputs=2)
def pair(value: Any) -> Any:
    return value, 1


@af.job
def drip(*values: Any) -> Iterator[Any]:
    yield from values


def test_38_a_call_that_can_be_read_both_ways_waits_only_if_no_version_has_come(still: af.Project) -> None:
    version = still.models.register(knn).log("made")

    @af.workflow
    def flow() -> None:
        either.options(name="given")(hand_on(version))
        either.options(name="part")(pair(version)[0])
        either.options(name="constant")(version)
        either.options(name="items")(drip(version))
        either.options(name="waits")(hand_on(5))
        either.options(name="alone")()

    execution = still.start(flow)
    run_until_idle(still)
    for name in ("given", "part", "constant", "items"):
        assert execution.result(name) == ["made", 0], name
    assert {j.job for j in execution.jobs if j.label == WAITS} == {"waits", "alone"}
    still.models.get("knn").deploy(1)
    run_until_idle(still)
    assert (execution.result("waits"), execution.result("alone")) == (["made", 5], ["made", 0])


def test_38_the_value_of_an_earlier_execution_is_looked_at_too(still: af.Project) -> None:
    version = still.models.register(knn).log("made")

    @af.workflow
    def flow() -> None:
        either(hand_on(version))

    still.run(flow)
    assert still.run(flow, start_from="either").result("either") == ["made", 0]


def test_38_starts_that_come_while_one_waits_run_after_it(still: af.Project) -> None:
    @af.workflow(ends="never")
    def flow() -> None:
        add(1).start_on(af.event("go"))

    execution = still.start(flow)
    for _ in range(3):
        still.publish("go")
    run_until_idle(still)
    assert [(j.number, j.status) for j in execution.jobs] == [(1, "QUEUED")]
    still.models.get("knn").log(1.0, stage="DEPLOYED")
    run_until_idle(still)
    assert execution.results("add") == [2.0, 2.0, 2.0]
    execution.stop()
