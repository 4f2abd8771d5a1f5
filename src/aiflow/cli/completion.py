"""The command `completion`, and what a shell offers where a name is to be typed: what is recorded in the home.

Knows nothing of shells: their scripts are click's. Whatever goes wrong while a shell asks, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click as plain
import rich_click as click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

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
    "parts",
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


@add_completion_class
class _Bash(BashComplete):
    """Puts together again what bash takes apart at colons, and gives it what stands behind the last one."""

    _cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        args, begun = super().get_completion_args()
        words: list[str] = []
        for word in (*args, begun):
            if words and (word == ":" or words[-1].endswith(":")):
                words[-1] += word
            else:
                words.append(word)
        self._cut = 0 if words[-1] == begun else words[-1].rindex(":") + 1
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value[self._cut :]}"


def files(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
    """Offer what the shell itself knows of files; behind a colon, the workflows of a file that are known."""
    return _workflows_of(context, parameter, begun) if ":" in begun else [CompletionItem(begun, type="file")]


def one_of(names: Iterable[str]) -> Offer:
    """Offer one of some words."""

    def offer(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names if name.startswith(begun.upper())]

    return offer


def _recorded(look: Callable[[Project, plain.Context, str], Iterable[tuple[str, str]]]) -> Offer:
    """Offer names, each with a word about it, that are recorded in the home."""

    def offer(context: plain.Context, parameter: plain.Parameter, begun: str) -> list[CompletionItem]:
        try:
            with needs_home(context.find_object(Asked) or Asked()) as project:
                found = dict(look(project, context, begun))
        except Exception:  # a shell that waits for words has no use for a message, whatever it is about
            return []
        return [CompletionItem(name, help=about or None) for name, about in found.items() if name.startswith(begun)]

    return offer


def _names(view: Any, begun: str) -> list[str]:
    """Give what is in a view; behind the colon of one of its names, the versions of that, the newest first."""
    name, colon, _ = begun.rpartition(":")
    if colon:
        found = view.find(name)
        return [str(version) for version in reversed(found.versions())] if hasattr(found, "versions") else []
    return [one["name"] if isinstance(one, dict) else one.name for one in view.list(limit=_MOST)]


def _named(view: str) -> Offer:
    def look(project: Project, context: plain.Context, begun: str) -> list[tuple[str, str]]:
        return [(name, "") for name in _names(getattr(project, view), begun)]

    return _recorded(look)


def _defined_in(project: Project, file: str, name: str = "") -> list[str]:
    """Give the workflows of a file that are known, or that of a name."""
    known = project.workflows.list(limit=None, source=str(Path(file).resolve()))
    return [one["name"] for one in known if name in ("", one["name"])]


@_recorded
def _workflows_of(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    file = begun.rpartition(":")[0]
    return [(f"{file}:{name}", "") for name in _defined_in(project, file)]


@_recorded
def parts(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer the jobs of the workflow in the file that was named before, as they were when it was last run."""
    asked = context.params.get("file") or context.args[0]  # click takes the line apart no further than to this option
    named = _defined_in(project, asked) or _defined_in(project, *asked.rpartition(":")[::2])
    newest = (one for name in named for one in project.executions.list(workflow=name, limit=1))
    return [(job, one.workflow) for one in newest for job in one.job_names]


@_recorded
def executions(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer the newest executions."""
    return [(one.id, f"{one.workflow} {one.status}") for one in project.executions.list(limit=_MOST)]


@_recorded
def jobs(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer the jobs of the execution that was named before."""
    asked: Any = context.params.get("execution") or context.params.get("id_")
    found = project.executions.get(asked) if asked else project.executions.list(limit=1)[0]
    return [(name, "") for name in found.job_names]


@_recorded
def metrics(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer the names of metrics."""
    return [(name, "") for name in project.metrics.names()]


@_recorded
def triggers(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer triggers, or schedules under the command of that name."""
    is_schedule = context.parent is not None and context.parent.info_name == "schedule"
    view = project.schedules if is_schedule else project.triggers
    return [(one.name, f"{one.workflow} {one.condition}") for one in view.list(limit=_MOST)]


@_recorded
def things(project: Project, context: plain.Context, begun: str) -> Iterable[tuple[str, str]]:
    """Offer what can have a lineage."""
    views = {"model": project.models, "dataset": project.datasets, "artifact": project.artifacts}
    return [(name, kind) for kind, view in views.items() for name in _names(view, begun)]


workflows, models, datasets, artifacts = map(_named, ("workflows", "models", "datasets", "artifacts"))
