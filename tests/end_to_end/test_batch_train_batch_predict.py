"""E7 of the parity list: what a batch trains is deployed only if it is better, and the answers name where they come from."""

import numpy as np
from tests.end_to_end.conftest import Example

import aiflow as af
from aiflow.testing import assert_replays


def deployed_at_a_time(project: af.Project) -> int:
    """Tell how many versions were deployed at the same time at most."""
    stages: dict[int, str] = {}
    most = 0
    for event in project.events.list(types="MODEL_*", keys="digit_reader"):
        stages[event.value["number"]] = event.value["stage"]
        most = max(most, list(stages.values()).count("DEPLOYED"))
    return most


def test_e7_a_version_is_deployed_only_if_it_is_better_and_never_two_are(
    aiflow_project: af.Project, example: Example
) -> None:
    flow = example("batch_train_batch_predict").batch_train_batch_predict
    deployed, answers = [], []
    for samples in (300, 900, 100):
        execution = aiflow_project.run(flow, samples=samples)
        assert_replays(execution)
        deployed.append(str(aiflow_project.models.get("digit_reader").deployed))
        answers.append(str(execution.result("write")))
    assert deployed == ["digit_reader:1", "digit_reader:2", "digit_reader:2"]
    assert deployed_at_a_time(aiflow_project) == 1
    refused = execution.job("push")
    assert (refused.status, refused.reason) == ("SKIPPED", "digit_reader 3 was not validated")
    assert answers == ["answers:1", "answers:2", "answers:2"]  # the same version gives the same answers


def test_e7_what_was_measured_and_where_the_answers_come_from_is_recorded(
    aiflow_project: af.Project, example: Example
) -> None:
    execution = aiflow_project.run(example("batch_train_batch_predict").batch_train_batch_predict, samples=900)
    (version,) = aiflow_project.models.get("digit_reader").versions()
    assert version.metrics == execution.result("evaluate")
    assert version.metrics["accuracy"] > 0.9
    answers = execution.result("write")
    assert np.array_equal(answers.read(), execution.result("predict"))
    upstream = aiflow_project.lineage.upstream(answers)
    versions = {str(node) for node, kind in upstream.nodes(data="kind") if kind in ("dataset", "model")}
    assert versions == {"digits:1", "digit_reader:1", "answers:1"}
