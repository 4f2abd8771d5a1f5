"""Rules 18 to 21 and 39: failing, retrying, skipping, being live, and how the whole ends."""

import pytest
from tests.graph.sim import EPOCH, Sim, every_log_replays  # noqa: F401

from aiflow.graph import machine
from aiflow.graph.commands import RetryLater, StopJob
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
        a.options(**options)()

    return Sim(w)


# --- 38 ---------------------------------------------------------------------------------------------------------------


def test_38_what_depends_on_a_success_that_was_refused_is_skipped_with_its_reason():
    @workflow
    def w():
        x = a()
        c(b(x))
        d().after(x)

    sim = Sim(w)
    sim.end("a", is_refused=True, reason="knn 2 was not validated")
    assert sim.of_job("a")[-1].value["refused"] is True
    assert (sim.changes("b"), sim.changes("c"), sim.changes("d")) == (["SKIPPED"],) * 3
    assert {sim.reason(job) for job in "abcd"} == {"knn 2 was not validated"}
    assert sim.status == "SUCCESS"


def test_38_rules_on_the_success_of_a_job_fire_although_it_was_refused():
    @workflow
    def w():
        x = a()
        b().start_on(x.succeeded)
        c().start_on(x.finished)
        d().start_on(x.failed | x.skipped)

    sim = Sim(w)
    sim.end("a", is_refused=True)
    assert sorted(job for job, _ in sim.running()) == ["b", "c"]


def test_38_a_later_success_of_a_recurring_job_that_was_refused_runs_what_depends_on_it():
    @workflow
    def w():
        b(a().start_on(event("go")))

    sim = Sim(w, ends="never")
    for is_refused in (True, False, True):
        sim.publish("go")
        sim.end("a", is_refused=is_refused, reason="no" if is_refused else None)
    assert sim.story("b") == ["b SKIPPED", "b#2 RUNNING", "b#3 SKIPPED"]  # a skip waits for nothing
    sim.end("b")
    assert sim.story("b")[3:] == ["b#2 SUCCESS"]


def test_38_a_job_that_only_rules_start_waits_for_a_value_that_was_not_refused():
    @workflow
    def w():
        b(a().start_on(event("go"))).start_on(event("now"))

    sim = Sim(w)
    sim.publish("go")
    sim.end("a", is_refused=True)
    sim.publish("now")
    assert sim.story("b") == []
    sim.publish("go")
    sim.end("a")
    assert sim.starts["b", 1].inputs == ((0, 2),)


def test_38_a_stop_while_it_runs_makes_it_stopped_and_nothing_refused():
    sim = one()
    sim.ask("stop_job", "a")
    sim.end("a", is_refused=True)
    assert "refused" not in sim.of_job("a")[-1].value


def test_38_resuming_keeps_what_was_refused_and_its_skips():
    @workflow
    def w():
        b(a())
        c()

    sim = Sim(w)
    sim.end("a", is_refused=True)
    sim.end("c", "FAILED")
    sim.ask("resume")
    assert sim.running() == [("c", 2)]


# --- 18 ---------------------------------------------------------------------------------------------------------------


def test_18_a_failure_without_attempts_left_is_failed():
    sim = one()
    sim.end("a", "FAILED", reason="no such file")
    assert sim.changes("a") == ["RUNNING", "FAILED"]
    assert sim.reason("a") == "no such file"
    assert sim.status == "FAILED"


def test_18_with_attempts_left_it_is_retrying_then_queued_then_runs_again():
    sim = one(retries=1)
    sim.end("a", "FAILED")
    sim.come_due()
    assert sim.changes("a") == ["RUNNING", "RETRYING", "QUEUED", "RUNNING"]
    assert [e.value["attempt"] for e in sim.of_job("a")] == [1, 1, 1, 2]
    sim.end("a")
    assert sim.status == "SUCCESS"


