"""What part a job has in the life of a model or dataset, and how the calls of such a job are read.

Knows nothing of how versions are found and kept; it tells which one the function gets in which place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from aiflow.errors import GraphError
from aiflow.graph.artifact import Artifact
from aiflow.graph.dataset import Dataset
from aiflow.graph.model import Model, Stage
from aiflow.graph.version import Version

__all__ = ["Place", "Reading", "Role", "RoleSpec", "place_of", "read_call"]


class Role(StrEnum):
    """What a job does in the life of a dataset or model."""

    READ_DATASET = "read_dataset"
    TRANSFORM = "transform"
    WRITE_DATASET = "write_dataset"
    WRITE_ARTIFACT = "write_artifact"
    DATASET_VALIDATE = "dataset_validate"
    TRAIN = "train"
    EVALUATE = "evaluate"
    MODEL_VALIDATE = "model_validate"
    PUSH_MODEL = "push_model"
    PREDICT = "predict"
    MONITOR = "monitor"


class Place(StrEnum):
    """Where a call has the version that the job works on."""

    NONE = "none"  # the job works on no version
    GIVEN = "given"
    CHOSEN = "chosen"  # it is left out: the version is chosen when the job runs
    EITHER = "either"  # the call can be read both ways: what arrives decides


_DATA = (Role.READ_DATASET, Role.DATASET_VALIDATE, Role.MONITOR)
_MODEL = (Role.EVALUATE, Role.MODEL_VALIDATE, Role.PUSH_MODEL, Role.PREDICT, Role.MONITOR)
_GIVES = {
    Role.TRAIN: "model", Role.MODEL_VALIDATE: "model", Role.PUSH_MODEL: "model", Role.WRITE_DATASET: "dataset",
    Role.WRITE_ARTIFACT: "artifact",
}  # fmt: skip
_STAGES = {
    Role.EVALUATE: ((Stage.GENERATED, Stage.VALIDATED, Stage.DEPLOYED),),
    Role.MODEL_VALIDATE: ((Stage.GENERATED,),),
    Role.PUSH_MODEL: ((Stage.VALIDATED,),),
    Role.PREDICT: ((Stage.DEPLOYED,),),
    Role.MONITOR: ((Stage.DEPLOYED,),),
}
BASE_STAGES = ((Stage.DEPLOYED,), (Stage.VALIDATED,), (Stage.GENERATED,))
"""A base model is the newest of the first of these stages that any version is in."""


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A role, and what it is about.

    Attributes
    ----------
    role
        What the job does.
    subject
        The dataset, model or artifact; None for `transform`.
    base
        Of `train`: the model that it starts from, if not its own.
    """

    role: Role
    subject: Dataset | Model | Artifact | None = None
    base: Model | None = None

    @property
    def takes(self) -> str | None:
        """Of what kind the version is that it works on, or None."""
        if self.subject is None or self.role not in (*_DATA, *_MODEL):
            return None
        return self.subject.kind

    @property
    def gives(self) -> str | None:
        """Of what kind the version is that its value is, or None."""
        return _GIVES.get(self.role)

    @property
    def asks(self) -> tuple[str, ...]:
        """What its function gets if it has a parameter of that name that the call leaves unbound."""
        if self.role is Role.TRAIN:
            return ("base",)
        if self.role is Role.MODEL_VALIDATE:
            return ("deployed",)
        return (self.subject.kind,) if isinstance(self.subject, Dataset | Artifact) else ()

    @property
    def stages(self) -> tuple[tuple[Stage, ...], ...]:
        """Which stages fit a version that nobody has named: the newest of the first of these that has any."""
        return _STAGES.get(self.role, ())

    @property
    def takes_anything(self) -> bool:
        """Whether its function may get other inputs in the place of the version."""
        return self.takes == "dataset" and self.role is not Role.READ_DATASET

    @property
    def name(self) -> str:
        """The name of its subject, or ''."""
        return "" if self.subject is None else self.subject.name

    def is_of(self, value: Any) -> bool:
        """Tell whether a value is a version of its subject."""
        subject = self.subject
        return (
            isinstance(value, Version) and subject is not None and (value.kind, value.name) == (subject.kind, self.name)
        )

    def __str__(self) -> str:
        base = f", base={self.base.name}" if self.base is not None else ""
        return f"{self.role}({self.name}{base})" if self.subject is not None else str(self.role)


