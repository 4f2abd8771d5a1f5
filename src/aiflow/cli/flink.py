"""The commands `flink …`: the local Flink cluster of a home, kept up between runs, and its jobs.

Knows nothing of how a cluster is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.everywhere import Asked, Group, needs_home, open_home
from aiflow.cli.failures import say
from aiflow.cli.formats import Fields, Table, write

if TYPE_CHECKING:
    from aiflow import Project
    from aiflow.runners.flink_cluster import LocalCluster

__all__ = ["flink"]

_SHOWN = ("state", "message", "url", "version", "taskmanagers", "slots", "free_slots", "running_jobs", "kept", "started",
          "restarts", "pid", "java", "python", "log")  # fmt: skip


@click.group(cls=Group, examples="flink start\nflink status\nflink jobs\nflink stop")
def flink() -> None:
    """Keep the local Flink cluster of a home up, look at it, or end it."""


@flink.command(examples="flink start")
@click.pass_obj
def start(asked: Asked) -> None:
    """Start the cluster, unless it is up, and keep it up until `flink stop`, whoever uses it."""
    with open_home(asked) as project:
        cluster = _cluster_of(project)
        cluster.ensure(say)
        cluster.keep()
        _show(asked, cluster.status())


@flink.command(examples="flink stop")
@click.pass_obj
def stop(asked: Asked) -> None:
    """End the cluster with all jobs on it; savepoints and logs stay."""
    with needs_home(asked) as project:
        cluster = _cluster_of(project)
        was_up = cluster.stop()
        say("the cluster was stopped" if was_up else "no cluster was up")
        _show(asked, cluster.status())


@flink.command(examples="flink status\nflink status -o json")
@click.pass_obj
def status(asked: Asked) -> None:
    """Show whether the cluster is up, where, how large it is, and what it runs on."""
    with needs_home(asked) as project:
        _show(asked, _cluster_of(project).status())


@flink.command(examples="flink jobs")
@click.pass_obj
def jobs(asked: Asked) -> None:
    """List the jobs that the cluster knows, the newest first."""
    from aiflow.runners.flink_rest import FlinkRest

    with needs_home(asked) as project:
        url = _cluster_of(project).status().get("url")
        rows = [] if url is None else [
            {"id": row.id, "name": row.name, "state": row.state, "started": datetime.fromtimestamp(row.started / 1000, UTC)}
            for row in FlinkRest(url).jobs()
        ]  # fmt: skip
        if url is None:
            say("no cluster is up")
        columns = {"ID": "id", "NAME": "name", "STATE": "state", "STARTED": "started"}
        write(asked.output, rows, Table(rows, columns, wide=("NAME",)))


def _cluster_of(project: Project) -> LocalCluster:
    from aiflow.runners.flink_cluster import LocalCluster

    return LocalCluster(project.home, project._shared.settings.flink)


def _show(asked: Asked, status: Mapping[str, Any]) -> None:
    shown = {name: status[name] for name in _SHOWN if name in status}
    if "started" in shown:
        shown["started"] = datetime.fromtimestamp(shown["started"], UTC)
    write(asked.output, shown, Fields(shown))
