"""Tables and fields on a terminal: in its width, in colour, with times as people say them.

Knows nothing of what the data mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TextIO

from aiflow.cli.formats import STATUS_STYLES, Fields, Lines, Table, cell
from aiflow.cli.times import ago
from aiflow.clock import SystemClock

__all__ = ["draw", "lines_of"]


def draw(parts: Sequence[Table | Fields | Lines], stream: TextIO) -> None:
    """Write to a terminal. A time in a table is told from now on back; among fields, it stands whole, too."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console, now = Console(file=stream, highlight=False), SystemClock().now()
    for number, part in enumerate(parts):
        if number and not isinstance(part, Lines):
            console.print()
        if isinstance(part, Lines):
            if part.text:
                text = Text(part.text)
                for pattern, style in part.marks.items():
                    text.highlight_regex(pattern, style)
                console.print(text, soft_wrap=True)
        elif isinstance(part, Fields):
            drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
            drawn.add_column(style="dim", no_wrap=True)
            drawn.add_column(overflow="fold")
            for name, value in part.values.items():
                since = f"  ({ago(value, now)})" if isinstance(value, datetime) else ""
                drawn.add_row(name, _painted(cell(value)) + _painted(since, "dim"))
            console.print(drawn)
        else:
            for line in lines_of(part, console.width, now):
                console.print(line, soft_wrap=True)
            if not part.rows:
                console.print("none", style="dim")


_NARROWEST = 12  # columns; a wide cell that would get less stands on a line of its own


def lines_of(table: Table, room: int, now: float) -> Iterator[Any]:
    """Lay a table out: names, statuses and times stand whole in any terminal, and only the wide cells give way."""
    from rich.cells import cell_len

    rows = [list(table.columns)]
    rows += table.cells(lambda value: ago(value, now) if isinstance(value, datetime) else cell(value))
    rows = [list(row) for row in zip(*(c for c in zip(*rows, strict=True) if _is_told(c, table)), strict=True)]
    headings = rows[0]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(headings))]
    wide = [i for i, heading in enumerate(headings) if heading in table.wide]
    left = room - 2 * (len(headings) - 1) - sum(widths[i] for i in range(len(headings)) if i not in wide)
    longest = next(
        (n for n in range(max(left, _NARROWEST), _NARROWEST - 1, -1) if sum(min(widths[i], n) for i in wide) <= left), 0
    )
    if longest:
        widths = [min(width, longest) if i in wide else width for i, width in enumerate(widths)]
    beside = [i for i in range(len(headings)) if longest or i not in wide]
    for number, row in enumerate(rows):
        style = "" if number else "bold dim"
        yield _line([_fitted(row[i], widths[i], style) for i in beside])
        below = [_painted(row[i], style) for i in wide if row[i]] if not longest else []
        if below:
            yield _line([_painted(""), *below])


def _is_told(column: tuple[str, ...], table: Table) -> bool:
    """Tell whether a column stands there: a wide one in which no row has anything does not."""
    return column[0] not in table.wide or len(column) == 1 or any(column[1:])


def _line(cells: list[Any]) -> Any:
    from rich.text import Text

    line = Text("  ").join(cells)
    line.rstrip()
    return line


def _fitted(text: str, width: int, style: str) -> Any:
    painted = _painted(text, style)
    painted.truncate(width, overflow="ellipsis", pad=True)
    return painted


def _painted(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style or STATUS_STYLES.get(text, ""))
