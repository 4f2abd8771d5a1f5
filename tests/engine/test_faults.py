"""When a turn fails, nothing of it has happened; what comes later works, and what waited goes on when it can."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import alone, until
from tests.engine import deeds
from tests.faults import Disk, watch

import aiflow as af
from aiflow.store.connection import sqlite3
from aiflow.testing import ManualClock, assert_replays, run_until_idle
from aiflow.turns import Entry


@af.job
def one() -> int:
    return 1


@af.job
def add(n: int) -> int:
    return n + 1


@af.workflow
def chain() -> None:
    add(add(one()))


@af.workflow
def reacting() -> None:
    one().start_on(af.event("go"))


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_an_entry_that_raises_changes_nothing_and_later_ones_work(still: af.Project) -> None:
    engine = still._shared.engine
    execution = still.start(reacting)
    head = engine.record.head

    def fail() -> None:
        engine.publish_now([af.Draft("go", 1, namespace=still.name)])
        raise ValueError("after all")

    with pytest.raises(ValueError, match="after all"):
        engine.submit(Entry(fail))
    assert engine.record.head == head == still.events.count()
    assert execution.jobs == []
    assert still.publish("go", 2).offset == head + 1
    run_until_idle(still)
    assert execution.status == "SUCCESS"
    assert_replays(execution)


def test_in_a_batch_only_the_entry_at_fault_fails(project: af.Project) -> None:
    engine = project._shared.engine
    held, results = threading.Event(), {}

    def submit(name: str, apply: Callable[[], Any]) -> None:
        try:
            results[name] = engine.submit(Entry(apply)).result
        except ValueError as error:
            results[name] = error

    def fail() -> None:
        project._shared.engine.publish_now([af.Draft("bad", 0, namespace="x")])
        raise ValueError("bad")

    def good(name: str) -> Callable[[], Any]:
        return lambda: engine.publish_now([af.Draft(name, 1, namespace="x")])[0].offset

    threads = [threading.Thread(target=submit, args=("hold", lambda: held.wait(20)))]
    threads[0].start()
    until(lambda: not engine.turns.is_idle)
    for name, apply in (("a", good("a")), ("bad", fail), ("b", good("b"))):
        threads.append(threading.Thread(target=submit, args=(name, apply)))
        threads[-1].start()
        until(lambda name=name: len(engine.turns._inbox) == ["a", "bad", "b"].index(name) + 1)
    held.set()
    for thread in threads:
        thread.join(20)
    assert isinstance(results["bad"], ValueError)
    assert [e.key for e in project.events.list()] == ["a", "b"]
    assert (results["a"], results["b"]) == (1, 2)


@pytest.mark.parametrize("at", range(1, 12))
def test_a_workflow_survives_a_commit_that_fails(still: af.Project, clock: ManualClock, at: int) -> None:
    """The n-th COMMIT fails once; who brought it is told, or it is tried again, and the log stays whole."""
    count = [0]

    def before(sql: str) -> None:
        if sql == "COMMIT":
            count[0] += 1
            if count[0] == at:
                raise sqlite3.OperationalError("disk I/O error")

    @af.job(retries=1, retry_delay=5)
    def unsteady() -> int:
        if af.current().attempt == 1:
            raise ValueError("first")
        try:
            af.publish("go", 1)
        except af.StoreError:
            af.publish("go", 1)
        return 2

    @af.workflow
    def mixed() -> None:
        add(unsteady())
        one().start_on(af.event("go"))
        add.map([1, 2])

    still.publish("before")
    watch(still, before=before)
    try:
        execution = still.start(mixed)
    except af.StoreError as error:
        assert "disk I/O error" in str(error)
        assert still.executions.list() == []
        execution = still.start(mixed)
    run_until_idle(still)
    clock.advance(60)
    assert execution.status == "SUCCESS"
    assert execution.result("add") == 3
    assert execution.results("one") == [1]
    assert execution.result("add_2") == [2, 3]
    invariants.check(still.home)
    assert_replays(execution)


def test_jobs_that_end_while_the_disk_is_full_are_recorded_when_there_is_room(project: af.Project) -> None:
    release = threading.Event()

    @af.job
    def wait() -> int:
        release.wait(20)
        return 5

    @af.workflow
    def waiting() -> None:
        add(wait())

    disk = Disk(project)
    execution = project.start(waiting)
    until(lambda: execution.job("wait"))
    disk.full = True
    release.set()
    until(lambda: disk.refused >= 1)
    with pytest.raises(af.StoreError, match="full"):
        project.publish("no room")
    with pytest.raises(af.StoreError, match="full"):
        project.start(chain)
    with pytest.raises(af.StoreError, match="full"):
        execution.stop()
    assert execution.status == "RUNNING"
    disk.full = False
    execution.wait(20)
    assert execution.result("add") == 6
    assert project.run(chain).result("add_2") == 3


def test_a_disk_that_is_full_at_the_very_first_write_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    with af.Project("first", home=tmp_path / "home") as project:
        disk = Disk(project)
        disk.full = True
        for _ in range(2):
            with pytest.raises(af.StoreError, match="could not be written.*full"):
                project.publish("no room")
        assert list((project.home / "owners").iterdir()) == []
        disk.full = False
        assert project.publish("room").offset == 1
    invariants.check(tmp_path / "home")


def test_a_retry_that_comes_due_while_the_disk_is_full_is_not_forgotten(still: af.Project, clock: ManualClock) -> None:
    @af.job(retries=1, retry_delay=10)
    def unsteady() -> int:
        if af.current().attempt == 1:
            raise ValueError("first")
        return 2

    @af.workflow
    def retrying() -> None:
        unsteady()

    disk = Disk(still)
    execution = still.start(retrying)
    run_until_idle(still)
    disk.full = True
    clock.advance(10)
    assert disk.refused
    assert execution.jobs[0].status == "RETRYING"
    disk.full = False
    clock.advance(1)
    assert execution.status == "SUCCESS"


def test_a_timeout_that_comes_while_the_disk_is_full_is_not_forgotten(still: af.Project, clock: ManualClock) -> None:
    @af.job(runner="thread", timeout=10)
    def slow() -> None:
        af.current().wait_stop()

    @af.workflow
    def waiting() -> None:
        slow()

    disk = Disk(still)
    execution = still.start(waiting)
    run_until_idle(still)
    disk.full = True
    clock.advance(10)
    assert disk.refused
    assert execution.job("slow").status == "RUNNING"  # type: ignore[union-attr]
    disk.full = False
    clock.advance(1)
    assert execution.job("slow").reason == "timed out after 10 s"  # type: ignore[union-attr]


def test_a_resume_that_could_not_be_recorded_can_be_tried_again(still: af.Project) -> None:
    fail = [True]

    @af.job
    def unsteady() -> int:
        if fail[0]:
            raise ValueError("not yet")
        return 3

    @af.workflow
    def mending() -> None:
        add(unsteady())

    execution = still.run(mending, check=False)
    assert execution.status == "FAILED"
    fail[0] = False
    disk = Disk(still)
    disk.full = True
    with pytest.raises(af.StoreError, match="full"):
        execution.resume()
    assert execution.status == "FAILED"
    disk.full = False
    execution.resume()
    run_until_idle(still)
    assert execution.status == "SUCCESS"
    assert execution.result("add") == 4
    assert not still._shared.engine.lives
    assert not still._shared.engine.ticker.is_watching


def test_a_value_that_finds_no_room_does_not_lose_the_job(project: af.Project) -> None:
    """A reason that SQLite cannot take, a value that cannot be written: the job ends, and says why."""

    @af.job
    def say(text: str) -> None:
        raise ValueError(text)

    @af.job
    def skip(text: str) -> None:
        raise af.Skip(text)

    @af.workflow
    def odd() -> None:
        say("half \ud800 of a pair")
        skip("half \udfff of a pair")

    execution = project.run(odd, check=False, timeout=20)
    assert {j.job: str(j.status) for j in execution.jobs} == {"say": "FAILED", "skip": "SKIPPED"}
    assert all("half" in (j.reason or "") for j in execution.jobs)
    execution = project.start(chain)
    execution.stop("because \ud800").wait(20)


def test_a_real_full_disk_is_told_leaves_the_store_whole_and_is_forgotten_when_there_is_room(tmp_path: Path) -> None:
    found = alone(deeds.fill_the_disk, str(tmp_path / "home"))
    assert found["refused"] >= 1
    assert "could not be written" in found["error"]
    assert found["status"] == "SUCCESS"
    assert found["result"] == [found["events"], 12]
    invariants.check(tmp_path / "home")


# --- events of others -----------------------------------------------------------------------------------------------


def forge(project: af.Project, *rows: tuple[Any, ...]) -> None:
    """Write into the log as no program should."""
    connection = sqlite3.connect(project.home / "aiflow.db", isolation_level=None)
    sql = "INSERT INTO events (offset, time, key, type, value, namespace, execution_id) SELECT max(offset) + 1, 0, ?, ?, ?, ?, ? FROM events"
    for row in rows:
        connection.execute(sql, row)
    connection.close()


def test_an_event_that_cannot_be_handled_is_set_aside_and_the_next_ones_go_on(tmp_path: Path) -> None:
    with af.Project("forged", home=tmp_path / "home") as project:
        execution = project.start(reacting)
        before = project.events.count()
        forge(
            project,
            ("x", "REQUESTED", "5", project.name, execution.id),
            ("y", "REQUESTED", '{"action": 7}', project.name, execution.id),
            ("go", "UNDEFINED", "7", project.name, None),
        )
        execution.wait(20)
        assert execution.status == "SUCCESS"
        assert (before + 1, "scheduler") in project._store.rows("SELECT offset, handler FROM failed_events")
        assert project.publish("later").offset > before + 3
