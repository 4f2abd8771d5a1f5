"""What `import aiflow as af` offers, name by name: a change of this list is a decision, and is documented."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aiflow as af

ROOT = Path(__file__).parents[1]

NAMES = [
    "ANY",
    "BROADCAST",
    "AIFlowError",
    "Artifact",
    "ArtifactVersion",
    "Condition",
    "Conflict",
    "Dataset",
    "DatasetVersion",
    "Draft",
    "Event",
    "EventType",
    "Execution",
    "ExecutionFailed",
    "ExecutionStatus",
    "Experiment",
    "FlinkError",
    "Graph",
    "GraphError",
    "Job",
    "JobContext",
    "JobExecution",
    "JobStatus",
    "LiveModel",
    "Metric",
    "MetricHistory",
    "Model",
    "ModelVersion",
    "Node",
    "NotFound",
    "OffsetPruned",
    "OwnershipLost",
    "ParameterError",
    "Project",
    "RunnerError",
    "Secret",
    "Skip",
    "Stage",
    "Stopped",
    "StoreError",
    "Stream",
    "Workflow",
    "__version__",
    "at",
    "command",
    "condition",
    "cron",
    "current",
    "dataset_validate",
    "evaluate",
    "event",
    "every",
    "file",
    "fixed",
    "flink",
    "flink_jar",
    "flink_job",
    "flink_sql",
    "job",
    "metric",
    "model_validate",
    "monitor",
    "observe",
    "observe_flink",
    "predict",
    "project",
    "publish",
    "push_model",
    "read_dataset",
    "subscribe",
    "train",
    "transform",
    "workflow",
    "write_artifact",
    "write_dataset",
]

CONSTANTS = {"ANY", "BROADCAST", "__version__"}


def test_aiflow_offers_these_names_and_no_others() -> None:
    assert sorted(af.__all__) == sorted(NAMES)
    assert dir(af) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CONSTANTS])
def test_a_public_name_and_its_public_members_have_docstrings(name: str) -> None:
    thing = getattr(af, name)
    assert thing.__doc__
    if not inspect.isclass(thing):
        return
    own = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
    documented = (property, classmethod, staticmethod)
    without = [k for k, v in own.items() if (isinstance(v, documented) or inspect.isfunction(v)) and not v.__doc__]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    assert f"`af.{name}`" in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_used_in_the_typed_api(name: str) -> None:
    used = (ROOT / "tests" / "typing" / "api.py").read_text(encoding="utf-8")
    assert re.search(rf"\baf\.{name}\b", used)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Projekt'"):
        af.Projekt  # noqa: B018


def test_importing_aiflow_imports_nothing_heavy() -> None:
    heavy = (
        "networkx",
        "sqlite_utils",
        "cloudpickle",
        "click",
        "rich",
        "watchdog",
        "cronsim",
        "asyncio",
        "pyflink",
        "numpy",
    )
    code = f"import sys, aiflow; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
