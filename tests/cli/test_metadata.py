"""The commands that show datasets, artifacts and metrics, in this process."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af

Aiflow = Callable[..., Any]


@pytest.fixture
def shop(aiflow: Aiflow, tmp_path: Path) -> Iterator[af.Project]:
    """A home with a dataset, an artifact, two versions of a model, and metrics of all kinds."""
    (tmp_path / "iris.csv").write_text("width,species\n1.5,setosa\n2.5,virginica\n")
    with af.Project("shop") as project:
        iris = project.datasets.register("iris", uri="iris.csv", format="csv", description="flowers\nof three kinds")
        iris.log()
        project.artifacts.register("report", uri="iris.csv", type="text").log()
        knn = project.models.register("knn")
        for n, accuracy in enumerate((0.5, 0.75)):
            project.metrics.log("accuracy", accuracy, step=n, model=knn.log([n]))
        project.metrics.log_many([("loss", value, n) for n, value in enumerate((1.0, 0.5, math.nan, math.inf))])
        yield project


def test_datasets_and_artifacts_are_listed_with_their_newest_version(aiflow: Aiflow, shop: af.Project) -> None:
    (data,) = aiflow("list", "datasets", "-o", "json").data
    assert (data["name"], data["format"], data["latest"]["number"], data["latest"]["rows"]) == ("iris", "csv", 1, 2)
    listed = aiflow("list", "datasets").out
    assert "iris:1" in listed
    assert str(shop.datasets.get("iris").path) in listed, "where it is, and not how that was said"
    assert data["uri"] == "iris.csv"
    (made,) = aiflow("list", "artifacts", "-o", "json").data
    assert (made["name"], made["type"], made["latest"]["hash"]) == ("report", "text", data["latest"]["hash"])
    assert aiflow("list", "artifacts", "--name", "x*", "-o", "json").data == []


def test_values_of_metrics_come_out_as_they_went_in(aiflow: Aiflow, shop: af.Project) -> None:
    rows = aiflow("metric", "show", "loss", "-o", "json").data
    assert [(row["value"], row["step"]) for row in rows] == [(1.0, 0), (0.5, 1), ("NaN", 2), ("Infinity", 3)]
    newest, *_ = aiflow("list", "metrics", "--name", "l*", "-o", "json").data
    assert (newest["name"], newest["value"]) == ("loss", "Infinity")
    assert [row["value"] for row in aiflow("metric", "show", "accuracy", "--model", "knn:1", "-o", "json").data] == [
        0.5
    ]


def test_plain_lines_have_always_the_same_fields_and_nothing_else(aiflow: Aiflow, shop: af.Project) -> None:
    free, of_model = (aiflow("metric", "show", name, "-o", "plain").out for name in ("loss", "accuracy"))
    assert {len(line.split("\t")) for line in (free + of_model).splitlines()} == {7}
    assert "4 values from 0.5 to inf" in aiflow("metric", "show", "loss").out


def test_versions_are_compared_by_a_metric(aiflow: Aiflow, shop: af.Project) -> None:
    rows = aiflow("metric", "compare", "accuracy", "--model", "knn", "-o", "json").data
    assert [(row["number"], row["value"]) for row in rows] == [(1, 0.5), (2, 0.75)]
    assert "0.75" in aiflow("metric", "compare", "accuracy").out


def test_a_metric_is_plotted_as_text_and_as_a_picture(aiflow: Aiflow, shop: af.Project) -> None:
    assert "accuracy" in aiflow("metric", "plot", "accuracy").out
    assert aiflow("metric", "plot", "accuracy", "loss", "--svg").out.startswith("<svg")
    assert "no metric 'los'; did you mean 'loss'?" in aiflow("metric", "plot", "los", code=2).err


def test_executions_are_compared_by_parameters_and_metrics(aiflow: Aiflow, shop: af.Project) -> None:
    for k in (3, 5):
        with shop.track("search", k=k) as experiment:
            experiment.log_metric("right", 1 - 1 / k)
    rows = aiflow("execution", "compare", "--workflow", "search", "-o", "json").data
    assert [(row["params.k"], row["metrics.right"]) for row in rows] == [(5, 0.8), (3, 1 - 1 / 3)]
    ids = [row["id"] for row in rows]
    assert [row["id"] for row in aiflow("execution", "compare", *ids, "-o", "json").data] == ids
    assert "say which executions" in aiflow("execution", "compare", code=2).err
    assert (
        "no workflow or experiment 'serch'; did you mean 'search'?"
        in aiflow("execution", "compare", "--workflow", "serch", code=2).err
    )


def test_executions_with_large_results_are_compared_by_the_beginning_of_these(aiflow: Aiflow, shop: af.Project) -> None:
    @af.job
    def numbers(n: int) -> list[int]:
        return list(range(n))

    @af.workflow
    def counting(n: int):
        numbers(n)

    long, short = shop.run(counting, n=60), shop.run(counting, n=2)
    first, second = aiflow("execution", "compare", long.id, short.id).out.splitlines()[1:3]
    assert "[0, 1, 2, 3, 4, " in first
    assert "…" in first
    assert " 30, 31" not in first
    assert "[0, 1]" in second
    assert aiflow("execution", "compare", long.id, short.id, "-o", "json").data[0]["results.numbers"] == list(range(60))


def test_a_version_that_a_job_returned_is_shown_as_it_is_written_everywhere(aiflow: Aiflow, shop: af.Project) -> None:
    give = af.job(lambda version: version, name="give")
    execution = shop.run(af.workflow(lambda: give(shop.models.get("knn").version(2)), name="giving"))
    assert "knn:2" in aiflow("execution", "show", execution.id).out
    assert aiflow("execution", "show", execution.id, "-o", "json").data["results"] == {"give": "knn:2"}
