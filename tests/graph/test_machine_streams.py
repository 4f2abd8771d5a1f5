"""Rules 13 and 27 to 30 as the machine decides them: what an item starts, and what the end of a stream ends."""

import pytest
from tests.graph.sim import Sim, every_log_replays  # noqa: F401

import aiflow as af
from aiflow.graph.backlog import first_wanted
from aiflow.graph.condition import event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def s():
    yield


@job
def s2():
    yield


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def flow(items: af.Stream):
    yield from items


@job
def total(items: af.Stream): ...


@workflow
def items():
    a(s())


@workflow
def taken():
    total(flow(s()))


def test_27_each_item_starts_who_depends_on_it_once_and_in_order():
    sim = Sim(items)
    assert sim.story() == ["RUNNING", "s RUNNING"]
    sim.emit("s", 3)
    assert sim.story("a") == ["a RUNNING"]
    for _ in range(3):
        sim.end("a")
    assert sim.items_of("a", "s") == [1, 2, 3]
    assert sim.causes("a", 2) == ["job:s"]
    sim.emit("s")
    sim.end("a")
    sim.end("s")
    assert sim.items_of("a", "s") == [1, 2, 3, 4]
    assert sim.story()[-2:] == ["s SUCCESS", "SUCCESS"]


def test_27_items_are_counted_over_all_runs_of_a_stream():
    @workflow(ends="never")
    def w():
        a(s().start_on(event("go")))

    sim = Sim(w)
    for _ in range(2):
        sim.publish("go")
        sim.emit("s", 2)
        sim.end("s")
    for _ in range(4):
        sim.end("a")
    assert sim.items_of("a", "s") == [1, 2, 3, 4]
    assert [e.value for e in sim.events if e.type == "STREAM_ITEM"] == [
        {"number": 1, "item": 1}, {"number": 1, "item": 2}, {"number": 2, "item": 3}, {"number": 2, "item": 4},
    ]  # fmt: skip


def test_27_each_of_several_jobs_gets_each_item():
    @workflow
    def w():
        stream = s()
        a(stream)
        b(stream)

    sim = Sim(w)
    sim.emit("s", 2)
    sim.end("a")
    assert sim.items_of("a", "s") == [1, 2]
    assert sim.items_of("b", "s") == [1]


def test_13_items_of_several_streams_are_paired_first_with_first():
    @workflow
    def w():
        a(s(), s2())

    sim = Sim(w)
    sim.emit("s", 2)
    assert sim.story("a") == []
    sim.emit("s2")
    sim.end("a")
    sim.emit("s2")
    sim.end("a")
    assert sim.items_of("a", "s") == sim.items_of("a", "s2") == [1, 2]


def test_27_what_nothing_will_be_paired_with_is_wanted_no_more():
    @workflow
    def w():
        a(s(), s2())

    sim = Sim(w)
    sim.emit("s", 3)
    sim.emit("s2")
    sim.end("a")
    assert first_wanted(sim.state, 0) == 2
    sim.end("s2")
    assert first_wanted(sim.state, 0) == 4
    sim.emit("s")
    assert first_wanted(sim.state, 0) == 5
    sim.end("s")
    assert sim.status == "SUCCESS"


def test_latest_drops_all_but_the_newest_waiting_item():
    @workflow
    def w():
        a.options(latest=True)(s())

    sim = Sim(w)
    sim.emit("s", 4)
    sim.end("a")
    sim.end("a")
    assert sim.items_of("a", "s") == [1, 4]
    assert first_wanted(sim.state, 0) == 5


def test_run_if_is_asked_of_each_item():
    @workflow
    def w():
        a(stream := s()).run_if(stream)

    sim = Sim(w)
    for truth in (True, False, True):
        sim.emit("s", truth=truth)
        if truth:
            sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a SUCCESS", "a#2 SKIPPED", "a#3 RUNNING", "a#3 SUCCESS"]


def test_after_a_stream_means_after_its_end():
    @workflow
    def w():
        stream = s()
        a(stream)
        b().after(stream)

    sim = Sim(w)
    sim.emit("s", 2)
    assert sim.story("b") == []
    sim.end("s")
    assert sim.story("b") == ["b RUNNING"]


def test_12_a_job_with_a_rule_gets_the_latest_item_and_waits_for_the_first():
    @workflow(ends="never")
    def w():
        a(s()).start_on(event("go"))

    sim = Sim(w)
    sim.publish("go")
    assert sim.story("a") == []
    sim.emit("s")
    assert sim.items_of("a", "s") == [1]
    sim.end("a")
    sim.emit("s", 3)
    assert first_wanted(sim.state, 0) == 4
    sim.publish("go")
    assert sim.items_of("a", "s") == [1, 4]


def test_a_one_shot_input_beside_a_stream_stays():
    @workflow
    def w():
        a(s(), b())

    sim = Sim(w)
    sim.emit("s", 2)
    assert sim.story("a") == []
    sim.end("b")
    sim.end("a")
    sim.end("a")
    assert sim.items_of("a", "s") == [1, 2]


