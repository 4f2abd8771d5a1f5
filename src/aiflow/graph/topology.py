"""What follows from a graph's edges alone: cycles and layers; and graphs, of jobs and of lineage, as networkx ones.

Knows nothing of jobs, conditions and pictures. The only door to networkx, opened when somebody asks for such a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx

    from aiflow.graph.building import Graph, Node
    from aiflow.graph.lineage import Shown

    class LineageGraph(Shown, networkx.DiGraph[Any]):
        """What a checker knows of the class that is made when it is first asked for."""


__all__ = ["LineageGraph", "find_cycle", "layers", "lineage_graph", "longest_paths", "to_networkx"]


def __getattr__(name: str) -> Any:
    if name == "LineageGraph":
        return _lineage_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _lineage_class() -> type[LineageGraph]:
    """Make the class when it is first needed, for it needs networkx; as a name of this module, so that it can be pickled."""
    import networkx

    from aiflow.graph.lineage import Shown

    members = {"__doc__": Shown.__doc__, "__module__": __name__}
    return type("LineageGraph", (Shown, networkx.DiGraph), members)


def lineage_graph(
    nodes: Iterable[tuple[Any, dict[str, Any]]],
    edges: Iterable[tuple[Any, Any, dict[str, Any]]],
    direction: str,
    asked: Sequence[Any],
) -> LineageGraph:
    """Make a lineage as a networkx graph.

    Parameters
    ----------
    nodes, edges
        Things, and which came from which, with what is said of them.
    direction
        ``"upstream"`` or ``"downstream"``: how it goes on from what was asked about.
    asked
        What was asked about.
    """
    out: LineageGraph = _lineage_class()(direction=direction, asked=tuple(asked))
    out.add_nodes_from(nodes)
    out.add_edges_from(edges)
    return out


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
