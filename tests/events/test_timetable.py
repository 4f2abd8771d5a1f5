"""When conditions on time are due: none twice, none lost, however clocks are turned; and which missed ticks are told."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.events.timetable import BATCH, COUNTED, GRACE, Tick, dues, first_due, next_after, ticks
from aiflow.graph.timing import At, Cron, Every, Misfire

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 29), datetime(2026, 10, 25)  # 02:00 → 03:00, and 03:00 → 02:00
quick = examples(40)


def of_day(expression: str, day: datetime, zone: str = "Europe/Berlin") -> list[str]:
    """The times of one day, as the wall clock shows them; the second 02:00 of the fold is written 02:00'."""
    begin = day.replace(tzinfo=ZoneInfo(zone)).timestamp()
    end = (day + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = []
    for due in dues(Cron(expression, zone), begin - 1):
        if due >= end:
            return found
        shown = datetime.fromtimestamp(due, ZoneInfo(zone))
        found.append(f"{shown:%H:%M}" + "'" * shown.fold)
    return found


# --- daylight saving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("30 2 * * *", ["03:00"]),
        ("0 2 * * *", ["03:00"]),
        ("0 3 * * *", ["03:00"]),
        ("0,30 1-3 * * *", ["01:00", "01:30", "03:00", "03:30"]),
        ("*/15 2 * * *", ["03:00"]),
        ("0 */2 * * SUN", ["00:00", "03:00", *[f"{h:02}:00" for h in range(4, 24, 2)]]),
        ("0 * * * *", ["00:00", "01:00", *[f"{h:02}:00" for h in range(3, 24)]]),
        ("*/30 * 29 3 *", [f"{h:02}:{m}" for h in range(24) if h != 2 for m in ("00", "30")]),
    ],
)
def test_23_a_local_time_that_does_not_exist_runs_at_the_next_one_that_does(expression: str, times: list[str]) -> None:
    assert of_day(expression, SPRING) == times


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("30 2 * * *", ["02:30"]),
        ("*/15 2 * * *", ["02:00", "02:15", "02:30", "02:45"]),
        ("*/15 2-3 * * *", ["02:00", "02:15", "02:30", "02:45", "03:00", "03:15", "03:30", "03:45"]),
        ("0 */2 * * *", [f"{h:02}:00" for h in range(0, 24, 2)]),
        ("59 2 * * *", ["02:59"]),
    ],
)
def test_23_a_local_time_that_exists_twice_runs_once(expression: str, times: list[str]) -> None:
    assert of_day(expression, AUTUMN) == times


@pytest.mark.parametrize("hours", ["*", "0-23", "*/1"])
def test_23_what_runs_in_each_hour_goes_on_through_the_hour_that_comes_twice(hours: str) -> None:
    times = of_day(f"0,30 {hours} * * *", AUTUMN)
    assert times[4:8] == ["02:00", "02:30", "02:00'", "02:30'"]
    assert len(times) == 50, "a stop of an hour and a half would be a stall"


def test_a_whole_day_that_a_zone_leaves_out_is_made_up_for_when_the_next_begins() -> None:
    assert of_day("0 12 * * *", datetime(2011, 12, 31), "Pacific/Apia") == ["00:00", "12:00"]


def test_a_shift_of_half_an_hour_is_followed_too() -> None:
    assert of_day("15,45 2 * * *", datetime(2026, 10, 4), "Australia/Lord_Howe") == ["02:30", "02:45"]
    assert of_day("15,45 1 * * *", datetime(2026, 4, 5), "Australia/Lord_Howe") == ["01:15", "01:45"]


ZONES = st.sampled_from(
    ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana")
)
FIELDS = st.tuples(
    st.sampled_from(("*", "0", "30", "*/15", "5,35", "59")),
    st.sampled_from(("*", "0", "1", "2", "0-3", "*/2", "1,2,3", "23")),
    st.sampled_from(("*", "*", "25", "29", "1-7")),
    st.sampled_from(("*", "*", "3,10", "4-11")),
    st.sampled_from(("*", "*", "SUN", "MON-FRI")),
)
EXPRESSIONS = FIELDS.map(" ".join)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)).map(lambda t: t.replace(tzinfo=UTC).timestamp())
NEAR_A_CHANGE = st.builds(
    lambda day, minutes: day.replace(tzinfo=BERLIN).timestamp() + 60 * minutes,
    st.sampled_from((SPRING, AUTUMN)),
    st.integers(0, 300),
)


@quick
@given(EXPRESSIONS, ZONES, MOMENTS | NEAR_A_CHANGE, st.integers(1, 40))
def test_23_wherever_one_begins_to_look_the_next_is_the_same_and_none_comes_twice(
    expression: str, zone: str, begin: float, steps: int
) -> None:
    cron = Cron(expression, zone)
    walked = list(islice(dues(cron, begin), steps))
    assert walked == sorted(set(walked))
    one_by_one, at = [], begin
    for _ in walked:
        due = next_after(cron, at)
        assert due is not None
        one_by_one.append(due)
        at = due
    assert one_by_one == walked
    if len(walked) > 1:
        between = (walked[-2] + walked[-1]) / 2
        assert next_after(cron, between) == walked[-1]


