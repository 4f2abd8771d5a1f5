"""What `af.flink_sql` makes: a job that is SQL statements, with functions in Python for them.

Knows nothing of tables and of how statements are carried out: Flink does that.
"""

from __future__ import annotations

import datetime
import decimal
import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ForwardRef, Union, get_args, get_origin

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.building import Node, Output
from aiflow.graph.environments import signature_of
from aiflow.graph.params import is_secret_name

__all__ = ["FlinkSql", "check_udfs", "headline", "hide_passwords", "split_statements", "sql_type"]


@dataclass(frozen=True, slots=True)
class FlinkSql:
    """The statements of a job, carried out one after the other; stands where another job has its function.

    Attributes
    ----------
    statements
        One statement each.
    udfs
        The functions that they may call, by name: of PyFlink, or plain ones, whose annotations say what they give
        (`sql_type`).
    """

    statements: tuple[str, ...]
    udfs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def __name__(self) -> str:  # what a `Job` is called that has no name
        return "flink_sql"

    def __call__(self) -> Any:
        """Refuse: only Flink can carry them out."""
        raise GraphError(f"{self.text!r} is SQL for Flink: the runner of its job must be 'flink', which is the default")

    @property
    def text(self) -> str:
        """The statements in one text."""
        return ";\n".join(self.statements)


_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/|;""", re.DOTALL)
_COMMENT = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`)|--[^\n]*|/\*(?!\+).*?\*/""", re.DOTALL)
_SET = re.compile(
    r"\s*(EXECUTE\s+STATEMENT\s+SET\s+BEGIN|(COMPILE|EXECUTE)\s+.*\sSTATEMENT\s+SET\s+BEGIN)\b", re.I | re.S
)


def split_statements(sql: str | Sequence[str]) -> tuple[str, ...]:
    r"""Take SQL apart at its semicolons, but for those in texts, names, comments and statement sets.

    Raises
    ------
    GraphError
        If a statement is a node, which has no value yet.
    ParameterError
        If it is neither a text nor texts, or if nothing is in it.

    Examples
    --------
    >>> split_statements("CREATE VIEW v AS SELECT ';' AS x; -- first this; then that\nSELECT x FROM v;")
    ("CREATE VIEW v AS SELECT ';' AS x", '-- first this; then that\nSELECT x FROM v')
    """
    texts = [sql] if isinstance(sql, str) or not isinstance(sql, Sequence) else list(sql)
    for text in texts:
        if isinstance(text, Node | Output):
            raise GraphError(
                f"{text!r} has no value while the graph is built, so it can be no part of af.flink_sql; write an "
                "@af.flink_job that takes it and calls t_env.execute_sql(…)"
            )
        if not isinstance(text, str):
            raise ParameterError(f"af.flink_sql takes a text of SQL statements or a list of them, not {text!r}")
    found = tuple(statement for text in texts for statement in _split(text))
    if not found:
        raise ParameterError(f"af.flink_sql needs a statement, and there is none in {sql!r}")
    return found


def _split(text: str) -> Iterator[str]:
    held: list[str] = []
    for piece in _pieces(text):
        code = _COMMENT.sub(lambda quoted: quoted[1] or " ", piece).strip()
        if held:
            held.append(piece)
            if code.upper() == "END":
                yield ";".join(held).strip()
                held = []
        elif _SET.match(code):
            held = [piece]
        elif code:
            yield piece.strip()
    if held:
        yield ";".join(held).strip()


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            yield text[start : token.start()]
            start = token.end()
    yield text[start:]


def headline(statement: str) -> str:
    r"""Give the beginning of a statement in one line: what it does, and neither comments nor passwords.

    Examples
    --------
    >>> headline("-- the newest\nSELECT *\nFROM t")
    'SELECT * FROM t'
    """
    said = " ".join(_COMMENT.sub(lambda quoted: quoted[1] or " ", hide_passwords(statement)).split())
    return said if len(said) <= 60 else f"{said[:60]}…"


_OPTION = re.compile(r"('(?:[^']|'')*')(\s*=\s*)'(?:[^']|'')*'")


def hide_passwords(statement: str) -> str:
    """Hide what options of a statement say whose names are those of secrets.

    Examples
    --------
    >>> hide_passwords("CREATE TABLE t (x INT) WITH ('username' = 'me', 'password' = 'abc')")
    "CREATE TABLE t (x INT) WITH ('username' = 'me', 'password' = '***')"
    """
    return _OPTION.sub(
        lambda one: f"{one[1]}{one[2]}'***'" if is_secret_name(one[1].replace("-", "_")) else one[0], statement
    )


