"""Rules 3 (its part that needs no engine) and 5 to 10, seen from an execution: which rule of which job acts."""

import pytest
from tests.graph.sim import Sim, every_log_replays  # noqa: F401

from aiflow.graph.condition import event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def c(*inputs): ...


def started_on(condition, **options):
    @workflow(ends="never")
    def w():
        a.options(**options)().start_on(condition)

    return Sim(w)


def runs(sim, name="a"):
    return len([s for s in sim.changes(name) if s == "RUNNING"])


# --- 3 ----------------------------------------------------------------------------------------------------------------


def test_3_an_event_of_another_namespace_meets_a_rule_only_if_its_condition_names_it():
    sim = started_on(event("go"))
    sim.publish("go", namespace="other")
    assert runs(sim) == 0
    for glob in ("other", "*", "oth*"):
        sim = started_on(event("go", namespace=glob))
        sim.publish("go", namespace="other")
        assert runs(sim) == 1


def test_3_status_events_of_jobs_belong_to_their_own_execution():
    @workflow(ends="never")
    def w():
        b().start_on(a().succeeded | event("job:*", type="JOB_STATUS_CHANGED"))

    sim = Sim(w, hold=True)
    theirs = sim.about_me("SUCCESS")._replace(key="job:a", type="JOB_STATUS_CHANGED", execution_id="another")
    sim.bring(theirs)
    assert sim.startable() == ["a"]


def test_3_what_the_engine_notes_reaches_only_conditions_that_name_its_type():
    @workflow(ends="never")
    def w():
        a()
        b().start_on(event("*"))
        c().start_on(event("job:a", type="JOB_STATUS_CHANGED"))

    sim = Sim(w)
    assert sim.running() == [("a", 1), ("c", 1)]


def test_7_a_status_that_meets_two_rules_of_a_job_in_two_ways_makes_the_first_act():
    @workflow(ends="never")
    def w():
        x = a()
        b().start_on(event("job:a", {"status": "RUNNING", "number": 1, "attempt": 1}, type="JOB_*")).start_on(x.running)

    sim = Sim(w)
    sim.end("b")
    assert sim.running() == [("a", 1)]
    assert sim.of_job("b")[0].value["shadowed"] == [1]


# --- 5 ----------------------------------------------------------------------------------------------------------------


def test_5_rules_are_tried_in_the_order_they_were_declared():
    @workflow(ends="never")
    def w():
        a().stop_on(event("x")).start_on(event("x"))
        b().start_on(event("x")).stop_on(event("x"))

    sim = Sim(w)
    sim.publish("x")
    assert sim.running() == [("b", 1)]


def test_5_each_leaf_latches_and_all_is_met_when_every_part_is():
    sim = started_on(event("x") & event("y"))
    sim.publish("x")
    assert runs(sim) == 0
    sim.publish("y")
    assert runs(sim) == 1


def test_5_any_is_met_when_one_part_is():
    sim = started_on(event("x") | event("y"))
    sim.publish("y")
    assert runs(sim) == 1


def test_5_a_later_value_that_does_not_match_does_not_unlatch():
    sim = started_on(event("x", 1) & event("y"))
    sim.publish("x", 1)
    sim.publish("x", 2)
    sim.publish("y")
    assert runs(sim) == 1


# --- 6 ----------------------------------------------------------------------------------------------------------------


def test_6_only_an_event_that_matches_a_leaf_can_fire_a_rule_even_if_it_is_met_for_good():
    sim = started_on(event("x").sticky())
    sim.publish("x")
    sim.end("a")
    for _ in range(3):
        sim.publish("other")
    assert runs(sim) == 1
    sim.publish("x")
    assert runs(sim) == 2


# --- 7 ----------------------------------------------------------------------------------------------------------------


