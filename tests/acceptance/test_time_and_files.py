"""Acceptance of time and files (rules 23, 24 and 26), written from their text alone."""

from __future__ import annotations

import glob
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.acceptance.acts import end, until

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(*when: int, fold: int = 0) -> datetime:
    return datetime(*when, fold=fold, tzinfo=BERLIN)  # type: ignore[arg-type, misc]


def ticking(condition: af.Condition, ticks: list[Any]) -> af.Workflow:
    @af.job
    def tick():
        ticks.extend(event.time for event in af.current().events)

    @af.workflow(name="ticking", ends="never")
    def flow():
        tick().start_on(condition)

    return flow


# ----------------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        # 02:30 does not exist on 29 March: it runs at the next local time that does, which is 03:00
        (berlin(2026, 3, 28, 0), [berlin(2026, 3, 28, 2, 30), berlin(2026, 3, 29, 3, 0), berlin(2026, 3, 30, 2, 30)]),
        # 02:30 exists twice on 25 October: it runs once
        (
            berlin(2026, 10, 24, 0),
            [berlin(2026, 10, 24, 2, 30), berlin(2026, 10, 25, 2, 30), berlin(2026, 10, 26, 2, 30)],
        ),
    ],
)
def test_rule_23_cron_in_berlin_runs_once_on_the_days_when_the_clocks_change(tmp_path, start, expected):
    ticks: list[Any] = []
    clock = ManualClock(start.astimezone(UTC))
    with project_for_tests(tmp_path / "home", clock) as project:
        execution = project.start(ticking(af.cron("30 2 * * *", tz="Europe/Berlin"), ticks))
        clock.advance(timedelta(hours=52))
        assert ticks == [moment.astimezone(UTC) for moment in expected]
        end(execution)


