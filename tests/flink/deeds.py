"""What the tests of Flink run: jobs as a user writes them. Nothing of PyFlink is imported before a job runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import aiflow as af


@af.flink_job
def squares(t_env, n: int):
    print("building", n, "squares")
    return t_env.from_elements([(i, i * i) for i in range(n)], ["i", "square"])


@af.flink_job(outputs=2)
def halves(t_env):
    rows = [(i, i * i) for i in range(4)]
    return tuple(t_env.from_elements(part, ["i", "square"]) for part in (rows[:2], rows[2:]))


@af.flink_job
def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("pyflink")}


@af.flink_job
def doubled(t_env):
    from pyflink.table.udf import udf

    t_env.create_temporary_system_function("doubled", udf(lambda n: 2 * n, result_type="BIGINT"))
    return t_env.sql_query("SELECT doubled(n) AS n FROM (VALUES (CAST(2 AS BIGINT))) AS t(n)")


@af.job
def total(rows: Any) -> int:
    return int(rows["square"].sum())


def plus_one(n: int) -> int:
    return n + 1


@af.flink_job
def written(env, n: int, path: str) -> str:
    """A DataStream job that is executed by itself, since its function leaves that out."""
    from pyflink.common import Types
    from pyflink.datastream.functions import MapFunction

    class Write(MapFunction):
        def map(self, value: int) -> int:
            with open(path, "a") as file:
                file.write(f"{plus_one(value)}\n")
            return value

    stream = env.from_collection(list(range(n)), type_info=Types.INT())
    stream.map(Write(), output_type=Types.INT()).print()
    return path


@af.flink_job
def raises(env):
    from pyflink.common import Types

    def refuse(value: int) -> int:
        raise ValueError(f"no good: {value}")

    env.from_collection([7], type_info=Types.INT()).map(refuse, output_type=Types.INT()).print()


@af.flink_job
def wrong_sql(t_env):
    t_env.execute_sql("SELECT * FROM nowhere")


@af.flink_job
def query(t_env):
    return t_env.execute_sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, name) ORDER BY n")


@af.flink_job
def shows(t_env):
    t_env.execute_sql("CREATE TEMPORARY TABLE numbers (n INT) WITH ('connector' = 'blackhole')")
    return t_env.execute_sql("SHOW TABLES")


@af.flink_job
def inserts(t_env):
    t_env.execute_sql("CREATE TEMPORARY TABLE numbers (n INT) WITH ('connector' = 'blackhole')")
    return t_env.execute_sql("INSERT INTO numbers SELECT 1")


@af.flink_job
def a_stream(env):
    return env.from_collection([1]).map(lambda n: n)


@af.flink_job
def locks_inside(env):
    import threading

    from pyflink.common import Types

    lock = threading.Lock()

    def locked(value: int) -> int:
        with lock:
            return value

    env.from_collection([7], type_info=Types.INT()).map(locked, output_type=Types.INT()).print()


@af.flink_job(retries=1)
def waits(pids: str) -> int:
    """Waits in the driver, the first time."""
    import os
    import threading

    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    if len(lines(pids)) == 1:
        threading.Event().wait(60)
    return len(lines(pids))


@af.flink_job
def with_added_jar(env, jar: str):
    """Brings a jar along."""
    env.add_jars(jar)
    env.from_collection([1]).print()


@af.flink_job
def counted(t_env, rows: int, is_executed: bool):
    """Give many rows, as a table or as what executing a query gives."""
    t_env.execute_sql(
        f"CREATE TABLE many (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}', "
        f"'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}')"
    )
    query = "SELECT n FROM many"
    return t_env.execute_sql(query) if is_executed else t_env.sql_query(query)


@af.flink_job(stream=True, config={"python.fn-execution.bundle.time": "100"})
def stumble(env, mended: str):
    """Fails until there is a file."""
    import time

    from pyflink.common import Types, WatermarkStrategy
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource

    def take(n):
        if not Path(mended).exists():
            raise KeyError("no such car")
        time.sleep(0.005)
        return n

    numbers = env.from_source(NumberSequenceSource(1, 10**9), WatermarkStrategy.no_watermarks(), "numbers")
    numbers.map(take, output_type=Types.LONG()).print()


@af.flink_job(stop_timeout=0.2)
def submits_late(env, path: str):
    """Builds for long, and hears nothing meanwhile."""
    import time

    from pyflink.common import Types

    Path(path).touch()
    while Path(path).exists():
        time.sleep(0.02)
    env.from_collection([1], type_info=Types.INT()).print()


@af.flink_job(stop_timeout=0.2)
def submits_unsaid(env, path: str):
    """Submits something endless, hears nothing, and is as a driver that dies before it can say what it has submitted."""
    import os
    import threading

    from pyflink.common import Types, WatermarkStrategy
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource

    numbers = env.from_source(NumberSequenceSource(1, 10**12), WatermarkStrategy.no_watermarks(), "numbers")
    numbers.map(lambda n: n, output_type=Types.LONG()).print()
    env._j_stream_execution_environment.clearJobListeners()
    env.execute_async()
    Path(path).write_text(str(os.getpid()))
    threading.Event().wait()


@af.job
def ballast() -> bytes:
    """What no socket takes at once."""
    return bytes(20_000_000)


@af.flink_job(stop_timeout=0.2)
def lingers(path: str, heavy: bytes = b""):
    """Keeps its driver as long as a file is there."""
    import os
    import time

    Path(path).write_text(str(os.getpid()))
    while Path(path).exists():
        time.sleep(0.02)


@af.flink_job(stream=True)
def counting(env, t_env, path: str, more: int = 0):
    """Counts for ever, in Flink's state, and writes what it has come to."""
    from pyflink.common import Types
    from pyflink.datastream.functions import KeyedProcessFunction
    from pyflink.datastream.state import ValueStateDescriptor

    class Count(KeyedProcessFunction):
        def open(self, runtime_context: Any) -> None:
            self.count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

        def process_element(self, value: Any, ctx: Any):
            count = (self.count.value() or 0) + 1
            self.count.update(count)
            with open(path, "a") as file:
                file.write(f"{count + more}\n")
            yield count

    t_env.execute_sql(
        "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '40', "
        "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000')"
    )
    numbers = t_env.to_data_stream(t_env.from_path("source")).map(lambda row: row[0], output_type=Types.LONG())
    numbers.key_by(lambda _: 0).process(Count(), output_type=Types.LONG()).print()


