"""aiflow: event-driven workflows for the whole life of a model, in one process.

``import aiflow as af`` is all that a user needs. What is heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiflow import errors as _errors_room
from aiflow._version import __version__
from aiflow.errors import (
    AIFlowError,
    Conflict,
    ExecutionFailed,
    FlinkError,
    GraphError,
    NotFound,
    OffsetPruned,
    OwnershipLost,
    ParameterError,
    RunnerError,
    Skip,
    Stopped,
    StoreError,
)
from aiflow.graph import building as _building_room
from aiflow.graph import timing as _timing_room
from aiflow.graph import version as _version_room
from aiflow.graph import workflow as _workflow_room
from aiflow.graph.artifact import Artifact, ArtifactVersion
from aiflow.graph.building import Graph, Node
from aiflow.graph.command import command
from aiflow.graph.condition import Condition, condition, event
from aiflow.graph.dataset import Dataset, DatasetVersion
from aiflow.graph.event import ANY, BROADCAST, Draft, Event, EventType
from aiflow.graph.execution import ExecutionStatus, JobStatus
from aiflow.graph.file import file
from aiflow.graph.flink import flink_jar, flink_job, flink_sql, observe_flink
from aiflow.graph.job import Job, fixed, job
from aiflow.graph.metadata import metric
from aiflow.graph.metric import Metric
from aiflow.graph.model import Model, ModelVersion, Stage
from aiflow.graph.observing import observe
from aiflow.graph.operations import (
    dataset_validate,
    evaluate,
    model_validate,
    monitor,
    predict,
    push_model,
    read_dataset,
    train,
    transform,
    write_artifact,
    write_dataset,
)
from aiflow.graph.params import Secret
from aiflow.graph.stream import Stream
from aiflow.graph.timing import at, cron, every
from aiflow.graph.workflow import Workflow, workflow

if TYPE_CHECKING:
    from aiflow import flink
    from aiflow._project import Project, project, publish, subscribe
    from aiflow.execution import Execution, JobExecution
    from aiflow.metadata.history import MetricHistory
    from aiflow.metadata.livemodel import LiveModel
    from aiflow.runners.context import JobContext, current
    from aiflow.tracking import Experiment

_LATER = {
    "Project": "aiflow._project",
    "project": "aiflow._project",
    "publish": "aiflow._project",
    "subscribe": "aiflow._project",
    "Execution": "aiflow.execution",
    "Experiment": "aiflow.tracking",
    "JobExecution": "aiflow.execution",
    "LiveModel": "aiflow.metadata.livemodel",
    "MetricHistory": "aiflow.metadata.history",
    "JobContext": "aiflow.runners.context",
    "current": "aiflow.runners.context",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name == "flink":
        return import_module("aiflow.flink")
    if name in _LATER:
        found = getattr(import_module(_LATER[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'aiflow' has no attribute {name!r}")


def _open_project() -> Any:
    return __getattr__("project")()


def _project_of(home: str) -> Any:
    from aiflow._project import project_of

    return project_of(home)


def _contents() -> Any:
    from aiflow.values import contents

    return contents


def _used(version: Any) -> None:
    from aiflow.runners.context import current_or_none

    if current_or_none() is not None:
        from aiflow.metadata.registered import using

        using(version._project, version)


def _check_constant(value: Any) -> None:
    from aiflow.values.codec import check_constant

    check_constant(value)


def _rendered(error: AIFlowError) -> list[str]:
    from aiflow.notebook import rendered

    return rendered(error)


def _check_cron(expression: str, zone: str) -> None:
    from aiflow.events.timetable import check_cron

    check_cron(expression, zone)


_workflow_room.open_project = _open_project
_version_room.project_of = _project_of
_version_room.contents = _contents
_version_room.used = _used
_building_room.check_constant = _check_constant
_timing_room.check_cron = _check_cron
_errors_room.render = _rendered


def __dir__() -> list[str]:
    return sorted(__all__)
