"""The command `serve`: keeps running, and tells which executions begin and end.

Knows nothing of what starts them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from aiflow.cli.completion import files
from aiflow.cli.everywhere import Asked, Command, open_home
from aiflow.cli.failures import say
from aiflow.cli.interrupts import Interrupts
from aiflow.cli.loading import load_file, load_workflow, parse_target
from aiflow.cli.records import duration, reason_of
from aiflow.cli.streams import stdout_is_for_data
from aiflow.cli.watch import Watch
from aiflow.errors import AIFlowError, suggest
from aiflow.events.scanning import folder_problem
from aiflow.graph.event import EventType
from aiflow.graph.file import FileCondition
from aiflow.graph.workflow import defined_in
from aiflow.launching import folder_of

if TYPE_CHECKING:
    from aiflow import Event, Project, Workflow

__all__ = ["serve"]

_EXAMPLES = """
serve flows.py                     # all workflows in flows.py
serve flows.py:nightly other.py    # one, and those of another file
serve flows.py --for 3600          # for an hour
serve flows.py --start first       # and start this one once, now
"""
_COLOURS = {"SUCCESS": "green", "FAILED": "red", "STOPPED": "yellow"}


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("files", metavar="FILE[:WORKFLOW]…", nargs=-1, required=True, shell_complete=files)
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after this time.")
@click.option(
    "--start",
    "names",
    multiple=True,
    metavar="WORKFLOW",
    help="Start this one once, now; may be given again for others.",
)
@click.pass_context
def serve(context: click.Context, files: tuple[str, ...], seconds: float | None, names: tuple[str, ...]) -> None:
    """Keep running: start workflows when events and files come and when it is time, and go on with what was interrupted.

    An interrupt stops what runs, and then the command; a second one ends it at once.
    """
    asked: Asked = context.obj
    with stdout_is_for_data():
        workflows = [workflow for file in files for workflow in _workflows(file)]
        at_once = [_named(workflows, name) for name in names]
        with open_home(asked) as project:
            code = _serve(project, workflows, seconds, at_once)
    context.exit(code)


def _workflows(target: str) -> list[Workflow]:
    path, name = parse_target(target)
    if name is not None:
        return [load_workflow(target)]
    found = defined_in(load_file(path))
    if not found:
        raise click.UsageError(f"{path} defines no workflow; decorate a function with @af.workflow")
    return found


def _named(workflows: list[Workflow], name: str) -> Workflow:
    found = {one.name: one for one in workflows}
    if name not in found:
        raise click.BadParameter(f"no workflow {name!r} is served{suggest(name, found)}", param_hint="--start")
    return found[name]


def _serve(project: Project, workflows: list[Workflow], seconds: float | None, at_once: list[Workflow]) -> int:
    ended = threading.Event()
    stop_at = None if seconds is None else project._clock.now() + seconds

    edits = _Edits({Path(one.source) for one in workflows if one.source})

    def is_over() -> bool:
        edits.look()
        return ended.is_set() or (stop_at is not None and project._clock.now() >= stop_at)

    def stop() -> None:
        say("stopping …  (once more to stop at once)", "yellow")
        ended.set()

    def abandon(code: int) -> None:
        watch.close()
        say("stopped at once; what ran is INTERRUPTED and goes on at the next serve", "red")
        closing = threading.Thread(target=lambda: project.close(detach=True), daemon=True)
        closing.start()
        closing.join(3.0)
        os._exit(code)

    watch, teller = Watch(project._clock.now), _Teller(project)

    def take(event: Event) -> None:
        watch.running.take(event)
        if event.type == EventType.EXECUTION_STATUS_CHANGED:
            teller(event)

    kinds = (EventType.EXECUTION_STATUS_CHANGED, EventType.JOB_STATUS_CHANGED)
    with watch, project.subscribe(take, types=kinds), Interrupts(lambda: True, stop, abandon) as interrupts:
        _announce(project, workflows)
        project.serve(*workflows, until=is_over, start=at_once)
        _stop_all(project)
    return interrupts.exit_code or 0


class _Edits:
    """Says of each file once that it was changed while its workflows are served: they are what they were."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._seen = {file: _version(file) for file in files}

    def look(self) -> None:
        """Look at files that were not told of yet."""
        for file in [file for file, version in self._seen.items() if _version(file) not in (None, version)]:
            del self._seen[file]
            say(f"{file} was changed; what is served is what it was before, until serve is started again", "yellow")


def _version(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:  # an editor may put another file in its place in a moment
        return None
    return status.st_mtime_ns, status.st_size


def _announce(project: Project, workflows: list[Workflow]) -> None:
    """Say what is served; whoever has read that may publish, for the triggers are registered by then."""
    triggers = {one.name: project.triggers.register(one) for one in workflows if one.start_condition is not None}
    say(f"serving {project.name} in {project.home}")
    for workflow in workflows:
        trigger = triggers.get(workflow.name)
        when = "when somebody starts it" if trigger is None else f"on {trigger.condition}"
        if trigger is not None and trigger.served:
            when += "; another process serves it, and this one stands by"
        say(f"  {workflow.name}: {when}", "dim")
        for problem in _folder_problems(workflow):
            say(f"  {workflow.name}: {problem}", "yellow")


def _folder_problems(workflow: Workflow) -> set[str]:
    leaves = () if workflow.start_condition is None else workflow.start_condition.leaves()
    seen = (leaf.inside(folder_of(workflow.source)) for leaf in leaves if isinstance(leaf, FileCondition))
    return {text for one in seen if (text := folder_problem(one.apart))}


def _stop_all(project: Project) -> None:
    """Stop what runs here, and wait for it."""
    running = [live for live in list(project._shared.engine.lives.values()) if not live.is_trigger]
    for live in running:
        try:
            project.executions.get(live.execution_id).stop("serve was stopped")
        except AIFlowError as error:
            say(f"Error: {error}", "red")
    for live in running:
        project._shared.drive_until(live.ended, None, live)


class _Teller:
    """Tells of each execution that begins or ends, a line each."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __call__(self, event: Event) -> None:
        execution = self._project.executions.find(event.execution_id or "")
        if execution is None or not event.key.startswith("execution:"):
            return
        time, status = event.time.astimezone().strftime("%H:%M:%S"), event.value["status"]
        line = f"{time}  {execution.workflow} {execution.id}  "
        ids = {"execution_id": execution.id, "workflow": execution.workflow, "status": status}
        if status == "RUNNING":
            cause = execution.event
            by = "" if cause is None else f" by {cause.key}"
            if execution.context is not None:
                by = f" for {execution.context}{by}"
            if cause is not None and cause.value is not None and cause.type != EventType.TIMER_FIRED:
                by += f" {json.dumps(cause.value)}"
            say(line + (f"started{by}" if len(by) < 100 else f"started{by[:97]}…"), **ids)
        elif status in _COLOURS:
            took = None if execution.started is None else (event.time - execution.started).total_seconds()
            reason = reason_of(execution)
            say(f"{line}{status} in {duration(took)}{f'  {reason}' if reason else ''}", _COLOURS[status], **ids)