@pytest.mark.parametrize(("delay", "backoff"), [(1.0, 2.0), (5.0, 1.0), (0.5, 3.0), (0.0, 2.0)])
def test_18_it_comes_back_after_retry_delay_times_retry_backoff_to_the_attempt_less_one(delay, backoff):
    sim = one(retries=3, retry_delay=delay, retry_backoff=backoff)
    for attempt in (1, 2, 3):
        before = sim.now
        sim.end("a", "FAILED")
        assert sim.timers[0].due == before + delay * backoff ** (attempt - 1)
        sim.come_due()
    sim.end("a", "FAILED")
    assert sim.changes("a")[-1] == "FAILED"
    assert sim.run_of("a") is None


def test_18_a_failure_that_must_not_be_retried_is_failed():
    sim = one(retries=3)
    sim.end("a", "FAILED", retryable=False)
    assert sim.changes("a") == ["RUNNING", "FAILED"]


def test_18_a_timeout_asks_the_job_to_stop_and_is_a_failure_when_it_has_ended():
    sim = one(timeout=60)
    sim.time_out("a")
    assert sim.changes("a") == ["RUNNING"], "a thread goes on until it sees it"
    assert sim.commands[-1] == StopJob(0, 1, 1, timed_out=True)
    sim.end("a", "SUCCESS")
    assert sim.changes("a") == ["RUNNING", "FAILED"]
    assert sim.reason("a") == "timed out after 60 s"


def test_18_a_timeout_is_retried():
    sim = one(timeout=60, retries=1)
    sim.time_out("a")
    sim.time_out("a")
    assert len([c for c in sim.commands if isinstance(c, StopJob)]) == 1
    sim.end("a", "STOPPED")
    assert sim.changes("a") == ["RUNNING", "RETRYING"]
    sim.come_due()
    sim.end("a", "SUCCESS")
    assert sim.changes("a")[-1] == "SUCCESS", "the second attempt has not timed out"


def test_18_a_timeout_of_an_attempt_that_has_ended_changes_nothing():
    sim = one(timeout=60, retries=1)
    late = sim.about_run("a", "JOB_TIMED_OUT")
    sim.end("a", "FAILED")
    sim.come_due()
    sim.bring(late)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_18_a_job_that_timed_out_and_was_then_asked_to_stop_ends_stopped():
    sim = one(timeout=60, retries=1)
    sim.time_out("a")
    sim.ask("stop_job", "a")
    sim.end("a", "STOPPED")
    assert sim.changes("a") == ["RUNNING", "STOPPING", "STOPPED"]


def test_18_the_timer_of_a_retry_finds_the_attempt_it_was_set_for_or_does_nothing():
    sim = one(retries=2)
    sim.end("a", "FAILED")
    timer = sim.timers[0]
    assert timer == RetryLater(0, 1, 1, EPOCH + 1.0)
    sim.come_due()
    assert machine.retry(sim.state, timer.vertex, timer.number, timer.attempt, sim.now) is None


def test_a_job_may_say_itself_that_it_is_skipped_or_stopped():
    @workflow
    def w():
        b(a())

    for outcome, told in (("SKIPPED", "a was skipped (no new rows)"), ("STOPPED", "a was stopped")):
        sim = Sim(w)
        sim.end("a", outcome, reason="no new rows")
        assert sim.statuses() == {"a": outcome, "b": "SKIPPED"}
        assert sim.reason("b") == told
        assert sim.status == "SUCCESS"


# --- 19 and 39 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["FAILED", "STOPPED", "SKIPPED"])
@pytest.mark.parametrize("edge", ["data", "after"])
def test_39_skips_travel_along_data_and_after_edges_alike_at_once_down_the_graph(outcome, edge):
    @workflow
    def w():
        def chained(later, earlier):
            return later(earlier) if edge == "data" else later().after(earlier)

        x = a()
        chained(c, chained(b, x))
        d()

    sim = Sim(w)
    sim.end("a", outcome)
    assert sim.statuses() == {"a": outcome, "b": "SKIPPED", "c": "SKIPPED", "d": None}


