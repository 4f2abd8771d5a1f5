"""What several acceptance cases stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    """A project as users open it: jobs on threads, two workers, real time."""
    with af.Project("accept", home=tmp_path / "home", workers=2) as project:
        yield project


@pytest.fixture
def seen() -> list[Any]:
    """Where jobs leave what they saw."""
    return []
