"""The public interface, sentence by sentence: 4. Project, events, executions, and what a job sees of itself."""

import asyncio
import enum
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.children import child, until
from tests.interface import deeds

import aiflow as af
from aiflow.testing import run_until_idle


@af.job
def load(n: int = 2) -> list[int]:
    return list(range(n))


@af.job
def total(rows: list[int]) -> int:
    return sum(rows)


@af.job
def fails() -> None:
    raise ValueError("no luck")


@af.job
def waits() -> str:
    af.current().wait_stop(60)
    return "done"


@af.workflow
def sums(n: int = 2) -> None:
    total(load(n))


@af.workflow
def service() -> None:
    waits()


@af.workflow
def failing() -> None:
    total(fails())


# --- opening ----------------------------------------------------------------------------------------------------------


def test_opening_makes_the_store_and_its_folders(tmp_path: Path) -> None:
    @af.job
    def large() -> str:
        print("making it")
        return "x" * 20_000

    @af.workflow
    def w() -> None:
        large()

    with af.Project("fraud", home=tmp_path / ".aiflow") as project:
        project.run(w)
        assert (tmp_path / ".aiflow" / "aiflow.db").is_file()
        assert {"blobs", "logs"} <= {p.name for p in project.home.iterdir()}
        assert project.home == tmp_path / ".aiflow"


def test_the_first_project_names_the_home_and_later_ones_without_a_name_use_that(tmp_path: Path) -> None:
    with af.Project("fraud", home=tmp_path) as project:
        assert project.publish("a").namespace == "fraud"
    with af.Project(home=tmp_path) as project:
        assert project.name == "fraud"
    with af.Project("other", home=tmp_path) as project:
        assert project.name == "other"
    with af.Project(home=tmp_path) as project:
        assert project.name == "fraud"
    with af.Project(home=tmp_path / "another") as project:
        assert project.name == "default"


def test_a_handle_knows_when_its_execution_ended_without_being_asked_for_its_status(tmp_path: Path) -> None:
    with af.Project(home=tmp_path / "home") as project:
        execution = project.start(sums).wait()
        assert execution.ended is not None
        assert execution.started is not None


def test_the_home_is_found_as_git_finds_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIFLOW_HOME")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)

    def home() -> Path:
        with af.Project() as project:
            project.publish("k")
            return project.home.resolve()

    (tmp_path / "pyproject.toml").write_text('[tool.aiflow]\nname = "mine"\nworkers = 3\n')
    assert home() == (tmp_path / ".aiflow").resolve()
    with af.Project() as project:
        assert (project.name, project._shared.workers) == ("mine", 3)
    (tmp_path / "a" / ".aiflow").mkdir()
    assert home() == (tmp_path / "a" / ".aiflow").resolve()
    monkeypatch.setenv("AIFLOW_HOME", str(tmp_path / "env"))
    assert home() == (tmp_path / "env").resolve()


def test_without_any_sign_upwards_the_home_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIFLOW_HOME")
    monkeypatch.chdir(tmp_path)
    with af.Project() as project:
        assert project.home.resolve() == (tmp_path / ".aiflow").resolve()


def test_without_with_the_default_project_is_opened_on_first_use(tmp_path: Path) -> None:
    assert not (tmp_path / ".aiflow").exists()
    event = af.publish("hello", 1)
    project = af.project()
    try:
        assert project.home == tmp_path / ".aiflow"
        assert project.events.latest("hello") == event
        assert sums.run().result("total") == 1
        assert af.project() is project
    finally:
        project.close()


@pytest.mark.parametrize("runner", ["thread", "process", "inline"])
def test_inside_a_job_they_use_the_jobs_own_project(tmp_path: Path, runner: str) -> None:
    def where() -> list[str]:
        own = str(af.publish("from inside").namespace)
        with af.Project("another", home=af.current().scratch / "home") as other:
            return [own, af.project().name, str(af.project() is other)]

    @af.workflow
    def w() -> None:
        af.job(where, runner=runner)()

    with af.Project("outer", home=tmp_path / "outer"), af.Project("shop", home=tmp_path / "home") as project:
        assert project.run(w).result("where") == ["shop", "another", "True"]


