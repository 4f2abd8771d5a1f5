"""The driver as the process that started it has it: one for each Python, started when needed and kept warm.

Knows nothing of what its frames mean to a job: who submits one takes them.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError
from aiflow.runners import wire
from aiflow.runners.childprocess import fate
from aiflow.runners.family import Family
from aiflow.runners.relay import Relay
from aiflow.runners.surroundings import here
from aiflow.runners.wire import Frame, pack, read_frame

__all__ = ["OVER", "DriverProcess"]

OVER = ["Stopped", "this job is over"]
"""The answer to a function whose attempt is over: what it has submitted, it is to cancel."""

_BOOT = """import sys  # a Flink driver of aiflow
sys.path[:] = [*sys.argv[4:], *sys.path] if sys.argv[3] == "same" else [*sys.path, *sys.argv[4:]]
from aiflow.runners import flink_driver as _aiflow_driver
_aiflow_driver.main(*map(int, sys.argv[1:3]))"""
_PATIENCE = 60.0
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""What lets a JVM begin with two thirds of the work; it plans jobs and runs none."""

logger = logging.getLogger(__name__)

Take = Callable[[Frame], None]


class DriverProcess:
    """A Python process that runs `runners.flink_driver`.

    It dies when the thread dies that made it (`PDEATHSIG`), so a thread of its own makes it, and then reads what it says.

    Parameters
    ----------
    python
        The interpreter.
    environment
        Variables on top of those of this process: where Flink's files are.
    family
        Marks it and its JVM, so that neither is left behind.
    folder
        Where its configuration is and its temporary files; it is removed with it.
    """

    def __init__(self, python: str, environment: Mapping[str, str], family: Family, folder: Path) -> None:
        self.python, self._environment, self._family = python, environment, family
        self._surroundings = here()
        self._mark = family.join()
        self._folder = folder
        self._takers: dict[tuple[Any, ...], Take] = {}
        self._lock = threading.Lock()
        self._outbox: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self._begun = threading.Event()  # there is a process, or it is known why there is none
        self._problem: str | None = None
        self._is_ready = self._is_spoiled = False
        self._sock: socket.socket | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self.stderr = Relay("stderr")
        self.is_over = False
        threading.Thread(target=self._live, name="aiflow-flink-driver", daemon=True).start()

    # --- for those who submit ---------------------------------------------------------------------------------------

    def submit(self, key: tuple[Any, ...], head: dict[str, Any], body: bytes, take: Take) -> None:
        """Have a function run, as soon as the driver is ready.

        `take` gets every frame of it, on the driver's thread, and at last one with ``op="end"``, with ``"died"``, or with ``"refused"``:
        then the driver did not start, has no PyFlink, or is another Python.

        Raises
        ------
        FlinkError
            If that is known already.
        """
        with self._lock:
            if self._problem or self.is_over:
                raise FlinkError(self._problem or f"the Flink driver {self._fate()}")
            self._takers[key] = take
        self.send(head, body)

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Have a frame sent, on a thread of its own: a driver that is suspended holds up nobody. What nobody will read is dropped."""
        if not self.is_over:
            self._outbox.put(pack(head, body))

    def forget(self, key: tuple[Any, ...], still_runs: bool = False) -> None:
        """Want no more frames of a function; with one that may still run there it is not used again."""
        if self._takers.pop(key, None) is not None and still_runs:
            self._is_spoiled = True

    @property
    def is_stale(self) -> bool:
        """Whether a new process would differ: this one has another folder, environment or path."""
        return self.is_over or self._is_spoiled or self._problem is not None or self._surroundings != here()

    @property
    def is_busy(self) -> bool:
        """Whether functions run in it."""
        return bool(self._takers)

    def close(self) -> None:
        """End it with its JVM; the jobs that it has submitted go on."""
        with self._lock:
            self.is_over = True
            self._takers.clear()
        self._begun.wait()
        self._outbox.put(None)
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        if self._popen is not None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(3.0)
        self._bury()

    # --- on its own thread ------------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._start()
        except Exception as error:  # no such interpreter, no process left: who submits is told
            self._refuse(f"the Flink driver could not be started with {self.python}: {error}")
            self._bury()
            return
        finally:
            self._begun.set()
        assert self._sock is not None
        if not _says_something(self._sock, _PATIENCE):
            self._refuse(f"the Flink driver ({self.python}) did not start within {_PATIENCE:.0f} s")
            self._bury()
            return
        try:
            self._hear(self._sock)
        except Exception:  # whose functions run in it would wait for ever
            logger.exception("What a Flink driver said could not be understood; it is ended")
            if self._popen is not None:
                self._popen.kill()
        self._mourn()

    def _hear(self, sock: socket.socket) -> None:
        """Pass on what it says, until it is gone."""
        while (frame := read_frame(sock)) is not None:
            if frame.head["op"] == "ready":
                self._check(frame.head)
                continue
            take = self._takers.get(tuple(frame.head["key"]))
            if frame.head["op"] == "end":
                self.forget(tuple(frame.head["key"]))
            if take is not None:
                self._tell(take, frame)
            elif "id" in frame.head:  # nobody listens any more: it must not wait for ever
                self.send({"op": "reply", "id": frame.head["id"], "error": OVER})

    def _tell(self, take: Take, frame: Frame) -> None:
        try:
            take(frame)
        except Exception:  # the other functions must be heard all the same
            logger.exception("What a Flink driver said could not be taken", extra={"op": frame.head["op"]})

    def _tell_all(self, **head: Any) -> None:
        """Say the last that is to be said to all whose functions were to run in it."""
        with self._lock:
            takers, self._takers = self._takers, {}
        for take in takers.values():
            self._tell(take, Frame(head))

    def _refuse(self, why: str) -> None:
        """Say that no function can run in it."""
        with self._lock:
            self._problem = why
        self._tell_all(op="refused", why=why)

    def _write(self) -> None:
        """Send what is to be sent, one frame after the other."""
        assert self._sock is not None
        with suppress(OSError):  # it is gone; who reads learns of that
            while (pieces := self._outbox.get()) is not None:
                for piece in pieces:
                    self._sock.sendall(piece)

    def _start(self) -> None:
        temporary = self._folder / "tmp"
        ours, theirs = socket.socketpair()
        _, path, environment = self._surroundings
        is_same = self.python == sys.executable
        if not is_same:  # it has packages of its own, which come first
            path = (*(p for p in path if "site-packages" not in p), str(Path(wire.__file__).parents[2]))
        base = {**environment, **self._environment, "TMPDIR": str(temporary)}
        base["JVM_ARGS"] = f"{QUICK} {base.get('JVM_ARGS', '')} -Djava.io.tmpdir={temporary}".strip()
        base["PATH"] = os.pathsep.join([str(Path(self.python).parent), base.get("PATH", "")])
        self._family.watch()
        try:
            self._popen = subprocess.Popen(
                [self.python, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), "same" if is_same else "other", *path],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                pass_fds=[theirs.fileno()], env=self._family.environment(self._mark, base), start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        self._sock = ours
        for pipe, relay in ((self._popen.stdout, Relay("stdout")), (self._popen.stderr, self.stderr)):
            threading.Thread(target=_pass_on, args=(pipe, relay), name="aiflow-flink-output", daemon=True).start()

    def _check(self, said: Mapping[str, Any]) -> None:
        """Take what the driver says of itself."""
        if said["problem"]:
            self._refuse(
                f"the Python of a Flink job, {self.python}, cannot run it: {said['problem']}; install it there: pip install 'aiflow[flink]'"
            )
        elif tuple(said["python"]) != sys.version_info[:2]:
            there, here_ = ".".join(map(str, said["python"])), ".".join(map(str, sys.version_info[:2]))
            self._refuse(
                f"{self.python} is Python {there}, and this is Python {here_}: functions cannot go from one to the other; "
                f"give python= an interpreter of Python {here_} with aiflow[flink]"
            )
        else:
            threading.Thread(target=self._write, name="aiflow-flink-writer", daemon=True).start()
        self._is_ready = True

    def _fate(self) -> str:
        code = None if self._popen is None else self._popen.poll()
        return "has ended" if code is None else fate(code)

    def _mourn(self) -> None:
        """Tell all whose functions were running that it has died."""
        if self._popen is not None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(2.0)
        tail = self.stderr.tail[-2000:]
        with self._lock:
            self.is_over = True
        self._outbox.put(None)
        if self._is_ready:
            self._tell_all(op="died", how=self._fate(), tail=tail)
        else:
            said = f":\n{tail}" if tail else ""
            self._refuse(f"the Flink driver ({self.python}) {self._fate()} before it was ready{said}")
        self._bury()

    def _bury(self) -> None:
        self._family.sweep(self._mark)
        if self._popen is not None:
            with suppress(OSError):
                self._popen.kill()
            self._popen.wait()
        if self._sock is not None:
            self._sock.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _pass_on(pipe: Any, relay: Relay) -> None:
    """Pass on what it prints outside of jobs, until it ends."""
    with suppress(OSError, ValueError), pipe:
        while data := pipe.read(65_536):
            relay.feed(data)


def _says_something(sock: socket.socket, patience: float) -> bool:
    """Wait until there is something to read, or the other side is gone; False if neither comes in time."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(patience * 1000))
