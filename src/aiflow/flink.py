"""Publishing from functions that Flink runs: `af.flink.publish` and `af.flink.Publisher`.

Knows nothing of how jobs get onto Flink. In the processes of a cluster, the module `aiflow_flink_job` says for which job
they work, and how events get home: straight into the store on the same machine, else over HTTP to the project's endpoint.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from aiflow.clock import SystemClock
from aiflow.endpoint import EVENTS
from aiflow.errors import Conflict, FlinkError, ParameterError
from aiflow.graph.event import Draft, Event, check_draft
from aiflow.graph.job import seconds
from aiflow.graph.params import json_text

__all__ = ["Local", "Publisher", "Remote", "publish", "way_home"]

PATIENCE = 60.0
"""Seconds for which it is tried to reach the project's endpoint."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_NO_TIME = -(2**63)
"""What Flink gives as the time of a record without one."""


class Identity(NamedTuple):
    """For which job a process of a cluster works; what `aiflow_flink_job.JOB` says.

    `url` is None if the home is on this machine. `origin` names the run with which the job's state began: that of a job
    that goes on from a savepoint or checkpoint is its predecessor's.
    """

    home: str
    namespace: str
    execution_id: str
    job: str
    number: int
    context: str | None = None
    url: str | None = None
    token: str | None = None
    origin: str | None = None

    @property
    def run(self) -> tuple[str, str, int]:
        """Which run of which job it is."""
        return self.execution_id, self.job, self.number


def publish(
    key: str,
    value: Any = None,
    *,
    type: str | None = None,
    namespace: str | None = None,
    sender: str | None = None,
    context: Any = ...,
    dedupe_key: str | None = None,
) -> Event:
    """Publish an event from a function that Flink runs for a job of aiflow; return when it is durable.

    When Flink goes on from a checkpoint after a failure, it hands records to the function again, and what it publishes of
    them is published again: at least once. With a `dedupe_key` that follows from the record, it is once. A `Publisher` gives
    such keys to functions that have keyed state.

    Parameters
    ----------
    key
        What it is about; globs of conditions and subscriptions match it.
    value
        JSON data.
    type, namespace, sender, context
        See `Event`; `context` is the execution and `sender` the job's name, unless given.
    dedupe_key
        Unique in the namespace: publishing it again gives the event of the first time.

    Raises
    ------
    ParameterError
        If the value is no JSON data, or something else does not fit.
    Conflict
        If the job is over: what is left of it on the cluster changes nothing any more.
    FlinkError
        If this is no process that works for a job, or the project could not be reached for 60 s.
    StoreError
        If the store cannot be written.

    Examples
    --------
    >>> import aiflow as af
    >>> def watch(car, speed):  # a function of a table, registered with udf(watch, result_type=…)
    ...     if speed > 120:
    ...         af.flink.publish("speeding", {"car": car, "speed": speed}, dedupe_key=f"speeding {car}")
    ...     return speed
    """
    who, way = way_home()
    draft = Draft(
        key, value, type or "UNDEFINED", namespace or who.namespace, sender or who.job,
        who.execution_id if context is ... else context, who.execution_id, 0.0, dedupe_key,
    )  # fmt: skip
    json_text(value, f"the value of event {key!r}")
    return way.publish(who, check_draft(draft))


class Publisher:
    """Publishes from a function with keyed state, each event once, also when Flink goes on from a checkpoint.

    When Flink does that, it gives records to the function again, those of a key perhaps in another order, and its state is as it was.
    So a publisher counts, in a state of its own, how often it has published an event just like this one for the same key and time of the
    stream; that is the event's `dedupe_key`. What is published again is then the event of the first time. That takes a
    function whose events follow from the records, not from their order.

    Parameters
    ----------
    runtime_context
        What `open` gets.
    name
        Unique in the job: two functions that publish the same for the same keys under one name would take the other's events for
        their own.
    forget_after
        Seconds after which counts are forgotten of events whose record has a time. (Those of others are kept for good.)

    Examples
    --------
    >>> import aiflow as af
    >>> class Alert:  # (KeyedProcessFunction)
    ...     def open(self, runtime_context):
    ...         self.publisher = af.flink.Publisher(runtime_context, "alerts")
    ...
    ...     def process_element(self, row, context):
    ...         if row["speed"] > 120:
    ...             self.publisher.publish(context, "speeding", row)
    """

    def __init__(self, runtime_context: Any, name: str, *, forget_after: float | timedelta = 7 * 86_400) -> None:
        if not isinstance(name, str) or not name:
            raise ParameterError(f"a Publisher has a name that is unique in the job, not {name!r}")
        from pyflink.common.time import Time
        from pyflink.common.typeinfo import Types
        from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig

        duration = seconds(forget_after, "forget_after")
        timed, others = (
            MapStateDescriptor(f"aiflow-publisher-{kind}-{name}", Types.STRING(), Types.LONG())
            for kind in ("timed", "others")
        )
        timed.enable_time_to_live(StateTtlConfig.new_builder(Time.milliseconds(max(1, round(duration * 1000)))).build())
        self._name, self._task = name, runtime_context.get_task_name()
        self._timed, self._others = runtime_context.get_map_state(timed), runtime_context.get_map_state(others)

    def publish(self, context: Any, key: str, value: Any = None, **options: Any) -> Event:
        """Publish an event; see `publish`.

        Parameters
        ----------
        context
            What `process_element` or `on_timer` gets: it says for which key of the stream this is, and of what time.
        key, value
            As in `af.flink.publish`.
        **options
            `type`, `namespace`, `sender` and `context`, likewise.
        """
        if "dedupe_key" in options:
            raise ParameterError("a Publisher gives its events their dedupe_key; with your own, use af.flink.publish")
        time = context.timestamp()
        is_timed = time is not None and time > _NO_TIME
        said = json_text([key, value, {name: options[name] for name in sorted(options)}], f"the value of event {key!r}")
        like = f"{time if is_timed else ''} {sha256(said.encode()).hexdigest()[:32]}"
        counts = self._timed if is_timed else self._others
        count, who = int(counts.get(like) or 0) + 1, identity()
        own = (
            who.execution_id,
            who.job,
            who.origin or who.number,
            self._task,
            self._name,
            repr(context.get_current_key()),
        )
        event = publish(key, value, dedupe_key=json.dumps([*own, like, count]), **options)
        counts.put(like, count)
        return event


