"""Turns values and calls into bytes and back: JSON where that is exact, else the first serializer that knows the value.

Knows nothing of tables or processes. It is the only door to cloudpickle; nothing is unpickled but by `decode` and
`unpickle_call`.
"""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from aiflow.errors import AIFlowError, RunnerError, StoreError
from aiflow.graph.version import Version
from aiflow.graph.versions import version_of
from aiflow.values.blobs import Blobs, BlobWriter
from aiflow.values.describing import describe
from aiflow.values.serializers import OURS, Serializer, ours

__all__ = ["Codec", "Stored", "check_constant", "pickle_call", "unpickle_call"]

_ADVICE = "return something that can be, or keep the value in memory with persist=False (runner 'thread' or 'inline')"
_MOST_PARTS, _MOST_LEVELS = 100_000, 100  # beyond, pickle is faster than JSON, and does not recurse as deep
_SCALARS = frozenset((str, int, float, bool, type(None)))


class Stored(NamedTuple):
    """A value as bytes.

    Attributes
    ----------
    codec
        How to read it: ``"json"``, or the name of a serializer: ``"npy"``, ``"pickle"``, that of a plug-in's.
    data
        The bytes themselves (JSON: text), if they are few.
    blob
        The hash of the blob that holds them, if they are many.
    size
        How many bytes.
    summary
        What it is, in a few words, for people; None if `data` say it, or nobody has.
    """

    codec: str
    data: str | bytes | None
    blob: str | None = None
    size: int = 0
    summary: str | None = None


class _Versions:
    """Versions of datasets, models and artifacts, and lists of them, as what they say; their content is kept elsewhere."""

    name = "version"

    def __init__(self, home: str) -> None:
        self._home = home

    def handles(self, value: Any) -> bool:
        some = value if isinstance(value, list) and value else [value]
        return all(isinstance(one, Version) for one in some)

    def dump(self, value: Any, file: Any) -> None:
        some = value if isinstance(value, list) else [value]
        told = [{"kind": version.kind, "row": version.to_row()} for version in some]
        file.write(json.dumps(told if isinstance(value, list) else told[0]).encode())

    def load(self, file: BinaryIO) -> Any:
        told = json.load(file)
        found = [version_of(one["kind"], one["row"], self._home) for one in (told if type(told) is list else [told])]
        return found if type(told) is list else found[0]


class _Sink:
    """Keeps what is written to it in memory; from `inline` bytes on, in a blob."""

    def __init__(self, blobs: Blobs, inline: int) -> None:
        self._blobs, self._inline = blobs, inline
        self._buffer = io.BytesIO()
        self._writer: BlobWriter | None = None

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.__exit__()

    def tell(self) -> int:
        return self._buffer.tell() if self._writer is None else self._writer.size

    def write(self, data: Any) -> int:
        if self._writer is not None:
            return self._writer.write(data)
        size = memoryview(data).nbytes
        if self._buffer.tell() + size <= self._inline:
            return self._buffer.write(data)
        self._writer = self._blobs.writer()
        self._writer.write(self._buffer.getbuffer())
        return self._writer.write(data)

    def finish(self, codec: str) -> Stored:
        if self._writer is None:
            data = self._buffer.getvalue()
            return Stored(codec, data, None, len(data))
        return Stored(codec, None, self._writer.commit(), self._writer.size)


