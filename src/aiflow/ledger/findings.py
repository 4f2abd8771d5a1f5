"""What is so already of what conditions wait for, as events: for their ``.now()``, when an execution or a trigger begins.

Knows nothing of who waits, nor of what follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiflow.graph.event import Draft
from aiflow.graph.metadata import ChangeCondition, MetadataCondition, MetricCondition, number_in
from aiflow.ledger.book import Book

__all__ = ["findings"]


def findings(book: Book, asking: Iterable[MetadataCondition], own: str) -> list[Draft]:
    """Give an event for each condition that is met already; it says what the event said that met it.

    Parameters
    ----------
    book
        The open transaction, on behalf of the namespace that asks.
    asking
        The conditions, each once.
    own
        The id of the execution or trigger that begins; the events are for it alone.
    """
    found = []
    for leaf in asking:
        if isinstance(leaf, MetricCondition):
            value = _value(book, leaf)
        else:
            assert isinstance(leaf, ChangeCondition)
            value = _change(book, leaf)
        if value is not None:
            found.append(Draft(leaf.name, value, leaf.type, book.who.namespace, str(leaf), own, own))
    return found


def _change(book: Book, leaf: ChangeCondition) -> dict[str, Any] | None:
    kind, _, word = leaf.type.partition("_")
    if kind == "MODEL":
        return book.row(
            "SELECT id, number, stage, (SELECT s.before FROM model_stages s WHERE s.model = v.model AND s.number = v.number "
            "ORDER BY s.id DESC LIMIT 1) AS before FROM model_versions v WHERE model = ? AND stage = ? ORDER BY number DESC LIMIT 1",
            (leaf.name, word),
        )
    noun = kind.lower()
    sql = f"SELECT id, number FROM {noun}_versions WHERE {noun} = ? AND deleted IS NULL ORDER BY number DESC LIMIT 1"
    row = book.row(sql, (leaf.name,))
    return None if row is None else {**row, "stage": None, "before": None}


def _value(book: Book, leaf: MetricCondition) -> dict[str, Any] | None:
    """Give the newest value of a metric, if it compares so."""
    parts, values = ["name = ?"], [leaf.name]
    for column in ("model", "dataset"):
        if (subject := getattr(leaf, column)) is not None:
            parts.append(f"{column} = ?")
            values.append(subject)
    if leaf.namespace is not None or len(parts) == 1:
        parts.append("fits_glob(?, namespace)")
        values.append(book.who.namespace if leaf.namespace is None else leaf.namespace)
    row = book.row(f"SELECT * FROM metrics WHERE {' AND '.join(parts)} ORDER BY id DESC LIMIT 1", values)
    if row is None:
        return None
    said = row["special"] if row["value"] is None else row["value"]
    value = number_in(said)
    if value is None or not leaf.is_true_of(value):
        return None
    return {
        "id": row["id"], "value": said, "step": row["step"], "model": row["model"], "number": row["model_number"],
        "dataset": row["dataset"], "dataset_number": row["dataset_number"],
    }  # fmt: skip
