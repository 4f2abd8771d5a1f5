"""What versions need is never swept up by pruning, and damage to it is found without loading anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.cli import main
from aiflow.testing import ManualClock, project_for_tests
from aiflow.values.hashing import content_of


class Hostile:
    """What touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """A project whose clock stands still."""
    with project_for_tests(tmp_path / "home", ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as project:
        yield project


def kept(project: af.Project) -> set[str]:
    """The hashes of all blobs, made old enough to be swept up."""
    found = set()
    for digest, _, _ in project._store.blobs.files():
        os.utime(project._store.blobs.path(digest), (project._clock.now() - 7200,) * 2)
        found.add(digest)
    return found


@pytest.fixture
def lives(still: af.Project, tmp_path: Path) -> dict[str, Any]:
    """Versions of a model, a file and a folder; the folder and the file share a blob."""
    (tmp_path / "out").mkdir()
    for name in ("a", "b"):
        (tmp_path / "out" / name).write_text(name)
    (tmp_path / "file").write_text("a")
    return {
        "model": still.models.register("knn").log([1, 2, 3]),
        "other": still.models.get("knn").log([4]),
        "file": still.artifacts.register("file", uri=tmp_path / "file").log(),
        "folder": still.artifacts.register("folder", uri=tmp_path / "out").log(),
    }


def test_pruning_by_any_limit_keeps_the_blobs_of_models_and_artifacts(
    still: af.Project, lives: dict[str, Any], tmp_path: Path
) -> None:
    still._store.blobs.put_bytes(b"nobody's")
    before = kept(still)
    assert len(before) == 2 + 2 + 1 + 1
    dry = still.prune(executions=0, days=0, events=0, blobs=0, dry_run=True)
    pruned = still.prune(executions=0, days=0, events=0, blobs=0)
    assert dry.went["blobs"] == pruned.went["blobs"] == 1
    assert len(kept(still)) == 5
    assert (lives["model"].load(), lives["file"].read_text(), lives["folder"].read_text("b")) == ([1, 2, 3], "a", "b")


def test_the_object_of_a_deleted_version_goes_and_says_so(still: af.Project, lives: dict[str, Any]) -> None:
    still.models.get("knn").delete(1)
    kept(still)
    assert still.prune().went["blobs"] == 1
    with pytest.raises(af.StoreError, match="is missing"):
        lives["model"].load()
    assert lives["other"].load() == [4]
    assert main(["--home", str(still.home), "db", "check"]) == 0


def test_an_object_that_another_version_has_too_stays(still: af.Project) -> None:
    knn = still.models.register("knn")
    versions = [knn.log([1]), knn.log([1])]
    knn.delete(1)
    kept(still)
    assert still.prune().went == {}
    assert versions[1].load() == [1]


def test_the_content_of_a_deleted_artifact_goes_unless_another_one_has_it(
    still: af.Project, lives: dict[str, Any]
) -> None:
    still.artifacts.delete("folder")
    kept(still)
    assert still.prune().went["blobs"] == 2  # the manifest, and the file that only the folder has
    assert lives["file"].read_text() == "a"
    with pytest.raises(af.StoreError, match="is missing"):
        lives["folder"].read_text("b")
    assert main(["--home", str(still.home), "db", "check"]) == 0


def test_a_damaged_manifest_stops_the_sweeping_for_nobody_knows_what_it_names(
    still: af.Project, lives: dict[str, Any]
) -> None:
    still._store.blobs.path(lives["folder"].manifest).write_bytes(b"[]")
    before = kept(still)
    with pytest.raises(af.StoreError, match="is damaged"):
        still.prune()
    assert kept(still) == before


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ("model", "the object of model version knn:1"),
        ("alone", "the content of artifact version alone:1"),
        ("member", "a file of artifact version folder:1"),
        ("manifest", "the list of the files of artifact version folder:1"),
    ],
)
def test_db_check_names_whose_blob_is_damaged_or_gone(
    still: af.Project, lives: dict[str, Any], which: str, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone").write_text("alone")
    digests = {
        "model": lives["model"].hash,
        "alone": still.artifacts.register("alone", uri=tmp_path / "alone").log().hash,
        "manifest": lives["folder"].manifest,
        "member": content_of(tmp_path / "out" / "b").hash,
    }
    assert main(["--home", str(still.home), "db", "check", "-o", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["blobs"] == 6
    path = still._store.blobs.path(digests[which])
    path.write_bytes(b"other")
    for word in ("damaged", "missing"):
        assert main(["--home", str(still.home), "db", "check"]) == 3
        out = capfd.readouterr().out
        assert word in out
        assert told in out
        path.unlink(missing_ok=True)


def test_a_hostile_model_is_listed_checked_pruned_and_found_damaged_without_being_unpickled(
    still: af.Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    version = still.models.register("knn").log(Hostile(canary))
    repr(version), str(still.models.get("knn").versions())
    home = ["--home", str(still.home)]
    for words in (
        ["list", "models"],
        ["model", "show", "knn"],
        ["model", "show", "knn:1"],
        ["db", "check"],
        ["db", "prune"],
    ):
        assert main([*home, *words]) == 0
    path = still._store.blobs.path(version.hash or "")
    path.write_bytes(path.read_bytes() + b".")
    assert main([*home, "db", "check"]) == 3
    assert "the object of model version knn:1" in capfd.readouterr().out
    with pytest.raises(af.StoreError, match="damaged"):
        version.load()
    assert not canary.exists()
