"""The commands `metric …`: the values of a metric, side by side for versions, and as a plot.

Knows nothing of what they measure.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import datasets, executions, metrics, models
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Lines, Table, compact, write
from aiflow.cli.streams import data_stream
from aiflow.errors import NotFound
from aiflow.graph.picture import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiflow.metadata.history import MetricHistory
    from aiflow.table import Table as Compared

__all__ = ["compared_table", "metric", "metric_record", "metric_table"]

Record = dict[str, Any]
_FIELDS = (
    "name", "value", "step", "time", "model", "number", "dataset", "dataset_number", "execution_id", "job", "job_number", "id",
)  # fmt: skip


def metric_record(one: Any) -> Record:
    """Give one value of a metric as data."""
    return {name: getattr(one, name) for name in _FIELDS}


def metric_table(rows: list[Record], form: str, with_name: bool = False) -> Table:
    """Lay values out for people; what none of them has is left out, but for programs that read it line by line."""
    columns: dict[str, Any] = {"METRIC": "name"} if with_name else {}
    columns["VALUE"] = lambda row: f"{row['value']:.6g}"
    wanted: dict[str, tuple[str, Any]] = {
        "STEP": ("step", "step"), "OF": ("model", _subject), "DATASET": ("dataset", lambda row: _version(row, "dataset")),
        "JOB": ("job", "job"), "EXECUTION": ("execution_id", "execution_id"),
    }  # fmt: skip
    columns |= {
        heading: show for heading, (key, show) in wanted.items() if form == "plain" or any(row[key] is not None for row in rows)
    }  # fmt: skip
    return Table(rows, {**columns, "TIME": "time"})


def _subject(row: Record) -> str:
    number = "" if row["number"] is None else f":{row['number']}"
    return "" if row["model"] is None else f"{row['model']}{number}"


def _version(row: Record, kind: str) -> str:
    number = row[f"{kind}_number"]
    return "" if row[kind] is None else row[kind] if number is None else f"{row[kind]}:{number}"


def compared_table(found: Compared) -> Table:
    """Lay out what `compare` gives."""
    columns: dict[str, Any] = {}
    for name in found.columns:
        columns[name.upper() if "." not in name else name] = lambda row, name=name: _brief(row[name])
    return Table(found.rows, columns, wide=tuple(name for name in columns if name.startswith("results.")))


def _brief(value: Any) -> Any:
    """Give what fits beside others: of data of many parts, the beginning."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return shorten(compact(value), 32) if isinstance(value, list | dict) else value


def _of(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what a metric is asked of."""
    for option in (
        click.option("--execution", metavar="ID", shell_complete=executions, help="Only what this execution logged."),
        click.option(
            "--dataset",
            metavar="NAME[:NUMBER]",
            shell_complete=datasets,
            help="Only of this dataset, or this version of it.",
        ),
        click.option(
            "--model", metavar="NAME[:NUMBER]", shell_complete=models, help="Only of this model, or this version of it."
        ),
    ):
        command = option(command)
    return command


def _asked(project: Any, model: str | None, dataset: str | None, execution: str | None) -> dict[str, Any]:
    given = {"model": model, "dataset": dataset, "execution": execution and project.executions.get(execution).id}
    return {name: value for name, value in given.items() if value}


def _history(project: Any, name: str, asked: dict[str, Any]) -> MetricHistory:
    found: MetricHistory = project.metrics.history(name, **asked)
    if not found and name not in project.metrics.names():
        raise NotFound("metric", name, project.metrics.names())
    return found


@click.group(cls=Group, examples="metric show accuracy\nmetric compare accuracy --model knn\nmetric plot loss")
def metric() -> None:
    """See the values of metrics: a history, the versions of a model side by side, a plot."""


@metric.command(examples="metric show accuracy\nmetric show accuracy --model knn:2 -o json")
@click.argument("name", shell_complete=metrics)
@_of
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, metavar="N",
    help="How many at most, from the newest; 0 for all.",
)  # fmt: skip
@click.pass_obj
def show(
    asked: Asked, name: str, model: str | None, dataset: str | None, execution: str | None, limit: int
) -> None:  # fmt: skip
    """Show the values of a metric, oldest first."""
    with needs_home(asked) as project:
        found = _history(project, name, _asked(project, model, dataset, execution))
        rows = [metric_record(one) for one in (found[-limit:] if limit else found)]
        parts: list[Table | Lines] = [metric_table(rows, asked.output)]
        if asked.output != "plain" and (summary := _summary(found)):
            parts.append(Lines(summary))
        write(asked.output, rows, *parts)


def _summary(found: MetricHistory) -> str:
    low, high = found.min, found.max
    if len(found) < 2 or low is None or high is None:
        return ""
    return f"{len(found):,} values from {low.value:.6g} to {high.value:.6g}"


@metric.command(examples="metric compare accuracy --model knn\nmetric compare accuracy")
@click.argument("name", shell_complete=metrics)
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help="The model whose versions are compared; all, if none is said.",
)
@click.option(
    "--dataset", metavar="NAME[:NUMBER]", shell_complete=datasets, help="Only what was logged of this dataset."
)
@click.pass_obj
def compare(asked: Asked, name: str, model: str | None, dataset: str | None) -> None:
    """Lay the versions of models side by side by the newest value that each has of a metric."""
    with needs_home(asked) as project:
        _history(project, name, {})
        found = project.metrics.compare(name, model=model, dataset=dataset)
        write(asked.output, found.rows, compared_table(found))


@metric.command(
    examples="""metric plot loss
    metric plot loss val_loss --execution k3vq
    metric plot accuracy --model knn --svg > accuracy.svg"""
)
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=metrics)
@_of
@click.option("-x", "along", type=click.Choice(("step", "time", "order")), help="Along what; by default what fits.")
@click.option("--svg", is_flag=True, help="As a picture.")
@click.pass_obj
def plot(
    asked: Asked, names: tuple[str, ...], model: str | None, dataset: str | None, execution: str | None,
    along: str | None, svg: bool,
) -> None:  # fmt: skip
    """Plot one metric or several over their steps, or over time."""
    with needs_home(asked) as project:
        chosen = _asked(project, model, dataset, execution)
        histories = [_history(project, name, chosen) for name in names]
        made = project.metrics.plot(*names, x=along, **chosen)
        rows = [metric_record(one) for history in histories for one in history]
        if svg:
            write(asked.output, rows, Lines(made.to_svg()))
            return
        stream = data_stream()
        is_terminal = stream is not None and stream.isatty()
        width = shutil.get_terminal_size().columns
        text = made.to_text(width, encoding=getattr(stream, "encoding", None), colours=is_terminal)
        if is_terminal and asked.output == "table":
            click.echo(text)  # it has colours of its own
        else:
            write(asked.output, rows, Lines(text))