def test_19_a_skip_bears_the_reason_that_began_it_however_far_up():
    @workflow
    def w():
        d().after(c(b(a())))

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert [sim.reason(name) for name in ("b", "c", "d")] == ["a failed"] * 3


def test_19_a_node_with_several_bad_upstreams_is_skipped_once():
    @workflow
    def w():
        c(a(), b())

    sim = Sim(w)
    sim.end("b", "FAILED")
    sim.end("a", "FAILED")
    assert sim.story("c") == ["c SKIPPED"]


def test_19_a_diamond_below_a_failure_is_skipped_once():
    @workflow
    def w():
        x = a()
        d(b(x), c(x))

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.story("b", "c", "d") == ["b SKIPPED", "c SKIPPED", "d SKIPPED"]


def test_19_each_end_of_a_recurring_upstream_gives_one_run_or_one_skip():
    @workflow(ends="never")
    def w():
        b(a().start_on(event("go")))

    sim = Sim(w)
    for outcome in ("FAILED", "SUCCESS", "STOPPED", "SUCCESS"):
        sim.publish("go")
        sim.end("a", outcome)
        if sim.run_of("b"):
            sim.end("b")
    assert sim.story("b") == ["b SKIPPED", "b#2 RUNNING", "b#2 SUCCESS", "b#3 SKIPPED", "b#4 RUNNING", "b#4 SUCCESS"]


def test_19_each_end_counts_also_when_a_one_shot_upstream_has_failed():
    @workflow(ends="never")
    def w():
        c(a(), b().start_on(event("go")))

    sim = Sim(w)
    sim.end("a", "FAILED")
    for _ in range(2):
        sim.publish("go")
        sim.end("b")
    assert sim.story("c") == ["c SKIPPED", "c#2 SKIPPED", "c#3 SKIPPED"]
    assert not any((sim.state.job("c").feeds or {}).values()), "nothing piles up"


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("failed", "FAILED"),
        ("stopped", "STOPPED"),
        ("skipped", "SKIPPED"),
        ("succeeded", "SUCCESS"),
        ("finished", "SUCCESS"),
        ("finished", "FAILED"),
        ("finished", "STOPPED"),
        ("finished", "SKIPPED"),
    ],
)
def test_19_a_rule_on_an_end_of_it_runs(condition, outcome):
    @workflow
    def w():
        b().start_on(getattr(a(), condition))

    sim = Sim(w)
    sim.end("a", outcome)
    assert sim.running() == [("b", 1)]


def test_19_a_rule_on_running_runs_when_it_starts_and_again_at_each_attempt():
    @workflow(ends="never")
    def w():
        b().start_on(a.options(retries=1)().running)

    sim = Sim(w)
    sim.end("b")
    sim.end("a", "FAILED")
    sim.come_due()
    assert sim.story("b") == ["b RUNNING", "b SUCCESS", "b#2 RUNNING"]


def test_19_a_rule_on_the_skip_of_what_nothing_starts_runs_and_is_not_skipped_itself():
    @workflow
    def w():
        x = a()
        y = b().start_on(x.failed)
        c().start_on(y.skipped)

    sim = Sim(w)
    sim.end("a")
    assert sim.story("b", "c") == ["b SKIPPED", "c RUNNING"]
    sim.end("c")
    assert sim.status == "SUCCESS"


def test_19_a_rule_on_the_skip_of_a_node_below_what_nothing_starts_runs_too():
    @workflow
    def w():
        x = a()
        y = c(b().start_on(x.failed))
        d().start_on(y.finished)

    sim = Sim(w)
    sim.end("a")
    assert sim.story("b", "c", "d") == ["b SKIPPED", "c SKIPPED", "d RUNNING"]


# --- 20 ---------------------------------------------------------------------------------------------------------------


