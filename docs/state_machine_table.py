"""Writes the tables of `docs/state-machine.md`, by trying everything that can happen to a job on the real machine.

python docs/state_machine_table.py           compare; exit 1 if the page is out of date
python docs/state_machine_table.py --write   write the page anew
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.graph.sim import EXECUTION, OUTCOMES, Sim  # noqa: E402

from aiflow.graph.event import EventType  # noqa: E402
from aiflow.graph.job import job  # noqa: E402
from aiflow.graph.plan import MAX_LOSSES  # noqa: E402
from aiflow.graph.workflow import Workflow, workflow  # noqa: E402

PAGE = ROOT / "docs" / "state-machine.md"
ENDED = ("SUCCESS", "FAILED", "STOPPED", "SKIPPED")
NOTHING, WAITS = "(none)", "(waits)"
ORDER = (NOTHING, WAITS, "RUNNING", "RETRYING", "QUEUED", "STOPPING", *ENDED)
RETRIES = 1

Step = tuple[str, str, str]
"""From which status, by what, to which."""


@job
def before() -> None: ...


@job(retries=RETRIES, timeout=60)
def watched(value: object) -> None: ...


@workflow
def explored() -> None:
    watched(before())


@job(name="before")
def stream() -> Iterator[None]:
    yield


@workflow
def dripped() -> None:
    watched(stream())


MOST_ITEMS = 2
WORKFLOWS = (explored, dripped)


def job_steps() -> list[Step]:
    """Find each change of the status of one execution of a job (its number 1), and what causes it."""
    return sorted(_explore()[0], key=lambda step: (ORDER.index(step[0]), ORDER.index(step[2]), step[1]))


def execution_steps() -> list[tuple[str, str]]:
    """Find each change of the status of an execution."""
    return sorted(_explore()[1])


@cache
def _explore() -> tuple[set[Step], set[tuple[str, str]]]:
    jobs: set[Step] = set()
    executions: set[tuple[str, str]] = set()
    for sim, text, move in _everything():
        was = _status(sim)
        move(sim)
        now = _status(sim)
        if now != was:
            jobs.add((was, text, now))
        statuses = ["INIT", *(e.value["status"] for e in sim.events if e.type == EXECUTION)]
        executions.update(pairwise(statuses))
    return jobs, executions


def _everything() -> Iterator[tuple[Sim, str, Callable[[Sim], object]]]:
    """Go through all that can happen, each in a simulator of its own that has not taken that last step yet."""
    for explorable in WORKFLOWS:
        yield from _everything_of(explorable)


def _everything_of(explorable: Workflow) -> Iterator[tuple[Sim, str, Callable[[Sim], object]]]:
    paths: list[list[Callable[[Sim], object]]] = [[]]
    seen = set()
    while paths:
        path = paths.pop()
        sim = _walk(explorable, path)
        run = (sim.state.job("watched").runs or {}).get(1)
        details = run and (run.attempt, run.losses, run.timed_out)
        before, items = sim.statuses()["before"], sim.state.job("before").items
        place = (sim.status, _status(sim), details, before, items, len(sim.running()))
        if place in seen:
            continue
        seen.add(place)
        for text, move in _moves(sim):
            yield _walk(explorable, path), text, move
            paths.append([*path, move])


def _walk(explorable: Workflow, path: list[Callable[[Sim], object]]) -> Sim:
    sim = Sim(explorable, hold=True)
    for move in path:
        move(sim)
    return sim


def _status(sim: Sim) -> str:
    state = sim.state.job("watched")
    if state.runs and 1 in state.runs:
        return state.runs[1].status
    if changes := sim.changes("watched", 1):
        return changes[-1]
    return WAITS if state.starts else NOTHING


def _moves(sim: Sim) -> Iterator[tuple[str, Callable[[Sim], object]]]:
    if sim.state.status.is_ended:
        yield "the execution is resumed", lambda sim: sim.ask("resume")
        return
    if sim.run_of("before") and sim.plan.vertices[0].stream:
        yield from _flow(sim)
    elif sim.run_of("before"):
        yield "its upstreams have succeeded", lambda sim: sim.end("before")
        yield "an upstream has failed", lambda sim: sim.end("before", "FAILED")
    elif "before" in sim.startable():
        yield "", lambda sim: sim.start("before")
    if "watched" in sim.startable():
        yield "there is a place to run in", lambda sim: sim.start("watched")
    if sim.timers:
        yield "the retry is due", lambda sim: sim.come_due()
    if sim.run_of("watched", 1):
        yield from _ends(sim)
    yield "the job is asked to stop", lambda sim: sim.ask("stop_job", "watched")
    yield "the job is asked to restart", lambda sim: sim.ask("restart_job", "watched")
    yield "the execution is stopped", lambda sim: sim.ask("stop")


def _flow(sim: Sim) -> Iterator[tuple[str, Callable[[Sim], object]]]:
    count = sim.state.job("before").items
    if count < MOST_ITEMS and sim.status == "RUNNING":
        yield "an item of its stream has come", lambda sim: sim.emit("before")
    nothing = "" if count else ", and has yielded nothing"
    yield f"its stream ends{nothing}", lambda sim: sim.end("before")
    yield f"its stream fails{nothing}", lambda sim: sim.end("before", "FAILED")


def _ends(sim: Sim) -> Iterator[tuple[str, Callable[[Sim], object]]]:
    run = sim.run_of("watched", 1)
    assert run is not None
    left = "an attempt is left" if run.attempt - run.losses <= RETRIES else "no attempt is left"
    stops = run.status == "STOPPING"
    for outcome in OUTCOMES:
        text = f"it ends with {outcome}"
        if stops:
            text = "it ends, in whatever way"
        elif run.timed_out:
            text = f"it ends after its timeout; {left}"
        elif outcome == "FAILED":
            text = f"it fails; {left}"
        yield text, lambda sim, outcome=outcome: sim.end("watched", outcome, 1)
    if not run.timed_out:
        yield "its timeout is over", lambda sim: sim.time_out("watched")
    died = "the process dies"
    if run.timed_out and not stops:
        died += f" after its timeout; {left}"
    elif not stops and run.losses == MAX_LOSSES - 1:
        died += f" for the {MAX_LOSSES}rd time"
    yield died, lambda sim: sim.bring(sim.about_run("watched", EventType.JOB_LOST, 1))


WHY = {
    ("INIT", "RUNNING"): "it is started",
    ("RUNNING", "SUCCESS"): "nothing runs, waits or is live, and no job's last execution failed",
    ("RUNNING", "FAILED"): "nothing runs, waits or is live, and the last execution of a job failed",
    ("RUNNING", "STOPPING"): "somebody stops it, or its `stop_on` is met",
    ("STOPPING", "STOPPED"): "the last of its running jobs has reported, or none ran",
    ("SUCCESS", "RUNNING"): "it is resumed",
    ("FAILED", "RUNNING"): "it is resumed: what did not succeed runs",
    ("STOPPED", "RUNNING"): "it is resumed: what did not succeed runs",
}


def tables() -> dict[str, str]:
    """Give the generated parts of the page by name."""
    rows = [f"| {was} | {text} | {now} |" for was, text, now in job_steps()]
    whole = [f"| {was} | {WHY[was, now]} | {now} |" for was, now in execution_steps()]
    head = ["| from | what happens | to |", "|---|---|---|"]
    return {"jobs": "\n".join(head + rows), "executions": "\n".join(head + whole)}


def page(text: str) -> str:
    """Give the page with its tables as they should be."""
    for name, table in tables().items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def main(arguments: list[str]) -> int:
    """Compare or write the page."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--write" in arguments:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        print(f"{PAGE} is out of date: python docs/state_machine_table.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
