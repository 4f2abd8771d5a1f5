"""Jobs on a real Flink cluster: values in and out, what fails and how it says so."""

from __future__ import annotations

import pytest
from tests.flink import deeds

import aiflow as af

pytestmark = pytest.mark.flink


def test_a_table_that_a_job_returns_is_its_value(flink):
    execution = flink.run(deeds.tables, n=5, timeout=300)
    assert execution.result("total") == 0 + 1 + 4 + 9 + 16
    assert list(execution.result("squares")["square"]) == [0, 1, 4, 9, 16]
    log = execution.logs("squares")
    assert "building 5 squares" in log
    assert execution.job("squares").note["jobs"][0] in log


def test_rows_for_which_there_is_no_room_are_not_fetched_and_the_job_says_what_to_do(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("AIFLOW_FLINK_FETCH", "256 KiB")

    @af.workflow
    def fetching():
        for rows in (1_000, 100_000):
            for is_executed in (False, True):
                name = f"{'rows' if is_executed else 'table'}_of_{rows}"
                deeds.counted.options(target=cluster.url, name=name)(rows, is_executed)

    with af.Project("fetching", home=tmp_path) as project:
        execution = project.run(fetching, check=False, timeout=300)
    assert len(execution.result("table_of_1000")) == len(execution.result("rows_of_1000")) == 1_000
    for job in map(execution.job, ("table_of_100000", "rows_of_100000")):
        assert job.status == "FAILED"
        assert "take more than 0.25 MiB, which is the most that is fetched as a value: insert them into a sink" in str(
            job.error
        )


def test_a_pipeline_that_the_function_leaves_is_executed_and_the_job_ends_with_it(flink, tmp_path):
    path = str(tmp_path / "out.txt")
    execution = flink.run(deeds.streams_to_file, n=3, path=path, timeout=300)
    assert execution.result("written") == path
    assert sorted(deeds.lines(path)) == [1, 2, 3]


def test_what_a_function_in_python_raises_on_the_cluster_is_the_error_of_the_job(flink):
    execution = flink.run(deeds.failing, check=False, timeout=300)
    job = execution.job("raises")
    assert (job.status, "ValueError: no good: 7" in str(job.error)) == ("FAILED", True)
    assert "refuse" in execution.logs("raises")  # the traceback names the function


def test_what_flink_refuses_is_told_in_a_line_and_not_in_a_hundred(flink):
    execution = flink.run(deeds.bad_sql, check=False, timeout=300)
    message = str(execution.job("wrong_sql").error)
    assert "nowhere" in message
    assert len(message) < 500
    assert "\tat " not in message


def test_what_is_told_of_an_error_in_sql_begins_with_the_line_of_the_function_or_is_the_message_alone(flink):
    execution = flink.run(deeds.bad_sql, check=False, timeout=300)
    first = execution.job("wrong_sql").traceback.splitlines()[1]
    assert "deeds.py" in first
    assert first.endswith("in wrong_sql")

    @af.workflow
    def in_sql():
        af.flink_sql("SELECT nothing FROM nowhere", name="sql")

    job = flink.run(in_sql, check=False, timeout=300).job("sql")
    assert "in statement 1 of 1, SELECT nothing FROM nowhere" in job.error
    assert "File" not in job.traceback


def test_the_rows_of_a_query_that_the_function_has_executed_are_its_value(flink):
    execution = flink.run(deeds.executed, timeout=300)
    assert execution.result("query").to_dict("list") == {"n": [1, 2], "name": ["a", "b"]}
    assert list(execution.result("shows")["table name"]) == ["numbers"]
    assert execution.result("inserts") is None


def test_a_datastream_is_no_value_and_that_is_said_before_anything_runs(flink):
    job = flink.run(deeds.returning_a_stream, check=False, timeout=300).job("a_stream")
    assert "a_stream returned a DataStream" in job.error
    assert "execute_and_collect" in job.error
    assert not (job.note or {}).get("jobs")


def test_a_jar_that_is_not_there_is_said_at_once_with_its_path(flink):
    @af.workflow
    def with_jar():
        af.flink_sql("SELECT 1 AS n", name="sql", config={"pipeline.jars": "nowhere/kafka.jar"})
        deeds.with_added_jar("nowhere/kafka.jar")

    execution = flink.run(with_jar, check=False, timeout=60)
    for job in map(execution.job, ("sql", "with_added_jar")):
        assert "nowhere/kafka.jar cannot be read: No such file or directory" in job.error


def test_a_job_that_is_over_is_shown_with_what_it_was_and_not_with_what_it_did_last(flink):
    assert flink.run(deeds.tables, n=2, timeout=300).job("squares").label == "1 Flink job"
    assert not flink.run(deeds.bad_sql, check=False, timeout=300).job("wrong_sql").label


def test_sql_is_carried_out_in_order_with_plain_functions_and_a_query_at_the_end_is_the_value(flink, tmp_path):
    target = str(tmp_path / "doubled")

    @af.workflow
    def in_sql():
        af.flink_sql(
            f"""CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '4',
                'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '4');
            CREATE TABLE doubled (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{target}', 'format' = 'csv');
            INSERT INTO doubled SELECT next_of(n) FROM numbers;
            SELECT SUM(n) AS total FROM doubled""",
            udfs={"next_of": deeds.plus_one},
            name="sums",
        )

    execution = flink.run(in_sql, timeout=300)
    assert list(execution.result("sums")["total"]) == [2 + 3 + 4 + 5]
    assert len(execution.job("sums").note["jobs"]) == 2


def test_jobs_of_all_kinds_that_are_the_first_of_a_driver_and_begin_at_once_all_find_pyflink(flink_home, cluster):
    @af.workflow
    def at_once():
        deeds.imported()
        deeds.squares(2)
        deeds.doubled()
        for number in range(2):
            af.flink_sql(f"SELECT next_of({number}) AS n", udfs={"next_of": deeds.plus_one}, name=f"sql_{number}")

    project = af.Project("at once", home=flink_home)  # with a driver of its own, which has imported nothing yet
    try:
        execution = project.run(at_once, timeout=300)
    finally:
        project.close(timeout=10)
    assert [execution.result(f"sql_{number}").n[0] for number in range(2)] == [1, 2]
    # Whoever is first must not be the one that imports it, beside the others.
    assert {"pyflink.datastream", "pyflink.table", "pyflink.table.udf"} <= execution.result("imported")


def test_each_of_several_tables_is_an_output(flink):
    execution = flink.run(deeds.apart, timeout=300)
    assert (execution.result("total"), execution.result("total_2")) == (0 + 1, 4 + 9)
