"""Acceptance of triggers, events, executions and the command line, written from the texts alone."""

from __future__ import annotations

import json
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import assert_replays, project_for_tests, run_until_idle, serving
from tests.acceptance.acts import PATIENCE, Gate, begin, command_json, command_line, tell, until, write


def ended(project: af.Project) -> list[af.Execution]:
    """All executions in the order of the events that started them, once all have ended."""
    run_until_idle(project)
    found = project.executions.list(limit=1000)
    assert all(execution.ended for execution in found)
    return sorted(found, key=lambda execution: execution.event.offset if execution.event else 0)


def greeter(seen: list[Any] | None = None, **options: Any) -> af.Workflow:
    seen = [] if seen is None else seen

    @af.job
    def greet(name, times):
        seen.append(name)
        return [name] * times

    @af.workflow(name="greeter", start_on=af.event("guest"), **options)
    def flow(name: str = "nobody", times: int = 1):
        greet(name, times)

    return flow


# ------------------------------------------------------------------------------------------------------------- triggers


def test_rule_25_a_started_execution_has_the_context_the_event_and_the_parameters_that_it_names(aiflow_project):
    with serving(aiflow_project, greeter()):
        tell(aiflow_project, ("guest", {"name": "Ada", "times": 2, "hat": "blue"}), "guest")
        aiflow_project.publish("guest", "no dict", context="vip")
        run_until_idle(aiflow_project)
        first, second, third = ended(aiflow_project)
    assert (first.result("greet"), first.event.key, first.context) == (["Ada", "Ada"], "guest", None)
    assert second.result("greet") == ["nobody"]
    assert (third.result("greet"), third.context, third.event.value) == (["nobody"], "vip", "no dict")


def test_rules_9_and_25_params_of_an_event_are_asked_and_a_mistake_in_one_stops_none_of_the_next(aiflow_project):
    def params(event):
        return {"name": event.value["who"].upper(), "times": "2"}

    with serving(aiflow_project, greeter(params=params)):
        tell(aiflow_project, ("guest", {"who": "ada"}), ("guest", {"whom": "?"}), ("guest", {"who": "eve"}))
        results = [execution.result("greet") for execution in ended(aiflow_project) if execution.status == "SUCCESS"]
    assert results == [["ADA", "ADA"], ["EVE", "EVE"]]


def test_rule_25_what_came_while_nobody_served_is_handled_and_what_came_while_paused_is_passed_over(tmp_path):
    seen: list[Any] = []

    def sessions():
        return project_for_tests(tmp_path / "home")

    flow = greeter(seen)
    with sessions() as project, serving(project, flow):
        tell(project, ("guest", {"name": "one"}))
    with sessions() as project:
        tell(project, ("guest", {"name": "two"}), ("guest", {"name": "three"}))
        assert seen == ["one"]
    with sessions() as project, serving(project, flow):
        run_until_idle(project)
        assert seen == ["one", "two", "three"]
        [trigger] = project.triggers.list()
        project.triggers.pause(trigger.id)
        project.triggers.pause(trigger.id)
        tell(project, ("guest", {"name": "four"}))
    with sessions() as project:
        tell(project, ("guest", {"name": "five"}))
        assert seen == ["one", "two", "three"]
    with sessions() as project, serving(project, flow):
        tell(project, ("guest", {"name": "six"}))
        project.triggers.resume(trigger.id)
        tell(project, ("guest", {"name": "seven"}))
        assert seen == ["one", "two", "three", "seven"]
        project.triggers.delete(trigger.id)
        tell(project, ("guest", {"name": "eight"}))
        assert seen == ["one", "two", "three", "seven"]


def test_rule_25_the_latches_of_a_trigger_are_kept_from_one_server_to_the_next(tmp_path):
    @af.job
    def work(): ...

    @af.workflow(start_on=af.event("a").times(2) & af.event("b"))
    def pairs():
        work()

    for key, count in (("a", 0), ("b", 0), ("a", 1), ("a", 1)):
        with project_for_tests(tmp_path / "home") as project, serving(project, pairs):
            tell(project, key)
            assert project.executions.count() == count


