"""E11 of the parity list: Flink asks each version of a model that is put to use, and what it says is written down."""

from __future__ import annotations

import pytest
from tests.end_to_end.conftest import Example
from tests.flink.waiting import until

import aiflow as af

pytestmark = pytest.mark.flink


def test_e11_flink_asks_what_is_deployed_of_all_flowers_and_what_is_deployed_next_in_a_second_round(
    flink: af.Project, example: Example
) -> None:
    execution = flink.start(example("flink_tutorial").flink_tutorial, interval=2, step=5)
    until(lambda: len(execution.results("write")) >= 2)
    execution.stop().wait(60)
    assert {job.status for job in execution.jobs} <= {"SUCCESS", "STOPPED"}
    first, second, *_ = execution.results("predict")
    assert len(first) == len(second) == 150
    assert (first["known"] == first["said"]).mean() < (second["known"] == second["said"]).mean()
    asked = [job.event.value["number"] for job in execution.jobs if job.job == "predict"]
    assert asked == sorted(set(asked))
    last = execution.results("write")[-1]
    assert last.path.read_text().splitlines()[0] == "known,said"
    assert len(last.path.read_text().splitlines()) == 151
    upstream = flink.lineage.upstream(last)
    assert f"knn:{asked[len(execution.results('write')) - 1]}" in {str(node) for node in upstream}
