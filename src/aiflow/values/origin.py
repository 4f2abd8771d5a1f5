"""Where the code of a module comes from: a file of the user's own, or something installed.

Knows nothing of serialising; it only looks at paths.
"""

from __future__ import annotations

import os
import site
import sys
from functools import cache
from types import ModuleType

__all__ = ["file_of", "is_users", "signature_of", "user_files"]


@cache
def _installed() -> tuple[str, ...]:
    """Give the directories of the standard library and of installed packages."""
    found = [os.path.dirname(os.__file__)]  # sysconfig would tell the same, 10 ms later
    for ask in ("getsitepackages", "getusersitepackages"):
        got: str | list[str] = getattr(site, ask, list)()  # not everywhere in old virtual environments
        found.extend([got] if isinstance(got, str) else got)
    return tuple({os.path.realpath(path) + os.sep for path in found if path})


@cache
def _is_own_file(path: str) -> bool:
    real = os.path.realpath(path)
    parts = real.split(os.sep)
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return real.endswith((".py", ".pyc", ".pyw")) and not real.startswith(_installed())


def file_of(name: str) -> str | None:
    """Give the file of a module that was imported, if it has one."""
    path = getattr(sys.modules.get(name), "__file__", None)
    return path if isinstance(path, str) else None


def is_users(name: str) -> bool:
    """Tell whether a module is the user's own source: outside of the standard library, installed packages and aiflow.

    Examples
    --------
    >>> is_users("json"), is_users("aiflow.errors"), is_users("a_module_that_is_not_there")
    (False, False, False)
    """
    if name == "__main__":
        return True
    if name == "aiflow" or name.startswith("aiflow."):
        return False
    path = file_of(name)
    if path is None:  # made at run time, or built into Python; namespace packages have no code
        module = sys.modules.get(name)
        return type(module) is ModuleType and getattr(module, "__spec__", None) is None
    return _is_own_file(path)


def signature_of(path: str) -> tuple[int, int, int] | None:
    """Give what changes when a file changes: time (ns), size in bytes, inode; None if it is gone."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def user_files() -> dict[str, tuple[int, int, int]]:
    """Give the files of the user's own modules that this process has imported, each with its `signature_of`."""
    found: dict[str, tuple[int, int, int]] = {}
    for name in list(sys.modules):
        path = file_of(name)
        if path is not None and name != "__main__" and is_users(name):
            signature = signature_of(path)
            if signature is not None:
                found[path] = signature
    return found
