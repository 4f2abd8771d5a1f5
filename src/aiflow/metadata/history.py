"""The values of a metric over time, as users get them from `project.metrics.history`.

Knows nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, overload

from aiflow.graph.card import Card, HasCard, Note
from aiflow.graph.metric import Metric
from aiflow.metadata.plots import MetricPlot, Tell, plot_of
from aiflow.table import Table

__all__ = ["COLUMNS", "MetricHistory", "Row", "metric_of"]

COLUMNS = (
    "value, special, step, time, name, model, model_number, dataset, dataset_number, execution_id, job, job_number, id"
)
Row = tuple[Any, ...]
"""A row of the store with these columns."""


def metric_of(row: Row) -> Metric:
    """Make a metric of a row."""
    return Metric(_value(row), *row[2:])


def _value(row: Row) -> float:
    return row[0] if row[1] is None else float(row[1])


class MetricHistory(Sequence[Metric], HasCard):
    """Values of a metric in the order in which they were logged; a slice of it is one, too.

    Parameters
    ----------
    name
        The metric.
    rows
        Rows of the store.
    tell
        Says how executions are told from each other, for plots.
    hint
        If there are no values: which names are close, or known, as the end of a sentence.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     project.metrics.log_many([("loss", 0.5 ** n, n) for n in range(4)])
    ...     losses = project.metrics.history("loss")
    >>> losses.values, losses[1:].steps, losses.last.value, losses.max.step
    ([1.0, 0.5, 0.25, 0.125], [1, 2, 3], 0.125, 0)
    """

    __slots__ = ("hint", "name", "rows", "tell")

    def __init__(self, name: str, rows: Sequence[Row], tell: Tell | None = None, hint: str = "") -> None:
        self.name, self.rows, self.tell, self.hint = name, rows, tell, hint

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Metric: ...
    @overload
    def __getitem__(self, index: slice) -> MetricHistory: ...
    def __getitem__(self, index: int | slice) -> Metric | MetricHistory:
        if isinstance(index, slice):
            return MetricHistory(self.name, self.rows[index], self.tell)
        return metric_of(self.rows[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetricHistory) and [r[-1] for r in self.rows] == [r[-1] for r in other.rows]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        count = f"{len(self)} value{'s' if len(self) != 1 else ''}"
        return f"<history of {self.name}: {count}{f', the last {self.last.value:g}' if self.last else self.hint}>"

    @property
    def values(self) -> list[float]:
        """The values alone."""
        return [_value(row) for row in self.rows]

    @property
    def steps(self) -> list[int | None]:
        """The step of each."""
        return [row[2] for row in self.rows]

    @property
    def times(self) -> list[datetime]:
        """When each was logged."""
        return [datetime.fromtimestamp(row[3], UTC) for row in self.rows]

    @property
    def last(self) -> Metric | None:
        """The newest one; None if there is none."""
        return self[-1] if self.rows else None

    @property
    def min(self) -> Metric | None:
        """The one with the least value, the oldest of equals; NaN does not count. None if there is none."""
        return self._extreme(min)

    @property
    def max(self) -> Metric | None:
        """The one with the greatest value, the oldest of equals; NaN does not count. None if there is none."""
        return self._extreme(max)

    def plot(self, x: str | None = None) -> MetricPlot:
        """Plot it, in a picture or as text.

        Parameters
        ----------
        x
            ``"step"``, ``"time"`` or ``"order"``; by default the one that fits.
        """
        return plot_of([self], x, self.tell)

    def to_pandas(self) -> Any:
        """Give it as a `pandas.DataFrame`, with the time as index; needs pandas."""
        columns = ("time", *(name for name in Metric.__slots__ if name != "timestamp"))
        rows = [{name: getattr(metric, name) for name in columns} for metric in self]
        return Table(columns, rows).to_pandas().set_index("time")

    def __str__(self) -> str:
        return str(self.plot()) if self.rows or not self.hint else f"{self.name}: no values{self.hint}"

    def _card(self) -> Card:
        return Card(kind="history of", name=self.name, parts=[Note(f"no values{self.hint}")])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if self.rows or not self.hint:
            return self.plot()._repr_mimebundle_()
        return {"text/html": super()._repr_html_(), "text/plain": str(self)}

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _extreme(self, choose: Callable[..., Row]) -> Metric | None:
        numbers: Iterable[Row] = [row for row in self.rows if row[1] != "NaN"]
        found = choose(numbers, key=_value, default=None)
        return None if found is None else metric_of(found)
