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
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from aiflow.graph.job import Job
from aiflow.values.origin import is_users

__all__ = ["picklers"]

_registry = threading.RLock()  # cloudpickle's list of modules that go by value is one for the whole process
_FIELD_KIND = type(dataclasses._FIELD)  # type: ignore[attr-defined]
_LRU = type(functools.lru_cache(lambda: None))


def picklers(cloudpickle: Any) -> SimpleNamespace:
    """Make the picklers on top of cloudpickle.

    Returns
    -------
    SimpleNamespace
        `values`: a class of picklers for values, which may be read long after: a class is stored with its definition,
        but on reading the class of that name that is at hand wins.
        `dump_code(object) -> bytes`: for calls, which are read at once in a fresh process: the user's code by value.
    """

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def __init__(self, file: Any) -> None:
            super().__init__(file, protocol=5)

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if kind is _FIELD_KIND:  # compared by identity in dataclasses; cloudpickle before 3 copied it
                return getattr, (dataclasses, obj.name)
            if kind is _LRU and not self.goes_by_name(obj):
                return _cached_again, (obj.__wrapped__, tuple(obj.cache_parameters().values()))
            return super().reducer_override(obj)

        def goes_by_name(self, obj: Any) -> bool:
            return obj.__module__ != "__main__" and _at(obj.__module__, obj.__qualname__) is obj

    class Values(Pickler):
        def reducer_override(self, obj: Any) -> Any:
            reduced = super().reducer_override(obj)
            by_value = isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) > 2
            if not by_value or "<locals>" in obj.__qualname__:
                return reduced
            file = io.BytesIO()
            Pickler(file).dump(obj)
            return _class_at_hand, (obj.__module__, obj.__qualname__, file.getvalue())

    class ByName(Pickler):
        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if (kind is FunctionType or isinstance(obj, Job)) and obj.__module__ != "__main__":
                place = obj.__module__, getattr(obj, "__qualname__", "")
                found = _at(*place)
                if isinstance(found, Job) and (found is obj or found.function is obj):
                    return _job_at if found is obj else _function_at, place
            return super().reducer_override(obj)

    class ByValue(ByName):
        def __init__(self, file: Any) -> None:
            super().__init__(file)
            self.registered: list[ModuleType] = []

        def goes_by_name(self, obj: Any) -> bool:
            return not is_users(obj.__module__) and super().goes_by_name(obj)

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if kind is FunctionType or isinstance(obj, type | Job):
                name = obj.__module__
            elif kind is ModuleType:
                name = obj.__name__
            else:
                return super().reducer_override(obj)
            if not isinstance(name, str) or name == "__main__" or not is_users(name):
                return super().reducer_override(obj)
            self.register(name)
            return Pickler.reducer_override(self, obj)

        def register(self, name: str) -> None:
            module = sys.modules.get(name)
            if type(module) is ModuleType and name not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                self.registered.append(module)

    def dump_code(obj: Any) -> bytes:
        file = io.BytesIO()
        pickler = ByValue(file)
        try:
            with _registry:
                try:
                    pickler.dump(obj)
                finally:
                    for module in pickler.registered:
                        cloudpickle.unregister_pickle_by_value(module)
        except Exception:  # something in a user's module cannot travel; perhaps the names of its modules can
            if not pickler.registered or not all(map(_is_importable, pickler.registered)):
                raise
            file = io.BytesIO()
            ByName(file).dump(obj)
        return file.getvalue()

    return SimpleNamespace(values=Values, dump_code=dump_code)


def _is_importable(module: ModuleType) -> bool:
    """Tell whether another process with the same `sys.path` finds the same file under the module's name."""
    parent, _, _ = module.__name__.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    try:
        spec = importlib.machinery.PathFinder.find_spec(module.__name__, path)
    except Exception:  # noqa: BLE001  # a foreign finder or path hook
        return False
    return spec is not None and spec.origin == getattr(module, "__file__", None)


def _at(module: str | None, qualname: str) -> Any:
    """Give what a module of this process has under a name; None if there is no such thing."""
    found: Any = sys.modules.get(module or "")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _job_at(module: str, qualname: str) -> Any:
    importlib.import_module(module)
    return _at(module, qualname)


def _function_at(module: str, qualname: str) -> Any:
    return _job_at(module, qualname).function


def _cached_again(function: Any, parameters: tuple[Any, ...]) -> Any:
    return functools.lru_cache(*parameters)(function)


def _class_at_hand(module: str, qualname: str, definition: bytes) -> Any:
    """Give the class of this name if this process has it, else make it from the definition that was stored along."""
    if module != "__main__" and module not in sys.modules:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001  # foreign code; the definition came along for this case
            return pickle.loads(definition)
    found = _at(module, qualname)
    return found if isinstance(found, type) else pickle.loads(definition)
