"""The process runner: the contract of all runners, and what only processes can do and suffer."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runners.contract import Bench, RunnerContract, is_alive, until

import aiflow as af
from aiflow.errors import RunnerError, Stopped
from aiflow.runners import guard
from aiflow.runners.output import CAP
from aiflow.runners.processes import ProcessRunner

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "home", ProcessRunner)
    yield bench
    mark = f"{bench.runner.family._name}."
    bench.runner.close()
    assert guard.members(mark) == []


class TestProcesses(RunnerContract):
    """All of the contract."""

    def test_an_async_function_is_awaited(self, bench: Bench) -> None:
        async def wait() -> str:
            import asyncio

            await asyncio.sleep(0)
            return af.current().job

        assert bench.call(wait) == "wait"


# --- crashes ----------------------------------------------------------------------------------------------------------


def kill(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)


@pytest.mark.parametrize(
    ("crash", "args", "cause"),
    [
        (os._exit, (0,), "exited with code 0"),
        (os._exit, (3,), "exited with code 3"),
        (ctypes.string_at, (0,), "was killed by SIGSEGV"),
        (kill, (signal.SIGKILL,), "was killed by SIGKILL"),
        (kill, (signal.SIGABRT,), "was killed by SIGABRT"),
    ],
    ids=["exit 0", "exit 3", "segfault", "kill -9", "abort"],
)
def test_a_crash_fails_that_job_and_names_its_cause(bench: Bench, crash: Any, args: Any, cause: str) -> None:
    def work() -> None:
        print("my last words", file=sys.stderr)
        crash(*args)

    neighbour = bench.start(lambda: af.current().wait_stop(0.3))
    ended = bench.run(work)
    assert ended.outcome == "FAILED"
    assert ended.retryable
    assert f"the process of job 'work' {cause}" in str(ended.error)
    assert "my last words" in str(ended.error)
    assert neighbour.wait().outcome == "SUCCESS"
    assert bench.call(lambda: "fine") == "fine"


def test_a_job_that_is_killed_from_outside_fails(bench: Bench) -> None:
    def wait() -> None:
        af.current().set_label(str(os.getpid()))
        time.sleep(60)

    work = bench.start(wait)
    os.kill(int(until(lambda: bench.port.labels.get("wait"))), signal.SIGKILL)
    assert "was killed by SIGKILL" in str(work.wait().error)


def test_a_child_that_dies_while_it_waits_costs_nothing(bench: Bench) -> None:
    pid = bench.call(os.getpid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))
    assert bench.call(os.getpid) != pid


def test_a_job_that_closes_its_socket_fails(bench: Bench) -> None:
    assert "its job may have closed the socket" in str(bench.run(os.closerange, 3, 4096).error)


def test_a_job_that_becomes_another_program_fails(bench: Bench) -> None:
    ended = bench.run(os.execv, "/bin/sleep", ["sleep", "60"])
    assert "closed its connection to aiflow" in str(ended.error)


def test_running_out_of_memory_fails_that_job_and_spoils_no_other(bench: Bench) -> None:
    def greedy() -> int:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        return len(bytes(2 << 30))

    ended = bench.run(greedy)
    assert ended.outcome == "FAILED"
    assert "MemoryError" in str(ended.error)
    assert bench.call(lambda: len(bytes(2 << 30))) == 2 << 30  # a new process: a limit cannot be raised again


def test_a_forked_copy_of_a_job_reports_nothing(bench: Bench) -> None:
    def fork() -> str:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return "parent" if pid else "copy"

    work = bench.start(fork)
    assert bench.value(work.wait()) == "parent"
    assert bench.call(lambda: "fine") == "fine"
    assert len(work.ends) == 1


def test_processes_that_a_job_forks_cannot_publish_and_end_quietly(bench: Bench) -> None:
    def fork() -> list[str]:
        import multiprocessing

        def publish(out: Any) -> None:
            try:
                af.current().publish("x")
            except RunnerError as error:
                out.put(str(error))
            time.sleep(60)

        context = multiprocessing.get_context("fork")
        out = context.Queue()
        worker = context.Process(target=publish, args=(out,))
        worker.start()
        text = out.get(timeout=20)
        worker.terminate()
        worker.join()
        return [text, str(worker.exitcode)]

    work = bench.start(fork)
    text, code = bench.value(work.wait())
    assert "forked: hand the result back" in text
    assert code == str(-signal.SIGTERM)
    assert "Traceback" not in work.log


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_function_that_does_not_look_gets_stopped_raised_and_can_clean_up(bench: Bench, tmp_path: Path) -> None:
    def sleepy(mark: Path) -> None:
        af.current().set_label("on")
        try:
            time.sleep(60)
        except Stopped:
            mark.write_text("cleaned up")
            raise

    work = bench.start(sleepy, tmp_path / "mark", _options={"stop_timeout": 60.0})
    until(lambda: bench.port.labels)
    bench.runner.stop(work)
    assert work.wait(60).outcome == "STOPPED"
    assert (tmp_path / "mark").read_text() == "cleaned up"


def test_a_loop_that_ignores_sigterm_is_killed_after_its_stop_timeout(bench: Bench) -> None:
    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        af.current().set_label(str(os.getpid()))
        while True:
            pass

    work = bench.start(stubborn, _options={"stop_timeout": 0.4})
    pid = int(until(lambda: bench.port.labels.get("stubborn")))
    begin = time.monotonic()
    bench.runner.stop(work)
    ended = work.wait()
    assert ended.outcome == "STOPPED"
    assert "did not end within 0.4 s" in str(ended.reason)
    assert 0.4 <= time.monotonic() - begin < 30
    assert not is_alive(pid)


def test_what_is_stopped_before_it_began_does_not_begin(bench: Bench, tmp_path: Path) -> None:
    works = [bench.start((tmp_path / "mark").touch, _options={"name": "touch"})]
    bench.runner.stop(works[0])
    assert works[0].wait().outcome in ("STOPPED", "SUCCESS")
    assert (works[0].ends[0].outcome == "SUCCESS") == (tmp_path / "mark").exists()


def with_family(folder: str) -> None:
    """Start a process in the own group and one in a session of its own, and wait."""
    sleep = "import time; time.sleep(300)"
    for name, away in (("near", False), ("far", True)):
        child = subprocess.Popen([sys.executable, "-S", "-c", sleep], start_new_session=away)
        Path(folder, name).write_text(str(child.pid))
    Path(folder, "self").write_text(str(os.getpid()))
    af.current().set_label("on")
    while not af.current().wait_stop(10):
        pass


def pids_in(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.iterdir()]


def test_a_stopped_job_leaves_nothing_that_it_started(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    work = bench.start(with_family, str(folder))
    until(lambda: bench.port.labels)
    assert all(map(is_alive, pids_in(folder)))
    bench.runner.stop(work)
    assert work.wait().outcome == "SUCCESS"  # it ended by itself; the engine makes STOPPED of that
    assert not any(map(is_alive, pids_in(folder)))


def test_close_ends_everything_and_reports_nothing(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "pids"
    folder.mkdir()
    work = bench.start(with_family, str(folder))
    idle = bench.call(os.getpid)
    until(lambda: bench.port.labels)
    pids = [*pids_in(folder), idle]
    bench.runner.close()
    assert not any(map(is_alive, pids))
    assert not [t for t in threading.enumerate() if t.name.startswith("aiflow-keeper")]
    assert work.ends == []
    with pytest.raises(RunnerError, match="is closed"):
        bench.start(os.getpid)
    bench.runner.close()


SCRIPT = """
import os, sys, threading, time
from pathlib import Path
import ctypes
import aiflow as af
from aiflow.runners.processes import ProcessRunner
from tests.runners.contract import Bench

