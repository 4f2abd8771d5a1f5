"""The log and who sees it (rules 1 and 2): one order, times inside the events, nothing seen before it is durable."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiflow as af
from aiflow.store.connection import find_store, sqlite3
from aiflow.testing import run_until_idle


@af.job
def react() -> list[int]:
    return [event.value for event in af.current().events]


@af.workflow(ends="never")
def pairs() -> None:
    react().start_on(af.event("go").times(2))


def in_the_file(project: af.Project, offset: int) -> bool:
    """Look with a connection that knows nothing of aiflow."""
    database = sqlite3.connect(find_store(project.home))
    found = database.execute("SELECT 1 FROM events WHERE offset = ?", (offset,)).fetchone()
    database.close()
    return found is not None


def test_1_offsets_only_grow_there_is_one_order_and_all_that_happens_is_in_it(project: af.Project) -> None:
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda n: project.publish("many", n), range(200)))
    log = project.events.list("many")
    assert sorted(published, key=lambda event: event.offset) == log
    assert len({event.offset for event in log}) == 200
    execution = project.start(pairs)
    project.publish_many([("go", 1), ("go", 2)])
    run_until_idle(project)
    execution.stop().wait(60)
    told = [(event.key, event.value.get("status")) for event in execution.events()]
    for happened in (("execution:pairs", "RUNNING"), ("job:react", "SUCCESS"), ("execution:pairs", "STOPPED")):
        assert told.count(happened) == 1
    offsets = [event.offset for event in project.events.list()]
    assert offsets == sorted(set(offsets))


def test_1_two_events_of_the_same_moment_are_two_because_offsets_decide_and_not_the_clock(still: af.Project) -> None:
    execution = still.start(pairs)
    first, second = still.publish("go", 1), still.publish("go", 2)
    assert first.time == second.time
    run_until_idle(still)
    assert execution.results("react") == [[1, 2]]
    execution.stop().wait(60)


def test_2_publish_returns_when_the_event_is_durable_and_nobody_sees_it_before(project: af.Project) -> None:
    seen: list[bool] = []

    def look(event: af.Event) -> None:
        seen.append(in_the_file(project, event.offset))

    @af.job
    def look_there() -> None:
        event = af.current().event
        assert event is not None
        look(event)

    def body() -> None:
        look_there().start_on(af.event("go"))

    execution = project.start(af.workflow(body, name="looking", ends="never"))
    with project.subscribe(look, keys="go"):
        for n in range(20):
            event: Any = project.publish("go", n)
            assert in_the_file(project, event.offset)
        run_until_idle(project)
    execution.stop().wait(60)
    assert seen == [True] * 40
