"""Acceptance of executions and their jobs, written from the texts alone."""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.acceptance.acts import PATIENCE, Gate, until, write

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, run_until_idle


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

    @af.job(timeout=60, retries=1, retry_delay=0)
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
    def threads():
        in_thread()

    @af.workflow
    def processes():
        in_process()

    clock = ManualClock()  # however slow the machine is, the second attempt is not past its timeout
    with af.Project("timeouts", home=tmp_path / "still", clock=clock) as project:
        execution = project.start(threads)
        until(lambda: order == ["begin 1"])
        clock.advance(60)
        assert order == ["begin 1", "end 1", "begin 2"]
        assert execution.result("in_thread") == 2
    with af.Project("timeouts", home=tmp_path / "home") as project:
        execution = project.run(processes, check=False)
    assert execution.job("in_process").status == "FAILED"
    assert "timeout" in execution.job("in_process").error.lower() or "0.2" in execution.job("in_process").error


def test_a_job_in_a_process_that_dies_is_tried_again_and_the_others_are_fine(tmp_path):
    @af.job(runner="process", retries=1, retry_delay=0)
    def dies():
        if af.current().attempt == 1:
            os._exit(0)
        return "alive"

    @af.job(runner="process", retries=3, retry_delay=0, retry_on=(OSError,))
    def judged():
        raise FileNotFoundError("kind of") if af.current().attempt < 3 else ValueError("no more")

    @af.job(runner="process")
    def lock():
        return threading.Lock()

    @af.job(runner="process", outputs=2)
    def three():
        return 1, 2, 3

    @af.workflow
    def flow():
        dies(), judged(), lock(), three()

    with af.Project("x", home=tmp_path / "home") as project:
        execution = project.run(flow, check=False)
    assert execution.result("dies") == "alive"
    assert execution.job("judged").attempt == 3
    assert "no more" in execution.job("judged").error
    assert "lock" in execution.job("lock").error
    assert "2" in execution.job("three").error
    assert "3" in execution.job("three").error


def test_arun_waits_inside_an_event_loop_and_a_timeout_stops_the_execution(tmp_path):
    @af.job
    async def slow():
        await asyncio.sleep(30)

    @af.job
    async def quick():
        await asyncio.sleep(0)
        return "done"

    @af.workflow
    def flow(name: str):
        (slow if name == "slow" else quick)()

    async def main():
        execution = await project.arun(flow, name="quick")
        assert execution.result("quick") == "done"
        with pytest.raises(TimeoutError):
            await project.arun(flow, name="slow", timeout=0.05)

    with af.Project("x", home=tmp_path / "home") as project:
        asyncio.run(main())
        assert [e.status for e in project.executions.list()] == ["STOPPED", "SUCCESS"]


def test_a_workflow_inside_another_gives_its_jobs_its_name_and_its_result_takes_rules(aiflow_project):
    seen = []

    @af.job
    def load(n):
        return n

    @af.job
    def use(n):
        seen.append((af.current().job, n))
        return n

    @af.workflow
    def inner(n: int = 1):
        return use(load(n))

    @af.workflow
    def outer():
        a, b = inner(1), inner(2)
        use(b).start_on(a.succeeded & b.succeeded)

    assert {"inner.load", "inner.use", "use"} <= set(outer.build().nx)
    aiflow_project.run(outer)
    assert seen[0] == ("inner.use", 1)
    assert seen[-1] == ("use", 2)


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_rule_36_waiting_inside_a_job_for_another_execution_gives_its_own_slot_back(tmp_path, monkeypatch, runner):
    write(tmp_path / "pyproject.toml", "[tool.aiflow]\nlimits = { gpu = 1 }\n")
    monkeypatch.chdir(tmp_path)

    @af.job(limits={"gpu": 1}, runner=runner)
    def leaf(n):
        return n + 1

    @af.workflow
    def child(n: int):
        leaf(n)

    @af.job(runner=runner)
    def outer(n):
        return child.run(n=n).result("leaf") + child.run(n=n).result("leaf")

    @af.workflow
    def parent():
        outer(1), outer(10)

    with af.Project("limits", workers=1) as project:
        execution = project.run(parent, timeout=PATIENCE)
        assert (execution.result("outer"), execution.result("outer_2")) == (4, 22)


