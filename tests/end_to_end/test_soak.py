"""Four processes publish, one handles each event once by a job and once by a subscription, and the home stays small.

This is the soak of the benchmarks (`benchmarks/soak.py`) with few events; there it runs with a million.
"""

from pathlib import Path

import pytest
from benchmarks.bench import Bench
from benchmarks.soak import soak


@pytest.mark.slow
def test_each_event_of_four_processes_is_handled_once_while_the_home_is_pruned_and_others_use_it(
    tmp_path: Path,
) -> None:
    found = soak(Bench(folder=tmp_path), 4000, kept=1000, prune_each=1)
    assert (found["lost"], found["doubled"], found["handled"]) == (0, 0, {"job": 4000, "reader": 4000, "trigger": 4})
    assert found["pruned_until"] > 0
    assert found["events_left"] < 2000, "others go on writing meanwhile"
    assert found["beside"]["errors"] == []
    assert found["reopened"]["dangling"] == []
