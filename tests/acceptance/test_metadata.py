"""Acceptance of the registry, of versions and of the events they cause, written from the text alone."""

from __future__ import annotations

import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.acts import PATIENCE, Gate, command_json, command_line, end, until
from tests.children import Fork, alone, fork_together

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests, run_until_idle

MODEL_EVENTS = [f"MODEL_{stage}" for stage in ("GENERATED", "VALIDATED", "DEPLOYED", "DEPRECATED", "DELETED")]


def versions_of(project: af.Project, name: str = "knn", stage: str | None = None) -> list[tuple[int, str]]:
    """Give number and stage of each version, by number."""
    return sorted((v.number, str(v.stage)) for v in project.models.get(name).versions(stage=stage))


def changes(project: af.Project, *types: str) -> list[tuple[str, str, int | None]]:
    """Give type, key and number of each event of metadata, in their order."""
    events = project.events.list(types=types or MODEL_EVENTS, limit=None)
    return [(event.type, event.key, (event.value or {}).get("number")) for event in events]


def registry(project: af.Project, kind: str) -> Any:
    return getattr(project, f"{kind.lower()}s")


KINDS = [
    pytest.param(af.Model, {}, id="models"),
    pytest.param(af.Dataset, {"uri": "/data/iris.csv", "format": "csv"}, id="datasets"),
    pytest.param(af.Artifact, {"uri": "/out/report.html", "type": "html"}, id="artifacts"),
]

# ------------------------------------------------------------------------------------------------------------ registry


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_registering_the_same_again_gives_the_same_row_and_tells_nobody(project, kind, fields):
    rows = registry(project, kind.__name__)
    first = rows.register(kind("iris", description="flowers", **fields))
    before = project.events.count()
    again = rows.register(kind("iris", description="flowers", **fields))
    assert again.id == first.id
    assert again.updated == first.updated
    assert project.events.count() == before
    assert len(rows.list()) == 1


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_another_description_or_other_properties_update_the_row_that_is_there(project, kind, fields):
    rows = registry(project, kind.__name__)
    first = rows.register(kind("iris", description="flowers", properties={"owner": "ada"}, **fields))
    rows.register(kind("iris", description="irises", properties={"owner": "bob", "n": 3}, **fields))
    now = rows.get("iris")
    assert (now.id, now.description, now.properties) == (first.id, "irises", {"owner": "bob", "n": 3})
    assert now.created == first.created
    assert now.updated >= first.updated


@pytest.mark.parametrize(
    ("kind", "fields", "other"),
    [
        (af.Dataset, {"uri": "/data/a.csv", "format": "csv"}, {"uri": "/data/b.csv"}),
        (af.Dataset, {"uri": "/data/a.csv", "format": "csv"}, {"format": "json"}),
        (af.Dataset, {"uri": "/data/a.csv", "format": "csv", "schema": {"x": "int"}}, {"schema": {"x": "float"}}),
        (af.Artifact, {"uri": "/out/a.html", "type": "html"}, {"type": "png"}),
        (af.Artifact, {"uri": "/out/a.html", "type": "html"}, {"uri": "/out/b.html"}),
    ],
)
def test_a_conflict_shows_the_update_call_changes_nothing_and_that_call_helps(project, kind, fields, other):
    rows = registry(project, kind.__name__)
    first = rows.register(kind("iris", description="old", **fields))
    before = project.events.count()
    [field] = other
    with pytest.raises(af.Conflict) as caught:
        rows.register(kind("iris", description="new", **fields | other))
    assert "update(" in str(caught.value)
    assert field in str(caught.value)
    assert "iris" in str(caught.value)
    now = rows.get("iris")
    assert now.description == "old"
    assert getattr(now, field) == getattr(first, field)
    assert project.events.count() == before
    rows.update("iris", **other)
    again = rows.register(kind("iris", description="new", **fields | other))
    assert again.id == first.id
    assert again.description == "new"


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_rows_are_found_by_name_and_id_and_what_is_missing_lists_close_names(project, kind, fields):
    rows = registry(project, kind.__name__)
    row = rows.register(kind("flowers", **fields))
    assert rows.get("flowers").id == rows.get(row.id).id == row.id
    assert rows.get(row.id).name == "flowers"
    assert rows.find("flower") is None
    assert rows.find(row.id + 1000) is None
    for verb in (rows.get, rows.delete, lambda name: rows.update(name, description="x")):
        with pytest.raises(af.NotFound, match="flowers"):
            verb("flower")
    rows.update(row.id, description="by id")
    assert rows.get("flowers").description == "by id"


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_a_deleted_row_frees_its_name_for_other_fields(project, kind, fields):
    rows = registry(project, kind.__name__)
    first = rows.register(kind("iris", description="first", **fields))
    rows.delete("iris")
    assert rows.find("iris") is None
    assert rows.list() == []
    with pytest.raises(af.NotFound):
        rows.get("iris")
    with pytest.raises(af.NotFound):
        rows.delete("iris")
    other = {field: value.replace("iris", "other").replace("report", "other") for field, value in fields.items()}
    again = rows.register(kind("iris", **other))
    assert again.id != first.id
    assert again.description == ""
    assert [row.id for row in rows.list()] == [again.id]


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_lists_take_globs_and_fields_and_pages_and_a_list_of_nothing_is_a_list(project, kind, fields):
    rows = registry(project, kind.__name__)
    assert rows.list() == []
    names = [f"{group}-{n}" for group in ("alpha", "beta") for n in range(5)]
    for name in names:
        rows.register(kind(name, description=name[:4], **fields))
    assert sorted(row.name for row in rows.list(name="beta-*")) == names[5:]
    assert [row.name for row in rows.list(name="alpha-3")] == ["alpha-3"]
    assert rows.list(name="gamma*") == []
    pages = [[row.name for row in rows.list(limit=4, offset=offset)] for offset in (0, 4, 8, 12)]
    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert sorted(name for page in pages for name in page) == names
    assert len(rows.list(limit=None)) == 10


def test_a_filter_that_is_no_field_is_an_error_that_names_it(project):
    project.models.register(af.Model("knn"))
    with pytest.raises((af.AIFlowError, TypeError), match="nmae"):
        project.models.list(nmae="knn")
    with pytest.raises((af.AIFlowError, TypeError), match="descriptoin"):
        project.models.update("knn", descriptoin="x")
    assert project.models.get("knn").description == ""


