"""Fetches the rows of tables from Flink, as far as there is room for them.

Knows nothing of jobs; it is used in the driver, and in no other process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from itertools import islice
from sys import getsizeof
from typing import Any

from aiflow.errors import FlinkError

__all__ = ["fetched", "has_rows"]

_MANY = 10_000
"""How many rows are fetched between two looks at their size."""

_room: ContextVar[int | None] = ContextVar("aiflow_flink_room", default=None)


def has_rows(result: Any) -> bool:
    """Tell whether what `execute_sql` gave is rows that were asked for; an INSERT gives a count that Flink does not know."""
    from pyflink.table import ResultKind
    from pyflink.util.java_utils import get_field_value

    if result.get_result_kind() != ResultKind.SUCCESS_WITH_CONTENT:
        return False
    provider = get_field_value(result._j_table_result, "resultProvider").getClass().getSimpleName()
    return str(provider) != "InsertResultProvider"


def fetched(part: Any, room: int) -> Any:
    """Give the rows of a `Table` or `TableResult` as a data frame.

    Parameters
    ----------
    room
        How many bytes they may take.

    Raises
    ------
    FlinkError
        If they take more; the rest is not fetched.
    """
    from pyflink.table import Table

    if not isinstance(part, Table):
        return _rows_of(part, room)
    _measure_batches()
    token = _room.set(room)
    try:
        return part.to_pandas()
    finally:
        _room.reset(token)


def _rows_of(result: Any, room: int) -> Any:
    """Fetch the rows of a query that was executed already."""
    from pandas import DataFrame

    found: list[tuple[Any, ...]] = []
    size = 0
    with result.collect() as rows:
        while some := [tuple(row) for row in islice(rows, _MANY)]:
            found += some
            size += sum(map(getsizeof, some)) + sum(getsizeof(value) for row in some for value in row)
            _check(size, room)
    return DataFrame(found, columns=result.get_table_schema().get_field_names())


def _measure_batches() -> None:
    """Have PyFlink, which puts all batches of a table together, stop at the one for which there is no room."""
    from pyflink.table.serializers import ArrowSerializer

    load = ArrowSerializer.load_from_iterator
    if getattr(load, "_aiflow", False):
        return

    def measured(self: Any, batches: Iterable[Any]) -> Iterator[Any]:
        size, room = 0, _room.get()
        for batch in load(self, batches):
            size += batch.nbytes
            if room is not None:
                _check(size, room)
            yield batch

    measured._aiflow = True  # type: ignore[attr-defined]
    ArrowSerializer.load_from_iterator = measured


def _check(size: int, room: int) -> None:
    if size > room:
        raise FlinkError(
            f"the rows that the job returns take more than {_amount(room)}, which is the most that is fetched as a value: insert them "
            "into a sink (table.execute_insert(…)) or a dataset and hand its place on, aggregate them, or raise fetch in [tool.aiflow.flink]"
        )


def _amount(size: int) -> str:
    return f"{size / (1 << 20):,.3g} MiB"
