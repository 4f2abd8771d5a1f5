"""What a schema is: the names of columns and of their types.

Knows nothing of files and tables; those who read and write them ask here what a type is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from aiflow.errors import ParameterError, suggest

__all__ = ["CATALOG", "FORMATS", "KINDS", "checked_catalog", "checked_schema", "kind_of"]

FORMATS = ("csv", "parquet", "json", "npy")
"""The formats that aiflow reads and writes itself."""

CATALOG = ("name", "type", "database", "connection", "table")
"""What can be said of a dataset in a catalogue."""

KINDS = ("int", "float", "str", "bool", "datetime", "date", "bytes", "any")
"""The types that columns have; other names stand for one of these."""

_PYTHON = {int: "int", float: "float", str: "str", bool: "bool", datetime: "datetime", date: "date", bytes: "bytes"}
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("integer", "long", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64))), "int"),
        **dict.fromkeys(("double", "number", "real", "float16", "float32", "float64"), "float"),
        **dict.fromkeys(("string", "text", "category"), "str"),
        **dict.fromkeys(("boolean", "bool_"), "bool"),
        **dict.fromkeys(("timestamp", "datetime64", "datetime64[ns]", "datetime64[us]"), "datetime"),
        "binary": "bytes",
        "object": "any",
    }
)  # fmt: skip


def kind_of(type_name: str) -> str | None:
    """Give which of the `KINDS` the name of a type stands for; None if it is no such name.

    Examples
    --------
    >>> kind_of("float64"), kind_of("str"), kind_of("colour")
    ('float', 'str', None)
    """
    name = type_name.strip().lower()
    return name if name in KINDS else _OTHER_NAMES.get(name)


def checked_schema(name: str, schema: Mapping[str, Any] | None, format: str | None) -> dict[str, str] | None:
    """Give a schema as it is kept: texts by text. Where aiflow reads the format, the types must be known.

    Raises
    ------
    ParameterError
        If it is no schema; names the column.
    """
    if schema is None:
        return None
    if not isinstance(schema, Mapping):
        raise ParameterError(f"Dataset({name!r}, schema=…) takes the types of columns by name, not {schema!r}")
    return {_column(name, column): _type(name, column, given, format) for column, given in schema.items()}


def _column(name: str, column: object) -> str:
    if not isinstance(column, str):
        raise ParameterError(f"Dataset({name!r}, schema=…): the name of a column is a text, not {column!r}")
    return column


def _type(name: str, column: str, given: object, format: str | None) -> str:
    said = _PYTHON.get(given) if isinstance(given, type) else given
    if not isinstance(said, str) or not said:
        raise ParameterError(
            f"Dataset({name!r}, schema=…): the type of column {column!r} is one of {', '.join(KINDS)}, not {given!r}"
        )
    if format in FORMATS and kind_of(said) is None:
        raise ParameterError(
            f"Dataset({name!r}, schema=…): column {column!r} cannot have the type {said!r}{suggest(said, KINDS)}"
        )
    return said


def checked_catalog(name: str, catalog: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Give a catalogue's entry as it is kept; raises `ParameterError` naming what does not belong there."""
    if catalog is None:
        return None
    if not isinstance(catalog, Mapping):
        raise ParameterError(f"Dataset({name!r}, catalog=…) takes fields by name, not {catalog!r}")
    for field, value in catalog.items():
        if field not in CATALOG:
            raise ParameterError(f"Dataset({name!r}, catalog=…) has no field {field!r}{suggest(str(field), CATALOG)}")
        if value is not None and not isinstance(value, str):
            raise ParameterError(f"Dataset({name!r}, catalog=…): {field} is a text, not {value!r}")
    return dict(catalog)
