"""What lineage costs: asking for one ancestry among 100,000 edges, and recording what flows from job to job.

Knows nothing of versions' contents. The home that is asked has rows as workflows would have left them, written at once.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from typing import Any

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.per_job import Runs
from benchmarks.sampling import on_a_thread
from benchmarks.workflows import chain, noop

__all__ = ["FIGURES"]

JOBS, GENERATIONS = 18, 25
"""Jobs of an execution, one after the other; and executions that go on with the version of the one before."""

_EDGES_EACH = JOBS + 3  # read, handed on, made, and gone on with
Edge = tuple[int, int]


def _edges(executions: int, generations: int) -> tuple[list[Edge], list[tuple[Any, ...]]]:
    """Give the edges of so many executions, and their nodes: id, kind, name, number, execution."""
    nodes: list[tuple[Any, ...]] = [(1, "dataset", "iris", 1, "")]
    edges: list[Edge] = []
    before = 0
    for number in range(1, executions + 1):
        first = len(nodes) + 1
        nodes += [(first + k, "job", f"job_{k}", 1, f"e{number}") for k in range(JOBS)]
        nodes.append((first + JOBS, "model", "knn", number, ""))
        edges += [(1, first), *((first + k, first + k + 1) for k in range(JOBS))]
        if number % generations != 1 and before:
            edges.append((before, first))
        before = first + JOBS
    return edges, nodes


def _fill(project: af.Project, edges: list[Edge], nodes: list[tuple[Any, ...]]) -> None:
    """Write what the executions would have left."""
    executions = dict.fromkeys(node[4] for node in nodes if node[4])
    row = "INSERT INTO executions (id, workflow, namespace, status, params, definition, source, first_offset, created, started, ended) "
    project._store.write(
        _statements(
            (row + "VALUES (?, 'life', 'bench', 'SUCCESS', '{}', '', '', 0, 0, 0, 1)", ((one,) for one in executions)),
            (
                "INSERT INTO job_executions (execution_id, job, number, attempt, status, started, ended) VALUES (?, ?, 1, 1, 'SUCCESS', 0, 1)",
                ((node[4], node[2]) for node in nodes if node[4]),
            ),
            (
                "INSERT INTO model_versions (model, number, stage, type, description, properties, created, updated) VALUES ('knn', ?, 'GENERATED', 'list', '', '{}', 0, 0)",
                ((node[3],) for node in nodes if node[1] == "model"),
            ),
            ("INSERT INTO dataset_versions (dataset, number, created) VALUES ('iris', 1, 0)", [()]),
            ("INSERT INTO lineage_nodes (id, kind, name, number, execution_id) VALUES (?, ?, ?, ?, ?)", nodes),
            ("INSERT INTO lineage (source, target, time) VALUES (?, ?, 0)", edges),
        )
    )


def _statements(*groups: tuple[str, Iterable[tuple[Any, ...]]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for sql, rows in groups:
        for row in rows:
            yield sql, row


def _ask(bench: Bench) -> list[Reading]:
    executions = bench.pick(100_000, 10_000) // _EDGES_EACH
    part = _asked(bench, executions, GENERATIONS, Reach(of="ours", most=50))
    return [part, _asked(bench, executions, executions, None)]


def _asked(bench: Bench, executions: int, generations: int, reach: Reach | None) -> Reading:
    edges, nodes = _edges(executions, generations)
    last = generations * max(1, executions // generations // 2)  # the last of its line, somewhere in the middle
    node = next(node[0] for node in nodes if node[1:4] == ("model", "knn", last))
    floor_times, ours = [], []
    with (
        floors.Ancestries(bench, edges) as floor,
        af.Project("bench", home=bench.fresh(), workers=2) as project,
    ):
        _fill(project, edges, nodes)
        found = len(project.lineage.upstream(f"knn:{last}").edges)
        for _ in range(bench.pick(15, 5)):
            gc.collect()
            floor_times.append(floor.milliseconds(node, found))
            begun = time.perf_counter()
            project.lineage.upstream(f"knn:{last}")
            ours.append((time.perf_counter() - begun) * 1e3)
    return Reading(
        what=f"ancestry of {found:,} of {len(edges):,} edges",
        unit="ms",
        ours=ours,
        floor=floor_times,
        floor_is="a recursive SELECT over two integers, with an index",
        durability="-",
        reach=reach,
    )


@af.job
def begin(*_: Any) -> None:
    """Make an execution one that deals with versions."""
    noop.function()
    af.current().project.models.get("knn").version(1).load()


@af.workflow
def traced(n: int = 1000) -> None:
    """`n` jobs, each with the value of the one before; what flows between them is recorded."""
    node = begin()
    for _ in range(n - 1):
        node = noop(node)


def _record(bench: Bench) -> list[Reading]:
    n, floor, ours = bench.pick(1000, 300), [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        on_a_thread(lambda: project.models.register("knn").log([1]))
        plain, recorded = Runs(project, chain), Runs(project, traced)
        for runs in (plain, recorded):
            runs.microseconds(n)
        for _ in range(bench.pick(9, 3)):
            floor.append(plain.microseconds(n))
            ours.append(recorded.microseconds(n))
    return [
        Reading(
            what="job of a chain whose lineage is recorded",
            unit="µs/job",
            ours=ours,
            floor=floor,
            floor_is="the same without",
        )
    ]


FIGURES = (
    Figure(name="lineage", title="one ancestry among 100,000 edges", measure=_ask),
    Figure(name="lineage-chain", title="a chain of 1,000 jobs whose lineage is recorded", measure=_record),
)
