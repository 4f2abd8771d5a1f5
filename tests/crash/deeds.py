"""Workflows that are killed again and again, and what must be true after each kill. Called in a fresh interpreter.

The process that drives imports everything once and has no threads; each run is a fork of it, so that a kill costs little.
"""

import json
import mmap
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle  # noqa: F401  # imported now, so that not every fork does it
from tests import invariants
from tests.children import Fork, fork
from tests.crash import metering
from tests.faults import watch

import aiflow as af
import aiflow.mapping
import aiflow.runners.threads
from aiflow.testing import assert_replays

TOCKS = 5


def note() -> tuple[str, int]:
    """Write down that the current job was called, in a file that survives; give who it is."""
    job = af.current()
    line = f"{job.job} {job.number} {job.attempt}\n"
    descriptor = os.open(calls_of(job.project.home), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    return job.job, job.number


def calls_of(home: Path) -> Path:
    """Give the file in which the jobs of a home write down that they were called."""
    return home.with_name(home.name + ".calls")


@af.job
def step(*before: Any) -> list[str]:
    name, _ = note()
    return sorted({name, *(n for b in before for n in b)})


@af.job(retries=2, retry_delay=0.002)
def unsteady(before: list[str]) -> tuple[str, ...]:
    note()
    if af.current().attempt == 1:
        raise ValueError("at first")
    return tuple(before)


@af.job
def announce(before: list[str]) -> None:
    note()
    job = af.current()
    job.publish("ready", {"by": job.job}, dedupe_key=f"{job.execution_id} {job.job} {job.number}")


@af.job
def listen() -> Any:
    note()
    event = af.current().event
    assert event is not None
    return event.value


@af.job
def double(n: int) -> int:
    note()
    return 2 * n


@af.job
def falsy() -> bool:
    note()
    return False


@af.workflow
def twenty() -> None:
    """Twenty jobs: a chain, a fan, a retry, an event between jobs, a limit, elements of a list, and a skip."""
    first = step.options(name="first")()
    chain = first
    for number in range(4):
        chain = step.options(name=f"chain{number}")(chain)
    fan = [step.options(name=f"fan{number}", limits={"fan": 1} if number < 2 else {})(first) for number in range(5)]
    joined = step.options(name="joined")(*fan)
    again = unsteady(chain)
    announce(joined)
    heard = listen().start_on(af.event("ready").own())
    doubled = double.map([1, 2, 3])
    step.options(name="unkept", persist=False)(first)
    last = step.options(name="last")(again).after(heard, doubled)
    step.options(name="skipped")(first).run_if(falsy().after(last))
    step.options(name="end")(joined).after(last)


JOBS = (
    "first", *(f"chain{n}" for n in range(4)), *(f"fan{n}" for n in range(5)), "joined", "unsteady", "announce", "listen",
    "double", "unkept", "last", "falsy", "skipped", "end",
)  # fmt: skip


def open_home(home: Path, workers: int = 3) -> af.Project:
    """Open a home for a run."""
    return af.Project("crash", home=home, workers=workers, plugins=[metering.METER])


def durable(home: Path) -> dict[str, Any]:
    """Say what is recorded, and how often jobs were called; opening must run nothing."""
    before = calls_of(home).read_bytes() if calls_of(home).exists() else b""
    with open_home(home) as project:
        done = [[j.job, j.number] for j in project.jobs.list(limit=None, status="SUCCESS")]
        statuses = [str(e.status) for e in project.executions.list()]
        events = project.events.count()
    after = calls_of(home).read_bytes() if calls_of(home).exists() else b""
    assert after == before, "opening a home ran something"
    return {"done": done, "statuses": statuses, "events": events, "calls": len(before.splitlines())}


def recover(home: Path) -> dict[str, Any]:
    """Go on with what was interrupted, wait for its end, and look at it."""
    with open_home(home) as project:
        taken = project.recover()
        for execution in taken:
            execution.wait(60)
            assert_replays(execution)
        found = []
        for execution in project.executions.list(limit=None):
            rows = [[j.job, j.number, str(j.status), j.attempt] for j in execution.jobs]
            found.append({"id": execution.id, "status": str(execution.status), "rows": rows})
        return {"taken": len(taken), "executions": found}


def calls(home: Path) -> list[list[Any]]:
    """Give the calls of jobs, in order: name, number, attempt."""
    text = calls_of(home).read_text() if calls_of(home).exists() else ""
    return [[name, int(number), int(attempt)] for name, number, attempt in map(str.split, text.splitlines())]


def check_no_second_call(home: Path, looks: list[dict[str, Any]]) -> None:
    """No job is called again after its success was durable."""
    made = calls(home)
    for look in looks:
        again = [c for c in made[look["calls"] :] if [c[0], c[1]] in look["done"]]
        assert not again, f"called again after their success was durable: {again}"


# --- at each commit -------------------------------------------------------------------------------------------------


def run_and_die(home: Path, at: int, after: bool, workers: int, workflow: Any = None) -> int:
    """Run the workflow, and be killed at the n-th COMMIT, just before or just after it; give how many there were."""
    project = open_home(home, workers)
    count = [0]

    def look(sql: str, is_after: bool) -> None:
        if sql == "COMMIT" and is_after == after:
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(project, before=lambda sql: look(sql, False), after=lambda sql: look(sql, True))
    project.run(workflow or twenty, timeout=60)
    project.close()
    return count[0]


def check_twenty(home: Path, looks: list[dict[str, Any]]) -> None:
    """Check what a recovered execution of the twenty jobs looks like, in rows, in the log and in calls."""
    found = fork(recover, home)
    (execution,) = found["executions"]
    assert execution["status"] == "SUCCESS", execution
    rows = Counter((job, status) for job, _, status, _ in execution["rows"])
    assert rows == Counter({(job, "SKIPPED" if job == "skipped" else "SUCCESS"): 1 for job in JOBS}), execution["rows"]
    called = Counter(name for name, _, _ in calls(home))
    assert set(called) == set(JOBS) - {"skipped"}
    check_no_second_call(home, looks)
    invariants.check(home, not_kept=("unkept",))


def die_at_each_commit(folder: str, after: bool, workers: int, what: str = "twenty") -> dict[str, Any]:
    """Kill at the first commit, the second, … until the workflow survives."""
    run, check = {
        "twenty": (run_and_die, check_twenty),
        "rain": (rain_and_die, lambda home, looks: check_rain(home)),
        "life": (live_and_die, lambda home, looks: check_life(home)),
        "school": (learn_and_die, lambda home, looks: check_school(home)),
        "meter": (meter_and_die, lambda home, looks: fork(metering.check, home, recover)),
    }[what]
    stayed = Counter[str]()
    with tempfile.TemporaryDirectory(dir=folder) as root:
        for at in range(1, 500):
            home = Path(root, str(at))
            outcome = Fork(run, home, at, after, workers).wait()
            assert not outcome.error, outcome.error
            look = fork(durable, home)
            for _ in range(100):  # a child that was being started when its parent died has the lock until its exec
                if not outcome.killed or look["statuses"][:1] != ["RUNNING"]:
                    break
                look = fork(durable, home)
            if not outcome.killed:
                assert look["statuses"] == ["SUCCESS"]
                check(home, [look])
                return {"commits": outcome.result, "kills": at - 1, "stayed": stayed}
            stayed[",".join(look["statuses"])] += 1
            if look["statuses"]:
                assert look["statuses"][0] in ("INTERRUPTED", "SUCCESS"), look["statuses"]
            else:  # it died before the execution was recorded
                fork(run, home, 0, after, workers)
            check(home, [look])
            shutil.rmtree(home)
            calls_of(home).unlink(missing_ok=True)
    raise AssertionError("it never survived")


def meter_and_die(home: Path, at: int, after: bool, workers: int) -> int:
    """Run the workflow with a job that runs outside, and be killed at the n-th COMMIT."""
    return run_and_die(home, at, after, workers, metering.metered)


# --- streams --------------------------------------------------------------------------------------------------------

DROPS = 12


@af.job(buffer=4)
def drip(n: int) -> Iterator[int]:
    """Count; how far is known by nothing but the state."""
    note()
    state = af.current().state
    for i in range(state.get("next", 0), n):
        state["next"] = i + 1
        yield i


@af.job
def catch(drop: int) -> int:
    note()
    return drop


@af.job
def pour(items: af.Stream) -> Iterator[int]:
    note()
    yield from items


@af.job
def fill(items: af.Stream) -> int:
    """Count what was poured, each drop at least once."""
    note()
    state = af.current().state
    for item in items:
        state["seen"] = sorted({*state.get("seen", ()), item})
    return len(state["seen"])


@af.workflow
def rain() -> None:
    """A stream that starts a job with each item, and one that flows through another to a job that returns."""
    drops = drip(DROPS)
    double(catch(drops))
    fill(pour(drip.options(name="drip2", checkpoint=0, buffer=2)(DROPS)))


def rain_and_die(home: Path, at: int, after: bool, workers: int) -> int:
    """Run the streams, and be killed at the n-th COMMIT; give how many there were."""
    return run_and_die(home, at, after, workers, rain)


def check_rain(home: Path) -> None:
    """Each item was used once in the record, and in order; what flows through memory came at least once."""
    found = fork(recover, home)
    (execution,) = found["executions"]
    assert execution["status"] == "SUCCESS", execution
    rows = Counter((job, status) for job, _, status, _ in execution["rows"])
    once = {(job, "SUCCESS"): 1 for job in ("drip", "drip2", "pour", "fill")}
    assert rows == Counter({**once, ("catch", "SUCCESS"): DROPS, ("double", "SUCCESS"): DROPS}), execution["rows"]
    fork(_check_drops, home)
    invariants.check(home)


def _check_drops(home: Path) -> None:
    with open_home(home) as project:
        (execution,) = project.executions.list()
        assert execution.results("catch") == list(range(DROPS))
        assert execution.results("double") == [2 * i for i in range(DROPS)]
        assert execution.result("fill") == DROPS
        items = [e.value["item"] for e in project.events.list(types="STREAM_ITEM")]
        assert items == list(range(1, DROPS + 1))
        assert list(project.db["items"].rows) == []


# --- the life of a model ----------------------------------------------------------------------------------------------

MEAN = af.Model("mean")


@af.train(MEAN)
def fit(rows: list[float], base: float | None) -> float:
    note()
    return sum(rows)


@af.evaluate(MEAN)
def measure(model: float) -> dict[str, float]:
    note()
    return {"size": model}


@af.model_validate(MEAN)
def approve(model: float, deployed: float | None) -> bool:
    note()
    return deployed is None or model > deployed


@af.push_model(MEAN)
def push(version: af.ModelVersion) -> None:
    note()


@af.workflow
def life() -> None:
    """Three models: the first is deployed, the second takes its place, the third is not good enough."""
    first = fit.options(name="fit1")([1.0])
    pushed = push.options(name="push1")(approve.options(name="approve1")(first))
    second = fit.options(name="fit2")([2.0]).after(pushed)
    measured = measure(second).after(push.options(name="push2")(approve.options(name="approve2")(second)))
    push.options(name="push3")(approve.options(name="approve3")(fit.options(name="fit3")([1.0]).after(measured)))


def live_and_die(home: Path, at: int, after: bool, workers: int) -> int:
    """Run the life of a model, and be killed at the n-th COMMIT; give how many there were."""
    return run_and_die(home, at, after, workers, life)


def check_life(home: Path) -> None:
    """Each version is there once, with the next number, and has been said once; one is deployed."""
    found = fork(recover, home)
    (execution,) = found["executions"]
    assert execution["status"] == "SUCCESS", execution
    fork(_check_versions, home)
    invariants.check(home)


def _check_versions(home: Path) -> None:
    with open_home(home) as project:
        versions = project.models.get("mean").versions()
        assert [(v.number, v.stage, v.job, v.load()) for v in versions] == [
            (1, "DEPRECATED", "fit1", 1.0), (2, "DEPLOYED", "fit2", 2.0), (3, "GENERATED", "fit3", 1.0),
        ]  # fmt: skip
        said = [(e.type.removeprefix("MODEL_"), e.value["number"]) for e in project.events.list(types="MODEL_*")]
        assert said == [
            ("GENERATED", 1), ("VALIDATED", 1), ("DEPLOYED", 1), ("GENERATED", 2), ("VALIDATED", 2), ("DEPRECATED", 1),
            ("DEPLOYED", 2), ("GENERATED", 3),
        ]  # fmt: skip
        assert [(m.value, m.number) for m in project.metrics.history("size", model="mean")] == [(2.0, 2)]
        (execution,) = project.executions.list()
        assert {j.job for j in execution.jobs if j.status == "SKIPPED"} == {"push3"}


# --- a stream that trains ---------------------------------------------------------------------------------------------

LESSONS = 6


@af.train(MEAN)
def learn(n: int) -> Iterator[float]:
    """Train a model with each lesson; how far is known by nothing but the state."""
    note()
    state = af.current().state
    for i in range(state.get("next", 1), n + 1):
        state["next"] = i + 1
        yield float(i)


@af.monitor(MEAN)
def worry(model: Any, n: int) -> Iterator[dict[str, float]]:
    note()
    state = af.current().state
    for i in range(state.get("next", 1), n + 1):
        state["next"] = i + 1
        yield {"worry": float(i)}


@af.job
def report(metrics: dict[str, float]) -> None:
    note()


@af.workflow
def school() -> None:
    """Each version that a stream trains is approved and pushed; another stream logs metrics of the deployed one."""
    push(approve(learn(LESSONS)))
    report(worry(LESSONS))


def learn_and_die(home: Path, at: int, after: bool, workers: int) -> int:
    """Run the school, and be killed at the n-th COMMIT; give how many there were."""
    return run_and_die(home, at, after, workers, school)


def check_school(home: Path) -> None:
    """Each lesson is one version, and each worry one metric, whatever was done again."""
    found = fork(recover, home)
    (execution,) = found["executions"]
    assert execution["status"] == "SUCCESS", execution
    fork(_check_lessons, home)
    invariants.check(home)


def _check_lessons(home: Path) -> None:
    with open_home(home) as project:
        versions = project.models.get("mean").versions()
        assert [(v.number, v.load()) for v in versions] == [(i, float(i)) for i in range(1, LESSONS + 1)]
        assert [str(v.stage) for v in versions] == ["DEPRECATED"] * (LESSONS - 1) + ["DEPLOYED"]
        assert [m.value for m in project.metrics.history("worry")] == [float(i) for i in range(1, LESSONS + 1)]
        told = [e.value["number"] for e in project.events.list(types="MODEL_GENERATED")]
        assert told == list(range(1, LESSONS + 1))


# --- at any moment --------------------------------------------------------------------------------------------------


@af.job
def toll() -> Any:
    note()
    event = af.current().event
    assert event is not None
    return event.value


@af.workflow
def mixture() -> None:
    """Retries, a fan, elements of a list, an event from one job to another, and events of another process."""
    twenty()
    toll().start_on(af.event("tock"))
    step.options(name="finale")([]).after(toll.options(name="last_toll")().start_on(af.event("tock", TOCKS - 1)))


MIXTURE = Counter({f"twenty.{job}": 1 for job in JOBS}) + Counter({"toll": TOCKS, "last_toll": 1, "finale": 1})


class Turn:
    """Two bytes that are seen by all forks: whether a transaction is open, and whether the run is over."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096)

    def begin(self) -> None:
        """Forget what was."""
        self.memory[:2] = bytes(2)

    def wait(self, seconds: float = 5.0) -> None:
        """Watch until a transaction is open, or none will be any more."""
        end = time.monotonic() + seconds
        while not any(self.memory[:2]) and time.monotonic() < end:
            pass

    def watch(self, project: af.Project) -> None:
        """Keep the byte up to date."""

        def after(sql: str) -> None:
            if sql.startswith("BEGIN"):
                self.memory[0] = 1
            elif sql in ("COMMIT", "ROLLBACK"):
                self.memory[0] = 0

        watch(project, after=after)


def run_mixture(home: Path, turn: Turn, started: Path) -> None:
    """Start the mixture, or go on with it, and wait for its end."""
    project = open_home(home)
    turn.watch(project)
    running = project.recover() or [] if project.executions.count() else [project.start(mixture)]
    started.touch()
    for execution in running:
        execution.wait(60)
    project.close()
    turn.memory[1] = 1


def publish_tocks(home: Path, started: Path, seed: int) -> list[int]:
    """Publish the events that the mixture waits for, whether or not anybody runs it; give their offsets."""
    rng = random.Random(seed)
    end = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < end
        time.sleep(0.0005)
    offsets = []
    with af.Project("crash", home=home) as project:
        for number in range(TOCKS):
            offsets.append(project.publish("tock", number).offset)
            time.sleep(rng.uniform(0, 0.004))
    return offsets


def die_at_random(folder: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill at `kills` random moments, two at most in one execution; give what was counted."""
    rng = random.Random(seed)
    turn = Turn()
    counted = Counter[str]()
    events = handled = 0
    with tempfile.TemporaryDirectory(dir=folder) as root:
        usual = _usual_time(Path(root, "usual"), turn)
        number = 0
        while counted["kills"] < kills:
            number += 1
            home = Path(root, str(number))
            started = home.with_suffix(".started")
            looks = []
            tocks = Fork(publish_tocks, home, started, rng.randrange(2**31))
            for _ in range(2):
                turn.begin()
                run = Fork(run_mixture, home, turn, started)
                time.sleep(rng.uniform(0, usual))
                if aimed := rng.random() < 0.5:
                    turn.wait()
                run.kill()
                outcome = run.wait()
                assert not outcome.error, outcome.error
                if not outcome.killed:
                    counted["came too late"] += 1
                    break
                counted["kills"] += 1
                counted["aimed at a turn"] += aimed
                counted["inside a turn"] += turn.memory[0]
                looks.append(fork(durable, home))
                counted["before the start"] += not looks[-1]["statuses"]
            if looks and not looks[-1]["statuses"]:
                fork(run_mixture, home, turn, started)
            started.touch()
            published = tocks.wait()
            assert not published.error, published.error
            found = fork(recover, home)
            _check_mixture(home, found, published.result, looks)
            events += fork(durable, home)["events"]
            handled += len(published.result)
            shutil.rmtree(home)
            for left in (calls_of(home), started):
                left.unlink(missing_ok=True)
    return {**counted, "seed": seed, "homes": number, "events": events, "events of others": handled, "usual": usual}


def _usual_time(home: Path, turn: Turn) -> float:
    started = home.with_suffix(".started")
    begin = time.monotonic()
    tocks = Fork(publish_tocks, home, started, 1)
    fork(run_mixture, home, turn, started)
    tocks.wait()
    return time.monotonic() - begin


def _check_mixture(home: Path, found: dict[str, Any], offsets: list[int], looks: list[dict[str, Any]]) -> None:
    (execution,) = found["executions"]
    assert execution["status"] == "SUCCESS", execution
    rows = Counter(
        job
        for job, _, status, _ in execution["rows"]
        if status == ("SKIPPED" if job == "twenty.skipped" else "SUCCESS")
    )
    assert rows == MIXTURE, (rows - MIXTURE, MIXTURE - rows, execution["rows"])
    assert len(execution["rows"]) == sum(MIXTURE.values()), execution["rows"]
    called = {name for name, _, _ in calls(home)}
    assert called == set(MIXTURE) - {"twenty.skipped"}, called
    check_no_second_call(home, looks)
    invariants.check(home, not_kept=("twenty.unkept",))
    fork(_check_tocks, home, offsets)


def _check_tocks(home: Path, offsets: list[int]) -> None:
    """What was acknowledged is there, and was handled once and in order."""
    with open_home(home) as project:
        assert [e.offset for e in project.events.list("tock")] == offsets
        (execution,) = project.executions.list()
        assert execution.results("toll") == list(range(TOCKS))
        assert [j.event_offset for j in execution.jobs if j.job == "toll"] == offsets
        assert [e.value for e in project.events.list("ready")] == [{"by": "twenty.announce"}]
        text = json.dumps(
            [execution.result(name) for name in execution.job_names if name not in ("twenty.skipped", "twenty.unkept")]
        )
        assert "twenty.first" in text
