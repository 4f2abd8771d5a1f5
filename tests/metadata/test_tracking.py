"""Experiments: a block of code is an execution of one job, and what is logged in it is that job's."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests import hatchery
from tests.children import alone, child, environment, fork_together, until

import aiflow as af
from aiflow.testing import ManualClock, assert_replays


def test_a_block_is_an_execution_of_one_job(project: af.Project) -> None:
    with project.track("fit", k=3, path="a.csv") as experiment:
        execution = experiment.execution
        assert (execution.status, [j.status for j in execution.jobs]) == ("RUNNING", ["RUNNING"])
        print("hello from the block")
    assert (execution.workflow, execution.params, execution.status) == ("fit", {"k": 3, "path": "a.csv"}, "SUCCESS")
    (job,) = execution.jobs
    assert (job.job, job.number, job.status, job.error) == ("fit", 1, "SUCCESS", None)
    assert execution.result("fit") is None
    assert "hello from the block" in execution.logs("fit")
    assert execution.source == __file__
    assert execution.provenance["source"] == __file__
    assert [node.name for node in execution.graph.nodes] == ["fit"]
    assert project.executions.list() == [execution]
    assert project.workflows.list() == []  # it is none
    assert_replays(execution)


def test_what_is_logged_in_the_block_is_logged_by_its_job(project: af.Project, tmp_path: Path) -> None:
    knn = project.models.register("knn")
    with project.track("fit") as experiment:
        experiment.log_metric("loss", 0.5, 1)
        experiment.log_metrics({"loss": 0.25, "auc": 0.9}, step=2)
        af.current().log_metric("loss", 0.125, 3)
        project.metrics.log("loss", 0.0625, 4)
        first = knn.log([1])
        second = experiment.log_model([2], "knn", "VALIDATED", description="better")
        third = experiment.log_model([3], "tree")
        event = af.publish("done", 1)
        (tmp_path / "report.txt").write_text("fine")
        report = experiment.log_artifact("report", tmp_path / "report.txt")
    own = (experiment.id, "fit", 1)
    assert {(m.execution_id, m.job, m.job_number) for m in project.metrics.list()} == {own}
    assert project.metrics.history("loss", execution=experiment.execution).values == [0.5, 0.25, 0.125, 0.0625]
    assert [(v.execution_id, v.job, v.job_number) for v in (first, second, third, report)] == [own] * 4
    assert (second.stage, second.description, third.model, third.number) == ("VALIDATED", "better", "tree", 1)
    assert (event.execution_id, event.context, event.sender) == (experiment.id, experiment.id, "fit")
    project.metrics.log("loss", 1)
    assert project.metrics.get("loss").execution_id is None  # the block is over


def test_other_threads_log_through_the_experiment(project: af.Project) -> None:
    with project.track("fit") as experiment:

        def log() -> None:
            experiment.log_metric("x", 1)
            experiment.log_model([1], "knn")

        thread = threading.Thread(target=log)
        thread.start()
        thread.join()
    assert project.metrics.get("x").execution_id == experiment.id
    assert project.models.get("knn").version(1).execution_id == experiment.id


def test_the_result_of_a_block_is_that_of_its_job(project: af.Project) -> None:
    with project.track("fit") as experiment:
        experiment.set_result({"best": 3})
        with pytest.raises(af.RunnerError, match="the result of the experiment 'fit' is"):
            experiment.set_result(threading.Lock())
    assert experiment.execution.result("fit") == {"best": 3}


def test_a_block_that_raises_has_failed_and_the_error_goes_on(project: af.Project) -> None:
    with pytest.raises(ValueError, match="too bad"), project.track("fit") as experiment:  # noqa: PT012
        experiment.set_result(1)
        raise ValueError("too bad")
    execution = experiment.execution
    (job,) = execution.jobs
    assert (execution.status, job.status, job.error) == ("FAILED", "FAILED", "ValueError: too bad")
    assert 'raise ValueError("too bad")' in job.traceback
    with pytest.raises(af.Conflict, match="a block of code of a process that is over; it cannot be resumed"):
        execution.resume()


def test_a_block_that_skips_is_left_and_skipped(project: af.Project) -> None:
    with project.track("fit") as experiment:
        raise af.Skip("no new rows")
    (job,) = experiment.execution.jobs
    assert (job.status, job.reason) == ("SKIPPED", "no new rows")


def test_a_block_that_was_asked_to_stop_hears_of_it_and_is_stopped(project: af.Project) -> None:
    with project.track("fit") as experiment:
        assert not experiment.stopping
        experiment.execution.stop("enough")
        until(lambda: experiment.stopping)
        experiment.log_metric("x", 1)  # there is some time to end well
    assert (experiment.execution.status, experiment.execution.reason) == ("STOPPED", "enough")


def test_what_a_block_logs_long_after_the_stop_is_refused(
    aiflow_project: af.Project, aiflow_clock: ManualClock
) -> None:
    with pytest.raises(af.Stopped), aiflow_project.track("fit") as experiment:  # noqa: PT012
        experiment.execution.stop()
        aiflow_clock.advance(10)
        assert experiment.execution.status == "STOPPED"
        experiment.log_metric("x", 1)
    assert aiflow_project.metrics.count() == 0
    assert experiment.execution.jobs[0].reason == "could not be stopped: its thread still runs after 10 s"


def test_an_interrupt_stops_the_experiment(project: af.Project) -> None:
    with pytest.raises(KeyboardInterrupt), project.track("fit") as experiment:
        raise KeyboardInterrupt
    assert (experiment.execution.status, experiment.execution.reason) == ("STOPPED", "interrupted")


def test_an_experiment_works_with_inline_jobs_and_a_clock_that_stands_still(aiflow_project: af.Project) -> None:
    with aiflow_project.track("fit", k=1) as experiment:
        aiflow_project.metrics.log("x", 1)
    assert experiment.execution.status == "SUCCESS"
    assert experiment.execution.seconds == 0.0


@af.job
def nested() -> str:
    try:
        with af.project().track("inner"):
            return "begun"
    except af.Conflict as error:
        return str(error)


def test_an_experiment_begins_inside_nothing_and_once(project: af.Project) -> None:
    @af.workflow
    def outer() -> None:
        nested()

    assert "cannot begin inside 'nested': log to what is running" in project.run(outer).result("nested")
    with project.track("fit") as experiment:
        with pytest.raises(af.Conflict, match="'inner' cannot begin inside 'fit'"), project.track("inner"):
            pass
        with pytest.raises(af.Conflict, match="the experiment 'fit' was begun already"), experiment:
            pass
    assert project.executions.count() == 2
    with pytest.raises(af.Conflict, match="the experiment 'later' has not begun"):
        project.track("later").log_metric("x", 1)


def test_a_workflow_can_run_inside_an_experiment(project: af.Project) -> None:
    @af.job
    def answer() -> int:
        return 42

    @af.workflow
    def answers() -> None:
        answer()

    with project.track("outer"):
        assert project.run(answers).result("answer") == 42


def test_parameters_and_a_name_that_do_not_fit_begin_nothing(project: af.Project) -> None:
    with pytest.raises(af.ParameterError, match="parameter 'k' is a set|parameter 'k' is a object"):
        project.track("fit", k=object())
    for wrong in ("", " ", 3):
        with pytest.raises(af.ParameterError, match="the name of an experiment must be a text that is not empty"):
            project.track(wrong)  # type: ignore[arg-type]
    assert project.executions.count() == 0


def test_several_blocks_at_once_do_not_mix(project: af.Project) -> None:
    together = threading.Barrier(3)

    def track(number: int) -> None:
        with project.track("fit", number=number) as experiment:
            together.wait()
            for step in range(20):
                project.metrics.log("x", number, step)
            together.wait()
            assert experiment.execution.status == "RUNNING"

    threads = [threading.Thread(target=track, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for execution in project.executions.list(workflow="fit"):
        assert project.metrics.history("x", execution=execution).values == [execution.params["number"]] * 20


def track_some(number: int, home: str) -> str:
    with af.Project(home=home) as project, project.track("fit", number=number) as experiment:
        experiment.log_metric("x", number)
    return experiment.id


def several_processes_track(home: str) -> list[str]:
    return fork_together(4, track_some, home)


def test_several_processes_track_at_once(project: af.Project) -> None:
    ids = alone(several_processes_track, str(project.home))
    assert [project.executions.get(i).status for i in ids] == ["SUCCESS"] * 4
    assert [project.metrics.get("x", execution=i).value for i in ids] == [0.0, 1.0, 2.0, 3.0]


def dies(home: str) -> None:
    with af.Project(home=home) as project, project.track("fit") as experiment:
        experiment.log_metric("x", 1)
        print(f"begun {experiment.id}", flush=True)
        input()


def test_33_an_experiment_whose_process_died_is_interrupted_and_stays_so(project: af.Project) -> None:
    @af.workflow(name="fit")  # of the same name, by chance
    def other() -> None:
        nested()

    with child(dies, str(project.home)) as dying:
        execution = project.executions.get(dying.hear_of("begun "))
        assert execution.status == "RUNNING"
        dying.kill()
    until(lambda: execution.status == "INTERRUPTED")
    assert project.metrics.get("x").execution_id == execution.id
    assert project.recover() == []
    project.serve(other, until=lambda: True)
    with pytest.raises(af.Conflict, match="is the experiment 'fit', a block of code of a process that is over"):
        execution.resume()
    assert execution.status == "INTERRUPTED"
    assert "its process is gone, and its code with it" in str(execution._repr_html_())


def test_the_command_line_does_not_run_the_script_of_an_experiment_again(project: af.Project, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, aiflow as af\n"
        f"with af.Project(home={str(project.home)!r}) as project, project.track('fit'):\n"
        "    os._exit(7)\n"
    )
    died = hatchery.run(["-m", "script"], cwd=tmp_path, env=environment(), timeout=60)
    assert died.returncode == 7, died.stderr
    (execution,) = project.executions.list(workflow="fit")
    assert (execution.status, execution.source) == ("INTERRUPTED", str(script))
    words = ["-m", "aiflow", "--home", str(project.home), "execution", "resume", execution.id]
    refused = hatchery.run(words, cwd=tmp_path, env=environment(), timeout=60)
    assert (refused.returncode, project.executions.count()) == (3, 1)
    assert "it cannot be resumed" in refused.stderr


# --- comparing --------------------------------------------------------------------------------------------------------


def test_executions_are_compared_in_a_table(project: af.Project) -> None:
    for k in (1, 2):
        with project.track("fit", k=k, password="hush") as experiment:
            experiment.log_metrics([("loss", 1.0), ("loss", 0.5 / k)])
            experiment.set_result("x" * 300 if k == 1 else {"best": k})
    with project.track("other"):
        pass
    table = project.executions.compare(workflow="fit")
    assert table.columns == (
        "id", "workflow", "status", "started", "seconds", "params.k", "params.password", "results.fit", "metrics.loss",
    )  # fmt: skip
    assert [table["params.k"], table["metrics.loss"], table["results.fit"]] == [
        [2, 1],
        [0.25, 0.5],
        [{"best": 2}, None],
    ]
    assert table["params.password"] == ["***", "***"]
    oldest = project.executions.list()[-1]
    assert project.executions.compare(oldest, table[0]["id"]) == table[::-1]
    assert project.executions.compare(experiment.execution).columns == table.columns
    assert project.executions.compare(workflow="*")["workflow"] == ["other", "fit", "fit"]


def test_a_result_that_only_says_what_metrics_say_has_no_column(project: af.Project) -> None:
    with project.track("fit") as experiment:
        experiment.log_metrics({"auc": 0.9, "loss": 0.5})
        experiment.set_result({"auc": 0.9, "loss": 0.5})
    assert "results.fit" not in project.executions.compare(experiment.execution).columns
    with project.track("fit") as experiment:
        experiment.log_metric("auc", 0.9)
        experiment.set_result({"auc": 0.9, "best": 3})
    table = project.executions.compare(workflow="fit")
    assert table["results.fit"] == [{"auc": 0.9, "best": 3}, None]


def test_comparing_needs_to_know_what(project: af.Project) -> None:
    for wrong in ((), {"workflow": "x"}):
        with pytest.raises(af.ParameterError, match="compare takes executions or their ids, or workflow="):
            project.executions.compare(*(["a"] if wrong else []), **(wrong or {}))  # type: ignore[arg-type]
    with pytest.raises(af.NotFound, match="no execution 'nix'"):
        project.executions.compare("nix")
    assert list(project.executions.compare(workflow="nix")) == []


def test_the_versions_of_a_model_are_compared_by_a_metric(project: af.Project) -> None:
    knn, tree = project.models.register("knn"), project.models.register("tree")
    versions = [knn.log([n]) for n in range(4)]
    for version, value in zip(versions[:3], (0.5, float("nan"), 0.75), strict=True):
        project.metrics.log("auc", 0, model=version)
        project.metrics.log("auc", value, 7, model=version)
    project.metrics.log("auc", 1, model=tree.log([1]))
    knn.deploy(3)
    knn.delete(1)
    table = project.metrics.compare("auc", model="knn")
    assert table.columns == ("number", "stage", "value", "step", "time")
    assert [table["number"], table["stage"]] == [[2, 3, 4], ["GENERATED", "DEPLOYED", "GENERATED"]]
    assert [str(table["value"]), table["step"]] == ["[nan, 0.75, None]", [7, 7, None]]
    assert table[1]["time"] == project.metrics.get("auc", model="knn:3").time
    assert [(row["model"], row["number"]) for row in project.metrics.compare("auc")] == [
        ("knn", 2),
        ("knn", 3),
        ("tree", 1),
    ]
    with pytest.raises(af.NotFound, match="no model 'knm'; did you mean 'knn'"):
        project.metrics.compare("auc", model="knm")


def test_a_table_is_read_sorted_and_shown(project: af.Project) -> None:
    from aiflow.table import Table

    rows: list[dict[str, Any]] = [
        {"a": 2, "b": "<b>"},
        {"a": None},
        {"a": float("nan"), "b": [1]},
        {"a": 1, "b": "x\ny"},
    ]
    table = Table(["a", "b"], rows)
    assert (len(table), table[0], table[1:2].rows) == (4, {"a": 2, "b": "<b>"}, [{"a": None, "b": None}])
    assert [row["b"] for row in table.sorted("a")] == ["x\ny", "<b>", None, [1]]
    assert [row["b"] for row in table.sorted("a", reverse=True)] == ["<b>", "x\ny", None, [1]]
    assert str(table) == "  a  b\n  2  <b>\n\nnan  [1]\n  1  x y"
    assert "&lt;b&gt;" in table._repr_html_()
    assert repr(table) == str(table)
    assert repr(Table(["a"], [{"a": n} for n in range(70)])).splitlines()[-2:] == ["59", "… and 10 more"]
    with pytest.raises(af.NotFound, match="no column 'c'"):
        table["c"]
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["b"]) == ["<b>", None, [1], "x\ny"]
