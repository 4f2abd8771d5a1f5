"""Rule 20 by itself: which jobs nothing can start any more (a least fixpoint), and what is told of them."""

import pytest
from tests.graph.sim import Sim

from aiflow.graph.condition import event
from aiflow.graph.file import file
from aiflow.graph.job import job
from aiflow.graph.liveness import unreachable
from aiflow.graph.rule import is_external
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def c(*inputs): ...


@job
def d(*inputs): ...


def lost(body, *ends, events=()):
    """The jobs that nothing can start any more, after some ends and events; nobody is told."""
    sim = Sim(workflow(ends="never")(body))
    for end in ends:
        sim.end(*(end if isinstance(end, tuple) else (end,)))
    for key in events:
        sim.publish(key)
    return {sim.plan.vertices[i].name: reason for i, reason in unreachable(sim.state)}, sim


@pytest.mark.parametrize(
    ("condition", "live"),
    [
        ("event('go')", True),
        ("event('go', type='MINE')", True),
        ("event('*', type='REQUESTED')", True),
        ("event('go').own()", False),
        ("event('*', type='JOB_LOST')", False),
        ("x.failed", False),
        ("x.failed & event('go')", False),
        ("x.failed | event('go')", True),
        ("x.succeeded & event('go')", True),
        ("(x.succeeded & event('go')).times(3)", True),
        ("event('go').times(3).within(5).sticky()", True),
        ("x.failed.sticky() & event('go')", False),
        ("x.succeeded.times(2) & event('go')", False),
    ],
)
def test_20_what_keeps_a_node_alive_that_waits(condition, live):
    def w():
        b().start_on(eval(condition, {"event": event, "x": a()}))

    found, _ = lost(w, "a")
    assert ("b" not in found) is live


def test_20_a_node_that_waits_for_a_mark_of_a_job_is_live_as_long_as_that_is():
    def w(start=None):
        source = a.options(runner="flink")()
        b().start_on(source.watermark.every(3600))
        if start is not None:
            source.start_on(start)

    assert lost(w, "a")[0] == {"b": "nothing can start it any more; it waited for a.watermark.every(3600)"}
    assert lost(lambda: w(event("go")))[0] == {}
    sim = Sim(workflow(w), chosen=["b"], given=["a"])
    assert "a did not run in this execution" in sim.events[1].value["reason"]


def test_20_a_circle_of_nodes_that_wait_for_each_other_is_not_live():
    def w():
        x, y, z = b(), c(), d()
        x.start_on(z.succeeded)
        y.start_on(x.succeeded)
        z.start_on(y.succeeded)
        a()

    found, _ = lost(w, "a")
    assert set(found) == {"b", "c", "d"}


def test_20_a_circle_that_something_outside_can_enter_is_live():
    def w():
        x, y = b(), c()
        x.start_on(y.succeeded | event("go"))
        y.start_on(x.succeeded)

    found, sim = lost(w)
    assert found == {}
    assert sim.state.witness == 0


def test_20_a_circle_that_has_an_entry_but_no_inputs_is_not_live():
    def w():
        y = b().start_on(a().failed)
        c(y).start_on(event("go"))

    found, _ = lost(w, "a")
    assert set(found) == {"b"}, "c is skipped at the next look: its input cannot come"


def test_20_what_depends_on_what_is_lost_is_left_to_be_skipped_with_it():
    def w():
        d(c(b().start_on(a().failed)))

    found, _ = lost(w, "a")
    assert set(found) == {"b"}


def test_20_who_waits_for_the_skip_of_what_is_lost_is_not_lost():
    def w():
        x = a()
        y = b().start_on(x.failed)
        c().start_on(y.skipped)
        d().start_on(y.succeeded)

    found, _ = lost(w, "a")
    assert set(found) == {"b", "d"}


def test_20_two_that_wait_for_the_skip_of_each_other_are_let_go_one_by_one():
    def w():
        x, y = b(), c()
        x.start_on(y.skipped)
        y.start_on(x.skipped)

    found, _ = lost(w)
    assert set(found) == {"b"}


def test_20_a_given_job_is_neither_lost_nor_alive():
    @workflow(ends="never")
    def w():
        b().start_on(a().failed)

    sim = Sim(w, given={"a"})
    assert [sim.plan.vertices[i].name for i, _ in unreachable(sim.state)] == ["b"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda: b().start_on(event("x").own()).start_on(event("y").own()), "event('x').own() or for event('y').own()"),
        (lambda: b(c().start_on(event("x").own())), "event('x').own()"),
    ],
    ids=["two rules", "of what depends on it"],
)
def test_20_the_reason_tells_what_it_waited_for(body, words):
    found, _ = lost(body)
    assert all(reason == f"nothing can start it any more; it waited for {words}" for reason in found.values())


def test_20_the_witness_is_a_node_that_stays_live_whatever_happens():
    def w():
        x = a()
        c().start_on(b().start_on(x.succeeded & event("go")).failed)
        d().start_on(event("stay"))

    found, sim = lost(w, "a")
    assert found == {}
    assert sim.plan.vertices[sim.state.witness].name == "d"


def test_20_without_such_a_node_there_is_no_witness():
    def w():
        c().start_on(b().start_on(a().succeeded & event("go")).failed)

    found, sim = lost(w, "a")
    assert found == {}
    assert sim.state.witness == -1


def test_20_nobody_looks_again_while_the_witness_waits():
    @workflow
    def w():
        a().start_on(event("tick"))
        b().start_on(event("never"))

    sim = Sim(w)
    for _ in range(3):
        sim.publish("tick")
        sim.end("a")
        assert sim.plan.vertices[sim.state.witness].name in ("a", "b")
    assert sim.state.unsettled, "a look would have settled it"


@pytest.mark.parametrize(
    ("condition", "external"),
    [
        (event("x"), True),
        (event("x").own(), False),
        (event("x", type="METRIC_LOGGED"), True),
        (event("*", type="JOB_STATUS_CHANGED"), False),
        (event("*", type="JOB_*"), True),
        (file("*.csv"), True),
        (file("*.csv").own(), True),
    ],
)
def test_20_what_is_external(condition, external):
    assert is_external(condition) is external