@pytest.mark.parametrize(
    ("options", "at_once", "in_all"),
    [
        ({"if_running": "queue"}, 1, [1, 2, 3, 4]),
        ({"if_running": "ignore"}, 1, [1]),
        ({"if_running": "parallel", "max_parallel": 2}, 2, [1, 2, 3, 4]),
    ],
)
def test_if_running_of_a_workflow_decides_what_becomes_of_events_that_meet_a_running_one(
    tmp_path, options, at_once, in_all
):
    gate, lock, now, peak, values = Gate(), threading.Lock(), [0], [0], []

    @af.job
    def work(n):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
            values.append(n)
        gate.stand()
        with lock:
            now[0] -= 1

    @af.workflow(start_on=af.event("go"), **options)
    def flow(n: int):
        work(n)

    with af.Project("serving", home=tmp_path / "home", workers=4) as project, serving(project, flow):
        for n in (1, 2, 3, 4):
            project.publish("go", {"n": n})
        for _ in range(at_once):
            gate.wait_for_one()
        gate.open()
        until(lambda: len(values) >= len(in_all))
        run_until_idle(project)
        assert peak[0] == at_once
        assert sorted(values) == in_all


def test_stop_on_of_a_workflow_stops_the_running_execution(tmp_path):
    gate = Gate()

    @af.job
    def work():
        gate.arrived.release()
        assert af.current().wait_stop(PATIENCE)

    @af.workflow(start_on=af.event("go"), stop_on=af.event("halt"))
    def flow():
        work()

    with af.Project("serving", home=tmp_path / "home") as project, serving(project, flow):
        for _ in range(2):
            project.publish("go")
            gate.wait_for_one()
            project.publish("halt")
            until(lambda: all(execution.ended for execution in project.executions.list()))
        assert [execution.status for execution in project.executions.list()] == ["STOPPED", "STOPPED"]


def test_rule_25_two_projects_serve_one_trigger_and_each_event_starts_one_execution(tmp_path):
    flow = greeter()
    with (
        af.Project("inn", home=tmp_path / "home") as one,
        af.Project("inn", home=tmp_path / "home") as two,
        serving(one, flow),
        serving(two, flow),
    ):
        offsets = [project.publish("guest", {"name": str(n)}).offset for n in range(10) for project in (one, two)]
        until(lambda: one.executions.count(status="SUCCESS") >= 20)
        assert [execution.event.offset for execution in ended(one)] == offsets


def test_a_file_starts_an_execution_with_its_path_as_parameter(tmp_path):
    (tmp_path / "inbox").mkdir()

    @af.job
    def read(path):
        return path.read_text()

    @af.workflow(start_on=af.file(str(tmp_path / "inbox" / "*.txt")))
    def load(path: Path):
        read(path)

    with af.Project("files", home=tmp_path / "home") as project:
        with serving(project, load):
            (tmp_path / "inbox" / "one.txt").write_text("one")
            until(lambda: project.executions.count(status="SUCCESS") == 1)
        (tmp_path / "inbox" / "two.txt").write_text("two")
        with serving(project, load):
            until(lambda: project.executions.count(status="SUCCESS") == 2)
            assert [execution.result("read") for execution in ended(project)] == ["one", "two"]


# --------------------------------------------------------------------------------------------------------------- events


