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


def test_rolling_back_again_goes_one_version_further_back_and_never_to_the_one_that_was_bad(
    project: af.Project,
) -> None:
    knn = project.models.register("knn")
    for n in range(3):
        knn.log(n, stage="DEPLOYED")
    assert [str(knn.rollback()), str(knn.rollback())] == ["knn:2", "knn:1"]
    with pytest.raises(af.Conflict, match="no version was deployed before knn:1; deploy a version by its number"):
        knn.rollback()
    knn.deploy(3)
    assert str(knn.rollback()) == "knn:1"


def test_a_roll_back_passes_over_versions_that_were_deleted(project: af.Project) -> None:
    knn = project.models.register("knn")
    for n in range(3):
        knn.log(n, stage="DEPLOYED")
    knn.delete(2)
    assert str(knn.rollback()) == "knn:1"


def test_after_the_deployed_version_was_taken_away_a_roll_back_leads_to_the_one_before(project: af.Project) -> None:
    knn = project.models.register("knn")
    for n in range(2):
        knn.log(n, stage="DEPLOYED")
    knn.delete(2)
    assert knn.deployed is None
    assert str(knn.rollback()) == "knn:1"
    knn.deprecate(1)
    with pytest.raises(af.Conflict):
        knn.rollback()
    with pytest.raises(af.Conflict, match="knn:2 is DELETED and cannot become DEPLOYED; log it anew"):
        knn.deploy(2)


def test_to_log_as_deployed_deprecates_the_one_that_was(project: af.Project) -> None:
    knn = project.models.register("knn")
    knn.log(1, stage="DEPLOYED")
    knn.log(2, stage="deployed")
    assert [(v.number, v.stage) for v in knn.versions()] == [(1, "DEPRECATED"), (2, "DEPLOYED")]


def test_a_model_that_is_named_like_an_id_is_found_by_its_name_first(project: af.Project) -> None:
    for name in ("knn", "2", "tree"):
        project.models.register(name)
    assert [project.models.get(asked).name for asked in ("2", 2, "3", 3, 1, "1")] == [
        "2",
        "2",
        "tree",
        "tree",
        "knn",
        "knn",
    ]
    project.models.register("1")
    assert [project.models.get(asked).name for asked in ("1", 1)] == ["1", "knn"]
    assert project.models.update("3", description="by its id").name == "tree"
    project.models.delete("3")
    assert project.models.find("tree") is None


def test_what_was_declared_is_registered_or_is_a_version_stands_for_the_name(project: af.Project) -> None:
    knn = project.models.register(af.Model("knn"))
    version = knn.log([1])
    assert {project.models.get(asked).id for asked in (af.Model("knn"), knn, version)} == {knn.id}
    assert knn.deploy(version).stage == "DEPLOYED"
    tree = project.models.register("tree")
    tree.log([2])
    with pytest.raises(af.ParameterError, match="knn:1 is no version of model 'tree'"):
        tree.deploy(version)
    with pytest.raises(af.ParameterError, match="a model is asked for by name or id"):
        project.models.get(af.Dataset("knn"))


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda models: models.register("knn", descripton="x"), "a model has no field 'descripton'; did you mean 'description'?"),
        (lambda models: models.register("knn", description=5), r"Model('knn', description=…) takes a text, not 5"),
        (lambda models: models.register("knn", properties=[1]), r"properties=…) takes a dict with texts as keys, not [1]"),
        (lambda models: models.register("knn", properties={1: 2}), "has the key 1; JSON knows text keys only"),
        (lambda models: models.update("knn", description=None), r"description=…) takes a text, not None"),
        (lambda models: models.update("knn", properties={"a": {1}}), "which is not JSON data"),
        (lambda models: models.update("knn", name="k"), "a model has no field 'name' that can be changed"),
        (lambda models: models.update("knn", description="\ud800"), "half of a surrogate pair"),
        (lambda models: models.get("knn").log(1, propertes={}), "no field 'propertes' that can be said; did you mean 'properties'?"),
        (lambda models: models.get("knn").log(1, description=2), "takes a text, not 2"),
        (lambda models: models.get("knn").log(1, stage="LIVE"), "a stage is one of GENERATED, VALIDATED, DEPLOYED"),
        (lambda models: models.get("knn").deploy("1"), "is named by its number, not by '1'"),
        (lambda models: models.list(nam="x"), "models have no field 'nam' to filter by; did you mean 'name'?"),
        (lambda models: models.list(limit=-1), "limit must be a whole number ≥ 0, not -1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_changes_nothing(project: af.Project, act: Any, told: str) -> None:
    project.models.register("knn", description="first")
    before = project.events.count()
    with pytest.raises(af.ParameterError) as refused:
        act(project.models)
    assert told in str(refused.value)
    assert project.events.count() == before
    assert project.models.get("knn").description == "first"


@pytest.mark.parametrize("number", [0, -1, 9, 2**70])
def test_a_version_that_never_was_is_not_found(project: af.Project, number: int) -> None:
    knn = project.models.register("knn")
    for act in (knn.version, knn.deploy, knn.delete):
        with pytest.raises(af.NotFound, match=f"no version of a model 'knn:{number}'"):
            act(number)
    for asked in (2**70, "\ud800", "a\0b", "٣", ""):
        assert project.models.find(asked) is None


def test_a_repeated_register_or_update_with_the_same_data_says_nothing(project: af.Project) -> None:
    properties = {"shape": (1, 2), "rate": float("nan"), "on": 1}
    project.models.register("knn", properties=properties)
    before = project.events.count()
    project.models.register("knn", properties=properties)
    project.models.update("knn", properties=properties)
    assert project.events.count() == before
    project.models.update("knn", properties={**properties, "on": True})
    assert project.events.count() == before + 1


def test_models_are_listed_by_their_fields_in_parts_and_by_the_stage_of_a_version(project: af.Project) -> None:
    for n in range(5):
        project.models.register(f"m{n}", description="even" if n % 2 == 0 else "odd")
    project.models.get("m3").log(1, stage="DEPLOYED")
    project.models.get("m4").log(1)

    def names(**filters: Any) -> list[str]:
        return [m.name for m in project.models.list(**filters)]

    assert names(description="even") == ["m0", "m2", "m4"]
    assert names(name="m[1-3]", description="odd") == ["m1", "m3"]
    assert names(limit=2, offset=1) == ["m1", "m2"]
    assert names(limit=0) == names(name="x*") == []
    assert names(stage="deployed") == ["m3"]
    assert names(stage="GENERATED", name="m4") == ["m4"]
    assert project.models.count(description="odd") == 2


def test_a_version_is_named_by_its_number_or_as_it_is_written(project: af.Project) -> None:
    knn = project.models.register("knn")
    knn.log([1])
    assert knn.deploy("knn:1").stage == "DEPLOYED"
    with pytest.raises(af.ParameterError, match="other:1 is no version of model 'knn'"):
        knn.deploy("other:1")


def test_none_is_no_model(project: af.Project) -> None:
    with pytest.raises(af.ParameterError, match="None is none"):
        project.models.register("knn").log(None)


def test_what_a_declaration_leaves_out_takes_nothing_away(project: af.Project) -> None:
    project.models.register("knn", description="tells irises", properties={"team": "garden"})
    kept = project.models.register(af.Model("knn"))
    assert (kept.description, kept.properties) == ("tells irises", {"team": "garden"})
    project.models.update("knn", description="")
    assert project.models.get("knn").description == ""
