"""Executions are found by their parameters and by when they were begun."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import ManualClock


@af.job(runner="inline")
def nothing() -> None:
    pass


@af.workflow
def training(
    k: float = 3,
    name: str = "a",
    flag: bool = False,
    sizes: list[int] | None = None,
    wait: timedelta = timedelta(0),
    none: int | None = None,
) -> None:
    nothing()


@pytest.mark.parametrize(
    ("given", "params", "found"),
    [
        ({"k": 2}, {"k": 2.0}, True),
        ({"k": 2.5}, {"k": 2}, False),
        ({"k": 1}, {"k": True}, False),
        ({"flag": True}, {"flag": True}, True),
        ({"flag": True}, {"flag": 1}, False),
        ({"name": "2"}, {"name": "2"}, True),
        ({"name": "2"}, {"name": 2}, False),
        ({"name": 'it\'s "ä"'}, {"name": 'it\'s "ä"'}, True),
        ({"name": "a*"}, {"name": "a?"}, False),
        ({"sizes": [1, 2]}, {"sizes": [1, 2]}, True),
        ({"sizes": [1, 2]}, {"sizes": [2, 1]}, False),
        ({"wait": timedelta(minutes=1)}, {"wait": timedelta(seconds=60)}, True),
        ({}, {"none": None}, True),
        ({"k": 2, "name": "b"}, {"k": 2, "name": "b"}, True),
        ({"k": 2, "name": "b"}, {"k": 2, "name": "c"}, False),
        ({}, {"nobody": 1}, False),
        ({}, {'k" OR 1': 1}, False),
    ],
)
def test_executions_are_found_by_their_parameters(
    project: af.Project, given: dict[str, Any], params: dict[str, Any], found: bool
) -> None:
    execution = project.run(training, **given)
    assert [e.id for e in project.executions.list(params=params)] == [execution.id] * found
    assert project.executions.count(params=params) == found


def test_executions_are_found_by_when_they_were_begun(tmp_path: Path) -> None:
    clock = ManualClock()
    with af.Project("p", home=tmp_path, clock=clock) as project:
        first = project.run(training)
        clock.advance(60)
        second = project.run(training)
        assert second.created is not None
        assert [e.id for e in project.executions.list(since=second.created)] == [second.id]
        assert project.executions.count(since=second.created - timedelta(minutes=1), status="SUCCESS") == 2
        assert first.id not in [e.id for e in project.executions.list(since=second.created, workflow="training")]
