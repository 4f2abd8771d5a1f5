"""Roles of jobs on Flink: which version they get, and that a stream with one is recorded as working on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.flink.waiting import until

import aiflow as af
from aiflow.runners.flink_cluster import Address

pytestmark = pytest.mark.flink

FACTOR = af.Model("flink_factor")


@af.predict(FACTOR, runner="flink", stream=True, config={"python.fn-execution.bundle.time": "100"})
def multiply(env, model: af.LiveModel, path: str):
    import time

    from pyflink.common import Types, WatermarkStrategy
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource

    def read(n: int) -> int:
        time.sleep(0.005)
        with open(path, "a") as file:
            file.write(f"{model.count('x')}\n")
        return n * model.count("x")

    numbers = env.from_source(NumberSequenceSource(1, 10**9), WatermarkStrategy.no_watermarks(), "numbers")
    numbers.map(read, output_type=Types.LONG()).print()


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "target"])
def test_a_stream_that_predicts_answers_with_what_is_deployed_and_is_recorded_as_working_on_it(
    flink: af.Project, cluster: Address, tmp_path: Path, is_remote: bool
) -> None:
    path = tmp_path / "factors.txt"
    target = cluster.url if is_remote else "local"

    @af.workflow(ends="never")
    def service():
        multiply.options(target=target)(str(path))

    models = flink.models.register(FACTOR)
    first = models.log("xx", stage="DEPLOYED")
    execution = flink.start(service)
    until(lambda: path.exists() and "2" in path.read_text())
    second = models.log("xxx", stage="DEPLOYED")
    until(lambda: "3" in path.read_text())
    third = models.log("xxxx", stage="DEPLOYED")
    until(lambda: "4" in path.read_text())
    until(
        lambda: all(len(flink.lineage.downstream(one).nodes) == 2 for one in (first, second, third))
    )  # while it goes on
    execution.stop()
    execution.wait(90)
    assert [str(job.status) for job in execution.jobs] == ["STOPPED"]
    factors = path.read_text().split()
    assert factors == sorted(factors)  # nothing is multiplied by an old version after a new one


def test_a_stream_that_predicts_can_be_started_again_by_a_deployment(flink: af.Project, tmp_path: Path) -> None:
    path = tmp_path / "factors.txt"

    @af.workflow(ends="never")
    def service():
        multiply(str(path)).restart_on(FACTOR.deployed)

    flink.models.register(FACTOR).log("xx", stage="DEPLOYED")
    execution = flink.start(service)
    until(lambda: path.exists() and "2" in path.read_text())
    flink.models.get("flink_factor").log("xxx", stage="DEPLOYED")
    until(lambda: [str(job.status) for job in execution.jobs] == ["STOPPED", "RUNNING"])
    until(lambda: "3" in path.read_text())
    execution.stop()
    execution.wait(90)


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
