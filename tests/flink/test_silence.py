"""Clusters that are silent, die, or have no room: what the job says, and that it goes on as soon as that can be."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.flink import deeds
from tests.flink.waiting import until

import aiflow as af
from aiflow.flinksettings import FlinkSettings
from aiflow.runners.flink_cluster import Address, LocalCluster
from aiflow.runners.flink_rest import FlinkRest

pytestmark = [pytest.mark.flink, pytest.mark.costly]


@pytest.fixture(params=["local", "target"])
def place(
    request: pytest.FixtureRequest, flink: af.Project, second_home: Path, second_cluster: Address
) -> Iterator[tuple[af.Project, str]]:
    """A project, and the target of its jobs: the second cluster, as the home's own and by its address."""
    until(lambda: LocalCluster(second_home).status()["state"] == "ready")
    if request.param == "target":
        yield flink, second_cluster.url
        return
    with af.Project("second", home=second_home) as project:
        yield project, "local"


def begin(place: tuple[af.Project, str], path: Path, lost_after: float = 60.0) -> af.Execution:
    project, target = place
    execution = project.start(deeds.elsewhere, path=str(path), target=target, lost_after=lost_after)
    until(lambda: len(deeds.lines(path)) > 20 and execution.job("counting").note["is_complete"])
    return execution


@contextmanager
def suspended(home: Path) -> Iterator[None]:
    """The JobManager of a home, suspended."""
    pid = LocalCluster(home).status()["jobmanager"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_jobmanager_that_is_silent_for_a_while_costs_nothing(place: Any, second_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "count.txt"
    execution = begin(place, path)
    with suspended(second_home):
        until(lambda: str(execution.job("counting").label).startswith("the cluster has not answered for"))
    until(lambda: str(execution.job("counting").label).startswith("running"))
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    execution.stop()
    execution.wait(300)
    assert "/savepoint-" in execution.job("counting").note["savepoints"][0]
    assert execution.job("counting").attempt == 1


def test_a_jobmanager_that_is_silent_for_too_long_fails_the_job_with_what_to_do(
    place: Any, second_home: Path, second_cluster: Address, tmp_path: Path
) -> None:
    execution = begin(place, tmp_path / "count.txt", lost_after=0.5)
    with suspended(second_home):
        until(lambda: execution.job("counting").status == "FAILED")
    said = str(execution.job("counting").error)
    assert f"the Flink cluster at {second_cluster.url} has not answered for" in said
    assert "lost_after= says how long to wait" in said
    for job in execution.job("counting").note["jobs"]:
        FlinkRest(second_cluster.url).cancel(job)
    execution.stop()


def test_a_jobmanager_that_is_killed_has_forgotten_its_jobs_and_that_is_said(
    place: Any, second_home: Path, second_cluster: Address, tmp_path: Path
) -> None:
    execution = begin(place, tmp_path / "count.txt")
    os.kill(LocalCluster(second_home).status()["jobmanager"], signal.SIGKILL)
    until(lambda: execution.job("counting").status == "FAILED")
    assert f"the cluster at {second_cluster.url} does not know Flink job" in str(execution.job("counting").error)
    assert "retries= submits it again" in str(execution.job("counting").error)
    execution.stop()


def test_a_job_without_room_says_how_many_slots_it_needs_also_when_it_fails(tmp_path: Path) -> None:
    home = tmp_path / "narrow"
    cluster = LocalCluster(home, FlinkSettings(slots=2, config={"slot.request.timeout": 4000}))
    cluster.ensure()

    @af.workflow
    def wide(path: str) -> None:
        deeds.counting.options(parallelism=3)(path)
        once = {"restart-strategy.type": "none"}  # else Flink tries again and again with a stream
        deeds.counting.options(name="once", parallelism=4, config=once)(path)

    try:
        with af.Project("narrow", home=home) as project:
            execution = project.start(wide, path=str(tmp_path / "count.txt"))
            until(lambda: str(execution.job("counting").label).startswith("waits for slots: needs 3, free "))
            until(lambda: execution.job("once").status == "FAILED")
            said = str(execution.job("once").error)
            assert "found too few free slots in time: it needs 4, and of the 2 of its cluster " in said
            execution.stop()
            execution.wait(300)
            assert execution.job("counting").status == "STOPPED"
    finally:
        cluster.stop()


def test_a_savepoint_that_is_not_there_is_said_with_its_path(flink: af.Project, tmp_path: Path) -> None:
    empty = tmp_path / "savepoint-unfinished"
    empty.mkdir()

    @af.workflow
    def from_savepoints(path: str) -> None:
        for name, place in ("lost", tmp_path / "nowhere"), ("unfinished", empty):
            there = {"execution.state-recovery.path": place.as_uri()}
            deeds.counting.options(name=name, config=there)(path)

    execution = flink.run(from_savepoints, path=str(tmp_path / "count.txt"), check=False, timeout=300)
    for name, place in ("lost", "nowhere"), ("unfinished", "savepoint-unfinished"):
        said = str(execution.job(name).error)
        assert f"there is no whole savepoint at file:{tmp_path}/{place}: " in said.replace("///", "/")
