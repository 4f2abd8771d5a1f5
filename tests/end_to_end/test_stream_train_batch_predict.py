"""E9 of the parity list: each batch of a stream makes a version, and versions are validated while the learning goes on."""

import pytest
from tests.end_to_end.conftest import Example

from aiflow.testing import simulate


@pytest.mark.parametrize("seed", range(4))
def test_e9_versions_are_validated_and_deployed_while_the_training_goes_on(example: Example, seed: int) -> None:
    flow = example("stream_train_batch_predict").stream_train_batch_predict
    found = simulate(flow, params={"pause": 10}, durations={"validate": 2, "push": 1}, seed=seed)
    execution = found.execution
    assert execution.status == "SUCCESS"
    (training,) = [job for job in execution.jobs if job.job == "train"]
    validations = [job for job in execution.jobs if job.job == "validate"]
    assert len(validations) == len(found.project.models.get("digit_reader").versions()) == 6
    assert all(job.ended < training.ended for job in validations[:5])
    deployed = [f"digit_reader:{e.value['number']}" for e in found.project.events.list(types="MODEL_DEPLOYED")]
    assert execution.results("predict") == deployed
    assert 2 <= len(deployed) < 6
