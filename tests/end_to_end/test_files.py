"""Files that arrive, as a user has them: the example, and other programs that write."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests import invariants
from tests.children import child, until
from tests.end_to_end import deeds

import aiflow as af
from aiflow.testing import assert_replays


@pytest.fixture
def example() -> ModuleType:
    """The example, as a module."""
    path = Path(__file__).parents[2] / "examples" / "inbox.py"
    spec = importlib.util.spec_from_file_location("inbox_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for files to come into."""
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def test_the_example_counts_each_file_once_also_over_restarts(
    example: ModuleType, folder: Path, tmp_path: Path
) -> None:
    (folder / "a.csv").write_text("n\n1\n2\n")
    totals: list[list[int]] = []
    for name, rows, expected in (("b.csv", 3, 2), ("c.csv", 4, 1)):
        with af.Project("counting", home=tmp_path / "home") as project:
            execution = project.start(example.inbox, folder=folder)
            (folder / name).write_text("n\n" + "1\n" * rows)
            until(lambda e=execution, n=expected: len(e.results("add_up")) == n)
            totals.append(execution.results("add_up"))
            execution.stop().wait(20)
    assert totals == [[2, 5], [9]]
    assert json.loads((folder / "rows.json").read_text()) == {"a.csv": 2, "b.csv": 3, "c.csv": 4}


WRITE = """
import sys, time
for n in range(40):
    with open(f"{sys.argv[1]}/{sys.argv[2]}{n}.csv", "w") as file:
        for line in range(5):
            file.write(f"{line}\\n")
            file.flush()
"""


def test_26_each_complete_file_of_other_programs_is_told_exactly_once(folder: Path, tmp_path: Path) -> None:
    sizes: dict[str, list[int]] = {}

    @af.job
    def look() -> None:
        event = af.current().event
        assert event is not None
        path = Path(event.value["path"])
        sizes.setdefault(path.name, []).append(len(path.read_text().splitlines()))

    @af.workflow
    def looking() -> None:
        look().start_on(af.file(folder / "*.csv"))

    (tmp_path / "original").write_text("0\n1\n2\n3\n4\n")
    with af.Project("looking", home=tmp_path / "home") as project:
        writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(folder), name]) for name in "ab"]
        execution = project.start(looking)  # while they write
        for number in range(20):
            shutil.copy2(tmp_path / "original", folder / f"copied{number}.csv")
            shutil.copy(tmp_path / "original", folder / "part")
            (folder / "part").rename(folder / f"renamed{number}.csv")
        assert [writer.wait(60) for writer in writers] == [0, 0]
        until(lambda: sum(map(len, sizes.values())) >= 120)
        execution.stop().wait(20)
    assert len(sizes) == 120
    assert set(map(tuple, sizes.values())) == {(5,)}


FLOW = """
import aiflow as af
@af.job
def take():
    return af.current().event.value["path"].rpartition("/")[2]
@af.workflow(name="arrivals")
def flow():
    take().start_on(af.file("inbox/*.csv"))
"""


def names_told(project: af.Project) -> list[str]:
    """The names of all files in the log."""
    return [Path(e.value["path"]).name for e in project.events.list(types="FILE_CHANGED")]


def test_26_two_processes_that_watch_one_folder_tell_each_file_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    names = [f"{number}.csv" for number in range(50)]
    with child(deeds.serve_until_told, str(tmp_path / "home"), str(tmp_path / "flow.py")) as process:
        other = process.hear_of("id ")
        with af.Project("story", home=tmp_path / "home") as project:
            here = project.start(deeds.load(str(tmp_path / "flow.py")).flow)
            for name in names:
                (folder / name).write_text("1")
            there = project.executions.get(other)
            until(lambda: len(here.results("take")) == len(there.results("take")) == len(names))
            assert sorted(names_told(project)) == sorted(names)
            assert here.results("take") == there.results("take") == names_told(project)
            here.stop().wait(20)
        assert process.end() == ["RUNNING"]
    invariants.check(tmp_path / "home")


def test_26_each_file_is_told_once_when_the_process_is_killed_while_they_arrive(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    with child(deeds.serve_until_told, str(tmp_path / "home"), str(tmp_path / "flow.py")) as process:
        identity = process.hear_of("id ")
        for number in range(30):
            (folder / f"{number}.csv").write_text("1")
        process.kill()
    for number in range(30, 40):
        (folder / f"{number}.csv").write_text("1")
    deeds.load(str(tmp_path / "flow.py"))
    with af.Project("story", home=tmp_path / "home") as project:
        execution = project.executions.get(identity)
        execution.resume()
        (folder / "last.csv").write_text("1")
        until(lambda: len(execution.results("take")) >= 41)
        assert len(names_told(project)) == len(set(names_told(project))) == 41
        assert execution.results("take") == names_told(project)
        execution.stop().wait(20)
        assert_replays(execution)
    invariants.check(tmp_path / "home")