def test_20_an_execution_ends_when_nothing_runs_and_every_node_has_ended():
    @workflow
    def w():
        a().restart_on(event("again"))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_20_it_waits_for_a_node_that_an_event_can_start():
    @workflow
    def w():
        b(a().start_on(event("go")))

    sim = Sim(w)
    assert sim.status == "RUNNING"
    sim.publish("go")
    sim.end("a")
    sim.end("b")
    assert sim.status == "SUCCESS"


def test_20_two_nodes_that_only_wait_for_each_other_are_skipped_and_the_execution_ends():
    @workflow
    def w():
        x, y = a(), b()
        x.start_on(y.succeeded)
        y.start_on(x.succeeded)
        c()

    sim = Sim(w)
    sim.end("c")
    assert sim.statuses() == {"a": "SKIPPED", "b": "SKIPPED", "c": "SUCCESS"}
    assert sim.reason("a") == "nothing can start it any more; it waited for b.succeeded"
    assert sim.status == "SUCCESS"


def test_20_what_depends_on_a_node_that_is_not_live_is_skipped_with_it():
    @workflow
    def w():
        x = a()
        c(b().start_on(x.failed))

    sim = Sim(w)
    sim.end("a")
    assert sim.statuses() == {"a": "SUCCESS", "b": "SKIPPED", "c": "SKIPPED"}
    assert sim.reason("c") == "b was skipped (nothing can start it any more; it waited for a.failed)"


def test_20_a_latched_half_of_a_condition_counts_as_met():
    @workflow
    def w():
        b().start_on(a().succeeded & event("go"))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "RUNNING"
    sim.publish("go")
    assert sim.running() == [("b", 1)]


def test_20_counted_matches_count_as_met():
    @workflow
    def w():
        x, y = a(), b()
        c().start_on((x.succeeded | y.succeeded).times(2) & event("go"))

    sim = Sim(w)
    sim.end("a")
    sim.end("b")
    assert sim.status == "RUNNING"
    sim.publish("go")
    assert sim.running() == [("c", 1)]


def test_20_an_event_of_its_own_can_come_only_from_what_is_live():
    @workflow
    def w():
        x = a()
        b().start_on(event("own").own())
        x.restart_on(event("again"))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "RUNNING", "a can be started again and publish"
    sim = Sim(_only_own())
    sim.end("a")
    assert sim.statuses() == {"a": "SUCCESS", "b": "SKIPPED"}


def _only_own():
    @workflow
    def w():
        a()
        b().start_on(event("own").own())

    return w


def test_20_who_may_publish_later_is_live_wherever_it_stands_in_the_body():
    @workflow
    def w():
        a().start_on(event("go"))
        b().start_on(event("own").own())

    assert Sim(w).status == "RUNNING"

    @workflow
    def turned():
        b().start_on(event("own").own())
        a().start_on(event("go"))

    assert Sim(turned).statuses() == {"a": None, "b": None}


def test_20_a_node_that_stopped_being_live_is_found_though_another_was_live_at_the_last_look():
    @workflow
    def w():
        last, middle, first = c(), b(), a()
        middle.start_on(first.succeeded & event("go"))
        last.start_on(middle.failed)

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "RUNNING"
    sim.publish("go")
    sim.end("b")
    assert sim.statuses()["c"] == "SKIPPED"
    assert sim.status == "SUCCESS"


def test_20_a_node_whose_input_was_made_again_and_failed_is_not_live_any_more():
    @workflow
    def w():
        x = a()
        y = b(x).start_on(event("go"))
        c().start_on(y.failed)

    sim = Sim(w)
    sim.end("a")
    sim.publish("go")
    sim.end("b")
    assert sim.status == "RUNNING", "b may run again and fail"
    sim.ask("start_job", "a")
    sim.end("a", "FAILED")
    assert sim.statuses() == {"a": "FAILED", "b": "SUCCESS", "c": "SKIPPED"}
    assert sim.status == "FAILED"


