"""Real processes for tests: a function in a process of the hatchery, and forks of a process that has no threads.

`alone` has a process import one function, call it with JSON data and give what it returned. Inside it, `fork` calls
functions in processes of their own: they are cheap, and may be killed.
"""

import json
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests import hatchery
from tests.hatchery import PIPE, ROOT


def environment(**more: str) -> dict[str, str]:
    """Give an environment in which a child imports what this process imports."""
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONWARNINGS": "error", **more}


def alone(function: Callable[..., Any], *args: Any, timeout: float = 60.0, is_fresh: bool = False, **env: str) -> Any:
    """Call a function of a module in a process of its own; arguments and result are JSON data.

    One that `is_fresh` has not imported aiflow yet; others cost less.
    """
    words = ["-c", function.__module__, function.__name__, json.dumps(args)]
    run = hatchery.run_fresh if is_fresh else hatchery.run
    ran = run(words, env=environment(**env), cwd=ROOT, timeout=timeout)
    assert ran.returncode == 0, f"{function.__name__} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return json.loads(ran.stdout.rpartition("\n=> ")[2])


class Outcome(NamedTuple):
    """How a forked process ended: what its function returned, or the signal that killed it."""

    result: Any
    killed: int
    error: str


class Fork:
    """A function in a forked process."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._answer = tempfile.TemporaryFile("w+")
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            answer: dict[str, Any] = {}
            try:
                answer["result"] = function(*args)
            except BaseException:
                answer["error"] = traceback.format_exc()
            json.dump(answer, self._answer)
            self._answer.flush()
            os._exit(0)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> Outcome:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        with self._answer as file:
            file.seek(0)
            text = file.read()
        answer = json.loads(text) if text else {}
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(answer.get("result"), killed, answer.get("error", ""))


def fork(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a forked process and give what it returned; fails if that failed."""
    outcome = Fork(function, *args).wait()
    assert not outcome.error, outcome.error
    assert not outcome.killed, f"killed by signal {outcome.killed}"
    return outcome.result


class Barrier:
    """Lets forked processes begin at the same moment; a byte in shared memory, which they watch."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096)

    def wait(self, number: int, count: int) -> None:
        """Wait until all `count` processes are here; `number` (from 0) is this one's."""
        self.memory[number] = 1
        while sum(self.memory[:count]) < count:
            os.sched_yield()


def fork_together(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Call a function in `count` forked processes at the same moment: it gets its number (from 0) and `args`."""
    barrier = Barrier()

    def begin(number: int) -> Any:
        barrier.wait(number, count)
        return function(number, *args)

    outcomes = [f.wait() for f in [Fork(begin, number) for number in range(count)]]
    for outcome in outcomes:
        assert not outcome.error, outcome.error
        assert not outcome.killed, f"killed by signal {outcome.killed}"
    return [o.result for o in outcomes]


class Child:
    """A function of a module in a process of its own that goes on beside the test; it talks in lines of text."""

    def __init__(self, function: Callable[..., Any], *args: Any, **env: str) -> None:
        words = ["-c", function.__module__, function.__name__, json.dumps(args)]
        self.process = hatchery.Process(words, env=environment(**env), cwd=ROOT, stdin=PIPE, stdout=PIPE)
        self._patience = threading.Timer(120, self.process.kill)  # so that no test waits for ever
        self._patience.daemon = True
        self._patience.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def hear(self) -> str:
        """Wait for its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait()}"
        return line.rstrip("\n")

    def hear_of(self, sign: str) -> str:
        """Wait for a line with this sign, and give what stands after it; jobs may print on the same line, and on others."""
        while sign not in (line := self.hear()):
            pass
        return line.partition(sign)[2]

    def tell(self, line: str) -> None:
        """Send it a line, which it reads from standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; after SIGKILL, wait until it is gone."""
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self) -> Any:
        """Close its standard input, wait for its end, and give what its function returned."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        text = self.process.stdout.read()
        self.process.stdout.close()
        assert self.process.wait() == 0, text
        return json.loads(text.rpartition("=> ")[2])

    def close(self) -> None:
        """Kill it, if it still runs, and let go of its pipes."""
        self._patience.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def child(function: Callable[..., Any], *args: Any, **env: str) -> Iterator[Child]:
    """Run a function in a process of its own beside the test; it is killed at the end if it still runs."""
    started = Child(function, *args, **env)
    try:
        yield started
    finally:
        started.close()


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for what other threads or processes bring about, and give what the condition gave."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        pause.wait(0.002)
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
