"""What came by value gets its place in a child process, so that its name means it there: for `pickle`, for `import`.

Knows nothing of how it came. For child processes only: where it came from, the names mean the originals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

__all__ = ["clear", "settle"]

_named_in_main: set[str] = set()
_replaced: dict[str, ModuleType | None] = {}


class _StandIn(ModuleType):
    """Stands for a module of which a part came by value; what else it has is loaded from its file when asked for."""

    def __init__(self, name: str, file: str | None, real: ModuleType | None) -> None:
        super().__init__(name)
        self._aiflow_real = real
        self._aiflow_spec = _spec_of(name, file)
        if self._aiflow_spec is not None:
            self.__file__ = self._aiflow_spec.origin
            if self._aiflow_spec.submodule_search_locations is not None:
                self.__path__ = list(self._aiflow_spec.submodule_search_locations)

    def __getattr__(self, name: str) -> Any:
        spec = self.__dict__.get("_aiflow_spec")
        if name.startswith("_") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if self._aiflow_real is None:
            self._aiflow_real = module_from_spec(spec)
            spec.loader.exec_module(self._aiflow_real)
        return getattr(self._aiflow_real, name)


def _spec_of(name: str, file: str | None) -> ModuleSpec | None:
    if file is not None:
        return spec_from_file_location(name, file)
    parent, _, _ = name.rpartition(".")
    return PathFinder.find_spec(name, getattr(sys.modules.get(parent), "__path__", None))


def settle(carried: Iterable[tuple[str, str, str | None, Any]]) -> None:
    """Give things their names.

    Parameters
    ----------
    carried
        Of each its module, its name there ('' for the module itself), the file of the module, and the thing.
    """
    main = sys.modules["__main__"]
    for module, name, file, thing in sorted(carried, key=lambda c: (c[1] != "", c[0])):  # whole modules first
        if module == "__main__":
            if name and name not in vars(main):
                setattr(main, name, thing)
                _named_in_main.add(name)
        elif name:
            vars(_place(module, file))[name] = thing
        else:
            _put(module, thing)


def clear() -> None:
    """Take the names away again; what was loaded from files stays loaded."""
    for name in _named_in_main:
        vars(sys.modules["__main__"]).pop(name, None)
    _named_in_main.clear()
    for name, before in _replaced.items():
        loaded = vars(sys.modules[name]).get("_aiflow_real") or before if name in sys.modules else before
        if loaded is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = loaded
    _replaced.clear()


def _put(name: str, module: ModuleType) -> None:
    _replaced.setdefault(name, sys.modules.get(name))
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        vars(_place(parent, None))[last] = module


def _place(name: str, file: str | None) -> ModuleType:
    """Give the module that has the things that came; a stand-in if it did not come itself."""
    if name not in _replaced:
        _put(name, _StandIn(name, file, sys.modules.get(name)))
    return sys.modules[name]
