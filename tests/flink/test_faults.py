"""Jobs on Flink under faults: everything dies at the worst moment, and nothing is lost, left running or run twice at once."""

from __future__ import annotations

import os
import signal
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.children import is_alive
from tests.flink import deeds, killed
from tests.flink.relay import Relay
from tests.flink.waiting import until

import aiflow as af
from aiflow.graph.execution import RunKey
from aiflow.runners.flink_rest import FlinkRest
from aiflow.runners.flink_terms import id_of

pytestmark = [pytest.mark.flink, pytest.mark.costly]


def states_of(execution, job="counting"):
    """The states of all Flink jobs that an execution can have submitted, by number, attempt and round."""
    rest, found = FlinkRest(execution.job(job).note["url"]), {}
    known = {row.id: row.state for row in rest.jobs()}
    for number in (1, 2):
        for rounds in (0, 1, 2):
            state = known.get(id_of(RunKey(execution.id, job, number, 1), rounds, 0))
            if state is not None:
                found[number, rounds] = state
    return found


def test_what_cannot_run_says_in_a_line_why_and_what_to_do(flink, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lock = threading.Lock()

    @af.flink_job
    def locks_outside(env):
        env.from_collection([lock]).print()

    @af.workflow
    def wrong():
        deeds.wrong_sql.options(name="refused", target="http://127.0.0.1:9", lost_after=0.1)()
        deeds.wrong_sql.options(name="other", target=f"http://127.0.0.1:{server.server_port}")()
        deeds.wrong_sql.options(name="nowhere", python=str(tmp_path / "python"))()
        locks_outside()
        deeds.locks_inside()
        af.flink_jar("nothing.jar", name="jar")
        af.flink_sql("CREATE TABEL x (n INT)", name="sql")

    expected = {
        "refused": "has not answered",
        "other": f"http://127.0.0.1:{server.server_port} is no Flink cluster",
        "nowhere": f"{tmp_path}/python, could not be started: No such file or directory",
        "locks_outside": "cannot be sent to another process (TypeError: cannot pickle '_thread.lock' object); make what it uses from outside (globals, closure) inside it",
        "locks_inside": "a function cannot be sent to Flink's workers (TypeError: cannot pickle '_thread.lock' object)",
        "jar": "nothing.jar cannot be read: No such file or directory",
        "sql": 'Encountered "TABEL" at line 1, column 8. (in statement 1 of 1, CREATE TABEL x (n INT))',
    }
    execution = flink.run(wrong, check=False, timeout=400)
    server.shutdown()
    server.server_close()
    errors = {job.job: str(job.error) for job in execution.jobs}
    assert {name for name, text in expected.items() if text not in errors[name]} == set(), errors
    assert all(len(text) < 400 and "\n" not in text for text in errors.values())
    assert "thread" not in errors["locks_outside"].partition("object)")[2]


def test_the_death_of_the_driver_fails_what_is_in_it_and_no_stream_and_the_next_job_gets_another(flink, tmp_path):
    path, pids = str(tmp_path / "count.txt"), tmp_path / "pids.txt"
    stream = flink.start(deeds.endless, path=path)
    until(lambda: stream.job("counting") and (stream.job("counting").note or {}).get("is_complete"))
    waits = flink.start(deeds.waiting_twice, pids=str(pids))
    until(lambda: deeds.lines(pids))
    os.kill(deeds.lines(pids)[0], signal.SIGKILL)
    waits.wait(300)
    assert (waits.status, waits.result("waits")) == ("SUCCESS", 2)
    first, second = deeds.lines(pids)
    assert first != second
    said = " ".join(str(event.value) for event in waits.events() if event.type.startswith("JOB_"))
    assert "the Flink driver, in which the function of 'waits' ran, was killed by SIGKILL" in said
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    stream.stop()
    stream.wait(300)
    assert stream.job("counting").note["savepoints"] != [None]


def test_what_a_function_submits_after_it_was_let_go_is_cancelled(flink, cluster, tmp_path):
    path, other = tmp_path / "started", tmp_path / "other"
    keeps = flink.start(deeds.lingering, path=str(other))  # in the same driver, which goes on because of it
    until(other.exists)
    execution = flink.start(deeds.late, path=str(path))
    until(path.exists)
    execution.stop()
    execution.wait(300)
    assert "is let go" in execution.job("submits_late").reason
    path.unlink()  # now it goes on and submits
    job_id = id_of(RunKey(execution.id, "submits_late", 1, 1), 0, 0)
    rest = FlinkRest(cluster.url)
    until(lambda: {row.id: row.state for row in rest.jobs()}.get(job_id) == "CANCELED")
    other.unlink()
    keeps.wait(300)
    assert keeps.status == "SUCCESS"


def test_a_function_that_is_let_go_ends_with_its_driver_and_what_it_has_not_said_is_cancelled(flink, cluster, tmp_path):
    path = tmp_path / "pid"
    execution = flink.start(deeds.unsaid, path=str(path))
    driver = until(lambda: deeds.lines(path))[0]
    job_id = id_of(RunKey(execution.id, "submits_unsaid", 1, 1), 0, 0)
    until(lambda: FlinkRest(cluster.url).state(job_id) == "RUNNING")
    execution.stop()
    execution.wait(300)
    assert "is let go" in execution.job("submits_unsaid").reason
    assert FlinkRest(cluster.url).state(job_id) == "CANCELED"
    assert not is_alive(driver)


def test_a_driver_that_is_suspended_holds_up_no_stop_and_ends_with_the_last_function_in_it(flink, tmp_path):
    path = tmp_path / "pid"
    first = flink.start(deeds.lingering, path=str(path))
    driver = until(lambda: deeds.lines(path))[0]
    os.kill(driver, signal.SIGSTOP)
    second = flink.start(deeds.heavy, path=str(tmp_path / "never"))
    until(lambda: second.job("lingers") and second.job("lingers").label == "building")
    for execution in second, first:
        execution.stop()
        execution.wait(60)
        assert "is let go" in execution.job("lingers").reason
    assert not is_alive(driver)


def test_what_a_driver_has_submitted_and_could_not_say_before_it_died_is_cancelled(flink, cluster, tmp_path):
    path = tmp_path / "pid"
    execution = flink.start(deeds.unsaid, path=str(path))
    os.kill(until(lambda: deeds.lines(path))[0], signal.SIGKILL)
    execution.wait(300)
    assert "was killed by SIGKILL" in execution.job("submits_unsaid").reason
    assert FlinkRest(cluster.url).state(id_of(RunKey(execution.id, "submits_unsaid", 1, 1), 0, 0)) == "CANCELED"


def test_a_stream_that_is_stopped_before_all_its_parts_run_writes_a_savepoint_when_they_do(flink, tmp_path):
    execution = flink.start(deeds.endless, path=str(tmp_path / "count.txt"))
    until(lambda: execution.job("counting") and (execution.job("counting").note or {}).get("is_complete"))
    execution.stop()
    execution.wait(300)
    assert states_of(execution) == {(1, 0): "FINISHED"}
    assert all(execution.job("counting").note["savepoints"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_as_it_notes_a_submission_leaves_nothing_that_runs_twice(flink, tmp_path, when):
    path = tmp_path / "count.txt"
    execution = flink.executions.get(killed.run(flink.home, path, "submitted", when))
    execution.resume()
    until(lambda: len(deeds.lines(path)) > 20 and execution.job("counting").note["is_complete"])
    assert states_of(execution) == {(1, 0): "CANCELED", (1, 1): "RUNNING"}
    execution.stop()
    execution.wait(300)
    assert states_of(execution) == {(1, 0): "CANCELED", (1, 1): "FINISHED"}


@pytest.mark.parametrize(("note", "when"), [("asked", "before"), ("asked", "after"), ("saved", "before")])
def test_a_process_that_dies_while_a_stream_stops_loses_no_state(flink, tmp_path, note, when):
    path = tmp_path / "count.txt"
    execution = flink.executions.get(killed.run(flink.home, path, note, when))
    flink.recover()  # it is stopped to its end
    execution.wait(300)
    assert execution.status == "STOPPED"
    assert "/savepoint-" in execution.job("counting").note["savepoints"][0]
    before = len(deeds.lines(path))
    execution.resume()
    until(lambda: len(deeds.lines(path)) > before + 20)
    execution.stop()
    execution.wait(300)
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))


def test_a_cluster_whose_answers_are_lost_while_a_stream_stops_loses_no_state(flink, cluster, tmp_path):
    path = tmp_path / "count.txt"
    with Relay(cluster.url) as relay:
        execution = flink.start(deeds.elsewhere, path=str(path), target=relay.url)
        until(lambda: len(deeds.lines(path)) > 20 and execution.job("counting").note["is_complete"])
        relay.lose("POST", "/stop", heard=True)
        relay.lose("GET", "/savepoints/", heard=False)
        relay.lose("GET", "/savepoints/", heard=True)
        execution.stop()
        execution.wait(300)
        assert [what.partition(" ")[0] for what in relay.lost] == ["POST", "GET", "GET"]
        assert "/savepoint-" in execution.job("counting").note["savepoints"][0]


def test_a_stream_whose_process_died_as_it_stopped_goes_on_from_its_savepoint_when_it_is_resumed(flink, tmp_path):
    path = tmp_path / "count.txt"
    execution = flink.executions.get(killed.run(flink.home, path, "saved", "before"))
    execution.resume()  # it is stopped to its end first
    stopped, goes_on = execution.jobs
    assert (stopped.status, goes_on.number) == ("STOPPED", 2)
    assert "/savepoint-" in stopped.note["savepoints"][0]
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    execution.stop()
    execution.wait(300)
    counts = deeds.lines(path)
    assert counts == list(range(1, len(counts) + 1))


def test_what_a_detached_project_leaves_on_its_cluster_goes_on_and_is_found_again(tmp_path):
    home, path = tmp_path / ".aiflow", tmp_path / "count.txt"
    home.mkdir()
    project = af.Project("alone", home=home)  # nobody else uses its cluster
    execution = project.start(deeds.endless, path=str(path))
    until(lambda: len(deeds.lines(path)) > 20 and execution.job("counting").note["is_complete"])
    jobs = execution.job("counting").note["jobs"]
    project.close(detach=True)
    before = len(deeds.lines(path))
    until(lambda: len(deeds.lines(path)) > before + 20)
    with af.Project("alone", home=home) as project:
        project.recover()
        execution = project.executions.get(execution.id)
        until(lambda: execution.status == "RUNNING")
        assert execution.job("counting").note["jobs"] == jobs
        execution.stop()
        execution.wait(300)
        assert deeds.lines(path) == list(range(1, len(deeds.lines(path)) + 1))
