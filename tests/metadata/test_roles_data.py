"""The roles of jobs that read, check, watch and write data, and that write artifacts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest

import aiflow as af
from aiflow.testing import project_for_tests, run_until_idle

RUNNERS = pytest.mark.parametrize("runner", ["thread", "process"])
HERE = Path(__file__).parent


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """Jobs run inline, and time stands still."""
    with project_for_tests(tmp_path / "home") as project:
        yield project


@pytest.fixture
def raw(tmp_path: Path) -> af.Dataset:
    """A dataset with two rows."""
    (tmp_path / "raw.csv").write_text("x,y\n1,a\n2,b\n")
    return af.Dataset("raw", uri=str(tmp_path / "raw.csv"), format="csv")


def load_of(dataset: af.Dataset) -> af.Job:
    @af.read_dataset(dataset)
    def load(version: af.DatasetVersion) -> Any:
        table = version.read()
        rows = table if isinstance(table, list) else table.to_dict("records")
        return [str(version), version.rows, [row["x"] for row in rows]]

    return load


def value_of(project: af.Project, body: Any, job: str, **options: Any) -> Any:
    return project.run(af.workflow(body, name="flow", **options)).result(job)


def changes(project: af.Project) -> list[tuple[str, str, int]]:
    found = project.events.list(types=["DATASET_CHANGED", "ARTIFACT_CHANGED"])
    return [(e.type.partition("_")[0], e.key, e.value["number"]) for e in found]


# --- read_dataset -----------------------------------------------------------------------------------------------------


@RUNNERS
def test_what_is_read_is_recorded_by_its_content(
    project: af.Project, raw: af.Dataset, tmp_path: Path, runner: str
) -> None:
    load = load_of(raw)
    for _ in range(2):
        assert value_of(project, lambda: load(), "load", runner=runner) == ["raw:1", 2, [1, 2]]
    (tmp_path / "raw.csv").write_text("x,y\n3,c\n")
    assert value_of(project, lambda: load(), "load", runner=runner) == ["raw:2", 1, [3]]
    assert changes(project) == [("DATASET", "raw", 1), ("DATASET", "raw", 2)]
    assert project.datasets.get("raw").version(2).job == "load"


def test_a_version_that_came_is_read_and_not_what_is_there_now(
    still: af.Project, raw: af.Dataset, tmp_path: Path
) -> None:
    load = load_of(raw)
    version = still.datasets.register(raw).log()
    assert value_of(still, lambda: load(version), "load")[0] == "raw:1"
    (tmp_path / "raw.csv").write_text("x,y\n3,c\n")
    with pytest.raises(af.ExecutionFailed, match="raw:1"):
        value_of(still, lambda: load(version), "load")


def test_a_changed_dataset_starts_the_job_that_reads_what_is_there(
    still: af.Project, raw: af.Dataset, tmp_path: Path
) -> None:
    load = load_of(raw)

    @af.workflow(ends="never")
    def following() -> None:
        load().start_on(raw.changed)

    execution = still.start(following)
    for n in range(2):
        (tmp_path / "raw.csv").write_text(f"x,y\n{n},a\n")
        still.datasets.get("raw").log()
        run_until_idle(still)
    assert [value[0] for value in execution.results("load")] == ["raw:1", "raw:2"]
    execution.stop()


def test_nothing_at_the_uri_fails_the_job_and_records_nothing(still: af.Project, tmp_path: Path) -> None:
    load = load_of(af.Dataset("gone", uri=str(tmp_path / "gone.csv"), format="csv"))
    with pytest.raises(af.ExecutionFailed, match="gone.csv"):
        value_of(still, lambda: load(), "load")
    assert changes(still) == []


def test_data_that_does_not_fit_its_schema_fails_the_job(still: af.Project, raw: af.Dataset) -> None:
    assert raw.uri is not None
    load = load_of(af.Dataset("raw", uri=raw.uri, format="csv", schema={"z": "float"}))
    with pytest.raises(af.ExecutionFailed, match="'z'"):
        value_of(still, lambda: load(), "load")


def test_what_is_elsewhere_is_a_version_without_a_look(still: af.Project) -> None:
    far = af.Dataset("far", uri="s3://bucket/x.parquet", format="parquet")

    @af.read_dataset(far)
    def load(version: af.DatasetVersion) -> Any:
        return [str(version), version.uri, version.path]

    for _ in range(2):
        assert value_of(still, lambda: load(), "load") == ["far:1", "s3://bucket/x.parquet", None]


def test_a_relative_uri_is_taken_from_the_folder_of_the_workflow(still: af.Project, tmp_path: Path) -> None:
    @af.read_dataset(af.Dataset("me", uri=os.path.basename(__file__), format="py"))
    def load(version: af.DatasetVersion) -> Any:
        return str(version.path)

    assert value_of(still, lambda: load(), "load") == str(HERE / os.path.basename(__file__))


# --- dataset_validate and monitor -------------------------------------------------------------------------------------


@RUNNERS
def test_numbers_are_metrics_of_the_version_that_was_read(project: af.Project, raw: af.Dataset, runner: str) -> None:
    load = load_of(raw)

    @af.dataset_validate(raw)
    def check(rows: Any) -> dict[str, float]:
        return {"rows": rows[1]}

    assert value_of(project, lambda: check(load()), "check", runner=runner) == {"rows": 2}
    assert [(m.name, m.value, m.dataset, m.dataset_number) for m in project.metrics.list()] == [("rows", 2.0, "raw", 1)]


@pytest.mark.parametrize("answer", [False, numpy.bool_(False)])
def test_false_fails_the_job_that_checks(still: af.Project, raw: af.Dataset, answer: Any) -> None:
    @af.dataset_validate(raw)
    def check(rows: Any) -> Any:
        return answer

    with pytest.raises(af.ExecutionFailed, match="check returned False: the data of 'raw' are not as they should be"):
        value_of(still, lambda: check([1]), "check")


@pytest.mark.parametrize("answer", [True, None, [1]])
def test_other_answers_of_a_job_that_checks_are_its_value(still: af.Project, raw: af.Dataset, answer: Any) -> None:
    @af.dataset_validate(raw)
    def check(rows: Any) -> Any:
        return answer

    assert value_of(still, lambda: check([1]), "check") == answer
    assert still.metrics.list() == []


def test_a_job_that_checks_without_inputs_gets_the_version(still: af.Project, raw: af.Dataset) -> None:
    @af.dataset_validate(raw)
    def check(version: af.DatasetVersion) -> dict[str, Any]:
        return {"rows": version.rows}

    value_of(still, lambda: check(), "check")
    assert [(m.value, m.dataset_number) for m in still.metrics.list()] == [(2.0, 1)]


def test_metrics_of_data_that_was_never_recorded_are_of_the_dataset(still: af.Project) -> None:
    @af.dataset_validate(af.Dataset("nowhere"))
    def check(rows: list[int]) -> dict[str, int]:
        return {"rows": len(rows)}

    value_of(still, lambda: check([1, 2, 3]), "check")
    assert [(m.value, m.dataset, m.dataset_number) for m in still.metrics.list()] == [(3.0, "nowhere", None)]


def test_a_monitor_of_data_gets_the_version_and_then_its_inputs(
    still: af.Project, raw: af.Dataset, tmp_path: Path
) -> None:
    @af.monitor(raw)
    def drift(version: af.DatasetVersion, limit: int) -> dict[str, int]:
        return {"over": (version.rows or 0) - limit}

    @af.monitor(raw)
    def size(rows: list[int], dataset: Any) -> dict[str, int]:
        return {"size": len(rows), "known": dataset.number}

    value_of(still, lambda: drift(1), "drift")
    value_of(still, lambda: size([1, 2]), "size")
    found = {m.name: (m.value, m.dataset_number) for m in still.metrics.list()}
    assert found == {"over": (1.0, 1), "size": (2.0, 1), "known": (1.0, 1)}
    still.run(af.workflow(lambda: drift(still.datasets.get("raw").latest(), 5), name="given"))
    assert still.metrics.latest("over", dataset=raw).value == -3.0


# --- write_dataset ----------------------------------------------------------------------------------------------------


@RUNNERS
@pytest.mark.parametrize(
    ("format", "value"),
    [
        ("csv", [{"x": 1}, {"x": 2}]),
        ("json", [{"x": 1}, {"x": 2}]),
        ("parquet", [{"x": 1}, {"x": 2}]),
        ("npy", [[1], [2]]),
    ],
)
def test_a_returned_value_is_written_in_the_format_and_is_a_new_version(
    project: af.Project, tmp_path: Path, format: str, value: Any, runner: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out = af.Dataset("out", uri=str(tmp_path / "new" / f"out.{format}"), format=format)

    @af.write_dataset(out)
    def save(value: Any) -> Any:
        return numpy.array(value) if format == "npy" else value

    @af.read_dataset(out)
    def load(version: af.DatasetVersion) -> Any:
        return [len(version.read()), version.number]

    def body() -> None:
        load(save(value))

    execution = project.run(af.workflow(body, name="flow", runner=runner))
    assert str(execution.result("save")) == "out:1"
    assert execution.result("load") == [2, 1]
    again = project.run(af.workflow(body, name="flow", runner=runner))
    assert (str(again.result("save")), changes(project)) == ("out:1", [("DATASET", "out", 1)])


def test_a_function_that_returns_nothing_has_written_it_itself(still: af.Project, tmp_path: Path) -> None:
    out = af.Dataset("out", uri=str(tmp_path / "out.json"), format="json")

    @af.write_dataset(out)
    def save(rows: list[int], dataset: af.Dataset) -> None:
        Path(dataset.uri or "").write_text(json.dumps(rows))

    version = value_of(still, lambda: save([1, 2]), "save")
    assert (str(version), version.read(), version.job) == ("out:1", [1, 2], "save")


def test_the_dataset_that_a_function_asks_for_knows_its_place(still: af.Project) -> None:
    @af.write_dataset(af.Dataset("me", uri=os.path.basename(__file__), format="py"))
    def save(dataset: af.Dataset) -> None:
        assert dataset.uri == str(HERE / os.path.basename(__file__))

    assert str(value_of(still, lambda: save(), "save")) == "me:1"


def test_a_function_that_has_recorded_it_itself_gives_that_version(still: af.Project, raw: af.Dataset) -> None:
    @af.write_dataset(raw)
    def save() -> Any:
        return af.current().project.datasets.get("raw").log()

    assert str(value_of(still, lambda: save(), "save")) == "raw:1"
    assert changes(still) == [("DATASET", "raw", 1)]


@pytest.mark.parametrize(
    ("uri", "format", "told"),
    [
        ("s3://bucket/out.csv", "csv", "is at 's3://bucket/out.csv', where aiflow does not write"),
        (None, "csv", "is at None, where aiflow does not write"),
        ("out.xyz", "xyz", "aiflow reads and writes csv.*and this is 'xyz'"),
    ],
)
def test_what_aiflow_cannot_write_fails_the_job_and_says_what_to_do(
    still: af.Project, tmp_path: Path, uri: Any, format: str, told: str
) -> None:
    place = str(tmp_path / uri) if uri == "out.xyz" else uri

    @af.write_dataset(af.Dataset("out", uri=place, format=format))
    def save() -> list[dict[str, int]]:
        return [{"x": 1}]

    with pytest.raises(af.ExecutionFailed, match=told):
        value_of(still, lambda: save(), "save")
    assert changes(still) == []


def test_a_value_that_does_not_fit_the_schema_leaves_the_data_as_they_were(
    still: af.Project, raw: af.Dataset, tmp_path: Path
) -> None:
    assert raw.uri is not None
    before = (tmp_path / "raw.csv").read_text()

    @af.write_dataset(af.Dataset("raw", uri=raw.uri, format="csv", schema={"x": "int"}))
    def save() -> list[dict[str, str]]:
        return [{"x": "one"}]

    with pytest.raises(af.ExecutionFailed, match="'x'"):
        value_of(still, lambda: save(), "save")
    assert (tmp_path / "raw.csv").read_text() == before


# --- write_artifact ---------------------------------------------------------------------------------------------------


@RUNNERS
def test_what_a_function_wrote_is_kept_as_a_version_of_the_artifact(
    project: af.Project, tmp_path: Path, runner: str
) -> None:
    done = af.Artifact("report", uri=str(tmp_path / "report.txt"), type="text")

    @af.write_artifact(done)
    def report(text: str) -> None:
        Path(done.uri or "").write_text(text)

    def body(text: str) -> None:
        report(text)

    flow = af.workflow(body, name="flow", runner=runner)
    versions = [project.run(flow, text=text).result("report") for text in ("one", "one", "two")]
    assert [str(version) for version in versions] == ["report:1", "report:1", "report:2"]
    assert [version.read_text() for version in versions] == ["one", "one", "two"]
    assert (versions[0].job, versions[0].type) == ("report", "text")
    assert changes(project) == [("ARTIFACT", "report", 1), ("ARTIFACT", "report", 2)]


def test_an_artifact_that_is_not_there_or_nowhere_fails_the_job(still: af.Project, tmp_path: Path) -> None:
    for artifact, told in (
        (af.Artifact("report", uri=str(tmp_path / "none.txt")), "none.txt"),
        (af.Artifact("nowhere"), r"declared without a uri, so nobody knows where it is"),
    ):
        flow = af.workflow(partial(af.write_artifact(artifact)(len), "x"), name="flow")
        with pytest.raises(af.ExecutionFailed, match=told):
            still.run(flow)
    assert changes(still) == []


# --- lineage ----------------------------------------------------------------------------------------------------------


def test_roles_are_recorded_as_lineage_from_the_data_to_the_model(
    still: af.Project, raw: af.Dataset, tmp_path: Path
) -> None:
    load = load_of(raw)
    knn = af.Model("knn")
    out = af.Dataset("out", uri=str(tmp_path / "out.json"), format="json")

    @af.write_dataset(out)
    def save(rows: Any) -> Any:
        return rows[2]

    @af.read_dataset(out)
    def again(version: af.DatasetVersion) -> Any:
        return version.read()

    @af.train(knn)
    def fit(rows: Any) -> Any:
        return sum(rows)

    made = value_of(still, lambda: fit(again(save(load()))), "fit")
    names = {str(one) if not isinstance(one, af.JobExecution) else one.job for one in still.lineage.upstream(made)}
    assert {"raw:1", "out:1", "load", "save", "again", "fit"} <= names


def test_a_version_that_any_job_is_given_stands_between_what_made_it_and_what_comes_of_it(
    project: af.Project, tmp_path: Path
) -> None:
    knn, done = af.Model("knn"), af.Artifact("report", uri=str(tmp_path / "report.txt"))

    @af.train(knn)
    def fit(n: int) -> int:
        return n

    @af.job
    def describe(versions: Any) -> str:
        return f"{versions}"

    @af.write_artifact(done)
    def report(version: Any, text: str) -> None:
        (tmp_path / "report.txt").write_text(text)

    def body() -> None:
        made = fit(1)
        report(made, describe(fit.options(name="several").map([2, 3])))

    execution = project.run(af.workflow(body, name="flow"))
    made, several = execution.result("fit"), execution.result("several")
    graph = project.lineage.upstream(execution.result("report"))
    names = {str(node) if not isinstance(node, af.JobExecution) else node.job for node in graph}
    assert names == {"report:1", "report", "describe", "fit", "several", str(made), *map(str, several)}
    for version in (made, *several):
        assert any(isinstance(one, af.ArtifactVersion) for one in project.lineage.downstream(version))


def test_jobs_that_write_one_dataset_at_once_record_what_each_has_written(project: af.Project, tmp_path: Path) -> None:
    out = af.Dataset("out", uri=str(tmp_path / "out.json"), format="json")

    @af.write_dataset(out)
    def save(n: int) -> list[dict[str, int]]:
        return [{"n": n}] * 1000

    def body() -> None:
        for n in range(12):
            save.options(name=f"save{n}")(n)

    execution = project.run(af.workflow(body, name="flow"))
    versions = [execution.result(f"save{n}") for n in range(12)]
    assert sorted(version.number for version in versions) == list(range(1, 13))
    assert len({version.hash for version in versions}) == 12
    there = project.datasets.get("out").log()
    assert there.hash in {version.hash for version in versions}
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.json"]


def test_a_job_that_writes_an_artifact_is_told_where_if_it_asks(still: af.Project, tmp_path: Path) -> None:
    done = af.Artifact("report", uri="out/report.txt")

    @af.write_artifact(done)
    def report(text: str, artifact: af.Artifact) -> None:
        assert artifact.uri is not None
        Path(artifact.uri).parent.mkdir(parents=True, exist_ok=True)
        Path(artifact.uri).write_text(text)

    version = value_of(still, lambda: report("all is well"), "report")
    assert version.read_text() == "all is well"
