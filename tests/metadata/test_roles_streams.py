"""Jobs with roles that yield items, or take streams: they go on while versions are deployed."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from tests.children import until
from tests.metadata.objects import Numbered

import aiflow as af
from aiflow.testing import simulate

knn = af.Model("knn")
arriving: queue.Queue[Any] = queue.Queue()
END = "the end"


@pytest.fixture(autouse=True)
def nothing_arrives() -> Iterator[None]:
    while not arriving.empty():
        arriving.get()
    yield
    arriving.put(END)


@af.job(runner="thread")
def readings() -> Iterator[Any]:
    """Yield what arrives, until the end does."""
    while True:
        try:
            item = arriving.get(timeout=0.02)
        except queue.Empty:
            if af.current().stopping:
                return
            continue
        if item == END:
            return
        yield item


@af.predict(knn)
def score(model: af.LiveModel, items: af.Stream[Any]) -> Iterator[Any]:
    """Tell with each item which version has answered."""
    assert isinstance(model, af.LiveModel)
    for item in items:
        first, number = model.predict(item)
        assert first == number
        yield [item, number]


@af.job(runner="thread")
def keep(answer: Any) -> Any:
    return answer


@af.workflow
def predicting(runner: str) -> None:
    keep(score.options(runner=runner)(readings()))


def answers(execution: af.Execution) -> list[Any]:
    return list(execution.results("keep"))


RUNNERS = pytest.mark.parametrize("runner", ["thread", "process"])


@RUNNERS
def test_a_stream_predicts_with_what_is_deployed_and_does_not_begin_again(project: af.Project, runner: str) -> None:
    model = project.models.register(knn)
    model.log(Numbered(1), stage="DEPLOYED")
    execution = project.start(predicting, runner=runner)
    for item in range(3):
        arriving.put(item)
    until(lambda: len(answers(execution)) == 3)
    assert answers(execution) == [[0, 1], [1, 1], [2, 1]]
    model.log(Numbered(2), stage="DEPLOYED")
    count = 3
    while answers(execution)[-1][1] != 2:
        assert runner == "process" or count == 3, "in this process, the next item has the new version"
        arriving.put(count)
        count += 1
        until(lambda wanted=count: len(answers(execution)) == wanted)
    arriving.put(END)
    execution.wait(60)
    assert execution.status == "SUCCESS"
    assert [number for _, number in answers(execution)] == sorted(number for _, number in answers(execution))
    assert [(j.number, j.attempt) for j in execution.jobs if j.job == "score"] == [(1, 1)]
    assert not project._shared.engine.noticing


@RUNNERS
def test_each_version_that_has_predicted_is_an_ancestor_of_the_job(project: af.Project, runner: str) -> None:
    model = project.models.register(knn)
    model.log(Numbered(1), stage="DEPLOYED")
    execution = project.start(predicting, runner=runner)
    arriving.put(0)
    until(lambda: answers(execution))
    model.log(Numbered(2), stage="DEPLOYED")

    def ancestors() -> set[str]:
        job = execution.job("score")
        return {str(one) for one in project.lineage.upstream(job) if isinstance(one, af.ModelVersion)}

    until(lambda: ancestors() == {"knn:1", "knn:2"})
    execution.stop().wait(60)
    assert ancestors() == {"knn:1", "knn:2"}
    assert not project._shared.engine.noticing


@af.predict(knn)
def tally(model: Any, items: af.Stream[Any]) -> dict[str, int]:
    """Take a stream, and give one value at its end."""
    found: dict[str, int] = {}
    for item in items:
        name = str(model.version)
        found[name] = found.get(name, 0) + 1
        af.current().log_metric("seen", item, model="knn")
    return found


@RUNNERS
def test_a_plain_function_that_takes_a_stream_gets_a_live_model_too(project: af.Project, runner: str) -> None:
    @af.workflow
    def tallying() -> None:
        tally.options(runner=runner)(readings())

    model = project.models.register(knn)
    model.log(Numbered(1), stage="DEPLOYED")
    execution = project.start(tallying)
    arriving.put(1)
    until(lambda: project.metrics.latest("seen"))
    model.log(Numbered(2), stage="DEPLOYED")
    count = 1
    while project.metrics.history("seen")[-1].number != 2:
        count += 1
        arriving.put(count)
        until(lambda wanted=count: len(project.metrics.history("seen")) == wanted)
    arriving.put(END)
    execution.wait(60)
    assert execution.result("tally").keys() == {"knn:1", "knn:2"}
    assert sum(execution.result("tally").values()) == count


def test_38_a_stream_that_predicts_waits_for_the_first_version(project: af.Project) -> None:
    model = project.models.register(knn)
    execution = project.start(predicting, runner="thread")
    arriving.put("early")
    until(lambda: execution.job("score"))
    assert (execution.job("score").status, execution.job("score").label) == ("QUEUED", "waits for a version of knn")
    model.log(Numbered(1), stage="DEPLOYED")
    until(lambda: answers(execution) == [["early", 1]])
    arriving.put(END)
    execution.wait(60)
    assert execution.status == "SUCCESS"


def test_22_a_stream_stops_though_who_takes_it_still_waits_for_a_version_and_loses_no_item(project: af.Project) -> None:
    @af.job(runner="thread", stop_timeout=60)
    def counted() -> Iterator[int]:
        state = af.current().state
        while (n := state.get("next", 0)) < 3:
            state["next"] = n + 1
            yield n

    @af.workflow
    def counting() -> None:
        keep(score(counted()))

    model = project.models.register(knn)
    execution = project.start(counting)
    until(lambda: execution.job("score") and execution.job("counted"))
    execution.stop().wait(30)
    assert execution.statuses["counted"] == "STOPPED"
    model.log(Numbered(1), stage="DEPLOYED")
    execution.resume().wait(30)
    assert answers(execution) == [[0, 1], [1, 1], [2, 1]]


@af.monitor(knn)
def drift(model: Any, items: af.Stream[Any]) -> Iterator[Any]:
    for item in items:
        yield {"drift": item / model.number}


@RUNNERS
def test_what_a_monitoring_stream_yields_is_logged_of_the_version_that_is_deployed_then(
    project: af.Project, runner: str
) -> None:
    @af.workflow
    def watching() -> None:
        keep(drift.options(runner=runner)(readings()))

    model = project.models.register(knn)
    model.log(Numbered(1), stage="DEPLOYED")
    execution = project.start(watching)
    arriving.put(4)
    until(lambda: len(answers(execution)) == 1)
    assert answers(execution) == [{"drift": 4.0}]
    model.log(Numbered(2), stage="DEPLOYED")
    count = 1
    while answers(execution)[-1]["drift"] != 2.0:
        count += 1
        arriving.put(4)
        until(lambda wanted=count: len(answers(execution)) == wanted)
    arriving.put(END)
    execution.wait(60)
    assert [m.value for m in project.metrics.history("drift", model="knn:2")] == [2.0]
    assert [m.value for m in project.metrics.history("drift", model="knn:1")] == [4.0] * (count - 1)


# --- training in a stream ---------------------------------------------------------------------------------------------


@af.train(knn)
def learn(items: af.Stream[Any]) -> Iterator[Any]:
    for item in items:
        yield Numbered(item)


@af.model_validate(knn)
def is_better(model: Any, deployed: Any) -> bool:
    return deployed is None or model.number > deployed.number


@af.push_model(knn)
def push(version: af.ModelVersion) -> None: ...


@RUNNERS
def test_each_item_of_a_training_stream_is_a_version_and_what_follows_runs_while_training_goes_on(
    project: af.Project, runner: str
) -> None:
    @af.workflow
    def learning() -> None:
        push(is_better(learn.options(runner=runner)(readings())))

    execution = project.start(learning)
    model = None
    for count, (number, deployed) in enumerate([(5, "knn:1"), (3, "knn:1"), (8, "knn:3")], 1):
        arriving.put(number)
        until(lambda wanted=count: len(execution.results("is_better")) == wanted)
        model = project.models.get("knn")
        until(lambda wanted=deployed, model=model: str(model.deployed) == wanted)
    assert execution.job("learn").status == "RUNNING"
    arriving.put(END)
    execution.wait(60)
    assert execution.status == "SUCCESS"
    assert model is not None
    assert [(v.number, v.stage, v.load().number) for v in model.versions()] == [
        (1, "DEPRECATED", 5),
        (2, "GENERATED", 3),
        (3, "DEPLOYED", 8),
    ]
    assert {(v.execution_id, v.job) for v in model.versions()} == {(execution.id, "learn")}


def test_a_stream_that_trains_and_one_that_predicts_run_side_by_side(project: af.Project) -> None:
    """E10: prediction switches version without a restart."""

    @af.job
    def questions() -> Iterator[int]:
        number = 0
        while not af.current().wait_stop(0.002):
            yield number
            number += 1

    @af.workflow(ends="never")
    def both() -> None:
        push(is_better(learn(readings())))
        keep(score(questions()))

    execution = project.start(both)
    for number in (1, 2, 3):
        arriving.put(number)
        until(lambda wanted=number: answers(execution) and answers(execution)[-1][1] == wanted)
    execution.stop().wait(60)
    found = answers(execution)
    assert [item for item, _ in found] == list(range(len(found)))
    assert [number for _, number in found] == sorted(number for _, number in found)
    assert [(j.number, j.attempt) for j in execution.jobs if j.job == "score"] == [(1, 1)]


def test_35_a_simulation_of_streams_that_train_and_predict_is_the_same_each_time() -> None:
    @af.job
    def questions() -> Iterator[int]:
        for number in range(8):
            af.current().wait_stop(1.0)
            yield number

    @af.train(knn)
    def lessons() -> Iterator[Any]:
        for number in range(3):
            af.current().wait_stop(2.0)
            yield Numbered(number)

    @af.workflow
    def both() -> None:
        push(is_better(lessons()))
        keep(score(questions()))

    found = [simulate(both, seed=seed).execution.results("keep") for seed in (1, 1, 2)]
    assert found[0] == found[1]
    for answered in found:
        assert [item for item, _ in answered] == list(range(8))
        assert [number for _, number in answered] == sorted(number for _, number in answered)
        assert answered[-1][1] == 2


def test_a_stream_that_trains_gets_the_base_that_its_call_leaves_out() -> None:
    first = af.Model("first")

    @af.train(first)
    def begin() -> Any:
        return Numbered(40)

    @af.job
    def steps() -> Iterator[int]:
        yield from (1, 2)

    @af.train(knn, base=first)
    def go_on(items: af.Stream[int], base: Any) -> Iterator[Any]:
        for item in items:
            yield Numbered(base.number + item)

    @af.predict(knn)
    def told(*, model: Any, items: af.Stream[int]) -> list[int]:
        return [model.first() for _ in items]

    @af.evaluate(knn)
    def look(model: Any) -> dict[str, int]:
        return {"number": model.number}

    @af.workflow
    def both() -> None:
        begin()
        version = go_on(steps())
        look(version)
        push(is_better(version))
        told(items=steps())

    execution = simulate(both).execution
    assert execution.results("look") == [{"number": 41}, {"number": 42}]
    assert set(execution.result("told")) <= {41, 42}
