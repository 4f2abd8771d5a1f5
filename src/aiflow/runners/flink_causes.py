"""What of a long Java stack trace people need: the Python traceback in it, or the cause at its bottom.

Knows nothing of where the traces come from. Pure: text and what JSON is made of.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cause_of", "is_covered", "messages_of", "why_ended"]

_TRACEBACK = "Traceback (most recent call last):"
_THREADED = re.compile(r"PythonException: <class '(?:__main__\.)?([^']+)'>(.*)").search
"""What Java says of an exception in a function that Flink runs in its own process: python.execution-mode is "thread"."""
_IN_JAVA = re.compile(r"\n+\s*(?:at [\w$.]+[.(/]|\.\.\. \d+ more|Caused by: )").search
_CAUSED_BY = re.compile(r"^(?:Caused by: |\s*Caused by: )(.*)$", re.MULTILINE).findall
_CLASS = re.compile(r"\b(?:[a-z_]\w*\.){2,}(?=[A-Z]\w*(?:Exception|Error)\b)")
_RECORDS = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE).split
_THROWN = re.compile(
    r'^(?:Exception in thread "[^"]*" |Caused by: )?((?:[\w$]+\.)+[A-Z][\w$]*(?:Exception|Error)\b.*)$', re.MULTILINE
).findall
_NO_SAVEPOINT = re.compile(
    r"Cannot find (?:checkpoint or savepoint file/directory|meta data file '_metadata' in directory) '([^']+)'"
).search
_UNPARSED = re.compile(r'Encountered "(\w+)(?: [^"]*)?" at line \d+, column \d+').search
_NO_FACTORY = re.compile(r"Could not find any factory for identifier '([^']*)'").search
_FACTORIES = re.compile(r"Available factory identifiers are:\s*((?:^[\w.-]+\n?)+)", re.MULTILINE).search
_NAME = re.compile(r"(?:[^\W\d]\w*\.|<locals>\.)*[^\W\d]\w*(?=:|$)").match
_CHATTER = ("Starting ", "WARNING: ", "INFO ")


def cause_of(exceptions: Mapping[str, Any]) -> tuple[str, str] | None:
    """Give the cause of the newest failure that ``/jobs/:id/exceptions`` tells of: in one line, and in full.

    Flink lists what failed first, and what failed because of it as concurrent; which is which it does not always know.
    So the first Python traceback counts, wherever it is.
    """
    history = (exceptions.get("exceptionHistory") or {}).get("entries") or []
    if not history:
        return None
    entries = [history[0], *history[0].get("concurrentExceptions", ())]
    texts = [str(entry.get("stacktrace") or entry.get("exceptionName") or "") for entry in entries]
    for text in texts:
        if _TRACEBACK in text:
            python = python_part(text)
            return last_line(python), python
    return messages_of(texts[:1]), texts[0]


def python_part(text: str) -> str:
    """Cut the Python traceback out of a Java stack trace."""
    start = text.index(_TRACEBACK)
    java = _IN_JAVA(text, start)
    return text[start : java.start() if java else len(text)].rstrip()


def last_line(traceback: str) -> str:
    r"""Give the line with the exception: the first that is not indented, after the last frame.

    Examples
    --------
    >>> last_line("Traceback (most recent call last):\n  File 'a.py', line 1\n    f()\nValueError: no\n such row")
    'ValueError: no'
    """
    lines = traceback.splitlines()
    last = max((n for n, line in enumerate(lines) if line.startswith("  File ")), default=0)
    return next((line for line in lines[last + 1 :] if line.strip() and not line[0].isspace()), lines[-1].strip())


def is_covered(line: str, whole: str, kinds: tuple[type[BaseException], ...]) -> bool:
    r"""Tell whether one of the exceptions `kinds` is, or may be, what a cause tells of.

    The exception itself stayed on the cluster; its name came, as a traceback writes it. Its bases are known if its module is
    imported here, and nothing is imported for that. What cannot be known is covered, and so is what is no Python exception.

    Examples
    --------
    >>> whole = "Traceback (most recent call last):\n…\nZeroDivisionError: no"
    >>> is_covered("ZeroDivisionError: no", whole, (OSError,)), is_covered("ZeroDivisionError: no", whole, (ArithmeticError,))
    (False, True)
    """
    name = _NAME(line)
    if name is None or not (_TRACEBACK in whole or _THREADED(whole)):
        return True
    found = _exception_named(name[0])
    # By name: in a notebook, a cell that is run again defines its exceptions again.
    return found is None or not {*map(_written, found.__mro__)}.isdisjoint(map(_written, kinds))


def _written(kind: type) -> str:
    """Give the name of an exception as a traceback writes it."""
    is_short = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if is_short else f"{kind.__module__}.{kind.__qualname__}"


def _exception_named(name: str) -> type[BaseException] | None:
    """Find an exception by its name in a traceback, in the modules that are imported."""
    parts = name.split(".")
    places = [("builtins", parts), ("__main__", parts)]
    places += [(".".join(parts[:n]), parts[n:]) for n in range(len(parts) - 1, 0, -1)]
    for module, attributes in places:
        found: Any = sys.modules.get(module)
        for attribute in attributes:
            found = getattr(found, "__dict__", {}).get(attribute)  # getattr of a lazy module would import
        if isinstance(found, type) and issubclass(found, BaseException) and _written(found) == name:
            return found
    return None


def messages_of(traces: Sequence[str]) -> str:
    r"""Give the deepest cause of the last of some Java stack traces, as one line.

    Examples
    --------
    >>> messages_of(["Internal error.", "a.b.OuterException: x\n\tat y\nCaused by: a.b.InnerException: no slot\n\tat z"])
    'InnerException: no slot'
    >>> messages_of(["java.io.FileNotFoundException: Cannot find meta data file '_metadata' in directory 's3://a/b'. Please"])
    'there is no whole savepoint at s3://a/b: it was deleted, moved or never finished; put it back, or begin with another in a new execution'
    """
    text = next((trace for trace in reversed(traces) if trace.strip()), "")
    causes = _CAUSED_BY(text)
    line = causes[-1] if causes else text.removeprefix("<Exception on server side:").strip().partition("\n")[0]
    if threaded := _THREADED(line):
        return threaded[1] + threaded[2]
    return _without_savepoint(line) or _advised(_CLASS.sub("", line).strip(), text) or "it does not say why"


def _advised(line: str, whole: str) -> str:
    """Add to what Flink says of a frequent mistake what to do about it."""
    word = _UNPARSED(line)
    if word is not None and "<IDENTIFIER>" in whole:  # a name would have fitted there, so this word is none
        return f"{line.rstrip('.')}; {word[1]} is a word of SQL, and as a name it is written in backticks: `{word[1]}`"
    factory = _NO_FACTORY(line)
    if factory is not None:
        known = _FACTORIES(whole)
        there = f" ({', '.join(known[1].split())})" if known else ""
        return (
            f"{line[: factory.start()]}there is no {factory[1]!r} among the connectors, formats and catalogs that Flink has here{there}; "
            "name the jar that brings it: config={'pipeline.jars': 'path/to/its.jar'}"
        )
    if "Insufficient number of network buffers" in line:
        return (
            f"{line.rstrip('.')}; its parallel parts exchange more than there is room for: lower parallelism=, run less beside it (limits=), or give the cluster more "
            "memory (for the local one: memory in [tool.aiflow.flink])"
        )
    if "StatusRuntimeException: " in line and "PythonFunctionRunner" in whole:
        return (
            f"a Python worker of Flink died while it worked ({line.rpartition('StatusRuntimeException: ')[2]}): it had too little memory, "
            "crashed in native code, or was killed"
        )
    if "Querying an unbounded table" in line:
        return f"{line.rstrip('.')}; a job that reads it for ever is a stream (stream=True), one with an end needs a source that has one"
    return line


def _without_savepoint(line: str) -> str:
    """Say what it means that Flink found no savepoint where one was named; '' if the line is about something else."""
    found = _NO_SAVEPOINT(line)
    if found is None:
        return ""
    return (
        f"there is no whole savepoint at {found[1]}: it was deleted, moved or never finished; put it back, or begin with another in a "
        "new execution"
    )


def why_ended(out: str, log: str, lines: int = 15) -> str:
    r"""Say why a process of Flink ended: the exception that was thrown with its causes, a line each, else its last words.

    Parameters
    ----------
    out
        What it wrote on its output: there stands what Java and the start script say.
    log
        Its own log.
    lines
        How many lines the last words may have.

    Examples
    --------
    >>> print(why_ended("Starting x.", "2026-11-27 22:59:18,304 ERROR a [] - no.\na.b.CException: x\n\tat y\nCaused by: a.b.DException: z"))
    CException: x
    DException: z
    """
    records = [(record, _THROWN(record)) for record in (out, *_RECORDS(log))]
    thrown = [(record, chain) for record, chain in records if chain]
    if thrown:
        # What follows the end of the entry point comes from shutting down.
        chain = next(
            (chain for record, chain in thrown if "Could not start cluster entrypoint" in record), thrown[0][1]
        )
        return "\n".join(_CLASS.sub("", line) for line in dict.fromkeys(chain))
    said = [line for line in out.splitlines() if line.strip() and not line.startswith(_CHATTER)]
    return "\n".join((said or log.splitlines())[-lines:]) or "(it said nothing)"
