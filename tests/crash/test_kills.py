"""Real processes, really killed: whatever the moment, going on gives the result that an undisturbed run gives."""

import os
from pathlib import Path

import pytest

from tests.children import alone
from tests.crash import twenty

KILLS = int(os.environ.get("AIFLOW_KILLS", "25"))
SEED = int(os.environ.get("AIFLOW_SEED", "20261123"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_at_its_nth_commit_loses_and_doubles_nothing_for_every_n(tmp_path: Path, when: str) -> None:
    told = alone(twenty.die_at_every_commit, str(tmp_path), when, timeout=170)
    assert told["deaths"] > twenty.JOBS
    assert max(told["kept"]) >= twenty.JOBS - 1  # late deaths leave almost nothing to do


def test_a_process_that_is_killed_at_a_random_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    print(f"AIFLOW_KILLS={KILLS} AIFLOW_SEED={SEED}")
    told = alone(twenty.die_at_random, str(tmp_path), KILLS, SEED, timeout=600)
    print(told)
    assert told["inside"] > 0, "no kill landed inside a turn: the test has tested nothing"
