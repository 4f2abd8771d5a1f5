"""Rules 15, 16 and 22: stopping and restarting jobs, and stopping the whole."""

import pytest
from tests.graph.sim import Sim, every_log_replays  # noqa: F401

from aiflow.graph.commands import StopJob
from aiflow.graph.condition import event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def c(*inputs): ...


def stoppable(**options):
    @workflow
    def w():
        a.options(**options)().start_on(event("go")).stop_on(event("halt")).restart_on(event("again"))

    return w


# --- 15 ---------------------------------------------------------------------------------------------------------------


def test_15_stop_ends_the_running_ones_and_drops_queued_starts():
    sim = Sim(stoppable())
    for key in ("go", "go", "go", "halt"):
        sim.publish(key)
    assert sim.changes("a") == ["RUNNING", "STOPPING"]
    assert sim.commands[-1] == StopJob(0, 1, 1)
    sim.end("a", "STOPPED")
    assert sim.changes("a") == ["RUNNING", "STOPPING", "STOPPED"]
    assert sim.startable() == []


def test_15_stop_ends_all_that_run_in_parallel():
    sim = Sim(stoppable(if_running="parallel", max_parallel=2))
    for key in ("go", "go", "halt"):
        sim.publish(key)
    assert sim.story("a") == ["a RUNNING", "a#2 RUNNING", "a STOPPING", "a#2 STOPPING"]


def test_15_stop_drops_a_retry_at_once():
    sim = Sim(stoppable(retries=3))
    sim.publish("go")
    sim.end("a", "FAILED")
    sim.publish("halt")
    assert sim.changes("a") == ["RUNNING", "RETRYING", "STOPPED"]
    story = sim.story()
    sim.come_due()
    assert sim.story() == story, "the timer finds nothing to do"


def test_15_stop_drops_a_retry_that_is_queued():
    sim = Sim(stoppable(retries=3), hold=True)
    sim.publish("go")
    sim.start("a")
    sim.end("a", "FAILED")
    sim.come_due()
    sim.publish("halt")
    assert sim.changes("a") == ["RUNNING", "RETRYING", "QUEUED", "STOPPED"]


def test_15_with_nothing_to_stop_nothing_happens():
    sim = Sim(stoppable())
    sim.publish("halt")
    assert sim.story() == ["RUNNING", "halt"]
    sim.publish("go")
    assert sim.changes("a") == ["RUNNING"]


def test_15_a_stopped_job_is_not_retried():
    sim = Sim(stoppable(retries=5))
    sim.publish("go")
    sim.publish("halt")
    sim.end("a", "FAILED")
    assert sim.changes("a")[-1] == "STOPPED"


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILED", "STOPPED", "SKIPPED"])
def test_15_a_job_that_was_asked_to_stop_ends_stopped_however_it_returns(outcome):
    sim = Sim(stoppable())
    sim.publish("go")
    sim.publish("halt")
    sim.end("a", outcome, truth=True)
    assert sim.of_job("a")[-1].value == {
        "status": "STOPPED",
        "number": 1,
        "attempt": 1,
    }
    assert sim.state.job("a").success == 0, "its value is discarded"


def test_15_stop_cancels_a_pending_restart():
    sim = Sim(stoppable())
    for key in ("go", "again", "halt"):
        sim.publish(key)
    sim.end("a")
    assert sim.changes("a") == ["RUNNING", "STOPPING", "STOPPED"]
    assert sim.startable() == []


def test_15_a_job_is_told_to_stop_once():
    sim = Sim(stoppable())
    for key in ("go", "halt", "halt"):
        sim.publish(key)
    sim.ask("stop_job", "a")
    assert sim.changes("a") == ["RUNNING", "STOPPING"]
    assert len([c for c in sim.commands if isinstance(c, StopJob)]) == 1


def test_15_a_job_that_was_stopped_before_it_ran_is_skipped_and_the_execution_ends():
    @workflow
    def w():
        b(a())
        c()

    sim = Sim(w, hold=True)
    sim.ask("stop_job", "a")
    sim.start("c")
    sim.end("c")
    assert sim.story("a", "b") == ["a SKIPPED", "b SKIPPED"]
    assert "stopped before it ran" in sim.of_job("a")[0].value["reason"]
    assert sim.status == "SUCCESS"


def test_15_stopping_one_job_leaves_the_others_alone():
    @workflow
    def w():
        a()
        b()

    sim = Sim(w)
    sim.ask("stop_job", "b")
    sim.end("b")
    assert sim.running() == [("a", 1)]


# --- 16 ---------------------------------------------------------------------------------------------------------------


def test_16_restart_stops_what_runs_waits_until_it_has_ended_and_starts_once():
    sim = Sim(stoppable())
    sim.publish("go")
    again = sim.publish("again")
    assert sim.story("a") == ["a RUNNING", "a STOPPING"]
    sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a STOPPING", "a STOPPED", "a#2 RUNNING"]
    assert sim.starts["a", 2].events == (again.offset,)


def test_16_restarts_that_arrive_meanwhile_become_one_with_the_newest_events():
    sim = Sim(stoppable())
    sim.publish("go")
    offsets = [sim.publish("again").offset for _ in range(5)]
    sim.end("a")
    assert sim.starts["a", 2].events == (offsets[-1],)
    sim.end("a")
    assert sim.story("a")[-2:] == ["a#2 RUNNING", "a#2 SUCCESS"]


