"""The same Flink job without aiflow: a program with PyFlink and nothing else, which submits it each time that it is asked.

    python benchmarks/flink_alone.py http://127.0.0.1:8081     # a line [rows, whether to wait for the end] -> seconds
    flink run -py benchmarks/flink_alone.py once

Knows nothing of aiflow.
"""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import urlsplit

SINK = "CREATE TABLE sums (k INT, total BIGINT) WITH ('connector' = 'blackhole')"


def source(rows: int) -> str:
    """Give the statement that makes the table that is read."""
    return f"""CREATE TABLE numbers (n BIGINT, k AS CAST(n % 1000 AS INT)) WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '1000000000',
        'fields.n.kind' = 'random', 'fields.n.min' = '0', 'fields.n.max' = '1000000')"""


def _submitted(config: object, rows: int) -> object:
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = EnvironmentSettings.new_instance().in_batch_mode().with_configuration(config).build()
    table = TableEnvironment.create(settings)
    table.execute_sql(source(rows))
    table.execute_sql(SINK)
    return table.execute_sql("INSERT INTO sums SELECT k, SUM(n) FROM numbers GROUP BY k")


def main(where: str) -> None:
    """Submit the job once, or as often as a line comes."""
    from pyflink.common import Configuration

    config = Configuration()
    config.set_string("execution.runtime-mode", "BATCH")
    config.set_string("parallelism.default", "1")
    if where == "once":
        _submitted(config, 1000)
        return
    parts = urlsplit(where)
    config.set_string("execution.target", "remote")
    config.set_string("rest.address", str(parts.hostname))
    config.set_string("rest.port", str(parts.port))
    for line in sys.stdin:
        rows, is_awaited = json.loads(line)
        begun = time.perf_counter()
        result = _submitted(config, rows)
        known = time.perf_counter() - begun
        result.wait()  # type: ignore[attr-defined]
        print(time.perf_counter() - begun if is_awaited else known, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
