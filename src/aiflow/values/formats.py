"""The formats of datasets: how a file of each is looked into, read and written. The door to pyarrow, pandas and numpy for data.

Knows nothing of hashes and versions, nor of whether a file is still the one that was meant. A table is read as a pandas
DataFrame if pandas can be imported, else as dicts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from aiflow.errors import ParameterError, StoreError
from aiflow.graph.schema import kind_of
from aiflow.values import tables
from aiflow.values.tables import Columns

__all__ = ["Format", "Shape", "format_of"]

Schema = Mapping[str, Any]
_SAMPLE = 10_000
_LARGE_JSON, _LARGE_CSV = 1 << 26, 1 << 22
_PART = 200_000
_SURE = {"int": "iu", "float": "iuf", "bool": "b"}
_SLOW = {"datetime", "date", "bytes"}


class Shape(NamedTuple):
    """How many rows a file has, and its columns with their types; None where it does not tell."""

    rows: int | None = None
    schema: dict[str, Any] | None = None


class Format(Protocol):
    """One format."""

    def look(self, path: Path, schema: Schema | None, what: str) -> Shape:
        """Say how many rows there are and which columns.

        Raises
        ------
        ParameterError
            If the schema does not fit; names the column.
        """

    def read(self, paths: list[Path], schema: Schema | None) -> Any:
        """Give what is in some files, one after the other; columns that fit the types of the schema have them.

        Raises
        ------
        ParameterError
            If a file is not of this format.
        """

    def write(self, value: Any, file: BinaryIO, schema: Schema | None, what: str) -> None:
        """Write a value.

        Raises
        ------
        ParameterError
            If it cannot be written so, or the schema does not fit; names the column.
        """


# ----------------------------------------------------------------------------------------------------------------- csv


class Csv:
    """Text with commas, and the names of the columns in its first line; an empty cell is a missing value."""

    def look(self, path: Path, schema: Schema | None, what: str) -> Shape:
        """Count the rows; types are those of the schema, and what the first rows look like."""
        sure = None if schema is None else _sure(path, schema)
        if sure is not None:
            return sure
        try:
            with _text(path, "replace") as lines:
                rows = csv.reader(lines)
                names = _heads(rows)
                if schema is not None:
                    return _checked(names, rows, schema, what)
                first = [row for row in islice(rows, _SAMPLE) if row]
                count = _count_lines(path) if len(first) == _SAMPLE else None
                count = len(first) + sum(1 for row in rows if row) if count is None else count - 1
                return Shape(count, tables.looks(_by_column(names, first)))
        except csv.Error as error:
            if schema is None:
                return Shape()
            raise ParameterError(f"{what} is no csv, so its schema cannot be checked: {error}") from error

    def read(self, paths: list[Path], schema: Schema | None) -> Any:
        """Read the cells by the schema, or by what they look like."""
        pandas = _pandas()
        if pandas is None:
            return [row for path in paths for row in tables.rows_of(_typed(_cells(path), schema or {}))]
        frames = [_frame(pandas, path, schema or {}) for path in paths]
        return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=True)

    def write(self, value: Any, file: BinaryIO, schema: Schema | None, what: str) -> None:
        """Write a table."""
        columns = _table(value, schema, what)
        for name, values in columns.items():
            for kind in (bytes, list, dict):
                if kind in set(map(type, values)):
                    raise ParameterError(
                        f"{what}: column {name!r} has values of type {kind.__name__!r}, which csv cannot hold"
                    )
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        returns = any("\r" in one for values in columns.values() for one in values if type(one) is str)
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
        if columns:
            writer.writerow(columns)
        writer.writerows(zip(*(_texts(values) for values in columns.values()), strict=True))
        text.flush()
        text.detach()


def _heads(rows: Iterator[list[str]]) -> list[str]:
    """Give the names of the columns: the first line that is not empty; a second ``a`` is ``a.1``, as pandas has it."""
    names: dict[str, None] = {}
    for said in next((row for row in rows if row), []):
        name, count = said, 0
        while name in names:
            count += 1
            name = f"{said}.{count}"
        names[name] = None
    return list(names)


def _checked(names: list[str], rows: Iterator[list[str]], schema: Schema, what: str) -> Shape:
    """Go through all rows, some at a time."""
    for name in schema:
        if name not in names:
            raise tables.lacking(what, name, names)
    count = 0
    kinds: dict[str, str] = {}
    while part := list(islice(rows, _SAMPLE)):
        columns = _by_column(names, [row for row in part if row])
        kinds = kinds or tables.looks({name: texts for name, texts in columns.items() if name not in schema})
        for name, said in schema.items():
            _check_texts(columns[name], name, str(said), count, what)
        count += len(columns[names[0]]) if names else 0
    return Shape(count, {**dict.fromkeys(names, "str"), **kinds, **schema})


def _sure(path: Path, schema: Schema) -> Shape | None:
    """Check a large file by pandas, which is many times as quick; None unless all is surely as the schema says."""
    kinds = {name: kind_of(str(said)) or "any" for name, said in schema.items()}
    pandas = _pandas() if path.stat().st_size >= _LARGE_CSV and _SLOW.isdisjoint(kinds.values()) else None
    if pandas is None:
        return None
    try:
        count = _count_sure(pandas, path, kinds)
        with _text(path) as lines:
            rows = csv.reader(lines)
            names = _heads(rows)
            looks = tables.looks(_by_column(names, [row for row in islice(rows, _SAMPLE) if row]))
    except Exception:  # pandas has many; it is looked at again, more slowly, and what is wrong is said in our words
        return None
    return None if count is None else Shape(count, {**looks, **schema})


def _count_sure(pandas: Any, path: Path, kinds: Mapping[str, str]) -> int | None:
    missing, count = {name: sorted(tables.MARKS) for name in kinds}, 0
    options = {"encoding": "utf-8-sig", "keep_default_na": False, "na_values": missing, "chunksize": _PART}
    with pandas.read_csv(path, **options) as parts:
        for part in parts:
            is_sure = all(part[name].dtype.kind in _SURE[kind] for name, kind in kinds.items() if kind in _SURE)
            if not is_sure or not isinstance(part.index, pandas.RangeIndex):  # else, rows are longer than the head
                return None
            count += len(part)
    return count


def _count_lines(path: Path) -> int | None:
    """Count the lines that are not empty, which is quicker than taking them apart; None if a row need not be a line."""
    with open(path, "rb") as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
            if whole.find(b'"') >= 0 or whole.find(b"\r") >= 0:
                return None
        return sum(1 for line in file if line != b"\n")


def _check_texts(texts: list[str], name: str, said: str, before: int, what: str) -> None:
    kind = kind_of(said) or "any"
    if not tables.are_all(texts, kind):
        at = next(at for at, text in enumerate(texts) if not tables.are_all((text,), kind))
        raise tables.refusal(what, name, said, before + at, texts[at])


def _by_column(names: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    """Give rows by column; a row that is too short has empty cells, and what is beyond the names is left out."""
    width = len(names)
    even = [row if len(row) == width else (row + [""] * width)[:width] for row in rows]
    return (
        {name: list(column) for name, column in zip(names, zip(*even, strict=True), strict=True)}
        if even
        else {n: [] for n in names}
    )


def _cells(path: Path) -> dict[str, list[str]]:
    try:
        with _text(path) as lines:
            rows = csv.reader(lines)
            names = _heads(rows)
            return _by_column(names, [row for row in rows if row])
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, "csv", error) from error


def _typed(columns: Mapping[str, list[str]], schema: Schema) -> Columns:
    found: Columns = {}
    for name, texts in columns.items():
        kind = kind_of(schema[name]) if name in schema else None
        try:
            found[name] = tables.parsed(texts, kind or tables.look(texts))
        except ValueError:
            found[name] = tables.parsed(texts, tables.look(texts))
    return found


def _frame(pandas: Any, path: Path, schema: Schema) -> Any:
    if path.stat().st_size == 0:
        return pandas.DataFrame()
    kinds = {name: kind_of(str(said)) for name, said in schema.items()}
    try:
        with _text(path, "replace") as lines:
            names = _heads(csv.reader(lines))
        options: dict[str, Any] = {
            "usecols": range(len(names))
        }  # else, rows with a comma at their end would be shifted
        if schema:
            are_texts = {name for name in names if kinds.get(name) in ("str", "any", "datetime", "date")}
            missing = {name: [""] if name in are_texts else sorted(tables.MARKS | {"nan", "NaN"}) for name in names}
            options |= {"dtype": dict.fromkeys(are_texts, "str"), "keep_default_na": False, "na_values": missing}
        frame = pandas.read_csv(path, encoding="utf-8-sig", **options)
    except (ValueError, csv.Error) as error:  # pandas' own errors are ValueErrors
        raise _unreadable(path, "csv", error) from error
    return _with_kinds(pandas, frame, kinds)


def _with_kinds(pandas: Any, frame: Any, kinds: Mapping[str, str | None]) -> Any:
    for name, kind in kinds.items():
        if name in frame.columns:
            try:
                frame[name] = _as_kind(pandas, frame[name], kind)
            except (ValueError, TypeError, OverflowError):  # the schema is younger than the file: it stays as it looks
                continue
    return frame


def _as_kind(pandas: Any, column: Any, kind: str | None) -> Any:
    if kind == "int":
        return column.astype("Int64" if column.isna().any() else "int64")
    if kind == "float":
        return column.astype("float64")
    if kind == "bool":
        return column.astype("boolean" if column.isna().any() else "bool")
    if kind in ("datetime", "date"):
        return pandas.to_datetime(column, format="ISO8601")
    return column


@contextmanager
def _text(path: Path, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
    with open(path, encoding="utf-8-sig", errors=errors, newline="") as file:
        yield file


def _texts(values: list[Any]) -> list[Any]:
    if any(issubclass(one, date) for one in set(map(type, values))):
        return [one.isoformat() if isinstance(one, date) else one for one in values]
    return values


# ---------------------------------------------------------------------------------------------------------------- json


class Json:
    """A list of objects is a table; anything else is itself. Also one object a line, as many programs write them."""

    def look(self, path: Path, schema: Schema | None, what: str) -> Shape:
        """Count the rows of a table; one that is large is not looked into unless there is a schema to check."""
        if schema is None and path.stat().st_size > _LARGE_JSON:
            return Shape()
        try:
            found = _json_of(path)
        except ParameterError:
            if schema is None:
                return Shape()
            raise
        if not _is_table(found):
            if schema is not None:
                raise ParameterError(f"{what} is no list of objects, so it has no columns: its schema does not fit")
            return Shape(len(found) if isinstance(found, list) else None)
        columns = tables.columns_of(found, schema, what)
        if schema is not None:
            _check_json(columns, schema, what)
        return Shape(len(found), {**tables.kinds_of(columns), **(schema or {})})

    def read(self, paths: list[Path], schema: Schema | None) -> Any:
        """Read tables and other data; several files are lists, one after the other."""
        parts = [_json_of(path) for path in paths]
        if len(parts) > 1 and not all(isinstance(part, list) for part in parts):
            raise ParameterError(
                f"{paths[0].parent} has several json files, and not each is a list: read them yourself"
            )
        found = parts[0] if len(parts) == 1 else [row for part in parts for row in part]
        if not _is_table(found):
            return found
        columns = tables.columns_of(found, schema, str(paths[0]))
        kinds = {name: kind_of(str(said)) for name, said in (schema or {}).items()}
        pandas = _pandas()
        if pandas is not None:
            return _with_kinds(pandas, pandas.DataFrame(columns), kinds)
        return tables.rows_of({name: _of_json(values, kinds.get(name)) for name, values in columns.items()})

    def write(self, value: Any, file: BinaryIO, schema: Schema | None, what: str) -> None:
        """Write a table as a list of objects, and other JSON data as it is."""
        if schema is not None or _is_of_a_library(value):
            columns = _table(value, schema, what)
            value = tables.rows_of({name: _texts(values) for name, values in columns.items()})
        text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            for piece in json.JSONEncoder(ensure_ascii=False, default=_json_value).iterencode(value):
                text.write(piece)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{what} cannot be written as json: {error}") from None
        text.write("\n")
        text.flush()
        text.detach()


def _json_of(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        try:
            return json.loads(text)
        except ValueError:
            lines = [line for line in text.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            return [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "json", error) from error


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_of_a_library(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("pandas", "pyarrow", "numpy")


def _json_value(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    plain = tables.plain(value)
    if plain is value:
        raise TypeError(f"a value of type {type(value).__name__!r} is no JSON data")
    return plain


def _check_json(columns: Columns, schema: Schema, what: str) -> None:
    times = {name: said for name, said in schema.items() if kind_of(str(said)) in ("datetime", "date")}
    tables.check(dict(columns), {name: said for name, said in schema.items() if name not in times}, what)
    for name, said in times.items():
        texts = columns.get(name)
        if texts is None:
            tables.check(columns, {name: said}, what)
        for at, text in enumerate(texts or ()):
            if text is not None:
                if not isinstance(text, str):
                    raise tables.refusal(what, name, said, at, text)
                _check_texts([text], name, said, at, what)


def _of_json(values: list[Any], kind: str | None) -> list[Any]:
    """Give values as what they are by the schema, where JSON has no word for it."""
    read: Mapping[str | None, Callable[[Any], Any]] = {
        "float": lambda one: float(one) if type(one) is int else one,
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
    }
    if kind not in read:
        return values
    try:
        return [None if one is None else read[kind](one) for one in values]
    except (ValueError, TypeError, OverflowError):
        return values


# ------------------------------------------------------------------------------------------------------------- parquet


class Parquet:
    """Tables by pyarrow, which tell their rows and types themselves."""

    def look(self, path: Path, schema: Schema | None, what: str) -> Shape:
        """Read rows and types of the file's end; without pyarrow nobody can."""
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            return Shape(None, None if schema is None else dict(schema))
        try:
            with parquet.ParquetFile(path) as file:
                found = {field.name: _arrow_kind(field.type) for field in file.schema_arrow}
                rows = file.metadata.num_rows
        except Exception as error:  # pyarrow has many
            if schema is None:
                return Shape()
            raise _unreadable(path, "parquet", error) from error
        _check_kinds(found, schema, what)
        return Shape(rows, {**found, **(schema or {})})

    def read(self, paths: list[Path], schema: Schema | None) -> Any:
        """Read tables; their types are their own."""
        arrow = _arrow()
        import pyarrow.parquet as parquet

        try:
            found = [parquet.ParquetFile(path).read() for path in paths]
        except Exception as error:  # pyarrow has many
            raise _unreadable(paths[0], "parquet", error) from error
        table = found[0] if len(found) == 1 else arrow.concat_tables(found, promote_options="default")
        return table.to_pylist() if _pandas() is None else table.to_pandas()

    def write(self, value: Any, file: BinaryIO, schema: Schema | None, what: str) -> None:
        """Write a table."""
        arrow = _arrow()
        import pyarrow.parquet as parquet

        columns = _table(value, schema, what)
        types = {name: _arrow_type(arrow, kind_of(str(said))) for name, said in (schema or {}).items()}
        try:
            arrays = [arrow.array(values, type=types.get(name)) for name, values in columns.items()]
        except Exception as error:  # pyarrow has many
            raise ParameterError(f"{what} cannot be written as parquet: {error}") from error
        parquet.write_table(arrow.Table.from_arrays(arrays, names=list(columns)), file)


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise StoreError("parquet is read and written by pyarrow, which is not here: pip install pyarrow") from error
    return pyarrow


