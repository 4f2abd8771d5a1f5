"""Parameters: converted and checked by their annotations, stored as JSON, and read back the same."""

import json
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

import aiflow as af
from aiflow.errors import ParameterError
from aiflow.graph.params import Secret, bind, convert, is_secret_name, json_text, mask, stored


class Colour(Enum):
    RED = "r"
    GREEN = "g"


class Crossed(Enum):
    A = "B"
    B = "C"


@pytest.mark.parametrize(
    ("kind", "given_", "value"),
    [
        (int, "3", 3),
        (int, " 3 ", 3),
        (int, 3.0, 3),
        (int, -3, -3),
        (float, "1e-3", 0.001),
        (float, 2, 2.0),
        (bool, "yes", True),
        (bool, "Off", False),
        (bool, 1, True),
        (bool, False, False),
        (str, "x", "x"),
        (Path, "a/b", Path("a/b")),
        (date, "2026-11-23", date(2026, 11, 23)),
        (date, date(2026, 11, 23), date(2026, 11, 23)),
        (timedelta, 90, timedelta(seconds=90)),
        (timedelta, "1.5", timedelta(seconds=1.5)),
        (timedelta, "1h30m", timedelta(hours=1.5)),
        (timedelta | None, "2d", timedelta(days=2)),
        (datetime, "2026-11-23T14:03Z", datetime(2026, 11, 23, 14, 3, tzinfo=UTC)),
        (datetime | None, "2026-11-23", datetime(2026, 11, 23)),
        (Colour, "RED", Colour.RED),
        (Colour, "r", Colour.RED),
        (Colour, Colour.RED, Colour.RED),
        (Crossed, "A", Crossed.A),
        (Crossed, "B", Crossed.B),
        (Crossed, "C", Crossed.B),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "1, 2", [1, 2]),
        (list[int], ("1", 2), [1, 2]),
        (list[int], "", []),
        (list[str], "a,b", ["a", "b"]),
        (list, [1, "a"], [1, "a"]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[str], ["a", "a"], {"a"}),
        (dict, '{"a": 1}', {"a": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (int | None, None, None),
        (int | None, "none", None),
        (int | None, "3", 3),
        (Optional[str], "none", "none"),  # noqa: UP045
        (int | str, "3", "3"),
        (int | str, 3, 3),
        (int | list[int], "[1]", [1]),
        (Literal["a", "b"], "a", "a"),
        (Literal[1, 2], "2", 2),
        (Annotated[int, "of things"], "3", 3),
        (Any, object, object),
        (int, Secret("env:X"), Secret("env:X")),
        (str, {"$secret": "env:X"}, Secret("env:X")),
    ],
)
def test_values_are_converted_to_their_annotation(kind, given_, value):
    converted = convert(given_, kind, "parameter 'p'")
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        (int, "three", "a whole number, not 'three'"),
        (int, 2.5, "a whole number, not 2.5"),
        (int, True, "a whole number, not True"),
        (int, float("nan"), "a whole number"),
        (int, None, "a whole number, not None"),
        (float, "x", "a number, not 'x'"),
        (float, False, "a number, not False"),
        (bool, "maybe", "true or false, not 'maybe'"),
        (str, 3, "a text, not 3"),
        (Path, 3, "a path, not 3"),
        (date, "today", "a day such as 2026-11-23, not 'today'"),
        (timedelta, "soon", "seconds, or a time such as 90s, 5m or 1h30m, not 'soon'"),
        (timedelta, "", "seconds, or a time such as 90s, 5m or 1h30m, not ''"),
        (timedelta, True, "seconds, or a time such as 90s, 5m or 1h30m, not True"),
        (timedelta, 1e300, "seconds, or a time such as 90s, 5m or 1h30m, not 1e"),
        (date, datetime(2026, 11, 23), "a day such as 2026-11-23, not datetime"),
        (datetime, date(2026, 11, 23), "a time such as 2026-11-23T14:03, not datetime.date"),
        (date, 20261123, "a day such as 2026-11-23, not 20261123"),
        (Any, date(2026, 11, 23), "is a date: annotate it as such, as it is kept as text"),
        (Colour, "BLUE", "one of RED, GREEN, not 'BLUE'"),
        (list[int], "[1, 'x']", "a JSON list"),
        (list[int], ["x"], r"\[0\] must be a whole number"),
        (list[int], 3, "a list, not 3"),
        (dict, "[1]", r"a JSON object, not '\[1\]'"),
        (dict, "{", "a JSON object, not '{'"),
        (Literal["a", "b"], "c", "one of 'a', 'b', not 'c'"),
        (int | None, "x", "a whole number, not 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value_and_what_was_expected(kind, wrong, words):
    with pytest.raises(ParameterError, match=f"parameter 'p'.*{words}"):
        convert(wrong, kind, "parameter 'p'")


def body(path: Path, k: int = 5, *, deep: bool = False): ...


def test_parameters_are_bound_by_name_and_defaults_filled_in():
    assert bind(body, {"path": "x", "deep": "on"}, "w") == {"path": Path("x"), "k": 5, "deep": True}


def test_an_unknown_parameter_is_refused_with_close_names():
    with pytest.raises(ParameterError, match="workflow 'w' has no parameter 'pth'; did you mean 'path'"):
        bind(body, {"pth": 1}, "w")


def test_a_missing_parameter_says_how_to_give_it():
    with pytest.raises(ParameterError, match=r"needs the parameter 'path'; give it as path=… \(-p path=…\)"):
        bind(body, {}, "w")


def test_an_open_ended_body_takes_more():
    assert bind(lambda k=1, **more: None, {"x": "1"}, "w") == {"k": 1, "x": "1"}


def test_a_default_and_what_is_open_ended_are_no_way_around_it():
    with pytest.raises(ParameterError, match="parameter 'day' of workflow 'w' is a date: annotate it"):
        bind(lambda day=date(2026, 11, 23): None, {}, "w")
    with pytest.raises(ParameterError, match="parameter 'at' of workflow 'w' is a datetime: annotate it"):
        bind(lambda **more: None, {"at": datetime(2026, 11, 23)}, "w")


def test_annotations_that_exist_for_type_checkers_only_are_passed_over():
    def later(k: int, x: "Nowhere"): ...  # noqa: F821

    assert bind(later, {"k": 3, "x": "y"}, "w") == {"k": 3, "x": "y"}


# --- stored -----------------------------------------------------------------------------------------------------------


def keep(
    i: int,
    f: float,
    b: bool,
    s: str,
    p: Path,
    e: Crossed,
    t: tuple[int, ...],
    o: int | None,
    d: dict,
    es: list[Crossed],
    days: list[date],
    at: datetime,
    lasts: timedelta,
): ...


@examples(40)
@given(
    st.fixed_dictionaries(
        {
            "i": st.integers(),
            "f": st.floats(allow_nan=False),
            "b": st.booleans(),
            "s": st.text(),
            "p": st.sampled_from((Path("a/b"), Path("/"))),
            "e": st.sampled_from(Crossed),
            "t": st.lists(st.integers()).map(tuple),
            "o": st.none() | st.integers(),
            "d": st.dictionaries(st.text().filter(lambda k: k != "$secret"), st.none() | st.booleans() | st.integers()),
            "es": st.lists(st.sampled_from(Crossed)),
            "days": st.lists(st.dates(), max_size=3),
            "lasts": st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
            "at": st.datetimes(timezones=st.none() | st.just(UTC)),
        }
    )
)
def test_stored_parameters_are_read_back_as_they_were(params):
    bound = bind(keep, params, "w")
    kept = json.loads(json.dumps(stored(bound)))
    assert bind(keep, kept, "w") == bound


def test_a_secret_is_stored_as_its_reference_only():
    def w(token: str): ...

    bound = bind(w, {"token": Secret("env:TOKEN")}, "w")
    kept = stored(bound)
    assert kept == {"token": {"$secret": "env:TOKEN"}}
    assert bind(w, kept, "w") == bound
    assert Secret("env:TOKEN").resolve({"TOKEN": "x"}) == "x"
    with pytest.raises(ParameterError, match="'env:TOKEN' is not there"):
        Secret("env:TOKEN").resolve({})


@pytest.mark.parametrize("wrong", ["TOKEN", "env:", "", None, "file:x"])
def test_a_secret_is_a_reference_to_the_environment(wrong):
    with pytest.raises(ParameterError, match="env:TOKEN"):
        Secret(wrong)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("API_KEY", True),
        ("access_key", True),
        ("private_key_file", True),
        ("credentials", True),
        ("token", True),
        ("auth_token", True),
        ("max_tokens", False),
        ("tokens_per_batch", False),
        ("tokenizer", False),
        ("key", False),
        ("monkey", False),
    ],
)
def test_which_names_are_hidden(name, secret):
    assert is_secret_name(name) is secret
    assert mask({name: "x"}) == {name: "***" if secret else "x"}


@pytest.mark.parametrize("value", [{1: 2}, {"a": {2: 3}}, object(), {"a": [b"x"]}, {1, 2}, 1j])
def test_what_is_not_json_data_is_refused(value):
    with pytest.raises(ParameterError, match="the value"):
        json_text(value, "the value")


def test_what_holds_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(ParameterError, match="the value"):
        json_text(loop, "the value")


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "x", [1, (2, [3])], {"a": {"b": []}}, "ü\u2028"])
def test_json_data_reads_back_the_same(value):
    assert json.loads(json_text(value, "the value")) == json.loads(json.dumps(value))


def test_arguments_of_a_sub_workflow_are_converted_and_checked_and_nodes_are_left_alone() -> None:
    seen: list[object] = []

    @af.job
    def load() -> int:
        return 1

    @af.workflow
    def inner(k: int, rows: object = None) -> None:
        seen.extend([k, type(rows).__name__])

    @af.workflow
    def outer(k: str = "2") -> None:
        inner(k=k, rows=load())

    outer.build()
    assert seen == [2, "Node"]
    with pytest.raises(af.ParameterError, match="parameter 'k' of workflow 'inner' must be a whole number, not 'x'"):
        outer.build(k="x")
