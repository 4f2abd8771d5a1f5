"""Metrics in the ledger: each value is a row, and an event of the same offset as the row has for an id.

Knows nothing of what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
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
    of = {"model": model, "number": number, "dataset": dataset, "dataset_number": dataset_number}
    made_by = (book.now, who.namespace, who.execution_id, who.job, who.number, *of.values())
    tail = _tail(*of.values())
    rows, said = [], []
    for row_id, (name, value, step) in enumerate(metrics, first):
        if isinstance(value, str):
            row, text = (row_id, name, None, value, step, *made_by), f'"{value}"'
        else:
            row, text = (row_id, name, value, None if value else _zero(value), step, *made_by), repr(value)
        text = f'{{"id":{row_id},"value":{text},"step":{"null" if step is None else step},{tail}'
        rows.append(row)
        said.append((name, {"id": row_id, "value": value, "step": step, **of}, text))
    book.say_many(EventType.METRIC_LOGGED, said)
    book.insert_many("metrics", _COLUMNS, rows)
    return {"id": first, "time": book.now}


@lru_cache(maxsize=512)
def _tail(model: str | None, number: int | None, dataset: str | None, dataset_number: int | None) -> str:
    """Give the end of the JSON text of an event's value; the same for many of them."""
    of = {"model": model, "number": number, "dataset": dataset, "dataset_number": dataset_number}
    return json.dumps(of, separators=(",", ":"))[1:]


def _zero(value: float) -> str | None:
    """Give what SQLite does not keep of a zero: its sign."""
    return "-0.0" if repr(value)[0] == "-" else None


def _check(book: Book, kind: str, name: str, number: int | None) -> None:
    """Make sure that the subject is there; a version is, also one that was deleted, or whose model was."""
    if number is None:
        registry.known(book, kind, name)
        return
    if book.row(f"SELECT 1 FROM {kind}_versions WHERE {kind} = ? AND number = ?", (name, number)) is None:
        registry.known(book, kind, name)
        found = book.rows(f"SELECT number FROM {kind}_versions WHERE {kind} = ? ORDER BY number DESC LIMIT 8", (name,))
        raise NotFound(f"version of a {kind}", f"{name}:{number}", [f"{name}:{row['number']}" for row in found])
