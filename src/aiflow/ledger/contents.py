"""The versions of datasets and artifacts, in the ledger: told apart by what is in them.

Knows nothing of files: what is in them was looked at before, and what is kept of them is in blobs already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiflow.graph.event import EventType
from aiflow.ledger import lineage, registry
from aiflow.ledger.book import Book

__all__ = ["log_artifact", "log_dataset"]


def log_dataset(book: Book, dataset: str | int, fields: Mapping[str, Any], found: bool = False) -> dict[str, Any]:
    """Record what is in a dataset: the next version, or the latest if that has the same content. Raises `NotFound`.

    `found`: who records it has found it there and works on it; else he has made it, if it is a new version.
    """
    row = _log(book, "dataset", dataset, fields, found)
    if found:
        lineage.use(book, "dataset", row["dataset"], row["number"])
    return row


def log_artifact(book: Book, artifact: str | int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Record what is in an artifact: the next version, or the latest if that has the same content. Raises `NotFound`."""
    return _log(book, "artifact", artifact, fields, False)


def _log(book: Book, kind: str, name_or_id: str | int, fields: Mapping[str, Any], found: bool) -> dict[str, Any]:
    name = registry.known(book, kind, name_or_id)["name"]
    table = f"{kind}_versions"
    newest = book.row(f"SELECT * FROM {table} WHERE {kind} = ? ORDER BY number DESC LIMIT 1", (name,))
    is_same = newest is not None and newest["deleted"] is None and fields.get("hash") is not None
    if newest is not None and is_same and newest["hash"] == fields["hash"]:
        changed = {key: value for key, value in fields.items() if newest[key] != value}
        if changed:  # it was moved, say, or more is known of its columns: that is no other content
            book.update(table, newest["id"], changed)
        return {**newest, **changed}
    number = 1 if newest is None else newest["number"] + 1
    made = {kind: name, "number": number, "created": book.now, **fields, **book.made_by}
    row_id = book.insert(table, made)
    if not found:
        lineage.made(book, kind, name, number)
    value = {"id": row_id, "number": number, "stage": None, "before": None}
    book.say(name, EventType(f"{kind.upper()}_CHANGED"), value)
    row = book.row(f"SELECT * FROM {table} WHERE id = ?", (row_id,))
    assert row is not None
    return row
