"""Rules 11 to 14 and 17: what starts a job, once, in which order, and what a start does that comes too early."""

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


@job
def d(*inputs): ...


# --- 11 and 12 --------------------------------------------------------------------------------------------------------


def test_11_a_node_without_edges_and_start_on_starts_at_once_whatever_stop_or_restart_rules_it_has():
    @workflow
    def w():
        a()
        b().stop_on(event("x"))
        c().restart_on(event("y"))
        d().start_on(event("z"))

    assert Sim(w).story() == ["RUNNING", "a RUNNING", "b RUNNING", "c RUNNING"]


def test_12_a_node_with_edges_starts_when_all_of_its_upstreams_have_succeeded():
    @workflow
    def w():
        c(a()).after(b())

    sim = Sim(w)
    sim.end("a")
    assert sim.changes("c") == []
    sim.end("b")
    assert sim.changes("c") == ["RUNNING"]
    sim.end("c")
    assert sim.status == "SUCCESS"


def test_12_with_start_on_only_that_starts_it():
    @workflow
    def w():
        b(a()).start_on(event("go"))

    sim = Sim(w)
    sim.end("a")
    assert sim.changes("b") == []
    sim.publish("go")
    assert sim.changes("b") == ["RUNNING"]


def test_12_a_start_waits_for_data_that_does_not_exist_yet():
    @workflow
    def w():
        b(a()).start_on(event("go"))

    sim = Sim(w)
    sim.publish("go")
    assert sim.changes("b") == []
    sim.end("a")
    assert sim.changes("b") == ["RUNNING"]
    assert sim.causes("b") == ["go"]


def test_12_a_start_waits_for_the_first_value_of_a_recurring_upstream_and_then_takes_the_latest():
    @workflow(ends="never")
    def w():
        x = a().start_on(event("make"))
        b(x).start_on(event("use"))

    sim = Sim(w)
    sim.publish("use")
    assert sim.changes("b") == []
    sim.publish("make")
    sim.end("a", "FAILED")
    assert sim.changes("b") == []
    sim.publish("make")
    sim.end("a")
    assert sim.changes("b") == ["RUNNING"]
    assert sim.starts["b", 1].inputs == ((0, 2),)
    sim.end("b")
    sim.publish("make")
    sim.end("a")
    sim.publish("make")
    sim.end("a")
    sim.publish("use")
    assert sim.starts["b", 2].inputs == ((0, 4),), "the latest value, the third was not used"


def test_12_starts_that_wait_for_data_are_not_lost_and_keep_their_order():
    @workflow
    def w():
        b(a()).start_on(event("go", 1) | event("go", 2))

    sim = Sim(w)
    first, second = sim.publish("go", 1), sim.publish("go", 2)
    sim.end("a")
    sim.end("b")
    sim.end("b")
    assert [sim.starts["b", n].events for n in (1, 2)] == [(first.offset,), (second.offset,)]


def test_12_start_on_waits_for_an_after_upstream_too():
    @workflow
    def w():
        b().after(a()).start_on(event("go"))

    sim = Sim(w)
    sim.publish("go")
    assert sim.changes("b") == []
    sim.end("a")
    assert sim.changes("b") == ["RUNNING"]


def test_12_a_restart_that_comes_before_the_data_waits_for_it_and_is_the_one_start():
    @workflow
    def w():
        b(a()).restart_on(event("again"))

    sim = Sim(w)
    sim.publish("again")
    sim.end("a")
    assert sim.changes("b") == ["RUNNING"]
    sim.end("b")
    assert sim.changes("b") == ["RUNNING", "SUCCESS"]


def test_12_a_restart_waits_for_the_first_value_of_a_recurring_upstream():
    @workflow
    def w():
        x = a().start_on(event("make"))
        b(x).restart_on(event("again"))

    sim = Sim(w)
    sim.publish("again")
    assert sim.changes("b") == [], "there is no value to start it with"
    sim.publish("make")
    sim.end("a")
    assert sim.starts["b", 1].inputs == ((0, 1),)


def test_12_somebody_who_starts_a_job_early_waits_for_its_data():
    @workflow
    def w():
        x = a().start_on(event("make"))
        c(b(x))

    sim = Sim(w)
    sim.ask("start_job", "b")
    sim.ask("start_job", "c")
    assert sim.running() == []
    sim.publish("make")
    sim.end("a")
    assert sim.starts["b", 1].inputs == ((0, 1),)


# --- 13 ---------------------------------------------------------------------------------------------------------------


def test_13_one_run_of_a_recurring_upstream_gives_one_run_of_the_downstream_in_order():
    @workflow
    def w():
        c(b(a().start_on(event("go"))))

    sim = Sim(w)
    for _ in range(3):
        sim.publish("go")
    for name in ("a", "a", "a", "b", "b", "b", "c", "c", "c"):
        sim.end(name)
    assert [sim.starts["b", n].inputs for n in (1, 2, 3)] == [((0, 1),), ((0, 2),), ((0, 3),)]
    assert [sim.starts["c", n].inputs for n in (1, 2, 3)] == [((1, 1),), ((1, 2),), ((1, 3),)]


