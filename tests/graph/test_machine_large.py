"""The machine with ten thousand nodes: no recursion, and no searching."""

from tests.graph.sim import Sim

from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


def test_a_chain_of_ten_thousand_nodes_runs_and_is_skipped_without_recursion():
    @workflow
    def w(n: int):
        node = a()
        for _ in range(n - 1):
            node = a(node)

    sim = Sim(w, n=10_000, checked=False)
    for vertex in sim.plan.vertices:
        sim.end(vertex.name)
    assert sim.status == "SUCCESS"
    assert sim.replay().dump() == sim.state.dump()
    sim = Sim(w, n=10_000, checked=False)
    sim.end("a", "FAILED")
    assert sim.status == "FAILED"
    assert list(sim.statuses().values()).count("SKIPPED") == 9_999
    assert sim.replay().dump() == sim.state.dump()


def test_ten_thousand_upstreams_of_one_node_are_counted_not_searched():
    @workflow
    def w(n: int):
        b([a() for _ in range(n)])

    sim = Sim(w, n=10_000, checked=False, hold=True)
    ends = 0

    class Counting(tuple):
        def __iter__(self):
            nonlocal ends
            for one in tuple.__iter__(self):
                ends += 1
                yield one

    sim.plan.vertices[-1].needs = Counting(sim.plan.vertices[-1].needs)
    for vertex in sim.plan.vertices[:1000]:
        sim.start(vertex.name)
        sim.end(vertex.name)
    assert ends < 20_000
    sim.plan.vertices[-1].needs = tuple(sim.plan.vertices[-1].needs)
    assert sim.replay().dump() == sim.state.dump()
