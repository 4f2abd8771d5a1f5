"""Acceptance of streams (rules 27 to 30 and section 5 of the interface), written from their text alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.acceptance.acts import PATIENCE, Gate, end, until

import aiflow as af
from aiflow.testing import assert_replays, run_until_idle


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_rule_27_a_batch_job_runs_once_per_item_in_order_though_it_is_slower_than_the_stream(project, runner):
    @af.job(runner=runner)
    def numbers():
        yield from range(12)

    @af.job(runner=runner)
    def square(n):
        return n, n * n

    @af.workflow
    def flow():
        square(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.results("square") == [(n, n * n) for n in range(12)]
    assert [run.number for run in execution.jobs if run.job == "square"] == list(range(1, 13))
    assert_replays(execution)


def test_a_consumer_that_wants_the_latest_item_drops_all_but_the_newest_that_waits(project):
    gate, taken = Gate(), []
    begun = threading.Event()

    @af.job
    def numbers():
        yield 0
        assert begun.wait(PATIENCE)
        yield from range(1, 50)
        gate.open()

    @af.job(latest=True)
    def use(n):
        taken.append(n)
        begun.set()
        gate.stand()

    @af.workflow
    def flow():
        use(numbers())

    assert project.run(flow, timeout=PATIENCE).status == "SUCCESS"
    assert taken == [0, 49]


def test_rule_30_a_stream_that_yields_nothing_skips_its_consumers_all_the_way(project):
    @af.job
    def nothing():
        return
        yield

    @af.job
    def use(item): ...

    @af.job
    def after(): ...

    @af.workflow
    def flow():
        after().after(use(nothing()))

    execution = project.run(flow, timeout=PATIENCE)
    assert {run.job: run.status for run in execution.jobs} == {
        "nothing": "SUCCESS",
        "use": "SKIPPED",
        "after": "SKIPPED",
    }
    assert execution.status == "SUCCESS"


def test_rules_28_and_30_a_stream_that_fails_is_tried_again_from_the_state_it_had_at_its_last_yield(project):
    @af.job(retries=2, retry_delay=0)
    def numbers():
        state = af.current().state
        for n in range(state.get("next", 0), 6):
            state["next"] = n + 1
            yield n
            if n == 2 and af.current().attempt == 1:
                state["next"] = 100  # never saved: no yield comes after it
                raise OSError("the line is dead")

    @af.job
    def use(n):
        return n

    @af.workflow
    def flow():
        use(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.results("use") == [0, 1, 2, 3, 4, 5]
    assert execution.job("numbers").attempt == 2
    assert_replays(execution)


def test_rule_30_a_stopped_stream_ends_at_a_yield_and_its_consumer_uses_what_is_waiting(project):
    gate, closed, taken = Gate(), [], []
    third = threading.Event()

    @af.job
    def numbers():
        n = 0
        try:
            while True:
                yield n
                n += 1
                if n == 3:
                    third.set()
                    gate.stand()
        except GeneratorExit:
            closed.append(n)
            raise

    @af.job
    def use(n):
        assert third.wait(PATIENCE)
        taken.append(n)

    @af.job
    def after():
        taken.append("after")

    @af.workflow
    def flow():
        stream = numbers()
        use(stream)
        after().start_on(stream.stopped)

    execution = project.start(flow)
    gate.wait_for_one()
    execution.stop_job("numbers")
    gate.open()
    execution.wait(timeout=PATIENCE)
    assert closed == [3]
    assert [item for item in taken if item != "after"][:3] == [0, 1, 2]
    assert "after" in taken
    assert execution.job("numbers").status == "STOPPED"
    assert execution.job("use").status == "SUCCESS"
    assert_replays(execution)


def test_rule_29_a_producer_is_never_further_ahead_than_the_buffer(project):
    made, leads = [0], []
    too_far = threading.Event()

    @af.job
    def numbers():
        for n in range(4000):
            made[0] = n + 1
            if n == 2000 and not leads:
                too_far.set()
            yield n

    @af.job
    def through(items: af.Stream):
        for n in items:
            if n == 0:
                until(lambda: made[0] >= 900)
                assert not too_far.wait(0.05), "nothing held the producer back"
            leads.append(made[0] - n)
            yield n

    @af.job
    def total(items: af.Stream) -> int:
        return sum(items)

    @af.workflow
    def flow():
        total(through(numbers()))

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.result("total") == sum(range(4000))
    assert max(leads) <= 1010  # the buffer, and what is in the hands of either side
    assert_replays(execution)


def test_streams_take_no_slot_of_the_batch_jobs_and_rule_22_stops_them_at_a_yield(tmp_path):
    taken, closed = [], []
    ticks = threading.Semaphore(0)

    def stream(name: str) -> af.Job:
        @af.job(name=name)
        def numbers():
            n = 0
            try:
                while True:
                    ticks.acquire(timeout=0.01)
                    yield n
                    n += 1
            finally:
                closed.append(name)

        return numbers

    @af.job
    def use(*items):
        taken.append(items)

    @af.workflow
    def flow():
        use(stream("one")(), stream("two")(), stream("three")())

    with af.Project("streams", home=tmp_path / "home", workers=1) as project:
        execution = project.start(flow)
        until(lambda: len(taken) >= 3)
        execution.stop()
        execution.wait(timeout=PATIENCE)
    assert execution.status == "STOPPED"
    assert sorted(closed) == ["one", "three", "two"]
    assert taken[:3] == [(n, n, n) for n in range(3)]


def test_items_may_be_any_objects_and_a_failed_item_does_not_end_the_stream(project):
    class Reading:
        def __init__(self, value: Any) -> None:
            self.value = value

    @af.job
    def readings():
        for value in (1, "bad", 3):
            yield Reading(value)

    @af.job
    def use(reading):
        return reading.value + 1

    @af.workflow
    def flow():
        use(readings())

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.results("use") == [2, 4]
    assert [run.status for run in execution.jobs if run.job == "use"] == ["SUCCESS", "FAILED", "SUCCESS"]
    assert execution.status == "SUCCESS"  # rule 21: the last execution of each job succeeded


def test_every_consumer_of_a_stream_gets_every_item(project):
    @af.job
    def numbers():
        yield from range(20)

    @af.job
    def one(n):
        return n

    @af.job
    def two(n):
        if n == 7:
            raise af.Skip("not this one")
        return n

    @af.job
    def all_of(items: af.Stream):
        return list(items)

    @af.workflow
    def flow():
        stream = numbers()
        one(stream), two(stream), all_of(stream)

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.results("one") == list(range(20))
    assert execution.results("two") == [n for n in range(20) if n != 7]
    assert execution.result("all_of") == list(range(20))


def test_a_consumer_of_a_stream_that_returns_early_does_not_hold_the_producer_for_ever(project):
    @af.job
    def numbers():
        yield from range(5000)

    @af.job
    def first(items: af.Stream):
        return next(iter(items))

    @af.workflow
    def flow():
        first(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.result("first") == 0


def test_rule_29_a_consumer_that_fails_is_tried_again_from_its_state_and_misses_no_item(project):
    @af.job
    def numbers():
        state = af.current().state
        for n in range(state.get("next", 0), 3000):
            state["next"] = n + 1
            yield n

    @af.job(retries=1, retry_delay=0)
    def total(items: af.Stream):
        state = af.current().state
        for n in items:
            state["sum"] = state.get("sum", 0) + n
            if n == 1700 and af.current().attempt == 1:
                raise OSError("once")
        return state["sum"]

    @af.workflow
    def flow():
        total(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert execution.result("total") == sum(range(3000))


def test_rule_27_a_batch_consumer_that_fails_is_tried_again_with_its_item_before_the_next(project):
    @af.job
    def numbers():
        yield from range(5)

    order = []

    @af.job(retries=1, retry_delay=0.01)
    def use(n):
        order.append(n)
        if n == 2 and af.current().attempt == 1:
            raise OSError
        return n

    @af.workflow
    def flow():
        use(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert order == [0, 1, 2, 2, 3, 4]
    assert execution.results("use") == [0, 1, 2, 3, 4]


def test_rule_22_a_stop_reaches_a_stream_that_is_held_back_by_its_buffer(project):
    gate = Gate()

    @af.job(buffer=5)
    def numbers():
        n = 0
        while True:
            yield n
            n += 1

    @af.job
    def slow(n):
        gate.arrived.release()
        af.current().wait_stop(PATIENCE)

    @af.job
    def stuck(items: af.Stream):
        for _ in items:
            gate.arrived.release()
            af.current().wait_stop(PATIENCE)

    @af.workflow
    def flow():
        slow(numbers())
        stuck(numbers())

    execution = project.start(flow)
    gate.wait_for_one()
    gate.wait_for_one()
    execution.stop()
    execution.wait(timeout=PATIENCE)
    assert execution.status == "STOPPED"


@pytest.mark.parametrize(("first", "second"), [("process", "thread"), ("thread", "process"), ("process", "process")])
def test_streams_flow_between_runners(project, first, second):
    @af.job(runner=first)
    def numbers():
        yield from range(500)

    @af.job(runner=second)
    def double(items: af.Stream):
        for n in items:
            yield 2 * n

    @af.job(runner=first)
    def total(items: af.Stream):
        return sum(items)

    @af.workflow
    def flow():
        total(double(numbers()))

    assert project.run(flow, timeout=PATIENCE).result("total") == 500 * 499


def test_rule_19_what_comes_after_a_stream_runs_once_at_its_end_and_rule_12_what_an_event_starts_gets_its_latest_item(
    project,
):
    gate, taken = Gate(), []
    had = threading.Event()

    @af.job
    def numbers():
        yield from (1, 2, 3)
        gate.stand()
        yield 4

    @af.job
    def look(n):
        taken.append(n)
        had.set()

    @af.job
    def after():
        taken.append("after")

    @af.job
    def use(n, base):
        taken.append((n, base))

    @af.job
    def base():
        return "base"

    @af.workflow
    def flow():
        stream = numbers()
        look(stream).start_on(af.event("look"))
        after().after(stream)
        use(stream, base())

    execution = project.start(flow)
    until(lambda: (3, "base") in taken)
    project.publish("look")
    assert had.wait(PATIENCE)
    assert taken == [(1, "base"), (2, "base"), (3, "base"), 3]
    gate.open()
    execution.wait(timeout=PATIENCE)
    assert sorted(map(str, taken[4:])) == ["(4, 'base')", "after"]
    assert_replays(execution)


def test_parallel_consumers_of_a_stream_use_each_item_once(project):
    taken, lock, both = [], threading.Lock(), threading.Barrier(2)

    @af.job
    def numbers():
        yield from range(10)

    @af.job(if_running="parallel", max_parallel=2)
    def use(n):
        both.wait(PATIENCE)
        with lock:
            taken.append(n)
        return n

    @af.workflow
    def flow():
        use(numbers())

    execution = project.run(flow, timeout=PATIENCE)
    assert sorted(taken) == list(range(10))
    assert execution.results("use") == list(range(10))
    assert_replays(execution)


def test_rules_15_and_28_a_stream_that_is_stopped_and_started_again_goes_on_from_its_state(project):
    taken = []

    @af.job
    def numbers():
        context = af.current()
        n = context.state.get("n", 0)
        while True:
            n += 1
            context.state["n"] = n
            yield n
            if n % 3 == 0:
                context.wait_stop(PATIENCE)

    @af.job
    def use(n):
        taken.append(n)

    @af.workflow(ends="never")
    def flow():
        use(numbers().start_on(af.event("go")).stop_on(af.event("halt")))

    execution = project.start(flow)
    for count in (3, 6):
        project.publish("go")
        until(lambda count=count: len(taken) >= count)
        project.publish("halt")
        until(lambda: execution.job("numbers").status == "STOPPED")
    run_until_idle(project)
    assert taken == list(range(1, len(taken) + 1))  # what it yields while it is stopped counts, or is not saved
    assert [run.status for run in execution.jobs if run.job == "numbers"] == ["STOPPED", "STOPPED"]
    end(execution)
