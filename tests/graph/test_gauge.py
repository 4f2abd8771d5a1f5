"""Conditions on how far a job on Flink has come: what they say, and what they start."""

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.graph.sim import Sim, every_log_replays  # noqa: F401 - a fixture for every test

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.condition import Condition, event
from aiflow.graph.job import job
from aiflow.graph.mark import Mark
from aiflow.graph.workflow import workflow

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = 3_600_000
X = event("x")
AT_NOON = int(NOON.timestamp()) * 1000


@job(runner="flink")
def enrich(): ...


@job
def plain(): ...


@job
def hourly(): ...


@job
def other(): ...


def conditions(make, source=enrich):
    """The condition that `make` makes of a node of `source`, in the only rule of a workflow."""

    def body():
        hourly().start_on(make(source()))

    return workflow(body).build().nodes["hourly"].rules[0].condition


# --- what conditions say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text", "mark"),
    [
        (lambda n: n.watermark >= NOON, "enrich.watermark >= 2026-01-31T12:00:00+00:00", Mark("watermark", AT_NOON)),
        (lambda n: n.watermark >= "2026-01-31T13:00+01:00", "enrich.watermark >= 2026-01-31T12:00:00+00:00", Mark("watermark", AT_NOON)),
        (
            lambda n: n.watermark >= NOON + timedelta(microseconds=1), "enrich.watermark >= 2026-01-31T12:00:00.001000+00:00",
            Mark("watermark", AT_NOON + 1),
        ),
        (lambda n: n.watermark.every(3600), "enrich.watermark.every(3600)", Mark("watermark", None, HOUR)),
        (lambda n: n.watermark.every(timedelta(milliseconds=1500)), "enrich.watermark.every(1.5)", Mark("watermark", None, 1500)),
        (
            lambda n: n.watermark.every(60, since=NOON.astimezone(timezone(timedelta(hours=5)))),
            "enrich.watermark.every(60, since='2026-01-31T12:00:00+00:00')", Mark("watermark", None, 60_000, AT_NOON),
        ),
        (lambda n: n.records >= 1000, "enrich.records >= 1000", Mark("records", 1000)),
        (lambda n: n.records.every(250), "enrich.records.every(250)", Mark("records", None, 250)),
        (lambda n: (n.records >= 3).times(2) & X, "all((enrich.records >= 3).times(2), event('x'))", None),
        (lambda n: n.records.every(3).times(2) | X, "any(enrich.records.every(3).times(2), event('x'))", None),
    ],
)  # fmt: skip
def test_conditions_on_gauges_print_readably_compare_and_come_back_from_json_and_pickle(make, text, mark):
    made = conditions(make)
    assert str(made) == text
    assert mark is None or made.mark == mark
    assert Condition.from_json(json.loads(json.dumps(made.to_json()))) == made == conditions(make)
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(copy.deepcopy(made)) == hash(made)


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "gauge", "job": "enrich", "gauge": "watermark", "at": "2026-01-31T12:00"},
        {"kind": "gauge", "job": "enrich", "gauge": "watermark", "at": 5},
        {"kind": "gauge", "job": "enrich", "gauge": "watermark", "every": 0.0001},
        {"kind": "gauge", "job": "enrich", "gauge": "records", "at": 5, "every": 5},
        {"kind": "gauge", "job": "enrich", "gauge": "records", "at": 0},
        {"kind": "gauge", "job": "enrich", "gauge": "records"},
        {"kind": "gauge", "job": "enrich", "gauge": "speed", "at": 5},
    ],
)
def test_what_is_no_condition_on_a_gauge_is_not_read_as_one(data):
    with pytest.raises(ParameterError, match="not a condition"):
        Condition.from_json(data)


