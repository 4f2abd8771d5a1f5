"""Acceptance of triggers, schedules and events, written from the texts alone."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.acts import PATIENCE, Gate, command_json, tell, until

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests, run_until_idle, serving


def ended(project: af.Project) -> list[af.Execution]:
    """All executions in the order of the events that started them, once all have ended."""
    run_until_idle(project)
    found = project.executions.list(limit=1000)
    assert all(execution.ended for execution in found)
    return sorted(found, key=lambda execution: execution.event.offset if execution.event else 0)


def greeter(seen: list[Any] | None = None, **options: Any) -> af.Workflow:
    seen = [] if seen is None else seen

    @af.job
    def greet(name, times):
        seen.append(name)
        return [name] * times

    @af.workflow(name="greeter", start_on=af.event("guest"), **options)
    def flow(name: str = "nobody", times: int = 1):
        greet(name, times)

    return flow


# ------------------------------------------------------------------------------------------------------------- triggers


def test_rule_25_a_started_execution_has_the_context_the_event_and_the_parameters_that_it_names(aiflow_project):
    with serving(aiflow_project, greeter()):
        tell(aiflow_project, ("guest", {"name": "Ada", "times": 2, "hat": "blue"}), "guest")
        aiflow_project.publish("guest", "no dict", context="vip")
        run_until_idle(aiflow_project)
        first, second, third = ended(aiflow_project)
    assert (first.result("greet"), first.event.key, first.context) == (["Ada", "Ada"], "guest", None)
    assert second.result("greet") == ["nobody"]
    assert (third.result("greet"), third.context, third.event.value) == (["nobody"], "vip", "no dict")


def test_rules_9_and_25_params_of_an_event_are_asked_and_a_mistake_in_one_stops_none_of_the_next(aiflow_project):
    def params(event):
        return {"name": event.value["who"].upper(), "times": "2"}

    with serving(aiflow_project, greeter(params=params)):
        tell(aiflow_project, ("guest", {"who": "ada"}), ("guest", {"whom": "?"}), ("guest", {"who": "eve"}))
        results = [execution.result("greet") for execution in ended(aiflow_project) if execution.status == "SUCCESS"]
    assert results == [["ADA", "ADA"], ["EVE", "EVE"]]


def test_rule_25_what_came_while_nobody_served_is_handled_and_what_came_while_paused_is_passed_over(tmp_path):
    seen: list[Any] = []

    def sessions():
        return project_for_tests(tmp_path / "home")

    flow = greeter(seen)
    with sessions() as project, serving(project, flow):
        tell(project, ("guest", {"name": "one"}))
    with sessions() as project:
        tell(project, ("guest", {"name": "two"}), ("guest", {"name": "three"}))
        assert seen == ["one"]
    with sessions() as project, serving(project, flow):
        run_until_idle(project)
        assert seen == ["one", "two", "three"]
        [trigger] = project.triggers.list()
        project.triggers.pause(trigger.id)
        project.triggers.pause(trigger.id)
        tell(project, ("guest", {"name": "four"}))
    with sessions() as project:
        tell(project, ("guest", {"name": "five"}))
        assert seen == ["one", "two", "three"]
    with sessions() as project, serving(project, flow):
        tell(project, ("guest", {"name": "six"}))
        project.triggers.resume(trigger.id)
        tell(project, ("guest", {"name": "seven"}))
        assert seen == ["one", "two", "three", "seven"]
        project.triggers.delete(trigger.id)
        tell(project, ("guest", {"name": "eight"}))
        assert seen == ["one", "two", "three", "seven"]


def test_rule_25_the_latches_of_a_trigger_are_kept_from_one_server_to_the_next(tmp_path):
    @af.job
    def work(): ...

    @af.workflow(start_on=af.event("a").times(2) & af.event("b"))
    def pairs():
        work()

    for key, count in (("a", 0), ("b", 0), ("a", 1), ("a", 1)):
        with project_for_tests(tmp_path / "home") as project, serving(project, pairs):
            tell(project, key)
            assert project.executions.count() == count


@pytest.mark.parametrize(
    ("options", "at_once", "in_all"),
    [
        ({"if_running": "queue"}, 1, [1, 2, 3, 4]),
        ({"if_running": "ignore"}, 1, [1]),
        ({"if_running": "parallel", "max_parallel": 2}, 2, [1, 2, 3, 4]),
    ],
)
def test_if_running_of_a_workflow_decides_what_becomes_of_events_that_meet_a_running_one(
    tmp_path, options, at_once, in_all
):
    gate, lock, now, peak, values = Gate(), threading.Lock(), [0], [0], []

    @af.job
    def work(n):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
            values.append(n)
        gate.stand()
        with lock:
            now[0] -= 1

    @af.workflow(start_on=af.event("go"), **options)
    def flow(n: int):
        work(n)

    with af.Project("serving", home=tmp_path / "home", workers=4) as project, serving(project, flow):
        for n in (1, 2, 3, 4):
            project.publish("go", {"n": n})
        for _ in range(at_once):
            gate.wait_for_one()
        gate.open()
        until(lambda: len(values) >= len(in_all))
        run_until_idle(project)
        assert peak[0] == at_once
        assert sorted(values) == in_all


def test_stop_on_of_a_workflow_stops_the_running_execution(tmp_path):
    gate = Gate()

    @af.job
    def work():
        gate.arrived.release()
        assert af.current().wait_stop(PATIENCE)

    @af.workflow(start_on=af.event("go"), stop_on=af.event("halt"))
    def flow():
        work()

    with af.Project("serving", home=tmp_path / "home") as project, serving(project, flow):
        for _ in range(2):
            project.publish("go")
            gate.wait_for_one()
            project.publish("halt")
            until(lambda: all(execution.ended for execution in project.executions.list()))
        assert [execution.status for execution in project.executions.list()] == ["STOPPED", "STOPPED"]


def test_rule_25_two_projects_serve_one_trigger_and_each_event_starts_one_execution(tmp_path):
    flow = greeter()
    with (
        af.Project("inn", home=tmp_path / "home") as one,
        af.Project("inn", home=tmp_path / "home") as two,
        serving(one, flow),
        serving(two, flow),
    ):
        offsets = [project.publish("guest", {"name": str(n)}).offset for n in range(10) for project in (one, two)]
        until(lambda: one.executions.count(status="SUCCESS") >= 20)
        assert [execution.event.offset for execution in ended(one)] == offsets


def test_a_file_starts_an_execution_with_its_path_as_parameter(tmp_path):
    (tmp_path / "inbox").mkdir()

    @af.job
    def read(path):
        return path.read_text()

    @af.workflow(start_on=af.file(str(tmp_path / "inbox" / "*.txt")))
    def load(path: Path):
        read(path)

    with af.Project("files", home=tmp_path / "home") as project:
        with serving(project, load):
            (tmp_path / "inbox" / "one.txt").write_text("one")
            until(lambda: project.executions.count(status="SUCCESS") == 1)
        (tmp_path / "inbox" / "two.txt").write_text("two")
        with serving(project, load):
            until(lambda: project.executions.count(status="SUCCESS") == 2)
            assert [execution.result("read") for execution in ended(project)] == ["one", "two"]


@pytest.mark.parametrize(("misfire", "count"), [("once", 1), ("skip", 0), ("all", 3)])
def test_rules_24_and_25_a_schedule_of_a_workflow_catches_up_as_misfire_says_and_can_be_paused_and_deleted(
    tmp_path, misfire, count
):
    clock = ManualClock()
    start = clock.time

    @af.job
    def work(): ...

    @af.workflow(name="hourly", start_on=af.cron("0 * * * *", misfire=misfire))
    def flow():
        work()

    with project_for_tests(tmp_path / "home", clock) as project, serving(project, flow):
        clock.advance(3600 + 1)
        assert project.executions.count() == 1
        assert project.executions.list()[0].event.time == start + timedelta(hours=1)
    clock.advance(3 * 3600 + 60)
    with project_for_tests(tmp_path / "home", clock) as project, serving(project, flow):
        run_until_idle(project)
        assert project.executions.count() == 1 + count
        [schedule] = project.schedules.list()
        project.schedules.pause(schedule.id)
        project.schedules.pause(schedule.id)
        clock.advance(2 * 3600)
        assert project.executions.count() == 1 + count
    with project_for_tests(tmp_path / "home", clock) as project, serving(project, flow):
        clock.advance(3600)  # a pause outlives a re-registration
        assert project.executions.count() == 1 + count
        project.schedules.resume(schedule.id)
        run_until_idle(project)
        assert project.executions.count() == 1 + count
        clock.advance(3600)
        assert project.executions.count() == 2 + count
        project.schedules.delete(schedule.id)
        clock.advance(3 * 3600)
        assert project.executions.count() == 2 + count


def test_a_workflow_whose_job_publishes_what_starts_it_goes_round_until_it_stops(aiflow_project):
    @af.job
    def step(n):
        if n < 4:
            af.current().publish("step", {"n": n + 1}, context=None)

    @af.workflow(start_on=af.event("step"))
    def ring(n: int = 1):
        step(n)

    with serving(aiflow_project, ring):
        tell(aiflow_project, "step")
        assert sorted(e.params["n"] for e in aiflow_project.executions.list()) == [1, 2, 3, 4]
        assert {e.status for e in aiflow_project.executions.list()} == {"SUCCESS"}


def test_rule_25_an_execution_that_fails_or_is_stopped_lets_the_next_one_start(tmp_path):
    begun: list[int] = []

    @af.job
    def work(n):
        begun.append(n)
        if n == 1:
            raise ValueError("one")
        if n == 2:
            af.current().wait_stop(PATIENCE)
        return n

    @af.workflow(start_on=af.event("go"))
    def flow(n: int):
        work(n)

    with af.Project("x", home=tmp_path / "home") as project, serving(project, flow):
        for n in (1, 2, 3):
            project.publish("go", {"n": n})
        until(lambda: begun == [1, 2])
        [two] = project.executions.list(status="RUNNING")
        [trigger] = project.triggers.list()
        project.triggers.pause(trigger.id)
        two.stop()
        until(lambda: begun == [1, 2, 3])  # it came before the pause
        until(lambda: all(e.ended for e in project.executions.list()))
        assert sorted(str(e.status) for e in project.executions.list()) == ["FAILED", "STOPPED", "SUCCESS"]


# --------------------------------------------------------------------------------------------------------------- events


def test_a_durable_subscription_goes_on_after_the_last_event_whose_callback_returned(tmp_path):
    heard: list[Any] = []

    def listen(event):
        if event.value == "bad":
            raise ValueError("cannot hear this")
        heard.append(event.value)

    with af.Project("news", home=tmp_path / "home") as project:
        with project.subscribe(listen, keys="news.*", name="listener"):
            project.publish_many([("news.a", 1), ("other", 0), ("news.b", "bad"), ("news.c", 2)])
            until(lambda: heard == [1, 2])
        project.publish("news.a", 3)
    with af.Project("news", home=tmp_path / "home") as project:
        project.publish("news.a", 4)
        with project.subscribe(listen, keys="news.*", name="listener"):
            project.publish("news.a", 5)
            until(lambda: len(heard) >= 5)
    assert heard == [1, 2, 3, 4, 5]
    failed = command_json(tmp_path / "home", "list", "events", "--failed")
    assert "cannot hear this" in json.dumps(failed)
    assert [event["value"] for event in failed] == ["bad"]


def test_a_dedupe_key_stores_an_event_once_per_namespace_and_since_takes_a_time_and_an_offset(
    aiflow_project, aiflow_clock
):
    first = aiflow_project.publish("pay", 1, dedupe_key="invoice-7")
    assert aiflow_project.publish("pay", 2, dedupe_key="invoice-7").offset == first.offset
    other = aiflow_project.publish("pay", 3, dedupe_key="invoice-7", namespace="other")
    assert other.offset > first.offset
    aiflow_clock.advance(60)
    middle = aiflow_clock.time
    later = [aiflow_project.publish("pay", n).offset for n in (4, 5)]
    assert [e.value for e in aiflow_project.events.list(keys="pay", since=middle)] == [4, 5]
    assert [e.value for e in aiflow_project.events.list(keys="pay", since=later[0])] == [5]
    heard: list[Any] = []
    with (
        aiflow_project.subscribe(
            lambda e: heard.append(("time", e.value)), keys="p*", since=middle - timedelta(seconds=1)
        ),
        aiflow_project.subscribe(lambda e: heard.append(("start", e.value)), keys="pay", since="start"),
        aiflow_project.subscribe(lambda e: heard.append(("now", e.value)), keys="pay"),
    ):
        aiflow_project.publish("pay", 6)
        until(lambda: sum(value == 6 for _, value in heard) == 3)
    heard_by = {who: [value for name, value in heard if name == who] for who in ("time", "start", "now")}
    assert heard_by == {"time": [4, 5, 6], "start": [1, 3, 4, 5, 6], "now": [6]}


def test_publish_many_is_all_or_nothing_and_values_come_back_as_they_went_in(aiflow_project):
    with pytest.raises(af.AIFlowError, match="b"):
        aiflow_project.publish_many([("a", 1), ("b", threading.Lock())])
    assert aiflow_project.events.list(keys=["a", "b"]) == []
    values = [2**80, -0.0, 1e308, "\x00", "😀", "x" * 100_000, {"": None}, [], {"a": [1, {"b": True}]}, "\u2028"]
    events = aiflow_project.publish_many([("v", value) for value in values])
    assert [e.value for e in aiflow_project.events.list(keys="v")] == values
    assert [e.offset for e in events] == sorted({e.offset for e in events})


def test_subscribers_are_isolated_from_each_other_and_may_publish(aiflow_project):
    heard = []

    def bad(event):
        raise RuntimeError("bad")

    def echo(event):
        if event.value < 3:
            aiflow_project.publish("n", event.value + 1)

    with (
        aiflow_project.subscribe(bad, keys="n"),
        aiflow_project.subscribe(echo, keys="n"),
        aiflow_project.subscribe(lambda e: heard.append(e.value), keys="n"),
    ):
        aiflow_project.publish("n", 1)
        until(lambda: heard == [1, 2, 3])


def test_a_dedupe_key_counts_inside_one_publish_many_too(aiflow_project):
    drafts = [af.Draft("k", n, dedupe_key="same") for n in (1, 2)] + [af.Draft("k", 3)]
    events = aiflow_project.publish_many(drafts)
    assert [e.value for e in aiflow_project.events.list(keys="k")] == [1, 3]
    assert events[0].offset == events[1].offset