@af.workflow
def tables(n: int = 4):
    total(squares(n))


@af.workflow
def apart():
    for half in halves():
        total(half)


@af.workflow
def streams_to_file(n: int, path: str):
    written(n, path)


@af.workflow
def failing():
    raises()


@af.workflow
def bad_sql():
    wrong_sql()


@af.workflow
def waiting_twice(pids: str):
    waits(pids)


@af.workflow
def late(path: str):
    submits_late(path)


@af.workflow
def lingering(path: str):
    lingers(path)


@af.workflow
def heavy(path: str):
    lingers(path, ballast())


@af.workflow
def unsaid(path: str):
    submits_unsaid(path)


@af.workflow(ends="never")
def stumbling(mended: str):
    stumble(mended)


@af.workflow(ends="never")
def endless(path: str):
    counting(path).restart_on(af.event("again"))


@af.workflow(ends="never")
def elsewhere(path: str, target: str, lost_after: float = 60.0):
    counting.options(target=target, lost_after=lost_after)(path)


def lines(path: Path | str) -> list[int]:
    """What a job has written so far."""
    try:
        return [int(line) for line in Path(path).read_text().split()]
    except (FileNotFoundError, ValueError):  # not begun, or in the middle of a line
        return []


@af.workflow
def executed():
    query()
    shows()
    inserts()


@af.workflow
def returning_a_stream():
    a_stream()