# --- 30: the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "reason"), [("SUCCESS", "s yielded nothing"), ("FAILED", "s failed"), ("STOPPED", "s was stopped")]
)
def test_30_a_stream_that_yields_nothing_skips_its_consumers(outcome, reason):
    @workflow
    def w():
        b(a(s()))

    sim = Sim(w)
    sim.end("s", outcome)
    assert sim.statuses() == {"s": outcome, "a": "SKIPPED", "b": "SKIPPED"}
    assert [sim.reason("a"), sim.reason("b")] == [reason, reason]


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILED", "STOPPED"])
def test_30_consumers_use_what_is_waiting_when_a_stream_ends_however_it_ends(outcome):
    sim = Sim(items)
    sim.emit("s", 3)
    sim.end("s", outcome)
    for _ in range(3):
        sim.end("a")
    assert sim.items_of("a", "s") == [1, 2, 3]
    assert sim.changes("a")[-1] == "SUCCESS"
    assert sim.status == ("FAILED" if outcome == "FAILED" else "SUCCESS")


def test_30_a_stream_that_is_retried_does_not_end_its_consumers():
    @workflow
    def w():
        stream = s.options(retries=1)()
        a(stream)
        total(stream)

    sim = Sim(w)
    sim.emit("s")
    sim.end("s", "FAILED")
    assert sim.changes("s")[-1] == "RETRYING"
    assert ("total", 1) in sim.running()
    sim.come_due()
    sim.emit("s")
    sim.end("a")
    assert sim.items_of("a", "s") == [1, 2]
    assert sim.story("total") == ["total RUNNING"]


def test_a_stream_that_is_skipped_skips_who_takes_it():
    @workflow
    def w():
        total(s().run_if(b()))

    sim = Sim(w)
    sim.end("b", truth=False)
    assert sim.statuses() == {"b": "SUCCESS", "s": "SKIPPED", "total": "SKIPPED"}


# --- who takes a stream -----------------------------------------------------------------------------------------------


def test_29_who_takes_a_stream_starts_with_it_and_once():
    sim = Sim(taken)
    assert sim.story() == ["RUNNING", "s RUNNING", "flow RUNNING", "total RUNNING"]
    for name in ("s", "flow", "total"):
        sim.end(name)
    assert sim.status == "SUCCESS"


def test_29_who_takes_a_stream_and_needs_something_else_waits_for_that():
    @workflow
    def w():
        total2(s(), b())

    @job
    def total2(items: af.Stream, model): ...

    sim = Sim(w)
    assert sim.story("total2") == []
    sim.end("b")
    assert sim.story("total2") == ["total2 RUNNING"]


def test_29_who_takes_a_stream_and_is_restarted_goes_on_with_the_same_run_of_it():
    @workflow
    def w():
        total(s()).restart_on(event("again"))

    sim = Sim(w)
    sim.publish("again")
    sim.end("total", "STOPPED")
    assert sim.story("total")[-1] == "total#2 RUNNING"
    assert [sim.starts["total", n].inputs for n in (1, 2)] == [((0, 1),)] * 2


# --- stop, crash, resume ----------------------------------------------------------------------------------------------


def test_33_a_stream_that_goes_on_emitting_between_crashes_is_never_lost_for_good():
    sim = Sim(items)
    for _ in range(5):
        sim.lose("s")
        sim.emit("s")
    assert sim.changes("s")[-1] == "RUNNING"
    for _ in range(3):
        sim.lose("s")
    assert sim.changes("s")[-1] == "FAILED"
    assert sim.reason("s") == "was running when the process died, 3 times"


def test_33_losses_of_a_stream_use_up_no_retries():
    @workflow
    def w():
        a(s.options(retries=1)())

    sim = Sim(w)
    sim.lose("s")
    sim.emit("s")
    sim.end("s", "FAILED")
    assert sim.changes("s")[-1] == "RETRYING"


def test_34_items_that_wait_when_an_execution_is_stopped_are_used_when_it_is_resumed():
    sim = Sim(items)
    sim.emit("s", 4)
    sim.end("a")
    sim.ask("stop")
    sim.end("a", "STOPPED")
    sim.end("s", "STOPPED")
    assert sim.status == "STOPPED"
    assert first_wanted(sim.state, 0) == 2
    sim.ask("resume")
    assert ("s", 2) in sim.running()
    sim.emit("s")
    for _ in range(4):
        sim.end("a")
    assert sim.items_of("a", "s") == [1, 2, 2, 3, 4, 5]


def test_34_a_stream_runs_again_for_who_failed_to_take_it():
    sim = Sim(taken)
    sim.end("s")
    sim.end("flow")
    sim.end("total", "FAILED")
    sim.ask("resume")
    assert sorted(sim.running()) == [("flow", 2), ("s", 2), ("total", 2)]
