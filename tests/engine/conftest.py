from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import invariants

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    """A project with real threads and real time; what is in its store is checked at the end."""
    with af.Project("engine", home=tmp_path / "home", workers=4) as project:
        yield project
        invariants.check(project.home, not_kept=("unkept",))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that is moved by hand."""
    return ManualClock()


@pytest.fixture
def still(tmp_path: Path, clock: ManualClock) -> Iterator[af.Project]:
    """A project with the inline runner and the manual clock; what is in its store is checked at the end."""
    with project_for_tests(tmp_path / "home", clock) as project:
        yield project
        invariants.check(project.home, not_kept=("unkept",))
