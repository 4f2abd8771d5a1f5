"""Owns the configuration: where the home is, and what `pyproject.toml`, the environment and arguments say.

Knows nothing of what the values are used for. Arguments beat the environment, that beats the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from aiflow.errors import ParameterError, suggest
from aiflow.flinksettings import FlinkSettings, read_flink_settings
from aiflow.keep import Keep, read_keep

__all__ = ["ARGUMENT", "VARIABLES", "File", "Said", "Settings", "find_home", "load_settings"]

_KNOWN = ("name", "home", "durability", "workers", "limits", "keep", "plugins", "flink", "log_format")
VARIABLES = {name: f"AIFLOW_{name.upper()}" for name in _KNOWN}
"""What each setting is called in the environment."""

ARGUMENT = "the argument"
"""Where a value comes from that the program itself gives."""


class Said(NamedTuple):
    """A value, and where it was said; in words, for messages and for `aiflow config show`."""

    value: Any
    where: str
    parts: Mapping[str, str] = {}  # where its parts were said, if not there

    def refuse(self, name: str, wanted: str) -> ParameterError:
        """Give the error that this does not fit."""
        where = "" if self.where == ARGUMENT else f" ({self.where})"
        return ParameterError(f"{name} must be {wanted}, not {self.value!r}{where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a project is opened with.

    Attributes
    ----------
    said
        Where each setting was said; those that are not in it have their defaults.
    """

    home: Path
    name: str | None = None
    durability: str = "normal"
    workers: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    keep: Keep = field(default_factory=Keep)
    flink: FlinkSettings = field(default_factory=FlinkSettings)
    plugins: tuple[str, ...] = ()
    log_format: str = "text"
    said: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None  # of the pyproject.toml, if there is one: modules of plugins may lie there

    @property
    def places(self) -> int:
        """How many jobs run at a time on threads, and in processes."""
        return self.workers or min(32, (os.cpu_count() or 1) + 4)

    @property
    def insisted_name(self) -> str | None:
        """The name, if an argument or the environment says it: then the one that the home has does not count."""
        return self.name if self.said.get("name") in (ARGUMENT, VARIABLES["name"]) else None


# ------------------------------------------------------------------------------------------------------------ the file

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$").match
_PAIR = re.compile(r"\s*([\w.\"' -]+?)\s*=").match


