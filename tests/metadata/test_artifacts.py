"""Artifacts and their versions through `project.artifacts`: what is kept, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.values import contents
from aiflow.values.blobs import Blobs, BlobWriter
from aiflow.values.hashing import content_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a little of everything that an artifact may have."""
    folder = tmp_path / "out"
    (folder / "plots").mkdir(parents=True)
    (folder / "index.html").write_text("<p>ü")
    (folder / "plots" / "größe.svg").write_bytes(b"<svg/>")
    (folder / "plots" / "same.svg").write_bytes(b"<svg/>")
    (folder / ".empty").touch()
    (folder / "latest").symlink_to("plots/same.svg")
    return folder


# ------------------------------------------------------------------------------------------------------------- versions


def test_what_was_in_a_file_is_kept_when_the_file_is_gone(project: af.Project, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("<p>ü")
    report = project.artifacts.register(af.Artifact("report", uri=path, type="html"))
    version = report.log()
    path.write_text("<p>other")
    assert (str(version), version.number, version.type, version.size, version.uri) == (
        "report:1",
        1,
        "html",
        5,
        str(path),
    )
    assert version.hash == content_of(version.save_to(tmp_path / "copy.html")).hash
    path.unlink()
    assert (version.read_text(), version.read_bytes(), version.files) == ("<p>ü", "<p>ü".encode(), ("report.html",))
    with version.open() as file:
        assert file.read(3) == b"<p>"
    assert version.save_to(tmp_path).name == "report.html"
    assert path.read_text() == "<p>ü"


def test_a_folder_is_kept_and_comes_back_as_it_was(project: af.Project, folder: Path, tmp_path: Path) -> None:
    version = project.artifacts.register("site", uri=folder).log()
    assert version.hash == content_of(folder).hash
    assert version.files == (".empty", "index.html", "plots/größe.svg", "plots/same.svg")
    assert version.read_text("index.html") == "<p>ü"
    assert version.read_bytes("latest") == b"<svg/>"
    assert version.save_to(tmp_path / "new" / "site") == tmp_path / "new" / "site"
    assert content_of(tmp_path / "new" / "site") == content_of(folder)
    with pytest.raises(af.Conflict, match="is there and not empty"):
        version.save_to(tmp_path / "new" / "site")
    (tmp_path / "empty").mkdir()
    assert content_of(version.save_to(tmp_path / "empty")) == content_of(folder)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["site"]


def test_only_new_content_is_a_new_version_and_an_event(project: af.Project, folder: Path) -> None:
    site = project.artifacts.register("site", uri=folder)
    first = site.log()
    assert site.log() == first
    (folder / "index.html").write_text("new")
    second = site.log()
    events = project.events.list(types="ARTIFACT_CHANGED")
    assert [(e.key, e.value["id"], e.value["number"]) for e in events] == [
        ("site", first.id, 1),
        ("site", second.id, 2),
    ]
    assert [v.number for v in site.versions()] == [1, 2]
    assert (site.latest(), site.version(1).read_text("index.html")) == (second, "<p>ü")
    with pytest.raises(af.NotFound, match="no version of artifact 'site:3'; did you mean 'site:2' or 'site:1'"):
        site.version(3)


def test_another_path_than_the_one_registered_can_be_said(project: af.Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    loose = project.artifacts.register("loose")
    with pytest.raises(af.ParameterError, match=r"say \.log\(path\)"):
        loose.log()
    version = loose.log(tmp_path / "a.txt")
    assert (version.uri, version.read_text()) == (str(tmp_path / "a.txt"), "a")
    assert project.artifacts.log("loose", str(tmp_path / "a.txt")) == version
    assert project.artifacts.log(loose.id, tmp_path / "a.txt") == version


def test_an_artifact_elsewhere_has_versions_without_content(project: af.Project) -> None:
    far = project.artifacts.register("far", uri="s3://bucket/report", type="pdf")
    version = far.log()
    assert (far.path, version.uri, version.hash, version.type) == (None, "s3://bucket/report", None, "pdf")
    with pytest.raises(af.StoreError, match="nothing of it is kept"):
        version.read_bytes()


def test_a_declared_artifact_is_registered_by_its_first_log_and_not_if_that_fails(
    project: af.Project, tmp_path: Path
) -> None:
    report = af.Artifact("report", uri=tmp_path / "r.txt", description="monthly")
    with pytest.raises(af.NotFound, match=r"r\.txt"):
        project.artifacts.log(report)
    assert project.artifacts.find("report") is None
    (tmp_path / "r.txt").write_text("1")
    assert project.artifacts.log(report).number == 1
    assert project.artifacts.get("report").description == "monthly"
    with pytest.raises(af.Conflict, match=r"project\.artifacts\.update\('report', type='html'\)"):
        project.artifacts.log(af.Artifact("report", uri=tmp_path / "r.txt", type="html"))
    with pytest.raises(af.NotFound, match="no artifact 'reprot'; did you mean 'report'"):
        project.artifacts.log("reprot")


def test_registering_updating_listing_and_deleting(project: af.Project, tmp_path: Path) -> None:
    made = project.artifacts.register("report", uri="/out/r.html", type="html", properties={"a": 1})
    assert project.artifacts.register("report", uri="/out/r.html", type="html", properties={"a": 1}) == made
    assert project.artifacts.register("report", uri="/out/r.html", type="html").properties == {"a": 1}
    with pytest.raises(af.Conflict, match=r"project\.artifacts\.update\('report', uri='/out/s\.html'\)"):
        project.artifacts.register("report", uri="/out/s.html", type="html")
    changed = project.artifacts.update(made.id, uri=tmp_path / "s.html", description="new")
    assert (changed.path, changed.description) == (tmp_path / "s.html", "new")
    project.artifacts.register("plot", type="svg")
    assert [a.name for a in project.artifacts.list()] == ["plot", "report"]
    assert [a.name for a in project.artifacts.list(type="ht*", name="r*")] == ["report"]
    (tmp_path / "s.html").write_text("1")
    changed.log()
    project.artifacts.delete("report")
    assert (project.artifacts.find("report"), project.artifacts.count()) == (None, 1)
    again = project.artifacts.register("report", uri=tmp_path / "s.html")
    assert (again.versions(), again.log().number) == ([], 2)
    actions = [(e.key, e.value["action"]) for e in project.events.list(types="METADATA_CHANGED")]
    assert actions == [
        ("report", "registered"), ("report", "updated"), ("plot", "registered"),
        ("report", "deleted"), ("report", "registered"),
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- dangers


@pytest.mark.parametrize(
    "name", ["../index.html", "/etc/passwd", "plots/../../x", "%2e%2e/x", "plots\\x", "plots/%252e%252e/x", ""]
)
def test_a_name_that_leads_out_of_a_folder_is_refused(project: af.Project, folder: Path, name: str) -> None:
    version = project.artifacts.register("site", uri=folder).log()
    for act in (version.open, version.read_bytes, version.read_text):
        with pytest.raises(af.ParameterError, match="does not name a file"):
            act(name)


def test_a_file_of_a_folder_is_asked_for_by_its_name(project: af.Project, folder: Path) -> None:
    version = project.artifacts.register("site", uri=folder).log()
    with pytest.raises(af.ParameterError, match="is a folder of 5 files: say which one"):
        version.read_bytes()
    with pytest.raises(af.NotFound, match=r"no file in site:1 'index\.htm'; did you mean 'index\.html'"):
        version.read_bytes("index.htm")
    with pytest.raises(af.NotFound, match="no file in site:1 'plots'"):
        version.read_bytes("plots")


def test_a_link_out_of_the_folder_is_refused_and_nothing_is_recorded(
    project: af.Project, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    site = project.artifacts.register("site", uri=folder)
    for target in (tmp_path / "secret", "../secret", "plots/../../secret"):
        (folder / "out").symlink_to(target)
        with pytest.raises(af.ParameterError, match="leads out of its folder"):
            site.log()
        (folder / "out").unlink()
    assert site.versions() == []


def test_a_file_whose_name_could_not_be_put_back_safely_is_refused(project: af.Project, folder: Path) -> None:
    (folder / "..%2Fx").touch()
    with pytest.raises(af.ParameterError, match="could not be put back safely"):
        project.artifacts.register("site", uri=folder).log()


@pytest.mark.parametrize(
    "parts",
    [
        [{"name": "../out.txt"}], [{"name": "/tmp/out.txt"}], [{"name": "a/../../out.txt"}], [{"name": "%2e%2e/out.txt"}],
        [{"name": "link", "target": "../.."}], [{"name": "link", "target": "/etc"}],
        [{"name": "up/link", "target": ".."}, {"name": "out", "target": "up/link/../out.txt"}],
        [{"name": "link", "target": "."}, {"name": "link/../../out.txt"}],
    ],
)  # fmt: skip
def test_a_manifest_that_somebody_has_forged_writes_nothing_outside(
    project: af.Project, folder: Path, tmp_path: Path, parts: list[dict[str, Any]]
) -> None:
    version = project.artifacts.register("site", uri=folder).log()
    blob = project._store.blobs.put_bytes(b"forged")
    forged = [{"hash": blob, "size": 6, **part} for part in parts]
    manifest = project._store.blobs.put_bytes(json.dumps(forged).encode())
    project._store.write([("UPDATE artifact_versions SET manifest = ?", (manifest,))])
    (tmp_path / "to").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(af.ParameterError):
        project.artifacts.get("site").version(version.number).save_to(tmp_path / "to" / "site")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_blob_is_not_given(project: af.Project, folder: Path, tmp_path: Path) -> None:
    version = project.artifacts.register("site", uri=folder).log()
    digest = content_of(folder / "index.html").hash
    project._store.blobs.path(digest).write_bytes(b"other")
    with pytest.raises(af.StoreError, match="damaged"):
        version.read_bytes("index.html")
    with pytest.raises(af.StoreError, match="damaged"):
        version.save_to(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert version.read_bytes("plots/same.svg") == b"<svg/>"


class Slow:
    """A writer that changes a file each time a reader has read a piece of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def take(self, file: Path) -> tuple[str, int]:
        self.count += 1
        self.path.write_text(f"{self.count}")
        os.utime(self.path, ns=(self.count, self.count))
        return "00" * 32, 1


def test_a_folder_that_changes_while_it_is_taken_in_is_refused(folder: Path) -> None:
    with pytest.raises(af.Conflict, match="changed while it was read"):
        content_of(folder, Slow(folder / "index.html").take)


class Meddling(Blobs):
    """Blobs of which somebody writes to the file that is copied, as soon as the copy has begun."""

    def __init__(self, root: Path, path: Path) -> None:
        super().__init__(root)
        self.path_of_file = path

    def writer(self) -> BlobWriter:
        writer = super().writer()
        write = writer.write

        def write_and_meddle(data: Any) -> int:
            with open(self.path_of_file, "ab") as file:
                file.write(b"m")
            return write(data)

        writer.write = write_and_meddle  # type: ignore[method-assign]
        return writer


def test_a_file_that_is_written_while_it_is_copied_is_refused_and_nothing_is_kept(
    project: af.Project, tmp_path: Path
) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"0" * 400_000)
    blobs = project._store.blobs
    with pytest.raises(af.Conflict, match="changed while it was read"):
        contents.artifact_change("log", path, None, Meddling(blobs.root, path))
    assert [p for p in blobs.root.rglob("*") if p.is_file()] == []
    assert project.artifacts.log("log", path).size == path.stat().st_size > 400_000


def test_ten_thousand_files_in_a_folder_are_one_version(project: af.Project, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for n in range(100):
        (many / f"{n:02}").mkdir(parents=True)
        for m in range(100):
            (many / f"{n:02}" / f"{m:02}.txt").write_bytes(b"%d" % ((n * m) % 50))
    version = project.artifacts.register("many", uri=many).log()
    assert (len(version.files), version.read_bytes("07/07.txt")) == (10_000, b"49")
    assert sum(1 for _ in project._store.blobs.files()) == 50 + 1
    data = project.datasets.register("many", uri=many, format="txt").log()
    assert (data.hash, data.size, data.rows) == (version.hash, version.size, None)


# ----------------------------------------------------------------------------------------------------------------- jobs

DONE = af.Artifact("done", uri="made/done.txt", type="text")


@af.job
def makes(text: str) -> Any:
    job = af.current()
    path = Path(job.folder, "made", "done.txt")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return job.log_artifact(DONE)


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_job_logs_an_artifact_from_the_folder_of_its_workflow(
    project: af.Project, tmp_path: Path, runner: str
) -> None:
    (tmp_path / "flows.py").write_text(
        "import aiflow as af\n"
        "from tests.metadata.test_artifacts import makes\n"
        f"@af.workflow(runner={runner!r})\n"
        "def flow(text: str = 'x') -> None:\n"
        "    makes(text)\n"
    )
    namespace: dict[str, Any] = {"__name__": "flows", "__file__": str(tmp_path / "flows.py")}
    exec(compile((tmp_path / "flows.py").read_text(), str(tmp_path / "flows.py"), "exec"), namespace)
    executions = [project.run(namespace["flow"], text=text) for text in ("one", "one", "two")]
    version = executions[2].result("makes")
    assert [str(e.result("makes")) for e in executions] == ["done:1", "done:1", "done:2"]
    assert version.uri == str(tmp_path / "made" / "done.txt")
    assert (version.read_text(), version.execution_id, version.job, version.job_number) == (
        "two",
        executions[2].id,
        "makes",
        1,
    )
    events = project.events.list(types="ARTIFACT_CHANGED")
    assert [(e.execution_id, e.sender, e.context) for e in events] == [
        (executions[n].id, "makes", None) for n in (0, 2)
    ]


def test_what_an_abandoned_attempt_still_logs_is_refused(project: af.Project, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    kept: list[Any] = []

    @af.job
    def leaves() -> None:
        kept.append(af.current())

    @af.workflow
    def flow() -> None:
        leaves()

    project.run(flow)
    with pytest.raises(af.Stopped, match="is over"):
        kept[0].log_artifact(af.Artifact("x", uri=tmp_path / "x"))
    assert project.artifacts.list() == []


def test_nothing_of_the_content_is_executed_by_keeping_listing_or_giving_it(
    project: af.Project, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    hostile = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    (tmp_path / "model.pkl").write_bytes(hostile)
    version = project.artifacts.register("model", uri=tmp_path / "model.pkl").log()
    repr(version), str(project.artifacts.list()), version.files
    assert version.read_bytes() == hostile
    assert not canary.exists()
    assert contents.files_of(version) == ("model.pkl",)


def test_a_new_name_with_a_path_is_registered_with_that(
    project: af.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.txt").write_text("1")
    monkeypatch.chdir(tmp_path)
    version = project.artifacts.log("report", "r.txt")
    assert (version.number, project.artifacts.get("report").path) == (1, tmp_path / "r.txt")
    assert project.artifacts.log("report") == version


def test_what_a_tracked_block_logs_says_so(project: af.Project, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("1")
    (tmp_path / "d.json").write_text("[]")
    with project.track("fit") as experiment:
        versions = [
            experiment.log_artifact(af.Artifact("a", uri=tmp_path / "r.txt")),
            experiment.log_artifact("b", tmp_path / "r.txt"),
            project.artifacts.log("c", tmp_path / "r.txt"),
            project.datasets.register("d", uri=tmp_path / "d.json", format="json").log(),
        ]
    assert {(v.execution_id, v.job, v.job_number) for v in versions} == {(experiment.id, "fit", 1)}


@af.job
def leaves_no_engine(path: str) -> Any:
    job = af.current()
    version = job.log_artifact("x", path)
    job.project.models.register("knn").log([1])
    return [str(version), job.project._shared.has_engine]


def test_the_process_of_a_job_needs_no_engine_of_its_own_to_change_the_metadata(
    project: af.Project, tmp_path: Path
) -> None:
    (tmp_path / "x").touch()

    @af.workflow(runner="process")
    def flow(path: str) -> None:
        leaves_no_engine(path)

    assert project.run(flow, path=str(tmp_path / "x")).result("leaves_no_engine") == ["x:1", False]
