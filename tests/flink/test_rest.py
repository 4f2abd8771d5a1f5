"""What a real cluster says of real jobs, over its REST interface; none of them was submitted by aiflow."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flink import programs
from tests.flink.waiting import until

from aiflow.errors import FlinkError, NotFound
from aiflow.runners.flink_cluster import Address
from aiflow.runners.flink_rest import FlinkRest

pytestmark = [pytest.mark.flink, pytest.mark.costly]
Jobs = dict[str, str]


@pytest.fixture(scope="module")
def rest(cluster: Address) -> FlinkRest:
    return FlinkRest(cluster.url)


@pytest.fixture(scope="module")
def jobs(cluster: Address, rest: FlinkRest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """Jobs that tests look at; one that ends something has a job of its own."""
    found = programs.submit(cluster.url, tmp_path_factory.mktemp("client"), "chain", "table", "bounded", "failing")
    yield found
    for job in found.values():
        rest.cancel(job)


def state_of(rest: FlinkRest, job: str) -> str:
    return str(rest.job(job)["state"])


def test_a_cluster_tells_its_version_its_slots_and_its_jobs(rest: FlinkRest, jobs: Jobs) -> None:
    free, slots = rest.slots()
    assert rest.config()["flink-version"].startswith("2.")
    assert 0 <= free < slots
    assert {jobs[name]: name for name in jobs}.items() <= {row.id: row.name for row in rest.jobs()}.items()


def test_a_stream_that_is_one_chain_tells_its_records_and_its_watermark(rest: FlinkRest, jobs: Jobs) -> None:
    first = until(lambda: (found := rest.progress(jobs["chain"])).watermark and found)
    later = until(lambda: (found := rest.progress(jobs["chain"])).watermark != first.watermark and found)
    assert later.records > first.records > 0
    assert later.watermark > first.watermark >= programs.START
    # The watermark is a second's behind the newest record, and both are read at nearly the same moment.
    assert later.watermark < programs.START + (later.records + 10_000) * 1000
    assert rest.is_running(jobs["chain"])


def test_a_program_of_tables_tells_what_its_sink_has_taken(rest: FlinkRest, jobs: Jobs) -> None:
    found = until(lambda: (found := rest.progress(jobs["table"])).records and found)
    started = next(row for row in rest.jobs() if row.id == jobs["table"]).started
    assert found.watermark > started
    # Four keys in each window of a second, and not one for each of the 200 numbers.
    assert found.records <= 4 * ((found.watermark - started) / 1000 + 2)


def test_a_job_whose_input_has_ended_has_no_more_event_time_to_come(rest: FlinkRest, jobs: Jobs) -> None:
    until(lambda: state_of(rest, jobs["bounded"]) == "FINISHED")
    assert rest.progress(jobs["bounded"]).watermark == 2**63 - 1
    assert not rest.is_running(jobs["bounded"])
    assert rest.root_cause(jobs["bounded"]) is None


def test_a_failure_is_told_by_its_python_traceback(rest: FlinkRest, jobs: Jobs) -> None:
    until(lambda: state_of(rest, jobs["failing"]) == "FAILED")
    line, text = rest.root_cause(jobs["failing"])
    assert line == "ValueError: seven is"
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("ValueError: seven is\ntoo much")
    assert "in fail" in text


def test_a_job_is_stopped_with_a_savepoint_and_its_event_time_is_not_over(
    rest: FlinkRest, cluster: Address, tmp_path: Path
) -> None:
    job = programs.submit(cluster.url, tmp_path / "client", "chain")["chain"]
    until(lambda: rest.progress(job).watermark)
    request = rest.stop_with_savepoint(job)
    place = until(lambda: rest.savepoint(job, request))
    until(lambda: state_of(rest, job) == "FINISHED")
    assert place.startswith("file:")
    assert rest.latest_checkpoint(job) == place
    assert rest.progress(job).watermark is None


def test_a_savepoint_that_cannot_be_written_says_why(rest: FlinkRest, jobs: Jobs) -> None:
    until(lambda: rest.is_running(jobs["chain"]))
    request = rest.stop_with_savepoint(jobs["chain"], "file:///proc/nowhere")
    with pytest.raises(FlinkError, match="the savepoint of the Flink job .* could not be written: .*"):
        until(lambda: rest.savepoint(jobs["chain"], request))
    assert rest.is_running(jobs["chain"])


def test_a_job_is_cancelled_also_when_it_is_over(rest: FlinkRest, cluster: Address, tmp_path: Path) -> None:
    job = programs.submit(cluster.url, tmp_path / "client", "chain")["chain"]
    rest.cancel(job)
    until(lambda: state_of(rest, job) == "CANCELED")
    rest.cancel(job)


@pytest.mark.parametrize("job", ["f" * 32, "no such thing"])
def test_a_job_that_the_cluster_does_not_know_is_not_found(rest: FlinkRest, job: str) -> None:
    for ask in (rest.job, rest.is_running, rest.progress, rest.root_cause, rest.cancel, rest.latest_checkpoint):
        with pytest.raises(NotFound, match=f"no Flink job '{job}'"):
            ask(job)


def test_a_jar_is_sent_run_and_deleted(rest: FlinkRest, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "an app.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    script = tmp_path / "script.py"
    script.write_text("import sys; sys.exit('this script was run with ' + ' '.join(sys.argv[1:]))")
    name = rest.upload_jar(tmp_path / "an app.jar")
    assert name.endswith(".jar")
    with pytest.raises(FlinkError, match="no such thing"):
        rest.run_jar(name, "no such thing")
    with pytest.raises(FlinkError):  # Flink's own program that runs Python scripts: it is on the class path
        rest.run_jar(name, "org.apache.flink.client.python.PythonDriver", ["-py", str(script), "x"])
    rest.delete_jar(name)
    with pytest.raises(FlinkError, match="does not exist"):
        rest.run_jar(name, "no such thing")