def test_a_durable_subscription_goes_on_after_the_last_event_whose_callback_returned(tmp_path):
    heard: list[Any] = []

    def listen(event):
        if event.value == "bad":
            raise ValueError("cannot hear this")
        heard.append(event.value)

    with af.Project("news", home=tmp_path / "home") as project:
        with project.subscribe(listen, keys="news.*", name="listener"):
            project.publish_many([("news.a", 1), ("other", 0), ("news.b", "bad"), ("news.c", 2)])
            until(lambda: heard == [1, 2])
        project.publish("news.a", 3)
    with af.Project("news", home=tmp_path / "home") as project:
        project.publish("news.a", 4)
        with project.subscribe(listen, keys="news.*", name="listener"):
            project.publish("news.a", 5)
            until(lambda: len(heard) >= 5)
    assert heard == [1, 2, 3, 4, 5]
    failed = command_json(tmp_path / "home", "list", "events", "--failed")
    assert "cannot hear this" in json.dumps(failed)
    assert [event["value"] for event in failed] == ["bad"]


def test_a_dedupe_key_stores_an_event_once_per_namespace_and_since_takes_a_time_and_an_offset(
    aiflow_project, aiflow_clock
):
    first = aiflow_project.publish("pay", 1, dedupe_key="invoice-7")
    assert aiflow_project.publish("pay", 2, dedupe_key="invoice-7").offset == first.offset
    other = aiflow_project.publish("pay", 3, dedupe_key="invoice-7", namespace="other")
    assert other.offset > first.offset
    aiflow_clock.advance(60)
    middle = aiflow_clock.time
    later = [aiflow_project.publish("pay", n).offset for n in (4, 5)]
    assert [e.value for e in aiflow_project.events.list(keys="pay", since=middle)] == [4, 5]
    assert [e.value for e in aiflow_project.events.list(keys="pay", since=later[0])] == [5]
    heard: list[Any] = []
    with (
        aiflow_project.subscribe(
            lambda e: heard.append(("time", e.value)), keys="p*", since=middle - timedelta(seconds=1)
        ),
        aiflow_project.subscribe(lambda e: heard.append(("start", e.value)), keys="pay", since="start"),
        aiflow_project.subscribe(lambda e: heard.append(("now", e.value)), keys="pay"),
    ):
        aiflow_project.publish("pay", 6)
        until(lambda: sum(value == 6 for _, value in heard) == 3)
    heard_by = {who: [value for name, value in heard if name == who] for who in ("time", "start", "now")}
    assert heard_by == {"time": [4, 5, 6], "start": [1, 3, 4, 5, 6], "now": [6]}


@pytest.mark.parametrize("runner", ["inline", "thread", "process"])
def test_a_job_publishes_as_itself_in_every_runner_and_its_own_execution_alone_hears_it(tmp_path, runner):
    heard = []

    @af.job(runner=runner)
    def speak():
        return af.publish("word", {"n": 1}).offset, af.current().publish("last").offset

    @af.job
    def hear():
        heard.append(af.current().execution_id)

    @af.workflow
    def flow():
        speak().start_on(af.event("speak"))
        hear().start_on(af.event("word") & af.event("last"))

    with af.Project("talk", home=tmp_path / "home") as project:
        one, two = project.start(flow), project.start(flow)
        project.publish("speak", context=one.id)
        one.wait(timeout=PATIENCE)
        words = project.events.list(keys=["word", "last"])
        assert [(e.sender, e.context, e.execution_id) for e in words] == [("speak", one.id, one.id)] * 2
        assert list(one.result("speak")) == [event.offset for event in words]
        assert heard == [one.id]
        two.stop()
        two.wait(timeout=PATIENCE)
        assert_replays(one)


# ----------------------------------------------------------------------------------------------------------- executions


def test_only_start_from_and_given_run_a_part_with_the_values_that_are_there(aiflow_project):
    ran: list[str] = []

    @af.job
    def load():
        ran.append("load")
        return [1, 2]

    @af.job
    def total(rows):
        ran.append("total")
        return sum(rows)

    @af.job
    def report(number):
        ran.append("report")
        return f"it is {number}"

    @af.workflow
    def flow():
        report(total(load()))

    def parts(**options):
        ran.clear()
        execution = aiflow_project.run(flow, **options)
        return list(ran), execution

    assert parts(only=["total"], given={"load": [5, 6]})[0] == ["total"]
    parts()
    ran_now, execution = parts(start_from="total")
    assert ran_now == ["total", "report"]
    assert execution.result("report") == "it is 3"
    ran_now, execution = parts(given={"load": [20]})
    assert ran_now == ["total", "report"]
    assert execution.result("report") == "it is 20"
    with pytest.raises(af.AIFlowError, match="total"):
        parts(only="totl")


