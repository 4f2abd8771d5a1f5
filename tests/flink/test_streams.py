"""Streams on a real Flink cluster: they go on, are stopped with a savepoint, and start again from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tests.flink import deeds
from tests.flink.waiting import until

from aiflow.runners.flink_rest import FlinkRest

pytestmark = pytest.mark.flink


def test_a_restart_goes_on_with_the_state_and_a_stop_leaves_a_savepoint(flink, tmp_path):
    path = str(tmp_path / "count.txt")
    execution = flink.start(deeds.endless, path=path)
    until(lambda: len(deeds.lines(path)) > 20)
    flink.publish("again")
    until(lambda: execution.job("counting").number == 2)
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))  # exactly once, over the restart
    execution.stop()
    execution.wait(240)
    first, second = execution.jobs
    assert (first.status, second.status, execution.status) == ("STOPPED", "STOPPED", "STOPPED")
    assert first.note["savepoints"][0] != second.note["savepoints"][0]


def test_a_stream_is_found_again_after_its_process_was_killed_and_goes_on_undisturbed(flink, tmp_path):
    path = tmp_path / "count.txt"
    program = textwrap.dedent(
        f"""
        import aiflow as af
        from tests.flink import deeds
        project = af.Project("flink", home={str(flink.home)!r})
        print(project.start(deeds.endless, path={str(path)!r}).id, flush=True)
        input()
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    try:
        execution = flink.executions.get(child.stdout.readline().strip())
        until(lambda: len(deeds.lines(path)) > 20 and execution.job("counting").note["is_complete"])
        (job_id,) = execution.job("counting").note["jobs"]
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert FlinkRest(execution.job("counting").note["url"]).state(job_id) == "RUNNING"
    execution.resume()
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    counting = execution.job("counting")
    assert (counting.number, counting.attempt, counting.note["jobs"]) == (1, 1, [job_id])
    execution.stop()
    execution.wait(240)
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))
    assert FlinkRest(counting.note["url"]).state(job_id) == "FINISHED"
