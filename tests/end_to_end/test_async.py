"""Inside a running event loop everything works, and the loop stays free; async jobs run on a loop of aiflow's own."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import until

import aiflow as af


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    with af.Project("async", home=tmp_path / "home") as project:
        yield project
        invariants.check(project.home)


@af.job
async def where() -> list[int]:
    await asyncio.sleep(0)
    return [id(asyncio.get_running_loop()), threading.get_ident()]


@af.job
async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@af.job
def add(*numbers: int) -> int:
    return sum(numbers)


@af.workflow
def mixed() -> None:
    add(double(add(1, 2)), *[double(n) for n in range(3)])


@af.workflow
def looking() -> None:
    where()


def test_arun_leaves_the_loop_free(project: af.Project) -> None:
    @af.job
    def wait() -> int:
        return 5 if released.wait(20) else 0

    @af.workflow
    def waiting() -> None:
        wait()

    released = threading.Event()

    async def main() -> Any:
        running = asyncio.create_task(project.arun(waiting))
        while not project.jobs.list(status="RUNNING"):
            await asyncio.sleep(0)
        released.set()
        return (await running).result("wait")

    assert asyncio.run(main()) == 5


def test_async_jobs_run_beside_the_loop_of_the_caller(project: af.Project) -> None:
    async def main() -> bool:
        execution = await project.arun(looking)
        loop, thread = execution.result("where")
        assert thread != threading.get_ident()
        return loop != id(asyncio.get_running_loop())

    assert asyncio.run(main())


def test_run_and_the_rest_work_inside_a_running_loop(project: af.Project) -> None:
    async def main() -> int:
        project.publish("hello")
        execution = project.run(mixed)
        assert project.events.count("hello") == 1
        return execution.result("add_2")  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 12


def test_many_async_jobs_wait_at_the_same_time(project: af.Project) -> None:
    meeting: dict[str, Any] = {"here": 0}

    @af.job
    async def meet() -> int:
        gate = meeting.setdefault("gate", asyncio.Event())
        meeting["here"] += 1
        if meeting["here"] == 50:
            gate.set()
        await gate.wait()
        return 1

    @af.workflow
    def crowd() -> None:
        add(*[meet() for _ in range(50)])

    assert project.run(crowd, timeout=30).result("add") == 50


def test_an_async_job_has_its_context_and_may_publish(project: af.Project) -> None:
    @af.job
    async def tell() -> str:
        await asyncio.sleep(0)
        await asyncio.to_thread(af.publish, "told", 1)
        print("said")
        return af.current().job

    @af.workflow
    def telling() -> None:
        tell()

    execution = project.run(telling)
    assert execution.result("tell") == "tell"
    event = project.events.latest("told")
    assert event is not None
    assert (event.sender, event.context) == ("tell", execution.id)
    assert execution.logs("tell") == "said\n"


def test_an_exception_in_an_async_job_fails_it_with_its_traceback(project: af.Project) -> None:
    @af.job(retries=1, retry_delay=0)
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("inside")

    @af.workflow
    def failing() -> None:
        fail()

    with pytest.raises(af.ExecutionFailed, match=r"(?s)ValueError: inside.*await asyncio\.sleep|raise ValueError"):
        asyncio.run(project.arun(failing))
    assert project.jobs.list()[0].attempt == 2


def test_cancelling_arun_stops_the_execution(project: af.Project) -> None:
    @af.job
    def wait() -> None:
        af.current().wait_stop(20)

    @af.workflow
    def waiting() -> None:
        wait()

    async def main() -> None:
        running = asyncio.create_task(project.arun(waiting))
        while not project.jobs.list(status="RUNNING"):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    (execution,) = project.executions.list()
    until(lambda: execution.status == "STOPPED")
    assert execution.reason == "cancelled"


def test_arun_with_a_timeout_stops_and_says_so(project: af.Project) -> None:
    @af.job
    async def forever() -> None:
        await asyncio.Event().wait()

    @af.workflow
    def waiting() -> None:
        forever()

    with pytest.raises(TimeoutError, match="took longer than 0.05 s and was stopped"):
        asyncio.run(project.arun(waiting, timeout=0.05))
    assert project.executions.list()[0].status == "STOPPED"


def test_an_async_job_that_is_stopped_is_cancelled_at_its_next_await(project: af.Project) -> None:
    seen: list[str] = []
    begun = threading.Event()

    @af.job
    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("cleaned up")

    @af.workflow
    def waiting() -> None:
        forever()

    execution = project.start(waiting)
    begun.wait(20)
    execution.stop().wait(20)
    assert execution.status == "STOPPED"
    assert seen == ["cancelled", "cleaned up"]
