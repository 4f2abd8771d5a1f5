"""Cycles, layers and the networkx graph of workflows."""

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aiflow as af
from aiflow.graph.building import Graph
from aiflow.graph.topology import find_cycle, layers, longest_paths, to_networkx


@af.job
def work(*needed):
    return needed


def chain(length: int) -> Graph:
    @af.workflow
    def chained():
        node = work()
        for _ in range(length - 1):
            node = work(node)

    return chained.graph


# ------------------------------------------------------------------------------------------------ networkx


def test_networkx_has_the_nodes_by_name_and_each_edge_with_its_kind_and_label():
    @af.workflow
    def flow():
        load = work.options(name="load")()
        fit = work.options(name="fit")(load)
        report = work.options(name="report")().after(fit).run_if(load)
        fit.restart_on(report.failed)

    graph = flow.graph
    found = to_networkx(graph)
    assert isinstance(found, networkx.MultiDiGraph)
    assert list(found) == ["load", "fit", "report"]
    assert found.nodes["fit"]["node"] is graph.nodes["fit"]
    assert sorted(found.edges(data=True), key=str) == sorted(
        [
            ("load", "fit", {"kind": "data", "label": ""}),
            ("load", "report", {"kind": "data", "label": "run if"}),
            ("fit", "report", {"kind": "after", "label": ""}),
            ("report", "fit", {"kind": "rule", "label": "restart on failed"}),
        ],
        key=str,
    )


def test_a_graph_offers_itself_as_networkx():
    assert networkx.is_directed_acyclic_graph(chain(5).nx)


# ------------------------------------------------------------------------------------------------ cycles


def test_a_graph_without_cycles_has_none():
    assert find_cycle(chain(20)) is None


def test_a_cycle_is_given_in_the_direction_of_its_edges_with_the_first_name_twice():
    graph = chain(4)
    graph.nodes["work_2"].after(graph.nodes["work_4"])
    assert find_cycle(graph) == ["work_2", "work_3", "work_4", "work_2"]


def test_what_only_leads_to_a_cycle_or_follows_one_is_no_part_of_it():
    graph = chain(6)
    graph.nodes["work_3"].after(graph.nodes["work_4"])
    assert find_cycle(graph) == ["work_3", "work_4", "work_3"]


def test_a_node_after_itself_is_a_cycle():
    graph = chain(2)
    graph.nodes["work_2"].after(graph.nodes["work_2"])
    assert find_cycle(graph) == ["work_2", "work_2"]


def test_run_if_counts_as_data_in_a_cycle():
    graph = chain(3)
    graph.nodes["work"].run_if(graph.nodes["work_3"])
    assert find_cycle(graph) == ["work", "work_2", "work_3", "work"]


def test_rules_may_form_cycles():
    graph = chain(3)
    graph.nodes["work"].start_on(graph.nodes["work_3"].succeeded)
    assert find_cycle(graph) is None


def test_a_workflow_with_a_cycle_cannot_be_built_and_the_error_names_its_path():
    @af.workflow
    def circular():
        a, b = work.options(name="a")(), work.options(name="b")()
        a.after(b)
        b.after(a)

    with pytest.raises(af.GraphError, match="a → b → a"):
        circular.build()


def test_a_cycle_through_a_hundred_thousand_nodes_is_found_without_recursion():
    graph = chain(100_000)
    assert find_cycle(graph) is None
    graph.nodes["work"].after(graph.nodes["work_100000"])
    cycle = find_cycle(graph)
    assert cycle is not None
    assert (len(cycle), cycle[0], cycle[1], cycle[-1]) == (100_001, "work", "work_2", "work")


# ------------------------------------------------------------------------------------------------ layers


def test_layers_follow_data_and_after_edges_but_not_rules():
    @af.workflow
    def flow():
        a = work.options(name="a")()
        b = work.options(name="b")(a)
        c = work.options(name="c")().after(b)
        work.options(name="d")().start_on(c.succeeded)
        work.options(name="e")(a, b)

    assert layers(flow.graph) == [["a", "d"], ["b"], ["c", "e"]]


def test_an_empty_workflow_has_no_layers():
    assert layers(chain(1)) == [["work"]]

    @af.workflow
    def empty():
        pass

    assert layers(empty.graph) == []


def test_there_is_no_longest_path_on_a_cycle_or_behind_one():
    assert longest_paths([[], [0, 2], [1], [2], [0]]) == [0, None, None, None, 1]


@st.composite
def dags(draw: st.DrawFn) -> Graph:
    """A workflow in which each node needs some of those before it, by data or `after`."""
    count = draw(st.integers(1, 25))
    edges = [draw(st.dictionaries(st.integers(0, i - 1), st.booleans(), max_size=4)) if i else {} for i in range(count)]

    @af.workflow
    def random():
        nodes = []
        for needs in edges:
            node = work(*(nodes[i] for i, is_data in needs.items() if is_data))
            nodes.append(node.after(*(nodes[i] for i, is_data in needs.items() if not is_data)))

    return random.graph


@given(dags())
def test_each_node_is_in_one_layer_right_behind_the_last_that_it_needs(graph):
    found = layers(graph)
    depth = {name: number for number, layer in enumerate(found) for name in layer}
    assert sorted(name for layer in found for name in layer) == sorted(node.name for node in graph.nodes)
    for node in graph.nodes:
        needs = [depth[other.name] for other in (*node.data, *node.after_nodes)]
        assert depth[node.name] == max(needs, default=-1) + 1
    order = [node.name for node in graph.nodes]
    assert all(layer == sorted(layer, key=order.index) for layer in found)
