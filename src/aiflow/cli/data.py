"""Datasets and artifacts as data for programs and as rows for people.

Knows nothing of what is in them.
"""

from __future__ import annotations

from typing import Any

from aiflow.cli.formats import Table
from aiflow.cli.prune import size
from aiflow.graph.params import shown

__all__ = ["artifact_table", "data_record", "dataset_table"]

Record = dict[str, Any]


def data_record(found: Any) -> Record:
    """Give a registered dataset or artifact as data, with its newest version."""
    latest = found.latest()
    return {
        **_fields(found, "folder"),
        "path": found.path,
        "latest": None if latest is None else _fields(latest, "home"),
    }


def _fields(thing: Any, hidden: str) -> Record:
    return {
        n: shown(getattr(thing, n)) for n in type(thing).__dataclass_fields__ if n != hidden and not n.startswith("_")
    }


def dataset_table(rows: list[Record]) -> Table:
    """Lay datasets out for people."""
    columns = {**_VERSIONED, "FORMAT": "format", "ROWS": lambda row: _of_latest(row, "rows"), **_WHERE}
    return Table(rows, columns, wide=("WHERE", "DESCRIPTION"))


def artifact_table(rows: list[Record]) -> Table:
    """Lay artifacts out for people."""
    return Table(rows, {**_VERSIONED, "TYPE": "type", **_WHERE}, wide=("WHERE", "DESCRIPTION"))


def _of_latest(row: Any, field: str) -> Any:
    return None if row["latest"] is None else row["latest"][field]


def _size(row: Any) -> str:
    count = _of_latest(row, "size")
    return "" if count is None else size(count)


_VERSIONED: dict[str, Any] = {
    "NAME": "name",
    "LATEST": lambda row: "" if row["latest"] is None else f"{row['name']}:{row['latest']['number']}",
    "SIZE": _size,
    "RECORDED": lambda row: _of_latest(row, "created"),
}
_WHERE: dict[str, Any] = {
    "WHERE": lambda row: row["path"] or row["uri"], "DESCRIPTION": lambda row: str(row["description"]).strip().partition("\n")[0],
}  # fmt: skip
