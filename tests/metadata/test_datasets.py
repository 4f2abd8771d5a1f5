"""Datasets and their versions through `project.datasets`: what is registered, what is a new version, what is read."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests, run_until_idle

CSV = "width,species\n5.1,setosa\n4.9,virginica\n"


@pytest.fixture
def iris(project: af.Project, tmp_path: Path) -> Any:
    """A registered dataset with a file."""
    (tmp_path / "iris.csv").write_text(CSV)
    return project.datasets.register("iris", uri=tmp_path / "iris.csv", format="csv")


def said(project: af.Project) -> list[tuple[str, str, Any]]:
    """What the log says of the metadata: type, key, value."""
    return [
        (e.type, e.key, e.value) for e in project.events.list() if e.type in ("METADATA_CHANGED", "DATASET_CHANGED")
    ]


# ---------------------------------------------------------------------------------------------------------- registering


def test_a_dataset_keeps_all_that_was_said_of_it(project: af.Project) -> None:
    schema = {"species": "str", "width": "float"}
    catalog = {"name": "lake", "type": "hive", "database": "flowers", "connection": "thrift://h:9083", "table": "iris"}
    declared = af.Dataset(
        "iris", uri="/data/iris.csv", format="csv", schema=schema, catalog=catalog, description="flowers",
        properties={"owner": "Ada", "rank": 3},
    )  # fmt: skip
    made = project.datasets.register(declared)
    for found in (
        made,
        project.datasets.get("iris"),
        project.datasets.get(made.id),
        project.datasets.get(str(made.id)),
    ):
        assert (found.name, found.uri, found.format, found.schema, found.catalog) == ("iris", "/data/iris.csv", "csv", schema, catalog)  # fmt: skip
        assert (found.description, found.properties) == ("flowers", {"owner": "Ada", "rank": 3})
        assert found.path == Path("/data/iris.csv")
        assert found.created == found.updated


def test_registering_again_with_the_same_fields_is_the_same_row_and_says_nothing(
    project: af.Project, iris: Any
) -> None:
    again = project.datasets.register("iris", uri=iris.uri, format="csv")
    assert again == iris
    assert said(project) == [("METADATA_CHANGED", "iris", {"kind": "dataset", "id": iris.id, "action": "registered"})]


def test_description_properties_and_catalog_are_updated_by_registering_again(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with project_for_tests(tmp_path / "home", clock) as project:
        before = project.datasets.register("iris", uri="/data/iris.csv")
        clock.advance(60)
        declared = af.Dataset(
            "iris", uri="/data/iris.csv", description="new", properties={"a": 1}, catalog={"table": "t"}
        )
        after = project.datasets.register(declared)
        assert (after.id, after.description, after.properties, after.catalog) == (
            before.id,
            "new",
            {"a": 1},
            {"table": "t"},
        )
        assert (after.created, (after.updated - before.updated).total_seconds()) == (before.created, 60)
        assert [value["action"] for _, _, value in said(project)] == ["registered", "updated"]


@pytest.mark.parametrize(
    ("field", "value"), [("uri", "/data/other.csv"), ("format", "json"), ("schema", {"width": "int"})]
)
def test_another_uri_format_or_schema_is_a_conflict_that_shows_how_to_say_so(
    project: af.Project, iris: Any, field: str, value: Any
) -> None:
    fields = {"uri": iris.uri, "format": "csv", field: value}
    with pytest.raises(af.Conflict) as told:
        project.datasets.register("iris", **fields)
    assert f"project.datasets.update('iris', {field}={value!r})" in str(told.value)
    assert project.datasets.get("iris") == iris
    exec(str(told.value).partition("say so once: ")[2], {"project": project})
    assert getattr(project.datasets.register("iris", **fields), field) == value


def test_an_update_takes_what_a_declaration_takes_and_refuses_what_that_refuses(project: af.Project, iris: Any) -> None:
    found = project.datasets.update("iris", uri=Path("/data/new.csv"), schema={"width": float})
    assert (found.uri, found.schema) == ("/data/new.csv", {"width": "float"})
    for fields, told in (
        ({"colour": "red"}, "no field 'colour'"),
        ({"catalog": {"tabel": "x"}}, "did you mean 'table'"),
        ({"schema": {"width": "flaot"}}, "did you mean 'float'"),
        ({"format": 3}, "takes a text"),
    ):
        with pytest.raises(af.ParameterError, match=told):
            project.datasets.update("iris", **fields)
    with pytest.raises(af.NotFound, match="did you mean 'iris'"):
        project.datasets.update("irsi", description="x")
    assert project.datasets.get("iris") == found


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"catalog": {"name": "x", "tables": "y"}}, "no field 'tables'; did you mean 'table'"),
        ({"catalog": {"name": 3}}, "name is a text, not 3"),
        ({"catalog": "hive"}, "takes fields by name"),
        ({"schema": {"x": "vector"}, "format": "csv"}, "column 'x' cannot have the type 'vector'"),
        ({"schema": {"x": 3}}, "the type of column 'x' is one of int, float"),
        ({"schema": {3: "int"}}, "the name of a column is a text, not 3"),
        ({"schema": ["x"]}, "takes the types of columns by name"),
        ({"uri": 3}, "takes a text, not 3"),
    ],
)
def test_a_declaration_that_cannot_be_names_what_is_wrong(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(af.ParameterError, match=told):
        af.Dataset("iris", **fields)


def test_types_of_a_format_of_ones_own_are_words_of_ones_own() -> None:
    assert af.Dataset("cloud", format="las", schema={"z": "decimetre"}).schema == {"z": "decimetre"}


def test_deleting_frees_the_name_and_numbers_go_on(project: af.Project, iris: Any) -> None:
    assert iris.log().number == 1
    project.datasets.delete("iris")
    assert project.datasets.find("iris") is None
    assert project.datasets.find(iris.id) is None
    for act in (project.datasets.get, project.datasets.delete):
        with pytest.raises(af.NotFound):
            act("iris")
    again = project.datasets.register("iris", uri=iris.uri, format="json")
    assert (again.id != iris.id, again.versions(), again.latest()) == (True, [], None)
    project.datasets.update("iris", format="csv")
    assert again.log().number == 2
    assert [v.number for v in again.versions()] == [2]
    assert str(again.version(1)) == "iris:1"


def test_datasets_are_listed_by_name_with_globs_and_pages(project: af.Project) -> None:
    for n, name in enumerate(("raw/b", "raw/a", "clean")):
        project.datasets.register(name, uri=f"/{name}.csv", format="csv", description=f"d{n}")
    names = [d.name for d in project.datasets.list()]
    assert names == ["clean", "raw/a", "raw/b"]
    assert [d.name for d in project.datasets.list(name="raw/*")] == ["raw/a", "raw/b"]
    assert [d.name for d in project.datasets.list(limit=1, offset=1)] == ["raw/a"]
    assert [d.name for d in project.datasets.list(uri="*clean*", format="csv", description="d?")] == ["clean"]
    assert (project.datasets.count(), project.datasets.count(name="raw/*"), project.datasets.list(name="x")) == (
        3,
        2,
        [],
    )
    with pytest.raises(af.ParameterError, match="no field 'nmae' to filter by; did you mean 'name'"):
        project.datasets.list(nmae="x")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "a\\b", "%2e%2e/x", "a/%252Fb", "", "x:1", "x*"])
def test_a_name_that_leads_somewhere_is_refused(project: af.Project, name: str) -> None:
    for registry in (project.datasets, project.artifacts, project.models):
        with pytest.raises(af.ParameterError, match="the name of a"):
            registry.register(name)
    assert (project.datasets.list(), project.artifacts.list(), project.models.list()) == ([], [], [])


# ------------------------------------------------------------------------------------------------------------- versions


def test_a_version_says_what_is_in_the_file(project: af.Project, iris: Any, tmp_path: Path) -> None:
    version = iris.log()
    assert (str(version), version.dataset, version.number, version.rows, version.size) == (
        "iris:1",
        "iris",
        1,
        2,
        len(CSV),
    )
    assert version.schema == {"width": "float", "species": "str"}
    assert (version.uri, version.path, version.format) == (str(tmp_path / "iris.csv"), tmp_path / "iris.csv", "csv")
    assert len(version.hash) == 64
    assert version.created <= datetime.now(UTC)
    assert (version.execution_id, version.job) == (None, None)
    assert iris.latest() == iris.version(1) == version
    assert iris.version(1).hash == version.hash
    assert len(version.read()) == 2


def test_only_new_content_is_a_new_version_and_an_event(project: af.Project, iris: Any, tmp_path: Path) -> None:
    first = iris.log()
    os.utime(tmp_path / "iris.csv", (0, 0))
    assert iris.log() == first
    (tmp_path / "iris.csv").write_text(CSV + "1,x\n")
    second = iris.log()
    assert [v.number for v in iris.versions()] == [1, 2]
    value = {"stage": None, "before": None}
    assert [one for one in said(project) if one[0] == "DATASET_CHANGED"] == [
        ("DATASET_CHANGED", "iris", {"id": first.id, "number": 1, **value}),
        ("DATASET_CHANGED", "iris", {"id": second.id, "number": 2, **value}),
    ]
    (tmp_path / "iris.csv").write_text(CSV)  # what was there once, and is not the latest, is new
    assert iris.log().number == 3


def test_data_that_was_moved_is_the_same_version_and_is_read_where_it_is(
    project: af.Project, iris: Any, tmp_path: Path
) -> None:
    iris.log()
    (tmp_path / "iris.csv").rename(tmp_path / "moved.csv")
    moved = project.datasets.update("iris", uri=tmp_path / "moved.csv", schema={"width": "float"})
    version = moved.log()
    assert (version.number, version.path) == (1, tmp_path / "moved.csv")
    assert len(moved.latest().read()) == 2


def test_a_version_whose_file_has_changed_is_not_read_and_the_error_names_both_hashes(
    project: af.Project, iris: Any, tmp_path: Path
) -> None:
    version = iris.log()
    (tmp_path / "iris.csv").write_text(CSV.replace("5.1", "5.2"))  # as long, and as old:
    os.utime(tmp_path / "iris.csv", ns=(0, 0))
    after = iris.log().hash
    with pytest.raises(af.Conflict, match=f"iris:1: .* had the hash {version.hash[:12]}… and has {after[:12]}… now"):
        version.read()
    (tmp_path / "iris.csv").unlink()
    with pytest.raises(af.NotFound, match=r"iris\.csv"):
        version.read()
    with pytest.raises(af.NotFound, match=r"iris\.csv"):
        iris.log()
    assert len(iris.versions()) == 2


def test_a_schema_that_does_not_fit_records_nothing(project: af.Project, iris: Any) -> None:
    project.datasets.update("iris", schema={"width": "int"})
    with pytest.raises(af.ParameterError, match="column 'width' is 'int' by its schema, and row 1 has '5.1'"):
        project.datasets.get("iris").log()
    project.datasets.update("iris", schema={"height": "float"})
    with pytest.raises(af.ParameterError, match="no column 'height', which its schema has"):
        project.datasets.get("iris").log()
    assert iris.versions() == []


def test_a_folder_is_a_dataset(project: af.Project, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "1.csv").write_text(CSV)
    parts = project.datasets.register("parts", uri=folder, format="csv")
    assert (parts.log().rows, len(parts.latest().read())) == (2, 2)
    (folder / "ü.csv").write_text(CSV)
    assert (parts.log().number, parts.latest().rows) == (2, 4)
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(af.ParameterError, match="leads out of its folder"):
        parts.log()


def test_an_empty_file_is_a_version(project: af.Project, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    version = project.datasets.register("empty", uri=tmp_path / "empty.csv", format="csv").log()
    assert (version.size, version.rows, version.schema, len(version.read())) == (0, 0, {}, 0)


def test_a_dataset_elsewhere_has_no_path_and_versions_carry_what_is_told(project: af.Project) -> None:
    far = project.datasets.register("far", uri="s3://bucket/x.parquet", format="parquet", schema={"x": "int"})
    assert (far.uri, far.path) == ("s3://bucket/x.parquet", None)
    version = far.log(hash="etag-1", size=7)
    assert (version.uri, version.path, version.hash, version.size, version.rows) == (far.uri, None, "etag-1", 7, None)
    assert version.schema == {"x": "int"}
    assert far.log(hash="etag-1") == version
    assert far.log(hash="etag-2", size=8).number == 2
    assert [far.log().number, far.log().number, far.latest().hash] == [3, 4, None]
    with pytest.raises(af.ParameterError, match="read it in your own function"):
        version.read()
    with pytest.raises(af.ParameterError, match="size .* must be a number of bytes, not 'big'"):
        far.log(hash="x", size="big")
    assert len(far.versions()) == 4


def test_a_file_tells_its_hash_itself_and_without_a_uri_nobody_knows(project: af.Project, iris: Any) -> None:
    with pytest.raises(af.ParameterError, match="which tells hash itself"):
        iris.log(hash="x")
    with pytest.raises(af.ParameterError, match=r"project\.datasets\.update\('nowhere', uri=…\)"):
        project.datasets.register("nowhere").log()


def test_a_relative_uri_begins_in_the_working_directory_in_which_it_was_registered(
    project: af.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "iris.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    iris = project.datasets.register("iris", uri="data/iris.csv", format="csv")
    monkeypatch.chdir("/")
    assert (iris.uri, iris.path) == ("data/iris.csv", tmp_path / "data" / "iris.csv")
    assert project.datasets.get("iris").log().uri == str(tmp_path / "data" / "iris.csv")
    by_uri = project.datasets.register("by uri", uri=f"file://{tmp_path}/data/iris.csv", format="csv")
    assert (by_uri.path, by_uri.log().hash) == (iris.path, iris.latest().hash)


def test_a_version_inside_the_home_is_found_there(project: af.Project) -> None:
    path = project.home / "mine.csv"
    path.write_text(CSV)
    version = project.datasets.register("mine", uri=path, format="csv").log()
    assert type(version).of_row(version.to_row(), version.home).path == path


# ----------------------------------------------------------------------------------------------------------------- jobs


@af.job
def writes(folder: str) -> Any:
    Path(folder, "made.csv").write_text(CSV)
    made = af.current().project.datasets.register("made", uri=f"{folder}/made.csv", format="csv")
    return made.log()


@af.job
def counts(version: Any) -> int:
    return len(version.read())


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_job_records_a_version_and_another_one_reads_it(project: af.Project, tmp_path: Path, runner: str) -> None:
    @af.workflow(runner=runner)
    def flow(folder: str) -> None:
        counts(writes(folder))

    execution = project.run(flow, folder=str(tmp_path))
    version = execution.result("writes")
    assert execution.result("counts") == 2
    assert (str(version), version.execution_id, version.job, version.job_number) == (
        "made:1",
        execution.id,
        "writes",
        1,
    )
    (event,) = project.events.list(types="DATASET_CHANGED")
    assert (event.execution_id, event.sender, event.context) == (execution.id, "writes", None)


def test_nothing_that_a_version_says_is_lost_on_its_way_through_json(project: af.Project, iris: Any) -> None:
    version = iris.log()
    again = type(version).of_row(json.loads(json.dumps(version.to_row())), version.home)
    assert {f: getattr(again, f) for f in version.__dataclass_fields__} == {
        f: getattr(version, f) for f in version.__dataclass_fields__
    }


def test_what_has_not_changed_is_not_looked_into_again_unless_the_schema_says_more(
    project: af.Project, iris: Any, tmp_path: Path
) -> None:
    first = iris.log()
    project._store.write([("UPDATE dataset_versions SET rows = 77", ())])
    assert iris.log().rows == 77
    declared = project.datasets.update("iris", schema={"species": "str"})  # as was found already
    assert declared.log().rows == 77
    declared = project.datasets.update("iris", schema={"width": "any"})
    assert (declared.log().number, declared.log().rows) == (first.number, 2)
    assert declared.latest().schema == {"width": "any", "species": "str"}
    with pytest.raises(af.ParameterError, match="no column 'height'"):
        project.datasets.update("iris", schema={"height": "float"}).log()


def test_a_version_may_be_asked_for_by_itself(project: af.Project, iris: Any) -> None:
    version = iris.log()
    assert (iris.version(version), project.datasets.get(version).name) == (version, "iris")
    other = project.datasets.register("other")
    for asked in (version, "1", True, None):
        with pytest.raises(af.ParameterError, match="is named by its number, not by"):
            other.version(asked)


def test_what_is_so_already_is_no_version_of_a_dataset_of_that_name_that_was_deleted(tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text(CSV)

    @af.job
    def hears() -> Any:
        return af.current().event.value["number"]  # type: ignore[union-attr]

    @af.workflow(ends="never")
    def waits() -> None:
        hears().start_on(af.Dataset("iris").changed.now())

    with project_for_tests(tmp_path / "home") as project:
        project.datasets.register("iris", uri=tmp_path / "iris.csv", format="csv").log()
        project.datasets.delete("iris")
        again = project.datasets.register("iris", uri=tmp_path / "iris.csv", format="csv")
        execution = project.start(waits)
        run_until_idle(project)
        assert execution.job("hears") is None
        again.log()
        run_until_idle(project)
        assert execution.result("hears") == 2
        project.start(waits)
        run_until_idle(project)
        assert [one.result("hears") for one in project.executions.list()] == [2, 2]
        for one in project.executions.list():
            one.stop()
        run_until_idle(project)


def test_a_relative_uri_that_is_said_later_begins_where_the_one_before_did(
    project: af.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    project.datasets.register("iris", uri="iris.csv")
    far = project.datasets.register("far", uri="s3://x")
    monkeypatch.chdir(tmp_path)
    assert project.datasets.update("iris", uri="other.csv").path == tmp_path / "a" / "other.csv"
    assert project.datasets.update("far", uri="near.csv").path == tmp_path / "near.csv"
    monkeypatch.chdir("/")
    assert project.datasets.get("far").path == tmp_path / "near.csv"
    assert project.datasets.update("far", uri="s3://x").path is None
    assert project.datasets.get("far").uri == far.uri
    with pytest.raises(af.ParameterError, match="no field 'uri'"):
        project.models.register("knn") and project.models.update("knn", uri="x")
