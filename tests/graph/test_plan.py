"""What is worked out once of a graph: who needs whom, what recurs, and which events concern which rules."""

import pytest
from tests.graph.sim import Sim

from aiflow.graph.condition import event
from aiflow.graph.job import job
from aiflow.graph.plan import WORKFLOW, Plan
from aiflow.graph.state import ExecutionState
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def c(*inputs): ...


@job
def d(*inputs): ...


def plan(body, **options):
    return Plan(workflow(body).build(), **options)


def test_upstreams_say_whether_their_value_is_needed():
    def w():
        x, y, z = a(), b(), c()
        d(x).after(x, y).run_if(z)

    vertex = plan(w).vertices[3]
    assert sorted(vertex.needs) == [(0, True), (1, False), (2, True)]
    assert vertex.after_only == {1}
    assert [v.down for v in plan(w).vertices] == [[3], [3], [3], []]


def test_recurring_upstreams_are_apart_from_those_that_run_once():
    def w():
        c(a(), b().start_on(event("go")))

    vertex = plan(w).vertices[2]
    assert (vertex.needs, vertex.feeds, vertex.recurring) == (((0, True),), ((1, True),), True)


@pytest.mark.parametrize(("verb", "recurring"), [("start_on", True), ("restart_on", True), ("stop_on", False)])
def test_start_and_restart_rules_make_a_node_recur_and_stop_rules_do_not(verb, recurring):
    assert plan(lambda: getattr(a(), verb)(event("x"))).vertices[0].recurring is recurring


def test_leaves_are_found_by_key_by_pattern_and_by_status():
    def w():
        x = a()
        b().start_on(event("go") & event("sensor.*")).stop_on(x.finished | event("go"))

    found = plan(w, stop_on=event("halt"))
    assert {k: [spot for _, spot in v] for k, v in found.by_key.items()} == {
        "go": [(1, 0, 0), (1, 1, 1)],
        "halt": [(WORKFLOW, 0, 0)],
    }
    assert [spot for _, spot in found.patterns] == [(1, 0, 1)]
    assert [spot for _, spot in found.by_status[0]] == [(1, 1, 0)]
    assert found.keys_heard is None


def test_a_plan_without_conditions_on_events_hears_nothing():
    assert plan(lambda: b().start_on(a().failed)).keys_heard == []


def test_only_rules_that_name_the_type_hear_the_engine_itself():
    assert not plan(lambda: a().start_on(event("*"))).hears_internal
    assert plan(lambda: a().start_on(event("*", type="JOB_*"))).hears_internal


def test_the_chosen_jobs_and_what_they_need_by_data_make_a_part():
    def w():
        x = a()
        y = b(x)
        c(y).after(x)
        d(c())

    part = plan(w, chosen={"c"})
    assert [(v.name, v.given) for v in part.vertices] == [("b", True), ("c", False)]
    assert part.by_name == {"b": 0, "c": 1}


def test_given_jobs_have_no_upstreams_and_no_rules():
    def w():
        c(b(a()).restart_on(event("x")))

    part = plan(w, given={"b"})
    vertex = part.vertices[1]
    assert (vertex.needs, vertex.rules, vertex.recurring) == ((), (), False)
    state = ExecutionState(part, "x")
    assert state.job("b").last == "SUCCESS"
    assert state.job("c").need == 0
    assert state.unended == 2


@pytest.mark.parametrize("part", [{"given": {"a"}}, {"chosen": {"b", "c", "d"}}], ids=["given", "left out"])
def test_11_a_job_that_does_not_run_in_this_part_counts_as_having_succeeded_before_it_began(part):
    @workflow
    def w():
        x = a()
        b().start_on(x.succeeded)
        c().start_on(x.finished & event("go"))
        d().start_on(x.failed)

    sim = Sim(w, **part)
    assert sim.running() == [("b", 1)]
    assert sim.causes("b") == ["execution:w"]
    sim.publish("go")
    assert sim.running() == [("b", 1), ("c", 1)]
    sim.end("b")
    sim.end("c")
    assert sim.statuses()["d"] == "SKIPPED"
    waited = "it waited for a.failed (a did not run in this execution)"
    assert sim.reason("d") == f"nothing can start it any more; {waited}"
    assert sim.status == "SUCCESS"


def test_11_what_stops_when_a_given_job_has_succeeded_is_started_and_stopped():
    @workflow
    def w():
        b().stop_on(a().succeeded)
        c()

    sim = Sim(w, given={"a"}, hold=True)
    assert sim.startable() == ["c"]


def test_several_places_are_for_the_parallel_policy_only():
    def w():
        a.options(max_parallel=3)()
        b.options(max_parallel=3, if_running="parallel")()
        c.options(if_running="parallel")()

    assert [v.parallel for v in plan(w).vertices] == [1, 3, 1]


def test_async_functions_run_on_the_loop_and_other_runners_as_named():
    @job
    async def later(): ...

    def w():
        a()
        a.options(runner="process")()
        later()

    assert [v.runner for v in plan(w).vertices] == ["thread", "process", "async"]
