"""Metrics in the ledger: each value is a row, and an event of the same offset as the row has for an id.

Knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiflow.errors import NotFound
from aiflow.graph.event import EventType
from aiflow.graph.metric import Measure
from aiflow.ledger import registry
from aiflow.ledger.book import Book

__all__ = ["log_metrics"]

_COLUMNS = ("id", "name", "value", "special", "step", "time", "namespace", "execution_id", "job", "job_number",
            "model", "model_number", "dataset", "dataset_number")  # fmt: skip


def log_metrics(
    book: Book,
    metrics: Sequence[Measure],
    model: str | None = None,
    number: int | None = None,
    dataset: str | None = None,
    dataset_number: int | None = None,
) -> dict[str, Any]:
    """Record values of metrics, all of the same subject; give the id of the first (the others follow it) and the time.

    Raises
    ------
    NotFound
        If the model or the dataset is not registered, or has no such version.
    """
    for kind, name, one in (("model", model, number), ("dataset", dataset, dataset_number)):
        if name is not None:
            _check(book, kind, name, one)
    first, who = book.next_offset, book.who
    subject = (model, number, dataset, dataset_number)
    made_by = (book.now, who.namespace, who.execution_id, who.job, who.number, *subject)
    of = dict(zip(("model", "number", "dataset", "dataset_number"), subject, strict=True))
    rows, said = [], []
    for row_id, (name, value, step) in enumerate(metrics, first):
        plain, special = (None, value) if isinstance(value, str) else (value, "-0.0" if _is_minus_zero(value) else None)
        rows.append((row_id, name, plain, special, step, *made_by))
        said.append((name, {"id": row_id, "value": value, "step": step, **of}))
    book.say_many(EventType.METRIC_LOGGED, said)
    book.insert_many("metrics", _COLUMNS, rows)
    return {"id": first, "time": book.now}


def _is_minus_zero(value: float) -> bool:
    return not value and str(value)[0] == "-"


def _check(book: Book, kind: str, name: str, number: int | None) -> None:
    """Make sure that the subject is there; a version is, also one that was deleted, or whose model was."""
    if number is None:
        registry.known(book, kind, name)
        return
    if book.row(f"SELECT 1 FROM {kind}_versions WHERE {kind} = ? AND number = ?", (name, number)) is None:
        registry.known(book, kind, name)
        found = book.rows(f"SELECT number FROM {kind}_versions WHERE {kind} = ? ORDER BY number DESC LIMIT 8", (name,))
        raise NotFound(f"version of a {kind}", f"{name}:{number}", [f"{name}:{row['number']}" for row in found])
