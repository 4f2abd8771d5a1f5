"""What parameters of a workflow are: named, typed, converted from text where need be, kept as JSON.

Knows nothing of workflows' bodies, of the command line or of the store.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from aiflow.errors import ParameterError, suggest

__all__ = ["Secret", "bind", "bind_call", "hide", "is_secret_name", "json_text", "mask", "required", "shown", "stored"]

_PASSWORD = re.compile(r"(://[^/@\s:]*:)[^/@\s]*@")
_SECRET_WORDS = ("password", "secret", "token", "api_key", "access_key", "private_key", "credential")


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a value that must not be stored: ``af.Secret("env:TOKEN")``.

    The reference is stored; the job gets the text that stands behind it when it runs.
    """

    reference: str

    def __post_init__(self) -> None:
        if not isinstance(self.reference, str) or not self.reference.startswith("env:") or len(self.reference) < 5:
            raise ParameterError(f"af.Secret takes a reference such as 'env:TOKEN', not {self.reference!r}")

    def resolve(self, environ: Mapping[str, str]) -> str:
        """Look the value up; a missing one is a `ParameterError` that names the reference."""
        name = self.reference.removeprefix("env:")
        if name not in environ:
            raise ParameterError(f"the secret {self.reference!r} is not there: set the environment variable {name}")
        return environ[name]

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"


def is_secret_name(name: str) -> bool:
    """Tell whether a parameter of this name is hidden in displays and logs.

    Examples
    --------
    >>> is_secret_name("db_password"), is_secret_name("max_tokens")
    (True, False)
    """
    words = name.lower()
    if words.endswith("tokens") or "tokens_" in words or "tokenizer" in words:
        return False
    return any(word in words for word in _SECRET_WORDS)