def test_a_second_opening_of_one_home_in_one_process_works(project: af.Project) -> None:
    with af.Project("second", home=project.home) as second:
        second.publish("k", 1)
        assert project.events.latest("k").namespace == "second"  # type: ignore[union-attr]
        execution = second.run(sums)
    assert project.executions.get(execution.id).result("total") == 1


# --- running ----------------------------------------------------------------------------------------------------------


def test_run_waits_and_with_check_a_failure_is_raised_with_job_error_and_frames(project: af.Project) -> None:
    assert project.run(sums, n=4).result("total") == 6
    with pytest.raises(af.ExecutionFailed) as failed:
        project.run(failing)
    assert failed.value.execution.status == "FAILED"
    text = str(failed.value)
    assert "fails: ValueError: no luck" in text
    assert f'File "{__file__}", line' in text
    assert project.run(failing, check=False).status == "FAILED"


def test_a_parameter_that_has_the_name_of_an_argument_goes_into_params(project: af.Project) -> None:
    @af.workflow
    def w(timeout: int, n: int) -> None:
        load(timeout + n)

    assert project.run(w, params={"timeout": 1}, n=1).result("load") == [0, 1]


def test_timeout_stops_the_execution_and_raises(project: af.Project) -> None:
    with pytest.raises(TimeoutError, match=r"took longer than 0.05 s and was stopped"):
        project.run(service, timeout=0.05)
    (execution,) = project.executions.list()
    assert execution.status == "STOPPED"


def test_only_start_from_and_given_run_a_part(project: af.Project) -> None:
    @af.workflow
    def w() -> None:
        rows = load(3)
        total.options(name="last")([total(rows)])

    first = project.run(w)
    assert [j.job for j in project.run(w, only="total").jobs] == ["total"]
    assert [j.job for j in project.run(w, start_from=["total"]).jobs] == ["total", "last"]
    part = project.run(w, given={"load": [5]})
    assert (part.result("total"), part.result("load"), first.result("total")) == (5, [5], 3)
    with pytest.raises(af.NotFound, match="did you mean 'total'"):
        project.run(w, only="totl")


def test_arun_leaves_the_event_loop_free(project: af.Project) -> None:
    async def main() -> Any:
        beside = asyncio.ensure_future(asyncio.sleep(0, "free"))
        execution = await project.arun(sums, n=3)
        return execution.result("total"), await beside

    assert asyncio.run(main()) == (3, "free")
    with pytest.raises(af.ExecutionFailed):
        asyncio.run(project.arun(failing))


def test_under_check_what_was_stopped_or_interrupted_raises_too(project: af.Project) -> None:
    def stop_it() -> None:
        until(lambda: project.executions.list(status="RUNNING"))[0].stop("enough")

    stopping = threading.Thread(target=stop_it)
    stopping.start()
    with pytest.raises(af.ExecutionFailed, match="is STOPPED: enough"):
        project.run(service)
    stopping.join()


def test_leaving_waits_for_what_runs_and_then_stops_it(tmp_path: Path) -> None:
    gate = threading.Event()

    @af.job
    def hold() -> None:
        gate.wait(20)

    @af.workflow
    def holds() -> None:
        hold()

    with af.Project("shop", home=tmp_path) as project:
        held = project.start(holds).id
        threading.Timer(0.05, gate.set).start()
    with af.Project("shop", home=tmp_path) as project:
        assert project.executions.get(held).status == "SUCCESS"
        served = project.start(service).id
        project.close(timeout=0)
    with af.Project("shop", home=tmp_path) as project:
        stopped = project.executions.get(served)
        assert (stopped.status, stopped.reason) == ("STOPPED", "the project was closed")


