"""The operations of the life of a model, as decorators: each makes a function a job with a role.

Knows nothing of what is done before and after the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from aiflow.errors import ParameterError
from aiflow.graph.artifact import Artifact
from aiflow.graph.dataset import Dataset
from aiflow.graph.job import Job, job
from aiflow.graph.model import Model
from aiflow.graph.role import Role, RoleSpec

__all__ = [
    "dataset_validate",
    "evaluate",
    "model_validate",
    "monitor",
    "predict",
    "push_model",
    "read_dataset",
    "train",
    "transform",
    "write_artifact",
    "write_dataset",
]

Decorator = Callable[[Callable[..., Any]], Job]


def read_dataset(dataset: Dataset, **options: Any) -> Decorator:
    """Make a job of a function that reads a dataset; it gets the `DatasetVersion`.

    What is at the uri when the job starts is recorded as a version, unless the latest one has the same content.

    Parameters
    ----------
    dataset
        What is read.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Dataset`, or an option does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> raw = af.Dataset("iris", uri="data/iris.csv", format="csv")
    >>> @af.read_dataset(raw)
    ... def load(version): return version.read()
    >>> load
    <job load: read_dataset(iris)>
    """
    return _decorator(Role.READ_DATASET, dataset, (Dataset,), options)


@overload
def transform(function: Callable[..., Any], /, **options: Any) -> Job: ...
@overload
def transform(function: None = None, /, **options: Any) -> Decorator: ...
def transform(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a job of a function that makes values of values; the same as `af.job`, and shown as what it is.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.transform
    ... def scale(rows): return [2 * n for n in rows]
    >>> scale([1, 2])
    [2, 4]
    """
    decorate = _of(RoleSpec(Role.TRANSFORM), options)
    return decorate if function is None else decorate(function)


def write_dataset(dataset: Dataset, **options: Any) -> Decorator:
    """Make a job of a function that writes a dataset; its value is the new `DatasetVersion`.

    What the function returns is written to the dataset's uri in its format; if it returns None, it has written the data
    itself. A parameter named `dataset` that the call leaves unbound gets the `af.Dataset`.

    Parameters
    ----------
    dataset
        What is written.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Dataset`, or an option does not fit.
    """
    return _decorator(Role.WRITE_DATASET, dataset, (Dataset,), options)


def write_artifact(artifact: Artifact, **options: Any) -> Decorator:
    """Make a job of a function that writes an artifact to its uri; its value is the new `ArtifactVersion`.

    Parameters
    ----------
    artifact
        What is written. A parameter of the function that is named `artifact` gets it, with its path as `uri`: a relative one
        begins in the folder of the workflow's file, and not where the program was started.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Artifact`, or an option does not fit.
    """
    return _decorator(Role.WRITE_ARTIFACT, artifact, (Artifact,), options)


def dataset_validate(dataset: Dataset, **options: Any) -> Decorator:
    """Make a job of a function that checks data: False or an exception fails it, a dict of numbers is logged as metrics.

    Parameters
    ----------
    dataset
        The dataset that the data are of.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Dataset`, or an option does not fit.
    """
    return _decorator(Role.DATASET_VALIDATE, dataset, (Dataset,), options)


def train(model: Model, base: Model | None = None, **options: Any) -> Decorator:
    """Make a job of a function that trains a model; its value is the new `ModelVersion`, in the stage GENERATED.

    Parameters
    ----------
    model
        Of which model the object is that the function returns.
    base
        The model whose newest version the function gets as `base`, if it has a parameter of that name that the call
        leaves unbound; the job waits until there is one. None: the model itself, and None for its first version.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model`, or an option does not fit.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> mean = af.Model("mean")
    >>> @af.train(mean)
    ... def fit(rows): return sum(rows) / len(rows)
    >>> @af.evaluate(mean)
    ... def error(model, rows): return {"worst": max(abs(n - model) for n in rows)}
    >>> @af.workflow
    ... def training():
    ...     error(fit([1, 2, 6]), [1, 2, 6])
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     execution = project.run(training)
    ...     print(execution.result("fit"), execution.result("error"))
    mean:1 {'worst': 3.0}
    """
    if base is not None:
        _check(Role.TRAIN, base, (Model,), "base")
    return _decorator(Role.TRAIN, model, (Model,), options, base)


def evaluate(model: Model, **options: Any) -> Decorator:
    """Make a job of a function that gets a model's object, then its inputs, and returns metrics: a dict of numbers.

    Parameters
    ----------
    model
        The model. Which version of it: one that the call gives, else the one in the event that started the job, else
        the newest that is GENERATED, VALIDATED or DEPLOYED.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model`, or an option does not fit.
    """
    return _decorator(Role.EVALUATE, model, (Model,), options)


def model_validate(model: Model, **options: Any) -> Decorator:
    """Make a job of a function that says whether a version of a model is good enough.

    The function gets the candidate's object, then its inputs, and as `deployed` the object that is deployed now, or None,
    if it has a parameter of that name that the call leaves unbound. It returns True: the version becomes VALIDATED and is the
    job's value; or False: the value is None, and what depends on the job is skipped.

    Parameters
    ----------
    model
        The model. Which version of it: one that the call gives, else the one in the event that started the job, else
        the newest that is GENERATED.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model`, or an option does not fit.
    """
    return _decorator(Role.MODEL_VALIDATE, model, (Model,), options)


def push_model(model: Model, **options: Any) -> Decorator:
    """Make a job of a function that gets a `ModelVersion`; when it returns, that version is DEPLOYED and the job's value.

    Parameters
    ----------
    model
        The model. Which version of it: one that the call gives, else the one in the event that started the job, else
        the newest that is VALIDATED.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model`, or an option does not fit.
    """
    return _decorator(Role.PUSH_MODEL, model, (Model,), options)


def predict(model: Model, **options: Any) -> Decorator:
    """Make a job of a function that gets the object of the deployed version of a model, then its inputs.

    Parameters
    ----------
    model
        The model. Which version of it: one that the call gives, else the one in the event that started the job, else
        the one that is DEPLOYED.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model`, or an option does not fit.
    """
    return _decorator(Role.PREDICT, model, (Model,), options)


def monitor(subject: Model | Dataset, **options: Any) -> Decorator:
    """Make a job of a function that watches a model or a dataset; a dict of numbers that it returns is logged as metrics.

    Parameters
    ----------
    subject
        A model: the function gets the object of the deployed version, then its inputs, unless the call gives another
        version. A dataset: it gets the `DatasetVersion`, then its inputs.
    **options
        Those of `af.job`.

    Raises
    ------
    ParameterError
        If it is given something else than an `af.Model` or an `af.Dataset`, or an option does not fit.
    """
    return _decorator(Role.MONITOR, subject, (Model, Dataset), options)


def _decorator(
    role: Role, subject: Any, kinds: tuple[type, ...], options: dict[str, Any], base: Model | None = None
) -> Decorator:
    _check(role, subject, kinds)
    return _of(RoleSpec(role, subject, base), options)


def _check(role: Role, subject: Any, kinds: tuple[type, ...], what: str = "") -> None:
    if isinstance(subject, kinds):
        return
    names = " or ".join(f"af.{kind.__name__}" for kind in kinds)
    where = f"@af.{role}" if not what else f"{what} of @af.{role}"
    if callable(subject):
        raise ParameterError(f"{where} needs an {names} in parentheses: write @af.{role}(…) with it above the function")
    name = subject if isinstance(subject, str) else getattr(subject, "name", None)
    hint = f"; write {' or '.join(f'af.{kind.__name__}({name!r})' for kind in kinds)}" if isinstance(name, str) else ""
    raise ParameterError(f"{where} takes an {names}, not {subject!r}{hint}")


def _of(role: RoleSpec, options: dict[str, Any]) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Job:
        if isinstance(function, Job) and function.role is not None:
            raise ParameterError(f"{function.name} is a job with the role {function.role} already; a job has one role")
        made: Job = job(function, **options)
        return made.in_role(role)

    return decorate
