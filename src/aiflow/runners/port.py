"""The port of a job in a child process: what the job asks and says goes over a socket, and the answer comes back.

Knows nothing of engines: the keeper at the other end asks the real port.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from aiflow import errors
from aiflow.graph.change import Change
from aiflow.graph.event import Draft, Event
from aiflow.graph.execution import RunKey
from aiflow.runners.base import Work
from aiflow.runners.context import Port
from aiflow.runners.wire import event_row

__all__ = ["SocketPort", "answer", "explained"]

_KINDS = {
    kind.__name__: kind
    for kind in (
        errors.Conflict,
        errors.GraphError,
        errors.NotFound,
        errors.OwnershipLost,
        errors.ParameterError,
        errors.RunnerError,
        errors.Stopped,
        errors.StoreError,
    )
}
"""The errors that come back as what they were; all others come back as `RunnerError`."""


class _Question:
    """One question under way."""

    __slots__ = ("_forget", "answered", "body", "head")

    def __init__(self, forget: Callable[[], object]) -> None:
        self.answered = threading.Event()
        self.head: dict[str, Any] = {}
        self.body: bytes | bytearray = b""
        self._forget = forget

    def wait(self) -> _Question:
        """Wait for the answer; raises what went wrong."""
        try:
            self.answered.wait()
        finally:
            self._forget()
        if problem := self.head.get("error"):
            kind, *told = problem
            raise _KINDS.get(kind, errors.RunnerError)(*told)
        return self


class SocketPort:
    """The child's side; implements `Port`. Any thread of the job may call it."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._questions: dict[int, _Question] = {}
        self._count = 0
        self._pid = os.getpid()
        self._project: Any = None
        self.opener = self.home = self.namespace = ""

    def publish(self, key: RunKey, drafts: list[Draft]) -> list[Event]:
        """Append events to the log."""
        return [Event(*row) for row in self._ask("publish", key=key, drafts=drafts)]

    def set_label(self, key: RunKey, text: str) -> None:
        """Show a short text beside the job."""
        self._ask("set_label", key=key, text=text)

    def events(self, offsets: Iterable[int], key: RunKey) -> list[Event]:
        """Read events by their offsets."""
        return [Event(*row) for row in self._ask("events", key=key, offsets=list(offsets))]

    def project(self) -> Any:
        """Give the job's project, opened in this process by what the keeper named: ``"module:function"``."""
        if self._project is None:
            module, _, function = self.opener.partition(":")
            self._project = getattr(importlib.import_module(module), function)(self.home, self.namespace)
        return self._project

    def load_state(self, key: RunKey) -> str | None:
        """Give the state of the job that was saved last."""
        text: str | None = self._ask("load_state", key=key)
        return text

    def change(self, key: RunKey, changes: list[Change]) -> list[Any]:
        """Do changes of the metadata, all in one transaction."""
        found: list[Any] = self._ask("change", key=key, changes=changes)
        return found

    def _ask(self, op: str, **fields: Any) -> Any:
        return self.ask(op, **fields).wait().head["value"]

    def tell(self, op: str, body: bytes = b"", **fields: Any) -> None:
        """Send something that needs no answer."""
        self._send({"op": op, **fields}, body)

    def ask(self, op: str, body: bytes = b"", **fields: Any) -> _Question:
        """Send a question; its `wait` gives the answer."""
        if os.getpid() != self._pid:  # the answer would reach the other process
            raise errors.RunnerError(
                "af.current() does not work in a process that a job has forked: hand the result back to the job"
            )
        with self._lock:
            self._count += 1
            number = self._count
            question = _Question(lambda: self._questions.pop(number, None))
            self._questions[number] = question
        try:
            self._send({"op": op, "id": number, **fields}, body)
        except BaseException:
            self._questions.pop(number, None)
            raise
        return question

    def answer(self, head: dict[str, Any], body: bytes | bytearray = b"") -> None:
        """Take the answer to a question; an answer that nobody waits for any more is dropped."""
        question = self._questions.get(head["id"])
        if question is not None:
            question.head, question.body = head, body
            question.answered.set()


def answer(work: Work | None, head: dict[str, Any]) -> dict[str, Any]:
    """Ask the real port what a child asks, on the keeper's side, and give the head of the reply.

    Parameters
    ----------
    work
        What the child is running now; a question of anything else comes from a job that is over.
    head
        The head of the question.
    """
    reply: dict[str, Any] = {"op": "reply", "id": head["id"], "value": None}
    try:
        if work is None or tuple(head.get("key", work.key)) != work.key:
            raise errors.Stopped("this job is over; nothing it does is recorded any more")
        reply["value"] = _ask_port(work.context.port, head)
    except (Exception, errors.Stopped) as error:  # an engine's trouble is the asking job's
        reply["error"] = explained(error)
    return reply


def explained(error: BaseException) -> list[Any]:
    """Put an error into a reply: its kind, and what it is made of."""
    kind = type(error).__name__
    if isinstance(error, errors.NotFound):
        return [kind, error.noun, str(error.name), error.known]
    return [kind, str(error) if kind in _KINDS else f"{kind}: {error}"]


def _ask_port(port: Port, head: dict[str, Any]) -> Any:
    if head["op"] == "publish":
        key = RunKey(*head["key"])
        return [event_row(e) for e in port.publish(key, [Draft(*draft) for draft in head["drafts"]])]
    if head["op"] == "set_label":
        port.set_label(RunKey(*head["key"]), head["text"])
        return None
    if head["op"] == "load_state":
        return port.load_state(RunKey(*head["key"]))
    if head["op"] == "change":
        return port.change(RunKey(*head["key"]), [Change(*change) for change in head["changes"]])
    if head["op"] == "events":
        return [event_row(e) for e in port.events(head["offsets"], RunKey(*head["key"]))]
    raise errors.RunnerError(f"a child process asked for {head['op']!r}, which is unknown")
