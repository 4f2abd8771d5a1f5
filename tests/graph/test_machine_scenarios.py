"""Whole workflows as people write them; E1, E2, E3 and E15 are AIFlow's own examples (see the parity list)."""

from tests.graph.sim import Sim, every_log_replays  # noqa: F401

from aiflow.graph.condition import event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def task_1(*inputs): ...


@job
def task_2(*inputs): ...


@job
def task_3(*inputs): ...


@job
def task_4(*inputs): ...


def test_e1_two_jobs_one_after_the_other_both_succeed_in_order():
    @workflow
    def simple_workflow():
        task_2().after(task_1())

    sim = Sim(simple_workflow)
    sim.end("task_1")
    sim.end("task_2")
    assert sim.story() == [
        "RUNNING",
        "task_1 RUNNING",
        "task_1 SUCCESS",
        "task_2 RUNNING",
        "task_2 SUCCESS",
        "SUCCESS",
    ]


def test_e2_a_cycle_of_rules_stops_a_long_job_and_the_execution_ends():
    @workflow
    def simple_workflow():
        long = task_2().after(task_1())
        watcher = task_3().start_on(long.running)
        long.stop_on(watcher.succeeded)

    sim = Sim(simple_workflow)
    sim.end("task_1")
    assert sim.running() == [("task_2", 1), ("task_3", 1)]
    sim.end("task_3")
    assert sim.changes("task_2") == ["RUNNING", "STOPPING"]
    assert sim.status == "RUNNING"
    sim.end("task_2", "STOPPED")
    assert sim.statuses() == {"task_1": "SUCCESS", "task_2": "STOPPED", "task_3": "SUCCESS"}
    assert sim.status == "SUCCESS"
    sim.replay()


def test_e3_task_3_runs_twice_the_second_time_after_the_stop():
    @workflow
    def action_on_status():
        first, second, third = task_1(), task_2(), task_3()
        second.start_on(first.running).stop_on(first.finished)
        third.start_on(first.running).restart_on(second.stopped)

    sim = Sim(action_on_status)
    assert sim.running() == [("task_1", 1), ("task_2", 1), ("task_3", 1)]
    sim.end("task_1")
    sim.end("task_2", "STOPPED")
    sim.end("task_3", "STOPPED")
    sim.end("task_3")
    story = sim.story("task_2", "task_3")
    assert story.index("task_2 STOPPED") < story.index("task_3#2 RUNNING")
    assert sim.story("task_3") == [
        "task_3 RUNNING",
        "task_3 STOPPING",
        "task_3 STOPPED",
        "task_3#2 RUNNING",
        "task_3#2 SUCCESS",
    ]
    assert sim.status == "SUCCESS"


def test_e3_task_3_runs_twice_also_when_its_first_run_was_short():
    @workflow
    def action_on_status():
        first, second, third = task_1(), task_2(), task_3()
        second.start_on(first.running).stop_on(first.finished)
        third.start_on(first.running).restart_on(second.stopped)

    sim = Sim(action_on_status)
    sim.end("task_3")
    sim.end("task_1")
    sim.end("task_2", "STOPPED")
    assert sim.running() == [("task_3", 2)]


def test_e15_a_job_after_two_publishes_a_key_that_starts_the_last_one_once():
    @workflow
    def quickstart():
        task_3().after(task_1(), task_2())
        task_4().start_on(event("key"))

    sim = Sim(quickstart)
    sim.end("task_2")
    sim.end("task_1")
    sim.publish("key", sender="task_3", execution_id="execution-1")
    sim.end("task_3")
    assert sim.status == "RUNNING"
    sim.end("task_4")
    assert sim.story() == [
        "RUNNING",
        "task_1 RUNNING",
        "task_2 RUNNING",
        "task_2 SUCCESS",
        "task_1 SUCCESS",
        "task_3 RUNNING",
        "key",
        "task_4 RUNNING",
        "task_3 SUCCESS",
        "task_4 SUCCESS",
        "SUCCESS",
    ]
    assert sim.causes("task_4") == ["key"]


def test_producers_stop_when_the_consumer_succeeded():
    @workflow
    def custom_condition():
        producers = [task_1() for _ in range(3)]
        consumer = task_2().start_on(event("num").times(4))
        for producer in producers:
            producer.stop_on(consumer.succeeded)

    sim = Sim(custom_condition)
    for _ in range(4):
        sim.publish("num")
    sim.end("task_2")
    assert [name for name, _ in sim.running()] == ["task_1", "task_1_2", "task_1_3"]
    for name, _ in sim.running():
        sim.end(name)
    assert list(sim.statuses().values()) == ["STOPPED", "STOPPED", "STOPPED", "SUCCESS"]
    assert sim.status == "SUCCESS"


def test_a_training_loop_that_predicts_with_each_new_model():
    @workflow(ends="never")
    def batch_train_stream_predict():
        train = task_1().start_on(event("tick"))
        push = task_2(train)
        predict = task_3()
        predict.restart_on(push.succeeded)

    sim = Sim(batch_train_stream_predict)
    for _ in range(3):
        sim.publish("tick")
        sim.end("task_1")
        sim.end("task_2")
        sim.end("task_3", "STOPPED")
    assert sim.story("task_3")[-1] == "task_3#4 RUNNING"
    assert [sim.causes("task_3", n) for n in (2, 3, 4)] == [["job:task_2"]] * 3


def test_a_cycle_of_restarts_is_driven_by_its_ends():
    @workflow
    def w():
        x = task_1()
        x.restart_on(x.failed)

    sim = Sim(w)
    for _ in range(3):
        sim.end("task_1", "FAILED")
    sim.end("task_1")
    assert sim.changes("task_1") == ["RUNNING", "FAILED"] * 3 + ["RUNNING", "SUCCESS"]
    assert sim.status == "SUCCESS"


def test_a_fan_out_and_in_with_limited_places_runs_each_job_once_in_any_order():
    @workflow
    def w():
        first = task_1()
        task_3([task_2(first) for _ in range(20)])

    sim = Sim(w, hold=True)
    sim.start("task_1")
    sim.end("task_1")
    names = sim.startable()
    assert len(names) == 20
    for name in reversed(names):
        assert sim.start(name)
        assert not sim.start(name)
        sim.end(name)
    sim.start("task_3")
    sim.end("task_3")
    assert sim.status == "SUCCESS"
