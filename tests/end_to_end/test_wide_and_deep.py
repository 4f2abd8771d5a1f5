"""E13 of the parity list: batch and stream training, validation, deployment and prediction in one workflow."""

import pytest
from tests.end_to_end.conftest import Example

from aiflow.testing import simulate


@pytest.mark.parametrize("seed", range(3))
def test_e13_versions_come_to_their_stages_in_order_and_prediction_follows_every_deployment(
    example: Example, seed: int
) -> None:
    module = example("wide_and_deep")
    found = simulate(module.workflow, params={"pause": 4}, durations={"train_base": 2, "push": 0.1}, seed=seed)
    execution, project = found.execution, found.project
    assert execution.status == "SUCCESS"

    stages: dict[str, list[str]] = {}
    for event in project.events.list(types="MODEL_*"):
        stages.setdefault(f"{event.key}:{event.value['number']}", []).append(event.value["stage"])
    assert stages.pop("wide_and_deep_base:1") == ["GENERATED", "VALIDATED"]
    whole = ["GENERATED", "VALIDATED", "DEPLOYED", "DEPRECATED"]
    assert all(stage == whole[: len(stage)] for stage in stages.values())
    assert len(stages) == 7  # one for each batch: none was missed while the base was trained

    deployed = project.events.list(types="MODEL_DEPLOYED")
    runs = [job for job in execution.jobs if job.job == "predict"]
    assert len(runs) == len(deployed) >= 2
    for event, run, after in zip(deployed, runs, [*runs[1:], None], strict=True):
        assert event.time <= run.started
        assert after is None or run.ended <= after.started
    named = [line.partition(": ")[0] for line in execution.results("show")]
    assert list(dict.fromkeys(named)) == [f"wide_and_deep:{event.value['number']}" for event in deployed]
    assert len(named) == 28  # all that was unknown was told, whatever was deployed meanwhile

    preparing = {name: [job.number for job in execution.jobs if job.job == name] for name in execution.job_names}
    assert preparing["preprocess_new"] == preparing["preprocess_unknown"] == preparing["preprocess"] == [1]