def test_a_map_keeps_the_order_retries_an_element_and_fails_with_the_index_of_the_one_that_failed(tmp_path):
    calls: list[int] = []

    @af.job(retries=1, retry_delay=0)
    def half(n, by):
        calls.append(n)
        if n == 3 and calls.count(3) == 1:
            raise OSError("the first time")
        if n == 99:
            raise ValueError("never")
        return n / by

    @af.job
    def numbers(count, bad):
        return [*range(count), 99] if bad else list(range(count))

    @af.job
    def after(values):
        return values

    @af.workflow
    def flow(count: int, bad: bool = False):
        after(half.map(numbers(count, bad), by=af.fixed(2)))

    with af.Project("maps", home=tmp_path / "home") as project:
        assert project.run(flow, count=5).result("after") == [0.0, 0.5, 1.0, 1.5, 2.0]
        assert project.run(flow, count=0).result("after") == []
        with pytest.raises(af.ExecutionFailed, match="never") as failed:
            project.run(flow, count=2, bad=True)
        assert "2" in failed.value.execution.job("half").error.split("never")[0]
        assert failed.value.execution.job("after").status == "SKIPPED"


def test_rule_37_a_cached_job_runs_again_only_for_other_inputs_or_other_code(aiflow_project, tmp_path):
    notes = str(tmp_path / "notes")

    def note(x: int) -> None:
        with open(notes, "a") as file:
            file.write(f"{x} ")

    def workflow(code: int) -> af.Workflow:
        if code == 1:

            @af.job(cache=True)
            def cached(x):
                note(x)
                return x + 1
        else:

            @af.job(cache=True)
            def cached(x):
                note(x)
                return x + 2

        @af.job
        def after(x):
            return x

        @af.workflow(name="caching")
        def flow(x: int):
            after(cached(x))

        return flow

    results = [aiflow_project.run(workflow(code), x=x).result("after") for code, x in ((1, 1), (1, 1), (1, 2), (2, 1))]
    assert results == [2, 2, 3, 3]
    assert (tmp_path / "notes").read_text() == "1 2 1 "

    @af.job(cache=True)
    def items():
        yield 1

    @af.workflow
    def streaming():
        items()

    with pytest.raises(af.GraphError, match="items"):
        streaming.build()


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_secret_is_resolved_for_the_job_and_nowhere_in_the_home(tmp_path, monkeypatch, runner):
    canary = "canary-0451-swordfish"
    monkeypatch.setenv("ACCEPTANCE_TOKEN", canary)

    @af.job(runner=runner)
    def call(key):
        print("calling with", key)
        if len(key) != 21:
            return "wrong"
        raise RuntimeError(f"the server refused {key}")

    @af.workflow
    def flow(key: str = af.Secret("env:ACCEPTANCE_TOKEN")):
        call(key)

    with af.Project("secrets", home=tmp_path / "home") as project:
        with pytest.raises(af.ExecutionFailed) as failed:
            project.run(flow)
        assert canary not in str(failed.value)
        assert "refused ***" in str(failed.value)
        assert "calling with ***" in str(failed.value.execution.logs("call"))
        monkeypatch.delenv("ACCEPTANCE_TOKEN")
        with pytest.raises(af.ParameterError, match="env:ACCEPTANCE_TOKEN"):
            project.run(flow)
    for path in (tmp_path / "home").rglob("*"):
        assert not path.is_file() or canary.encode() not in path.read_bytes(), path