folder = sys.argv[1]

def family():
    import subprocess
    for name, away in (("near", False), ("far", True)):
        child = subprocess.Popen(["sleep", "300"], start_new_session=away)
        Path(folder, name).write_text(str(child.pid))
    Path(folder, "child").write_text(str(os.getpid()))
    time.sleep(300)

def frozen():
    Path(folder, "frozen").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(300)  # holds the interpreter: no thread of this process can do anything

if __name__ == "__main__":
    bench = Bench(Path(folder, "..", "home"), ProcessRunner)
    bench.start(family)
    bench.start(frozen)
    pid = bench.call(os.getpid)
    Path(folder, "idle").write_text(str(pid))
    if os.fork() == 0:  # a copy that holds all descriptors of the parent open
        Path(folder, "..", "copy").write_text(str(os.getpid()))
        time.sleep(300)
    time.sleep(300)
"""


def python(script: Path, *args: object) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.Popen([sys.executable, str(script), *map(str, args)], env={**os.environ, "PYTHONPATH": path})


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_everything_dies_at_once_when_the_parent_is_killed(tmp_path: Path) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "pids"
    script.write_text(SCRIPT)
    folder.mkdir()
    with python(script, folder) as parent:
        until(lambda: len(list(folder.iterdir())) == 5 and (tmp_path / "copy").exists())
        pids = until(lambda: all(p.read_text() for p in folder.iterdir()) and pids_in(folder))
        parent.kill()
    until(lambda: not any(map(is_alive, pids)))
    os.kill(int((tmp_path / "copy").read_text()), signal.SIGKILL)


# --- what travels -----------------------------------------------------------------------------------------------------


def test_an_argument_that_cannot_travel_is_named(bench: Bench) -> None:
    ended = bench.run(lambda rows, lock: None, [1], lock=threading.Lock(), _options={"name": "train"})
    assert ended.outcome == "FAILED"
    assert not ended.retryable
    assert "argument 'lock'" in str(ended.error)
    assert "_thread.lock" in str(ended.error)


def test_a_value_that_cannot_travel_is_named(bench: Bench) -> None:
    ended = bench.run(lambda: (i for i in "abc"), _options={"name": "numbers"})
    assert ended.outcome == "FAILED"
    assert not ended.retryable
    assert "the value of job 'numbers' is a generator" in str(ended.error)
    assert "persist=False" in str(ended.error)


def test_an_argument_that_cannot_be_read_back_fails_with_its_own_error(bench: Bench) -> None:
    class OneWay:
        def __reduce__(self) -> Any:
            return int, ("no number",)

    error = bench.run(lambda x: x, OneWay(), _options={"name": "f"}).error
    assert error is not None
    assert "no number" in error.message


def test_a_hundred_megabytes_go_there_and_many_come_back(bench: Bench) -> None:
    data = bytes(80_000_000) + b"x" * 20_000_000
    ended = bench.run(lambda data: data[70_000_000:], data, _options={"name": "cut"})
    assert bench.value(ended) == data[70_000_000:]
    assert ended.stored.data is None
    assert ended.stored.size > 30_000_000


def test_numpy_arrays_come_back_from_npy_files(bench: Bench) -> None:
    numpy = pytest.importorskip("numpy")

    def make() -> Any:
        import numpy

        return numpy.arange(100_000).reshape(2, -1)

    ended = bench.run(make)
    assert ended.stored.codec == "npy"
    assert (bench.value(ended) == numpy.arange(100_000).reshape(2, -1)).all()


MAIN = """
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
import aiflow as af
import helper
from helper import Point
from aiflow.runners.processes import ProcessRunner
from tests.runners.contract import Bench

