"""The datasets as users ask for them: `project.datasets`, and what is registered under a name.

Knows nothing of formats, nor of SQL beyond reading rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from aiflow.clock import as_datetime
from aiflow.graph.dataset import Dataset, DatasetVersion
from aiflow.graph.place import local_path
from aiflow.metadata.registered import Registry
from aiflow.metadata.versioned import Versioned
from aiflow.values.contents import dataset_change

__all__ = ["Datasets", "RegisteredDataset"]


@dataclass(frozen=True, slots=True, repr=False)
class RegisteredDataset(Versioned[DatasetVersion]):
    """A dataset that is registered, and the door to its versions.

    Attributes
    ----------
    id, name
        What it is asked for by.
    uri, format, schema, catalog, description, properties
        What was said of it; see `aiflow.Dataset`.
    created, updated
        Times in UTC.
    """

    kind: ClassVar[str] = "dataset"

    id: int
    name: str
    uri: str | None
    format: str | None
    schema: Mapping[str, Any] | None
    catalog: Mapping[str, Any] | None
    description: str
    properties: Mapping[str, Any]
    created: datetime
    updated: datetime
    folder: str | None = field(default=None, repr=False)
    _project: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<registered dataset {self.name}>"

    def _facts(self) -> dict[str, Any]:
        return {
            "at": self.path or self.uri, "format": self.format, "schema": self.schema, "catalog": self.catalog,
            "description": self.description, "properties": self.properties,
        }  # fmt: skip

    @property
    def path(self) -> Path | None:
        """The file or folder, whether it is there or not; None if it is elsewhere, as ``s3://…`` is, or nobody said where."""
        return local_path(self.uri, self.folder)

    def log(self, *, hash: str | None = None, size: int | None = None) -> DatasetVersion:
        """Record the content that is there now as a version; if it is that of the latest one, it is that one.

        The file or folder is hashed, and checked against the schema if there is one.

        Parameters
        ----------
        hash, size
            What you know of the content, if it is elsewhere (``s3://…``). Without a hash, each call is a new version.

        Raises
        ------
        NotFound
            If nothing is there.
        ParameterError
            If it has no uri, or does not fit the schema: names the column.
        Conflict
            If it changed while it was read.
        OSError
            If it cannot be read.
        """
        said = (self.name, self.uri, self.folder, self.format, self.schema)
        return self._recorded(dataset_change(*said, told={"hash": hash, "size": size}, latest=self.latest()))


class Datasets(Registry[RegisteredDataset]):
    r"""The datasets; got as `project.datasets`.

    Examples
    --------
    >>> import aiflow as af, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=f"{folder}/home") as project:
    ...     path = pathlib.Path(folder, "iris.csv")
    ...     iris = project.datasets.register("iris", uri=path, format="csv")
    ...     for text in ("width\n1.5\n", "width\n1.5\n", "width\n2.5\n"):
    ...         _ = path.write_text(text)
    ...         print(iris.log())
    iris:1
    iris:1
    iris:2
    """

    _noun = kind = "dataset"
    declared = Dataset
    _filters = ("name", "id", "uri", "format", "description")

    def _made(self, row: Mapping[str, Any]) -> RegisteredDataset:
        return RegisteredDataset(
            row["id"], row["name"], row["uri"], row["format"], row["schema"], row["catalog"], row["description"],
            row["properties"], as_datetime(row["created"]), as_datetime(row["updated"]), row["folder"], self._project,
        )  # fmt: skip
