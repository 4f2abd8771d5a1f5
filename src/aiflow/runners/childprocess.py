"""One child process as its keeper holds it: how it is started, its socket and its output, its end.

Knows nothing of jobs: frames go in and come out.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

from aiflow.errors import RunnerError
from aiflow.runners.family import Family
from aiflow.runners.relay import Relay
from aiflow.runners.surroundings import here
from aiflow.runners.wire import Frame, Inbox, pack
from aiflow.values.origin import signature_of

__all__ = ["ChildProcess", "fate"]

_BOOT = """import sys  # a job process of aiflow
sys.path[:] = sys.argv[3:]
from aiflow.runners import child as _aiflow_child
_aiflow_child.main(*map(int, sys.argv[1:3]))"""
_CHUNK = 262_144
_HINTS = {
    "SIGKILL": "; it was out of memory, or somebody killed it",
    "SIGSEGV": "; compiled code crashed, or a recursion had no end",
    "SIGABRT": "; compiled code gave up",
    "SIGXCPU": "; it used more CPU time than its limit allows",
}


def fate(code: int) -> str:
    """Put the exit status of a process into words.

    Examples
    --------
    >>> fate(3), fate(-11)
    ('exited with code 3', 'was killed by SIGSEGV; compiled code crashed, or a recursion had no end')
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"signal {-code}"
    return f"was killed by {name}{_HINTS.get(name, '')}"


