"""kill -9 at every commit, and at random moments: nothing is lost, nothing is done twice, and it goes on."""

import os
import random
import tempfile

import pytest
from tests.children import alone
from tests.crash import deeds, pruning

FOLDER = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
)  # a kill loses nothing that was written
KILLS = int(os.environ.get("AIFLOW_KILLS", "24"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_workflow_killed_at_its_nth_commit_goes_on_for_every_n(after: bool, workers: int) -> None:
    found = alone(deeds.die_at_each_commit, FOLDER, after, workers, timeout=170)
    print(found)
    assert found["kills"] >= 15
    assert found["stayed"]["INTERRUPTED"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_27_streams_killed_at_their_nth_commit_lose_no_item_and_use_none_twice_for_every_n(after: bool) -> None:
    found = alone(deeds.die_at_each_commit, FOLDER, after, 3, "rain", timeout=170)
    print(found)
    assert found["kills"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_31_models_killed_at_their_nth_commit_have_each_version_once_for_every_n(after: bool) -> None:
    found = alone(deeds.die_at_each_commit, FOLDER, after, 2, "life", timeout=170)
    print(found)
    assert found["kills"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_27_streams_that_train_killed_at_their_nth_commit_make_each_version_once_for_every_n(after: bool) -> None:
    found = alone(deeds.die_at_each_commit, FOLDER, after, 2, "school", timeout=170)
    print(found)
    assert found["kills"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_33_what_a_job_that_runs_outside_has_passed_is_told_once_for_every_commit_at_which_its_process_dies(
    after: bool,
) -> None:
    found = alone(deeds.die_at_each_commit, FOLDER, after, 2, "meter", timeout=170)
    print(found)
    assert found["kills"] >= 10


@pytest.mark.slow
def test_workflows_killed_at_random_moments_go_on() -> None:
    seed = int(os.environ.get("AIFLOW_SEED", random.randrange(2**31)))
    print("seed", seed)
    found = alone(deeds.die_at_random, FOLDER, KILLS, seed, timeout=900)
    print(found)
    assert found["kills"] >= KILLS
    assert found.get("inside a turn", 0) >= KILLS // 20, "the kills tested nothing"


@pytest.mark.slow
def test_a_pruning_killed_at_its_nth_commit_leaves_a_whole_store_and_the_next_one_finishes_for_every_n() -> None:
    found = alone(pruning.die_while_pruning, FOLDER, timeout=170)
    print(found)
    assert found["kills"] >= 8
