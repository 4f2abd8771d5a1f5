"""A process dies: its executions are shown as INTERRUPTED, and go on where they were, also with mended code."""

import json
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import Child, alone, child, until
from tests.end_to_end import deeds

import aiflow as af
from aiflow.store.connection import lock_file
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

FLOW = """
import os, sys, threading
from pathlib import Path
import aiflow as af

CALLS = Path(__file__).with_suffix(".calls")

def note(name):
    with open(CALLS, "a") as file:
        file.write(name + "\\n")

@af.job
def load():
    note("load")
    return [1, 2, 3]

@af.job
def train(rows, k):
    note("train")
    {train}

@af.job
def report(value):
    note("report")
    return f"value {{value}}"

@af.workflow(name="story")
def flow(k: int = {k}):
    report(train(load(), k)){more}
"""
HANGS = 'sys.stdout.write("training\\n"); sys.stdout.flush(); threading.Event().wait()'


def is_free(path: Path) -> bool:
    """Tell whether nobody holds the lock of an owner."""
    with open(path) as file:
        return lock_file(file.fileno(), shared=True)


class Story:
    """A folder with a home and a user's file, and the processes that work in it."""

    def __init__(self, folder: Path) -> None:
        self.home, self.file = folder / "home", folder / "flow.py"

    def write(self, train: str, k: int = 5, more: str = "") -> None:
        self.file.write_text(FLOW.format(train=train, k=k, more=more))

    def run_and_kill(self, sign: str = "training") -> str:
        """Run it in a process, and kill that when a job says `sign`; give the execution's id."""
        with child(deeds.run_file, str(self.home), str(self.file)) as process:
            execution_id = wait_for(process, sign)
            process.kill()
        # A program that it was just starting holds its lock until that is begun.
        until(lambda: all(map(is_free, (self.home / "owners").glob("*.lock"))))
        return execution_id

    def recover(self) -> dict[str, Any]:
        return alone(deeds.recover_file, str(self.home), str(self.file))  # type: ignore[no-any-return]

    def resume(self, execution_id: str) -> dict[str, Any]:
        return alone(deeds.resume_file, str(self.home), str(self.file), execution_id)  # type: ignore[no-any-return]

    @property
    def calls(self) -> list[str]:
        return self.file.with_suffix(".calls").read_text().split()


def wait_for(process: Child, sign: str) -> str:
    heard = {process.hear(), process.hear()}
    assert sign in heard
    return next(line for line in heard if line.startswith("id "))[3:]


@pytest.fixture
def story(tmp_path: Path) -> Any:
    story = Story(tmp_path)
    yield story
    invariants.check(story.home)


def test_an_execution_whose_process_died_is_interrupted_and_says_what_to_do(story: Story) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    with af.Project("story", home=story.home) as project:
        execution = project.executions.get(execution_id)
        assert execution.status == "INTERRUPTED"
        assert [e.id for e in project.executions.list(status="INTERRUPTED")] == [execution_id]
        assert project.executions.list(status="RUNNING") == []
        with pytest.raises(af.ExecutionFailed, match=f"aiflow execution resume {execution_id}"):
            execution.wait(20).check()
        for act in (execution.stop, lambda: execution.start_job("load")):
            with pytest.raises(af.Conflict, match="INTERRUPTED.*execution resume"):
                act()
        assert project.recover() == [], "its workflow is not defined in this process"
        with pytest.raises(af.NotFound, match=r"no workflow 'story'"):
            execution.resume()
        assert execution.status == "INTERRUPTED"
    assert story.calls == ["load", "train"]


def test_only_what_had_not_succeeded_runs_again_also_with_mended_code(story: Story) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    story.write("return len(rows) * k")
    found = story.recover()
    assert found["before"] == {execution_id: "INTERRUPTED"}
    assert found["taken"] == [execution_id]
    after = found["after"][execution_id]
    assert after["status"] == "SUCCESS"
    assert [job[:4] for job in after["jobs"]] == [
        ["load", 1, 1, "SUCCESS"], ["train", 1, 2, "SUCCESS"], ["report", 1, 1, "SUCCESS"]
    ]  # fmt: skip
    assert story.calls == ["load", "train", "train", "report"]
    with af.Project(home=story.home) as project:
        assert project.executions.get(execution_id).result("report") == "value 15"


