"""The examples that run on Flink: E5, E14 and the Flink part of E22 of the parity list."""

from __future__ import annotations

import pytest
from tests.end_to_end.conftest import Example, example  # noqa: F401  # a fixture

import aiflow as af

pytestmark = pytest.mark.flink


def test_e5_sql_names_each_flower_with_the_version_that_was_registered_before(
    flink: af.Project,
    example: Example,  # noqa: F811
) -> None:
    module = example("flink_sql_workflow")
    execution = flink.run(module.flink_sql_workflow, timeout=120)
    named = execution.result("write").read()
    assert len(named) == len(module.MEASURES[module.TEST]) == 50
    right = {tuple(measures): species for measures, species in zip(module.MEASURES, module.SPECIES, strict=True)}
    hits = sum(right[tuple(row[:4])] == row[4] for row in named.itertuples(index=False))
    assert hits >= 45
    started = execution.job("predict").event
    assert (started.type, started.key, started.value["number"]) == ("MODEL_GENERATED", "iris_knn", 1)
    upstream = flink.lineage.upstream("named_flowers:1")
    assert {"unnamed_flowers:1", "iris_knn:1"} <= {str(node) for node in upstream.nodes}


def test_e14_a_table_goes_through_one_job_on_flink(flink: af.Project, example: Example) -> None:  # noqa: F811
    execution = flink.run(example("flink_job").flink_job, timeout=120)
    petals = execution.result("preprocess").set_index("species")
    assert petals.round(2).to_dict("index") == {
        "setosa": {"length": 14.62, "width": 2.46, "n": 50},
        "versicolor": {"length": 42.6, "width": 13.26, "n": 50},
        "virginica": {"length": 55.52, "width": 20.26, "n": 50},
    }


def test_a_stream_on_flink_answers_with_what_its_answers_have_had_trained(flink: af.Project, example: Example) -> None:  # noqa: F811
    module = example("flink_live_model")
    execution = flink.run(module.flink_live_model, per_second=200, timeout=120)
    (stream,) = (job for job in execution.jobs if job.job == "answer")
    trained = [job for job in execution.jobs if job.job == "train"]
    said = [event.value for event in flink.events.list(keys="answered") if event.execution_id == execution.id]
    assert (stream.status, execution.status) == ("STOPPED", "SUCCESS")
    assert [told["known"] for told in said] == [5, 10, 20]
    assert len({told["version"] for told in said}) == len(trained) == 3
    assert [told["right"] >= module.GOOD for told in said] == [False, False, True]
    for told in said:
        used = flink.lineage.downstream(f"live_knn:{told['version']}")
        assert {("answer", 1)} <= {(node.job, node.number) for node in used.nodes if used.nodes[node]["kind"] == "job"}


def test_e22_a_job_on_flink_stands_among_the_others(flink: af.Project, example: Example) -> None:  # noqa: F811
    execution = flink.run(example("one_of_each").one_of_each, flink=True, timeout=120)
    assert {job.job: str(job.status) for job in execution.jobs if job.job != "observer"} == dict.fromkeys(
        ["program", "thread", "process", "inline", "async", "flink", "last"], "SUCCESS"
    )
    assert list(execution.result("flink").n) == [1, 2]
    assert "flink: built in the process" in execution.logs("flink")
