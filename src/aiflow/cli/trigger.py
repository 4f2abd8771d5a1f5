"""The commands `trigger …` and `schedule …`: what starts executions by itself, at run time, in whatever process it is served.

Knows nothing of serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import files, triggers
from aiflow.cli.everywhere import Asked, Group, needs_home, open_home
from aiflow.cli.formats import Lines, Table, write
from aiflow.cli.loading import load_workflow
from aiflow.cli.run import workflow_params
from aiflow.cli.streams import stdout_is_for_data
from aiflow.graph.timing import cron, every

if TYPE_CHECKING:
    from aiflow.triggers import Trigger, Triggers

__all__ = ["schedule", "trigger", "trigger_records", "trigger_table"]


def trigger_records(triggers: Iterable[Trigger]) -> list[dict[str, Any]]:
    """Give triggers as data."""
    return [
        {
            "id": t.id, "name": t.name, "kind": t.kind, "workflow": t.workflow, "namespace": t.namespace,
            "condition": t.condition, "status": t.status, "served": t.served, "next": t.next, "params": t.params,
            "if_running": t.if_running, "max_parallel": t.max_parallel, "declared": t.declared, "problem": t.problem,
            "source": t.source, "created": t.created, "updated": t.updated,
        }
        for t in triggers
    ]  # fmt: skip


def trigger_table(rows: list[dict[str, Any]]) -> Table:
    """Lay triggers out for people."""
    columns: dict[str, Any] = {
        "NAME": "name", "WORKFLOW": "workflow", "STATUS": "status", "SERVED": lambda row: "yes" if row["served"] else "no",
    }  # fmt: skip
    if any(row["next"] for row in rows):
        columns["NEXT"] = "next"
    columns["CONDITION"] = "condition"
    if any(row["problem"] for row in rows):
        columns["LAST PROBLEM"] = lambda row: row["problem"] or ""
    columns["ID"] = "id"
    return Table(rows, columns, wide=("CONDITION", "LAST PROBLEM"))


@click.group(cls=Group, examples="trigger list\ntrigger pause hourly\ntrigger delete t-k3vq2m8xw4ab")
def trigger() -> None:
    """See and change what starts executions when events come."""


@click.group(cls=Group, examples="schedule add flows.py:report --cron '0 6 * * *'\nschedule pause report")
def schedule() -> None:
    """Add, see and change what starts executions when it is time."""


def _view(project: Any, kind: str) -> Triggers:
    view: Triggers = project.triggers if kind == "trigger" else project.schedules
    return view


def _add_commands(group: click.RichGroup, kind: str) -> None:
    """Give a group the commands that triggers and schedules have in common."""

    @group.command("list", help=f"List all {kind}s.", examples=f"{kind} list")
    @click.pass_obj
    def list_(asked: Asked) -> None:
        with needs_home(asked) as project:
            rows = trigger_records(_view(project, kind).list(limit=None))
            write(asked.output, rows, trigger_table(rows))

    @group.command(
        help=f"Let a {kind} (by name or id) pass over what comes, until `{kind} resume`.",
        examples=f"{kind} pause nightly",
    )
    @click.argument("name", shell_complete=triggers)
    @click.pass_obj
    def pause(asked: Asked, name: str) -> None:
        with needs_home(asked) as project:
            found = _view(project, kind).pause(name)
            write(
                asked.output, trigger_records([found])[0], Lines(f"{found.name} is paused: what comes is passed over")
            )

    @group.command(help=f"Let a paused {kind} start executions again.", examples=f"{kind} resume nightly")
    @click.argument("name", shell_complete=triggers)
    @click.pass_obj
    def resume(asked: Asked, name: str) -> None:
        with needs_home(asked) as project:
            found = _view(project, kind).resume(name)
            text = f"{found.name} is {'active' if found.status == 'ACTIVE' else _still_paused(found)}"
            write(asked.output, trigger_records([found])[0], Lines(text))

    @group.command(help=f"Forget a {kind}; what it has started goes on.", examples=f"{kind} delete nightly")
    @click.argument("name", shell_complete=triggers)
    @click.pass_obj
    def delete(asked: Asked, name: str) -> None:
        with needs_home(asked) as project:
            found = _view(project, kind).get(name)
            _view(project, kind).delete(found.id)
            again = (
                "; its code declares it, so the next serve begins it anew (pause it instead?)" if found.declared else ""
            )
            write(asked.output, trigger_records([found])[0], Lines(f"{found.name} is deleted{again}"))


def _still_paused(found: Trigger) -> str:
    name = found.workflow
    return f"not paused by itself any more, but its workflow is: aiflow workflow resume {name}"


_add_commands(trigger, "trigger")
_add_commands(schedule, "schedule")


@schedule.command(
    examples="""schedule add flows.py:report --cron '0 6 * * *'
    schedule add flows.py --cron '0 6 * * *' --tz Europe/Berlin
    schedule add flows.py:report --every 3600 --name hourly -p kind=short"""
)
@click.argument("file", metavar="FILE[:WORKFLOW]", shell_complete=files)
@click.option("--cron", "expression", metavar="EXPRESSION", help="When, as cron says it: '0 6 * * MON-FRI'.")
@click.option(
    "--tz", default="UTC", show_default=True, metavar="ZONE", help="The zone of --cron, such as Europe/Berlin."
)
@click.option("--every", "interval", type=float, metavar="SECONDS", help="Each time so many seconds have passed.")
@click.option(
    "--misfire",
    type=click.Choice(("once", "skip", "all")),
    default="once",
    show_default=True,
    help="What becomes of times that passed while nobody served.",
)
@click.option(
    "--name", metavar="NAME", help="The name of the schedule; by default the workflow's, if that has no start_on."
)
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter for each execution.")
@click.pass_obj
def add(
    asked: Asked,
    file: str,
    expression: str | None,
    tz: str,
    interval: float | None,
    misfire: str,
    name: str | None,
    pairs: tuple[str, ...],
) -> None:
    """Have a workflow started when it is time, by whoever serves it: `aiflow serve FILE`."""
    if (expression is None) == (interval is None):
        raise click.UsageError("say when: either --cron EXPRESSION or --every SECONDS")
    with stdout_is_for_data():
        workflow = load_workflow(file)
        condition = cron(expression, tz=tz, misfire=misfire) if expression else every(interval or 0, misfire=misfire)
        with open_home(asked) as project:
            params = workflow_params(workflow, pairs)
            made = project.schedules.register(workflow, condition, name=name, params=params)
            text = (
                f"{made.name}: {made.workflow} is started on {made.condition} while somebody serves it (aiflow serve)"
            )
            write(asked.output, trigger_records([made])[0], Lines(text))
