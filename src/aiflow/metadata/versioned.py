"""What a registered dataset and a registered artifact have in common: versions that are told apart by their content.

Knows nothing of how versions come to be.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from aiflow.errors import NotFound, ParameterError
from aiflow.graph.card import Listing
from aiflow.graph.change import Change
from aiflow.graph.version import Version
from aiflow.graph.versions import VERSIONS
from aiflow.ledger.book import select
from aiflow.metadata.registered import HasVersions, do, page
from aiflow.runners.context import JobContext

__all__ = ["Versioned"]

V = TypeVar("V", bound=Version)


class Versioned(HasVersions, Generic[V]):
    """Something that is registered, with versions."""

    __slots__ = ()
    _project: Any

    def versions(self, limit: int | None = None, offset: int = 0) -> list[V]:
        """Give the versions, oldest first."""
        return Listing(self._among(f"deleted IS NULL ORDER BY number{page(limit, offset)}"), "version")

    def version(self, number: int | V) -> V:
        """Give one version by its number; raises `NotFound`."""
        if isinstance(number, VERSIONS[self.kind]) and number.name == self.name:
            number = number.number
        if isinstance(number, bool) or not isinstance(number, int):
            raise ParameterError(f"a version of {self.kind} {self.name!r} is named by its number, not by {number!r}")
        found = self._among("number = ?", number)
        if not found:
            raise NotFound(f"version of {self.kind}", f"{self.name}:{number}", [str(v) for v in self.versions()])
        return found[0]

    def latest(self) -> V | None:
        """Give the newest version; None if there is none yet."""
        found = self._among("deleted IS NULL ORDER BY number DESC LIMIT 1")
        return found[0] if found else None

    def _among(self, clause: str, *values: Any) -> list[V]:
        rows = select(
            self._project._store, f"{self.kind}_versions", f"{self.kind} = ? AND {clause}", (self.name, *values)
        )
        return [self._version(row) for row in rows]

    def _version(self, row: Any) -> V:
        return VERSIONS[self.kind].of_row(row, str(self._project.home))  # type: ignore[return-value]  # that kind's

    def _recorded(self, change: Change, job: JobContext | None = None) -> V:
        return self._version(do(self._project, change, job=job)[0])
