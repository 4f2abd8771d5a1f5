"""Values in a few words."""

import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

import aiflow as af
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec
from aiflow.values.describing import LONGEST, describe

IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]


class Shaped:
    """Looks like a frame of polars: its columns are texts."""

    shape = (1_000_000, 2)
    columns = ("time", "value")

    def __init__(self) -> None:
        self.columns = ["time", "value"]  # type: ignore[assignment]


class Loud:
    def __repr__(self) -> str:
        raise AssertionError("it was asked how it shows itself")


class Trap:
    @property
    def shape(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pandas.DataFrame({"a": [1], "b": ["x"]}), "DataFrame 1 × 2 (a, b)"),
        (
            pandas.DataFrame(numpy.zeros((150, 5)), columns=IRIS),
            "DataFrame 150 × 5 (sepal_length, sepal_width, petal_length, petal_width, …)",
        ),
        (pandas.DataFrame({"shape": [1], "column_names": [2]}), "DataFrame 1 × 2 (shape, column_names)"),
        (pandas.DataFrame({"n" * 100: [1]}), "DataFrame 1 × 1"),
        (pandas.DataFrame(), "DataFrame 0 × 0"),
        (pandas.Series([0.5, 1]), "Series (2,) float64"),
        (pyarrow.table({"a": [1, 2], "b": [3, 4]}), "Table 2 × 2 (a, b)"),
        (Shaped(), "Shaped 1,000,000 × 2 (time, value)"),
        (numpy.zeros((3, 4)), "ndarray (3, 4) float64"),
        (numpy.zeros(2, [("a", int), ("b", float)]), "ndarray (2,) (a, b)"),
        (numpy.float64(0.5), "0.5"),
        (numpy.array(3), "3"),
        ([numpy.float64(0.5), 1], "[0.5, 1]"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, ...] (1,000 items)"),
        ((numpy.zeros(3), pandas.DataFrame({"a": [1]})), "(ndarray (3,) float64, DataFrame 1 × 1 (a))"),
        ({"b": numpy.zeros(3), "a": b"x"}, "{'a': b'x', 'b': ndarray (3,) float64}"),
        (dict.fromkeys(range(2000)), "<dict> (2,000 items)"),
        (b"x" * 1000, "<1,000 bytes>"),
        (date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (Loud(), "<Loud>"),
        ([Loud()], "[<Loud>]"),
        (Trap(), "<Trap>"),
        (10**5000, "<int>"),
        (numpy.ndarray, "<type>"),
        (SimpleNamespace(shape=(None, 3)), "<SimpleNamespace>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_is_described_by_its_shape_its_beginning_or_its_type(value: Any, text: str) -> None:
    assert describe(value) == text


@given(
    st.recursive(
        st.integers() | st.text() | st.binary() | st.builds(Loud),
        lambda inner: st.lists(inner) | st.sets(st.integers()),
    )
)
@examples(50)
def test_a_description_is_one_short_line(value: Any) -> None:
    text = describe(value)
    assert len(text) <= LONGEST
    assert "\n" not in text


@af.job
def frame() -> Any:
    return pandas.DataFrame([[1], [2]], columns=pandas.Index(["a\ud800"], dtype=object))


@af.job(runner="process")
def array() -> Any:
    return numpy.zeros((3, 4))


@af.job(cache=True)
def kept() -> Any:
    return numpy.zeros(5)


@af.workflow
def makes() -> None:
    frame()
    array()
    kept()


def test_what_a_value_is_stands_beside_it_in_the_store_whatever_runner_made_it(tmp_path: Path) -> None:
    with af.Project("demo", home=tmp_path / "home") as project:
        project.run(makes)
        project.run(makes)
        rows = [(row["job"], row["summary"]) for row in project.db["job_executions"].rows]
    assert sorted(rows) == sorted(
        2
        * [
            ("frame", "DataFrame 2 × 1 (a\\ud800)"),
            ("array", "ndarray (3, 4) float64"),
            ("kept", "ndarray (5,) float64"),
        ]
    )


def test_describing_a_value_imports_no_library(tmp_path: Path) -> None:
    codec, before = Codec(Blobs(tmp_path / "blobs")), set(sys.modules)
    assert codec.encode((1, 2), "it").summary == "(1, 2)"
    assert codec.encode([1, 2], "it").summary is None
    assert {name.partition(".")[0] for name in set(sys.modules) - before} <= {"cloudpickle", "aiflow"}