# --- for whom, and how ------------------------------------------------------------------------------------------------


def identity() -> Identity:
    """Give for which job this process works; raises `FlinkError` if it is none of a cluster's."""
    try:
        said: Mapping[str, Any] = import_module("aiflow_flink_job").JOB
    except ImportError:
        raise FlinkError(
            "af.flink.publish works in functions that Flink runs for a job of aiflow, and this process does not; elsewhere, "
            "use af.publish, or af.current().publish in a job"
        ) from None
    return Identity(**{name: said[name] for name in Identity._fields if name in said})


_guard = threading.Lock()
_ways: dict[tuple[Any, ...], Local | Remote] = {}


def way_home() -> tuple[Identity, Local | Remote]:
    """Give for which job this process works, and its way home; each process has its own, also a forked one."""
    who = identity()
    place = (os.getpid(), who.home, who.url, who.token)
    with _guard:
        if place not in _ways:
            _ways[place] = Local(Path(who.home)) if who.url is None else Remote(who.url, who.token or "")
        return who, _ways[place]


@atexit.register
def close() -> None:
    """Let go of what this process has opened; what is published afterwards opens it again."""
    with _guard:
        for place in [place for place in _ways if place[0] == os.getpid()]:  # else it is the parent's
            _ways.pop(place).close()


class Local:
    """The store of a home on this machine; that needs no process which runs the project."""

    def __init__(self, home: Path) -> None:
        from aiflow.events.pokes import Pokes
        from aiflow.store.connection import find_store
        from aiflow.store.store import Store

        if not find_store(home).is_file():
            raise FlinkError(
                f"there is no store in {home} on this machine: the cluster runs elsewhere than the project, or in another "
                "container; give the job the cluster's address as its target"
            )
        self.store, self._pokes, self._lock = Store(home), Pokes(home / "owners", ""), threading.Lock()

    def publish(self, who: Identity, draft: Draft) -> Event:
        """Publish an event on behalf of a job."""
        from aiflow.store.appending import append

        with self._lock:
            now = SystemClock().now()
            event = append(self.store, [draft], now, who.run)[0]
            self._pokes.poke(now)
        return event

    def close(self) -> None:
        """Let go of the store."""
        with self._lock:
            self.store.close()
            self._pokes.close()


class Remote:
    """HTTP to the project's endpoint; connections stay open, as many as threads ask at the same time."""

    def __init__(self, url: str, token: str, patience: float = PATIENCE) -> None:
        split = urlsplit(url)
        self._host, self._port, self._token, self._patience = split.hostname or "", split.port or 80, token, patience
        self._url, self._idle = url, list[http.client.HTTPConnection]()

    def publish(self, who: Identity, draft: Draft) -> Event:
        """Publish an event on behalf of a job."""
        if draft.dedupe_key is None:  # an answer may be lost, and then it is asked again
            draft = draft._replace(dedupe_key=f"{who.execution_id} {who.job} {uuid4()}")
        return Event(*self.ask("POST", EVENTS, json.dumps({"run": who.run, "drafts": [draft]}))[0])

    def ask(self, method: str, path: str, body: str = "", read: Callable[[Any], Any] = json.load) -> Any:
        """Ask the endpoint until it answers, a minute at most; give what `read` makes of the answer.

        Raises
        ------
        ParameterError, Conflict
            What is asked does not fit, or the job is over.
        FlinkError
            It could not be reached, or has refused.
        """
        end, pause = time.monotonic() + self._patience, 0.0
        while True:
            try:
                status, said = self._ask(method, path, body.encode(), read)
                if status == 200:
                    return said
                problem = f"{status}: {said.get('error') if isinstance(said, dict) else said}"
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, problem = 0, f"{type(error).__name__}: {error}"
            if status == 400:
                raise ParameterError(said["error"])
            if status == 409:
                raise Conflict(said["error"])
            if status in (403, 404, 405, 411, 413):
                raise FlinkError(f"the project's endpoint at {self._url} has refused {method} {path}: {problem}")
            if time.monotonic() + pause > end:
                raise FlinkError(
                    f"the project's endpoint at {self._url} could not be reached for {self._patience:g} s ({problem})"
                )
            time.sleep(pause)
            pause = min(2 * pause or _FIRST_PAUSE, _LONGEST_PAUSE)

    def _ask(self, method: str, path: str, body: bytes, read: Callable[[Any], Any]) -> tuple[int, Any]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = answer.status, (read if answer.status == 200 else json.load)(answer)
            answer.read()  # else the connection cannot be used again
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return found

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()