def test_the_parameters_of_an_execution_stay_what_they_were(story: Story) -> None:
    story.write(HANGS, k=5)
    execution_id = story.run_and_kill()
    story.write("return len(rows) * k", k=100)
    assert story.recover()["after"][execution_id]["status"] == "SUCCESS"
    with af.Project(home=story.home) as project:
        assert project.executions.get(execution_id).result("train") == 15


def test_a_workflow_of_the_same_name_in_another_file_goes_on_with_it_only_if_its_own_file_is_gone(story: Story) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    story.write("return 1")
    other = story.file.with_name("other.py")
    other.write_text(story.file.read_text())
    assert alone(deeds.recover_file, str(story.home), str(other))["taken"] == []
    story.file.unlink()
    assert alone(deeds.recover_file, str(story.home), str(other))["taken"] == [execution_id]


@pytest.mark.parametrize(
    ("more", "says"),
    [("\n    load.options(name='extra')()", "job 'extra' is new"), (".after(load.options(name='extra')())", "extra")],
)
def test_another_structure_is_refused_by_name_and_it_stays_interrupted(story: Story, more: str, says: str) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    story.write("return 1", more=more)
    refused = story.resume(execution_id)
    assert refused["error"].startswith("Conflict")
    assert says in refused["error"]
    assert refused["after"][execution_id]["status"] == "INTERRUPTED"
    assert story.recover()["taken"] == []
    story.write("return 1")
    assert story.resume(execution_id)["after"][execution_id]["status"] == "SUCCESS"


def test_a_failed_execution_goes_on_when_its_code_is_mended(story: Story) -> None:
    story.write("raise ValueError('a bug')")
    with child(deeds.run_file, str(story.home), str(story.file)) as process:
        execution_id = process.hear()[3:]
        assert process.end() == "FAILED"
    assert story.recover()["taken"] == [], "recover is for what was interrupted"
    story.write("return 7")
    after = story.resume(execution_id)["after"][execution_id]
    assert after["status"] == "SUCCESS"
    assert [job[:4] for job in after["jobs"] if job[3] == "SUCCESS"] == [
        ["load", 1, 1, "SUCCESS"], ["train", 2, 1, "SUCCESS"], ["report", 2, 1, "SUCCESS"]
    ]  # fmt: skip
    assert story.calls == ["load", "train", "train", "report"]
    again = story.resume(execution_id)
    assert "has succeeded; there is nothing to resume" in again["error"]


def test_an_execution_that_a_living_process_holds_is_not_taken_even_if_it_is_stopped_dead(story: Story) -> None:
    story.write(HANGS)
    with child(deeds.run_file, str(story.home), str(story.file)) as process:
        execution_id = wait_for(process, "training")
        for number in (signal.SIGCONT, signal.SIGSTOP):
            process.kill(number)
            assert story.recover()["taken"] == []
            refused = story.resume(execution_id)
            assert "RUNNING in a living process" in refused["error"]
            assert refused["after"][execution_id]["status"] == "RUNNING"
        process.kill(signal.SIGCONT)
        process.kill()
    story.write("return 1")
    assert story.recover()["taken"] == [execution_id]


def test_32_an_owner_that_is_silent_for_a_minute_may_lose_its_execution_and_what_it_writes_late_is_refused(
    story: Story,
) -> None:
    story.write(HANGS)
    with child(deeds.run_file, str(story.home), str(story.file)) as process:
        execution_id = wait_for(process, "training")
        process.kill(signal.SIGSTOP)
        story.write("return 1")
        take_over = partial(alone, deeds.take_over_later, str(story.home), str(story.file), execution_id)
        too_early = take_over(50.0)
        assert [e for e in too_early["errors"] if "in a living process" in e] == too_early["errors"]
        taken = take_over(80.0)
        assert len(taken["errors"]) == 1
        assert "silent for" in taken["errors"][0]
        assert "--take-over" in taken["errors"][0]
        assert taken["after"][execution_id]["status"] == "SUCCESS"
        process.kill(signal.SIGCONT)
        assert process.end() == "SUCCESS", "it learns what has become of it meanwhile"
    with af.Project(home=story.home) as project:
        assert project.executions.get(execution_id).result("train") == 1


def test_of_several_processes_that_recover_at_once_one_takes_the_execution(story: Story) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    story.write("return 1")
    assert sorted(alone(deeds.take_at_once, str(story.home), str(story.file), 4)) == [0, 0, 0, 1]
    with af.Project(home=story.home) as project:
        assert project.executions.get(execution_id).status == "SUCCESS"
    assert story.calls == ["load", "train", "train", "report"]


