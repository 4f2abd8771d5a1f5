"""What is said to Flink and what its answers mean: ids, configurations, states, savepoints. Pure.

Knows nothing of clusters and processes; both sides of the driver count on the same terms.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiflow.graph.execution import RunKey
from aiflow.graph.flink_address import read_address

__all__ = [
    "ENDED",
    "JARS",
    "Note",
    "Surroundings",
    "as_config",
    "checkpointed",
    "doing",
    "has_no_room",
    "id_of",
    "is_query",
    "is_waiting",
    "jar_urls",
    "label",
    "left",
    "restoring",
    "slots_of",
]

ENDED = frozenset(("FINISHED", "CANCELED", "FAILED"))
"""The states of a Flink job that is over."""

JARS = "pipeline.jars"
"""Names the jars that a job brings along, such as connectors."""

JOB_ID = "$internal.pipeline.job-id"
"""Has the next job that an environment submits have this id; Flink's own tests use it, and clients with retries."""
RESTORE = "execution.state-recovery.path"


def id_of(key: RunKey, rounds: int, index: int) -> str:
    """Give the JobID of the `index`-th Flink job that an attempt submits.

    It follows from what identifies the attempt, so that a job whose submission nobody could record is found all the same.

    Parameters
    ----------
    rounds
        How often the attempt has begun to submit: once more after each crash in the middle of that.

    Examples
    --------
    >>> id_of(RunKey("e1", "clean", 1, 1), 0, 0)
    '9f62a5bc2dabfc8909d8eab5cde3e35c'
    """
    said = "/".join((key.execution_id, key.job, str(key.number), str(key.attempt), str(rounds), str(index)))
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Note:
    """What a runner must know of an attempt after a crash; JSON data in the store.

    Attributes
    ----------
    target, url
        What the job asked for, and the address of the cluster that has its Flink jobs.
    rounds
        How often it began to submit them.
    jobs
        Their ids, in order.
    is_complete
        Whether its function has returned, so that nothing but the ends of these jobs is waited for.
    is_asked
        Whether they were asked to stop.
    savepoints
        Where their states are, in the same order; None for a job without.
    origin
        Names the attempt with which the state of its jobs began: one that starts from a savepoint has that of the one before.
    records, watermark
        The furthest that was seen: a number, and milliseconds since 1970.
    follows
        The model whose deployed version its functions use, whichever that is; '' for none.
    """

    target: str = "local"
    url: str = ""
    rounds: int = 0
    jobs: tuple[str, ...] = ()
    is_complete: bool = False
    is_asked: bool = False
    savepoints: tuple[str | None, ...] = ()
    origin: str = ""
    records: int | None = None
    watermark: int | None = None
    follows: str = ""

    def dump(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in self._items()}

    def _items(self) -> Iterable[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.__slots__)

    @classmethod
    def load(cls, data: Mapping[str, Any] | None) -> Note:
        """Take it from JSON data that `dump` gave; what is not known (any more) is left out."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (data or {}).items()
            if name in cls.__slots__
        }
        return cls(**known)

    def with_job(self, job_id: str) -> Note:
        """Give it with one more job."""
        return self if job_id in self.jobs else replace(self, jobs=(*self.jobs, job_id))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a job's function and its workers run."""

    url: str
    python: str
    paths: tuple[str, ...] = ()  # put before the workers' sys.path, on the same host
    files: tuple[str, ...] = ()  # sent to the workers
    given: Mapping[str, str] = field(default_factory=dict)


def as_config(where: Surroundings, name: str, stream: bool, parallelism: int | None) -> dict[str, str]:
    """Give the configuration of the environments of a job; what its user has given wins, but for where it runs."""
    address = read_address(where.url)
    config = {
        "pipeline.name": name,
        "execution.runtime-mode": "STREAMING" if stream else "BATCH",
        "parallelism.default": str(parallelism or 1),
        "python.executable": where.python,
        "python.client.executable": where.python,
    }
    if stream:
        config |= checkpointed()
    if where.paths:
        config["python.pythonpath"] = ":".join(where.paths)
    config.update({key: str(value) for key, value in where.given.items()})
    files = [*where.files, *filter(None, config.get("python.files", "").split(","))]
    if files:
        config["python.files"] = ",".join(files)
    config |= {
        "execution.target": "remote", "rest.address": address.host, "rest.port": str(address.port), "execution.shutdown-on-attached-exit": "false",
        # an attached `execute()` waits for the end: right for a batch, and a stream has none
        "execution.attached": "false" if stream else "true",
    }  # fmt: skip
    return config


def jar_urls(said: str, folder: Path) -> list[str]:
    """Give the jars that ``pipeline.jars`` names as the addresses that Flink wants; paths begin in `folder`.

    Examples
    --------
    >>> jar_urls("kafka.jar;https://host/avro.jar", Path("/flows"))
    ['file:///flows/kafka.jar', 'https://host/avro.jar']
    """
    parts = re.split("[;,]", said.strip()[1:-1]) if said.strip().startswith("[") else said.split(";")
    jars = filter(None, (part.strip().strip("'\"") for part in parts))
    return [jar if _SCHEME.match(jar) else Path(os.path.normpath(folder / jar)).as_uri() for jar in jars]


_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")


