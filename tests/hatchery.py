"""Processes that begin with everything imported: forked off one that imports aiflow, and then does nothing but fork.

A fresh interpreter spends a third of a second on imports; a process of the hatchery has done that before it is born. It has
no threads, its own session if wanted, its own folder, environment and streams, and ends as an interpreter ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
PIPE = subprocess.PIPE
_guard = threading.Lock()
_server: socket.socket | None = None


class Process:
    """A process of the hatchery, with what tests use of `subprocess.Popen`; its streams are text.

    `words` are what would stand behind ``python``: ``-m aiflow …``, or ``-c MODULE FUNCTION ARGUMENTS`` for a function of
    a module that gets JSON data, and whose result is printed after ``=> ``.
    """

    def __init__(
        self,
        words: list[str],
        *,
        cwd: Path,
        env: dict[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self.stdin: Any = None
        self.stdout: Any = None
        self.stderr: Any = None
        theirs = [
            self._stream(name, given) for name, given in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr))
        ]
        self._control, control = socket.socketpair()
        request = {"words": words, "cwd": str(cwd), "env": env, "session": start_new_session}
        with _guard:
            _send(_hatchery(), request, [*theirs, control.fileno()])
        for descriptor, given in zip(theirs, (stdin, stdout, stderr), strict=True):
            if descriptor > 2 and descriptor != given:
                os.close(descriptor)
        control.close()
        self.pid = int.from_bytes(self._control.recv(8), "big")
        self._waiting = threading.Lock()

    def _stream(self, name: str, given: int | None) -> int:
        """Give the descriptor that the process gets; keep the other end of a pipe."""
        if given == PIPE:
            reading, writing = os.pipe()
            ours, theirs = (writing, reading) if name == "stdin" else (reading, writing)
            setattr(self, name, open(ours, "w" if name == "stdin" else "r", encoding="utf-8", buffering=1))
            return theirs
        if given == subprocess.DEVNULL:
            return os.open(os.devnull, os.O_RDWR)
        return ("stdin", "stdout", "stderr").index(name) if given is None else given

    def poll(self) -> int | None:
        """Give the exit code, negative for a signal, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and give the exit code, negative for a signal."""
        with self._waiting:
            if self.returncode is None:
                self._control.settimeout(timeout)
                try:
                    told = self._control.recv(8)
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired("a process of the hatchery", timeout or 0) from None
                self.returncode = os.waitstatus_to_exitcode(int.from_bytes(told, "big"))
                self._control.close()
            return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close its standard input, read what it writes, and wait for its end."""
        if self.stdin is not None:
            self.stdin.close()
        texts = ["", ""]
        until = None if timeout is None else time.monotonic() + timeout

        def read(number: int, stream: IO[str]) -> None:
            with stream:
                texts[number] = stream.read()

        streams = [(number, s) for number, s in enumerate((self.stdout, self.stderr)) if s is not None and not s.closed]
        readers = [threading.Thread(target=read, args=one, daemon=True) for one in streams]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired("a process of the hatchery", timeout or 0)
        self.wait(None if until is None else max(0.001, until - time.monotonic()))
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def run(words: list[str], *, cwd: Path, env: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, without standard input; one that takes longer is killed."""
    process = Process(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        out, err = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(words, process.returncode or 0, out, err)


def run_fresh(words: list[str], *, cwd: Path, env: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Do the same in an interpreter of its own, which has imported nothing yet."""
    command = [sys.executable, "-c", "import sys; from tests.hatchery import do; do(sys.argv[1:])", *words]
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _hatchery() -> socket.socket:
    """Give the way to the hatchery of this process, started at the first call."""
    global _server
    if _server is None:
        _server, theirs = socket.socketpair()
        paths = [str(ROOT / "src"), str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
        command = [sys.executable, "-m", "tests.hatchery", str(theirs.fileno())]
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()

        def end(channel: socket.socket = _server) -> None:
            channel.close()
            server.wait()

        atexit.register(end)
    return _server


def _send(channel: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
    data = json.dumps(request).encode()
    socket.send_fds(channel, [len(data).to_bytes(8, "big")], descriptors)
    channel.sendall(data)


# --- in the hatchery --------------------------------------------------------------------------------------------------


_LATE = ("cloudpickle", "difflib", "rich.console", "rich_click.rich_help_rendering", "sqlite_utils", "tests.invariants")
"""What is imported when it is first needed; not what starts threads, such as numpy."""


def _import_everything() -> None:
    """Import what aiflow may need, and learn what it learns once in each process: its plugins and all packages."""
    import aiflow
    from aiflow.hooks import manager
    from aiflow.provenance import provenance

    for module in pkgutil.walk_packages(aiflow.__path__, "aiflow."):
        if module.name not in (
            "aiflow.__main__",
            "aiflow.pytest_plugin",
            "aiflow.runners.flink_driver",
            "aiflow.spans",
        ):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)
    manager()
    provenance(__file__)


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Gives None at the end, and in a process that was born here what it shall do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        head, descriptors, _, _ = socket.recv_fds(channel, 8, 4)
        if not head:
            return None
        data = b""
        while len(data) < int.from_bytes(head, "big"):
            data += channel.recv(1 << 20)
        if os.fork() == 0:
            channel.close()
            if _mind(descriptors):
                return dict(json.loads(data), descriptors=descriptors[:3])
        for descriptor in descriptors:
            os.close(descriptor)


def _mind(descriptors: list[int]) -> bool:
    """Fork once more, and tell how that one ends, which only its parent learns; True in the process itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(descriptors[3])
        return True
    for descriptor in descriptors[:3]:
        os.close(descriptor)
    control = socket.socket(fileno=descriptors[3])
    with contextlib.suppress(BrokenPipeError):  # who started it may be gone
        control.sendall(pid.to_bytes(8, "big"))
        control.sendall(os.waitpid(pid, 0)[1].to_bytes(8, "big"))
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Take on what the process shall have: session, folder, environment, streams."""
    if request["session"]:
        os.setsid()
    for number, descriptor in enumerate(request["descriptors"]):
        os.dup2(descriptor, number)
    for descriptor in request["descriptors"]:
        if descriptor > 2:
            os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:0] = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path]
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    for number, name in ((1, "stdout"), (2, "stderr")):
        is_plain = "PYTHONUNBUFFERED" in os.environ
        raw = open(number, "wb", 0 if is_plain else -1, closefd=False)
        stream = io.TextIOWrapper(
            raw, "utf-8", "strict" if number == 1 else "backslashreplace",
            write_through=is_plain, line_buffering=number == 2 or os.isatty(number),
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    sys.modules["__main__"] = types.ModuleType("__main__")


def do(words: list[str]) -> None:
    """Do what a process was begun for."""
    sys.argv, sys.orig_argv = ["-c", *words[1:]], [sys.executable, *words]
    if words[0] == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        module, function, arguments = words[1:]
        result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
        print("\n=> " + json.dumps(result))


if __name__ == "__main__":
    _import_everything()
    gc.collect()
    gc.freeze()  # the memory stays shared
    if (wanted := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(wanted)
        do(wanted["words"])
