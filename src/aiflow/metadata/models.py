"""Models and their versions, as users ask for them: `project.models`.

Knows nothing of turns: what it changes is done by the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from aiflow.clock import as_datetime
from aiflow.errors import NotFound, ParameterError, suggest
from aiflow.graph.card import Listing
from aiflow.graph.change import Change
from aiflow.graph.model import Model, ModelVersion, Stage
from aiflow.graph.naming import parted
from aiflow.ledger.book import select
from aiflow.metadata.registered import HasVersions, Registry, do, page
from aiflow.runners.performed import kept_model, load_model

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.metadata.livemodel import LiveModel

__all__ = ["Models", "RegisteredModel"]


@dataclass(frozen=True, slots=True, repr=False)
class RegisteredModel(HasVersions):
    """A model that is registered, and the door to its versions.

    Attributes
    ----------
    id, name
        What it is asked for by.
    description, properties
        What was said of it.
    created, updated
        Times in UTC.
    """

    kind: ClassVar[str] = "model"

    id: int
    name: str
    description: str
    properties: Mapping[str, Any]
    created: datetime
    updated: datetime
    _project: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<registered model {self.name}>"

    def _row(self) -> dict[str, Any]:
        deployed = self.deployed
        return {**HasVersions._row(self), "deployed": None if deployed is None else str(deployed)}

    def _facts(self) -> dict[str, Any]:
        return {"description": self.description, "properties": self.properties}

    def versions(self, stage: Stage | str | None = None) -> list[ModelVersion]:
        """Give the versions, oldest first; those that are DELETED only if asked for by that stage."""
        project: Project = self._project
        clause, values = "stage <> 'DELETED'", [self.name]
        if stage is not None:
            clause, values = "stage = ?", [self.name, _stage(stage)]
        rows = select(project._store, "model_versions", f"model = ? AND {clause} ORDER BY number", values)
        return Listing((ModelVersion.of_row(row, str(project.home)) for row in rows), "version")

    def version(self, number: int | str | ModelVersion) -> ModelVersion:
        """Give one version by its number, also one that is DELETED; raises `NotFound`."""
        project, number = self._project, self._number(number)
        rows = select(project._store, "model_versions", "model = ? AND number = ?", (self.name, number))
        if not rows:
            raise NotFound("version of a model", f"{self.name}:{number}", [str(v) for v in self.versions()])
        return ModelVersion.of_row(rows[0], str(project.home))

    def latest(self, stage: Stage | str | None = None) -> ModelVersion | None:
        """Give the newest version, or the newest in a stage; None if there is none."""
        project: Project = self._project
        clause, values = "stage <> 'DELETED'", [self.name]
        if stage is not None:
            clause, values = "stage = ?", [self.name, _stage(stage)]
        rows = select(
            project._store, "model_versions", f"model = ? AND {clause} ORDER BY number DESC{page(1, 0)}", values
        )
        return ModelVersion.of_row(rows[0], str(project.home)) if rows else None

    @property
    def deployed(self) -> ModelVersion | None:
        """The version that is deployed, or None."""
        return self.latest(Stage.DEPLOYED)

    def log(self, value: Any, stage: Stage | str = Stage.GENERATED, **fields: Any) -> ModelVersion:
        """Keep an object as a new version.

        Parameters
        ----------
        value
            The object: anything that can be serialised.
        stage
            GENERATED, VALIDATED or DEPLOYED; as DEPLOYED it takes the place of the one that was.
        **fields
            `description` and `properties`.
        """
        if value is None:
            raise ParameterError(f"a version of model {self.name!r} is an object, and None is none: what was it to be?")
        wanted = _stage(stage)
        if wanted in (Stage.DEPRECATED, Stage.DELETED):
            raise ParameterError(f"a version cannot begin as {wanted}; say GENERATED, VALIDATED or DEPLOYED")
        for name in fields:
            if name not in ("description", "properties"):
                raise ParameterError(
                    f"a version of a model has no field {name!r} that can be said{suggest(name, ('description', 'properties'))}"
                )
        said = Model(self.name, **fields).fields()  # they are checked as those of a model are
        given = {**said, **kept_model(self._project._store.codec, value, f"a version of model {self.name!r}")}
        return self._changed(Change("log_model", {"model": self.name, "stage": str(wanted), "fields": given}))

    def deploy(self, number: int | str | ModelVersion) -> ModelVersion:
        """Make a version the one that is deployed; the one that was is DEPRECATED, in the same transaction.

        Raises
        ------
        Conflict
            If it is DELETED.
        NotFound
            If there is none of that number.
        """
        return self._to(number, Stage.DEPLOYED)

    def validate(self, number: int | str | ModelVersion) -> ModelVersion:
        """Say that a version is good enough; raises `Conflict` if it has gone further already."""
        return self._to(number, Stage.VALIDATED)

    def deprecate(self, number: int | str | ModelVersion) -> ModelVersion:
        """Take a version out of use; `deploy` takes it back."""
        return self._to(number, Stage.DEPRECATED)

    def delete(self, number: int | str | ModelVersion) -> ModelVersion:
        """Delete a version: it is listed only when asked for, and cannot be deployed any more."""
        return self._to(number, Stage.DELETED)

    def rollback(self) -> ModelVersion:
        """Deploy again the version that was deployed before; once more, the one before that.

        A version that was rolled back from is never come back to in this way; `deploy` it by its number.

        Raises
        ------
        Conflict
            If there is none before.
        """
        return self._changed(Change("roll_back", {"model": self.name}))

    def _to(self, number: int | str | ModelVersion, stage: Stage) -> ModelVersion:
        given = {"model": self.name, "number": self._number(number), "stage": str(stage)}
        return self._changed(Change("set_stage", given))

    def _number(self, number: int | str | ModelVersion) -> int:
        if isinstance(number, ModelVersion):
            if number.model != self.name:
                raise ParameterError(f"{number} is no version of model {self.name!r}")
            return number.number
        if isinstance(number, str) and ":" in number:
            name, said = parted(number)
            if said is None or name != self.name:
                raise ParameterError(f"{number} is no version of model {self.name!r}")
            number = said
        if isinstance(number, bool) or not isinstance(number, int):
            raise ParameterError(f"a version of a model is named by its number, not by {number!r}")
        if not 0 < number < 2**63:
            raise NotFound("version of a model", f"{self.name}:{number}", [str(v) for v in self.versions()])
        return number

    def _changed(self, change: Change) -> ModelVersion:
        return ModelVersion.of_row(do(self._project, change)[0], str(self._project.home))


def _stage(stage: Stage | str) -> Stage:
    try:
        return Stage(str(stage).upper())
    except ValueError:
        raise ParameterError(f"a stage is one of {', '.join(Stage)}, not {stage!r}") from None


class Models(Registry[RegisteredModel]):
    """The models; got as `project.models`.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     knn = project.models.register("knn")
    ...     first, second = knn.log([1, 2]), knn.log([3], stage="DEPLOYED")
    ...     print(first, second.stage, knn.deployed.load())
    knn:1 DEPLOYED [3]
    """

    _noun = kind = "model"
    declared = Model
    _filters = ("name", "id", "description")

    def _made(self, row: Mapping[str, Any]) -> RegisteredModel:
        created, updated = as_datetime(row["created"]), as_datetime(row["updated"])
        return RegisteredModel(
            row["id"], row["name"], row["description"], row["properties"], created, updated, self._project
        )  # fmt: skip

    def delete(self, name_or_id: Any) -> None:
        """Forget a model: its versions are DELETED, its name is free; a new one of that name counts on."""
        do(self._project, Change("delete_model", {"model": self._asked(name_or_id)}))

    def _where(self, filters: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        """Filter also by `stage`: models that have a version in that stage."""
        stage = filters.pop("stage", None)
        clause, values = super()._where(filters)
        if stage is None:
            return clause, values
        has_one = "EXISTS (SELECT 1 FROM model_versions v WHERE v.model = models.name AND v.stage = ?)"
        return f"{clause} AND {has_one}", [*values, str(_stage(stage))]

    def load(self, version: ModelVersion) -> Any:
        """Give the object of a version; the hash of what is kept is checked first."""
        return load_model(self._project._store.codec, version)

    def live(self, name_or_id: Any, *, wait: float | timedelta | None = None) -> LiveModel:
        """Give the deployed version of a model, always: one that follows the deployments.

        Parameters
        ----------
        name_or_id
            Which model; it must be registered.
        wait
            Seconds to wait if no version of it is deployed yet. Without, it is opened all the same: calls raise `NotFound`
            until one is.

        Returns
        -------
        LiveModel
            A context manager; `close()` ends it.

        Raises
        ------
        NotFound
            If there is no such model.
        StoreError
            If the deployed object cannot be loaded.
        TimeoutError
            If none was deployed in time.
        """
        from aiflow.metadata.livemodel import open_live

        return open_live(self._project, self.get(name_or_id).name, wait)

    def metrics_of(self, version: ModelVersion) -> dict[str, float]:
        """Give the newest value of each metric of a version, by name."""
        return {name: one.value for name, one in self._project.metrics.newest(model=version).items()}
