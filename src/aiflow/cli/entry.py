"""Where the command line begins and ends: the commands by name, signals, and what leaves when the pipe is closed.

Knows nothing of what the commands do.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import rich_click as click
from click.exceptions import Exit

from aiflow._version import __version__
from aiflow.cli import logs
from aiflow.cli.completion import VARIABLE, answer_shell, completion
from aiflow.cli.config import config
from aiflow.cli.db import db
from aiflow.cli.event import event
from aiflow.cli.everywhere import Asked, Command, Group, wants_json_log
from aiflow.cli.execution import execution
from aiflow.cli.failures import Terminated, outcome_of
from aiflow.cli.flink import flink
from aiflow.cli.formats import Lines, write
from aiflow.cli.init import init
from aiflow.cli.job import job
from aiflow.cli.lineage import lineage
from aiflow.cli.list import list_
from aiflow.cli.metric import metric
from aiflow.cli.model import model
from aiflow.cli.run import run
from aiflow.cli.serve import serve
from aiflow.cli.show import show
from aiflow.cli.trigger import schedule, trigger
from aiflow.cli.workflow import workflow

__all__ = ["carry_out"]

_HELP = {
    "commands_before_options": True,
    "max_width": 100,
    "padding_helptext_first_line": (0, 0, 1, 0),
    "style_helptext": "",
    "style_options_panel_border": "dim",
    "text_paragraph_linebreaks": "\n\n",
}

_EXAMPLES = """
init weather                         # a small project to begin with
run iris.py -p neighbors=7           # run the workflow in iris.py
serve flows.py                       # by events and time
show iris.py                         # its graph, as a tree
list executions                      # what was run
execution show k3vq                  # one of them, by its id
event publish go '{"n": 1}'          # tell all that wait for it
event tail                           # see what happens
config show                          # what is set, and where
model show knn                       # a model and its versions
metric plot accuracy                 # a metric over time
"""


@click.group(
    cls=Group,
    name="aiflow",
    examples=_EXAMPLES,
    context_settings={"rich_help_config": _HELP, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="aiflow")
def aiflow() -> None:
    """Event-driven machine learning workflows, with a durable record of all that happened."""


@click.command(cls=Command, examples="version\nversion -o json")
@click.pass_obj
def version(asked: Asked) -> None:
    """Show the version of aiflow and of what it stands on."""
    import platform

    from aiflow.store.connection import sqlite3

    data = {"aiflow": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    write(asked.output, data, Lines("\n".join(f"{name} {number}" for name, number in data.items())))


_PANELS = {
    "Commands that run": (run, serve, show, init),
    "Commands that look": (list_, execution, model, metric, lineage),
    "Commands that act": (event, job, workflow, schedule, trigger),
    "Commands that keep house": (config, db, flink, completion, version),
}
aiflow.panels[:0] = [click.RichCommandPanel(name) for name in _PANELS]
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        _command.panel = _panel
        aiflow.add_command(_command)


def carry_out(args: Sequence[str] | None) -> int:
    """Carry out one command line and give its exit code; see `aiflow.cli.main`."""
    words: list[str] = list(sys.argv[1:] if args is None else args)
    code = 0
    try:
        if args is None and os.environ.get(VARIABLE):  # a shell asks what could stand here
            return answer_shell(aiflow, os.environ[VARIABLE])
        with _sigterm_raises(), aiflow.make_context("aiflow", list(words)) as context:
            aiflow.invoke(context)
    except BaseException as error:  # every end has an exit code, those by signals included
        if not isinstance(error, Exit) and wants_json_log(
            words
        ):  # a word that is no command has not come as far as to say so
            logs.begin()
        code = outcome_of(error)
    finally:
        logs.end()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _forget(sys.stdout)  # else Python would try once more at its end
        code = code or outcome_of(error)
    return code


def _forget(stream: Any) -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM an exception, as SIGINT is: what is open gets closed, and the exit code is 143."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    is_ours = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
