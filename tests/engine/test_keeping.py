"""How a home is kept small: what is pruned, what never is, and what is told to who asks for what went."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.children import until
from tests.faults import Disk, watch

import aiflow as af
from aiflow.pruning import Pruner
from aiflow.serving import Server
from aiflow.store import connection as door
from aiflow.store import log
from aiflow.store.checking import dangling
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

BIG = 20_000
"""Characters of a value that stands in a file of its own."""

calls: list[Any] = []


@af.job
def make(n: int) -> str:
    print("made", n)
    Path(af.current().scratch, "note").write_text("x")
    return f"{n:05d}" * (BIG // 5)


@af.job
def use(text: Any) -> Any:
    return text[:5]


@af.workflow
def pair(n: int = 0) -> None:
    use(make(n))


@af.job
def hear() -> Any:
    event = af.current().event
    return None if event is None else event.value


@af.job(retries=0)
def fail_once() -> str:
    calls.append("fail_once")
    if len(calls) == 1:
        raise ValueError("not yet")
    return "done"


@af.job(cache=True)
def slow(n: int) -> int:
    calls.append(n)
    return n


@af.workflow
def cached(n: int) -> None:
    slow(n)


@af.workflow
def failing() -> None:
    fail_once()


@af.workflow(ends="never")
def service() -> None:
    hear().start_on(af.event("n"))


@af.workflow(ends="never")
def half_met() -> None:
    hear().start_on(af.event("a") & af.event("b"))


@pytest.fixture
def still(tmp_path: Path, clock: ManualClock) -> Iterator[af.Project]:
    """A project with the inline runner and the manual clock; its rows are checked at the end, its log is not whole."""
    with project_for_tests(tmp_path / "home", clock) as project:
        yield project
        assert dangling(project._store) == []


@contextmanager
def reopened(home: Path, clock: ManualClock) -> Iterator[af.Project]:
    with project_for_tests(home, clock) as project:
        yield project
        assert dangling(project._store) == []


def files_of(project: af.Project, execution: af.Execution) -> list[Path]:
    return [p for name in ("logs", "scratch") for p in (project.home / name).glob(f"{execution.id}/**/*")]


def age_blobs(project: af.Project) -> None:
    """Make all values in files two hours old."""
    for path in (project.home / "blobs").rglob("*"):
        os.utime(path, (project._clock.now() - 7200,) * 2)


# --- executions -------------------------------------------------------------------------------------------------------


def test_40_executions_beyond_the_newest_go_with_rows_logs_scratch_folders_and_values(still: af.Project) -> None:
    made = [still.run(pair, n=n) for n in range(4)]
    age_blobs(still)
    assert all(files_of(still, one) for one in made)
    pruned = still.prune(executions=2)
    assert [e.id for e in still.executions.list()] == [made[3].id, made[2].id]
    assert (pruned.went["executions"], pruned.went["runs"], pruned.went["blobs"]) == (2, 4, 2)
    assert [bool(files_of(still, one)) for one in made] == [False, False, True, True]
    assert pruned.after["blobs"] < pruned.before["blobs"]
    assert made[3].result("use") == "00003"
    assert_replays(made[2])
    assert still.events.list()[0].execution_id == made[2].id
    with pytest.raises(af.NotFound):
        made[0].status  # noqa: B018
    assert dangling(still._store) == []


def test_what_ended_so_many_days_ago_goes(still: af.Project, clock: ManualClock) -> None:
    still.run(pair, n=1)
    clock.advance(10 * 86400)
    still.publish("young")
    young = still.run(pair, n=2)
    still.prune(days=9)
    assert [e.id for e in still.executions.list()] == [young.id]
    assert still.events.list()[0].key == "young"


def test_the_oldest_executions_go_until_values_in_files_take_no_more_than_allowed(still: af.Project) -> None:
    made = [still.run(pair, n=n) for n in range(4)]
    same = still.run(pair, n=3)
    age_blobs(still)
    still.prune(blobs=f"{2 * BIG + 1000} B")
    assert {e.id for e in still.executions.list()} == {made[2].id, made[3].id, same.id}
    assert sum(1 for p in (still.home / "blobs").rglob("*") if p.is_file()) == 2


def test_a_blob_that_is_young_or_touched_stays_although_no_row_names_it(still: af.Project, clock: ManualClock) -> None:
    still.run(pair, n=1)
    age_blobs(still)
    (path,) = (p for p in (still.home / "blobs").rglob("*") if p.is_file())
    os.utime(path, (clock.now() - 60,) * 2)  # as reusing it does
    still.prune(executions=0)
    assert path.exists()
    age_blobs(still)
    assert still.prune().went["blobs"] == 1
    assert not path.exists()


def test_a_value_that_a_cached_job_used_again_lives_as_long_as_the_newest_that_used_it(still: af.Project) -> None:
    calls.clear()
    for n in (1, 2, 1):
        still.run(cached, n=n)
    still.prune(executions=1)
    still.run(cached, n=1)
    assert calls == [1, 2]
    still.run(cached, n=2)
    assert calls == [1, 2, 2], "its value went with the only execution that had it"


def test_an_execution_whose_values_another_one_uses_stays(still: af.Project, clock: ManualClock) -> None:
    first = still.run(pair, n=1)
    clock.advance(1)
    still.run(pair, n=2, only="make")
    third = still.run(pair, n=1, given={"make": "abcdefgh"}, only="use")
    taker = still.run(pair, n=1, start_from="use")
    still.prune(executions=1)
    left = {e.id for e in still.executions.list()}
    assert taker.id in left
    assert taker.result("make").startswith("00002")
    assert not left & {first.id, third.id}


def test_runs_of_an_execution_that_goes_on_go_when_their_values_were_used(still: af.Project) -> None:
    execution = still.start(service)
    for n in range(10):
        still.publish("n", n)
    run_until_idle(still)
    still.prune(executions=3)
    assert [job.number for job in execution.jobs] == [8, 9, 10]
    assert execution.result("hear") == 9
    still.publish("n", 10)
    run_until_idle(still)
    assert execution.job("hear").number == 11  # type: ignore[union-attr]
    execution.stop()


def test_a_run_whose_value_another_execution_was_given_stays(still: af.Project) -> None:
    @af.workflow(ends="never", name="gives")
    def gives(n: int = 0) -> None:
        use.options(name="after")(hear().start_on(af.event("n")))

    execution = still.start(gives)
    still.publish("n", "abcdefgh")
    run_until_idle(still)
    taker = still.start(gives, start_from="after")
    run_until_idle(still)
    for n in range(5):
        still.publish("n", f"{n}")
    run_until_idle(still)
    still.prune(executions=1)
    assert taker.result("hear") == "abcdefgh"
    assert [job.number for job in execution.jobs if job.job == "after"] == [6]
    for one in (execution, taker):
        one.stop()


def test_40_values_that_wait_to_be_used_stay(tmp_path: Path) -> None:
    gate = threading.Event()

    @af.job
    def number() -> Any:
        return af.current().event.value  # type: ignore[union-attr]

    @af.job
    def slowly(value: int) -> int:
        gate.wait(20)
        return value

    @af.workflow(ends="never")
    def queue() -> None:
        slowly(number().start_on(af.event("n")))

    with af.Project("p", home=tmp_path) as project:
        execution = project.start(queue)
        for n in range(6):
            project.publish("n", n)
        until(lambda: len(execution.results("number")) == 6)
        project.prune(executions=1, events=1)
        gate.set()
        until(lambda: execution.job("slowly") and len(execution.results("slowly")) == 6)
        assert execution.results("slowly") == list(range(6))
        project.prune(executions=1, events=1)
        assert execution.results("slowly") == [5]
        execution.stop().wait()


# --- events -----------------------------------------------------------------------------------------------------------


def test_the_newest_events_are_kept_and_offsets_go_on(still: af.Project) -> None:
    still.publish_many(["k"] * 500)
    pruned = still.prune(events=10)
    assert (pruned.went["events"], pruned.pruned_until, still.events.count()) == (490, 490, 10)
    still.events.prune(before=10_000)
    assert [e.offset for e in still.events.list()] == [500], "the newest stays: offsets go on from it"
    assert still.publish("k").offset == 501


def test_40_who_asks_for_what_was_pruned_is_told_so_and_start_begins_with_what_is_there(
    still: af.Project, clock: ManualClock
) -> None:
    begun = datetime.fromtimestamp(clock.now(), UTC)
    still.publish_many(["k"] * 10)
    clock.advance(100)
    still.publish_many(["k"] * 10)
    still.events.prune(before=16)
    assert [e.offset for e in still.events.list(since="start")] == [16, 17, 18, 19, 20]
    assert [e.offset for e in still.events.list(since=15)] == [16, 17, 18, 19, 20]
    assert [e.offset for e in still.events.list(since=begun + timedelta(seconds=101))] == []
    for since in (0, 14, begun, begun + timedelta(seconds=50)):
        for ask in (still.events.list, still.events.count, still.events.follow):
            with pytest.raises(af.OffsetPruned, match="pruned up to offset 15, .*say since='start'"):
                ask(since=since)
        with pytest.raises(af.OffsetPruned):
            still.subscribe(print, since=since)
        with pytest.raises(af.OffsetPruned):
            still.subscribe(print, since=since, name="durable")
    got: list[int] = []
    with still.subscribe(lambda event: got.append(event.offset), since="start", name="durable"):
        until(lambda: len(got) == 5)
    assert got == [16, 17, 18, 19, 20]


def test_events_are_pruned_by_time(still: af.Project, clock: ManualClock) -> None:
    for n in range(3):
        still.publish("k", n)
        clock.advance(10)
    still.events.prune(before=datetime.fromtimestamp(clock.now() - 15, UTC))
    assert [e.value for e in still.events.list()] == [2]


def test_a_dedupe_key_is_free_again_when_its_event_is_pruned(still: af.Project) -> None:
    first = still.publish("k", 1, dedupe_key="once")
    assert still.publish("k", 2, dedupe_key="once").offset == first.offset
    still.publish("k")
    still.events.prune(before=first.offset + 1)
    assert still.publish("k", 3, dedupe_key="once").value == 3


def test_40_a_durable_subscription_keeps_what_it_has_not_read_and_is_named(still: af.Project) -> None:
    got: list[int] = []
    with still.subscribe(lambda event: got.append(event.offset), name="reader"):
        still.publish_many(["k"] * 3)
        until(lambda: len(got) == 3)
    still.publish_many(["k"] * 3)
    pruned = still.prune(events=1)
    assert pruned.pruned_until == 3
    assert "the subscription 'reader', which is at offset 3" in pruned.held[0]
    with still.subscribe(lambda event: got.append(event.offset), name="reader"):
        until(lambda: len(got) == 6)
    assert got == [1, 2, 3, 4, 5, 6]


def test_a_durable_subscription_that_wants_little_does_not_hold_up_the_log(still: af.Project) -> None:
    got: list[int] = []
    with still.subscribe(lambda event: got.append(event.offset), name="reader", keys="rare"):
        still.publish("rare")
        until(lambda: got == [1])
        still.publish_many(["other"] * 100)
        run_until_idle(still)
        assert still.prune(events=1).pruned_until == 100
    still.publish("rare")
    with still.subscribe(lambda event: got.append(event.offset), name="reader", keys="rare"):
        until(lambda: got == [1, 102])


def test_what_could_not_be_handled_is_forgotten_with_its_event(still: af.Project) -> None:
    def fail(event: af.Event) -> None:
        raise ValueError(event.key)

    with still.subscribe(fail):
        still.publish_many(["a", "b"])
        until(lambda: len(still.events.failed()) == 2)
    assert still.prune(events=1).went == {"events": 1, "failed_events": 1}
    assert [one["event"].key for one in still.events.failed()] == ["b"]


# --- what is needed ---------------------------------------------------------------------------------------------------


def test_40_an_event_that_a_running_execution_has_latched_stays_though_all_around_it_goes(
    tmp_path: Path, clock: ManualClock
) -> None:
    with reopened(tmp_path, clock) as project:
        execution = project.start(half_met)
        latched = project.publish("a", "kept")
        project.publish_many(["other"] * 300)
        project.prune(events=1)
        assert project.events.get(latched.offset) == latched
        assert project.events.count(keys="a") == 0, "it is not in the log any more, only at hand"
        project.close(detach=True)
    with reopened(tmp_path, clock) as project:
        project.publish_many(["other"] * 10)
        pruned = project.prune(events=1)
        assert "INTERRUPTED: resume it" in pruned.held[0]
        execution = project.executions.get(execution.id).resume()
        project.publish("b")
        run_until_idle(project)
        assert [e.key for e in execution.events_at((latched.offset,))] == ["a"]
        assert str(execution.job("hear").status) == "SUCCESS"  # type: ignore[union-attr]
        project.prune(events=1)
        assert project.events.get(latched.offset) is not None, "the job would see it, were it to run again"
        project.publish_many(["a", "b"])
        run_until_idle(project)
        project.prune(events=1)
        assert project.events.get(latched.offset) is None
        execution.stop()


def test_40_an_interrupted_execution_goes_on_after_pruning_with_what_came_meanwhile(
    tmp_path: Path, clock: ManualClock
) -> None:
    with reopened(tmp_path, clock) as project:
        execution = project.start(service)
        project.publish("n", 1)
        project.publish_many(["other"] * 50)
        run_until_idle(project)
        project.close(detach=True)
    with reopened(tmp_path, clock) as project:
        project.publish("n", 2)
        project.publish_many(["other"] * 50)
        project.prune(events=1, executions=0, days=0)
        execution = project.executions.get(execution.id).resume()
        run_until_idle(project)
        assert execution.results("hear") == [1, 2]
        execution.stop()


def test_25_and_40_what_waits_in_the_queue_of_a_trigger_stays_and_nothing_starts_twice(
    tmp_path: Path, clock: ManualClock
) -> None:
    @af.workflow(start_on=af.event("go"), name="kept_queue")
    def queued() -> None:
        hear()

    with reopened(tmp_path, clock) as project:
        trigger = project.triggers.register(queued)
        for n in range(3):
            project.publish("go", n)
        project.publish_many(["other"] * 100)
        project.prune(events=1, executions=0)
        with Server(project, [queued]):
            run_until_idle(project)
            project.prune(events=1, executions=1)
            run_until_idle(project)
        assert [e.event_value for e in started(project, trigger)] == [2]
    with reopened(tmp_path, clock) as project:
        project.publish("go", 3)
        with Server(project, [queued]):
            run_until_idle(project)
            assert [e.event_value for e in started(project, trigger)] == [3, 2], "each once"


class Started:
    def __init__(self, execution: af.Execution) -> None:
        self.event_value = execution.result("hear")


def started(project: af.Project, trigger: Any) -> list[Started]:
    return [Started(e) for e in project.executions.list(trigger_id=trigger.id)]


def test_what_was_stopped_keeps_the_events_that_it_would_need_if_it_were_resumed(still: af.Project) -> None:
    execution = still.start(half_met)
    latched = still.publish("a", "kept")
    still.publish_many(["other"] * 50)
    still.prune(events=1)
    execution.stop().wait()
    still.publish_many(["other"] * 50)
    still.prune(events=60)
    assert still.events.get(latched.offset) == latched
    execution.resume()
    still.publish("b")
    run_until_idle(still)
    assert str(execution.job("hear").status) == "SUCCESS"  # type: ignore[union-attr]
    assert execution.events_at((latched.offset,)) == [latched]
    execution.stop()


def test_an_execution_that_failed_can_be_resumed_while_it_is_kept_unless_its_events_were_pruned(
    still: af.Project,
) -> None:
    calls.clear()
    still.run(pair)
    failed = still.run(failing, check=False)
    still.publish_many(["other"] * 20)
    still.prune(executions=1)
    assert still.events.list()[0].execution_id == failed.id, "it is kept whole"
    still.events.prune(before=still.publish("other").offset)
    with pytest.raises(af.OffsetPruned, match="cannot go on: the log was pruned up to offset"):
        failed.resume()
    assert failed.status == "FAILED"
    with pytest.raises(af.OffsetPruned):
        assert_replays(failed)
    assert "was pruned" in failed.why("fail_once")


def test_going_on_after_many_events_that_do_not_concern_it_reads_few_rows(tmp_path: Path, clock: ManualClock) -> None:
    @af.workflow(ends="never", name="hears_one_key")
    def one_key() -> None:
        hear().start_on(af.event("n"))

    @af.workflow(ends="never", name="hears_patterns")
    def patterns() -> None:
        hear().start_on(af.event("n.*"))

    @af.workflow(start_on=af.event("n"), name="started_by_n")
    def by_n() -> None:
        hear()

    def read(project: af.Project, table: str, row_id: str, keys: list[str] | None) -> int:
        found = project._store.snapshot(table, row_id)
        return len(log.of_execution(project._store.reader(), row_id, found[1] if found else 0, keys))

    with reopened(tmp_path, clock) as project:
        many = [project.start(workflow) for workflow in (one_key, patterns) for _ in range(5)]
        with Server(project, [by_n]):
            for _ in range(40):
                project.publish_many(["other"] * 500)
            (trigger,) = project.triggers.list()
            rows = [read(project, "executions", e.id, ["n"]) for e in many]
            rows += [read(project, "executions", e.id, None) for e in many]
            assert max(rows) < 6_000, "not the 20,000 that came"
            assert read(project, "triggers", trigger.id, ["n"]) < 5
            assert project.prune(events=1000).pruned_until > 19_000, "none of them holds up the log"
        for execution in many:
            execution.stop()


def test_a_state_in_which_nothing_happened_is_not_written_again(tmp_path: Path, clock: ManualClock) -> None:
    with reopened(tmp_path, clock) as project:
        many = [project.start(half_met) for _ in range(3)]
        project.publish_many(["other"] * 1000)
        project.publish_many(["other"] * 1000)
        written: list[str] = []
        watch(project, before=written.append)
        before = [project._store.snapshot("executions", e.id) for e in many]
        for _ in range(3):
            project.publish_many(["other"] * 1000)
        after = [project._store.snapshot("executions", e.id) for e in many]
        assert [a and a[1] for a in after] != [b and b[1] for b in before]
        assert sum("SET snapshot = ?" in sql for sql in written) <= 1
        assert sum("SET snapshot_offset = ?" in sql for sql in written) >= 1
        for execution in many:
            execution.stop()


# --- how --------------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_would_go_and_deletes_nothing(still: af.Project) -> None:
    for n in range(4):
        still.run(pair, n=n)
    still.start(service)
    still.publish_many([("n", n) for n in range(5)])
    run_until_idle(still)
    age_blobs(still)
    before = still.events.list()
    told = still.prune(executions=2, dry_run=True)
    assert told.dry_run
    assert still.events.list() == before
    assert len(still.executions.list()) == 5
    done = still.prune(executions=2)
    assert done.went["blobs"] == 2
    assert dict(told.went) == {name: count for name, count in done.went.items() if name != "documents"}
    still.executions.list()[0].stop()


def test_pruning_on_a_full_disk_is_told_and_goes_on_when_there_is_room(still: af.Project) -> None:
    still.publish_many(["k"] * 5000)
    disk = Disk(still)
    disk.full = True
    with pytest.raises(af.StoreError):
        still.prune(events=10)
    assert dangling(still._store) == []
    disk.full = False
    still.prune(events=10)
    assert still.events.count() == 10


def test_no_step_of_pruning_holds_up_others_for_long(still: af.Project) -> None:
    still.publish_many(["k"] * 10_000)
    steps: list[list[str]] = [[]]

    def note(sql: str) -> None:
        steps[-1].append(sql)
        if sql == "COMMIT":
            steps.append([])

    watch(still, before=note)
    still.prune(events=10)
    deleting = [step for step in steps if any("DELETE FROM events" in sql for sql in step)]
    assert len(deleting) >= 3, "others can write in between"
    assert all(sum("DELETE" in sql for sql in step) == 1 for step in deleting)


def test_a_process_that_slept_while_another_pruned_what_it_had_not_read_says_so(
    still: af.Project, caplog: pytest.LogCaptureFixture
) -> None:
    still.publish("k")
    row = (7, 0.0, "k", "UNDEFINED", "null", "tests")
    other = door.connect(still.home)  # as another process that has published 2 to 7, and pruned up to 6
    other.execute("INSERT INTO events (offset, time, key, type, value, namespace) VALUES (?, ?, ?, ?, ?, ?)", row)
    other.execute("INSERT INTO meta VALUES ('pruned_until', '6')")
    other.close()
    assert still.publish("k").offset == 8
    assert "The log was pruned up to offset 6 before this process had read on from 1" in caplog.text


def test_two_do_not_prune_one_home_at_a_time(still: af.Project) -> None:
    assert still._store.names.hold("pruning") is None
    pruner = Pruner(still._store, still._clock, still._shared.engine, still._keep)
    with pytest.raises(af.Conflict, match="is being pruned by this process"):
        pruner.run(wait=False)
    still._store.names.free("pruning")
    assert pruner.run(wait=False).went == {}


def test_serving_prunes_by_itself_if_it_is_said_how_much_is_kept(tmp_path: Path) -> None:
    @af.workflow(start_on=af.event("go"), name="kept_small")
    def small() -> None:
        hear()

    with af.Project("p", home=tmp_path, keep={"executions": 2, "events": 5}) as project:
        with Server(project, [small], prune_each=0.0) as server:
            for n in range(5):
                project.publish("go", n)
            until(lambda: [e.result("hear") for e in project.executions.list(status="SUCCESS", limit=1)] == [4])
            until(lambda: server.look() or len(project.executions.list()) == 2)  # each look may come while one prunes
            until(lambda: server.look() or project._store.pruned_until > 0)
        assert dangling(project._store) == []


def test_40_without_limits_serving_prunes_nothing(tmp_path: Path) -> None:
    @af.workflow(start_on=af.event("go"), name="kept_all")
    def whole() -> None:
        hear()

    with af.Project("p", home=tmp_path) as project, Server(project, [whole]) as server:
        assert server._pruning is None


def test_owners_that_are_gone_for_an_hour_are_forgotten(still: af.Project, clock: ManualClock) -> None:
    still.publish("k")
    row = ("9-dead", 9, "host", clock.now() - 7200, clock.now() - 7200)
    still._store.write([("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", row)])
    (still.home / "owners" / "9-dead.lock").touch()
    assert still.prune().went == {"owners": 1}
    assert [name for (name,) in still._store.rows("SELECT id FROM owners")] == [still._store.owner_id]
    assert not (still.home / "owners" / "9-dead.lock").exists()


def test_free_room_is_given_back_when_asked_for(still: af.Project) -> None:
    still.publish_many([("k", "x" * 1000)] * 500)
    pruned = still.prune(events=1)
    assert pruned.after["free"] > 300_000
    assert still.prune(vacuum=True).after["free"] == 0
    assert still.publish("k").offset == 501


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"executions": -1}, "keep.executions in the argument must be a whole number ≥ 0, not -1"),
        ({"days": "many"}, "keep.days in the argument must be a number of days ≥ 0, not 'many'"),
        ({"blobs": "2 pounds"}, "keep.blobs in the argument must be a number of bytes, or a text such as '2 GB'"),
        ({"event": 1}, "unknown limit keep.event in the argument; did you mean 'events'?"),
        (7, "keep in the argument must be a table such as"),
        ("days", "has no '='"),
    ],
)
def test_a_limit_that_does_not_fit_is_named(tmp_path: Path, said: Any, told: str) -> None:
    with pytest.raises(af.ParameterError, match=told.replace("?", r"\?")):
        af.Project(home=tmp_path / "home", keep=said)
    assert not (tmp_path / "home").exists()


def test_limits_of_an_argument_beat_the_environment_and_that_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.aiflow]\nkeep = {executions = 1, days = 2, blobs = "3 kB"}\n')
    monkeypatch.setenv("AIFLOW_KEEP", "days=4, events=5")
    with af.Project(home=tmp_path / ".aiflow", keep={"events": 6}) as project:
        keep = project._keep
    assert (keep.executions, keep.days, keep.events, keep.blobs) == (1, 4.0, 6, 3000)
