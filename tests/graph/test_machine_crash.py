"""Rules 33 and 34: jobs whose process died, and going on with what had ended."""

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


def one(**options):
    @workflow
    def w():
        b(a.options(**options)())

    return Sim(w)


# --- 33 ---------------------------------------------------------------------------------------------------------------


def test_33_a_job_whose_process_died_runs_again():
    sim = one()
    sim.lose("a")
    assert sim.changes("a") == ["RUNNING", "QUEUED", "RUNNING"]
    assert [e.value["attempt"] for e in sim.of_job("a")] == [1, 1, 2]
    sim.end("a")
    sim.end("b")
    assert sim.status == "SUCCESS"


def test_33_without_using_up_retries():
    sim = one(retries=1, retry_delay=4.0, retry_backoff=3.0)
    sim.lose("a")
    sim.lose("a")
    sim.end("a", "FAILED")
    assert sim.changes("a")[-1] == "RETRYING"
    assert sim.timers[0].due == sim.now + 4.0, "as after the first attempt"
    sim.come_due()
    sim.end("a", "FAILED")
    assert sim.changes("a")[-1] == "FAILED"


def test_33_after_the_third_loss_it_is_failed():
    sim = one(retries=10)
    for _ in range(3):
        sim.lose("a")
    assert sim.changes("a")[-1] == "FAILED"
    assert sim.reason("a") == "was running when the process died, 3 times"
    assert sim.statuses()["b"] == "SKIPPED"


def test_33_losses_are_counted_over_the_attempts_of_one_run():
    sim = one(retries=5)
    sim.lose("a")
    sim.end("a", "FAILED")
    sim.come_due()
    sim.lose("a")
    sim.lose("a")
    assert sim.changes("a")[-1] == "FAILED"


def test_33_a_job_that_was_being_stopped_when_the_process_died_is_stopped():
    sim = one(retries=1)
    sim.ask("stop_job", "a")
    sim.lose("a")
    assert sim.changes("a") == ["RUNNING", "STOPPING", "STOPPED"]


def test_33_an_execution_that_was_being_stopped_when_the_process_died_is_stopped():
    sim = one()
    sim.ask("stop")
    sim.lose("a")
    assert sim.status == "STOPPED"


def test_33_a_job_that_had_timed_out_when_the_process_died_has_failed():
    sim = one(timeout=60)
    sim.time_out("a")
    sim.lose("a")
    assert sim.changes("a")[-1] == "FAILED"
    assert sim.reason("a") == "timed out after 60 s, and the process died"


def test_18_a_job_that_had_timed_out_when_the_process_died_is_retried_as_after_any_timeout():
    sim = one(timeout=60, retries=1)
    sim.time_out("a")
    sim.lose("a")
    assert sim.changes("a")[-1] == "RETRYING"
    sim.come_due()
    sim.end("a")
    assert sim.changes("a")[-1] == "SUCCESS"


def test_33_a_timeout_is_told_even_if_the_changed_definition_has_none_any_more():
    sim = one(timeout=60)
    sim.time_out("a")
    sim.plan.vertices[0].timeout = None
    sim.lose("a")
    assert sim.reason("a") == "timed out, and the process died"


def test_33_several_jobs_are_lost_in_one_turn_and_a_stop_may_come_with_it():
    @workflow
    def w():
        a()
        b()

    sim = Sim(w)
    losses = [sim.about_run(name, "JOB_LOST") for name in ("a", "b")]
    sim.bring(*losses, *losses, sim.asking("stop"))
    assert sim.status == "STOPPED"
    assert sim.changes("a") == sim.changes("b") == ["RUNNING", "QUEUED", "STOPPED"]
    sim.replay()


def test_33_a_stop_and_a_loss_in_one_turn_end_the_job_once():
    sim = one()
    loss = sim.about_run("a", "JOB_LOST")
    sim.bring(sim.asking("stop_job", "a"), loss, loss)
    assert sim.changes("a") == ["RUNNING", "STOPPING", "STOPPED"]


def test_33_what_is_not_running_is_not_lost():
    sim = one(retries=1)
    loss = sim.about_run("a", "JOB_LOST")
    sim.end("a", "FAILED")
    sim.bring(loss)
    assert sim.changes("a") == ["RUNNING", "RETRYING"]


# --- 34 ---------------------------------------------------------------------------------------------------------------


def test_34_resume_of_a_failed_execution_runs_what_did_not_succeed_and_keeps_what_did():
    @workflow
    def w():
        x = a()
        d(b(x), c(x))

    sim = Sim(w)
    sim.end("a")
    sim.end("b", "FAILED")
    sim.end("c")
    assert sim.status == "FAILED"
    sim.ask("resume")
    assert sim.status == "RUNNING"
    assert sim.running() == [("b", 2)]
    sim.end("b")
    sim.end("d")
    assert sim.status == "SUCCESS"
    assert sim.story("a", "c") == ["a RUNNING", "a SUCCESS", "c RUNNING", "c SUCCESS"]
    assert sim.story("d") == ["d SKIPPED", "d#2 RUNNING", "d#2 SUCCESS"]
    sim.replay()


