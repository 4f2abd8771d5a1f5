"""A graph as text: a tree of what follows from what, or a list where a tree would be too deep to read.

Knows nothing of executions and of other pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiflow.graph.flink import flink_kind
from aiflow.graph.topology import depths

if TYPE_CHECKING:
    from aiflow.graph.building import Graph, Node

__all__ = ["draw_tree"]

_DEEPEST = 12
_MOST_ALIKE = 6
"""So many nodes of one job beside each other, with nothing below them, are all shown; of more, only the first."""

_Children = dict[str, list["Node"]]


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
    ...     first = total(rows)
    ...     total(rows).after(first)
    >>> print(draw_tree(sums.graph))
    load
    └─ total
       └─ total_2  ← load
    """
    levels = depths(graph)
    if max(levels, default=0) > _DEEPEST:
        return "\n".join(_described(node, "") for node in graph.nodes)
    children: _Children = {}
    for node in graph.nodes:
        above = [*node.data, *(c.node for c in node.conditions_), *node.after_nodes]
        parent = max(above, key=lambda n: (levels[n.index], n.index)).name if above else ""
        children.setdefault(parent, []).append(node)
    lines: list[str] = []
    for root, more in _entries(children.get("", []), children):
        lines.append(_described(root, "") + more)
        lines += _below(root.name, "", children)
    return "\n".join(lines)


def _below(name: str, indent: str, children: _Children) -> Iterator[str]:
    entries = _entries(children.get(name, []), children)
    for number, (node, more) in enumerate(entries, 1):
        is_last = number == len(entries)
        yield f"{indent}{'└─ ' if is_last else '├─ '}{_described(node, name)}{more}"
        yield from _below(node.name, indent + ("   " if is_last else "│  "), children)


def _entries(nodes: list[Node], children: _Children) -> list[tuple[Node, str]]:
    """Put many leaves of one job into one line."""
    alike: _Children = {}
    for node in nodes:
        if node.name not in children:
            alike.setdefault(node.job.name, []).append(node)
    many = {job: leaves for job, leaves in alike.items() if len(leaves) > _MOST_ALIKE}
    hidden = {leaf.name for leaves in many.values() for leaf in leaves[1:]}
    first = {leaves[0].name: f"  … and {len(leaves) - 1} more of it" for leaves in many.values()}
    return [(node, first.get(node.name, "")) for node in nodes if node.name not in hidden]


def _described(node: Node, parent: str) -> str:
    """Give a node's name, what it depends on besides its parent, and its rules."""
    parts = [n.name for n in node.data if n.name != parent]
    parts += [f"run if {c.name}" for c in node.conditions_]
    parts += [f"after {n.name}" for n in node.after_nodes if n.name != parent]
    if len(parts) > _MOST_ALIKE:
        parts[3:-1] = [f"… {len(parts) - 4} more …"]
    notes = [node.name]
    if node.job.role is not None:
        notes.append(f"({node.job.role})")
    if kind := flink_kind(node):
        notes.append(f"({kind})")
    if node.mapped:
        notes.append("(for each)")
    if parts:
        notes.append("← " + ", ".join(parts))
    notes += [f"{rule.action.lower()} on {rule.condition}" for rule in node.rules]
    return "  ".join(notes)
