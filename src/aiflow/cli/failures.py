"""What is said when something goes wrong, and the exit code that goes with it.

Knows nothing of the commands. A traceback is shown only of the user's own code.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from aiflow.cli import logs
from aiflow.errors import AIFlowError, ExecutionFailed, GraphError, StoreError

__all__ = ["BrokenFile", "Refused", "Terminated", "blame_user", "outcome_of", "say"]

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2"}
_LEVELS = {"red": "error", "yellow": "warning"}
_NOT_THE_USERS = ("<frozen importlib", "<frozen runpy")


class BrokenFile(Exception):
    """A user's file, or a workflow body in it, that raises; the message has the user's frames."""


class Refused(click.ClickException):
    """What was asked is against the state of the store, such as resuming another workflow than was started."""

    exit_code = 3


class Terminated(BaseException):
    """SIGTERM came."""


def say(text: str, colour: str = "", **more: Any) -> None:
    """Write a line on standard error, in colour where that is wanted; `more` are ids for those who want JSON."""
    stream, as_json = sys.stderr, logs.current()
    if as_json is not None:
        as_json.say(text, _LEVELS.get(colour, "info"), more)
        return
    if stream is None:
        return
    if colour and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        text = f"\033[{_COLOURS[colour]}m{text}\033[0m"
    try:
        stream.write(text + "\n")  # at once, so that nothing gets between
        stream.flush()
    except OSError:  # nobody reads it
        return


def outcome_of(error: BaseException) -> int:
    """Say what happened, and give the exit code; an error that is a fault of aiflow is raised again."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return 0
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return 130
    if isinstance(error, Terminated):
        return 143
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        text = error.message if sys.stderr is not None and sys.stderr.isatty() else click.unstyle(error.message)
        say("\n".join(line.rstrip() for line in text.splitlines()))
        return 2
    if isinstance(error, click.UsageError):
        where = f"\nSee: {error.ctx.command_path} --help" if error.ctx is not None else ""
        say(f"Error: {error.format_message()}{where}", "red")
        return error.exit_code
    if isinstance(error, click.ClickException):
        say(f"Error: {error.format_message()}", "red")
        return error.exit_code
    code = _code_of(error)
    if code is None:
        as_json = logs.current()
        if as_json is None:
            raise error
        told = "".join(traceback.format_exception(error))  # each line of it is JSON, whoever is at fault
        as_json.say(f"{type(error).__name__}: {error}", "critical", {"exception": told})
        return 1
    if isinstance(error, GraphError):  # the user's file is at fault, not how the command was used
        error = blame_user(error, "the workflow cannot be built:") or error
    say(f"Error: {error}{_place_of(error)}", "red")
    return code


def _place_of(error: BaseException) -> str:
    """Say in which line of the user's the error came up, if in any: not in Python's own, such as a context manager's."""
    own = str(Path(traceback.__file__).parent) + os.sep
    stacks = [traceback.extract_tb(e.__traceback__) for e in (error, error.__cause__) if e is not None]
    frames = [f for stack in reversed(stacks) for f in _users_frames(stack) if not f.filename.startswith(own)]
    return f"\n  in {frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _code_of(error: BaseException) -> int | None:
    from aiflow.store.connection import DatabaseError

    if isinstance(error, StoreError | DatabaseError):
        return 3
    if isinstance(error, ExecutionFailed | BrokenFile | GraphError):
        return 1
    if isinstance(error, AIFlowError):
        return 2
    return 1 if isinstance(error, OSError) else None


def blame_user(error: BaseException, doing: str) -> BrokenFile | None:
    """Put an exception of a user's code into a `BrokenFile` without our frames; None if no frame is the user's."""
    told = traceback.TracebackException(type(error), error, error.__traceback__)
    if not _users_frames(told.stack) and not isinstance(error, SyntaxError):
        return None
    seen: list[traceback.TracebackException] = []
    part: traceback.TracebackException | None = told
    while part is not None:
        seen.append(part)
        part.stack = _users_frames(part.stack)
        part = part.__cause__ or part.__context__
    text = "".join(told.format())
    return BrokenFile(f"{doing}\n{text.rstrip()}")


def _users_frames(stack: traceback.StackSummary) -> traceback.StackSummary:
    ours = str(Path(__file__).resolve().parents[1]) + os.sep
    foreign = (*_NOT_THE_USERS, ours, str(Path(click.__file__).parent) + os.sep)
    return traceback.StackSummary.from_list([f for f in stack if not f.filename.startswith(foreign)])
