"""Hard cases for jobs on a real cluster, written from the pages alone by somebody who had not read the code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from examples import flink_operator
from tests.flink import deeds
from tests.flink.waiting import until

import aiflow as af
from aiflow.runners.flink_cluster import Address
from aiflow.runners.flink_rest import FlinkRest
from aiflow.runners.flink_terms import ENDED

pytestmark = pytest.mark.flink


def going_on(cluster: Address, execution: af.Execution) -> list[str]:
    """The Flink jobs of a workflow that are not over, noted by aiflow or not."""
    jobs = FlinkRest(cluster.url).jobs()
    return [job.id for job in jobs if job.name.startswith(execution.workflow) and job.state not in ENDED]


def command(home: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aiflow", "--home", str(home), *words],
        capture_output=True, text=True, timeout=200, check=False, **options,
    )  # fmt: skip


@contextmanager
def running(home: Path, log: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command line as a child, killed if it is still there at the end."""
    with log.open("w") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "aiflow", "--home", str(home), *words], stdout=file, stderr=file, text=True
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait(30)


# --- 1: room ---


@pytest.mark.costly
def test_a_job_without_room_holds_up_nobody_and_a_timeout_ends_it_and_leaves_nothing(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    @af.workflow
    def blind_room() -> None:
        batch = af.flink_sql("SELECT 20 AS x", name="sooner")
        stream = deeds.counting.options(name="too_wide", parallelism=40, timeout=8)(str(tmp_path / "counts")).after(
            batch
        )
        af.flink_sql("SELECT 20 AS x", name="later").start_on(stream.failed)

    execution = flink.start(blind_room)
    until(lambda: (job := execution.job("too_wide")) and "waits for slots: needs 40, free " in str(job.label), 90)
    began = time.monotonic()
    until(lambda: execution.job("too_wide").status == "FAILED", 40)
    assert time.monotonic() - began < 20  # what has never run has no state to save
    execution.wait(60)
    assert execution.job("too_wide").error
    assert "8 s" in str(execution.job("too_wide").error)
    assert execution.status == "FAILED"
    assert [execution.result(name).x.tolist() for name in ("sooner", "later")] == [[20], [20]]
    until(lambda: going_on(cluster, execution) == [], 20)


def test_a_batch_may_have_as_many_parts_that_exchange_rows_as_there_are_slots(flink: af.Project) -> None:
    numbers = "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '800', 'fields.n.max' = '9', 'fields.n.min' = '1')"

    @af.workflow
    def blind_exchange() -> None:
        af.flink_sql([numbers, "SELECT n, COUNT(*) AS c FROM numbers GROUP BY n"], name="grouped", parallelism=8)

    assert flink.run(blind_exchange, timeout=90).result("grouped").c.sum() == 800


# --- 2: state ---


@pytest.mark.costly
def test_what_a_stream_goes_on_with_follows_from_fresh_and_savepoint_on_stop(flink: af.Project, tmp_path: Path) -> None:
    names = ("goes_on", "is_fresh", "is_cancelled")

    @af.workflow(ends="never")
    def blind_states() -> None:
        seldom = {"execution.checkpointing.interval": "1 h"}
        options: dict[str, dict[str, Any]] = {
            "goes_on": {}, "is_fresh": {"fresh": True}, "is_cancelled": {"savepoint_on_stop": False, "config": seldom}
        }  # fmt: skip
        for name in names:
            deeds.counting.options(name=name, **options[name])(str(tmp_path / name))

    execution = flink.start(blind_states)
    until(lambda: all(len(deeds.lines(tmp_path / name)) > 10 for name in names), 120)
    for name in names:
        execution.restart_job(name)
    until(lambda: all(execution.job(name).number == 2 for name in names), 60)
    seen = {name: len(deeds.lines(tmp_path / name)) for name in names}
    until(lambda: all(len(deeds.lines(tmp_path / name)) > seen[name] + 10 for name in names), 120)
    execution.stop().wait(120)
    counts = {name: deeds.lines(tmp_path / name) for name in names}
    assert counts["goes_on"] == list(range(1, len(counts["goes_on"]) + 1))
    for name in names[1:]:
        assert counts[name].count(1) == 2, name
        second = counts[name].index(1, 1)
        assert counts[name] == [*range(1, second + 1), *range(1, len(counts[name]) - second + 1)]
    assert not execution.job("is_cancelled").note["savepoints"]
    assert [job.status for job in execution.jobs] == ["STOPPED"] * 6


@pytest.mark.costly
def test_a_stream_is_resumed_by_the_same_process_with_another_operator_and_the_counts_of_its_keys(
    flink: af.Project, tmp_path: Path
) -> None:
    path = tmp_path / "counts"

    def define(scale: int) -> Any:
        @af.flink_job(stream=True)
        def per_key(env: Any, t_env: Any, path: str) -> None:
            from pyflink.common import Types
            from pyflink.datastream.functions import KeyedProcessFunction
            from pyflink.datastream.state import ValueStateDescriptor

            class Count(KeyedProcessFunction):
                def open(self, runtime_context: Any) -> None:
                    self.count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

                def process_element(self, value: Any, ctx: Any) -> Any:
                    self.count.update((self.count.value() or 0) + 1)
                    with open(path, "a") as file:
                        file.write(f"{scale * (10 * self.count.value() + value % 3)}\n")
                    yield value

            t_env.execute_sql(
                "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '60', "
                "'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '1000000')"
            )
            numbers = t_env.to_data_stream(t_env.from_path("source")).map(lambda row: row[0], Types.LONG())
            if scale > 1:
                numbers = numbers.map(lambda n: n, Types.LONG()).uid("another")
            numbers.key_by(lambda n: n % 3).process(Count(), Types.LONG()).uid("count").print()

        @af.workflow
        def blind_keys(path: str) -> None:
            per_key(path)

        return blind_keys

    execution = flink.start(define(1), path=str(path))
    until(lambda: len(deeds.lines(path)) > 20, 90)
    execution.stop().wait(90)
    before = deeds.lines(path)
    define(10_000)
    execution.resume()
    until(lambda: len(deeds.lines(path)) > len(before) + 12, 90)
    execution.stop().wait(90)
    after = [n // 10_000 for n in deeds.lines(path)[len(before) :]]
    for key in range(3):
        counts = [n // 10 for n in before + after if n % 10 == key]
        assert counts == list(range(1, len(counts) + 1))


def test_a_stream_may_be_several_flink_jobs_and_ends_with_the_last(flink: af.Project) -> None:
    source = "CREATE TABLE few (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '9')"
    nothing = "CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole')"

    @af.workflow
    def blind_several() -> None:
        af.flink_sql([source, nothing, *["INSERT INTO nothing SELECT n FROM few"] * 3], name="several", stream=True)

    execution = flink.run(blind_several, timeout=90)
    assert execution.job("several").label == "3 Flink jobs"


@pytest.mark.costly
def test_each_flink_job_of_a_stream_goes_on_from_its_own_savepoint(flink: af.Project, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "second")]

    @af.flink_job(stream=True)
    def twins(env: Any, t_env: Any) -> None:
        for path in paths:
            deeds.counting(env, t_env, str(path))
            env.execute_async(path.name)
            t_env.execute_sql("DROP TEMPORARY TABLE source")

    @af.workflow(ends="never")
    def blind_twins() -> None:
        twins()

    def have_counted(more: int) -> bool:
        return all(len(deeds.lines(path)) > more for path in paths)

    execution = flink.start(blind_twins)
    until(lambda: have_counted(20), 90)
    execution.restart_job("twins")
    until(lambda: execution.job("twins").number == 2, 60)
    before = max(len(deeds.lines(path)) for path in paths)
    until(lambda: have_counted(before + 10), 90)
    execution.stop().wait(90)
    for path in paths:
        counts = deeds.lines(path)
        assert counts == list(range(1, len(counts) + 1))
    savepoints = [path for job in execution.jobs for path in job.note["savepoints"]]
    assert len({*savepoints}) == 4


# --- 3 and 4: the orchestrator dies, or is interrupted ---

FLOW = """
import aiflow as af
from tests.flink import deeds

@af.flink_job(stream=True, config={"execution.checkpointing.interval": "1 s"})
def counts(env, t_env, path: str):
    deeds.counting(env, t_env, path)

@af.job
def first():
    print("first ran")

@af.workflow
def NAME(path: str):
    counts(path).after(first())
"""


def begun(flink: af.Project, workflow: str) -> Any:
    """The execution of a workflow that another process runs, as soon as its stream runs."""
    (execution,) = until(lambda: flink.executions.list(workflow=workflow), 60)
    until(lambda: (job := execution.job("counts")) and job.note and job.note["is_complete"], 90)
    return execution


@pytest.mark.costly
def test_a_run_that_was_killed_is_run_on_and_finds_its_stream_which_never_ceased(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    path, flow = tmp_path / "counts", tmp_path / "flow.py"
    flow.write_text(FLOW.replace("NAME", "blind_killed"))
    with running(flink.home, tmp_path / "1.log", "run", str(flow), "-p", f"path={path}") as child:
        execution = begun(flink, "blind_killed")
        until(lambda: len(deeds.lines(path)) > 10, 60)
        child.kill()
    (job,) = going_on(cluster, execution)
    until(lambda: execution.status == "INTERRUPTED", 20)
    seen = len(deeds.lines(path))
    with running(flink.home, tmp_path / "2.log", "run", "--resume", str(flow)) as child:
        until(lambda: execution.status == "RUNNING", 60)
        until(lambda: len(deeds.lines(path)) > seen + 40, 60)
        assert going_on(cluster, execution) == [job]
        child.send_signal(signal.SIGINT)
        assert child.wait(90) == 130, (tmp_path / "2.log").read_text()
    assert going_on(cluster, execution) == []
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))
    assert (execution.status, execution.job("counts").attempt, execution.job("counts").number) == ("STOPPED", 1, 1)
    assert [job.job for job in execution.jobs] == ["first", "counts"]


@pytest.mark.costly
def test_an_interrupt_and_a_second_one_cost_a_stream_no_record(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    path, flow = tmp_path / "counts", tmp_path / "flow.py"
    flow.write_text(FLOW.replace("NAME", "blind_interrupted"))
    with running(flink.home, tmp_path / "1.log", "run", str(flow), "-p", f"path={path}") as child:
        execution = begun(flink, "blind_interrupted")
        until(lambda: len(deeds.lines(path)) > 10, 60)
        child.send_signal(signal.SIGINT)
        until(lambda: execution.status == "STOPPING", 20)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130, (tmp_path / "1.log").read_text()
    assert "Traceback" not in (tmp_path / "1.log").read_text()
    until(lambda: execution.status in ("STOPPED", "INTERRUPTED"), 20)
    with running(flink.home, tmp_path / "2.log", "execution", "resume", execution.id, "--file", str(flow)) as child:
        until(lambda: execution.status in ("STOPPED", "RUNNING"), 90)
        if execution.status == "STOPPED":  # what was asked to stop ends STOPPED
            child.wait(60)
    if execution.status == "STOPPED":
        again = running(flink.home, tmp_path / "3.log", "execution", "resume", execution.id, "--file", str(flow))
    else:
        again = running(flink.home, tmp_path / "3.log", "run", "--resume", str(flow))
    seen = len(deeds.lines(path))
    with again as child:
        until(lambda: len(deeds.lines(path)) > seen + 10, 120)
        child.send_signal(signal.SIGINT)
        assert child.wait(90) == 130, (tmp_path / "3.log").read_text()
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))
    assert execution.status == "STOPPED"
    assert going_on(cluster, execution) == []


