"""Does changes of the metadata, by the name of their operation.

Knows nothing of turns: it is handed the transaction of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiflow.errors import RunnerError
from aiflow.graph.change import Change
from aiflow.ledger import contents, lineage, metrics, models, registry
from aiflow.ledger.book import Book

__all__ = ["do"]

_OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (
        registry.register,
        registry.update,
        registry.delete,
        contents.log_dataset,
        contents.log_artifact,
        models.log_model,
        models.set_stage,
        models.reach_stage,
        models.roll_back,
        models.delete_model,
        metrics.log_metrics,
        lineage.use,
    )
}


def do(book: Book, change: Change) -> Any:
    """Do one change; give what it gives, as JSON data."""
    operation = _OPERATIONS.get(change.op)
    if operation is None:  # a child process of another version of aiflow, say
        raise RunnerError(f"the ledger has no operation {change.op!r}")
    return operation(book, **change.fields)
