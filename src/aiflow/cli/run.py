"""The command `run`.

Knows nothing of how an execution is followed to its end.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import files, parts
from aiflow.cli.everywhere import Asked, Command, open_home
from aiflow.cli.failures import Refused, blame_user
from aiflow.cli.following import follow, report
from aiflow.cli.loading import load_workflow
from aiflow.cli.streams import stdout_is_for_data
from aiflow.errors import AIFlowError, Conflict
from aiflow.graph.params import Secret

if TYPE_CHECKING:
    from aiflow import Execution, Project, Workflow

__all__ = ["read_params", "read_value", "run", "workflow_params"]

_EXAMPLES = """
run iris.py                               # its only workflow
run flows.py:nightly -p day=2026-11-23    # one of several
run iris.py -o json > result.json         # the data in a file
run iris.py --only train                  # one job
run iris.py --from train --timeout 600    # it and all that follows
run iris.py --resume                      # go on after a failure
"""


def read_params(pairs: tuple[str, ...]) -> dict[str, str]:
    """Split ``name=value`` pairs.

    Raises
    ------
    click.BadParameter
        If one has no ``=`` or no name, or a name comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{pair!r} is not name=value", param_hint="-p")
        if name in found:
            raise click.BadParameter(f"the parameter {name!r} is given twice", param_hint="-p")
        found[name.strip()] = value
    return found


def read_value(text: str) -> Any:
    """Give what a text is as JSON, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def workflow_params(workflow: Workflow, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Give the parameters for `Workflow.bind`: it converts annotated ones from text; others are JSON if they parse."""
    known: Mapping[str, inspect.Parameter] = workflow.signature.parameters
    params: dict[str, Any] = {}
    for name, text in read_params(pairs).items():
        parameter = known.get(name)
        is_secret = parameter is not None and (
            parameter.annotation in (Secret, "Secret", "af.Secret") or isinstance(parameter.default, Secret)
        )
        if is_secret and text.startswith("env:"):
            params[name] = Secret(text)
        else:
            params[name] = read_value(text) if parameter is None or parameter.annotation is parameter.empty else text
    return params


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("file", metavar="FILE[:WORKFLOW]", shell_complete=files)
@click.option(
    "-p",
    "--param",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the workflow; may be given again for others.",
)
@click.option("--context", metavar="TEXT", help="Which events it gets, besides those that are for all.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop it after this time."
)
@click.option(
    "--only",
    multiple=True,
    metavar="JOB",
    shell_complete=parts,
    help="Run only this job; may be given again for others.",
)
@click.option(
    "--from",
    "start_from",
    multiple=True,
    metavar="JOB",
    shell_complete=parts,
    help="Run this job and all that follows from it.",
)
@click.option("--resume", is_flag=True, help="Go on with the latest execution that failed or was interrupted.")
@click.pass_context
def run(
    context_: click.Context,
    file: str,
    pairs: tuple[str, ...],
    context: str | None,
    timeout: float | None,
    only: tuple[str, ...],
    start_from: tuple[str, ...],
    resume: bool,
) -> None:
    """Run a workflow and wait for its end.

    What its jobs print and how it goes is shown on standard error; its jobs and results go to standard output.
    """
    asked: Asked = context_.obj
    if resume and (pairs or context or only or start_from):
        raise click.UsageError(
            "--resume goes on with what was started; it takes no parameters, context or jobs", context_
        )
    with stdout_is_for_data():
        workflow = load_workflow(file)
        params = workflow_params(workflow, pairs)
        if not resume:
            workflow.bind(params)  # before a home is made for nothing
        start = {"context": context, "only": only or None, "start_from": start_from or None, "params": params}
        with open_home(asked) as project:
            begin = partial(_resume, project, workflow) if resume else partial(_start, project, workflow, start)
            execution, code = follow(project, begin, timeout)
            report(project, execution, asked.output)
    context_.exit(code)


def _start(project: Project, workflow: Workflow, how: dict[str, Any]) -> Execution:
    try:
        return project.start(workflow, **how)
    except AIFlowError:
        raise
    except Exception as error:  # the body is the user's code
        broken = blame_user(error, f"the body of workflow {workflow.name!r} raised:")
        if broken is None:
            raise
        raise broken from None


def _resume(project: Project, workflow: Workflow) -> Execution:
    namespace = workflow.namespace or project.name
    found = [
        execution
        for status in ("INTERRUPTED", "FAILED")
        for execution in project.executions.list(workflow=workflow.name, namespace=namespace, status=status)
        if not execution.is_experiment
    ]
    if not found:
        missing = f"no execution that failed or was interrupted, of workflow {workflow.name!r}"
        stopped = project.executions.list(limit=1, workflow=workflow.name, namespace=namespace, status="STOPPED")
        raise click.UsageError(missing + "".join(f"; one was stopped: aiflow execution resume {e.id}" for e in stopped))
    newest = max(found, key=lambda execution: execution.created.timestamp() if execution.created else 0.0)
    try:
        return newest.resume()
    except Conflict as error:
        raise Refused(str(error)) from None
