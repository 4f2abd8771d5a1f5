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
