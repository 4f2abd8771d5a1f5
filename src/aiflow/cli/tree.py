"""A graph as text: a tree of what follows from what, or a list where a tree would be too deep to read.

Knows nothing of executions and of other pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiflow.graph.building import Graph, Node

__all__ = ["draw_tree"]

_DEEPEST = 12
_ALIKE = 6
"""So many siblings of one job, with nothing below them, are shown one by one; of more, the first and how many there are."""


def draw_tree(graph: Graph) -> str:
    """Give the nodes, each below the last of those that it depends on; the others are named beside it.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.job
    ... def total(rows): return sum(rows)
    >>> @af.workflow
    ... def sums():
    ...     rows = load()
    ...     total(rows)
    ...     total(rows).start_on(af.event("again"))
    >>> print(draw_tree(sums.graph))
    load
    ├─ total
    └─ total_2  start on event('again')
    """
    children: dict[str, list[Node]] = {}
    depths: dict[str, int] = {}
    for node in _in_order(graph):
        above = _parents(node)
        parent = max(above, key=lambda name: depths[name], default="")
        depths[node.name] = depths[parent] + 1 if parent else 0
        children.setdefault(parent, []).append(node)
    if max(depths.values(), default=0) > _DEEPEST:
        return "\n".join(_listed(node) for node in graph.nodes)
    lines: list[str] = []
    stack = [(node, "", "") for node in reversed(children.get("", []))]
    while stack:
        node, lead, below = stack.pop()
        lines.append(lead + _described(node, depths))
        under = children.get(node.name, [])
        shown, more = _shortened(under, children)
        rows = [(n, f"{below}├─ ", f"{below}│  ") for n in shown]
        if more:
            rows[-1:] = rows[-1:]
            lines_more = f"{below}└─ … and {more} more of {shown[-1].job.name}"
            _push(stack, rows)
            lines.append(lines_more) if not rows else stack.insert(0, stack.pop(0))
        elif rows:
            last = rows[-1][0]
            rows[-1] = (last, f"{below}└─ ", f"{below}   ")
            _push(stack, rows)
    return "\n".join(lines)
