"""The questions of every day use indexes: SQLite is asked for its plan, and none reads a large table from end to end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.serving import Server
from aiflow.store.connection import sqlite3
from aiflow.testing import ManualClock, project_for_tests

LARGE = (
    "events", "executions", "job_executions", "items", "failed_events", "cached_results", "metrics", "lineage", "lineage_nodes",
    "l", "n", "s", "t", "j", "e", "v", "d", "model_stages", "model_versions",
)  # fmt: skip
MOMENT = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=5)
FIRST_ROWS = ("SCAN executions USING INDEX executions_by_created", "SCAN failed_events")
"""In order, and only as many as are asked for."""

QUESTIONS: dict[str, Callable[[af.Project], Any]] = {
    "opening": lambda p: af.Project(home=p.home).close(),
    "the newest offset": lambda p: p._store.head(),
    "events from an offset": lambda p: p.events.list(since=3, limit=2),
    "events of a key": lambda p: p.events.list(keys="k", limit=2),
    "how many events": lambda p: p.events.count(),
    "how many events of a key": lambda p: p.events.count(keys="k"),
    "the newest event of a key": lambda p: p.events.latest("k"),
    "the newest event": lambda p: p.events.latest(),
    "an event": lambda p: p.events.get(2),
    "the offset at a time": lambda p: p.events.offset_at(MOMENT),
    "events since a time": lambda p: p.events.list(since=MOMENT),
    "failed events": lambda p: p.events.failed(10),
    "executions": lambda p: p.executions.list(),
    "executions of a workflow": lambda p: p.executions.list(workflow="asked"),
    "running executions": lambda p: p.executions.list(status="RUNNING"),
    "interrupted executions": lambda p: p.recover(),
    "an execution": lambda p: p.executions.get(p.executions.list()[0].id),
    "an execution by its first characters": lambda p: p.executions.get(p.executions.list()[0].id[:6]),
    "jobs": lambda p: p.jobs.list(),
    "jobs of an execution": lambda p: p.executions.list()[0].jobs,
    "events of an execution": lambda p: p.executions.list()[0].events(),
    "a result": lambda p: p.executions.list(workflow="asked")[0].result("answer"),
    "why": lambda p: p.executions.list(workflow="asked")[0].why("answer"),
    "a metric": lambda p: p.metrics.history("loss"),
    "a metric of a version": lambda p: p.metrics.history("loss", model="knn:1"),
    "a metric of a dataset": lambda p: p.metrics.history("loss", dataset="iris:1"),
    "a metric of an execution": lambda p: p.metrics.history("loss", execution="x", job="train"),
    "the newest value of a metric": lambda p: p.metrics.latest("loss", model="knn"),
    "the names of metrics": lambda p: p.metrics.names(),
    "the newest metrics of a version": lambda p: p.metrics.newest(model="knn:1"),
    "the newest metrics of an execution": lambda p: p.metrics.newest(execution="x"),
    "versions side by side": lambda p: p.metrics.compare("loss", model="knn"),
    "executions side by side": lambda p: p.executions.compare(workflow="asked"),
    "what a version came from": lambda p: p.lineage.upstream("knn"),
    "what came of it": lambda p: p.lineage.downstream("knn:1"),
    "what a job came from": lambda p: p.lineage.upstream(p.executions.list(workflow="asked_too")[0].job("answer")),
    "triggers": lambda p: [(t.problem, t.executions) for t in p.triggers.list()],
}


@pytest.fixture
def asked(tmp_path: Path, clock: ManualClock) -> Iterator[af.Project]:
    @af.job(cache=True)
    def answer() -> int:
        version = af.current().project.models.get("knn").log(42, stage="DEPLOYED")
        return int(version.number)

    @af.workflow(name="asked")
    def workflow() -> None:
        answer()

    @af.workflow(name="asked_too", start_on=af.event("k"))
    def started() -> None:
        answer()

    with project_for_tests(tmp_path, clock) as project:
        project.models.register("knn").log([1])
        project.datasets.register("iris")
        project.metrics.log_many([("loss", 0.5, n) for n in range(20)], model="knn:1")
        project.run(workflow)
        with Server(project, [started]):
            for n in range(4):
                project.publish("k", n)
                clock.advance(3)
        yield project


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_of_every_day_reads_no_large_table_from_end_to_end(
    asked: af.Project, ask: Callable[[af.Project], Any]
) -> None:
    statements: list[str] = []
    reader = asked._store.reader()
    reader.set_trace_callback(statements.append)
    ask(asked)
    reader.set_trace_callback(None)
    assert [line for sql in statements for line in scans(asked, sql)] == []


def test_what_a_turn_and_a_resume_read_is_found_by_indexes(asked: af.Project) -> None:
    statements: list[str] = []
    writer = asked._store.writer
    writer.set_trace_callback(statements.append)
    asked.publish("k", dedupe_key="once")
    for live in list(asked._shared.engine.lives.values()):
        asked._shared.engine._reload(live)
    asked.prune(events=5, executions=2)
    writer.set_trace_callback(None)
    found = [line for sql in statements for line in scans(asked, sql)]
    assert [line for line in found if "documents" not in line] == []


def scans(project: af.Project, sql: str) -> list[str]:
    """Give the lines of a statement's plan that read a large table from end to end."""
    if not sql.lstrip().upper().startswith(("SELECT", "WITH", "DELETE", "UPDATE")):
        return []
    reader = project._store.reader()
    try:
        lines = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}")]
    except (af.StoreError, sqlite3.Error):  # a part of a statement, as a trigger of SQLite's has it
        return []
    large = [line for line in lines if line.startswith("SCAN ") and line.split()[1] in LARGE and line not in FIRST_ROWS]
    return [f"{line}: {sql}" for line in large]
