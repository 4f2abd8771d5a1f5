"""Pictures of a graph as text: Mermaid, Graphviz DOT and SVG.

Knows nothing of projects and executions: whoever has statuses gives them by the names of the jobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from aiflow.graph.palette import LIGHT, PAINTS
from aiflow.graph.picture import Arrow, Box, Picture, Shape, clean, picture, shorten
from aiflow.graph.svg import write_svg

if TYPE_CHECKING:
    from aiflow.graph.building import Graph

__all__ = ["MERMAID_ARROWS", "dot", "mermaid", "svg", "write_mermaid"]

_LONGEST = 60
MERMAID_ARROWS = 500
"""As many as Mermaid draws unless its page is configured otherwise (maxEdges)."""


def mermaid(graph: Graph, statuses: Mapping[str, str] | None = None) -> str:
    """Draw a graph as Mermaid text.

    Parameters
    ----------
    graph
        The graph of a workflow.
    statuses
        The status of each job by its name, to colour it; may lack some.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.job
    ... def total(rows): return sum(rows)
    >>> @af.workflow
    ... def sums():
    ...     total(load())
    >>> print(mermaid(sums.graph))
    flowchart LR
        n0["load"]
        n1["total"]
        n0 --> n1
    <BLANKLINE>
    """
    return write_mermaid(picture(graph, statuses, most_arrows=MERMAID_ARROWS))


def write_mermaid(drawn: Picture) -> str:
    """Give the Mermaid text of a picture."""
    lines = ["flowchart LR", *_nested(drawn, -1, 1, _mermaid_box, _mermaid_frame)]
    lines += [f"    {_mermaid_arrow(arrow)}" for arrow in drawn.arrows]
    for kind, dashes in (("after", "6 4"), ("rule", "2 3")):
        numbers = ",".join(str(i) for i, arrow in enumerate(drawn.arrows) if arrow.kind == kind)
        if numbers:
            lines.append(f"    linkStyle {numbers} stroke-dasharray:{dashes}")
    classes: dict[str, list[int]] = {}
    for i, box in enumerate(drawn.boxes):
        classes.setdefault(_paint(box), []).append(i)
    for paint, (fill, edge) in _PAINTS.items():
        if paint in classes:
            dashes = ",stroke-dasharray:4 3" if paint in ("SKIPPED", "more") else ""
            lines.append(f"    classDef {paint} fill:{fill},stroke:{edge},color:#0f172a{dashes}")
            lines.append(f"    class {','.join(f'n{i}' for i in classes[paint])} {paint}")
    if drawn.note:
        lines.append(f"    %% {drawn.note}")
    return "\n".join(lines) + "\n"


def dot(graph: Graph, statuses: Mapping[str, str] | None = None) -> str:
    """Draw a graph as Graphviz DOT text.

    Parameters
    ----------
    graph
        The graph of a workflow.
    statuses
        The status of each job by its name, to colour it; may lack some.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.workflow
    ... def loads():
    ...     load()
    >>> print(dot(loads.graph))
    digraph "loads" {
        rankdir=LR;
        ...
        n0 [label="load", ...];
    }
    <BLANKLINE>
    """
    drawn = picture(graph, statuses)
    lines = [
        f"digraph {_dot_text(drawn.name)} {{",
        "    rankdir=LR;",
        '    graph [fontname="Helvetica", fontsize=11, fontcolor="#64748b", color="#cbd5e1", style=rounded];',
        '    node [fontname="Helvetica", fontsize=12, shape=box, style="rounded,filled", fillcolor="#ffffff"];',
        '    node [color="#94a3b8"];',
        '    edge [fontname="Helvetica", fontsize=10, color="#64748b", arrowsize=0.7];',
        *_nested(drawn, -1, 1, _dot_box, _dot_frame),
    ]
    lines += [f"    {_dot_arrow(arrow)}" for arrow in drawn.arrows]
    if drawn.note:
        lines.append(f"    label={_dot_text(drawn.note)}; labelloc=b;")
    return "\n".join([*lines, "}"]) + "\n"


def svg(graph: Graph, statuses: Mapping[str, str] | None = None) -> str:
    """Draw a graph as SVG text: for light and dark pages, and the same text for the same graph.

    Parameters
    ----------
    graph
        The graph of a workflow.
    statuses
        The status of each job by its name, to colour it; may lack some.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.workflow
    ... def loads():
    ...     load()
    >>> svg(loads.graph, {"load": "SUCCESS"}).startswith("<svg")
    True
    """
    return write_svg(picture(graph, statuses))


_PAINTS = {**LIGHT, **{part: PAINTS[part][:2] for part in ("event", "more", "dataset", "model", "artifact")}}


def _paint(box: Box) -> str:
    return box.status or (box.shape if box.shape in _PAINTS else "")


def _text(box: Box) -> str:
    text = shorten(clean(box.text), _LONGEST)
    return f"{text} ×{box.count}" if box.is_several else text


def _more(box: Box) -> list[str]:
    """Give what stands below the name: the role or what kind of thing it is, and the status."""
    texts = shorten(clean(box.role), _LONGEST), box.kind, box.status_text if box.status else ""
    return [text for text in texts if text]


def _nested(
    drawn: Picture,
    frame: int,
    depth: int,
    of_box: Callable[[int, Box], str],
    of_frame: Callable[[int, str], tuple[str, str]],
) -> Iterator[str]:
    """Give a line for each box in a frame, and for each frame in it a block of such lines."""
    indent = "    " * depth
    for i, box in enumerate(drawn.boxes):
        if box.frame == frame:
            yield indent + of_box(i, box)
    for i, inner in enumerate(drawn.frames):
        if inner.parent == frame:
            opening, closing = of_frame(i, inner.label)
            yield indent + opening
            yield from _nested(drawn, i, depth + 1, of_box, of_frame)
            yield indent + closing


# ------------------------------------------------------------------------------------------------ Mermaid

_MERMAID_SHAPES = {
    Shape.JOB: ("[", "]"),
    Shape.STREAM: ("([", "])"),
    Shape.MAP: ("[[", "]]"),
    Shape.EVENT: ("{{", "}}"),
    Shape.MORE: ("[", "]"),
    Shape.DATASET: ("[(", ")]"),
    Shape.MODEL: ("[/", "\\]"),
    Shape.ARTIFACT: (">", "]"),
}
_MERMAID_SPECIAL = re.compile(r"[^\w\s.,:()'=…×·/-]|_(?!\w)|(?<!\w)_|(?<=\d)[.)](?=\s)|^-|:(?=fa-)")
"""What Mermaid could take for markup, Markdown (also lists), an entity or an icon."""


def _mermaid_text(text: str) -> str:
    """Quote a text: Mermaid writes a special character as ``#`` and its number."""
    return _MERMAID_SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)


