"""The content of datasets in files and folders: described, read, and written so that nobody ever sees half of it.

Knows nothing of versions and homes. A folder is read as its files of the format, in the order of their names; files whose
name begins with ``.`` or ``_`` are not among them, as they are what other programs note for themselves.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.graph.schema import FORMATS
from aiflow.values.formats import Format, Shape, format_of
from aiflow.values.hashing import content_of, unchanged

__all__ = ["Described", "describe", "read", "write"]


class Described(NamedTuple):
    """What is in a file or folder.

    Attributes
    ----------
    hash, size
        The SHA-256 and the bytes, as `content_of` has them.
    rows, schema
        How many rows, and the columns with their types, where the format tells; a schema that was declared, with the columns
        that it does not name.
    """

    hash: str
    size: int
    rows: int | None
    schema: dict[str, Any] | None


def describe(
    path: Path | str,
    format: str | None = None,
    schema: Mapping[str, Any] | None = None,
    known: Described | None = None,
) -> Described:
    """Say what is in a file or folder, and check it against a schema.

    Parameters
    ----------
    path
        The file or folder.
    format
        ``"csv"``, ``"parquet"``, ``"json"``, ``"npy"``, or another word: then it is not looked into.
    schema
        The types by column that it must have, or None.
    known
        What was said of it last, in the same format: if its hash is still the same, and the schema was checked already, it is
        not looked into again.

    Raises
    ------
    NotFound
        If nothing is there.
    ParameterError
        If the schema does not fit: names the column. Or if a link leads out of the folder.
    Conflict
        If it changed while it was read.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}], Path(folder, "xy.csv"), "csv")
    ...     print(describe(Path(folder, "xy.csv"), "csv")[1:])
    (12, 2, {'x': 'int', 'y': 'str'})
    """
    path = Path(path)
    with unchanged(path):
        content = content_of(path)
        if known is not None and known.hash == content.hash and _is_part(schema, known.schema):
            return known
        shape = _shape(path, format, schema)
    return Described(content.hash, content.size, shape.rows, shape.schema)


def _is_part(schema: Mapping[str, Any] | None, known: Mapping[str, Any] | None) -> bool:
    return schema is None or (known is not None and all(known.get(name) == said for name, said in schema.items()))


def _shape(path: Path, format: str | None, schema: Mapping[str, Any] | None) -> Shape:
    known = format_of(format)
    if known is None:
        return Shape(None, None if schema is None else dict(schema))
    if not path.is_dir():
        return known.look(path, schema, str(path))
    parts = [known.look(part, schema, str(part)) for part in _parts(path, format)]
    if not parts:
        return Shape(0, None if schema is None else dict(schema))
    total = None if any(part.rows is None for part in parts) else sum(part.rows or 0 for part in parts)
    return Shape(total, parts[0].schema)


def read(
    path: Path | str, format: str | None, schema: Mapping[str, Any] | None = None, expected: str | None = None
) -> Any:
    """Give what is in a file or folder.

    Parameters
    ----------
    path, format
        Where it is, and how it is written.
    schema
        The types by column, for formats that have none of their own; a column that does not fit is what it looks like.
    expected
        The hash that it must have.

    Returns
    -------
    Any
        A table as pandas DataFrame if pandas can be imported, else as list of dicts; of ``"npy"`` an array; of ``"json"``
        that holds no table, what it holds.

    Raises
    ------
    NotFound
        If nothing is there.
    Conflict
        If its hash is not the one expected, or it changed while it was read.
    ParameterError
        If it is not of this format.
    StoreError
        If that takes a package which is not here.
    """
    path = Path(path)
    known = _known(format)
    with unchanged(path):
        if expected is not None and (found := content_of(path).hash) != expected:
            raise Conflict(
                f"{path} has changed since this version was recorded: it had the hash {expected[:12]}… and has {found[:12]}… "
                "now; record what is there as a new version (.log()), or put the old content back"
            )
        parts = _parts(path, format) if path.is_dir() else [path]
        if not parts:
            raise NotFound(f"{format} file in", str(path))
        return known.read(parts, schema)


def write(
    value: Any, path: Path | str, format: str | None, schema: Mapping[str, Any] | None = None, what: str = "the value"
) -> None:
    """Write a value to a file: beside its place first, then renamed, so that who reads sees the old or the new.

    Parameters
    ----------
    value
        A table: a pandas DataFrame, a pyarrow Table, a list of dicts, a dict of columns; for ``"npy"`` an array, for
        ``"json"`` any JSON data.
    path
        The file; the folders above it are made.
    format
        ``"csv"``, ``"parquet"``, ``"json"`` or ``"npy"``.
    schema
        The types by column that it must have, or None.
    what
        What the value is, for messages.

    Raises
    ------
    ParameterError
        If it cannot be written in this format, or does not fit the schema: names the column. The file is as it was.
    StoreError
        If that takes a package which is not here.
    OSError
        If it cannot be written.
    """
    path = Path(os.path.realpath(path))  # what a link leads to is replaced, and not the link
    known = _known(format)
    if path.is_dir():
        raise ParameterError(
            f"{path} is a folder: a value is written to a file; let the function write the folder itself"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.half")
    try:
        with open(half, "xb") as file:
            known.write(value, file, schema, what)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _known(format: str | None) -> Format:
    known = format_of(format)
    if known is None:
        raise ParameterError(
            f"aiflow reads and writes {', '.join(FORMATS)}, and this is {format!r}: read and write it in your own function, at .path"
        )
    return known


def _parts(folder: Path, format: str | None) -> list[Path]:
    """Give the files of a format in a folder, in the order of their names."""
    found = [
        Path(above, name)
        for above, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(f".{format}") and name[0] not in "._"
    ]
    return sorted(found)
