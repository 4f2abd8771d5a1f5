"""What an artifact is: a file or folder that a workflow makes for people (a report, a picture), and its versions.

Knows nothing of how versions are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from aiflow.graph.condition import Condition
from aiflow.graph.event import EventType
from aiflow.graph.metadata import ChangeCondition
from aiflow.graph.naming import check_name, check_texts, check_tree
from aiflow.graph.version import Version

__all__ = ["Artifact", "ArtifactVersion"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that a workflow makes and that is worth keeping, by name, declared once.

    Parameters
    ----------
    name
        Unique in the home.
    uri
        The path of the file or folder; a relative one is taken from the folder of the workflow's file.
    type
        What it is, in a word of your own: ``"html"``.
    description, properties
        Whatever you want to remember of it.

    Examples
    --------
    >>> import aiflow as af
    >>> af.Artifact("report", uri="out/report.html", type="html").type
    'html'
    """

    kind: ClassVar[str] = "artifact"

    name: str
    uri: str | None = None
    type: str | None = None
    description: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_name("Artifact", self.name)
        if isinstance(self.uri, Path):
            object.__setattr__(self, "uri", str(self.uri))
        check_texts("Artifact", self.name, uri=self.uri, type=self.type, description=self.description)
        check_tree("Artifact", self.name, "properties", self.properties)

    def fields(self) -> dict[str, Any]:
        """Give what is remembered of it besides the name."""
        return {
            "uri": self.uri, "type": self.type, "description": self.description, "properties": dict(self.properties)
        }  # fmt: skip

    @property
    def changed(self) -> Condition:
        """A condition: there is a new version of it: its content is another."""
        return ChangeCondition(self.name, EventType.ARTIFACT_CHANGED)

    @property
    def _advice(self) -> str:
        return "say .changed"


@dataclass(frozen=True, slots=True)
class ArtifactVersion(Version):
    """One version of an artifact; written ``report:2``. What was in it is kept in the home.

    Attributes
    ----------
    artifact, number
        Which; numbers begin at 1 and are never used again.
    hash, size
        The SHA-256 of its content, and how many bytes that has.
    uri
        Where it was when the version was recorded.
    type
        What it is, as it was declared.
    created
        When it was recorded.
    execution_id, job, job_number
        The job execution that recorded it, or None.
    """

    kind: ClassVar[str] = "artifact"

    artifact: str
    number: int
    hash: str | None = field(compare=False, default=None)
    uri: str | None = field(compare=False, default=None)
    type: str | None = field(compare=False, default=None)
    size: int | None = field(compare=False, default=None)
    created: datetime | None = field(compare=False, default=None)
    execution_id: str | None = field(compare=False, default=None)
    job: str | None = field(compare=False, default=None)
    job_number: int | None = field(compare=False, default=None)
    id: int = field(compare=False, default=0)
    home: str = field(compare=False, default="", repr=False)

    @property
    def name(self) -> str:
        """The name of the artifact."""
        return self.artifact
