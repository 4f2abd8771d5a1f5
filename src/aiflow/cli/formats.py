"""How data are written: as tables for people, as JSON and YAML for programs, as plain lines for the shell.

Knows nothing of what the data mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from aiflow.cli.streams import data_stream

__all__ = ["STATUS_STYLES", "Fields", "Lines", "Table", "as_data", "cell", "compact", "json_line", "write"]

STATUS_STYLES = {
    "SUCCESS": "green", "FAILED": "bold red", "RUNNING": "bold blue", "QUEUED": "cyan", "RETRYING": "yellow",
    "STOPPING": "yellow", "STOPPED": "magenta", "SKIPPED": "dim", "INIT": "dim", "INTERRUPTED": "bold magenta",
    "GENERATED": "cyan", "VALIDATED": "blue", "DEPLOYED": "bold green", "DEPRECATED": "dim", "DELETED": "dim strike",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings.

    Attributes
    ----------
    rows
        Dicts, as a program gets them.
    columns
        For each heading the key of a row, or a function of it.
    wide
        The headings whose cells are cut off where a terminal is too narrow, or stand on a line below; no others are.
    """

    rows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str | Callable[[Mapping[str, Any]], Any]]
    wide: tuple[str, ...] = ()

    def cells(self, text: Callable[[Any], str] | None = None) -> Iterator[list[str]]:
        """Give the texts, row by row; `text` makes them of values, by default `cell`."""
        text = text or cell
        for row in self.rows:
            yield [text(row.get(key) if isinstance(key, str) else key(row)) for key in self.columns.values()]


@dataclass(frozen=True, slots=True)
class Fields:
    """Names with values, one a line."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that stands as it is; in a terminal, what a pattern of `marks` finds gets its style."""

    text: str = field(default="")
    marks: Mapping[str, str] = field(default_factory=dict)


def write(form: str, data: Any, *parts: Table | Fields | Lines) -> None:
    """Write to standard output.

    Parameters
    ----------
    form
        ``"table"``, ``"json"``, ``"yaml"`` or ``"plain"``.
    data
        What a program gets.
    parts
        What people get.
    """
    stream = data_stream()
    if stream is None:
        return
    if form == "json":
        _print(_json(data, indent=2))
    elif form == "yaml":
        _print("\n".join(_yaml(as_data(data), 0)))
    elif form == "plain":
        for part in parts:
            _print("\n".join(_plain(part)))
    elif stream.isatty():
        from aiflow.cli.drawing import draw

        draw(parts, stream)
    else:
        _print("\n\n".join(filter(None, ("\n".join(_aligned(part)) for part in parts))))


def json_line(data: Any) -> None:
    """Write data as one line of JSON, at once."""
    _print(_json(data, indent=None))
    stream = data_stream()
    if stream is not None:
        stream.flush()


def compact(data: Any) -> str:
    """Give data as one line of JSON."""
    return json.dumps(as_data(data), ensure_ascii=False, allow_nan=False)


def as_data(value: Any) -> Any:
    """Turn a value into JSON data: times in ISO 8601, NaN and infinity as text, objects as they show themselves."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Enum):
        return as_data(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): as_data(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_data(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):  # a number of NumPy
        return as_data(value.item())
    return cell(value)


def cell(value: Any) -> str:
    """Give a value as one line of printable text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    elif isinstance(value, dict | list | tuple):
        text = json.dumps(as_data(value), ensure_ascii=False)
    else:
        text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return repr(character)[1:-1] if character not in "\n\t" else {"\n": "\\n", "\t": "\\t"}[character]


def _print(text: str) -> None:
    stream = data_stream()
    if not text or stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _json(data: Any, indent: int | None) -> str:
    text = json.dumps(as_data(data), indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(data_stream(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(as_data(data), indent=indent, allow_nan=False)
    return text


# ---------------------------------------------------------------------------------------------------------------- YAML

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*").fullmatch
_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf")


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _BARE(value) and value.lower() not in _WORDS:
        return value
    if value == {} or value == []:
        return "{}" if value == {} else "[]"
    return json.dumps(value, ensure_ascii=not isinstance(value, str) or not value.isprintable())


def _yaml(value: Any, depth: int) -> Iterator[str]:
    """Write JSON data in blocks; every text that could be taken for something else is quoted as in JSON."""
    indent = "  " * depth
    if isinstance(value, dict) and value:
        for key, part in value.items():
            if isinstance(part, dict | list) and part:
                yield f"{indent}{_scalar(key)}:"
                yield from _yaml(part, depth + 1)
            else:
                yield f"{indent}{_scalar(key)}: {_scalar(part)}"
    elif isinstance(value, list) and value:
        for part in value:
            first, *more = _yaml(part, depth + 1)
            yield f"{indent}- {first.lstrip()}"
            yield from more
    else:
        yield indent + _scalar(value)


# ---------------------------------------------------------------------------------------------------- for people


def _plain(part: Table | Fields | Lines) -> Iterator[str]:
    if isinstance(part, Lines):
        yield part.text
    elif isinstance(part, Fields):
        yield from (f"{name}\t{cell(value)}" for name, value in part.values.items())
    else:
        yield from ("\t".join(cells) for cells in part.cells())


def _aligned(part: Table | Fields | Lines) -> Iterator[str]:
    if isinstance(part, Lines):
        yield part.text
        return
    if isinstance(part, Fields):
        width = max(map(len, part.values), default=0)
        yield from (f"{name:<{width}}  {cell(value)}".rstrip() for name, value in part.values.items())
        return
    rows = [list(part.columns), *part.cells()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(part.columns))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