def _mermaid_box(number: int, box: Box) -> str:
    opening, closing = _MERMAID_SHAPES[box.shape]
    more = "".join(f"<br/>{_mermaid_text(text)}" for text in _more(box))
    return f'n{number}{opening}"{_mermaid_text(_text(box))}{more}"{closing}'


def _mermaid_frame(number: int, label: str) -> tuple[str, str]:
    return f'subgraph f{number}["{_mermaid_text(shorten(clean(label), _LONGEST))}"]', "end"


def _mermaid_arrow(arrow: Arrow) -> str:
    line = "-->" if arrow.kind == "data" else "-.->"
    label = "<br/>".join(_mermaid_text(shorten(clean(text), _LONGEST)) for text in arrow.labels)
    quoted = f'|"{label}"|' if label else ""
    return f"n{arrow.source} {line}{quoted} n{arrow.target}"


# ------------------------------------------------------------------------------------------------ DOT

_DOT_SHAPES = {
    Shape.JOB: "",
    Shape.STREAM: ", shape=cds, style=filled",
    Shape.MAP: ", shape=box3d, style=filled",
    Shape.EVENT: ", shape=hexagon, style=filled",
    Shape.MORE: ', style="rounded,dashed"',
    Shape.DATASET: ", shape=cylinder, style=filled",
    Shape.MODEL: ", shape=house, style=filled",
    Shape.ARTIFACT: ", shape=note, style=filled",
}


def _dot_text(*lines: str) -> str:
    """Quote lines of text: a backslash starts an escape in DOT, an ampersand an entity."""
    quoted = (line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(quoted) + '"'


def _dot_box(number: int, box: Box) -> str:
    label = _dot_text(_text(box), *_more(box))
    hint = _dot_text(*(shorten(clean(line), 160) for line in box.hint.split("\n")))
    fill, edge = _PAINTS.get(_paint(box), ("", ""))
    colours = f', fillcolor="{fill}", color="{edge}"' if fill else ""
    return f"n{number} [label={label}, tooltip={hint}{_DOT_SHAPES[box.shape]}{colours}];"


def _dot_frame(number: int, label: str) -> tuple[str, str]:
    return f"subgraph cluster_{number} {{ label={_dot_text(shorten(clean(label), _LONGEST))};", "}"


def _dot_arrow(arrow: Arrow) -> str:
    said = f"label={_dot_text(*(shorten(clean(text), _LONGEST) for text in arrow.labels))}" if arrow.labels else ""
    style = {"data": "", "after": "style=dashed", "rule": 'style=dotted, color="#8b5cf6", weight=0'}[arrow.kind]
    options = ", ".join(filter(None, (said, style)))
    return f"n{arrow.source} -> n{arrow.target}{f' [{options}]' if options else ''};"
