"""Metrics through `project.metrics` and `af.current()`: what is logged comes back as it went in, and is an event."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.children import alone, fork_together
from tests.faults import Disk
from tests.metadata import deeds

import aiflow as af


def told(project: af.Project) -> list[tuple[str, Any]]:
    """What the log says of metrics: key and value."""
    return [(e.key, e.value) for e in project.events.list(types="METRIC_LOGGED", limit=None)]


# --- what is logged ---------------------------------------------------------------------------------------------------


def test_a_value_is_a_row_and_an_event_of_the_same_number(project: af.Project) -> None:
    version = project.models.register("knn").log([1])
    logged = project.metrics.log("accuracy", 0.5, 3, model=version)
    found = project.metrics.latest("accuracy")
    assert found == logged
    assert (found.value, found.step, found.model, found.number, found.dataset) == (0.5, 3, "knn", 1, None)
    event = project.events.list(types="METRIC_LOGGED")[-1]
    assert event.offset == logged.id
    assert (event.key, event.context, event.sender, event.time) == ("accuracy", None, None, logged.time)
    assert event.value == {
        "id": logged.id, "value": 0.5, "step": 3, "model": "knn", "number": 1, "dataset": None, "dataset_number": None,
    }  # fmt: skip


def test_of_many_values_each_is_an_event_with_offsets_that_follow_each_other(project: af.Project) -> None:
    project.metrics.log_many([("loss", 0.5**n, n) for n in range(200)])
    project.metrics.log_many({"auc": 0.9, "f1": 0.8}, step=7)
    losses, said = project.metrics.history("loss"), told(project)
    assert losses.values == [0.5**n for n in range(200)]
    assert losses.steps == list(range(200))
    assert [(key, value["value"], value["step"]) for key, value in said[-2:]] == [("auc", 0.9, 7), ("f1", 0.8, 7)]
    assert [value["id"] for _, value in said] == [one.id for one in reversed(project.metrics.list(limit=None))]
    ids = [value["id"] for _, value in said]
    assert ids == list(range(ids[0], ids[0] + 202))


def test_nothing_is_said_of_no_metrics(project: af.Project) -> None:
    project.metrics.log_many({})
    project.metrics.log_many([])
    assert told(project) == []


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**70), 2**70) | st.booleans()


def test_values_and_steps_come_back_as_they_went_in(project: af.Project) -> None:
    seen = 0

    @given(st.lists(st.tuples(numbers, st.none() | st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=90))
    def check(values: list[tuple[Any, int | None]]) -> None:
        nonlocal seen
        project.metrics.log_many([("x", value, step) for value, step in values])
        history = project.metrics.history("x")[seen:]
        seen += len(values)
        assert list(map(repr, history.values)) == [repr(float(value)) for value, _ in values]  # the sign of a zero, too
        assert history.steps == [step for _, step in values]

    check()


def test_what_json_has_no_number_for_is_text_in_events(project: af.Project) -> None:
    project.metrics.log_many([("x", math.nan), ("x", math.inf), ("x", -math.inf)])
    assert [value["value"] for _, value in told(project)] == ["NaN", "Infinity", "-Infinity"]
    assert str(project.metrics.history("x").values) == "[nan, inf, -inf]"


@pytest.mark.parametrize("name", ["Güte", "val/loss", "精度 2", "a.b-c_d", "x" * 10_000])
def test_a_metric_may_have_any_printable_name(project: af.Project, name: str) -> None:
    project.metrics.log(name, 1)
    found = project.metrics.latest(name)
    assert found is not None
    assert (found.name, project.metrics.names(), told(project)[0][0]) == (name, [name], name)


def test_a_scalar_of_numpy_is_a_number_and_an_array_is_none(project: af.Project) -> None:
    np = pytest.importorskip("numpy")
    assert project.metrics.log("x", np.float32(0.5), np.int64(3)) == project.metrics.latest("x")
    assert project.metrics.log("x", np.array(2)).value == 2.0
    with pytest.raises(af.ParameterError, match=r"'x' takes one number, not a ndarray of the shape \(1,\)"):
        project.metrics.log("x", np.array([2.0]))


@pytest.mark.parametrize(
    ("logged", "message"),
    [
        (("x", "0.5"), "metric 'x' takes a number, not '0.5'"),
        (("x", None), "metric 'x' takes a number, not None"),
        (("x", 1j), "metric 'x' takes a number, not 1j"),
        (("x", 10**400), "metric 'x' takes a number that a float can be"),
        (("x", 1, 2**63), "the step of metric 'x' must fit into 64 bits"),
        (("x", 1, -(2**63) - 1), "the step of metric 'x' must fit into 64 bits"),
        (("x", 1, 0.5), "the step of metric 'x' must be a whole number, not 0.5"),
        (("x", 1, True), "the step of metric 'x' must be a whole number, not True"),
        (("", 1), "the name of a metric must be a text that is not empty"),
        ((3, 1), "the name of a metric must be a text that is not empty, not 3"),
        (("a:b", 1), "the name of a metric cannot be 'a:b'"),
        (("a\0", 1), "the name of a metric cannot be"),
        (("\ud800", 1), "the name of a metric cannot be"),
        (("x",), r"metrics are a dict of numbers, or \(name, value\)"),
    ],
)
def test_of_many_metrics_none_is_logged_if_one_does_not_fit(project: af.Project, logged: Any, message: str) -> None:
    with pytest.raises(af.ParameterError, match=message):
        project.metrics.log_many([("y", 1), logged])
    assert (told(project), project.metrics.count()) == ([], 0)


def test_what_is_no_list_of_metrics_is_refused(project: af.Project) -> None:
    for wrong in ("loss", 3, None):
        with pytest.raises(af.ParameterError, match="metrics are a dict of numbers"):
            project.metrics.log_many(wrong)


# --- of what ----------------------------------------------------------------------------------------------------------


def test_a_metric_is_of_a_version_of_a_model_as_such_or_of_nothing(project: af.Project) -> None:
    knn = project.models.register("knn")
    first, second = knn.log([1]), knn.log([2])
    for value, model in enumerate((None, "knn", af.Model("knn"), knn, first, second, "knn:2")):
        project.metrics.log("x", value, model=model)
    history = project.metrics.history
    assert [(m.model, m.number) for m in history("x")] == [
        (None, None), ("knn", None), ("knn", None), ("knn", None), ("knn", 1), ("knn", 2), ("knn", 2),
    ]  # fmt: skip
    assert history("x", model="knn").values == [1, 2, 3, 4, 5, 6]
    assert history("x", model=second).values == history("x", model="knn:2").values == [5, 6]
    assert project.metrics.latest("x", model=first) == history("x")[4]
    assert project.metrics.latest("x", model="other") is None


def test_the_metrics_of_a_version_are_the_newest_of_each_name(project: af.Project) -> None:
    knn = project.models.register("knn")
    first, second = knn.log([1]), knn.log([2])
    project.metrics.log_many([("loss", n) for n in range(5)], model=first)
    project.metrics.log_many({"auc": math.inf, "loss": 7}, model=second)
    project.metrics.log("only", 1, model="knn")
    assert first.metrics == {"loss": 4.0}
    assert second.metrics == {"auc": math.inf, "loss": 7.0}
    assert knn.log([3]).metrics == {}
    newest = project.metrics.newest(model="knn")
    assert {name: one.number for name, one in newest.items()} == {"auc": 2, "loss": 2, "only": None}


def test_what_is_not_registered_has_no_metrics(project: af.Project) -> None:
    knn = project.models.register("knn")
    knn.log([1])
    before = project.events.count()
    with pytest.raises(af.NotFound, match="no model 'knm'; did you mean 'knn'"):
        project.metrics.log("x", 1, model="knm")
    with pytest.raises(af.NotFound, match="no version of a model 'knn:3'; did you mean 'knn:1'"):
        project.metrics.log("x", 1, model="knn:3")
    with pytest.raises(af.NotFound, match="no dataset 'iris'"):
        project.metrics.log("x", 1, dataset="iris")
    with pytest.raises(af.ParameterError, match="model= takes a name, an af.Model or a version of one, not 3"):
        project.metrics.log("x", 1, model=3)
    with pytest.raises(af.ParameterError, match="dataset= takes a name"):
        project.metrics.log("x", 1, dataset=af.Model("knn"))
    assert (project.events.count(), project.metrics.count()) == (before, 0)


def test_a_version_that_was_deleted_may_still_get_metrics(project: af.Project) -> None:
    knn = project.models.register("knn")
    version = knn.log([1])
    knn.delete(1)
    project.models.delete("knn")
    assert project.metrics.log("x", 1, model=version).number == 1
    with pytest.raises(af.NotFound, match="no model 'knn'"):
        project.metrics.log("x", 1, model="knn")


# --- who logs ---------------------------------------------------------------------------------------------------------


@af.job
def logs() -> Any:
    job = af.current()
    job.log_metric("loss", 0.5, 1, model="knn:1")
    job.log_metrics({"loss": 0.25, "auc": float("nan")}, step=2)
    af.project().metrics.log("loss", 0.125, 3)
    try:
        job.log_metric("loss", 1, model="knm")
    except af.NotFound as error:
        return str(error)
    return None


@pytest.mark.parametrize("runner", ["thread", "process", "inline"])
def test_what_a_job_logs_says_which_job_that_was(project: af.Project, runner: str) -> None:
    project.models.register("knn").log([1])

    @af.workflow(runner=runner)
    def training() -> None:
        logs()

    execution = project.run(training)
    assert execution.result("logs") == "no model 'knm'; did you mean 'knn'?"
    losses = project.metrics.history("loss", execution=execution, job="logs")
    assert (losses.values, losses.steps) == ([0.5, 0.25, 0.125], [1, 2, 3])
    assert {(m.execution_id, m.job, m.job_number) for m in losses} == {(execution.id, "logs", 1)}
    assert [m.number for m in losses] == [1, None, None]
    said = project.events.list(types="METRIC_LOGGED")
    assert {(e.sender, e.execution_id, e.context) for e in said} == {("logs", execution.id, None)}
    assert set(project.metrics.newest(execution=execution)) == {"auc", "loss"}


def test_threads_log_at_once_and_each_keeps_its_order(project: af.Project) -> None:
    def log(number: int) -> None:
        for step in range(50):
            project.metrics.log(f"loss {number}", step, step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert project.metrics.history(f"loss {number}").steps == list(range(50))
    assert project.metrics.count(name="loss *") == 200


def log_some(number: int, home: str) -> None:
    with af.Project("shop", home=home) as project:
        for step in range(20):
            project.metrics.log("loss", number, step)
            project.metrics.log_many([("batch", number, n) for n in range(10)])


def several_processes_log(home: str) -> None:
    fork_together(4, log_some, home)


def test_processes_log_at_once_and_nothing_is_lost_or_mixed(project: af.Project) -> None:
    alone(several_processes_log, str(project.home))
    losses = project.metrics.history("loss")
    for number in range(4):
        assert [m.step for m in losses if m.value == number] == list(range(20))
    assert project.metrics.history("batch").steps == list(range(10)) * 80
    assert [m.id for m in reversed(project.metrics.list(limit=None))] == [v["id"] for _, v in told(project)]


def test_values_and_events_of_one_call_are_there_together_or_not_at_all_whenever_the_process_dies(
    tmp_path: Path,
) -> None:
    whole = [3, 120, ["SUCCESS"]]
    assert alone(deeds.die_at_each_commit_of_metrics, str(tmp_path), timeout=120) == [whole, whole]


def test_a_full_disk_refuses_metrics_and_goes_on_when_there_is_room(project: af.Project) -> None:
    project.metrics.log("x", 1)
    disk = Disk(project)
    disk.full = True
    with pytest.raises(af.StoreError, match="could not be written: database or disk is full"):
        project.metrics.log_many([("x", n) for n in range(100)])
    disk.full = False
    project.metrics.log("x", 2)
    assert project.metrics.history("x").values == [1, 2]
    assert [value["value"] for _, value in told(project)] == [1, 2]


def test_numbers_of_metrics_are_not_used_again_after_the_log_was_pruned(aiflow_project: af.Project) -> None:
    project = aiflow_project
    project.metrics.log_many([("x", n) for n in range(5)])
    project.prune(events=0)
    assert project.metrics.log("x", 5).id > project.metrics.history("x")[-2].id
    assert project.metrics.history("x").values == [0, 1, 2, 3, 4, 5]


# --- asking -----------------------------------------------------------------------------------------------------------


def test_a_history_is_a_sequence_with_values_steps_and_times(project: af.Project) -> None:
    project.metrics.log_many([("x", v, n) for n, v in enumerate([2.0, math.nan, 1.0, 3.0, 3.0, 1.0])])
    history = project.metrics.history("x")
    assert (len(history), history[0].value, history[-1].step) == (6, 2.0, 5)
    assert (history.min, history.max, history.last) == (history[2], history[3], history[5])
    assert (history[2:4].values, history[::-2].steps, history[:0].last) == ([1.0, 3.0], [5, 3, 1], None)
    assert history.times == [one.time for one in history]
    assert (history[1:] == project.metrics.history("x")[1:], history[1:] == history) == (True, False)
    assert repr(history) == "<history of x: 6 values, the last 1>"


def test_the_history_of_what_was_never_logged_is_empty(project: af.Project) -> None:
    history = project.metrics.history("x")
    assert (list(history), history.last, history.min, history.max, history.values) == ([], None, None, None, [])
    assert (project.metrics.latest("x"), project.metrics.list(), project.metrics.names()) == (None, [], [])
    project.metrics.log("accuracy", 1)
    with pytest.raises(af.NotFound, match="no metric 'acuracy'; did you mean 'accuracy'"):
        project.metrics.get("acuracy")


def test_metrics_are_listed_newest_first_by_filters_and_pages(project: af.Project) -> None:
    project.models.register("knn").log([1])
    project.metrics.log_many([("loss", n, n) for n in range(4)], model="knn:1")
    project.metrics.log_many([("auc", n, n) for n in range(4)])
    listed = project.metrics.list
    assert [(m.name, m.step) for m in listed(limit=2, offset=3)] == [("auc", 0), ("loss", 3)]
    assert [m.step for m in listed(model="knn", number=1, name="l*")] == [3, 2, 1, 0]
    assert [m.name for m in listed(step=2)] == ["auc", "loss"]
    assert (project.metrics.count(model=None), project.metrics.count(name="loss")) == (4, 4)
    with pytest.raises(af.ParameterError, match="metrics have no field 'modle' to filter by; did you mean 'model'"):
        listed(modle="knn")


def test_who_only_reads_sees_what_others_have_logged(project: af.Project, tmp_path: Path) -> None:
    project.metrics.log("x", 1)
    assert alone(seen, str(project.home)) == [1.0]


def seen(home: str) -> list[float]:
    with af.Project(home=home) as project:
        return project.metrics.history("x").values


def test_a_history_of_what_was_never_logged_is_empty_and_says_which_names_are_close(project: af.Project) -> None:
    project.metrics.log("accuracy", 0.5, model=project.models.register("knn").log([1]))
    history = project.metrics.history("acuracy", model="knn")
    assert list(history) == []
    for text in (repr(history), str(history), history._repr_html_(), history._repr_mimebundle_()["text/plain"]):
        assert "did you mean" in text
        assert "accuracy" in text
    assert "did you mean" not in repr(project.metrics.history("accuracy", job="other"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "kmn"}, "no model 'kmn'; did you mean 'knn'"), ({"model": "kmn:1"}, "no model 'kmn'"),
        ({"dataset": "iris"}, "no dataset 'iris'"),
    ],
)  # fmt: skip
def test_a_history_of_something_unknown_is_not_found(project: af.Project, asked: dict[str, str], said: str) -> None:
    project.metrics.log("accuracy", 0.5, model=project.models.register("knn").log([1]))
    with pytest.raises(af.NotFound, match=said):
        project.metrics.history("accuracy", **asked)
