"""The commands `job …`: act on one job of a running execution, in whatever process it runs.

Knows nothing of how the request gets there.
"""

from __future__ import annotations

import rich_click as click

from aiflow.cli.completion import executions, jobs
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Lines, write

__all__ = ["job"]


@click.group(cls=Group, examples="job restart k3vq train\njob stop k3vq readings")
def job() -> None:
    """Start, stop or restart one job of a running execution."""


def _ask(asked: Asked, execution: str, name: str, verb: str) -> None:
    with needs_home(asked) as project:
        found = project.executions.get(execution)
        {"start": found.start_job, "stop": found.stop_job, "restart": found.restart_job}[verb](name)
        data = {"execution_id": found.id, "job": name, "action": f"{verb}_job"}
        write(asked.output, data, Lines(f"asked {found.id} to {verb} {name}"))


@job.command(examples="job start k3vq report")
@click.argument("execution", shell_complete=executions)
@click.argument("name", metavar="JOB", shell_complete=jobs)
@click.pass_obj
def start(asked: Asked, execution: str, name: str) -> None:
    """Start a job once."""
    _ask(asked, execution, name, "start")


@job.command(examples="job stop k3vq readings")
@click.argument("execution", shell_complete=executions)
@click.argument("name", metavar="JOB", shell_complete=jobs)
@click.pass_obj
def stop(asked: Asked, execution: str, name: str) -> None:
    """Stop what runs of a job; the execution goes on."""
    _ask(asked, execution, name, "stop")


@job.command(examples="job restart k3vq train")
@click.argument("execution", shell_complete=executions)
@click.argument("name", metavar="JOB", shell_complete=jobs)
@click.pass_obj
def restart(asked: Asked, execution: str, name: str) -> None:
    """Stop what runs of a job and start it again."""
    _ask(asked, execution, name, "restart")
