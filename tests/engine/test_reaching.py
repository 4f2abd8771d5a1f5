"""Which events reach which executions (rule 3), and that none comes too early or too late."""

from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle


@af.job
def react() -> Any:
    event = af.current().event
    assert event is not None
    return event.value


@af.workflow
def reacting() -> None:
    react().start_on(af.event("go"))


@af.workflow(ends="never")
def serving() -> None:
    react().start_on(af.event("go"))


@af.workflow(ends="never")
def serving_all() -> None:
    react().start_on(af.event("go", namespace="*"))


@af.workflow(namespace="elsewhere", ends="never")
def elsewhere() -> None:
    react().start_on(af.event("go"))


def reached(project: af.Project, execution: af.Execution) -> list[Any]:
    run_until_idle(project)
    return execution.results("react")


@pytest.mark.parametrize(
    ("context", "of_event", "comes"),
    [
        (None, None, True),
        ("a", None, True),
        ("a", "a", True),
        ("a", "b", False),
        (None, "a", False),
        ("", "", True),
        (None, "", False),
    ],
)
def test_the_context_decides_which_executions_an_event_reaches(
    still: af.Project, context: str | None, of_event: str | None, comes: bool
) -> None:
    execution = still.start(serving, context=context)
    still.publish("go", 1, context=of_event)
    assert reached(still, execution) == [1] * comes
    execution.stop()


def test_the_id_of_an_execution_always_reaches_it_and_no_other(still: af.Project) -> None:
    first, second = still.start(serving, context="c"), still.start(serving)
    still.publish("go", 1, context=first.id)
    assert (reached(still, first), reached(still, second)) == ([1], [])
    first.stop()
    second.stop()


def test_the_namespace_must_match_unless_the_condition_says_otherwise(still: af.Project) -> None:
    executions = {name: still.start(w) for name, w in (("own", serving), ("all", serving_all), ("else", elsewhere))}
    still.publish("go", "here")
    still.publish("go", "there", namespace="elsewhere")
    still.publish("go", "far", namespace="far")
    found = {name: reached(still, e) for name, e in executions.items()}
    assert found == {"own": ["here"], "all": ["here", "there", "far"], "else": ["there"]}
    assert executions["else"].namespace == "elsewhere"
    for execution in executions.values():
        execution.stop()


def test_an_execution_sees_no_event_from_before_it_and_every_later_one(project: af.Project) -> None:
    for number in range(10):
        project.publish("go", -number)
        execution = project.start(reacting)
        project.publish("go", number)
        execution.wait(20)
        assert execution.result("react") == number


def test_an_event_for_an_execution_that_has_ended_changes_nothing(still: af.Project) -> None:
    execution = still.start(reacting)
    still.publish("go", 1)
    run_until_idle(still)
    assert execution.status == "SUCCESS"
    before = (still.events.count(types="JOB_STATUS_CHANGED"), [j.status for j in execution.jobs])
    still.publish("go", 2)
    still.publish("go", 3, context=execution.id)
    run_until_idle(still)
    assert (still.events.count(types="JOB_STATUS_CHANGED"), [j.status for j in execution.jobs]) == before
    assert execution.results("react") == [1]


def test_what_a_job_publishes_reaches_its_own_execution_only_unless_it_says_otherwise(still: af.Project) -> None:
    @af.job
    def tell(context: Any) -> None:
        af.publish("go", af.current().execution_id) if context == "own" else af.publish("go", "all", context=None)

    @af.workflow(ends="never")
    def telling(context: str) -> None:
        tell(context)
        react().start_on(af.event("go"))

    listening = still.start(serving)
    own = still.start(telling, params={"context": "own"})
    assert (reached(still, own), reached(still, listening)) == ([own.id], [])
    everybody = still.start(telling, params={"context": "all"})
    assert reached(still, everybody) == ["all"]
    assert reached(still, listening) == ["all"]
    assert reached(still, own) == [own.id, "all"]
    for execution in (listening, own, everybody):
        execution.stop()


def test_own_counts_only_what_the_execution_itself_caused(still: af.Project) -> None:
    @af.job
    def tell() -> None:
        af.publish("go", "own", context=None)

    @af.workflow(ends="never")
    def telling() -> None:
        tell()
        react().start_on(af.event("go").own())

    first = still.start(telling)
    second = still.start(telling)
    still.publish("go", "outside")
    assert reached(still, first) == ["own"]
    assert reached(still, second) == ["own"]
    first.stop()
    second.stop()


def test_statuses_of_jobs_belong_to_their_own_execution(still: af.Project) -> None:
    @af.job
    def one() -> int:
        return 1

    @af.workflow
    def two() -> None:
        first = one()
        react_to = af.job(name="after")(lambda: af.current().event.sender)()  # type: ignore[union-attr]
        react_to.start_on(first.succeeded)

    executions = [still.run(two) for _ in range(3)]
    assert [e.results("after") for e in executions] == [["one"]] * 3


def test_an_event_of_bookkeeping_meets_a_condition_only_if_that_names_its_type(still: af.Project) -> None:
    @af.job
    def one() -> int:
        return 1

    @af.workflow(ends="never")
    def with_patterns() -> None:
        one()
        af.job(name="any")(lambda: 1)().start_on(af.event("*"))
        af.job(name="typed")(lambda: 1)().start_on(af.event("job:one", type="JOB_STATUS_CHANGED").times(2))

    execution = still.start(with_patterns)
    run_until_idle(still)
    assert execution.job("any") is None
    assert execution.results("typed") == [1]
    still.publish("one", {"status": "SUCCESS"})
    run_until_idle(still)
    assert execution.results("any") == [1]
    assert execution.results("typed") == [1]
    assert_replays(execution)
    execution.stop()


def test_35_an_interrupted_execution_that_has_yet_to_decide_on_what_came_meanwhile_replays(
    tmp_path: Path, clock: ManualClock
) -> None:
    @af.job(runner="thread")
    def work() -> None:
        af.current().wait_stop(30)

    @af.workflow
    def working() -> None:
        work().stop_on(af.event("stop"))

    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(working)
        project.close(detach=True)
    with project_for_tests(tmp_path, clock) as project:
        project.publish("stop")
        execution = project.executions.get(execution.id)
        assert_replays(execution)
        execution.resume()
        run_until_idle(project)
        assert execution.job("work").status == "STOPPED"  # type: ignore[union-attr]
        assert_replays(execution)
