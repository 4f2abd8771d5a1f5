"""E10 of the parity list: a stream is read with whatever is deployed, and what reads is never started again."""

from pathlib import Path

import pytest
from tests.children import until
from tests.end_to_end.conftest import Example

import aiflow as af
from aiflow.testing import simulate


def named(execution: af.Execution) -> list[str]:
    """Give the versions that the output names, each once, in their order."""
    return list(dict.fromkeys(line.partition(": ")[0] for line in execution.results("show")))


def runs(execution: af.Execution, job: str) -> list[int]:
    return [one.number for one in execution.jobs if one.job == job]


@pytest.mark.parametrize("seed", range(4))
def test_e10_the_prediction_switches_versions_without_a_restart(example: Example, seed: int) -> None:
    flow = example("stream_train_stream_predict").stream_train_stream_predict
    found = simulate(flow, params={"pause": 3}, until=24, seed=seed)
    deployed = [f"digit_reader:{e.value['number']}" for e in found.project.events.list(types="MODEL_DEPLOYED")]
    assert named(found.execution) == deployed
    assert len(deployed) >= 2
    assert runs(found.execution, "predict") == runs(found.execution, "train") == [1]
    assert len(found.execution.results("show")) >= 23  # one each second: none is lost


def test_e10_the_same_on_threads(example: Example, tmp_path: Path) -> None:
    with af.Project("digits", home=tmp_path / "home") as project:
        execution = project.start(example("stream_train_stream_predict").stream_train_stream_predict, pause=0.1)
        until(lambda: len(named(execution)) >= 2)
        execution.stop().wait(60)
        assert runs(execution, "predict") == [1]
