"""Programs for a cluster, submitted as anybody would without aiflow: python programs.py NAME…, in a client's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiflow.runners.flink_distribution import client_environment
from aiflow.runners.flink_java import find_java

START = 1_700_000_000_000
"""The event time of the first number, in milliseconds; each has a second more."""


def submit(url: str, directory: Path, *names: str) -> dict[str, str]:
    """Submit programs of this module; give the ids of their jobs."""
    environment = {**client_environment(find_java(), directory), "TARGET": url}
    command = [sys.executable, __file__, *names]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _configuration() -> Any:
    from pyflink.common import Configuration

    target = urlsplit(os.environ["TARGET"])
    found = Configuration()
    for name, value in {
        "execution.target": "remote", "execution.attached": "false", "parallelism.default": "1",
        "rest.address": str(target.hostname), "rest.port": str(target.port),
        "python.executable": sys.executable, "python.client.executable": sys.executable,
        "python.fn-execution.bundle.time": "100",
    }.items():  # fmt: skip
        found.set_string(name, value)
    return found


def _numbers(count: int) -> Any:
    from pyflink.common import Duration, WatermarkStrategy
    from pyflink.common.watermark_strategy import TimestampAssigner
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource
    from pyflink.java_gateway import get_gateway

    class Seconds(TimestampAssigner):  # type: ignore[misc]
        def extract_timestamp(self, value: int, record_timestamp: int) -> int:
            return START + value * 1000

    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(0))
    made = get_gateway().jvm.StreamExecutionEnvironment(_configuration()._j_configuration)
    env = StreamExecutionEnvironment(made)
    source = env.from_source(NumberSequenceSource(0, count - 1), WatermarkStrategy.no_watermarks(), "numbers")
    return env, source.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(Seconds()))


def _run(name: str, count: int, function: Any) -> str:
    from pyflink.common import Types

    env, numbers = _numbers(count)
    numbers.map(function, Types.STRING()).print().name("the end, at last")
    return str(env.execute_async(name).get_job_id())


def chain(name: str) -> str:
    """A stream with event time that is one vertex; it never ends, for practical purposes."""

    def slow(value: int) -> str:
        time.sleep(0.002)
        return str(value)

    return _run(name, 10**9, slow)


def bounded(name: str) -> str:
    """The same, but it ends."""
    return _run(name, 300, str)


def failing(name: str) -> str:
    """A program whose Python function raises."""

    def fail(value: int) -> str:
        if value == 7:
            raise ValueError("seven is\ntoo much")
        return str(value)

    return _run(name, 100, fail)


def table(name: str) -> str:
    """A program of tables with several vertices."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(_configuration()).build()
    env = TableEnvironment.create(settings)
    env.get_config().set("pipeline.name", name)
    env.execute_sql(
        "CREATE TABLE numbers (k INT, ts AS CURRENT_TIMESTAMP, WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen', "
        "'rows-per-second' = '200', 'fields.k.min' = '0', 'fields.k.max' = '3')"
    )
    env.execute_sql("CREATE TABLE counts (ts TIMESTAMP(3), k INT, n BIGINT) WITH ('connector' = 'blackhole')")
    result = env.execute_sql(
        "INSERT INTO counts SELECT window_start, k, COUNT(*) FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), "
        "INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k"
    )
    return str(result.get_job_client().get_job_id())


if __name__ == "__main__":
    ids = {name: globals()[name](name) for name in sys.argv[1:]}
    print(json.dumps(ids))
