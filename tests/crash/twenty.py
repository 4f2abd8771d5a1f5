"""A workflow of twenty jobs, and processes that die while they run it. Imported by interpreters of their own.

Each job writes one line of its name when it runs, so that a test can count. The jobs have edges, a fan-out, a retry and
an event that one of them publishes and another is started by.
"""

import mmap
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.children import Fork, fork
from tests.invariants import check

import aiflow as af
import aiflow._project  # so that forks need not import it again
import aiflow.hooks
import aiflow.provenance
import aiflow.runners.threads

LINES = "lines"
JOBS = 20


def _note(name: str) -> None:
    lines = af.current().project.home.parent / LINES
    descriptor = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{name}\n".encode())
    os.close(descriptor)


@af.job
def step(value: int = 0) -> int:
    _note(af.current().job)
    return value + 1


@af.job(retries=2, retry_delay=0.0)
def flaky(value: int) -> int:
    _note("flaky")
    if af.current().attempt == 1:
        raise ValueError("the first attempt fails")
    return value


@af.job
def tell(value: int) -> int:
    _note("tell")
    af.current().publish("told", {"value": value}, dedupe_key=f"told-{af.current().execution_id}")
    return value


@af.job
def total(values: list[int]) -> int:
    _note("total")
    return sum(values)


@af.workflow
def twenty() -> None:
    first = step()
    parts = [step(first) for _ in range(8)]
    chain = flaky(total(parts))
    for _ in range(4):
        chain = step(chain)
    told = tell(chain)
    step.options(name="heard")(1).start_on(af.event("told").own())
    step.options(name="after_told")(told)
    step.options(name="last")(told).after(*parts)
    step.options(name="lonely")()


class Deadly:
    """A connection that kills its process at the n-th commit: just before it, or just after."""

    def __init__(self, connection: Any, at: int, when: str, inside: Any = None) -> None:
        self.connection, self.left, self.when, self.inside = connection, at, when, inside

    def execute(self, sql: str, *values: Any) -> Any:
        if self.inside is not None and sql.startswith("BEGIN"):
            self.inside[0] = 1
        if sql == "COMMIT":
            self.left -= 1
            if self.left == 0 and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        result = self.connection.execute(sql, *values)
        if sql == "COMMIT":
            if self.inside is not None:
                self.inside[0] = 0
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def run(home: Path, at: int, when: str, inside: Any = None) -> int:
    """Run the workflow in this process, which dies at commit number `at` (0: never); give the number of commits."""
    with af.Project("crash", home=home, workers=3) as project:
        store = project._shared.store
        deadly = store.writer = Deadly(store.writer, at, when, inside)
        if inside is not None:
            inside[1] = 1
        project.run(twenty)
        return at - deadly.left


def recover(home: Path) -> list[str]:
    """Go on with what the dead process left, in this one; give the statuses of the executions."""
    with af.Project("crash", home=home, workers=3) as project:
        for execution in project.recover():
            execution.wait(20)
        return [str(e.status) for e in project.executions.list(limit=None)]


def succeeded(home: Path) -> set[str]:
    """Give the jobs whose success is durable."""
    if not (home / "aiflow.db").exists():
        return set()
    with af.Project("crash", home=home) as project:
        return {j.job for e in project.executions.list() for j in e.jobs if j.status == "SUCCESS"}


def survived(home: Path) -> dict[str, Any]:
    """After a death: go on, and check everything that must be true; give what was counted."""
    before: set[str] = set(fork(lambda: sorted(succeeded(home))))
    lines = home.parent / LINES
    ran_before = Counter(lines.read_text().split()) if lines.exists() else Counter()
    statuses = fork(recover, home)
    check(home)
    assert statuses in (["SUCCESS"], []), statuses  # nothing at all, if it died before the execution was durable
    ran = Counter(lines.read_text().split()) if lines.exists() else Counter()
    if statuses:
        assert len(ran) == JOBS, sorted(ran)
        assert set(fork(lambda: sorted(succeeded(home)))) == set(ran)
    again = {job: ran[job] - ran_before[job] for job in before if ran[job] != ran_before[job]}
    assert not again, f"these ran again after their success was durable: {again}"
    return {"resumed": bool(statuses), "kept": len(before), "runs": sum(ran.values())}


def die_at_every_commit(folder: str, when: str) -> dict[str, Any]:
    """Die at the n-th commit for n = 1, 2, … until the process survives."""
    aiflow.hooks.manager()
    kept: list[int] = []
    at = 0
    while True:
        at += 1
        home = Path(folder, f"{when}-{at}", "home")
        home.parent.mkdir()
        outcome = Fork(run, home, at, when).wait()
        if not outcome.killed:
            assert not outcome.error, outcome.error
            check(home)
            return {"deaths": at - 1, "kept": kept}
        kept.append(survived(home)["kept"])


def die_at_random(folder: str, count: int, seed: int) -> dict[str, Any]:
    """Die at `count` random moments; give how many fell inside a turn."""
    rng = random.Random(seed)
    inside, landed, resumed = mmap.mmap(-1, 4096), 0, 0
    aiflow.hooks.manager()
    longest = fork(_seconds, Path(folder, "measure", "home"))
    for number in range(count):
        home = Path(folder, str(number), "home")
        home.parent.mkdir()
        inside[0:2] = b"\0\0"
        running = Fork(run, home, 0, "never", inside)
        while not inside[1]:
            os.sched_yield()
        time.sleep(rng.uniform(0.0, longest))
        running.kill()
        if running.wait().killed:
            landed += inside[0]
        resumed += survived(home)["resumed"]
    return {"kills": count, "inside": landed, "resumed": resumed}


def _seconds(home: Path) -> float:
    begun = mmap.mmap(-1, 4096)
    begin = time.perf_counter()
    run(home, 0, "never", begun)
    return time.perf_counter() - begin
