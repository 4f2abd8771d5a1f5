"""What conditions are: values that print, compare and combine; and which events fit a leaf."""

import json
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import (
    composites,
    event_leaves,
    examples,
    file_leaves,
    metadata_leaves,
    status_leaves,
    time_leaves,
)

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.condition import Condition, StatusCondition, event, is_glob, matches_glob, same_json
from aiflow.graph.event import ANY, RESERVED, Event

X, Y, Z = event("x"), event("y"), event("z")
DONE = StatusCondition("train", "succeeded", ("SUCCESS",))
ANY_LEAF = status_leaves(3) | event_leaves() | time_leaves() | file_leaves() | metadata_leaves()


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (event(), "event('*')"),
        (event("go", 3, type="T", namespace="n", sender="s"), "event('go', 3, type='T', namespace='n', sender='s')"),
        (event("go", None), "event('go', None)"),
        (event("go", where=len), "event('go', where=len)"),
        (DONE & event("go"), "all(train.succeeded, event('go'))"),
        (X & Y & Z, "all(event('x'), event('y'), event('z'))"),
        (X & (Y | Z), "all(event('x'), any(event('y'), event('z')))"),
        (X.times(3), "event('x').times(3)"),
        ((X & Y).within(90), "all(event('x'), event('y')).within(90)"),
        ((X | Y).sticky(), "any(event('x'), event('y')).sticky()"),
        ((X & DONE).own(), "all(event('x').own(), train.succeeded)"),
        (X.now().own(), "event('x').own().now()"),
    ],
)
def test_conditions_print_readably(condition, text):
    assert str(condition) == text


def test_conditions_compare_equal_by_what_they_say():
    def make():
        return (event("go", {"a": [1]}) & DONE).times(2).within(5).sticky()

    assert make() == make()
    assert make() != make().sticky()
    assert event("go", 1) != event("go", 2)
    assert len({event("go"), event("go"), event("stop")}) == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda: X and Y,
        lambda: X or Y,
        lambda: not X,
        lambda: 1 if X else 2,
        lambda: bool(X & Y),
    ],
    ids=["and", "or", "not", "if", "bool"],
)
def test_and_or_not_and_if_on_conditions_are_refused_with_a_hint(use):
    with pytest.raises(GraphError, match=r"use & and \|"):
        use()


@pytest.mark.parametrize("other", [None, True, 3, "go", len])
def test_only_conditions_combine(other):
    for combine in (lambda: X & other, lambda: X | other):
        with pytest.raises(GraphError, match="combine conditions"):
            combine()


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_times_takes_a_whole_number_from_one(n):
    with pytest.raises(ParameterError, match="whole number ≥ 1"):
        X.times(n)


def test_times_1_is_the_condition_itself():
    assert X.times(1) is X


def test_within_takes_seconds_or_a_timedelta():
    assert X.within(timedelta(minutes=2)) == X.within(120)
    for wrong in (-1, float("nan"), float("inf"), "5", None, True):
        with pytest.raises(ParameterError, match="within"):
            X.within(wrong)


@pytest.mark.parametrize("field", ["key", "type", "namespace", "sender"])
@pytest.mark.parametrize("wrong", ["", 3, b"x"])
def test_what_an_event_must_have_is_a_text(field, wrong):
    with pytest.raises(ParameterError, match=field):
        event(**{field: wrong})


@pytest.mark.parametrize(
    ("glob", "text", "fits"),
    [
        ("go", "go", True),
        ("go", "going", False),
        ("Go", "go", False),
        ("sensor.*", "sensor.a", True),
        ("sensor.*", "sensor.", True),
        ("sensor.*", "sensor", False),
        ("sensor.*", "xsensor.a", False),
        ("sensor.?", "sensor.ab", False),
        ("s[ab]", "sa", True),
        ("s[ab]", "s[ab]", True),
        ("s[!ab]", "sa", False),
        ("*", "", True),
        ("*", None, True),
        ("a*", None, False),
        ("a*", "a\nb", True),
        ("a.c", "abc", False),
    ],
)
def test_globs(glob, text, fits):
    assert matches_glob(glob, text) is fits


def test_what_makes_a_pattern():
    assert [is_glob(t) for t in ("a.b", "a*", "a?", "a[1]")] == [False, True, True, True]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, None, True),
        (None, 0, False),
        ([1, 2], (1, 2), True),
        ([1, True], [1, 1], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": False}, {"a": 0}, False),
        ([], {}, False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_json(a, b, same):
    assert same_json(a, b) is same is same_json(b, a)


def happened(**fields):
    return Event(**{"offset": 1, "key": "go", "namespace": "ours", **fields})


@pytest.mark.parametrize(
    ("condition", "fields", "fits"),
    [
        (event("go"), {}, True),
        (event("stop"), {}, False),
        (event("go", 1), {"value": 1}, True),
        (event("go", 1), {"value": 2}, False),
        (event("go", None), {"value": None}, True),
        (event("go", None), {"value": 0}, False),
        (event("go", ANY), {"value": 3}, True),
        (event("go", {"a": 1}), {"value": {"a": 1}}, True),
        (event("go"), {"namespace": "theirs"}, False),
        (event("go", namespace="theirs"), {"namespace": "theirs"}, True),
        (event("go", namespace="theirs"), {}, False),
        (event("go", namespace="*"), {"namespace": "theirs"}, True),
        (event("go", sender="train*"), {"sender": "train_2"}, True),
        (event("go", sender="train*"), {}, False),
        (event("go", sender="*"), {}, True),
        (event("go", type="MINE"), {"type": "MINE"}, True),
        (event("go", type="MINE"), {}, False),
        (event("go"), {"type": "MINE"}, True),
        (event("go"), {"type": "METRIC_LOGGED"}, True),
        (event("go").own(), {"execution_id": "me"}, True),
        (event("go").own(), {"execution_id": "you"}, False),
        (event("go").own(), {}, False),
        (event("go"), {"execution_id": "you"}, True),
        (event("*", type="REQ*"), {"type": "REQUESTED"}, True),
    ],
)
def test_which_events_fit(condition, fields, fits):
    assert condition.fits(happened(**fields), "ours", "me") is fits


@pytest.mark.parametrize("kind", sorted(RESERVED))
def test_the_engines_bookkeeping_fits_only_what_names_its_type(kind):
    assert not event("*").fits(happened(type=kind), "ours", "me")
    assert event("*", type=kind).fits(happened(type=kind), "ours", "me")


@examples(40)
@given(composites(ANY_LEAF), st.data())
def test_conditions_are_values(condition, data):
    other = data.draw(composites(ANY_LEAF))
    assert (str(condition) == str(other)) is (condition == other)
    if any(getattr(leaf, "is_asked", False) for leaf in condition.leaves()):
        with pytest.raises(ParameterError, match="function"):
            condition.to_json()
    else:
        assert Condition.from_json(json.loads(json.dumps(condition.to_json()))) == condition
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert condition.each_leaf(lambda leaf: leaf) == condition
    assert condition.own().own() == condition.own()
    assert list((condition & other).leaves()) == [*condition.leaves(), *other.leaves()]
    assert str(condition & other) == str(condition & other)
