"""What follows from a graph's edges alone: cycles and layers, and the graph as a networkx one.

Knows nothing of jobs, conditions and pictures. The only door to networkx, opened when somebody asks for such a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx

    from aiflow.graph.building import Graph, Node

__all__ = ["find_cycle", "layers", "longest_paths", "to_networkx"]


def to_networkx(graph: Graph) -> networkx.MultiDiGraph[str]:
    """Give the graph as a networkx one.

    Parameters
    ----------
    graph
        The graph of a workflow.

    Returns
    -------
    networkx.MultiDiGraph
        Its nodes are names with the `Node` as attribute `node`; each edge has a `kind` (``"data"``, ``"after"`` or
        ``"rule"``) and a `label` ('' for most).

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
    >>> list(to_networkx(sums.graph).edges(data="kind"))
    [('load', 'total', 'data')]
    """
    import networkx

    out: networkx.MultiDiGraph[str] = networkx.MultiDiGraph(name=graph.name)
    for node in graph.nodes:
        out.add_node(node.name, node=node)
    for source, target, kind, label in graph.edges:
        out.add_edge(source, target, kind=kind, label=label)
    return out


def find_cycle(graph: Graph) -> list[str] | None:
    """Find a cycle of data and after edges; rules may form cycles and are not looked at.

    Returns
    -------
    list of str or None
        The names along the cycle, the first one again at its end; None if there is no cycle.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(): return [1, 2]
    >>> @af.workflow
    ... def loads():
    ...     load()
    >>> find_cycle(loads.graph) is None
    True
    """
    nodes = list(graph.nodes)
    needs = [_needs(node) for node in nodes]
    settled = longest_paths(needs)
    start = next((i for i, depth in enumerate(settled) if depth is None), None)
    if start is None:
        return None
    # What is not settled needs something that is not settled: walking upstream must come round.
    walked: dict[int, None] = {}
    at = start
    while at not in walked:
        walked[at] = None
        at = next(i for i in needs[at] if settled[i] is None)
    path = list(walked)
    cycle = path[path.index(at) :][::-1]
    first = cycle.index(min(cycle))
    return [nodes[i].name for i in (*cycle[first:], *cycle[: first + 1])]


def layers(graph: Graph) -> list[list[str]]:
    """Put each node into the layer after the last one that it needs by data or `after`; rules are not looked at.

    Returns
    -------
    list of list of str
        The names of each layer, in the order of the body.

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
    >>> layers(sums.graph)
    [['load'], ['total']]
    """
    out: list[list[str]] = []
    for node, depth in zip(graph.nodes, depths(graph), strict=True):
        while depth >= len(out):
            out.append([])
        out[depth].append(node.name)
    return out


def depths(graph: Graph) -> list[int]:
    """Give the number of each node's layer, in the order of the nodes."""
    return [depth or 0 for depth in longest_paths([_needs(node) for node in graph.nodes])]  # a Graph has no cycles


def longest_paths(needs: Sequence[Iterable[int]]) -> list[int | None]:
    """Give for each place the number of edges of the longest path that leads to it; None on and behind a cycle.

    Parameters
    ----------
    needs
        For each place the places that its edges come from.
    """
    waiting = [0] * len(needs)
    unlocks: list[list[int]] = [[] for _ in needs]
    for target, sources in enumerate(needs):
        for source in sources:
            unlocks[source].append(target)
            waiting[target] += 1
    depth = [0] * len(needs)
    ready = [i for i, count in enumerate(waiting) if not count]
    for source in ready:  # grows while it is walked (Kahn's algorithm): no recursion, however long the paths
        for target in unlocks[source]:
            depth[target] = max(depth[target], depth[source] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return [None if waiting[i] else depth[i] for i in range(len(needs))]


def _needs(node: Node) -> list[int]:
    return [n.index for n in (*node.data, *node.after_nodes, *(c.node for c in node.conditions_))]
