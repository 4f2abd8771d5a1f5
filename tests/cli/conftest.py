import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aiflow.cli import main


class Said(NamedTuple):
    """What a command wrote."""

    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it wrote on standard output, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def aiflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line in this process, in a folder of its own with a home that is not there yet."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0) -> Said:
        found = main(words)
        said = Said(*capfd.readouterr())
        assert found == code, f"exit {found}, not {code}\n{said.out}\n{said.err}"
        return said

    return call
