"""Events as they come, in a `for` and in an `async for`, also those of other processes."""

import asyncio
import gc
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.children import child, until
from tests.events import deeds
from tests.faults import watch

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests


def test_following_gives_events_as_they_come(project: af.Project) -> None:
    project.publish("k", 0)
    following = project.events.follow("k")
    for n in range(1, 4):
        project.publish("k", n)
        project.publish("other", n)
        assert next(following).value == n
    following.close()
    assert list(following) == []


def test_following_from_the_start_gives_past_events_too(project: af.Project) -> None:
    project.publish_many([("k", n) for n in range(5)])
    found = []
    for event in project.events.follow("k", since="start"):
        found.append(event.value)
        if len(found) == 5:
            break
    assert found == [0, 1, 2, 3, 4]


def test_following_ends_after_its_timeout_without_events_and_reading_those_that_are_there_does_not_count(
    project: af.Project,
) -> None:
    project.publish_many([("k", n) for n in range(2500)])
    for timeout in (0.0, 0.05):
        found = [e.value for e in project.events.follow("k", since="start", timeout=timeout)]
        assert found == list(range(2500))
    assert list(project.events.follow("k", timeout=0.0)) == []


def test_another_thread_can_end_the_following(project: af.Project) -> None:
    following = project.events.follow()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(following))
    thread.start()
    project.publish("k", 1)
    until(lambda: len(found) == 1)
    following.close()
    thread.join(20)
    assert not thread.is_alive()


def test_leaving_the_loop_ends_the_following(project: af.Project) -> None:
    for _ in project.events.follow(since="start", timeout=0.0):
        break
    project.publish("k", 1)
    for _ in project.events.follow(since="start"):
        break
    gc.collect()
    assert project._shared.engine.deliveries.subscriptions == {}


def test_following_works_in_async_code(project: af.Project) -> None:
    async def follow() -> list[Any]:
        found = []
        async for event in project.events.follow("k", since="start"):
            found.append(event.value)
            if len(found) == 3:
                break
            await asyncio.to_thread(project.publish, "k", event.value + 1)
        return found

    project.publish("k", 1)
    assert asyncio.run(follow()) == [1, 2, 3]


def test_cancelling_async_code_that_follows_ends_the_following(project: af.Project) -> None:
    async def follow() -> None:
        async for _ in project.events.follow("k"):
            pytest.fail("there was nothing to follow")

    async def cancel() -> None:
        task = asyncio.create_task(follow())
        while not project._shared.has_engine or not project._shared.engine.deliveries.subscriptions:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancel(), 20))
    gc.collect()
    until(lambda: project._shared.engine.deliveries.subscriptions == {})


def test_events_of_another_process_are_seen_in_order_and_need_no_event_of_our_own(project: af.Project) -> None:
    seen: list[tuple[str, Any]] = []
    project.subscribe(lambda e: seen.append((e.key, e.value)))
    with child(deeds.publish_on_command, str(project.home)) as other:
        assert other.hear() == "ready"
        for n in range(5):
            other.tell(f"far.{n}")
            offset = int(other.hear())
            until(lambda n=n: len(seen) == n + 1)
            assert seen[-1] == (f"far.{n}", n)
            event = project.events.get(offset)
            assert event is not None
            assert event.key == f"far.{n}"
        assert other.end() == 5
    project.publish("near", 5)
    until(lambda: seen[-1] == ("near", 5))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows of the others")
def test_what_others_wrote_is_read_before_the_store_is_locked_and_who_is_alone_reads_nothing(tmp_path: Path) -> None:
    did: list[str] = []
    clock = ManualClock()
    with project_for_tests(tmp_path, clock, "events") as project:
        watch(project, before=lambda sql: did.append("reads" if "FROM events" in sql else sql.split()[0]))
        project.publish("first")
        did.clear()
        project.publish("alone")
        assert did[:2] == ["BEGIN", "PRAGMA"]
        assert "reads" not in did
        with child(deeds.publish_on_command, str(tmp_path)) as other:
            other.hear()
            for key in ("far", "farther"):
                other.tell(key)
                other.hear()
            clock.advance(1)  # the others are looked for now and then only
            did.clear()
            assert project.publish("near").offset == 5
            assert did[:4] == ["reads", "BEGIN", "PRAGMA", "reads"]
            clock.advance(1)
            assert project.publish("nearer").offset == 6
        assert [e.key for e in project.events.list()] == ["first", "alone", "far", "farther", "near", "nearer"]


def test_an_event_of_another_process_starts_a_job_here(project: af.Project) -> None:
    @af.job
    def react() -> Any:
        event = af.current().event
        assert event is not None
        return event.key

    @af.workflow
    def reacting() -> None:
        react().start_on(af.event("far.go"))

    execution = project.start(reacting)
    with child(deeds.publish_on_command, str(project.home)) as other:
        other.hear()
        other.tell("far.go")
        other.hear()
        execution.wait(20)
    assert execution.result("react") == "far.go"
