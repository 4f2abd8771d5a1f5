"""A project that `aiflow init` makes runs, and its test passes, in processes of their own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import hatchery

Aiflow = Callable[..., Any]


def outside(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIFLOW", "PYTEST"))}
    done = hatchery.run(["-m", *words], cwd=folder, env=environment, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_a_new_project_runs_and_its_test_passes(aiflow: Aiflow, tmp_path: Path) -> None:
    said = aiflow("init", "some/My Weather", "-o", "json").data
    folder = tmp_path / "some/My Weather"
    assert sorted(said["files"]) == sorted(os.listdir(folder))
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "randomly", "xdist", "hypothesispytest", "anyio")]
    assert "open a window" in outside(folder, "aiflow", "run", "workflows.py")
    assert outside(folder, "aiflow", "list", "workflows", "-o", "plain").startswith("my_weather\tmy-weather\t")
    assert "3 passed" in outside(folder, "pytest", "-q", *without)
    assert ".aiflow/" in (folder / ".gitignore").read_text()


@pytest.mark.parametrize(("name", "workflow"), [("2026", "run_2026"), ("check", "run_check"), ("Ö", "project")])
def test_any_name_of_a_folder_gives_a_workflow(aiflow: Aiflow, name: str, workflow: str) -> None:
    aiflow("init", name)
    assert aiflow("show", f"{name}/workflows.py").out.startswith(f"{workflow}(count: int = 10")


def test_a_folder_that_is_not_empty_is_left_alone(aiflow: Aiflow, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    assert "full is not empty (notes.txt)" in aiflow("init", "full", code=2).err
    assert "is a file" in aiflow("init", "full/notes.txt", code=2).err
    assert os.listdir(tmp_path / "full") == ["notes.txt"]
    (tmp_path / "cloned/.git").mkdir(parents=True)
    aiflow("init", "cloned")
