"""The example of the whole life of a model: better ones replace worse ones, drift starts retraining, answers go on."""

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import aiflow as af

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_lifecycle.py"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example in a folder of its own, where it writes its data, and what its project says after one execution."""
    folder = tmp_path_factory.mktemp("life")
    spec = spec_from_file_location("digits_lifecycle", shutil.copy(EXAMPLE, folder))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with af.Project("life", home=folder / ".aiflow", workers=8) as project:
        project.run(module.digits_lifecycle, timeout=120)
        yield project


def stages(project: af.Project) -> list[tuple[int, str]]:
    return [(e.value["number"], e.value["stage"]) for e in project.events.list(types="MODEL_*")]


def test_a_better_model_replaces_the_one_before_and_a_worse_one_is_not_let_in(lived: af.Project) -> None:
    first = [(n, stage) for n, stage in stages(lived) if n <= 3]
    assert first[:9] == [
        (1, "GENERATED"), (1, "VALIDATED"), (1, "DEPLOYED"),
        (2, "GENERATED"), (2, "VALIDATED"), (1, "DEPRECATED"), (2, "DEPLOYED"),
        (3, "GENERATED"), (2, "DEPRECATED"),
    ]  # fmt: skip
    refused = lived.jobs.get(lived.executions.list()[0].id, "push_fewest", 1)
    assert (refused.status, refused.reason) == ("SKIPPED", "digit_reader 3 was not validated")


def test_drift_in_the_data_starts_training_until_the_answers_are_good_again(lived: af.Project) -> None:
    digits = lived.datasets.get("labelled_digits")
    assert [v.number for v in digits.versions()] == [1, 2]
    last = lived.models.get("digit_reader").deployed
    assert last is not None
    assert last.number > 3
    asked = lived.jobs.get(lived.executions.list()[0].id, "label", 2).event
    assert asked is not None
    assert (asked.type, asked.key) in {("METRIC_LOGGED", "answered_right"), ("JOB_STATUS_CHANGED", "job:push_fewest")}
    right = lived.metrics.history("answered_right", model="digit_reader")
    assert min(right.values) < 0.3
    assert right.values[-1] > 0.8


def test_the_answers_go_on_through_it_all_each_by_a_version_that_was_deployed(lived: af.Project) -> None:
    execution = lived.executions.list()[0]
    assert [(j.number, j.status) for j in execution.jobs if j.job == "answer"] == [(1, "SUCCESS")]
    answered = lived.metrics.history("answered_right", model="digit_reader")
    assert sum(len(lived.metrics.history("answered_right", model=f"digit_reader:{n}")) for n in range(1, 20)) == len(
        answered
    )
    deployed = {number for number, stage in stages(lived) if stage == "DEPLOYED"}
    assert {metric.number for metric in answered} <= deployed
    assert answered[0].number in (1, 2)
    assert answered[-1].number == max(deployed)


def test_lineage_tells_from_which_labels_the_model_that_is_deployed_was_made(lived: af.Project) -> None:
    deployed = lived.models.get("digit_reader").deployed
    graph = lived.lineage.upstream(deployed)
    data = [str(node) for node, kind in graph.nodes(data="kind") if kind == "dataset"]
    assert data == ["labelled_digits:2"]
