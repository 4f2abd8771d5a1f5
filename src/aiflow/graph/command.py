"""What a command is: a job that runs a program.

Knows nothing of processes: the runner ``"command"`` starts the program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.building import Node, Output, current_body
from aiflow.graph.job import Job, JobOptions, check_options
from aiflow.graph.params import Secret

__all__ = ["CommandSpec", "command"]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """The program of a command, and what it gets; stands where another job has its function.

    Attributes
    ----------
    argv
        The program and its arguments; one text for the shell if `shell` is true.
    env
        Variables on top of the environment of this process.
    cwd
        Its working directory; None for that of this process.
    """

    argv: tuple[str | Secret, ...] | str
    shell: bool = False
    env: tuple[tuple[str, str | Secret], ...] = ()
    cwd: str | None = None

    @property
    def __name__(self) -> str:  # what a `Job` is called that has no name
        words = self.argv.split() if isinstance(self.argv, str) else self.argv
        return re.sub(r"[^\w-]+", "_", PurePath(str(words[0])).name).strip("_") or "command"

    def __call__(self) -> str:
        """Refuse: only the command runner can run it."""
        raise GraphError(f"{self.text} is a program: the runner of its job must be 'command', which is the default")

    @property
    def text(self) -> str:
        """The command as one would type it."""
        return self.argv if isinstance(self.argv, str) else shlex.join(map(str, self.argv))


def command(
    argv: str | Sequence[str | int | float | PurePath],
    /,
    *,
    name: str | None = None,
    env: Mapping[str, Any] | None = None,
    cwd: str | PurePath | None = None,
    shell: bool = False,
    **options: Any,
) -> Node:
    """Add a node that runs a program; its value is the last line of the program's standard output.

    A program that exits with anything but 0 fails the job. Stopping the job ends the program with all that it started.

    Parameters
    ----------
    argv
        The program and its arguments. A text is taken apart as a shell would do it, but no shell runs it.
    name
        The name of the node; the program's name otherwise.
    env
        Variables to set on top of the environment.
    cwd
        The working directory.
    shell
        Whether `argv` is one text for ``/bin/sh``: pipes, globs and variables work then. Never put text that others
        wrote into it.
    **options
        Those of `af.job`.

    Raises
    ------
    GraphError
        Outside a workflow body, and if an argument is a node.
    ParameterError
        If the command is empty or an option does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.workflow
    ... def greet():
    ...     af.command(["echo", "hi"]).after(af.command("sleep 0", name="wait"))
    >>> greet.graph.nodes
    [echo, wait]
    """
    body = current_body()
    if body is None:
        raise GraphError(
            "af.command(…) makes a node and works inside a workflow body only; outside, use subprocess.run(…)"
        )
    spec = CommandSpec(
        _words(argv, shell),
        shell,
        tuple((str(key), value if isinstance(value, Secret) else str(value)) for key, value in (env or {}).items()),
        None if cwd is None else str(cwd),
    )
    if "runner" in options:
        raise ParameterError(f"the runner of a command is always 'command', not {options['runner']!r}")
    checked = check_options({"name": name, **options}, name or spec.__name__)
    return body.add(Job(spec, JobOptions(**{**checked, "runner": "command"})), (), {})


def _words(argv: Any, shell: bool) -> tuple[str | Secret, ...] | str:
    """Check what the user gave as a command, and give it as a tuple, or for the shell as one text."""
    if isinstance(argv, str):
        if not argv.strip():
            raise ParameterError("a command must name a program, and this text is empty")
        if shell:
            return argv
        try:
            return tuple(shlex.split(argv))
        except ValueError as error:
            raise ParameterError(f"the command {argv!r} cannot be taken apart: {error}") from None
    if shell:
        raise ParameterError(f"with shell=True a command is one text, not {argv!r}")
    if not isinstance(argv, list | tuple) or not argv:
        raise ParameterError(f"a command is a text or a list of a program and its arguments, not {argv!r}")
    for part in argv:
        if isinstance(part, Node | Output):
            raise GraphError(
                f"{part!r} has no value while the graph is built, so it cannot be an argument of a command; "
                "call the program in a job with subprocess.run, or hand the value over in a file"
            )
        if not isinstance(part, str | int | float | PurePath | Secret):
            raise ParameterError(f"the arguments of a command are texts, numbers and paths, not {part!r}")
    return tuple(part if isinstance(part, Secret) else str(part) for part in argv)