def test_a_dataset_keeps_its_catalogue_and_schema_and_properties_as_they_were_given(tmp_path):
    catalog = {"name": "hive", "type": "hive", "database": "db", "connection": "jdbc:hive2://x", "table": "t"}
    schema = {"x": "float", "label": "str"}
    with af.Project("accept", home=tmp_path / "home") as project:
        project.datasets.register(
            af.Dataset(
                "iris",
                uri="/data/i.csv",
                format="csv",
                schema=schema,
                catalog=catalog,
                properties={"deep": [1, {"é": None}]},
            )
        )
    with af.Project(home=tmp_path / "home") as project:
        row = project.datasets.get("iris")
        assert dict(row.catalog) == catalog
        assert dict(row.schema) == schema
        assert row.properties == {"deep": [1, {"é": None}]}
        assert row.created.utcoffset().total_seconds() == 0


NAMES = [
    "✨ modèle ✨",
    "a" * 10_000,
    "a b\tc",
    "<script>alert(1)</script>",
    "../../escape",
    "/etc/passwd",
    "knn:2",
    "",
    "a\0b",
    "\ud800",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_strange_name_comes_back_the_same_or_is_refused_and_nothing_is_written_outside_the_home(tmp_path, name):
    home = tmp_path / "deep" / "er" / "home"
    with af.Project("accept", home=home) as project:
        try:
            project.models.register(af.Model(name))
        except (af.AIFlowError, ValueError, TypeError) as error:
            assert str(error)
            assert project.models.list() == []
        else:
            version = project.models.get(name).log({"x": 1})
            assert project.models.get(name).name == version.model == name
            assert [row.name for row in project.models.list()] == [name]
            assert version.load() == {"x": 1}
        assert [
            path for path in tmp_path.rglob("*") if not (path.is_relative_to(home) or home.is_relative_to(path))
        ] == []
        assert not Path("/escape").exists()


def _register_and_log(number: int, home: str) -> list[int]:
    with af.Project("accept", home=home) as project:
        row = project.models.register(af.Model("knn", description="shared"))
        made = [row.log({"by": number}).number for _ in range(5)]
        return [row.id, *made]


def _register_together(home: str) -> Any:
    return fork_together(6, _register_and_log, home)


def test_six_processes_that_register_one_model_at_once_get_one_row_and_numbers_without_gaps_or_doubles(tmp_path):
    home = tmp_path / "home"
    answers = alone(_register_together, str(home))
    assert len({answer[0] for answer in answers}) == 1
    assert sorted(number for answer in answers for number in answer[1:]) == list(range(1, 31))
    assert all(answer[1:] == sorted(answer[1:]) for answer in answers)
    with af.Project(home=home) as project:
        assert versions_of(project) == [(n, "GENERATED") for n in range(1, 31)]
        assert changes(project) == [("MODEL_GENERATED", "knn", n) for n in range(1, 31)]
        by = {version.number: version.load()["by"] for version in project.models.get("knn").versions()}
        assert by == {number: i for i, answer in enumerate(answers) for number in answer[1:]}


# ------------------------------------------------------------------------------------------------------------ versions


def test_version_numbers_go_on_after_deletes_of_versions_and_of_the_model(project):
    knn = project.models.register(af.Model("knn"))
    assert [knn.log(n).number for n in range(3)] == [1, 2, 3]
    knn.delete(3)
    assert knn.log(3).number == 4
    project.models.delete("knn")
    again = project.models.register(af.Model("knn", description="another"))
    assert again.versions() == []
    assert again.latest() is None
    assert again.deployed is None
    assert again.log(4).number == 5
    assert versions_of(project) == [(5, "GENERATED")]


def test_a_version_that_was_deleted_is_listed_only_when_asked_and_may_not_be_deployed(project):
    knn = project.models.register(af.Model("knn"))
    for n in range(3):
        knn.log(n)
    knn.deploy(2)
    knn.delete(2)
    assert knn.deployed is None
    assert versions_of(project) == [(1, "GENERATED"), (3, "GENERATED")]
    assert versions_of(project, stage="DELETED") == [(2, "DELETED")]
    before = project.events.count()
    with pytest.raises(af.Conflict, match="knn:2|DELETED"):
        knn.deploy(2)
    with pytest.raises(af.NotFound, match="9"):
        knn.deploy(9)
    assert project.events.count() == before
    assert knn.deployed is None
    assert knn.latest().number == 3


def test_deploy_takes_generated_validated_and_deprecated_and_on_the_deployed_one_does_nothing(project):
    knn = project.models.register(af.Model("knn"))
    knn.log("g")
    knn.log("v", stage="VALIDATED")
    knn.log("p", stage="DEPLOYED")
    for number in (1, 2, 3, 1):  # 3 is DEPRECATED by then
        knn.deploy(number)
        assert knn.deployed.number == number
        assert [v.number for v in knn.versions(stage="DEPLOYED")] == [number]
    before = project.events.count()
    knn.deploy(1)
    assert project.events.count() == before
    assert knn.deployed.number == 1
    assert versions_of(project) == [(1, "DEPLOYED"), (2, "DEPRECATED"), (3, "DEPRECATED")]


def test_logging_a_deployed_version_deprecates_the_old_one_in_the_same_moment(project):
    knn = project.models.register(af.Model("knn"))
    knn.log("a", stage="DEPLOYED")
    seen: list[list[int]] = []
    with project.subscribe(
        lambda event: seen.append([v.number for v in knn.versions(stage="DEPLOYED")]), types=MODEL_EVENTS
    ):
        knn.log("b", stage="DEPLOYED", description="better")
        until(lambda: len(seen) >= 2)
    assert all(numbers == [2] for numbers in seen)  # never none, never two
    assert versions_of(project) == [(1, "DEPRECATED"), (2, "DEPLOYED")]
    assert knn.deployed.description == "better"
    assert ("MODEL_DEPLOYED", "knn", 2) in changes(project)
    assert ("MODEL_DEPRECATED", "knn", 1) in changes(project)


def test_a_rollback_deploys_the_version_that_was_deployed_before(project):
    knn = project.models.register(af.Model("knn"))
    for n in range(4):
        knn.log(n)
    for number in (1, 3, 4):
        knn.deploy(number)
    assert knn.rollback().number == 3
    assert versions_of(project) == [(1, "DEPRECATED"), (2, "GENERATED"), (3, "DEPLOYED"), (4, "DEPRECATED")]
    assert changes(project)[-2:] in (
        [("MODEL_DEPRECATED", "knn", 4), ("MODEL_DEPLOYED", "knn", 3)],
        [("MODEL_DEPLOYED", "knn", 3), ("MODEL_DEPRECATED", "knn", 4)],
    )


def test_a_rollback_without_an_earlier_deployment_is_an_error_and_changes_nothing(project):
    knn = project.models.register(af.Model("knn"))
    with pytest.raises(af.AIFlowError):
        knn.rollback()
    knn.log(1, stage="DEPLOYED")
    before = project.events.count()
    with pytest.raises(af.AIFlowError, match="knn"):
        knn.rollback()
    assert knn.deployed.number == 1
    assert project.events.count() == before


def test_a_model_version_has_all_of_its_fields(tmp_path):
    clock = ManualClock()
    with project_for_tests(tmp_path / "home", clock) as project:
        knn = project.models.register(af.Model("knn"))
        version = knn.log({"k": [1, 2, 3]}, description="three")
        again = project.models.get("knn").versions()[0]
    assert (again.model, again.number, again.stage) == ("knn", 1, "GENERATED")
    assert again.description == "three"
    assert again.execution_id is None
    assert again.created.timestamp() == pytest.approx(clock.now())
    assert again.created.tzinfo is not None
    assert again.hash
    assert again.uri
    assert again.type
    assert "knn:1" in str(version)


def test_the_same_object_logged_twice_is_two_versions_with_one_hash(project):
    knn = project.models.register(af.Model("knn"))
    first, second, third = knn.log({"a": 1}), knn.log({"a": 1}), knn.log({"a": 2})
    assert first.hash == second.hash != third.hash
    assert [v.load() for v in knn.versions()] in ([{"a": 1}, {"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}, {"a": 1}])
    knn.delete(1)
    assert second.load() == {"a": 1}  # what they share is still there


def test_what_cannot_be_stored_makes_no_version_and_no_event(project):
    import threading

    knn = project.models.register(af.Model("knn"))
    before = project.events.count()
    with pytest.raises(Exception, match="lock"):
        knn.log(threading.Lock())
    with pytest.raises((af.AIFlowError, ValueError), match="DEPLOYD"):
        knn.log(1, stage="DEPLOYD")
    with pytest.raises((af.AIFlowError, ValueError), match="DEPLOYD"):
        knn.versions(stage="DEPLOYD")
    assert knn.versions() == []
    assert project.events.count() == before
    assert knn.log(1).number == 1


def _deploy_at_random(number: int, home: str) -> int:
    draw, refused = random.Random(number), 0
    with af.Project("accept", home=home) as project:
        knn = project.models.get("knn")
        for _ in range(15):
            what = draw.random()
            try:
                if what < 0.7:
                    knn.deploy(draw.randint(1, 10))
                elif what < 0.85:
                    knn.rollback()
                else:
                    knn.log(number, stage="DEPLOYED")
            except af.Conflict:
                refused += 1
    return refused


def _deploy_together(home: str) -> Any:
    return fork_together(8, _deploy_at_random, home)


def test_eight_processes_that_deploy_and_roll_back_at_once_leave_exactly_one_deployed_at_each_moment(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        knn = project.models.register(af.Model("knn"))
        for n in range(10):
            knn.log(n)
        knn.deploy(1)
    alone(_deploy_together, str(home))
    with af.Project(home=home) as project:
        knn = project.models.get("knn")
        deployed = None
        events = project.events.list(types=["MODEL_DEPLOYED", "MODEL_DEPRECATED"], limit=None)
        deprecated: set[int] = set()
        for event in events:  # of each pair one comes first: after both, the books are even
            number = event.value["number"]
            if event.type == "MODEL_DEPLOYED":
                assert deployed is None or deployed in deprecated or number != deployed
                deployed = number
                deprecated.discard(number)
            else:
                deprecated.add(number)
        assert [v.number for v in knn.versions(stage="DEPLOYED")] == [deployed]
        ups = [e for e in events if e.type == "MODEL_DEPLOYED"]
        downs = [e for e in events if e.type == "MODEL_DEPRECATED"]
        assert len(ups) == len(downs) + 1
        assert [e.value["number"] for e in downs] == [e.value["number"] for e in ups[:-1]]


# ------------------------------------------------------------------------------------- versions of datasets, artifacts


def read_once(project: af.Project, dataset: af.Dataset, name: str = "reading") -> Any:
    """Run a workflow that reads the dataset; gives the version that its job got."""
    got: list[Any] = []

    @af.read_dataset(dataset)
    def load(version):
        got.append(version)
        return version.number

    @af.workflow(name=name)
    def flow():
        load()

    project.run(flow)
    [version] = got
    return version


def test_a_dataset_has_one_version_per_content_whatever_the_time_of_its_file(project, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,label\n1,a\n2,b\n")
    raw = af.Dataset("raw", uri=str(table), format="csv")
    first = read_once(project, raw)
    os.utime(table, (1, 1))
    same = read_once(project, raw)
    table.write_text("x,label\n1,a\n2,c\n")
    other = read_once(project, raw)
    assert (first.number, same.number, other.number) == (1, 1, 2)
    assert first.hash == same.hash != other.hash
    assert Path(first.path) == table
    assert str(first.dataset) == "raw" or first.dataset.name == "raw"
    assert [v.number for v in project.datasets.get("raw").versions()] in ([1, 2], [2, 1])
    assert changes(project, "DATASET_CHANGED") == [("DATASET_CHANGED", "raw", 1), ("DATASET_CHANGED", "raw", 2)]


def test_a_folder_has_a_content_hash_that_knows_names_and_bytes_but_not_times(project, tmp_path):
    def folder(name: str, **files: str) -> Path:
        for file, text in files.items():
            path = tmp_path / name / file.replace("_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / name

    hashes = []
    for name, files in [
        ("one", {"a": "1", "sub_b": "2"}),
        ("two", {"sub_b": "2", "a": "1"}),  # the same, made in another order
        ("three", {"a": "12", "sub_b": ""}),  # the same bytes in other files
        ("four", {"a": "1", "sub_c": "2"}),  # the same bytes under another name
        ("five", {"a": "1", "b": "2"}),  # in another place
    ]:
        raw = af.Dataset(name, uri=str(folder(name, **files)))
        hashes.append(read_once(project, raw, f"reading_{name}").hash)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_a_dataset_that_is_not_there_fails_its_job_with_its_path_and_makes_no_version(project, tmp_path):
    raw = af.Dataset("raw", uri=str(tmp_path / "missing.csv"), format="csv")
    with pytest.raises(af.ExecutionFailed, match=r"missing\.csv"):
        read_once(project, raw)
    assert project.datasets.get("raw").versions() == []
    assert project.events.list(types=["DATASET_CHANGED"]) == []


def test_a_table_is_read_with_types_and_its_version_knows_its_rows(project, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('x,n,label\n1.5,1,a\n2.5,2,"b,\nc"\n')
    version = read_once(project, af.Dataset("raw", uri=str(table), format="csv"))
    frame = version.read()
    assert list(frame["x"]) == [1.5, 2.5]
    assert list(frame["n"]) == [1, 2]
    assert list(frame["label"]) == ["a", "b,\nc"]
    assert version.rows == 2
    assert version.size == table.stat().st_size
    assert list(version.schema) == ["x", "n", "label"]


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "npy"])
def test_what_a_job_returns_is_written_in_the_format_and_read_again(project, tmp_path, format):
    import numpy
    import pandas

    out = af.Dataset("out", uri=str(tmp_path / f"new folder/out.{format}"), format=format)
    value = numpy.arange(6.0).reshape(3, 2) if format == "npy" else pandas.DataFrame({"x": [1, 2], "label": ["a", "é"]})

    @af.write_dataset(out)
    def save():
        return value

    @af.workflow
    def flow():
        save()

    execution = project.run(flow)
    [version] = project.datasets.get("out").versions()
    assert execution.result("save").number == version.number == 1
    assert version.execution_id == execution.id
    if format == "npy":
        assert version.read().tolist() == value.tolist()
    else:
        assert version.read()[["x", "label"]].to_dict("list") == {"x": [1, 2], "label": ["a", "é"]}
    assert changes(project, "DATASET_CHANGED") == [("DATASET_CHANGED", "out", 1)]


def test_a_job_may_write_the_dataset_itself_and_a_failure_leaves_no_version(project, tmp_path):
    out = af.Dataset("out", uri=str(tmp_path / "out.csv"), format="csv")

    @af.write_dataset(out)
    def save(good, dataset):
        Path(dataset.uri).write_text("x\n1\n2\n3\n")
        if not good:
            raise ValueError("half of it")

    @af.workflow
    def flow(good: bool):
        save(good)

    with pytest.raises(af.ExecutionFailed, match="half of it"):
        project.run(flow, good=False)
    assert project.datasets.get("out").versions() == []
    assert project.events.list(types=["DATASET_CHANGED"]) == []
    project.run(flow, good=True)
    [version] = project.datasets.get("out").versions()
    assert len(version.read()) == 3


def test_an_artifact_gets_a_version_and_an_event_per_content(project, tmp_path):
    report = tmp_path / "report.html"
    done = af.Artifact("report", uri=str(report), type="html")

    @af.write_artifact(done)
    def write(text):
        report.write_text(text)

    @af.workflow
    def flow(text: str):
        write(text)

    executions = [project.run(flow, text=text) for text in ("<p>1</p>", "<p>2</p>")]
    versions = sorted(project.artifacts.get("report").versions(), key=lambda v: v.number)
    assert [v.number for v in versions] == [1, 2]
    assert [v.execution_id for v in versions] == [e.id for e in executions]
    assert versions[0].hash != versions[1].hash
    assert changes(project, "ARTIFACT_CHANGED") == [("ARTIFACT_CHANGED", "report", n) for n in (1, 2)]


def test_a_job_of_any_kind_logs_an_artifact_that_it_names(project, tmp_path):
    done = af.Artifact("report", uri=str(tmp_path / "report.txt"), type="text")

    @af.job
    def work():
        (tmp_path / "report.txt").write_text("done")
        af.current().log_artifact(done)

    @af.workflow
    def flow():
        work()

    execution = project.run(flow)
    [version] = project.artifacts.get("report").versions()
    assert version.execution_id == execution.id
    [event] = project.events.list(types=["ARTIFACT_CHANGED"])
    assert (event.key, event.value["number"], event.context, event.execution_id) == ("report", 1, None, execution.id)


# -------------------------------------------------------------------------------------------------------------- events


def test_each_change_of_a_model_is_one_event_with_key_value_type_and_no_context(project):
    knn = project.models.register(af.Model("knn"))
    first = knn.log("a")
    second = knn.log("b", stage="VALIDATED")
    knn.deploy(1)
    knn.deploy(2)
    knn.delete(1)
    events = project.events.list(types=MODEL_EVENTS, limit=None)
    told = [(e.type, e.value["number"], e.value["stage"], e.value["before"]) for e in events]
    assert told[0] == ("MODEL_GENERATED", 1, "GENERATED", None)
    assert ("MODEL_VALIDATED", 2, "VALIDATED") in [change[:3] for change in told]
    assert ("MODEL_DEPLOYED", 1, "DEPLOYED", "GENERATED") in told
    assert ("MODEL_DEPLOYED", 2, "DEPLOYED", "VALIDATED") in told
    assert ("MODEL_DEPRECATED", 1, "DEPRECATED", "DEPLOYED") in told
    assert told[-1] == ("MODEL_DELETED", 1, "DELETED", "DEPRECATED")
    assert [change[0] for change in told].count("MODEL_DEPLOYED") == 2
    assert [change[0] for change in told].count("MODEL_DEPRECATED") == 1
    assert {e.key for e in events} == {"knn"}
    assert {e.context for e in events} == {None}
    assert {e.execution_id for e in events} == {None}
    assert [e.type for e in events] == [str(getattr(af.EventType, e.type)) for e in events]
    assert {e.value["id"] for e in events} == {first.id, second.id}


def test_deleting_a_model_tells_of_each_version_that_was_not_deleted_once(project):
    knn = project.models.register(af.Model("knn"))
    for n in range(3):
        knn.log(n)
    knn.deploy(3)
    knn.delete(1)
    project.models.delete("knn")
    deleted = [number for type, _, number in changes(project, "MODEL_DELETED") if number is not None]
    assert sorted(deleted) == [1, 2, 3]


def test_a_job_of_another_execution_starts_when_a_model_changes(project):
    knn = af.Model("knn")
    seen: list[Any] = []

    @af.job
    def note():
        event = af.current().event
        seen.append((event.type, event.key, event.value["number"]))

    @af.workflow(ends="never")
    def watching():
        note.options(name="validated")().start_on(knn.validated)
        note.options(name="deployed")().start_on(knn.deployed)
        note.options(name="both")().start_on(knn.deprecated & knn.deleted)

    execution = project.start(watching)
    row = project.models.register(knn)
    other = project.models.register(af.Model("svm"))
    other.log(0, stage="DEPLOYED")
    row.log(1, stage="VALIDATED")
    row.deploy(1)
    row.deploy(1)
    row.log(2, stage="DEPLOYED")
    row.delete(1)
    run_until_idle(project)
    assert [number for type, key, number in seen if type == "MODEL_DEPLOYED"] == [1, 2]
    assert ("MODEL_VALIDATED", "knn", 1) in seen
    assert {key for _, key, _ in seen} == {"knn"}
    assert len(execution.results("both")) == 1
    execution.stop()


def test_a_change_made_by_another_process_meets_a_condition_here(project, tmp_path):
    knn = af.Model("knn")
    project.models.register(knn).log({"n": 1})

    @af.job
    def note():
        return af.current().event.value["number"]

    @af.workflow
    def waiting():
        note().start_on(knn.deployed)

    execution = project.start(waiting)
    command_line(tmp_path / "home", "model", "deploy", "knn:1")
    execution.wait(timeout=PATIENCE)
    assert execution.result("note") == 1


def test_own_takes_only_the_changes_of_its_own_execution(project):
    knn = af.Model("knn")

    @af.train(knn)
    def fit(k):
        return k

    @af.job
    def note():
        return af.current().event.value["number"]

    @af.workflow(ends="never")
    def flow():
        fit(1).start_on(af.event("train"))
        note.options(name="own")().start_on(knn.generated.own())
        note.options(name="all")().start_on(knn.generated)

    execution = project.start(flow)
    project.models.get("knn").log("foreign")
    run_until_idle(project)
    project.publish("train")
    run_until_idle(project)
    assert execution.results("own") == [2]
    assert execution.results("all") == [1, 2]
    execution.stop()


def test_now_counts_a_model_that_is_already_deployed_and_not_one_that_was(project):
    knn, svm = af.Model("knn"), af.Model("svm")
    project.models.register(knn).log(1, stage="DEPLOYED")
    project.models.register(svm).log(1, stage="DEPLOYED")
    project.models.get("svm").delete(1)

    @af.job
    def note():
        return True

    @af.workflow(ends="quiet")
    def flow():
        note.options(name="now")().start_on(knn.deployed.now())
        note.options(name="later")().start_on(knn.deployed)
        note.options(name="gone")().start_on(svm.deployed.now())

    execution = project.run(flow)
    assert execution.results("now") == [True]
    assert execution.results("later") == execution.results("gone") == []


def test_a_metric_condition_fires_for_each_value_that_fits_and_never_for_nan(project):
    knn = af.Model("knn")
    project.models.register(knn).log(1)
    seen: list[float] = []

    @af.job(if_running="queue")
    def retrain():
        seen.append(af.current().event.value["value"])

    @af.workflow(ends="never")
    def flow():
        retrain().start_on(knn.metric("auc") < 0.9)

    execution = project.start(flow)
    for value in (0.95, 0.9, 0.89, math.nan, math.inf, -math.inf, 0.1):
        project.metrics.log("auc", value, model="knn")
        run_until_idle(project)
    project.metrics.log("auc", 0.2)  # a free one of the same name
    project.metrics.log("loss", 0.2, model="knn")
    run_until_idle(project)
    assert len(seen) == 3
    execution.stop()


def test_a_workflow_that_starts_on_a_dataset_gets_one_execution_per_change(project, tmp_path):
    table = tmp_path / "t.csv"
    raw = af.Dataset("raw", uri=str(table), format="csv")
    got: list[int] = []

    @af.job
    def work():
        got.append(af.current().event.value["number"])

    @af.workflow(start_on=raw.changed)
    def on_change():
        work()

    from aiflow.testing import serving

    with serving(project, on_change):
        for text in ("x\n1\n", "x\n1\n", "x\n2\n"):
            table.write_text(text)
            read_once(project, raw)
        until(lambda: got == [1, 2])
        run_until_idle(project)
    assert got == [1, 2]
    assert len(project.executions.list(workflow="on_change")) == 2


# -------------------------------------------------------------------------------------------------------- command line


def test_the_command_line_lists_models_datasets_and_artifacts_in_all_forms(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        project.models.register(af.Model("knn", description="neighbours")).log([1], stage="DEPLOYED")
        project.datasets.register(af.Dataset("iris", uri="/data/iris.csv", format="csv"))
        project.artifacts.register(af.Artifact("report", uri="/out/report.html", type="html"))
    [row] = command_json(home, "list", "models")
    assert (row["name"], row["description"]) == ("knn", "neighbours")
    [row] = command_json(home, "list", "datasets")
    assert (row["name"], row["uri"], row["format"]) == ("iris", "/data/iris.csv", "csv")
    out, _ = command_line(home, "list", "artifacts", "-o", "plain")
    assert "report" in out.split()
    empty = tmp_path / "empty"
    with af.Project("accept", home=empty):
        pass
    assert command_json(empty, "list", "artifacts") == []


def test_the_command_line_shows_deploys_rolls_back_and_deletes_models(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        knn = project.models.register(af.Model("knn"))
        for n in range(2):
            knn.log(n, description=f"number {n + 1}")
        knn.deploy(1)
        knn.deploy(2)
        command_line(home, "model", "rollback", "knn")
        assert knn.deployed.number == 1
        shown = command_json(home, "model", "show", "knn:2")
        assert (shown["model"], shown["number"], shown["stage"]) == ("knn", 2, "DEPRECATED")
        assert shown["description"] == "number 2"
        command_line(home, "model", "delete", "knn:2")
        assert versions_of(project, stage="DELETED") == [(2, "DELETED")]
        before = project.events.count()
        _, err = command_line(home, "model", "deploy", "knn:2", code=2)
        assert "DELETED" in err
        assert "Traceback" not in err
        assert project.events.count() == before


# --------------------------------------------------------------------------------------------------------------- values


class Hostile:
    """What makes a file when it is unpickled."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.canary,))


def test_a_hostile_object_is_not_executed_by_anything_that_only_looks(tmp_path):
    home, canary = tmp_path / "home", tmp_path / "canary"
    with af.Project("accept", home=home) as project:
        version = project.models.register(af.Model("evil")).log(Hostile(str(canary)))
        if canary.exists():
            canary.rmdir()
        version = project.models.get("evil").versions()[0]
        assert str(version)
        assert repr(version)
        assert getattr(version, "_repr_html_", str)() is not None
        assert version.metrics == {}
        project.models.get("evil").deploy(1)
        command_line(home, "model", "show", "evil")
        assert not canary.exists()
        version.load()
        assert canary.exists()  # the trap was real


def damage(home: Path) -> None:
    """Change a byte of every file that holds a value."""
    for path in (home / "blobs").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            data = bytearray(path.read_bytes())
            if data:
                data[-1] ^= 1
                path.write_bytes(data)


def test_a_value_whose_file_was_changed_is_refused_before_it_is_loaded(tmp_path):
    home, canary = tmp_path / "home", tmp_path / "canary"
    with af.Project("accept", home=home) as project:
        evil = project.models.register(af.Model("evil"))
        evil.log([Hostile(str(canary)), "x" * 200_000])
        if canary.exists():
            canary.rmdir()
        damage(home)
        with pytest.raises(af.StoreError, match="evil:1|hash|changed|damaged"):
            evil.versions()[0].load()
        assert not canary.exists()
        shutil.rmtree(home / "blobs")
        with pytest.raises(af.AIFlowError):
            evil.versions()[0].load()


def test_models_of_numpy_pandas_and_scikit_learn_come_back_the_same(tmp_path):
    import numpy
    import pandas
    from sklearn.tree import DecisionTreeClassifier

    home = tmp_path / "home"
    features = numpy.arange(20.0).reshape(10, 2)
    labels = numpy.array([0, 1] * 5)
    when = pandas.to_datetime(["2026-01-01", None])
    values = {
        "array": numpy.asfortranarray(features),
        "frame": pandas.DataFrame({"x": [1.5, None], "when": when, "é": ["a", "b"]}),
        "tree": DecisionTreeClassifier(random_state=0).fit(features, labels),
        "objects": numpy.array([{"a": 1}, None], dtype=object),
    }
    with af.Project("accept", home=home) as project:
        for name, value in values.items():
            project.models.register(af.Model(name)).log(value)
    with af.Project(home=home) as project:
        back = {name: project.models.get(name).latest().load() for name in values}
    numpy.testing.assert_array_equal(back["array"], features)
    assert back["array"].dtype == features.dtype
    pandas.testing.assert_frame_equal(back["frame"], values["frame"])
    assert back["tree"].predict(features).tolist() == labels.tolist()
    assert back["objects"].tolist() == [{"a": 1}, None]


def test_what_is_loaded_may_be_changed_without_changing_what_is_stored(project):
    import numpy

    knn = project.models.register(af.Model("knn"))
    array = numpy.zeros(300_000)
    knn.log(array)
    array[0] = 1
    loaded = knn.latest().load()
    assert loaded[0] == 0
    try:
        loaded[0] = 7
    except ValueError:
        pass  # read-only is an honest answer
    assert knn.latest().load()[0] == 0


# ------------------------------------------------------------------------------------------------------- without a job


def test_the_content_of_a_dataset_is_logged_without_a_workflow(project, tmp_path):
    table = tmp_path / "table.csv"
    row = project.datasets.register(af.Dataset("raw", uri=str(table), format="csv"))
    with pytest.raises(af.NotFound, match=r"table\.csv"):
        row.log()
    for text in ("x\n1\n", "x\n1\n", "x\n2\n"):
        table.write_text(text)
        row.log()
    assert sorted(v.number for v in row.versions()) == [1, 2]
    assert changes(project, "DATASET_CHANGED") == [("DATASET_CHANGED", "raw", 1), ("DATASET_CHANGED", "raw", 2)]
    assert list(row.latest().read()["x"]) == [2]
    assert {event.execution_id for event in project.events.list(types=["DATASET_CHANGED"])} == {None}


def test_content_that_does_not_fit_the_schema_is_refused_by_column_and_makes_no_version(project, tmp_path):
    table = tmp_path / "table.csv"
    row = project.datasets.register(
        af.Dataset("raw", uri=str(table), format="csv", schema={"width": "float", "label": "str"})
    )
    for text in ("width,label\nwide,a\n", "label\na\n"):
        table.write_text(text)
        with pytest.raises(af.AIFlowError, match="width"):
            row.log()
    assert row.versions() == []
    table.write_text("width,label\n1.5,a\n")
    assert row.log().number == 1
    assert project.events.count(types=["DATASET_CHANGED"]) == 1


def test_numbers_of_datasets_and_artifacts_go_on_after_a_delete(project, tmp_path):
    path = tmp_path / "file.txt"
    for rows, kind in ((project.datasets, af.Dataset), (project.artifacts, af.Artifact)):
        made = []
        for text in "ab":
            path.write_text(text)
            made.append(rows.register(kind("thing", uri=str(path))).log().number)
            rows.delete("thing")
        assert made == [1, 2]


def test_what_an_artifact_was_is_kept_though_its_file_is_gone_and_links_do_not_lead_out(project, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "page.html").write_text("<p>1</p>")
    row = project.artifacts.register(af.Artifact("report", uri=str(folder), type="html"))
    first = row.log()
    shutil.rmtree(folder)
    assert first.read_text("page.html") == "<p>1</p>"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "page.html").symlink_to(tmp_path / "secret.txt")
    with pytest.raises((af.AIFlowError, OSError)):
        row.log()
    assert [v.number for v in row.versions()] == [1]


# --------------------------------------------------------------------------------------------------- conditions as values


def test_conditions_on_metadata_are_values(project):
    knn, raw = af.Model("knn"), af.Dataset("raw", uri="/raw.csv")
    assert knn.deployed == af.Model("knn").deployed
    assert knn.deployed != knn.validated
    assert (knn.metric("auc") < 0.9) == (af.Model("knn").metric("auc") < 0.9)
    assert (knn.metric("auc") < 0.9) != (knn.metric("auc") <= 0.9)
    assert "knn" in str(knn.deployed)
    assert "auc" in str((knn.metric("auc") < 0.9) & raw.changed)
    for wrong in (
        lambda: knn.deployed and raw.changed,
        lambda: not knn.deployed,
        lambda: 0.1 < knn.metric("auc") < 0.9,
    ):
        with pytest.raises((af.AIFlowError, TypeError), match="&"):
            wrong()


def test_metrics_of_datasets_and_free_ones_meet_their_own_conditions_only(project):
    raw = af.Dataset("raw", uri="/raw.csv")
    project.datasets.register(raw)
    project.models.register(af.Model("knn"))

    @af.job
    def note():
        return True

    @af.workflow(ends="never")
    def flow():
        note.options(name="of_data")().start_on(raw.metric("drift") > 0.5)
        note.options(name="at_least")().start_on(af.metric("load") >= 2)
        note.options(name="exactly")().start_on(af.metric("load") == 2)

    execution = project.start(flow)
    project.metrics.log("drift", 0.9, model="knn")
    project.metrics.log("drift", 0.5, dataset="raw")
    project.metrics.log("load", 1.5)
    run_until_idle(project)
    assert not any(execution.results(job) for job in ("of_data", "at_least", "exactly"))
    project.metrics.log("drift", 0.51, dataset="raw")
    project.metrics.log("load", 2)
    run_until_idle(project)
    assert [len(execution.results(job)) for job in ("of_data", "at_least", "exactly")] == [1, 1, 1]
    execution.stop()


def test_now_counts_the_newest_value_of_a_metric(project):
    knn = af.Model("knn")
    project.models.register(knn).log(1)
    for value in (0.1, 0.95):
        project.metrics.log("auc", value, model="knn")

    @af.job
    def note():
        return True

    @af.workflow(ends="quiet")
    def flow():
        note.options(name="low")().start_on((knn.metric("auc") < 0.5).now())
        note.options(name="high")().start_on((knn.metric("auc") > 0.5).now())

    execution = project.run(flow)
    assert execution.results("high") == [True]
    assert execution.results("low") == []


def test_a_workflow_that_starts_on_a_deployment_gets_number_and_stage_as_its_parameters(project):
    from aiflow.testing import serving

    knn = af.Model("knn")
    row = project.models.register(knn)
    row.log(0, stage="DEPLOYED")

    @af.job
    def note(number, stage):
        return [number, stage]

    @af.workflow(start_on=knn.deployed, if_running="queue")
    def on_deploy(number: int = 0, stage: str = "?"):
        note(number, stage)

    with serving(project, on_deploy):
        row.log(1, stage="DEPLOYED")
        row.log(2)
        row.deploy(1)
        row.deploy(3)
        row.deploy(3)
        until(lambda: len(project.executions.list(workflow="on_deploy", status="SUCCESS")) == 3)
        run_until_idle(project)
    results = [execution.result("note") for execution in project.executions.list(workflow="on_deploy")]
    assert sorted(tuple(result) for result in results) == [(n, "DEPLOYED") for n in (1, 2, 3)]


# --------------------------------------------------------------------------------------------------------- many changes


@pytest.mark.parametrize("seed", range(3))
def test_any_changes_of_a_model_agree_with_a_small_model_and_each_is_one_event(project, seed):
    draw = random.Random(seed)
    row = project.models.register(af.Model("knn"))
    known: dict[int, str] = {}
    for _ in range(60):
        before, offset = dict(known), project.events.count()
        number = draw.randint(1, len(known) + 1)
        what = draw.choice(["log", "deploy", "deploy", "delete", "log deployed", "forget"])
        if what == "log":
            known[row.log(0).number] = "GENERATED"
        elif what == "log deployed":
            known = {n: "DEPRECATED" if stage == "DEPLOYED" else stage for n, stage in known.items()}
            known[row.log(0, stage="DEPLOYED").number] = "DEPLOYED"
        elif what == "forget":
            if draw.random() < 0.2:
                project.models.delete("knn")
                row = project.models.register(af.Model("knn"))
                known = dict.fromkeys(known, "gone")
        elif known.get(number, "gone") in ("gone", "DELETED"):
            with pytest.raises((af.NotFound, af.Conflict)):
                row.deploy(number)
        elif what == "deploy":
            row.deploy(number)
            if known[number] != "DEPLOYED":
                known = {n: "DEPRECATED" if stage == "DEPLOYED" else stage for n, stage in known.items()}
                known[number] = "DEPLOYED"
        else:
            row.delete(number)
            known[number] = "DELETED"
        here = {n: stage for n, stage in known.items() if stage not in ("gone", "DELETED")}
        assert dict(versions_of(project)) == here, f"seed {seed}, after {what} {number}"
        assert list(known) == list(range(1, len(known) + 1))  # never reused
        if what != "forget":
            changed = sum(known[n] != before.get(n) for n in known)
            assert project.events.count() - offset == changed
        deployed = [n for n, stage in known.items() if stage == "DEPLOYED"]
        assert ([row.deployed.number] if row.deployed else []) == deployed


def _deploy_for_ever(home: str, sign: str) -> None:
    with af.Project("accept", home=home) as project:
        row, n = project.models.get("knn"), 0
        while True:
            n += 1
            row.log(n, stage="DEPLOYED") if n % 3 == 0 else row.deploy(1 + n % 3)
            with open(sign, "a") as file:
                file.write("x")


def _deploy_and_be_killed(home: str, sign: str) -> int:
    for after in (1, 2, 5, 9, 14):
        path = Path(f"{sign}{after}")
        started = Fork(_deploy_for_ever, home, str(path))
        until(lambda: path.exists() and path.stat().st_size >= after)  # noqa: B023
        started.kill()
        assert started.wait().killed
    return 0


def test_a_process_that_is_killed_while_it_deploys_leaves_one_deployed_and_as_many_events_as_changes(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        knn = project.models.register(af.Model("knn"))
        for n in range(3):
            knn.log(n)
        knn.deploy(1)
    alone(_deploy_and_be_killed, str(home), str(tmp_path / "sign"))
    with af.Project(home=home) as project:
        told = changes(project)
        [deployed] = project.models.get("knn").versions(stage="DEPLOYED")
        ups = [number for type, _, number in told if type == "MODEL_DEPLOYED"]
        downs = [number for type, _, number in told if type == "MODEL_DEPRECATED"]
        assert ups[-1] == deployed.number
        assert downs == ups[:-1]
        assert [number for number, _ in versions_of(project)] == list(range(1, len(versions_of(project)) + 1))
        for version in project.models.get("knn").versions():
            version.load()


# ---------------------------------------------------------------------------------------------------------- hard cases


def test_a_hundred_and_fifty_versions_are_all_listed(project):
    row = project.models.register(af.Model("knn"))
    for n in range(150):
        row.log(n)
    assert len(row.versions()) == len(row.versions(stage="GENERATED")) == 150
    assert row.latest().number == 150
    assert row.latest(stage="GENERATED").load() == 149


def _log_with_little_room(number: int, home: str) -> list[Any]:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with af.Project("accept", home=home) as project:
        row = project.models.get("knn")
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))
        try:
            row.log(os.urandom(20_000_000))
        except (af.AIFlowError, OSError) as error:
            said = type(error).__name__
        else:
            said = "nothing"
        return [said, row.log("small").number]


def _log_in_a_fork(home: str) -> Any:
    return fork_together(1, _log_with_little_room, home)


def test_a_model_for_which_there_is_no_room_makes_no_version_and_the_next_one_is_kept(tmp_path):
    home = tmp_path / "home"
    with af.Project("accept", home=home) as project:
        project.models.register(af.Model("knn"))
    [[said, number]] = alone(_log_in_a_fork, str(home))
    assert said in ("StoreError", "OSError")
    assert number == 1
    with af.Project(home=home) as project:
        assert changes(project) == [("MODEL_GENERATED", "knn", 1)]
        assert project.models.get("knn").latest().load() == "small"
    litter = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size > 5_000_000]
    assert litter == []


@pytest.mark.parametrize(
    "properties", [{"x": object()}, {1: "a", "1": "b"}, {"x": math.nan}, {"x": 2**70}, {"x": "\ud800"}, {"x": "a\0b"}]
)
def test_properties_come_back_as_they_were_or_are_refused(project, properties):
    try:
        project.models.register(af.Model("knn", properties=properties))
    except (af.AIFlowError, TypeError, ValueError) as error:
        assert str(error)
        assert project.models.list() == []
    else:
        back = dict(project.models.get("knn").properties)
        assert repr(back) == repr(properties)


def test_general_conditions_see_changes_of_metadata_too(project):
    row = project.models.register(af.Model("knn"))

    @af.job
    def note():
        return [event.value["number"] for event in af.current().events]

    @af.workflow(ends="never")
    def flow():
        note.options(name="typed")().start_on(af.event("knn", type="MODEL_DEPLOYED"))
        note.options(name="glob")().start_on(af.event("k*", type="MODEL_GEN*", where=lambda e: e.value["number"] > 1))
        note.options(name="third")().start_on(af.Model("knn").generated.times(3))
        note.options(name="both")().start_on(af.Model("knn").deployed & af.Model("knn").deprecated)

    execution = project.start(flow)
    for n in range(3):
        row.log(n)
        run_until_idle(project)
    row.deploy(1)
    row.deploy(3)
    run_until_idle(project)
    results = {job: [list(value) for value in execution.results(job)] for job in ("typed", "glob", "third", "both")}
    execution.stop()
    assert results["typed"] == [[1], [3]]
    assert results["glob"] == [[2], [3]]
    assert results["third"] in ([[1, 2, 3]], [[3]])
    assert len(results["both"]) == 1
    assert results["both"][0][0] == 1  # the deprecated one; which of a change's two events is first is not said


def test_a_hostile_result_is_not_executed_by_comparing_or_listing(tmp_path):
    canary = tmp_path / "canary"
    with af.Project("accept", home=tmp_path / "home") as project:

        @af.job
        def evil():
            return Hostile(str(canary))

        @af.workflow
        def flow():
            evil()

        execution = project.run(flow)
        if canary.exists():
            canary.rmdir()
    with af.Project(home=tmp_path / "home") as project:
        assert str(project.executions.compare(execution.id))
        assert project.jobs.list()
        assert project.executions.get(execution.id)._repr_html_()
        assert list(project.lineage.upstream(project.executions.get(execution.id).job("evil")))
        assert not canary.exists()


# ------------------------------------------------------------------------------------------- rules, with metadata


def test_14_metrics_that_come_while_the_job_runs_are_one_more_start_and_changes_are_each_their_own(project):
    knn = af.Model("knn")
    row = project.models.register(knn)
    row.log(0)
    gates = {"merged": Gate(), "queued": Gate()}
    seen: dict[str, list[int]] = {"merged": [], "queued": []}

    @af.job
    def note():
        name = af.current().job
        seen[name].append(len(af.current().events))
        gates[name].stand()

    @af.workflow(ends="never")
    def flow():
        note.options(name="merged")().start_on(knn.metric("auc") < 0.9)
        note.options(name="queued")().start_on(knn.generated)

    execution = project.start(flow)
    project.metrics.log("auc", 0.8, model="knn")
    row.log(1)
    for gate in gates.values():
        gate.wait_for_one()
    for n in range(3):
        project.metrics.log("auc", 0.1 * n, model="knn")
        row.log(n)
    for gate in gates.values():
        gate.open()
    until(lambda: len(seen["queued"]) == 4 and len(seen["merged"]) >= 2)
    run_until_idle(project)
    end(execution)
    assert seen == {"merged": [1, 3], "queued": [1, 1, 1, 1]}


def test_5_a_metric_that_recovered_has_latched_and_6_only_what_matches_fires(project):
    knn = af.Model("knn")
    row = project.models.register(knn)
    row.log(0)

    @af.job
    def note():
        return af.current().event.key

    @af.workflow(ends="never")
    def flow():
        note.options(name="both")().start_on((knn.metric("auc") < 0.9) & af.event("go"))
        note.options(name="sticky")().start_on(knn.deployed.sticky() & af.event("go"))

    execution = project.start(flow)
    for value in (0.5, 0.95):
        project.metrics.log("auc", value, model="knn")
    row.deploy(1)
    run_until_idle(project)
    for _ in range(3):
        project.publish("go")
        run_until_idle(project)
        project.metrics.log("auc", 0.99, model="knn")
    run_until_idle(project)
    end(execution)
    assert execution.results("both") == ["go"]
    assert execution.results("sticky") == ["go"] * 3


def test_20_what_can_only_be_met_by_its_own_execution_ends_it_and_a_change_from_outside_is_waited_for(project):
    knn = af.Model("knn")

    @af.job
    def note():
        return True

    @af.workflow
    def ending():
        note.options(name="first")()
        note.options(name="own")().start_on(knn.deployed.own())

    @af.workflow
    def waiting():
        note.options(name="first")()
        note.options(name="deployed")().start_on(knn.deployed)

    execution = project.run(ending, timeout=PATIENCE)
    assert execution.status == "SUCCESS"
    assert execution.job("own").status == "SKIPPED"
    execution = project.start(waiting)
    until(lambda: execution.results("first"))
    run_until_idle(project)
    assert execution.status == "RUNNING"
    project.models.register(knn).log(1, stage="DEPLOYED")
    execution.wait(timeout=PATIENCE)
    assert execution.results("deployed") == [True]
