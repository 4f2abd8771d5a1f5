"""`publish` returns when the event is durable; there is one order, and nothing is stored of what is refused."""

import threading
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone
from tests.events import deeds

import aiflow as af
from aiflow.store.connection import sqlite3
from aiflow.testing import ManualClock, run_until_idle


def test_an_event_is_visible_to_every_connection_when_publish_returns(project: af.Project) -> None:
    watching = sqlite3.connect(f"file:{project.home / 'aiflow.db'}?mode=ro", uri=True)
    for number in range(20):
        event = project.publish("seen", number)
        assert watching.execute("SELECT value FROM events WHERE offset = ?", (event.offset,)).fetchall() == [
            (str(number),)
        ]
    watching.close()


def test_an_event_has_all_that_it_was_published_with(tmp_path: Path) -> None:
    clock = ManualClock()
    with af.Project("mine", home=tmp_path / "home", clock=clock) as project:
        event = project.publish("k", {"a": [1, None]}, type="T", namespace="n", sender="s", context="c")
        assert event == af.Event(1, "k", {"a": [1, None]}, "T", "n", "s", "c", None, clock.now())
        assert project.events.get(1) == event
        plain = project.publish("k")
        assert (plain.value, plain.type, plain.namespace, plain.sender, plain.context) == (
            None,
            "UNDEFINED",
            "mine",
            None,
            None,
        )
        assert plain.time == clock.time


def test_what_is_done_to_a_value_after_it_was_published_changes_nothing(project: af.Project) -> None:
    value = {"rows": [1]}
    seen: list[Any] = []
    with project.subscribe(lambda e: seen.append(e.value), keys="k"):
        event = project.publish("k", value)
        value["rows"].append(2)
        run_until_idle(project)
    assert event.value == {"rows": [1]}
    assert seen == [{"rows": [1]}]
    assert project.events.latest("k") == event


def test_offsets_are_one_two_three_also_when_eight_threads_publish(project: af.Project) -> None:
    start = threading.Barrier(8)
    given: list[list[int]] = [[] for _ in range(8)]

    def publish(number: int) -> None:
        start.wait()
        for n in range(50):
            events = (
                project.publish_many([(f"t{number}", n)] * (1 + n % 3)) if n % 2 else [project.publish(f"t{number}", n)]
            )
            given[number] += [e.offset for e in events]

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o for offsets in given for o in offsets) == list(range(1, project.events.count() + 1))
    for number, offsets in enumerate(given):
        assert offsets == sorted(offsets), "each thread's events stand in the order in which it published them"
        assert [e.offset for e in project.events.list(keys=f"t{number}")] == offsets


def test_publish_many_stores_all_or_none(project: af.Project) -> None:
    with pytest.raises(af.ParameterError, match="set"):
        project.publish_many([("a", 1), ("b", {1}), ("c", 3)])
    with pytest.raises(af.ParameterError, match="key"):
        project.publish_many([("a", 1), ("", 2)])
    assert project.events.count() == 0
    events = project.publish_many(
        [("a", 1), "b", {"key": "c", "value": 3, "type": "T"}, af.Draft("d", 4, namespace="x")]
    )
    assert [(e.offset, e.key, e.value) for e in events] == [(1, "a", 1), (2, "b", None), (3, "c", 3), (4, "d", 4)]
    assert project.publish_many([]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": 5},
        {"key": None},
        {"key": "k", "type": ""},
        {"key": "k", "sender": 3},
        {"key": "k", "namespace": ""},
        {"key": "k", "context": 7},
        {"key": "k", "dedupe_key": ""},
        {"key": "\ud800"},
        {"key": "job:train", "value": {"status": "SUCCESS"}},
        {"key": "execution:iris"},
        {"key": "k", "type": "JOB_STATUS_CHANGED"},
        {"key": "k", "type": "REQUESTED", "value": {"action": "stop"}},
        {"key": "k", "type": "EXECUTION_STATUS_CHANGED"},
    ],
    ids=str,
)
def test_an_event_that_does_not_fit_is_refused(project: af.Project, wrong: dict[str, Any]) -> None:
    with pytest.raises(af.ParameterError):
        project.publish(**wrong)
    with pytest.raises(af.ParameterError):
        project.publish_many([("fine", 1), wrong])
    assert project.events.count() == 0


