"""The other end of a process job: runs jobs one after the other, on the main thread, and talks to its keeper.

Knows nothing of the store or the engine; all that it says goes over one socket, and when that closes it dies.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from aiflow.errors import RunnerError, Stopped
from aiflow.graph.execution import RunKey
from aiflow.graph.job import JobOptions
from aiflow.runners.base import Call, Ended, Failure
from aiflow.runners.calling import judge, perform, perform_async
from aiflow.runners.context import JobContext
from aiflow.runners.output import FORMAT
from aiflow.runners.piping import SocketOutlet, plug_in
from aiflow.runners.port import SocketPort
from aiflow.runners.surroundings import Surroundings
from aiflow.runners.wire import Frame, pack, read_frame
from aiflow.values import arrival
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored, unpickle_call
from aiflow.values.origin import user_files

__all__ = ["die_with", "main", "report"]

_LONGEST = 50_000  # letters of a traceback or message that are worth sending
_LOST = b"this process has lost its connection to aiflow; its job may have closed the socket\n"


def main(descriptor: int, parent: int) -> None:
    """Serve the socket `descriptor`, as the child of process `parent`, until it closes."""
    die_with(parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that started us may have blocked some
    faulthandler.enable(all_threads=False)  # a segfault tells its line: that text becomes the job's error
    for stream in (sys.stdout, sys.stderr):  # what a job printed must be out before it can crash
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(format=FORMAT, stream=sys.stderr)
    os.set_inheritable(descriptor, False)  # what the job starts must not hold it
    child = Child(socket.socket(fileno=descriptor))
    # what a job forks (the workers of multiprocessing) ends by SIGTERM as any process does
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    child.surroundings.remember()
    threading.Thread(target=child.listen, name="aiflow-listener", daemon=True).start()
    child.serve()


def die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL when the thread dies that started this process (Linux); it may be dead already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _die(last_words: bytes) -> None:
    """End this process and its group at once."""
    with suppress(OSError):
        os.write(2, last_words)
    with suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class Child:
    """The main thread runs jobs; another one listens to the keeper."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.port = SocketPort(self.send)
        self.surroundings = Surroundings()
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Frame, JobContext] | None] = queue.SimpleQueue()
        self._context: JobContext | None = None
        self._in_users_code = False
        self._is_shielded = self._has_term_waiting = False
        self._pid = os.getpid()
        self._modules = 0

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame to the keeper, whole: SIGTERM waits until it is sent."""
        is_main = threading.current_thread() is threading.main_thread()
        self._is_shielded |= is_main
        try:
            with self._sending:
                for piece in pack(head, body):
                    self.sock.sendall(piece)
        except OSError as error:
            raise Stopped("the process that runs this job is gone") from error
        finally:
            if is_main:
                self._is_shielded = False
                if self._has_term_waiting:
                    self._has_term_waiting = False
                    self.on_term(signal.SIGTERM, None)

    # --- the listening thread ---------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take frames until the socket closes; then end this process with all that it started."""
        while (frame := read_frame(self.sock)) is not None:
            op = frame.head["op"]
            if op == "start":
                self._context = self._make_context(frame.head)  # here already: a stop may follow at once
                self._jobs.put((frame, self._context))
                with suppress(Stopped):
                    self.send({"op": "begun"})
            elif op == "stop":
                if self._context is not None and list(self._context.key) == frame.head["key"]:
                    self._context.stop_event.set()
            else:
                self.port.answer(frame.head, frame.body)
        if self._context is None:
            self._jobs.put(None)  # an idle child leaves in peace: exit functions run
            threading.Event().wait(0.5)
        _die(_LOST)

    # --- the main thread --------------------------------------------------------------------------------------------

    def on_term(self, number: int, frame: object) -> None:
        """Handle SIGTERM: end the user's function by `Stopped`; between jobs, end this process."""
        if self._is_shielded:
            self._has_term_waiting = True
        elif self._in_users_code:
            self._in_users_code = False  # once: what the function does to clean up is not disturbed
            raise Stopped("the job was asked to stop, and got SIGTERM because it went on")
        elif self._context is None:
            raise SystemExit(143)

    def serve(self) -> None:
        """Run jobs until there are no more."""
        while (job := self._jobs.get()) is not None:
            frame, context = job
            signal.signal(signal.SIGTERM, self.on_term)
            logging.getLogger().setLevel(frame.head["level"])
            sys.argv[:] = frame.head["argv"]
            told, body = self._attempt(frame, context)
            if os.getpid() != self._pid:  # the job forked, and this is the copy: it must not report, too
                os._exit(0)
            context.is_over = True
            self.surroundings.flush()
            self.surroundings.restore()  # now, for what follows may import something
            arrival.clear()
            told["spoiled"] = self.surroundings.is_spoiled()
            told["files"] = self._new_files()
            self._context = None
            try:
                self.send(told, body)
            except Stopped:
                _die(_LOST)

    def _make_context(self, head: dict[str, Any]) -> JobContext:
        self.port.opener, self.port.home, self.port.namespace = head["opener"], head["home"], head["namespace"]
        context = JobContext(
            RunKey(*head["key"]),
            self.port,
            namespace=head["namespace"],
            workflow=head["workflow"],
            context=head["context"],
            event_offsets=tuple(head["event_offsets"]),
            cause=head["cause"],
            scratch=head["scratch"],
            folder=head["folder"],
        )
        context.span = head["span"]
        return context

    def _attempt(self, frame: Frame, context: JobContext) -> tuple[dict[str, Any], bytes]:
        """Run the job and give the frame that reports its end; SIGTERM may interrupt it anywhere."""
        options = JobOptions()
        try:
            self._in_users_code = True
            function, args, kwargs, retry_on, params, serializers = unpickle_call(frame.body, settle=True)
            context._params = params  # they come with the call, for they share its classes
            declared = frame.head["outputs"]
            outputs = tuple(declared) if isinstance(declared, list) else declared
            options = JobOptions(outputs=outputs, retry_on=retry_on, buffer=frame.head["buffer"])
            codec = Codec(Blobs(frame.head["home"] + "/blobs"), serializers=serializers)
            context.codec = codec
            call, asked = plug_in(Call(function, args, kwargs), self.port, context, codec), frame.head["asked"]
            outlet = None
            if frame.head["stream"]:
                outlet = SocketOutlet(self.port, context, options, asked, codec)
            if frame.head["is_async"]:
                import asyncio  # 30 ms that most children never need

                ended = asyncio.run(perform_async(lambda: call, context, options, asked))
            else:
                ended = perform(lambda: call, context, options, asked, outlet)
            stored = None
            if ended.outcome == "SUCCESS":
                stored = self._encode(codec, ended, context)
            self._in_users_code = False
        except BaseException as error:  # what cannot be unpickled, and `Stopped` between two lines of ours
            self._in_users_code = False
            ended, stored = judge(error, options), None
        return report(ended, stored)

    def _encode(self, codec: Codec, ended: Ended, context: JobContext) -> Stored | None:
        try:
            return codec.encode(ended.value, f"the value of job {context.job!r}")
        except RunnerError as error:
            ended.outcome, ended.retryable, ended.reason = "FAILED", False, str(error)[:500]
            ended.error = Failure("RunnerError", str(error))
            return None

    def _new_files(self) -> dict[str, tuple[int, int, int]] | None:
        """Give the user's files that were imported, if any import happened since this was asked last."""
        if len(sys.modules) == self._modules:
            return None
        self._modules = len(sys.modules)
        return user_files()


def report(ended: Ended, stored: Stored | None) -> tuple[dict[str, Any], bytes]:
    """Give the frame that tells how a job has ended."""
    error = ended.error
    head: dict[str, Any] = {
        "op": "end",
        "outcome": ended.outcome,
        "retryable": ended.retryable,
        "truth": ended.truth,
        "reason": ended.reason,
        "state": ended.state,
        "changes": ended.changes,
        "gives": ended.gives,
        "refused": ended.refused,
        "error": error and [error.type, error.message[:_LONGEST], _shorten(error.traceback)],
    }
    if stored is None:
        return head, b""
    data = stored.data
    head["stored"] = [
        stored.codec,
        "text" if isinstance(data, str) else "bytes",
        stored.blob,
        stored.size,
        stored.summary,
    ]
    return head, data.encode() if isinstance(data, str) else data or b""


def _shorten(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}\n…\n{text[-half:]}"
