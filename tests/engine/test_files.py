"""Files meet conditions: each version once, whoever waits and however often the process begins again. Real files."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.children import until

import aiflow as af
from aiflow.cli.loading import load_workflow
from aiflow.graph.event import Draft
from aiflow.serving import Server
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle
from aiflow.turns import Entry


@pytest.fixture(autouse=True)
def all_is_stopped(request: pytest.FixtureRequest) -> Iterator[None]:
    """What waits for files for ever is stopped at the end."""
    projects = [request.getfixturevalue(name) for name in ("project", "still") if name in request.fixturenames]
    yield
    for project in projects:
        for execution in project.executions.list():
            execution.stop()


@contextmanager
def opened(tmp_path: Path) -> Iterator[af.Project]:
    """A project that is left as a process leaves it that dies."""
    project = project_for_tests(tmp_path / "home")
    try:
        yield project
    finally:
        project.close(detach=True)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder for files to come into."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def service(condition: af.Condition, name: str = "service", **options: Any) -> tuple[af.Workflow, list[str]]:
    """A workflow whose job runs for each file, and the names of the files that it has run for."""
    seen: list[str] = []

    @af.job
    def take() -> str:
        event = af.current().event
        assert event is not None
        assert event.key == f"file:{event.value['path']}"
        seen.append(Path(event.value["path"]).name)
        return seen[-1]

    @af.workflow(name=name, **options)
    def work() -> None:
        take().start_on(condition)

    return work, seen


def told(project: af.Project) -> list[tuple[str, str]]:
    """The file events in the log: names and changes."""
    return [(Path(e.value["path"]).name, e.value["change"]) for e in project.events.list(types="FILE_CHANGED")]


def let_come(project: af.Project, *files: Path) -> None:
    """Write files, and wait until all that follows from them is done."""
    for file in files:
        file.write_text(file.name)
        run_until_idle(project)


# --- one version, one event -------------------------------------------------------------------------------------------


def test_26_one_version_of_a_file_is_one_event_also_across_restarts(tmp_path: Path, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"))
    for turn in range(3):
        (inbox / f"{turn}.csv").write_text("while nothing ran")
        with opened(tmp_path) as project:
            project.start(work)
            run_until_idle(project)
            let_come(project, inbox / f"while{turn}.csv")
    assert seen == ["0.csv", "while0.csv", "1.csv", "while1.csv", "2.csv", "while2.csv"]
    with opened(tmp_path) as project:
        assert told(project) == [(name, "created") for name in seen]


def test_26_the_events_value_says_what_there_is(still: af.Project, inbox: Path, tmp_path: Path) -> None:
    work, _ = service(af.file(inbox / "*.csv"))
    still.start(work)
    (tmp_path / "a.csv").write_text("12345")
    os.utime(tmp_path / "a.csv", (1000.5, 1000.5))
    (tmp_path / "a.csv").rename(
        inbox / "a.csv"
    )  # one change: what is written first and given a time then may be told twice
    run_until_idle(still)
    (event,) = still.events.list(types="FILE_CHANGED")
    assert event.value == {"path": str(inbox / "a.csv"), "size": 5, "mtime": 1000.5, "change": "created"}
    assert event.key == f"file:{inbox / 'a.csv'}"
    assert (event.context, event.sender, event.execution_id, event.namespace) == (None, None, None, "tests")


def test_26_another_version_is_modified_and_what_was_deleted_is_created_again(still: af.Project, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"))
    still.start(work)
    let_come(still, inbox / "a.csv")
    (inbox / "next").write_text("renamed over it")
    os.replace(inbox / "next", inbox / "a.csv")
    run_until_idle(still)
    (inbox / "a.csv").unlink()
    run_until_idle(still)
    let_come(still, inbox / "a.csv")
    shutil.rmtree(inbox)
    run_until_idle(still)
    inbox.mkdir()
    let_come(still, inbox / "a.csv")
    assert told(still) == [("a.csv", change) for change in ("created", "modified", "created", "created")]
    assert len(seen) == 4


def test_26_on_says_which_changes_count(still: af.Project, inbox: Path) -> None:
    created, new = service(af.file(inbox / "*.csv", on="created"), "created")
    modified, changed = service(af.file(inbox / "*.csv", on=("modified",)), "modified")
    still.start(created)
    still.start(modified)
    let_come(still, inbox / "a.csv", inbox / "b.csv")
    (inbox / "a.csv").write_text("more")
    run_until_idle(still)
    assert (new, changed) == (["a.csv", "b.csv"], ["a.csv"])


def test_26_times_that_the_copier_sets_are_no_event(still: af.Project, inbox: Path, tmp_path: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"))
    still.start(work)
    (tmp_path / "a.csv").write_text("1")
    os.utime(tmp_path / "a.csv", (1000, 1000))
    for _ in range(2):
        shutil.copy2(tmp_path / "a.csv", inbox / "a.csv")
        run_until_idle(still)
    assert len(set(seen)) == 1
    row = still.db.execute("SELECT path, mtime_ns, offset FROM files").fetchall()
    assert row == [(str(inbox / "a.csv"), 1000 * 10**9, still.events.latest(f"file:{inbox / 'a.csv'}").offset)]


def test_26_settle_goes_by_the_clock_and_each_settle_has_events_of_its_own(
    still: af.Project, clock: ManualClock, inbox: Path
) -> None:
    at_once, first = service(af.file(inbox / "*.csv"), "at_once")
    later, second = service(af.file(inbox / "*.csv", settle=60), "later")
    still.start(at_once)
    still.start(later)
    let_come(still, inbox / "a.csv")
    clock.advance(59)
    assert (first, second) == (["a.csv"], [])
    (inbox / "a.csv").write_text("more")
    clock.advance(59)
    assert (first, second) == (["a.csv"] * 2, [])
    clock.advance(1)
    assert (first, second) == (["a.csv"] * 2, ["a.csv"])
    assert [e.value.get("settle") for e in still.events.list(types="FILE_CHANGED")] == [None, None, 60]


# --- executions -------------------------------------------------------------------------------------------------------


def test_14_each_file_is_one_run_in_order_while_the_job_is_busy(project: af.Project, inbox: Path) -> None:
    go, seen = threading.Event(), list[str]()

    @af.job
    def take() -> None:
        event = af.current().event
        assert event is not None
        assert go.wait(20)
        seen.append(Path(event.value["path"]).name)

    @af.workflow
    def work() -> None:
        take().start_on(af.file(inbox / "*.csv"))

    execution = project.start(work)
    names = [f"{n}.csv" for n in range(12)]
    for name in names:
        (inbox / name).write_text("1")
    until(lambda: project.events.count(types="FILE_CHANGED") == 12)
    go.set()
    until(lambda: len(seen) == 12)
    assert seen == [Path(e.value["path"]).name for e in project.events.list(types="FILE_CHANGED")]
    assert sorted(seen) == sorted(names)
    execution.stop()
    execution.wait(20)
    assert_replays(execution)


def test_3_a_file_event_reaches_all_executions_that_wait_for_it(still: af.Project, inbox: Path) -> None:
    works = [service(af.file(inbox / pattern), f"w{n}") for n, pattern in enumerate(("*.csv", "a*", "**/*", "*.txt"))]
    for work, _ in works:
        still.start(work)
    let_come(still, inbox / "a.csv")
    assert [seen for _, seen in works] == [["a.csv"]] * 3 + [[]]
    assert still.events.count(types="FILE_CHANGED") == 1
    late, seen = service(af.file(inbox / "*.csv"), "late")
    still.start(late)
    run_until_idle(still)
    assert seen == []
    let_come(still, inbox / "b.csv")
    assert seen == ["b.csv"]


def test_a_file_event_is_taken_to_those_alone_who_wait_in_its_folders(still: af.Project, inbox: Path) -> None:
    executions = {}
    for pattern in ("*.csv", "a.csv", "deep/*.csv", "../elsewhere/*.csv", "../**/*.txt"):
        work, _ = service(af.file(inbox / pattern), f"w{len(executions)}")
        executions[pattern] = still.start(work).id
    engine = still._shared.engine

    def touched_by(path: Path) -> set[str]:
        value = {"path": str(path), "size": 1, "mtime": 1.0, "change": "created"}
        draft = Draft(f"file:{path}", value, "FILE_CHANGED", "tests")
        entry = engine.submit(Entry(lambda: (engine.publish_now([draft]), set(engine._touched))))
        return {name for name, one in executions.items() if one in entry.result[1]}

    assert touched_by(inbox / "a.csv") == {"*.csv", "a.csv", "../**/*.txt"}
    assert touched_by(inbox / "deep/a.csv") == {"*.csv", "a.csv", "deep/*.csv", "../**/*.txt"}
    assert touched_by(inbox.parent / "elsewhere/a") == {"../elsewhere/*.csv", "../**/*.txt"}
    assert touched_by(Path("/a.csv")) == set()


def test_who_waits_for_a_file_and_for_its_event_hears_of_it_once(still: af.Project, inbox: Path) -> None:
    @af.job
    def by_file() -> None: ...

    @af.job
    def by_key() -> None: ...

    @af.workflow
    def work() -> None:
        by_file().start_on(af.file(inbox / "*.csv") | af.file(inbox.parent / "**/*.csv"))
        by_key().start_on(af.event(f"file:{inbox / 'a.csv'}"))

    execution = still.start(work)
    let_come(still, inbox / "a.csv")
    assert [(j.job, j.number) for j in execution.jobs] == [("by_file", 1), ("by_key", 1)]


def test_now_counts_a_file_that_is_there_and_known_once_and_for_that_execution_alone(
    still: af.Project, inbox: Path
) -> None:
    plain, heard = service(af.file(inbox / "*.csv"), "plain")
    now, seen = service(af.file(inbox / "*.csv", on="modified").now() | af.file(inbox / "new*").now(), "now")
    still.start(plain)
    let_come(still, inbox / "a.csv", inbox / "b.csv", inbox / "c.csv")
    (inbox / "b.csv").unlink()
    execution = still.start(now)
    run_until_idle(still)
    assert seen == ["a.csv", "c.csv"]
    let_come(still, inbox / "new.csv")
    assert seen == ["a.csv", "c.csv", "new.csv"]
    assert heard == ["a.csv", "b.csv", "c.csv", "new.csv"]
    own = [e for e in still.events.list(types="FILE_CHANGED") if e.context is not None]
    assert [(e.context, e.execution_id, Path(e.value["path"]).name) for e in own] == [
        (execution.id, execution.id, name) for name in ("a.csv", "c.csv")
    ]
    assert_replays(execution)


def test_now_counts_what_is_there_and_new_like_everybody(still: af.Project, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv").now())
    (inbox / "a.csv").write_text("1")
    still.start(work)
    run_until_idle(still)
    assert seen == ["a.csv"]
    assert told(still) == [("a.csv", "created")]


def test_conditions_on_files_can_be_combined(still: af.Project, inbox: Path) -> None:
    both, pairs = service(af.file(inbox / "a.csv").sticky() & af.file(inbox / "b.csv"), "both")
    three, third = service(af.file(inbox / "*.csv").times(3), "three")
    still.start(both)
    still.start(three)
    let_come(still, inbox / "b.csv", inbox / "a.csv", inbox / "c.csv")
    for text in ("2", "3"):
        (inbox / "b.csv").write_text(text)
        run_until_idle(still)
    assert pairs == ["a.csv", "b.csv", "b.csv"]
    assert third == ["c.csv"]


def test_a_file_can_stop_an_execution(still: af.Project, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"), stop_on=af.file(inbox / "STOP"))
    execution = still.start(work)
    let_come(still, inbox / "a.csv", inbox / "STOP", inbox / "b.csv")
    assert execution.status == "STOPPED"
    assert seen == ["a.csv"]


def test_a_relative_pattern_is_taken_from_the_folder_of_the_workflows_file(
    still: af.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "project/flows.py"
    (source.parent / "inbox").mkdir(parents=True)
    text = "import aiflow as af\n@af.job\ndef take(): return af.current().event.value['path']\n"
    text += "@af.workflow\ndef work(): take().start_on(af.file('../project/./inbox/*.csv'))\n"
    source.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, str(source), "exec"), names)
    monkeypatch.chdir(tmp_path)
    execution = still.start(names["work"])
    let_come(still, source.parent / "inbox/a.csv")
    assert execution.results("take") == [str(source.parent / "inbox/a.csv")]
    assert "START on file('../project/./inbox/*.csv')" in execution.why("take")


def test_what_waits_for_files_in_a_folder_that_is_not_there_says_so_with_its_whole_path(
    still: af.Project, tmp_path: Path
) -> None:
    source = tmp_path / "project/flows.py"
    source.parent.mkdir()
    text = "import aiflow as af\n@af.job\ndef take(): ...\n"
    text += "@af.workflow(stop_on=af.file('stops/now'))\n"
    text += "def work(): take().start_on(af.file('nowhere/*.csv', settle=1) & af.event('go'))\n"
    source.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, str(source), "exec"), names)
    where, waits = source.parent / "nowhere", "all(file('nowhere/*.csv', settle=1), event('go')) (starts take"
    with pytest.raises(TimeoutError) as told:
        still.run(names["work"])
    assert f"{waits}; there is no folder {where})" in str(told.value)
    assert f"file('stops/now') (stops it; there is no folder {source.parent / 'stops'})" in str(told.value)
    (execution,) = still.executions.list()
    line = f"  file('nowhere/*.csv') is {where}/*.csv"
    assert f"{line}, and there is no folder {where}" in execution.why("take").splitlines()
    with opened(tmp_path) as other:  # which knows the workflow only by its definition
        assert f"{line}, and there is no folder {where}" in other.executions.get(execution.id).why("take")
    where.mkdir()
    assert line in execution.why("take").splitlines()
    with pytest.raises(TimeoutError) as told:
        execution.wait()
    assert f"{waits})" in str(told.value)


def test_a_relative_pattern_of_a_workflow_without_a_file_is_taken_from_the_working_directory(
    still: af.Project, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"af": af}
    exec("@af.job\ndef take(): ...\n@af.workflow\ndef work(): take().start_on(af.file('inbox/*.csv'))", names)
    monkeypatch.chdir(inbox.parent)
    execution = still.start(names["work"])
    let_come(still, inbox / "a.csv")
    assert execution.job("take").status == "SUCCESS"


def test_31_an_execution_that_is_taken_over_goes_on_with_the_files_that_came_meanwhile(
    tmp_path: Path, inbox: Path
) -> None:
    work, seen = service(af.file(inbox / "*.csv").now())
    with opened(tmp_path) as project:
        execution = project.start(work)
        let_come(project, inbox / "a.csv")
    (inbox / "b.csv").write_text("1")
    with opened(tmp_path) as project:
        execution = project.executions.get(execution.id)
        assert execution.status == "INTERRUPTED"
        execution.resume()
        run_until_idle(project)
        let_come(project, inbox / "c.csv")
        assert seen == ["a.csv", "b.csv", "c.csv"]
        assert_replays(execution)


def test_who_ends_lets_go_of_the_folder(still: af.Project, inbox: Path) -> None:
    work, _ = service(af.file(inbox / "*.csv"))
    folders = still._shared.engine.folders
    executions = [still.start(work), still.start(work)]
    run_until_idle(still)
    (watch,) = folders._watches.values()
    for execution in executions:
        assert list(folders._watches.values()) == [watch]
        execution.stop()
        run_until_idle(still)
    assert not folders._watches
    assert not folders._users
    let_come(still, inbox / "a.csv")
    assert told(still) == []


def test_a_start_that_fails_watches_nothing(still: af.Project, inbox: Path) -> None:
    work, _ = service(af.file(inbox / "*.csv"))
    engine = still._shared.engine
    say = engine.say

    def fail(*args: Any) -> None:
        raise ValueError("no")

    engine.say = fail  # type: ignore[method-assign]  # what a turn does when it cannot go on
    with pytest.raises(ValueError, match="no"):
        still.start(work)
    engine.say = say  # type: ignore[method-assign]
    assert not engine.folders._users


def test_20_an_execution_with_a_rule_on_files_stays_open(still: af.Project, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"))
    execution = still.start(work)
    let_come(still, inbox / "a.csv", inbox / "b.csv")
    assert seen == ["a.csv", "b.csv"]
    assert execution.status == "RUNNING"
    execution.stop()
    run_until_idle(still)
    assert execution.status == "STOPPED"


def test_what_is_published_by_hand_under_the_type_meets_the_condition_too(still: af.Project, inbox: Path) -> None:
    work, seen = service(af.file(inbox / "*.csv"))
    still.start(work)
    path = str(inbox / "never.csv")
    still.publish(f"file:{path}", {"path": path, "size": 1, "mtime": 1.0, "change": "created"}, type="FILE_CHANGED")
    still.publish(f"file:{path}", "nothing of that kind", type="FILE_CHANGED")
    still.publish("another key", {"path": path, "change": "created"}, type="FILE_CHANGED")
    run_until_idle(still)
    assert seen == ["never.csv"]


# --- triggers ---------------------------------------------------------------------------------------------------------


FLOWS = """
import aiflow as af

