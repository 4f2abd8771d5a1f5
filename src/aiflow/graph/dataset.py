"""What a dataset is: what a workflow declares, and its versions, told apart by what is in them.

Knows nothing of files, formats and how versions are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from aiflow.graph.card import Card, HasCard
from aiflow.graph.condition import Condition
from aiflow.graph.event import EventType
from aiflow.graph.metadata import ChangeCondition, Uncompared
from aiflow.graph.naming import check_name, check_texts, check_tree
from aiflow.graph.place import local_path
from aiflow.graph.schema import checked_catalog, checked_schema
from aiflow.graph.version import Version

__all__ = ["Dataset", "DatasetVersion"]


@dataclass(frozen=True, slots=True)
class Dataset(HasCard):
    """Data by name, declared once.

    Parameters
    ----------
    name
        Unique in the home.
    uri
        Where it is: the path of a file or folder (a relative one is taken from the folder of the workflow's file), or
        something like ``s3://…`` that only your own functions read.
    format
        ``"csv"``, ``"parquet"``, ``"json"`` or ``"npy"``, which aiflow can read and write; or a word of your own.
    schema
        The columns and their types: ``{"species": "str", "width": "float"}``. Types are ``int``, ``float``, ``str``, ``bool``,
        ``datetime``, ``date``, ``bytes`` and ``any``, as texts or as Python has them. Data must have these columns, and may have more.
    catalog
        Where a catalogue knows it: any of `name`, `type`, `database`, `connection`, `table`.
    description, properties
        Whatever you want to remember of it.

    Examples
    --------
    >>> import aiflow as af
    >>> af.Dataset("iris", uri="data/iris.csv", format="csv").uri
    'data/iris.csv'
    """

    kind: ClassVar[str] = "dataset"

    name: str
    uri: str | None = None
    format: str | None = None
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    catalog: Mapping[str, Any] | None = field(default=None, hash=False)
    description: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_name("Dataset", self.name)
        if isinstance(self.uri, Path):
            object.__setattr__(self, "uri", str(self.uri))
        check_texts("Dataset", self.name, uri=self.uri, format=self.format, description=self.description)
        check_tree("Dataset", self.name, "properties", self.properties)
        object.__setattr__(self, "schema", checked_schema(self.name, self.schema, self.format))
        object.__setattr__(self, "catalog", checked_catalog(self.name, self.catalog))

    def fields(self) -> dict[str, Any]:
        """Give what is remembered of it besides the name."""
        return {
            "uri": self.uri,
            "format": self.format,
            "schema": None if self.schema is None else dict(self.schema),
            "catalog": None if self.catalog is None else dict(self.catalog),
            "description": self.description,
            "properties": dict(self.properties),
        }

    @property
    def changed(self) -> Condition:
        """A condition: there is a new version of it: its content is another."""
        return ChangeCondition(self.name, EventType.DATASET_CHANGED)

    def metric(self, name: str) -> Uncompared:
        """Give a metric of it, whatever the version; compared with a number it is a condition: ``iris.metric("missing") > 10``."""
        return Uncompared(name, dataset=self.name)

    def _card(self) -> Card:
        return Card(kind=self.kind, name=self.name, facts=self.fields())

    @property
    def _advice(self) -> str:
        return "say .changed"


@dataclass(frozen=True, slots=True, repr=False)
class DatasetVersion(Version):
    """One version of a dataset; written ``iris:2``.

    Attributes
    ----------
    dataset, number
        Which; numbers begin at 1 and are never used again.
    hash, size
        The SHA-256 of its content, and how many bytes that has.
    uri
        Where it was when the version was recorded; an absolute path, if it is a file or folder.
    format
        How it is written.
    rows, schema
        How many rows, and the columns with their types, where the format tells. Of csv without a declared schema, the
        types are what the first 10,000 rows look like.
    created
        When it was recorded.
    execution_id, job, job_number
        The job execution that recorded it, or None.
    """

    kind: ClassVar[str] = "dataset"

    dataset: str
    number: int
    hash: str | None = field(compare=False, default=None)
    uri: str | None = field(compare=False, default=None)
    format: str | None = field(compare=False, default=None)
    size: int | None = field(compare=False, default=None)
    rows: int | None = field(compare=False, default=None)
    schema: Mapping[str, Any] | None = field(compare=False, default=None)
    created: datetime | None = field(compare=False, default=None)
    execution_id: str | None = field(compare=False, default=None)
    job: str | None = field(compare=False, default=None)
    job_number: int | None = field(compare=False, default=None)
    id: int = field(compare=False, default=0)
    home: str = field(compare=False, default="", repr=False)

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self.dataset

    def _row(self) -> dict[str, Any]:
        return {
            "version": str(self), "recorded": self.created, "rows": self.rows, "bytes": self.size, "hash": self.short_hash,
            "job": self.job,
        }  # fmt: skip

    @property
    def path(self) -> Path | None:
        """The file or folder; None if it is elsewhere, as ``s3://…`` is."""
        return local_path(self.uri, None)

    def read(self) -> Any:
        r"""Give what is in it, if that is still what was recorded.

        The whole file is hashed first, and must not change until it is read: what comes back is this version, or an error
        comes. Whoever wants what is there now, whatever it is, reads from `path`.

        Returns
        -------
        Any
            Of csv, parquet and json a pandas DataFrame if pandas can be imported, else a list of dicts; of npy an array; of
            json that is no list of objects, what it is.

        Raises
        ------
        Conflict
            If it has changed since the version was recorded; names both hashes.
        NotFound
            If it is not there any more.
        ParameterError
            If aiflow does not read its format, or it is not written in that, or it is not a file or folder.
        StoreError
            If reading it takes a package that is not here.

        Examples
        --------
        >>> import aiflow as af, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=f"{folder}/home") as project:
        ...     path = pathlib.Path(folder, "xy.csv")
        ...     _ = path.write_text("x,y\n1,a\n2,b\n")
        ...     version = project.datasets.register("xy", uri=path, format="csv").log()
        ...     print(version, version.rows, version.schema, len(version.read()))
        xy:1 2 {'x': 'int', 'y': 'str'} 2
        """
        found = self._contents.read_dataset(self)
        self._use()
        return found
