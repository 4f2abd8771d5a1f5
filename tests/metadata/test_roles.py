"""The life of a model through the decorators: train, evaluate, validate, push, predict, on threads and in processes."""

from __future__ import annotations

from typing import Any

import pytest

import aiflow as af

knn = af.Model("knn", description="the mean of some numbers")


@af.train(knn)
def fit(rows: list[float]) -> float:
    return sum(rows) / len(rows)


@af.evaluate(knn)
def error(model: float, rows: list[float]) -> dict[str, float]:
    return {"worst": max(abs(n - model) for n in rows)}


@af.model_validate(knn)
def is_better(model: float, limit: float, deployed: float | None) -> bool:
    return model < limit and (deployed is None or model < deployed)


@af.push_model(knn)
def push(version: af.ModelVersion) -> None:
    assert version.stage == "VALIDATED"


@af.predict(knn)
def add(model: float, n: float) -> float:
    return model + n


@af.job
def after(value: Any) -> Any:
    return value


@af.workflow
def life(rows: list[float], limit: float = 10.0) -> None:
    made = fit(rows)
    error(made, rows)
    pushed = push(is_better(made, limit))
    add(pushed, 1)
    after(2).after(pushed)


RUNNERS = pytest.mark.parametrize("runner", ["thread", "process", "inline"])


@RUNNERS
def test_a_model_is_trained_evaluated_validated_pushed_and_used(project: af.Project, runner: str) -> None:
    flow = af.workflow(life.function, name="life", runner=runner)
    execution = project.run(flow, rows=[1, 2, 6])
    made = execution.result("fit")
    assert (str(made), made.stage, made.load()) == ("knn:1", "GENERATED", 3.0)
    assert (made.execution_id, made.job, made.job_number) == (execution.id, "fit", 1)
    assert execution.result("error") == {"worst": 3.0}
    assert (execution.result("is_better").stage, execution.result("push").stage) == ("VALIDATED", "DEPLOYED")
    assert execution.result("add") == 4.0
    assert [e.type for e in project.events.list(types="MODEL_*")] == [
        "MODEL_GENERATED",
        "MODEL_VALIDATED",
        "MODEL_DEPLOYED",
    ]


@RUNNERS
def test_38_a_version_that_is_refused_stays_generated_and_what_depends_on_it_is_skipped(
    project: af.Project, runner: str
) -> None:
    flow = af.workflow(life.function, name="life", runner=runner)
    project.run(flow, rows=[1, 2, 6])
    execution = project.run(flow, rows=[4, 6])
    assert (execution.status, execution.job("is_better").status, execution.result("is_better")) == (
        "SUCCESS",
        "SUCCESS",
        None,
    )
    skipped = {j.job: j.error or j.reason for j in execution.jobs if j.status == "SKIPPED"}
    assert skipped == dict.fromkeys(("push", "add", "after"), "knn 2 was not validated")
    assert [(v.number, v.stage) for v in project.models.get("knn").versions()] == [(1, "DEPLOYED"), (2, "GENERATED")]