_NULL = Stored("json", "null", None, 4)
_TRUE, _FALSE = Stored("json", "true", None, 4), Stored("json", "false", None, 5)
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Codec:
    """Serialises values, small ones into the row and large ones into blobs.

    Parameters
    ----------
    blobs
        Where large values go.
    inline
        From how many bytes on a value is large.
    serializers
        Those of plug-ins, or a function that gives them when they are needed: each time the same ones, unless there are
        new plug-ins. The first that handles a value writes it; ours come after them.

    Examples
    --------
    >>> codec = Codec(Blobs("blobs"))
    >>> codec.encode([1, 2.5, None, "ü"], "the value of job 'load'")
    Stored(codec='json', data='[1,2.5,null,"ü"]', blob=None, size=17, summary=None)
    >>> codec.decode(codec.encode((1, 2), "a tuple"))
    (1, 2)
    """

    def __init__(
        self,
        blobs: Blobs,
        inline: int = 16_384,
        serializers: Sequence[Serializer] | Callable[[], Sequence[Serializer]] = (),
    ) -> None:
        self.blobs, self.inline = blobs, inline
        self._plugged = serializers if callable(serializers) else lambda: serializers
        self._ours = (_Versions(str(blobs.root.parent)), *ours(lambda: _picklers().values))
        self._readers: dict[str, Serializer] = {s.name: s for s in self._ours}

    def encode(self, value: Any, what: str) -> Stored:
        """Serialise a value.

        Parameters
        ----------
        value
            Any value.
        what
            What it is, for the message: ``"the value of job 'load'"``.

        Raises
        ------
        RunnerError
            If it cannot be serialised; names `what`, the type and the way out.
        StoreError
            If it is large and cannot be written.
        """
        if value is None:
            return _NULL
        if value is True:
            return _TRUE
        if value is False:
            return _FALSE
        if type(value) is int and value.bit_length() < 64:  # json makes an encoder for each value that is no text
            text = str(value)
            return Stored("json", text, None, len(text))
        raw = _as_json(value)
        if raw is not None:
            if len(raw) <= self.inline:
                return Stored("json", raw.decode(), None, len(raw))
            return Stored("json", None, self.blobs.put_bytes(raw), len(raw))
        return self._dump(value, what)

    def encode_to_blob(self, value: Any, what: str) -> Stored:
        """Serialise a value into a blob, however small it is; raises what `encode` raises."""
        stored = self.encode(value, what)
        if stored.blob is not None:
            return stored
        data = stored.data.encode() if isinstance(stored.data, str) else stored.data or b""
        return stored._replace(data=None, blob=self.blobs.put_bytes(data))

    def _dump(self, value: Any, what: str) -> Stored:
        writer = self._writer_for(value, what)
        with _Sink(self.blobs, self.inline) as sink:
            try:
                writer.dump(value, sink)
            except StoreError:
                raise
            except Exception as error:  # foreign code: __reduce__ of any class, a plug-in's dump
                by = "" if writer.name in OURS else f" by the serializer {writer.name!r}"
                raise RunnerError(
                    f"{what} is {_kind(value)} and cannot be serialised{by} ({_why(error)}); {_ADVICE}"
                ) from error
            return sink.finish(writer.name)._replace(summary=describe(value))

    def _writer_for(self, value: Any, what: str) -> Serializer:
        for serializer in chain(self._plugged(), self._ours):
            try:
                if serializer.handles(value):
                    return serializer
            except Exception as error:  # foreign code: a plug-in's, or of a class that is not what it looks like
                raise RunnerError(
                    f"{what} is {_kind(value)}, and the serializer {serializer.name!r} failed when it was asked whether it "
                    f"handles that ({_why(error)}); mend its plugin, or leave it out"
                ) from error
        raise AssertionError("pickle handles everything")

    def decode(self, stored: Stored) -> Any:
        """Give the value back; a blob's hash is checked before anything is loaded from it.

        Raises
        ------
        StoreError
            If the blob is missing or damaged, or the value cannot be read: its class is gone, a plug-in is missing.
        """
        codec, data, blob, *_ = stored
        if codec == "json":
            if blob is None:
                return json.loads(data)  # type: ignore[arg-type]  # JSON that is not in a blob is in `data`
            with self.blobs.open(blob) as file:
                return json.loads(file.read())
        reader = self._readers.get(codec) or next((s for s in self._plugged() if s.name == codec), None)
        if reader is None:
            raise StoreError(f"a value was written by the serializer {codec!r}, which is not here: install its plug-in")
        with io.BytesIO(data) if blob is None else self.blobs.open(blob) as file:  # type: ignore[arg-type]
            try:
                return reader.load(file)
            except AIFlowError:
                raise
            except Exception as error:  # foreign code: __setstate__ of any class
                raise StoreError(
                    f"a stored value ({codec}, {stored.size} bytes) cannot be read: {_why(error)}; make what it needs "
                    "importable again, or run the job that made it again"
                ) from error


def _as_json(value: Any) -> bytes | None:
    """Give a value as JSON if exactly the same comes back from it: the same types, all the way down."""
    if type(value) not in _SCALARS and not _is_plain(value):
        return None
    try:
        return _json(value).encode()
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; half of a surrogate pair
        return None


def _is_plain(value: Any) -> bool:
    """Tell whether it is a tree of lists and dicts with text keys: no subclasses, not too large, not too deep."""
    level, parts = [value], 1
    for _ in range(_MOST_LEVELS):
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is list:
                inner = part
            elif kind is dict:
                if not all(type(key) is str for key in part):
                    return False
                inner = part.values()
            else:
                return False
            parts += len(inner)
            if parts > _MOST_PARTS:
                return False
            if not _SCALARS.issuperset(map(type, inner)):
                below.extend(p for p in inner if type(p) not in _SCALARS)
        if not below:
            return True
        level = below
    return False


def check_constant(value: Any) -> None:
    """Check that a constant argument can be serialised; raises whatever serialising it raises."""
    if _as_json(value) is None:
        _picklers().values(_Nowhere()).dump(value)


class _Nowhere:
    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


def _kind(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


# ------------------------------------------------------------------------------------------------------------- calls


def pickle_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *more: Any) -> bytes:
    """Serialise a call for another process; `more` travels along and shares classes with it.

    Code of the user travels by value, so that what runs there is what is defined here: functions of `__main__` and
    notebooks, lambdas, closures, and modules outside of site-packages. Installed packages travel by name. Where a
    user's module cannot travel by value (a lock among its globals), all of the call travels by name instead.

    Raises
    ------
    RunnerError
        If it cannot be serialised; names the argument and its type.
    """
    call = (function, args, kwargs, *more)
    try:
        data: bytes = _picklers().dump_code(call)
        return data
    except Exception as error:  # foreign code: __reduce__ of any class
        raise RunnerError(_blame(function, args, kwargs, error)) from error


def unpickle_call(data: bytes | bytearray | memoryview, *, settle: bool = False) -> Any:
    """Give back the tuple that `pickle_call` was given; raises whatever loading it raises.

    Parameters
    ----------
    data
        What `pickle_call` gave.
    settle
        Whether the user's things that came along get their names here; for child processes only (see `arrival`).
    """
    call, carried = pickle.loads(data)
    if settle:
        from aiflow.values import arrival

        arrival.settle(carried)
    return call


def _blame(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> str:
    """Say which part of a call cannot be serialised."""
    name = getattr(function, "__name__", repr(function))
    for key, value in [*enumerate(args), *kwargs.items()]:
        try:
            _picklers().dump_code(value)
        except Exception as own:  # the same foreign code again
            return (
                f"argument {key!r} of job {name!r} is {_kind(value)} and cannot be sent to another process "
                f"({_why(own)}); pass what it is made from, or use runner 'thread'"
            )
    return (
        f"the function of job {name!r} cannot be sent to another process ({_why(error)}); make what it uses from "
        "outside (globals, closure) inside it, or use runner 'thread'"
    )


@functools.cache
def _picklers() -> Any:
    """Import cloudpickle, and the picklers that build on it, when the first value needs them."""
    import cloudpickle

    from aiflow.values import travel

    return travel.picklers(cloudpickle)
