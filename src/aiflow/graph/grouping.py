"""Which nodes of a graph too large to draw are drawn as one: those that play the same part in it.

Knows nothing of boxes and pictures. All by numbers: a node is its place in the graph, a group likewise a number.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from aiflow.graph.condition import JobCondition
from aiflow.graph.topology import depths

if TYPE_CHECKING:
    from aiflow.graph.building import Graph, Node

__all__ = ["Link", "Parts", "calls", "find_parts", "group", "links"]


class Link(NamedTuple):
    """An edge between two places of the graph."""

    source: int
    target: int
    kind: str
    label: str


class Parts(NamedTuple):
    """The sub-workflows of a graph by the prefix of their nodes' names, such as ``iris.``."""

    parents: dict[str, str]
    """For each prefix the one around it ('' for the workflow itself)."""
    paths: dict[str, tuple[str, ...]]
    """For each prefix the names of the workflows from the outermost to itself: equal for each call of one workflow."""


def find_parts(nodes: Iterable[Node]) -> Parts:
    """Find the sub-workflows that the nodes belong to."""
    workflows = {node.body.prefix: node.body.name for node in nodes if node.body.prefix}
    parents: dict[str, str] = {}
    paths: dict[str, tuple[str, ...]] = {"": ()}
    for prefix in sorted(workflows, key=len):
        around = (prefix[: i + 1] for i in range(len(prefix) - 2, -1, -1) if prefix[i] == ".")
        parents[prefix] = next((outer for outer in around if outer in workflows), "")
        paths[prefix] = (*paths[parents[prefix]], workflows[prefix])
    return Parts(parents, paths)


def links(graph: Graph) -> list[Link]:
    """Give the edges of a graph as links."""
    place = {node.name: node.index for node in graph.nodes}
    return [Link(place[source], place[target], kind, label) for source, target, kind, label in graph.edges]


def calls(node: Node) -> list[tuple[str, str]]:
    """Give what rules of this node wait for besides jobs: pairs of the action (``start`` …) and the condition."""
    found = [
        (str(rule.action.lower()), str(leaf))
        for rule in node.rules
        for leaf in rule.leaves
        if not isinstance(leaf, JobCondition)
    ]
    return list(dict.fromkeys(found))


def group(graph: Graph, edges: Sequence[Link], most_groups: int, most_arrows: int) -> list[int]:
    """Give each node the number of its group; groups are numbered by their first node.

    A graph that is small enough has one group per node. Else it is the finest of these that is small enough: nodes of
    the same job with the same neighbours; with neighbours of the same groups (a few steps of colour refinement) in the
    same layer; the same, all calls of one sub-workflow together; and the same job, wherever it stands.
    """
    nodes = list(graph.nodes)

    def fits(groups: Sequence[int]) -> bool:
        return _count(groups) <= most_groups and _arrows(groups, edges) <= most_arrows

    if fits(range(len(nodes))):
        return list(range(len(nodes)))
    groups: list[int] = []
    for start, steps in _starts(graph, nodes, edges):
        groups = _number(start)
        if not fits(groups):
            continue
        for _ in range(steps):
            finer = _refine(groups, edges)
            if _count(finer) == _count(groups) or not fits(finer):
                break
            groups = finer
        return groups
    return groups


def _starts(graph: Graph, nodes: Sequence[Node], edges: Sequence[Link]) -> Iterator[tuple[list[Hashable], int]]:
    """Give ways to group, from fine to coarse: what nodes of one group have in common, and how often to refine it."""
    kinds = [(_job(node), node.mapped, node.job.is_stream) for node in nodes]
    prefixes = [node.body.prefix for node in nodes]
    called = [tuple(calls(node)) for node in nodes]
    yield list(zip(kinds, prefixes, called, *_neighbours(range(len(nodes)), edges), strict=True)), 0
    layer = depths(graph)
    yield list(zip(kinds, prefixes, called, layer, strict=True)), 8
    paths = find_parts(nodes).paths
    within = [paths[prefix] for prefix in prefixes]
    yield list(zip(kinds, within, called, layer, strict=True)), 8
    yield list(zip(kinds, within, strict=True)), 2


def _job(node: Node) -> tuple[str, str]:
    """Give what two calls of one job share even if options gave them different names."""
    function = node.job.function
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", node.job.name)
    return str(getattr(function, "__module__", "")), str(name)


def _number(kinds: Iterable[Hashable]) -> list[int]:
    seen: dict[Hashable, int] = {}
    return [seen.setdefault(kind, len(seen)) for kind in kinds]


def _count(groups: Sequence[int]) -> int:
    return max(groups, default=-1) + 1


def _arrows(groups: Sequence[int], edges: Sequence[Link]) -> int:
    return len({(groups[source], groups[target], kind) for source, target, kind, _ in edges})


def _neighbours(groups: Sequence[int], edges: Sequence[Link]) -> tuple[list[Hashable], list[Hashable]]:
    into: list[set[tuple[int, str, str]]] = [set() for _ in groups]
    out: list[set[tuple[int, str, str]]] = [set() for _ in groups]
    for source, target, kind, label in edges:
        into[target].add((groups[source], kind, label))
        out[source].add((groups[target], kind, label))
    return [frozenset(one) for one in into], [frozenset(one) for one in out]


def _refine(groups: Sequence[int], edges: Sequence[Link]) -> list[int]:
    """Split groups whose nodes have neighbours of different groups."""
    return _number(zip(groups, *_neighbours(groups, edges), strict=True))