def test_a_job_that_kills_its_process_three_times_fails(tmp_path: Path) -> None:
    found = alone(deeds.lose_three_times, str(tmp_path / "home"))
    assert found["kills"] == 3
    assert found["between"] == ["INTERRUPTED"] * 3
    assert (found["status"], found["job"], found["attempt"]) == ("FAILED", "FAILED", 3)
    assert found["reason"] == "was running when the process died, 3 times"
    invariants.check(tmp_path / "home")


# --- in this process: the project is dropped, and opened again ------------------------------------------------------


class Homes:
    """Opens the same home again and again, as a new process would; the clock goes on."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, ManualClock()
        self.project = self.open()

    def open(self) -> af.Project:
        return project_for_tests(self.home, self.clock)

    def crash(self) -> af.Project:
        """Drop the project with all that it runs, and open the home again."""
        self.project.close(detach=True)
        self.project = self.open()
        return self.project


@pytest.fixture
def homes(tmp_path: Path) -> Any:
    homes = Homes(tmp_path / "home")
    yield homes
    homes.project.close()
    invariants.check(tmp_path / "home", not_kept=("unkept",))


def test_events_published_while_it_was_interrupted_are_handled_on_resuming_in_their_order(homes: Homes) -> None:
    @af.job
    def react() -> Any:
        event = af.current().event
        assert event is not None
        return event.value

    @af.workflow
    def flow() -> None:
        react().start_on(af.event("go"))
        af.job(name="last")(lambda: 1)().start_on(af.event("end"))

    execution_id = homes.project.start(flow).id
    homes.project.publish("go", 1)
    run_until_idle(homes.project)
    project = homes.crash()
    project.publish("go", 2)
    project.publish("go", 3, context="another")
    project.publish_many([("go", 4), ("end", None), ("go", 5)])
    execution = project.executions.get(execution_id)
    assert execution.results("react") == [1]
    project = homes.crash()
    assert [e.id for e in project.recover()] == [execution_id]
    run_until_idle(project)
    execution = project.executions.get(execution_id)
    assert execution.results("react") == [1, 2, 4, 5]
    assert execution.status == "SUCCESS"
    assert_replays(execution)


def test_latches_of_rules_survive(homes: Homes) -> None:
    @af.job
    def react() -> list[Any]:
        return [e.key for e in af.current().events]

    @af.workflow
    def flow() -> None:
        react().start_on(af.event("a") & af.event("b").times(2))

    execution_id = homes.project.start(flow).id
    for key in ("b", "a", "b"):
        homes.project.publish(key)
        homes.crash()
        homes.project.recover()
    run_until_idle(homes.project)
    execution = homes.project.executions.get(execution_id)
    assert execution.result("react") == ["b", "a", "b"]
    assert_replays(execution)


def test_starts_that_waited_are_not_lost_and_run_in_order(homes: Homes) -> None:
    ready = threading.Event()

    @af.job(runner="thread")
    def react() -> Any:
        event = af.current().event
        assert event is not None
        if event.value == 1 and not ready.is_set():
            af.current().wait_stop(20)
            raise af.Stopped
        return event.value

    @af.workflow(ends="never")
    def flow() -> None:
        react().start_on(af.event("go"))

    execution = homes.project.start(flow)
    homes.project.publish_many([("go", n) for n in (1, 2, 3)])
    until(lambda: execution.jobs)
    project = homes.crash()
    ready.set()
    project.recover()
    run_until_idle(project)
    execution = project.executions.get(execution.id)
    assert execution.results("react") == [1, 2, 3]
    assert [(j.number, j.attempt) for j in execution.jobs] == [(1, 2), (2, 1), (3, 1)]
    execution.stop()


def test_a_retry_is_due_when_it_was_due(homes: Homes) -> None:
    times: list[float] = []
    begin = homes.clock.now()

    @af.job(retries=2, retry_delay=60, retry_backoff=1)
    def unsteady() -> int:
        times.append(homes.clock.now() - begin)
        if len(times) < 3:
            raise ValueError("again")
        return 1

    @af.workflow
    def flow() -> None:
        unsteady()

    execution_id = homes.project.start(flow).id
    run_until_idle(homes.project)
    homes.clock.advance(20)
    homes.crash()
    homes.project.recover()
    homes.clock.advance(39)
    assert times == [0]
    homes.clock.advance(1)
    assert times == [0, 60]
    homes.crash()
    homes.clock.advance(1000)
    assert times == [0, 60]
    homes.project.recover()
    run_until_idle(homes.project)
    homes.clock.advance(0)
    assert times == [0, 60, 1060]
    assert homes.project.executions.get(execution_id).status == "SUCCESS"


def test_a_lost_run_uses_up_no_retry(homes: Homes) -> None:
    calls: list[int] = []

    @af.job(retries=1, retry_delay=0, runner="thread")
    def unsteady() -> int:
        calls.append(af.current().attempt)
        if len(calls) == 1:
            af.current().wait_stop(20)
            raise af.Stopped
        if len(calls) == 2:
            raise ValueError("once")
        return 1

    @af.workflow
    def flow() -> None:
        unsteady()

    execution_id = homes.project.start(flow).id
    until(lambda: calls)
    project = homes.crash()
    project.recover()[0].wait(20)
    assert calls == [1, 2, 3]
    assert project.executions.get(execution_id).status == "SUCCESS"


def test_an_execution_that_was_stopping_ends_stopped(homes: Homes) -> None:
    begun, held = threading.Event(), threading.Event()

    @af.job(runner="thread")
    def stubborn() -> None:
        begun.set()
        held.wait(20)

    @af.job
    def after(value: None) -> None:
        return None

    @af.workflow
    def flow() -> None:
        after(stubborn())

    execution = homes.project.start(flow)
    begun.wait(20)
    execution.stop("enough")
    assert execution.status == "STOPPING"
    project = homes.crash()
    execution = project.executions.get(execution.id)
    assert execution.status == "INTERRUPTED"
    project.recover()
    run_until_idle(project)
    assert (execution.status, execution.reason) == ("STOPPED", "enough")
    assert [str(j.status) for j in execution.jobs] == ["STOPPED"]
    held.set()


def test_what_a_lost_job_still_does_is_refused(homes: Homes) -> None:
    begun, held = threading.Event(), threading.Event()
    said: list[str] = []

    @af.job(runner="thread")
    def slow() -> int:
        first = not begun.is_set()
        begun.set()
        if first:
            held.wait(20)
            try:
                af.current().publish("late")
            except (af.Stopped, af.StoreError) as error:
                said.append(type(error).__name__)
        return 2 - first

    @af.workflow
    def flow() -> None:
        slow()

    execution_id = homes.project.start(flow).id
    begun.wait(20)
    project = homes.crash()
    project.recover()[0].wait(20)
    held.set()
    until(lambda: said)
    assert said == ["Stopped"]
    assert project.executions.get(execution_id).results("slow") == [2]
    assert project.events.count("late") == 0


@pytest.mark.parametrize("kind", ["plain", "async", "mapped", "outputs"])
def test_a_value_that_was_not_kept_is_computed_again_without_a_word(homes: Homes, kind: str) -> None:
    calls: list[str] = []
    crashed = threading.Event()

    @af.job(persist=False)
    def unkept(n: int) -> Any:
        calls.append("unkept")
        return n + 1

    @af.job(persist=False, name="unkept")
    async def later(n: int) -> Any:
        calls.append("unkept")
        return n + 1

    @af.job(persist=False, name="unkept", outputs=("a", "b"))
    def two(n: int) -> Any:
        calls.append("unkept")
        return {"a": n, "b": n + 1}

    @af.job
    def base() -> int:
        calls.append("base")
        return 1

    @af.job(runner="thread")
    def use(*values: Any) -> Any:
        calls.append("use")
        if not crashed.is_set():
            af.current().wait_stop(20)
            raise af.Stopped
        return values

    @af.workflow
    def flow() -> None:
        first = base()
        if kind == "mapped":
            value: Any = unkept.map([1, 2])
        elif kind == "outputs":
            value = two(first)["b"]
        else:
            value = (later if kind == "async" else unkept)(first)
        use(value, value)
        use(value)

    execution_id = homes.project.start(flow).id
    run = run_until_idle_but_for(homes.project, lambda: calls.count("use") == 2)
    assert run
    before = homes.project.events.count("job:unkept", types="JOB_STATUS_CHANGED")
    project = homes.crash()
    crashed.set()
    for execution in project.recover():
        execution.wait(20).check()
    execution = project.executions.get(execution_id)
    value = [2, 3] if kind == "mapped" else 2
    assert execution.result("use") == (value, value)
    assert execution.result("use_2") == (value,)
    assert calls.count("base") == 1
    assert calls.count("unkept") == (4 if kind == "mapped" else 2)
    assert project.events.count("job:unkept", types="JOB_STATUS_CHANGED") == before


def run_until_idle_but_for(project: af.Project, condition: Any) -> bool:
    """Run inline jobs until a condition holds that jobs in threads bring about."""

    def tried() -> bool:
        project._shared.drive_if_nobody_does()
        return bool(condition())

    until(tried)
    return True


def test_a_part_keeps_what_it_was_given(homes: Homes) -> None:
    crashed = threading.Event()

    @af.job
    def load() -> tuple[int, ...]:
        raise AssertionError("it was given")

    @af.job(runner="thread")
    def total(rows: tuple[int, ...]) -> int:
        if not crashed.is_set():
            af.current().wait_stop(20)
            raise af.Stopped
        return sum(rows)

    @af.workflow
    def flow() -> None:
        total(load())

    execution = homes.project.start(flow, only="total", given={"load": (1, 2, 3)})
    until(lambda: execution.jobs)
    project = homes.crash()
    crashed.set()
    project.recover()[0].wait(20)
    execution = project.executions.get(execution.id)
    assert (execution.result("total"), execution.result("load")) == (6, (1, 2, 3))


def test_one_execution_that_cannot_go_on_does_not_hold_up_the_others(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    @af.job
    def one() -> int:
        return 1

    @af.workflow
    def secretive(token: str) -> None:
        one().start_on(af.event("go"))

    @af.workflow
    def plain() -> None:
        one().start_on(af.event("go"))

    monkeypatch.setenv("A_TOKEN", "abc")
    kept = homes.project.start(plain).id
    stays = homes.project.start(secretive, token=af.Secret("env:A_TOKEN")).id
    monkeypatch.delenv("A_TOKEN")
    project = homes.crash()
    assert [e.id for e in project.recover()] == [kept]
    project.publish("go")
    run_until_idle(project)
    assert project.executions.get(kept).status == "SUCCESS"
    assert project.executions.get(stays).status == "INTERRUPTED"
    monkeypatch.setenv("A_TOKEN", "abc")
    project.recover()
    run_until_idle(project)
    assert project.executions.get(stays).status == "SUCCESS"


def test_leaving_a_project_stops_what_runs_unless_it_is_detached(tmp_path: Path) -> None:
    begun = threading.Semaphore(0)

    @af.job
    def wait() -> None:
        begun.release()
        af.current().wait_stop(20)

    @af.workflow
    def flow() -> None:
        wait()

    statuses = []
    for detach in (False, True):
        project = af.Project("leaving", home=tmp_path / "home")
        execution_id = project.start(flow).id
        begun.acquire(timeout=20)
        project.close(detach=detach, timeout=0.01)
        with af.Project("looking", home=tmp_path / "home") as looking:
            statuses.append(str(looking.executions.get(execution_id).status))
    assert statuses == ["STOPPED", "INTERRUPTED"]
    invariants.check(tmp_path / "home")


def test_every_step_of_a_recovered_log_is_json(story: Story) -> None:
    story.write(HANGS)
    execution_id = story.run_and_kill()
    story.write("return 1")
    story.recover()
    with af.Project(home=story.home) as project:
        events = project.executions.get(execution_id).events()
        told = [(e.type, e.value.get("action") or e.value.get("status")) for e in events]
        assert ("REQUESTED", "taken_over") in told
        assert [t for t, _ in told].count("JOB_LOST") == 1
        assert json.dumps([e.value for e in events])


def test_of_two_workflows_with_one_name_the_one_of_the_executions_file_is_resumed(tmp_path: Path) -> None:
    made: dict[str, Any] = {}
    for name in ("first", "second"):
        file = tmp_path / f"{name}.py"
        file.write_text(
            f"import aiflow as af\n\n@af.job\ndef {name}(): ...\n\n@af.workflow\ndef same():\n    {name}()\n"
        )
        exec(compile(file.read_text(), str(file), "exec"), made)
        made[name + " workflow"] = made["same"]
    with af.Project("two", home=tmp_path / "home") as project:
        execution = project.run(made["first workflow"])
        assert [n.name for n in project._launcher.graph_of(execution).nodes] == ["first"]
