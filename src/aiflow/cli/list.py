"""The commands `list …`: what is recorded, newest first.

Knows nothing of one thing in detail (that is `execution show`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli import completion as offer
from aiflow.cli.data import artifact_table, data_record, dataset_table
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Lines, write
from aiflow.cli.metric import metric_record, metric_table
from aiflow.cli.model import model_record, model_table
from aiflow.cli.records import event_record, event_table, execution_record, execution_table, job_records, job_table
from aiflow.cli.run import read_params, read_value
from aiflow.cli.times import moment_or_ago
from aiflow.cli.trigger import trigger_records, trigger_table
from aiflow.cli.workflow import workflow_table
from aiflow.errors import ParameterError, suggest
from aiflow.graph.execution import ExecutionStatus, JobStatus

if TYPE_CHECKING:
    from aiflow import Event, Project

__all__ = ["list_"]

_EXAMPLES = """
list executions --limit 5
list executions --workflow iris --status FAILED
list jobs --execution k3vq
list events --key 'sensor.*' -o json
"""

_limit = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most, from the newest; 0 for all.",
)


@click.group("list", cls=Group, examples=_EXAMPLES)
def list_() -> None:
    """List what is recorded: workflows, executions, jobs, events, triggers, schedules, and the metadata."""


def _status(text: str | None, known: type[StrEnum]) -> dict[str, Any]:
    if text is None:
        return {}
    if text.upper() not in known.__members__:
        raise ParameterError(f"there is no status {text!r}{suggest(text.upper(), known.__members__)}")
    return {"status": text.upper()}


def _given(**filters: str | None) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


@list_.command(examples="list workflows\nlist workflows -o plain | cut -f1")
@_limit
@click.pass_obj
def workflows(asked: Asked, limit: int) -> None:
    """List the workflows that were run or registered."""
    with needs_home(asked) as project:
        rows = project.workflows.list(limit=limit or None, **_given(namespace=asked.namespace))
    write(asked.output, rows, workflow_table(rows))


@list_.command(examples="list executions\nlist executions --status INTERRUPTED\nlist executions -p scale=2 --since 1h")
@_limit
@click.option(
    "-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="With this parameter; may be given again."
)
@click.option("--since", metavar="TIME|AGO", help="Begun then or later, such as 2026-11-23, or 1h30m ago.")
@click.option("--workflow", metavar="NAME", shell_complete=offer.workflows, help="Of this workflow; globs work.")
@click.option("--status", metavar="STATUS", shell_complete=offer.one_of(ExecutionStatus), help="With this status.")
@click.pass_obj
def executions(
    asked: Asked, limit: int, pairs: tuple[str, ...], since: str | None, workflow: str | None, status: str | None
) -> None:
    """List the executions of workflows, newest first."""
    filters = _given(workflow=workflow, namespace=asked.namespace) | _status(status, ExecutionStatus)
    filters["params"] = {name: read_value(text) for name, text in read_params(pairs).items()}
    filters["since"] = None if since is None else moment_or_ago(since, "--since")
    with needs_home(asked) as project:
        rows = [execution_record(e) for e in project.executions.list(limit=limit or None, **filters)]
        write(asked.output, rows, execution_table(rows))


@list_.command(examples="list jobs --status FAILED\nlist jobs --execution k3vq -o json")
@_limit
@click.option("--execution", metavar="ID", shell_complete=offer.executions, help="Of this execution.")
@click.option("--job", metavar="NAME", shell_complete=offer.jobs, help="Of this job; globs work.")
@click.option("--status", metavar="STATUS", shell_complete=offer.one_of(JobStatus), help="With this status.")
@click.pass_obj
def jobs(asked: Asked, limit: int, execution: str | None, job: str | None, status: str | None) -> None:
    """List the executions of jobs, newest first."""
    with needs_home(asked) as project:
        filters = _given(job=job) | _status(status, JobStatus)
        if execution is not None:
            filters["execution_id"] = project.executions.get(execution).id
        rows = job_records(project, project.jobs.list(limit=limit or None, **filters))
        write(asked.output, rows, job_table(rows, with_execution=True))


@list_.command(examples="list events --key accuracy_passed\nlist events --execution k3vq")
@_limit
@click.option("--key", "keys", multiple=True, metavar="GLOB", help="With this key; may be given again for others.")
@click.option("--type", "types", multiple=True, metavar="GLOB", help="Of this type; may be given again for others.")
@click.option("--execution", metavar="ID", shell_complete=offer.executions, help="Caused by this execution.")
@click.option("--failed", is_flag=True, help="Those that a subscriber or the scheduler could not handle, and why.")
@click.pass_obj
def events(
    asked: Asked, limit: int, keys: tuple[str, ...], types: tuple[str, ...], execution: str | None, failed: bool
) -> None:
    """List the newest events, in their order."""
    with needs_home(asked) as project:
        if failed:
            told = project.events.failed(limit or None)
            data = [
                {
                    **(event_record(t["event"]) if t["event"] else {"offset": t["offset"]}),
                    **{k: t[k] for k in ("handler", "error")},
                }
                for t in told
            ]
            texts = [
                f"{t['offset']}  {t['event'].key if t['event'] else '(pruned)'}  {t['handler']}: {t['error']}"
                for t in told
            ]
            write(asked.output, data, Lines("\n".join(texts) or "none failed"))
            return
        rows = [event_record(e) for e in _newest(project, asked.namespace, limit, keys, types, execution)]
        write(asked.output, rows, event_table(rows))


@list_.command(examples="list triggers\nlist triggers -o json")
@_limit
@click.pass_obj
def triggers(asked: Asked, limit: int) -> None:
    """List what starts executions when events come."""
    with needs_home(asked) as project:
        rows = trigger_records(project.triggers.list(limit=limit or None, **_given(namespace=asked.namespace)))
        write(asked.output, rows, trigger_table(rows))


@list_.command(examples="list schedules")
@_limit
@click.pass_obj
def schedules(asked: Asked, limit: int) -> None:
    """List what starts executions when it is time."""
    with needs_home(asked) as project:
        rows = trigger_records(project.schedules.list(limit=limit or None, **_given(namespace=asked.namespace)))
        write(asked.output, rows, trigger_table(rows))


@list_.command(examples="list models\nlist models --name 'fraud*'")
@_limit
@click.option("--name", metavar="GLOB", shell_complete=offer.models, help="With this name; globs work.")
@click.pass_obj
def models(asked: Asked, limit: int, name: str | None) -> None:
    """List the models, with the version that is deployed and the newest one."""
    with needs_home(asked) as project:
        rows = [model_record(m) for m in project.models.list(limit=limit or None, **_given(name=name))]
        write(asked.output, rows, model_table(rows))


@list_.command(examples="list datasets\nlist datasets -o json")
@_limit
@click.option("--name", metavar="GLOB", shell_complete=offer.datasets, help="With this name; globs work.")
@click.pass_obj
def datasets(asked: Asked, limit: int, name: str | None) -> None:
    """List the datasets, with the newest version of each."""
    with needs_home(asked) as project:
        rows = [data_record(d) for d in project.datasets.list(limit=limit or None, **_given(name=name))]
        write(asked.output, rows, dataset_table(rows))


@list_.command(examples="list artifacts")
@_limit
@click.option("--name", metavar="GLOB", shell_complete=offer.artifacts, help="With this name; globs work.")
@click.pass_obj
def artifacts(asked: Asked, limit: int, name: str | None) -> None:
    """List the artifacts, with the newest version of each."""
    with needs_home(asked) as project:
        rows = [data_record(a) for a in project.artifacts.list(limit=limit or None, **_given(name=name))]
        write(asked.output, rows, artifact_table(rows))


@list_.command(examples="list metrics\nlist metrics --name 'loss*' --model knn")
@_limit
@click.option("--name", metavar="GLOB", shell_complete=offer.metrics, help="With this name; globs work.")
@click.option("--model", metavar="NAME", shell_complete=offer.models, help="Of this model; globs work.")
@click.option("--dataset", metavar="NAME", shell_complete=offer.datasets, help="Of this dataset; globs work.")
@click.option("--execution", metavar="ID", shell_complete=offer.executions, help="Logged by this execution.")
@click.pass_obj
def metrics(
    asked: Asked, limit: int, name: str | None, model: str | None, dataset: str | None, execution: str | None
) -> None:
    """List the newest values of metrics, newest first."""
    with needs_home(asked) as project:
        filters = _given(name=name, model=model, dataset=dataset)
        if execution is not None:
            filters["execution_id"] = project.executions.get(execution).id
        rows = [metric_record(m) for m in project.metrics.list(limit=limit or None, **filters)]
        write(asked.output, rows, metric_table(rows, asked.output, with_name=True))


def _newest(
    project: Project,
    namespace: str | None,
    limit: int,
    keys: tuple[str, ...],
    types: tuple[str, ...],
    execution: str | None,
) -> list[Event]:
    from aiflow.store import log

    wanted = log.EventFilter(keys or None, types or None, namespace)
    if execution is not None:
        found = [e for e in project.executions.get(execution).events() if wanted.fits(e)]
        return found[-limit:] if limit else found
    return log.select(project._store.reader(), wanted, limit=limit or None, newest=True)[::-1]
