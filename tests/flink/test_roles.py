"""Roles of jobs on Flink: which version they get, and that a stream with one is recorded as working on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flink.waiting import until

import aiflow as af

pytestmark = pytest.mark.flink

FACTOR = af.Model("flink_factor")


@af.predict(FACTOR, runner="flink", stream=True, config={"python.fn-execution.bundle.time": "100"})
def multiply(env, model: int, path: str):
    import time

    from pyflink.common import Types, WatermarkStrategy
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource

    def read(n: int) -> int:
        time.sleep(0.005)
        with open(path, "a") as file:
            file.write(f"{model}\n")
        return n * model

    numbers = env.from_source(NumberSequenceSource(1, 10**9), WatermarkStrategy.no_watermarks(), "numbers")
    numbers.map(read, output_type=Types.LONG()).print()


def test_a_stream_that_predicts_gets_the_object_and_is_started_again_by_a_deployment(
    flink: af.Project, tmp_path: Path
) -> None:
    path = tmp_path / "factors.txt"

    @af.workflow(ends="never")
    def service():
        multiply(str(path)).restart_on(FACTOR.deployed)

    flink.models.register(FACTOR).log(2, stage="DEPLOYED")
    execution = flink.start(service)
    until(lambda: path.exists() and "2" in path.read_text())
    flink.models.get("flink_factor").log(3, stage="DEPLOYED")
    until(lambda: "3" in path.read_text())
    used = {str(node) for node in flink.lineage.downstream("flink_factor:2").nodes}  # while it goes on
    execution.stop()
    execution.wait(90)
    assert [str(job.status) for job in execution.jobs] == ["STOPPED", "STOPPED"]
    assert len(used) == 2
    factors = path.read_text().split()
    assert factors == sorted(factors)  # nothing is multiplied by an old version after a new one


def test_what_a_job_on_flink_writes_is_a_version_of_its_dataset(flink: af.Project, tmp_path: Path) -> None:
    @af.write_dataset(af.Dataset("flink_out", uri=str(tmp_path / "out")), runner="flink")
    def write(dataset: af.Dataset, t_env):
        t_env.execute_sql(f"""CREATE TABLE out_file (n BIGINT)
            WITH ('connector' = 'filesystem', 'path' = '{dataset.uri}', 'format' = 'csv')""")
        t_env.execute_sql("INSERT INTO out_file VALUES (1), (2)").wait()

    @af.workflow
    def writing():
        write()

    version = flink.run(writing, timeout=120).result("write")
    assert str(version) == "flink_out:1"
    assert sorted(line for part in version.path.iterdir() for line in part.read_text().split()) == ["1", "2"]
