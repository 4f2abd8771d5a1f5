"""The command line as users have it: `python -m aiflow` in processes of its own, of the hatchery where nothing else is said."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hatchery import PIPE, Process

from aiflow import Project

SUMS = """
import aiflow as af

@af.job
def load(n):
    print("loading", n)
    return list(range(n))

@af.job
def total(rows):
    return sum(rows)

@af.workflow
def sums(number: int = 3, api_token: str = "hidden-text"):
    total(load(number))
"""

FAILING = """
import aiflow as af

def inner():
    raise ValueError("there is no such colour")

@af.job
def paint():
    inner()

@af.job
def dry(coat):
    return coat

@af.workflow
def failing():
    dry(paint())
"""

WAITING = """
from pathlib import Path
import time
import aiflow as af

@af.job
def before():
    with open("before.txt", "a") as file:
        file.write("ran\\n")
    return "kept"

@af.job
def wait(kept):
    with open("wait.txt", "a") as file:
        file.write("began\\n")
    print("waiting now")
    if Path("deaf").exists():  # does not listen to being stopped
        while not Path("go").exists():
            time.sleep(0.01)
    while not Path("go").exists() and not af.current().wait_stop(0.01):
        pass
    return kept

@af.job
def after(kept):
    with open("after.txt", "a") as file:
        file.write("ran\\n")
    return kept.upper()

@af.workflow
def waiting():
    after(wait(before()))
"""

LISTENING = """
import aiflow as af

@af.job
def hello():
    return af.current().event.value

@af.workflow
def listening():
    hello().start_on(af.event("go"))
"""

LARGE = """
import aiflow as af

@af.job
def large():
    return "x" * 3_000_000

@af.workflow
def large_values():
    large()
