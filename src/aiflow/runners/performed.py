"""The function of a job with a role, made ready to be called anywhere: on a thread, or in a child process.

Knows nothing of stores: which versions are meant was found out before; what is to be recorded goes back as changes.
"""

from __future__ import annotations

import inspect
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

from aiflow.errors import ParameterError, StoreError
from aiflow.graph.artifact import Artifact
from aiflow.graph.change import Change
from aiflow.graph.dataset import Dataset
from aiflow.graph.metric import measures, subject_of
from aiflow.graph.model import ModelVersion, Stage
from aiflow.graph.place import local_path
from aiflow.graph.role import Role, RoleSpec
from aiflow.graph.version import Version
from aiflow.graph.versions import use_of
from aiflow.runners.base import Call
from aiflow.runners.context import current_or_none
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored
from aiflow.values.contents import artifact_change, dataset_change
from aiflow.values.data import write

__all__ = ["Loaded", "Outcome", "Performed", "kept_model", "load_model"]


class Loaded(NamedTuple):
    """Stands in a call for the object of a model version, until it is loaded where the function runs."""

    version: ModelVersion


class Outcome(NamedTuple):
    """What comes of a job with a role, or of one item that it yields.

    Attributes
    ----------
    value
        The value; if `gives` says so, a version that has no number yet.
    changes
        What of the metadata changes with its success, or in the transaction that records the item.
    gives
        Which of the changes gives the value, or None.
    refused
        Why what depends on the job is skipped although it has succeeded, or None.
    """

    value: Any
    changes: tuple[Change, ...] = ()
    gives: int | None = None
    refused: str | None = None


def kept_model(codec: Codec, value: Any, what: str) -> dict[str, Any]:
    """Keep the object of a model version in a blob; give the fields that say so."""
    stored = codec.encode_to_blob(value, what)
    kind = type(value)
    return {
        "hash": stored.blob, "codec": stored.codec, "size": stored.size, "uri": codec.blobs.uri(stored.blob or ""),
        "type": f"{kind.__module__}.{kind.__qualname__}",
    }  # fmt: skip


def load_model(codec: Codec, version: ModelVersion) -> Any:
    """Give the object of a model version; the hash of what is kept is checked first."""
    if version.hash is None or version.codec is None:
        raise StoreError(f"no object is kept for {version}; it is at {version.uri}")
    return codec.decode(Stored(version.codec, None, version.hash, version.size))


class Performed:
    """A user's function with what its role asks for before and after it; picklable if the function is.

    Parameters
    ----------
    function
        The user's.
    spec
        The role.
    version
        What it works on, or None.
    home
        The home, whose blobs keep the objects of models.
    folder
        Where relative uris begin.
    """

    def __init__(
        self, function: Callable[..., Any], spec: RoleSpec, version: Version | None, home: str, folder: str = ""
    ) -> None:
        self.function, self.spec, self.version, self.home, self.folder = function, spec, version, home, folder
        self.__name__ = getattr(function, "__name__", repr(function))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Load the objects of models that are meant, call the function, and say what comes of it."""
        context = current_or_none()
        if context is not None and self.version is not None:
            context.works_on = (self.version,)
        codec = self._codec()
        given = [one.version for one in (*args, *kwargs.values()) if type(one) is Loaded]
        used = dict.fromkeys(given if self.version is None else [self.version, *given])
        value = self.function(
            *(self.loaded(codec, a) for a in args), **{k: self.loaded(codec, v) for k, v in kwargs.items()}
        )
        if inspect.iscoroutine(value):
            return self._after(value, codec, used)
        return self._with_uses(self.outcome(value, codec), used)

    def loaded(self, codec: Codec, value: Any) -> Any:
        """Give an argument as the function gets it: the object of a version that is meant."""
        return load_model(codec, value.version) if type(value) is Loaded else value

    def compared(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Give the call as what tells whether it is equal to another one: versions stand for their objects."""
        return Call(self.function, tuple(map(_version, args)), {k: _version(v) for k, v in kwargs.items()})

    async def _after(self, coming: Any, codec: Codec, used: Iterable[Version]) -> Outcome:
        return self._with_uses(self.outcome(await coming, codec), used)

    def _with_uses(self, outcome: Outcome, used: Iterable[Version]) -> Outcome:
        """Have recorded with the end, besides, which versions the job has worked on."""
        return outcome._replace(changes=(*outcome.changes, *map(use_of, used)))

    def _codec(self) -> Codec:
        context = current_or_none()
        codec: Codec | None = None if context is None else context.codec
        return Codec(Blobs(Path(self.home, "blobs"))) if codec is None else codec

    def outcome(self, value: Any, codec: Codec) -> Outcome:
        """Say what comes of what the function returned."""
        after = _AFTER.get(self.spec.role)
        return Outcome(value) if after is None else after(self, value, codec)


def _version(value: Any) -> Any:
    return value.version if type(value) is Loaded else value


# --- what comes after the function, by role ---------------------------------------------------------------------------


def _trained(job: Performed, value: Any, codec: Codec) -> Outcome:
    if job.spec.is_of(value):  # the function has kept it itself
        return Outcome(value)
    if value is None:
        raise ParameterError(
            f"{job.__name__} returned None; a job with the role {job.spec} returns the object that is to be a version of {job.spec.name!r}"
        )
    fields = kept_model(codec, value, f"the model that {job.__name__!r} returned")
    made = {"description": "", "properties": {}, **fields}
    change = Change("log_model", {"model": job.spec.name, "stage": str(Stage.GENERATED), "fields": made})
    return Outcome(None, (change,), 0)


