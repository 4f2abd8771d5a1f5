"""The command runner: programs as jobs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runners.contract import Bench, OneWork, is_alive, until

import aiflow as af
from aiflow.errors import GraphError, ParameterError
from aiflow.runners import guard
from aiflow.runners.base import Ended
from aiflow.runners.command import CommandRunner
from aiflow.runners.output import CAP

ROOT = Path(__file__).parents[2]


class Programs(Bench):
    """A bench whose jobs are made by `af.command`."""

    def begin(self, *args: Any, **options: Any) -> OneWork:
        @af.workflow
        def one() -> None:
            af.command(*args, **options)

        node = one.graph.nodes[0]
        work = OneWork(self, node.job.function, (), {}, node.options)
        self.runner.start(work, work.done)
        return work

    def end(self, *args: Any, **options: Any) -> Ended:
        return self.begin(*args, **options).wait()

    def line(self, *args: Any, **options: Any) -> Any:
        return self.value(self.end(*args, **options))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Programs]:
    bench = Programs(tmp_path / "home", CommandRunner)
    yield bench
    mark = f"{bench.runner._family._name}."
    bench.runner.close()
    assert guard.members(mark) == []


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


# --- the node ---------------------------------------------------------------------------------------------------------


def test_a_command_is_a_node_named_after_its_program() -> None:
    @af.workflow
    def several() -> None:
        af.command("/bin/echo hi")
        af.command(["echo", 1, 2.5, Path("x")])
        af.command("cat *.txt | wc -l", shell=True)
        af.command("./run-me.sh", name="mine", retries=2)

    nodes = several.graph.nodes
    assert nodes.keys() == ["echo", "echo_2", "cat", "mine"]
    assert [n.options.runner for n in nodes] == ["command"] * 4
    assert nodes["mine"].options.retries == 2
    assert nodes["echo_2"].job.function.argv == ("echo", "1", "2.5", "x")


def test_a_command_outside_a_workflow_says_what_to_do_instead() -> None:
    with pytest.raises(GraphError, match=r"subprocess\.run"):
        af.command("echo hi")


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ("", {}, "must name a program"),
        ([], {}, "a list of a program"),
        ("echo 'x", {}, "cannot be taken apart"),
        (["echo", None], {}, "not None"),
        (["echo"], {"shell": True}, "is one text"),
        ("echo", {"runner": "thread"}, "always 'command'"),
        ("echo", {"retry": 1}, "did you mean 'retry"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(args: Any, options: Any, message: str) -> None:
    @af.workflow
    def one() -> None:
        af.command(args, **options)

    with pytest.raises(ParameterError, match=message):
        one.build()


def test_the_value_of_another_node_cannot_be_an_argument() -> None:
    @af.workflow
    def one() -> None:
        af.command(["echo", af.command("date")])

    with pytest.raises(GraphError, match="has no value while the graph is built"):
        one.build()


# --- running ----------------------------------------------------------------------------------------------------------


def test_the_value_is_the_last_line_of_standard_output(bench: Programs) -> None:
    assert bench.line(["echo", "hi; there"]) == "hi; there"
    assert bench.line(python("print('first'); print('läst')")) == "läst"
    assert bench.line(python("import sys; sys.stdout.write('a\\nb')")) == "b"
    assert bench.line("true") == ""


def test_a_shell_runs_it_only_when_asked(bench: Programs) -> None:
    assert bench.line("echo $((1 + 2)) | cat") == "$((1 + 2)) | cat"
    assert bench.line("echo $((1 + 2)) | cat", shell=True) == "3"


def test_folder_and_environment_can_be_given(bench: Programs, tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['COLOUR'], 'HOME' in os.environ)"
    assert bench.line(python(code), cwd=tmp_path, env={"COLOUR": "red"}) == f"{tmp_path} red {'HOME' in os.environ}"


def test_a_program_knows_the_home_the_execution_and_the_job(bench: Programs) -> None:
    code = "import os; print(*(os.environ['AIFLOW_' + n] for n in ('HOME', 'EXECUTION', 'JOB')))"
    assert bench.line(python(code), name="mine") == f"{bench.home} execution-1 mine"
    assert bench.line("echo $PATH", shell=True).endswith(str(Path(sys.executable).parent))


def test_an_exit_status_other_than_0_fails_with_the_end_of_standard_error(bench: Programs) -> None:
    ended = bench.end(python("import sys; print('so sad', file=sys.stderr); sys.exit(7)"), name="f")
    assert ended.outcome == "FAILED"
    assert ended.retryable
    assert "exited with code 7" in str(ended.reason)
    assert "so sad" in str(ended.error)
    assert not bench.end("false", retry_on=(KeyError,)).retryable


def test_a_program_that_is_killed_fails_with_the_signal(bench: Programs) -> None:
    assert "was killed by SIGKILL" in str(bench.end("kill -9 $$", shell=True).error)


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        (["no-such-program"], {}, "there is no program 'no-such-program': install it"),
        (["echo"], {"cwd": "/no/such/folder"}, "the folder '/no/such/folder' of the command"),
        (["/etc/passwd"], {}, "may not be run: make it executable"),
    ],
)
def test_a_program_that_cannot_be_started_says_why(bench: Programs, argv: Any, options: Any, message: str) -> None:
    ended = bench.end(argv, **options)
    assert ended.outcome == "FAILED"
    assert message in str(ended.error)


def test_output_is_logged_and_passed_on(bench: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    work = bench.begin("echo one; echo two >&2", shell=True)
    work.wait()
    assert sorted(work.log.split()) == ["one", "two"]
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("one\n", "two\n")


def test_fifty_megabytes_of_output_are_capped_in_the_log(bench: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys\nfor i in range(500): print('x' * 99_999); print('y' * 99, file=sys.stderr)\nprint('done')"
    with open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        monkeypatch.setattr(sys, "stderr", nowhere)
        work = bench.begin(python(code))
        assert bench.value(work.wait()) == "done"
    assert CAP <= work.log_path.stat().st_size < CAP + 200


def test_a_program_that_leaves_somebody_with_its_pipes_ends_all_the_same(bench: Programs) -> None:
    assert bench.line("sleep 100 & echo $!", shell=True).isdigit()


# --- stopping ---------------------------------------------------------------------------------------------------------


FAMILY = """
import os, signal, subprocess, sys, time
from pathlib import Path
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for name, away in (("near", False), ("far", True)):
    child = subprocess.Popen(["sleep", "300"], start_new_session=away)
    Path(sys.argv[1], name).write_text(str(child.pid))