def test_rule_36_a_limit_counts_across_executions(tmp_path, monkeypatch):
    write(tmp_path / "pyproject.toml", "[tool.aiflow]\nlimits = { gpu = 2 }\n")
    monkeypatch.chdir(tmp_path)
    lock, now, peak = threading.Lock(), [0], [0]
    both = threading.Barrier(2)

    @af.job(limits={"gpu": 1}, if_running="parallel")
    def work(n):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        both.wait(PATIENCE)  # passes only if two are here at the same time
        with lock:
            now[0] -= 1

    @af.workflow
    def flow(n: int):
        work(n)

    with af.Project("limits", workers=4) as project:
        executions = [project.start(flow, n=n) for n in range(6)]
        for execution in executions:
            execution.wait(timeout=PATIENCE)
    assert {execution.status for execution in executions} == {"SUCCESS"}
    assert peak == [2]


def test_rule_18_a_job_past_its_timeout_is_tried_again_only_when_a_thread_has_ended_and_a_process_is_killed(tmp_path):
    order: list[str] = []

    @af.job(timeout=0.05, retries=1, retry_delay=0)
    def in_thread():
        attempt = af.current().attempt
        order.append(f"begin {attempt}")
        if attempt == 1:
            assert af.current().wait_stop(PATIENCE)
            order.append(f"end {attempt}")
        return attempt

    @af.job(runner="process", timeout=0.2, retries=0)
    def in_process():
        while True:
            pass

    @af.workflow
    def flow():
        in_thread()
        in_process().after(in_thread.options(name="first")())

    with af.Project("timeouts", home=tmp_path / "home") as project:
        execution = project.run(flow, check=False)
    assert order.index("end 1") < order.index("begin 2")
    assert execution.result("in_thread") == 2
    assert execution.job("in_process").status == "FAILED"
    assert "timeout" in execution.job("in_process").error.lower() or "0.2" in execution.job("in_process").error


# --------------------------------------------------------------------------------------------------------- command line

FLOWS = """
    import aiflow as af

    @af.job
    def divide(a, b):
        return a / b

    @af.workflow
    def ratio(a: int = 6, b: int = 3):
        divide(a, b)
"""


def test_the_command_line_exits_with_0_1_2_and_3_and_says_why(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", FLOWS)
    out, _ = command_line(home, "run", flows, "-o", "json")
    execution = json.loads(out)
    assert execution["status"] == "SUCCESS"
    _, err = command_line(home, "run", flows, "-p", "b=0", code=1)
    assert "ZeroDivisionError" in err and "divide" in err
    _, err = command_line(home, "run", flows, "-p", "bb=1", code=2)
    assert "'b'" in err or "b" in err.split("bb")[-1]
    flows.write_text(flows.read_text() + "\n\n@af.workflow\ndef other(): divide(1, 2)\n")
    _, err = command_line(home, "run", flows, code=2)
    assert "ratio" in err and "other" in err
    _, err = command_line(home, "run", write(tmp_path / "broken.py", "def f():\n    1 / 0\n\nf()\n"), code=1)
    assert "broken.py" in err and "ZeroDivisionError" in err and "src/aiflow" not in err
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "aiflow.db").write_text("this is no database, and it is longer than a header is" * 9)
    _, err = command_line(tmp_path / "foreign", "list", "executions", code=3)
    assert "aiflow.db" in err and "Traceback" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_stops_gracefully_and_exits_with_130_or_143(tmp_path, number, code):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        """
        import aiflow as af
        from pathlib import Path

        @af.job
        def work():
            Path("begun").touch()
            assert af.current().wait_stop(30)
            Path("cleaned").touch()

        @af.workflow
        def flow():
            work()
        """,
    )
    process = begin(home, "run", flows)
    until((tmp_path / "begun").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, (out, err)
    assert (tmp_path / "cleaned").exists()
    assert "Traceback" not in err
    [execution] = command_json(home, "list", "executions")
    assert execution["status"] == "STOPPED"
