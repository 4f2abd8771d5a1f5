"""Runs the programs of `af.command`: each in a process group of its own, on three threads that wait and read.

Knows nothing of what a program does: the last line of its standard output is the value, its exit status the outcome.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from aiflow.errors import RunnerError
from aiflow.graph.command import CommandSpec
from aiflow.graph.params import Secret
from aiflow.runners.base import Ended, Failure, RunnerHost, Work
from aiflow.runners.calling import finish, judge
from aiflow.runners.childprocess import fate
from aiflow.runners.family import Family
from aiflow.runners.keeper import Done, key_of
from aiflow.runners.output import JobLog
from aiflow.runners.relay import Relay

__all__ = ["CommandRunner"]

_IS_POSIX = os.name == "posix"
_LINGER = 0.2  # seconds to go on reading after a program has ended, if somebody still holds its pipes
logger = logging.getLogger(__name__)


class CommandRunner:
    """The runner ``"command"``.

    A program runs without a shell unless the command says so, with the environment of this process and `AIFLOW_HOME`,
    `AIFLOW_EXECUTION` and `AIFLOW_JOB` on top, so that ``aiflow event publish`` works in it.

    Stopping sends SIGTERM to its whole process group at once and SIGKILL after `stop_timeout`; nothing of it is left
    then. A program that ended by itself may leave something running: until the runner is closed, or this process dies.
    There is no `PDEATHSIG`: it would need Python code between fork and exec; the guard of the `Family` does more.
    """

    runs_in_place = False

    def __init__(self, host: RunnerHost) -> None:
        self.host = host
        self.capacity: int | None = host.workers
        self._family = Family()
        self._lock = threading.Lock()
        self._running: dict[tuple[Any, ...], _Program] = {}
        self._is_closed = False

    def start(self, work: Work, done: Done) -> None:
        """Run the program of the work on a thread of its own; `done` is called there.

        Raises
        ------
        RunnerError
            If the runner is closed.
        """
        with self._lock:
            if self._is_closed:
                raise RunnerError(f"job {work.key.job!r} cannot start: the command runner is closed")
            program = self._running[key_of(work)] = _Program(work, self._family, self._environment(work))
            program.thread = threading.Thread(
                target=self._run, args=(program, done), name=f"aiflow-command-{work.key.job}", daemon=True
            )
        program.thread.start()

    def _environment(self, work: Work) -> dict[str, str]:
        return {
            **os.environ,
            # at the end of the path, so that it brings `aiflow` and hides nothing
            "PATH": os.environ.get("PATH", os.defpath) + os.pathsep + str(Path(sys.executable).parent),
            "AIFLOW_HOME": str(Path(self.host.home).absolute()),
            "AIFLOW_EXECUTION": work.key.execution_id,
            **({"TRACEPARENT": work.context.span} if work.context.span else {}),
            "AIFLOW_JOB": work.key.job,
        }

    def _run(self, program: _Program, done: Done) -> None:
        work = program.work
        try:
            ended = program.run()
        except Exception as error:  # reading a value may run anything; a pipe or thread may not be had
            logger.debug("A command could not be run", exc_info=True, extra=work.key._asdict())
            ended = judge(error, work.options)
        program.log.close()
        with self._lock:
            self._running.pop(key_of(work), None)
            is_wanted = not self._is_closed
        if is_wanted:
            try:
                done(work, ended)
            except Exception:  # the engine's trouble; there is nobody above to tell
                logger.exception("The end of a command could not be reported", extra=work.key._asdict())

    def stop(self, work: Work) -> None:
        """Ask the work to stop; see the class for what follows. Does nothing if it is over."""
        with self._lock:
            program = self._running.get(key_of(work))
        if program is not None:
            program.stop()

    def close(self, patience: float = 3.0) -> None:
        """Kill all programs with all that they started; what was running is not reported any more."""
        with self._lock:
            self._is_closed = True
            programs = list(self._running.values())
        for program in programs:
            program.stop(at_once=True)
        self._family.close()
        end = time.monotonic() + patience
        for program in programs:
            if program.thread is not threading.current_thread():
                program.thread.join(max(0.0, end - time.monotonic()))


class _Program:
    """One program, from its start to its end."""

    thread: threading.Thread

    def __init__(self, work: Work, family: Family, environment: dict[str, str]) -> None:
        self.work, self.log = work, JobLog(work.log_path, secrets=work.context.secrets, key=work.context.key)
        self._family, self._mark, self._environment = family, family.join(), environment
        self._stdout, self._stderr = Relay("stdout", keep_line=True), Relay("stderr")
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_at: float | None = None
        self._timer: threading.Timer | None = None
        self._is_over = False

    def _plain(self, value: str | Secret) -> str:
        """Look a secret up; what it stands for is kept out of logs and errors."""
        if not isinstance(value, Secret):
            return value
        text = value.resolve(os.environ)
        self.work.context.secrets.add(text)
        return text

    # --- from other threads -----------------------------------------------------------------------------------------

    def stop(self, at_once: bool = False) -> None:
        """Send SIGTERM now and SIGKILL later, or only SIGKILL now."""
        if at_once:
            self._stop_at = time.monotonic()
            self._kill()
        elif self._stop_at is None:
            patience = self.work.options.stop_timeout
            self._stop_at = time.monotonic() + patience
            self._signal(signal.SIGTERM)
            self._timer = threading.Timer(patience, self._kill)
            self._timer.daemon = True
            self._timer.start()

    def _kill(self) -> None:
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _signal(self, number: int) -> None:
        with self._lock:
            if self._process is None or self._is_over:  # its number may be another's
                return
            with suppress(OSError):
                if _IS_POSIX:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.terminate()

    # --- on its own thread ------------------------------------------------------------------------------------------

    def run(self) -> Ended:
        """Start the program, wait for its end and say how it ended."""
        spec = self.work.load().function
        if not isinstance(spec, CommandSpec):
            raise RunnerError(
                f"job {self.work.key.job!r} is no program; make it with af.command(…), or give it no runner"
            )
        try:
            with self._lock:
                if self._stop_at is not None:
                    return Ended("STOPPED", reason="it was stopped before it began")
                self._family.watch()  # first: if there can be no guard, there is no program
                process = self._process = self._spawn(spec)
        except OSError as error:
            return self._failed(_why_not(spec, error), error)
        readers = [
            _reader(process.stdout, self._stdout, self.log),  # type: ignore[arg-type]  # they were asked for
            _reader(process.stderr, self._stderr, self.log),  # type: ignore[arg-type]
        ]
        _wait_unreaped(process)
        if self._stop_at is not None:
            self._family.wait(self._mark, self._stop_at)
            self._family.sweep(self._mark)
            self._kill()
        with self._lock:
            self._is_over = True
            code = process.wait()
        if self._timer is not None:
            self._timer.cancel()
        for reader, relay in zip(readers, (self._stdout, self._stderr), strict=True):
            _finish_reading(reader, relay)
        self._stdout.end()
        self._stderr.end()
        return self._judge(spec, code)

    def _spawn(self, spec: CommandSpec) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            spec.argv if isinstance(spec.argv, str) else [self._plain(word) for word in spec.argv],
            shell=spec.shell,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=spec.cwd,
            env=self._family.environment(
                self._mark, {**self._environment, **{name: self._plain(value) for name, value in spec.env}}
            ),
            start_new_session=True,
        )

    def _judge(self, spec: CommandSpec, code: int) -> Ended:
        if self._stop_at is not None:
            return Ended("STOPPED", reason=f"the command {fate(code)} after it was asked to stop")
        if code == 0:
            return finish(self._stdout.last_line, self.work.options, self.work.asked_outputs)
        message = f"the command {spec.text[:200]!r} {fate(code)}"
        tail = self._stderr.tail[-2000:]
        return self._failed(message, tail=f"; the end of its standard error:\n{tail}" if tail else "")

    def _failed(self, message: str, error: BaseException | None = None, tail: str = "") -> Ended:
        failure = Failure("CommandFailed", message + tail)
        is_covered = isinstance(error or RunnerError(message), self.work.options.retry_on)
        return Ended("FAILED", error=failure, retryable=is_covered, reason=message.partition("\n")[0][:500])


def _reader(pipe: IO[bytes], relay: Relay, log: JobLog) -> threading.Thread:
    relay.begin(log)

    def read() -> None:
        with pipe, suppress(OSError):
            while data := os.read(pipe.fileno(), 65_536):
                relay.feed(data)

    thread = threading.Thread(target=read, name="aiflow-reader", daemon=True)
    thread.start()
    return thread


def _finish_reading(reader: threading.Thread, relay: Relay) -> None:
    """Wait for the end of the output; not for long if nothing comes any more, for somebody may still hold the pipe."""
    before = -1
    while reader.is_alive() and (relay.is_busy or relay.count > before):
        before = relay.count
        reader.join(_LINGER)


def _wait_unreaped(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process, but leave its number taken: so long its group can be signalled safely."""
    wait: Callable[..., Any] | None = getattr(os, "waitid", None)
    if wait is None:
        process.wait()
        return
    with suppress(ChildProcessError):  # reaped by somebody who waits for any child
        wait(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def _why_not(spec: CommandSpec, error: OSError) -> str:
    """Say why a program could not be started, and what to do."""
    program = spec.argv if isinstance(spec.argv, str) else spec.argv[0]
    if spec.cwd is not None and error.filename == spec.cwd:
        return f"the folder {spec.cwd!r} of the command {spec.text[:200]!r} cannot be entered: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return (
            f"there is no program {program!r}: install it, give its whole path, or say shell=True if it is something "
            "that only a shell knows"
        )
    if isinstance(error, PermissionError):
        return f"the program {program!r} may not be run: make it executable (chmod +x), or name its interpreter"
    return f"the program {program!r} could not be started: {error.strerror}"
