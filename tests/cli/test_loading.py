import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aiflow.cli.failures import BrokenFile
from aiflow.cli.loading import load_file, load_workflow, parse_target
from aiflow.graph.workflow import defined_in

FLOW = "import aiflow as af\n\n@af.workflow\ndef {name}():\n    pass\n"


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_file_is_imported_under_its_stem_with_its_folder_first_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("VALUE = 7\n")
    (tmp_path / "some_flow.py").write_text("from beside_it import VALUE\n" + FLOW.format(name="one"))
    module = load_file(tmp_path / "some_flow.py")
    assert module.__name__ == "some_flow"
    assert module.VALUE == 7
    assert sys.modules["some_flow"] is module
    assert load_file(tmp_path / "some_flow.py") is module


@pytest.mark.parametrize("stem", ["json", "click", "my-flow", "class", "2nd"])
def test_a_file_whose_stem_is_taken_or_no_name_gets_another_that_is_always_the_same(tmp_path: Path, stem: str) -> None:
    before = sys.modules.get(stem)
    path = tmp_path / f"{stem}.py"
    path.write_text(FLOW.format(name="one"))
    name = load_file(path).__name__
    assert name.isidentifier()
    assert name != stem
    assert sys.modules.get(stem) is before
    del sys.modules[name]
    assert load_file(path).__name__ == name


def test_only_workflows_that_the_file_itself_defines_count_unless_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "lower.py").write_text(FLOW.format(name="below"))
    (tmp_path / "upper.py").write_text("from lower import below\n" + FLOW.format(name="above"))
    assert [w.name for w in defined_in(load_file(tmp_path / "upper.py"))] == ["above"]
    assert load_workflow(str(tmp_path / "upper.py")).name == "above"
    assert load_workflow(f"{tmp_path / 'upper.py'}:below").name == "below"


def test_a_module_of_the_same_name_that_was_loaded_before_defines_nothing_in_this_one(tmp_path: Path) -> None:
    for folder, name in [("one", "former"), ("two", "latter")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_stem.py").write_text(FLOW.format(name=name))
    load_file(tmp_path / "one" / "same_stem.py")
    del sys.modules["same_stem"]
    assert load_workflow(str(tmp_path / "two" / "same_stem.py")).name == "latter"


def test_a_workflow_of_the_same_name_in_another_file_hides_none(tmp_path: Path) -> None:
    modules = []
    for stem in ["this_flow", "that_flow"]:
        (tmp_path / f"{stem}.py").write_text(FLOW.format(name="same_name"))
        modules.append(load_file(tmp_path / f"{stem}.py"))
    for module in modules:
        assert defined_in(module) == [module.same_name]


def test_a_colon_in_a_files_name_is_no_workflow(tmp_path: Path) -> None:
    path = tmp_path / "a:b.py"
    path.write_text("")
    assert parse_target(str(path)) == (path, None)
    assert parse_target(f"{path}:flow") == (path, "flow")


def test_a_file_that_raises_leaves_no_module_behind(tmp_path: Path) -> None:
    path = tmp_path / "half_done.py"
    path.write_text("X = 1\nraise SystemExit(3)\n")
    with pytest.raises(BrokenFile, match=r"half_done\.py"):
        load_file(path)
    assert "half_done" not in sys.modules


def test_a_file_without_workflows_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "empty_one.py"
    path.write_text("X = 1\n")
    with pytest.raises(click.UsageError, match="defines no workflow"):
        load_workflow(str(path))
    with pytest.raises(click.UsageError, match="is a directory"):
        load_workflow(str(tmp_path))