Path(sys.argv[1], "self").write_text(str(os.getpid()))
print("ready", flush=True)
time.sleep(300)
"""


def start_family(bench: Programs, folder: Path, *words: str, **options: Any) -> tuple[OneWork, list[int]]:
    folder.mkdir()
    work = bench.begin([*python(FAMILY), str(folder), *words], **options)
    until(lambda: "ready" in work.log)
    pids = [int(path.read_text()) for path in folder.iterdir()]
    assert all(map(is_alive, pids))
    return work, pids


def test_stopping_ends_the_program_and_all_that_it_started(bench: Programs, tmp_path: Path) -> None:
    work, pids = start_family(bench, tmp_path / "pids", stop_timeout=0.3)
    bench.runner.stop(work)
    ended = work.wait(60)
    assert ended.outcome == "STOPPED"
    assert "SIGTERM" in str(ended.reason)
    assert not any(map(is_alive, pids))


def test_a_program_that_ignores_sigterm_is_killed_after_its_stop_timeout(bench: Programs, tmp_path: Path) -> None:
    work, pids = start_family(bench, tmp_path / "pids", "deaf", stop_timeout=0.3)
    begin = time.monotonic()
    bench.runner.stop(work)
    ended = work.wait(60)
    assert ended.outcome == "STOPPED"
    assert "SIGKILL" in str(ended.reason)
    assert time.monotonic() - begin >= 0.3
    assert not any(map(is_alive, pids))


def test_a_program_may_end_gracefully_when_stopped(bench: Programs, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"trap 'sleep 0.1; touch {mark}; exit 0' TERM; echo on; while :; do sleep 0.05; done"
    work = bench.begin(code, shell=True, stop_timeout=60)
    until(lambda: "on" in work.log)
    bench.runner.stop(work)
    assert work.wait().outcome == "STOPPED"
    assert mark.exists()


def test_close_ends_everything_and_reports_nothing(bench: Programs, tmp_path: Path) -> None:
    work, pids = start_family(bench, tmp_path / "pids")
    daemon = int(bench.line("sleep 100 & echo $!", shell=True))
    bench.runner.close()
    assert not any(map(is_alive, [*pids, daemon]))
    assert work.ends == []


SCRIPT = """
import os, sys, time
from pathlib import Path
from tests.runners.test_command import CommandRunner, Programs, start_family

bench = Programs(Path(sys.argv[1], "home"), CommandRunner)
start_family(bench, Path(sys.argv[1], "pids"))
Path(sys.argv[1], "ready").touch()
time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_programs_die_at_once_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        until(lambda: (tmp_path / "ready").exists())
        pids = [int(p.read_text()) for p in (tmp_path / "pids").iterdir()]
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)))