def test_7_the_first_declared_of_several_met_rules_acts_and_the_others_are_consumed_and_recorded():
    @workflow(ends="never")
    def w():
        a().start_on(event("x")).start_on(event("*")).start_on(event("y"))

    sim = Sim(w)
    sim.publish("x")
    assert sim.of_job("a")[0].value["rule"] == 0
    assert sim.of_job("a")[0].value["shadowed"] == [1]
    sim.end("a")
    assert runs(sim) == 1, "the second rule did not start it, too"
    sim.publish("y")
    assert sim.of_job("a")[-1].value["rule"] == 1
    assert sim.of_job("a")[-1].value["shadowed"] == [2]


def test_7_rules_of_different_jobs_act_independently_in_job_order():
    @workflow(ends="never")
    def w():
        a().start_on(event("x"))
        b().start_on(event("*"))
        c().start_on(event("x"))

    sim = Sim(w)
    sim.publish("x")
    assert sim.running() == [("a", 1), ("b", 1), ("c", 1)]


def test_7_a_rule_that_is_met_first_but_shadows_nothing_records_nothing():
    sim = started_on(event("x"))
    sim.publish("x")
    assert "shadowed" not in sim.of_job("a")[0].value


# --- 8 ----------------------------------------------------------------------------------------------------------------


def test_8_firing_consumes_the_latches_of_the_rule():
    sim = started_on(event("x") & event("y"))
    for key in ("x", "y", "y", "y"):
        sim.publish(key)
    sim.end("a")
    assert runs(sim) == 1
    sim.publish("x")
    assert runs(sim) == 2


def test_8_with_a_sticky_part_it_fires_at_each_of_the_other():
    sim = started_on(event("x").sticky() & event("y"), if_running="parallel", max_parallel=9)
    for key in ("x", "y", "y", "y"):
        sim.publish(key)
    assert runs(sim) == 3


def test_8_an_event_consumed_by_one_rule_is_still_there_for_other_jobs_and_for_rules_that_were_not_met():
    @workflow(ends="never")
    def w():
        a().start_on(event("x")).start_on(event("x") & event("y"))
        b().start_on(event("x") & event("z"))

    sim = Sim(w)
    sim.publish("x")
    sim.end("a")
    sim.publish("y")
    assert runs(sim) == 2
    assert sim.of_job("a")[-1].value["rule"] == 1
    sim.publish("z")
    assert runs(sim, "b") == 1


# --- 9 ----------------------------------------------------------------------------------------------------------------


def test_9_times_counts_matches_since_the_last_firing():
    sim = started_on(event("x").times(3))
    for _ in range(7):
        sim.publish("x")
    sim.end("a")
    sim.end("a")
    assert [len(sim.starts["a", n].events) for n in (1, 2)] == [3, 3]
    assert runs(sim) == 2


def test_9_own_counts_only_events_that_the_same_execution_caused():
    sim = started_on(event("x").own())
    sim.publish("x")
    sim.publish("x", execution_id="another")
    assert runs(sim) == 0
    sim.publish("x", execution_id="execution-1")
    assert runs(sim) == 1


@pytest.mark.parametrize(("pause", "count"), [(0, 1), (5, 1), (6, 0)])
def test_9_within_unlatches_what_is_older_than_the_window_before_the_newest(pause, count):
    sim = started_on((event("x") & event("y")).within(5))
    sim.publish("x")
    sim.now += pause
    sim.publish("y")
    assert runs(sim) == count


# --- 10 ---------------------------------------------------------------------------------------------------------------


def test_10_two_equal_conditions_never_share_state():
    condition = (event("x") & event("y")).times(2)

    @workflow(ends="never")
    def w():
        a().start_on(condition).stop_on(condition)
        b().start_on(condition)

    sim = Sim(w)
    for key in ("x", "y", "x", "y"):
        sim.publish(key)
    assert runs(sim, "a") == runs(sim, "b") == 1
    progress = [p for name in ("a", "b") for p in sim.state.job(name).progress.values()]
    assert len({id(p) for p in progress}) == len(progress) == 3