def needed(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Say of a role as text of which model a version must be there, and in which stages; None if none need be.

    Examples
    --------
    >>> needed("predict(knn)"), needed("train(knn, base=old)")
    (('knn', ('DEPLOYED',)), ('old', ('GENERATED', 'VALIDATED', 'DEPLOYED')))
    >>> needed("train(knn)") is None
    True
    """
    word, _, rest = text.partition("(")
    name, (_, has_base, base) = rest[:-1], rest[:-1].rpartition(", base=")
    if Role(word) is Role.TRAIN and has_base:
        return base, tuple(str(stage) for some in BASE_STAGES[::-1] for stage in some)
    stages = tuple(str(stage) for some in _STAGES.get(Role(word), ()) for stage in some)
    return (name, stages) if stages else None


class _Slot:
    """Stands in a call for what aiflow puts there, or for nothing."""

    def __repr__(self) -> str:
        return "…"


SLOT: Any = _Slot()
NOTHING: Any = _Slot()


class Reading(NamedTuple):
    """One way to read a call: the arguments by parameter, `SLOT` where aiflow puts something; or why it does not fit."""

    bound: inspect.BoundArguments
    first: str | None
    problem: str = ""

    @property
    def subject(self) -> Any:
        """What is in the first place; `NOTHING` if nothing is."""
        if self.first is None or self.first not in self.bound.arguments:
            return NOTHING
        value = self.bound.arguments[self.first]
        if self.bound.signature.parameters[self.first].kind is inspect.Parameter.VAR_POSITIONAL:
            return value[0] if value else NOTHING
        return value

    def put(self, name: str | None, value: Any) -> None:
        """Put something in the place of a parameter; in the first place, if no name is said."""
        name = name or self.first
        assert name is not None
        if self.bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            value = (value, *self.bound.arguments[name][1:])
        self.bound.arguments[name] = value


_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_call(
    spec: RoleSpec, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], chosen: bool
) -> Reading:
    """Read a call of a job with a role: with the version in it, or with its place left out (`chosen`)."""
    parameters = signature.parameters
    first = next(iter(parameters), None) if spec.takes else None
    if chosen and first is not None and parameters[first].kind is inspect.Parameter.KEYWORD_ONLY:
        kwargs = {first: SLOT, **kwargs} if first not in kwargs else kwargs
    elif chosen:
        args = (SLOT, *args)
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError as error:
        return Reading(signature.bind_partial(), first, str(error))
    for name in spec.asks:
        asked = parameters.get(name)
        if asked is not None and name != first and asked.kind not in _SEVERAL:
            bound.arguments.setdefault(name, SLOT)
    missing = [
        repr(p.name)
        for p in parameters.values()
        if p.default is p.empty and p.kind not in _SEVERAL and p.name not in bound.arguments
    ]
    problem = f"nothing is given for {' and '.join(missing)}" if missing else ""
    found = Reading(bound, first, problem)
    if not problem and spec.takes and not spec.takes_anything and found.subject is NOTHING:
        found = found._replace(problem="nothing is given in its place")
    return found


def place_of(
    spec: RoleSpec,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    name: str,
    gives: Callable[[Any], bool],
) -> Place:
    """Say where a call of a job with a role has the version that the job works on.

    Parameters
    ----------
    spec, signature, args, kwargs
        The role, and the call.
    name
        The name of the job, for the message.
    gives
        Tells of an argument whether it is known to be a version of the role's subject.

    Raises
    ------
    GraphError
        If the call fits neither with the version in its place nor with that left out; the message names both readings.
    """
    given = read_call(spec, signature, args, kwargs, chosen=False)
    if spec.takes is None:
        if given.problem:
            raise GraphError(f"a call of {name} does not fit {name}{signature}: {given.problem}")
        return Place.NONE
    is_asked = given.bound.arguments.get("dataset") is SLOT  # so the version has a place of its own
    if not given.problem and (spec.role is Role.DATASET_VALIDATE or (spec.takes_anything and is_asked)):
        return Place.GIVEN
    chosen = read_call(spec, signature, args, kwargs, chosen=True)
    if not chosen.problem and args and gives(args[0]):
        chosen = chosen._replace(problem=f"its first argument is a version of {spec.name!r} already")
    if given.problem and chosen.problem:
        raise GraphError(
            f"a call of {name} does not fit {name}{signature}: neither with a version of {spec.name!r} in the first place "
            f"({given.problem}), nor with that place left out, so that the version is chosen at run time ({chosen.problem})"
        )
    if given.problem or chosen.problem:
        return Place.CHOSEN if given.problem else Place.GIVEN
    return Place.GIVEN if gives(given.subject) else Place.EITHER
