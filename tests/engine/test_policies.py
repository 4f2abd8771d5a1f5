"""What happens to a job that is busy: starts that come meanwhile, stops, restarts, timeouts, retries and limits, end to end."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.children import until

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, run_until_idle


class Gate:
    """A job that waits at a gate, and what it saw."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.begun: list[list[Any]] = []
        self.at_once = self.most = 0
        self._guard = threading.Lock()

    def job(self, **options: Any) -> Any:
        @af.job(**{"name": "work", **options})
        def work() -> list[Any]:
            seen = [e.value for e in af.current().events]
            with self._guard:
                self.begun.append(seen)
                self.at_once += 1
                self.most = max(self.most, self.at_once)
            while not self.gate.acquire(timeout=0.005):
                if af.current().stopping:
                    break
            with self._guard:
                self.at_once -= 1
            return seen

        return work()

    def open(self, times: int = 1) -> None:
        self.gate.release(times)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(1000)


def started(project: af.Project, gate: Gate, **options: Any) -> af.Execution:
    """Start a service whose job starts at each "go", and bring it to work at the first one."""

    @af.workflow(ends="never")
    def service() -> None:
        gate.job(**options).start_on(af.event("go")).stop_on(af.event("stop")).restart_on(af.event("again"))

    execution = project.start(service)
    project.publish("go", 1)
    until(lambda: gate.begun == [[1]])
    return execution


def statuses(execution: af.Execution) -> list[str]:
    return [str(j.status) for j in execution.jobs]


def ended(execution: af.Execution, *wanted: str) -> bool:
    until(lambda: statuses(execution) == list(wanted))
    return True


@pytest.mark.parametrize(
    ("policy", "begun", "most"),
    [
        ("queue", [[1], [2], [3]], 1),
        (None, [[1], [2], [3]], 1),
        ("merge", [[1], [2, 3]], 1),
        ("ignore", [[1]], 1),
        ("parallel", [[1], [2], [3]], 2),
    ],
)
def test_a_start_that_comes_while_the_job_runs_is_treated_by_its_policy(
    project: af.Project, gate: Gate, policy: str | None, begun: list[list[int]], most: int
) -> None:
    execution = started(project, gate, if_running=policy, **({"max_parallel": 2} if policy == "parallel" else {}))
    project.publish("go", 2)
    project.publish("go", 3)
    until(lambda: gate.at_once == most)
    gate.open(3)
    assert ended(execution, *["SUCCESS"] * len(begun))
    assert gate.begun == begun
    assert gate.most == most
    assert execution.results("work") == begun
    assert_replays(execution)
    execution.stop().wait(20)


def test_a_start_with_restart_as_its_policy_stops_what_runs_and_starts_with_the_newest(
    project: af.Project, gate: Gate
) -> None:
    execution = started(project, gate, if_running="restart")
    project.publish_many([("go", 2), ("go", 3)])
    until(lambda: gate.begun == [[1], [3]])
    gate.open()
    assert ended(execution, "STOPPED", "SUCCESS")
    assert execution.results("work") == [[3]], "the value of what was stopped is discarded"
    execution.stop().wait(20)