@pytest.mark.costly
def test_a_process_that_is_killed_while_its_stream_is_being_built_leaves_one_stream_after_a_resume(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    path, mark, flow = tmp_path / "counts", tmp_path / "mark", tmp_path / "flow.py"
    flow.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            import aiflow as af
            from tests.flink import deeds

            @af.flink_job(stream=True, name="counts")
            def counts(env, t_env, path: str):
                deeds.counting(env, t_env, path)
                env.execute_async("blind_half_built by itself")
                if not Path({str(mark)!r}).exists():
                    Path({str(mark)!r}).touch()
                    time.sleep(600)

            @af.workflow
            def blind_half_built(path: str):
                counts(path)
            """
        )
    )
    with running(flink.home, tmp_path / "1.log", "run", str(flow), "-p", f"path={path}") as child:
        until(mark.exists, 90)
        until(lambda: len(deeds.lines(path)) > 5, 90)
        child.kill()
    (execution,) = flink.executions.list(workflow="blind_half_built")
    with running(flink.home, tmp_path / "2.log", "run", "--resume", str(flow)) as child:
        until(lambda: (note := execution.job("counts").note) and note["is_complete"], 120)
        seen = len(deeds.lines(path))
        until(lambda: len(deeds.lines(path)) > seen + 10, 60)
        assert len(going_on(cluster, execution)) == 1
        child.send_signal(signal.SIGINT)
        assert child.wait(90) == 130
    assert going_on(cluster, execution) == []


# --- 5: gauges ---


@pytest.mark.costly
def test_each_mark_of_a_stream_starts_its_batch_once_over_restarts_and_the_end_of_input_passes_the_rest(
    flink: af.Project,
) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    @af.flink_job(stream=True)
    def hours(t_env: Any, end: int) -> None:
        t_env.execute_sql(f"""CREATE TEMPORARY TABLE hours (
            n BIGINT, moment AS TO_TIMESTAMP_LTZ({int(begin.timestamp() * 1000)} + n * 600000, 3), WATERMARK FOR moment AS moment
        ) WITH ('connector' = 'datagen', 'rows-per-second' = '20',
                'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{end}')""")
        t_env.execute_sql("CREATE TEMPORARY TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole')")
        t_env.execute_sql("INSERT INTO nothing SELECT n FROM hours")

    @af.flink_job
    def train(t_env: Any) -> Any:
        return t_env.sql_query("SELECT COUNT(*) AS n FROM (VALUES (1), (2)) AS t(n)")

    @af.job
    def count() -> Any:
        return af.current().event.value["at"]

    @af.workflow
    def blind_marks() -> None:
        stream = hours(220).restart_on(af.event("blind.again").own())
        train().start_on(stream.watermark >= begin + timedelta(hours=5))
        count.options(name="first")().start_on(stream.records >= 20)
        count.options(name="both")().start_on((stream.watermark >= "2026-01-01T08:00Z") & (stream.records >= 60))
        count.options(name="far")().start_on(stream.watermark >= begin + timedelta(days=9000))
        count.options(name="many")().start_on(stream.records >= 100_000)

    execution = flink.start(blind_marks)
    until(lambda: execution.job("first") and execution.job("first").status == "SUCCESS", 90)
    flink.publish("blind.again", context=execution.id)  # not its own, and changes nothing
    execution.restart_job("hours")
    until(lambda: execution.job("hours").number == 2, 60)
    execution.wait(120)
    assert execution.status == "SUCCESS", execution.jobs
    assert execution.job("hours").number == 2
    ran = sorted((job.job, str(job.status)) for job in execution.jobs if job.job != "hours")
    assert ran == [
        ("both", "SUCCESS"),
        ("far", "SUCCESS"),
        ("first", "SUCCESS"),
        ("many", "SKIPPED"),
        ("train", "SUCCESS"),
    ]
    passed = [event.value for event in execution.events() if event.type == "JOB_PASSED"]
    assert len(passed) == len({json.dumps(value, sort_keys=True) for value in passed})


# --- 6: jobs of others ---


def test_an_observer_ends_as_what_it_watches_and_says_what_it_cannot_find(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    rest = FlinkRest(cluster.url)
    jar = rest.upload_jar(Path(flink_operator.__file__).parent / "jars/counting.jar")
    watched = rest.run_jar(jar, "Sums", [str(tmp_path / "sums")])
    rest.delete_jar(jar)

    @af.job
    def which() -> str:
        return watched

    @af.job
    def stopped() -> str:
        return "they stopped it"

    @af.job
    def runs() -> str:
        return "it runs"

    @af.workflow
    def blind_watching() -> None:
        theirs = af.observe_flink(which(), cluster.url, name="theirs", interval=0.1)
        runs().start_on(theirs.running)
        stopped().start_on(theirs.stopped | theirs.failed)
        af.observe_flink("0123456789abcdef0123456789abcdef", cluster.url, name="unknown", allow_failure=True)
        af.observe_flink(watched, "http://127.0.0.1:9", name="down", lost_after=0.5, allow_failure=True)

    execution = flink.start(blind_watching)
    until(lambda: "running" in str((job := execution.job("theirs")) and job.label).lower(), 60)
    until(lambda: all((job := execution.job(name)) and job.status == "FAILED" for name in ("unknown", "down")), 60)
    assert execution.job("theirs").status == "RUNNING"
    rest.cancel(watched)
    execution.wait(60)
    errors = {job.job: str(job.error) for job in execution.jobs}
    assert "0123456789abcdef" in errors["unknown"]
    assert "has not answered" in errors["down"]
    assert all("\n" not in error and len(error) < 400 for error in errors.values()), errors
    assert execution.result("runs") == "it runs"
    assert execution.result("stopped") == "they stopped it"


# --- 7: timeouts and retries ---


class Flaky(ValueError):
    """What goes away by itself."""


@pytest.mark.costly
def test_a_function_that_fails_twice_on_a_worker_is_tried_a_third_time_and_only_if_retry_on_says_so(
    flink: af.Project, tmp_path: Path
) -> None:
    def fail_until(tries: Path, n: int, kind: type[Exception]) -> int:
        with tries.open("a") as file:
            file.write("x")
        if len(tries.read_text()) < n:
            raise kind(f"try {len(tries.read_text())}")
        return len(tries.read_text())

    @af.flink_job(retries=2, retry_delay=0.1, retry_backoff=1.0)
    def flaky(t_env: Any, name: str, n: int, kind: type[Exception]) -> Any:
        from pyflink.table.udf import udf

        tries = tmp_path / name
        t_env.create_temporary_system_function("tried", udf(lambda _: fail_until(tries, n, kind), result_type="BIGINT"))
        return t_env.sql_query("SELECT tried(n) AS n FROM (VALUES (CAST(1 AS BIGINT))) AS t(n)")

    @af.workflow
    def blind_retries() -> None:
        flaky.options(name="third")("third", 3, Flaky)
        flaky.options(name="base", retry_on=(ValueError,))("base", 2, Flaky)
        flaky.options(name="other", retry_on=(OSError,))("other", 2, Flaky)
        flaky.options(name="never")("never", 9, Flaky)

    execution = flink.run(blind_retries, check=False, timeout=150)
    got = {job.job: (str(job.status), job.attempt, len((tmp_path / job.job).read_text())) for job in execution.jobs}
    assert got == {
        "third": ("SUCCESS", 3, 3), "base": ("SUCCESS", 2, 2), "other": ("FAILED", 1, 1), "never": ("FAILED", 3, 3),
    }  # fmt: skip
    assert int(execution.result("third").n[0]) == 3
    assert "Flaky" in str(execution.job("never").error)
    assert "try 3" in str(execution.job("never").error)


@pytest.mark.costly
def test_a_timeout_ends_what_hangs_in_the_function_on_a_worker_and_in_a_stream(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    @af.flink_job(timeout=8, stop_timeout=1)
    def hangs_on_a_worker(t_env: Any) -> Any:
        from pyflink.table.udf import udf

        t_env.create_temporary_system_function("hang", udf(lambda n: time.sleep(600) or n, result_type="BIGINT"))
        return t_env.sql_query("SELECT hang(n) AS n FROM (VALUES (CAST(1 AS BIGINT))) AS t(n)")

    @af.flink_job(timeout=4, retries=1, retry_delay=0.1)
    def hears(env: Any) -> str:
        af.current().wait_stop(600)
        return "stopped"

    @af.workflow
    def blind_timeouts() -> None:
        hangs_on_a_worker()
        hears()
        deeds.counting.options(name="stream", timeout=9)(str(tmp_path / "counts"))

    began = time.monotonic()
    execution = flink.start(blind_timeouts)
    execution.wait(90)
    assert time.monotonic() - began < 60
    assert {job.job: (str(job.status), job.attempt) for job in execution.jobs} == {
        "hangs_on_a_worker": ("FAILED", 1), "hears": ("FAILED", 2), "stream": ("FAILED", 1),
    }  # fmt: skip
    for name, seconds in ("hangs_on_a_worker", "8"), ("hears", "4"), ("stream", "9"):
        assert seconds in str(execution.job(name).error), execution.job(name).error
    until(lambda: going_on(cluster, execution) == [], 30)


# --- 8: publishing over a failure ---


@pytest.mark.costly
def test_what_a_stream_publishes_is_there_once_over_a_failure_of_its_function(
    flink: af.Project, tmp_path: Path
) -> None:
    failed = tmp_path / "failed"

    once = {"execution.checkpointing.interval": "300 ms", "restart-strategy.type": "none"}  # else Flink itself goes on

    @af.flink_job(stream=True, retries=1, retry_delay=0.1, config=once)
    def tells(env: Any, t_env: Any) -> None:
        from pyflink.common import Types
        from pyflink.datastream.functions import KeyedProcessFunction

        class Tell(KeyedProcessFunction):
            def open(self, runtime_context: Any) -> None:
                self.publisher = af.flink.Publisher(runtime_context, "tell")

            def process_element(self, value: int, ctx: Any) -> Any:
                self.publisher.publish(ctx, "blind.publisher", value)
                self.publisher.publish(ctx, "blind.same", value % 2)
                af.flink.publish("blind.key", value, dedupe_key=f"blind {af.flink.__name__} {value} {failed}")
                if value == 70 and not failed.exists():
                    failed.touch()
                    raise Flaky("once")
                yield value

        t_env.execute_sql(
            "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '30', "
            "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '120')"
        )
        numbers = t_env.to_data_stream(t_env.from_path("source")).map(lambda row: row[0], Types.LONG())
        numbers.key_by(lambda n: n % 4).process(Tell(), Types.LONG()).print()

    @af.workflow
    def blind_telling() -> None:
        tells()

    execution = flink.run(blind_telling, timeout=120)
    assert execution.status == "SUCCESS"
    assert failed.exists()
    heard: dict[str, list[int]] = {}
    for event in execution.events():
        if event.key.startswith("blind."):
            heard.setdefault(event.key, []).append(event.value)
    assert sorted(heard["blind.key"]) == sorted(heard["blind.publisher"]) == list(range(1, 121))
    assert sorted(heard["blind.same"]) == [0] * 60 + [1] * 60
    assert execution.job("tells").attempt == 2


# --- 9: SQL ---


def test_what_is_wrong_with_sql_is_told_by_its_statement_its_function_or_its_address(
    flink: af.Project, tmp_path: Path
) -> None:
    lock = threading.Lock()

    def holds(n: int) -> int:
        with lock:
            return n

    def dies(n: int) -> int:
        os._exit(3)

    def refuses(n: int) -> int:
        raise Flaky(f"no good: {n}")

    query = "SELECT f(n) AS n FROM (VALUES (CAST(7 AS BIGINT))) AS t(n)"
    nothing = "CREATE TEMPORARY TABLE nothing (n BIGINT, `a;b` STRING) WITH ('connector' = 'blackhole')"

    @af.workflow
    def blind_sql() -> None:
        af.flink_sql(
            f"{nothing}; -- a comment; with one\nINSERT INTO nothing SELECT n FROM numbers; SELECT 1", name="second"
        )
        af.flink_sql([nothing, "SELECT 'a;b' AS x /* ; */", "SELEC 1;"], name="third")
        af.flink_sql(query, udfs={"f": holds}, name="locked")
        af.flink_sql(query, udfs={"f": refuses}, name="refused")
        af.flink_sql(query, udfs={"f": dies}, name="died")
        af.flink_sql(query, name="no_function")
        grouped = "INSERT INTO files SELECT n, COUNT(*) FROM (VALUES (1), (2)) AS t(n) GROUP BY n"
        files = f"CREATE TABLE files (n INT, c BIGINT) WITH ('connector' = 'filesystem', 'path' = '{tmp_path}/f', 'format' = 'csv')"
        af.flink_sql([files, grouped], name="updates", stream=True)
        af.flink_sql(["USE CATALOG nowhere", "SELECT 1"], name="catalog")
        af.flink_sql(
            "CREATE TABLE k (n INT) WITH ('password' = 'canary-1', 'connector' = 'nothing'); SELECT n, FROM k",
            name="hidden",
        )
        af.flink_sql("SELECT 1; INSERT INTO t WITH ('password' = 'canary-2') SELECT 1", name="hidden_2")
        af.flink_sql("SELECT 1", name="jar", config={"pipeline.jars": "jars/nothing.jar"})
        af.flink_sql("SELECT 1", name="down", target="http://127.0.0.1:9", lost_after=0.3)
        af.flink_sql("SELECT 1 AS x", name="good")

    execution = flink.run(blind_sql, check=False, timeout=150)
    errors = {job.job: str(job.error) for job in execution.jobs if job.job != "good"}
    expected = {
        "second": ("in statement 2 of 3, INSERT INTO nothing", "numbers"),
        "third": ("in statement 3 of 3, SELEC 1",),
        "locked": ("_thread.lock", "make what it uses from outside"),
        "refused": ("Flaky: no good: 7",),
        "died": ("a Python worker of Flink died while it worked",),
        "no_function": ("f(", "in statement 1 of 1"),
        "updates": ("in statement 2 of 2, INSERT INTO files",),
        "catalog": ("in statement 1 of 2, USE CATALOG nowhere", "nowhere"),
        "hidden": ("in statement 2 of 2",),
        "hidden_2": ("in statement 2 of 2",),
        "jar": ("jars/nothing.jar cannot be read",),
        "down": ("http://127.0.0.1:9 has not answered",),
    }
    missing = {
        name: errors[name] for name, parts in expected.items() if not all(part in errors[name] for part in parts)
    }
    assert missing == {}
    assert "canary" not in str(errors)
    assert all("\n" not in error and len(error) < 500 for error in errors.values())
    assert execution.result("good").x.tolist() == [1]


# --- 10: values ---


def test_tables_of_all_sizes_and_types_are_values_for_the_jobs_after_and_for_flink_again(flink: af.Project) -> None:
    rows = 20_000

    @af.flink_job(outputs=("large", "empty", "kinds"))
    def made(t_env: Any) -> Any:
        t_env.execute_sql(
            f"CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}', "
            f"'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}', 'rows-per-second' = '100000000')"
        )
        return (
            t_env.sql_query("SELECT n, 'name of ' || CAST(n AS STRING) AS name FROM numbers"),
            t_env.sql_query("SELECT 1 AS a, 'b' AS b FROM (VALUES (1)) AS t(x) WHERE x > 1"),
            t_env.sql_query(
                "SELECT CAST(NULL AS BIGINT) AS c_none, DATE '2026-01-02' AS c_day, TIMESTAMP '2026-01-02 03:04:05.006' AS c_moment, "
                "CAST(1.25 AS DECIMAL(9, 2)) AS c_price, TRUE AS c_yes, ARRAY[1, 2] AS c_list, 'ä€😀' AS c_text, x'0aff' AS c_raw"
            ),
        )  # fmt: skip

    @af.job
    def measure(large: Any, empty: Any, kinds: Any) -> dict[str, Any]:
        return {
            "sum": int(large.n.sum()), "rows": len(large), "last": large.sort_values("n").name.iloc[-1],
            "empty": (len(empty), list(empty.columns)), "kinds": kinds.to_dict("records"),
        }  # fmt: skip

    @af.flink_job
    def again(t_env: Any, large: Any, measured: dict[str, Any]) -> Any:
        t_env.create_temporary_view("t", t_env.from_pandas(large))
        return t_env.sql_query(f"SELECT COUNT(*) AS n, MAX(n) AS top FROM t WHERE n > {measured['rows'] - 10}")

    @af.workflow
    def blind_values() -> None:
        large, empty, kinds = made()
        again(large, measure(large, empty, kinds))

    execution = flink.run(blind_values, timeout=150)
    found = execution.result("measure")
    assert (found["sum"], found["rows"], found["last"]) == (rows * (rows + 1) // 2, rows, f"name of {rows}")
    assert found["empty"] == (0, ["a", "b"])
    (kinds,) = found["kinds"]
    assert kinds["c_none"] is None or kinds["c_none"] != kinds["c_none"]
    assert str(kinds["c_day"])[:10] == "2026-01-02"
    assert str(kinds["c_moment"]) == "2026-01-02 03:04:05.006000"
    assert str(kinds["c_price"]) == "1.25"
    assert kinds["c_yes"]
    assert list(kinds["c_list"]) == [1, 2]
    assert kinds["c_text"] == "ä€😀"
    assert bytes(kinds["c_raw"]) == b"\x0a\xff"
    assert execution.result("again").to_dict("records") == [{"n": 10, "top": rows}]


# --- 11: two Flink jobs and Python ---


@pytest.mark.costly
def test_two_jobs_on_flink_and_two_in_python_answer_one_another_each_once_and_in_order(flink: af.Project) -> None:
    @af.flink_job(stream=True)
    def asks(t_env: Any) -> None:
        from pyflink.table.udf import udf

        def ask(n: int) -> int:
            if n <= 4:
                af.flink.publish("blind.ask", n, dedupe_key=f"{n}")
            return n

        t_env.create_temporary_system_function("ask", udf(ask, result_type="BIGINT"))
        t_env.execute_sql(
            "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
            "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000')"
        )
        t_env.execute_sql("CREATE TEMPORARY TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole')")
        t_env.execute_sql("INSERT INTO nothing SELECT ask(n) FROM source")

    @af.job
    def passes_on() -> int:
        n = af.current().event.value
        af.publish("blind.work", {"n": n, "of": af.current().number})
        return n

    @af.flink_job
    def works(t_env: Any) -> Any:
        from pyflink.table.udf import udf

        n, number = af.current().event.value["n"], af.current().number

        def tell(x: int) -> int:
            af.flink.publish("blind.done", {"n": n, "square": x * x}, dedupe_key=f"done {number}")
            return x * x

        t_env.create_temporary_system_function("tell", udf(tell, result_type="BIGINT"))
        return t_env.sql_query(f"SELECT tell(CAST(x AS BIGINT)) AS y FROM (VALUES ({n})) AS t(x)")

    @af.job
    def collects() -> list[Any]:
        return [event.value["square"] for event in af.current().events]

    @af.workflow
    def blind_conversation() -> None:
        stream = asks()
        passes_on().start_on(af.event("blind.ask", sender="asks").own())
        works().start_on(af.event("blind.work", sender="passes_on").own())
        all_of_it = collects().start_on(af.event("blind.done", sender="works").own().times(4))
        stream.stop_on(all_of_it.succeeded)

    execution = flink.run(blind_conversation, timeout=150)
    assert execution.results("passes_on") == [1, 2, 3, 4]
    assert [int(table.y[0]) for table in execution.results("works")] == [1, 4, 9, 16]
    assert [event.value["n"] for event in execution.events() if event.key == "blind.done"] == [1, 2, 3, 4]
    assert len(execution.results("collects")) == 1
    assert (execution.status, execution.job("asks").status) == ("SUCCESS", "STOPPED")


# --- 12: interpreters ---


def test_an_interpreter_that_cannot_do_it_is_told_what_it_lacks(flink: af.Project, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)

    @af.flink_job
    def one(t_env: Any) -> Any:
        return t_env.sql_query("SELECT 1 AS x")

    @af.workflow
    def blind_interpreters() -> None:
        one.options(name="bare", python=str(tmp_path / "bare/bin/python"))()
        one.options(name="missing", python="/nowhere/python")()
        one.options(name="no_program", python=__file__)()
        one.options(name="folder", python=str(tmp_path))()
        one.options(name="ends", python="/bin/true")()
        one.options(name="silent", python=str(silent), timeout=5)()
        one.options(name="good", python=sys.executable)()

    execution = flink.run(blind_interpreters, check=False, timeout=120)
    errors = {job.job: str(job.error) for job in execution.jobs}
    assert "apache-flink is not installed for" in errors["bare"]
    assert f"{tmp_path}/bare/bin/python" in errors["bare"]
    for name in "missing", "no_program", "folder":
        assert "could not be started" in errors[name], errors
    assert "/bin/true" in errors["ends"]
    assert "5" in errors["silent"]
    assert execution.result("good").x.tolist() == [1]
    assert {job.job for job in execution.jobs if job.status == "FAILED"} == set(errors) - {"good"}


PYTHONS = """
import os
import aiflow as af

@af.flink_job
def where(t_env):
    from pyflink.table.udf import udf

    t_env.create_temporary_system_function("wrapped", udf(lambda n: os.environ["BLIND"], result_type="STRING"))
    return os.environ["BLIND"], t_env.sql_query("SELECT wrapped(1) AS x").to_pandas().x[0]

@af.workflow
def blind_pythons():
    where()
    where.options(name="named", python="./named")()
"""


@pytest.mark.costly
def test_an_interpreter_is_named_by_the_settings_or_by_the_job_from_the_folder_of_its_file(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    for name in "set", "named":
        (tmp_path / name).write_text(f'#!/bin/sh\nBLIND={name} exec {sys.executable} "$@"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "flow.py").write_text(PYTHONS)
    chosen = {**os.environ, "AIFLOW_FLINK_PYTHON": str(tmp_path / "set")}
    done = command(flink.home, "run", str(tmp_path / "flow.py"), env=chosen)
    assert done.returncode == 0, done.stderr
    (execution,) = flink.executions.list(workflow="blind_pythons")
    assert execution.result("where") == ("set", "set")
    assert execution.result("named") == ("named", "named")


# --- 13: the command line ---


def test_the_commands_of_the_cluster_do_nothing_where_there_is_nothing_and_tell_of_what_there_is(
    flink: af.Project, cluster: Address, tmp_path: Path
) -> None:
    none, home = tmp_path / "none", tmp_path / "empty"
    for word in "status", "jobs", "stop":
        done = command(none, "flink", word)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)
        assert f"there is no home at {none}" in done.stderr
    assert not none.exists()
    af.Project("empty", home=home).close()
    for word in "status", "jobs", "stop", "stop":
        done = command(home, "flink", word)
        assert done.returncode == 0, (word, done.stderr)
        assert "Traceback" not in done.stderr
    told = command(flink.home, "-o", "json", "flink", "status")
    assert json.loads(told.stdout)["url"] == cluster.url
    again = command(flink.home, "flink", "start")
    assert again.returncode == 0
    assert cluster.url in again.stdout + again.stderr
    jobs = json.loads(command(flink.home, "-o", "json", "flink", "jobs").stdout)
    assert isinstance(jobs, list)


@pytest.mark.costly
def test_a_cluster_that_is_stopped_under_a_stream_fails_it_and_its_retry_goes_on_with_the_state(tmp_path: Path) -> None:
    home, path, flow = tmp_path / ".aiflow", tmp_path / "counts", tmp_path / "flow.py"
    flow.write_text(
        FLOW.replace("NAME", "blind_cluster").replace(
            "stream=True", "stream=True, retries=1, retry_delay=0.1, lost_after=20"
        )
    )
    started = [command(home, "flink", "start") for _ in range(2)]
    try:
        assert [done.returncode for done in started] == [0, 0]
        urls = [re.findall(r"http://[\d.]+:\d+", done.stdout + done.stderr) for done in started]
        assert urls[0][0] == urls[1][0]
        with running(home, tmp_path / "1.log", "run", str(flow), "-p", f"path={path}") as child:
            project = af.Project("observer", home=home)
            execution = begun(project, "blind_cluster")
            until(lambda: execution.job("counts").note["savepoints"], 60)
            until(lambda: len(deeds.lines(path)) > 60, 60)
            assert "RUNNING" in command(home, "flink", "jobs").stdout
            assert [command(home, "flink", "stop").returncode for _ in range(2)] == [0, 0]
            seen = len(deeds.lines(path))
            until(lambda: execution.job("counts").attempt == 2, 90)
            until(lambda: len(deeds.lines(path)) > seen + 10, 120)
            after = deeds.lines(path)[seen:]
            assert after[0] > 1
            child.send_signal(signal.SIGINT)
            assert child.wait(90) == 130, (tmp_path / "1.log").read_text()
        project.close()
    finally:
        assert command(home, "flink", "stop").returncode == 0
    assert "stopped" in command(home, "flink", "status").stdout