def mask(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters as they may be shown."""
    return {k: "***" if is_secret_name(k) and not _is_reference(v) else v for k, v in params.items()}


def shown(value: Any) -> Any:
    """Give what was said of something as it may be shown: without passwords in uris, and what is secret by its name.

    Examples
    --------
    >>> shown({"connection": "postgres://ada:lovelace@db/iris", "token": "x"})
    {'connection': 'postgres://ada:***@db/iris', 'token': '***'}
    """
    if isinstance(value, Mapping):
        return {k: shown(v) if isinstance(v, str | Mapping) else v for k, v in mask(value).items()}
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value


def _is_reference(value: Any) -> bool:
    """Tell whether a stored parameter is an `af.Secret`, whose reference may be seen."""
    return isinstance(value, Secret) or (isinstance(value, dict) and set(value) == {"$secret"})


def hide(text: str, secrets: Iterable[str]) -> str:
    """Give `text` with every secret value shown as ``***``."""
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, "***")
    return text


def json_text(value: Any, what: str) -> str:
    """Give `value` as JSON text that reads back the same.

    Raises
    ------
    ParameterError
        If it is not JSON data: None, bool, int, float, str, and lists, tuples and dicts (with text keys) of these.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:  # it holds itself, or something that is not JSON data
        if not isinstance(error, ValueError):
            _check_json(value, what, what)
        raise ParameterError(f"{what} is not JSON data: {error}") from None
    kind = type(value)
    if kind is not str and value is not None and kind is not bool and kind is not int and kind is not float:
        _check_json(value, what, what)  # the encoder takes a key that is a number for a text
    return text


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _check_json(value: Any, what: str, at: str) -> None:
    stack: list[tuple[Any, str]] = [(value, at)]
    seen = 0
    while stack:
        value, at = stack.pop()
        seen += 1
        if seen > 5_000_000:
            raise ParameterError(f"{what} holds itself, or is too large to be JSON data")
        if isinstance(value, dict):
            for key, part in value.items():
                if not isinstance(key, str):
                    raise ParameterError(f"{at} has the key {key!r}; JSON knows text keys only")
                stack.append((part, f"{at}[{key!r}]" if len(at) < 200 else at))
        elif isinstance(value, list | tuple):
            stack.extend((part, at) for part in value)
        elif not (value is None or isinstance(value, str | bool | int | float)):
            raise ParameterError(
                f"{at} is a {type(value).__qualname__}, which is not JSON data "
                "(None, bool, int, float, str, and lists and dicts of these)"
            )


def stored(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give converted parameters as the JSON data that is stored."""
    out: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Secret):
            out[name] = {"$secret": value.reference}
        elif isinstance(value, Enum):
            out[name] = value.name
        elif isinstance(value, Path):
            out[name] = str(value)
        else:
            plain = _plain(value)
            json_text(plain, f"parameter {name!r}")
            out[name] = plain
    return out


_OF_TIME = (date, timedelta)
"""What is kept as text or seconds, and is made of these again by the annotation."""

_SPAN = re.compile(r"(?:(?P<days>[\d.]+)d)?(?:(?P<hours>[\d.]+)h)?(?:(?P<minutes>[\d.]+)m)?(?:(?P<seconds>[\d.]+)s?)?")


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {
            k: v if isinstance(v, _OF_TIME) else _plain(v) for k, v in value.items()
        }  # nobody would make it a date again
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.name
    return value


def required(function: Callable[..., Any]) -> list[str]:
    """Give the names of the parameters that have no default."""
    known = inspect.signature(function).parameters.values()
    return [p.name for p in known if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def bind(
    function: Callable[..., Any], params: Mapping[str, Any], owner: str, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Convert and check parameters against a function's signature; defaults are filled in.

    Parameters
    ----------
    function, params, owner
        Whose parameters, their values, and the name of the workflow.
    given
        What is taken as it is, by name.

    Raises
    ------
    ParameterError
        If one is unknown (close names are suggested), missing, or does not fit its annotation.
    """
    signature = inspect.signature(function)
    hints = _hints(function)
    known = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    bound: dict[str, Any] = {}
    for name in params:
        if name not in known and not open_ended:
            raise ParameterError(f"workflow {owner!r} has no parameter {name!r}{suggest(name, known)}")
    for name, parameter in known.items():
        if given and name in given:
            bound[name] = given[name]
        elif name in params or isinstance(parameter.default, _OF_TIME):
            value = params.get(name, parameter.default)
            bound[name] = convert(value, hints.get(name, Any), f"parameter {name!r} of workflow {owner!r}")
        elif parameter.default is parameter.empty:
            raise ParameterError(f"workflow {owner!r} needs the parameter {name!r}; give it as {name}=… (-p {name}=…)")
        else:
            bound[name] = parameter.default
    if open_ended:
        more = {n: v for n, v in params.items() if n not in known}
        bound |= {n: convert(v, Any, f"parameter {n!r} of workflow {owner!r}") for n, v in more.items()}
    return bound


def bind_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], owner: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Convert and check the arguments of a sub-workflow's call; what stands for a job's value is left as it is.

    Raises
    ------
    ParameterError
        If they do not fit the signature or an annotation.
    """
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise ParameterError(f"the call of workflow {owner!r} does not fit its parameters: {error}") from None
    hints = _hints(function)
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD) or not _is_plain(value):
            continue
        bound.arguments[name] = convert(value, hints.get(name, Any), f"parameter {name!r} of workflow {owner!r}")
    return bound.args, bound.kwargs


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | Path | Enum | Secret)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    if not getattr(function, "__annotations__", None):
        return {}
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # an annotation that exists for type checkers only
        return {k: v for k, v in function.__annotations__.items() if not isinstance(v, str)}


def convert(value: Any, kind: Any, what: str) -> Any:
    """Convert `value` to the annotated type `kind`.

    Raises
    ------
    ParameterError
        If it does not fit; the message shows the value and what was expected.
    """
    if kind is Any or kind is inspect.Parameter.empty:
        if isinstance(value, _OF_TIME):
            kept = "text" if isinstance(value, date) else "seconds"
            raise ParameterError(f"{what} is a {type(value).__name__}: annotate it as such, as it is kept as {kept}")
        return value
    if isinstance(value, Secret):
        return value
    if isinstance(value, dict) and set(value) == {"$secret"}:
        return Secret(value["$secret"])
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return convert(value, typing.get_args(kind)[0], what)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, typing.get_args(kind), what)
    if origin is typing.Literal:
        return _convert_literal(value, typing.get_args(kind), what)
    target = origin or kind
    if target is list or target is tuple or target is set:
        return _convert_list(value, target, typing.get_args(kind), what)
    if target is dict:
        parsed = _parse(value, what, "a JSON object") if isinstance(value, str) else value
        if not isinstance(parsed, dict):
            raise ParameterError(f"{what} must be a JSON object, not {value!r}")
        return parsed
    if isinstance(target, type):
        return _convert_plain(value, target, what)
    return value


def _convert_union(value: Any, kinds: tuple[Any, ...], what: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, str) and value.lower() in ("none", "null") and type(None) in kinds and str not in kinds:
        return None
    concrete = [k for k in kinds if k is not type(None)]
    for kind in concrete:
        if isinstance(kind, type) and type(value) is kind:
            return value
    problem: ParameterError | None = None
    for kind in concrete:
        try:
            return convert(value, kind, what)
        except ParameterError as error:
            problem = problem or error
    raise problem or ParameterError(f"{what} must be None, not {value!r}")


def _convert_literal(value: Any, choices: tuple[Any, ...], what: str) -> Any:
    for choice in choices:
        if choice == value or (isinstance(value, str) and str(choice) == value):
            return choice
    raise ParameterError(f"{what} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _parse(text: str, what: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ParameterError(f"{what} must be {expected}, not {text!r}") from None


def _convert_list(value: Any, target: type, args: tuple[Any, ...], what: str) -> Any:
    if isinstance(value, str):
        text = value.strip()
        value = (
            _parse(text, what, "a JSON list")
            if text.startswith("[")
            else [v.strip() for v in text.split(",")]
            if text
            else []
        )
    if not isinstance(value, list | tuple | set | frozenset):
        raise ParameterError(f"{what} must be a list, not {value!r}")
    inner = args[0] if args else Any
    return target(convert(v, inner, f"{what}[{i}]") for i, v in enumerate(value))


def _convert_plain(value: Any, target: type, what: str) -> Any:
    if target is bool:
        return _convert_bool(value, what)
    if target is int or target is float:
        return _convert_number(value, target, what)
    if target is str:
        if isinstance(value, str):
            return value
        raise ParameterError(f"{what} must be a text, not {value!r}")
    if issubclass(target, Path) or target.__module__ == "pathlib":
        if isinstance(value, str | Path):
            return Path(value)
        raise ParameterError(f"{what} must be a path, not {value!r}")
    if target is date or target is datetime:
        return _convert_date(value, target, what)
    if target is timedelta:
        return _convert_span(value, what)
    if issubclass(target, Enum):
        return _convert_enum(value, target, what)
    if target in (object, type(None)) or isinstance(value, target):
        return value
    return value if not isinstance(value, str) else _parse(value, what, f"a {target.__name__} as JSON")


def _convert_bool(value: Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ParameterError(f"{what} must be true or false, not {value!r}")


def _convert_number(value: Any, target: type, what: str) -> Any:
    name = "a whole number" if target is int else "a number"
    if isinstance(value, bool):
        raise ParameterError(f"{what} must be {name}, not {value!r}")
    if isinstance(value, float) and target is int and not (math.isfinite(value) and value.is_integer()):
        raise ParameterError(f"{what} must be {name}, not {value!r}")
    try:
        return target(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{what} must be {name}, not {value!r}") from None


def _convert_date(value: Any, target: type[date], what: str) -> date:
    if isinstance(value, target) and isinstance(value, datetime) == (target is datetime):
        return value
    try:
        return target.fromisoformat(value)
    except (TypeError, ValueError):
        expected = "a day such as 2026-11-23" if target is date else "a time such as 2026-11-23T14:03"
        raise ParameterError(f"{what} must be {expected}, not {value!r}") from None


def _convert_span(value: Any, what: str) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timedelta(seconds=value)
        found = _SPAN.fullmatch(value.strip())
        given = {unit: float(text) for unit, text in (found.groupdict() if found else {}).items() if text}
        if given:
            return timedelta(**given)
    except (AttributeError, TypeError, ValueError, OverflowError):
        pass
    raise ParameterError(f"{what} must be seconds, or a time such as 90s, 5m or 1h30m, not {value!r}")


def _convert_enum(value: Any, target: type[Enum], what: str) -> Enum:
    if isinstance(value, target):
        return value
    if isinstance(value, str) and value in target.__members__:  # names first: they are what is stored
        return target[value]
    for member in target:
        if value == member.value or str(value) == str(member.value):
            return member
    raise ParameterError(f"{what} must be one of {', '.join(m.name for m in target)}, not {value!r}")
