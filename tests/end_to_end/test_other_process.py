"""Another process sees what runs, and acts on it: stop, start and stop jobs, publish, wait, results, logs."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import Child, alone, child, until
from tests.end_to_end import deeds

import aiflow as af

SERVICE = """
import sys
import aiflow as af

@af.job
def load():
    sys.stdout.write("loaded\\n")
    return {"rows": [1, 2, 3]}

@af.job
def work(rows):
    af.current().set_label("at it")
    af.current().wait_stop(30)
    return "done"

@af.job
def react():
    event = af.current().event
    print("reacting to", event.key)
    return event.value

@af.workflow(name="service", ends="never")
def flow():
    rows = load()
    work(rows)
    react().start_on(af.event("go"))
"""


class Service:
    """A process that runs the service, and its execution as this process sees it."""

    def __init__(self, process: Child, project: af.Project) -> None:
        self.process, self.project = process, project
        self.execution = project.executions.get(process.hear_of("id "))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "service.py").write_text(SERVICE)
    home = tmp_path / "home"
    with child(deeds.serve_until_told, str(home), str(tmp_path / "service.py")) as process:
        until((home / "aiflow.db").exists)
        with af.Project("story", home=home) as project:
            yield Service(process, project)
    invariants.check(home)


def status(service: Service, job: str) -> str:
    found = service.execution.job(job)
    return str(found.status) if found is not None else ""


def test_what_runs_elsewhere_is_seen_here(service: Service) -> None:
    execution = service.execution
    assert execution.status == "RUNNING"
    until(lambda: status(service, "work") == "RUNNING")
    until(lambda: execution.job("work").label == "at it")  # type: ignore[union-attr]
    assert execution.result("load") == {"rows": [1, 2, 3]}
    assert execution.logs("load") == "loaded\n"
    assert [e.id for e in service.project.executions.list(status="RUNNING")] == [execution.id]
    assert [str(e.value["status"]) for e in execution.events() if e.key == "job:load"] == ["RUNNING", "SUCCESS"]
    with pytest.raises(TimeoutError, match="is still RUNNING"):
        execution.wait(0.01)
    with pytest.raises(af.Conflict, match="RUNNING in a living process"):
        execution.resume()
    with pytest.raises(af.NotFound, match="did you mean 'work'"):
        execution.stop_job("wrk")


def test_an_event_from_here_starts_a_job_there(service: Service) -> None:
    for number in range(3):
        service.project.publish("go", number)
    until(lambda: service.execution.results("react") == [0, 1, 2])
    events = [j.event for j in service.execution.jobs if j.job == "react"]
    assert [e.value for e in events if e is not None] == [0, 1, 2]


def test_jobs_there_are_stopped_and_started_from_here(service: Service) -> None:
    until(lambda: status(service, "work") == "RUNNING")
    service.execution.stop_job("work")
    until(lambda: status(service, "work") == "STOPPED")
    service.execution.start_job("work")
    until(lambda: (status(service, "work"), service.execution.job("work").number) == ("RUNNING", 2))  # type: ignore[union-attr]
    service.execution.restart_job("work")
    until(lambda: (status(service, "work"), service.execution.job("work").number) == ("RUNNING", 3))  # type: ignore[union-attr]


def test_stopping_from_here_returns_when_it_is_durable_and_can_be_waited_for(service: Service) -> None:
    assert service.execution.stop("by somebody else").status in ("STOPPING", "STOPPED")
    service.execution.wait(20)
    assert (service.execution.status, service.execution.reason) == ("STOPPED", "by somebody else")
    service.execution.stop()
    with pytest.raises(af.ExecutionFailed, match="by somebody else"):
        service.execution.check()
    assert service.process.end() == ["STOPPED"]


def test_who_waits_here_hears_that_the_process_there_has_died(service: Service) -> None:
    statuses: list[Any] = []
    waiting = threading.Thread(target=lambda: statuses.append(service.execution.wait(20).status))
    waiting.start()
    until(lambda: status(service, "work") == "RUNNING")
    service.process.kill()
    waiting.join(20)
    assert statuses == ["INTERRUPTED"]


def test_subscribers_here_hear_of_jobs_there(service: Service) -> None:
    heard: list[Any] = []
    with service.project.subscribe(
        lambda e: heard.append((e.key, e.value["status"])), types="JOB_STATUS_CHANGED", since="start"
    ):
        service.project.publish("go", 1)
        until(lambda: ("job:react", "SUCCESS") in heard)
    assert heard.index(("job:load", "SUCCESS")) < heard.index(("job:work", "RUNNING"))


def test_a_third_process_can_do_the_same(service: Service) -> None:
    home, execution_id = str(service.project.home), service.execution.id
    until(lambda: status(service, "work") == "RUNNING")
    answers = alone(
        deeds.act, home, execution_id,
        ["status"], ["publish", "go", "from the third"], ["stop"], ["wait"], ["result", "load"], ["start_job", "work"], ["logs", "load"],
    )  # fmt: skip
    assert answers[0] == "RUNNING"
    assert answers[2:5] == ["done", "STOPPED", {"rows": [1, 2, 3]}]
    assert answers[5].startswith("Conflict")
    assert answers[6] == "loaded\n"


def test_both_processes_may_run_the_same_workflow(service: Service, tmp_path: Path) -> None:
    flow = deeds.load(str(tmp_path / "service.py")).flow
    mine = service.project.start(flow)
    service.project.publish("go", "both")
    until(lambda: mine.results("react") == service.execution.results("react") == ["both"])
    mine.stop().wait(20)
    assert mine.status == "STOPPED"
    assert service.execution.status == "RUNNING"
    service.project.publish("go", "one")
    until(lambda: service.execution.results("react") == ["both", "one"])
    assert mine.results("react") == ["both"]
