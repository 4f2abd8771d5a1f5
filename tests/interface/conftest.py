import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests import invariants

import aiflow as af


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    """A project with threads, as users have it; what is in its store is checked at the end."""
    with af.Project("shop", home=tmp_path / "home", workers=4) as project:
        yield project
    invariants.check(tmp_path / "home", not_kept=("forgets",))


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
    from aiflow.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0) -> Said:
        found = main(words)
        said = Said(*capfd.readouterr())
        assert found == code, f"exit {found}, not {code}\n{said.out}\n{said.err}"
        return said

    return call
