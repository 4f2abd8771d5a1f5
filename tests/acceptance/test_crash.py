"""Acceptance of what outlives a death of the process (rules 27 to 34), written from the text alone.

The workflows kill their own process with SIGKILL at a chosen point, so that a case needs no luck.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from tests.acceptance.acts import PATIENCE, Gate, begin, command_line, end, tell, until, write

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle, serving

KILLED = -signal.SIGKILL

HEAD = """
    import os, signal
    from pathlib import Path

    import aiflow as af

    def die_once(name):
        if not Path(name).exists():
            Path(name).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def note(text):
        with open("notes", "a") as file:
            file.write(f"{text}\\n")
"""


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().split("\n")[:-1]


def results(home: Path, job: str) -> list[object]:
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        return execution.results(job)


def only_execution(home: Path, status: str) -> str:
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert execution.status == status
        return execution.id


def test_rule_27_each_item_of_a_stream_is_used_once_though_the_process_is_killed_in_the_middle(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + """
    @af.job
    def numbers():
        state = af.current().state
        for n in range(state.get("next", 0), 8):
            state["next"] = n + 1
            yield n
            if n == 4 and not Path("died in the consumer").exists():
                af.current().wait_stop(60)  # one death after the other
            if n == 5:
                die_once("died in the stream")

    @af.job
    def use(n):
        note(f"{af.current().number} {n}")
        if n == 2:
            die_once("died in the consumer")
        return n

    @af.workflow
    def streaming():
        use(numbers())
    """,
    )
    command_line(home, "run", flows, code=KILLED)
    command_line(home, "run", "--resume", flows, code=KILLED)
    command_line(home, "run", "--resume", flows)
    assert results(home, "use") == list(range(8))
    assert sorted(set(notes(tmp_path))) == [f"{n + 1} {n}" for n in range(8)]  # the same number for the same item


def test_rule_29_the_states_of_both_ends_of_a_stream_are_saved_together(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + """
    @af.job
    def numbers():
        state = af.current().state
        for n in range(state.get("next", 0), 5000):
            state["next"] = n + 1
            yield n

    @af.job
    def total(items: af.Stream):
        state = af.current().state
        for n in items:
            state["sum"] = state.get("sum", 0) + n
            state["count"] = state.get("count", 0) + 1
            if n == 3500:
                note(state["count"])
                die_once("died")
        return [state["sum"], state["count"]]

    @af.workflow
    def adding():
        total(numbers())
    """,
    )
    command_line(home, "run", flows, code=KILLED)
    command_line(home, "run", "--resume", flows)
    assert notes(tmp_path) == ["3501", "3501"]
    assert [list(value) for value in results(home, "total")] == [[sum(range(5000)), 5000]]


def test_rule_33_a_killed_run_is_shown_as_interrupted_runs_nothing_on_opening_and_goes_on_with_what_is_unfinished(
    tmp_path,
):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + """
    @af.job
    def first():
        note("first")
        return 1

    @af.job(persist=False)
    def memory(n):
        note("memory")
        return n + 1

    @af.job
    def second(n):
        note(f"second {af.current().attempt}")
        die_once("died")
        return n * 10

    @af.workflow
    def killed():
        second(memory(first()))
    """,
    )
    command_line(home, "run", flows, code=KILLED)
    execution_id = only_execution(home, "INTERRUPTED")
    shown, err = command_line(home, "execution", "show", execution_id)
    assert f"execution resume {execution_id}" in shown + err
    assert notes(tmp_path) == ["first", "memory", "second 1"]
    command_line(home, "execution", "resume", execution_id)
    assert results(home, "second") == [20]
    assert [note.split()[0] for note in notes(tmp_path)[3:]] == ["memory", "second"]
    with af.Project(home=home) as project:
        events = project.events.list(senders="memory")
    assert [event.value["status"] for event in events] == ["RUNNING", "SUCCESS"]  # computed again without events


def test_rule_33_a_job_that_kills_its_process_three_times_fails_and_says_so(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + """
    @af.job
    def deadly():
        os.kill(os.getpid(), signal.SIGKILL)

    @af.workflow
    def deadly_flow():
        deadly()
    """,
    )
    command_line(home, "run", flows, code=KILLED)
    command_line(home, "run", "--resume", flows, code=KILLED)
    command_line(home, "run", "--resume", flows, code=KILLED)
    _, err = command_line(home, "run", "--resume", flows, code=1)
    assert "was running when the process died, 3 times" in err


def test_rule_34_a_failed_run_goes_on_with_mended_code_and_another_structure_is_refused_with_the_difference(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + """
    @af.job
    def load():
        note("load")
        return 4

    @af.job
    def root(n):
        return n ** 0.5 if BUG else 2.0

    @af.job
    def report(n):
        note("report")
        return f"root {n}"

    @af.workflow
    def mended():
        report(root(load()))
    """,
    )
    command_line(home, "run", flows, code=1)
    execution_id = only_execution(home, "FAILED")
    broken = flows.read_text()
    flows.write_text(broken.replace("report(root(load()))", "report(load())"))
    _, err = command_line(home, "execution", "resume", execution_id, code=3)
    assert "root" in err
    flows.write_text(broken.replace(" if BUG else 2.0", ""))
    command_line(home, "execution", "resume", execution_id)
    assert results(home, "report") == ["root 2.0"]
    assert notes(tmp_path) == ["load", "report"]


@pytest.mark.parametrize("place", ["params", "body"])
def test_rules_25_and_31_a_server_that_is_killed_while_it_starts_an_execution_starts_it_once(tmp_path, place):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        HEAD
        + f"""
    def params(event):
        if {place == "params"}:
            die_once("died")
        return {{"n": event.value}}

    @af.job
    def work(n):
        note(n)

    @af.workflow(start_on=af.event("go"), params=params)
    def greeted(n: int = 0):
        if {place == "body"} and n:
            die_once("died")
        work(n)
    """,
    )
    with af.Project("inn", home=home) as project:
        server = begin(home, "serve", flows)
        until(lambda: project.triggers.list())
        for n in (1, 2, 3):
            project.publish("go", n)
        server.communicate(timeout=PATIENCE)
        assert server.returncode == KILLED
        server = begin(home, "serve", flows)
        until(lambda: project.executions.count(status="SUCCESS") >= 3)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=PATIENCE)
        assert server.returncode == 143
        executions = project.executions.list()
        assert len(executions) == len({execution.event.offset for execution in executions}) == 3
    assert sorted(notes(tmp_path)) == ["1", "2", "3"]


def test_rule_3_events_that_come_while_an_execution_is_interrupted_are_handled_on_resuming_in_order(tmp_path):
    seen = []

    @af.condition(keys=["n"])
    def third(event, state):
        state["n"] = state.get("n", 0) + 1
        return state["n"] % 3 == 0

    @af.job
    def counted():
        seen.append(("counted", af.current().event.value))

    @af.job
    def both():
        seen.append(("both", [event.value for event in af.current().events]))

    @af.workflow(ends="never")
    def flow():
        counted().start_on(third)
        both().start_on(af.event("n", 1) & af.event("n", 6).times(2))

    project = project_for_tests(tmp_path / "home")
    project.start(flow)
    tell(project, ("n", 1), ("n", 2))
    project.close(detach=True)
    with project_for_tests(tmp_path / "home") as project:
        tell(project, ("n", 3), ("n", 6))
        assert seen == []
        [execution] = project.executions.list()
        assert execution.status == "INTERRUPTED"
    with project_for_tests(tmp_path / "home") as project:
        [execution] = project.recover()
        run_until_idle(project)
        assert seen == [("counted", 3)]
        tell(project, ("n", 5), ("n", 6))
        assert sorted(seen) == [("both", [1, 6, 6]), ("counted", 3), ("counted", 6)]
        execution.stop()
        execution.wait(timeout=PATIENCE)
        assert_replays(execution)


def test_rule_33_a_retry_that_waits_outlives_the_process_and_so_does_the_count_of_attempts(tmp_path):
    clock = ManualClock()
    attempts = []

    @af.job(retries=2, retry_delay=100, retry_backoff=1)
    def work():
        attempts.append((af.current().attempt, clock.now()))
        raise RuntimeError("always")

    @af.workflow
    def flow():
        work()

    start = clock.now()
    project = project_for_tests(tmp_path / "home", clock)
    project.start(flow)
    run_until_idle(project)
    clock.advance(30)
    project.close(detach=True)
    clock.advance(10)
    with project_for_tests(tmp_path / "home", clock) as project:
        [execution] = project.recover()
        run_until_idle(project)
        assert len(attempts) == 1
        clock.advance(1000)
        assert attempts == [(1, start), (2, start + 100), (3, start + 200)]
        assert execution.status == "FAILED"
        assert_replays(execution)


@pytest.mark.parametrize("what", ["execution", "job", "restart"])
def test_rules_15_16_and_22_a_stop_that_was_asked_for_outlives_the_process(tmp_path, what):
    gate, runs = Gate(), []

    @af.job(runner="thread")
    def work():
        runs.append(af.current().number)
        if len(runs) == 1:
            gate.stand()

    @af.job
    def use(value):
        runs.append("use")

    @af.workflow(name=f"stopping_{what}")
    def flow():
        use(work().restart_on(af.event("again")))

    project = project_for_tests(tmp_path / "home")
    execution = project.start(flow)
    gate.wait_for_one()
    if what == "execution":
        execution.stop()
    elif what == "job":
        execution.stop_job("work")
    else:
        project.publish("again")
    until(lambda: execution.job("work").status == "STOPPING")
    project.close(detach=True)
    gate.open()
    with project_for_tests(tmp_path / "home") as project:
        project.recover()
        [execution] = project.executions.list()
        execution.wait(timeout=PATIENCE)
        expected = {
            "execution": ("STOPPED", [1]),
            "job": ("SUCCESS", [1]),
            "restart": ("SUCCESS", [1, 2, "use"]),
        }[what]
        assert (execution.status, runs) == expected
        assert_replays(execution)


def test_rule_9_a_question_that_kills_the_process_is_asked_again_and_answered_once(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        """
        import os, signal
        from pathlib import Path
        import aiflow as af

        @af.condition(keys=["n"])
        def enough(event, state):
            state["seen"] = state.get("seen", []) + [event.value]
            if event.value == 2 and not Path("died").exists():
                Path("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return len(state["seen"]) == 3

        @af.job
        def speak():
            for n in (1, 2, 3):
                af.publish("n", n)

        @af.job
        def act():
            return [e.value for e in af.current().events], af.current().number

        @af.workflow
        def asking():
            speak()
            act().start_on(enough)
        """,
    )
    command_line(home, "run", flows, code=-9)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert len(execution.results("act")) == 1


@pytest.mark.parametrize("detach", [True, False])
def test_rules_25_and_31_a_project_that_is_closed_in_the_middle_of_a_start_leaves_it_to_the_next_server(
    tmp_path, caplog, detach
):
    gate, threads, ran = Gate(), [], []

    def params(event):
        threads.append(threading.current_thread())
        if len(threads) == 1:
            gate.stand()
        return {}

    @af.job
    def work():
        ran.append(af.current().execution_id)

    @af.workflow(name=f"closing_{detach}", start_on=af.event("go"), params=params)
    def closing():
        work()

    project = project_for_tests(tmp_path / "home")
    with serving(project, closing):
        project.publish("go")
        project.publish("go")
        gate.wait_for_one()
        project.close(detach=detach, timeout=0)
        gate.open()
        threads[0].join(PATIENCE)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert project.executions.count() == 0
    with project_for_tests(tmp_path / "home") as project, serving(project, closing):
        run_until_idle(project)
        assert project.executions.count(status="SUCCESS") == 2
        assert len(ran) == len(set(ran)) == 2
        assert project.executions.count() == 2


def test_rule_25_starts_that_wait_for_a_running_execution_outlive_the_server(tmp_path):
    ran = []

    @af.job(runner="thread")
    def work(n):
        ran.append(n)
        if len(ran) == 1:
            assert af.current().wait_stop(PATIENCE)  # until the project is closed

    @af.workflow(start_on=af.event("go"))
    def queued(n: int):
        work(n)

    project = project_for_tests(tmp_path / "home")
    with serving(project, queued):
        for n in (1, 2, 3):
            project.publish("go", {"n": n})
        until(lambda: ran)
    project.close(detach=True)
    with project_for_tests(tmp_path / "home") as project, serving(project, queued):
        run_until_idle(project)
        assert project.executions.count(status="SUCCESS") == 3
        assert ran == [1, 1, 2, 3]
        assert project.executions.count() == 3


def test_rule_9_a_question_that_is_pending_when_the_project_is_left_is_asked_again_by_the_next(tmp_path, caplog):
    gate, asked, ran, threads = Gate(), [], [], []

    def where(event):
        asked.append(event.value)
        threads.append(threading.current_thread())
        if len(asked) == 1:
            gate.stand()
        return True

    @af.job
    def work():
        ran.append(af.current().event.value)

    @af.workflow(name="asked_again", ends="never")
    def flow():
        work().start_on(af.event("go", where=where))

    project = project_for_tests(tmp_path / "home")
    project.start(flow)
    project.publish("go", 1)
    project.publish("go", 2)
    gate.wait_for_one()
    project.close(detach=True)
    gate.open()
    threads[0].join(PATIENCE)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []
    with project_for_tests(tmp_path / "home") as project:
        [execution] = project.recover()
        run_until_idle(project)
        assert ran == [1, 2]
        assert asked == [1, 1, 2]
        end(execution)


def test_rule_33_a_killed_run_takes_its_processes_with_it_and_keeps_what_a_map_has_made(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        """
        import os, signal, time
        from pathlib import Path
        import aiflow as af

        @af.job(runner="process")
        def child(parent):
            if not Path("died").exists():
                Path("died").touch()
                Path("child").write_text(str(os.getpid()))
                os.kill(parent, signal.SIGKILL)
                time.sleep(30)
            return os.getpid() != parent

        @af.job
        def pid():
            return os.getpid()

        @af.job
        def double(n):
            return n * 2

        @af.workflow
        def crash_map():
            double.map([1, 2, 3])
            child(pid.options(persist=False)())
        """,
    )
    command_line(home, "run", flows, code=-9)
    child = int((tmp_path / "child").read_text())

    def gone():
        try:
            return Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    until(gone)
    command_line(home, "run", "--resume", flows)
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert execution.result("double") == [2, 4, 6]
        assert execution.result("child") is True
