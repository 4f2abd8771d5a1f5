"""What an artifact is: a file or folder that a workflow makes for people (a report, a picture), and its versions.

Knows nothing of how versions are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from aiflow.graph.card import Card, HasCard
from aiflow.graph.condition import Condition
from aiflow.graph.event import EventType
from aiflow.graph.metadata import ChangeCondition
from aiflow.graph.naming import check_name, check_texts, check_tree
from aiflow.graph.version import Version

__all__ = ["Artifact", "ArtifactVersion"]


@dataclass(frozen=True, slots=True)
class Artifact(HasCard):
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

    def _card(self) -> Card:
        return Card(kind=self.kind, name=self.name, facts=self.fields())

    @property
    def _advice(self) -> str:
        return "say .changed"


@dataclass(frozen=True, slots=True, repr=False)
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
    manifest: str | None = field(compare=False, default=None, repr=False)
    id: int = field(compare=False, default=0)
    home: str = field(compare=False, default="", repr=False)

    @property
    def name(self) -> str:
        """The name of the artifact."""
        return self.artifact

    def _row(self) -> dict[str, Any]:
        return {
            "version": str(self), "recorded": self.created, "bytes": self.size, "hash": self.short_hash, "job": self.job,
        }  # fmt: skip

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that were in it, relative to the folder; of a file, its own name."""
        found: tuple[str, ...] = self._contents.files_of(self)
        return found

    def open(self, name: str | None = None) -> BinaryIO:
        """Open what was kept, for reading as bytes; its hash is checked first.

        Parameters
        ----------
        name
            Which file, if the artifact is a folder: one of `files`.

        Raises
        ------
        NotFound
            If the folder has no such file.
        ParameterError
            If it is a folder and no name was given.
        StoreError
            If it is not kept any more, or is damaged.
        """
        found: BinaryIO = self._contents.open_artifact(self, name)
        self._use()
        return found

    def read_bytes(self, name: str | None = None) -> bytes:
        """Give what was kept, as bytes; raises what `open` raises."""
        with self.open(name) as file:
            return file.read()

    def read_text(self, name: str | None = None) -> str:
        """Give what was kept, as text in UTF-8; raises what `open` raises."""
        return self.read_bytes(name).decode("utf-8")

    def save_to(self, path: Path | str) -> Path:
        """Write what was kept to a file or folder; all of it appears at once, or nothing.

        Parameters
        ----------
        path
            Where to. A file is replaced; into a folder that is there, a file goes by its own name. A folder must not be
            there yet, or be empty.

        Returns
        -------
        Path
            What was written.

        Raises
        ------
        Conflict
            If a folder is there and has something in it.
        StoreError
            If it is not kept any more, or is damaged.

        Examples
        --------
        >>> import aiflow as af, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=f"{folder}/home") as project:
        ...     path = pathlib.Path(folder, "report.html")
        ...     _ = path.write_text("<p>good")
        ...     version = project.artifacts.register("report", uri=path, type="html").log()
        ...     path.unlink()
        ...     print(version.save_to(path).read_text(), version.read_bytes())
        <p>good b'<p>good'
        """
        found: Path = self._contents.save_artifact(self, path)
        self._use()
        return found
