"""Registers datasets, models and artifacts: the same for all of them.

Knows nothing of their versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiflow.errors import Conflict, NotFound, ParameterError, suggest
from aiflow.graph.event import EventType
from aiflow.ledger.book import Book

__all__ = ["KINDS", "Kind", "delete", "known", "register", "update", "ways_to"]

_ENDLESS = 2**63
"""From here on, SQLite has no whole numbers."""


class Kind(NamedTuple):
    """What can be registered.

    Attributes
    ----------
    table
        Where it is kept.
    fixed
        Fields in which a second registration must agree; `update` changes them.
    free
        Fields that a second registration updates.
    versions
        Where its versions are kept, if deleting it is all that becomes of them.
    """

    table: str
    fixed: tuple[str, ...]
    free: tuple[str, ...]
    versions: str | None = None


KINDS = {
    "dataset": Kind(
        "datasets", ("uri", "format", "schema"), ("catalog", "description", "properties", "folder"), "dataset_versions"
    ),
    "model": Kind("models", (), ("description", "properties")),
    "artifact": Kind("artifacts", ("uri", "type"), ("description", "properties", "folder"), "artifact_versions"),
}


def ways_to(name_or_id: str | int) -> list[tuple[str, str | int]]:
    """Give by which columns something is looked for, in order: an id may come as text, but a name that looks so goes first.

    Examples
    --------
    >>> ways_to("knn"), ways_to("3"), ways_to(3)
    ([('name', 'knn')], [('name', '3'), ('id', 3)], [('id', 3)])
    """
    if isinstance(name_or_id, int):
        return [("id", name_or_id)] if abs(name_or_id) < _ENDLESS else []
    ways: list[tuple[str, str | int]] = [("name", name_or_id)] if name_or_id.isprintable() else []
    if name_or_id.isascii() and name_or_id.isdecimal() and len(name_or_id) < 19:
        ways.append(("id", int(name_or_id)))
    return ways


def find(book: Book, kind: str, name_or_id: str | int) -> dict[str, Any] | None:
    """Give the row that is registered under a name or an id, or None."""
    rows = (_row(book, kind, column, value) for column, value in ways_to(name_or_id))
    return next((row for row in rows if row is not None), None)


def _row(book: Book, kind: str, column: str, value: str | int) -> dict[str, Any] | None:
    return book.row(f"SELECT * FROM {KINDS[kind].table} WHERE {column} = ? AND deleted IS NULL", (value,))


def known(book: Book, kind: str, name_or_id: str | int) -> dict[str, Any]:
    """Give the row that is registered under a name or an id; raises `NotFound` with close names."""
    row = find(book, kind, name_or_id)
    if row is None:
        names = [r["name"] for r in book.rows(f"SELECT name FROM {KINDS[kind].table} WHERE deleted IS NULL")]
        raise NotFound(kind, name_or_id, names)
    return row


def register(book: Book, kind: str, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Register something, or find it registered already.

    Raises
    ------
    Conflict
        If it is registered with another value in one of the fixed fields.
    """
    spec, row = KINDS[kind], _row(book, kind, "name", name)
    if row is None:
        row_id = book.insert(
            spec.table, {"name": name, **fields, "created": book.now, "updated": book.now}
        )  # fmt: skip
        _say(book, kind, name, row_id, "registered")
        return known(book, kind, row_id)
    for field in spec.fixed:
        if not _is_same(row[field], fields.get(field)):
            raise Conflict(
                f"{kind} {name!r} is registered with {field}={row[field]!r}, and this says {field}={fields.get(field)!r}; "
                f"if it has changed, say so once: project.{spec.table}.update({name!r}, {field}={fields.get(field)!r})"
            )
    said = {f: fields[f] for f in spec.free if fields.get(f)}  # what is left out says nothing, and takes nothing away
    changed = {f: value for f, value in said.items() if not _is_same(row[f], value)}
    return _changed(book, kind, row, changed)


def update(book: Book, kind: str, name_or_id: str | int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Change some fields of what is registered; what is the same already changes nothing.

    Raises
    ------
    NotFound
        If there is none.
    ParameterError
        If it has no such field.
    """
    spec, row = KINDS[kind], known(book, kind, name_or_id)
    can_change = (*spec.fixed, *spec.free)
    for field in fields:
        if field not in can_change:
            raise ParameterError(f"a {kind} has no field {field!r} that can be changed{suggest(field, can_change)}")
    return _changed(book, kind, row, {f: v for f, v in fields.items() if not _is_same(row[f], v)})


def delete(book: Book, kind: str, name_or_id: str | int) -> dict[str, Any]:
    """Forget what is registered: its name is free, its versions stay to be asked for. Raises `NotFound`."""
    row, spec = known(book, kind, name_or_id), KINDS[kind]
    book.update(spec.table, row["id"], {"deleted": book.now, "updated": book.now})
    if spec.versions is not None:
        sql = f"UPDATE {spec.versions} SET deleted = ? WHERE {kind} = ? AND deleted IS NULL"
        book.execute(sql, (book.now, row["name"]))
    _say(book, kind, row["name"], row["id"], "deleted")
    return row


def _changed(book: Book, kind: str, row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    if not changes:
        return row
    book.update(KINDS[kind].table, row["id"], {**changes, "updated": book.now})
    if changes.keys() - {"folder"}:
        _say(book, kind, row["name"], row["id"], "updated")
    return known(book, kind, row["id"])


def _is_same(kept: Any, said: Any) -> bool:
    """Tell whether two fields are the same as JSON data: a tuple is a list, NaN is itself, and True is not 1."""
    return kept is said or json.dumps(kept, sort_keys=True) == json.dumps(said, sort_keys=True)


def _say(book: Book, kind: str, name: str, row_id: int, action: str) -> None:
    book.say(name, EventType.METADATA_CHANGED, {"kind": kind, "id": row_id, "action": action})
