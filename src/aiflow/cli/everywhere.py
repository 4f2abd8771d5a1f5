"""What every command takes, before or after its name: the home, the namespace and the form of the output.

Knows nothing of what the commands do.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli import logs
from aiflow.cli.failures import say
from aiflow.errors import ParameterError
from aiflow.settings import load_settings

if TYPE_CHECKING:
    from aiflow import Project

__all__ = ["Asked", "Command", "Group", "needs_home", "open_home", "wants_json_log"]

FORMS = ("table", "json", "yaml", "plain")


@dataclass(slots=True)
class Asked:
    """What was said of the home, the namespace and the output."""

    home: str | None = None
    namespace: str | None = None
    output: str = "table"
    log_format: str | None = None


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    asked = context.ensure_object(Asked)
    if value is not None and parameter.name is not None:
        setattr(asked, parameter.name, value)


def _option(*names: str, **more: Any) -> click.Option:
    return click.RichOption(names, expose_value=False, callback=_remember, panel="Everywhere", **more)


_EVERYWHERE = (
    _option("--home", metavar="DIR", help="The home; by default $AIFLOW_HOME, else the nearest .aiflow upwards."),
    _option("-n", "--namespace", metavar="NAME", help="The namespace; by default that of the home."),
    _option("-o", "--output", type=click.Choice(FORMS), help="The form of what goes to standard output."),
    _option(
        "--log-format",
        type=click.Choice(("text", "json")),
        help="The form of what goes to standard error: json is one object a line.",
    ),
)


def _wants_json(asked: Asked) -> bool:
    try:
        return load_settings(home=asked.home, log_format=asked.log_format).log_format == "json"
    except (ParameterError, OSError):  # who opens the home says so; not all commands do
        return asked.log_format == "json"


def wants_json_log(words: Sequence[str]) -> bool:
    """Tell whether the words of a command line, whatever is wrong with them, or else the settings ask for JSON."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name == "--log-format":
            return (value if equals else after) == "json"
    return _wants_json(Asked())


def _panels() -> list[Any]:
    """Have a command's own options stand before those of all commands."""
    return [click.RichOptionPanel("Options"), click.RichOptionPanel("Everywhere")]


class Command(click.RichCommand):
    """A command that also takes what all commands take, and shows examples in its help."""

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:
        super().__init__(*args, panels=_panels(), **more)
        self.help = _with_examples(self.help, examples)

    def invoke(self, ctx: click.Context) -> Any:
        """Carry the command out."""
        if _wants_json(ctx.ensure_object(Asked)):
            logs.begin()
        return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words apart; a parameter of the workflow without its option gets a hint."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            meant = _meant_parameter(words, error) if any("-p" in one.opts for one in self.params) else ""
            if not meant:
                raise
            hint = f"{error.format_message()} Parameters of a workflow are given by -p: {meant}"
            raise click.UsageError(hint, ctx) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give the command's own parameters and those of every command."""
        return [*super().get_params(ctx), *_EVERYWHERE]


class Group(click.RichGroup):
    """A group of such commands."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:
        super().__init__(*args, **{"panels": _panels(), **more})
        self.help = _with_examples(self.help, examples)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give the group's own parameters and those of every command."""
        return [*super().get_params(ctx), *_EVERYWHERE]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of the commands in the order of their importance: that in which they were added."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; of one that is not there, what was probably meant is said."""
        word = args[0]
        near = [] if word in self.commands or word.startswith("-") else self._meant(ctx, word)
        if not near:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {word!r}. Did you mean {' or '.join(map(repr, near))}?", ctx)

    def _meant(self, ctx: click.Context, word: str) -> list[str]:
        """Say what else stands for a word: the same command elsewhere, the list of a noun, or `show` of a name."""
        others = [
            f"{ctx.command_path} {name} {known}"
            for name, group in self.commands.items()
            for known in (word, f"{word}s")
            if known in getattr(group, "commands", ())
        ]
        if others or ctx.parent is None:
            return others
        lists = getattr(getattr(ctx.parent.command, "commands", {}).get("list"), "commands", ())
        if word in ("list", "ls"):
            return [f"{ctx.parent.command_path} list {ctx.info_name}s"] if f"{ctx.info_name}s" in lists else []
        if "show" in self.commands and not get_close_matches(word, self.commands):
            return [f"{ctx.command_path} show {word}"]
        return []


def _meant_parameter(words: list[str], error: click.UsageError) -> str:
    """Say how a parameter would be given that was taken for an option or an argument; '' if nothing looks like one."""
    if isinstance(error, click.NoSuchOption):
        mistyped = get_close_matches(error.option_name, error.possibilities or (), cutoff=0.75)
        if mistyped or not error.option_name.startswith("--"):
            return ""
        place = next(i for i, word in enumerate(words) if word.partition("=")[0] == error.option_name)
        name, equals, value = words[place].removeprefix("--").partition("=")
        after = words[place + 1] if place + 1 < len(words) and not words[place + 1].startswith("-") else "VALUE"
        return f"-p {name}={value if equals else after}"
    stray = (word for before, word in pairwise(["", *words]) if before not in ("-p", "--param"))
    return next((f"-p {word}" for word in stray if "=" in word and not word.startswith("-")), "")


def _with_examples(text: str | None, examples: str) -> str:
    lines = [line.strip() for line in examples.strip().splitlines()]
    shown = "\n\n\b\nExamples:\n" + "\n".join(map(_typed, lines)) if lines else ""
    return inspect.cleandoc(text or "") + shown


def _typed(line: str) -> str:
    """Give an example as it is typed: one that begins with a dollar sign is more than the words after ``aiflow``."""
    return f"  {line}" if line.startswith("$ ") else f"  $ aiflow {line}"


def open_home(asked: Asked) -> Project:
    """Open the project that was asked for; its home is made if there is none yet.

    Where it is made is said, unless the user has said it: in another folder there may be another one already.
    """
    from aiflow._project import Project

    project = Project(asked.namespace, home=asked.home)
    if project._is_new and not asked.home and not os.environ.get("AIFLOW_HOME"):
        say(f"a new home is made: {project.home}", "dim")
    return project


def needs_home(asked: Asked) -> Project:
    """Open the project that was asked for; raises `StoreError` if there is no home: what only reads never makes one."""
    from aiflow._project import Project

    return Project(asked.namespace, home=asked.home, _make=False)