def test_20_a_start_whose_input_can_never_come_is_dropped_with_the_skip():
    @workflow
    def w():
        x = a()
        b(c().start_on(x.failed)).start_on(event("go"))
        d()

    sim = Sim(w)
    sim.publish("go")
    assert sim.state.job("b").starts
    sim.end("a")
    sim.end("d")
    assert sim.statuses()["b"] == "SKIPPED"
    assert not sim.state.job("b").starts
    assert sim.status == "SUCCESS"


def test_20_a_rule_that_is_met_for_good_but_that_nothing_touches_any_more_is_not_live():
    @workflow
    def w():
        x = a()
        y = b().start_on(x.succeeded.sticky() & x.finished.sticky())
        c().start_on(y.failed)

    sim = Sim(w)
    sim.end("a")
    sim.end("b")
    assert sim.statuses()["c"] == "SKIPPED"
    assert sim.status == "SUCCESS"


def test_20_a_restart_rule_keeps_no_node_alive_whose_inputs_cannot_come():
    @workflow
    def w():
        x = a()
        y = b().start_on(x.failed)
        z = c(y).restart_on(event("again"))
        d().start_on(z.failed)

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "SUCCESS"
    assert sim.statuses() == {"a": "SUCCESS", "b": "SKIPPED", "c": "SKIPPED", "d": "SKIPPED"}


def test_20_ends_quiet_ends_as_soon_as_nothing_runs():
    @workflow(ends="quiet")
    def w():
        a()
        b().start_on(event("go"))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "SUCCESS"
    assert sim.statuses() == {"a": "SUCCESS", "b": None}


def test_20_ends_quiet_waits_for_retries():
    @workflow(ends="quiet")
    def w():
        a.options(retries=1)()

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.status == "RUNNING"


def test_20_ends_never_ends_only_by_a_stop():
    @workflow(ends="never")
    def w():
        a()

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "RUNNING"
    sim.ask("stop")
    assert sim.status == "STOPPED"


def test_20_allow_failure_counts_as_success_for_after_edges_only():
    @workflow
    def w():
        x = a.options(allow_failure=True)()
        b().after(x)
        c(x)
        d(x).after(x)

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.statuses() == {"a": "FAILED", "b": None, "c": "SKIPPED", "d": "SKIPPED"}
    sim.end("b")
    assert sim.status == "SUCCESS"


def test_20_allow_failure_does_not_count_a_stop_as_success():
    @workflow
    def w():
        b().after(a.options(allow_failure=True)())

    sim = Sim(w)
    sim.ask("stop_job", "a")
    sim.end("a")
    assert sim.statuses()["b"] == "SKIPPED"


def test_20_allow_failure_of_a_recurring_upstream_runs_what_comes_after_it():
    @workflow(ends="never")
    def w():
        b().after(a.options(allow_failure=True)().start_on(event("go")))

    sim = Sim(w)
    sim.publish("go")
    sim.end("a", "FAILED")
    assert sim.running() == [("b", 1)]


# --- run_if -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("truth", "status"), [(True, None), (False, "SKIPPED"), (None, "SKIPPED")])
def test_run_if_skips_unless_the_value_is_true(truth, status):
    @workflow
    def w():
        c(b().run_if(a()))

    sim = Sim(w)
    sim.end("a", truth=truth)
    assert sim.statuses()["b"] == status
    assert sim.statuses()["c"] == status


def test_run_if_asks_the_output_it_names():
    @workflow
    def w():
        x, y = a.options(outputs=2)()
        z = a.options(outputs=("left", "right"), name="z")()
        b().run_if(x)
        c().run_if(y)
        d().run_if(z["right"])

    sim = Sim(w)
    sim.end("a", truth={"0": True, "1": False})
    sim.end("z", truth={"right": True})
    assert sim.statuses() == {"a": "SUCCESS", "z": "SUCCESS", "b": None, "c": "SKIPPED", "d": None}
    assert sim.reason("c") == "run_if: a[1] was not true"


def test_run_if_is_as_a_data_edge_when_the_other_fails():
    @workflow
    def w():
        b().run_if(a.options(allow_failure=True)())

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.statuses()["b"] == "SKIPPED"


