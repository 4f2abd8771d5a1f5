"""The example of streams: a model that learns batch by batch gets better, and knows what it has learned after a restart."""

from tests.end_to_end.conftest import Example

import aiflow as af


def test_a_model_learns_from_a_stream_and_gets_better(aiflow_project: af.Project, example: Example) -> None:
    execution = aiflow_project.run(example("stream_train").stream_train, size=200)
    rights = execution.results("learn")
    assert len(rights) == 9
    assert rights[0] < 0.3
    assert min(rights[3:]) > 0.75
    assert execution.result("seen") == 1797
