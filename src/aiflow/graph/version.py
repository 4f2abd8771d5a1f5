"""What the versions of datasets, models and artifacts have in common: a name, a number, and the home that remembers them.

Knows nothing of how they are kept; who reads them is set by the composition root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from aiflow.graph.card import Card, HasCard

__all__ = ["Named", "Version", "moment"]

project_of: Callable[[str], Any] | None = None
"""Set by the composition root: gives the project of a home, opened in this process."""

contents: Callable[[], Any] | None = None
"""Set by the composition root: gives the module that reads what is in versions of datasets and artifacts."""

used: Callable[[Any], None] | None = None
"""Set by the composition root: told of a version that was read or loaded, so that it is known which jobs work on it."""

KEPT = "blobs/"
"""What the uri of something begins with that is kept in the home itself, which may be moved."""


def moment(timestamp: float | None) -> datetime | None:
    """Give a time of the store as users see times."""
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)


class Named(HasCard):
    """Something that the metadata of a home remembers: a row of it, as a value.

    Attributes
    ----------
    kind
        ``"dataset"``, ``"model"`` or ``"artifact"``.
    """

    __slots__ = ()
    kind: ClassVar[str]
    home: str

    @classmethod
    def of_row(cls, row: Mapping[str, Any], home: str) -> Self:
        """Make one of a row, as the ledger gives it; what the row has beyond the fields is left out."""
        known = {f.name: f.type for f in fields(cls)}  # type: ignore[arg-type]  # its kinds are dataclasses
        given: dict[str, Any] = {
            k: moment(v) if "datetime" in str(known[k]) else v for k, v in row.items() if k in known
        }
        kept = given.get("uri")
        if kept is not None and kept.startswith(KEPT):
            given["uri"] = f"{home}/{kept}"
        given["home"] = home
        return cls(**given)

    def to_row(self) -> dict[str, Any]:
        """Give it as JSON data; `of_row` makes an equal one of it."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "home"}  # type: ignore[arg-type]
        if found.get("uri") is not None:
            kept = f"{self.home}/{KEPT}"
            found["uri"] = found["uri"].replace(kept, KEPT, 1) if found["uri"].startswith(kept) else found["uri"]
        return {k: v.timestamp() if isinstance(v, datetime) else v for k, v in found.items()}

    @property
    def _contents(self) -> Any:
        assert contents is not None, "aiflow itself sets it when it is imported"
        return contents()

    @property
    def _project(self) -> Any:
        assert project_of is not None, "aiflow itself sets it when it is imported"
        return project_of(self.home)


class Version(Named):
    """One version of a dataset, a model or an artifact; written ``iris:2``."""

    __slots__ = ()
    number: int

    def _use(self) -> None:
        """Say that it was read: if a job did that, it is recorded that the job works on it."""
        assert used is not None, "aiflow itself sets it when it is imported"
        used(self)

    @property
    def name(self) -> str:
        """The name of what it is a version of."""
        raise NotImplementedError

    @property
    def short_hash(self) -> str:
        """As much of its hash as people compare."""
        return (getattr(self, "hash", None) or "")[:12]

    def _row(self) -> dict[str, Any]:
        raise NotImplementedError

    def _card(self) -> Card:
        facts = {head: value for head, value in self._row().items() if head not in ("version", "stage")}
        names = ("uri", "size", "format", "schema", "description", "properties", "execution_id")
        uri, size, *more, execution_id = (getattr(self, name, None) for name in names)
        facts |= {"bytes": size, "hash": self.short_hash, "uri": None if self.kind == "model" else uri}
        facts |= {**dict(zip(names[2:-1], more, strict=True)), "execution": execution_id}
        return Card(kind=self.kind, name=str(self), status=str(getattr(self, "stage", "")), facts=facts)

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"

    def __repr__(self) -> str:
        stage = getattr(self, "stage", None)
        return f"<{self.kind} {self}{f' {stage}' if stage is not None else ''}>"
