"""Conditions on the metadata in real projects: starts, stops and restarts, what is so already, other processes, crashes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone, child, until
from tests.metadata import reactions

import aiflow as af
from aiflow.graph.event import Draft
from aiflow.graph.notation import from_json
from aiflow.serving import Server
from aiflow.testing import assert_replays, project_for_tests, run_until_idle, simulate

KNN, IRIS = af.Model("knn"), af.Dataset("iris")


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """A project with the inline runner and the manual clock; what is in its store is checked at the end."""
    with project_for_tests(tmp_path / "home") as project:
        yield project
    invariants.check(tmp_path / "home")


@af.job
def note() -> Any:
    event = af.current().event
    return None if event is None else [event.type, event.key, event.value]


@af.job
def other() -> None: ...


def waiting(condition: af.Condition, name: str = "waiting", **options: Any) -> af.Workflow:
    def body() -> None:
        note().start_on(condition)

    return af.workflow(body, name=name, **options)


def metric(name: str, value: Any, model: str | None = None, **more: Any) -> Draft:
    """The event of a value that was logged."""
    said = {
        "id": 1,
        "value": value,
        "step": None,
        "model": model,
        "number": None,
        "dataset": None,
        "dataset_number": None,
    }
    return Draft(name, {**said, **more}, "METRIC_LOGGED", "default")


# --- each change ------------------------------------------------------------------------------------------------------


def changes(project: af.Project) -> None:
    """Let a model go through all stages."""
    knn = project.models.get("knn")
    knn.log(1)
    knn.validate(1)
    knn.deploy(1)
    knn.deploy(1)
    knn.log(2, stage="DEPLOYED")
    knn.delete(1)


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        (KNN.generated, [1]),
        (KNN.validated, [1]),
        (KNN.deployed, [1, 2]),
        (KNN.deprecated, [1]),
        (KNN.deleted, [1]),
        (af.Model("svm").deployed, []),
        (af.event("knn", type="MODEL_DEPLOYED"), [1, 2]),
        (af.event("knn", where=lambda event: event.type == "MODEL_DEPRECATED"), [1]),
    ],
    ids=str,
)
def test_each_change_of_a_model_starts_a_job_with_the_version_in_its_event(
    still: af.Project, condition: af.Condition, numbers: list[int]
) -> None:
    still.models.register(KNN)
    execution = still.start(waiting(condition, ends="never"))
    changes(still)
    run_until_idle(still)
    assert [value[2]["number"] for value in execution.results("note")] == numbers
    execution.stop()
    assert_replays(execution)


@pytest.mark.parametrize(("verb", "statuses"), [("stop_on", ["STOPPED"]), ("restart_on", ["STOPPED", "RUNNING"])])
def test_a_change_stops_or_restarts_a_job(project: af.Project, verb: str, statuses: list[str]) -> None:
    @af.job
    def watch() -> None:
        af.current().wait_stop()

    @af.workflow
    def watching() -> None:
        getattr(watch(), verb)(KNN.deployed)

    knn = project.models.register(KNN)
    execution = project.start(watching)
    until(lambda: execution.jobs)
    knn.log(1, stage="DEPLOYED")
    until(lambda: [str(j.status) for j in execution.jobs] == statuses)
    if verb == "restart_on":
        event = execution.jobs[-1].event
        assert event is not None
        assert (event.key, event.type) == ("knn", "MODEL_DEPLOYED")
        execution.stop()
    execution.wait(30)


def test_a_value_of_a_metric_stops_an_execution_and_says_which(still: af.Project) -> None:
    execution = still.start(waiting(KNN.deployed, stop_on=KNN.metric("loss") > 10, ends="never"))
    still.publish_many([metric("loss", 11, "svm"), metric("loss", 10, "knn"), metric("loss", "NaN", "knn")])
    assert execution.status == "RUNNING"
    still.publish_many([metric("loss", "Infinity", "knn")])
    assert execution.status == "STOPPED"
    assert execution.reason == "stopped by knn.metric('loss') > 10"


def test_3_a_change_concerns_every_namespace_and_a_metric_of_whatever_its_own(still: af.Project) -> None:
    with af.Project("theirs", home=still.home) as theirs:
        changed = still.start(waiting(KNN.deployed, "changed"))
        ours = still.start(waiting(af.metric("loss") > 1, "ours"))
        both = still.start(waiting(af.metric("loss", namespace="*") > 1, "both"))
        mine = still.start(waiting(KNN.metric("loss") > 1, "mine"))
        theirs.models.register(KNN).log(1, stage="DEPLOYED")
        theirs.publish_many([metric("loss", 2, "knn")._replace(namespace="theirs")])
        run_until_idle(still)
        assert [str(e.status) for e in (changed, ours, both, mine)] == ["SUCCESS", "RUNNING", "SUCCESS", "SUCCESS"]
        still.publish_many([metric("loss", 2)._replace(namespace=still.name)])
        run_until_idle(still)
        assert ours.status == "SUCCESS"


def test_own_counts_what_the_same_execution_changes_and_nothing_else(still: af.Project) -> None:
    @af.job
    def train() -> None:
        af.current().project.models.get("knn").log(3)

    @af.workflow
    def training() -> None:
        train().start_on(af.event("go"))
        note().start_on(KNN.generated.own())

    knn = still.models.register(KNN)
    execution = still.start(training)
    knn.log(1)
    still.publish("go")
    run_until_idle(still)
    assert execution.status == "SUCCESS"
    assert execution.result("note")[2]["number"] == 2


@pytest.mark.parametrize("kind", ["datasets", "artifacts"])
def test_new_content_of_a_dataset_or_artifact_starts_a_job_and_the_same_content_does_not(
    still: af.Project, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "numbers.csv"
    declared = af.Dataset if kind == "datasets" else af.Artifact
    thing = declared("numbers", uri=str(file))
    view: Any = getattr(still, kind)
    registered = view.register(thing)
    execution = still.start(waiting(thing.changed, ends="never"))
    for text in ("n\n1\n", "n\n1\n", "n\n2\n"):
        file.write_text(text)
        registered.log()
        view.update("numbers", description=text)
    run_until_idle(still)
    numbers = [value[2]["number"] for value in execution.results("note")]
    assert numbers == [1, 2]
    execution.stop()
    assert_replays(execution)
    found = is_so(still, thing.changed)
    assert found == execution.results("note")[-1][2]
    view.delete("numbers")
    assert is_so(still, thing.changed) is None, "its versions are there for who asks what came of them"


def test_a_change_that_did_not_happen_starts_nothing(still: af.Project) -> None:
    knn = still.models.register(KNN)
    knn.log(1, stage="DEPLOYED")
    execution = still.start(waiting(KNN.deployed, ends="never"))
    knn.deploy(1)
    still.models.register(KNN)
    with pytest.raises(af.NotFound):
        knn.deploy(7)
    run_until_idle(still)
    assert execution.jobs == []
    execution.stop()


# --- what is so already -----------------------------------------------------------------------------------------------


def test_now_counts_a_version_that_is_deployed_and_says_what_was_said_then(still: af.Project) -> None:
    knn = still.models.register(KNN)
    knn.log(1)
    knn.log(2)
    knn.deploy(2)
    then = still.events.latest("knn")
    assert then is not None
    execution = still.run(waiting(KNN.deployed.now()))
    assert execution.result("note") == [then.type, then.key, then.value]
    job = execution.job("note")
    assert job is not None
    assert job.event is not None
    assert (job.event.context, job.event.execution_id) == (execution.id, execution.id)
    why = execution.why("note")
    assert "met by:\n" in why
    assert why.endswith(
        'knn = {"id": 2, "number": 2, "stage": "DEPLOYED", "before": "GENERATED"} from knn.deployed.now()'
    )
    assert_replays(execution)


def test_why_shows_how_far_a_condition_on_a_metric_has_come(still: af.Project) -> None:
    still.models.register(KNN)
    execution = still.start(waiting((KNN.metric("accuracy") < 0.9).times(2) & KNN.deployed))
    still.metrics.log("accuracy", 0.8, model="knn")
    assert execution.why("note").splitlines()[1:] == [
        "  START:",
        "    all of",
        "      times(2)",
        "        · knn.metric('accuracy') < 0.9",
        "      · knn.deployed",
    ]
    execution.stop()


def test_a_role_works_on_the_version_that_was_so_at_the_start(still: af.Project) -> None:
    knn = still.models.register(KNN)
    knn.log([10], stage="DEPLOYED")

    @af.predict(KNN)
    def score(model: list[int], by: int) -> int:
        return model[0] * by

    @af.workflow
    def scoring() -> None:
        score(2).start_on(KNN.deployed.now() & af.event("go"))

    execution = still.start(scoring)
    knn.deprecate(1)  # so none is deployed any more
    still.publish("go")
    run_until_idle(still)
    assert execution.result("score") == 20


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        (KNN.generated, 4),
        (KNN.validated, 3),
        (KNN.deployed, 2),
        (KNN.deprecated, 1),
        (KNN.deleted, 5),
        (af.Model("svm").deployed, None),
        (KNN.deployed.own(), None),
    ],
    ids=str,
)
def test_now_counts_the_newest_version_of_that_stage(
    still: af.Project, condition: af.Condition, number: int | None
) -> None:
    knn = still.models.register(KNN)
    for n in range(5):
        knn.log(n)
    for n in (1, 2):
        knn.deploy(n)
    knn.validate(3)
    knn.delete(5)
    execution = still.run(waiting(condition.now(), ends="quiet"))
    assert [value[2]["number"] for value in execution.results("note")] == ([] if number is None else [number])
    assert_replays(execution)


def test_now_without_anything_that_is_so_waits_for_the_change(still: af.Project) -> None:
    knn = still.models.register(KNN)
    knn.log(1)
    execution = still.start(waiting(KNN.deployed.now()))
    assert execution.jobs == []
    knn.deploy(1)
    run_until_idle(still)
    assert execution.result("note")[2]["number"] == 1


def is_so(project: af.Project, condition: af.Condition) -> Any:
    """What an execution that waits for a condition with `.now()` finds at its start: the value of the event, or None."""
    execution = project.run(waiting(condition.now(), ends="quiet"))
    assert_replays(execution)
    return execution.result("note")[2] if execution.jobs else None


def test_now_counts_the_newest_value_of_a_metric_if_that_compares_so(still: af.Project) -> None:
    still.models.register(KNN).log(1)
    still.models.register("svm")
    poor, lossy = KNN.metric("accuracy") < 0.9, af.metric("loss") > 1
    assert is_so(still, poor) is is_so(still, lossy) is None
    still.metrics.log("accuracy", 0.95, model="knn")
    still.metrics.log("accuracy", 0.5, step=7, model="knn:1")
    still.metrics.log("accuracy", 0.99, model="svm")
    newest = still.metrics.latest("accuracy", model="knn")
    assert newest is not None
    assert is_so(still, poor) == {
        "id": newest.id, "value": 0.5, "step": 7, "model": "knn", "number": 1, "dataset": None, "dataset_number": None,
    }  # fmt: skip
    still.metrics.log("accuracy", 0.91, model="knn")
    assert is_so(still, poor) is None, "it was so, and is no more"
    still.metrics.log("loss", float("inf"), model="svm")
    found = is_so(still, lossy)
    assert (found["value"], found["model"]) == ("Infinity", "svm")


def test_now_of_a_metric_of_whatever_counts_its_own_namespace_unless_another_is_named(still: af.Project) -> None:
    with af.Project("theirs", home=still.home) as theirs:
        theirs.metrics.log("loss", 3)
        assert is_so(still, af.metric("loss") > 1) is None
        assert is_so(still, af.metric("loss", namespace="th*") > 1)["value"] == 3
        still.metrics.log("loss", 2)
        assert is_so(still, af.metric("loss") > 1)["value"] == 2
        assert is_so(still, af.metric("loss", namespace="theirs") > 2)["value"] == 3


def test_now_of_nan_is_so_for_unequal_only(still: af.Project) -> None:
    still.metrics.log("loss", float("nan"))
    assert is_so(still, af.metric("loss") != 1)["value"] == "NaN"
    loss = af.metric("loss")
    for condition in (loss < 1, loss >= 1, loss == 1):
        assert is_so(still, condition) is None


def test_each_condition_on_a_metric_is_told_its_own_finding(still: af.Project) -> None:
    """What was found for one must not meet another one that the newest value does not meet."""
    still.models.register(KNN)
    still.metrics.log("loss", 0.7, model="knn")
    still.metrics.log("loss", 0.5)

    @af.workflow(ends="quiet")
    def several() -> None:
        note().start_on((KNN.metric("loss") < 0.9).now())
        other().start_on((af.metric("loss") > 0.6).now())

    execution = still.run(several)
    assert [j.job for j in execution.jobs] == ["note"]
    assert execution.result("note")[2]["value"] == 0.7
    assert_replays(execution)


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_what_a_job_logs_meets_a_condition_of_its_own_execution(project: af.Project, runner: str) -> None:
    @af.job
    def measure() -> None:
        for step in range(5):
            af.current().log_metric("loss", 1 / (step + 1), step=step, model="knn")

    @af.workflow(runner=runner)
    def measuring() -> None:
        measure()
        note().start_on((KNN.metric("loss") < 0.3).own())

    project.models.register(KNN)
    execution = project.run(measuring, timeout=60)
    assert execution.result("note")[2]["step"] == 4, "the newest of those that were merged"
    assert_replays(execution)


def test_what_one_execution_is_told_at_its_start_no_other_one_hears(still: af.Project) -> None:
    still.models.register(KNN).log(1, stage="DEPLOYED")
    deaf = [
        still.start(waiting(condition, f"deaf{n}", ends="never"))
        for n, condition in enumerate((KNN.deployed, af.event("*"), af.event("knn", type="MODEL_*", namespace="*")))
    ]
    with Server(still, [waiting(af.event("*"), "served", start_on=af.event("*"))]):
        still.run(waiting(KNN.deployed.now()))
        run_until_idle(still)
    assert [execution.jobs for execution in deaf] == [[], [], []]
    assert still.executions.list(workflow="served") == []
    for execution in deaf:
        assert_replays(execution)
        execution.stop()


def test_a_stage_condition_can_begin_an_execution_with_several_things_that_are_so(still: af.Project) -> None:
    still.models.register(KNN).log(1, stage="DEPLOYED")
    still.models.register("svm").log(1)

    @af.workflow(ends="quiet")
    def both() -> None:
        note().start_on(KNN.deployed.now() & af.Model("svm").generated.now())
        other().start_on(KNN.deployed.now() & af.Model("svm").validated.now())

    execution = still.run(both)
    assert [(j.job, str(j.status)) for j in execution.jobs] == [("note", "SUCCESS")]
    assert execution.result("note")[1] == "svm"


# --- triggers ---------------------------------------------------------------------------------------------------------


@contextmanager
def serving(project: af.Project, *workflows: af.Workflow) -> Iterator[Server]:
    with Server(project, workflows) as server:
        run_until_idle(project)
        yield server
        run_until_idle(project)


def in_order(project: af.Project) -> list[af.Execution]:
    """The executions that triggers started, in the order of the events that started them."""
    return sorted(project.executions.list(limit=None), key=lambda e: e.event.offset if e.event is not None else 0)


def versions_reacted_to(project: af.Project) -> list[int]:
    """The numbers of the versions for which executions were started, in order."""
    run_until_idle(project)
    return [e.event.value["number"] for e in in_order(project) if e.event is not None]


def reacting(condition: af.Condition | None, **options: Any) -> af.Workflow:
    def body() -> None:
        note()

    return af.workflow(body, name="reacting", start_on=condition, **options)


def test_25_a_change_of_the_metadata_starts_an_execution_while_it_is_served(still: af.Project) -> None:
    knn = still.models.register(KNN)
    workflow = reacting(KNN.deployed)
    with serving(still, workflow):
        knn.log(1, stage="DEPLOYED")
    knn.log(2, stage="DEPLOYED")
    assert versions_reacted_to(still) == [1]
    with serving(still, workflow):
        pass
    assert versions_reacted_to(still) == [1, 2]
    execution = still.executions.list()[0]
    assert execution.result("note")[2]["number"] == 2
    assert execution.context is None


def test_25_now_counts_for_a_trigger_when_it_is_registered_and_only_then(still: af.Project) -> None:
    knn = still.models.register(KNN)
    knn.log(1, stage="DEPLOYED")
    workflow = reacting(KNN.deployed.now())
    with serving(still, workflow):
        assert versions_reacted_to(still) == [1]
        knn.log(2, stage="DEPLOYED")
    with serving(still, workflow):
        pass
    assert versions_reacted_to(still) == [1, 2]
    first = still.executions.list()[-1]
    assert first.context is None, "it is no event of that execution's context"
    assert first.result("note")[2] == {"id": 1, "number": 1, "stage": "DEPLOYED", "before": None}


def test_25_a_trigger_that_is_registered_anew_while_it_is_paused_passes_over_what_is_so(still: af.Project) -> None:
    workflow = reacting(None)
    still.models.register(KNN).log(1, stage="DEPLOYED")
    still.triggers.register(workflow, af.event("go"))
    still.triggers.pause("reacting")
    still.triggers.register(workflow, KNN.deployed.now())
    with serving(still, workflow):
        assert versions_reacted_to(still) == []
        still.triggers.resume("reacting")
        still.models.get("knn").log(2, stage="DEPLOYED")
    assert versions_reacted_to(still) == [2]


def test_25_a_condition_on_the_metadata_is_given_at_run_time_and_kept_as_json(still: af.Project) -> None:
    condition = (KNN.metric("accuracy") < 0.9).times(2) | IRIS.changed
    workflow = reacting(None)
    trigger = still.triggers.register(workflow, condition)
    assert trigger.condition == "any((knn.metric('accuracy') < 0.9).times(2), iris.changed)"
    notation = trigger.notation
    assert notation is not None
    assert from_json(json.loads(notation)) == condition
    with serving(still, workflow):
        still.publish_many(
            [metric("accuracy", 0.8, "knn"), metric("accuracy", 0.95, "knn"), metric("accuracy", 0.7, "knn")]
        )
    execution = still.executions.list()[0]
    assert execution.event is not None
    assert execution.event.value["value"] == 0.7


def test_25_what_the_event_of_a_version_says_becomes_parameters(still: af.Project) -> None:
    def body(number: int, stage: str, before: str = "none", color: str = "red") -> None:
        note()

    knn = still.models.register(KNN)
    with serving(still, af.workflow(body, name="reacting", start_on=KNN.generated | KNN.deployed)):
        knn.log(1)
        knn.deploy(1)
    params = [e.params for e in in_order(still)]
    assert params == [
        {"number": 1, "stage": "GENERATED", "before": "none", "color": "red"},
        {"number": 1, "stage": "DEPLOYED", "before": "GENERATED", "color": "red"},
    ]


@pytest.mark.parametrize("value", [0.25, float("inf"), float("-inf")])
def test_25_what_the_event_of_a_metric_says_becomes_parameters(still: af.Project, value: float) -> None:
    def body(value: float, step: int = -1, model: str = "none", number: int | None = None) -> None:
        note()

    still.models.register(KNN).log(1)
    workflow = af.workflow(body, name="reacting", start_on=(af.metric("loss") != 1))
    with serving(still, workflow):
        still.metrics.log("loss", value)
        still.metrics.log("loss", value, step=3, model="knn:1")
    assert still.triggers.get("reacting").problem is None
    params = [e.params for e in in_order(still)]
    assert params == [
        {"value": value, "step": -1, "model": "none", "number": None},
        {"value": value, "step": 3, "model": "knn", "number": 1},
    ]


def test_25_params_chooses_from_the_event_of_a_change(still: af.Project) -> None:
    def body(version: str) -> None:
        note()

    choose = lambda event: {"version": f"{event.key}:{event.value['number']}"}  # noqa: E731
    with serving(still, af.workflow(body, name="reacting", start_on=KNN.deployed, params=choose)):
        still.models.register(KNN).log(1, stage="DEPLOYED")
    assert still.executions.list()[0].params == {"version": "knn:1"}


def test_a_workflow_that_reacts_to_what_it_changes_itself_does_so_again(still: af.Project) -> None:
    """Nothing stops it but its own sense: as with events that it publishes itself."""

    @af.job
    def improve(number: int) -> None:
        if number < 3:
            af.current().project.models.get("knn").log(number)

    @af.workflow(start_on=KNN.generated)
    def improving(number: int) -> None:
        improve(number)

    with serving(still, improving):
        still.models.register(KNN).log(0)
    assert [e.params["number"] for e in in_order(still)] == [1, 2, 3]


# --- other processes, and crashes -------------------------------------------------------------------------------------


def test_what_another_process_deploys_starts_jobs_and_executions_here(project: af.Project) -> None:
    project.models.register(KNN)
    execution = project.start(waiting(KNN.deployed))
    with Server(project, [reacting(KNN.deployed)]):
        assert alone(reactions.deploy, str(project.home)) == 1
        execution.wait(30)
        until(lambda: project.executions.list(workflow="reacting", status="SUCCESS"))
    found = project.executions.list(workflow="reacting")[0].result("note")
    assert found == execution.result("note")
    assert found[2]["number"] == 1


def test_what_was_so_at_the_start_still_counts_when_another_process_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with child(reactions.wait_and_die, str(home)) as process:
        process.hear_of("waits ")
        process.kill()
    with af.Project("shop", home=home) as project:
        (execution,) = project.executions.list()
        assert execution.status == "INTERRUPTED"
        project.models.get("knn").deprecate(1)
        project.publish("go")
        execution.resume()
        execution.wait(30)
        deployed = {"id": 1, "number": 1, "stage": "DEPLOYED", "before": None}
        assert execution.result("tell") == [["MODEL_DEPLOYED", deployed], ["UNDEFINED", None]]
        assert_replays(execution)
    invariants.check(home)


# --- simulations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_simulation_is_given_changes_as_drafts(crashes: int) -> None:
    deployed = Draft("knn", {"id": 1, "number": 4, "stage": "DEPLOYED", "before": "VALIDATED"}, "MODEL_DEPLOYED")
    poor = metric("accuracy", 0.7, "knn")

    @af.workflow
    def simulated() -> None:
        note().start_on(KNN.deployed & (KNN.metric("accuracy") < 0.8))
        other().start_on(KNN.metric("accuracy") > 0.8)

    for seed in range(4):
        found = simulate(
            simulated, [deployed, (5, poor), (20, metric("accuracy", 0.9, "knn"))], seed=seed, crashes=crashes
        )
        assert found.execution.status == "SUCCESS"
        job = found.execution.job("note")
        assert job is not None
        assert job.started is not None


def test_a_simulation_tells_what_was_so_already(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        project.models.register(KNN).log(1, stage="DEPLOYED")
    found = simulate(waiting(KNN.deployed.now(), "simulated"), home=tmp_path)
    assert any("simulated#1 knn.deployed.now() was so already: " in line for line in found.story)
