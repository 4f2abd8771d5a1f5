"""Examples, loaded as the command line does, each time from a folder of their own: what they write lies there."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from aiflow.cli.loading import load_file

EXAMPLES = Path(__file__).parents[2] / "examples"
Example = Callable[[str], ModuleType]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """Give the module of an example, by its name."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the folder of what is loaded comes first in it
    loaded = []

    def load(name: str) -> ModuleType:
        module = load_file(Path(shutil.copy(EXAMPLES / f"{name}.py", tmp_path)))
        loaded.append(module.__name__)
        return module

    yield load
    for name in loaded:
        sys.modules.pop(name, None)
