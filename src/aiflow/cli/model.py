"""The commands `model …`: a model and its versions, and which of them is deployed.

Knows nothing of what models are made of: nothing is loaded to be shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import models
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Fields, Lines, Table, write
from aiflow.cli.prune import size
from aiflow.errors import ParameterError
from aiflow.graph.naming import parted

if TYPE_CHECKING:
    from aiflow import ModelVersion
    from aiflow.metadata.models import RegisteredModel

__all__ = ["model", "model_record", "model_table", "version_record", "version_table"]

Record = dict[str, Any]


def version_record(version: ModelVersion) -> Record:
    """Give a version as data."""
    return {
        "model": version.model, "number": version.number, "stage": version.stage, "type": version.type,
        "size": version.size, "hash": version.hash, "uri": version.uri, "description": version.description,
        "properties": dict(version.properties), "metrics": version.metrics, "execution_id": version.execution_id,
        "job": version.job, "job_number": version.job_number, "created": version.created, "updated": version.updated,
        "id": version.id,
    }  # fmt: skip


def version_table(rows: list[Record], name: Any = lambda row: f"{row['model']}:{row['number']}") -> Table:
    """Lay versions out for people, each metric in a column of its own."""
    metrics = sorted({metric for row in rows for metric in row["metrics"]})
    columns: dict[str, Any] = {"VERSION": name, "STAGE": "stage"}
    columns |= {metric: lambda row, metric=metric: _short(row["metrics"].get(metric)) for metric in metrics[:6]}
    columns |= {"CREATED": "created", "EXECUTION": "execution_id", "TYPE": "type"}
    if any(row["description"] for row in rows):
        columns["DESCRIPTION"] = "description"
    return Table(rows, columns, wide=("TYPE", "DESCRIPTION"))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def model_record(found: RegisteredModel) -> Record:
    """Give a model as data, with the version that is deployed and the newest one."""
    deployed, latest = found.deployed, found.latest()
    return {
        "id": found.id, "name": found.name, "description": found.description, "properties": dict(found.properties),
        "deployed": None if deployed is None else deployed.number, "latest": None if latest is None else latest.number,
        "created": found.created, "updated": found.updated,
    }  # fmt: skip


def model_table(rows: list[Record]) -> Table:
    """Lay models out for people."""
    columns: dict[str, Any] = {
        "NAME": "name", "DEPLOYED": lambda row: _version(row, "deployed"), "LATEST": lambda row: _version(row, "latest"),
        "UPDATED": "updated", "DESCRIPTION": lambda row: row["description"].strip().partition("\n")[0],
    }  # fmt: skip
    return Table(rows, columns, wide=("DESCRIPTION",))


def _version(row: Record, which: str) -> str:
    return "" if row[which] is None else f"{row['name']}:{row[which]}"


def _one(name: str, number: int | None) -> tuple[str, int]:
    """Take ``knn:2``, or ``knn`` and 2."""
    name, said = parted(name)
    if said is not None and number not in (None, said):
        raise ParameterError(f"{name}:{said} and {number} are two versions; say one")
    chosen = said if number is None else number
    if chosen is None:
        raise ParameterError(f"say which version: {name}:NUMBER; `aiflow model show {name}` lists them")
    return name, chosen


@click.group(cls=Group, examples="model show knn\nmodel show knn:2\nmodel deploy knn:2\nmodel rollback knn")
def model() -> None:
    """See models and their versions, and say which one is deployed."""


@model.command(examples="model show knn\nmodel show knn --stage VALIDATED\nmodel show knn:2 -o json")
@click.argument("name", metavar="MODEL[:NUMBER]", shell_complete=models)
@click.option("--stage", metavar="STAGE", help="Only the versions in this stage; DELETED ones are shown only so.")
@click.pass_obj
def show(asked: Asked, name: str, stage: str | None) -> None:
    """Show a model with its versions, or one version with its metrics."""
    name, number = parted(name)
    with needs_home(asked) as project:
        found = project.models.get(name)
        if number is not None:
            record = version_record(found.version(number))
            shown = {k: v for k, v in record.items() if k not in ("metrics", "id") and v not in (None, "", {})}
            if record["size"] is not None and asked.output == "table":
                shown["size"] = size(record["size"])
            metrics = {f"  {k}": _short(v) for k, v in record["metrics"].items()}
            write(asked.output, record, Fields({**shown, **({"metrics": ""} if metrics else {}), **metrics}))
            return
        versions = [version_record(v) for v in found.versions(stage)]
        record = model_record(found)
        shown = {k: v for k, v in record.items() if k not in ("id", "latest", "deployed") and v not in (None, "", {})}
        shown["deployed"] = _version(record, "deployed") or "none"
        write(asked.output, {**record, "versions": versions}, Fields(shown), version_table(versions))


@model.command(examples="model deploy knn:2\nmodel deploy knn 2")
@click.argument("name", metavar="MODEL[:NUMBER]", shell_complete=models)
@click.argument("number", type=int, required=False)
@click.pass_obj
def deploy(asked: Asked, name: str, number: int | None) -> None:
    """Make a version the one that is deployed; the one that was is DEPRECATED. Running workflows see it at once."""
    name, chosen = _one(name, number)
    with needs_home(asked) as project:
        found = project.models.get(name)
        before = found.deployed
        made = found.deploy(chosen)
        if before is not None and before.number == made.number:
            text = f"{made} is deployed already"
        else:
            text = f"{made} is deployed" + ("" if before is None else f"; {before} is DEPRECATED")
        write(asked.output, version_record(made), Lines(text))


@model.command(examples="model rollback knn")
@click.argument("name", metavar="MODEL", shell_complete=models)
@click.pass_obj
def rollback(asked: Asked, name: str) -> None:
    """Deploy again the version that was deployed before."""
    with needs_home(asked) as project:
        found = project.models.get(name)
        before = found.deployed
        made = found.rollback()
        text = f"{made} is deployed again" + ("" if before is None else f"; {before} is DEPRECATED")
        write(asked.output, version_record(made), Lines(text))


@model.command(examples="model delete knn:2\nmodel delete knn")
@click.argument("name", metavar="MODEL[:NUMBER]", shell_complete=models)
@click.argument("number", type=int, required=False)
@click.pass_obj
def delete(asked: Asked, name: str, number: int | None) -> None:
    """Delete a version; or, without a number, the model: its versions are DELETED, and its name is free."""
    with needs_home(asked) as project:
        base, said = parted(name)
        if said is None and number is None:
            found = project.models.get(base)
            record, count = model_record(found), len(found.versions())
            project.models.delete(found.name)
            write(asked.output, record, Lines(f"{found.name} is deleted, with {count} version{'s' * (count != 1)}"))
            return
        base, chosen = _one(name, number)
        gone = project.models.get(base).delete(chosen)
        write(asked.output, version_record(gone), Lines(f"{gone} is DELETED"))
