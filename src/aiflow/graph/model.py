"""What a model is: what a workflow declares, its versions, and the stages that a version goes through.

Knows nothing of how versions are kept, nor of what trains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

from aiflow.errors import StoreError
from aiflow.graph.card import Card, HasCard
from aiflow.graph.condition import Condition
from aiflow.graph.event import EventType
from aiflow.graph.metadata import ChangeCondition, Uncompared
from aiflow.graph.naming import check_name, check_texts, check_tree
from aiflow.graph.version import Version

__all__ = ["LEGAL", "Model", "ModelVersion", "Stage"]


class Stage(StrEnum):
    """How far a version of a model has come."""

    GENERATED = "GENERATED"
    VALIDATED = "VALIDATED"
    DEPLOYED = "DEPLOYED"
    DEPRECATED = "DEPRECATED"
    DELETED = "DELETED"


LEGAL: Mapping[Stage, frozenset[Stage]] = MappingProxyType(
    {
        Stage.GENERATED: frozenset((Stage.VALIDATED, Stage.DEPLOYED, Stage.DEPRECATED, Stage.DELETED)),
        Stage.VALIDATED: frozenset((Stage.DEPLOYED, Stage.DEPRECATED, Stage.DELETED)),
        Stage.DEPLOYED: frozenset((Stage.DEPRECATED, Stage.DELETED)),
        Stage.DEPRECATED: frozenset((Stage.DEPLOYED, Stage.DELETED)),
        Stage.DELETED: frozenset(),
    }
)
"""From each stage, where a version may go. DEPRECATED to DEPLOYED is a roll-back."""


@dataclass(frozen=True, slots=True)
class Model(HasCard):
    """A model by name, declared once; its versions come from jobs with `@af.train`, or from `project.models`.

    Parameters
    ----------
    name
        Unique in the home.
    description
        What it is for.
    properties
        Whatever you want to remember of it: texts and numbers by name.

    Examples
    --------
    >>> import aiflow as af
    >>> af.Model("knn", description="tells the species of an iris").name
    'knn'
    """

    kind: ClassVar[str] = "model"

    name: str
    description: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_name("Model", self.name)
        check_texts("Model", self.name, description=self.description)
        check_tree("Model", self.name, "properties", self.properties)

    def fields(self) -> dict[str, Any]:
        """Give what is remembered of it besides the name."""
        return {"description": self.description, "properties": dict(self.properties)}

    @property
    def generated(self) -> Condition:
        """A condition: a new version of it is there."""
        return ChangeCondition(self.name, EventType.MODEL_GENERATED)

    @property
    def validated(self) -> Condition:
        """A condition: a version of it is found good enough."""
        return ChangeCondition(self.name, EventType.MODEL_VALIDATED)

    @property
    def deployed(self) -> Condition:
        """A condition: a version of it is deployed."""
        return ChangeCondition(self.name, EventType.MODEL_DEPLOYED)

    @property
    def deprecated(self) -> Condition:
        """A condition: a version of it is taken out of use, or another takes its place."""
        return ChangeCondition(self.name, EventType.MODEL_DEPRECATED)

    @property
    def deleted(self) -> Condition:
        """A condition: a version of it is deleted."""
        return ChangeCondition(self.name, EventType.MODEL_DELETED)

    def metric(self, name: str) -> Uncompared:
        """Give a metric of it, whatever the version; compared with a number it is a condition: ``knn.metric("accuracy") < 0.9``."""
        return Uncompared(name, model=self.name)

    def _card(self) -> Card:
        return Card(kind=self.kind, name=self.name, facts=self.fields())

    @property
    def _advice(self) -> str:
        return "say .deployed, .validated or .metric(…) < 0.9"


@dataclass(frozen=True, slots=True, repr=False)
class ModelVersion(Version):
    """One version of a model; written ``knn:2``. What it says is what was true when it was asked for.

    Attributes
    ----------
    model, number
        Which; numbers begin at 1 and are never used again.
    stage
        How far it had come.
    uri, hash, size
        Where its object is kept, the SHA-256 of that, and how many bytes it has.
    type
        The class of the object, with its module.
    description, properties
        What was said when it was made.
    created, updated
        When it was made, and when its stage changed last.
    execution_id, job, job_number
        The job execution that made it, or None.
    """

    kind: ClassVar[str] = "model"

    model: str
    number: int
    stage: Stage = field(compare=False, default=Stage.GENERATED)
    uri: str | None = field(compare=False, default=None)
    hash: str | None = field(compare=False, default=None)
    type: str = field(compare=False, default="")
    description: str = field(compare=False, default="")
    properties: Mapping[str, Any] = field(compare=False, default_factory=dict)
    created: datetime | None = field(compare=False, default=None)
    updated: datetime | None = field(compare=False, default=None)
    execution_id: str | None = field(compare=False, default=None)
    job: str | None = field(compare=False, default=None)
    job_number: int | None = field(compare=False, default=None)
    size: int = field(compare=False, default=0)
    codec: str | None = field(compare=False, default=None, repr=False)
    id: int = field(compare=False, default=0)
    home: str = field(compare=False, default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stage", Stage(self.stage))

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model

    def _row(self) -> dict[str, Any]:
        return {
            "version": str(self), "stage": self.stage, "created": self.created, "metrics": self._measured(), "type": self.type,
            "job": self.job,
        }  # fmt: skip

    def load(self) -> Any:
        """Give the object itself. The hash of what is kept is checked first.

        Raises
        ------
        StoreError
            If it is not kept any more, or is damaged, or what it needs cannot be imported.
        """
        found = self._project.models.load(self)
        self._use()
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """The newest value of each metric of this version, by name."""
        found: dict[str, float] = self._project.models.metrics_of(self)
        return found

    def _measured(self) -> dict[str, float] | None:
        try:
            return self.metrics
        except StoreError:  # its home is closed, or was never opened in this process
            return None
