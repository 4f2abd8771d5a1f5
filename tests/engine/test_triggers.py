"""What starts executions by itself: triggers and schedules, served, paused, over restarts and crashes (rules 23 to 25)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.serving import Server
from aiflow.testing import ManualClock, project_for_tests, run_until_idle


@af.job
def note(*given: Any) -> Any:
    event = af.current().event
    return [*given, None if event is None else event.value]


def counting(condition: af.Condition | None, name: str = "counting", **options: Any) -> af.Workflow:
    def body(n: int = 0) -> None:
        note(n)

    return af.workflow(body, name=name, start_on=condition, **options)


@contextmanager
def serving(project: af.Project, *workflows: af.Workflow) -> Iterator[Server]:
    with Server(project, workflows) as server:
        run_until_idle(project)
        yield server
        run_until_idle(project)


def started(project: af.Project, workflow: str = "counting") -> list[Any]:
    """The values of the events that started executions, the oldest first."""
    run_until_idle(project)
    found = reversed(project.executions.list(workflow=workflow, limit=None))
    return [e.event.value if e.event is not None else None for e in found]


# --- 25: triggers -----------------------------------------------------------------------------------------------------


def test_25_each_time_a_condition_is_met_an_execution_starts(still: af.Project) -> None:
    with serving(still, counting(af.event("go"))):
        for n in range(3):
            still.publish("go", n)
    assert started(still) == [0, 1, 2]


def test_25_parameters_are_the_keys_of_the_event_that_have_their_names_or_what_params_says(still: af.Project) -> None:
    plain = counting(af.event("go"))
    asked = counting(af.event("go"), name="asked", params=lambda event: {"n": event.value["n"] * 10})
    with serving(still, plain, asked):
        still.publish("go", {"n": 7, "other": 1})
    assert [e.params for e in still.executions.list(workflow="counting")] == [{"n": 7}]
    assert [e.params for e in still.executions.list(workflow="asked")] == [{"n": 70}]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (af.every(60), r"needs the parameter 'path', and every\(60\) does not bring it: give it .* or a default"),
        (af.cron("0 6 * * *") | af.every(60), "needs the parameter 'path'"),
        (af.file("inbox/*.csv") | af.event("go"), None),
        (af.file("inbox/*.csv"), None),
        (af.event("go"), None),
    ],
    ids=["every", "cron or every", "file or event", "file", "event"],
)
def test_25_a_parameter_that_nothing_brings_is_asked_for_when_it_is_registered(
    still: af.Project, condition: af.Condition, message: str | None
) -> None:
    @af.workflow
    def learning(path: str, n: int = 0) -> None:
        note(path, n)

    if message is None:
        still.triggers.register(learning, condition)
        return
    with pytest.raises(af.ParameterError, match=message):
        still.triggers.register(learning, condition)
    with pytest.raises(af.ParameterError, match="parameter 'n' of workflow 'learning' must be a whole number"):
        still.triggers.register(learning, condition, params={"path": "a.csv", "n": "many"})
    assert still.schedules.list() == []
    assert still.triggers.register(learning, condition, params={"path": "a.csv"}).kind == "schedule"


@pytest.mark.parametrize(
    "params",
    [lambda event: 1 / 0, lambda event: 5, lambda event: {"n": "many"}],
    ids=["raises", "no dict", "no number"],
)
def test_25_a_start_that_fails_is_told_and_does_not_hold_up_the_next(still: af.Project, params: Any) -> None:
    choose = lambda event: params(event) if event.value == 0 else {}  # noqa: E731
    with serving(still, counting(af.event("go"), params=choose)):
        bad = still.publish("go", 0)
        still.publish("go", 1)
    assert started(still) == [1]
    assert still.triggers.get("counting").problem
    assert [r["offset"] for r in still.events.failed()] == [bad.offset]


def test_25_a_started_execution_has_the_context_and_the_event(still: af.Project) -> None:
    with serving(still, counting(af.event("go"))):
        still.publish("go", 5, context="hour-1")
    execution = still.executions.list()[0]
    assert execution.context == "hour-1"
    assert execution.event is not None
    assert execution.event.value == 5
    assert execution.result("note") == [0, 5]


def test_25_a_trigger_sees_events_of_all_contexts_of_its_namespace_only(still: af.Project) -> None:
    with serving(still, counting(af.event("go"))):
        still.publish("go", 1, context="a")
        still.publish("go", 2, namespace="elsewhere")
    assert started(still) == [1]


def test_25_what_arrived_while_nobody_served_is_handled_at_the_next_serve(still: af.Project) -> None:
    workflow = counting(af.event("a") & af.event("b"))
    still.publish("a", "too early")
    with serving(still, workflow):
        still.publish("a", "first")
    still.publish("b", "second")
    assert started(still) == []
    with serving(still, workflow):
        pass
    assert started(still) == ["second"]


def test_25_what_arrived_while_it_was_paused_is_passed_over_and_pausing_twice_is_fine(still: af.Project) -> None:
    with serving(still, counting(af.event("go"))):
        still.triggers.pause("counting")
        assert still.triggers.pause("counting").status == "PAUSED"
        still.publish("go", "passed over")
        still.triggers.resume("counting")
        still.publish("go", "handled")
        assert still.triggers.get("counting").served
    assert started(still) == ["handled"]
    assert not still.triggers.get("counting").served


def test_25_a_pause_while_nobody_serves_counts_from_then_on(still: af.Project) -> None:
    workflow = counting(af.event("go"))
    with serving(still, workflow):
        pass
    still.publish("go", "before")
    still.triggers.pause("counting")
    still.publish("go", "meanwhile")
    with serving(still, workflow):
        still.publish("go", "still paused")
    assert started(still) == ["before"]


def test_25_a_deleted_trigger_starts_nothing_and_comes_back_with_its_declaration(still: af.Project) -> None:
    workflow = counting(af.event("go"))
    with serving(still, workflow) as server:
        still.triggers.delete(still.triggers.get("counting").id)
        still.publish("go", "nobody hears")
        server.look()
    assert started(still) == []
    assert still.triggers.find("counting") is None
    with serving(still, workflow):
        still.publish("go", "again")
    assert started(still) == ["again"]


def test_25_registering_again_keeps_what_was_met_and_another_condition_begins_anew(still: af.Project) -> None:
    both = af.event("a") & af.event("b")
    with serving(still, counting(both)):
        still.publish("a")
    trigger = still.triggers.get("counting")
    with serving(still, counting(both)):
        still.publish("b", 1)
    assert started(still) == [1]
    with serving(still, counting(af.event("c"))):
        still.publish("b", 2)
        still.publish("c", 3)
    assert started(still) == [1, 3]
    assert still.triggers.get("counting").id == trigger.id


def test_25_two_projects_that_serve_one_trigger_start_each_execution_once(tmp_path: Path) -> None:
    workflow = counting(af.event("go"))
    with project_for_tests(tmp_path) as one:
        with serving(one, workflow), serving(one, workflow):
            one.publish("go", 1)
        assert started(one) == [1]


def test_25_a_start_that_was_decided_when_the_process_died_is_made_once(tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(event: af.Event) -> dict[str, Any]:
        reached.set()
        go_on.wait(30)
        return {}

    clock = ManualClock()
    workflow = counting(af.event("go"), params=slow)
    with project_for_tests(tmp_path, clock) as project:
        server = Server(project, [workflow])
        server.__enter__()
        project.publish("go", 1)
        assert reached.wait(30)
        project.close(detach=True)
    go_on.set()
    with project_for_tests(tmp_path, clock) as project:
        with serving(project, workflow):
            pass
        assert started(project) == [1]
        with serving(project, workflow):
            pass
        assert started(project) == [1]


def test_9_functions_in_the_condition_of_a_trigger_are_asked(still: af.Project) -> None:
    @af.condition(keys=["num"])
    def enough(event: af.Event, state: dict[str, Any]) -> bool:
        state["sum"] = state.get("sum", 0) + event.value
        return bool(state["sum"] >= 10 and not state.update(sum=0))

    with serving(still, counting(enough)):
        for n in (4, 5, 6, 1, 9, 2):
            still.publish("num", n)
    assert started(still) == [6, 9]


def test_25_a_file_that_arrives_starts_an_execution_with_its_path(project: af.Project, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()

    def body(path: str = "") -> None:
        note(path)

    intake = af.workflow(body, name="counting", start_on=af.file(f"{tmp_path}/inbox/*.csv"))
    names = iter(("a.csv", "b.csv"))

    def two_came() -> bool:
        done = project.executions.list(status="SUCCESS")
        if len(done) == len(project.executions.list()) and (name := next(names, None)) is not None:
            (tmp_path / "inbox" / name).write_text("x")
        return len(done) == 2

    project.serve(intake, until=two_came)
    found = [Path(e.params["path"]).name for e in reversed(project.executions.list())]
    assert found == ["a.csv", "b.csv"]


# --- 14: what becomes of starts that come too early -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "begun", "in_all"),
    [
        ({}, ["0"], 3),
        ({"if_running": "ignore"}, ["0"], 1),
        ({"if_running": "merge"}, ["0"], 2),
        ({"if_running": "parallel", "max_parallel": 2}, ["0", "1"], 3),
        ({"if_running": "parallel"}, ["0", "1", "2"], 3),
        ({"max_parallel": 2}, ["0", "1"], 3),
    ],
)
def test_14_if_running_of_a_workflow(still: af.Project, options: Any, begun: list[str], in_all: int) -> None:
    @af.workflow(
        name="waiting", start_on=af.event("go"), context=lambda e: {e.value} if e.key == "end" else None, **options
    )
    def waiting() -> None:
        note().start_on(af.event("end"))

    with serving(still, waiting):
        for n in range(3):
            still.publish("go", n, context=str(n))
        run_until_idle(still)
        assert sorted(e.context or "" for e in still.executions.list(status="RUNNING")) == begun
        for _ in range(3):
            for execution in still.executions.list(status="RUNNING"):
                still.publish("end", execution.context)
            run_until_idle(still)
    assert len(still.executions.list(workflow="waiting")) == in_all
    assert not still.executions.list(status="RUNNING")


# --- 23, 24: schedules ------------------------------------------------------------------------------------------------


def test_23_a_schedule_starts_an_execution_at_each_tick(still: af.Project, clock: ManualClock) -> None:
    with serving(still, counting(af.every(60))):
        clock.advance(200)
    assert len(started(still)) == 3
    assert [s.name for s in still.schedules.list()] == ["counting"]
    assert still.triggers.list() == []


@pytest.mark.parametrize(("misfire", "starts"), [("once", 1), ("skip", 0), ("all", 5)])
def test_24_ticks_missed_while_nobody_served(still: af.Project, clock: ManualClock, misfire: str, starts: int) -> None:
    workflow = counting(af.every(60, misfire=misfire))
    with serving(still, workflow):
        pass
    clock.advance(330)
    with serving(still, workflow):
        pass
    assert len(started(still)) == starts
    with serving(still, workflow):
        clock.advance(30)
    assert len(started(still)) == starts + 1


def test_23_a_cron_schedule_goes_by_the_clock_of_its_zone(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 3, 28, 12, tzinfo=UTC))
    with project_for_tests(tmp_path, clock) as project:
        with serving(project, counting(af.cron("30 2 * * *", tz="Europe/Berlin"))):
            clock.advance(3 * 86_400)
        times = [e.event.time.isoformat() for e in reversed(project.executions.list()) if e.event]
    assert times == ["2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00", "2026-03-31T00:30:00+00:00"]


def test_25_a_schedule_can_be_added_paused_and_deleted_while_it_is_served(
    still: af.Project, clock: ManualClock
) -> None:
    workflow = counting(None)
    with serving(still, workflow) as server:
        made = still.schedules.register(workflow, af.every(10), name="often", params={"n": 3})
        server.look()
        clock.advance(25)
        assert [e.params for e in still.executions.list()] == [{"n": 3}] * 2
        still.schedules.pause("often")
        clock.advance(25)
        still.schedules.resume(made.id)
        clock.advance(10)
        still.schedules.delete("often")
        clock.advance(100)
    assert len(started(still)) == 3


@pytest.mark.parametrize(
    ("condition", "params", "then"),
    [(af.every(30), {"n": 3}, [{"n": 3}]), (af.every(10), {"n": 4}, [{"n": 4}] * 3)],
    ids=["another condition", "other parameters"],
)
def test_25_a_schedule_that_is_registered_with_something_else_begins_anew_also_while_it_is_served(
    still: af.Project, clock: ManualClock, condition: af.Condition, params: dict[str, int], then: list[dict[str, int]]
) -> None:
    workflow = counting(None)
    with serving(still, workflow) as server:
        still.schedules.register(workflow, af.every(10), name="often", params={"n": 3})
        server.look()
        clock.advance(25)
        made = still.schedules.register(workflow, condition, name="often", params=params)
        run_until_idle(still)  # it hears of it as any subscriber does
        assert server.wants_to_look()
        server.look()
        clock.advance(30)
        assert [e.params for e in still.executions.list()] == [*then, *[{"n": 3}] * 2]
        assert still.schedules.get("often").id == made.id


def test_25_a_trigger_that_is_paused_stays_so_when_it_is_registered_with_another_condition(
    still: af.Project, clock: ManualClock
) -> None:
    workflow = counting(None)
    with serving(still, workflow) as server:
        still.schedules.register(workflow, af.every(10), name="often")
        still.schedules.pause("often")
        assert still.schedules.register(workflow, af.every(5), name="often").status == "PAUSED"
        server.look()
        clock.advance(30)
        assert started(still) == []
        still.schedules.resume("often")
        clock.advance(5)
        assert len(started(still)) == 1


def test_25_the_name_of_a_workflow_with_a_start_on_belongs_to_that(still: af.Project) -> None:
    workflow = counting(af.event("x"))
    for again in range(2):  # before it is registered, and after
        with pytest.raises(af.Conflict, match=r"own start_on \(event\('x'\)\); give this condition another"):
            still.schedules.register(workflow, af.every(10))
        still.triggers.register(workflow, af.event("x") if again else None)
    made = still.schedules.register(workflow, af.every(10), name="often")
    assert (made.name, still.triggers.get("counting").condition) == ("often", "event('x')")


def test_bad_triggers_are_refused_with_what_to_do(still: af.Project) -> None:
    with pytest.raises(af.ParameterError, match="no start_on"):
        still.triggers.register(counting(None))
    with pytest.raises(af.ParameterError, match="has no parameter 'm'"):
        still.triggers.register(counting(None), af.event("x"), params={"m": 1})
    still.triggers.register(counting(af.event("x")))
    with pytest.raises(af.NotFound, match="no trigger 'countin'"):
        still.triggers.pause("countin")
    with pytest.raises(af.Conflict, match="give this one another"):
        still.triggers.register(counting(af.event("x"), name="other"), name="counting")
    with pytest.raises(af.ParameterError, match="which workflows"):
        still.serve()
