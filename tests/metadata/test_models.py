"""Models and their versions through `project.models`: numbers, stages, events, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aiflow as af


def changes(project: af.Project) -> list[tuple[str, Any, Any, Any]]:
    """What the log says of models: type, number, stage, stage before."""
    events = project.events.list(types="MODEL_*")
    return [(e.type, e.value["number"], e.value["stage"], e.value["before"]) for e in events]


def test_numbers_go_on_after_a_version_and_a_model_were_deleted(project: af.Project) -> None:
    knn = project.models.register("knn")
    assert [knn.log(n).number for n in range(2)] == [1, 2]
    knn.delete(2)
    assert knn.log(2).number == 3
    project.models.delete("knn")
    assert project.models.find("knn") is None
    assert project.models.register("knn").log(3).number == 4


def test_deploying_deprecates_the_one_that_was_in_the_same_transaction(project: af.Project) -> None:
    knn = project.models.register("knn")
    for n in range(2):
        knn.log(n)
    knn.deploy(1)
    knn.deploy(2)
    knn.deploy(2)
    assert [(v.number, v.stage) for v in knn.versions()] == [(1, "DEPRECATED"), (2, "DEPLOYED")]
    assert changes(project)[2:] == [
        ("MODEL_DEPLOYED", 1, "DEPLOYED", "GENERATED"),
        ("MODEL_DEPRECATED", 1, "DEPRECATED", "DEPLOYED"),
        ("MODEL_DEPLOYED", 2, "DEPLOYED", "GENERATED"),
    ]


def test_what_was_logged_is_loaded_again_and_a_damaged_blob_is_not(project: af.Project) -> None:
    knn = project.models.register("knn")
    version = knn.log({"weights": [1.5, (2, 3)]})
    assert version.load() == {"weights": [1.5, (2, 3)]}
    assert version.uri is not None
    Path(version.uri).write_bytes(b"something else")
    with pytest.raises(af.StoreError, match="damaged"):
        version.load()


@af.job
def keeps() -> str:
    made = af.current().project.models.get("knn").log([1, 2], stage="DEPLOYED")
    return str(made)


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_job_logs_a_version_and_the_version_says_which_job_that_was(project: af.Project, runner: str) -> None:
    knn = project.models.register("knn")

    @af.workflow(runner=runner)
    def training() -> None:
        keeps()

    execution = project.run(training)
    assert execution.result("keeps") == "knn:1"
    deployed = knn.deployed
    assert deployed is not None
    assert (deployed.execution_id, deployed.job, deployed.job_number) == (execution.id, "keeps", 1)
    assert deployed.load() == [1, 2]


@af.job
def finds() -> Any:
    return af.current().project.models.get("knn").version(1)


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_version_can_be_the_value_of_a_job(project: af.Project, runner: str) -> None:
    made = project.models.register("knn").log([1])

    @af.workflow(runner=runner)
    def looking() -> None:
        finds()

    found = project.run(looking).result("finds")
    assert (found, found.stage, found.uri, found.load()) == (made, "GENERATED", made.uri, [1])
