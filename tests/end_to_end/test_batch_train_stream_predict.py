"""E8 of the parity list: the clock trains, and each deployment starts the stream that predicts again."""

import pytest
from tests.end_to_end.conftest import Example

from aiflow.testing import simulate


@pytest.mark.parametrize("seed", range(4))
def test_e8_each_deployment_starts_the_prediction_again_and_the_output_names_the_new_version(
    example: Example, seed: int
) -> None:
    flow = example("batch_train_stream_predict").batch_train_stream_predict
    found = simulate(flow, params={"interval": 5, "pause": 1}, until=24, seed=seed)
    execution = found.execution
    assert len(execution.results("train")) == 4
    deployed = [f"digit_reader:{e.value['number']}" for e in found.project.events.list(types="MODEL_DEPLOYED")]
    assert len(deployed) >= 2
    lines = execution.results("show")
    assert list(dict.fromkeys(line.partition(": ")[0] for line in lines)) == deployed
    assert len(lines) >= 23  # of 24 pictures, the last of which may be on its way: none is lost
    runs = {job: [j.number for j in execution.jobs if j.job == job] for job in ("predict", "camera")}
    assert runs == {"predict": list(range(1, len(deployed) + 1)), "camera": [1]}
