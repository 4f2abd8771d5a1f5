"""One cluster and one project for all tests of Flink: starting them takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.conftest import example

import aiflow as af
from aiflow.runners.flink_cluster import Address, LocalCluster

__all__ = ["example"]  # a fixture here, too


@pytest.fixture(scope="session")
def flink_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose local cluster is up."""
    home = tmp_path_factory.mktemp("flink") / ".aiflow"
    home.mkdir()
    yield home
    LocalCluster(home).stop()


@pytest.fixture(scope="session")
def cluster(flink_home: Path) -> Address:
    """The cluster of the run."""
    return LocalCluster(flink_home).ensure()


@pytest.fixture(scope="session")
def flink(flink_home: Path, cluster: Address) -> Iterator[af.Project]:
    """A project on it, whose driver stays warm. It is not entered: it would be the current one of all tests that follow."""
    project = af.Project("flink", home=flink_home)
    yield project
    project.close(timeout=10)


@pytest.fixture(scope="session")
def second_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Another home, whose cluster may be mistreated."""
    home = tmp_path_factory.mktemp("second") / ".aiflow"
    home.mkdir()
    yield home
    LocalCluster(home).stop()


@pytest.fixture(scope="session")
def second_cluster(second_home: Path) -> Address:
    """A cluster that is not the home's own, for jobs that name its address as their target."""
    return LocalCluster(second_home).ensure()
