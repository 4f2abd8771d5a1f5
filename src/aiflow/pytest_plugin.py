"""Fixtures for users' tests, and nothing else: `aiflow_project`, `aiflow_clock`.

Knows nothing of how they are made (that is `aiflow.testing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.testing import ManualClock


@pytest.fixture
def aiflow_clock() -> ManualClock:
    """Give a clock that stands still until `advance(seconds)`."""
    from aiflow.testing import ManualClock

    return ManualClock()


@pytest.fixture
def aiflow_project(tmp_path: Path, aiflow_clock: Any) -> Iterator[Project]:
    """Give a project in a fresh home, with the inline runner and the manual clock, as the current project."""
    from aiflow.testing import project_for_tests

    project = project_for_tests(tmp_path / "aiflow-home", aiflow_clock)
    with project:
        yield project
        project.close(timeout=0.0)  # what still waits for an event is not waited for
