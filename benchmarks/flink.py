"""What Flink's jobs cost through aiflow: submitting, running, and events out of them; PyFlink alone does the same beside it.

Knows nothing of how aiflow submits. `flink_alone.py` is the other side: a program that has PyFlink and nothing of aiflow.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiflow as af
from aiflow.runners.flink_cluster import LocalCluster, client_environment
from aiflow.runners.flink_java import find_java
from benchmarks import floors
from benchmarks.bench import ROOT, Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.flink_alone import SINK, source

__all__ = ["FIGURES"]


@contextmanager
def _cluster(bench: Bench) -> Iterator[tuple[af.Project, str]]:
    """Give a project, and the address of its local cluster, which is up."""
    home = bench.fresh()
    with af.Project("bench", home=home, workers=2) as project:
        cluster = LocalCluster(home)
        try:
            yield project, cluster.ensure().url
        finally:
            cluster.stop()


class Alone:
    """A process with PyFlink and without aiflow, kept warm."""

    def __init__(self, bench: Bench, url: str) -> None:
        environ = {**bench.environment(), **client_environment(find_java(), bench.fresh("client"), sys.executable)}
        self._child = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks/flink_alone.py"), url],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._in, self._out = self._child.stdin, self._child.stdout

    def ask(self, rows: int, wait: bool) -> float:
        """Have it submit the job; give the seconds until it knew its id, or until the job was over."""
        self._in.write(json.dumps([rows, wait]) + "\n")
        self._in.flush()
        return float(json.loads(self._out.readline()))

    def close(self) -> None:
        """End it."""
        self._in.close()
        self._child.wait(30)
        self._out.close()


def _workflow(rows: int, name: str) -> Any:
    def body() -> None:
        af.flink_sql([source(rows), SINK, "INSERT INTO sums SELECT k, SUM(n) FROM numbers GROUP BY k"], name="sums")

    return af.workflow(body, name=name)


def _until_known(project: af.Project, workflow: Any) -> float:
    """Give the seconds from `start` until aiflow has noted the id of the Flink job; then wait for its end."""
    begun = time.perf_counter()
    execution = project.start(workflow)
    while not ((job := execution.job("sums")) and (job.note or {}).get("jobs")):
        time.sleep(0.002)
    took = time.perf_counter() - begun
    execution.wait(120)
    return took


def _submit(bench: Bench) -> list[Reading]:
    repeats = bench.pick(15, 4)
    floor, ours, workflow = [], [], _workflow(1000, "submit")
    with _cluster(bench) as (project, url):
        alone = Alone(bench, url)
        try:
            for _ in range(3):  # both warm
                alone.ask(1000, wait=True)
                _until_known(project, workflow)
            for _ in range(repeats):
                floor.append(alone.ask(1000, wait=False))
                ours.append(_until_known(project, workflow))
            flink_run = _flink_run(bench, url)
        finally:
            alone.close()
    of = {"what": "start of an execution -> JobID known", "unit": "s", "ours": ours, "durability": "NORMAL"}
    return [
        Reading(**of, floor=floor, floor_is="PyFlink in a warm process", reach=Reach(of="ratio", most=1.5)),
        Reading(**of, floor=[flink_run], floor_is="flink run -d -py", reach=Reach(of="ours", most=0.6)),
    ]


def _flink_run(bench: Bench, url: str) -> float:
    """Give the seconds that Flink's own command takes to submit the job, once."""
    import pyflink

    environ = {**bench.environment(), **client_environment(find_java(), bench.fresh("client"), sys.executable)}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    program = str(ROOT / "benchmarks/flink_alone.py")
    flink = str(Path(pyflink.__file__).parent / "bin/flink")
    command = [
        flink,
        "run",
        "-d",
        "-m",
        url.partition("://")[2],
        "-pyclientexec",
        sys.executable,
        "-py",
        program,
        "once",
    ]
    begun = time.perf_counter()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _throughput(bench: Bench) -> list[Reading]:
    rows, repeats = bench.pick(20_000_000, 5_000_000), bench.pick(3, 2)
    floor, ours, workflow = [], [], _workflow(rows, "throughput")
    with _cluster(bench) as (project, url):
        alone = Alone(bench, url)
        try:
            alone.ask(1000, wait=True)
            project.run(_workflow(1000, "first"))
            for _ in range(repeats):
                floor.append(rows / alone.ask(rows, wait=True))
                begun = time.perf_counter()
                project.run(workflow)
                ours.append(rows / (time.perf_counter() - begun))
        finally:
            alone.close()
    return [
        Reading(
            what=f"a batch of {rows:,} rows, from start to end", unit="rows/s", ours=ours, floor=floor,
            floor_is="PyFlink in a warm process", reach=Reach(of="ratio", least=0.95),
        )
    ]  # fmt: skip


def tell(n: int) -> int:
    """Run on the cluster: publish when that is."""
    if n > 1:  # the first opens the home
        af.flink.publish("go", time.perf_counter())
    return n


def _event(bench: Bench) -> list[Reading]:
    n = bench.pick(200, 20)
    took: list[float] = []
    came = threading.Semaphore(0)

    @af.job(if_running="queue")
    def react() -> None:
        event = af.current().event
        assert event is not None
        took.append((time.perf_counter() - event.value) * 1e3)
        came.release()

    def body() -> None:
        af.flink_sql(
            f"""CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10',
                'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{n + 1}');
            CREATE TABLE told (n BIGINT) WITH ('connector' = 'blackhole');
            INSERT INTO told SELECT tell(n) FROM numbers""",
            udfs={"tell": tell}, name="stream", stream=True, config={"python.fn-execution.bundle.size": 1},
        )  # fmt: skip
        react().start_on(af.event("go"))

    with _cluster(bench) as (project, _):
        execution = project.start(af.workflow(body, name="telling", ends="never"))
        for _ in range(n):
            if not came.acquire(timeout=60):
                raise RuntimeError(f"the job did not start; {execution.logs()}")
        execution.stop().wait(60)
        floor = [a / 1e3 + b / 1e3 for a, b in zip(floors.wakes(n), floors.commits(bench, n, pause=0.002), strict=True)]
    return [
        Reading(
            what="publish in a function on Flink -> a job, p50", unit="ms", ours=[statistics.median(took)],
            floor=[statistics.median(floor)], floor_is="a thread wakes (blocked queue) + one commit",
            reach=Reach(of="ours", most=20),
        )
    ]  # fmt: skip


_ALL = (
    Figure(name="flink-submit", title="start of an execution -> its Flink job has an id", measure=_submit),
    Figure(name="flink-throughput", title="a large batch on Flink, and the same without aiflow", measure=_throughput),
    Figure(
        name="flink-event",
        title="af.flink.publish on the cluster -> first line of the job that it starts",
        measure=_event,
    ),
)

FIGURES = _ALL if find_spec("pyflink") else ()
"""They need ``pip install 'aiflow[flink]'``."""