class ChildProcess:
    """A Python process that runs `runners.child`.

    It dies when the thread dies that made it (`PDEATHSIG`), so that thread must be the one that keeps it.

    Attributes
    ----------
    frames
        What came from it and was not taken yet.
    is_over
        Whether nothing more will come: it has ended, or closed its socket.
    has_served
        Whether a job has ended in it.
    """

    def __init__(self, family: Family, wake: int) -> None:
        if not sys.executable:
            raise RunnerError("no Python is known (sys.executable is empty) to run process jobs; use runner 'thread'")
        self._family, self.mark = family, family.join()
        self._surroundings = _, path, environment = here()
        family.watch()  # first: if there can be no guard, there is no child
        self._started = time.time_ns()
        self._files: dict[str, tuple[int, int, int]] = {}
        self._sock, theirs = socket.socketpair()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, *_flags(), "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[theirs.fileno()],
                env=family.environment(self.mark, environment),
                start_new_session=True,
            )
        except BaseException:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self.pid = self._popen.pid
        self.frames: deque[Frame] = deque()
        self.is_over = self.has_served = False
        self._code: int | None = None
        self.stdout, self.stderr = Relay("stdout"), Relay("stderr")
        self._inbox = Inbox()
        self._outbox: deque[memoryview] = deque()
        self._open(wake)

    def _open(self, wake: int) -> None:
        self._poll = select.poll()
        self._pipes: dict[int, Relay] = {}
        for pipe, relay in ((self._popen.stdout, self.stdout), (self._popen.stderr, self.stderr)):
            assert pipe is not None  # both were asked for
            self._pipes[pipe.fileno()] = relay
        self._sock.setblocking(False)
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux: then the end of the socket tells
            self._pidfd = -1
        watched = [wake, self._sock.fileno(), *self._pipes]
        for descriptor in watched if self._pidfd < 0 else [*watched, self._pidfd]:
            self._poll.register(descriptor, select.POLLIN)

    # --- what it is told, and what it says --------------------------------------------------------------------------

    def send(self, head: dict[str, Any], body: bytes | bytearray = b"") -> None:
        """Send a frame, or as much of it as goes without waiting; `wait` sends the rest."""
        was_empty = not self._outbox
        self._outbox.extend(memoryview(piece) for piece in pack(head, body))
        if was_empty:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                piece = self._outbox[0]
                sent = self._sock.send(piece[:_CHUNK])
                if sent == len(piece):
                    self._outbox.popleft()
                else:
                    self._outbox[0] = piece[sent:]
        except BlockingIOError:
            pass
        except OSError:  # it is dead or dying; `wait` sees that
            self._outbox.clear()
        if not self.is_over and self._sock.fileno() >= 0:
            self._poll.modify(self._sock, select.POLLIN | (select.POLLOUT if self._outbox else 0))

    def wait(self, timeout: float | None) -> None:
        """Wait until something happens, `timeout` seconds at most, and take what there is."""
        has_died = False
        for descriptor, what in self._poll.poll(None if timeout is None else max(0.0, timeout * 1000)):
            if descriptor in self._pipes:
                self._read_output(descriptor)
            elif descriptor == self._sock.fileno():
                if what & select.POLLOUT:
                    self._flush()
                if what & ~select.POLLOUT:
                    has_died |= not self._read_socket()
            elif descriptor == self._pidfd:
                has_died = True
        if has_died and not self.is_over:
            while self._read_socket(more=True):  # what it has sent before it died
                pass
            self.is_over = True
            self._poll.unregister(self._sock)
            if self._pidfd >= 0:
                self._poll.unregister(self._pidfd)

    def _read_socket(self, more: bool = False) -> bool:
        """Take what is in the socket; False at its end, and with `more` also when there is nothing more."""
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return not more
        except OSError:
            return False
        self._inbox.feed(data)
        self.frames.extend(self._inbox)
        return bool(data)

    def _read_output(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._pipes[descriptor].feed(data)
        else:
            self._poll.unregister(descriptor)
            del self._pipes[descriptor]
        return bool(data)

    def drain(self) -> None:
        """Take what was printed up to now."""
        for descriptor in list(self._pipes):
            for _ in range(64):  # a grandchild may print on and on
                if not self._read_output(descriptor):
                    break

    # --- whether it can be used again -------------------------------------------------------------------------------

    def note_files(self, files: dict[str, Any] | None) -> None:
        """Take down which files of the user it has imported, and how they were when it told."""
        for path, signature in (files or {}).items():
            self._files.setdefault(path, tuple(signature))

    def is_stale(self) -> bool:
        """Tell whether a new process would differ: another folder or environment, or a user's file has changed."""
        return self.is_over or self._surroundings != here() or any(map(self._has_changed, self._files))

    def _has_changed(self, path: str) -> bool:
        """Tell whether a file differs from what was imported; the time, for it may have changed before it was told."""
        if signature_of(path) != self._files[path]:
            return True
        try:
            return os.stat(path).st_ctime_ns > self._started
        except OSError:
            return True

    # --- its end ----------------------------------------------------------------------------------------------------

    def signal(self, number: int, whole_group: bool = True) -> None:
        """Send a signal to it and its process group, or to it alone."""
        if self._code is None:  # once it was reaped, its number may be another's
            with suppress(OSError):
                (os.killpg if whole_group else os.kill)(self.pid, number)

    def dismiss(self, patience: float = 1.0) -> None:
        """Let it leave by itself, which it does when its socket closes."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + patience
        while not self.has_exited() and time.monotonic() < end:
            self._pause(0.02)
            self.drain()

    def bury(self) -> int:
        """Kill it and all that it started, and give its exit status; the second time there is nothing to do."""
        if self._code is not None:
            return self._code
        self._family.sweep(self.mark)
        self.signal(signal.SIGKILL)  # for where there is no /proc; it is not reaped yet, so the group is still its own
        while not self.has_exited():
            self._pause(0.02)
        self.drain()
        self._code = self._popen.wait()
        self.is_over = True
        self._sock.close()
        self._pipes.clear()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        return self._code

    def has_exited(self) -> bool:
        """Tell whether its process has ended; it is not reaped by asking, where that can be had."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped: by `bury`, or by somebody who waits for any child
            return True

    def _pause(self, seconds: float) -> None:
        """Wait for its exit, `seconds` at most."""
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [], seconds)
        else:
            time.sleep(seconds)


def _flags() -> list[str]:
    """Give the options of this interpreter (-O, -W, -X) that a child should have as well."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return flags
