"""The content of datasets: what is said of it, what comes back of what was written, and what is refused."""

from __future__ import annotations

import csv
import math
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.values.data import describe, read, write

FORMATS = ("csv", "json", "parquet")
SCHEMA = {"n": "int", "x": "float", "name": "str", "at": "datetime", "day": "date", "is_good": "bool"}
ROWS: list[dict[str, Any]] = [
    {"n": 1, "x": 2.5, "name": 'a, "b"\nc', "at": datetime(2024, 1, 2, 3, 4, 5), "day": date(2024, 1, 2), "is_good": True},
    {"n": None, "x": None, "name": "NA", "at": None, "day": None, "is_good": None},
    {"n": -(2**53) - 1, "x": 1e300, "name": "übergrün", "at": datetime(1999, 12, 31), "day": date(1999, 12, 31), "is_good": False},
]  # fmt: skip


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    """A format of tables, if what it takes is here."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return str(request.param)


def hide_pandas(patch: pytest.MonkeyPatch) -> None:
    """Let nobody find pandas; pyarrow looks for it once, so that comes first."""
    if find_spec("pandas") and find_spec("pyarrow"):
        import pandas
        import pyarrow

        pyarrow.array(pandas.Series([1]))
    patch.setitem(sys.modules, "pandas", None)


@pytest.fixture
def without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that has no pandas."""
    hide_pandas(monkeypatch)


