"""The registry of models when processes die in it, and when many of them change it at once."""

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone
from tests.metadata import deeds

import aiflow as af

FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


@pytest.mark.slow
def test_the_registry_of_a_process_killed_at_its_nth_commit_is_that_of_before_or_after_for_every_n() -> None:
    before, after, changes = alone(deeds.die_at_each_commit, FOLDER, timeout=120)
    assert before >= changes
    assert after >= changes


def test_of_eight_processes_that_deploy_at_once_one_version_is_deployed_always(tmp_path: Path) -> None:
    home = tmp_path / "home"
    found: dict[str, Any] = alone(deeds.deploy_at_once, str(home), 8, 25, timeout=120)
    assert [sum(done.values()) for done in found["done"]] == [25] * 8
    assert found["looks"]["looks"] > 0
    with af.Project("registry", home=home) as project:
        knn = project.models.get("knn")
        numbers = [v.number for v in knn.versions()]
        assert numbers == list(range(1, 8 + 8 * 5 + 1)), "each that was logged has a number of its own"
        _check_story(project, [e.value for e in project.events.list("knn", types="MODEL_*")])
    invariants.check(home)


def test_of_eight_processes_that_log_the_same_content_at_once_one_makes_the_version(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("n\n1\n")
    found = alone(deeds.log_at_once, str(tmp_path / "home"), str(tmp_path), 8, timeout=120)
    with af.Project("registry", home=tmp_path / "home") as project:
        assert [v.number for v in project.datasets.get("iris").versions()] == [1]
        report = project.artifacts.get("report")
        texts = [v.read_text() for v in report.versions()]
        assert all(one != next_one for one, next_one in itertools.pairwise(texts)), "only new content is new"
        assert sorted(set(texts)) == sorted(["n\n1\n", *map(str, range(8))])
        assert [v.number for v in report.versions()] == list(range(1, len(texts) + 1))
        assert len({numbers[-1] for numbers in found}) == 8
        told = [(e.key, e.value["number"]) for e in project.events.list(types="*T_CHANGED")]
        assert sorted(told) == [("iris", 1), *(("report", n + 1) for n in range(len(texts)))]
    invariants.check(tmp_path / "home")


def _check_story(project: af.Project, told: list[dict[str, Any]]) -> None:
    """Whenever one is deployed, the one that was is deprecated just before; each says rightly what it was before."""
    stages: dict[int, str] = {}
    for at, change in enumerate(told):
        number, stage = change["number"], change["stage"]
        assert change["before"] == stages.get(number)
        stages[number] = stage
        deployed = [n for n, s in stages.items() if s == "DEPLOYED"]
        if stage == "DEPRECATED":
            assert deployed == []
            assert told[at + 1]["stage"] == "DEPLOYED"
        assert len(deployed) <= 1
    assert stages == {v.number: v.stage for v in project.models.get("knn").versions()}
    rows = project._store.rows("SELECT number, stage, before FROM model_stages ORDER BY id")
    assert rows == [(c["number"], c["stage"], c["before"]) for c in told]
