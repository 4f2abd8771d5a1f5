"""`project.models.live`: the deployed version, always."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from tests.children import alone, child, until
from tests.metadata import deeds, objects
from tests.metadata.objects import Broken, Heavy, Numbered, Slow

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests


@pytest.fixture
def knn(project: af.Project) -> Any:
    return project.models.register("knn")


@pytest.fixture
def live(project: af.Project, knn: Any) -> Iterator[af.LiveModel]:
    with project.models.live("knn") as live:
        yield live


# --- which version answers --------------------------------------------------------------------------------------------


def test_the_first_call_after_a_deployment_is_answered_by_the_new_version(knn: Any, live: af.LiveModel) -> None:
    for number in range(1, 4):
        knn.log(Numbered(number))
    told: list[Callable[[], Any]] = [lambda: knn.deploy(1), lambda: knn.deploy(3), knn.rollback, lambda: knn.deploy(2)]
    answers = []
    for act in told:
        act()
        answers.append((live.predict(0)[0], live.version.number, live.number))
    assert answers == [(1, 1, 1), (3, 3, 3), (1, 1, 1), (2, 2, 2)]
    knn.log(Numbered(4), stage="DEPLOYED")
    assert live.predict() == (4, 4)
    assert live.problem is None


@af.push_model(af.Model("knn"))
def push(version: af.ModelVersion) -> None: ...


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_version_that_a_job_deploys_answers_when_the_execution_has_ended(
    project: af.Project, knn: Any, live: af.LiveModel, runner: str
) -> None:
    @af.workflow(runner=runner)
    def pushing() -> None:
        push()

    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    knn.validate(knn.log(Numbered(2)))
    project.run(pushing)
    assert live.predict() == (2, 2)


def test_a_version_that_another_process_deploys_answers_soon(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        knn = project.models.register("knn")
        knn.log(Numbered(1), stage="DEPLOYED")
        knn.log(Numbered(2))
        with project.models.live("knn") as live, child(deeds.deploy_when_told, str(tmp_path)) as other:
            assert live.predict() == (1, 1)
            other.tell("2")
            assert other.hear() == "knn:2"
            until(lambda: live.predict() == (2, 2))
            other.end()


def test_a_method_that_was_taken_out_follows_the_deployments_too(knn: Any, live: af.LiveModel) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    predict = live.predict
    knn.log(Numbered(2), stage="DEPLOYED")
    assert predict() == (2, 2)
    assert predict.__name__ == "predict"


def test_several_calls_of_one_version_are_made_with_what_is_pinned(knn: Any, live: af.LiveModel) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    model, version = live.pinned()
    knn.log(Numbered(2), stage="DEPLOYED")
    assert (model.predict(), str(version)) == ((1, 1), "knn:1")
    assert live.pinned()[0].predict() == (2, 2)


def test_versions_may_be_objects_of_different_classes(knn: Any, live: af.LiveModel) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.first() == 1
    knn.log({"first": 2}, stage="DEPLOYED")
    assert live.get("first") == 2
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'first'") as refused:
        live.first()
    assert refused.value.__notes__ == ["It was asked of knn:2, which is deployed."]
    knn.log(objects.double, stage="DEPLOYED")
    assert live(21) == 42
    knn.log(threading.local, stage="DEPLOYED")  # a class, whose attributes are no methods of its own
    assert live.pinned()[0] is threading.local


def test_what_begins_with_an_underscore_is_not_passed_on(knn: Any, live: af.LiveModel) -> None:
    knn.log([1], stage="DEPLOYED")
    with pytest.raises(AttributeError, match="passes no private names on"):
        live._append  # noqa: B018
    assert not hasattr(live, "_repr_html_")
    assert "append" in dir(live)
    assert "pinned" in dir(live)
    assert repr(live) == "<live model knn:1>"


# --- while it is loading ----------------------------------------------------------------------------------------------


def test_while_a_large_object_is_loaded_the_old_one_answers(knn: Any, live: af.LiveModel) -> None:
    Slow.begun.clear()
    Slow.go.clear()
    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    knn.log(Slow(2), stage="DEPLOYED")
    assert Slow.begun.wait(60)
    assert live.predict() == (1, 1)
    assert live.version.number == 1
    Slow.go.set()
    until(lambda: live.version.number == 2)
    assert live.predict() == 2


def test_of_many_deployments_during_one_loading_the_newest_answers_in_the_end(knn: Any, live: af.LiveModel) -> None:
    Slow.begun.clear()
    Slow.go.clear()
    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    knn.log(Slow(2), stage="DEPLOYED")
    assert Slow.begun.wait(60)
    threads = threading.active_count()
    for number in range(3, 33):
        knn.log(Numbered(number), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    assert threading.active_count() < threads + 10, "nobody waits for the loading"
    Slow.go.set()
    until(lambda: live.version.number == 32)


def test_the_old_object_is_let_go_of(knn: Any, live: af.LiveModel) -> None:
    for number in range(1, 4):
        knn.log(Heavy(number), stage="DEPLOYED")
        assert live.predict() == number
        assert objects.numbers_alive() == [number]
    live.close()
    assert objects.numbers_alive() == []


# --- when something is wrong ------------------------------------------------------------------------------------------


def test_before_any_version_is_deployed_a_call_says_so_and_later_ones_are_answered(
    knn: Any, live: af.LiveModel
) -> None:
    knn.log(Numbered(1))
    for ask in (lambda: live.predict(), lambda: live.version, lambda: live.pinned(), lambda: live()):
        with pytest.raises(af.NotFound, match="no deployed version of model 'knn'") as refused:
            ask()
        assert "Deploy one by its number, or wait for one" in refused.value.__notes__[0]
    assert live.problem is None
    assert repr(live) == "<live model knn>"
    knn.deploy(1)
    assert live.predict() == (1, 1)


def test_an_object_that_cannot_be_loaded_leaves_the_old_one_in_place_and_says_so(
    knn: Any, live: af.LiveModel, caplog: pytest.LogCaptureFixture
) -> None:
    Broken.is_broken = True
    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    knn.log(Broken(2), stage="DEPLOYED")
    with caplog.at_level(logging.WARNING):
        until(lambda: live.problem)
    assert live.predict() == (1, 1)
    told = "knn:2, which is deployed, could not be loaded, and knn:1 goes on answering: "
    assert str(live.problem).startswith(told)
    assert "ImportError: no module named 'gone'" in str(live.problem)
    assert [r.message.startswith(told) for r in caplog.records] == [True]
    knn.log(Numbered(3), stage="DEPLOYED")
    assert (live.predict(), live.problem) == ((3, 3), None)


def test_what_could_not_be_loaded_is_tried_again_after_a_while(tmp_path: Path) -> None:
    clock = ManualClock()
    with project_for_tests(tmp_path, clock) as project:
        knn = project.models.register("knn")
        knn.log(Numbered(1), stage="DEPLOYED")
        with project.models.live("knn") as live:
            Broken.is_broken = True
            knn.log(Broken(2), stage="DEPLOYED")
            until(lambda: live.problem)
            Broken.is_broken, before = False, Broken.tries
            assert live.predict() == (1, 1)
            assert Broken.tries == before
            clock.advance(6)
            until(lambda: live.predict() == 2)
            assert live.problem is None


def test_an_object_that_is_damaged_is_not_loaded(knn: Any, live: af.LiveModel) -> None:
    knn.log([1], stage="DEPLOYED")
    assert live.version.number == 1
    second = knn.log([2])
    Path(str(second.uri)).write_bytes(b"something else")
    knn.deploy(2)
    until(lambda: live.problem)
    assert live.count(1) == 1
    assert "is damaged" in str(live.problem)


def test_to_open_one_whose_object_cannot_be_loaded_is_refused(project: af.Project, knn: Any) -> None:
    Broken.is_broken = True
    knn.log(Broken(1), stage="DEPLOYED")
    with pytest.raises(
        af.StoreError, match="knn:1, which is deployed, could not be loaded, and nothing answers yet: .*'gone'"
    ):
        project.models.live("knn")
    with pytest.raises(af.NotFound, match="no model 'knm'; did you mean 'knn'"):
        project.models.live("knm")


@pytest.mark.parametrize("how", ["delete", "deprecate", "the model"])
def test_a_version_that_is_taken_away_goes_on_answering_until_another_is_deployed(
    project: af.Project, knn: Any, live: af.LiveModel, how: str
) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    assert live.predict() == (1, 1)
    project.models.delete("knn") if how == "the model" else getattr(knn, how)(1)
    assert live.predict() == (1, 1)
    assert live.problem == "no version of 'knn' is deployed any more; knn:1 goes on answering"
    project.models.register("knn").log(Numbered(2), stage="DEPLOYED")
    assert (live.predict(), live.problem) == ((2, 2), None)


# --- waiting, closing, travelling -------------------------------------------------------------------------------------


def test_one_can_wait_for_the_first_version(project: af.Project, knn: Any) -> None:
    knn.log(Numbered(1))
    with pytest.raises(TimeoutError, match=r"no version of model 'knn' was deployed within 0\.01 s"):
        project.models.live("knn", wait=0.01)
    with pytest.raises(af.ParameterError, match="wait must be a number of seconds"):
        project.models.live("knn", wait=-1)
    assert not project._shared.engine.noticing
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(project.models.live, "knn", wait=60)
        knn.deploy(1)
        with opening.result(60) as live:
            assert live.predict() == (1, 1)


def test_after_it_is_closed_nothing_is_left_and_calls_say_so(project: af.Project, knn: Any) -> None:
    engine = project._shared.engine
    watching = engine.ticker.is_watching
    knn.log(Numbered(1), stage="DEPLOYED")
    live = project.models.live("knn")
    assert live.predict() == (1, 1)
    live.close()
    live.close()
    knn.log(Numbered(2), stage="DEPLOYED")
    for ask in (lambda: live.predict(), lambda: live.version, lambda: live()):
        with pytest.raises(af.StoreError, match="this live model of 'knn' is closed"):
            ask()
    assert repr(live) == "<live model knn (closed)>"
    assert not engine.noticing
    assert engine.ticker.is_watching is watching


def test_one_that_nobody_holds_any_more_leaves_nothing_behind(project: af.Project, knn: Any) -> None:
    knn.log(Heavy(1), stage="DEPLOYED")
    assert project.models.live("knn").predict() == 1
    until(lambda: not project._shared.engine.noticing)  # the worker that looked at the deployment may still hold it
    assert objects.numbers_alive() == []


def test_after_the_project_is_closed_what_answers_goes_on_and_says_so(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        project.models.register("knn").log(Numbered(1), stage="DEPLOYED")
        live = project.models.live("knn")
    assert live.predict() == (1, 1)
    assert live.problem == "the project is closed, and no deployment of 'knn' is heard of any more"
    live.close()


def test_it_can_be_asked_for_by_what_was_declared_and_travels_as_what_it_is(project: af.Project, knn: Any) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    with project.models.live(af.Model("knn")) as live, cloudpickle.loads(cloudpickle.dumps(live)) as other:
        assert other is not live
        knn.log(Numbered(2), stage="DEPLOYED")
        assert other.predict() == live.predict() == (2, 2)


@af.job
def predicts(live: af.LiveModel, home: str) -> list[Any]:
    """Predict before and after another version is deployed, by whomever."""
    before = live.predict(), live.version.number
    af.current().publish("ready")
    until(lambda: live.version.number == 2)
    return [before, live.predict()]


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_job_in_whatever_runner_follows_the_deployments(project: af.Project, knn: Any, runner: str) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    knn.log(Numbered(2))

    @af.workflow(runner=runner)
    def predicting() -> None:
        predicts(live, "")

    with project.models.live("knn") as live:
        execution = project.start(predicting)
        until(lambda: project.events.latest("ready"))
        knn.deploy(2)
        execution.wait(60)
    assert execution.result("predicts") == [((1, 1), 1), (2, 2)]


def test_a_forked_child_follows_the_deployments_too(tmp_path: Path) -> None:
    assert alone(deeds.follow_after_a_fork, str(tmp_path)) == {"child": [1, 2], "parent": [1, 2]}


# --- under load -------------------------------------------------------------------------------------------------------

DEPLOYMENTS, PREDICTIONS = 50, 10_000


def test_ten_thousand_predictions_over_fifty_deployments_are_each_of_a_version_that_was_deployed_then(
    project: af.Project, knn: Any
) -> None:
    knn.log(Numbered(1), stage="DEPLOYED")
    with project.models.live("knn") as live:
        with deeds.Predicting(project, live) as predicting:
            predicting.wait_for(1, 1)
            for number in range(2, DEPLOYMENTS + 2):
                knn.log(Numbered(number), stage="DEPLOYED")
                predicting.wait_for(number, PREDICTIONS // DEPLOYMENTS * number)
        assert live.version.number == DEPLOYMENTS + 1
    assert len(predicting.made) >= PREDICTIONS
    assert predicting.versions == set(range(1, DEPLOYMENTS + 2))
    predicting.check()


def test_the_same_with_deployments_by_another_process(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        knn = project.models.register("knn")
        for number in range(1, DEPLOYMENTS + 2):
            knn.log(Numbered(number))
        knn.deploy(1)
        with project.models.live("knn") as live, child(deeds.deploy_when_told, str(tmp_path)) as other:
            with deeds.Predicting(project, live) as predicting:
                for number in range(2, DEPLOYMENTS + 2):
                    other.tell(str(number))
                    assert other.hear() == f"knn:{number}"
                    predicting.wait_for(number, PREDICTIONS // DEPLOYMENTS * number)
            other.end()
        assert len(predicting.made) >= PREDICTIONS
        predicting.check()


def test_the_same_with_predictions_in_a_child_process(tmp_path: Path) -> None:
    with af.Project("shop", home=tmp_path) as project:
        knn = project.models.register("knn")
        for number in range(1, DEPLOYMENTS + 2):
            knn.log(Numbered(number))
        knn.deploy(1)
        with child(deeds.predict_all_the_while, str(tmp_path), DEPLOYMENTS + 1, PREDICTIONS) as other:
            for number in range(2, DEPLOYMENTS + 2):
                assert other.hear_of("at ") == str(number - 1)
                knn.deploy(number)
            assert other.hear_of("at ") == str(DEPLOYMENTS + 1)
            found = other.end()
        assert found["made"] >= PREDICTIONS
        assert found["versions"] == DEPLOYMENTS + 1