def test_start_does_not_wait_and_gives_a_live_handle(project: af.Project) -> None:
    execution = project.start(service)
    assert execution.status == "RUNNING"
    execution.stop()
    assert execution.status in ("STOPPING", "STOPPED")
    assert execution.wait().status == "STOPPED"


def test_close_detached_leaves_what_runs_for_recover(tmp_path: Path) -> None:
    go = threading.Event()

    @af.job
    def step() -> str:
        if not go.is_set():
            af.current().wait_stop(60)
        return "done"

    @af.workflow
    def resumed() -> None:
        step()

    project = af.Project("shop", home=tmp_path)
    execution_id = project.start(resumed).id
    project.close(detach=True)
    go.set()
    with af.Project("shop", home=tmp_path) as project:
        execution = project.executions.get(execution_id)
        assert execution.status == "INTERRUPTED", "opening a home runs nothing"
        assert project.recover() == [execution]
        assert execution.wait().result("step") == "done"


# --- events -----------------------------------------------------------------------------------------------------------


def test_publish_and_publish_many_and_a_key_that_publishes_once(project: af.Project) -> None:
    event = project.publish("k", {"n": 1}, type="T", namespace="n", sender="s", context="c")
    assert (event.offset, event.key, event.value, event.type) == (1, "k", {"n": 1}, "T")
    assert (event.namespace, event.sender, event.context, event.execution_id) == ("n", "s", "c", None)
    assert event.time.tzinfo is UTC
    plain = project.publish("k")
    assert (plain.value, plain.type, plain.namespace, plain.sender, plain.context) == (
        None,
        "UNDEFINED",
        "shop",
        None,
        None,
    )
    many = project.publish_many([("a", 1), af.Draft("b", 2)])
    assert [(e.key, e.value) for e in many] == [("a", 1), ("b", 2)]
    once = project.publish("k", 1, dedupe_key="once")
    assert project.publish("k", 2, dedupe_key="once") == once
    assert project.publish("k", 2, dedupe_key="once", namespace="other").offset > once.offset
    assert project.events.list(since="start")[-1].offset == project.events.count()


def test_subscribe_is_a_context_manager_with_filters_and_a_beginning(project: af.Project) -> None:
    project.publish("a", 0)
    seen: dict[str, list[Any]] = {"all": [], "start": [], "keys": [], "after": []}
    with (
        project.subscribe(lambda e: seen["all"].append(e.value)),
        project.subscribe(lambda e: seen["start"].append(e.value), since="start"),
        project.subscribe(lambda e: seen["keys"].append(e.value), keys=["b*", "c"], types="T", senders="me"),
        project.subscribe(lambda e: seen["after"].append(e.value), since=1, namespaces="shop"),
    ):
        project.publish("a", 1)
        project.publish("bb", 2, type="T", sender="me")
        project.publish("bb", 3, type="T", namespace="theirs")
        run_until_idle(project)
    project.publish("a", 4)
    run_until_idle(project)
    assert seen == {"all": [1, 2, 3], "start": [0, 1, 2, 3], "keys": [2], "after": [1, 2]}