def test_run_if_is_asked_when_its_answer_is_there_not_when_the_event_comes():
    @workflow
    def w():
        b().run_if(a()).start_on(event("go"))

    for truth in (True, False):
        sim = Sim(w)
        sim.publish("go")
        assert sim.changes("b") == []
        sim.end("a", truth=truth)
        assert sim.changes("b") == (["RUNNING"] if truth else ["SKIPPED"])


def test_run_if_of_a_node_with_start_on_is_asked_at_each_firing():
    @workflow(ends="never")
    def w():
        b().run_if(a().start_on(event("ask"))).start_on(event("go"))

    sim = Sim(w)
    for truth in (False, False, True):
        sim.publish("ask")
        sim.end("a", truth=truth)
        sim.publish("go")
    assert sim.story("b") == ["b SKIPPED", "b#2 SKIPPED", "b#3 RUNNING"]


def test_run_if_is_asked_of_each_value_of_a_recurring_upstream():
    @workflow(ends="never")
    def w():
        b().run_if(a().start_on(event("go")))

    sim = Sim(w)
    for truth in (True, False, True):
        sim.publish("go")
        sim.end("a", truth=truth)
    sim.end("b")
    sim.end("b")
    assert sim.story("b") == ["b RUNNING", "b#2 SKIPPED", "b SUCCESS", "b#3 RUNNING", "b#3 SUCCESS"]


def test_run_if_is_not_asked_when_somebody_asks_for_the_job():
    @workflow
    def w():
        b().run_if(a())
        c()

    sim = Sim(w)
    sim.end("a", truth=False)
    sim.ask("start_job", "b")
    assert sim.running() == [("b", 2), ("c", 1)]


def test_run_if_of_a_given_job_is_true():
    @workflow
    def w():
        b().run_if(a())

    assert Sim(w, chosen={"b"}).running() == [("b", 1)]


# --- 21 ---------------------------------------------------------------------------------------------------------------


def test_21_it_is_failed_if_the_last_run_of_any_job_failed():
    @workflow
    def w():
        x = a().restart_on(event("again"))
        b().start_on(x.succeeded)

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.status == "RUNNING"
    sim.publish("again")
    sim.end("a")
    sim.end("b", "FAILED")
    assert sim.status == "FAILED"


def test_21_a_failure_that_a_later_run_made_good_does_not_count():
    @workflow
    def w():
        x = a().restart_on(event("again"))
        b().start_on(x.succeeded)

    sim = Sim(w)
    sim.end("a", "FAILED")
    sim.publish("again")
    sim.end("a")
    sim.end("b")
    assert sim.status == "SUCCESS"


def test_21_it_is_stopped_if_it_was_stopped_whatever_failed():
    @workflow
    def w():
        a()
        b()

    sim = Sim(w)
    sim.end("a", "FAILED")
    sim.ask("stop")
    sim.end("b")
    assert sim.status == "STOPPED"


def test_21_skipped_and_stopped_jobs_do_not_fail_it():
    @workflow
    def w():
        b(a())

    sim = Sim(w)
    sim.ask("stop_job", "a")
    sim.end("a")
    assert sim.status == "SUCCESS"


# --- no end -----------------------------------------------------------------------------------------------------------


def test_19_a_cycle_of_rules_on_skips_comes_to_an_end():
    @workflow
    def w():
        x = a()
        y, z = b().run_if(x), c().run_if(x)
        y.start_on(event("go") | z.skipped)
        z.start_on(y.skipped)
        y.restart_on(y.skipped)

    sim = Sim(w)
    sim.end("a", truth=False)
    sim.publish("go")
    assert sim.story("b", "c") == ["b SKIPPED", "c SKIPPED"]
    assert sim.status == "SUCCESS"


def test_19_a_restart_on_the_own_skip_comes_to_an_end():
    @workflow
    def w():
        x = b(a())
        x.restart_on(x.skipped)

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.story("b") == ["b SKIPPED"]
    assert sim.status == "FAILED"
