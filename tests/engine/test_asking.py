"""Functions of the user that conditions ask: on a worker, once in the record, over crashes and errors (rules 3 and 9)."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle


@af.condition(keys=["num"])
def enough(event: af.Event, state: dict[str, Any]) -> bool:
    state["sum"] = state.get("sum", 0) + event.value
    return bool(state["sum"] >= 100)


@af.job
def consume() -> list[Any]:
    return [e.value for e in af.current().events]


@pytest.fixture(autouse=True)
def all_is_stopped(project: af.Project) -> Iterator[None]:
    """What serves for ever is stopped at the end."""
    yield
    for execution in project.executions.list():
        execution.stop()


def serving(condition: af.Condition, **options: Any) -> af.Workflow:
    def body() -> None:
        consume().start_on(condition)

    return af.workflow(body, name="serving", ends="never", **options)


def fed(project: af.Project, workflow: af.Workflow, values: list[Any], **more: Any) -> af.Execution:
    execution = project.start(workflow, **more)
    for value in values:
        project.publish("num", value)
    run_until_idle(project)
    return execution


def test_a_custom_condition_can_be_called_as_the_function_that_it_is() -> None:
    event, state = af.Event(1, "num", 60), dict[str, Any]()
    assert [enough(event, state), enough(event, state)] == [False, True]


def test_9_a_custom_condition_folds_over_events_with_a_state_that_is_kept_after_firing(project: af.Project) -> None:
    execution = fed(project, serving(enough), [40, 40, 40, 1])
    assert execution.results("consume") == [[40], [1]]
    assert_replays(execution)


def test_9_where_is_asked_about_each_event_that_fits(project: af.Project) -> None:
    execution = fed(project, serving(af.event("num", where=lambda e: e.value % 2)), [1, 2, 3])
    assert execution.results("consume") == [[1], [3]]


def test_9_an_exception_in_a_function_counts_as_false_and_why_shows_it(project: af.Project) -> None:
    execution = fed(project, serving(af.event("num", where=lambda e: 1 / e.value)), [0])
    assert execution.results("consume") == []
    assert "ZeroDivisionError" in execution.why("consume")


def test_9_a_state_that_is_not_json_counts_as_false_and_is_not_kept(project: af.Project) -> None:
    @af.condition(keys="num")
    def forgets(event: af.Event, state: dict[str, Any]) -> bool:
        seen = state.get("n", 0)
        state["n"] = seen + 1 if event.value else object()
        return bool(event.value and seen)

    execution = fed(project, serving(forgets), [1, 0, 2])
    assert execution.results("consume") == [[2]]
    assert "state of condition 'forgets'" in "".join(
        e.value.get("error", "") for e in execution.events() if e.type == af.EventType.CONDITION_ANSWERED
    )


def test_9_a_function_may_publish(project: af.Project) -> None:
    def where(event: af.Event) -> bool:
        project.publish("asked", event.value)
        return True

    execution = fed(project, serving(af.event("num", where=where)), [1])
    assert execution.results("consume") == [[1]]
    assert project.events.count("asked") == 1


def test_9_what_was_asked_and_not_answered_when_the_process_died_is_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def careful(event: af.Event) -> bool:
        asked.append(event.value)
        begun.set()
        return go_on.wait(30)  # the first time, the project is gone before it answers

    workflow = serving(af.event("num", where=careful))
    with project_for_tests(tmp_path, ManualClock()) as project:
        execution = project.start(workflow)
        project.publish("num", 7)
        assert begun.wait(30)
        project.close(detach=True)
    go_on.set()
    with project_for_tests(tmp_path, ManualClock()) as project:
        execution = project.executions.get(execution.id)
        execution.resume()
        run_until_idle(project)
        assert execution.results("consume") == [[7]]
        execution.stop().wait(60)
    assert asked == [7, 7]


@pytest.mark.parametrize(
    ("function", "reached"),
    [
        (lambda e: "a", ["a"]),
        (lambda e: {"a", "b"}, ["a", "b"]),
        (lambda e: af.BROADCAST, ["a", "b", None]),
        (lambda e: None, []),
        (lambda e: 1 / 0, []),
        (lambda e: 5, []),
        (lambda e: sys.exit(1), []),
    ],
)
def test_3_a_context_function_says_which_executions_an_event_is_for(
    project: af.Project, function: Callable[[af.Event], Any], reached: list[str | None]
) -> None:
    workflow = serving(af.event("num"), context=function)
    executions = {context: project.start(workflow, context=context) for context in ("a", "b", None)}
    project.publish("num", 1, context="somebody else's")
    run_until_idle(project)
    assert [c for c, e in executions.items() if e.results("consume")] == reached
    for execution in executions.values():
        assert_replays(execution)


def test_why_tells_what_a_function_has_not_said_yet(project: af.Project) -> None:
    go = threading.Event()
    execution = project.start(serving(af.event("num", where=lambda e: go.wait(30))))
    offset = project.publish("num", 1).offset
    assert f"is asked about event {offset}" in execution.why("consume")
    go.set()
    run_until_idle(project)
    assert "was started by its rule" in execution.why("consume")


def test_7_why_shows_which_rules_were_consumed_also_when_nothing_was_started(project: af.Project) -> None:
    def body() -> None:
        consume().stop_on(af.event("num", 1)).start_on(af.event("num")).start_on(af.event("n*"))

    execution = fed(project, af.workflow(body, name="consumed", ends="never"), [1])
    told = execution.why("consume")
    assert "has not run yet" in told
    assert "(num) met STOP on event('num', 1), which acted, and so consumed START on event('num') and START" in told
    project.publish("num", 2)
    run_until_idle(project)
    assert "met by the same event and consumed by it: START on event('n*')" in execution.why("consume")
    assert "met STOP on event('num', 1)" in execution.why("consume")
