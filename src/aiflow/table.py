"""A table: rows under headings, as `compare` gives them; shown as text, as HTML, and as a DataFrame of pandas.

Knows nothing of what the rows mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

from aiflow.errors import NotFound
from aiflow.graph.card import Card, HasCard, Rows

__all__ = ["Table"]

_LONGEST, _MOST_ROWS = 60, 60


class Table(Sequence[dict[str, Any]], HasCard):
    """Rows under headings; a sequence of dicts.

    Parameters
    ----------
    columns
        The headings, in order.
    rows
        A value for each heading; what is missing is None.

    Examples
    --------
    >>> scores = Table(["version", "auc"], [{"version": 1, "auc": 0.91}, {"version": 2, "auc": 0.87}])
    >>> print(scores)
    version  auc
          1  0.91
          2  0.87
    >>> scores["auc"], scores[0], scores.sorted("auc")[0]["version"]
    ([0.91, 0.87], {'version': 1, 'auc': 0.91}, 2)
    """

    __slots__ = ("columns", "rows")

    def __init__(self, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
        self.columns = tuple(columns)
        self.rows = [{name: row.get(name) for name in self.columns} for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: int | slice | str) -> dict[str, Any] | Table | list[Any]:
        if isinstance(index, str):
            if index not in self.columns:
                raise NotFound("column", index, self.columns)
            return [row[index] for row in self.rows]
        return Table(self.columns, self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and (self.columns, self.rows) == (other.columns, other.rows)

    __hash__ = None  # type: ignore[assignment]

    def sorted(self, column: str, reverse: bool = False) -> Table:
        """Give it sorted by a column; rows without a value, and those with NaN, come last."""
        values = self[column]
        known = [i for i, value in enumerate(values) if value is not None and value == value]
        order = sorted(known, key=lambda i: values[i], reverse=reverse)
        left = [i for i in range(len(values)) if i not in set(known)]
        return Table(self.columns, [self.rows[i] for i in (*order, *left)])

    def to_pandas(self) -> Any:
        """Give it as a `pandas.DataFrame`; needs pandas."""
        import pandas

        return pandas.DataFrame({name: [row[name] for row in self.rows] for name in self.columns})

    def __repr__(self) -> str:
        left = len(self) - _MOST_ROWS
        return f"{self[:_MOST_ROWS]}\n… and {left} more" if left > 0 else str(self)

    def __str__(self) -> str:
        """Give it as text: numbers stand at the right, all else at the left."""
        laid = []
        for name, is_number in zip(self.columns, self._are_numbers(), strict=True):
            cells = [name, *map(_cell, self[name])]
            width = max(map(len, cells))
            laid.append([cell.rjust(width) if is_number else cell.ljust(width) for cell in cells])
        return "\n".join("  ".join(row).rstrip() for row in zip(*laid, strict=True))

    def _are_numbers(self) -> list[bool]:
        return [all(isinstance(value, int | float | None) for value in self[name]) for name in self.columns]

    def _card(self) -> Card:
        return Card(kind="", parts=[Rows(self.columns, [list(row.values()) for row in self.rows])])


def _cell(value: Any) -> str:
    """Give a value as a short text on one line."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | tuple) else str(value)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