def _validated(job: Performed, value: Any, codec: Codec) -> Outcome:
    verdict = truth_of(value)
    if verdict is None:
        raise ParameterError(
            f"{job.__name__} returned {value!r}; a job with the role {job.spec} returns True if the version is good "
            "enough to be deployed, and False if it is not"
        )
    version = _model(job)
    if not verdict:
        return Outcome(None, refused=f"{version.name} {version.number} was not validated")
    return Outcome(None, (_staged(version, Stage.VALIDATED),), 0)


def _pushed(job: Performed, value: Any, codec: Codec) -> Outcome:
    return Outcome(None, (_staged(_model(job), Stage.DEPLOYED),), 0)


def _evaluated(job: Performed, value: Any, codec: Codec) -> Outcome:
    if isinstance(value, Mapping):
        try:
            return Outcome(value, _metrics(job, value))
        except ParameterError as error:
            raise ParameterError(
                f"{job.__name__} returned a dict of which not all are numbers: {error}; a job with the role {job.spec} returns "
                "metrics and nothing else (what is no number is for a job of its own, or an artifact)"
            ) from None
    if isinstance(value, str | bytes) or (truth_of(value) is None and isinstance(value, Number)):
        example = value if isinstance(value, Number) else 0.9
        raise ParameterError(
            f"{job.__name__} returned {value!r}; a job with the role {job.spec} returns metrics with their names, such as "
            f"{{'accuracy': {example!r}}}"
        )
    return Outcome(value)


def _checked(job: Performed, value: Any, codec: Codec) -> Outcome:
    if truth_of(value) is False:
        of = f" ({job.version})" if job.version is not None else ""
        raise ValueError(f"{job.__name__} returned False: the data of {job.spec.name!r}{of} are not as they should be")
    return Outcome(value) if truth_of(value) else _evaluated(job, value, codec)


def _written(job: Performed, value: Any, codec: Codec) -> Outcome:
    dataset = job.spec.subject
    assert isinstance(dataset, Dataset)
    if job.spec.is_of(value):  # the function has recorded it itself
        return Outcome(value)
    if value is not None:
        path = local_path(dataset.uri, job.folder)
        if path is None:
            raise ParameterError(
                f"{job.__name__} returned {_kind(value)}, and dataset {job.spec.name!r} is at {dataset.uri!r}, where aiflow does not "
                "write: write it in the function, and return None"
            )
        return Outcome(None, (_replaced(job, dataset, value, path),), 0)
    change = dataset_change(dataset.name, dataset.uri, job.folder, dataset.format, dataset.schema)
    return Outcome(None, (change,), 0)


def _replaced(job: Performed, dataset: Dataset, value: Any, path: Path) -> Change:
    """Write a value, and look at it before it is put in its place: there, somebody else's may be the next moment."""
    target = Path(os.path.realpath(path))  # what a link leads to is replaced, and not the link
    if target.is_dir():
        raise ParameterError(
            f"{path} is a folder: a value is written to a file; let {job.__name__} write the folder itself"
        )
    new = target.with_name(f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.new")
    try:
        write(value, new, dataset.format, dataset.schema, f"the value that {job.__name__!r} returned")
        change = dataset_change(dataset.name, dataset.uri, job.folder, dataset.format, dataset.schema, at=new)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)
    return change


def _reported(job: Performed, value: Any, codec: Codec) -> Outcome:
    artifact = job.spec.subject
    assert isinstance(artifact, Artifact)
    if job.spec.is_of(value):  # the function has recorded it itself
        return Outcome(value)
    if artifact.uri is None:
        raise ParameterError(
            f"artifact {artifact.name!r} was declared without a uri, so nobody knows where it is: af.Artifact({artifact.name!r}, uri=…)"
        )
    path = local_path(artifact.uri, job.folder)
    return Outcome(None, (artifact_change(artifact.name, path, artifact.type, codec.blobs, artifact.uri),), 0)


def _kind(value: Any) -> str:
    return f"something of the type {type(value).__name__}"


def _metrics(job: Performed, value: Mapping[Any, Any]) -> tuple[Change, ...]:
    """Log the numbers of a dict.

    Raises
    ------
    ParameterError
        If one of them is no number: it would be missing where metrics are looked for.
    """
    numbers = measures(value)
    of = job.version or job.spec.subject
    subject = subject_of(None, of) if job.spec.takes == "dataset" else subject_of(of)
    return (Change("log_metrics", {"metrics": numbers, **subject._asdict()}),) if numbers else ()


def _staged(version: ModelVersion, stage: Stage) -> Change:
    return Change("reach_stage", {"model": version.model, "number": version.number, "stage": str(stage)})


def _model(job: Performed) -> ModelVersion:
    assert isinstance(job.version, ModelVersion)
    return job.version


_AFTER: Mapping[Role, Callable[[Performed, Any, Codec], Outcome]] = {
    Role.TRAIN: _trained,
    Role.WRITE_DATASET: _written,
    Role.WRITE_ARTIFACT: _reported,
    Role.DATASET_VALIDATE: _checked,
    Role.EVALUATE: _evaluated,
    Role.MONITOR: _evaluated,
    Role.MODEL_VALIDATE: _validated,
    Role.PUSH_MODEL: _pushed,
}


def truth_of(value: Any) -> bool | None:
    """Give a value as a bool if it is one, Python's or NumPy's; else None."""
    if isinstance(value, bool):
        return value
    numpy = sys.modules.get("numpy")
    return bool(value) if numpy is not None and isinstance(value, numpy.bool_) else None
