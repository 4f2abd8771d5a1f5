"""What comes of a job with a role: metrics, verdicts, versions; once, whatever is retried, cached, mapped or awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import aiflow as af
from aiflow.hooks import hookimpl, manager
from aiflow.runners.base import Ended, RunnerHost, Work
from aiflow.testing import assert_replays, project_for_tests

knn = af.Model("knn")
RUNNERS = pytest.mark.parametrize("runner", ["thread", "process"])


@af.train(knn)
def fit(value: Any) -> Any:
    return value


@af.evaluate(knn)
def score(model: Any, result: Any) -> Any:
    return result


@af.model_validate(knn)
def accept(model: Any, verdict: Any) -> Any:
    return verdict


@af.push_model(knn)
def push(version: af.ModelVersion) -> None: ...


@af.train(knn, retries=2, retry_delay=0.0)
def stubborn(value: Any) -> Any:
    if af.current().attempt < 3:
        raise RuntimeError("not yet")
    return value


@af.predict(knn)
def add(model: int, n: int) -> int:
    return model + n


@af.evaluate(knn)
def far(model: int, n: int) -> dict[str, int]:
    return {"far": n - model}


@af.predict(knn)
def keeps(model: int, n: int) -> str:
    af.current().log_metric("inside", n, model=knn)
    return str(af.current().version)


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """Jobs run inline, and time stands still."""
    with project_for_tests(tmp_path / "home") as project:
        yield project


def value_of(project: af.Project, body: Any, job: str, **options: Any) -> Any:
    return project.run(af.workflow(body, name="flow", **options)).result(job)


# --- metrics ----------------------------------------------------------------------------------------------------------


@RUNNERS
def test_the_numbers_of_a_returned_dict_are_metrics_of_that_version(project: af.Project, runner: str) -> None:
    told = {"auc": 0.5, "hits": numpy.int64(3), "lost": float("nan")}
    assert value_of(project, lambda: score(fit(1), told), "score", runner=runner).keys() == told.keys()
    found = [(m.name, m.model, m.number, m.job) for m in project.metrics.list()]
    assert sorted(found) == [(name, "knn", 1, "score") for name in ("auc", "hits", "lost")]
    assert project.models.get("knn").version(1).metrics["auc"] == 0.5


def test_what_is_no_dict_is_only_the_value(still: af.Project) -> None:
    assert value_of(still, lambda: score(fit(1), [0.5]), "score") == [0.5]
    assert value_of(still, lambda: score(fit(1), None), "score") is None
    assert still.metrics.list() == []


@pytest.mark.parametrize("wrong", [{"auc": 0.5, "note": "good"}, {"rows": [1, 2]}, {7: 7.0}, {"auc": None}])
def test_what_is_no_number_in_a_dict_of_metrics_fails_the_job_and_none_is_logged(still: af.Project, wrong: Any) -> None:
    with pytest.raises(af.ExecutionFailed, match="score returned a dict of which not all are numbers: .*metric"):
        value_of(still, lambda: score(fit(1), wrong), "score")
    assert still.metrics.list() == []


def test_a_text_is_no_metric_and_fails_the_job(still: af.Project) -> None:
    with pytest.raises(af.ExecutionFailed, match="score returned 'good'; .*such as {'accuracy': 0.9}"):
        value_of(still, lambda: score(fit(1), "good"), "score")


def test_a_bare_number_has_no_name_and_fails_the_job(still: af.Project) -> None:
    with pytest.raises(af.ExecutionFailed, match="score returned 0.5; .*such as {'accuracy': 0.5}"):
        value_of(still, lambda: score(fit(1), 0.5), "score")


@RUNNERS
def test_a_metric_that_the_function_logs_itself_is_of_the_version_that_it_works_on(
    project: af.Project, runner: str
) -> None:
    assert value_of(project, lambda: keeps(fit(1), 5), "keeps", runner=runner) == "knn:1"
    assert [(m.value, m.number) for m in project.metrics.history("inside", model=knn)] == [(5.0, 1)]


def test_the_traceback_of_a_job_with_a_role_begins_in_the_users_function(still: af.Project) -> None:
    def divide(model: int) -> Any:
        return model / 0

    dividing = af.evaluate(knn)(divide)
    failed = still.run(af.workflow(lambda: dividing(fit(1)), name="flow"), check=False).job("divide")
    assert failed is not None
    first = failed.traceback.splitlines()[1]
    assert "in divide" in first


def test_nothing_is_logged_by_a_job_that_fails_afterwards(still: af.Project) -> None:
    @af.evaluate(knn, outputs=2)
    def wrong(model: Any) -> Any:
        return {"auc": 1.0}

    with pytest.raises(af.ExecutionFailed, match="declares 2 outputs"):
        value_of(still, lambda: wrong(fit(1)), "wrong")
    assert still.metrics.list() == []


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_verdict_of_numpy_is_one(still: af.Project) -> None:
    assert value_of(still, lambda: accept(fit(1), numpy.bool_(True)), "accept").stage == "VALIDATED"
    assert value_of(still, lambda: accept(fit(1), numpy.bool_(False)), "accept") is None


@pytest.mark.parametrize("verdict", [None, 1, "yes"])
def test_a_verdict_that_is_none_fails_the_job_and_is_named(still: af.Project, verdict: Any) -> None:
    with pytest.raises(af.ExecutionFailed, match=f"accept returned {verdict!r}; .*returns True if"):
        value_of(still, lambda: accept(fit(1), verdict), "accept")
    assert still.models.get("knn").version(1).stage == "GENERATED"


def test_a_version_that_is_in_use_already_keeps_its_stage_when_it_is_validated(still: af.Project) -> None:
    still.models.register(knn).log(1, stage="DEPLOYED")
    before = still.events.count()
    flow = af.workflow(lambda: accept(still.models.get("knn").version(1), True), name="flow")
    assert still.run(flow).result("accept").stage == "DEPLOYED"
    assert [e.type for e in still.events.list(types="MODEL_*")][2:] == []
    assert still.events.count() > before


def test_a_version_that_was_deleted_meanwhile_fails_the_job_that_would_deploy_it(still: af.Project) -> None:
    @af.push_model(knn)
    def careless(version: af.ModelVersion) -> None:
        af.current().project.models.get("knn").delete(version.number)

    with pytest.raises(af.ExecutionFailed, match="knn:1 is DELETED and cannot become DEPLOYED"):
        value_of(still, lambda: careless(fit(1)), "careless")


def test_38_rules_on_the_success_of_a_job_that_refused_fire(still: af.Project) -> None:
    @af.job
    def after(word: str) -> str:
        return word

    @af.workflow
    def flow() -> None:
        refused = accept(fit(1), False)
        after.options(name="by_rule")("ran").start_on(refused.succeeded)
        after.options(name="by_after")("ran").after(refused)
        after.options(name="by_truth")("ran").run_if(refused)
        after.options(name="below")(after.options(name="by_data")(refused))

    execution = still.run(flow)
    assert execution.result("by_rule") == "ran"
    told = {j.job: j.reason for j in execution.jobs if j.status == "SKIPPED"}
    assert told == dict.fromkeys(("by_after", "by_truth", "by_data", "below"), "knn 1 was not validated")
    job = execution.job("accept")
    assert job is not None
    assert (job.status, job.reason) == ("SUCCESS", "knn 1 was not validated")


def test_38_what_a_recurring_job_refuses_is_skipped_and_what_it_accepts_runs(still: af.Project) -> None:
    @af.model_validate(knn)
    def even(model: int) -> bool:
        return model % 2 == 0

    @af.workflow
    def flow() -> None:
        push(even().start_on(af.event("knn", type="MODEL_GENERATED"))).stop_on(af.event("x"))

    execution = still.start(flow)
    models = still.models.get("knn")
    for n in range(4):
        models.log(n)
    still._shared.settle()
    pushed = [(j.number, j.status, j.reason) for j in execution.jobs if j.job == "push"]
    assert sorted(pushed) == [
        (1, "SUCCESS", None), (2, "SKIPPED", "knn 2 was not validated"), (3, "SUCCESS", None),
        (4, "SKIPPED", "knn 4 was not validated"),
    ]  # fmt: skip
    execution.stop()


# --- versions ---------------------------------------------------------------------------------------------------------


@RUNNERS
def test_a_job_that_is_retried_makes_one_version(project: af.Project, runner: str) -> None:
    made = value_of(project, lambda: stubborn(5), "stubborn", runner=runner)
    assert (str(made), made.load()) == ("knn:1", 5)
    assert len(project.models.get("knn").versions()) == 1


def test_a_function_that_forgot_to_return_a_model_fails(still: af.Project) -> None:
    with pytest.raises(af.ExecutionFailed, match=r"fit returned None; .*train\(knn\) returns the object"):
        value_of(still, lambda: fit(None), "fit")
    assert still.models.get("knn").versions() == []


def test_a_function_that_has_kept_its_version_itself_gives_that_one(still: af.Project) -> None:
    @af.train(knn)
    def own() -> af.ModelVersion:
        return af.current().project.models.get("knn").log("x", description="by hand")

    assert value_of(still, lambda: own(), "own").description == "by hand"
    assert len(still.models.get("knn").versions()) == 1


def test_a_model_that_cannot_be_kept_fails_the_job_and_says_which(still: af.Project) -> None:
    @af.train(knn)
    def locked() -> Any:
        return (n for n in range(3))

    with pytest.raises(
        af.ExecutionFailed, match="the model that 'locked' returned is a generator and cannot be serialised"
    ):
        value_of(still, lambda: locked(), "locked")


def test_a_model_that_was_deleted_meanwhile_fails_the_job(still: af.Project) -> None:
    @af.train(knn)
    def rash() -> int:
        af.current().project.models.delete("knn")
        return 1

    with pytest.raises(af.ExecutionFailed, match="no model 'knn'"):
        value_of(still, lambda: rash(), "rash")


@RUNNERS
def test_async_functions_have_roles_too(project: af.Project, runner: str) -> None:
    assert value_of(project, lambda: awaited(later(3), 4), "awaited", runner=runner) == 7


@af.train(knn)
async def later(value: int) -> int:
    await asyncio.sleep(0)
    return value


@af.predict(knn)
async def awaited(model: int, n: int) -> int:
    await asyncio.sleep(0)
    return model + n


def test_15_a_job_that_its_own_version_stops_is_stopped_and_the_version_is_there(still: af.Project) -> None:
    @af.workflow
    def own() -> None:
        fit(1).stop_on(knn.generated)

    execution = still.run(own, check=False)
    (job,) = execution.jobs
    assert (execution.status, job.status) == ("SUCCESS", "STOPPED")
    assert str(still.models.get("knn").latest()) == "knn:1"
    assert_replays(execution)


def test_a_workflow_that_the_version_of_its_job_stops_is_stopped(still: af.Project) -> None:
    @af.workflow(stop_on=knn.generated)
    def once() -> None:
        push(accept(fit(1), True))

    execution = still.run(once, check=False)
    assert (execution.status, {j.job: str(j.status) for j in execution.jobs}) == ("STOPPED", {"fit": "STOPPED"})
    assert_replays(execution)


def test_20_what_a_job_makes_starts_others_before_nothing_is_left_to_run(still: af.Project) -> None:
    @af.workflow(ends="quiet")
    def quiet() -> None:
        fit(1)
        push().start_on(knn.generated)

    execution = still.run(quiet)
    assert execution.result("push").stage == "DEPLOYED"
    assert_replays(execution)


# --- cache and map ----------------------------------------------------------------------------------------------------


def test_37_a_cached_training_gives_the_version_of_then_and_makes_none(still: af.Project) -> None:
    flow = af.workflow(lambda: fit.options(cache=True)(3), name="flow")
    first, second = (still.run(flow).result("fit") for _ in range(2))
    assert (first, second) == (first, first)
    assert len(still.models.get("knn").versions()) == 1


called: list[int] = []


@af.predict(knn, cache=True)
def counted(model: int, n: int) -> int:
    called.append(model)
    return model + n


def test_37_a_cached_prediction_goes_by_what_the_model_is(still: af.Project) -> None:
    models = still.models.register(knn)
    called.clear()
    flow = af.workflow(lambda: counted(1), name="flow")
    for value in (5, 6, 5):
        models.log(value, stage="DEPLOYED")
        assert still.run(flow).result("counted") == value + 1
    assert called == [5, 6]


def test_37_a_cached_verdict_against_a_version_is_asked_again(still: af.Project) -> None:
    flow = af.workflow(lambda: push(accept.options(cache=True)(fit.options(cache=True)(3), False)), name="flow")
    for _ in range(2):
        job = still.run(flow).job("push")
        assert job is not None
        assert (job.status, job.reason) == ("SKIPPED", "knn 1 was not validated")


@RUNNERS
def test_training_is_mapped_and_makes_a_version_for_each_element(project: af.Project, runner: str) -> None:
    def body() -> None:
        made = fit.map([10, 20, 30])
        far.map(made, af.fixed(40))
        add.map(af.fixed(fit.options(name="one")(5)), [1, 2])

    execution = project.run(af.workflow(body, name="flow", runner=runner))
    made = execution.result("fit")
    assert sorted(v.number for v in made) == sorted({v.number for v in made})
    assert [v.load() for v in made] == [10, 20, 30]
    assert execution.result("far") == [{"far": 30}, {"far": 20}, {"far": 10}]
    numbers = {m.number: m.value for m in project.metrics.history("far", model=knn)}
    assert [numbers[v.number] for v in made] == [30.0, 20.0, 10.0]
    assert execution.result("add") == [6, 7]


# --- registration -----------------------------------------------------------------------------------------------------


def registered(project: af.Project) -> list[tuple[str, str]]:
    return [(e.key, e.value["action"]) for e in project.events.list(types="METADATA_CHANGED")]


def test_what_the_roles_name_is_registered_with_the_start_and_said_once(still: af.Project) -> None:
    base = af.Model("base", description="to begin with")

    @af.train(knn, base=base)
    def begin(base: Any = None) -> int:
        return 1

    flow = af.workflow(lambda: begin(base=7), name="flow")
    still.run(flow)
    still.run(flow)
    assert registered(still) == [("knn", "registered"), ("base", "registered")]
    assert still.models.get("base").description == "to begin with"


def test_another_description_updates_what_is_registered(still: af.Project) -> None:
    still.run(af.workflow(lambda: af.train(knn)(lambda: 1)(), name="flow"))
    still.run(af.workflow(lambda: af.train(af.Model("knn", description="new"))(lambda: 1)(), name="flow"))
    assert registered(still) == [("knn", "registered"), ("knn", "updated")]
    assert still.models.get("knn").description == "new"


def test_what_is_registered_otherwise_refuses_the_start_and_nothing_is_changed(still: af.Project) -> None:
    still.run(af.workflow(lambda: af.read_dataset(af.Dataset("raw", uri="a"))(len)(), name="first"), check=False)
    before = still.events.count()
    other = af.workflow(lambda: [fit(1), af.read_dataset(af.Dataset("raw", uri="b"))(len)()], name="other")
    with pytest.raises(af.Conflict, match="dataset 'raw' is registered with uri='a'.*project.datasets.update"):
        still.run(other)
    assert (still.events.count(), still.models.find("knn")) == (before, None)
    assert [e.workflow for e in still.executions.list()] == ["first"]


def test_registering_a_workflow_registers_what_it_names(still: af.Project) -> None:
    still.workflows.register(af.workflow(lambda: fit(1), name="flow"))
    assert still.models.get("knn").versions() == []

    @af.workflow
    def needy(value: int) -> None:
        af.train(af.Model("later"))(lambda: value)()

    still.workflows.register(needy)
    assert still.models.find("later") is None


# --- a plugin's runner ------------------------------------------------------------------------------------------------


class Plain:
    """A runner that calls what it gets, and knows nothing of roles."""

    capacity: int | None = None

    def __init__(self, host: RunnerHost) -> None: ...

    def start(self, work: Work, done: Any) -> None:
        function, args, kwargs = work.load()
        done(work, Ended("SUCCESS", function(*args, **kwargs)))

    def stop(self, work: Work) -> None: ...

    def close(self) -> None: ...


class Runners:
    @hookimpl
    def aiflow_runners(self) -> dict[str, Any]:
        return {"plain": Plain}


def test_roles_work_with_the_runner_of_a_plugin(tmp_path: Path) -> None:
    plugin = Runners()
    with af.Project("p", home=tmp_path, plugins=[plugin]) as project:
        flow = af.workflow(lambda: add(push(accept(fit(3), True)), 4), name="flow", runner="plain")
        assert project.run(flow).result("add") == 7
        assert value_of(project, lambda: far.map(fit.map([1, 2]), af.fixed(3)), "far", runner="plain") == [
            {"far": 2}, {"far": 1},
        ]  # fmt: skip
        manager().unregister(plugin)
