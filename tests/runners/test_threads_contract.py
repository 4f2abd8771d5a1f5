"""Threads under the contract of all runners."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runners.contract import Bench, RunnerContract

from aiflow.runners import output
from aiflow.runners.threads import ThreadRunner


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    output.capture()
    bench = Bench(tmp_path / "home", ThreadRunner)
    bench.shares_objects = True
    yield bench
    bench.runner.close()
    output.release()


class TestThreads(RunnerContract):
    """Objects are shared by reference, and otherwise it is as everywhere."""
