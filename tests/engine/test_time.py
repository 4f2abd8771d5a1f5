"""Conditions on time end to end: with a clock that the test moves, over restarts, when the disk is full, and in real time."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests import invariants
from tests.children import until
from tests.faults import Disk

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

BERLIN = ZoneInfo("Europe/Berlin")


@af.job
def seen() -> list[tuple[float, int]]:
    """When the ticks were due that started it, in seconds since midnight, and how many each makes up for."""
    midnight = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    return [(e.timestamp - midnight, e.value["missed"]) for e in af.current().events if e.type == "TIMER_FIRED"]


@af.job
def follow(value: Any) -> Any:
    return value


def ticking(condition: af.Condition, **options: Any) -> af.Workflow:
    @af.workflow(name="ticking", **options)
    def workflow() -> None:
        seen().start_on(condition)

    return workflow


def ticks(execution: af.Execution) -> list[tuple[float, int]]:
    """All ticks that its runs have seen: when each was due, and how many it makes up for."""
    return [tick for run in execution.results("seen") for tick in run]


def timers_of(project: af.Project) -> int:
    return len(project._shared.engine.ticker._heap)


# --- rules 23 and 24, while it runs -----------------------------------------------------------------------------------


def test_23_every_and_cron_start_jobs_when_they_are_due_and_followers_run_once_each(
    still: af.Project, clock: ManualClock
) -> None:
    @af.workflow
    def periodic() -> None:
        follow.options(name="after_every")(seen().start_on(af.every(60)))
        follow.options(name="after_cron")(seen().start_on(af.cron("*/2 * * * *", tz="Europe/Berlin")))

    execution = still.start(periodic)
    clock.advance(600)
    assert execution.results("seen") == execution.results("after_every") == [[(60.0 * n, 0)] for n in range(1, 11)]
    assert execution.results("seen_2") == execution.results("after_cron") == [[(120.0 * n, 0)] for n in range(1, 6)]
    assert execution.status == "RUNNING"
    assert_replays(execution)
    execution.stop().wait(60)


def test_23_a_tick_is_an_event_for_all_whose_time_is_when_it_was_due(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.every(60)))
    clock.advance(60)
    (tick,) = still.events.list(types="TIMER_FIRED")
    assert (tick.key, tick.context, tick.execution_id) == ("timer:every(60)", None, execution.id)
    assert tick.value == {"due": "2026-01-01T00:01:00+00:00", "missed": 0}
    assert tick.time == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert "timer:every(60)" in execution.why("seen")
    execution.stop().wait(60)


def test_executions_with_equal_conditions_have_ticks_of_their_own_and_hear_no_others(
    still: af.Project, clock: ManualClock
) -> None:
    @af.workflow
    def listening() -> None:
        follow(1).start_on(af.event("*"))

    workflow = ticking(af.every(60))
    first = still.start(workflow)
    clock.advance(30)
    second, listener = still.start(workflow), still.start(listening)
    clock.advance(90)
    assert ticks(first) == [(60, 0), (120, 0)]
    assert ticks(second) == [(90, 0)]
    assert listener.jobs == []
    for execution in (first, second, listener):
        execution.stop().wait(60)


def test_who_names_the_type_hears_the_ticks_of_other_executions(still: af.Project, clock: ManualClock) -> None:
    @af.workflow
    def listening() -> None:
        follow(1).start_on(af.event("timer:every*", type="TIMER_FIRED"))
        follow(2).start_on(af.event("timer:*", type="TIMER_FIRED").own())
        seen().start_on(af.cron("* * * * *"))

    listener, other = still.start(listening), still.start(ticking(af.every(20)))
    clock.advance(60)
    assert len(listener.results("follow")) == 3
    assert len(listener.results("follow_2")) == len(listener.results("seen")) == 1
    for execution in (other, listener):
        execution.stop().wait(60)


@pytest.mark.parametrize(
    ("day", "times"),
    [
        (datetime(2026, 3, 28, 12, tzinfo=BERLIN), [(29, 3, 0), (30, 2, 30)]),
        (datetime(2026, 10, 24, 12, tzinfo=BERLIN), [(25, 2, 30), (26, 2, 30)]),
    ],
    ids=["spring", "autumn"],
)
def test_23_cron_goes_by_the_wall_clock_of_its_zone(
    tmp_path: Path, day: datetime, times: list[tuple[int, int, int]]
) -> None:
    clock = ManualClock(day.astimezone(UTC))
    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(ticking(af.cron("30 2 * * *", tz="Europe/Berlin")))
        clock.advance(timedelta(hours=61))
        shown = [e.time.astimezone(BERLIN) for e in project.events.list(types="TIMER_FIRED")]
        assert [(t.day, t.hour, t.minute) for t in shown] == times
        execution.stop().wait(60)


def test_a_day_of_minutes_is_a_matter_of_seconds(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.cron("* * * * *")))
    clock.advance(timedelta(days=1))
    assert len(execution.jobs) == 1440
    execution.stop().wait(60)


def test_23_at_comes_once_and_the_execution_ends(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.at(datetime(2026, 1, 1, 12, tzinfo=UTC))))
    clock.advance(3600)
    assert (execution.status, ticks(execution)) == ("RUNNING", [])
    clock.advance(timedelta(days=2))
    assert (execution.status, ticks(execution)) == ("SUCCESS", [(43200, 0)])


def test_23_a_moment_that_is_past_at_the_start_does_not_come_but_now_makes_it(
    still: af.Project, clock: ManualClock
) -> None:
    past = af.at(datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    missed, now = still.start(ticking(past)), still.start(ticking(past.now()))
    clock.advance(1)
    assert missed.job("seen").status == "SKIPPED"  # type: ignore[union-attr]
    assert (now.status, ticks(now)) == ("SUCCESS", [(-60, 0)])


def test_now_makes_every_and_cron_tick_at_the_start_too(still: af.Project, clock: ManualClock) -> None:
    executions = [still.start(ticking(c.now())) for c in (af.every(60), af.cron("* * * * *"))]
    clock.advance(60)
    assert [ticks(e) for e in executions] == [[(0, 0), (60, 0)]] * 2
    for execution in executions:
        execution.stop().wait(60)


def test_an_execution_that_is_over_has_no_timers(still: af.Project, clock: ManualClock) -> None:
    year = still.start(ticking(af.cron("0 0 1 1 *") | af.every(60)))
    moment = still.start(ticking(af.at(datetime(2030, 1, 1, tzinfo=UTC)) | af.event("go"), stop_on=af.every(3600)))
    run_until_idle(still)
    assert timers_of(still) == 4
    still.publish("go")
    run_until_idle(still)
    assert moment.status == "SUCCESS"
    year.stop().wait(60)
    assert still._shared.engine.ticker.next_due() is None
    clock.advance(7200)
    assert still.events.count(types="TIMER_FIRED") == 0


def test_an_execution_may_be_stopped_when_its_time_is_up(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.every(60), stop_on=af.every(150)))
    clock.advance(timedelta(hours=1))
    assert (execution.status, len(ticks(execution))) == ("STOPPED", 2)
    assert execution.reason == "stopped by every(150)"


# --- the clock is set, the machine sleeps -----------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [1, -1])
def test_24_a_clock_that_is_set_makes_every_neither_tick_twice_nor_stall(
    still: af.Project, clock: ManualClock, hours: int
) -> None:
    execution = still.start(ticking(af.every(600)))
    clock.advance(900)
    clock.jump(timedelta(hours=hours))
    assert len(ticks(execution)) == 1
    clock.advance(299)
    assert len(ticks(execution)) == 1
    clock.advance(1 + 600)
    assert ticks(execution) == [(600, 0), (1200 + hours * 3600, 0), (1800 + hours * 3600, 0)]
    execution.stop().wait(60)


def test_24_a_clock_that_is_set_back_makes_cron_tick_for_no_time_twice(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.cron("*/10 * * * *")))
    clock.advance(1800)
    clock.jump(timedelta(hours=-1))
    clock.advance(3600)
    assert ticks(execution) == [(600, 0), (1200, 0), (1800, 0)]
    clock.advance(600)
    assert ticks(execution)[3:] == [(2400, 0)]
    execution.stop().wait(60)


def test_24_a_clock_that_is_set_on_makes_cron_tick_once_for_what_it_jumped_over(
    still: af.Project, clock: ManualClock
) -> None:
    execution = still.start(ticking(af.cron("*/10 * * * *")))
    clock.jump(timedelta(hours=1))
    clock.advance(600)
    assert ticks(execution) == [(3600, 5), (4200, 0)]
    execution.stop().wait(60)


def test_retries_are_as_long_as_they_were_when_the_clock_is_set(still: af.Project, clock: ManualClock) -> None:
    @af.job(retries=1, retry_delay=60)
    def unsteady() -> int:
        return 1 // (af.current().attempt - 1)

    @af.workflow
    def retrying() -> None:
        unsteady()

    execution = still.start(retrying)
    run_until_idle(still)
    clock.jump(timedelta(hours=5))
    clock.jump(timedelta(hours=-9))
    clock.advance(59)
    assert execution.status == "RUNNING"
    clock.advance(1)
    assert execution.status == "SUCCESS"


@pytest.mark.parametrize(
    ("misfire", "found"), [("once", [(28_740, 477)]), ("skip", []), ("all", [(60.0 * n, 0) for n in range(2, 480)])]
)
def test_24_a_machine_that_slept_makes_up_for_its_ticks_when_it_wakes(
    still: af.Project, clock: ManualClock, misfire: str, found: list[tuple[float, int]]
) -> None:
    execution = still.start(ticking(af.every(60, misfire=misfire)))
    clock.advance(60)
    clock._now += 8 * 3600 - 60 - 45  # nobody looked at the clock meanwhile
    still._shared.engine.on_clock()
    run_until_idle(still)
    assert ticks(execution) == [(60, 0), *found]
    clock.advance(45)
    assert ticks(execution)[-1] == (8 * 3600, 0)
    execution.stop().wait(60)


def test_timeouts_and_retries_of_what_is_over_keep_no_memory(still: af.Project, clock: ManualClock) -> None:
    @af.job(timeout=3600)
    def quick() -> None: ...

    @af.job(retries=1, retry_delay=3600)
    def failing() -> None:
        raise ValueError("no")

    @af.workflow(ends="never")
    def service() -> None:
        quick().start_on(af.event("go"))
        failing()

    execution = still.start(service)
    for _ in range(5):
        still.publish("go")
        run_until_idle(still)
    retry = still._shared.engine.ticker.next_due()
    assert retry == clock.now() + 3600
    assert len([1 for _, _, timer in still._shared.engine.ticker._heap if timer.action is not None]) == 1
    execution.stop().wait(60)
    assert still._shared.engine.ticker.next_due() is None


# --- over restarts ----------------------------------------------------------------------------------------------------


def interrupted(
    home: Path, clock: ManualClock, workflow: af.Workflow, away: float, ran: float = 90.0
) -> list[tuple[float, int]]:
    """Run it for some time, let the process be gone for `away` seconds, go on; give what was seen after that."""
    with project_for_tests(home, clock) as project:
        execution = project.start(workflow)
        clock.advance(ran)
        before = len(ticks(execution))
        project.close(detach=True)
    clock.advance(away)
    with project_for_tests(home, clock) as project:
        execution = project.executions.get(execution.id)
        assert execution.status == "INTERRUPTED"
        execution.resume()
        run_until_idle(project)
        assert_replays(execution)
        found = ticks(execution)[before:]
        execution.stop().wait(60)
    invariants.check(home)
    return found


@pytest.mark.parametrize(
    ("misfire", "away", "found"),
    [
        ("once", 10, []),
        ("once", 35, [(120, 0)]),
        ("once", 300, [(360, 4)]),
        ("skip", 35, [(120, 0)]),
        ("skip", 45, []),
        ("skip", 300, []),
        ("skip", 275, [(360, 4)]),
        ("all", 300, [(120, 0), (180, 0), (240, 0), (300, 0), (360, 0)]),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda m: af.every(60, misfire=m), lambda m: af.cron("* * * * *", misfire=m)], ids=["every", "cron"]
)
def test_24_ticks_that_were_missed_while_nothing_ran(
    tmp_path: Path, clock: ManualClock, make: Callable[[str], af.Condition], misfire: str, away: float, found: Any
) -> None:
    assert interrupted(tmp_path, clock, ticking(make(misfire)), away) == found


def test_24_a_moment_that_came_while_nothing_ran_comes_when_it_goes_on(tmp_path: Path, clock: ManualClock) -> None:
    moment = af.at(datetime(2026, 1, 1, 1, tzinfo=UTC))
    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(ticking(moment))
        project.close(detach=True)
    clock.advance(7200)
    with project_for_tests(tmp_path, clock) as project:
        execution = project.executions.get(execution.id)
        execution.resume()
        run_until_idle(project)
        assert (execution.status, ticks(execution)) == ("SUCCESS", [(3600, 0)])


def test_24_a_clock_that_was_set_back_while_nothing_ran_stalls_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(ticking(af.every(60)))
        clock.advance(60)
        project.close(detach=True)
    clock.jump(-3600)
    with project_for_tests(tmp_path, clock) as project:
        execution = project.executions.get(execution.id)
        execution.resume()
        clock.advance(120)
        assert ticks(execution) == [(60, 0), (60 - 3600 + 60, 0), (60 - 3600 + 120, 0)]
        execution.stop().wait(60)


def test_a_retry_is_not_put_off_by_a_clock_that_was_set_back_while_nothing_ran(
    tmp_path: Path, clock: ManualClock
) -> None:
    @af.job(retries=1, retry_delay=60)
    def unsteady() -> int:
        return 1 // (af.current().attempt - 1)

    @af.workflow
    def retrying() -> None:
        unsteady()

    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(retrying)
        run_until_idle(project)
        project.close(detach=True)
    clock.jump(timedelta(hours=-1))
    with project_for_tests(tmp_path, clock) as project:
        execution = project.executions.get(execution.id).resume()
        clock.advance(60)
        assert execution.status == "SUCCESS"


def test_24_a_thousand_missed_ticks_that_all_count_are_each_run(tmp_path: Path, clock: ManualClock) -> None:
    found = interrupted(tmp_path, clock, ticking(af.every(1, misfire="all")), 1_000, ran=2)
    assert found == [(float(n), 0) for n in range(3, 1_003)]


def test_34_what_was_stopped_and_is_resumed_makes_up_for_what_it_missed(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.every(60)))
    clock.advance(60)
    execution.stop().wait(60)
    clock.advance(600)
    execution.resume()
    clock.advance(0)
    assert ticks(execution) == [(60, 0), (660, 9)]
    execution.stop().wait(60)


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
def test_a_tick_that_comes_due_while_the_disk_is_full_is_neither_lost_nor_told_twice(
    still: af.Project, clock: ManualClock, misfire: str
) -> None:
    execution = still.start(ticking(af.every(5, misfire=misfire)))
    disk = Disk(still)
    disk.full = True
    clock.advance(7)
    assert disk.refused
    disk.full = False
    clock.advance(8)
    assert ticks(execution) == [(5, 0), (10, 0), (15, 0)]
    assert_replays(execution)
    execution.stop().wait(60)


def test_a_turn_that_fails_leaves_the_timers_armed(still: af.Project, clock: ManualClock) -> None:
    execution = still.start(ticking(af.every(60)))
    disk = Disk(still)
    disk.full = True
    with pytest.raises(af.StoreError):
        still.publish("go")
    disk.full = False
    clock.advance(120)
    assert ticks(execution) == [(60, 0), (120, 0)]
    execution.stop().wait(60)


# --- in real time -----------------------------------------------------------------------------------------------------


def test_23_in_real_time_ticks_come_in_time_and_none_is_lost(project: af.Project) -> None:
    execution = project.start(ticking(af.every(0.05, misfire="all")))
    until(lambda: len(execution.results("seen")) >= 4)
    execution.stop().wait(20)
    moments = [e.timestamp for e in project.events.list(types="TIMER_FIRED")]
    assert [round(b - a, 6) for a, b in pairwise(moments)] == [0.05] * (len(moments) - 1)


def test_14_a_job_that_takes_longer_than_its_interval_has_one_start_waiting(project: af.Project) -> None:
    begun, gate = threading.Semaphore(0), threading.Semaphore(0)

    @af.job
    def slow() -> int:
        begun.release()
        gate.acquire(timeout=20)
        return len(af.current().events)

    @af.workflow
    def busy() -> None:
        slow().start_on(af.every(0.01))

    execution = project.start(busy)
    assert begun.acquire(timeout=20)
    until(lambda: project.events.count(types="TIMER_FIRED") > 5)
    gate.release(2)
    until(lambda: len(execution.results("slow")) == 2)
    assert execution.results("slow")[1] > 3
    gate.release(1000)
    execution.stop().wait(20)