# --- functions for statements -----------------------------------------------------------------------------------------

_TYPES = {
    bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "STRING", bytes: "BYTES", decimal.Decimal: "DECIMAL(38, 18)",
    datetime.date: "DATE", datetime.time: "TIME", datetime.datetime: "TIMESTAMP(6)",
}  # fmt: skip
_WRITTEN = {kind.__name__: kind for kind in _TYPES} | {f"datetime.{n}": getattr(datetime, n) for n in ("date", "time")}


def check_udfs(udfs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the functions for statements.

    Raises
    ------
    GraphError
        If one is a node.
    ParameterError
        If a name is none in SQL, if something cannot be called, or a plain function does not say what it gives.
    """
    if udfs is not None and not isinstance(udfs, Mapping):
        several = "; several statements are one text, with ; between them, or one list" if isinstance(udfs, str) else ""
        raise ParameterError(f"udfs of af.flink_sql must be a dict of names and functions, not {udfs!r}{several}")
    for name, function in (udfs or {}).items():
        what = f"the function {name!r} in udfs of af.flink_sql"
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ParameterError(f"{what} needs a name that SQL can call it by: letters, digits and '_'")
        if isinstance(function, Node | Output):
            raise GraphError(f"{what} is {function!r}, which has no value while the graph is built")
        if not is_of_pyflink(function):
            if not callable(function):
                raise ParameterError(f"{what} is {function!r}, which cannot be called")
            sql_type(function, what)
    return dict(udfs or {})


def is_of_pyflink(function: Any) -> bool:
    """Tell whether a function was made by PyFlink (``@udf``), and says itself what it gives."""
    return any(kind.__module__.partition(".")[0] == "pyflink" for kind in type(function).__mro__)


def sql_type(function: Callable[..., Any], what: str = "") -> str:
    """Give the SQL type of what a plain function returns, by its annotation.

    Raises
    ------
    ParameterError
        If it has none, or one that no type of SQL stands for.

    Examples
    --------
    >>> def halves(n: int) -> list[float]:
    ...     return [n / 2, n / 2]
    >>> sql_type(halves)
    'ARRAY<DOUBLE>'
    """
    what = what or f"the function {getattr(function, '__name__', function)!r}"
    try:
        returned = signature_of(function).return_annotation
    except (TypeError, ValueError):  # a builtin that does not tell
        returned = inspect.Signature.empty
    found = _type_of(returned)
    if found is None:
        says = "does not say what it returns" if returned is inspect.Signature.empty else f"returns {returned!r}"
        raise ParameterError(
            f"{what} {says}; annotate it with bool, int, float, str, bytes, Decimal, date, time, datetime, list[…] or "
            "dict[str, …] of these, or make it one of PyFlink's: udf(…, result_type=…)"
        )
    return found


def _type_of(annotation: Any) -> str | None:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return _type_written(annotation.strip().strip("'\""))
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _TYPES.get(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [part for part in parts if part is not type(None)]
        return _type_of(kinds[0]) if len(kinds) == 1 else None
    inner = [_type_of(part) for part in parts]
    if origin is list and inner[0]:
        return f"ARRAY<{inner[0]}>"
    return f"MAP<{inner[0]}, {inner[1]}>" if origin is dict and all(inner) else None


def _type_written(text: str) -> str | None:
    """Give the type that an annotation says that is a text, as all are after ``from __future__ import annotations``."""
    parts = [part.strip() for part in text.split("|")]
    if "None" in parts and len(parts) == 2:
        (text,) = (part for part in parts if part != "None")
    several = re.fullmatch(r"(?:\w+\.)?(list|dict|List|Dict|Optional)\[(.*)\]", text)
    if several is None:
        kind = _WRITTEN.get(text, _WRITTEN.get(text.rpartition(".")[2]))
        return None if kind is None else _TYPES[kind]
    head, inside = several[1].lower(), several[2]
    if head == "optional":
        return _type_written(inside)
    key, _, value = inside.partition(",") if head == "dict" else ("", "", inside)
    of = [_type_written(part.strip()) for part in ([key, value] if head == "dict" else [value])]
    if not all(of):
        return None
    return f"MAP<{', '.join(map(str, of))}>" if head == "dict" else f"ARRAY<{of[0]}>"
