"""Streams on a real Flink cluster: they go on, are stopped with a savepoint, and start again from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tests.flink import deeds
from tests.flink.relay import Relay
from tests.flink.waiting import until

import aiflow as af
from aiflow.cli.loading import load_file
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


def test_a_stream_that_flink_starts_again_says_why(flink, tmp_path):
    execution = flink.start(deeds.stumbling, mended=str(tmp_path / "mended"))
    until(lambda: "restarted after KeyError: 'no such car'" in (execution.job("stumble").label or ""))
    assert execution.job("stumble").status == "RUNNING"
    assert "raise KeyError" in execution.logs("stumble")
    (tmp_path / "mended").touch()
    until(lambda: (execution.job("stumble").label or "").startswith("running, "))
    execution.stop()
    execution.wait(240)


def test_an_answer_that_is_lost_while_flink_starts_a_stream_again_costs_nothing(flink, cluster, tmp_path):
    @af.workflow(ends="never")
    def service():
        deeds.stumble.options(target=relay.url)(str(tmp_path / "mended"))

    with Relay(cluster.url) as relay:
        relay.lose("GET", "/exceptions", heard=True)
        execution = flink.start(service)
        until(lambda: "restarted after KeyError: 'no such car'" in (execution.job("stumble").label or ""), 60)
        assert len(relay.lost) == 1
        assert (execution.job("stumble").status, execution.job("stumble").attempt) == ("RUNNING", 1)
        execution.stop()
        execution.wait(240)


FLOW = """
import aiflow as af
from tests.flink import deeds

@af.flink_job(stream=True)
def counting(env, t_env, path: str):
    deeds.counting(env, t_env, path, more={more})

@af.workflow
def changing(path: str, savepoint: str = ""):
    begun = {{"execution.state-recovery.path": savepoint}} if savepoint else {{}}
    counting.options(config=begun)(path)
"""


def test_a_stream_whose_code_has_changed_goes_on_with_its_state_and_so_does_another_execution_from_its_savepoint(
    flink, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path, other, old, new = (tmp_path / name for name in ("count.txt", "other.txt", "before.py", "after.py"))
    old.write_text(FLOW.format(more=0))
    new.write_text(FLOW.format(more=1000))
    execution = flink.start(load_file(old).changing, path=str(path))
    until(lambda: len(deeds.lines(path)) > 20)
    execution.stop().wait(240)
    so_far = len(deeds.lines(path))
    (savepoint,) = execution.job("counting").note["savepoints"]

    another = flink.start(load_file(new).changing, path=str(other), savepoint=savepoint)
    command = ["execution", "resume", execution.id, "--file", str(new)]
    child = subprocess.Popen([sys.executable, "-m", "aiflow", "--home", str(flink.home), *command], cwd=os.getcwd())
    try:
        until(lambda: len(deeds.lines(path)) > so_far + 5 and len(deeds.lines(other)) > 5)
        for one in (execution, another):
            one.stop().wait(240)
    finally:
        child.terminate()
        child.wait(60)
    counts = deeds.lines(path)
    assert counts[:so_far] == list(range(1, so_far + 1))
    assert counts[so_far : so_far + 5] == deeds.lines(other)[:5] == [1000 + so_far + n for n in range(1, 6)]


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
