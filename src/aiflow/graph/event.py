"""What an event is: one entry of the log, and the draft of one that has no offset yet.

Knows nothing of who publishes it, who stores it or who listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from aiflow.errors import ParameterError
from aiflow.graph.card import Card, Data, HasCard

__all__ = [
    "ANY", "BROADCAST", "CHANGES", "INTERNAL", "NOW", "RESERVED", "Draft", "Event", "EventType", "check_draft", "is_finding", "job_key",
]  # fmt: skip


class EventType(StrEnum):
    """The types of events that aiflow itself writes; a user's own are any other text."""

    UNDEFINED = "UNDEFINED"
    JOB_STATUS_CHANGED = "JOB_STATUS_CHANGED"
    EXECUTION_STATUS_CHANGED = "EXECUTION_STATUS_CHANGED"
    JOB_LOST = "JOB_LOST"
    JOB_TIMED_OUT = "JOB_TIMED_OUT"
    JOB_PASSED = "JOB_PASSED"
    STREAM_ITEM = "STREAM_ITEM"
    REQUESTED = "REQUESTED"
    CONDITION_ANSWERED = "CONDITION_ANSWERED"
    TIMER_FIRED = "TIMER_FIRED"
    FILE_CHANGED = "FILE_CHANGED"
    METADATA_CHANGED = "METADATA_CHANGED"
    METRIC_LOGGED = "METRIC_LOGGED"
    DATASET_CHANGED = "DATASET_CHANGED"
    ARTIFACT_CHANGED = "ARTIFACT_CHANGED"
    MODEL_GENERATED = "MODEL_GENERATED"
    MODEL_VALIDATED = "MODEL_VALIDATED"
    MODEL_DEPLOYED = "MODEL_DEPLOYED"
    MODEL_DEPRECATED = "MODEL_DEPRECATED"
    MODEL_DELETED = "MODEL_DELETED"


INTERNAL = frozenset(
    str(t)
    for t in (
        EventType.JOB_STATUS_CHANGED,
        EventType.EXECUTION_STATUS_CHANGED,
        EventType.JOB_LOST,
        EventType.JOB_TIMED_OUT,
        EventType.JOB_PASSED,
        EventType.STREAM_ITEM,
        EventType.REQUESTED,
        EventType.CONDITION_ANSWERED,
    )
)
"""The engine's own bookkeeping: it reaches its own execution only, and a condition only if that names the type."""

RESERVED = INTERNAL | {str(EventType.TIMER_FIRED)}
"""What only aiflow writes. A condition sees it only if it names the type: `*` would fire at each tick of everybody."""

CHANGES = frozenset(str(t) for t in EventType if t.startswith(("MODEL_", "DATASET_", "ARTIFACT_")))
"""What conditions such as ``model.deployed`` and ``dataset.changed`` wait for."""

NOW = ".now()"
"""What a condition ends with that counts also what is so already when the execution starts."""


class _Any:
    """The value that every value equals, in a condition."""

    _only: _Any | None = None

    def __new__(cls) -> _Any:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> tuple[Any, ...]:
        return _Any, ()


ANY: Any = _Any()
"""In `af.event(key, ANY)`: whatever the value."""


class _Broadcast:
    """What a context function returns for an event that every execution should get."""

    def __repr__(self) -> str:
        return "BROADCAST"


BROADCAST: Any = _Broadcast()
"""Returned by a workflow's `context` function: the event is for all of its executions."""


OWN_KEYS = ("job:", "execution:", "trigger:", "timer:")
"""What the keys of aiflow's own events begin with; nobody else publishes such (`docs/adr/0003`)."""


def job_key(job: str) -> str:
    """Give the key under which a job's own events stand in the log.

    The prefix keeps them apart from what users publish under the name of a job.
    """
    return "job:" + job


class Draft(NamedTuple):
    """An event on its way to the log: all but its offset.

    `value` is JSON data; `time` is seconds since 1970 in UTC.
    """

    key: str
    value: Any = None
    type: str = "UNDEFINED"
    namespace: str = "default"
    sender: str | None = None
    context: str | None = None
    execution_id: str | None = None
    time: float = 0.0
    dedupe_key: str | None = None


def check_draft(draft: Draft) -> Draft:
    """Check what somebody wants to publish, its value excepted; give it back.

    Raises
    ------
    ParameterError
        If a text is empty, no text or cannot be stored, or if its type or the beginning of its key is one of aiflow's own.
    """
    key, _, kind, namespace, sender, context, _, _, dedupe_key = draft
    for text, what, may_miss in (
        (key, "key", False), (kind, "type", False), (namespace, "namespace", False), (sender, "sender", True),
        (context, "context", True), (dedupe_key, "dedupe_key", True),
    ):  # fmt: skip
        if text is None and may_miss:
            continue
        if not isinstance(text, str) or not (text or what == "context"):
            raise ParameterError(f"an event's {what} must be a text that is not empty, not {text!r}")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ParameterError(
                    f"an event's {what} has a character that cannot be stored (half of a surrogate pair): {text!r}"
                ) from None
    if key.startswith(OWN_KEYS):
        raise ParameterError(
            f"keys that begin with {' or '.join(map(repr, OWN_KEYS))} are aiflow's own, so {key!r} cannot be published; "
            "take another key"
        )
    if kind in RESERVED:
        raise ParameterError(f"events of the type {kind} are aiflow's own bookkeeping; publish with another type")
    return draft


@dataclass(frozen=True, slots=True)
class Event(HasCard):
    """One entry of the log.

    Attributes
    ----------
    offset
        Its place in the one order of everything; larger is later.
    key, value, type
        What happened. `value` is JSON data.
    namespace
        The project it was published through.
    sender
        Who published it: a job's name, or what the publisher said.
    context
        Which executions it is for; None is for all.
    execution_id
        The execution that caused it, or None.
    timestamp
        When, in seconds since 1970 UTC; `time` is the same as a `datetime`.
    """

    offset: int
    key: str
    value: Any = None
    type: str = "UNDEFINED"
    namespace: str = "default"
    sender: str | None = None
    context: str | None = None
    execution_id: str | None = None
    timestamp: float = 0.0

    @property
    def time(self) -> datetime:
        """When it happened, as an aware `datetime` in UTC."""
        return datetime.fromtimestamp(self.timestamp, UTC)

    def _row(self) -> dict[str, Any]:
        return {
            "offset": self.offset, "time": self.time, "key": self.key, "value": Data(self.value), "type": self.type,
            "sender": self.sender, "context": self.context,
        }  # fmt: skip

    def _card(self) -> Card:
        facts = {**self._row(), "namespace": self.namespace, "caused by": self.execution_id}
        return Card(kind="event", name=facts.pop("key"), facts=facts)


def is_finding(event: Event) -> bool:
    """Tell whether an event says what was so already when an execution started, to this one alone, for its ``.now()``.

    It has the type, key and value of the event that said so first. Its sender is the condition.
    """
    if event.sender is None or not event.sender.endswith(NOW) or event.context is None:
        return False
    return event.context == event.execution_id and (event.type in CHANGES or event.type == EventType.METRIC_LOGGED)