def test_rule_36_a_job_that_is_past_its_timeout_or_stopped_gives_its_place_back(tmp_path, monkeypatch):
    write(tmp_path / "pyproject.toml", "[tool.aiflow]\nlimits = { gpu = 1 }\n")
    monkeypatch.chdir(tmp_path)

    @af.job(limits={"gpu": 1}, runner="process", timeout=2.5)  # time to stop what waits in line
    def hangs():
        while True:
            pass

    @af.job(limits={"gpu": 1})
    def next_one():
        return "free"

    @af.workflow
    def one():
        hangs()

    @af.workflow
    def two():
        next_one()

    with af.Project("limits", workers=2) as project:
        first = project.start(one)
        second, third = project.start(two), project.start(two)
        third.stop()
        third.wait(timeout=PATIENCE)
        assert third.status == "STOPPED"
        second.wait(timeout=PATIENCE)
        assert second.result("next_one") == "free"
        assert first.status == "FAILED"


def test_on_failure_gets_the_job_execution_and_the_execution(aiflow_project):
    told = []

    @af.job(on_failure=lambda run: told.append((run.job, run.status, run.attempt)), retries=1, retry_delay=0)
    def breaks():
        raise ValueError("broken")

    @af.workflow(on_failure=lambda execution: told.append((execution.workflow, execution.status)))
    def flow():
        breaks()

    with pytest.raises(af.ExecutionFailed):
        aiflow_project.run(flow)
    run_until_idle(aiflow_project)
    until(lambda: len(told) == 2)
    assert sorted(told) == [("breaks", "FAILED", 2), ("flow", "FAILED")]


def test_rule_22_a_stopped_command_leaves_no_process_and_its_last_line_is_its_output(project, tmp_path):
    pid = tmp_path / "pid"

    @af.workflow
    def flow():
        out = af.command(["sh", "-c", "echo first; echo last"], name="out")
        af.command(
            f"sleep 60 & echo $! > {pid}.part; mv {pid}.part {pid}; trap '' TERM; wait", shell=True, name="hangs"
        ).after(out)

    execution = project.start(flow)
    until(pid.exists)
    assert execution.result("out") == "last"
    child = int(pid.read_text())
    execution.stop()
    execution.wait(timeout=PATIENCE)

    def gone():
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"

    until(gone)
    assert execution.status == "STOPPED"


def test_rule_16_a_process_that_ignores_sigterm_is_killed_and_started_again_with_the_newest_event(project, tmp_path):
    begun = tmp_path / "begun"

    @af.job(runner="process", stop_timeout=0.2)
    def stubborn(folder):

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        event = af.current().event
        if event is None:
            Path(folder).touch()
            while True:
                pass
        return event.value

    @af.workflow
    def flow():
        stubborn(str(begun)).restart_on(af.event("again"))

    execution = project.start(flow)
    until(begun.exists)
    project.publish("again", 1)
    project.publish("again", 2)
    execution.wait(timeout=PATIENCE)
    assert [run.status for run in execution.jobs] == ["STOPPED", "SUCCESS"]
    assert execution.result("stubborn") == 2
    assert_replays(execution)


