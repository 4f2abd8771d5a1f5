"""The command `lineage show`, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

import aiflow as af

Aiflow = Callable[..., Any]


@af.job
def load() -> int:
    return 1


@af.job
def fit(rows: int) -> str:
    return str(af.current().project.models.get("knn").log(rows, stage="DEPLOYED"))


@af.job
def look(made: str) -> Any:
    return af.current().project.models.get("knn").latest().load()


@af.workflow
def life() -> None:
    look(fit(load()))


@pytest.fixture
def execution(aiflow: Aiflow) -> Iterator[af.Execution]:
    with af.Project("shop") as project:
        project.models.register("knn")
        yield project.run(life)


def test_what_made_the_deployed_model_is_a_tree(aiflow: Aiflow, execution: af.Execution) -> None:
    shown = aiflow("lineage", "show", "knn").out
    assert shown.splitlines() == [
        "model knn:1  deployed",
        f"└─ fit  life {execution.id}  SUCCESS",
        f"   └─ load  life {execution.id}  SUCCESS",
    ]
    assert aiflow("lineage", "show", "knn:1", "--up").out == shown
    assert aiflow("lineage", "show", "model", "knn:1").out == shown
    assert (
        aiflow("lineage", "show", "knn", "--down").out
        == f"model knn:1  deployed\n└─ look  life {execution.id}  SUCCESS\n"
    )


def test_a_program_gets_nodes_and_edges_by_names_that_the_command_takes(
    aiflow: Aiflow, execution: af.Execution
) -> None:
    data = aiflow("lineage", "show", "knn:1", "-o", "json").data
    id_ = execution.id
    assert (data["of"], data["direction"]) == (["model knn:1"], "upstream")
    assert {node["id"]: node["kind"] for node in data["nodes"]} == {
        f"job {id_}/load:1": "job",
        f"job {id_}/fit:1": "job",
        "model knn:1": "model",
    }
    (model,) = [node for node in data["nodes"] if node["kind"] == "model"]
    assert (model["name"], model["number"], model["stage"]) == ("knn", 1, "DEPLOYED")
    (job,) = [node for node in data["nodes"] if node.get("job") == "fit"]
    assert (job["execution_id"], job["workflow"], job["number"], job["status"]) == (id_, "life", 1, "SUCCESS")
    edges = {(edge["source"], edge["target"]) for edge in data["edges"]}
    assert edges == {(f"job {id_}/load:1", f"job {id_}/fit:1"), (f"job {id_}/fit:1", "model knn:1")}
    for node in data["nodes"]:
        assert aiflow("lineage", "show", *node["id"].split(), "-o", "json").data["of"] == [node["id"]]
    plain = aiflow("lineage", "show", "knn:1", "-o", "plain").out.splitlines()
    assert {tuple(line.split("\t")[:2]) for line in plain} == edges


def test_a_job_is_asked_for_by_the_beginning_of_its_execution(aiflow: Aiflow, execution: af.Execution) -> None:
    shown = aiflow("lineage", "show", "job", f"{execution.id[:6]}/look").out
    assert shown.splitlines()[0] == f"look  life {execution.id}  SUCCESS"


def test_a_lineage_is_drawn(aiflow: Aiflow, execution: af.Execution) -> None:
    assert aiflow("lineage", "show", "knn", "--svg").out.startswith("<svg")
    assert aiflow("lineage", "show", "knn", "--mermaid").out.startswith("flowchart LR\n")


def test_it_is_shown_as_it_was_known_at_a_time(aiflow: Aiflow, execution: af.Execution) -> None:
    assert execution.ended is not None
    later = (execution.ended + timedelta(hours=1)).isoformat()
    assert "look" in aiflow("lineage", "show", "knn", "--down", "--as-of", later).out
    said = aiflow("lineage", "show", "knn", "--as-of", "2020-01-01", code=2).err
    assert "no version that is deployed at" in said
    local = datetime(2020, 1, 1).astimezone()
    assert f"{local.astimezone(tz=None):%Y}" in said or "2019" in said
    assert "'soon' is no time such as 2026-11-23" in aiflow("lineage", "show", "knn", "--as-of", "soon", code=2).err


def test_what_is_not_there_or_not_plain_is_wrong_usage(aiflow: Aiflow, execution: af.Execution) -> None:
    project = execution._project
    project.datasets.register("knn", uri="s3://x").log()
    said = aiflow("lineage", "show", "knn:1", code=2).err
    assert "'knn:1' is a dataset and a model; say 'dataset knn:1' or 'model knn:1'" in " ".join(said.split())
    assert aiflow("lineage", "show", "dataset", "knn:1").out == "dataset knn:1\n"
    assert "did you mean 'knn'?" in aiflow("lineage", "show", "model", "knm", code=2).err
    assert "aiflow lineage show --help" in aiflow("lineage", "show", code=2).err