@dataclass
class Row:
    k: int
    def double(self):
        return Row(2 * self.k)

factor = 3

@af.job
def fold(n):
    return 0 if n == 0 else add(Row(n), fold(n - 1))

@af.job
def add(row, rest):
    return row.k * factor + rest

def shapes(row):
    assert isinstance(helper.make(1), Point) and isinstance(row, Row)
    return row.double(), helper.make(2), __name__

def double(x):
    return 2 * x

def keeps():
    # what needs things to be found under their names: pickle, imports, processes of its own
    import multiprocessing
    import pickle
    from helper import Point as P, unused
    assert P is Point and unused() == "from the file"
    assert pickle.loads(pickle.dumps(Row(3))) == Row(3)
    assert type(pickle.loads(pickle.dumps(Point(1)))) is Point
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map(double, [1, 2]), Row, pickle.dumps(Point(4))

if __name__ == "__main__":
    bench = Bench(Path(sys.argv[1]), ProcessRunner)
    assert bench.call(fold.function, 4) == 30
    row, point, name = bench.call(shapes, Row(2))
    assert type(row) is Row and row == Row(4) and type(point) is Point and name == "__main__"
    assert bench.call(keeps)[:2] == ([2, 4], Row)
    assert pickle.loads(bench.call(keeps)[2]).x == 4
    assert not bench.call(lambda: hasattr(sys.modules["__main__"], "keeps"))
    assert bench.call(lambda: helper.locked()) == "locked"
    bench.runner.close()
    print("all is well")
"""
HELPER = """
from enum import Enum
from functools import lru_cache

class Point:
    def __init__(self, x):
        self.x = x

@lru_cache
def make(x):
    return Point(x)

def unused():
    return "from the file"
"""
LOCKED = """
import threading
lock = threading.Lock()  # so this module cannot travel by value

def locked():
    with lock:
        return "locked"