def checkpointed() -> dict[str, str]:
    """Give the configuration of a stream, so that it goes on from there after whatever happens to the cluster."""
    return {
        "execution.checkpointing.interval": "10 s",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    }


def restoring(savepoints: tuple[str | None, ...], index: int) -> str | None:
    """Give the savepoint that the `index`-th job of an attempt starts from, or None."""
    return savepoints[index] if index < len(savepoints) else None


_QUERY = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|\()*(SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE | re.DOTALL)


def is_query(statement: str) -> bool:
    r"""Tell whether an SQL statement asks for rows.

    Examples
    --------
    >>> is_query("SELECT 1"), is_query("-- the rest\nwith a AS (SELECT 1) SELECT * FROM a"), is_query("INSERT INTO a SELECT 1")
    (True, True, False)
    """
    return _QUERY.match(statement) is not None


def doing(job: Mapping[str, Any], free: int | None = None) -> str:
    """Say in words what a job does, from what its cluster says of it: RUNNING is also what waits for a place to run.

    Parameters
    ----------
    free
        How many slots are free, if that is known.

    Examples
    --------
    >>> doing({"state": "RUNNING", "vertices": [{"status": "SCHEDULED", "parallelism": 9}]}, 8)
    'waits for slots: needs 9, free 8'
    """
    parts = {str(vertex["status"]) for vertex in job.get("vertices", ())}
    if is_waiting(job) and (free is None or free < slots_of(job)):  # else they are just being given to it
        return f"waits for slots: needs {slots_of(job)}, free {'?' if free is None else free}"
    if job["state"] != "RUNNING" or parts <= {"RUNNING", "FINISHED"}:
        return str(job["state"]).lower()
    return "is being deployed"


def is_waiting(job: Mapping[str, Any]) -> bool:
    """Tell whether a job waits for free slots.

    Examples
    --------
    >>> is_waiting({"state": "RUNNING", "vertices": [{"status": "CREATED"}, {"status": "CREATED"}]})
    True
    >>> is_waiting({"state": "RUNNING", "vertices": [{"status": "RUNNING"}, {"status": "CREATED"}]})  # a batch, stage by stage
    False
    """
    parts = {str(part["status"]) for part in job.get("vertices", ())}
    return job["state"] == "RUNNING" and (
        "SCHEDULED" in parts or ("CREATED" in parts and parts <= {"CREATED", "FINISHED"})
    )


def has_no_room(job: Mapping[str, Any], free: int) -> bool:
    """Tell whether no part of a job runs, as too few slots are free.

    Examples
    --------
    >>> job = {"state": "RUNNING", "vertices": [{"status": "SCHEDULED", "parallelism": 9}]}
    >>> has_no_room(job, 8), has_no_room(job, 9)
    (True, False)
    """
    parts = {str(part["status"]) for part in job.get("vertices", ())}
    return parts <= {"CREATED", "SCHEDULED"} and is_waiting(job) and free < slots_of(job)


def slots_of(job: Mapping[str, Any]) -> int:
    """Give how many slots a job needs at once: operators that share slots need as many as the widest of them.

    Examples
    --------
    >>> slots_of({"vertices": [{"parallelism": 2}, {"parallelism": 3}, {"parallelism": 1, "slotSharingGroupId": "own"}]})
    4
    """
    widest: dict[str, int] = {}
    for part in job.get("vertices", ()):
        group = str(part.get("slotSharingGroupId"))
        widest[group] = max(widest.get(group, 1), int(part.get("parallelism", 1)))  # -1 until a batch has decided
    return sum(widest.values())


def left(note: Note) -> str:
    """Say in a few words what an attempt has left that is over: its savepoints, or how many Flink jobs it was.

    Examples
    --------
    >>> left(Note(jobs=("a", "b"))), left(Note()), left(Note(jobs=("a",), is_asked=True, savepoints=("file:/s/savepoint-a",)))
    ('2 Flink jobs', 'no Flink job', 'state kept in savepoint-a')
    """
    states = [path.rstrip("/").rpartition("/")[2] for path in note.savepoints if path] if note.is_asked else []
    if states:
        return f"state kept in {', '.join(states)}"
    count = len(note.jobs)
    return f"{count or 'no'} Flink job{'s' * (count > 1)}"


def label(state: str, records: int | None, watermark: int | None, trouble: str = "") -> str:
    """Say in a few words how a Flink job is doing, and why Flink has started it again, if it has.

    Examples
    --------
    >>> label("running", 12345, 1795777200000)
    'running, 12,345 records, watermark 2026-11-27 11:00:00'
    >>> label("restarting", 0, None, "KeyError: 'no such car'")
    "restarting, 0 records, restarted after KeyError: 'no such car'"
    """
    said = [state]
    if records is not None:
        said.append(f"{records:,} record{'s' if records != 1 else ''}")
    if watermark is not None:
        said.append(f"watermark {_moment(watermark)}")
    if trouble:
        said.append(f"restarted after {trouble if len(trouble) <= 100 else f'{trouble[:99]}…'}")
    return ", ".join(said)


def _moment(milliseconds: int) -> str:
    from aiflow.clock import as_datetime

    if milliseconds >= 253_402_300_800_000:  # the year 10000: Flink's "no more will come"
        return "at the end"
    return as_datetime(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")
