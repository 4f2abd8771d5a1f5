"""Jobs that run outside of the process outlive it: whoever goes on with their execution finds them again, by a note."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone, child, is_alive, until
from tests.runners import outside
from tests.runners.outside import Outside, far, flow, tell

import aiflow as af
from aiflow.hooks import manager
from aiflow.testing import ManualClock, assert_replays


class Place:
    """A home, a folder for the program, and projects that are opened one after the other."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder, self.runners = folder / "home", folder / "program", list[Outside]()
        self.folder.mkdir()

    def open(self, runner: Outside | None = None, **options: Any) -> af.Project:
        self.close()
        self.runners.append(runner or Outside())
        return af.Project("p", home=self.home, plugins=[self.runners[-1]], **options)

    def close(self) -> None:
        if self.runners and manager().is_registered(self.runners[-1]):
            manager().unregister(self.runners[-1])

    def leave(self, workflow: af.Workflow = flow, **options: Any) -> str:
        """Start a workflow, and leave it to others when its job has a note."""
        project = self.open(**options)
        execution = project.start(workflow, folder=str(self.folder))
        assert self.runners[-1].has_started.wait(30)
        project.close(detach=True)
        return execution.id


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()
    left = [pid for runner in found.runners for pid in runner.started if is_alive(pid)]
    assert not left, f"these programs still run: {left}"
    invariants.check(found.home)


def kinds(execution: af.Execution) -> list[str]:
    return [e.type for e in execution.events() if e.type == "JOB_LOST"]


def test_a_job_that_outlived_a_killed_process_goes_on_in_the_next_as_the_same_attempt(place: Place) -> None:
    place.open().close()  # the home is made here, so that the process below is quicker to its point
    with child(outside.run_until_killed, str(place.home), str(place.folder)) as process:
        execution_id, pid = process.hear_of("noted ").split()
        process.kill()
    assert is_alive(int(pid))
    with place.open() as project:
        execution = project.executions.get(execution_id)
        assert execution.status == "INTERRUPTED"
        assert execution.job("far").note == {"pid": int(pid), "folder": str(place.folder)}  # type: ignore[union-attr]
        assert project.recover()
        tell(place.folder, "hello")
        execution.wait(30).check()
        assert execution.result("near") == "HELLO"
        assert [(j.job, j.number, j.attempt) for j in execution.jobs] == [("far", 1, 1), ("near", 1, 1)]
        assert place.runners[-1].started == []
        assert kinds(execution) == []
        assert_replays(execution)


def test_a_job_that_was_being_stopped_when_its_process_left_is_stopped_by_the_next(place: Place) -> None:
    runner = Outside(heeds=False)
    with place.open(runner) as project:
        execution = project.start(flow, folder=str(place.folder))
        assert runner.has_started.wait(30)
        execution.stop_job("far")
        until(lambda: execution.job("far").status == "STOPPING")  # type: ignore[union-attr]
        project.close(detach=True)
    with place.open() as project:
        project.recover()
        execution = project.executions.get(execution.id).wait(30)
        assert [(j.job, str(j.status)) for j in execution.jobs] == [("far", "STOPPED"), ("near", "SKIPPED")]
        assert not is_alive(runner.started[0])


def test_a_job_that_goes_on_takes_its_place_and_can_be_stopped(place: Place) -> None:
    execution_id = place.leave()
    with place.open() as project:
        project.recover()
        execution, runner = project.executions.get(execution_id), place.runners[-1]
        assert runner.has_started.wait(30)
        assert project._shared.engine.admission.used["outside"] == 1
        execution.stop().wait(30)
        assert execution.job("far").status == "STOPPED"  # type: ignore[union-attr]
        assert project._shared.engine.admission.used["outside"] == 0


def test_its_timeout_goes_on_from_its_start(place: Place) -> None:
    clock = ManualClock()
    timed = af.workflow(lambda folder: far.options(timeout=60)(folder), name="timed")
    execution_id = place.leave(timed, clock=clock)
    clock.move_to(clock.now() + 50)
    with place.open(clock=clock) as project:
        project.recover()
        assert place.runners[-1].has_started.wait(30)
        clock.advance(11)
        execution = project.executions.get(execution_id)
        until(lambda: execution.status.is_ended)
        assert execution.job("far").error == "timed out after 60 s"  # type: ignore[union-attr]


def test_the_next_attempt_and_the_next_run_read_what_was_noted_before(place: Place) -> None:
    again = af.workflow(lambda folder: far.options(retries=1)(folder), name="again")
    with place.open() as project:
        runner = place.runners[-1]
        execution = project.start(again, folder=str(place.folder))
        for answer in ("fail", "fail", "good"):
            runner.has_started.wait(30)
            runner.has_started.clear()
            tell(place.folder, answer)
            if len(runner.started) == 2:
                execution.wait(30)
                execution.resume()
        execution.wait(30).check()
        assert [(w.key.number, w.key.attempt, w.noted) for w in runner.works] == [
            (1, 1, None),
            (1, 2, None),
            (2, 1, None),
        ]
        befores = [None if w.noted_before is None else w.noted_before["pid"] for w in runner.works]
        assert befores == [None, *runner.started[:2]]
        assert not runner.works[0].note({"too": "late"})
        assert execution.job("far").note["pid"] == runner.started[2]  # type: ignore[union-attr, index]


def test_who_lost_the_execution_to_another_process_lets_the_job_go(place: Place) -> None:
    with place.open() as project:
        runner = place.runners[-1]
        execution = project.start(flow, folder=str(place.folder))
        assert runner.has_started.wait(30)
        taken = alone(outside.take_over, str(place.home), str(place.folder), execution.id)
        assert taken == [0, "SUCCESS", "HELLO"]
        until(lambda: runner.works[0].context.is_over)
        with pytest.raises(af.OwnershipLost, match="taken over"):
            runner.works[0].note({"pid": runner.started[0]})


def test_a_run_without_a_note_is_lost_like_any_other(place: Place) -> None:
    runner = Outside(notes=False)
    with place.open(runner) as project:
        execution = project.start(flow, folder=str(place.folder))
        assert runner.has_started.wait(30)
        project.close(detach=True)
    with place.open() as project:
        project.recover()
        execution = project.executions.get(execution.id)
        place.runners[-1].has_started.wait(30)
        tell(place.folder, "hello")
        assert execution.wait(30).result("far") == "hello"
        assert kinds(execution) == ["JOB_LOST"]
        assert [(w.key.attempt, w.noted) for w in place.runners[-1].works] == [(2, None)]


def test_a_runner_that_notes_cannot_be_mapped_and_says_so(place: Place) -> None:
    with place.open() as project:
        mapped = af.workflow(lambda folder: far.map([folder]), name="mapped")
        execution = project.run(mapped, folder=str(place.folder), check=False)
        assert "of a mapped job" in execution.job("far").error  # type: ignore[union-attr, operator]
        tell(place.folder, "in vain")
        until(lambda: not is_alive(place.runners[-1].started[0]))