def test_observe_shows_its_label_until_it_is_stopped(project):
    count = [0]

    def probe():
        count[0] += 1
        return f"probe {count[0]}"

    @af.workflow
    def flow():
        af.observe(probe, name="watch", interval=0.01)

    execution = project.start(flow)
    until(lambda: count[0] >= 2 and execution.job("watch").label.startswith("probe"))
    assert execution.job("watch").status == "RUNNING"
    execution.stop_job("watch")
    execution.wait(timeout=PATIENCE)
    assert execution.job("watch").status == "STOPPED"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_parameters_are_converted_by_their_annotations_and_a_wrong_one_is_named(aiflow_project):
    @af.job
    def show(*values):
        return list(values)

    @af.workflow
    def flow(
        n: int = 1,
        x: float = 1.0,
        flag: bool = False,
        path: Path = Path("a"),
        colour: Colour = Colour.RED,
        names: list[str] | None = None,
        table: dict | None = None,
        maybe: int | None = None,
    ):
        if table is None:
            table = {}
        if names is None:
            names = []
        show(n, x, flag, path, colour, names, table, maybe)

    run = aiflow_project.run(
        flow, n="7", x="1e3", flag="true", path="b/c", colour="blue", names=["a"], table={"a": [1]}, maybe="3"
    )
    values = run.result("show")
    assert values == [7, 1000.0, True, Path("b/c"), Colour.BLUE, ["a"], {"a": [1]}, 3]
    for wrong in ({"n": "seven"}, {"flag": "perhaps"}, {"colour": "green"}, {"names": 3}, {"m": 1}):
        with pytest.raises(af.ParameterError, match=next(iter(wrong))):
            aiflow_project.run(flow, **wrong)
    assert aiflow_project.executions.count() == 1


def test_a_graph_that_cannot_be_is_refused_with_names_when_it_is_built(aiflow_project):
    @af.job
    def one(x=None):
        return x

    def building(body):
        return af.workflow(name="graph_errors")(body)

    def truth():
        if one():
            one()

    def compare():
        one() == 1  # noqa: B015

    def length():
        len(one())

    def loop():
        for _ in one():
            pass

    def text():
        str(f"{one()}")

    for body in (truth, length, loop, text):
        with pytest.raises(af.GraphError, match="run_if|map"):
            building(body).build()

    def cycle():
        a, b, c = one.options(name="a")(), one.options(name="b")(), one.options(name="c")()
        a.after(c), b.after(a), c.after(b)

    with pytest.raises(af.GraphError, match="a.*b.*c|b.*c.*a|c.*a.*b|a.*c.*b"):
        building(cycle).build()

    def double():
        one.options(name="a")(), one.options(name="a")()

    with pytest.raises(af.GraphError, match="a"):
        building(double).build()

    def conditions():
        one().start_on(af.event("a") and af.event("b"))

    with pytest.raises(af.AIFlowError, match="&"):
        building(conditions).build()

    def lock():
        one(threading.Lock())

    with pytest.raises(af.AIFlowError, match="one"):
        building(lock).build()


def test_async_jobs_are_cancelled_by_a_timeout_and_a_stop(tmp_path):
    cancelled = []

    @af.job(timeout=0.05, retries=1, retry_delay=0)
    async def slow():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(af.current().attempt)
            raise

    @af.job
    async def forever():
        await asyncio.Event().wait()

    @af.job
    async def many(n):
        await asyncio.sleep(0)
        af.publish("n", n)
        return n

    @af.workflow
    def flow():
        slow(), forever()
        many.map(list(range(50)))

    with af.Project("x", home=tmp_path / "home") as project:
        execution = project.start(flow)
        until(lambda: execution.job("slow") and execution.job("slow").status == "FAILED")
        until(lambda: execution.job("many") and execution.job("many").status == "SUCCESS")
        assert cancelled == [1, 2]
        execution.stop_job("forever")
        execution.wait(timeout=PATIENCE)
        assert execution.job("forever").status == "STOPPED"
        assert execution.status == "FAILED"
        assert execution.result("many") == list(range(50))
        assert project.events.count(keys="n") == 50


def test_a_map_keeps_to_its_max_parallel_and_begins_no_element_after_a_stop(tmp_path):
    gate = Gate()
    ran = []

    @af.job(max_parallel=2)
    def each(n):
        ran.append(n)
        gate.arrived.release()
        af.current().wait_stop(PATIENCE)

    @af.workflow
    def flow():
        each.map(list(range(10)))

    with af.Project("x", home=tmp_path / "home", workers=8) as project:
        execution = project.start(flow)
        gate.wait_for_one()
        gate.wait_for_one()
        execution.stop()
        execution.wait(timeout=PATIENCE)
        assert execution.status == "STOPPED"
        assert sorted(ran) == [0, 1]
