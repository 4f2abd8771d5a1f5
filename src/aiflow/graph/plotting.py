"""A plot as SVG: lines over steps or times, for light and dark pages, without scripts, links or references.

Knows nothing of metrics. Colours are attributes, for programs that know no CSS; the style adds the dark ones, under
an id made from the plot itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape
from itertools import pairwise
from typing import NamedTuple

from aiflow.graph.lettering import FONT, number, text_width
from aiflow.graph.picture import clean, shorten
from aiflow.graph.scale import Scale, Tick, shown
from aiflow.graph.series import Plot, Point, Series, X, runs, thinned
from aiflow.graph.theme import themed

__all__ = ["svg"]

_MOST_DOTS = 48
_SMALL, _TITLE = 11.0, 13.0

_LINES = (  # light, dark
    ("#2563eb", "#60a5fa"), ("#ea580c", "#fb923c"), ("#16a34a", "#4ade80"), ("#9333ea", "#c084fc"),
    ("#db2777", "#f472b6"), ("#0891b2", "#22d3ee"), ("#a16207", "#facc15"), ("#475569", "#cbd5e1"),
)  # fmt: skip
_PARTS = {
    "panel": ("fill", "#ffffff", "#0f172a"),
    "title": ("fill", "#0f172a", "#f1f5f9"),
    "note": ("fill", "#64748b", "#94a3b8"),
    "grid": ("stroke", "#e2e8f0", "#1e293b"),
    "axis": ("stroke", "#94a3b8", "#475569"),
    **{f"line{i}": ("stroke", *colours) for i, colours in enumerate(_LINES)},
    **{f"dot{i}": ("fill", *colours) for i, colours in enumerate(_LINES)},
}


class _Frame(NamedTuple):
    """Where the points are, and the scales along it."""

    left: float
    top: float
    right: float
    bottom: float
    across: Scale
    up: Scale

    def x(self, value: float) -> float:
        return self.left + self.across.place(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        if math.isinf(value):
            return self.top if value > 0 else self.bottom
        return self.bottom - self.up.place(value) * (self.bottom - self.top)


def svg(plot: Plot, width: int = 640, height: int = 300) -> str:
    """Give the SVG text of a plot.

    Parameters
    ----------
    plot
        What to show. Of many points, those are drawn that make the picture.
    width, height
        In pixels; at least 200 by 120.

    Examples
    --------
    >>> plot = Plot("loss", (Series("", [(n, 0.5 ** n) for n in range(5)]),))
    >>> svg(plot).startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    True
    """
    width, height = max(200, width), max(120, height)
    series, more = plot.drawn
    legend = list(_legend(series, more, width)) if len(plot.series) > 1 else []
    frame = _frame(plot, width, height, 40.0 + 18 * len(legend))
    body = [f'<rect {_paint("panel")} width="100%" height="100%" rx="10"/>', *_head(plot, width)]
    for row, entries in enumerate(legend):
        body += _legend_row(entries, 44 + 18 * row)
    body += _axes(frame)
    for place, one in enumerate(series):
        body += _line(frame, one, place, plot.x)
    if not any(math.isfinite(y) for one in series for _, y in one.points):
        said = "no values" if not any(one.points for one in series) else "no finite values"
        body.append(_text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, said, "note", "middle"))
    return _whole(plot, "\n".join(body), width, height)


def _whole(plot: Plot, body: str, width: int, height: int) -> str:
    name = "af-" + sha256(body.encode()).hexdigest()[:10]
    used = {part: paint for part, paint in _PARTS.items() if f'class="{part}"' in body}
    style = themed(f"#{name}", {f".{part}": {what: (light, dark)} for part, (what, light, dark) in used.items()})
    count = sum(len(one.points) for one in plot.series)
    title = clean(f"{plot.title}: {count} value{'s' * (count != 1)} over {plot.x}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" role="img" aria-label="{escape(title)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FONT}">\n'
        f"<style>{style}</style>\n"
        f"<style>@media all{{#{name}{{max-width:100%;height:auto}}}}</style>\n{body}\n</svg>\n"
    )


# ------------------------------------------------------------------------------------------------ around the points


def _head(plot: Plot, width: int) -> Iterator[str]:
    yield _text(16, 25, shorten(clean(plot.title), 60), "title", "start", _TITLE, bold=True)
    values = [y for one in plot.series for _, y in one.points]
    if len(plot.series) == 1 and values:
        yield _text(width - 16, 25, f"last {shown(values[-1])}", "note", "end")


def _legend(series: Sequence[Series], more: int, width: int) -> Iterator[list[tuple[int, str, float]]]:
    """Give rows of entries: the place of a series (-1 for none), its label, and where it stands."""
    row: list[tuple[int, str, float]] = []
    x = 16.0
    entries = [(place, shorten(clean(one.label), 32)) for place, one in enumerate(series)]
    entries += [(-1, f"and {more} more")] if more else []
    for place, label in entries:
        room = text_width(label, _SMALL) + (40 if place >= 0 else 12)
        if row and x + room > width - 16:
            yield row
            row, x = [], 16.0
        row.append((place, label, x))
        x += room
    yield row


def _legend_row(entries: Sequence[tuple[int, str, float]], y: float) -> Iterator[str]:
    for place, label, x in entries:
        if place >= 0:
            stroke = f'{_paint(f"line{place}")} stroke-width="2.5" stroke-linecap="round"'
            yield f'<path {stroke} d="M{number(x + 1)} {number(y - 4)}h14"/>'
        yield _text(x + (22 if place >= 0 else 0), y, label, "note", "start")


def _frame(plot: Plot, width: int, height: int, top: float) -> _Frame:
    rows = max(2, min(8, int((height - top - 38) / 30)))
    across, up = plot.scales(max(2, min(9, int(width / 80))), rows)
    left = max(text_width(tick.label, _SMALL) for tick in up.ticks) + 26
    return _Frame(left, top, width - 24.0, height - 38.0, across, up)


def _axes(frame: _Frame) -> Iterator[str]:
    left, right, bottom, across, up = frame.left, frame.right, frame.bottom, frame.across, frame.up
    for tick in up.ticks:
        y = frame.y(tick.at)
        line = "axis" if abs(y - bottom) < 0.5 else "grid"
        yield f'<path {_paint(line)} d="M{number(left)} {number(y)}H{number(right)}"/>'
        yield _text(left - 8, y + 3.8, tick.label, "note", "end")
    if all(abs(frame.y(tick.at) - bottom) >= 0.5 for tick in up.ticks):
        yield f'<path {_paint("axis")} d="M{number(left)} {number(bottom)}H{number(right)}"/>'
    for tick in _apart(across.ticks, frame):
        x = frame.x(tick.at)
        yield f'<path {_paint("axis")} d="M{number(x)} {number(bottom)}v4"/>'
        half = text_width(tick.label, _SMALL) / 2
        anchor = "end" if x + half > right + 20 else "middle"
        yield _text(right + 18 if anchor == "end" else x, bottom + 17, tick.label, "note", anchor)
    yield _text(right, bottom + 31, across.caption, "note", "end")


def _apart(ticks: Sequence[Tick], frame: _Frame) -> list[Tick]:
    """Leave out ticks whose labels would touch: each second one stays, or each third one, and so on."""
    for stride in range(1, len(ticks) + 1):
        kept = ticks[::stride]
        ends = [(frame.x(t.at), text_width(t.label, _SMALL) / 2 + 6) for t in kept]
        if all(b[0] - b[1] >= a[0] + a[1] for a, b in pairwise(ends)):
            return list(kept)
    return list(ticks[:1])


# ------------------------------------------------------------------------------------------------ the points


def _line(frame: _Frame, series: Series, place: int, x: X) -> Iterator[str]:
    most = 4 * int(frame.right - frame.left)
    hint = f"<title>{escape(shorten(clean(series.label), 160))}</title>" if series.label else ""
    parts = runs(series.points)
    few = len(series.points) <= _MOST_DOTS
    thick = 2.0 if len(series.points) <= frame.right - frame.left else 1.2
    stroke = (
        f'{_paint(f"line{place}")} fill="none" stroke-width="{thick:g}" stroke-linejoin="round" stroke-linecap="round"'
    )
    for part in parts:
        if len(part) > 1:
            share = max(4, most * len(part) // len(series.points))
            way = "L".join(f"{number(frame.x(a))} {number(frame.y(b))}" for a, b in thinned(part, share))
            yield f'<path {stroke} d="M{way}">{hint}</path>'
    dots = [p for part in parts for p in (part if few or len(part) == 1 else ())]
    if parts and not few and len(parts[-1]) > 1:
        dots.append(parts[-1][-1])
    for point in dots[-500:]:
        yield _dot(frame, point, place, series.label, x)
    for a, b in [p for p in series.points if math.isinf(p[1])][:500]:
        down = 6 if b > 0 else -6
        at = f"M{number(frame.x(a))} {number(frame.y(b))}l-4.5 {down}h9z"
        yield f'<path {_paint(f"dot{place}")} d="{at}"><title>{escape(_told(a, b, series.label, x))}</title></path>'


def _dot(frame: _Frame, point: Point, place: int, label: str, x: X) -> str:
    at = f'cx="{number(frame.x(point[0]))}" cy="{number(frame.y(point[1]))}" r="3"'
    return f"<circle {_paint(f'dot{place}')} {at}><title>{escape(_told(*point, label, x))}</title></circle>"


def _told(a: float, b: float, label: str, x: X) -> str:
    where = f" at step {a:.0f}" if x is X.STEP else ""
    return f"{shorten(clean(label), 160)}{': ' * bool(label)}{shown(b)}{where}"


def _paint(part: str) -> str:
    what, light, _ = _PARTS[part]
    return f'class="{part}" {what}="{light}"'


def _text(x: float, y: float, text: str, part: str, anchor: str, size: float = _SMALL, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    at = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
    return f'<text {_paint(part)} {at} font-size="{size:g}"{weight}>{escape(text)}</text>'