@quick
@given(EXPRESSIONS, ZONES, MOMENTS | NEAR_A_CHANGE)
def test_23_each_day_has_as_many_ticks_as_the_wall_clock_shows_times_once_the_left_out_ones_are_put_together(
    expression: str, zone: str, begin: float
) -> None:
    day = datetime.fromtimestamp(begin, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    plain, shown = of_day(expression, day, "UTC"), of_day(expression, day, zone)
    if expression.split()[1] == "*":
        assert abs(len(plain) - len(shown)) <= len(plain) / 24, "an hour more or less"
    else:
        assert len(set(shown)) == len(shown)
        missing = [t for t in plain if t not in shown]
        assert len(plain) - len(missing) <= len(shown) <= len(plain)


# --- every and at -----------------------------------------------------------------------------------------------------


@quick
@given(st.floats(1e-6, 1e6), MOMENTS, st.integers(1, 2_000))
def test_23_every_does_not_drift(interval: float, begin: float, steps: int) -> None:
    every = Every(round(interval, 6))
    *_, last = islice(dues(every, begin), steps)
    assert last == pytest.approx(begin + steps * every.seconds, abs=2e-6)


def test_23_every_does_not_drift_over_many_ticks() -> None:
    *_, last = islice(dues(Every(0.1), 1_700_000_000.0), 100_000)
    assert last == 1_700_010_000.0


@pytest.mark.parametrize(
    ("condition", "last", "first"),
    [
        (Every(60), None, 1060),
        (Every(60, from_now=True), None, 1000),
        (Every(60, from_now=True), 1000, 1060),
        (Every(60), 1120, 1180),
        (Every(60), 9000, 1260),
        (Cron("* * * * *"), None, 1020),
        (Cron("* * * * *", from_now=True), None, 1000),
        (Cron("* * * * *"), 1020, 1080),
        (Cron("* * * * *"), 9000, 9060),
        (At(1000), None, None),
        (At(1001), None, 1001),
        (At(1001), 1001, None),
        (At(999, from_now=True), None, 999),
        (At(999, from_now=True), 999, None),
    ],
)
def test_when_the_next_tick_is_due(condition: Every | Cron | At, last: float | None, first: float | None) -> None:
    """The execution began at 1000, and it is 1200: `every` waits for no longer than its interval, the clock was set back."""
    assert first_due(condition, last, 1000.0, 1200.0) == first


# --- missed ticks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("misfire", "late", "told"),
    [
        ("once", 0, [(60, 0)]),
        ("once", 59, [(60, 0)]),
        ("once", 60, [(120, 1)]),
        ("once", 200, [(240, 3)]),
        ("all", 0, [(60, 0)]),
        ("all", 200, [(60, 0), (120, 0), (180, 0), (240, 0)]),
        ("skip", GRACE, [(60, 0)]),
        ("skip", GRACE + 1, []),
        ("skip", 60 + GRACE, [(120, 1)]),
        ("skip", 200, []),
    ],
)
@pytest.mark.parametrize("kind", ["every", "cron"])
def test_24_which_missed_ticks_are_told(kind: str, misfire: str, late: float, told: list[tuple[float, int]]) -> None:
    condition = Every(60.0, Misfire(misfire)) if kind == "every" else Cron("* * * * *", "UTC", Misfire(misfire))
    found, newest = ticks(condition, 60.0, 60.0 + late)
    assert found == [Tick(*t) for t in told]
    assert newest == 60 + 60 * (late // 60)


CONDITIONS = st.builds(Every, st.sampled_from((0.25, 1.0, 7.0, 60.0)), st.sampled_from(tuple(Misfire))) | st.builds(
    Cron, EXPRESSIONS, ZONES, st.sampled_from(tuple(Misfire))
)


@quick
@given(CONDITIONS, MOMENTS | NEAR_A_CHANGE, st.lists(st.floats(0, 5_000), min_size=1, max_size=12))
def test_24_no_tick_is_told_twice_and_those_not_told_are_counted(
    condition: Every | Cron, begin: float, pauses: list[float]
) -> None:
    """Wake after pauses of any length, and go on from what was told last, as after the death of the process."""
    begin, told, now = round(begin, 6), [], round(begin, 6)
    last: float | None = None
    for pause in pauses:
        now = round(now + pause, 6)
        while (due := first_due(condition, last, begin, now)) is not None and due <= now:
            found, newest = ticks(condition, due, now)
            told += found
            last = newest
            assert len(found) <= BATCH
    all_due = []
    for due in dues(condition, begin):
        if due > now:
            break
        all_due.append(due)
    moments = [tick.due for tick in told]
    assert moments == sorted(set(moments))
    assert set(moments) <= set(all_due)
    if condition.misfire is Misfire.ALL:
        assert moments == all_due
    if condition.misfire is Misfire.ONCE:
        assert sum(1 + tick.missed for tick in told) == len(all_due)
        assert moments[-1:] == all_due[-1:]


def test_24_many_missed_ticks_are_told_some_at_a_time() -> None:
    every = Every(1.0, Misfire.ALL)
    found, newest = ticks(every, 1.0, 10_000.0)
    assert (len(found), newest) == (BATCH, float(BATCH))
    assert ticks(every, newest + 1, 10_000.0)[0][0] == Tick(BATCH + 1.0)


@pytest.mark.parametrize(
    ("expression", "newest"),
    [("* * * * *", 1_767_225_600), ("*/7 3 * * *", 1_767_153_360), ("0 0 29 2 *", 1_709_164_800)],
)
def test_24_a_clock_that_comes_from_1970_keeps_nobody_waiting(expression: str, newest: float) -> None:
    now = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC).timestamp()
    cron = Cron(expression)
    first = next_after(cron, 0.0)
    assert first is not None
    (tick,), gone_on = ticks(cron, first, now)
    assert tick.due == gone_on == newest
    assert tick.missed == (13 if expression.startswith("0 0") else COUNTED)
