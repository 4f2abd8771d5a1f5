"""The commands `workflow …`: what a home knows of a workflow, and whether anything starts it.

Knows nothing of the files that define workflows: `show`, `run` and `serve` read these.
"""

from __future__ import annotations

from typing import Any

import rich_click as click

from aiflow.cli.completion import workflows
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Fields, Lines, Table, write
from aiflow.cli.records import execution_record, execution_table
from aiflow.cli.trigger import trigger_records, trigger_table

__all__ = ["workflow", "workflow_table"]

_NEWEST = 10
"""Executions that `workflow show` shows."""


def workflow_table(rows: list[dict[str, Any]]) -> Table:
    """Lay workflows out for people."""
    columns: dict[str, Any] = {"NAME": "name", "NAMESPACE": "namespace"}
    if any(row["paused"] for row in rows):
        columns["STATUS"] = _status
    columns |= {"UPDATED": "updated", "SOURCE": "source", "DESCRIPTION": _first_line}
    return Table(rows, columns, wide=("SOURCE", "DESCRIPTION"))


def _status(row: Any) -> str:
    return "PAUSED" if row["paused"] else "ACTIVE"


def _first_line(row: Any) -> str:
    return str(row["description"]).strip().partition("\n")[0]


@click.group(
    cls=Group, examples="workflow list\nworkflow show nightly\nworkflow pause nightly\nworkflow delete nightly"
)
def workflow() -> None:
    """See what is known of a workflow, keep events and time from starting it, or forget it."""


@workflow.command("list", examples="workflow list\nworkflow list -o json")
@click.pass_obj
def list_(asked: Asked) -> None:
    """List all workflows; the same as `aiflow list workflows --limit 0`."""
    with needs_home(asked) as project:
        filters: dict[str, Any] = {"namespace": asked.namespace} if asked.namespace else {}
        rows = project.workflows.list(limit=None, **filters)
    write(asked.output, rows, workflow_table(rows))


@workflow.command(examples="workflow show nightly\nworkflow show nightly -o json")
@click.argument("name", shell_complete=workflows)
@click.pass_obj
def show(asked: Asked, name: str) -> None:
    """Show a workflow: where it is defined, what starts it, and its newest executions."""
    with needs_home(asked) as project:
        row = project.workflows.get(name)
        mine = {"workflow": row["name"], "namespace": row["namespace"]}
        starters = trigger_records(
            [*project.triggers.list(limit=None, **mine), *project.schedules.list(limit=None, **mine)]
        )
        newest = [execution_record(one) for one in project.executions.list(limit=_NEWEST, **mine)]
        facts = {"workflow": row["name"], "namespace": row["namespace"], "status": _status(row)}
        facts |= {field: row[field] for field in ("source", "description") if row[field]}
        tables = [
            table for rows, table in ((starters, trigger_table(starters)), (newest, execution_table(newest))) if rows
        ]
        write(asked.output, {**row, "triggers": starters, "executions": newest}, Fields(facts), *tables)


@workflow.command(examples="workflow pause nightly")
@click.argument("name", shell_complete=workflows)
@click.pass_obj
def pause(asked: Asked, name: str) -> None:
    """Have no event, file or time start a workflow until `workflow resume`; what comes meanwhile is passed over."""
    with needs_home(asked) as project:
        row = project.workflows.pause(name)
        text = f"{name} is paused: no trigger and no schedule starts it (aiflow run still does)"
        write(asked.output, row, Lines(text))


@workflow.command(examples="workflow resume nightly")
@click.argument("name", shell_complete=workflows)
@click.pass_obj
def resume(asked: Asked, name: str) -> None:
    """Let the triggers and schedules of a paused workflow start it again, unless they are paused by themselves."""
    with needs_home(asked) as project:
        row = project.workflows.resume(name)
        mine = {"workflow": row["name"], "namespace": row["namespace"], "paused": 1}
        left = [one.name for view in (project.triggers, project.schedules) for one in view.list(limit=None, **mine)]
        also = f"; paused by themselves: {', '.join(left)}" if left else ""
        write(asked.output, row, Lines(f"{name} is active{also}"))


@workflow.command(examples="workflow delete nightly")
@click.argument("name", shell_complete=workflows)
@click.pass_obj
def delete(asked: Asked, name: str) -> None:
    """Forget a workflow, its triggers and schedules; its executions stay (`execution delete`)."""
    with needs_home(asked) as project:
        row = project.workflows.get(name)
        project.workflows.delete(name)
        write(asked.output, row, Lines(f"{name} is deleted; whoever runs or serves it makes it known again"))