def test_34_resume_of_a_stopped_execution_runs_what_was_stopped_and_what_never_began():
    @workflow
    def w():
        c(b(a()))
        d()

    sim = Sim(w, hold=True)
    sim.start("a")
    sim.ask("stop")
    sim.end("a")
    assert sim.statuses() == {"a": "STOPPED", "b": None, "c": None, "d": None}
    sim.ask("resume")
    assert sim.startable() == ["a", "d"]
    for name in ("a", "b", "c", "d"):
        sim.start(name)
        sim.end(name)
    assert sim.status == "SUCCESS"


def test_34_resume_starts_a_job_by_what_it_was_started_by():
    @workflow
    def w():
        a().start_on(event("go"))

    sim = Sim(w)
    go = sim.publish("go")
    sim.end("a", "FAILED")
    sim.ask("resume")
    assert sim.starts["a", 2].events == (go.offset,)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_34_resume_gives_a_job_the_same_input_of_a_recurring_upstream():
    @workflow
    def w():
        b(a().start_on(event("go")))

    sim = Sim(w)
    sim.publish("go")
    sim.end("a")
    sim.end("b", "FAILED")
    sim.ask("resume")
    assert sim.starts["b", 2].inputs == ((0, 1),)


def test_34_resume_runs_a_job_whose_rule_was_met_but_that_was_still_queued_at_the_stop():
    @workflow
    def w():
        x = a()
        b().start_on(x.succeeded)
        c(x)

    sim = Sim(w, hold=True)
    sim.start("a")
    sim.end("a")
    sim.ask("stop")
    assert sim.status == "STOPPED"
    sim.ask("resume")
    assert sim.startable() == ["b", "c"]


def test_34_resume_runs_a_job_that_waited_for_the_data_of_one_that_failed():
    @workflow
    def w():
        b(a()).start_on(event("go"))

    sim = Sim(w)
    go = sim.publish("go")
    sim.end("a", "FAILED")
    assert sim.statuses() == {"a": "FAILED", "b": "SKIPPED"}
    sim.ask("resume")
    sim.end("a")
    assert sim.starts["b", 2].events == (go.offset,)


def test_34_resume_gives_a_job_that_was_skipped_for_want_of_a_start_another_chance():
    @workflow
    def w():
        x = a()
        b().start_on(x.succeeded)

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.statuses() == {"a": "FAILED", "b": "SKIPPED"}
    sim.ask("resume")
    sim.end("a")
    sim.end("b")
    assert sim.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert sim.status == "SUCCESS"


def test_34_a_resumed_execution_waits_again_for_what_can_be_started_now():
    @workflow
    def w():
        x = a()
        b().start_on(x.succeeded & event("go"))

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.status == "FAILED"
    sim.ask("resume")
    sim.end("a")
    assert sim.status == "RUNNING"
    sim.publish("go")
    assert sim.running() == [("b", 2)]


def test_34_resume_does_not_run_what_a_rule_stopped_before_it_ran():
    @workflow
    def w():
        a()
        b().start_on(event("go")).stop_on(event("halt"))

    sim = Sim(w, hold=True)
    sim.start("a")
    for key in ("go", "halt"):
        sim.publish(key)
    sim.end("a", "FAILED")
    sim.ask("stop")
    sim.ask("resume")
    assert sim.startable() == ["a"]


def test_34_what_is_skipped_because_run_if_said_no_stays_skipped():
    @workflow
    def w():
        b().run_if(a())
        c()

    sim = Sim(w)
    sim.end("a", truth=False)
    sim.end("c", "FAILED")
    sim.ask("resume")
    assert sim.running() == [("c", 2)]


def test_34_an_execution_can_be_resumed_again_and_again():
    sim = one()
    for number in (1, 2, 3):
        assert sim.running() == [("a", number)]
        sim.end("a", "FAILED")
        assert sim.status == "FAILED"
        sim.ask("resume")
    sim.end("a")
    sim.end("b")
    assert sim.status == "SUCCESS"
    sim.replay()


def test_34_asking_twice_in_one_turn_resumes_once():
    sim = one()
    sim.end("a", "FAILED")
    sim.bring(sim.asking("resume"), sim.asking("resume"))
    assert sim.running() == [("a", 2)]
    assert sim.story().count("RUNNING") == 2


@pytest.mark.parametrize("action", ["stop", "resume"])
def test_34_a_running_execution_is_not_resumed_and_an_ended_one_is_not_stopped(action):
    sim = one()
    if action == "stop":
        sim.end("a", "FAILED")
    story = sim.state.dump()
    sim.ask(action)
    assert sim.state.dump() == story


def test_33_what_fails_by_its_third_loss_is_not_stopped_in_the_same_turn():
    sim = one()
    sim.lose("a")
    sim.lose("a")
    sim.bring(sim.about_run("a", "JOB_LOST"), sim.asking("stop_job", "a"))
    assert sim.changes("a")[-2:] == ["RUNNING", "FAILED"]


def test_34_what_was_skipped_waits_for_the_new_run_of_its_upstream_not_for_an_old_value():
    @workflow(ends="quiet")
    def w():
        b(a().start_on(event("go")))
        c()

    sim = Sim(w)
    for outcome in ("SUCCESS", "FAILED"):
        sim.publish("go")
        sim.end("a", outcome)
        if outcome == "SUCCESS":
            sim.end("b")
    sim.end("c")
    assert sim.statuses() == {"a": "FAILED", "b": "SKIPPED", "c": "SUCCESS"}
    sim.ask("resume")
    assert sim.running() == [("a", 3)]
    sim.end("a")
    assert sim.starts["b", 3].inputs == ((0, 3),)
