"""Acceptance of the roles that jobs have in the life of a model, and of live models, written from the text alone."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.acts import PATIENCE, Gate, command_line, until, write
from tests.children import alone, fork_together

import aiflow as af
from aiflow.testing import assert_replays, run_until_idle

KNN = af.Model("knn")
KILLED = -signal.SIGKILL


class Multiplier:
    """A model: it says which one it is, and multiplies."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.copy = k

    def predict(self, x: int) -> int:
        return self.k * x

    def twins(self) -> tuple[int, int]:
        return self.k, self.copy


def stages(project: af.Project, name: str = "knn") -> list[tuple[int, str]]:
    """Give number and stage of each version, by number."""
    return sorted((v.number, str(v.stage)) for v in project.models.get(name).versions())


def types(project: af.Project) -> list[tuple[str, int]]:
    """Give type and number of each change of a model."""
    events = project.events.list(types=["MODEL_*"], limit=None)
    return [(event.type.removeprefix("MODEL_"), event.value["number"]) for event in events]


def log(project: af.Project, *what: str, model: af.Model = KNN) -> Any:
    """Register the model and log a version in each of these stages; its value says its number."""
    row = project.models.register(model)
    for stage in what:
        row.log({"n": len(row.versions()) + len(row.versions(stage="DELETED")) + 1}, stage=stage)
    return row


# ------------------------------------------------------------------------------------------------------- the whole life


def whole_life(runner: str) -> af.Workflow:
    @af.train(KNN)
    def fit(k):
        return {"k": k}

    @af.evaluate(KNN)
    def score(model, table):
        return {"accuracy": model["k"] / 10, "rows": len(table)}

    @af.model_validate(KNN)
    def better(model, table, deployed):
        return deployed is None or model["k"] > deployed["k"]

    @af.push_model(KNN)
    def push(version):
        return f"pushed {version.number} of {version.model}"

    @af.predict(KNN)
    def answer(model, table):
        return [model["k"] * x for x in table]

    @af.workflow(runner=runner)
    def life(k: int):
        fitted = fit(k)
        score(fitted, [1, 2])
        pushed = push(better(fitted, [1, 2]))
        answer([1, 2]).after(pushed)

    return life


@pytest.mark.parametrize("runner", ["thread", "process", "inline"])
def test_a_better_model_is_deployed_a_worse_one_is_not_and_never_are_two(project, runner):
    life = whole_life(runner)
    first = project.run(life, k=3)
    assert isinstance(first.result("fit"), af.ModelVersion)
    assert (first.result("fit").number, first.result("fit").execution_id) == (1, first.id)
    assert first.result("fit").load() == {"k": 3}
    assert first.result("answer") == [3, 6]
    assert dict(project.models.get("knn").deployed.metrics) == {"accuracy": 0.3, "rows": 2}
    worse = project.run(life, k=2)
    assert worse.result("better") is None
    assert worse.job("better").status == "SUCCESS"
    for job in ("push", "answer"):
        assert worse.job(job).status == "SKIPPED"
    assert "knn 2 was not validated" in f"{worse.job('push').label} {worse.job('push').error} {worse.why('push')}"
    third = project.run(life, k=5)
    assert third.result("answer") == [5, 10]
    assert stages(project) == [(1, "DEPRECATED"), (2, "GENERATED"), (3, "DEPLOYED")]
    expected = [
        ("GENERATED", 1),
        ("VALIDATED", 1),
        ("DEPLOYED", 1),
        ("GENERATED", 2),
        ("GENERATED", 3),
        ("VALIDATED", 3),
    ]
    assert types(project)[:6] == expected
    assert sorted(types(project)[6:]) == [("DEPLOYED", 3), ("DEPRECATED", 1)]
    for execution in (first, worse, third):
        assert_replays(execution)


def test_events_that_jobs_cause_name_their_execution_and_reach_all(project):
    execution = project.run(whole_life("inline"), k=3)
    events = project.events.list(types=["MODEL_*", "METRIC_LOGGED"], limit=None)
    assert {event.execution_id for event in events} == {execution.id}
    assert {event.context for event in events} == {None}
    assert {event.key for event in events if event.type != "METRIC_LOGGED"} == {"knn"}


def test_outside_of_a_workflow_each_role_is_the_plain_function(project):
    raw, done = af.Dataset("raw", uri="raw.csv"), af.Artifact("done", uri="done.txt")
    roles = [
        af.train(KNN),
        af.train(KNN, base=KNN, retries=2),
        af.evaluate(KNN),
        af.model_validate(KNN),
        af.push_model(KNN),
        af.predict(KNN),
        af.monitor(KNN),
        af.monitor(raw),
        af.read_dataset(raw),
        af.write_dataset(raw),
        af.dataset_validate(raw),
        af.write_artifact(done),
        af.transform,
        af.transform(retries=1),
    ]
    for role in roles:

        @role
        def function(a, b=2):
            """Say what it got."""
            return a, b

        assert function(1) == (1, 2)
        assert function(a=1, b=3) == (1, 3)
        assert function.__name__ == "function"
        assert function.__doc__ == "Say what it got."
    assert project.models.list() == []
    assert project.events.list(types=["MODEL_*", "DATASET_*", "ARTIFACT_*", "METRIC_*"]) == []


# ------------------------------------------------------------------------------------------------- which version it is


def test_without_a_version_each_role_works_on_the_latest_of_the_stage_that_fits(project, seen):
    log(project, "GENERATED", "VALIDATED", "DEPLOYED", "VALIDATED", "GENERATED", "VALIDATED", "GENERATED")
    project.models.get("knn").delete(7)

    @af.model_validate(KNN)
    def validate(model, table, deployed):
        return model["n"] == 5 and deployed["n"] == 3 and table == "t"

    @af.push_model(KNN)
    def push(version):
        seen.append(version.number)

    @af.predict(KNN)
    def answer(model, table):
        return [model["n"], table]

    @af.workflow
    def flow():
        validated = validate("t")
        predicted = answer("t")
        push().after(validated, predicted)

    execution = project.run(flow)
    assert execution.result("validate").number == 5
    assert execution.result("answer") == [3, "t"]
    assert seen == [6]
    assert stages(project) == [
        (1, "GENERATED"),
        (2, "VALIDATED"),
        (3, "DEPRECATED"),
        (4, "VALIDATED"),
        (5, "VALIDATED"),
        (6, "DEPLOYED"),
    ]


