"""The example of streams: a model that learns batch by batch gets better, and knows what it has learned after a restart."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import aiflow as af

EXAMPLE = Path(__file__).parents[2] / "examples" / "stream_train.py"


def loaded() -> Any:
    spec = spec_from_file_location("stream_train", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_model_learns_from_a_stream_and_gets_better(aiflow_project: af.Project) -> None:
    execution = aiflow_project.run(loaded().stream_train, size=200)
    rights = execution.results("learn")
    assert len(rights) == 9
    assert rights[0] < 0.3
    assert min(rights[3:]) > 0.75
    assert execution.result("seen") == 1797