def test_a_callback_that_raises_is_logged_listed_and_passed_over(
    project: af.Project, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def picky(event: af.Event) -> None:
        seen.append(event.value)
        if event.value == 1:
            raise ValueError("not one")

    with project.subscribe(picky, name="picky"):
        project.publish_many([("k", 1), ("k", 2)])
        run_until_idle(project)
    assert seen == [1, 2]
    assert "picky" in caplog.text
    (failed,) = project.events.failed()
    assert (failed["offset"], failed["handler"], failed["error"]) == (1, "picky", "ValueError: not one")


def test_events_are_pruned_and_who_asks_for_them_is_told(aiflow_project: af.Project) -> None:
    once = aiflow_project.publish("k", 1, dedupe_key="once")
    last = [aiflow_project.publish("k", n) for n in (2, 3)][-1]
    pruned = aiflow_project.events.prune(before=last.offset)
    assert (pruned.went, pruned.pruned_until) == ({"events": 2}, last.offset - 1)
    assert aiflow_project.events.list(since="start") == [last]
    with pytest.raises(af.OffsetPruned, match=r"since=1: .* say since='start'"):
        aiflow_project.subscribe(print, since=once.offset)
    assert aiflow_project.publish("k", 4, dedupe_key="once").value == 4, "unique until it is pruned"


def test_events_answer_list_count_follow_latest_and_offset_at(aiflow_project: af.Project, aiflow_clock: Any) -> None:
    project = aiflow_project
    project.publish("a.x", 1, type="T", sender="s")
    aiflow_clock.advance(10)
    middle = aiflow_clock.time
    project.publish("a.y", 2, namespace="theirs")
    project.publish("b", 3)
    events = project.events

    def values(**filters: Any) -> list[Any]:
        found = events.list(**filters)
        if "limit" not in filters:
            assert events.count(**filters) == len(found)
        return [e.value for e in found]

    assert values(keys="a.*") == [1, 2]
    assert values(types="T") == values(senders="s") == [1]
    assert values(namespaces="theirs") == [2]
    assert values(since=1) == values(since=middle) == [2, 3]
    assert values(until=2) == [1, 2]
    assert values(until=middle) == [1]
    assert values(limit=2) == [1, 2]
    assert events.latest("a.*").value == 2  # type: ignore[union-attr]
    assert events.latest("none") is None
    assert (events.offset_at(middle), events.offset_at(middle + timedelta(1))) == (1, 3)
    assert next(iter(events.follow("b", since="start"))).value == 3

    async def follow() -> list[Any]:
        found: list[Any] = []
        async for event in events.follow("a.*", since="start"):
            found.append(event.value)
            if len(found) == 2:
                break
        return found

    assert asyncio.run(follow()) == [1, 2]


def test_context_none_reaches_every_running_execution_and_another_only_its_own(aiflow_project: af.Project) -> None:
    @af.job
    def hears() -> Any:
        event = af.current().event
        assert event is not None
        return event.value

    @af.workflow(ends="never")
    def w() -> None:
        hears().start_on(af.event("k"))

    one, two = (aiflow_project.start(w, context=c) for c in ("one", "two"))
    for number, context in enumerate([None, "one", two.id, "three"]):
        aiflow_project.publish("k", number, context=context)
    run_until_idle(aiflow_project)
    assert (one.results("hears"), two.results("hears")) == ([0, 1], [0, 2])
    one.stop()
    two.stop()


# --- views ------------------------------------------------------------------------------------------------------------


def test_views_have_the_same_verbs(project: af.Project) -> None:
    executions = [project.run(sums, n=n) for n in range(3)]
    project.run(failing, check=False)
    view = project.executions
    assert [e.id for e in view.list(limit=2, offset=1, workflow="sums")] == [executions[1].id, executions[0].id]
    assert [e.workflow for e in view.list(status="FAILED")] == ["failing"]
    assert view.list(workflow="su*") == view.list(workflow="sums")
    assert view.get(executions[0].id) == executions[0]
    assert view.find("nothing") is None
    assert view.list(workflow="nothing") == []
    assert [w["name"] for w in project.workflows.list()] == ["failing", "sums"]
    assert project.workflows.find("sum") is None
    with pytest.raises(af.NotFound, match="did you mean 'sums'"):
        project.workflows.get("sum")
    with pytest.raises(af.NotFound, match="no execution"):
        view.get("nothing")
    with pytest.raises(af.ParameterError, match="no field 'stat'"):
        view.list(stat=1)
    jobs = project.jobs
    assert {(j.job, j.number) for j in jobs.list(execution_id=executions[0].id)} == {("load", 1), ("total", 1)}
    assert [j.job for j in jobs.list(status="FAILED", job="f*")] == ["fails"]
    assert jobs.list(limit=1, offset=1) == jobs.list(limit=2)[1:]
    assert jobs.get(executions[0].id, "total") == executions[0].job("total")
    assert jobs.find(executions[0].id, "total", 2) is None
    with pytest.raises(af.NotFound, match="did you mean 'total'"):
        jobs.get(executions[0].id, "totl")


def test_a_workflow_can_be_registered_without_running_it(project: af.Project) -> None:
    @af.workflow(description="adds")
    def registered() -> None:
        load()

    row = project.workflows.register(registered)
    assert (row["name"], row["description"]) == ("registered", "adds")
    assert project.executions.list() == []


# --- executions -------------------------------------------------------------------------------------------------------


def test_an_execution_has_all_that_the_interface_says(project: af.Project) -> None:
    before = datetime.now(UTC)
    execution = project.run(sums, n=3, context="mine")
    assert (execution.workflow, execution.params, execution.context) == ("sums", {"n": 3}, "mine")
    assert execution.status is af.ExecutionStatus.SUCCESS
    assert execution.event is None
    assert execution.started is not None
    assert execution.ended is not None
    assert before <= execution.started <= execution.ended <= datetime.now(UTC)
    provenance = execution.provenance
    assert {"git", "python", "packages", "host", "command"} <= set(provenance)
    assert {"commit", "dirty"} <= set(provenance["git"] or {"commit": 0, "dirty": 0})
    assert [(j.job, j.number, j.attempt, str(j.status), j.error, j.label) for j in execution.jobs] == [
        ("load", 1, 1, "SUCCESS", None, None), ("total", 1, 1, "SUCCESS", None, None),
    ]  # fmt: skip
    job = execution.job("total")
    assert job is not None
    assert job.started is not None
    assert job.ended is not None
    assert execution.started <= job.started <= job.ended <= execution.ended
    assert job.event is not None
    assert (job.event.key, job.event.value["status"]) == ("job:load", "SUCCESS")
    assert (execution.result("total"), execution.results("total")) == (3, [3])
    assert [n.name for n in execution.graph.nodes] == ["load", "total"]
    assert {e.execution_id for e in execution.events()} == {execution.id}
    for ask in (execution.job, execution.result, execution.results, execution.why, execution.logs):
        with pytest.raises(af.NotFound, match="did you mean 'total'"):
            ask("totl")


def test_results_are_those_of_all_successful_runs_and_result_is_the_latest(aiflow_project: af.Project) -> None:
    @af.job
    def invert() -> float:
        event = af.current().event
        assert event is not None
        return 1 / event.value

    @af.workflow(ends="never")
    def w() -> None:
        invert().start_on(af.event("n"))

    execution = aiflow_project.start(w)
    assert execution.job("invert") is None, "None before its first run"
    with pytest.raises(af.NotFound, match=r"'invert': it has not run; execution.why\('invert'\) tells more"):
        execution.result("invert")
    assert execution.results("invert") == []
    aiflow_project.publish_many([("n", 1), ("n", 2), ("n", 0)])
    run_until_idle(aiflow_project)
    assert [(j.number, str(j.status)) for j in execution.jobs] == [(1, "SUCCESS"), (2, "SUCCESS"), (3, "FAILED")]
    latest = execution.job("invert")
    assert latest is not None
    assert (latest.number, latest.error) == (3, "ZeroDivisionError: division by zero")
    assert (execution.result("invert"), execution.results("invert")) == (0.5, [1.0, 0.5])
    execution.stop()


def test_a_job_that_failed_has_no_result_and_the_error_says_so(aiflow_project: af.Project) -> None:
    @af.job
    def fails() -> None:
        raise ValueError("no")

    @af.workflow
    def failing() -> None:
        fails()

    with pytest.raises(af.NotFound, match="no result of the job 'fails': it is FAILED"):
        aiflow_project.run(failing, check=False).result("fails")


@pytest.mark.parametrize("view", ["executions", "jobs"])
def test_a_status_that_is_none_is_refused_and_the_one_that_was_meant_is_named(project: af.Project, view: str) -> None:
    for ask in (getattr(project, view).list, project.executions.count):
        with pytest.raises(af.ParameterError, match="there is no status 'sucess'; did you mean 'SUCCESS'"):
            ask(status="sucess")
    assert getattr(project, view).list(status="S*") == []


def test_wait_leaves_it_running_and_stop_returns_when_it_is_stopping(project: af.Project) -> None:
    execution = project.start(service)
    with pytest.raises(TimeoutError, match=r"still RUNNING after 0.01 s; it goes on, and waits for \w+ \(RUNNING\)"):
        execution.wait(timeout=0.01)
    assert execution.status == "RUNNING"
    execution.stop("enough")
    stopping = project.events.list(types="EXECUTION_STATUS_CHANGED")
    assert "STOPPING" in {e.value["status"] for e in stopping}
    execution.wait()
    assert (execution.status, execution.reason) == ("STOPPED", "enough")


def test_resume_runs_what_did_not_succeed_and_keeps_what_did(project: af.Project) -> None:
    ran, is_mended = [], threading.Event()

    @af.job
    def first() -> int:
        ran.append("first")
        return 1

    @af.job
    def second(n: int) -> int:
        ran.append("second")
        if not is_mended.is_set():
            raise ValueError("not yet")
        return n + 1

    @af.workflow
    def w() -> None:
        second(first())

    execution = project.run(w, check=False)
    is_mended.set()
    assert execution.resume().wait().result("second") == 2
    assert ran == ["first", "second", "second"]
    with pytest.raises(af.Conflict, match="has succeeded"):
        execution.resume()


def test_jobs_are_started_stopped_and_restarted_by_hand(project: af.Project) -> None:
    @af.workflow(ends="never")
    def w() -> None:
        waits().start_on(af.event("never"))

    execution = project.start(w)

    def numbered() -> list[tuple[int, str]]:
        return [(j.number, str(j.status)) for j in execution.jobs]

    execution.start_job("waits")
    until(lambda: numbered() == [(1, "RUNNING")])
    execution.restart_job("waits")
    until(lambda: numbered() == [(1, "STOPPED"), (2, "RUNNING")])
    execution.stop_job("waits")
    until(lambda: numbered() == [(1, "STOPPED"), (2, "STOPPED")])
    assert "because somebody asked" in execution.why("waits")
    execution.stop().wait()
    with pytest.raises(af.Conflict, match="has ended"):
        execution.start_job("waits")


def test_why_tells_the_rule_and_the_events_or_what_is_waited_for(aiflow_project: af.Project) -> None:
    @af.workflow
    def w() -> None:
        rows = load()
        total(rows)
        total.options(name="late")(rows).start_on(af.event("a") & af.event("b"))

    execution = aiflow_project.start(w)
    aiflow_project.publish("a", 1)
    run_until_idle(aiflow_project)
    assert execution.why("load").endswith("was started with the execution: it waits for nothing")
    assert "when its upstreams were there: load" in execution.why("total")
    waiting = execution.why("late")
    assert "late has not run yet, and waits" in waiting
    assert "✓ event('a')" in waiting
    assert "· event('b')" in waiting
    aiflow_project.publish("b", 2)
    run_until_idle(aiflow_project)
    started = execution.why("late")
    assert "by its rule “START on all(event('a'), event('b'))”" in started
    assert "a = 1" in started
    assert "b = 2" in started
    assert execution.why() == "\n".join(execution.why(job) for job in ("load", "total", "late"))


def test_why_tells_of_a_job_that_has_failed_also_how(aiflow_project: af.Project) -> None:
    @af.job
    def breaks() -> None:
        raise LookupError("nobody knows")

    @af.workflow
    def w() -> None:
        breaks()

    execution = aiflow_project.run(w, check=False)
    assert execution.why() == (
        "breaks number 1 was started with the execution: it waits for nothing\n  it has failed: LookupError: nobody knows"
    )


def test_statuses_are_str_enums_equal_to_their_names() -> None:
    assert [str(s) for s in af.ExecutionStatus] == [
        "INIT", "RUNNING", "SUCCESS", "FAILED", "STOPPING", "STOPPED", "INTERRUPTED",
    ]  # fmt: skip
    assert {str(s) for s in af.JobStatus} == {
        "INIT", "QUEUED", "RUNNING", "SUCCESS", "FAILED", "STOPPING", "STOPPED", "RETRYING", "SKIPPED",
    }  # fmt: skip
    for status in (*af.ExecutionStatus, *af.JobStatus):
        assert isinstance(status, enum.StrEnum)
        assert status == status.name == str(status)


def test_another_process_sees_an_execution_and_stops_it(tmp_path: Path) -> None:
    with child(deeds.run_service, str(tmp_path)) as process, af.Project(home=tmp_path) as project:
        heard = {process.hear(), process.hear()}
        assert "begun" in heard
        (execution,) = project.executions.list()
        assert execution.status == "RUNNING"
        assert execution.job("waits").status == "RUNNING"  # type: ignore[union-attr]
        execution.stop()
        assert execution.wait(20).status == "STOPPED"
        assert process.end() == "STOPPED"


# --- in a job ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["thread", "process", "inline"])
def test_a_job_sees_itself_in_every_runner(project: af.Project, runner: str) -> None:
    def looks() -> dict[str, Any]:
        me = af.current()
        me.set_label("looking")
        me.logger.info("logged")
        logging.getLogger("some").warning("warned")
        print("printed")
        (me.scratch / "file").write_text("kept")
        event = me.publish("from inside", 1)
        return {
            "id": me.execution_id, "job": me.job, "number": me.number, "attempt": me.attempt, "params": me.params,
            "context": me.context, "stopping": me.stopping, "waited": me.wait_stop(0.001), "project": me.project.name,
            "keys": [e.key for e in me.events], "event": me.event.key if me.event else None,
            "published": [event.context, event.sender, event.execution_id],
        }  # fmt: skip

    @af.workflow
    def w(n: int = 1) -> None:
        rows = load()
        af.job(looks, runner=runner)().after(rows)

    execution = project.run(w, n=7, context="mine")
    assert execution.result("looks") == {
        "id": execution.id, "job": "looks", "number": 1, "attempt": 1, "params": {"n": 7}, "context": "mine",
        "stopping": False, "waited": False, "project": "shop", "keys": ["job:load"], "event": "job:load",
        "published": [execution.id, "looks", execution.id],
    }  # fmt: skip
    assert execution.job("looks").label == "looking"  # type: ignore[union-attr]
    log = execution.logs("looks")
    assert all(word in log for word in ("printed", "logged", "warned"))
    scratch = project.home / "scratch" / execution.id / "looks.1" / "file"
    assert scratch.read_text() == "kept"


def test_what_is_printed_goes_to_the_terminal_as_well(project: af.Project, capfd: pytest.CaptureFixture[str]) -> None:
    @af.job
    def speaks(runner: str) -> None:
        print("spoken by", runner)

    @af.workflow
    def w() -> None:
        for runner in ("thread", "process"):
            speaks.options(runner=runner)(runner)

    project.run(w)
    out = capfd.readouterr().out
    assert "spoken by thread" in out
    assert "spoken by process" in out


def test_outside_a_job_there_is_no_current_job() -> None:
    with pytest.raises(af.AIFlowError, match="inside a running job only"):
        af.current()


def test_in_a_process_of_flink_it_is_said_what_there_is_instead_of_the_current_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aiflow_flink_job.py").write_text("JOB = {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        af.AIFlowError, match=r"af\.flink\.publish, and take what else they need .* where the job is built"
    ):
        af.current()


def test_the_first_jobs_of_an_execution_were_started_by_no_event(project: af.Project) -> None:
    @af.job
    def looks() -> Any:
        return [af.current().event, af.current().events]

    @af.workflow
    def w() -> None:
        looks()

    assert project.run(w).result("looks") == [None, []]
