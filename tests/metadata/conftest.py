from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import invariants

import aiflow as af


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    """A project with threads, as users have it; what is in its store is checked at the end."""
    with af.Project("shop", home=tmp_path / "home", workers=4) as project:
        yield project
    invariants.check(tmp_path / "home")
