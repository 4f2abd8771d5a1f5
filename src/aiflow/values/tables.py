"""Tables, whatever library they are of, as columns of plain values: what types they have, and whether a schema fits.

Knows nothing of files.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.schema import kind_of

__all__ = [
    "MARKS",
    "Columns",
    "are_all",
    "check",
    "columns_of",
    "kinds_of",
    "lacking",
    "look",
    "looks",
    "misfit",
    "parsed",
    "plain",
    "refusal",
    "rows_of",
]

Columns = dict[str, list[Any]]
"""The values of a table by column; None is a missing one."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "datetime": (datetime,), "date": (date,),
    "bytes": (bytes,), "any": (object,),
}  # fmt: skip
_PLAIN = frozenset((int, float, str, bool, datetime, date, bytes, list, dict, type(None)))
MARKS = frozenset(("", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "<NA>"))
"""What stands in a column of text for a value that is missing, unless it is a column of texts."""

_LOSES_DIGITS = re.compile(r"\s*[+-]?(0\d+|\d{19,})\s*").fullmatch  # a postal code, the number of a card
_TRUTHS = {"true": True, "false": False}
_BITS = {**_TRUTHS, "1": True, "0": False}


# ------------------------------------------------------------------------------------------------ values of any library


def columns_of(value: Any, schema: Mapping[str, str] | None, what: str) -> Columns:
    """Take a table apart.

    Parameters
    ----------
    value
        A pandas DataFrame, a pyarrow Table, dicts (one for each row), a dict of columns, or a numpy array: one of records, or
        one of two dimensions if the schema names its columns.
    schema
        The types by column, or None.
    what
        What it is, for the message: ``"what job 'load' returned"``.

    Raises
    ------
    ParameterError
        If it is no table.
    """
    pandas, arrow, numpy = (sys.modules.get(name) for name in ("pandas", "pyarrow", "numpy"))
    if pandas is not None and isinstance(value, pandas.Series):
        value = value.to_frame()
    if pandas is not None and isinstance(value, pandas.DataFrame):
        named = [(str(name), _of_series(value.iloc[:, n])) for n, name in enumerate(value.columns)]
    elif arrow is not None and isinstance(value, arrow.Table):
        named = [(name, value.column(n).to_pylist()) for n, name in enumerate(value.column_names)]
    elif numpy is not None and isinstance(value, numpy.ndarray):
        named = _of_array(value, schema, what)
    elif isinstance(value, Mapping):
        named = [(str(name), _plain(list(_sequence(part, name, what)))) for name, part in value.items()]
    else:
        named = list(_of_rows(value, schema, what).items())
    columns = dict(named)
    if len(columns) < len(named):
        names = [name for name, _ in named]
        raise ParameterError(f"{what} has two columns named {next(n for n in names if names.count(n) > 1)!r}")
    lengths = {len(part) for part in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} has {len(part)}" for name, part in columns.items())
        raise ParameterError(f"{what} has columns of different lengths: {told}")
    return columns


def _of_series(series: Any) -> list[Any]:
    values: list[Any] = series.tolist()
    if series.isna().any():
        values = [None if gone else one for one, gone in zip(values, series.isna().tolist(), strict=True)]
    return _plain(values)


def _of_array(array: Any, schema: Mapping[str, str] | None, what: str) -> list[tuple[str, list[Any]]]:
    if array.dtype.names:
        return [(name, array[name].tolist()) for name in array.dtype.names]
    if array.ndim == 2 and schema is not None and len(schema) == array.shape[1]:
        return [(name, array[:, n].tolist()) for n, name in enumerate(schema)]
    raise ParameterError(
        f"{what} is an array of shape {array.shape}, which names no columns: return rows as dicts, or declare a schema "
        "with one name for each of its columns"
    )


def _of_rows(value: Any, schema: Mapping[str, str] | None, what: str) -> Columns:
    is_many = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    rows = list(value) if is_many else []
    if not is_many or not all(isinstance(row, Mapping) for row in rows):
        raise ParameterError(
            f"{what} is {type(value).__name__!r} and no table: that would be a DataFrame, a list of dicts, or a dict of lists"
        )
    names = dict.fromkeys(schema or () if not rows else ())
    for row in rows:
        names.update(dict.fromkeys(row))
    return {str(name): _plain([row.get(name) for row in rows]) for name in names}


def _sequence(part: Any, name: object, what: str) -> Iterable[Any]:
    if not isinstance(part, Iterable) or isinstance(part, str | bytes | Mapping):
        raise ParameterError(f"{what} is a dict whose {name!r} is no column of values, but {type(part).__name__!r}")
    tolist: Callable[[], Any] | None = getattr(part, "tolist", None)
    return tolist() if tolist is not None else part  # numpy's gives a list


def _plain(values: list[Any]) -> list[Any]:
    """Do the same for many."""
    if _PLAIN.issuperset(map(type, values)):
        return values
    return [one if type(one) in _PLAIN else plain(one) for one in values]


