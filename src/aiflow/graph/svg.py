"""A picture as SVG: one text without scripts, links or references, for light and dark pages.

Knows nothing of workflows. Colours are attributes, for programs that know no CSS; the style adds the dark ones,
under an id made from the picture itself: pictures on one page leave each other alone, and one graph gives one text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape
from itertools import pairwise

from aiflow.graph.layout import Layout, Place, Point, Wire, lay_out
from aiflow.graph.lettering import FONT, text_width
from aiflow.graph.lettering import number as _n
from aiflow.graph.palette import GLYPHS, PAINTS, Paint
from aiflow.graph.picture import Arrow, Box, Picture, Shape, clean, shorten
from aiflow.graph.theme import Colours, themed

__all__ = ["write_svg"]

NAME, SMALL = 13.0, 11.0
"""Sizes of text in pixels."""
LONGEST = {shape: 32 if shape is Shape.EVENT else 36 for shape in Shape}
_LID = 9.0
"""How much higher a drum is than its text."""
_MARK = 20.0
"""How much wider a box is for the mark of Flink before its name."""
_LINES = {
    "data": 'stroke-width="1.4"',
    "after": 'stroke-width="1.4" stroke-dasharray="6 4"',
    "rule": 'stroke-width="1.8" stroke-dasharray="0.1 4.5" stroke-linecap="round"',
}


def write_svg(picture: Picture) -> str:
    """Give the SVG text of a picture."""
    sizes = [_size(box) for box in picture.boxes]
    wires = [Wire(a, b, kind, kind != "rule", _tag_size(labels)) for a, b, kind, labels in picture.arrows]
    layout = lay_out(
        sizes,
        [box.frame for box in picture.boxes],
        [frame.parent for frame in picture.frames],
        wires,
        [text_width(_name(frame.label), SMALL) for frame in picture.frames],
    )
    width, height = max(layout.width, 120.0), layout.height
    notes = [picture.note] if picture.boxes else ["no jobs"]
    body = [f'<rect {_paint("panel")} width="100%" height="100%" rx="10"/>']
    body += [_frame(place, frame.label) for place, frame in zip(layout.frames, picture.frames, strict=True)]
    body += [_wire(arrow, layout, i) for i, arrow in enumerate(picture.arrows)]
    body += [_box(box, place) for box, place in zip(picture.boxes, layout.boxes, strict=True)]
    body += [_tags(arrow, layout, i) for i, arrow in enumerate(picture.arrows) if arrow.labels]
    for note in filter(None, notes):
        width, height = max(width, text_width(note, SMALL) + 36), height + 20
        body.append(_text(width / 2, height - 14, note, "note", SMALL))
    return _whole(picture, "\n".join(filter(None, body)), width, height)


def _whole(picture: Picture, body: str, width: float, height: float) -> str:
    name = "af-" + sha256(body.encode()).hexdigest()[:10]
    used = {part: paint for part, paint in PAINTS.items() if f'class="{part}"' in body}
    style = themed(f"#{name}", {f".{part}": _colours(paint) for part, paint in used.items()})
    jobs = sum(box.count for box in picture.boxes if box.shape is not Shape.EVENT)
    title = clean(picture.title or f"{picture.name}: {jobs} job{'s' * (jobs != 1)}")
    # in a rule of its own: programs that know little CSS take `height:auto` for no height at all
    shrink = f"<style>@media all{{#{name}{{max-width:100%;height:auto}}}}</style>\n" if width <= 1600 else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" role="img" aria-label="{escape(title)}" '
        f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'font-family="{FONT}">\n'
        f"<style>{style}</style>\n{shrink}{body}\n</svg>\n"
    )


# ------------------------------------------------------------------------------------------------ boxes and frames


def _size(box: Box) -> tuple[float, float]:
    """Give width and height that hold the texts of a box."""
    if box.shape is Shape.EVENT:
        return text_width(_label(box), SMALL) + 42, 30.0
    second = _second_line(box)
    width = max(_name_width(box) + _MARK * bool(box.kind), text_width(second, SMALL) + 18 * bool(box.status))
    height = 36.0 + 16.0 * bool(second) + 5.0 * _has_bar(box) + _LID * (box.shape is Shape.DATASET)
    return max(width + (40 if box.shape is Shape.STREAM else 30), 76.0), height


def _label(box: Box) -> str:
    text = shorten(clean(box.text), LONGEST[box.shape])
    return f"{text} ×{box.count}" if box.is_several else text


def _name_width(box: Box) -> float:
    return text_width(_label(box), NAME) * 1.05  # it is bold


def _second_line(box: Box) -> str:
    return " · ".join(filter(None, (*map(clean, box.notes), box.status_text)))


def _has_bar(box: Box) -> bool:
    return box.is_several and bool(box.statuses)


def _box(box: Box, place: Place) -> str:
    x, y, width, height = place
    paint = box.status or box.shape
    parts = [f"<title>{escape(_hint(box))}</title>"]
    if box.is_several or box.shape is Shape.MAP:
        parts += [_outline(box, Place(x + step, y - step, width, height), paint) for step in (6, 3)]
    parts.append(_outline(box, place, paint))
    second = _second_line(box)
    top = y + _LID * (box.shape is Shape.DATASET)
    middle, line = x + width / 2, top + (22.5 if second else (height - top + y) / 2 + 4.5)
    if box.shape is Shape.EVENT:
        at = f'transform="translate({_n(x + 17)} {_n(y + height / 2)})"'
        parts.append(f'<path {_paint("bolt")} {at} d="{GLYPHS["bolt"]}"/>')
        parts.append(_text(x + 28, y + height / 2 + 4, _label(box), "event-text", SMALL, anchor="start"))
    else:
        name = f"{box.status}-name" if f"{box.status}-name" in PAINTS else f"{box.shape}-name"
        aside = _MARK / 2 * bool(box.kind)
        if box.kind:
            at = f'transform="translate({_n(middle - _name_width(box) / 2 - 3)} {_n(line - 4.5)})"'
            parts.append(
                f'<path {_paint("flink")} stroke-width="1.6" stroke-linecap="round" {at} d="{GLYPHS["flink"]}"/>'
            )
        parts.append(_text(middle + aside, line, _label(box), name, NAME, bold=True))
    if second:
        parts += _status_line(box, middle, top + 39, second)
    if _has_bar(box):
        parts += _bar(box, Place(x + 14, y + height - 9, width - 28, 3))
    return f'<g class="node">{"".join(parts)}</g>'


def _outline(box: Box, place: Place, paint: str) -> str:
    dashes = ' stroke-dasharray="4 3"' if box.shape is Shape.MORE or box.status == "SKIPPED" else ""
    if box.shape in _EDGES:
        edge = _EDGES[box.shape](place)
        return f'<path {_paint(paint)} stroke-linejoin="round" d="{edge}"/>'
    rx = place.height / 2 if box.shape is Shape.STREAM else 8
    return f'<rect {_paint(paint)} stroke-width="1.4"{dashes} {_rect(place)} rx="{_n(rx)}"/>'


def _hexagon(place: Place) -> str:
    (x, y, width, height), cut = place, 9
    return (
        f"M{_n(x)} {_n(y + height / 2)}L{_n(x + cut)} {_n(y)}H{_n(x + width - cut)}L{_n(x + width)} {_n(y + height / 2)}"
        f"L{_n(x + width - cut)} {_n(y + height)}H{_n(x + cut)}Z"
    )


def _drum(place: Place) -> str:
    """Draw what stands for data nearly everywhere; its lid is closed by an arc that the text stands below."""
    x, y, width, height = place
    arc, down = f"{_n(width / 2)} {_n(_LID / 2)} 0 0", _n(height - _LID)
    return (
        f"M{_n(x)} {_n(y + _LID / 2)}a{arc} 1 {_n(width)} 0v{down}a{arc} 1 {_n(-width)} 0Z"
        f"a{arc} 0 {_n(width)} 0"
    )  # fmt: skip


def _plate(place: Place) -> str:
    """Draw a plate with its corners cut off."""
    (x, y, width, height), cut = place, 7
    return (
        f"M{_n(x + cut)} {_n(y)}h{_n(width - 2 * cut)}l{cut} {cut}v{_n(height - 2 * cut)}l-{cut} {cut}"
        f"h{_n(2 * cut - width)}l-{cut} -{cut}v{_n(2 * cut - height)}Z"
    )


def _page(place: Place) -> str:
    """Draw a sheet of paper with a folded corner."""
    (x, y, width, height), fold = place, 10
    return (
        f"M{_n(x)} {_n(y)}h{_n(width - fold)}l{fold} {fold}v{_n(height - fold)}h{_n(-width)}Z"
        f"m{_n(width - fold)} 0v{fold}h{fold}"
    )


_EDGES = {Shape.EVENT: _hexagon, Shape.DATASET: _drum, Shape.MODEL: _plate, Shape.ARTIFACT: _page}
"""The outlines that are no rectangles."""


def _status_line(box: Box, middle: float, line: float, second: str) -> Iterator[str]:
    if not box.status:
        yield _text(middle, line, second, "note", SMALL)
        return
    left = middle - text_width(second, SMALL) / 2 - 3
    filled = box.status in ("RUNNING", "STOPPED")
    glyph = f'class="glyph" fill="{"#ffffff" if filled else "none"}" stroke="#ffffff" stroke-width="1.5"'
    yield (
        f'<g transform="translate({_n(left)} {_n(line - 4)})"><circle {_paint(f"{box.status}-mark")} r="6"/>'
        f'<path {glyph} stroke-linecap="round" stroke-linejoin="round" d="{GLYPHS[box.status]}"/></g>'
    )
    yield _text(left + 11, line, second, f"{box.status}-text", SMALL, anchor="start")


def _bar(box: Box, place: Place) -> Iterator[str]:
    yield f'<rect {_paint("bar")} {_rect(place)} rx="1.5"/>'
    x = place.x
    for status, count in box.statuses[::-1]:
        width = place.width * count / box.count
        yield f'<rect {_paint(f"{status}-mark")} {_rect(Place(x, place.y, width, place.height))} rx="1.5"/>'
        x += width


def _frame(place: Place, label: str) -> str:
    name = _text(place.x + 14, place.y + 19, _name(label), "frame-name", SMALL, bold=True, anchor="start")
    hint = f"<title>{escape(clean(label))}</title>"
    return f'<g>{hint}<rect {_paint("frame")} {_rect(place)} rx="12"/>{name}</g>'


def _name(label: str) -> str:
    return shorten(clean(label), 40)


def _hint(box: Box) -> str:
    lines = [shorten(clean(line), 160) for line in box.hint.split("\n")]
    return "\n".join([*lines, *([box.status_text] if box.status else [])])


# ------------------------------------------------------------------------------------------------ wires, their labels


def _wire(arrow: Arrow, layout: Layout, number: int) -> str:
    style = "rule" if arrow.kind == "rule" else "wire"
    points = layout.wires[number]
    if points:
        way = 1 if points[-1].x > points[-2].x else -1
        tip, turn = points[-1], 0 if way > 0 else 180
        path = _curve([*points[:-1], Point(tip.x - 5 * way, tip.y)])
    else:  # from the box over its top and back
        box = layout.boxes[arrow.source]
        left, right, top = box.x + box.width * 0.3, box.x + box.width * 0.7, _n(box.y - 28)
        tip, turn = Point(left, box.y), 90
        path = f"M{_n(right)} {_n(box.y)}C{_n(right + 6)} {top} {_n(left - 6)} {top} {_n(left)} {_n(box.y - 5)}"
    at = f'transform="translate({_n(tip.x)} {_n(tip.y)}) rotate({turn})"'
    return (
        f'<path {_paint(style)} {_LINES[arrow.kind]} d="{path}"/>'
        f'<path {_paint(f"{style}-head")} {at} d="M0 0L-8 -4V4Z"/>'
    )


def _curve(points: Sequence[Point]) -> str:
    """Join points so that the curve never swings beyond them (monotone cubics: Fritsch and Carlson 1980)."""
    slopes = [(b.y - a.y) / (b.x - a.x) if b.x != a.x else 0.0 for a, b in pairwise(points)]
    turns = [2 * s * t / (s + t) if s * t > 0 else 0.0 for s, t in pairwise(slopes)]
    out = [f"M{_n(points[0].x)} {_n(points[0].y)}"]
    for (a, b), start, end in zip(pairwise(points), [0.0, *turns], [*turns, 0.0], strict=True):
        if abs(a.y - b.y) < 0.3:
            out.append(f"H{_n(b.x)}")
        else:
            reach = (b.x - a.x) * 0.45
            out.append(
                f"C{_n(a.x + reach)} {_n(a.y + start * reach)} {_n(b.x - reach)} {_n(b.y - end * reach)} "
                f"{_n(b.x)} {_n(b.y)}"
            )
    return "".join(out)


def _tag_lines(labels: Sequence[str]) -> list[str]:
    return [shorten(clean(label), 40) for label in labels]


def _tag_size(labels: Sequence[str]) -> tuple[float, float] | None:
    lines = _tag_lines(labels)
    return (max(text_width(line, SMALL) for line in lines) + 6, 14.0 * len(lines) + 2) if lines else None


def _tags(arrow: Arrow, layout: Layout, number: int) -> str:
    lines, size, middle = _tag_lines(arrow.labels), _tag_size(arrow.labels), layout.labels[number]
    assert size is not None, "only arrows with labels have tags"
    if middle is None:
        box = layout.boxes[arrow.source]
        middle = Point(box.x + box.width / 2, box.y - 22 - size[1] / 2)
    x, y, (width, height) = middle.x, middle.y, size
    text = "rule-text" if arrow.kind == "rule" else "note"
    place = Place(x - width / 2, y - height / 2, width, height)
    lines = [_text(x, place.y + 12 + 14 * i, line, text, SMALL) for i, line in enumerate(lines)]
    return f'<g class="tag"><rect {_paint("tag")} {_rect(place)} rx="4"/>{"".join(lines)}</g>'


# ------------------------------------------------------------------------------------------------ small things


def _paint(part: str) -> str:
    """Give class and light colours of a part as attributes."""
    fill, stroke, _, _ = PAINTS[part]
    return f'class="{part}" fill="{fill}"' + (f' stroke="{stroke}"' if stroke else "")


def _colours(paint: Paint) -> Colours:
    fill, stroke, dark_fill, dark_stroke = paint
    return {"fill": (fill, dark_fill), **({"stroke": (stroke, dark_stroke)} if stroke else {})}


def _rect(place: Place) -> str:
    return f'x="{_n(place.x)}" y="{_n(place.y)}" width="{_n(place.width)}" height="{_n(place.height)}"'


def _text(x: float, y: float, text: str, part: str, size: float, *, bold: bool = False, anchor: str = "middle") -> str:
    weight = ' font-weight="600"' if bold else ""
    at = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"'
    return f'<text {_paint(part)} {at} font-size="{size:g}"{weight}>{escape(text)}</text>'
