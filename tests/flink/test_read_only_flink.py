"""E6 of the parity list: a job that nothing of aiflow has started is watched, and left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import flink_operator, read_only_flink
from tests.flink.waiting import until

from aiflow.runners.flink_rest import FlinkRest

pytestmark = pytest.mark.flink

JAR = Path(flink_operator.__file__).parent / "jars/counting.jar"


def test_watching_follows_a_job_of_somebody_else_and_ends_with_it_and_stopping_that_leaves_the_job(
    flink, cluster, tmp_path
):
    rest = FlinkRest(cluster.url)
    jar = rest.upload_jar(JAR)
    job = rest.run_jar(jar, "Sums", [str(tmp_path / "sums")])
    rest.delete_jar(jar)
    first, second = (
        flink.start(read_only_flink.read_only_flink, job_id=job, url=cluster.url, interval=0.2) for _ in range(2)
    )

    until(lambda: "running, " in str(first.job("theirs").label) and "records" in first.job("theirs").label)
    first.stop().wait(30)
    assert first.job("theirs").status == "STOPPED"
    assert (rest.state(job), second.job("theirs").status) == ("RUNNING", "RUNNING")

    rest.stop_with_savepoint(job)  # somebody else again
    second.wait(240)
    assert (second.status, second.job("theirs").status) == ("SUCCESS", "SUCCESS")
    log = second.logs("theirs")
    assert log.index(f"{job} is RUNNING") < log.index(f"{job} is FINISHED")
