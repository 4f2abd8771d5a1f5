"""`project.events`: lists, counts, globs, namespaces, offsets and times."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

import aiflow as af
from aiflow.graph.condition import matches_glob
from aiflow.store import log
from aiflow.store.connection import sqlite3
from aiflow.store.log import EventFilter
from aiflow.testing import ManualClock


@pytest.fixture
def filled(project: af.Project) -> af.Project:
    project.publish_many(
        [
            {"key": "sensor.a", "value": 1, "sender": "x"},
            {"key": "sensor.b", "value": 2, "type": "T"},
            {"key": "Sensor.a", "value": 3, "namespace": "far"},
            {"key": "other", "value": 4, "sender": "y", "namespace": "far"},
            {"key": "sensor.a", "value": 5},
        ]
    )
    return project


def values(events: list[af.Event]) -> list[object]:
    return [e.value for e in events]


def test_events_are_found_by_globs_of_keys_types_namespaces_and_senders(filled: af.Project) -> None:
    listed = filled.events.list
    assert values(listed()) == [1, 2, 3, 4, 5]
    assert values(listed("sensor.*")) == [1, 2, 5]
    assert values(listed(["other", "*.b"])) == [2, 4]
    assert values(listed("sensor.[!a]")) == [2]
    assert values(listed("?ensor.a")) == [1, 3, 5]
    assert values(listed(types="T")) == [2]
    assert values(listed(namespaces="far")) == [3, 4]
    assert values(listed(namespaces=["far", "events"], keys="*")) == [1, 2, 3, 4, 5]
    assert values(listed(senders="[xy]")) == [1, 4]
    assert values(listed(senders="*")) == [1, 2, 3, 4, 5]
    assert values(listed(keys=[])) == []
    assert filled.events.count("sensor.*") == 3
    assert filled.events.count(keys=[]) == 0


def test_events_are_found_by_offset_and_number(filled: af.Project) -> None:
    listed = filled.events.list
    assert values(listed(since=2)) == [3, 4, 5]
    assert values(listed(since=2, until=4)) == [3, 4]
    assert values(listed(limit=2)) == [1, 2]
    assert values(listed(limit=0)) == []
    assert values(listed(since="now")) == []
    assert values(listed(since="start", until=1)) == [1]
    assert values(listed(since=99)) == []
    latest = filled.events.latest("sensor.*")
    assert latest is not None
    assert latest.value == 5
    assert filled.events.latest("nothing") is None
    assert filled.events.get(2) == filled.events.list()[1]
    assert filled.events.get(99) is None


@pytest.mark.parametrize("since", ["yesterday", -1, 1.5, True])
def test_a_since_that_says_nothing_is_refused(project: af.Project, since: object) -> None:
    with pytest.raises(af.ParameterError, match="since must be"):
        project.events.list(since=since)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_a_limit_that_is_no_number_is_refused(project: af.Project, limit: object) -> None:
    with pytest.raises(af.ParameterError, match="limit must be"):
        project.events.list(limit=limit)  # type: ignore[arg-type]


def test_events_are_found_by_time(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    with af.Project("times", home=tmp_path / "home", clock=clock) as project:
        begin = clock.time
        for n in range(3):
            project.publish("tick", n)
            project.publish("tock", n)
            clock.advance(60)
        assert project.events.offset_at(begin) == 0
        assert project.events.offset_at(begin + timedelta(seconds=1)) == 2
        assert project.events.offset_at(begin + timedelta(seconds=60)) == 2
        assert project.events.offset_at(begin + timedelta(days=1)) == 6
        assert values(project.events.list("tick", since=begin + timedelta(seconds=60))) == [1, 2]
        assert values(project.events.list("tick", until=begin + timedelta(seconds=60))) == [0]
        naive = (begin + timedelta(seconds=60)).astimezone().replace(tzinfo=None)
        assert project.events.offset_at(naive) == 2, "a naive time is local time"


words = st.text(st.sampled_from("ab.*?[]!-^"), min_size=1, max_size=5)


@examples(100)
@given(glob=words, keys=st.lists(words, max_size=6))
def test_the_log_and_subscribers_understand_a_glob_in_the_same_way(glob: str, keys: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.create_function("fits_glob", 2, matches_glob)
    connection.execute(
        "CREATE TABLE events (offset, time, key, type, value, namespace, sender, context, execution_id, dedupe_key)"
    )
    rows = [(n, 0.0, key, "UNDEFINED", "null", "n", None, None, None, None) for n, key in enumerate(keys, 1)]
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    wanted = EventFilter(glob)
    by_sql = log.select(connection, wanted)
    by_hand = [e for row in rows if wanted.fits(e := log.event_of(row))]
    connection.close()
    assert by_sql == by_hand