def test_rule_23_at_means_the_second_of_two_equal_local_times_when_it_says_so(tmp_path):
    ticks: list[Any] = []
    clock = ManualClock(datetime(2026, 10, 24, 22, tzinfo=UTC))
    with project_for_tests(tmp_path / "home", clock) as project:
        execution = project.start(ticking(af.at(berlin(2026, 10, 25, 2, 30, fold=1)), ticks))
        clock.advance(timedelta(hours=3, minutes=29, seconds=59))
        assert ticks == []
        clock.advance(1)
        assert ticks == [datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
        clock.advance(timedelta(days=2))
        assert len(ticks) == 1
        end(execution)


def test_rule_9_a_tick_and_an_event_make_an_all_and_the_event_carries_the_time_that_was_due(
    aiflow_project, aiflow_clock
):
    ticks: list[Any] = []
    aiflow_clock.advance(7)
    start = aiflow_clock.time
    execution = aiflow_project.start(ticking(af.every(60) & af.event("go"), ticks))
    aiflow_clock.advance(130)  # two ticks: the latch keeps the newer
    assert ticks == []
    event = aiflow_project.publish("go")
    run_until_idle(aiflow_project)
    assert ticks == [start + timedelta(seconds=120), event.time]
    end(execution)


@pytest.mark.parametrize(("misfire", "count"), [("all", 4), ("once", 1), ("skip", 0)])
def test_rule_24_misfire_decides_what_becomes_of_ticks_that_were_missed_between_two_processes(tmp_path, misfire, count):
    ticks: list[Any] = []
    clock = ManualClock()
    start = clock.time
    flow = ticking(af.every(60, misfire=misfire), ticks)
    project = project_for_tests(tmp_path / "home", clock)
    project.start(flow)
    clock.advance(61)
    assert ticks == [start + timedelta(seconds=60)]
    project.close(detach=True)
    clock.advance(4 * 60 + 30)  # 120, 180, 240 and 300 are missed; now 331
    with project_for_tests(tmp_path / "home", clock) as again:
        [execution] = again.recover()
        run_until_idle(again)
        assert len(ticks) == 1 + count
        if misfire == "all":
            assert ticks == [start + timedelta(seconds=60 * n) for n in range(1, 6)]
        clock.advance(60)  # 391: the grid is the one of the start
        assert ticks[1 + count :] == [start + timedelta(seconds=360)]
        end(execution)


@pytest.mark.parametrize(("condition", "more"), [(af.every(600), 12), (af.cron("*/10 * * * *"), 6)])
def test_rule_24_a_clock_that_is_set_back_fires_nothing_twice_and_does_not_stall(
    aiflow_project, aiflow_clock, condition, more
):
    ticks: list[Any] = []
    execution = aiflow_project.start(ticking(condition, ticks))
    aiflow_clock.advance(3601)
    assert len(set(ticks)) == len(ticks) == 6
    aiflow_clock.jump(-3600)
    aiflow_clock.advance(2 * 3600)
    assert len(ticks) == 6 + more  # an interval is one of time that passes, a cron one of the wall clock
    assert len(set(ticks)) == 12
    end(execution)


def test_rule_14_ticks_that_meet_a_waiting_job_become_one_start_with_all_of_them(aiflow_project, aiflow_clock):
    seen = []

    @af.job(retries=1, retry_delay=200, retry_backoff=1)
    def work():
        seen.append([event.time for event in af.current().events])
        if len(seen) == 1:
            raise RuntimeError("the first time")

    @af.workflow(ends="never")
    def flow():
        work().start_on(af.every(60))

    start = aiflow_clock.time
    execution = aiflow_project.start(flow)
    aiflow_clock.advance(265)  # it fails at 60 and is tried again at 260; 120, 180 and 240 come meanwhile
    tick = [start + timedelta(seconds=60 * n) for n in range(5)]
    assert seen == [[tick[1]], [tick[1]], [tick[2], tick[3], tick[4]]]
    end(execution)


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.fixture
def inbox(tmp_path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


class Watch:
    """An execution with a job that runs once per file event, on real threads and real time."""

    def __init__(self, home: Path, pattern: Path) -> None:
        self.values: list[dict[str, Any]] = []
        values = self.values

        @af.job
        def take():
            values.append(af.current().event.value)

        @af.workflow(name="watch")
        def watch():
            take().start_on(af.file(str(pattern)))

        self.workflow = watch
        self.home = home

    @property
    def names(self) -> list[str]:
        return [Path(value["path"]).name for value in self.values]

    def expect(self, *names: str) -> None:
        """Wait for just these, in whatever order, since the last call."""
        until(lambda: len(self.values) >= len(names), f"{names}, there is {self.names}")
        assert sorted(self.names) == sorted(names)
        self.values.clear()


@pytest.fixture
def watch(tmp_path, inbox):
    watch = Watch(tmp_path / "home", inbox / "*.csv")
    with af.Project("files", home=watch.home) as project:
        watch.execution = project.start(watch.workflow)
        yield watch
        end(watch.execution)


def test_rule_26_a_file_counts_when_it_is_closed_or_renamed_into_place_and_once_per_version(watch, inbox, tmp_path):
    half = (inbox / "half.csv").open("w")
    half.write("a,b\n")
    half.flush()
    (inbox / "other.txt").write_text("not asked for")
    (inbox / "whole.csv").write_text("1,2\n")
    until(lambda: watch.values)
    assert watch.values[0]["size"] == 4
    assert watch.values[0]["mtime"] == pytest.approx((inbox / "whole.csv").stat().st_mtime)
    watch.expect("whole.csv")
    half.write("c,d\n")
    half.close()
    until(lambda: watch.values)
    assert watch.values[0]["size"] == 8
    watch.expect("half.csv")
    (tmp_path / "draft").write_text("1,2,3\n")
    os.replace(tmp_path / "draft", inbox / "whole.csv")  # renamed over the one that was there
    watch.expect("whole.csv")
    (inbox / "half.csv").unlink()
    (inbox / "half.csv").write_text("made again\n")
    watch.expect("half.csv")


def test_rule_26_a_folder_that_is_deleted_and_made_again_is_watched_again(watch, inbox):
    (inbox / "one.csv").write_text("1\n")
    watch.expect("one.csv")
    shutil.rmtree(inbox)
    inbox.mkdir()
    (inbox / "two.csv").write_text("2\n")
    watch.expect("two.csv")
    (inbox / "three.csv").write_text("3\n")
    watch.expect("three.csv")


def test_rule_26_a_link_that_leads_out_of_the_folder_is_refused(watch, inbox, tmp_path):
    (tmp_path / "outside.csv").write_text("secret\n")
    (inbox / "link.csv").symlink_to(tmp_path / "outside.csv")
    (inbox / "inside.csv").write_text("1\n")
    watch.expect("inside.csv")
    (inbox / "more.csv").write_text("1\n")
    watch.expect("more.csv")


def test_rule_26_what_arrived_while_nothing_ran_is_found_by_a_scan_and_what_was_seen_is_not_seen_again(tmp_path, inbox):
    watch = Watch(tmp_path / "home", inbox / "*.csv")
    (inbox / "early.csv").write_text("there already\n")
    project = af.Project("files", home=watch.home)
    project.start(watch.workflow)
    watch.expect("early.csv")
    (inbox / "seen.csv").write_text("1\n")
    watch.expect("seen.csv")
    project.close(detach=True)
    (inbox / "late.csv").write_text("2\n")
    (inbox / "seen.csv").write_text("another version\n")
    with af.Project("files", home=watch.home) as again:
        [execution] = again.recover()
        watch.expect("late.csv", "seen.csv")
        (inbox / "last.csv").write_text("3\n")
        watch.expect("last.csv")
        end(execution)


def test_rule_26_a_folder_that_is_missing_at_the_start_is_watched_once_it_is_there(tmp_path):
    folder = tmp_path / "later"
    watch = Watch(tmp_path / "home", folder / "*.csv")
    with af.Project("files", home=watch.home) as project:
        execution = project.start(watch.workflow)
        folder.mkdir()
        (folder / "one.csv").write_text("1\n")
        watch.expect("one.csv")
        end(execution)


def test_rule_24_a_moment_fires_once_though_the_clock_is_set_back_and_a_long_sleep_makes_one_tick(
    aiflow_project, aiflow_clock
):
    seen = []

    @af.job
    def at():
        seen.append("at")

    @af.job
    def cron():
        seen.append("cron")

    @af.workflow(ends="never")
    def flow():
        at().start_on(af.at(aiflow_clock.time + timedelta(minutes=30)))
        cron().start_on(af.cron("0 * * * *"))

    execution = aiflow_project.start(flow)
    aiflow_clock.advance(3600)
    assert sorted(seen) == ["at", "cron"]
    aiflow_clock.jump(-3600)
    aiflow_clock.advance(3600)
    assert sorted(seen) == ["at", "cron"]
    aiflow_clock.jump(4 * 3600 + 60)
    aiflow_clock.advance(1)
    assert sorted(seen) == ["at", "cron", "cron"]
    aiflow_clock.advance(3600)
    assert sorted(seen) == ["at", "cron", "cron", "cron"]
    end(execution)


def test_rule_26_odd_names_are_names_folders_are_no_files_and_modified_is_not_created(tmp_path):
    inbox = tmp_path / "in box [1]"
    inbox.mkdir()
    names, changes = [], []

    @af.job
    def any_change():
        names.append(Path(af.current().event.value["path"]).name)

    @af.job
    def modified():
        changes.append(Path(af.current().event.value["path"]).name)

    @af.workflow
    def watch():
        any_change().start_on(af.file(glob.escape(str(inbox)) + "/*.csv"))
        modified().start_on(af.file(glob.escape(str(inbox)) + "/*.csv", on="modified"))

    with af.Project("files", home=tmp_path / "home") as project:
        execution = project.start(watch)
        (inbox / "folder.csv").mkdir()
        odd = ["näh me.csv", "[a].csv", "new\nline.csv", "😀.csv", "%s'\";--.csv"]
        for name in odd:
            (inbox / name).write_text("1")
        until(lambda: len(names) >= 5)
        assert sorted(names) == sorted(odd)
        (inbox / odd[0]).write_text("22")
        until(lambda: len(changes) >= 1)
        assert changes == [odd[0]]
        assert execution.status == "RUNNING"
        end(execution)


def test_rules_23_and_24_a_moment_that_passed_while_nothing_ran_is_met_on_resuming(tmp_path):
    clock = ManualClock()
    ran = []

    @af.job
    def work():
        ran.append(af.current().event.time)

    due = clock.time + timedelta(seconds=60)
    past = clock.time - timedelta(seconds=60)

    @af.workflow
    def moments():
        work().start_on(af.at(due))
        work().start_on(af.at(past))

    project = project_for_tests(tmp_path / "home", clock)
    project.start(moments)
    project.close(detach=True)
    clock.advance(120)
    with project_for_tests(tmp_path / "home", clock) as project:
        [execution] = project.recover()
        run_until_idle(project)
        assert ran == [due]
        assert execution.status == "SUCCESS"
        assert execution.job("work_2").status == "SKIPPED"
        assert_replays(execution)
