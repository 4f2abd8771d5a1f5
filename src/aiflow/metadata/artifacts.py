"""The artifacts as users ask for them: `project.artifacts`, and what is registered under a name.

Knows nothing of how their content is kept, nor of SQL beyond reading rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from aiflow.clock import as_datetime
from aiflow.errors import ParameterError
from aiflow.graph.artifact import Artifact, ArtifactVersion
from aiflow.graph.change import registration
from aiflow.graph.place import local_path
from aiflow.metadata.registered import Registry, do, folder_now
from aiflow.metadata.versioned import Versioned
from aiflow.runners.context import JobContext
from aiflow.values.contents import artifact_change

__all__ = ["Artifacts", "RegisteredArtifact"]


@dataclass(frozen=True, slots=True, repr=False)
class RegisteredArtifact(Versioned[ArtifactVersion]):
    """An artifact that is registered, and the door to its versions.

    Attributes
    ----------
    id, name
        What it is asked for by.
    uri, type, description, properties
        What was said of it; see `aiflow.Artifact`.
    created, updated
        Times in UTC.
    """

    kind: ClassVar[str] = "artifact"

    id: int
    name: str
    uri: str | None
    type: str | None
    description: str
    properties: Mapping[str, Any]
    created: datetime
    updated: datetime
    folder: str | None = field(default=None, repr=False)
    _project: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<registered artifact {self.name}>"

    def _facts(self) -> dict[str, Any]:
        return {
            "at": self.path or self.uri, "type": self.type, "description": self.description, "properties": self.properties
        }  # fmt: skip

    @property
    def path(self) -> Path | None:
        """The file or folder, whether it is there or not; None if it is elsewhere, or nobody said where."""
        return local_path(self.uri, self.folder)

    def log(self, path: Path | str | None = None) -> ArtifactVersion:
        """Keep what is in the file or folder now as a version; if it is that of the latest one, it is that one.

        Parameters
        ----------
        path
            The file or folder, if it is another one than was registered; a relative path begins in the working directory.

        Raises
        ------
        NotFound
            If nothing is there.
        ParameterError
            If nobody said where it is, or it holds something else than files and folders, or a link that leads out of it.
        Conflict
            If it changed while it was read.
        StoreError
            If it cannot be kept: there is no room, say.
        OSError
            If it cannot be read.
        """
        return self._log(path)

    def _log(self, path: Path | str | None, job: JobContext | None = None) -> ArtifactVersion:
        if path is None and self.uri is None:
            raise ParameterError(
                f"artifact {self.name!r} has no uri: say .log(path), or project.artifacts.update({self.name!r}, uri=…)"
            )
        where = self.path if path is None else Path(path)
        blobs = self._project._store.blobs
        return self._recorded(artifact_change(self.name, where, self.type, blobs, self.uri), job=job)


class Artifacts(Registry[RegisteredArtifact]):
    """The artifacts; got as `project.artifacts`.

    Examples
    --------
    >>> import aiflow as af, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=f"{folder}/home") as project:
    ...     path = pathlib.Path(folder, "report.txt")
    ...     _ = path.write_text("all is well")
    ...     version = project.artifacts.log(af.Artifact("report", uri=path))
    ...     _ = path.write_text("nothing is well")
    ...     print(version, version.read_text())
    report:1 all is well
    """

    _noun = kind = "artifact"
    declared = Artifact
    _filters = ("name", "id", "uri", "type", "description")

    def log(
        self, artifact: Artifact | RegisteredArtifact | str | int, path: Path | str | None = None
    ) -> ArtifactVersion:
        """Keep what is in an artifact's file or folder now as a version; one that was declared is registered by that.

        Parameters
        ----------
        artifact
            What was declared, or what is registered: itself, its name or its id. A new name is registered with the path.
        path
            The file or folder, if it is another one than was registered.

        Raises
        ------
        NotFound
            If nothing is there, or nothing is registered under that name.
        Conflict
            If it is registered with another uri or type; or if it changed while it was read.
        ParameterError, StoreError, OSError
            As `RegisteredArtifact.log`.
        """
        return self._log(artifact, path)

    def _log(self, artifact: Any, path: Path | str | None = None, job: JobContext | None = None) -> ArtifactVersion:
        if isinstance(artifact, str) and path is not None and self.find(artifact) is None:
            artifact = Artifact(artifact, uri=os.path.abspath(path))
        if isinstance(artifact, Artifact):
            return self._log_declared(artifact, path, job)
        if not isinstance(artifact, RegisteredArtifact):
            artifact = self.get(artifact)
        found: ArtifactVersion = artifact._log(path, job)
        return found

    def _log_declared(self, said: Artifact, path: Path | str | None, job: JobContext | None) -> ArtifactVersion:
        folder = folder_now(job)
        if path is None and said.uri is None:
            raise ParameterError(f"artifact {said.name!r} was declared without a uri, so say where it is: log(…, path)")
        where = local_path(said.uri, folder) if path is None else Path(path)
        recorded = artifact_change(said.name, where, said.type, self._project._store.blobs, said.uri)
        changes = (registration(said, folder), recorded)
        return ArtifactVersion.of_row(do(self._project, *changes, job=job)[-1], str(self._project.home))

    def _made(self, row: Mapping[str, Any]) -> RegisteredArtifact:
        return RegisteredArtifact(
            row["id"], row["name"], row["uri"], row["type"], row["description"], row["properties"],
            as_datetime(row["created"]), as_datetime(row["updated"]), row["folder"], self._project,
        )  # fmt: skip
