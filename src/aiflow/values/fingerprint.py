"""Tells whether two calls of a job are equal: same code, same inputs. For `cache=True`.

Knows nothing of where results are kept.
"""

from __future__ import annotations

import dis
import hashlib
import types
from collections.abc import Callable
from functools import cache
from typing import Any

from aiflow.graph.job import Job
from aiflow.graph.version import Version
from aiflow.values.codec import Codec
from aiflow.values.origin import is_users

__all__ = ["cache_key", "code_hash"]


def code_hash(function: Callable[..., Any]) -> bytes:
    """Hash what a function does: its code, defaults and closure, and what it uses of the user's own files.

    Of these count functions, methods of classes, and numbers, texts and tuples of such. What may change while it is used does
    not count, as lists and objects, nor does what is installed. Comments and lines do not count.
    """
    digest = hashlib.sha256()
    _add_function(digest, function, set())
    return digest.digest()


def _add_function(digest: Any, function: Any, seen: set[int]) -> None:
    code = getattr(function, "__code__", None)
    if code is None:
        digest.update(repr(function).encode("utf-8", "backslashreplace"))
        return
    if id(function) in seen:
        return
    seen.add(id(function))
    _add(digest, code, seen)
    _add(digest, function.__defaults__, seen)
    _add(digest, tuple(sorted((function.__kwdefaults__ or {}).items())), seen)
    for cell in function.__closure__ or ():
        try:
            _add(digest, cell.cell_contents, seen)
        except ValueError:  # an empty cell
            _add(digest, None, seen)
    names, attributes = _used(code)
    for name in names:
        _add_global(digest, function.__globals__.get(name), attributes, seen)


@cache
def _used(code: types.CodeType) -> tuple[list[str], list[str]]:
    """Give the names of globals that code reads and does not set itself, and those of attributes."""
    read, written, attributes, todo = set(), set(), set(), [code]
    while todo:
        one = todo.pop()
        todo += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]
        for step in dis.get_instructions(one):
            if step.opname == "LOAD_GLOBAL":
                read.add(step.argval)
            elif step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                written.add(step.argval)
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.add(step.argval)
    return sorted(read - written), sorted(attributes)


def _add_global(digest: Any, value: Any, attributes: list[str], seen: set[int]) -> None:
    if isinstance(value, types.ModuleType):
        if is_users(value.__name__):
            for name in attributes:
                others = [one for one in attributes if one != name]  # modules may have each other
                _add_global(digest, vars(value).get(name), others, seen)
        return
    if isinstance(value, Job):
        value = value.function
    if isinstance(value, types.FunctionType):
        if is_users(value.__module__):
            _add_function(digest, value, seen)
    elif isinstance(value, type):
        if is_users(value.__module__) and id(value) not in seen:
            seen.add(id(value))
            for name in sorted(vars(value)):
                method = getattr(vars(value)[name], "__func__", vars(value)[name])
                if isinstance(method, types.FunctionType):
                    _add_function(digest, method, seen)
    elif _is_constant(value):
        _add(digest, value, seen)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    return isinstance(value, bool | int | float | complex | str | bytes | None)


def _add(digest: Any, value: Any, seen: set[int]) -> None:
    if isinstance(value, types.CodeType):
        digest.update(value.co_code)
        digest.update(repr(value.co_names).encode())
        for constant in value.co_consts:
            _add(digest, constant, seen)
    elif isinstance(value, tuple | list | frozenset | set):
        parts = sorted(value, key=repr) if isinstance(value, frozenset | set) else value
        for part in parts:
            _add(digest, part, seen)
    elif isinstance(value, types.FunctionType):
        _add_function(digest, value, seen)
    else:
        digest.update(repr(value).encode("utf-8", "backslashreplace") + b"\0")


def cache_key(
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]], cache: Any, codec: Codec, role: str = ""
) -> str:
    """Give the key under which the value of a call is found again.

    Parameters
    ----------
    call
        The function, its arguments and keyword arguments.
    cache
        True: the hash of code and inputs; a function: its text, given the same arguments, stands for the inputs.
    role
        What the job does besides.
    """
    function, args, kwargs = call
    digest = hashlib.sha256(code_hash(function))
    digest.update(f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}{role}".encode())
    if callable(cache):
        digest.update(str(cache(*args, **kwargs)).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()
    for value in (*args, *(kwargs[k] for k in sorted(kwargs))):
        if isinstance(value, Version):  # what is in it counts, not how far it has come since
            digest.update(f"{value.kind} {value.name} {getattr(value, 'hash', None) or value.number}".encode())
            continue
        stored = codec.encode(value, "an input of a cached job")
        data = stored.blob or stored.data or ""
        digest.update(stored.codec.encode() + (data if isinstance(data, bytes) else data.encode()))
    digest.update(repr(sorted(kwargs)).encode())
    return digest.hexdigest()
