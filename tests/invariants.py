"""What must be true of every store file at every moment, whoever was killed when. Reads the tables, and nothing else.

The tables are documented, so this needs none of aiflow's code; but it must use the same SQLite library as the process
that it runs in (another one would close files under it, and with them drop its locks).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from aiflow.store.connection import sqlite3

TERMINAL = ("SUCCESS", "FAILED", "STOPPED", "SKIPPED")
OVER = ("SUCCESS", "FAILED", "STOPPED")
MAY_FOLLOW = {
    None: ("RUNNING", "SKIPPED"),
    "RUNNING": (*TERMINAL, "RETRYING", "STOPPING", "QUEUED"),
    "STOPPING": ("STOPPED",),
    "RETRYING": ("QUEUED", "STOPPED"),
    "QUEUED": ("RUNNING", "STOPPED"),
}
EXECUTION_MAY_FOLLOW = {
    None: ("RUNNING",),
    "RUNNING": ("STOPPING", *OVER),
    "STOPPING": ("STOPPED",),
    "FAILED": ("RUNNING",),
    "STOPPED": ("RUNNING",),
}
MOST_LOSSES = 3


def violations(home: Path, *, not_kept: Collection[str] = ()) -> list[str]:
    """Give what is wrong with the store of a home, in sentences; `not_kept` are jobs with `persist=False`."""
    connection = sqlite3.connect(f"{(home / 'aiflow.db').resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        return list(_Reading(home, connection, frozenset(not_kept)).violations())
    finally:
        connection.close()


def check(home: Path, *, not_kept: Collection[str] = ()) -> None:
    """Fail if anything is wrong with the store of a home."""
    found = violations(home, not_kept=not_kept)
    assert not found, "the store is not what it must be:\n  " + "\n  ".join(found)


class _Reading:
    def __init__(self, home: Path, connection: Any, not_kept: Collection[str]) -> None:
        self.home, self.not_kept = home, not_kept
        self.ask = lambda sql, *values: connection.execute(sql, values).fetchall()
        self.rows = {
            (execution, job, number): row
            for execution, job, number, *row in self.ask(
                "SELECT execution_id, job, number, status, attempt, started, ended, codec, value, blob, size FROM job_executions"
            )
        }

    def violations(self) -> Iterator[str]:
        for (answer,) in self.ask("PRAGMA integrity_check"):
            if answer != "ok":
                yield f"SQLite says: {answer}"
        yield from self._log()
        for execution in self.ask("SELECT id, status, epoch, ended, definition, first_offset FROM executions"):
            yield from self._execution(*execution)
        for key in self.rows.keys() - self._told.keys():
            yield f"{key} has a row and no event"
        yield from self._values()
        yield from self._positions()
        yield from self._metrics()
        yield from self._lineage()
        yield from self._models()

    def _log(self) -> Iterator[str]:
        offsets = [offset for (offset,) in self.ask("SELECT offset FROM events ORDER BY offset")]
        if offsets != list(range(1, len(offsets) + 1)):
            yield f"offsets are not 1, 2, 3, …: {len(offsets)} events up to {offsets[-1]}"
        self.head = len(offsets)
        twice = self.ask(
            "SELECT namespace, dedupe_key FROM events WHERE dedupe_key IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
        )
        if twice:
            yield f"dedupe keys that are there twice: {twice}"
        self._told: dict[tuple[str, str, int], list[tuple[str, int]]] = {}
        self._stories: dict[str, list[tuple[str, str, Any]]] = {}
        sql = "SELECT execution_id, type, key, value FROM events WHERE execution_id IS NOT NULL ORDER BY offset"
        for execution, kind, key, value in self.ask(sql):
            told = json.loads(value)
            if kind == "JOB_STATUS_CHANGED":
                self._told.setdefault((execution, key[4:], told["number"]), []).append(
                    (told["status"], told["attempt"])
                )
            self._stories.setdefault(execution, []).append((kind, key, told))

    def _metrics(self) -> Iterator[str]:
        said = {
            offset: (key, value["value"], value["step"], value["model"], value["number"])
            for offset, key, text in self.ask(  # with a context, it is for the `.now()` of an execution
                "SELECT offset, key, value FROM events WHERE type = 'METRIC_LOGGED' AND context IS NULL"
            )
            for value in (json.loads(text),)
            if value["id"] == offset  # else somebody has published it who knows nothing of rows
        }
        rows = {
            row_id: (name, special if value is None else value, step, model, number)
            for row_id, name, value, special, step, model, number in self.ask(
                "SELECT id, name, value, special, step, model, model_number FROM metrics"
            )
        }
        for offset in said.keys() ^ rows.keys():
            yield f"a metric is {said.get(offset)} in the log and {rows.get(offset)} in its row, both at {offset}"
        for offset in said.keys() & rows.keys():
            if said[offset] != rows[offset]:
                yield f"a metric is {said[offset]} in the log and {rows[offset]} in its row, both at {offset}"

    def _execution(
        self, name: str, status: str, epoch: int, ended: float | None, definition: str, first: int
    ) -> Iterator[str]:
        was: str | None = None
        taken = 0
        losses: Counter[tuple[str, int]] = Counter()
        for kind, key, value in self._stories.get(name, ()):
            if kind == "EXECUTION_STATUS_CHANGED":
                if value["status"] not in EXECUTION_MAY_FOLLOW.get(was, ()):
                    yield f"execution {name} went from {was} to {value['status']}"
                was = value["status"]
            elif kind == "JOB_STATUS_CHANGED" and was in (None, *OVER):
                yield f"{key} became {value['status']} when execution {name} was {was}"
            elif kind == "REQUESTED" and value.get("action") == "taken_over":
                taken += 1
            elif kind == "JOB_LOST":
                losses[key, value["number"]] += 1
            elif kind == "STREAM_ITEM":  # it has come further since
                losses[key, value["number"]] = 0
        if was != status:
            yield f"execution {name} is {status} in its row, and {was} in the log"
        if (ended is not None) != (status in OVER):
            yield f"execution {name} is {status} and ended at {ended}"
        if epoch != 1 + taken:
            yield f"execution {name} was taken over {taken} times and has the epoch {epoch}"
        for (key, number), count in losses.items():
            if count > MOST_LOSSES:
                yield f"{key} number {number} of {name} was lost {count} times"
        yield from self._jobs(name, status, definition)

    def _jobs(self, name: str, status: str, definition: str) -> Iterator[str]:
        last: dict[str, str] = {}
        numbers: dict[str, list[int]] = {}
        for (execution, job, number), told in self._told.items():
            if execution != name:
                continue
            numbers.setdefault(job, []).append(number)
            last[job] = told[-1][0]
            yield from self._run(execution, job, number, told)
            if status in OVER and told[-1][0] not in TERMINAL:
                yield f"{job} number {number} is {told[-1][0]}, and its execution {name} is {status}"
        for job, found in numbers.items():
            if sorted(found) != list(range(1, len(found) + 1)):
                yield f"the numbers of {job} of {name} are {sorted(found)}"
        nodes = json.loads(self.ask("SELECT text FROM documents WHERE hash = ?", definition)[0][0])["nodes"]
        failed = [n["name"] for n in nodes if last.get(n["name"]) == "FAILED" and not n.get("allow_failure")]
        if (status == "SUCCESS" and failed) or (status == "FAILED" and not failed):
            yield f"execution {name} is {status}, and these jobs failed: {failed}"
        for job in last.keys() - {n["name"] for n in nodes}:
            yield f"{job} ran, and is no job of {name}"

    def _run(self, execution: str, job: str, number: int, told: list[tuple[str, int]]) -> Iterator[str]:
        was: str | None = None
        attempt = 0
        for status, claimed in told:
            if status not in MAY_FOLLOW.get(was, ()):
                yield f"{job} number {number} of {execution} went from {was} to {status}"
            attempt += status == "RUNNING"
            if claimed != max(attempt, 1):
                yield f"{job} number {number} of {execution} says attempt {claimed} in its {attempt}. attempt"
            was = status
        if sum(status in TERMINAL for status, _ in told) > 1:
            yield f"{job} number {number} of {execution} ended more than once: {told}"
        row = self.rows.get((execution, job, number))
        if row is None:
            yield f"{job} number {number} of {execution} has events and no row"
            return
        if (row[0], row[1]) != told[-1]:
            yield f"{job} number {number} of {execution} is {row[0]} ({row[1]}) in its row, and {told[-1]} in the log"
        if (row[3] is not None) != (row[0] in TERMINAL):
            yield f"{job} number {number} of {execution} is {row[0]} and ended at {row[3]}"

    def _values(self) -> Iterator[str]:
        for (execution, job, number), (status, _, _, _, codec, value, blob, _) in self.rows.items():
            if status != "SUCCESS":
                if codec is not None:
                    yield f"{job} number {number} of {execution} is {status} and has a value"
            elif job in self.not_kept:
                if codec is not None:
                    yield f"{job} of {execution} is not to be kept, and has a value"
            elif codec is None or (value is None) == (blob is None):
                yield f"{job} number {number} of {execution} is SUCCESS, with codec {codec!r} and no value"
            if blob is not None:
                path = self.home / "blobs" / blob[:2] / blob[2:4] / blob
                if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != blob:
                    yield f"the blob {blob} of {job} of {execution} is missing or damaged"

    def _positions(self) -> Iterator[str]:
        for namespace, name, position in self.ask("SELECT namespace, name, position FROM subscriptions"):
            if not 0 <= position <= self.head:
                yield f"the subscription {name} of {namespace} is at {position}, and the log ends at {self.head}"
        for (offset,) in self.ask("SELECT offset FROM failed_events"):
            if not 1 <= offset <= self.head:
                yield f"a failed event has the offset {offset}, and the log ends at {self.head}"

    def _lineage(self) -> Iterator[str]:
        nodes = {row[0]: row[1:] for row in self.ask("SELECT id, kind, name, number, execution_id FROM lineage_nodes")}
        versions = {
            (kind, *row[:2]): row[2:]
            for kind in ("dataset", "model", "artifact")
            for row in self.ask(f"SELECT {kind}, number, execution_id, job, job_number FROM {kind}_versions")
        }
        makers: dict[tuple[str, str, int], tuple[str, str, int]] = {}
        for source, target in self.ask("SELECT source, target FROM lineage"):
            if source not in nodes or target not in nodes:
                yield f"lineage leads from {source} to {target}, and one of these is no node"
                continue
            (kind, name, number, execution), (to, *what) = nodes[source], nodes[target]
            if to != "job":
                key = (to, what[0], what[1])
                if kind != "job" or key in makers:
                    yield f"{key} was made by {nodes[source]}, and by {makers.get(key)}"
                makers[key] = (execution, name, number)
        for kind, name, number, execution in nodes.values():
            if kind == "job" and (execution, name, number) not in self.rows:
                yield f"lineage knows {name} number {number} of {execution}, which has no row"
            if kind != "job" and (kind, name, number) not in versions:
                yield f"lineage knows {kind} {name}:{number}, which is not there"
        for (kind, name, number), by in versions.items():
            maker = makers.get((kind, name, number))
            if maker != by and (
                maker is not None or (by[0] is not None and kind != "dataset")
            ):  # one may have been found
                yield f"{kind} {name}:{number} was recorded by {by}, and lineage says {maker}"

    def _models(self) -> Iterator[str]:
        """Each change of a stage is an event and a row of its own, in the same order; the versions are where these lead."""
        told = [
            (offset, key, value["number"], value["stage"], value["before"])
            for offset, key, value in (
                (o, k, json.loads(v))
                for o, k, v in self.ask(
                    "SELECT offset, key, value FROM events WHERE type LIKE 'MODEL|_%' ESCAPE '|' AND context IS NULL ORDER BY offset"
                )
            )
        ]
        if told != self.ask("SELECT offset, model, number, stage, before FROM model_stages ORDER BY id"):
            yield "the stages of models are others than the log says"
        stages: dict[str, dict[int, str]] = {}
        for offset, model, number, stage, before in told:
            own = stages.setdefault(model, {})
            if own.get(number) != before:
                yield f"at offset {offset}, {model}:{number} was {own.get(number)}, and the event says {before}"
            if number not in own and number != len(own) + 1:
                yield f"at offset {offset}, {model}:{number} follows {len(own)} versions"
            own[number] = stage
            if sum(one == "DEPLOYED" for one in own.values()) > 1:
                yield f"at offset {offset}, more than one version of {model} is DEPLOYED"
        rows = self.ask("SELECT model, number, stage, hash FROM model_versions ORDER BY model, number")
        if [row[:3] for row in rows] != sorted((m, n, s) for m, own in stages.items() for n, s in own.items()):
            yield "the versions of models are others than the log says"
        for model, number, stage, blob in rows:
            path = self.home / "blobs" / blob[:2] / blob[2:4] / blob if blob is not None else self.home
            if stage != "DELETED" and not path.exists():
                yield f"the object of {model}:{number} is missing"