def test_a_version_stands_for_the_model_also_when_another_job_passed_it_on_or_it_comes_by_name(project):
    log(project, "GENERATED", "GENERATED", "DEPLOYED")

    @af.job
    def choose():
        return af.current().project.models.get("knn").versions()[0]

    @af.job
    def pass_on(version):
        return version

    @af.evaluate(KNN)
    def score(model, table, weight=1):
        return {"n": model["n"] * weight * table}

    @af.predict(KNN)
    def answer(model, table):
        return model["n"] * table

    @af.workflow
    def flow():
        chosen = choose()
        passed = pass_on(chosen)
        score.options(name="direct")(chosen, 1)
        score.options(name="passed")(passed, 1, 2)
        score.options(name="named")(passed, table=1, weight=3)
        answer.options(name="given")(passed, 10)
        answer.options(name="left_out")(10)

    execution = project.run(flow)
    n = execution.result("choose").number
    assert n != 3 or stages(project)[2][1] == "DEPLOYED"
    assert execution.result("given") == 10 * n
    assert execution.result("left_out") == 30
    history = project.metrics.history("n", model=execution.result("choose"))
    assert sorted(metric.value for metric in history) == [n, 2 * n, 3 * n]


def test_a_job_that_an_event_started_works_on_the_version_of_that_event_and_not_on_the_newest(project, seen):
    row, pushed = log(project), []

    @af.model_validate(KNN)
    def validate(model):
        seen.append(model["n"])
        return model["n"] != 2

    @af.push_model(KNN)
    def push(version):
        pushed.append(version.number)

    @af.workflow(ends="never")
    def flow():
        validate().start_on(KNN.generated)
        push().start_on(KNN.validated)

    execution = project.start(flow)
    for n in (1, 2, 3):
        row.log({"n": n})
    run_until_idle(project)
    until(lambda: pushed == [1, 3])
    execution.stop()
    assert seen == [1, 2, 3]
    assert pushed == [1, 3]
    assert stages(project) == [(1, "DEPRECATED"), (2, "GENERATED"), (3, "DEPLOYED")]


def test_a_count_of_arguments_that_fits_neither_reading_names_both(project):
    @af.evaluate(KNN)
    def score(model, table):
        return {"n": 1}

    @af.workflow
    def too_many():
        score(1, 2, 3)

    @af.workflow
    def too_few():
        score()

    for workflow in (too_many, too_few):
        with pytest.raises((af.GraphError, TypeError)) as caught:
            project.run(workflow)
        assert "score(model, table)" in str(caught.value)
        assert "knn" in str(caught.value)
    assert project.executions.list() == []


def test_base_and_deployed_and_dataset_are_given_to_who_asks_by_name(project, tmp_path):
    old, new = af.Model("old"), af.Model("new")
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv", properties={"a": 1})
    log(project, "DEPLOYED", model=old)

    @af.train(new, base=old)
    def tune(by, base):
        return {"n": base["n"] + by}

    @af.train(new, base=old)
    def alone(by):
        return {"n": by}

    @af.model_validate(new)
    def first(model, deployed):
        return deployed is None

    @af.model_validate(new)
    def given(model, deployed=None):
        return deployed == "mine"

    @af.write_dataset(out)
    def save(n, dataset):
        Path(dataset.path if hasattr(dataset, "path") else dataset.uri).write_text(f"n\n{n}\n")
        assert dataset.name == "out"

    @af.workflow
    def flow():
        tuned = tune(10)
        alone(5).after(tuned)
        first(tuned)
        given(tuned, deployed="mine")
        save(1)

    execution = project.run(flow)
    assert execution.result("tune").load() == {"n": 11}
    assert execution.result("alone").load() == {"n": 5}
    assert execution.result("first").number == 1
    assert execution.result("given").number == 1
    assert len(project.datasets.get("out").versions()) == 1


# ------------------------------------------------------------------------------------------------------------- waiting


def test_38_a_role_without_a_version_is_queued_says_what_it_waits_for_and_goes_on_when_there_is_one(project):
    @af.predict(KNN)
    def answer(model, x):
        return model["n"] * x

    @af.workflow
    def flow():
        answer(7)

    execution = project.start(flow)
    until(lambda: execution.job("answer") and execution.job("answer").label)
    run_until_idle(project)
    assert execution.job("answer").status == "QUEUED"
    assert "waits for a version of knn" in execution.job("answer").label
    assert execution.status == "RUNNING"
    row = log(project, "GENERATED")  # predict works on a deployed one: this is none yet
    run_until_idle(project)
    assert execution.job("answer").status == "QUEUED"
    row.deploy(1)
    execution.wait(timeout=PATIENCE)
    assert execution.status == "SUCCESS"
    assert execution.result("answer") == 7
    assert "waits" not in (execution.job("answer").label or "")
    assert_replays(execution)


def test_38_what_waits_takes_no_worker_and_can_be_stopped(project):
    @af.predict(KNN)
    def answer(model, x):
        return x

    @af.job
    def other(n):
        return n

    @af.workflow
    def flow():
        for n in range(6):
            answer.options(name=f"answer_{n}")(n)
        for n in range(3):
            other.options(name=f"other_{n}")(n)

    execution = project.start(flow)
    until(
        lambda: all(execution.job(f"other_{n}") and execution.job(f"other_{n}").status == "SUCCESS" for n in range(3))
    )
    execution.stop()
    execution.wait(timeout=PATIENCE)
    assert execution.status == "STOPPED"
    log(project, "DEPLOYED")
    run_until_idle(project)
    assert execution.results("answer_0") == []


def test_38_with_wait_for_models_false_it_fails_at_once_and_names_the_model(project):
    @af.predict(KNN)
    def answer(model):
        return model

    @af.workflow(wait_for_models=False)
    def flow():
        answer()

    with pytest.raises(af.ExecutionFailed, match="knn"):
        project.run(flow, timeout=PATIENCE)


def test_38_base_waits_but_deployed_may_be_none(project):
    base = af.Model("base")

    @af.train(KNN, base=base)
    def tune(base):
        return [*base["l"], 1]

    @af.workflow
    def flow():
        tune()

    execution = project.start(flow)
    until(lambda: execution.job("tune") and "waits for a version of base" in (execution.job("tune").label or ""))
    project.models.get("base").log({"l": [0]}, stage="DEPLOYED")
    execution.wait(timeout=PATIENCE)
    assert execution.result("tune").load() == [0, 1]