def _arrow_kind(type_: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(type_):
        return _arrow_kind(type_.value_type)
    asked = (
        ("int", types.is_integer), ("float", types.is_floating), ("bool", types.is_boolean), ("str", types.is_string),
        ("str", types.is_large_string), ("datetime", types.is_timestamp), ("date", types.is_date),
        ("bytes", types.is_binary), ("bytes", types.is_large_binary),
    )  # fmt: skip
    return next((kind for kind, is_so in asked if is_so(type_)), str(type_))


def _arrow_type(arrow: Any, kind: str | None) -> Any:
    made = {
        "int": arrow.int64, "float": arrow.float64, "bool": arrow.bool_, "str": arrow.string, "date": arrow.date32,
        "bytes": arrow.binary,
    }  # fmt: skip
    return made[kind]() if kind in made else None


def _check_kinds(found: Mapping[str, str], schema: Schema | None, what: str) -> None:
    for name, said in (schema or {}).items():
        if name not in found:
            raise tables.lacking(what, name, found)
        wanted = kind_of(str(said))
        if wanted != "any" and (wanted, found[name]) != ("float", "int") and found[name] != wanted:
            raise ParameterError(f"{what}: column {name!r} is {said!r} by its schema, and {found[name]!r} in the file")


# ----------------------------------------------------------------------------------------------------------------- npy


class Npy:
    """One array of numpy, which tells its shape and type itself; arrays of Python objects are not read, for they are pickles."""

    def look(self, path: Path, schema: Schema | None, what: str) -> Shape:
        """Read the head of the file; without numpy nobody can."""
        try:
            import numpy
        except ImportError:
            return Shape(None, None if schema is None else dict(schema))
        try:
            array = numpy.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            if schema is None:
                return Shape()
            raise _unreadable(path, "npy", error) from error
        found = _kinds_of_array(array, schema, what)
        _check_kinds(found, schema, what)
        told: dict[str, Any] = {**found, **(schema or {})}
        return Shape(len(array) if array.ndim else 1, told or {"dtype": str(array.dtype), "shape": list(array.shape)})

    def read(self, paths: list[Path], schema: Schema | None) -> Any:
        """Read an array; several are joined along their first axis."""
        numpy = _numpy()
        try:
            parts = [numpy.load(path, allow_pickle=False) for path in paths]
            return parts[0] if len(parts) == 1 else numpy.concatenate(parts)
        except (ValueError, EOFError) as error:
            raise _unreadable(paths[0], "npy", error) from error

    def write(self, value: Any, file: BinaryIO, schema: Schema | None, what: str) -> None:
        """Write an array, or what numpy makes one of."""
        numpy = _numpy()
        array = numpy.asarray(value)
        if array.dtype.hasobject:
            raise ParameterError(
                f"{what} cannot be written as npy: an array of Python objects would be a pickle, which aiflow does not read"
            )
        _check_kinds(_kinds_of_array(array, schema, what), schema, what)
        numpy.lib.format.write_array(file, array, allow_pickle=False)


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise StoreError("npy is read and written by numpy, which is not here: pip install numpy") from error
    return numpy


_NUMPY_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool", "U": "str", "M": "datetime", "S": "bytes"}


def _kinds_of_array(array: Any, schema: Schema | None, what: str) -> dict[str, str]:
    """Give the types by column: of records by their own names, else by those of the schema, one for each column."""
    if array.dtype.names:
        return {name: _NUMPY_KINDS.get(array.dtype[name].kind, str(array.dtype[name])) for name in array.dtype.names}
    if schema is None:
        return {}
    width = array.shape[1] if array.ndim == 2 else 1
    if len(schema) != width or array.ndim not in (1, 2):
        raise ParameterError(
            f"{what} is an array of shape {array.shape}, and its schema names {len(schema)} columns: {', '.join(schema)}"
        )
    return dict.fromkeys(schema, _NUMPY_KINDS.get(array.dtype.kind, str(array.dtype)))


# -------------------------------------------------------------------------------------------------------------- common


def _table(value: Any, schema: Schema | None, what: str) -> Columns:
    columns = tables.columns_of(value, schema, what)
    if schema is not None:
        tables.check(columns, schema, what)
    return columns


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        return None
    return pandas


def _unreadable(path: Path, format: str, error: Exception) -> ParameterError:
    return ParameterError(f"{path} cannot be read as {format}: {type(error).__name__}: {str(error)[:300]}")


_FORMATS: Mapping[str, Format] = {"csv": Csv(), "json": Json(), "parquet": Parquet(), "npy": Npy()}


def format_of(name: str | None) -> Format | None:
    """Give a format by its name; None if aiflow does not know it."""
    return None if name is None else _FORMATS.get(name)
