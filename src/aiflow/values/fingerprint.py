"""Tells whether two calls of a job are equal: same code, same inputs. For `cache=True`.

Knows nothing of where results are kept.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable
from typing import Any

from aiflow.graph.version import Version
from aiflow.values.codec import Codec

__all__ = ["cache_key", "code_hash"]


def code_hash(function: Callable[..., Any]) -> bytes:
    """Hash what a function does: its bytecode and constants, defaults and closure; comments and lines do not count."""
    digest = hashlib.sha256()
    _add(digest, getattr(function, "__code__", None) or repr(function), set())
    _add(digest, getattr(function, "__defaults__", None), set())
    for cell in getattr(function, "__closure__", None) or ():
        try:
            _add(digest, cell.cell_contents, set())
        except ValueError:  # an empty cell
            _add(digest, None, set())
    return digest.digest()


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
    elif isinstance(value, types.FunctionType) and id(value) not in seen:
        seen.add(id(value))
        _add(digest, value.__code__, seen)
    else:
        digest.update(repr(value).encode("utf-8", "backslashreplace"))


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
