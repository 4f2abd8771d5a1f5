"""Acceptance of the scheduler's rules, written from their text alone (`docs/semantics.md`)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.acceptance.acts import PATIENCE, Gate, end, tell, until

import aiflow as af
from aiflow.testing import assert_replays, run_until_idle


def recorder(seen: list[Any]) -> af.Job:
    @af.job
    def act():
        seen.append([(e.key, e.value) for e in af.current().events])

    return act


def served_by(project: af.Project, condition: af.Condition, seen: list[Any]) -> af.Execution:
    """An execution whose only job is started by a condition, again and again."""
    act = recorder(seen)

    @af.workflow(ends="never")
    def flow():
        act().start_on(condition)

    return project.start(flow)


# ---------------------------------------------------------------------------------------------------------- conditions


def test_rule_5_a_latch_is_kept_through_values_that_do_not_match_and_holds_its_newest_event(aiflow_project, seen):
    execution = served_by(aiflow_project, af.event("a", where=lambda e: e.value > 10) & af.event("b"), seen)
    tell(aiflow_project, ("a", 11), ("a", 12), ("a", 3), ("b", 0))
    assert seen == [[("a", 12), ("b", 0)]]
    end(execution)


def test_rule_8_a_sticky_count_inside_an_all_stays_met_and_the_other_leaf_fires_it_each_time(aiflow_project, seen):
    execution = served_by(aiflow_project, af.event("a").times(2).sticky() & af.event("b"), seen)
    tell(aiflow_project, "a", "b")
    assert seen == []
    tell(aiflow_project, "a")
    assert len(seen) == 1
    tell(aiflow_project, "b", "other", "b")
    assert len(seen) == 3
    end(execution)


def test_rule_9_times_within_counts_only_the_matches_inside_the_window(aiflow_project, aiflow_clock, seen):
    execution = served_by(aiflow_project, af.event("error").times(3).within(60), seen)
    for value, pause in enumerate((0, 30, 40, 5)):  # at 0, 30, 70, 75
        aiflow_clock.advance(pause)
        tell(aiflow_project, ("error", value))
        assert len(seen) == (value == 3)
    assert seen == [[("error", 1), ("error", 2), ("error", 3)]]
    tell(aiflow_project, ("error", 4), ("error", 5))  # a new count since the last firing
    assert len(seen) == 1
    tell(aiflow_project, ("error", 6))
    assert len(seen) == 2
    end(execution)


def test_rule_9_within_forgets_the_older_part_and_takes_its_next_event(aiflow_project, aiflow_clock, seen):
    execution = served_by(aiflow_project, (af.event("a") & af.event("b")).within(10), seen)
    tell(aiflow_project, ("a", 1))
    aiflow_clock.advance(20)
    tell(aiflow_project, ("b", 2))
    assert seen == []
    aiflow_clock.advance(5)
    tell(aiflow_project, ("a", 3))
    assert seen == [[("b", 2), ("a", 3)]]
    end(execution)


def test_rule_9_times_of_a_composite_counts_its_meetings(aiflow_project, seen):
    execution = served_by(aiflow_project, (af.event("a") & af.event("b")).times(2), seen)
    tell(aiflow_project, "a", "a", "b", "b")
    assert seen == []
    tell(aiflow_project, "a")
    assert len(seen) == 1
    end(execution)


def test_rule_9_what_the_firing_branch_did_not_need_is_consumed_too(aiflow_project, seen):
    execution = served_by(aiflow_project, (af.event("a") & af.event("b")) | af.event("c"), seen)
    tell(aiflow_project, "a", "c")
    assert len(seen) == 1
    tell(aiflow_project, "b")
    assert len(seen) == 1
    tell(aiflow_project, "a")
    assert len(seen) == 2
    end(execution)


def test_rule_9_where_with_times_counts_only_what_it_accepts_and_an_exception_is_a_no_that_why_shows(
    aiflow_project, seen
):
    execution = served_by(aiflow_project, af.event("n", where=lambda e: e.value["size"] > 10).times(2), seen)
    tell(aiflow_project, ("n", {"size": 11}), ("n", {}))
    why = execution.why("act")
    assert "KeyError" in why
    assert "size" in why
    tell(aiflow_project, ("n", {"size": 1}))
    assert seen == []
    tell(aiflow_project, ("n", {"size": 12}))
    assert seen == [[("n", {"size": 11}), ("n", {"size": 12})]]
    end(execution)


def test_rules_9_and_10_custom_conditions_of_one_name_keep_a_state_each_also_after_firing(aiflow_project):
    fired = []

    def counter(limit: int, forget: bool) -> af.Condition:
        @af.condition(keys=["n"])
        def enough(event, state):
            state["n"] = state.get("n", 0) + 1
            met = state["n"] >= limit
            if met and forget:
                state.clear()
            return met

        return enough

    @af.job
    def keeps():
        fired.append("keeps")

    @af.job
    def forgets():
        fired.append("forgets")

    @af.workflow(ends="never")
    def flow():
        keeps().start_on(counter(2, forget=False))
        forgets().start_on(counter(3, forget=True))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, *["n"] * 7, "other")
    assert fired.count("keeps") == 6  # 2, 3, 4, 5, 6, 7
    assert fired.count("forgets") == 2  # 3, 6
    end(execution)


def test_rule_9_a_question_that_is_pending_at_a_stop_starts_nothing(aiflow_project, seen):
    gate = Gate()

    @af.condition(keys=["n"])
    def slow(event, state):
        gate.stand()
        return True

    execution = served_by(aiflow_project, slow, seen)
    asker = threading.Thread(target=lambda: tell(aiflow_project, "n"))
    asker.start()
    gate.wait_for_one()
    execution.stop()
    gate.open()
    asker.join()
    execution.wait(timeout=30)
    assert (execution.status, seen) == ("STOPPED", [])


def test_own_takes_only_events_that_the_same_execution_caused_and_rule_20_does_not_wait_for_others(aiflow_project):
    heard = []

    @af.job
    def speak(name):
        af.current().publish("ping", name, context=None)

    @af.job
    def hear(name):
        heard.append((name, af.current().event.value))

    @af.workflow(ends="never")
    def chat(name: str):
        speak(name).start_on(af.event("speak"))
        hear(name).start_on(af.event("ping").own())

    @af.job
    def alone(): ...

    @af.workflow
    def lonely():
        alone()
        hear("lonely").start_on(af.event("ping").own())

    one, two = (aiflow_project.start(chat, name=name) for name in ("one", "two"))
    tell(aiflow_project, ("ping", "outside"))
    assert heard == []
    aiflow_project.publish("speak", context=one.id)
    run_until_idle(aiflow_project)
    assert heard == [("one", "one")]
    quiet = aiflow_project.run(lonely)
    assert (quiet.status, quiet.job("hear").status) == ("SUCCESS", "SKIPPED")
    end(one)
    end(two)


# ---------------------------------------------------------------------------------------------------- several at a time


def test_rule_7_the_first_declared_of_two_rules_met_by_one_event_acts_and_the_latches_of_the_other_are_gone(
    aiflow_project, seen
):
    act = recorder(seen)

    @af.workflow(ends="never")
    def flow():
        act().stop_on(af.event("x")).start_on((af.event("x") & af.event("y")) | (af.event("z") & af.event("y")))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, "y", "x")  # STOP acts, with nothing to stop; the start is consumed by it, y included
    assert seen == []
    assert str(aiflow_project.events.latest("x").offset) in execution.why("act")
    tell(aiflow_project, "z")
    assert seen == []
    tell(aiflow_project, "y")
    assert len(seen) == 1
    end(execution)


def test_rule_7_start_declared_before_stop_wins_also_while_the_job_runs(aiflow_project):
    gate, runs = Gate(), []

    @af.job(runner="thread")
    def work():
        runs.append(af.current().number)
        gate.stand()

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.event("x")).stop_on(af.event("x") | af.event("halt"))

    execution = aiflow_project.start(flow)
    aiflow_project.publish("x")
    gate.wait_for_one()
    aiflow_project.publish("x")
    gate.open()
    run_until_idle(aiflow_project)
    assert runs == [1, 2]
    assert [run.status for run in execution.jobs] == ["SUCCESS", "SUCCESS"]
    end(execution)


def test_rule_8_an_event_that_one_rule_consumed_still_counts_for_rules_that_were_not_met(aiflow_project, seen):
    @af.job
    def first():
        seen.append(("first", [e.key for e in af.current().events]))

    @af.job
    def second():
        seen.append(("second", [e.key for e in af.current().events]))

    @af.workflow(ends="never")
    def flow():
        first().start_on(af.event("x")).start_on(af.event("x") & af.event("y"))
        second().start_on(af.event("x") & af.event("y"))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, "x")
    assert seen == [("first", ["x"])]
    tell(aiflow_project, "y")
    assert seen[1:] == [("first", ["x", "y"]), ("second", ["x", "y"])]
    end(execution)


# ------------------------------------------------------------------------------------------------- start, stop, restart


def test_rules_15_and_16_a_stop_cancels_the_restart_that_waits_for_the_old_function(aiflow_project):
    gate, runs = Gate(), []

    @af.job(runner="thread")
    def work():
        runs.append(1)
        gate.stand()

    @af.workflow(ends="never")
    def flow():
        work().restart_on(af.event("again")).stop_on(af.event("halt"))

    execution = aiflow_project.start(flow)
    gate.wait_for_one()
    aiflow_project.publish("again")
    until(lambda: execution.job("work").status == "STOPPING")
    aiflow_project.publish("halt")
    gate.open()
    run_until_idle(aiflow_project)
    assert [(run.number, run.status) for run in execution.jobs] == [(1, "STOPPED")]
    assert len(runs) == 1
    end(execution)


def test_rule_16_restarts_that_arrive_while_the_old_one_ends_become_one_with_the_newest_events(aiflow_project):
    gate, events = Gate(), []

    @af.job(runner="thread")
    def work():
        event = af.current().event
        events.append(event and event.value)
        gate.stand()

    @af.workflow(ends="never")
    def flow():
        work().restart_on(af.event("again"))

    execution = aiflow_project.start(flow)
    gate.wait_for_one()
    for value in (1, 2, 3):
        aiflow_project.publish("again", value)
    gate.open()
    run_until_idle(aiflow_project)
    assert events == [None, 3]
    assert [run.status for run in execution.jobs] == ["STOPPED", "SUCCESS"]
    end(execution)


def test_rules_15_and_16_a_restart_replaces_a_retry_that_waits_and_a_stop_drops_the_next(aiflow_project, aiflow_clock):
    runs = []

    @af.job(retries=3, retry_delay=100)
    def work():
        runs.append((af.current().number, af.current().attempt))
        raise RuntimeError("not yet")

    @af.workflow(ends="never")
    def flow():
        work().restart_on(af.event("again")).stop_on(af.event("halt"))

    execution = aiflow_project.start(flow)
    run_until_idle(aiflow_project)
    assert execution.job("work").status == "RETRYING"
    tell(aiflow_project, "again")
    assert runs == [(1, 1), (2, 1)]
    aiflow_clock.advance(100)
    assert runs == [(1, 1), (2, 1), (2, 2)]  # the retry of the first is gone
    tell(aiflow_project, "halt")
    assert execution.job("work").status == "STOPPED"
    aiflow_clock.advance(10_000)
    assert len(runs) == 3
    end(execution)


def test_rules_15_and_19_a_job_that_was_asked_to_stop_ends_stopped_and_its_value_goes_nowhere(aiflow_project):
    gate, used = Gate(), []

    @af.job(runner="thread", retries=5)
    def make():
        gate.stand()
        return "a value"

    @af.job
    def use(value):
        used.append(value)

    @af.job
    def told():
        used.append("told")

    @af.workflow
    def flow():
        made = make()
        use(made)
        told().start_on(made.stopped)

    execution = aiflow_project.start(flow)
    gate.wait_for_one()
    execution.stop_job("make")
    gate.open()
    execution.wait(timeout=30)
    assert used == ["told"]
    assert {run.job: run.status for run in execution.jobs} == {"make": "STOPPED", "use": "SKIPPED", "told": "SUCCESS"}
    assert execution.results("make") == []
    assert_replays(execution)


@pytest.mark.parametrize(
    ("if_running", "expected"),
    [
        ("queue", [[1], [2], [3], [4]]),
        ("merge", [[1], [2, 3, 4]]),
        ("ignore", [[1]]),
    ],
)
def test_rule_14_if_running_decides_what_becomes_of_starts_that_meet_a_running_job(
    aiflow_project, if_running, expected
):
    gate, seen = Gate(), []

    @af.job(runner="thread", if_running=if_running)
    def work():
        seen.append([e.value for e in af.current().events])
        gate.stand()

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.event("go"))

    execution = aiflow_project.start(flow)
    aiflow_project.publish("go", 1)
    gate.wait_for_one()
    for value in (2, 3, 4):
        aiflow_project.publish("go", value)
    gate.open()
    run_until_idle(aiflow_project)
    assert seen == expected
    assert len(execution.jobs) == len(expected)  # dropped starts have no row
    end(execution)


def test_rule_14_parallel_runs_up_to_max_parallel_at_once_and_queues_the_rest(aiflow_project):
    gate, lock, now, peak, values = Gate(), threading.Lock(), [0], [0], []

    @af.job(runner="thread", if_running="parallel", max_parallel=2)
    def work():
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
            values.append(af.current().event.value)
        gate.stand()
        with lock:
            now[0] -= 1

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.event("go"))

    execution = aiflow_project.start(flow)
    for value in range(5):
        aiflow_project.publish("go", value)
    gate.wait_for_one()
    gate.wait_for_one()  # two stand before the gate at the same time
    gate.open()
    run_until_idle(aiflow_project)
    assert (peak, sorted(values)) == ([2], [0, 1, 2, 3, 4])
    end(execution)


# ----------------------------------------------------------------------------------------------------------- upstreams


def test_rules_13_and_19_recurring_upstreams_are_paired_first_with_first_and_a_skip_takes_its_place(aiflow_project):
    pairs = []

    @af.job
    def left():
        value = af.current().event.value
        if value == 2:
            raise af.Skip("not this one")
        return value

    @af.job
    def right():
        return af.current().event.value

    @af.job
    def base():
        return "base"

    @af.job
    def both(one, two, three):
        pairs.append((one, two, three))

    @af.workflow(ends="never")
    def flow():
        both(left().start_on(af.event("left")), right().start_on(af.event("right")), base())

    execution = aiflow_project.start(flow)
    tell(aiflow_project, ("left", 1), ("left", 2), ("left", 3), ("right", 10), ("right", 20), ("right", 30))
    assert pairs == [(1, 10, "base"), (3, 30, "base")]
    assert sorted(run.status for run in execution.jobs if run.job == "both") == ["SKIPPED", "SUCCESS", "SUCCESS"]
    end(execution)


def test_rule_12_with_start_on_data_inputs_are_the_latest_values_and_waited_for(aiflow_project, seen):
    @af.job
    def load():
        return af.current().event.value

    @af.job
    def use(rows):
        seen.append((rows, af.current().event.value))

    @af.workflow(ends="never")
    def flow():
        use(load().start_on(af.event("load"))).start_on(af.event("go"))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, ("go", 1))
    assert seen == []
    tell(aiflow_project, ("load", "a"))
    assert seen == [("a", 1)]
    tell(aiflow_project, ("load", "b"), ("load", "c"), ("go", 2), ("go", 3))
    assert seen == [("a", 1), ("c", 2), ("c", 3)]
    end(execution)


def test_rules_19_20_and_39_skips_travel_along_run_if_data_and_after_and_failures_that_are_allowed_do_not(
    aiflow_project,
):
    ran = []

    @af.job
    def say(value, *inputs):
        ran.append(af.current().job)
        return value

    @af.job(allow_failure=True)
    def breaks():
        raise ValueError("allowed")

    @af.workflow
    def flow():
        no = say.options(name="no")(False)
        gated = say.options(name="gated")(True).run_if(no)
        chained = say.options(name="chained")(True).run_if(gated)
        say.options(name="fed")(1, chained)
        say.options(name="later")(1).after(chained, no)
        bad = breaks()
        say.options(name="tidy")(1).after(bad)
        say.options(name="needs")(1, bad)
        say.options(name="alarm")(1).start_on(bad.failed)
        say.options(name="calm")(1).start_on(no.failed)

    execution = aiflow_project.run(flow)
    status = {run.job: run.status for run in execution.jobs}
    skipped = {job for job, was in status.items() if was == "SKIPPED"}
    assert skipped == {"gated", "chained", "fed", "later", "needs", "calm"}
    assert sorted(ran) == ["alarm", "no", "tidy"]
    assert (status["breaks"], execution.status) == ("FAILED", "SUCCESS")
    assert "no" in execution.why("calm")
    assert_replays(execution)


# --------------------------------------------------------------------------------------------------------------- ending


def test_rule_20_two_nodes_that_only_wait_for_each_other_are_skipped(aiflow_project):
    @af.job
    def step(): ...

    @af.workflow
    def flow():
        step()
        ping, pong = step.options(name="ping")(), step.options(name="pong")()
        ping.start_on(pong.succeeded)
        pong.start_on(ping.succeeded)

    execution = aiflow_project.run(flow)
    assert {run.job: run.status for run in execution.jobs} == {"step": "SUCCESS", "ping": "SKIPPED", "pong": "SKIPPED"}
    assert execution.status == "SUCCESS"


@pytest.mark.parametrize(
    ("ends", "statuses"),
    [(None, ("RUNNING", "SUCCESS", 1)), ("quiet", ("SUCCESS", "SUCCESS", 0)), ("never", ("RUNNING", "RUNNING", 2))],
)
def test_rule_20_ends_says_whether_an_execution_waits_for_events_from_outside(aiflow_project, seen, ends, statuses):
    act = recorder(seen)

    @af.job
    def first(): ...

    @af.workflow(ends=ends)
    def flow():
        first()
        act().start_on(af.event("go"))

    execution = aiflow_project.start(flow)
    run_until_idle(aiflow_project)
    before = execution.status
    tell(aiflow_project, "go", "go")
    assert (before, execution.status, len(seen)) == statuses
    execution.stop()
    execution.wait(timeout=30)
    assert execution.status == ("STOPPED" if ends == "never" else "SUCCESS")


def test_rule_21_the_last_execution_of_a_job_decides_the_status(aiflow_project):
    @af.job
    def work():
        if af.current().number == 1:
            raise ValueError("the first time")

    @af.job
    def repair():
        af.current().publish("mended")

    @af.workflow
    def flow():
        run = work().restart_on(af.event("mended").own())
        repair().start_on(run.failed)

    execution = aiflow_project.run(flow)
    assert [run.status for run in execution.jobs if run.job == "work"] == ["FAILED", "SUCCESS"]
    assert execution.status == "SUCCESS"
    assert_replays(execution)


# ---------------------------------------------------------------------------------------------------------- visibility


def test_rule_3_a_context_function_alone_decides_and_an_id_always_reaches(aiflow_project):
    heard = []

    def route(event):
        to = event.value["to"]
        return af.BROADCAST if to == "*" else set(to) if isinstance(to, list) else to

    @af.job
    def hear():
        heard.append((af.current().context, af.current().event.offset))

    @af.workflow(ends="never", context=route)
    def flow():
        hear().start_on(af.event("news"))

    red, blue = (aiflow_project.start(flow, context=context) for context in ("red", "blue"))

    def reached(value: Any, context: str | None = None) -> list[str]:
        heard.clear()
        event = aiflow_project.publish("news", value, context=context)
        run_until_idle(aiflow_project)
        assert all(offset == event.offset for _, offset in heard)
        return sorted(context for context, _ in heard)

    assert reached({"to": "red"}, context="blue") == ["red"]
    assert reached({"to": ["red", "blue", "green"]}) == ["blue", "red"]
    assert reached({"to": "*"}) == ["blue", "red"]
    assert reached({"to": "green"}) == []
    assert reached({}) == []  # an exception in the function skips the event
    assert "blue" in reached({"to": "red"}, context=blue.id)
    end(red)
    end(blue)


def test_rule_3_contexts_namespaces_and_the_time_of_the_start_decide_who_sees_an_event(aiflow_project, seen):
    act = recorder(seen)

    @af.workflow(ends="never")
    def flow():
        act().start_on(af.event("go")).start_on(af.event("far", namespace="else*"))

    aiflow_project.publish("go", "before")
    red = aiflow_project.start(flow, context="red")
    none = aiflow_project.start(flow)

    def reached(key: str, **options: Any) -> int:
        seen.clear()
        aiflow_project.publish(key, **options)
        run_until_idle(aiflow_project)
        return len(seen)

    assert seen == []
    assert reached("go") == 2
    assert reached("go", context="red") == 1
    assert reached("go", context=none.id) == 1
    assert reached("go", context="blue") == 0
    assert reached("go", namespace="elsewhere") == 0
    assert reached("far", namespace="elsewhere") == 2
    assert reached("far") == 0
    end(red)
    end(none)


def test_rules_9_and_35_why_names_the_rule_and_the_offsets_of_a_run_and_what_is_missing_of_a_wait(aiflow_project, seen):
    act = recorder(seen)

    @af.workflow(ends="never")
    def flow():
        act().start_on(af.event("left", "x") & af.event("right"))
        act().start_on(af.event("left") & af.event("never"))

    execution = aiflow_project.start(flow)
    events = [aiflow_project.publish("left", "x"), aiflow_project.publish("right")]
    run_until_idle(aiflow_project)
    why, waiting = execution.why("act"), execution.why("act_2")
    assert all(str(event.offset) in why for event in events)
    assert "left" in why
    assert "right" in why
    assert "never" in waiting
    assert str(events[0].offset) in waiting
    end(execution)


def test_rules_7_and_8_one_event_latches_every_leaf_that_it_matches_and_makes_one_start(aiflow_project):
    seen = []

    @af.job
    def act():
        seen.append(len(af.current().events))

    @af.workflow(ends="never")
    def flow():
        act().start_on(af.event("a") & af.event("a*")).start_on(af.event("a"))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, "a")
    assert seen == [1]
    tell(aiflow_project, "a")
    assert seen == [1, 1]
    end(execution)


def test_rule_15_a_stop_drops_the_queued_starts_and_ends_all_that_run_in_parallel(aiflow_project):
    gate, numbers = Gate(), []

    @af.job(runner="thread", if_running="parallel", max_parallel=2)
    def work():
        numbers.append(af.current().event.value)
        gate.arrived.release()
        if not af.current().wait_stop(0 if gate._open.is_set() else PATIENCE):
            return

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.event("go")).stop_on(af.event("halt"))

    execution = aiflow_project.start(flow)
    for n in range(5):
        aiflow_project.publish("go", n)
    gate.wait_for_one()
    gate.wait_for_one()
    aiflow_project.publish("halt")
    run_until_idle(aiflow_project)
    assert sorted(numbers) == [0, 1]
    assert [run.status for run in execution.jobs] == ["STOPPED", "STOPPED"]
    gate.open()
    tell(aiflow_project, ("go", 9))
    assert sorted(numbers) == [0, 1, 9]
    assert execution.job("work").status == "SUCCESS"
    end(execution)


def test_rule_19_a_failure_of_a_recurring_upstream_skips_its_dependants_and_a_later_success_runs_them(aiflow_project):
    seen = []

    @af.job
    def load():
        if af.current().event.value < 0:
            raise ValueError("negative")
        return af.current().event.value

    @af.job
    def use(n):
        seen.append(n)
        return n

    @af.job
    def last():
        seen.append("last")

    @af.workflow(ends="never")
    def flow():
        last().after(use(load().start_on(af.event("load"))))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, ("load", 1), ("load", -2), ("load", 3))
    assert seen == [1, "last", 3, "last"]
    assert [run.status for run in execution.jobs if run.job == "last"] == ["SUCCESS", "SKIPPED", "SUCCESS"]
    end(execution)


def test_rule_13_a_restarted_upstream_gives_its_dependants_one_run_for_each_of_its_runs(aiflow_project):
    seen = []

    @af.job
    def make():
        return af.current().number

    @af.job
    def use(n, m):
        seen.append((n, m))

    @af.job
    def diamond(n):
        return n * 10

    @af.workflow(ends="never")
    def flow():
        made = make().restart_on(af.event("again"))
        use(made, diamond(made))

    execution = aiflow_project.start(flow)
    run_until_idle(aiflow_project)
    tell(aiflow_project, "again", "again")
    assert seen == [(1, 10), (2, 20), (3, 30)]
    end(execution)


def test_rule_18_a_retry_keeps_the_events_that_met_its_rule(aiflow_project, aiflow_clock):
    seen = []

    @af.job(retries=2, retry_delay=10, retry_backoff=3)
    def work():
        context = af.current()
        seen.append((context.attempt, [e.key for e in context.events], aiflow_clock.now()))
        raise ValueError

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.event("a") & af.event("b"))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, "a", "b")
    aiflow_clock.jump(-3600)
    aiflow_clock.advance(10)
    assert len(seen) == 2
    aiflow_clock.advance(29)
    assert len(seen) == 2
    aiflow_clock.advance(1)
    assert [(attempt, keys) for attempt, keys, _ in seen] == [(n, ["a", "b"]) for n in (1, 2, 3)]
    assert execution.job("work").status == "FAILED"
    end(execution)


def test_status_conditions_count_latch_and_stick_like_events(aiflow_project):
    seen = []

    @af.job
    def work():
        seen.append("work")
        if af.current().event.value == "bad":
            raise ValueError("bad")

    @af.job
    def alarm():
        seen.append("alarm")

    @af.job
    def celebrate():
        seen.append("celebrate")

    @af.job
    def begun():
        seen.append("begun")

    @af.workflow(ends="never")
    def flow():
        node = work().start_on(af.event("go"))
        alarm().start_on(node.failed.times(2))
        celebrate().start_on(node.succeeded.sticky() & af.event("party"))
        begun().start_on(node.running.times(4))

    execution = aiflow_project.start(flow)
    tell(aiflow_project, ("go", "bad"), "party", ("go", "good"))
    assert seen == ["work", "work", "celebrate"]
    tell(aiflow_project, "party")
    assert seen[3:] == ["celebrate"]
    tell(aiflow_project, ("go", "bad"))
    assert seen[4:] == ["work", "alarm"]
    tell(aiflow_project, ("go", "bad"))
    assert seen[6:] == ["work", "begun"]
    end(execution)


def test_rule_34_a_failed_execution_that_is_resumed_runs_what_did_not_succeed_and_what_was_skipped_for_it(
    aiflow_project,
):
    ran = []

    @af.job
    def first():
        ran.append("first")
        return 1

    @af.job
    def second(n):
        ran.append("second")
        if ran.count("second") == 1:
            raise ValueError("broken")
        return n + 1

    @af.job
    def tidy():
        ran.append("tidy")

    @af.job
    def third(n):
        ran.append("third")

    @af.workflow
    def flow():
        b = second(first())
        third(b)
        tidy().start_on(b.failed)

    with pytest.raises(af.ExecutionFailed) as failed:
        aiflow_project.run(flow)
    execution = failed.value.execution
    assert ran == ["first", "second", "tidy"]
    execution.resume()
    execution.wait(timeout=PATIENCE)
    assert ran == ["first", "second", "tidy", "second", "third"]
    assert execution.status == "SUCCESS"
    assert_replays(execution)


def test_rule_22_a_thread_that_does_not_end_is_abandoned_and_what_it_calls_raises_stopped(tmp_path):
    gate, raised = Gate(), []

    @af.job(stop_timeout=0.05)
    def stubborn():
        gate.stand()
        for call in (lambda: af.publish("late"), lambda: af.current().publish("late")):
            try:
                call()
            except BaseException as error:
                raised.append(type(error))
        return "late"

    @af.workflow
    def flow():
        stubborn()

    with af.Project("stubborn", home=tmp_path / "home") as project:
        execution = project.start(flow)
        gate.wait_for_one()
        execution.stop()
        execution.wait(timeout=PATIENCE)
        assert execution.status == "STOPPED"
        gate.open()
        until(lambda: len(raised) == 2)
        assert raised == [af.Stopped, af.Stopped]
        assert project.events.count(keys="late") == 0
        assert (execution.job("stubborn").status, execution.results("stubborn")) == ("STOPPED", [])


def test_rule_15_a_stop_drops_the_values_that_wait_in_line_and_later_ones_go_on(aiflow_project):
    seen, gate = [], Gate()

    @af.job(runner="thread")
    def load():
        return af.current().event.value

    @af.job(runner="thread")
    def use(n):
        seen.append(n)
        gate.stand()

    @af.workflow(ends="never")
    def flow():
        use(load().start_on(af.event("load"))).stop_on(af.event("halt"))

    execution = aiflow_project.start(flow)
    aiflow_project.publish("load", 1)
    gate.wait_for_one()
    aiflow_project.publish("load", 2)
    aiflow_project.publish("load", 3)
    until(lambda: len(execution.results("load")) == 3)
    aiflow_project.publish("halt")
    gate.open()
    run_until_idle(aiflow_project)
    assert seen == [1]
    tell(aiflow_project, ("load", 4))
    assert seen == [1, 4]
    end(execution)


def test_rule_20_a_quiet_end_waits_for_a_retry(aiflow_project, aiflow_clock):
    ran = []

    @af.job(retries=1, retry_delay=100)
    def work():
        ran.append(1)
        if len(ran) == 1:
            raise ValueError

    @af.job
    def never(): ...

    @af.workflow(ends="quiet")
    def flow():
        work()
        never().start_on(af.event("x"))

    execution = aiflow_project.start(flow)
    run_until_idle(aiflow_project)
    assert execution.status == "RUNNING"
    aiflow_clock.advance(100)
    assert (execution.status, len(ran)) == ("SUCCESS", 2)
    assert_replays(execution)


@pytest.mark.parametrize("way", ["slot", "limit"])
def test_rules_15_and_20_a_job_that_is_stopped_while_it_waits_in_line_never_runs_and_its_dependants_are_skipped(
    tmp_path, way
):
    gate, ran = Gate(), []

    @af.job(limits={"one": 1} if way == "limit" else {})
    def first():
        gate.stand()

    @af.job(limits={"one": 1} if way == "limit" else {})
    def second():
        ran.append("second")

    @af.job
    def third(x):
        ran.append("third")

    @af.job
    def told():
        ran.append("told")

    @af.workflow(name=f"line_{way}")
    def flow():
        first()
        node = second()
        third(node)
        told().start_on(node.finished)

    with af.Project("x", home=tmp_path / "home", workers=1 if way == "slot" else 4) as project:
        execution = project.start(flow)
        gate.wait_for_one()
        execution.stop_job("second")
        gate.open()
        execution.wait(timeout=PATIENCE)
        assert "second" not in ran
        assert "third" not in ran
        assert execution.status == "SUCCESS"
        assert execution.job("third").status == "SKIPPED"
        assert_replays(execution)


def test_rule_16_restart_job_of_a_job_in_line_starts_it_once(tmp_path):
    gate, ran = Gate(), []

    @af.job
    def first():
        gate.stand()

    @af.job
    def second():
        ran.append("second")

    @af.workflow
    def flow():
        first()
        second()

    with af.Project("x", home=tmp_path / "home", workers=1) as project:
        execution = project.start(flow)
        gate.wait_for_one()
        execution.restart_job("second")
        execution.restart_job("second")
        gate.open()
        execution.wait(timeout=PATIENCE)
        assert ran == ["second"]
        assert_replays(execution)
