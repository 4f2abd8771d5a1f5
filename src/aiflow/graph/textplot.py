"""A plot as text, for terminals: braille dots, or letters where these cannot be written or several series must be told apart.

Knows nothing of terminals; it is told how much room there is, and what can be written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from aiflow.graph.picture import clean, shorten
from aiflow.graph.scale import Scale, Tick, shown
from aiflow.graph.series import Plot, Point, Series, runs, thinned

__all__ = ["text"]

_MARKS, _LETTERS = "●▲■◆○△□◇", "ox+*#@%&"
_COLOURS = (34, 33, 32, 35, 31, 36, 93, 37)
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bits of a braille character, column by column (Unicode 4.1, block 2800)."""
_BRAILLE = 0x2800


class _Signs(NamedTuple):
    """What is drawn with."""

    upright: str
    tick: str
    corner: str
    level: str
    notch: str
    marks: str
    is_fine: bool  # whether a character has two by four dots


_FINE, _PLAIN = _Signs("│", "┤", "└", "─", "┬", _MARKS, True), _Signs("|", "+", "+", "-", "+", _LETTERS, False)


def text(plot: Plot, width: int = 80, height: int = 16, *, encoding: str = "utf-8", colours: bool = False) -> str:
    """Give a plot as lines of text.

    Parameters
    ----------
    plot
        What to show.
    width, height
        Characters and lines, the title included; at least 40 by 7.
    encoding
        What it will be written in; where that has no braille, it is letters.
    colours
        Whether to tell series apart by the colours of ANSI terminals, not by marks.

    Examples
    --------
    >>> from aiflow.graph.series import Series
    >>> print(text(Plot("loss", (Series("", [(n, 9.0 - n) for n in range(10)]),)), 40, 8, encoding="ascii"))
    loss                              last 0
    10 +ooo
       |   ooooooooooo
       |              oooooooooooooooo
     0 +                              oooooo
       ++------------------+----------------
        0                  5
                                        step
    """
    width, height = max(40, width), max(7, height)
    signs = _signs(encoding)
    several = len(plot.series) > 1
    head = [_head(plot, width, signs), *(_legend(plot, width, signs, colours) if several else ())]
    rows = max(3, height - len(head) - 3)
    across, up = plot.scales(max(2, width // 10), max(2, min(8, (rows + 1) // 2)))
    gutter = max(len(tick.label) for tick in up.ticks)
    columns = width - gutter - 2
    canvas = _Canvas(columns, rows, signs, several and not colours)
    labels = {canvas.row(up, tick): tick.label for tick in up.ticks}
    for place, one in enumerate(plot.drawn[0]):
        canvas.draw(one.points, across, up, place)
    lines = []
    for number, row in enumerate(canvas.lines(colours)):
        label = labels.get(number)
        lines.append(f"{label or '':>{gutter}} {signs.tick if label is not None else signs.upright}{row}".rstrip())
    return "\n".join([*head, *lines, *_below(across, gutter, columns, signs)])


def _signs(encoding: str) -> _Signs:
    try:
        (_MARKS + chr(_BRAILLE) + "│┤└─┬").encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _PLAIN
    return _FINE


def _head(plot: Plot, width: int, signs: _Signs) -> str:
    values = [y for one in plot.series for _, y in one.points]
    said = f"last {shown(values[-1])}" if len(plot.series) == 1 and values else "" if values else "no values"
    title = _writable(plot.title, max(4, width - len(said) - 2), signs)
    return f"{title}{said:>{width - len(title)}}".rstrip()


def _writable(text: str, most: int, signs: _Signs) -> str:
    text = shorten(clean(text), most)
    return text if signs.is_fine else text.replace("…", "~").encode("ascii", "backslashreplace").decode()[:most]


def _legend(plot: Plot, width: int, signs: _Signs, colours: bool) -> Iterator[str]:
    line, used = "", 0
    series, more = plot.drawn
    for place, one in enumerate((*series, *([Series(f"and {more} more", ())] if more else ()))):
        label = _writable(one.label, min(28, width - 4), signs)
        mark = "" if place == len(series) else _painted(signs.level * 2, place) if colours else signs.marks[place]
        label, size = (f"{mark} {label}", len(label) + (3 if colours else 2)) if mark else (label, len(label))
        if used and used + size + 3 > width:
            yield line
            line, used = "", 0
        line += f"{'   ' if used else ''}{label}"
        used += size + (3 if used else 0)
    yield line


def _painted(text: str, place: int) -> str:
    return f"\x1b[{_COLOURS[place]}m{text}\x1b[0m"


def _below(across: Scale, gutter: int, columns: int, signs: _Signs) -> Iterator[str]:
    """Give the axis of x: a line, its labels, its caption."""
    line, labels, end = [signs.level] * columns, [" "] * (gutter + 2 + columns), 0
    for tick in across.ticks:
        at = round(across.place(tick.at) * (columns - 1))
        begin = max(0, min(gutter + 2 + at - len(tick.label) // 2, len(labels) - len(tick.label)))
        if begin < end and end:
            continue
        line[at] = signs.notch
        labels[begin : begin + len(tick.label)] = tick.label
        end = begin + len(tick.label) + 1
    yield f"{'':{gutter}} {signs.corner}{''.join(line)}"
    yield "".join(labels).rstrip()
    yield f"{across.caption:>{gutter + 2 + columns}}"


class _Canvas:
    """Characters in rows, of which each holds two by four dots, or one mark."""

    def __init__(self, columns: int, rows: int, signs: _Signs, has_marks: bool) -> None:
        self.columns, self.rows, self._signs = columns, rows, signs
        self._has_dots = signs.is_fine and not has_marks
        self._across, self._down = (2, 4) if self._has_dots else (1, 1)
        self._dots = [[0] * columns for _ in range(rows)]
        self._owners = [[-1] * columns for _ in range(rows)]

    def row(self, up: Scale, tick: Tick) -> int:
        """Give the row that a tick of y belongs to."""
        return round((1 - up.place(tick.at)) * (self.rows * self._down - 1)) // self._down

    def draw(self, points: Sequence[Point], across: Scale, up: Scale, place: int) -> None:
        """Join points by lines; one that stands alone is a dot, and an infinite one stands at the edge."""
        wide, high = self.columns * self._across - 1, self.rows * self._down - 1

        def at(point: Point) -> tuple[int, int]:
            y = (0.0 if point[1] > 0 else 1.0) if math.isinf(point[1]) else 1 - up.place(point[1])
            return round(across.place(point[0]) * wide), round(y * high)

        for part in runs(points):
            spots = [at(point) for point in thinned(part, 4 * wide)]
            if len(spots) == 1:
                self._blot(*spots[0], place)
            for begin, end in pairwise(spots):
                self._join(begin, end, place)
        for point in points:
            if math.isinf(point[1]):
                self._blot(*at(point), place)

    def _blot(self, x: int, y: int, place: int) -> None:
        """Draw a dot that is seen: four small ones."""
        for one, other in ((x, y), (x ^ 1, y), (x, y ^ 1), (x ^ 1, y ^ 1)) if self._has_dots else ((x, y),):
            self._set(one, other, place)

    def _join(self, begin: tuple[int, int], end: tuple[int, int], place: int) -> None:
        far = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))
        self._set(*begin, place)
        for n in range(1, far + 1):
            x, y = (begin[i] + (end[i] - begin[i]) * n / far for i in (0, 1))
            self._set(round(x), round(y), place)

    def _set(self, x: int, y: int, place: int) -> None:
        column, row = x // self._across, y // self._down
        self._owners[row][column] = place
        if self._has_dots:
            self._dots[row][column] |= _DOTS[x % 2][y % 4]

    def lines(self, colours: bool) -> Iterator[str]:
        """Give the rows as text."""
        for owners, dots in zip(self._owners, self._dots, strict=True):
            row = ""
            for place, bits in zip(owners, dots, strict=True):
                sign = " " if place < 0 else chr(_BRAILLE + bits) if self._has_dots else self._signs.marks[place]
                row += _painted(sign, place) if colours and place >= 0 else sign
            yield row