"""


class CommandLine:
    """A folder with workflows, a home in it, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / ".aiflow"
        self.env = os.environ | {"AIFLOW_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        self.started: list[Process] = []
        self.is_fresh = False
        for name, text in (("sums", SUMS), ("failing", FAILING), ("waiting", WAITING), ("listening", LISTENING)):
            self.write(f"{name}.py", text)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def __call__(
        self, *words: str, code: int = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.begin(*words, env=env or self.env)
        out, err = process.communicate(timeout=60)
        done = subprocess.CompletedProcess(words, process.returncode or 0, out, err)
        assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done

    def data(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "-o", "json", code=code).stdout)

    def begin(self, *words: str, **more: Any) -> Process:
        """Begin a command; in a fresh interpreter (`is_fresh`), or in one that has imported aiflow already."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": PIPE, "stderr": PIPE}
        options = {"cwd": self.folder, "env": self.env, "start_new_session": True, **streams, **more}
        command = ["-m", "aiflow", *words]
        if self.is_fresh:
            process: Any = subprocess.Popen([sys.executable, *command], text=True, **options)
        else:
            process = Process(command, **options)
        self.started.append(process)
        return process

    def is_there(self, name: str) -> Callable[[], bool]:
        return lambda: (self.folder / name).exists() and bool((self.folder / name).read_text())

    def lines(self, name: str) -> int:
        return len((self.folder / name).read_text().splitlines())

    def status(self) -> str:
        with Project(home=self.home, _make=False) as project:
            return str(project.executions.list(limit=1)[0].status)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def ends(process: Process, code: int, seconds: float = 60.0) -> tuple[str, str]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == code, f"exit {process.returncode}, not {code}\n{out}\n{err}"
    return out, err


@pytest.fixture
def aiflow(tmp_path: Path) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path)
    yield line
    for process in line.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


# --- run --------------------------------------------------------------------------------------------------------------


def test_run_gives_jobs_and_results_as_json_on_standard_output_and_all_else_on_standard_error(
    aiflow: CommandLine,
) -> None:
    aiflow.is_fresh = True
    done = aiflow("run", "sums.py", "-p", "number=4", "-o", "json")
    record = json.loads(done.stdout)
    assert record["status"] == "SUCCESS"
    assert record["workflow"] == "sums"
    assert record["params"] == {"number": 4, "api_token": "***"}
    assert [(j["job"], j["status"], j["attempt"]) for j in record["jobs"]] == [
        ("load", "SUCCESS", 1),
        ("total", "SUCCESS", 1),
    ]
    assert record["results"] == {"load": [0, 1, 2, 3], "total": 6}
    assert "loading 4" in done.stderr
    assert re.search(r"^load +RUNNING$", done.stderr, re.MULTILINE)
    assert re.search(r"^total +SUCCESS +\d", done.stderr, re.MULTILINE)
    assert "\033" not in done.stderr + done.stdout


def test_run_shows_a_table_of_jobs_and_results(aiflow: CommandLine) -> None:
    shown = aiflow("run", "sums.py").stdout
    assert re.search(r"^status +SUCCESS$", shown, re.MULTILINE)
    assert re.search(r"^JOB +STATUS +TIME +ATTEMPT +RESULT$", shown, re.MULTILINE)
    assert re.search(r"^total +SUCCESS +\S+ s +1 +3$", shown, re.MULTILINE)
    assert "hidden-text" not in shown


def test_options_that_hold_everywhere_stand_before_or_after_the_command(aiflow: CommandLine, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    aiflow("--home", other, "-n", "mine", "run", "sums.py", "-o", "plain")
    assert [e["namespace"] for e in json.loads(aiflow("-o", "json", "list", "executions", "--home", other).stdout)] == [
        "mine"
    ]
    assert aiflow("list", "--home", other, "executions", "-n", "theirs", "-o", "json").stdout == "[]\n"
    assert not aiflow.home.exists()


def test_a_wrong_parameter_is_wrong_usage_with_close_names_and_makes_no_home(aiflow: CommandLine) -> None:
    assert "did you mean 'number'?" in aiflow("run", "sums.py", "-p", "numbr=4", code=2).stderr
    assert "must be a whole number, not 'many'" in aiflow("run", "sums.py", "-p", "number=many", code=2).stderr
    assert "'number' is not name=value" in aiflow("run", "sums.py", "-p", "number", code=2).stderr
    assert "No such option" in aiflow("run", "sums.py", "--tiemout", "4", code=2).stderr
    assert not aiflow.home.exists()


def test_a_file_with_several_workflows_and_none_named_is_wrong_usage_with_the_list(aiflow: CommandLine) -> None:
    aiflow.write("two.py", SUMS + "\n@af.workflow\ndef loads():\n    load(1)\n")
    refused = aiflow("run", "two.py", code=2).stderr
    assert "two.py:sums" in refused
    assert "two.py:loads" in refused
    assert aiflow.data("run", "two.py:loads")["results"] == {"load": [0]}
    assert "did you mean 'loads'?" in aiflow("run", "two.py:load", code=2).stderr
    assert "did you mean 'two.py'?" in aiflow("run", "tow.py", code=2).stderr


def test_a_broken_file_fails_with_the_users_frames_only(aiflow: CommandLine) -> None:
    aiflow.write("helper.py", "def divide():\n    return 1 / 0\n")
    aiflow.write("broken.py", "import aiflow as af\nimport helper\n\nhelper.divide()\n")
    told = aiflow("run", "broken.py", code=1).stderr
    assert re.findall(r'File ".*/(\w+\.py)", line (\d+)', told) == [("broken.py", "4"), ("helper.py", "2")]
    assert "ZeroDivisionError" in told
    assert "importlib" not in told
    aiflow.write("typo.py", "def f(:\n")
    assert "SyntaxError" in aiflow("show", "typo.py", code=1).stderr
    aiflow.write("body.py", "import aiflow as af\n\n@af.workflow\ndef body():\n    {}['missing']\n")
    told = aiflow("run", "body.py", code=1).stderr
    assert re.findall(r'File ".*/(\w+\.py)", line (\d+)', told) == [("body.py", "5")]


def test_a_failed_job_fails_the_command_with_its_error_and_the_tail_of_its_traceback(aiflow: CommandLine) -> None:
    done = aiflow("run", "failing.py", "-o", "json", code=1)
    assert {j["job"]: j["status"] for j in json.loads(done.stdout)["jobs"]} == {"paint": "FAILED", "dry": "SKIPPED"}
    assert "paint: ValueError: there is no such colour" in done.stderr
    assert re.findall(r'File ".*/(\w+\.py)", line \d+, in (\w+)', done.stderr) == [
        ("failing.py", "paint"),
        ("failing.py", "inner"),
    ]


def test_a_run_that_takes_too_long_is_stopped_and_fails(aiflow: CommandLine) -> None:
    done = aiflow("run", "waiting.py", "--timeout", "0.3", code=1)
    assert "took longer than 0.3 s" in done.stderr
    assert aiflow.status() == "STOPPED"


def test_only_some_jobs_run_when_that_is_asked(aiflow: CommandLine) -> None:
    aiflow("run", "sums.py")
    assert [j["job"] for j in aiflow.data("run", "sums.py", "--only", "total")["jobs"]] == ["total"]
    assert [j["job"] for j in aiflow.data("run", "sums.py", "--from", "load")["jobs"]] == ["load", "total"]
    assert "did you mean 'total'?" in aiflow("run", "sums.py", "--only", "totl", code=2).stderr


def test_the_example_trains_and_reports_when_the_bar_is_passed(aiflow: CommandLine) -> None:
    pytest.importorskip("sklearn")
    iris = str(Path(__file__).parents[2] / "examples" / "iris.py")
    done = aiflow("run", iris, "-p", "neighbors=7", "-p", "report=told.txt", "-o", "json")
    record = json.loads(done.stdout)
    assert {j["job"]: j["status"] for j in record["jobs"]}["write_report"] == "SUCCESS"
    assert record["results"]["evaluate"] > 0.9
    assert record["results"]["train"] == "KNeighborsClassifier(n_neighbors=7)"
    assert "confusion matrix" in (aiflow.folder / "told.txt").read_text()
    (passed,) = aiflow.data("list", "events", "--key", "accuracy_passed")
    assert (passed["value"], passed["sender"]) == (record["results"]["evaluate"], "evaluate")
    missed = aiflow.data("run", iris, "-p", "bar=1.1")
    assert missed["status"] == "SUCCESS"
    assert {j["job"]: j["status"] for j in missed["jobs"]}["write_report"] == "SKIPPED"


# --- from another process ---------------------------------------------------------------------------------------------


def test_another_process_sees_what_happens_while_it_happens_and_afterwards(aiflow: CommandLine) -> None:
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    (execution,) = aiflow.data("list", "executions")
    assert execution["status"] == "RUNNING"
    prefix = execution["id"][:5]
    shown = aiflow.data("execution", "show", prefix)
    assert {j["job"]: j["status"] for j in shown["jobs"]} == {"before": "SUCCESS", "wait": "RUNNING"}
    assert [(j["job"], j["status"], j["reason"]) for j in shown["not_begun"]] == [("after", "INIT", "waits for wait")]
    until(lambda: aiflow("execution", "logs", prefix, "--job", "wait").stdout == "waiting now\n")
    (aiflow.folder / "go").touch()
    ends(running, 0)
    shown = aiflow.data("execution", "show", prefix)
    assert shown["status"] == "SUCCESS"
    assert shown["results"] == {"before": "kept", "wait": "kept", "after": "KEPT"}
    assert [j["job"] for j in aiflow.data("list", "jobs", "--execution", prefix)] == ["after", "wait", "before"]
    events = aiflow.data("list", "events", "--execution", prefix)
    assert [e["value"]["status"] for e in events if e["key"] == "execution:waiting"] == ["RUNNING", "SUCCESS"]
    assert [w["name"] for w in aiflow.data("list", "workflows")] == ["waiting"]
    assert aiflow.data("list", "executions", "--status", "failed") == []


def test_an_execution_stops_when_another_process_says_so_and_its_run_fails(aiflow: CommandLine) -> None:
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    (execution,) = aiflow.data("list", "executions")
    stopping = aiflow.data("execution", "stop", execution["id"])
    assert stopping["status"] in ("STOPPING", "STOPPED")
    _, err = ends(running, 1)
    assert "stopped from the command line" in err
    assert aiflow.status() == "STOPPED"


def test_a_job_is_started_again_by_another_process(aiflow: CommandLine) -> None:
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    (execution,) = aiflow.data("list", "executions")
    aiflow("job", "restart", execution["id"], "wait")
    until(lambda: aiflow.lines("wait.txt") == 2)
    assert "did you mean 'wait'?" in aiflow("job", "stop", execution["id"], "wiat", code=2).stderr
    (aiflow.folder / "go").touch()
    ends(running, 0)


def test_what_is_published_elsewhere_starts_a_job_and_until_then_run_says_what_it_waits_for(
    aiflow: CommandLine,
) -> None:
    running = aiflow.begin("run", "listening.py", "-o", "json")
    assert running.stderr is not None
    assert running.stderr.readline() == "waiting for event('go') (starts hello)\n"
    assert aiflow.data("event", "publish", "go", '{"n": 1}')["value"] == {"n": 1}
    out, _ = ends(running, 0)
    assert json.loads(out)["results"] == {"hello": {"n": 1}}


def test_where_there_is_no_terminal_run_says_what_a_busy_job_is_at(aiflow: CommandLine) -> None:
    (aiflow.folder / "busy.py").write_text(
        "import aiflow as af\n@af.job\ndef load():\n    af.current().set_label('half of it is there')\n"
        "    af.current().wait_stop(60)\n@af.workflow\ndef loading():\n    load()\n"
    )
    running = aiflow.begin("run", "busy.py")
    assert running.stderr is not None
    assert running.stderr.readline().split() == ["load", "RUNNING"]
    assert running.stderr.readline() == "waiting for load (RUNNING); load: half of it is there\n"
    running.send_signal(signal.SIGINT)
    ends(running, 130)


def test_logs_are_followed_until_the_execution_is_over(aiflow: CommandLine) -> None:
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    (execution,) = aiflow.data("list", "executions")
    following = aiflow.begin("execution", "logs", execution["id"], "-f")
    assert following.stdout is not None
    assert following.stdout.readline() == "--- wait number 1 attempt 1\n"
    assert following.stdout.readline() == "waiting now\n"
    (aiflow.folder / "go").touch()
    ends(running, 0)
    assert ends(following, 0)[0] == ""
    assert aiflow("execution", "logs", execution["id"], "wait", "-f").stdout == "waiting now\n"
    assert "did you mean 'wait'?" in aiflow("execution", "logs", execution["id"], "wiat", "-f", code=2).stderr


def test_tail_follows_events_line_by_line_and_ends_with_its_reader(aiflow: CommandLine) -> None:
    aiflow("event", "publish", "sensor.a", "-5", "--sender", "me")
    aiflow("event", "publish", "other", "text")
    tail = aiflow.begin("event", "tail", "--key", "sensor.*", "--since", "start")
    assert tail.stdout is not None
    first = json.loads(tail.stdout.readline())
    assert (first["key"], first["value"], first["sender"], first["offset"]) == ("sensor.a", -5, "me", 1)
    aiflow("event", "publish", "sensor.b")
    assert json.loads(tail.stdout.readline())["key"] == "sensor.b"
    tail.stdout.close()
    assert tail.stderr is not None
    assert tail.stderr.read() == ""
    assert tail.wait(20) == 0
    assert aiflow("event", "count", "--key", "sensor.*").stdout == "2\n"
    assert len(aiflow("event", "tail", "--since", "1", "--limit", "2").stdout.splitlines()) == 2


# --- interrupts and crashes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code", "times"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_stops_the_execution_gracefully_also_if_it_is_sent_twice_at_once(
    aiflow: CommandLine, number: signal.Signals, code: int, times: int
) -> None:
    running = aiflow.begin("run", "waiting.py", "-o", "json")
    until(aiflow.is_there("wait.txt"))
    for _ in range(times):  # `timeout` sends to the process and to its group
        running.send_signal(number)
    out, err = ends(running, code)
    record = json.loads(out)
    assert (record["status"], record["reason"]) == ("STOPPED", "interrupted")
    assert {j["job"]: j["status"] for j in record["jobs"]}["wait"] == "STOPPED"
    assert "Traceback" not in err


def test_a_second_signal_stops_at_once_and_says_how_to_go_on(aiflow: CommandLine) -> None:
    (aiflow.folder / "deaf").touch()
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    running.send_signal(signal.SIGINT)
    until(lambda: aiflow.status() == "STOPPING")
    # the first of these may come within a hundredth of a second, and is then taken for the one before
    until(lambda: running.poll() is not None or running.send_signal(signal.SIGINT))
    _, err = ends(running, 130)
    assert "aiflow execution resume" in err
    assert aiflow.status() == "INTERRUPTED"


def test_a_signal_before_anything_runs_ends_the_command(aiflow: CommandLine) -> None:
    aiflow.is_fresh = True
    aiflow.write("slow.py", "import time\nopen('begun.txt', 'w').write('yes')\ntime.sleep(60)\n")
    running = aiflow.begin("run", "slow.py")
    until(aiflow.is_there("begun.txt"))
    running.send_signal(signal.SIGTERM)
    ends(running, 143)


def test_resume_after_a_kill_runs_exactly_what_had_not_finished(aiflow: CommandLine) -> None:
    running = aiflow.begin("run", "waiting.py")
    until(aiflow.is_there("wait.txt"))
    running.kill()
    running.wait()
    (execution,) = aiflow.data("list", "executions", "--status", "INTERRUPTED")
    (aiflow.folder / "go").touch()
    record = aiflow.data("run", "waiting.py", "--resume")
    assert (record["id"], record["status"]) == (execution["id"], "SUCCESS")
    assert record["results"]["after"] == "KEPT"
    assert [aiflow.lines(f"{name}.txt") for name in ("before", "wait", "after")] == [1, 2, 1]
    assert "no execution that failed or was interrupted" in aiflow("run", "waiting.py", "--resume", code=2).stderr


def test_a_mended_file_is_resumed_and_another_graph_is_refused(aiflow: CommandLine) -> None:
    aiflow("run", "failing.py", code=1)
    (execution,) = aiflow.data("list", "executions")
    aiflow.write("failing.py", FAILING.replace("dry(paint())", "dry(paint()).after(dry('x'))"))
    refused = aiflow("execution", "resume", execution["id"], code=3).stderr
    assert "job 'dry_2' is new" in refused
    assert "Traceback" not in refused
    aiflow.write("failing.py", FAILING.replace("    inner()", "    return 'red'"))
    assert aiflow.data("execution", "resume", execution["id"][:6])["results"] == {"paint": "red", "dry": "red"}


# --- the store --------------------------------------------------------------------------------------------------------


def test_what_only_reads_never_makes_a_home(aiflow: CommandLine) -> None:
    for words in (["list", "executions"], ["event", "tail"], ["execution", "show", "x"], ["db", "check"]):
        assert "there is no home" in aiflow(*words, code=3).stderr
    assert not aiflow.home.exists()


def test_check_finds_damage_and_backup_copies_without_overwriting(aiflow: CommandLine) -> None:
    aiflow.write("large.py", LARGE)
    aiflow("run", "large.py")
    told = aiflow.data("db", "check")
    assert told.pop("sizes")
    assert told == {"home": str(aiflow.home), "ok": True, "blobs": 1, "problems": []}
    aiflow("db", "backup", "copy.db")
    assert "exists already" in aiflow("db", "backup", "copy.db", code=2).stderr
    home = aiflow.folder / "restored"
    home.mkdir()
    (aiflow.folder / "copy.db").rename(home / "aiflow.db")
    assert len(json.loads(aiflow("list", "executions", "--home", str(home), "-o", "json").stdout)) == 1
    (blob,) = (p for p in (aiflow.home / "blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"y" + blob.read_bytes()[1:])
    damage = aiflow.data("db", "check", code=3)["problems"]
    assert len(damage) == 1
    assert "is damaged" in damage[0]


def test_a_file_that_is_no_store_is_refused(aiflow: CommandLine) -> None:
    aiflow.home.mkdir()
    (aiflow.home / "aiflow.db").write_text("not a database")
    refused = aiflow("run", "sums.py", code=3).stderr
    assert "is not a SQLite database" in refused
    assert "Traceback" not in refused


# --- surroundings -----------------------------------------------------------------------------------------------------


def test_a_closed_pipe_is_no_error(aiflow: CommandLine) -> None:
    aiflow.is_fresh = True
    with Project(home=aiflow.home) as project:
        project.publish("long", "x" * 200_000)
    reading, writing = os.pipe()
    os.close(reading)
    listing = aiflow.begin("list", "events", "-o", "json", stdout=writing)
    os.close(writing)
    _, err = listing.communicate(timeout=20)
    assert (listing.returncode, err) == (0, "")


def test_it_works_without_a_home_directory_or_a_terminal(aiflow: CommandLine) -> None:
    aiflow.is_fresh = True
    env = {k: v for k, v in aiflow.env.items() if k not in ("HOME", "AIFLOW_HOME", "TERM", "USER", "LOGNAME")}
    done = aiflow("run", "sums.py", "-o", "json", env=env)
    assert json.loads(done.stdout)["status"] == "SUCCESS"
    assert (aiflow.folder / ".aiflow" / "aiflow.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_shows_live_progress_in_colour_unless_that_is_unwanted(aiflow: CommandLine) -> None:
    import pty

    for is_plain in (False, True):
        aiflow.env |= {"TERM": "xterm-256color", "COLUMNS": "100"} | ({"NO_COLOR": "1"} if is_plain else {})
        controller, terminal = pty.openpty()
        running = aiflow.begin("run", "sums.py", "-o", "json", stderr=terminal)
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(controller, 65536):
                shown += part
        except OSError:  # Linux says so when the other side is closed
            pass
        os.close(controller)
        out, _ = ends(running, 0)
        assert json.loads(out)["status"] == "SUCCESS"
        assert b"loading 3" in shown
        assert b"\033[?25h" in shown  # the cursor is back
        assert bool(re.search(rb"\033\[[0-9;]*3[0-9]m", shown)) is not is_plain
