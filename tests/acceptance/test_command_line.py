"""Acceptance of the command line, written from its text alone."""

from __future__ import annotations

import json
import signal
import threading

import pytest
from tests.acceptance.acts import PATIENCE, begin, command_line, until, write

import aiflow as af

# --------------------------------------------------------------------------------------------------------- command line

FLOWS = """
    import aiflow as af

    @af.job
    def divide(a, b):
        return a / b

    @af.workflow
    def ratio(numerator: int = 6, denominator: int = 3):
        divide(numerator, denominator)
"""


def test_the_command_line_exits_with_0_1_2_and_3_and_says_why(tmp_path):
    home = tmp_path / "home"
    flows = write(tmp_path / "flows.py", FLOWS)
    out, _ = command_line(home, "run", flows, "-o", "json")
    execution = json.loads(out)
    assert execution["status"] == "SUCCESS"
    _, err = command_line(home, "run", flows, "-p", "denominator=0", code=1)
    assert "ZeroDivisionError" in err
    assert "divide" in err
    _, err = command_line(home, "run", flows, "-p", "denominatr=1", code=2)
    assert "denominator" in err
    flows.write_text(flows.read_text() + "\n\n@af.workflow\ndef other(): divide(1, 2)\n")
    _, err = command_line(home, "run", flows, code=2)
    assert "ratio" in err
    assert "other" in err
    _, err = command_line(home, "run", write(tmp_path / "broken.py", "def f():\n    1 / 0\n\nf()\n"), code=1)
    assert "broken.py" in err
    assert "ZeroDivisionError" in err
    assert "src/aiflow" not in err
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "aiflow.db").write_text("this is no database, and it is longer than a header is" * 9)
    _, err = command_line(tmp_path / "foreign", "list", "executions", code=3)
    assert "aiflow.db" in err
    assert "Traceback" not in err


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
    with af.Project(home=home) as project:
        assert [execution.status for execution in project.executions.list()] == ["STOPPED"]


def test_json_is_alone_on_standard_output_and_a_run_that_somebody_else_stopped_exits_1(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        """
        import aiflow as af
        from pathlib import Path

        print("import time")

        @af.job
        def work():
            print("noise")
            Path("begun").touch()
            af.current().wait_stop(30)

        @af.workflow
        def flow(names: list[str] = [], flag: bool = False):
            work()
        """,
    )
    process = begin(home, "run", flows, "-p", 'names=["a"]', "-p", "flag=true", "-o", "json")
    until((tmp_path / "begun").exists)
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert execution.params["names"] == ["a"]
        assert execution.params["flag"] is True
        command_line(home, "execution", "stop", execution.id)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert json.loads(out)["status"] == "STOPPED"
    assert "noise" in err
    _, err = command_line(home, "run", flows, "-p", "flag=maybe", code=2)
    assert "flag" in err


def test_a_second_interrupt_stops_at_once(tmp_path):
    home = tmp_path / "home"
    flows = write(
        tmp_path / "flows.py",
        """
        import aiflow as af
        from pathlib import Path

        @af.job(stop_timeout=600)
        def work():
            Path("begun").touch()
            while True:
                if af.current().stopping:
                    Path("asked").touch()

        @af.workflow
        def flow():
            work()
        """,
    )
    process = begin(home, "run", flows)
    until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    until((tmp_path / "asked").exists)

    def is_over():
        process.send_signal(signal.SIGINT)  # again: those that come close together are one
        return process.poll() is not None

    until(is_over)
    _, err = process.communicate()
    assert process.returncode == 130, err


def test_a_command_publishes_to_restarts_and_stops_what_another_process_runs(tmp_path):
    home = tmp_path / "home"
    heard = []

    @af.job(runner="thread")
    def hear():
        heard.append(af.current().event.value)

    @af.job(runner="thread")
    def again():
        heard.append("again")

    @af.workflow(ends="never")
    def flow():
        hear().start_on(af.event("hello"))
        again()

    with af.Project("talk", home=home) as project:
        execution = project.start(flow)
        command_line(home, "event", "publish", "hello", '{"n": [1, 2]}')
        until(lambda: len(heard) == 2)
        command_line(home, "job", "restart", execution.id, "again")
        until(lambda: len(heard) == 3)
        assert heard.count("again") == 2
        assert {"n": [1, 2]} in heard
        command_line(home, "execution", "stop", execution.id)
        execution.wait(timeout=PATIENCE)
        assert str(project.events.latest("hello").offset) in execution.why("hear")


def test_a_parameter_that_is_named_like_a_secret_is_stored_and_shown_nowhere(tmp_path):
    home = tmp_path / "home"
    canary = "canary-swordfish"
    flows = write(
        tmp_path / "flows.py",
        """
        import aiflow as af

        @af.job
        def call(api_key):
            raise ValueError("refused " + api_key)

        @af.workflow
        def flow(api_key: str = "", max_tokens: int = 5):
            call(api_key)
        """,
    )
    out, err = command_line(home, "run", flows, "-p", f"api_key={canary}", "-p", "max_tokens=4711", code=1)
    assert canary not in out + err
    with af.Project(home=home) as project:
        [execution] = project.executions.list()
        assert canary not in repr(execution) + str(execution.jobs) + str(execution.logs())
        assert execution.params["api_key"] == canary
    out, err = command_line(home, "execution", "show", execution.id)
    assert canary not in out + err
    assert "4711" in out
    out, err = command_line(home, "execution", "logs", execution.id)
    assert canary not in out + err


def test_event_tail_follows_in_json_until_interrupted_and_a_closed_pipe_is_no_error(tmp_path):
    home = tmp_path / "home"
    with af.Project("x", home=home) as project:
        for n in range(2000):
            project.publish("n", n)
        tail = begin(home, "event", "tail")
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(tail.stdout.readline, "")), daemon=True)
        reader.start()

        def told():
            project.publish("late", {"a": float("nan")})
            return any("late" in line for line in lines)

        until(told)
        tail.send_signal(signal.SIGINT)
        tail.wait(10)
        assert tail.returncode == 130
        assert all(json.loads(line) for line in lines)
        tail.stderr.close()
        reader.join(5)
        tail.stdout.close()
    piped = begin(home, "list", "events", "--limit", "2000", "-o", "plain")
    piped.stdout.readline()
    piped.stdout.close()
    err = piped.stderr.read()
    piped.wait(10)
    piped.stderr.close()
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