REFUSED = [
    (lambda n: n.watermark >= datetime(2026, 1, 31), "has none"),
    (lambda n: n.watermark >= 5, "datetime or a text such as"),
    (lambda n: n.watermark >= "noon", "datetime or a text such as"),
    (lambda n: n.watermark.every(0), "a millisecond at least"),
    (lambda n: n.watermark.every("1 h"), "every"),
    (lambda n: n.records >= 0, "whole number of records"),
    (lambda n: n.records >= 2.5, "whole number of records"),
    (lambda n: n.records >= 2**63, "whole number of records"),
    (lambda n: n.records.every(True), "whole number of records"),
    (lambda n: n.records.every(5, since=NOON), "takes no since="),
    (lambda n: n.records < 5, "only grows"),
    (lambda n: n.records == 5, "only grows"),
    (lambda n: n.records and X, "only grows"),
    (lambda n: n.records | X, "only grows"),
    (lambda n: X & n.records, r"enrich.records \(say \(enrich.records >= 1000\)"),
    (lambda n: n.watermark, r"enrich.watermark >= '2026-01-31T12:00Z'\), in brackets beside & and |"),
    (lambda n: n.records.times(3), r"has no 'times': say \(enrich.records >= 1000\)"),
]


def test_what_cannot_be_asked_of_a_gauge_says_what_can():
    for use, problem in REFUSED:
        with pytest.raises((GraphError, ParameterError, AttributeError), match=problem):
            conditions(use)


def test_only_jobs_on_flink_have_gauges():
    for gauge in ("watermark", "records"):
        with pytest.raises(GraphError, match=f"<node plain> has no {gauge}.*its runner is 'thread'"):
            conditions(lambda n, gauge=gauge: getattr(n, gauge).every(5), plain)
    data = conditions(lambda n: n.records >= 5).to_json()
    with pytest.raises(GraphError, match="<node plain> has no records"):
        conditions(lambda n: Condition.from_json(data | {"job": "plain"}), plain)
    with pytest.raises(GraphError, match="waits for the job 'enrich', which is not in workflow"):
        conditions(lambda n: Condition.from_json(data), plain)
    with pytest.raises(ParameterError, match="cannot wait for a job"):
        workflow(start_on=Condition.from_json(data))(plain)
    flinky = workflow(lambda: hourly().start_on(plain().records >= 5), runner="flink", name="flinky")
    assert [(e.source, e.target, e.kind, e.label) for e in flinky.build().edges] == [
        ("plain", "hourly", "rule", "start on records >= 5")
    ]


# --- what they start --------------------------------------------------------------------------------------------------


def streaming(make=lambda n: n.watermark.every(3600), **options):
    def body():
        hourly().start_on(make(enrich()))

    return Sim(workflow(body, **options))


def test_each_hour_starts_the_job_once_one_after_the_other_and_each_run_knows_its_hour():
    sim = streaming()
    sim.read("enrich", watermark=AT_NOON - 1)
    assert sim.run_of("hourly") is None
    sim.read("enrich", watermark=AT_NOON + 2 * HOUR)
    sim.read("enrich", watermark=AT_NOON)  # restored from before
    sim.end("hourly")
    sim.lose("enrich")
    sim.read("enrich", watermark=AT_NOON + 2 * HOUR)
    sim.end("hourly")
    sim.end("hourly")
    starts = [start.events for (name, _), start in sorted(sim.starts.items()) if name == "hourly"]
    events = [sim.log[offset - 1].event for (offset,) in starts]
    assert [e.value["at"][11:16] for e in events] == ["12:00", "13:00", "14:00"]
    assert {(e.key, e.type) for e in events} == {("job:enrich", "JOB_PASSED")}
    sim.end("enrich")
    assert sim.status == "SUCCESS"


def test_equal_conditions_of_several_rules_hear_of_one_event_and_others_do_not():
    def body():
        source, again = enrich(), enrich.options(name="again")()
        hourly().start_on((source.records >= 10) & (again.records >= 10))
        other().start_on(source.records.every(10))

    sim = Sim(workflow(body))
    sim.read("enrich", records=25)
    assert [e.value["at"] for e in sim.events if e.type == "JOB_PASSED"] == [10, 10, 20]
    assert sim.run_of("hourly") is None
    sim.end("other")
    sim.end("other")
    sim.read("again", records=10)
    assert sim.run_of("hourly") is not None


def test_a_mark_can_be_listened_to_by_its_type_too():
    def body():
        enrich()
        hourly().start_on(event("job:enrich", type="JOB_PASSED"))
        other().start_on(enrich.options(name="second")().records.every(5))

    sim = Sim(workflow(body))
    sim.read("second", records=5)
    assert sim.run_of("hourly") is None
    assert sim.run_of("other") is not None