class File:
    """The `[tool.aiflow]` of a `pyproject.toml`.

    Raises
    ------
    ParameterError
        If the file is no TOML, or has a setting that there is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self._lines: dict[tuple[str, ...], int] = {}
        try:
            text = path.read_text(encoding="utf-8")
            table = tomllib.loads(text).get("tool", {}).get("aiflow", {})
        except OSError:
            return
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ParameterError(f"{path} is not valid TOML: {error}") from None
        if not isinstance(table, dict):
            raise ParameterError(f"[tool.aiflow] of {path} must be a table, not {table!r}")
        if not table:
            return
        self.values = table
        self._lines = dict(_lines(text))
        for key in table:
            if key not in _KNOWN:
                raise ParameterError(
                    f"unknown setting {key!r} in [tool.aiflow] ({self.where(key)}){suggest(key, _KNOWN)}"
                )

    def where(self, *keys: str) -> str:
        """Say where a key stands: the file, and the line."""
        found = ("tool", "aiflow", *keys)
        while found and found not in self._lines:
            found = found[:-1]
        return f"{self.path}:{self._lines[found]}" if found else str(self.path)

    def get(self, name: str) -> Iterator[Said]:
        """Give what is said of a setting, if anything is."""
        if name in self.values:
            value = self.values[name]
            parts = {key: self.where(name, key) for key in value} if isinstance(value, dict) else {}
            yield Said(value, self.where(name), parts)


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Give each key and table with its line, which `tomllib` does not tell; the first line of each last, so that it stays."""
    header: tuple[str, ...] = ()
    found: list[tuple[tuple[str, ...], int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER(line):
            header = _parts(match[1])
            found.append((header, number))
        elif match := _PAIR(line):
            found.append(((*header, *_parts(match[1])), number))
    yield from reversed(found)


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in key.split("."))


# ------------------------------------------------------------------------------------------------------------ the home


def find_home(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[Said, File]:
    """Find the home, as git finds its own: `$AIFLOW_HOME`, else upwards `.aiflow` or a `pyproject.toml` with `[tool.aiflow]`.

    Returns
    -------
    tuple
        The directory (which need not exist), and the `[tool.aiflow]` that belongs to it.
    """
    here = (start or Path.cwd()).resolve()
    found = Said(here / ".aiflow", "the working directory")
    for folder in (here, *here.parents):
        file = File(folder / "pyproject.toml")
        if (folder / ".aiflow").is_dir() or file.values:
            found = Said(folder / ".aiflow", "found there" if (folder / ".aiflow").is_dir() else file.where())
        for said in file.get("home"):
            if not isinstance(said.value, str) or not said.value:
                raise said.refuse("home", "a folder's name")
            found = Said((folder / Path(said.value).expanduser()).resolve(), said.where)
        if found.where != "the working directory":
            break
    if environ.get("AIFLOW_HOME"):
        return Said(Path(environ["AIFLOW_HOME"]).expanduser().resolve(), "AIFLOW_HOME"), file
    return found, file


# ---------------------------------------------------------------------------------------------------------- the values


def load_settings(
    *,
    name: str | None = None,
    home: str | Path | None = None,
    durability: str | None = None,
    workers: int | None = None,
    keep: Any = None,
    log_format: str | None = None,
) -> Settings:
    """Put arguments, environment and file together.

    Raises
    ------
    ParameterError
        If a value does not fit; the message names it, and the variable or the line of the file that has it.
    """
    if home is not None:
        place = Said(Path(home).expanduser().resolve(), ARGUMENT)
        file = File(place.value.parent / "pyproject.toml")
    else:
        place, file = find_home()
    given = {"name": name, "durability": durability, "workers": workers, "keep": keep, "log_format": log_format}
    found: dict[str, Any] = {"home": place.value}
    where = {"home": place.where}
    for setting, read in _READERS.items():
        for said in _said(setting, given.get(setting), file):  # from the weakest to the strongest
            found[setting] = read(said, found.get(setting), where)
            where[setting] = said.where
    flink = _flink(file, where)
    return Settings(**found, flink=flink, said=where, folder=file.path.parent if file.values else None)


def _said(setting: str, argument: Any, file: File) -> Iterator[Said]:
    yield from file.get(setting)
    text = os.environ.get(VARIABLES[setting])
    if text:
        yield Said(text, VARIABLES[setting])
    if argument is not None:
        yield Said(argument, ARGUMENT)


def _name(said: Said, *_: Any) -> str:
    if not isinstance(said.value, str) or not said.value.strip():
        raise said.refuse("name", "a text that is not empty")
    return said.value


def _one_of(setting: str, *words: str) -> Callable[..., str]:
    def read(said: Said, *_: Any) -> str:
        if said.value not in words:
            raise said.refuse(setting, " or ".join(map(repr, words)))
        return str(said.value)

    return read


def _workers(said: Said, *_: Any) -> int:
    count = _count(said.value)
    if count is None:
        raise said.refuse("workers", "a whole number ≥ 1")
    return count


def _count(value: Any) -> int | None:
    """Give a whole number from 1 on, or None if it is none."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None


def _limits(said: Said, weaker: Mapping[str, int] | None, where: dict[str, str]) -> Mapping[str, int]:
    table = said.value
    if isinstance(table, str):
        pairs = [part.partition("=") for part in table.split(",") if part.strip()]
        table = {key.strip(): value.strip() for key, equals, value in pairs if equals}
        if len(table) < len(pairs):
            raise said.refuse("limits", "written as gpu=2, disk=4")
    if not isinstance(table, Mapping):
        raise said.refuse("limits", "a table such as {gpu = 2}")
    for key, value in table.items():
        if _count(value) is None:
            raise Said(value, said.parts.get(key, said.where)).refuse(f"limits.{key}", "a whole number ≥ 1")
        where[f"limits.{key}"] = said.parts.get(key, said.where)
    return {**(weaker or {}), **{key: _count(value) or 1 for key, value in table.items()}}


def _keep(said: Said, weaker: Keep | None, where: dict[str, str]) -> Keep:
    """Put the limits of what is kept together, one by one."""
    limits = read_keep(said.value, said.where)
    told = [one.name for one in fields(Keep) if getattr(limits, one.name) is not None]
    where |= {f"keep.{name}": said.parts.get(name, said.where) for name in told}
    return (weaker or Keep()) | limits


def _flink(file: File, where: dict[str, str]) -> FlinkSettings:
    """Read what is said of the local Flink cluster: each in the table, or in a variable of its own."""
    table = file.values.get("flink", {})
    found = read_flink_settings(table, os.environ, file.where("flink"))
    for name in (one.name for one in fields(FlinkSettings)):
        variable = f"{VARIABLES['flink']}_{name.upper()}"
        if os.environ.get(variable):
            where[f"flink.{name}"] = variable
        elif name in table:
            where[f"flink.{name}"] = file.where("flink", name)
    return found


def _plugins(said: Said, *_: Any) -> tuple[str, ...]:
    names = [part.strip() for part in said.value.split(",")] if isinstance(said.value, str) else said.value
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
        raise said.refuse("plugins", "a list of modules, or of MODULE:NAME")
    return tuple(names)


_READERS: dict[str, Callable[[Said, Any, dict[str, str]], Any]] = {
    "name": _name,
    "durability": _one_of("durability", "normal", "full"),
    "workers": _workers,
    "limits": _limits,
    "keep": _keep,
    "plugins": _plugins,
    "log_format": _one_of("log_format", "text", "json"),
}
