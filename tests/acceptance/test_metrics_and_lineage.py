"""Acceptance of metrics, of blocks that are tracked, and of lineage, written from the text alone."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.acts import command_json, command_line, until
from tests.children import alone, fork_together

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests

KNN = af.Model("knn")
ODD = [0.0, -0.0, 1e308, -1e-320, 0.1 + 0.2, 2.0**63, math.nan, math.inf, -math.inf, 3]


def same(one: float, other: float) -> bool:
    """Tell whether two numbers are the same, signs of zero and NaN included."""
    return (math.isnan(one) and math.isnan(other)) or (
        one == other and math.copysign(1, one) == math.copysign(1, other)
    )


def values(metrics: Iterable[Any]) -> list[float]:
    return [metric.value for metric in metrics]


# ------------------------------------------------------------------------------------------------------------- metrics


def test_every_float_comes_back_as_it_went_in(tmp_path):
    with af.Project("accept", home=tmp_path / "home") as project:
        for step, value in enumerate(ODD):
            project.metrics.log("odd", value, step)
    with af.Project(home=tmp_path / "home") as project:
        history = project.metrics.history("odd")
        assert len(history) == len(ODD)
        assert all(same(got, went) for got, went in zip(values(history), ODD, strict=True))
        assert [metric.step for metric in history] == list(range(len(ODD)))
        assert isinstance(history[0], af.Metric)
        assert values(history[1:3]) == [-0.0, 1e308]
        assert project.metrics.latest("odd").value == 3


@pytest.mark.parametrize("value", ["0.9", None, [1], 1j, 10**400, {"a": 1}], ids=str)
def test_what_is_no_float_is_refused_by_name_and_nothing_is_logged(project, value):
    with pytest.raises((af.AIFlowError, TypeError, ValueError, OverflowError), match="auc"):
        project.metrics.log("auc", value)
    assert project.metrics.latest("auc") is None
    assert len(project.metrics.history("auc")) == 0
    assert project.events.list(types=["METRIC_LOGGED"]) == []


def test_numbers_of_numpy_are_numbers(project):
    import numpy

    for value in (numpy.float32(0.5), numpy.int64(2), numpy.float64("nan")):
        project.metrics.log("auc", value)
    assert values(project.metrics.history("auc"))[:2] == [0.5, 2.0]
    assert math.isnan(project.metrics.latest("auc").value)


def test_metrics_know_what_they_were_logged_of(project):
    row = project.models.register(KNN)
    project.models.register(af.Model("svm")).log(1)
    first, second = row.log(1), row.log(2)
    project.datasets.register(af.Dataset("raw", uri="/data/raw.csv"))
    project.metrics.log("auc", 0.1, model=first)
    project.metrics.log("auc", 0.2, model=second)
    project.metrics.log("auc", 0.3, model=KNN)
    project.metrics.log("auc", 0.4, model="svm")
    project.metrics.log("auc", 0.5, dataset="raw")
    project.metrics.log("alone", 0.6)
    history = project.metrics.history
    assert values(history("auc", model=first)) == [0.1]
    assert values(history("auc", model=second)) == [0.2]
    assert values(history("auc", model="knn")) == values(history("auc", model=KNN)) == [0.1, 0.2, 0.3]
    assert values(history("auc", model="svm")) == [0.4]
    assert values(history("auc", dataset="raw")) == [0.5]
    assert values(history("alone")) == [0.6]
    assert project.metrics.latest("auc", model="knn").value == 0.3
    assert project.metrics.latest("auc", model=first).value == 0.1
    assert project.metrics.latest("loss", model="knn") is None
    assert dict(row.version(2).metrics) == {"auc": 0.2}
    with pytest.raises(af.NotFound, match="knn"):
        project.metrics.log("auc", 0.1, model="kn")
    with pytest.raises(af.NotFound):
        project.metrics.log("auc", 0.1, model="knn:9")


def test_each_value_is_one_event_of_the_metric_s_name(project):
    for step in range(3):
        project.metrics.log("loss", 1 / (step + 1), step)
    events = project.events.list(types=["METRIC_LOGGED"])
    assert [event.key for event in events] == ["loss"] * 3
    assert [event.type for event in events] == [af.EventType.METRIC_LOGGED] * 3
    assert {event.context for event in events} == {None}


def test_times_are_those_of_the_project_s_clock_and_order_is_the_order_of_logging(tmp_path):
    clock = ManualClock()
    with project_for_tests(tmp_path / "home", clock) as project:
        times = []
        for step in (3, 1, 2):
            clock.advance(60)
            times.append(clock.now())
            project.metrics.log("loss", step / 10, step)
        history = project.metrics.history("loss")
        assert [metric.time.timestamp() for metric in history] == pytest.approx(times)
        assert [metric.time.tzinfo for metric in history] == [UTC] * 3 or history[
            0
        ].time.utcoffset().total_seconds() == 0
        assert [metric.step for metric in history] == [3, 1, 2]
        assert project.metrics.latest("loss").step == 2


def test_versions_are_compared_by_a_metric(project):
    row = project.models.register(KNN)
    for n in range(4):
        row.log(n)
    for number, value in ((1, 0.5), (2, math.nan), (3, 0.7), (3, 0.9)):
        project.metrics.log("auc", value, model=row.version(number))
    table = project.metrics.compare("auc", model="knn").to_pandas()
    by = dict(zip(table["number"], table["value"], strict=True))
    assert by[1] == 0.5
    assert math.isnan(by[2])
    assert by[3] == 0.9
    assert "<table" in project.metrics.compare("auc", model="knn")._repr_html_()


@pytest.mark.parametrize("runner", ["thread", "process", "inline"])
def test_a_job_logs_metrics_for_itself_a_model_and_a_dataset_in_every_runner(project, runner):
    row = project.models.register(KNN)
    row.log(1)
    project.datasets.register(af.Dataset("raw", uri="/data/raw.csv"))

    @af.job(runner=runner)
    def work():
        for step in range(3):
            af.current().log_metric("loss", 1.0 / (step + 1), step=step)
        af.current().log_metric("auc", float("nan"), model="knn:1")
        af.current().log_metric("rows", 5, dataset="raw")

    @af.workflow
    def flow():
        work()

    execution = project.run(flow)
    history = project.metrics.history("loss")
    assert values(history) == [1.0, 1 / 2, 1 / 3]
    assert [metric.step for metric in history] == [0, 1, 2]
    assert {(metric.execution_id, metric.job) for metric in history} == {(execution.id, "work")}
    assert math.isnan(row.version(1).metrics["auc"])
    assert project.metrics.latest("rows", dataset="raw").value == 5
    events = project.events.list(types=["METRIC_LOGGED"])
    assert {event.execution_id for event in events} == {execution.id}
    assert len(events) == 5


def _log_many(number: int, home: str) -> int:
    with af.Project("accept", home=home) as project:
        for step in range(100):
            project.metrics.log("shared", number, step, model="knn:1")
    return number


def _log_together(home: str) -> Any:
    return fork_together(4, _log_many, home)


def test_four_processes_log_at_once_and_no_value_is_lost_or_doubled(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        project.models.register(KNN).log(1)
    alone(_log_together, str(home))
    with af.Project(home=home) as project:
        history = project.metrics.history("shared", model="knn:1")
        assert len(history) == 400
        for number in range(4):
            assert [m.step for m in history if m.value == number] == list(range(100))
        assert project.events.count(types=["METRIC_LOGGED"]) == 400


def test_threads_that_log_at_once_lose_nothing(project):
    def log(number: int) -> None:
        for step in range(50):
            project.metrics.log("shared", number, step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = project.metrics.history("shared")
    assert sorted((int(m.value), m.step) for m in history) == [(n, step) for n in range(6) for step in range(50)]


def test_a_history_is_shown_as_text_and_as_a_picture_with_markup_escaped_and_nan_left_out(project):
    name = "<script>alert(1)</script>"
    for step, value in enumerate([0.1, math.nan, math.inf, 0.9]):
        project.metrics.log(name, value, step)
    history = project.metrics.history(name)
    assert repr(history)
    picture = next(
        made for made in (getattr(history, show, lambda: None)() for show in ("_repr_html_", "_repr_svg_")) if made
    )
    assert "<svg" in picture
    assert "<script>" not in picture
    assert "nan" not in picture.lower().replace("not a number", "").split("<svg")[1].split("points=")[-1].split(">")[0]


# ----------------------------------------------------------------------------------------------- without a workflow


def test_a_tracked_block_logs_metrics_and_models_and_is_compared_with_others_in_a_table(project):
    project.models.register(KNN)
    for k in (3, 5):
        with project.track("search", k=k) as experiment:
            experiment.log_metric("accuracy", 1 - 1 / k)
            experiment.log_model({"k": k}, KNN)
    executions = project.executions.list(workflow="search")
    assert {execution.status for execution in executions} == {"SUCCESS"}
    versions = sorted(project.models.get("knn").versions(), key=lambda v: v.number)
    assert {v.execution_id for v in versions} == {execution.id for execution in executions}
    assert [v.load() for v in versions] == [{"k": 3}, {"k": 5}]
    frame = project.executions.compare(*executions).to_pandas()
    assert len(frame) == 2
    rows = {row["params.k"]: row["metrics.accuracy"] for row in frame.to_dict("records")}
    assert rows == {3: pytest.approx(2 / 3), 5: 0.8}


def test_a_tracked_block_that_raises_is_failed_and_keeps_what_it_logged(project):
    with pytest.raises(ZeroDivisionError), project.track("failing") as experiment:
        _ = experiment.log_metric("accuracy", 0.5).value / 0
    [execution] = project.executions.list(workflow="failing")
    assert execution.status == "FAILED"
    assert project.metrics.latest("accuracy").value == 0.5


def test_a_tracked_block_logs_artifacts_too(project, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("fine")
    with project.track("reporting") as experiment:
        experiment.log_artifact(af.Artifact("report", uri=str(report), type="text"))
    [version] = project.artifacts.get("report").versions()
    [execution] = project.executions.list(workflow="reporting")
    assert version.execution_id == execution.id


def test_executions_of_a_workflow_are_compared_by_parameters_results_and_metrics(project):
    @af.job
    def fit(k):
        af.current().log_metric("accuracy", k / 10)
        return k * 2

    @af.workflow
    def flow(k: int = 1):
        fit(k)

    executions = [project.run(flow, k=k) for k in (1, 2, 3)]
    table = project.executions.compare(*executions)
    frame = table.to_pandas()
    assert frame["params.k"].tolist() == [1, 2, 3]
    assert frame["results.fit"].tolist() == [2, 4, 6]
    assert frame["metrics.accuracy"].tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(af.NotFound):
        project.executions.compare(executions[0], "nonesuch")


# ------------------------------------------------------------------------------------------------------------- lineage


def name_of(node: Any) -> str:
    """Say which thing a node of the graph is."""
    if isinstance(node, af.JobExecution):
        return node.job
    owner = node.model if isinstance(node, af.ModelVersion) else getattr(node, "dataset", None) or node.artifact
    return f"{owner if isinstance(owner, str) else owner.name}:{node.number}"


def names(graph: Any) -> set[str]:
    return {name_of(node) for node in graph.nodes}


def edges(graph: Any) -> set[tuple[str, str]]:
    return {(name_of(a), name_of(b)) for a, b in graph.edges}


def pipeline(folder: Path, runner: str = "thread") -> af.Workflow:
    """raw → load → clean → fit → knn → report, and fit → push."""
    raw = af.Dataset("raw", uri=str(folder / "raw.csv"), format="csv")
    model = af.Model("knn")
    done = af.Artifact("report", uri=str(folder / "report.txt"), type="text")
    folder.mkdir(exist_ok=True)

    @af.read_dataset(raw)
    def load(version):
        return [int(x) for x in version.read()["x"]]

    @af.transform
    def clean(rows):
        return [x for x in rows if x]

    @af.train(model)
    def fit(rows, k):
        return {"sum": sum(rows), "k": k}

    @af.write_artifact(done)
    def report(version):
        (folder / "report.txt").write_text(f"version {version.number}")

    @af.push_model(model)
    def push(version): ...

    @af.workflow(runner=runner)
    def life(k: int = 1):
        fitted = fit(clean(load()), k)
        report(fitted)
        push(fitted)

    return life


def raw_table(folder: Path, *numbers: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "raw.csv").write_text("x\n" + "".join(f"{n}\n" for n in numbers))


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_lineage_goes_from_the_data_over_jobs_to_the_model_and_on_to_the_report_in_both_directions(
    project, tmp_path, runner
):
    import networkx

    raw_table(tmp_path / "data", 1, 0, 2)
    execution = project.run(pipeline(tmp_path / "data", runner))
    [version] = project.models.get("knn").versions()
    up = project.lineage.upstream(version)
    assert isinstance(up, networkx.DiGraph)
    assert networkx.is_directed_acyclic_graph(up)
    assert names(up) == {"raw:1", "load", "clean", "fit", "knn:1"}
    assert {("raw:1", "load"), ("load", "clean"), ("clean", "fit"), ("fit", "knn:1")} <= edges(up)
    [table] = project.datasets.get("raw").versions()
    [page] = project.artifacts.get("report").versions()
    down = project.lineage.downstream(table)
    assert {"raw:1", "load", "clean", "fit", "knn:1", "report", "report:1", "push"} >= names(down)
    assert {"raw:1", "load", "clean", "fit", "knn:1", "report:1"} <= names(down)
    assert {"raw:1", "fit", "report:1", "report"} <= names(project.lineage.upstream(page))
    assert "push" not in names(project.lineage.upstream(page))
    jobs = [node for node in down.nodes if isinstance(node, af.JobExecution)]
    assert {execution.job("fit").started} == {node.started for node in jobs if node.job == "fit"}
    kinds = {type(node): data["kind"] for node, data in down.nodes(data=True)}
    assert len(set(kinds.values())) == 4
    assert all(data["kind"] == kinds[type(node)] for node, data in up.nodes(data=True))
    assert version in up
    assert table in up


def test_a_version_that_any_job_was_given_stands_between_what_made_it_and_what_that_job_made(project, tmp_path):
    raw_table(tmp_path / "data", 1)
    project.run(pipeline(tmp_path / "data"))
    assert {("fit", "knn:1"), ("knn:1", "report"), ("report", "report:1")} <= edges(
        project.lineage.upstream("report:1")
    )
    assert "report:1" in names(project.lineage.downstream("knn:1"))


def test_lineage_is_asked_of_what_is_written_as_name_and_number_and_of_job_executions(project, tmp_path):
    raw_table(tmp_path / "data", 1)
    life = pipeline(tmp_path / "data")
    execution = project.run(life)
    raw_table(tmp_path / "data", 2)
    project.run(life)
    assert names(project.lineage.upstream("knn:1")) == {"raw:1", "load", "clean", "fit", "knn:1"}
    assert names(project.lineage.upstream("knn:2")) == {"raw:2", "load", "clean", "fit", "knn:2"}
    assert {"raw:1", "load", "clean"} <= names(project.lineage.upstream(execution.job("clean")))
    assert "knn:1" not in names(project.lineage.upstream(execution.job("clean")))
    assert {"knn:1", "report:1"} <= names(project.lineage.downstream(execution.job("clean")))
    assert "knn:2" not in names(project.lineage.downstream("raw:1"))
    with pytest.raises(af.NotFound):
        project.lineage.upstream("knn:9")
    with pytest.raises(af.NotFound, match="knn"):
        project.lineage.upstream("kn:1")


def test_lineage_answers_what_made_the_model_that_was_live_at_14_03(tmp_path):
    clock = ManualClock()

    def at() -> datetime:
        return datetime.fromtimestamp(clock.now(), UTC)

    with project_for_tests(tmp_path / "home", clock) as project:
        life = pipeline(tmp_path / "data")
        before = at()
        moments = []
        for n in (1, 2):
            clock.advance(60)
            raw_table(tmp_path / "data", n)
            project.run(life, k=n)
            clock.advance(60)
            moments.append(at())
            clock.advance(60)
        project.models.get("knn").rollback()
        clock.advance(60)
        assert {"raw:1", "knn:1"} <= names(project.lineage.upstream("knn", as_of=moments[0]))
        assert {"raw:2", "knn:2"} <= names(project.lineage.upstream("knn", as_of=moments[1]))
        assert "knn:1" not in names(project.lineage.upstream("knn", as_of=moments[1]))
        assert {"raw:1", "knn:1"} <= names(project.lineage.upstream(KNN, as_of=at()))
        assert {"raw:1", "knn:1"} <= names(project.lineage.upstream(KNN))
        with pytest.raises(af.NotFound):
            project.lineage.upstream("knn", as_of=before)
        with pytest.raises((af.AIFlowError, ValueError, TypeError)):
            project.lineage.upstream("knn", as_of=datetime(2026, 1, 1))


def test_downstream_as_of_a_time_knows_only_what_had_happened(tmp_path):
    clock = ManualClock()
    with project_for_tests(tmp_path / "home", clock) as project:
        raw_table(tmp_path / "data", 1)
        life = pipeline(tmp_path / "data")
        project.run(life)
        clock.advance(60)
        then = datetime.fromtimestamp(clock.now(), UTC)
        clock.advance(60)
        project.run(life, k=2)  # the same data, another model
        now = names(project.lineage.downstream("raw:1"))
        assert {"knn:1", "knn:2"} <= now
        past = names(project.lineage.downstream("raw:1", as_of=then))
        assert "knn:1" in past
        assert "knn:2" not in past


def test_an_evaluation_on_data_and_a_tuned_model_stand_in_the_lineage(project, tmp_path):
    raw_table(tmp_path, 1)
    raw = af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")
    tuned = af.Model("tuned")
    project.models.register(KNN).log({"k": 1}, stage="DEPLOYED")

    @af.train(tuned, base=KNN)
    def tune(base):
        return {"k": base["k"] + 1}

    @af.read_dataset(raw)
    def load(version):
        return version.number

    @af.evaluate(tuned)
    def score(model, table):
        return {"auc": 1}

    @af.workflow
    def flow():
        score(tune(), load())

    project.run(flow)
    up = project.lineage.upstream("tuned:1")
    assert {("knn:1", "tune"), ("tune", "tuned:1")} <= edges(up)
    assert "raw:1" not in names(up)  # what it was scored on did not make it
    assert {"tuned:1", "score"} <= names(project.lineage.downstream("knn:1"))
    assert "score" in names(project.lineage.downstream("raw:1"))


def test_a_written_dataset_is_made_of_the_one_that_was_read_and_of_the_version_of_then(project, tmp_path):
    raw_table(tmp_path, 1, 2)
    raw = af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv")

    @af.read_dataset(raw)
    def load(version):
        return [int(x) for x in version.read()["x"]]

    @af.write_dataset(out)
    def double(rows):
        return [{"x": 2 * x} for x in rows]

    @af.read_dataset(out)
    def again(version):
        return version.number

    @af.workflow
    def flow():
        again().after(double(load()))

    project.run(flow)
    assert edges(project.lineage.upstream("out:1")) == {("raw:1", "load"), ("load", "double"), ("double", "out:1")}
    assert {("out:1", "again")} <= edges(project.lineage.downstream("raw:1"))


def test_a_failed_job_makes_nothing_and_a_tracked_block_made_its_model(project, tmp_path):
    project.models.register(KNN)
    with project.track("by hand") as experiment:
        experiment.log_model(1, KNN)
    made = project.lineage.upstream("knn:1")
    assert {type(node) for node in made} == {af.JobExecution, af.ModelVersion}
    assert len(made.edges) == 1
    alone_ = project.models.get("knn").log(2)
    assert list(project.lineage.upstream(alone_)) == [alone_]


def test_lineage_of_a_deleted_version_is_still_known(project, tmp_path):
    raw_table(tmp_path / "data", 1)
    project.run(pipeline(tmp_path / "data"))
    project.models.get("knn").delete(1)
    assert {"raw:1", "fit", "knn:1"} <= names(project.lineage.upstream("knn:1"))


# -------------------------------------------------------------------------------------------------------- command line


def test_the_command_line_shows_compares_and_draws_metrics(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        row = project.models.register(KNN)
        for number, value in ((1, 0.5), (2, math.nan)):
            project.metrics.log("auc", value, 7, model=row.log(number))
        for step in range(30):
            project.metrics.log("loss", 1 / (step + 1), step)
    shown = command_json(home, "metric", "show", "auc")
    assert [row["value"] for row in shown] == [0.5, "NaN"]
    assert [row["step"] for row in shown] == [7, 7]
    compared = command_json(home, "metric", "compare", "auc", "--model", "knn")
    assert [(row["number"], row["value"]) for row in compared] == [(1, 0.5), (2, "NaN")]
    out, _ = command_line(home, "metric", "plot", "loss")
    assert len(out.splitlines()) > 3
    assert "loss" in out
    assert "auc" in {row["name"] for row in command_json(home, "list", "metrics")}
    _, err = command_line(home, "metric", "show", "acu", code=2)
    assert "auc" in err
    assert "Traceback" not in err


def test_plain_output_of_a_metric_is_one_line_per_value_and_nothing_else(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        for value in (0.5, math.nan, 0.25):
            project.metrics.log("auc", value)
    out, _ = command_line(home, "metric", "show", "auc", "-o", "plain")
    assert [line.split()[0].lower() for line in out.splitlines()] == ["0.5", "nan", "0.25"]


def test_the_command_line_shows_lineage(tmp_path):
    home = tmp_path / "home"
    raw_table(tmp_path / "data", 1)
    with af.Project("accept", home=home) as project:
        project.run(pipeline(tmp_path / "data"))
    out, _ = command_line(home, "lineage", "show", "knn:1")
    for word in ("knn:1", "raw:1", "fit"):
        assert word in out
    shown = json.dumps(command_json(home, "lineage", "show", "knn:1"))
    for word in ("knn", "raw", "fit", "load", "clean"):
        assert word in shown
    _, err = command_line(home, "lineage", "show", "knn:9", code=2)
    assert "knn" in err
    assert "Traceback" not in err


# ---------------------------------------------------------------------------------------------------- lineage, hard cases


def test_versions_of_a_stream_have_only_the_job_execution_that_made_them_behind_them(project):
    @af.job
    def batches():
        yield from (1, 2, 3)

    @af.transform
    def clean(batch):
        return batch

    @af.train(KNN)
    def fit(batch):
        return batch

    @af.workflow
    def flow():
        fit(clean(batches()))

    project.run(flow)
    for n in (1, 2, 3):
        up = project.lineage.upstream(f"knn:{n}")
        runs = {(node.job, node.number) for node in up if isinstance(node, af.JobExecution)}
        assert runs == {("batches", 1), ("clean", n), ("fit", n)}
        assert {name for name in names(up) if ":" in name} == {f"knn:{n}"}


def test_lineage_goes_from_one_execution_to_the_next_over_the_data_that_both_know(project, tmp_path):
    raw_table(tmp_path, 1)
    raw = af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")
    mid = af.Dataset("mid", uri=str(tmp_path / "mid.csv"), format="csv")

    @af.read_dataset(raw)
    def load(version):
        return [int(x) for x in version.read()["x"]]

    @af.write_dataset(mid)
    def save(rows):
        return [{"x": x + 1} for x in rows]

    @af.read_dataset(mid)
    def again(version):
        return [int(x) for x in version.read()["x"]]

    @af.train(KNN)
    def fit(rows):
        return rows

    @af.workflow
    def first():
        save(load())

    @af.workflow
    def second():
        fit(again())

    one, two = project.run(first), project.run(second)
    up = project.lineage.upstream("knn:1")
    assert names(up) == {"raw:1", "load", "save", "mid:1", "again", "fit", "knn:1"}
    ran = {node.job: node.execution_id for node in up if isinstance(node, af.JobExecution)}
    assert ran == {"load": one.id, "save": one.id, "again": two.id, "fit": two.id}
    assert names(project.lineage.downstream("raw:1")) == names(up)


def test_a_job_that_was_not_run_again_because_of_the_cache_is_no_gap_in_the_lineage(project, tmp_path):
    raw_table(tmp_path, 1)
    raw = af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")

    @af.read_dataset(raw)
    def load(version):
        return [int(x) for x in version.read()["x"]]

    @af.transform(cache=True)
    def clean(rows):
        return rows

    @af.train(KNN)
    def fit(rows, k):
        return [rows, k]

    @af.workflow
    def flow(k: int):
        fit(clean(load()), k)

    for k in (1, 2):
        project.run(flow, k=k)
    assert {"raw:1", "load", "clean", "fit", "knn:2"} <= names(project.lineage.upstream("knn:2"))


def test_the_lineage_of_a_retried_and_of_a_resumed_life_is_that_of_one_that_went_well(project, tmp_path):
    raw_table(tmp_path, 1)
    raw = af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")
    broken = [True]

    @af.read_dataset(raw)
    def load(version):
        return [1]

    @af.transform(retries=1, retry_delay=0.0)
    def clean(rows):
        if af.current().attempt == 1:
            raise OSError("once")
        return rows

    @af.train(KNN)
    def fit(rows):
        if broken.pop() if broken else False:
            raise OSError("until resumed")
        return rows

    @af.workflow
    def flow():
        fit(clean(load()))

    execution = project.run(flow, check=False)
    assert execution.status == "FAILED"
    assert "fit" not in names(project.lineage.downstream("raw:1")) or project.models.get("knn").versions() == []
    execution.resume()
    until(lambda: execution.status == "SUCCESS")
    up = project.lineage.upstream("knn:1")
    assert edges(up) == {("raw:1", "load"), ("load", "clean"), ("clean", "fit"), ("fit", "knn:1")}
    assert len(up) == 5


def test_two_sources_meet_in_one_model_and_a_read_that_did_not_feed_it_is_not_among_them(project, tmp_path):
    datasets = []
    for name in ("left", "right", "other"):
        (tmp_path / f"{name}.csv").write_text("x\n1\n")
        datasets.append(af.Dataset(name, uri=str(tmp_path / f"{name}.csv"), format="csv"))
    readers = [af.read_dataset(dataset, name=f"load_{dataset.name}")(lambda version: 1) for dataset in datasets]

    @af.train(KNN)
    def fit(parts):
        return parts

    @af.workflow
    def flow():
        left, right, other = (reader() for reader in readers)
        fit({"left": left, "rest": [right]}).after(other)

    project.run(flow)
    assert names(project.lineage.upstream("knn:1")) == {"left:1", "right:1", "load_left", "load_right", "fit", "knn:1"}
    assert names(project.lineage.downstream("other:1")) == {"other:1", "load_other"}


def test_lineage_draws_a_long_life_without_repeating_what_it_shares(project):
    row = project.models.register(KNN)
    for n in range(30):
        with project.track("by hand", n=n) as experiment:
            experiment.log_model(n, KNN)
    assert len(project.lineage.upstream("knn:30")) == 2
    assert len(project.lineage.downstream("knn:1")) == 1
    assert row.latest().number == 30