def test_a_stop_ends_what_runs_and_drops_what_waits(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    project.publish_many([("go", 2), ("go", 3), ("stop", None)])
    assert ended(execution, "STOPPED")
    project.publish("go", 4)
    until(lambda: gate.begun == [[1], [4]])
    gate.open()
    assert ended(execution, "STOPPED", "SUCCESS")
    execution.stop().wait(20)


def test_a_stop_with_nothing_to_stop_does_nothing(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    gate.open()
    assert ended(execution, "SUCCESS")
    project.publish_many([("stop", 1), ("stop", 2)])
    execution.stop_job("work")
    assert statuses(execution) == ["SUCCESS"]
    execution.stop().wait(20)


def test_restarts_that_come_meanwhile_become_one_with_the_newest_event(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    project.publish_many([("again", n) for n in (2, 3, 4)])
    until(lambda: len(gate.begun) == 2)
    assert gate.begun == [[1], [4]]
    gate.open()
    assert ended(execution, "STOPPED", "SUCCESS")
    execution.stop().wait(20)


def test_a_restart_with_nothing_running_starts(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    gate.open(2)
    assert ended(execution, "SUCCESS")
    project.publish("again", 2)
    assert ended(execution, "SUCCESS", "SUCCESS")
    execution.stop().wait(20)


def test_a_stop_cancels_a_restart_that_waits(project: af.Project) -> None:
    """The function does not end when it is asked to: the restart waits, and the stop that follows drops it."""
    held, begun = threading.Event(), []

    @af.job
    def stubborn() -> None:
        begun.append(1)
        held.wait(20)

    @af.workflow(ends="never")
    def service() -> None:
        stubborn().restart_on(af.event("again")).stop_on(af.event("stop"))

    execution = project.start(service)
    until(lambda: begun)
    project.publish_many([("again", 1), ("stop", 1)])
    held.set()
    assert ended(execution, "STOPPED")
    run_until_idle(project)
    assert begun == [1]
    execution.stop().wait(20)


def test_somebody_may_start_stop_and_restart_a_job_by_hand(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    execution.start_job("work")
    execution.restart_job("work")
    until(lambda: len(gate.begun) == 2)
    execution.start_job("work")
    gate.open(2)
    assert ended(execution, "STOPPED", "SUCCESS", "SUCCESS")
    execution.start_job("work")
    until(lambda: len(gate.begun) == 4)
    execution.stop_job("work")
    assert ended(execution, "STOPPED", "SUCCESS", "SUCCESS", "STOPPED")
    with pytest.raises(af.NotFound, match="did you mean 'work'"):
        execution.start_job("wrok")
    execution.stop().wait(20)
    with pytest.raises(af.Conflict, match="has ended"):
        execution.start_job("work")
    assert execution.stop() is execution


def test_stopping_an_execution_stops_what_runs_and_drops_what_waits(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    project.publish("go", 2)
    execution.stop("enough")
    assert execution.status in ("STOPPING", "STOPPED")
    execution.wait(20)
    assert (execution.status, execution.reason, statuses(execution)) == ("STOPPED", "enough", ["STOPPED"])
    project.publish("go", 3)
    assert gate.begun == [[1]]


def test_the_workflows_own_stop_condition_stops_it(project: af.Project, gate: Gate) -> None:
    @af.workflow(ends="never", stop_on=af.event("halt"))
    def service() -> None:
        gate.job()

    execution = project.start(service)
    until(lambda: gate.begun)
    project.publish("halt")
    execution.wait(20)
    assert execution.status == "STOPPED"
    assert "halt" in (execution.reason or "")


def test_an_async_job_that_is_stopped_in_the_turn_that_starts_it_ends(project: af.Project) -> None:
    @af.job
    async def forever() -> None:
        await asyncio.Event().wait()

    @af.job
    def other() -> None:
        return None

    @af.workflow
    def short() -> None:
        forever().stop_on(other().running)

    execution = project.run(short, check=False, timeout=20)
    assert execution.job("forever").status == "STOPPED"  # type: ignore[union-attr]


# --- times ----------------------------------------------------------------------------------------------------------


def test_a_job_that_takes_too_long_is_stopped_and_fails_with_the_reason(project: af.Project, gate: Gate) -> None:
    @af.workflow
    def slow() -> None:
        gate.job(timeout=0.05)

    execution = project.run(slow, check=False, timeout=20)
    job = execution.job("work")
    assert job is not None
    assert (job.status, job.reason) == ("FAILED", "timed out after 0.05 s")
    assert execution.status == "FAILED"


def test_an_async_job_that_takes_too_long_is_cancelled(project: af.Project) -> None:
    @af.job(timeout=0.02, retries=1, retry_delay=0)
    async def forever() -> None:
        await asyncio.Event().wait()

    @af.workflow
    def slow() -> None:
        forever()

    execution = project.run(slow, check=False, timeout=20)
    job = execution.job("forever")
    assert job is not None
    assert (str(job.status), job.attempt, job.reason) == ("FAILED", 2, "timed out after 0.02 s")


def test_a_run_that_takes_too_long_is_stopped_and_says_so(project: af.Project, gate: Gate) -> None:
    @af.workflow
    def slow() -> None:
        gate.job()

    with pytest.raises(TimeoutError, match=r"took longer than 0.05 s and was stopped"):
        project.run(slow, timeout=0.05)
    assert project.executions.list()[0].status == "STOPPED"


def test_waiting_for_a_while_leaves_the_execution_running(project: af.Project, gate: Gate) -> None:
    execution = started(project, gate)
    with pytest.raises(TimeoutError, match="is still RUNNING after 0.01 s; it goes on"):
        execution.wait(0.01)
    assert execution.status == "RUNNING"
    execution.stop().wait(20)


def test_retries_wait_longer_each_time(still: af.Project, clock: ManualClock) -> None:
    times: list[float] = []
    begin = clock.now()

    @af.job(retries=3, retry_delay=2, retry_backoff=3)
    def failing() -> None:
        times.append(clock.now() - begin)
        raise ValueError("again")

    @af.workflow
    def retrying() -> None:
        failing()

    execution = still.start(retrying)
    run_until_idle(still)
    assert statuses(execution) == ["RETRYING"]
    clock.advance(100)
    assert times == [0, 2, 8, 26]
    assert execution.status == "FAILED"
    assert execution.job("failing").attempt == 4  # type: ignore[union-attr]
    assert_replays(execution)


def test_only_what_retry_on_names_is_tried_again(still: af.Project, clock: ManualClock) -> None:
    calls: list[str] = []

    @af.job(retries=2, retry_on=OSError)
    def failing(kind: str) -> None:
        calls.append(kind)
        raise {"file": FileNotFoundError, "value": ValueError}[kind](kind)

    @af.workflow
    def retrying() -> None:
        failing("file")
        failing("value")

    execution = still.start(retrying)
    clock.advance(60)
    assert sorted(calls) == ["file", "file", "file", "value"]
    assert execution.status == "FAILED"


def test_a_job_stopped_while_it_waits_for_its_retry_is_not_tried_again(still: af.Project, clock: ManualClock) -> None:
    calls: list[int] = []

    @af.job(retries=5, retry_delay=10)
    def failing() -> None:
        calls.append(1)
        raise ValueError("again")

    @af.workflow
    def retrying() -> None:
        failing()

    execution = still.start(retrying)
    run_until_idle(still)
    execution.stop_job("failing")
    clock.advance(1000)
    assert calls == [1]
    assert statuses(execution) == ["STOPPED"]
    assert execution.status == "SUCCESS"


def test_a_thread_that_cannot_be_stopped_is_abandoned_when_the_execution_ends(project: af.Project) -> None:
    held, begun, after = threading.Event(), threading.Event(), []

    @af.job(stop_timeout=0.05)
    def stubborn() -> str:
        begun.set()
        held.wait(20)
        try:
            af.publish("too late")
        except af.Stopped as error:
            after.append(str(error))
        return "late"

    @af.workflow
    def hanging() -> None:
        stubborn()

    execution = project.start(hanging)
    begun.wait(20)
    execution.stop().wait(20)
    job = execution.job("stubborn")
    assert job is not None
    assert (job.status, execution.status) == ("STOPPED", "STOPPED")
    assert "could not be stopped" in (job.reason or "")
    held.set()
    until(lambda: after)
    assert "is over" in after[0]
    assert project.events.count("too late") == 0
    assert execution.results("stubborn") == []


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_limit_counts_across_executions(project: af.Project, gate: Gate) -> None:
    @af.workflow
    def limited() -> None:
        gate.job(limits={"gpu": 1})
        gate.job(limits={"gpu": 1}, name="second")
        gate.job(name="free")

    executions = [project.start(limited) for _ in range(3)]
    until(lambda: gate.at_once == 4 and len(gate.begun) == 4)  # three without the limit, one with it
    gate.open(9)
    for execution in executions:
        execution.wait(20)
        assert statuses(execution) == ["SUCCESS"] * 3
    assert gate.most == 4


def test_a_limit_is_given_back_however_the_job_ends(project: af.Project, gate: Gate) -> None:
    @af.job(limits={"gpu": 1}, retries=1, retry_delay=0)
    def failing() -> None:
        raise ValueError("no")

    @af.job(limits={"gpu": 1})
    def skipping() -> None:
        raise af.Skip

    @af.workflow
    def limited() -> None:
        failing()
        skipping()
        gate.job(limits={"gpu": 1}, timeout=0.02)
        failing()

    for _ in range(2):
        project.run(limited, check=False, timeout=20)
    admission = project._shared.engine.admission
    assert not any(admission.taken.values())
    assert not any(admission.used.values())


def test_workers_bound_how_many_jobs_run_and_the_rest_wait_in_order(tmp_path: Any, gate: Gate) -> None:
    with af.Project("narrow", home=tmp_path / "home", workers=2) as project:

        @af.workflow
        def many() -> None:
            for _ in range(8):
                gate.job(name=None)

        execution = project.start(many)
        until(lambda: gate.at_once == 2)
        assert statuses(execution) == ["RUNNING", "RUNNING"]
        gate.open(8)
        execution.wait(20)
        assert gate.most == 2
        assert {j.job for j in execution.jobs[:2]} == {"work", "work_2"}
        assert len(execution.jobs) == 8


def test_a_job_that_waits_for_another_execution_gives_its_place_back(tmp_path: Any) -> None:
    @af.job
    def inner() -> int:
        return 7

    @af.workflow
    def small() -> None:
        inner()

    @af.job
    def outer() -> Any:
        return af.project().run(small, timeout=20).result("inner")

    @af.workflow
    def large() -> None:
        outer()
        outer()

    with af.Project("nested", home=tmp_path / "home", workers=1) as project:
        execution = project.run(large, timeout=30)
        assert [execution.result("outer"), execution.result("outer_2")] == [7, 7]
        admission = project._shared.engine.admission
        assert not any(admission.used.values())
