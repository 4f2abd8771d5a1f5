"""E20 of the parity list: what comes in trains a model, the better version is deployed, and each deployment predicts."""

from pathlib import Path

import pytest
from tests.end_to_end.conftest import Example

import aiflow as af
from aiflow.testing import simulate


def check(project: af.Project, execution: af.Execution) -> list[int]:
    deployed = [event.value["number"] for event in project.events.list(types="MODEL_DEPLOYED")]
    lines = execution.results("predict")
    assert [line.partition(": ")[0] for line in lines] == [f"digit_reader:{number}" for number in deployed]
    assert len(deployed) > 1
    return deployed


@pytest.mark.parametrize("seed", range(4))
def test_e20_there_is_a_prediction_line_for_each_deployed_model(example: Example, seed: int) -> None:
    flow = example("online_learning").online_learning
    found = simulate(flow, seed=seed, durations={"train": 0.1, "predict": 2.0}, crashes=seed % 2)
    deployed = check(found.project, found.execution)
    assert len(deployed) < len(found.project.models.get("digit_reader").versions())  # some were refused


def test_e20_the_same_on_threads(example: Example, tmp_path: Path) -> None:
    flow = example("online_learning").online_learning
    with af.Project("online", home=tmp_path / "home") as project:
        check(project, project.run(flow, pause=0, timeout=60))
        again = project.run(flow, pause=0, step=600, timeout=60)
        assert (again.status, again.results("predict")) == ("SUCCESS", [])  # it was no better, and nobody waits
