"""How code and classes travel: which of them by value, which by name, and what a name stands for on arrival.

Knows nothing of values, blobs or processes; it is given cloudpickle by its door, `codec`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.machinery
import io
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

from aiflow.graph.job import Job
from aiflow.values.origin import file_of, is_users

__all__ = ["find", "picklers"]

_registry = threading.RLock()  # cloudpickle's list of modules that go by value is one for the whole process
_FIELD_KIND = type(dataclasses._FIELD)  # type: ignore[attr-defined]
_LRU = type(functools.lru_cache(lambda: None))


def picklers(cloudpickle: Any) -> SimpleNamespace:
    """Make the picklers on top of cloudpickle.

    Returns
    -------
    SimpleNamespace
        `values`: a class of picklers for values, which may be read long after, by other code: classes go by name. One
        that no other process could import goes with its definition, too; the class of that name has precedence.
        `dump_code(object) -> bytes`: for calls, which are read at once in a fresh process: the user's code goes by
        value. What is read is a pair of the object and the top-level things of the user's modules that came along.
    """

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def __init__(self, file: Any, buffer_callback: Any = None) -> None:
            super().__init__(file, protocol=5, buffer_callback=buffer_callback)

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if kind is _FIELD_KIND:  # compared by identity in dataclasses; cloudpickle before 3 copied it
                return getattr, (dataclasses, obj.name)
            if kind is _LRU and not self.goes_by_name(obj):
                return _cached_again, (obj.__wrapped__, tuple(obj.cache_parameters().values()))
            if kind is CodeType:  # cloudpickle from 3.1.3 on leaves the file out; tracebacks show its lines
                return _code_of_file, (obj.co_filename, *self.dispatch_table[CodeType](obj))
            return super().reducer_override(obj)

        def goes_by_name(self, obj: Any) -> bool:
            return obj.__module__ != "__main__" and find(obj.__module__, obj.__qualname__) is obj

    class Values(Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type) and is_users(obj.__module__) and "<locals>" not in obj.__qualname__:
                module = sys.modules.get(obj.__module__)
                if module is None or not _is_importable(obj.__module__, file_of(obj.__module__)):
                    return _class_at_hand, (obj.__module__, obj.__qualname__, definition_of(obj, module))
            return super().reducer_override(obj)

    def definition_of(obj: type, module: ModuleType | None) -> bytes:
        file = io.BytesIO()
        with by_value([]) as register:
            if obj.__module__ != "__main__" and module is not None:
                register(module)
            Pickler(file).dump(obj)
        return file.getvalue()

    @contextmanager
    def by_value(registered: list[ModuleType]) -> Iterator[Any]:
        def register(module: ModuleType) -> None:
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)

        with _registry:
            try:
                yield register
            finally:
                for module in registered:
                    cloudpickle.unregister_pickle_by_value(module)

    class ByName(Pickler):
        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if (kind is FunctionType or isinstance(obj, Job)) and obj.__module__ != "__main__":
                place = obj.__module__, getattr(obj, "__qualname__", "")
                found = find(*place)
                if isinstance(found, Job) and (found is obj or found.function is obj):
                    return _job_at if found is obj else _function_at, place
            return super().reducer_override(obj)

    class ByValue(ByName):
        def __init__(self, file: Any, register: Any) -> None:
            super().__init__(file)
            self.register = register
            self.carried: dict[tuple[str, str], Any] = {}

        def goes_by_name(self, obj: Any) -> bool:
            return not is_users(obj.__module__) and super().goes_by_name(obj)

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if kind is FunctionType or isinstance(obj, type | Job):
                name, qualname = obj.__module__, getattr(obj, "__qualname__", "")
            elif kind is ModuleType:
                name, qualname = obj.__name__, ""
            else:
                return super().reducer_override(obj)
            if not isinstance(name, str) or not is_users(name):
                return super().reducer_override(obj)
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and name != "__main__":
                self.register(module)
            if "." not in qualname and (not qualname or find(name, qualname) is obj):
                self.carried[name, qualname] = obj
            return Pickler.reducer_override(self, obj)

    class Carried:
        """Stands behind the object in the same pickle: when it is reached, what came along is known."""

        def __init__(self, pickler: ByValue) -> None:
            self.pickler = pickler

        def __reduce__(self) -> Any:
            return list, ([(*place, file_of(place[0]), thing) for place, thing in self.pickler.carried.items()],)

    def dump_code(obj: Any) -> bytes:
        registered: list[ModuleType] = []
        file = io.BytesIO()
        try:
            with by_value(registered) as register:
                pickler = ByValue(file, register)
                pickler.dump((obj, Carried(pickler)))
        except Exception:  # something in a user's module cannot travel; perhaps the names of its modules can
            if not registered or not all(_is_importable(m.__name__, file_of(m.__name__)) for m in registered):
                raise
            file = io.BytesIO()
            ByName(file).dump((obj, []))
        return file.getvalue()

    return SimpleNamespace(values=Values, dump_code=dump_code)


@functools.lru_cache(maxsize=1000)
def _is_importable(name: str, file: str | None) -> bool:
    """Tell whether another process with the same `sys.path` finds the same file under a module's name."""
    if name == "__main__" or file is None:
        return False
    parent, _, _ = name.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
    except Exception:  # a foreign finder or path hook
        return False
    return spec is not None and spec.origin == file


def find(module: str | None, qualname: str) -> Any:
    """Give what a module of this process has under a name; None if there is no such thing."""
    found: Any = sys.modules.get(module or "")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _job_at(module: str, qualname: str) -> Any:
    importlib.import_module(module)
    return find(module, qualname)


def _function_at(module: str, qualname: str) -> Any:
    return _job_at(module, qualname).function


def _cached_again(function: Any, parameters: tuple[Any, ...]) -> Any:
    return functools.lru_cache(*parameters)(function)


def _code_of_file(file: str, make: Any, parts: tuple[Any, ...]) -> CodeType:
    code: CodeType = make(*parts)
    return code.replace(co_filename=file)


def _class_at_hand(module: str, qualname: str, definition: bytes) -> Any:
    """Give the class of this name if this process has it, else make it from the definition that was stored along."""
    if module != "__main__" and module not in sys.modules:
        try:
            importlib.import_module(module)
        except Exception:  # foreign code; the definition came along for this case
            return pickle.loads(definition)
    found = find(module, qualname)
    return found if isinstance(found, type) else pickle.loads(definition)