# ------------------------------------------------------------------------------------------------- refusals and failures


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        ("True", "VALIDATED"),
        ("False", "GENERATED"),
        ("numpy.bool_(False)", "GENERATED"),
        ("numpy.bool_(True)", "VALIDATED"),
    ],
)
def test_a_validation_takes_python_s_and_numpy_s_true_and_false(project, answer, stage):
    import numpy

    @af.model_validate(KNN)
    def validate(model):
        return eval(answer, {"numpy": numpy})

    @af.workflow
    def flow():
        validate()

    log(project, "GENERATED")
    execution = project.run(flow)
    assert stages(project) == [(1, stage)]
    assert (execution.result("validate") is None) == (stage == "GENERATED")


def test_a_role_that_fails_changes_nothing(project):
    log(project, "GENERATED", "VALIDATED", "DEPLOYED")
    before = stages(project), types(project)

    def fail(*args):
        raise ValueError("no luck")

    roles = [af.train(KNN), af.model_validate(KNN), af.push_model(KNN), af.evaluate(KNN)]
    for number, role in enumerate(roles):
        job = role(fail)

        @af.workflow(name=f"failing_{number}")
        def flow():
            job()  # noqa: B023  run before the loop goes on

        with pytest.raises(af.ExecutionFailed, match="no luck"):
            project.run(flow)
    now = stages(project), types(project)
    assert now == before
    assert project.events.list(types=["METRIC_LOGGED"]) == []


def test_retries_of_a_failing_train_leave_one_version(project):
    @af.train(KNN, retries=3, retry_delay=0.0)
    def fit():
        if af.current().attempt < 3:
            raise OSError("not yet")
        return {"attempt": af.current().attempt}

    @af.workflow
    def flow():
        fit()

    execution = project.run(flow)
    assert stages(project) == [(1, "GENERATED")]
    assert types(project) == [("GENERATED", 1)]
    assert execution.result("fit").load() == {"attempt": 3}


def test_a_train_whose_process_dies_or_whose_value_cannot_be_stored_leaves_no_version(project):
    @af.train(KNN, runner="process")
    def die():
        import os

        os._exit(0)

    @af.train(KNN)
    def lock():
        return threading.Lock()

    @af.workflow
    def dying():
        die()

    @af.workflow
    def locking():
        lock()

    with pytest.raises(af.ExecutionFailed, match="die"):
        project.run(dying)
    with pytest.raises(af.ExecutionFailed, match="lock"):
        project.run(locking)
    assert stages(project) == []
    assert types(project) == []


def test_numbers_that_are_none_fail_an_evaluation_whole_or_are_not_logged(project):
    log(project, "GENERATED")

    @af.evaluate(KNN)
    def score(model):
        return {"good": 1.0, "bad": "high"}

    @af.workflow
    def flow():
        score()

    try:
        project.run(flow)
    except af.ExecutionFailed as error:
        assert "bad" in str(error)
        assert project.events.list(types=["METRIC_LOGGED"]) == []
    else:
        assert [metric.name for metric in project.metrics.list()] == ["good"]


def test_a_stopped_train_makes_no_version(project):
    gate = Gate()

    @af.train(KNN)
    def fit():
        gate.stand()
        return 1

    @af.workflow
    def flow():
        fit()

    execution = project.start(flow)
    gate.wait_for_one()
    execution.stop()
    gate.open()
    execution.wait(timeout=PATIENCE)
    assert execution.job("fit").status == "STOPPED"
    assert stages(project) == []
    assert types(project) == []


def built(role: Any) -> Any:
    """Build the graph of a workflow with a job of this role."""

    @af.workflow
    def flow():
        role()(lambda *args: None)()

    return flow.graph


def test_37_a_train_that_hits_the_cache_gives_the_old_version_and_no_event_and_push_may_not_be_cached(project):
    @af.train(KNN, cache=True)
    def fit(k):
        return {"k": k}

    @af.workflow
    def flow(k: int):
        fit(k)

    versions = [project.run(flow, k=k).result("fit").number for k in (1, 1, 2)]
    assert versions == [1, 1, 2]
    assert types(project) == [("GENERATED", 1), ("GENERATED", 2)]
    out = af.Dataset("out", uri="out.csv")
    for role in (lambda: af.push_model(KNN, cache=True), lambda: af.write_dataset(out, cache=True)):
        with pytest.raises(af.GraphError, match="cache"):
            built(role)


