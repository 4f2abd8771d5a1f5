"""The commands `model …` and `list models`, in this process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import aiflow as af

Aiflow = Callable[..., Any]


@pytest.fixture
def knn(aiflow: Aiflow) -> Iterator[Any]:
    """A model with three versions, of which none is deployed, in the home that the commands find."""
    with af.Project("shop") as project:
        model = project.models.register("knn", description="tells flowers apart\nby their leaves")
        for n in range(3):
            model.log([n], description="the last one" if n == 2 else "")
        yield model


def test_a_version_is_deployed_by_its_name_and_another_process_reads_the_same(aiflow: Aiflow, knn: Any) -> None:
    assert aiflow("model", "deploy", "knn:1").out == "knn:1 is deployed\n"
    assert aiflow("model", "deploy", "knn", "2").out == "knn:2 is deployed; knn:1 is DEPRECATED\n"
    assert aiflow("model", "deploy", "knn:2").out == "knn:2 is deployed already\n"
    assert str(knn.deployed) == "knn:2"
    assert aiflow("model", "rollback", "knn").out == "knn:1 is deployed again; knn:2 is DEPRECATED\n"
    said = aiflow("model", "show", "knn", "-o", "json").data
    assert [(v["number"], v["stage"]) for v in said["versions"]] == [
        (1, "DEPLOYED"),
        (2, "DEPRECATED"),
        (3, "GENERATED"),
    ]
    assert (said["name"], said["deployed"], said["latest"]) == ("knn", 1, 3)


def test_what_was_deleted_is_shown_only_when_it_is_asked_for(aiflow: Aiflow, knn: Any) -> None:
    assert aiflow("model", "delete", "knn:3").out == "knn:3 is DELETED\n"
    assert "knn:3" not in aiflow("model", "show", "knn").out
    assert "knn:3" in aiflow("model", "show", "knn", "--stage", "deleted").out
    assert "no model 'knm'; did you mean 'knn'?" in aiflow("model", "show", "knm", code=2).err
    assert aiflow("model", "delete", "knn").out == "knn is deleted, with 2 versions\n"
    assert aiflow("list", "models", "-o", "json").data == []


def test_the_models_are_listed_with_what_is_deployed(aiflow: Aiflow, knn: Any) -> None:
    knn.deploy(2)
    (row,) = aiflow("list", "models", "--name", "k*", "-o", "json").data
    assert (row["name"], row["deployed"], row["latest"]) == ("knn", 2, 3)
    assert "tells flowers apart\n" in aiflow("list", "models").out
    assert aiflow("list", "models", "--name", "x*", "-o", "json").data == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("deploy", "knn"), "say which version: knn:NUMBER; `aiflow model show knn` lists them"),
        (("deploy", "knn:9"), "no version of a model 'knn:9'; did you mean"),
        (("deploy", "knn:two"), "a version is written NAME:NUMBER, such as knn:2, not 'knn:two'"),
        (("deploy", "knn:1", "2"), "knn:1 and 2 are two versions; say one"),
        (("rollback", "knn"), "knn cannot be rolled back: no version of it was ever deployed"),
        (("show", "knn", "--stage", "GENERATE"), "a stage is one of GENERATED, VALIDATED"),
    ],
)
def test_a_mistake_is_told_with_what_was_expected(aiflow: Aiflow, knn: Any, words: tuple[str, ...], told: str) -> None:
    assert told in aiflow("model", *words, code=2).err


def test_one_version_is_shown_with_its_fields(aiflow: Aiflow, knn: Any) -> None:
    said = aiflow("model", "show", "knn:3", "-o", "json").data
    assert (said["model"], said["number"], said["description"], said["type"]) == (
        "knn",
        3,
        "the last one",
        "builtins.list",
    )
    assert len(said["hash"]) == 64
    assert "the last one" in aiflow("model", "show", "knn:3").out
