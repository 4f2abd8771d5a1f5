"""Carries an execution through to its end in this process, with progress, interrupts, time limit and report.

Knows nothing of whether it was started or resumed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiflow.cli.failures import say
from aiflow.cli.formats import Fields, write
from aiflow.cli.interrupts import Interrupts
from aiflow.cli.progress import Progress
from aiflow.cli.records import brief, execution_header, execution_record, job_records, job_table, not_begun_records
from aiflow.cli.results import results_of
from aiflow.errors import AIFlowError
from aiflow.values.masking import masked

if TYPE_CHECKING:
    from aiflow import Execution, Project

__all__ = ["follow", "report"]


def follow(project: Project, begin: Callable[[], Execution], timeout: float | None = None) -> tuple[Execution, int]:
    """Begin an execution and wait for its end.

    Returns
    -------
    tuple
        The execution, and the exit code: 0, or 1 if it did not succeed (or took too long), or 130 and
        143 if this process was interrupted, and it stopped.
    """
    progress, code = Progress(project), 0

    def is_running() -> bool:
        engine = project._shared._engine
        return engine is not None and bool(engine.lives)

    def stop() -> None:
        say("stopping …  (once more to stop at once)", "yellow")
        for execution_id in list(project._shared.engine.lives):
            try:
                project.executions.get(execution_id).stop("interrupted")
            except AIFlowError as error:
                say(f"Error: {error}", "red")

    def abandon(exit_code: int) -> None:
        left = list(project._shared.engine.lives)
        progress.close()
        say("stopped at once", "red")
        closing = threading.Thread(target=lambda: project.close(detach=True), daemon=True)
        closing.start()
        closing.join(3.0)
        for execution_id in left:
            say(f"go on with it: aiflow execution resume {execution_id}")
        os._exit(exit_code)

    with progress, Interrupts(is_running, stop, abandon) as interrupts:
        since = project._store.head()
        execution = begin()
        progress.follow(execution, since)
        try:
            project.wait_for(execution, check=False, timeout=timeout, quiet=progress.waiting)
        except TimeoutError:  # it was stopped; `report` says why
            code = 1
        progress.finish()
    if execution.status != "SUCCESS":
        code = interrupts.exit_code or 1
    return execution, code


def report(project: Project, execution: Execution, form: str) -> None:
    """Write the jobs and results of an execution to standard output, and why it failed to standard error."""
    record = execution_record(execution)
    results = results_of(execution, unpickle=True)
    everything = execution.all_jobs
    jobs, left = masked([job_records(project, everything), not_begun_records(everything)], execution.params)
    data = {**record, "jobs": jobs, "not_begun": left, "results": {job: result.data for job, result in results.items()}}
    texts = {job: result.text for job, result in results.items()}
    write(
        form,
        data,
        Fields(execution_header(record)),
        job_table([*(brief(jobs) if form == "table" else jobs), *left], texts),
    )
    status = execution.status
    if status != "SUCCESS":
        story = masked(execution._story(status, brief=True), execution.params)
        say(f"Error: {story}", "red", execution_id=execution.id, workflow=execution.workflow, status=status)
    if status == "STOPPED":
        say(f"go on with it: aiflow execution resume {execution.id}")
