"""The commands `execution …`: look at one execution, stop it, go on with it.

Knows nothing of how an execution is followed to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import executions, jobs, workflows
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.failures import Refused, say
from aiflow.cli.following import follow, report
from aiflow.cli.formats import Fields, Lines, json_line, write
from aiflow.cli.loading import load_file
from aiflow.cli.logtail import follow_logs
from aiflow.cli.metric import compared_table
from aiflow.cli.records import (
    brief,
    execution_header,
    execution_record,
    interrupted,
    job_records,
    job_table,
    not_begun_records,
)
from aiflow.cli.results import results_of
from aiflow.cli.streams import flush, is_pipe_closed, stdout_is_for_data
from aiflow.errors import Conflict, NotFound
from aiflow.values.masking import masked

if TYPE_CHECKING:
    from aiflow import Execution, Project

__all__ = ["execution"]

_EXAMPLES = """
execution show k3vq                  # the beginning of the id
execution logs k3vq --job train
execution stop k3vq
execution resume k3vq
"""


@click.group(cls=Group, examples=_EXAMPLES)
def execution() -> None:
    """Look at one execution, stop it, go on with it, delete it."""


@execution.command(examples="execution show k3vq\nexecution show k3vq -o json")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.pass_obj
def show(asked: Asked, id_: str) -> None:
    """Show an execution: its jobs, parameters, results, errors and where it came from."""
    with needs_home(asked) as project:
        found = project.executions.get(id_)
        record, results = execution_record(found), results_of(found, unpickle=False)
        everything = found.all_jobs
        ran = job_records(project, everything)
        told = [
            interrupted(ran) if record["status"] == "INTERRUPTED" else ran,
            not_begun_records(everything),
            found.provenance,
        ]
        jobs, left, provenance = masked(told, found.params)
        data = {
            **record, "jobs": jobs, "not_begun": left, "provenance": provenance,
            "results": {job: result.data for job, result in results.items()},
        }  # fmt: skip
        texts = {job: result.text for job, result in results.items()}
        write(
            asked.output,
            data,
            Fields(execution_header(record) | _origin(record["source"], provenance)),
            job_table([*(brief(jobs) if asked.output == "table" else jobs), *left], texts),
            Lines(masked("\n".join(found._failures()), found.params)),
        )


def _origin(source: str, provenance: dict[str, Any]) -> dict[str, Any]:
    git = provenance.get("git") or {}
    commit = f"{git['commit'][:12]}{' (with changes)' if git.get('dirty') else ''}" if git.get("commit") else None
    origin = {
        "source": source,
        "commit": commit,
        "python": provenance.get("python"),
        "host": provenance.get("host"),
        "command": provenance.get("command"),
    }
    return {name: value for name, value in origin.items() if value}


@execution.command(examples="execution stop k3vq")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.pass_obj
def stop(asked: Asked, id_: str) -> None:
    """Ask an execution to stop, in whatever process it runs; return when it is STOPPING."""
    with needs_home(asked) as project:
        found = project.executions.get(id_).stop("stopped from the command line")
        status = found.status
        write(asked.output, {"id": found.id, "status": status}, Lines(f"{found.id} {status}"))


@execution.command(examples="execution delete k3vq")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.pass_obj
def delete(asked: Asked, id_: str) -> None:
    """Delete an execution that does not run, with its jobs, values and logs; versions that it made stay."""
    with needs_home(asked) as project:
        found = project.executions.get(id_)
        record = execution_record(found)
        project.executions.delete(found)
        write(asked.output, record, Lines(f"{found.id} of {found.workflow} is deleted"))


@execution.command(examples="execution resume k3vq\nexecution resume k3vq --file moved/iris.py")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where its workflow is defined now.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop it after this time."
)
@click.option("--take-over", is_flag=True, help="Also from a process that holds it and has been silent for a minute.")
@click.pass_context
def resume(context: click.Context, id_: str, file: Path | None, timeout: float | None, take_over: bool) -> None:
    """Go on with an execution that was interrupted, failed or stopped, and wait for its end.

    What has succeeded is kept. Its file may have been mended meanwhile, but the graph must be the same.
    """
    asked: Asked = context.obj
    with stdout_is_for_data(), needs_home(asked) as project:
        found = project.executions.get(id_)
        _refused(found.check_resumable)
        source = file or (Path(found.source) if found.source else None)
        if source is None:
            raise click.UsageError(
                f"execution {found.id} comes from no file; name the one that defines {found.workflow!r} with --file",
                context,
            )
        if not source.is_file():
            raise click.UsageError(
                f"{source}, where {found.workflow!r} was defined, is gone; name the file with --file", context
            )
        load_file(source)
        found, code = follow(project, lambda: _resumed(found, take_over), timeout)
        report(project, found, asked.output)
    context.exit(code)


def _resumed(found: Execution, take_over: bool) -> Execution:
    _refused(lambda: found.resume(take_over=take_over))
    return found


def _refused(action: Callable[[], Any]) -> None:
    """Do something; what a state forbids exits with 3."""
    try:
        action()
    except Conflict as error:
        raise Refused(str(error)) from None


_REASONS = 50  # how many jobs are explained at once


@execution.command(examples="execution why k3vq train\nexecution why k3vq            # of each job")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.argument("job", metavar="[JOB]", required=False, shell_complete=jobs)
@click.pass_obj
def why(asked: Asked, id_: str, job: str | None) -> None:
    """Say which rule and which events started a job, or what it still waits for; without JOB, of each."""
    with needs_home(asked) as project:
        found = project.executions.get(id_)
        names = [node["name"] for node in found.definition["nodes"]] if job is None else [job]
        told = [
            {"id": found.id, "job": name, "why": masked(found.why(name), found.params)} for name in names[:_REASONS]
        ]
        write(asked.output, told if job is None else told[0], Lines("\n".join(one["why"] for one in told)))
        if len(names) > _REASONS:
            say(f"these are {_REASONS} of {len(names):,} jobs; say which one for another")


@execution.command(examples="execution compare k3vq 7abc\nexecution compare --workflow iris -o json")
@click.argument("ids", metavar="ID…", nargs=-1, shell_complete=executions)
@click.option(
    "--workflow",
    metavar="NAME",
    shell_complete=workflows,
    help="Instead: the newest executions of this workflow or experiment.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many of those at most."
)
@click.pass_obj
def compare(asked: Asked, ids: tuple[str, ...], workflow: str | None, limit: int) -> None:
    """Lay executions side by side: parameters, results and metrics."""
    if bool(ids) is (workflow is not None):
        raise click.UsageError("say which executions: their ids, or --workflow NAME")
    with needs_home(asked) as project:
        if workflow is not None and not project.executions.list(workflow=workflow, limit=1):
            raise NotFound("workflow or experiment", workflow, {e.workflow for e in project.executions.list(limit=500)})
        found = project.executions.compare(*ids, workflow=workflow, limit=limit)
        write(asked.output, found.rows, compared_table(found))


@execution.command(examples="execution logs k3vq\nexecution logs k3vq train --follow")
@click.argument("id_", metavar="ID", shell_complete=executions)
@click.argument("name", metavar="[JOB]", required=False, shell_complete=jobs)
@click.option("--job", metavar="NAME", shell_complete=jobs, help="Of this job only; the same as JOB.")
@click.option(
    "-f", "--follow", "follow_", is_flag=True, help="Go on with what is written, until the execution is over."
)
@click.pass_obj
def logs(asked: Asked, id_: str, name: str | None, job: str | None, follow_: bool) -> None:
    """Show what the jobs of an execution printed and logged, also while they run."""
    job = job or name
    with needs_home(asked) as project:
        found = project.executions.get(id_)
        if follow_:
            _follow(project, found, job, asked.output)
            return
        text = masked(found.logs(job), found.params)
        if not text:
            say("nothing was printed or logged")
        write(
            asked.output,
            _log_records(project, found, job) if asked.output in ("json", "yaml") else None,
            Lines(text.rstrip("\n")),
        )


def _follow(project: Project, found: Execution, job: str | None, form: str) -> None:
    """Write what the jobs write, each under a heading where another one begins; or as JSON, an object a line."""
    if job is not None:
        found.logs(job)  # raises if there is no such job
    last: tuple[str, int, int] | None = None
    for piece in follow_logs(project, found, job, is_pipe_closed):
        piece = piece._replace(text=masked(piece.text, found.params))
        if form == "json":
            json_line(piece._asdict())
            continue
        if piece[:3] != last and (last is not None or job is None):
            write("table", None, Lines(f"--- {piece.job} number {piece.number} attempt {piece.attempt}"))
        last = piece[:3]
        write("table", None, Lines(piece.text))
        flush()


def _log_records(project: Project, found: Execution, job: str | None) -> list[dict[str, Any]]:
    records = []
    for one in found.jobs:
        for attempt in range(1, one.attempt + 1) if job in (None, one.job) else ():
            path = project._log_path(found.id, one.job, one.number, attempt)
            if path.is_file():
                text = masked(path.read_text(encoding="utf-8", errors="replace"), found.params)
                records.append({"job": one.job, "number": one.number, "attempt": attempt, "text": text})
    return records
