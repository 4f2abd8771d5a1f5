"""What the contract says of jobs on a real cluster, tried by somebody who had not read the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aiflow as af

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment, TableEnvironment

pytestmark = pytest.mark.flink

NUMBERS = """CREATE TEMPORARY TABLE numbers (
    n BIGINT, moment AS TO_TIMESTAMP_LTZ(1764547200000 + n * 600000, 3), WATERMARK FOR moment AS moment
) WITH ('connector' = 'datagen', 'rows-per-second' = '20',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '20000')"""
"""Twenty a second, ten minutes of event time apart: 0, 1, 2, … from 2025-12-01 on."""

NOTHING = "CREATE TEMPORARY TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole')"


def test_values_go_through_python_table_sql_and_datastream_jobs_and_back(flink: af.Project, tmp_path: Path) -> None:
    @af.job
    def rows() -> list[dict[str, Any]]:
        return [{"car": "a", "speed": 90}, {"car": "b", "speed": 130}, {"car": "b", "speed": 150}]

    @af.flink_job
    def fast(t_env: TableEnvironment, rows: list[dict[str, Any]], *, limit: int) -> Any:
        t_env.create_temporary_view(
            "readings", t_env.from_elements([(r["car"], r["speed"]) for r in rows], ["car", "speed"])
        )
        return t_env.sql_query(
            f"SELECT car, COUNT(*) AS times, MAX(speed) AS top FROM readings WHERE speed > {limit} GROUP BY car"
        )

    @af.job
    def keep(found: Any, folder: str) -> str:
        path = Path(folder, "fast.csv")
        found.to_csv(path, index=False, header=False)
        return str(path)

    @af.flink_job
    def times_ten(env: StreamExecutionEnvironment, found: dict[str, Any]) -> int:
        from pyflink.common import Types

        factor = found["scale"]

        def tell(n: int) -> int:
            af.flink.publish("acceptance.ten", n * factor, dedupe_key=f"ten {n}")
            return n * factor

        env.from_collection([1, 2, 3], type_info=Types.INT()).map(tell, output_type=Types.INT()).print()
        env.execute()
        return factor + 1

    @af.job
    def gather(factor: int, folder: str) -> tuple[int, list[str]]:
        lines = [line for part in Path(folder, "out").rglob("*") if part.is_file() for line in part.read_text().split()]
        return factor, sorted(lines)

    def twice(x: int) -> int:
        return 2 * x

    @af.workflow
    def acceptance_round(folder: str) -> None:
        kept = keep(fast(rows(), limit=100), folder)
        doubled = af.flink_sql(
            [
                f"""CREATE TABLE fast (car STRING, times BIGINT, top BIGINT)
                    WITH ('connector' = 'filesystem', 'path' = '{folder}/fast.csv', 'format' = 'csv');
                    CREATE TABLE doubled (car STRING, top BIGINT)
                    WITH ('connector' = 'filesystem', 'path' = '{folder}/out', 'format' = 'csv')""",
                "INSERT INTO doubled SELECT car, CAST(twice(CAST(top AS BIGINT)) AS BIGINT) FROM fast -- a ; inside",
            ],
            udfs={"twice": twice},
            name="doubled",
        ).after(kept)
        gather(times_ten({"scale": 10}).after(doubled), folder)

    execution = flink.run(acceptance_round, folder=str(tmp_path))
    assert execution.result("gather") == (11, ["b,300"])
    assert execution.result("fast").to_dict("records") == [{"car": "b", "times": 2, "top": 150}]
    told = [event for event in execution.events() if event.key == "acceptance.ten"]
    assert sorted(event.value for event in told) == [10, 20, 30]
    assert {(event.sender, event.context) for event in told} == {("times_ten", execution.id)}


def test_events_cross_between_flink_and_python_both_ways_and_each_start_has_its_own(flink: af.Project) -> None:
    @af.flink_job(stream=True)
    def source(t_env: StreamTableEnvironment) -> None:
        def tell(n: int) -> int:
            if n in (3, 5, 7):
                af.flink.publish("acceptance.order", {"n": n}, dedupe_key=f"order {n}")
            return n

        from pyflink.table import DataTypes
        from pyflink.table.udf import udf

        t_env.create_temporary_function("tell", udf(tell, result_type=DataTypes.BIGINT()))
        t_env.execute_sql(NUMBERS)
        t_env.execute_sql(NOTHING)
        t_env.execute_sql("INSERT INTO nothing SELECT tell(n) FROM numbers")

    @af.flink_job
    def square(t_env: TableEnvironment) -> Any:
        event = af.current().event
        return t_env.sql_query(f"SELECT {event.value['n']} * {event.value['n']} AS s")

    @af.job
    def answer(table: Any) -> int:
        value = int(table["s"][0])
        if value == 49:
            af.current().publish("acceptance.enough", value)
        return value

    @af.workflow
    def acceptance_orders() -> None:
        source().stop_on(af.event("acceptance.enough").own())
        answer(square().start_on(af.event("acceptance.order", sender="source").own()))

    execution = flink.run(acceptance_orders, timeout=150)
    assert execution.results("answer") == [9, 25, 49]
    assert [job.event.value["n"] for job in execution.jobs if job.job == "square"] == [3, 5, 7]
    assert execution.job("source").status == "STOPPED"
    assert execution.status == "SUCCESS"
    assert "acceptance.order" in execution.why("square")


def test_a_function_that_raises_on_a_worker_is_told_by_its_own_traceback_with_secrets_hidden(
    flink: af.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPTANCE_TOKEN", "canary-4711")

    @af.flink_job(retries=1, retry_delay=0.1, retry_on=(OSError,))
    def ratio(t_env: TableEnvironment, token: str) -> Any:
        from pyflink.table import DataTypes
        from pyflink.table.udf import udf

        def inverse_of_nothing(x: int) -> int:
            assert token
            raise ZeroDivisionError(f"asked with {token} for {x}")

        t_env.create_temporary_function("f", udf(inverse_of_nothing, result_type=DataTypes.BIGINT()))
        return t_env.sql_query("SELECT f(x) AS y FROM (VALUES (CAST(77 AS BIGINT))) AS t(x)")

    @af.job
    def mourn() -> str:
        return "mourned"

    @af.job
    def use(table: Any) -> None: ...

    @af.workflow
    def acceptance_failing(token: str = af.Secret("env:ACCEPTANCE_TOKEN")) -> None:
        made = ratio(token)
        use(made)
        mourn().start_on(made.failed)

    with pytest.raises(af.ExecutionFailed) as failed:
        flink.run(acceptance_failing)
    text, execution = str(failed.value), failed.value.execution
    assert all(part in text for part in ("ZeroDivisionError", "inverse_of_nothing", "for 77"))
    assert "canary-4711" not in text + str(execution.job("ratio").error) + execution.logs()
    assert "***" in text
    assert execution.job("ratio").attempt == 1  # retry_on does not cover it
    assert execution.job("use").status == "SKIPPED"
    assert execution.result("mourn") == "mourned"
    assert len(text.splitlines()) < 60
