"""Which parameters of a function on Flink are environments: whoever runs it puts them there, and a call leaves them out.

Knows nothing of PyFlink, which need not be installed: a parameter is known by its annotation, or by its name.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping
from types import UnionType
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

__all__ = ["advice_on", "call", "environments_of", "signature_of", "without"]

_KINDS = {
    "TableEnvironment": "table",
    "StreamTableEnvironment": "stream_table",
    "StreamExecutionEnvironment": "stream",
}
_NAMED = ("t_env", "env")
_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_DOTTED = re.compile(r"\w+(\.\w+)*")
_OPTIONAL = re.compile(r"(?:\w+\.)*Optional\[(.*)\]")


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Give the signature of a function, whatever its annotations name."""
    if sys.version_info >= (3, 14):  # annotations are read late there: names that only type checkers know
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def environments_of(function: Callable[..., Any], is_stream: bool = False) -> dict[str, str]:
    """Give the parameters that are environments, and of which kind: ``"table"``, ``"stream_table"`` or ``"stream"``.

    Those are annotated with a class of PyFlink's (also by a text that nothing resolves), or have the name ``t_env`` or ``env``
    and an annotation that says nothing: none, or ``Any``.

    Parameters
    ----------
    function
        The user's.
    is_stream
        Whether it makes a stream: a table environment without annotation is that of streams then.
    """
    try:
        parameters = signature_of(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return {}
    names = _globals_of(function)
    found = {p.name: kind for p in parameters if p.kind not in _SEVERAL and (kind := _kind(p.annotation, names))}
    unsaid = [
        p.name for p in parameters if p.name in _NAMED and p.kind not in _SEVERAL and _is_unsaid(p.annotation, names)
    ]
    if "env" in unsaid:
        found["env"] = "stream"
    if "t_env" in unsaid:
        found["t_env"] = "stream_table" if is_stream or "stream" in found.values() else "table"
    return found


def advice_on(function: Callable[..., Any], is_stream: bool = False) -> str:
    """Say what who has called a function on Flink wrongly may not know of its environments.

    Examples
    --------
    >>> advice_on(lambda rows, t_env: None)
    "Flink's environment comes to 't_env' by itself, and is left out in the call"
    """
    found = environments_of(function, is_stream)
    if found:
        return f"Flink's environment comes to {' and '.join(map(repr, found))} by itself, and is left out in the call"
    return (
        "Flink's environment comes to a parameter that is named t_env or env and has no annotation, or is annotated with "
        "TableEnvironment or StreamExecutionEnvironment"
    )


def without(signature: inspect.Signature, names: Collection[str]) -> inspect.Signature:
    """Give a signature without some of its parameters."""
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in names])


def call(
    function: Callable[..., Any], environments: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call a function with its environments in their places, and the arguments of a call that leaves these out.

    Parameters
    ----------
    function
        The user's.
    environments
        The environments by parameter.
    args, kwargs
        What fits the signature without them.

    Examples
    --------
    >>> def clean(rows, t_env, *, k=2):
    ...     return rows, t_env, k
    >>> call(clean, {"t_env": "the environment"}, ([1],), {"k": 3})
    ([1], 'the environment', 3)
    """
    if not environments:
        return function(*args, **kwargs)
    signature = signature_of(function)
    bound = without(signature, environments).bind(*args, **kwargs)
    bound.apply_defaults()  # so that none is missing between two that are there
    given = {**bound.arguments, **environments}
    whole = inspect.BoundArguments(signature, {name: given[name] for name in signature.parameters})
    return function(*whole.args, **whole.kwargs)


def _globals_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Give the names of the module that a function stands in."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = type(function).__call__  # an object that can be called
    found: Mapping[str, Any] = getattr(getattr(function, "__func__", function), "__globals__", {})
    return found


def _is_unsaid(annotation: Any, names: Mapping[str, Any]) -> bool:
    """Tell whether an annotation leaves open what comes to a parameter."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str) and _DOTTED.fullmatch(text := annotation.strip("'\" ")):
        found = _found(text, names)
        return found is Any or (found is None and text.rpartition(".")[2] == "Any")
    return annotation is inspect.Parameter.empty or annotation is Any


def _kind(annotation: Any, names: Mapping[str, Any]) -> str | None:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return _kind_written(annotation, names)
    if isinstance(annotation, type) and annotation.__module__.partition(".")[0] == "pyflink":
        return _KINDS.get(annotation.__name__)
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next((kind for part in get_args(annotation) if (kind := _kind(part, names))), None)
    return None


def _kind_written(text: str, names: Mapping[str, Any]) -> str | None:
    """Give the kind that an annotation says that is a text: what it names there, or else what it is called."""
    text = text.strip().strip("'\"")
    optional = _OPTIONAL.fullmatch(text)
    parts = [part.strip().strip("'\"") for part in (optional[1] if optional else text).split("|")]
    for part in parts:
        if not _DOTTED.fullmatch(part):
            continue
        found = _found(part, names)
        kind = _KINDS.get(part.rpartition(".")[2]) if found is None else _kind(found, {})
        if kind:
            return kind
    return None


def _found(dotted: str, names: Mapping[str, Any]) -> Any:
    """Give what a name stands for in a module, or None."""
    head, *tail = dotted.split(".")
    found = names.get(head)
    for name in tail:
        found = getattr(found, name, None)
    return found
