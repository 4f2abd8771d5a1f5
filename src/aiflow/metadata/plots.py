"""Plots of metrics: which values make a line, what they are plotted along, and how that is shown.

Knows nothing of where the values came from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiflow.errors import ParameterError
from aiflow.graph.series import Plot, Series, X

if TYPE_CHECKING:
    from aiflow.metadata.history import MetricHistory, Row

__all__ = ["MetricPlot", "plot_of"]

_VALUE, _SPECIAL, _STEP, _TIME, _NAME, _MODEL, _NUMBER, _DATASET, _DATASET_NUMBER, _EXECUTION, _JOB, _JOB_NUMBER = (
    range(12)
)


class MetricPlot:
    """A plot; shown as a picture in notebooks, and as text where it is printed.

    Parameters
    ----------
    plot
        What is shown.
    """

    __slots__ = ("plot",)

    def __init__(self, plot: Plot) -> None:
        self.plot = plot

    def to_svg(self, width: int = 640, height: int = 300) -> str:
        """Give it as SVG text, for light and dark pages; width and height in pixels."""
        from aiflow.graph.plotting import svg

        return svg(self.plot, width, height)

    def to_text(self, width: int = 80, height: int = 16, *, encoding: str | None = None, colours: bool = False) -> str:
        """Give it as lines of text.

        Parameters
        ----------
        width, height
            Characters and lines.
        encoding
            What it will be written in, by default what standard output takes; where that has no braille, it is letters.
        colours
            Whether to tell lines apart by the colours of terminals, and not by marks.
        """
        from aiflow.graph.textplot import text

        encoding = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
        return text(self.plot, width, height, encoding=encoding, colours=colours)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        count = len(self.plot.series)
        return f"<plot of {self.plot.title} over {self.plot.x}: {count} line{'s' if count != 1 else ''}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        drawn = self.to_svg()
        return {"text/html": drawn, "image/svg+xml": drawn, "text/plain": self.to_text(encoding="utf-8")}


Tell = Callable[[Iterable[str]], Mapping[str, str]]
"""Says how executions are told from each other: by id, a short text."""


def plot_of(histories: Sequence[MetricHistory], x: X | str | None = None, tell: Tell | None = None) -> MetricPlot:
    """Plot one or more metrics.

    Parameters
    ----------
    histories
        Of whatever metrics.
    x
        ``"step"``, ``"time"`` or ``"order"``. By default it is the step, if all values have one and these differ; else the
        time, if the values have many different ones; else their order.
    tell
        Says what lines of different executions are called; by default, by the beginning of the id.

    Returns
    -------
    MetricPlot
        Along steps, each job that logged values has a line for each thing that they are of. Along times, each version
        has one; but if each has one value only, these are one line.
    """
    rows = [row for history in histories for row in history.rows]
    chosen = _chosen(rows) if x is None else _wanted(x)
    title = ", ".join(dict.fromkeys(history.name for history in histories))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for history in histories:
        for key, part in _groups(history.rows, chosen).items():
            groups.setdefault((history.name, *key), []).extend(part)
    labels = _labels([part[0] for part in groups.values()], tell)
    series = [
        Series(label, [(_x(row, place, chosen), _y(row)) for place, row in enumerate(part)])
        for label, part in zip(labels, groups.values(), strict=True)
    ]
    return MetricPlot(Plot(title, tuple(series), chosen))


def _wanted(x: X | str) -> X:
    try:
        return X(str(x))
    except ValueError:
        raise ParameterError(f"a metric is plotted along one of {', '.join(X)}, not {x!r}") from None


def _chosen(rows: Sequence[Row]) -> X:
    has_steps = all(row[_STEP] is not None for row in rows)
    if has_steps and any(len({row[_STEP] for row in part}) > 1 for part in _groups(rows, X.STEP).values()):
        return X.STEP
    return X.TIME if rows and len({row[_TIME] for row in rows}) * 2 >= len(rows) else X.ORDER


def _groups(rows: Sequence[Row], x: X) -> dict[tuple[Any, ...], list[Row]]:
    """Give the values that make a line each."""
    is_of = slice(_MODEL, _JOB_NUMBER + 1) if x is X.STEP else slice(_MODEL, _DATASET_NUMBER + 1)
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[is_of]), []).append(row)
    if x is not X.STEP and all(len(part) == 1 for part in found.values()) and rows:
        return {(): list(rows)}
    return found


def _x(row: Row, place: int, x: X) -> float:
    if x is X.STEP:
        return float(row[_STEP]) if row[_STEP] is not None else float(place)
    return float(row[_TIME]) if x is X.TIME else float(place)


def _y(row: Row) -> float:
    return float(row[_VALUE] if row[_SPECIAL] is None else row[_SPECIAL])


def _labels(rows: Sequence[Row], tell: Tell | None) -> list[str]:
    """Call each line by what tells it from the others, and by no more."""
    executions = list(dict.fromkeys(row[_EXECUTION] for row in rows if row[_EXECUTION]))
    told = tell(executions) if tell is not None and len(executions) > 1 else {}
    parts: tuple[Callable[[Row], str], ...] = (
        lambda row: row[_NAME],
        lambda row: _version(row[_MODEL], row[_NUMBER]),
        lambda row: _version(row[_DATASET], row[_DATASET_NUMBER]),
        lambda row: row[_JOB] or "",
        lambda row: told.get(row[_EXECUTION], ""),
        lambda row: (row[_EXECUTION] or "")[:6],
        lambda row: f"#{row[_JOB_NUMBER]}" if row[_JOB_NUMBER] else "",
    )
    labels = [""] * len(rows)
    for part in parts:
        longer = [f"{label} {part(row)}".strip() for label, row in zip(labels, rows, strict=True)]
        if len(set(longer)) > len(set(labels)):
            labels = longer
    return labels


def _version(name: str | None, number: int | None) -> str:
    return (name or "") if number is None else f"{name}:{number}"