def test_16_restart_of_what_does_not_run_starts_it():
    sim = Sim(stoppable())
    sim.publish("again")
    assert sim.changes("a") == ["RUNNING"]


def test_16_restart_of_what_is_queued_starts_it_once_with_the_newest_events():
    sim = Sim(stoppable(), hold=True)
    for key in ("go", "go"):
        sim.publish(key)
    again = sim.publish("again")
    sim.start("a")
    assert sim.starts["a", 1].events == (again.offset,)
    sim.end("a")
    assert sim.startable() == []


def test_16_restart_of_what_is_retrying_starts_at_once():
    sim = Sim(stoppable(retries=1))
    sim.publish("go")
    sim.end("a", "FAILED")
    sim.publish("again")
    assert sim.story("a") == ["a RUNNING", "a RETRYING", "a STOPPED", "a#2 RUNNING"]


def test_16_restart_waits_for_all_that_run_in_parallel():
    sim = Sim(stoppable(if_running="parallel", max_parallel=3))
    for key in ("go", "go", "again"):
        sim.publish(key)
    sim.end("a", number=1)
    assert sim.running() == [("a", 2)]
    sim.end("a", number=2)
    assert sim.running() == [("a", 3)]


def test_16_a_restart_asks_run_if_again():
    @workflow(ends="never")
    def w():
        x = a().start_on(event("ask"))
        b().run_if(x).restart_on(event("again"))

    sim = Sim(w)
    sim.publish("ask")
    sim.end("a", truth=True)
    assert sim.running() == [("b", 1)]
    sim.publish("ask")
    sim.end("a", truth=False)
    sim.publish("again")
    sim.end("b")
    assert sim.running() == []
    assert sim.reason("b") == "run_if: a was not true"


def test_16_asking_for_a_restart_is_as_a_rule_that_does():
    @workflow
    def w():
        a()

    sim = Sim(w)
    sim.ask("restart_job", "a")
    sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a STOPPING", "a STOPPED", "a#2 RUNNING"]


# --- 22 ---------------------------------------------------------------------------------------------------------------


def test_22_stopping_an_execution_stops_what_runs_drops_what_waits_and_ends_stopped():
    @workflow
    def w():
        a()
        b.options(retries=1)()
        c().start_on(event("go"))

    sim = Sim(w)
    sim.end("b", "FAILED")
    sim.publish("go")
    sim.publish("go")
    sim.ask("stop")
    assert sim.status == "STOPPING"
    assert sim.story()[-4:] == ["STOPPING", "a STOPPING", "b STOPPED", "c STOPPING"]
    sim.end("a")
    assert sim.status == "STOPPING"
    sim.end("c")
    assert sim.status == "STOPPED"
    assert sim.statuses() == {"a": "STOPPED", "b": "STOPPED", "c": "STOPPED"}


def test_22_rules_stop_when_the_execution_is_stopping():
    @workflow
    def w():
        x = a()
        b().start_on(x.stopped | event("go"))
        c(x)

    sim = Sim(w)
    sim.ask("stop")
    sim.publish("go")
    sim.ask("start_job", "b")
    sim.end("a")
    assert sim.story("b", "c") == []
    assert sim.status == "STOPPED"


def test_22_an_execution_in_which_nothing_runs_stops_at_once():
    @workflow
    def w():
        a().start_on(event("go"))

    sim = Sim(w)
    sim.ask("stop")
    assert sim.story() == ["RUNNING", "execution:w", "STOPPING", "STOPPED"]
    sim.ask("stop")
    sim.publish("go")
    assert sim.status == "STOPPED"


def test_22_the_workflows_own_stop_on_stops_it_and_says_so():
    @workflow(stop_on=event("halt"))
    def w():
        a()
        b().start_on(event("halt"))

    sim = Sim(w)
    sim.publish("halt")
    assert sim.story("b") == []
    sim.end("a")
    assert sim.events[-1].value == {"status": "STOPPED", "reason": "stopped by event('halt')"}


def test_22_what_comes_in_the_same_turn_as_the_stop_and_after_it_comes_too_late():
    @workflow
    def w():
        a()
        b().start_on(event("go"))

    sim = Sim(w)
    sim.bring(sim.asking("stop"), sim.asking("stop"), sim.asking("start_job", "b"))
    assert sim.story() == ["RUNNING", "a RUNNING", *["execution:w"] * 3, "STOPPING", "a STOPPING"]


def test_4_an_event_for_an_execution_that_has_ended_changes_nothing():
    @workflow
    def w():
        a().restart_on(event("go"))

    sim = Sim(w)
    sim.end("a")
    state = sim.state.dump()
    sim.publish("go")
    for action, name in (("stop", None), ("start_job", "a"), ("stop_job", "a"), ("restart_job", "a")):
        sim.ask(action, name)
    assert sim.state.dump() == state


def test_requests_for_unknown_jobs_and_actions_change_nothing():
    @workflow
    def w():
        a()

    sim = Sim(w)
    state = sim.state.dump()
    sim.ask("start_job", "nobody")
    sim.ask("dance", "a")
    assert sim.state.dump() == state
