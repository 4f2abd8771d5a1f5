"""The command `completion`, and what a shell offers where a name is to be typed: what is recorded in the home.

Knows nothing of shells: their scripts are click's. Whatever goes wrong while a shell asks, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click as plain
import rich_click as click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from aiflow.cli.everywhere import Asked, Command, needs_home
from aiflow.cli.formats import Lines, write

if TYPE_CHECKING:
    from aiflow import Project

__all__ = [
    "answer_shell",
    "artifacts",
    "completion",
    "datasets",
    "executions",
    "files",
    "jobs",
    "metrics",
    "models",
    "one_of",
    "things",
    "triggers",
    "workflows",
]

VARIABLE = "_AIFLOW_COMPLETE"
"""In the environment: what a shell's script asks for."""

_MOST = 50
Offer = Callable[[plain.Context, plain.Parameter, str], list[CompletionItem]]

_EXAMPLES = """
completion bash                          # the script, to look at
$ eval "$(aiflow completion bash)"       # in ~/.bashrc
$ eval "$(aiflow completion zsh)"        # in ~/.zshrc, after compinit
completion fish | source                 # in ~/.config/fish/config.fish
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands, options, ids of executions, and names."""
    kind = get_completion_class(shell)
    assert kind is not None
    write("table", None, Lines(kind(plain.Command("aiflow"), {}, "aiflow", VARIABLE).source().strip("\n")))


def answer_shell(cli: plain.Command, instruction: str) -> int:
    """Do what a shell's script asks for; give the exit code."""
    return shell_complete(cli, {}, "aiflow", VARIABLE, instruction)


def files(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
    """Offer what the shell itself knows of files."""
    return [CompletionItem(begun, type="file")]


def one_of(names: Iterable[str]) -> Offer:
    """Offer one of some words."""

    def offer(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names if name.startswith(begun.upper())]

    return offer


def _recorded(look: Callable[[Project, plain.Context], Iterable[tuple[str, str]]]) -> Offer:
    """Offer names, each with a word about it, that are recorded in the home."""

    def offer(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
        try:
            with needs_home(context.find_object(Asked) or Asked()) as project:
                found = dict(look(project, context))
        except Exception:  # a shell that waits for words has no use for a message, whatever it is about
            return []
        return [CompletionItem(name, help=about or None) for name, about in found.items() if name.startswith(begun)]

    return offer


def _named(view: str) -> Offer:
    def look(project: Project, context: plain.Context) -> list[tuple[str, str]]:
        rows = getattr(project, view).list(limit=_MOST)
        return [(row["name"], "") if isinstance(row, dict) else (row.name, "") for row in rows]

    return _recorded(look)


@_recorded
def executions(project: Project, context: plain.Context) -> Iterable[tuple[str, str]]:
    """Offer the newest executions."""
    return [(one.id, f"{one.workflow} {one.status}") for one in project.executions.list(limit=_MOST)]


@_recorded
def jobs(project: Project, context: plain.Context) -> Iterable[tuple[str, str]]:
    """Offer the jobs of the execution that was named before."""
    asked: Any = context.params.get("execution") or context.params.get("id_")
    found = project.executions.get(asked) if asked else project.executions.list(limit=1)[0]
    return [(name, "") for name in found.job_names]


@_recorded
def metrics(project: Project, context: plain.Context) -> Iterable[tuple[str, str]]:
    """Offer the names of metrics."""
    return [(name, "") for name in project.metrics.names()]


@_recorded
def triggers(project: Project, context: plain.Context) -> Iterable[tuple[str, str]]:
    """Offer triggers, or schedules under the command of that name."""
    is_schedule = context.parent is not None and context.parent.info_name == "schedule"
    view = project.schedules if is_schedule else project.triggers
    return [(one.name, f"{one.workflow} {one.condition}") for one in view.list(limit=_MOST)]


@_recorded
def things(project: Project, context: plain.Context) -> Iterable[tuple[str, str]]:
    """Offer what can have a lineage."""
    views = {"model": project.models, "dataset": project.datasets, "artifact": project.artifacts}
    return [(one.name, kind) for kind, view in views.items() for one in view.list(limit=_MOST)]  # type: ignore[attr-defined]


workflows, models, datasets, artifacts = map(_named, ("workflows", "models", "datasets", "artifacts"))