def test_13_several_recurring_upstreams_are_paired_first_with_first():
    @workflow(ends="never")
    def w():
        x, y = a().start_on(event("x")), b().start_on(event("y"))
        c(x, y)

    sim = Sim(w)
    for key, name in (("x", "a"), ("x", "a"), ("x", "a"), ("y", "b"), ("y", "b")):
        sim.publish(key)
        sim.end(name)
    sim.end("c")
    sim.end("c")
    assert [sim.starts["c", n].inputs for n in (1, 2)] == [((0, 1), (1, 1)), ((0, 2), (1, 2))]
    sim.publish("y")
    sim.end("b")
    assert sim.starts["c", 3].inputs == ((0, 3), (1, 3))


def test_13_a_failed_run_is_paired_too_and_its_pair_is_skipped():
    @workflow(ends="never")
    def w():
        x, y = a().start_on(event("x")), b().start_on(event("y"))
        c(x, y)

    sim = Sim(w)
    for outcome in ("FAILED", "SUCCESS"):
        sim.publish("x")
        sim.end("a", outcome)
    assert sim.changes("c") == []
    for _ in range(2):
        sim.publish("y")
        sim.end("b")
    assert sim.story("c") == ["c SKIPPED", "c#2 RUNNING"]
    assert sim.starts["c", 2].inputs == ((0, 2), (1, 2))


def test_13_values_of_one_shot_upstreams_stay():
    @workflow(ends="never")
    def w():
        c(a(), b().start_on(event("go")))

    sim = Sim(w)
    sim.publish("go")
    sim.end("b")
    assert sim.changes("c") == [], "the one-shot value is not there yet"
    sim.publish("go")
    sim.end("b")
    sim.end("a")
    sim.end("c")
    sim.end("c")
    sim.publish("go")
    sim.end("b")
    assert [sim.starts["c", n].inputs for n in (1, 2, 3)] == [((1, 1),), ((1, 2),), ((1, 3),)]


def test_13_a_skip_waits_for_its_turn_so_that_a_recurring_diamond_is_paired_right():
    @workflow
    def w():
        x = a().start_on(event("go"))
        d(x, b(x))

    sim = Sim(w)
    for outcome in ("SUCCESS", "SUCCESS", "FAILED", "SUCCESS"):
        sim.publish("go")
        sim.end("a", outcome)
    for _ in range(3):
        sim.end("b")
    for _ in range(3):
        sim.end("d")
    assert sim.story("b")[2:5] == ["b#2 RUNNING", "b#3 SKIPPED", "b#2 SUCCESS"]
    assert [sim.starts["b", n].inputs for n in (1, 2, 4)] == [((0, 1),), ((0, 2),), ((0, 4),)]
    assert [sim.starts["d", n].inputs for n in (1, 2, 4)] == [((0, 1), (1, 1)), ((0, 2), (1, 2)), ((0, 4), (1, 4))]


def test_13_what_ran_in_parallel_is_used_in_the_order_of_its_numbers():
    @workflow(ends="never")
    def w():
        x = a().start_on(event("go"))
        c(x, b.options(if_running="parallel", max_parallel=3)(x))

    sim = Sim(w)
    for _ in range(3):
        sim.publish("go")
        sim.end("a")
    for number in (3, 1, 2):
        sim.end("b", number=number)
    for _ in range(3):
        sim.end("c")
    assert [sim.starts["c", n].inputs for n in (1, 2, 3)] == [((0, n), (1, n)) for n in (1, 2, 3)]


def test_13_recurrence_spreads_down_the_graph_and_nowhere_else():
    @workflow
    def w():
        x = a().restart_on(event("again"))
        c(b(x))
        d().stop_on(event("x"))

    assert [v.recurring for v in Sim(w).plan.vertices] == [True, True, True, False]


def test_a_diamond_runs_its_lower_end_once():
    @workflow
    def w():
        x = a()
        d(b(x), c(x))

    sim = Sim(w)
    for name in ("a", "c", "b", "d"):
        sim.end(name)
    assert sim.story("d") == ["d RUNNING", "d SUCCESS"]
    assert sim.status == "SUCCESS"


# --- 14 ---------------------------------------------------------------------------------------------------------------


def busy(**options):
    """One job that an event started and that runs, and two more events."""

    @workflow
    def w():
        a.options(**options)().start_on(event("go"))

    sim = Sim(w)
    return sim, [sim.publish("go").offset for _ in range(3)]


@pytest.mark.parametrize("options", [{}, {"if_running": "queue"}])
def test_14_queue_starts_afterwards_in_order_each_with_its_own_event(options):
    sim, offsets = busy(**options)
    assert sim.running() == [("a", 1)]
    for _ in range(3):
        sim.end("a")
    assert [sim.starts["a", n].events for n in (1, 2, 3)] == [(o,) for o in offsets]


