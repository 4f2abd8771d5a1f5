"""Makes versions of rows, of whatever kind they are.

Knows nothing of where the rows come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiflow.graph.artifact import ArtifactVersion
from aiflow.graph.change import Change
from aiflow.graph.dataset import DatasetVersion
from aiflow.graph.model import ModelVersion
from aiflow.graph.version import Version

__all__ = ["VERSIONS", "use_of", "version_of", "versions_in"]

VERSIONS: Mapping[str, type[Version]] = {v.kind: v for v in (DatasetVersion, ModelVersion, ArtifactVersion)}


def version_of(kind: str, row: Mapping[str, Any], home: str) -> Version:
    """Make a version of its row, as the ledger gives it."""
    return VERSIONS[kind].of_row(row, home)


def versions_in(arguments: Iterable[Any]) -> list[Version]:
    """Give the versions among the arguments of a call, and in lists of them."""
    found: list[Version] = []
    for one in arguments:
        if isinstance(one, Version):
            found.append(one)
        elif isinstance(one, list) and one and isinstance(one[0], Version):
            found += [part for part in one if isinstance(part, Version)]
    return found


def use_of(version: Version) -> Change:
    """Give the change that says that a job works on a version; it is the job on whose behalf it is done."""
    return Change("use", {"kind": version.kind, "name": version.name, "number": version.number})