@pytest.mark.parametrize(
    "draft", [af.Draft(""), af.Draft("k", type="JOB_LOST"), af.Draft(3), af.Draft("k", namespace="")]
)  # type: ignore[arg-type]
def test_a_draft_that_does_not_fit_is_refused(project: af.Project, draft: af.Draft) -> None:
    with pytest.raises(af.ParameterError):
        project.publish_many([draft])
    assert project.events.count() == 0


def test_a_job_cannot_publish_what_a_project_would_refuse(project: af.Project) -> None:
    @af.job
    def forge(how: dict[str, Any]) -> str:
        try:
            af.current().publish(**how)
        except af.ParameterError as error:
            return str(error)
        return "published"

    @af.workflow
    def forging() -> None:
        forge(
            {
                "key": "job:forge",
                "value": {"status": "SUCCESS", "number": 1, "attempt": 1},
                "type": "JOB_STATUS_CHANGED",
            }
        )
        forge({"key": ""})
        forge({"key": "\ud800"})
        forge({"key": "k", "context": "\ud800"})

    execution = project.run(forging, timeout=20)
    results = [execution.result(name) for name in execution.job_names]
    assert "published" not in results


def test_a_dedupe_key_makes_publishing_happen_once(project: af.Project) -> None:
    first = project.publish("order", 1, dedupe_key="42")
    again = project.publish("order", 2, dedupe_key="42")
    assert again == first
    assert project.publish("order", 3, dedupe_key="43").offset == 2
    assert project.publish("order", 4, dedupe_key="42", namespace="other").offset == 3
    same = project.publish_many([{"key": "o", "value": n, "dedupe_key": "44"} for n in range(3)])
    assert [(e.offset, e.value) for e in same] == [(4, 0)] * 3
    assert project.events.count() == 4


def test_a_dedupe_key_holds_between_processes(tmp_path: Path) -> None:
    offsets = alone(deeds.publish_together, str(tmp_path / "home"), 4, 20)
    assert all(o == offsets[0] for o in offsets)
    with af.Project(home=tmp_path / "home") as project:
        assert project.events.count() == 20
    invariants.check(tmp_path / "home")


def test_inside_a_job_an_event_has_its_sender_and_context(project: af.Project) -> None:
    @af.job
    def tell() -> None:
        af.publish("plain")
        af.current().publish("by context")
        af.publish("for all", context=None, sender="me")

    @af.workflow
    def telling() -> None:
        tell()

    execution = project.run(telling)
    plain, by_context, for_all = (project.events.latest(k) for k in ("plain", "by context", "for all"))
    assert plain is not None
    assert by_context is not None
    assert for_all is not None
    assert (plain.sender, plain.context, plain.execution_id) == ("tell", execution.id, execution.id)
    assert (by_context.sender, by_context.context, by_context.execution_id) == ("tell", execution.id, execution.id)
    assert (for_all.sender, for_all.context, for_all.execution_id) == ("me", None, execution.id)


def test_publishing_through_a_closed_project_says_how_to_open_it(tmp_path: Path) -> None:
    project = af.Project("shut", home=tmp_path / "home")
    project.close()
    project.close()
    with pytest.raises(af.StoreError, match="closed; open it again"):
        project.publish("late")


def test_publishers_that_wait_while_the_project_is_closed_are_told(tmp_path: Path) -> None:
    project = af.Project("shut", home=tmp_path / "home")
    ended: list[str] = []
    begun = threading.Barrier(5)

    def publish() -> None:
        begun.wait()
        try:
            while True:
                project.publish("more")
        except af.StoreError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=publish, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    project.publish("one")
    project.close()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 4
    invariants.check(tmp_path / "home")