def test_14_merge_keeps_one_waiting_start_with_all_events():
    sim, offsets = busy(if_running="merge")
    sim.end("a")
    assert sim.starts["a", 2].events == tuple(offsets[1:])
    sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a SUCCESS", "a#2 RUNNING", "a#2 SUCCESS"]


def test_14_ignore_drops_it():
    sim, _ = busy(if_running="ignore")
    sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a SUCCESS"]


def test_14_restart_is_as_restart():
    sim, offsets = busy(if_running="restart")
    assert sim.story("a") == ["a RUNNING", "a STOPPING"]
    sim.end("a")
    assert sim.story("a")[2:] == ["a STOPPED", "a#2 RUNNING"]
    assert sim.starts["a", 2].events == (offsets[2],), "with the newest event"


def test_14_parallel_starts_at_once_up_to_max_parallel_then_queues():
    sim, offsets = busy(if_running="parallel", max_parallel=2)
    assert sim.running() == [("a", 1), ("a", 2)]
    sim.end("a", number=2)
    assert sim.running() == [("a", 1), ("a", 3)]
    assert [sim.starts["a", n].events for n in (1, 2, 3)] == [(o,) for o in offsets]


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING", "RETRYING", "STOPPING"])
def test_14_if_running_decides_in_every_state_that_is_not_ended(state):
    @workflow
    def w():
        a.options(if_running="ignore", retries=1)().start_on(event("go"))

    sim = Sim(w, hold=True)
    sim.publish("go")
    if state != "QUEUED":
        sim.start("a")
    if state == "RETRYING":
        sim.end("a", "FAILED")
    if state == "STOPPING":
        sim.ask("stop_job", "a")
    sim.publish("go")
    assert len(sim.state.job("a").starts or ()) == (state == "QUEUED")


def test_14_nothing_is_lost_when_an_upstream_of_a_queued_start_fails_later():
    @workflow
    def w():
        b(a().start_on(event("go")))

    sim = Sim(w)
    for outcome in ("SUCCESS", "SUCCESS", "FAILED"):
        sim.publish("go")
        sim.end("a", outcome)
    sim.end("b")
    sim.end("b")
    assert sim.story("b") == ["b RUNNING", "b SUCCESS", "b#2 RUNNING", "b#3 SKIPPED", "b#2 SUCCESS"]


def test_14_a_start_that_comes_while_a_restart_waits_comes_after_it():
    @workflow
    def w():
        a().start_on(event("go")).restart_on(event("again"))

    sim = Sim(w)
    sim.publish("go")
    again, go = sim.publish("again"), sim.publish("go")
    for _ in range(3):
        sim.end("a")
    assert [sim.starts["a", n].events for n in (2, 3)] == [(again.offset,), (go.offset,)]


def test_14_parallel_starts_wait_while_a_restart_waits():
    @workflow
    def w():
        a.options(if_running="parallel", max_parallel=2)().start_on(event("go")).restart_on(event("again"))

    sim = Sim(w)
    for key in ("go", "again", "go"):
        sim.publish(key)
    assert sim.running() == [("a", 1)]
    sim.end("a")
    assert sim.running() == [("a", 2), ("a", 3)]


# --- 17 ---------------------------------------------------------------------------------------------------------------


def test_17_a_run_knows_all_events_that_met_its_rule_in_offset_order():
    @workflow
    def w():
        a().start_on(event("x") & event("y"))

    sim = Sim(w)
    y, x = sim.publish("y"), sim.publish("x")
    assert sim.starts["a", 1].events == (y.offset, x.offset)


def test_17_a_run_that_its_upstreams_started_knows_their_ends():
    @workflow
    def w():
        b(a())

    sim = Sim(w)
    sim.end("a")
    assert sim.causes("b") == ["job:a"]


def test_17_a_run_keeps_its_events_through_retries():
    @workflow
    def w():
        a.options(retries=1)().start_on(event("go"))

    sim = Sim(w)
    go = sim.publish("go")
    sim.end("a", "FAILED")
    sim.come_due()
    assert sim.run_of("a").start.events == (go.offset,)


def test_numbers_go_up_by_one_and_say_who_asked():
    @workflow
    def w():
        a()

    sim = Sim(w)
    sim.ask("start_job", "a")
    asked = len(sim.log)
    sim.end("a")
    assert sim.starts["a", 2].events == (asked,)
    assert sim.log[-1].event.value["rule"] == -2


# --- the shape of workflows -------------------------------------------------------------------------------------------


def test_an_empty_workflow_ends_in_success_at_once():
    @workflow
    def w(): ...

    assert Sim(w).story() == ["RUNNING", "SUCCESS"]


def test_only_the_chosen_jobs_run_and_what_they_need_counts_as_given():
    @workflow
    def w():
        c(b(a()))

    sim = Sim(w, chosen={"c"})
    assert sim.story() == ["RUNNING", "c RUNNING"]
    sim.end("c")
    assert sim.status == "SUCCESS"
