"""Which marks a job has passed: each boundary once, whatever its gauges show."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.errors import ParameterError
from aiflow.graph.mark import END, MOST, Mark, Passed, Reading, mark_in, passed

HOUR = 3_600_000
AT_NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * 1000


def marks():
    """Marks with small numbers, some of them equal."""
    number = st.integers(1, 40)
    none, watermark, records = st.none(), st.just("watermark"), st.just("records")
    since = none | st.integers(-40, 40)
    once = st.builds(Mark, watermark | records, number, none, none)
    again = st.builds(Mark, watermark, none, number, since) | st.builds(Mark, records, none, number, none)
    return st.lists(once | again, max_size=4)


readings = st.lists(
    st.builds(Reading, st.none() | st.integers(-50, 120) | st.just(END), st.none() | st.integers(0, 120)), max_size=6
)


def told(asked, seen):
    """All that is told while the gauges show one reading after the other."""
    found, before = [], Reading()
    for now in seen:
        found += passed(asked, before, now)
        before = before.furthest(now)
    return found


@examples(300)
@given(marks(), readings)
def test_each_boundary_is_told_once_and_in_order_however_the_gauges_jump_and_go_back(asked, seen):
    found = told(asked, seen)
    for mark in asked:
        own = [one.at for one in found if one.mark == mark]
        assert own == sorted(set(own))
        shown = [n for r in seen if (n := getattr(r, mark.gauge)) is not None]
        until = shown[: shown.index(END)] if END in shown else shown
        if mark.at is not None:
            assert own == [mark.at] * (max(shown, default=-100) >= mark.at)
            continue
        origin = mark.since or 0
        begin = origin if mark.gauge == "records" or mark.since is not None else until[0] if until else None
        if begin is None:
            assert own == []
            continue
        last = max([begin, *until])
        expected = [n for n in range(-100, 200) if begin < n <= max([*until, begin]) and (n - origin) % mark.every == 0]
        if END in shown:
            expected.append(next(n for n in range(last + 1, last + 200) if (n - origin) % mark.every == 0))
        assert own == expected, mark


@examples(100)
@given(marks(), readings)
def test_a_reading_twice_or_none_tells_nothing_new(asked, seen):
    doubled = [r for one in seen for r in (one, one, Reading())]
    assert told(asked, doubled) == told(asked, seen)


@examples(100)
@given(st.integers(-(10**13), 10**14), st.none() | st.integers(1, 10**12), st.none() | st.integers(-(10**13), 10**13))
def test_an_event_says_which_mark_was_passed_and_where(at, every, since):
    for gauge in ("watermark", "records"):
        mark = Mark(gauge, at) if every is None else Mark(gauge, None, every, since)
        value = json.loads(json.dumps(Passed(mark, at).value))
        assert mark_in(value) == mark
        assert value["gauge"] == gauge


def test_what_an_event_says_can_be_read():
    hours = Mark("watermark", None, HOUR)
    assert Passed(hours, AT_NOON).value == {"gauge": "watermark", "at": "2026-01-31T12:00:00+00:00", "every": 3600}
    since = Mark("watermark", None, 500, AT_NOON)
    assert Passed(since, AT_NOON + 1500).value == {
        "gauge": "watermark", "at": "2026-01-31T12:00:01.500000+00:00", "every": 0.5, "since": "2026-01-31T12:00:00+00:00",
    }  # fmt: skip
    assert Passed(Mark("records", 7), 7).value == {"gauge": "records", "at": 7}


def test_the_end_of_the_input_passes_what_is_asked_and_one_more_boundary():
    asked = [Mark("watermark", AT_NOON), Mark("watermark", None, HOUR)]
    first = Reading(AT_NOON - 5 * HOUR // 2)
    assert [one.at for one in passed(asked, first, Reading(END))] == [AT_NOON - 2 * HOUR, AT_NOON]
    assert [one.at for one in passed(asked, Reading(), Reading(END))] == [AT_NOON]
    assert passed(asked, Reading(END), Reading(AT_NOON)) == []
    assert passed([Mark("watermark", None, HOUR)], Reading(253_402_300_799_999), Reading(END)) == [], "the year 10000"


def test_so_many_boundaries_at_once_are_a_mistake_that_is_told():
    with pytest.raises(ParameterError, match=r"records.every\(1\): 100,001 boundaries were passed at once"):
        passed([Mark("records", None, 1)], Reading(), Reading(records=MOST + 1))
    assert len(passed([Mark("records", None, 1)], Reading(), Reading(records=MOST))) == MOST
