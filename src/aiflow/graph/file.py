"""What a file condition is: a pattern of paths, and the events of files that meet it.

Knows nothing of file systems: it compares texts. Patterns are taken apart here for those who look into folders, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePath
from typing import ClassVar, NamedTuple

from aiflow.errors import ParameterError
from aiflow.graph.condition import Condition, Leaf, is_glob
from aiflow.graph.event import Event, EventType
from aiflow.graph.job import seconds

__all__ = [
    "CHANGES",
    "FileCondition",
    "FilePattern",
    "file",
    "file_key",
    "files_in",
    "fits_name",
    "folders_of",
    "taken_apart",
]

CHANGES = ("created", "modified")
_KEY = "file:"
_TYPE = str(EventType.FILE_CHANGED)
_SAID = re.compile(r"""\bfile\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def file_key(path: str) -> str:
    """Give the key under which a file's events stand in the log: ``file:`` and its absolute path."""
    return _KEY + path


def folders_of(event: Event) -> Iterator[str]:
    """Give the folders that the file of an event lies in, the inmost first; none if the event is of no file."""
    if event.type == _TYPE and event.key.startswith(_KEY):
        yield from map(str, PurePath(event.key[len(_KEY) :]).parents)


@lru_cache(maxsize=4096)
def _name_pattern(glob: str) -> re.Pattern[str]:
    hidden = "" if glob.startswith(".") else r"(?!\.)"
    return re.compile(hidden + translate(glob))


def fits_name(glob: str, name: str) -> bool:
    """Tell whether a name fits; one that begins with a dot fits only what says so, as in a shell."""
    return glob == name or (is_glob(glob) and _name_pattern(glob).match(name) is not None)


class FilePattern(NamedTuple):
    """An absolute pattern, taken apart.

    Attributes
    ----------
    root
        The folder that is named before the first part with ``* ? [``.
    parts
        What follows: names, patterns of names, and ``**`` for any number of folders. The last is that of the file.
    """

    root: str
    parts: tuple[str, ...]

    @property
    def is_deep(self) -> bool:
        """Whether files in folders of the root can fit."""
        return len(self.parts) > 1

    def fits(self, path: str) -> bool:
        """Tell whether the path of a file fits."""
        try:
            names = PurePath(path).relative_to(self.root).parts
        except ValueError:
            return False
        return _fits(self.parts, names)


def _fits(parts: Sequence[str], names: Sequence[str]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        return _fits(parts[1:], names) or (fits_name("*", names[0]) and _fits(parts, names[1:]))
    return fits_name(parts[0], names[0]) and _fits(parts[1:], names[1:])


@lru_cache(maxsize=4096)
def taken_apart(pattern: str) -> FilePattern:
    """Take an absolute pattern apart; without ``* ? [`` it is the name of one file."""
    parts = PurePath(pattern).parts
    first = next((i for i, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
    rest = parts[first:]
    return FilePattern(str(PurePath(*parts[:first])), (*rest, "*") if rest[-1] == "**" else rest)


@dataclass(frozen=True, slots=True)
class FileCondition(Leaf):
    """A file that is complete; made by `af.file`. What events meet is told by one with an absolute pattern."""

    pattern: str
    on: tuple[str, ...] = CHANGES
    settle: float = 0.0
    from_now: bool = False

    keeps_open: ClassVar[bool] = True

    def __str__(self) -> str:
        parts = [repr(self.pattern)]
        if self.on != CHANGES:
            parts.append(f"on={self.on[0]!r}")
        if self.settle:
            parts.append(f"settle={self.settle:g}")
        return f"file({', '.join(parts)})" + ".now()" * self.from_now

    def inside(self, folder: str) -> FileCondition:
        """Give the same condition with its pattern made absolute, seen from `folder`."""
        parts: list[str] = []
        for part in PurePath(folder, self.pattern).parts:
            if part != "..":
                parts.append(part)
            elif len(parts) > 1:
                parts.pop()
        return replace(self, pattern=str(PurePath(*parts)))

    @property
    def apart(self) -> FilePattern:
        """The pattern, taken apart; it must be absolute."""
        return taken_apart(self.pattern)

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether `event` fits, seen from an execution in `namespace`.

        What was known before and is there when an execution starts is told to that one alone, for its ``.now()``.
        """
        value = event.value
        if event.type != _TYPE or event.namespace != namespace or not isinstance(value, dict):
            return False
        if value.get("settle", 0.0) != self.settle or not event.key.startswith(_KEY):
            return False
        if event.context is None:
            is_for_us = value.get("change") in self.on
        else:
            is_for_us = self.from_now and event.context == execution_id
        return is_for_us and self.apart.fits(event.key[len(_KEY) :])


def files_in(said: str) -> Iterator[FileCondition]:
    """Find the conditions on files in the text of a condition or a rule, which is what the definition of an execution has.

    Examples
    --------
    >>> [one.pattern for one in files_in("START on all(file('inbox/*.csv', settle=2), event('go'))")]
    ['inbox/*.csv']
    """
    for found in _SAID.finditer(said):
        yield FileCondition(ast.literal_eval(found[1]))


def file(pattern: str | PurePath, on: str | Iterable[str] = CHANGES, settle: float | timedelta = 0.0) -> Condition:
    """Make a condition that a file meets when it is complete.

    Parameters
    ----------
    pattern
        The path of a file, or of many: ``*`` stands for anything in a name, ``?`` for one character, ``[ab]`` for one
        of some, ``**`` for any number of folders. Names that begin with a dot fit only what says so. A relative
        pattern is taken from the folder of the workflow's file; in a notebook, from the working directory.
    on
        ``"created"`` for files that were not there before, ``"modified"`` for others; both by default.
    settle
        How many seconds a file must have stayed the same after it was closed.

    Raises
    ------
    ParameterError
        If an argument does not fit.

    Notes
    -----
    A file is complete when it was closed after writing, or renamed into place, or was there already when watching
    began. Each version of a file (path, size, time of change, inode) is one event of the type FILE_CHANGED, also over
    restarts; its value is a dict of `path`, `size`, `mtime` and `change`.

    Examples
    --------
    >>> import aiflow as af
    >>> print(af.file("inbox/*.csv"))
    file('inbox/*.csv')
    >>> print(af.file("inbox/**/*.csv", on="created", settle=2) & af.event("go"))
    all(file('inbox/**/*.csv', on='created', settle=2), event('go'))
    """
    text = str(pattern) if isinstance(pattern, PurePath) else pattern
    if not isinstance(text, str) or not text or text.endswith(("/", "\\")) or "\0" in text:
        raise ParameterError(f"af.file(pattern) takes the path of a file, such as 'inbox/*.csv', not {pattern!r}")
    if text.startswith("~"):
        raise ParameterError(f"af.file({text!r}): ~ is not expanded; write Path.home() / {text[2:]!r}")
    chosen = (on,) if isinstance(on, str) else tuple(on) if isinstance(on, Iterable) else ()
    if not chosen or not all(one in CHANGES for one in chosen):
        raise ParameterError(f"af.file(on=…) takes 'created', 'modified' or both, not {on!r}")
    changes = CHANGES if set(chosen) == set(CHANGES) else (chosen[0],)
    return FileCondition(text, changes, seconds(settle, "af.file(settle=…)"))