"""


@pytest.mark.parametrize("lock", ["", LOCKED], ids=["by value", "by name"])
def test_functions_of_main_and_of_the_users_modules_work(tmp_path: Path, lock: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(MAIN if lock else MAIN.replace("helper.locked()", "'locked'"))
    (tmp_path / "helper.py").write_text(HELPER + lock)
    with python(script, tmp_path / "home") as parent:
        assert parent.wait(30) == 0


# --- warm children ----------------------------------------------------------------------------------------------------


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a module that jobs can import."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    path = folder / "a_helper_of_jobs.py"
    path.write_text("answer = 'old'\n")
    return path


def ask_helper() -> tuple[str, int]:
    import a_helper_of_jobs  # type: ignore[import-not-found]

    return a_helper_of_jobs.answer, os.getpid()


def test_a_warm_child_is_used_again(bench: Bench) -> None:
    assert len({bench.call(os.getpid) for _ in range(5)}) == 1


def test_the_child_that_waited_least_is_used_first(bench: Bench, tmp_path: Path) -> None:
    def wait() -> int:
        af.current().set_label("on")
        af.current().wait_stop()
        return os.getpid()

    slow = bench.start(wait)
    until(lambda: bench.port.labels)
    quick = bench.call(os.getpid)
    bench.runner.stop(slow)
    assert bench.value(slow.wait()) != quick
    assert bench.call(os.getpid) == quick


def test_a_child_is_replaced_when_a_users_file_has_changed(bench: Bench, helper: Path) -> None:
    answer, first = bench.call(ask_helper)
    assert answer == "old"
    assert bench.call(os.getpid) == first
    helper.write_text("answer = 'renewed'\n")
    answer, second = bench.call(ask_helper)
    assert answer == "renewed"
    assert second != first


def test_a_child_is_replaced_when_folder_or_environment_have_changed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> list[Any]:
        return [os.getcwd(), os.environ.get("A_SETTING"), os.getpid()]

    first = bench.call(look)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_SETTING", "on")
    second = bench.call(look)
    assert second[:2] == [str(tmp_path), "on"]
    assert second[2] != first[2]


def test_what_a_job_changes_around_it_is_put_back_for_the_next(bench: Bench) -> None:
    def change() -> int:
        os.chdir("/")
        os.environ["LEFT"] = "over"
        sys.path.clear()
        sys.setrecursionlimit(5000)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdout = None
        return os.getpid()

    def look() -> list[Any]:
        print("still to be heard")
        ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        return [os.getpid(), os.getcwd(), os.environ.get("LEFT"), len(sys.path) > 0, sys.getrecursionlimit(), ignored]

    pid = bench.call(change)
    work = bench.start(look)
    assert bench.value(work.wait()) == [pid, os.getcwd(), None, True, 1000, False]
    assert "still to be heard" in work.log


def test_a_child_that_waits_too_long_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda host: ProcessRunner(host, idle_timeout=0.05))
    pid = bench.call(os.getpid)
    until(lambda: not is_alive(pid) and not bench.runner._keepers)
    assert bench.call(os.getpid) != pid
    bench.runner.close()


def test_nothing_on_the_way_to_a_warm_child_and_back_waits_for_its_next_look(bench: Bench) -> None:
    bench.call(int)
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        bench.run(int)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.010


# --- output -----------------------------------------------------------------------------------------------------------


def test_fifty_megabytes_of_output_are_capped_in_the_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def shout() -> str:
        line = "x" * 99_999
        for _ in range(500):
            print(line)
        return "done"

    with open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        work = bench.start(shout)
        assert bench.value(work.wait()) == "done"
    assert CAP <= work.log_path.stat().st_size < CAP + 200
    assert "more bytes were left out" in work.log[-200:]


def test_output_is_passed_on_to_the_streams_of_this_process(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def talk() -> None:
        print("to the one")
        print("to the other", file=sys.stderr)
        os.write(1, b"past Python\n")

    work = bench.start(talk)
    work.wait()
    shown = capsys.readouterr()
    assert "to the one\npast Python\n" in shown.out
    assert "to the other\n" in shown.err
    assert "past Python" in work.log


def test_the_project_is_opened_in_the_child_by_name(
    bench: Bench, helper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper.write_text("def open_it(home, namespace): return [home, namespace]\n")
    monkeypatch.setattr("aiflow.runners.keeper.OPENER", "a_helper_of_jobs:open_it")
    assert bench.call(lambda: af.current().project) == [str(bench.home), "testing"]