def plain(value: Any) -> Any:
    """Take a value of numpy or pandas as what it is in Python; others are given as they are."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and (value is pandas.NA or value is pandas.NaT):
        return None
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    return value.tolist() if numpy is not None and isinstance(value, numpy.ndarray) else value


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Give the rows as dicts."""
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# ------------------------------------------------------------------------------------------------------------- types


def kinds_of(columns: Columns) -> dict[str, str]:
    """Give a schema of the values themselves."""
    return {name: _kind(set(map(type, values)) - {type(None)}) for name, values in columns.items()}


def _kind(types: set[type]) -> str:
    for kind in ("int", "float", "str", "bool", "datetime", "date", "bytes"):
        if types and all(_is(one, kind) for one in types):
            return kind
    return "any"


def _is(one: type, kind: str) -> bool:
    if one is bool or (kind == "date" and issubclass(one, datetime)):  # Python has them for numbers, and for dates
        return kind in ("bool", "any") if one is bool else False
    return issubclass(one, _TYPES[kind])


def check(columns: Columns, schema: Mapping[str, str], what: str) -> None:
    """Check that a table has all columns of a schema, with values of their types; whole floats may be ``int``, midnights a ``date``.

    Raises
    ------
    ParameterError
        If not; names the column and the first value that does not fit.
    """
    for name, said in schema.items():
        if name not in columns:
            raise lacking(what, name, columns)
        kind, values = kind_of(said) or "any", columns[name]
        adapt = _ADAPTED.get(kind)
        if adapt is not None and misfit(values, kind) is not None:  # libraries have no missing ones, and no days
            values = columns[name] = [adapt(one) for one in values]
        at = misfit(values, kind)
        if at is not None:
            raise refusal(what, name, said, at, values[at])


def misfit(values: Sequence[Any], kind: str) -> int | None:
    """Give the place of the first value that is not of a kind, or None."""
    good = {one: one is type(None) or _is(one, kind) for one in set(map(type, values))}
    if all(good.values()):
        return None
    return next(at for at, one in enumerate(values) if not good[type(one)])


def refusal(what: str, column: str, said: str, at: int, value: object) -> ParameterError:
    """Say that a value is not of the type that the schema says."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return ParameterError(f"{what}: column {column!r} is {said!r} by its schema, and row {at + 1} has {shown}")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _day(value: Any) -> Any:
    return value.date() if isinstance(value, datetime) and value.time() == time() else value


_ADAPTED: Mapping[str, Callable[[Any], Any]] = {"int": _whole, "date": _day}


def lacking(what: str, column: str, columns: Iterable[str]) -> ParameterError:
    """Say that a table lacks a column of its schema."""
    names = list(columns)
    shown = (", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")) or "none"
    return ParameterError(f"{what} has no column {column!r}, which its schema has; it has {shown}")


# -------------------------------------------------------------------------------------------------- columns of text


def looks(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give the types that columns of text look like."""
    return {name: look(values) for name, values in columns.items()}


def look(values: Sequence[str]) -> str:
    """Say what texts look like: ``"int"``, ``"float"``, ``"bool"``, or ``"str"`` where they are nothing else.

    Examples
    --------
    >>> look(["1", "2"]), look(["1", "2.5", ""]), look(["true"]), look(["007"]), look(["", ""])
    ('int', 'float', 'bool', 'str', 'str')
    """
    given = set(values) - MARKS
    if given and not any(map(_LOSES_DIGITS, given)):
        for kind in ("int", "float"):
            if are_all(given, kind):
                return kind
    return "bool" if given and all(text.lower() in _TRUTHS for text in given) else "str"


def are_all(texts: Iterable[str], kind: str) -> bool:
    """Tell whether all texts are values of a kind, or missing; equal ones are looked at once."""
    if kind in ("str", "any"):
        return True
    given = set(texts) - MARKS
    try:
        if kind in ("int", "float"):
            _number("".join(given))
        deque(map(_READERS[kind], given), maxlen=0)
    except ValueError:
        return False
    return True


def parsed(values: Sequence[str], kind: str) -> list[Any]:
    """Give texts as values of a kind, missing ones as None.

    Raises
    ------
    ValueError
        If one of them is none.
    """
    if kind in ("str", "any"):
        return [text or None for text in values]
    read = _READERS[kind]
    if kind in ("int", "float"):
        _number("".join(values))
    if MARKS.isdisjoint(values):
        return list(map(read, values))
    return [None if text in MARKS else read(text) for text in values]


def _number(text: str) -> None:
    """Refuse what Python takes for digits, and nobody else does."""
    if "_" in text or not text.isascii():
        raise ValueError(text)


def _bool(text: str) -> bool:
    try:
        return _BITS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _bytes(text: str) -> bytes:
    raise ValueError("text is no bytes")


_READERS: Mapping[str, Callable[[str], Any]] = {
    "int": int, "float": float, "bool": _bool, "datetime": datetime.fromisoformat, "date": date.fromisoformat, "bytes": _bytes
}  # fmt: skip
