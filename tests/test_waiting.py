"""What has not begun is shown with what it waits for, and who waits for an execution learns what for."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.children import until

import aiflow as af
from aiflow.clock import SystemClock
from aiflow.display import execution_text
from aiflow.testing import ManualClock, project_for_tests, run_until_idle


@af.job
def load() -> int:
    return 1


@af.job
def fit(*inputs: int) -> int:
    return 2


@af.job
def report(*inputs: int) -> int:
    return 3


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def not_begun(execution: af.Execution) -> dict[str, tuple[str, str | None]]:
    return {one.job: (str(one.status), one.reason) for one in execution.not_begun}


def test_a_job_that_has_not_begun_is_listed_with_what_it_waits_for_until_it_runs(aiflow_project: af.Project) -> None:
    @af.workflow
    def waits() -> None:
        model = fit(load()).start_on(af.event("go")).start_on(af.event("now"))
        report(model).after(load.options(name="again")())

    execution = aiflow_project.start(waits)
    run_until_idle(aiflow_project)
    expected = {
        "fit": ("INIT", "waits for event('go') or event('now')"),
        "report": ("INIT", "waits for fit"),
    }
    assert not_begun(execution) == expected
    shown = execution_text(execution)
    assert "  fit     INIT" in shown
    assert shown.endswith("waits for fit")
    assert "waits for fit" in execution._repr_html_()
    assert {one.job for one in execution.jobs} == {"load", "again"}
    assert execution.job("fit") is None
    aiflow_project.publish("go")
    run_until_idle(aiflow_project)
    assert not_begun(execution) == {}
    assert execution.status == "SUCCESS"


def test_a_job_that_never_ran_is_listed_when_the_execution_has_ended(aiflow_project: af.Project) -> None:
    @af.workflow
    def waits() -> None:
        fit().start_on(af.event("go"))

    execution = aiflow_project.start(waits)
    execution.stop()
    assert execution.status == "STOPPED"
    assert not_begun(execution) == {"fit": ("INIT", "did not run")}


def test_what_is_to_run_again_after_a_resume_is_listed_until_it_does(aiflow_project: af.Project) -> None:
    healthy = threading.Event()

    @af.job
    def moody() -> None:
        if not healthy.is_set():
            raise ValueError("not yet")

    @af.workflow
    def again() -> None:
        fit(moody()).start_on(af.event("go"))

    execution = aiflow_project.run(again, check=False)
    assert execution.why("fit") == "fit number 1 was skipped: moody failed"
    healthy.set()
    execution.resume()
    run_until_idle(aiflow_project)
    assert not_begun(execution) == {"fit": ("INIT", "waits for event('go')")}
    assert execution.why("fit").startswith("fit has not run yet, and waits")
    aiflow_project.publish("go")
    run_until_idle(aiflow_project)
    assert not_begun(execution) == {}


def test_a_job_that_is_given_or_left_out_is_not_listed(aiflow_project: af.Project) -> None:
    @af.workflow
    def part() -> None:
        report(fit(load())).start_on(af.event("go"))

    execution = aiflow_project.start(part, only=["report"], given={"fit": 2})
    assert not_begun(execution) == {"report": ("INIT", "waits for event('go')")}
    execution.stop()


def test_a_job_that_waits_for_a_place_or_a_limit_is_queued(tmp_path: Path, gate: threading.Event) -> None:
    @af.job(limits={"gpu": 1})
    def train(number: int) -> None:
        gate.wait(20)

    @af.workflow
    def trains() -> None:
        train(1)
        train(2)
        load()

    with af.Project("queue", home=tmp_path / "home", workers=1) as project:
        execution = project.start(trains)
        until(lambda: not_begun(execution))
        assert not_begun(execution) == {
            "train_2": ("QUEUED", "waits for a place"),
            "load": ("QUEUED", "waits for a place"),
        }
        gate.set()
        execution.wait(20)
    gate.clear()
    with af.Project("queue", home=tmp_path / "home", workers=3) as project:
        execution = project.start(trains)
        until(lambda: not_begun(execution).keys() == {"train_2"})
        assert not_begun(execution) == {"train_2": ("QUEUED", "waits for the limit gpu")}
        gate.set()
        execution.wait(20)


def test_who_has_no_part_in_an_execution_sees_from_its_record_what_waits(tmp_path: Path) -> None:
    @af.workflow
    def waits() -> None:
        fit(load())
        report().start_on(af.event("go"))

    with project_for_tests(tmp_path / "home") as project:
        execution = project.start(waits)
        run_until_idle(project)
        project._shared.engine.recent.clear()
        project._shared.engine.lives.pop(execution.id)
        assert not_begun(project.executions.get(execution.id)) == {"report": ("INIT", "waits for event('go')")}


def test_what_waited_for_a_place_when_its_process_died_waits_for_a_resume(tmp_path: Path) -> None:
    @af.job
    def holds(number: int) -> None:
        af.current().wait_stop(60)

    @af.workflow
    def two() -> None:
        holds(1)
        report(holds(2))

    project = af.Project("queue", home=tmp_path, workers=1)
    execution_id = project.start(two).id
    until(lambda: project.executions.get(execution_id).job("holds"))
    project.close(detach=True)
    with af.Project("queue", home=tmp_path) as project:
        assert not_begun(project.executions.get(execution_id)) == {
            "holds_2": ("QUEUED", "waits for its execution to be resumed"),
            "report": ("INIT", "waits for holds_2"),
        }


# --- quiet ------------------------------------------------------------------------------------------------------------


@af.workflow
def listening() -> None:
    report().start_on(af.event("go"))


def waiting_run(project: af.Project, workflow: af.Workflow) -> tuple[threading.Thread, list[af.Execution]]:
    ended: list[af.Execution] = []
    thread = threading.Thread(target=lambda: ended.append(project.run(workflow)))
    thread.start()
    return thread, ended


def said(log: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    """What was logged with these words; other things may be said, too, where the machine is slow."""
    return [record for record in list(log.records) if words in record.getMessage()]


def test_20_run_says_after_a_while_of_quiet_what_it_waits_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with af.Project("quiet", home=tmp_path / "home", clock=SystemClock(patience=0.01)) as project:
        with caplog.at_level(logging.INFO, "aiflow"):
            thread, ended = waiting_run(project, listening)
            (record,) = until(lambda: said(caplog, "waits for event('go')"))
            project.publish("go")
            thread.join(20)
        assert record.levelno == logging.WARNING
        assert record.getMessage() == f"execution {ended[0].id} of listening waits for event('go') (starts report)"


def test_20_a_job_that_takes_long_is_told_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gate: threading.Event
) -> None:
    @af.job
    def hold() -> None:
        gate.wait(20)

    @af.workflow(stop_on=af.event("enough"))
    def holds() -> None:
        report(hold())

    with af.Project("quiet", home=tmp_path / "home", clock=SystemClock(patience=0.01)) as project:
        with caplog.at_level(logging.INFO, "aiflow"):
            thread, _ = waiting_run(project, holds)
            (record,) = until(lambda: said(caplog, "waits for hold (RUNNING), event('enough') (stops it)"))
            gate.set()
            thread.join(20)
        assert record.levelno == logging.INFO


@pytest.mark.parametrize("how", ["run", "wait"])
def test_20_with_a_clock_that_stands_still_nobody_waits_for_what_cannot_come(tmp_path: Path, how: str) -> None:
    waits: dict[str, Callable[[af.Project], object]] = {
        "run": lambda project: project.run(listening),
        "wait": lambda project: project.start(listening).wait(),
    }
    with project_for_tests(tmp_path / "home", ManualClock(patience=0.01)) as project:
        with pytest.raises(
            TimeoutError, match=r"waits for event\('go'\) \(starts report\), and the clock stands still"
        ):
            waits[how](project)
        (execution,) = project.executions.list()
        assert execution.status == "RUNNING"
        execution.stop()


def test_20_with_a_clock_that_stands_still_a_job_on_a_thread_is_waited_for(
    tmp_path: Path, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    @af.job(runner="thread")
    def hold() -> None:
        gate.wait(20)

    @af.workflow
    def holds() -> None:
        hold()

    def release() -> None:
        until(lambda: said(caplog, "waits for hold (RUNNING)"))
        gate.set()

    releasing = threading.Thread(target=release)
    caplog.set_level(logging.INFO, "aiflow")
    with project_for_tests(tmp_path / "home", ManualClock(patience=0.01)) as project:
        releasing.start()
        assert project.run(holds).status == "SUCCESS"
    releasing.join()
