"""Finds the workflows in a user's file: imports it as Python would, and picks what is defined in it.

Knows nothing of running them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import rich_click as click

from aiflow.cli.failures import blame_user
from aiflow.errors import suggest
from aiflow.graph.workflow import Workflow, defined_in

__all__ = ["load_file", "load_workflow", "parse_target"]


def parse_target(target: str) -> tuple[Path, str | None]:
    """Split ``FILE[:WORKFLOW]``; a file whose name has a colon is found, too.

    Raises
    ------
    click.UsageError
        If there is no such file.
    """
    path, name = Path(target), None
    if not path.is_file() and ":" in target:
        before, _, name = target.rpartition(":")
        path = Path(before)
    if path.is_file():
        return path, name or None
    if path.is_dir():
        raise click.UsageError(f"{str(path)!r} is a directory; a file with a workflow is needed")
    there = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
    raise click.UsageError(f"there is no file {str(path)!r}{suggest(path.name, there)}")


def load_workflow(target: str) -> Workflow:
    """Import the file of ``FILE[:WORKFLOW]`` and give the workflow.

    Raises
    ------
    BrokenFile
        If the file cannot be imported.
    click.UsageError
        If there is no such file or workflow in it, or several and none was named.
    """
    path, name = parse_target(target)
    module = load_file(path)
    found = defined_in(module)
    if name is None:
        if len(found) == 1:
            return found[0]
        if not found:
            raise click.UsageError(f"{path} defines no workflow; decorate a function with @af.workflow")
        ways = "\n".join(f"  {path}:{w.name}" for w in found)
        raise click.UsageError(f"{path} defines {len(found)} workflows; say which one:\n{ways}")
    named = [w for w in found if w.name == name]
    held = getattr(module, name, None)
    if named:
        return named[0]
    if isinstance(held, Workflow):
        return held
    raise click.UsageError(f"{path} has no workflow {name!r}{suggest(name, [w.name for w in found])}")


def load_file(path: Path) -> ModuleType:
    """Import a file under its stem, with its folder first on `sys.path`, as Python does for a script.

    Raises
    ------
    BrokenFile
        If it raises; the message has the user's frames only.
    """
    path = path.resolve()
    name = _module_name(path)
    known = sys.modules.get(name)
    if known is not None:
        return known
    folder = str(path.parent)
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code; a script may well call sys.exit
        del sys.modules[name]
        broken = blame_user(error, f"{path} cannot be imported:")
        if broken is None:
            raise
        raise broken from None
    return module


def _module_name(path: Path) -> str:
    """Give the file's stem if it is free for a module's name, else one that is the same each time."""
    stem = path.stem
    known = getattr(sys.modules.get(stem), "__file__", None)
    if known is not None and Path(known).resolve() == path:
        return stem
    if (
        stem.isidentifier()
        and not keyword.iskeyword(stem)
        and not _is_taken(stem, (sys.modules, sys.stdlib_module_names))
    ):
        return stem
    return f"file_{re.sub(r'[^0-9A-Za-z_]', '_', stem)}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _is_taken(name: str, where: Iterable[Iterable[str]]) -> bool:
    return any(name in names for names in where)