@af.workflow(start_on=af.file("inbox/*.csv"))
def take_in():
    pass
"""


@contextmanager
def served(project: af.Project, *workflows: af.Workflow) -> Iterator[None]:
    """Serve workflows meanwhile."""
    with Server(project, workflows):
        run_until_idle(project)
        yield


def by_file(condition: af.Condition, name: str = "by_file", **options: Any) -> af.Workflow:
    """A workflow that a condition starts, with one job that gives the names that it got."""

    @af.job
    def take(path: str, size: int) -> str:
        return f"{Path(path).name} {size}"

    def body(path: Path, size: int = 0) -> None:
        take(str(path), size)

    return af.workflow(body, name=name, start_on=condition, **options)


def results(project: af.Project) -> list[str]:
    """What the executions gave, in the order in which they were started."""
    return [e.result("take") for e in reversed(project.executions.list(limit=None))]


def test_25_each_file_starts_an_execution_with_its_path_as_a_parameter(still: af.Project, inbox: Path) -> None:
    with served(still, by_file(af.file(inbox / "*.csv"))):
        let_come(still, inbox / "a.csv", inbox / "b.csv")
        assert results(still) == ["a.csv 5", "b.csv 5"]
        event = still.executions.list()[0].event
        assert event is not None
        assert event.key == f"file:{inbox / 'b.csv'}"


def test_25_files_that_came_while_nobody_served_start_executions_at_the_next_serve(tmp_path: Path, inbox: Path) -> None:
    workflow = by_file(af.file(inbox / "*.csv"))
    (inbox / "0.csv").write_text("1")
    for turn in range(3):
        (inbox / f"{turn}.csv").write_text("1")
        with opened(tmp_path) as project, served(project, workflow):
            let_come(project, inbox / f"served{turn}.csv")
    with opened(tmp_path) as project:
        assert results(project) == [name for n in range(3) for name in (f"{n}.csv 1", f"served{n}.csv 11")]


def test_25_what_comes_while_a_trigger_is_paused_is_passed_over(still: af.Project, inbox: Path) -> None:
    with served(still, by_file(af.file(inbox / "*.csv"))):
        still.triggers.pause("by_file")
        let_come(still, inbox / "a.csv")
        still.triggers.resume("by_file")
        let_come(still, inbox / "b.csv")
        assert results(still) == ["b.csv 5"]


@pytest.mark.parametrize("other", [None, af.event("go", where=lambda event: True)], ids=["alone", "beside a function"])
def test_25_files_that_come_while_a_trigger_is_paused_and_nobody_serves_are_passed_over(
    tmp_path: Path, inbox: Path, other: af.Condition | None
) -> None:
    files = af.file(inbox / "*.csv")
    workflow = by_file(files if other is None else files | other)
    with opened(tmp_path) as project, served(project, workflow):
        pass
    (inbox / "before.csv").write_text("1")
    with opened(tmp_path) as project:
        project.triggers.pause("by_file")
    (inbox / "before.csv").write_text("another version")
    (inbox / "meanwhile.csv").write_text("22")
    with opened(tmp_path) as project:
        project.triggers.resume("by_file")
    (inbox / "after.csv").write_text("333")
    for _ in range(2):
        with opened(tmp_path) as project, served(project, workflow):
            assert results(project) == ["before.csv 1", "after.csv 3"]


def test_25_files_that_come_while_a_trigger_is_paused_are_there_for_others(tmp_path: Path, inbox: Path) -> None:
    paused, other = by_file(af.file(inbox / "*.csv")), by_file(af.file(inbox / "*.csv"), name="other")
    with opened(tmp_path) as project, served(project, paused, other):
        project.triggers.pause("by_file")
    (inbox / "meanwhile.csv").write_text("22")
    with opened(tmp_path) as project:
        project.triggers.resume("by_file")
    with opened(tmp_path) as project, served(project, paused, other):
        assert [e.workflow for e in project.executions.list()] == ["other"]


def test_25_a_relative_pattern_of_a_paused_trigger_is_taken_from_the_folder_of_its_workflow(
    tmp_path: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    workflow = load_workflow(str(tmp_path / "flows.py"))
    with opened(tmp_path) as project, served(project, workflow):
        project.triggers.pause("take_in")
    (inbox / "meanwhile.csv").write_text("22")
    monkeypatch.chdir("/")
    with opened(tmp_path) as project:
        project.triggers.resume("take_in")
        assert told(project) == [("meanwhile.csv", "created")]
    with opened(tmp_path) as project, served(project, workflow):
        assert project.executions.list() == []


def test_25_a_deleted_trigger_lets_go_of_its_folder(still: af.Project, inbox: Path) -> None:
    with served(still, by_file(af.file(inbox / "*.csv"))):
        assert still._shared.engine.folders._users
        still.triggers.delete("by_file")
        run_until_idle(still)
        assert not still._shared.engine.folders._users