def test_a_dataset_is_validated_by_numbers_false_or_an_exception(project, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x\n1\n2\n")
    raw = af.Dataset("raw", uri=str(table), format="csv")

    @af.read_dataset(raw)
    def load(version):
        return version

    @af.dataset_validate(raw)
    def check(rows, answer):
        if answer == "raise":
            raise ValueError("no table")
        return {"True": True, "False": False, "None": None, "dict": {"rows": 2, "missing": float("nan")}}[answer]

    @af.workflow
    def flow(answer: str):
        check(load(), answer)

    for answer in ("raise", "False"):
        with pytest.raises(af.ExecutionFailed, match="check"):
            project.run(flow, answer=answer)
    for answer in ("dict", "None", "True"):
        project.run(flow, answer=answer)
    assert project.metrics.latest("rows", dataset="raw").value == 2
    missing = project.metrics.latest("missing", dataset="raw").value
    assert missing != missing
    assert len(project.metrics.history("rows", dataset="raw")) == 1


def test_another_declaration_of_a_dataset_is_a_conflict_before_anything_runs(project, tmp_path, seen):
    project.datasets.register(af.Dataset("raw", uri=str(tmp_path / "a.csv"), format="csv"))

    @af.job
    def work():
        seen.append(1)

    @af.read_dataset(af.Dataset("raw", uri=str(tmp_path / "b.csv"), format="csv"))
    def load(version):
        seen.append(2)

    @af.workflow
    def flow():
        work()
        load()

    with pytest.raises(af.Conflict, match="update"):
        project.run(flow)
    assert seen == []
    assert project.executions.list() == []


# --------------------------------------------------------------------------------------------------------------- events


def test_a_metric_that_falls_starts_the_training_again_and_a_better_model_ends_that(project):
    log(project, "DEPLOYED")

    @af.monitor(KNN)
    def watch(model, quality):
        return {"auc": quality if model["n"] == 1 else 0.99}

    @af.train(KNN)
    def fit():
        return {"n": 2}

    @af.push_model(KNN)
    def push(version):
        return version.number

    @af.job
    def quality():
        return af.current().event.value

    @af.workflow(ends="never")
    def flow():
        watch(quality().start_on(af.event("quality")))
        fitted = fit().start_on(KNN.metric("auc") < 0.9)
        push(fitted)

    execution = project.start(flow)
    for value in (0.95, 0.5, 0.4, 0.3):
        project.publish("quality", value)
        run_until_idle(project)
    execution.stop()
    assert [metric.value for metric in project.metrics.history("auc", model="knn")] == [0.95, 0.5, 0.99, 0.99]
    assert stages(project) == [(1, "DEPRECATED"), (2, "DEPLOYED")]


def test_e9_every_batch_of_a_stream_is_trained_on_and_every_version_is_validated_and_pushed_once(project):
    pushed: list[int] = []

    @af.job
    def batches():
        yield from range(1, 6)

    @af.train(KNN)
    def fit(batch):
        return {"n": batch}

    @af.model_validate(KNN)
    def validate(model):
        return model["n"] % 2 == 1

    @af.push_model(KNN)
    def push(version):
        pushed.append(version.number)

    @af.workflow(ends="quiet")
    def flow():
        fit(batches())
        validate().start_on(KNN.generated)
        push().start_on(KNN.validated)

    execution = project.run(flow, timeout=PATIENCE)
    assert [version.load()["n"] for version in execution.results("fit")] == [1, 2, 3, 4, 5]
    assert pushed == [1, 3, 5]
    assert stages(project) == [
        (1, "DEPRECATED"),
        (2, "GENERATED"),
        (3, "DEPRECATED"),
        (4, "GENERATED"),
        (5, "DEPLOYED"),
    ]
    assert len(types(project)) == 5 + 3 + 3 + 2


def test_a_training_stream_makes_a_version_of_each_item_that_it_yields(project):
    @af.train(KNN)
    def fit():
        for n in (1, 2, 3):
            yield {"n": n}

    @af.evaluate(KNN)
    def score(model):
        return {"n": model["n"]}

    @af.workflow
    def flow():
        score(fit())

    project.run(flow, timeout=PATIENCE)
    assert stages(project) == [(n, "GENERATED") for n in (1, 2, 3)]
    for version in project.models.get("knn").versions():
        assert dict(version.metrics) == {"n": version.number}


# ---------------------------------------------------------------------------------------------------------- live models


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_e10_a_stream_predictor_takes_each_new_version_without_a_restart(project, runner):
    row = project.models.register(KNN)
    row.log(Multiplier(1), stage="DEPLOYED")
    seen: list[list[int]] = []

    @af.job
    def ask(items: af.Stream):
        for item in items:
            seen.append(item)
            yield item

    @af.predict(KNN, runner=runner)
    def answer(live):
        import time

        while not af.current().stopping:
            yield [live.version.number, live.predict(10), af.current().attempt]
            time.sleep(0.002)

    @af.workflow(ends="never")
    def flow():
        ask(answer())

    execution = project.start(flow)
    for n in (1, 2, 3):
        if n > 1:
            row.log(Multiplier(n), stage="DEPLOYED")
        until(lambda: seen and seen[-1][0] == n, f"version {n}")  # noqa: B023
    execution.stop()
    execution.wait(timeout=PATIENCE)
    assert len([job for job in execution.jobs if job.job == "answer"]) == 1
    assert {attempt for _, _, attempt in seen} == {1}
    numbers = [number for number, _, _ in seen]
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == [1, 2, 3]
    assert all(value in (10 * number, 10 * (number + 1)) for number, value, _ in seen)  # it may swap between the two


def test_a_live_model_never_misses_and_never_mixes_over_many_deploys(project):
    row = project.models.register(KNN)
    for n in range(1, 51):
        row.log(Multiplier(n))
    row.deploy(1)
    live = project.models.live("knn")
    deployed, wrong, done = [1], [], threading.Event()
    counted = [0, 0]

    def predict(thread: int) -> None:
        while not done.is_set():
            before = deployed[0]
            one, two = live.twins()
            after = deployed[0]
            counted[thread] += 1
            if one != two or not before - 1 <= one <= after + 1:
                wrong.append((before, one, two, after))

    threads = [threading.Thread(target=predict, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(2, 51):
            row.deploy(n)
            deployed[0] = n
            until(lambda: live.version.number == n, f"the live model swaps to {n}")  # noqa: B023
            assert live.predict(2) == 2 * n
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert min(counted) > 0
    row.rollback()
    until(lambda: live.predict(1) == 49)
    assert live.version.number == 49


def test_a_live_model_sees_a_deploy_and_a_rollback_of_another_process(project, tmp_path):
    row = project.models.register(KNN)
    row.log(Multiplier(1), stage="DEPLOYED")
    row.log(Multiplier(2))
    live = project.models.live("knn")
    assert live.predict(3) == 3
    command_line(tmp_path / "home", "model", "deploy", "knn:2")
    until(lambda: live.predict(3) == 6)
    assert live.version.number == 2


def test_a_live_model_of_an_unknown_model_names_close_ones_and_without_a_deployed_one_says_so(project):
    project.models.register(KNN)
    with pytest.raises(af.NotFound, match="knn"):
        project.models.live("kn")
    with pytest.raises((af.AIFlowError, TimeoutError), match="knn"):
        project.models.live("knn").predict(1)


# --------------------------------------------------------------------------------------------------------------- deaths

HEAD = """
    import os, signal
    from pathlib import Path

    import aiflow as af

    knn = af.Model("knn")

    def die_once(name):
        if not Path(name).exists():
            Path(name).touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""

DYING = (
    HEAD
    + """
    @af.train(knn)
    def fit():
        die_once("in fit")
        return {"n": 1}

    @af.evaluate(knn)
    def score(model):
        die_once("in score")
        return {"accuracy": 0.5}

    @af.model_validate(knn)
    def validate(model, deployed):
        die_once("in validate")
        return deployed is None

    @af.push_model(knn)
    def push(version):
        die_once("in push")

    @af.workflow
    def life():
        version = fit()
        push(validate(version).after(score(version)))
"""
)


def test_a_life_that_is_killed_in_every_job_has_each_version_event_and_metric_once(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", DYING)
    command_line(home, "run", flows, code=KILLED)
    for _ in range(3):
        command_line(home, "run", "--resume", flows, code=KILLED)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        assert stages(project) == [(1, "DEPLOYED")]
        assert types(project) == [("GENERATED", 1), ("VALIDATED", 1), ("DEPLOYED", 1)]
        assert [m.value for m in project.metrics.history("accuracy", model="knn")] == [0.5]
        assert len(project.events.list(types=["METRIC_LOGGED"])) == 1
        [execution] = project.executions.list()
        assert execution.status == "SUCCESS"


def test_relative_uris_are_taken_from_the_folder_of_the_workflow_s_file(tmp_path):
    home = tmp_path / "home"
    folder = tmp_path / "elsewhere"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "in.csv").write_text("x\n1\n2\n")
    flows = write(
        folder / "flows.py",
        """
    import aiflow as af

    raw = af.Dataset("raw", uri="data/in.csv", format="csv")
    out = af.Dataset("out", uri="data/out.csv", format="csv")

    @af.read_dataset(raw)
    def load(version):
        return [int(x) for x in version.read()["x"]]

    @af.write_dataset(out)
    def save(numbers):
        return [{"x": 2 * n} for n in numbers]

    @af.workflow
    def doubling():
        save(load())
    """,
    )
    command_line(home, "run", flows)
    assert (folder / "data" / "out.csv").read_text().split() == ["x", "2", "4"]
    with af.Project(home=home) as project:
        [version] = project.datasets.get("out").versions()
        assert Path(version.path) == folder / "data" / "out.csv"
        assert [int(x) for x in version.read()["x"]] == [2, 4]


# --------------------------------------------------------------------------------------------------- examples, reduced


def test_e8_a_batch_predictor_is_started_again_by_each_deployment(project):
    log(project, "DEPLOYED")
    seen: list[int] = []

    @af.predict(KNN)
    def answer(model):
        seen.append(model["n"])
        while not af.current().wait_stop(1.0):
            pass

    @af.workflow(ends="never")
    def flow():
        answer().restart_on(KNN.deployed)

    execution = project.start(flow)
    for n in (2, 3):
        until(lambda: len(seen) == n - 1)  # noqa: B023
        project.models.get("knn").log({"n": n}, stage="DEPLOYED")
    until(lambda: len(seen) == 3)
    execution.stop()
    execution.wait(timeout=PATIENCE)
    assert seen == [1, 2, 3]
    assert_replays(execution)


def test_e13_the_preprocessing_never_restarts_and_the_stages_come_in_their_order(project):
    gate = threading.Semaphore(0)

    @af.transform
    def preprocess():
        for n in (1, 2, 3):
            assert gate.acquire(timeout=PATIENCE)
            yield n

    @af.train(KNN)
    def fit(batch):
        return Multiplier(batch)

    @af.model_validate(KNN)
    def validate(model, deployed):
        return deployed is None or model.k > deployed.k

    @af.push_model(KNN)
    def push(version): ...

    @af.job
    def followed():
        return af.current().event.value["number"]

    @af.workflow(ends="quiet")
    def flow():
        push(validate(fit(preprocess())))
        followed().start_on(KNN.deployed)

    execution = project.start(flow)
    for n in (1, 2, 3):
        gate.release()
        until(lambda: len(execution.results("followed")) == n)  # noqa: B023
    execution.wait(timeout=PATIENCE)
    assert execution.status == "SUCCESS"
    assert len([job for job in execution.jobs if job.job == "preprocess"]) == 1
    assert execution.results("followed") == [1, 2, 3]
    one = [stage for stage, number in types(project) if number == 2]
    assert one == ["GENERATED", "VALIDATED", "DEPLOYED", "DEPRECATED"]
    assert stages(project) == [(1, "DEPRECATED"), (2, "DEPRECATED"), (3, "DEPLOYED")]


def test_a_refused_batch_of_a_stream_skips_its_push_and_the_next_one_goes_on(project):
    @af.job
    def batches():
        yield from (5, 3, 7)

    @af.train(KNN)
    def fit(batch):
        return {"n": batch}

    @af.model_validate(KNN)
    def validate(model, deployed):
        return deployed is None or model["n"] > deployed["n"]

    pushed: list[int] = []

    @af.push_model(KNN)
    def push(version):
        pushed.append(version.number)

    @af.workflow
    def flow():
        fitted = fit(batches())
        push(validate(fitted))

    execution = project.run(flow, timeout=PATIENCE)
    runs = [(job.number, str(job.status)) for job in execution.jobs if job.job == "push"]
    assert pushed[0] == 1
    assert 3 in pushed
    assert len(runs) == 3
    assert stages(project)[2] == (3, "DEPLOYED")


def test_the_example_of_the_contract_runs_as_it_stands_in_a_project_of_its_own(project, tmp_path):
    done = af.Artifact("report", uri=str(tmp_path / "out/report.html"), type="html")

    @af.train(KNN)
    def fit(k: int):
        af.current().log_metric("loss", 0.25, step=1)
        return Multiplier(k)

    @af.evaluate(KNN)
    def score(model, table):
        return {"accuracy": model.predict(len(table))}

    @af.write_artifact(done)
    def report(version):
        Path(tmp_path / "out").mkdir()
        Path(tmp_path / "out/report.html").write_text(f"<p>{version}</p>")

    @af.workflow
    def flow(k: int = 2):
        fitted = fit(k)
        report(fitted).after(score(fitted, [1, 2, 3]))

    execution = project.run(flow)
    version = execution.result("fit")
    assert f"{version}" == "knn:1"
    assert (tmp_path / "out/report.html").read_text() == "<p>knn:1</p>"
    assert project.metrics.latest("accuracy", model=version).value == 6
    assert project.metrics.latest("loss").value == 0.25
    assert project.metrics.latest("loss").step == 1


# ---------------------------------------------------------------------------------------------------------- hard cases


def test_a_version_that_is_deleted_before_its_push_is_not_deployed(project):
    gate = Gate()
    log(project, "DEPLOYED")

    @af.train(KNN)
    def fit():
        return {"n": 2}

    @af.job
    def pause(version):
        gate.stand()
        return version

    @af.push_model(KNN)
    def push(version): ...

    @af.workflow
    def flow():
        push(pause(fit()))

    execution = project.start(flow)
    gate.wait_for_one()
    project.models.get("knn").delete(2)
    gate.open()
    execution.wait(timeout=PATIENCE)
    assert execution.status == "FAILED"
    assert "knn:2" in str(execution.job("push").error)
    assert stages(project) == [(1, "DEPLOYED")]
    assert types(project) == [("DEPLOYED", 1), ("GENERATED", 2), ("DELETED", 2)]


def test_a_deployed_version_that_is_validated_again_stays_deployed(project):
    log(project, "GENERATED", "DEPLOYED")
    before = types(project)

    @af.job
    def deployed():
        return af.current().project.models.get("knn").deployed

    @af.model_validate(KNN)
    def validate(model):
        return model["n"] == 2

    @af.workflow
    def flow():
        validate(deployed())

    project.run(flow, check=False)
    assert stages(project) == [(1, "GENERATED"), (2, "DEPLOYED")]
    assert types(project) == before


def test_what_is_predicted_with_is_what_was_deployed_when_the_job_began(project):
    gate = Gate()
    row = log(project, "DEPLOYED", "GENERATED")

    @af.predict(KNN)
    def answer(model):
        gate.stand()
        return model["n"]

    @af.workflow
    def flow():
        answer()

    execution = project.start(flow)
    gate.wait_for_one()
    row.deploy(2)
    gate.open()
    execution.wait(timeout=PATIENCE)
    assert execution.result("answer") == 1
    assert project.run(flow).result("answer") == 2


def test_two_executions_that_push_at_once_leave_one_deployed_and_an_even_book(project):
    @af.train(KNN)
    def fit(k):
        return k

    @af.push_model(KNN)
    def push(version): ...

    @af.workflow(if_running="parallel", max_parallel=4)
    def flow(k: int):
        push(fit(k))

    executions = [project.start(flow, k=k) for k in range(6)]
    for execution in executions:
        execution.wait(timeout=PATIENCE)
        assert execution.status == "SUCCESS"
    told = types(project)
    ups = [number for type, number in told if type == "DEPLOYED"]
    downs = [number for type, number in told if type == "DEPRECATED"]
    assert sorted(ups) == [1, 2, 3, 4, 5, 6]
    assert downs == ups[:-1]
    assert [number for number, stage in stages(project) if stage == "DEPLOYED"] == [ups[-1]]


def test_a_run_that_failed_at_its_push_and_is_resumed_pushes_the_version_that_was_trained(project, seen):
    @af.train(KNN)
    def fit():
        seen.append("fit")
        return {"n": 1}

    @af.push_model(KNN)
    def push(version):
        seen.append(version.number)
        if len(seen) == 2:
            raise OSError("the shop is closed")

    @af.workflow
    def flow():
        push(fit())

    execution = project.run(flow, check=False)
    assert execution.status == "FAILED"
    assert stages(project) == [(1, "GENERATED")]
    execution.resume()
    until(lambda: execution.status == "SUCCESS")
    assert seen == ["fit", 1, 1]
    assert types(project) == [("GENERATED", 1), ("DEPLOYED", 1)]


def test_a_part_of_a_life_runs_on_a_version_that_is_given(project):
    row = log(project, "GENERATED", "GENERATED")

    @af.train(KNN)
    def fit():
        return {"n": 99}

    @af.evaluate(KNN)
    def score(model):
        return {"n": model["n"]}

    @af.workflow
    def flow():
        score(fit())

    project.run(flow, given={"fit": row.version(1)})
    assert len(row.versions()) == 2
    assert dict(row.version(1).metrics) == {"n": 1}


def test_trainings_in_parallel_and_over_a_list_and_of_async_functions_each_make_a_version(project):
    @af.train(KNN)
    async def fit(k):
        return {"k": k}

    @af.evaluate(KNN)
    def score(model):
        return {"k": model["k"]}

    @af.job
    def numbers():
        return [3, 4, 5]

    @af.workflow
    def flow():
        score(fit(1))
        score(fit.options(name="big", retries=1)(2))
        fit.options(name="many").map(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    values = sorted(version.load()["k"] for version in project.models.get("knn").versions())
    assert values == [1, 2, 3, 4, 5]
    assert [number for number, _ in stages(project)] == [1, 2, 3, 4, 5]
    assert [version.load()["k"] for version in execution.result("many")] == [3, 4, 5]
    assert execution.result("fit").metrics == {"k": 1}
    assert execution.result("big").metrics == {"k": 2}


def test_a_life_may_be_a_part_of_another_workflow(project):
    life = whole_life("inline")

    @af.workflow
    def outer():
        life(4)

    execution = project.run(outer)
    assert execution.result("life.answer") == [4, 8]
    assert stages(project) == [(1, "DEPLOYED")]


def test_models_are_those_of_the_home_and_a_change_through_one_project_is_seen_in_another(project, tmp_path):
    with af.Project("other", home=tmp_path / "home") as other:
        row = other.models.register(KNN)
        row.log({"n": 1})
        assert project.models.get("knn").id == row.id

        @af.predict(KNN)
        def answer(model):
            return model["n"]

        @af.workflow
        def flow():
            answer()

        execution = project.start(flow)
        until(lambda: execution.job("answer") and execution.job("answer").label)
        row.deploy(1)
        execution.wait(timeout=PATIENCE)
        assert execution.result("answer") == 1


def test_a_callback_that_hears_of_a_deployment_finds_it_done(project):
    row = log(project, "DEPLOYED", "GENERATED", "GENERATED")
    found: list[tuple[int, int, str]] = []

    def heard(event: af.Event) -> None:
        number = event.value["number"]
        found.append((number, row.deployed.number, str(row.version(number).stage)))

    with project.subscribe(heard, types=["MODEL_DEPLOYED"]):
        for number in (2, 3):
            row.deploy(number)
            until(lambda: len(found) == number - 1)  # noqa: B023
    assert found == [(2, 2, "DEPLOYED"), (3, 3, "DEPLOYED")]


def test_markup_in_a_model_is_escaped_where_it_is_shown(project):
    row = project.models.register(af.Model("<b>bold</b>", description="<script>alert(1)</script>"))
    row.log(1, description="<img src=x>")
    page = row._repr_html_()
    assert "<script>" not in page
    assert "<img" not in page
    assert "<b>bold" not in page


# ----------------------------------------------------------------------------------------------------------------- data


def table(path: Path, *numbers: float) -> af.Dataset:
    """Write a table of one column x; gives its dataset."""
    path.write_text("x\n" + "".join(f"{n}\n" for n in numbers))
    return af.Dataset(path.stem, uri=str(path), format="csv")


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_version_of_a_dataset_is_passed_on_and_read_by_who_gets_it(project, tmp_path, runner):
    raw = table(tmp_path / "raw.csv", 1, 2)
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv")

    @af.read_dataset(raw)
    def load(version):
        return version

    @af.transform
    def double(version):
        return [{"x": int(2 * x)} for x in version.read()["x"]]

    @af.write_dataset(out)
    def save(rows):
        return rows

    @af.read_dataset(out)
    def again(version):
        return [version.number, *(int(x) for x in version.read()["x"])]

    @af.workflow(runner=runner)
    def flow():
        again(save(double(load())))

    assert project.run(flow).result("again") == [1, 2, 4]


def test_a_reader_that_a_change_started_gets_the_version_of_that_change(project, tmp_path, seen):
    path = tmp_path / "raw.csv"
    raw = table(path, 1)
    row = project.datasets.register(raw)

    @af.read_dataset(raw)
    def load(version):
        seen.append((version.number, af.current().event.value["number"]))

    @af.workflow(ends="never")
    def flow():
        load().start_on(raw.changed)

    execution = project.start(flow)
    for n in (1, 2, 2, 3):
        table(path, n)
        row.log()
        run_until_idle(project)
    execution.stop()
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_a_drift_in_the_data_trains_and_deploys_a_new_model_which_the_live_one_follows(project, tmp_path):
    path = tmp_path / "raw.csv"
    raw = table(path, 1, 1, 1)
    row = project.datasets.register(raw)
    row.log()
    project.models.register(KNN).log(Multiplier(1), stage="DEPLOYED")
    live = project.models.live("knn")

    @af.monitor(raw)
    def watch(version):
        values = [float(x) for x in version.read()["x"]]
        return {"drift": abs(sum(values) / len(values) - project.models.get("knn").deployed.load().k)}

    @af.train(KNN)
    def fit():
        values = [float(x) for x in project.datasets.get("raw").latest().read()["x"]]
        return Multiplier(round(sum(values) / len(values)))

    @af.push_model(KNN)
    def push(version): ...

    @af.workflow(ends="never")
    def flow():
        watch().start_on(raw.changed)
        push(fit().start_on(raw.metric("drift") > 0.5))

    execution = project.start(flow)
    for numbers in ((1, 1, 2), (4, 4, 4), (4, 4, 5), (9, 9, 9)):
        table(path, *numbers)
        row.log()
        run_until_idle(project)
    execution.stop()
    assert stages(project) == [(1, "DEPRECATED"), (2, "DEPRECATED"), (3, "DEPLOYED")]
    until(lambda: live.version.number == 3)
    assert live.predict(1) == 9
    assert [m.dataset_number for m in project.metrics.history("drift", dataset="raw")] == [2, 3, 4, 5]


def test_what_cannot_be_written_leaves_the_old_content_whole_and_no_litter(project, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    out = af.Dataset("out", uri=str(folder / "out.json"), format="json")

    @af.write_dataset(out)
    def save(good):
        return [{"x": 1}] if good else [{"x": 1}, {"x": threading.Lock()}]

    @af.workflow
    def flow(good: bool):
        save(good)

    project.run(flow, good=True)
    before = (folder / "out.json").read_bytes()
    with pytest.raises(af.ExecutionFailed, match="save"):
        project.run(flow, good=False)
    assert (folder / "out.json").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["out.json"]
    assert len(project.datasets.get("out").versions()) == 1
    assert project.events.count(types=["DATASET_CHANGED"]) == 1


def test_writing_the_same_content_again_is_no_change(project, tmp_path):
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv")

    @af.write_dataset(out)
    def save(n):
        return [{"x": n}]

    @af.workflow
    def flow(n: int):
        save(n)

    numbers = [project.run(flow, n=n).result("save").number for n in (1, 1, 2)]
    assert numbers == [1, 1, 2]
    assert project.events.count(types=["DATASET_CHANGED"]) == 2


def test_every_item_of_a_stream_is_written_as_a_version(project, tmp_path):
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv")

    @af.job
    def batches():
        yield from (1, 2, 3)

    @af.write_dataset(out)
    def save(n):
        return [{"x": n}]

    @af.workflow
    def flow():
        save(batches())

    project.run(flow, timeout=PATIENCE)
    assert sorted(version.number for version in project.datasets.get("out").versions()) == [1, 2, 3]
    events = project.events.list(types=["DATASET_CHANGED"])
    assert [event.value["number"] for event in events] == [1, 2, 3]


def test_a_dataset_without_a_place_or_with_content_of_another_schema_fails_its_reader(project, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("x\nnone\n")
    for dataset, said in (
        (af.Dataset("nowhere", format="csv", catalog={"name": "hive"}), "nowhere"),
        (af.Dataset("wrong", uri=str(wrong), format="csv", schema={"x": "int"}), "x"),
    ):

        @af.read_dataset(dataset)
        def load(version):
            return version.read() is not None

        @af.workflow(name=f"reading_{dataset.name}")
        def flow():
            load()

        with pytest.raises(af.ExecutionFailed, match=said):
            project.run(flow)
        assert project.datasets.get(dataset.name).versions() == []


DYING_DATA = (
    HEAD
    + """
    out = af.Dataset("out", uri="out.csv", format="csv")
    done = af.Artifact("report", uri="report.txt")

    @af.write_dataset(out)
    def save():
        die_once("in save")
        return [{"x": 1}]

    @af.read_dataset(out)
    def load(version):
        die_once("in load")
        return version

    @af.write_artifact(done)
    def report(version):
        Path(__file__).with_name("report.txt").write_text(f"{version}")
        die_once("in report")

    @af.workflow
    def life():
        report(load(save()))
"""
)


def test_data_and_reports_of_a_life_that_is_killed_in_every_job_have_one_version_each(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", DYING_DATA)
    command_line(home, "run", flows, code=KILLED)
    for _ in range(2):
        command_line(home, "run", "--resume", flows, code=KILLED)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        events = project.events.list(types=["DATASET_CHANGED", "ARTIFACT_CHANGED"])
        assert [(event.key, event.value["number"]) for event in events] == [("out", 1), ("report", 1)]
        assert project.artifacts.get("report").latest().read_text() == "out:1"
        assert len(project.datasets.get("out").versions()) == 1
        jobs = [node.job for node in project.lineage.upstream("report:1") if isinstance(node, af.JobExecution)]
        assert sorted(jobs) == ["load", "report", "save"]


# ---------------------------------------------------------------------------------------------- waiting over a death

WAITING = (
    HEAD
    + """
    @af.job
    def begin():
        die_once("died")

    @af.predict(knn)
    def answer(model, x):
        return model["n"] * x

    @af.job
    def note():
        return af.current().event.value["number"]

    @af.workflow
    def waiting():
        answer(7)
        note.options(name="deployed")().start_on(knn.deployed)
        note.options(name="three")().start_on(knn.generated.times(3))
        begin()
"""
)


def test_38_what_waited_for_a_version_when_its_process_died_finds_the_one_that_came_meanwhile(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", WAITING)
    command_line(home, "run", flows, code=KILLED)
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert execution.status == "INTERRUPTED"
        row = project.models.register(KNN)
        for n in (1, 2, 3, 4):
            row.log({"n": n})
        row.deploy(2)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert execution.result("answer") == 14
        assert execution.results("deployed") == [2]
        assert execution.results("three") == [3]


# --------------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: af.train("knn"),
        lambda: af.train(af.Dataset("raw", uri="raw.csv")),
        lambda: af.read_dataset(KNN),
        lambda: af.write_dataset("out.csv"),
        lambda: af.write_artifact(KNN),
        lambda: af.train(KNN, base="knn"),
        lambda: af.push_model(lambda version: None),
        lambda: af.train(KNN, retires=3),
    ],
    ids=range(8),
)
def test_a_role_of_the_wrong_thing_or_with_an_unknown_option_is_an_error_when_it_is_declared(project, wrong):
    with pytest.raises((af.AIFlowError, TypeError)) as caught:
        wrong()(lambda *args: None)
    assert str(caught.value)


def test_a_validation_that_says_nothing_validates_nothing(project):
    log(project, "GENERATED")

    @af.model_validate(KNN)
    def forgot(model):
        pass

    @af.workflow
    def flow():
        forgot()

    project.run(flow, check=False)
    assert stages(project) == [(1, "GENERATED")]


def test_a_version_of_another_model_is_an_input_like_any_other(project):
    svm = af.Model("svm")
    log(project, "GENERATED")

    @af.train(svm)
    def fit():
        return {"n": 40}

    @af.evaluate(KNN)
    def compare(model, other):
        return {"sum": model["n"] + other.load()["n"]}

    @af.train(KNN)
    def more():
        return {"n": 2}

    @af.workflow
    def flow():
        other = fit()
        compare.options(name="left_out")(other)
        compare.options(name="given")(more(), other)

    project.run(flow)
    row = project.models.get("knn")
    assert row.version(2).metrics["sum"] == 42
    history = project.metrics.history("sum", model="knn")
    assert len(history) == 2
    assert {metric.model for metric in history} == {"knn"}
    assert dict(project.models.get("svm").version(1).metrics) == {}


def test_the_same_model_twice_is_the_candidate_and_an_input(project):
    row = log(project, "GENERATED", "GENERATED")

    @af.job
    def version(n):
        return af.current().project.models.get("knn").version(n)

    @af.model_validate(KNN)
    def beats(model, rival):
        return model["n"] > rival.load()["n"]

    @af.workflow
    def flow():
        beats.options(name="up")(version.options(name="two")(2), version.options(name="one")(1))
        beats.options(name="down")(version.options(name="eins")(1), version.options(name="zwei")(2))

    project.run(flow)
    assert [str(row.version(n).stage) for n in (1, 2)] == ["GENERATED", "VALIDATED"]


DYING_STREAM = (
    HEAD
    + """
    out = af.Dataset("out", uri="out.csv", format="csv")

    @af.train(knn)
    def fit():
        state = af.current().state
        for n in range(state.get("next", 0), 6):
            if n == 3:
                die_once("before its item")
            state["next"] = n + 1
            yield {"n": n}
            if n == 4:
                die_once("after its item")

    @af.evaluate(knn)
    def score(model):
        return {"n": model["n"]}

    @af.write_dataset(out)
    def save(scores):
        return [scores]

    @af.workflow
    def streaming():
        save(score(fit()))
"""
)


def test_28_a_stream_of_trainings_that_is_killed_makes_a_version_of_each_item_once(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", DYING_STREAM)
    command_line(home, "run", flows, code=KILLED)
    command_line(home, "run", "--resume", flows, code=KILLED)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        row = project.models.get("knn")
        versions = sorted(row.versions(), key=lambda version: version.number)
        assert [version.load()["n"] for version in versions] == list(range(6))
        assert types(project) == [("GENERATED", n) for n in range(1, 7)]
        assert [dict(version.metrics) for version in versions] == [{"n": n} for n in range(6)]
        assert project.events.count(types=["METRIC_LOGGED"]) == 6
        assert [event.value["number"] for event in project.events.list(types=["DATASET_CHANGED"])] == list(range(1, 7))


def _write_at_once(number: int, home: str, path: str) -> int:
    with af.Project("accept", home=home) as project:
        out = af.Dataset("out", uri=path, format="csv")

        @af.write_dataset(out)
        def save(n):
            return [{"x": n}] * 1000

        @af.workflow(name=f"writing_{number}")
        def flow(n: int):
            save(n)

        for n in range(5):
            execution = project.run(flow, n=100 * number + n, check=False)
            assert execution.status == "SUCCESS" or "Conflict" in str(execution.job("save").error)
    return number


def _write_together(home: str, path: str) -> Any:
    return fork_together(4, _write_at_once, home, path)


def test_four_processes_that_write_one_dataset_at_once_never_tear_it_and_each_version_is_a_whole_content(tmp_path):
    home, path = tmp_path / "home", tmp_path / "out.csv"
    assert alone(_write_together, str(home), str(path)) == [0, 1, 2, 3]
    with af.Project(home=home) as project:
        versions = project.datasets.get("out").versions()
        numbers = sorted(version.number for version in versions)
        assert numbers == list(range(1, len(versions) + 1))
        assert {version.rows for version in versions} == {1000}
        told = [event.value["number"] for event in project.events.list(types=["DATASET_CHANGED"], limit=None)]
        assert told == numbers
        lines = path.read_text().split()
        assert len(lines) == 1001
        assert len(set(lines[1:])) == 1
        assert len(numbers) > 4
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("out")] == ["out.csv"]
