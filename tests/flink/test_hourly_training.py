"""The example of a stream that has passed an hour: each trains once, whatever dies or is restored meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from examples import hourly_training as example
from tests.flink.waiting import until

pytestmark = pytest.mark.flink

PROGRAM = """
import aiflow as af
from examples.hourly_training import hourly_training
project = af.Project("flink", home={home!r})
print(project.start(hourly_training, hours=4, folder={folder!r}, per_second=8).id, flush=True)
input()
"""


def test_each_hour_is_trained_once_over_a_kill_of_the_orchestrator_and_a_restore_of_the_stream(flink, tmp_path):
    folder = tmp_path / "hours"
    program = textwrap.dedent(PROGRAM.format(home=str(flink.home), folder=str(folder)))
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    try:
        execution = flink.executions.get(child.stdout.readline().strip())
        until(lambda: execution.job("train") and execution.job("train").status == "SUCCESS")
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    until(lambda: (folder / "02").exists())  # the stream goes on alone
    execution.resume()
    until(lambda: len(execution.results("train")) >= 2)
    execution.restart_job("stream")
    execution.wait(120)
    assert execution.workflow == example.hourly_training.name  # imported here, so that it can be resumed
    assert (execution.status, execution.job("stream").status) == ("SUCCESS", "STOPPED")
    passed = [
        event.value["at"][11:13]
        for event in execution.events()
        if event.type == "JOB_PASSED" and "every" in event.value
    ]
    assert passed[:4] == ["01", "02", "03", "04"]
    trained = sorted(job.event.value["at"][11:13] for job in execution.jobs if job.job == "train")
    assert trained == passed  # each hour once
    assert [version.number for version in execution.results("train")] == list(range(1, len(passed) + 1))
    flowers = {int(n) for hour in folder.iterdir() for n in hour.read_text().split()}
    assert flowers == set(range(len(flowers)))  # none was left out by the restore