@pytest.fixture(params=["with pandas", "without pandas"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With pandas, if it is there, and without."""
    if request.param == "with pandas":
        pytest.importorskip("pandas")
    else:
        hide_pandas(monkeypatch)
    return str(request.param)


def rows_of(table: Any) -> list[dict[str, Any]]:
    """Give the rows of what `read` gave, as dicts, missing values as None."""
    if isinstance(table, list):
        return table
    return [{k: None if v != v or v is None else v for k, v in row.items()} for row in table.astype(object).where(table.notna(), None).to_dict("records")]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- there and back


def test_rows_come_back_as_they_were_written(tmp_path: Path, format: str, without_pandas: None) -> None:
    write(ROWS, tmp_path / "rows", format, SCHEMA)
    assert read(tmp_path / "rows", format, SCHEMA) == ROWS


def test_a_frame_comes_back_with_the_types_of_the_schema(tmp_path: Path, format: str) -> None:
    pandas = pytest.importorskip("pandas")
    whole = [row for row in ROWS if row["n"] is not None]
    write(pandas.DataFrame(whole), tmp_path / "rows", format, SCHEMA)
    frame = read(tmp_path / "rows", format, SCHEMA)
    assert [frame[name].dtype.kind for name in ("n", "x", "at", "is_good")] == ["i", "f", "M", "b"]
    assert frame["name"].tolist() == ['a, "b"\nc', "übergrün"]
    assert frame["n"].tolist() == [1, -(2**53) - 1]


def test_a_frame_and_its_rows_are_the_same_file(tmp_path: Path, format: str) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{k: v for k, v in row.items() if k != "n"} for row in ROWS]  # a frame with missing numbers has floats
    schema = {k: v for k, v in SCHEMA.items() if k != "n"}
    write(rows, tmp_path / "rows", format, schema)
    write(pandas.DataFrame(rows), tmp_path / "frame", format, schema)
    write({name: [row[name] for row in rows] for name in rows[0]}, tmp_path / "columns", format, schema)
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "frame").read_bytes() == (tmp_path / "columns").read_bytes()


def test_whole_floats_of_a_frame_with_missing_ones_are_ints_where_the_schema_says_so(
    tmp_path: Path, without_pandas: None
) -> None:
    write({"n": [1.0, None, 3.0]}, tmp_path / "n.csv", "csv", {"n": "int"})
    assert (tmp_path / "n.csv").read_text().splitlines() == ["n", "1", '""', "3"]
    assert read(tmp_path / "n.csv", "csv", {"n": "int"}) == [{"n": 1}, {"n": None}, {"n": 3}]


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"), min_size=1)))
)  # fmt: skip
@examples(60)
def test_any_numbers_and_texts_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]) -> None:
    path = tmp_path_factory.mktemp("data") / "any.csv"
    wanted = [{"n": n, "x": x, "text": text} for n, x, text in rows]
    schema = {"n": "int", "x": "float", "text": "str"}
    write(wanted, path, "csv", schema)
    assert describe(path, "csv", schema).rows == len(wanted)
    with pytest.MonkeyPatch.context() as patch:
        hide_pandas(patch)
        assert read(path, "csv", schema) == wanted


def test_without_a_schema_csv_is_typed_by_what_it_looks_like(tmp_path: Path, either: str) -> None:
    path = tmp_path / "iris.csv"
    path.write_text("width,count,species,is_wild,zip\n5.1,3,setosa,true,00501\n4.9,4,virginica,false,10115\n")
    assert describe(path, "csv")[2:] == (
        2,
        {"width": "float", "count": "int", "species": "str", "is_wild": "bool", "zip": "str"},
    )
    assert [list(row.values())[:4] for row in rows_of(read(path, "csv"))] == [
        [5.1, 3, "setosa", True], [4.9, 4, "virginica", False]
    ]  # fmt: skip
    assert rows_of(read(path, "csv", {"zip": "str"}))[0]["zip"] == "00501"


def test_a_text_column_keeps_what_elsewhere_means_missing(tmp_path: Path, either: str) -> None:
    path = tmp_path / "countries.csv"
    path.write_text("code,gdp\nNA,1\nDE,NA\n,\n")
    schema = {"code": "str", "gdp": "float"}
    assert rows_of(read(path, "csv", schema)) == [
        {"code": "NA", "gdp": 1.0}, {"code": "DE", "gdp": None}, {"code": None, "gdp": None}
    ]  # fmt: skip


def test_json_that_is_no_table_comes_back_as_it_is(tmp_path: Path, either: str) -> None:
    for value in ({"a": [1, None, {"ü": math.inf}]}, [1, 2], "text", None, []):
        write(value, tmp_path / "x.json", "json")
        assert read(tmp_path / "x.json", "json") == value


def test_json_with_one_object_a_line_is_a_table_too(tmp_path: Path, either: str) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert rows_of(read(tmp_path / "x.json", "json")) == [{"a": 1}, {"a": 2}]
    assert describe(tmp_path / "x.json", "json")[2:] == (2, {"a": "int"})


def test_arrays_come_back_and_tell_their_shape(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(6.0).reshape(3, 2)
    write(array, tmp_path / "x.npy", "npy", {"a": "float", "b": "float"})
    assert numpy.array_equal(read(tmp_path / "x.npy", "npy"), array)
    assert describe(tmp_path / "x.npy", "npy")[2:] == (3, {"dtype": "float64", "shape": [3, 2]})
    assert describe(tmp_path / "x.npy", "npy", {"a": "float", "b": "float"})[2:] == (3, {"a": "float", "b": "float"})
    with pytest.raises(ParameterError, match="column 'a' is 'int' by its schema, and 'float' in the file"):
        describe(tmp_path / "x.npy", "npy", {"a": "int", "b": "float"})
    with pytest.raises(ParameterError, match=r"shape \(3, 2\), and its schema names 1 columns: a"):
        describe(tmp_path / "x.npy", "npy", {"a": "float"})


def test_an_array_of_python_objects_is_neither_written_nor_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(ParameterError, match="would be a pickle"):
        write(numpy.array([{}, None]), tmp_path / "x.npy", "npy")
    numpy.save(tmp_path / "x.npy", numpy.array([{}, None]), allow_pickle=True)
    assert describe(tmp_path / "x.npy", "npy").rows is None
    with pytest.raises(ParameterError, match=r"cannot be read as npy"):
        read(tmp_path / "x.npy", "npy")


def test_a_folder_is_read_as_its_files_in_the_order_of_their_names(tmp_path: Path, format: str, either: str) -> None:
    for n, name in enumerate(("b/2", "a/1")):
        write([{"n": n}], tmp_path / f"{name}.{format}", format)
    (tmp_path / f"_SUCCESS.{format}").write_text("nothing")
    assert rows_of(read(tmp_path, format)) == [{"n": 1}, {"n": 0}]
    assert describe(tmp_path, format)[2:] == (2, {"n": "int"})


def test_a_format_of_ones_own_is_hashed_and_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "x.las").write_bytes(b"\0" * 100)
    found = describe(tmp_path / "x.las", "las", {"z": "decimetre"})
    assert (found.size, found.rows, found.schema) == (100, None, {"z": "decimetre"})
    with pytest.raises(ParameterError, match="reads and writes csv, parquet, json, npy, and this is 'las'"):
        read(tmp_path / "x.las", "las")


def test_an_empty_file_is_a_table_without_rows(tmp_path: Path, either: str) -> None:
    write([], tmp_path / "x.csv", "csv")
    assert (tmp_path / "x.csv").read_bytes() == b""
    assert describe(tmp_path / "x.csv", "csv")[1:] == (0, 0, {})
    assert len(read(tmp_path / "x.csv", "csv")) == 0
    write([], tmp_path / "y.csv", "csv", {"n": "int"})
    assert describe(tmp_path / "y.csv", "csv", {"n": "int"})[2:] == (0, {"n": "int"})
    assert len(read(tmp_path / "y.csv", "csv", {"n": "int"})) == 0


# ------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"x": 1.0}], "the value has no column 'n', which its schema has; it has 'x'"),
        ([{"n": 1, "x": 1.0}, {"n": "2", "x": 1.0}], "column 'n' is 'int' by its schema, and row 2 has '2'"),
        ([{"n": 1.5, "x": 1.0}], "column 'n' is 'int' by its schema, and row 1 has 1.5"),
        ([{"n": True, "x": 1.0}], "column 'n' is 'int' by its schema, and row 1 has True"),
        (3, "the value is 'int' and no table"),
        ({"n": [1], "x": [1, 2]}, "columns of different lengths: 'n' has 1, 'x' has 2"),
    ],
)
def test_what_does_not_fit_the_schema_is_not_written(tmp_path: Path, format: str, rows: Any, told: str) -> None:
    path = tmp_path / "x"
    path.write_text("before")
    with pytest.raises(ParameterError, match=told):
        write(rows, path, format, {"n": "int", "x": "float"})
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x\n1\n", "has no column 'n', which its schema has; it has 'x'"),
        ("n,x\n1,1\n\n2,1\nthree,1\n", "column 'n' is 'int' by its schema, and row 3 has 'three'"),
        ("n,x\n1_000,1\n", "column 'n' is 'int' by its schema, and row 1 has '1_000'"),
        ("n,x\n1,1\n1,high\n", "column 'x' is 'float' by its schema, and row 2 has 'high'"),
    ],
)
def test_a_file_that_does_not_fit_the_schema_is_refused_naming_column_and_row(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ParameterError, match=told):
        describe(tmp_path / "x.csv", "csv", {"n": "int", "x": "float"})


def test_a_large_file_is_checked_as_strictly_as_a_small_one(tmp_path: Path, either: str) -> None:
    path, schema = tmp_path / "large.csv", {"n": "int", "x": "float", "is_good": "bool"}
    path.write_text("n,x,is_good,more\n" + f"1,2.5,true,{'abc def ' * 60}\n" * 9_000)
    assert path.stat().st_size > 1 << 22
    assert describe(path, "csv", schema)[2:] == (9_000, {**schema, "more": "str"})
    for line, told in (
        ("1_000,1,true,x", "column 'n' is 'int' by its schema, and row 9001 has '1_000'"),
        ("2.0,1,true,x", "column 'n' is 'int' by its schema, and row 9001 has '2.0'"),
        ("1,high,true,x", "column 'x' is 'float' by its schema, and row 9001 has 'high'"),
        ("1,1,maybe,x", "column 'is_good' is 'bool' by its schema, and row 9001 has 'maybe'"),
    ):
        size = path.stat().st_size
        with open(path, "a") as file:
            file.write(line)
        with pytest.raises(ParameterError, match=told):
            describe(path, "csv", schema)
        os.truncate(path, size)
    with open(path, "a") as file:
        file.write(",nan,,\n\n1\n1,2,true,x,and,more\n")
    assert describe(path, "csv", schema).rows == 9_003


def test_two_columns_of_one_name_are_two(tmp_path: Path, either: str) -> None:
    (tmp_path / "x.csv").write_text("a,b,a\n1,2,3\n")
    assert rows_of(read(tmp_path / "x.csv", "csv")) == [{"a": 1, "b": 2, "a.1": 3}]
    assert describe(tmp_path / "x.csv", "csv").schema == {"a": "int", "b": "int", "a.1": "int"}


def test_rows_that_end_with_a_comma_are_not_shifted(tmp_path: Path, either: str) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2,\n3,4,\n")
    assert rows_of(read(tmp_path / "x.csv", "csv")) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert rows_of(read(tmp_path / "x.csv", "csv", {"a": "int"})) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_more_columns_than_the_schema_names_are_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n,more\n1,2\n")
    assert describe(tmp_path / "x.csv", "csv", {"n": "float"}).schema == {"n": "float", "more": "int"}


def test_a_json_or_parquet_file_that_does_not_fit_names_the_column(tmp_path: Path, format: str) -> None:
    write([{"n": "one"}], tmp_path / "x", format)
    if format != "csv":
        with pytest.raises(ParameterError, match="column 'n' is 'int' by its schema"):
            describe(tmp_path / "x", format, {"n": "int"})
        with pytest.raises(ParameterError, match="has no column 'm'"):
            describe(tmp_path / "x", format, {"m": "any"})


def test_what_is_no_file_of_the_format_is_hashed_all_the_same_and_not_read(tmp_path: Path, format: str) -> None:
    (tmp_path / "x").write_bytes(b'"\xff\xfe{[' * 10)
    assert describe(tmp_path / "x", format).size == 50
    with pytest.raises(ParameterError, match=f"cannot be read as {format}"):
        read(tmp_path / "x", format)


def test_other_content_than_expected_is_an_error_that_names_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n\n1\n")
    before = describe(tmp_path / "x.csv", "csv").hash
    (tmp_path / "x.csv").write_text("n\n2\n")
    after = describe(tmp_path / "x.csv", "csv").hash
    with pytest.raises(Conflict, match=f"it had the hash {before[:12]}… and has {after[:12]}… now"):
        read(tmp_path / "x.csv", "csv", expected=before)


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    for act in (describe, read):
        with pytest.raises(NotFound, match=r"gone\.csv"):
            act(tmp_path / "gone.csv", "csv")
    with pytest.raises(NotFound, match="no csv file in"):
        read(tmp_path, "csv")


def test_bytes_and_lists_do_not_fit_into_csv(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="column 'raw' has values of type 'bytes', which csv cannot hold"):
        write([{"raw": b"\0"}], tmp_path / "x.csv", "csv")


def test_a_value_is_not_written_over_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="is a folder"):
        write([], tmp_path, "csv")


# ---------------------------------------------------------------------------------------------------- while others look


def test_who_reads_while_it_is_written_sees_the_old_or_the_new(tmp_path: Path, without_pandas: None) -> None:
    path, is_over, seen = tmp_path / "x.csv", threading.Event(), set()
    write([{"n": 0}] * 500, path, "csv", {"n": "int"})

    def look() -> None:
        while not is_over.is_set():
            with open(path, newline="") as file:
                seen.add((len(rows := list(csv.reader(file))), len(set(map(tuple, rows[1:])))))

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(60):
        write([{"n": n}] * 500, path, "csv", {"n": "int"})
    is_over.set()
    thread.join()
    assert seen == {(501, 1)}


def test_a_link_stays_a_link_when_what_it_names_is_written(tmp_path: Path, without_pandas: None) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write([{"n": 1}], tmp_path / "link.csv", "csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert read(tmp_path / "real.csv", "csv") == [{"n": 1}]


class Rows:
    """Gives rows; meanwhile somebody does something."""

    def __init__(self, deed: Any) -> None:
        self.deed = deed

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        self.deed()


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write([{"n": 1}], tmp_path / "x.csv", "csv")

    def fail() -> None:
        raise OSError("no more rows")

    with pytest.raises(OSError, match="no more rows"):
        write(Rows(fail), tmp_path / "x.csv", "csv")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "n\n1\n"


def test_times_with_a_zone_come_back_with_it(tmp_path: Path, without_pandas: None) -> None:
    rows = [{"at": datetime(2024, 1, 2, 3, tzinfo=UTC)}]
    for name in ("csv", "json"):
        write(rows, tmp_path / "x", name, {"at": "datetime"})
        assert read(tmp_path / "x", name, {"at": "datetime"}) == rows
