"""Asks the tables what could go, and deletes it piece by piece; the files that belong to rows as well.

Knows nothing of limits, nor of who needs what: it is told which executions, events and runs may go.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from aiflow.store import lineage
from aiflow.store.store import Store
from aiflow.values.contents import blobs_in

__all__ = ["LIVE", "YOUNG", "Running", "Unwanted", "delete_files"]

LIVE = "status IN ('RUNNING', 'STOPPING', 'INIT')"
YOUNG = 3600.0
"""Seconds for which files that no row names are left alone: somebody may be about to name them."""

_IDS = 200
_RUNNING = "SELECT id, workflow, status, owner, event_offset, coalesce(snapshot_offset, first_offset), definition, snapshot FROM executions"
_TRIGGERS = "SELECT id, name, kind, owner, NULL, coalesce(snapshot_offset, first_offset), NULL, snapshot FROM triggers"
_NEWEST_ENDED = "SELECT coalesce(snapshot_offset, first_offset) AS after FROM executions WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?"
_PARTS = ("job_executions", "items", "job_states")

_MANIFESTS = "SELECT DISTINCT manifest FROM artifact_versions WHERE manifest IS NOT NULL AND deleted IS NULL"
_OF_VERSIONS = (
    "SELECT 1 FROM model_versions WHERE hash = ? AND stage <> 'DELETED' UNION ALL SELECT 1 FROM artifact_versions "
    "WHERE deleted IS NULL AND (hash = ? OR manifest = ?) LIMIT 1"
)


class Running(NamedTuple):
    """An execution that has not ended, or a trigger; it needs all events after `after`, and what its state names."""

    id: str
    name: str
    kind: str
    owner: str | None
    event_offset: int | None
    after: int
    definition: str | None
    state: dict[str, Any] | None


class Unwanted:
    """What could go from one home.

    Parameters
    ----------
    store
        The home; questions are asked with connections for reading, and deletions are done with one that is handed in.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.journal: list[str] = []  # executions that are gone, and whose parts are to be deleted next

    # --- who needs the log ------------------------------------------------------------------------------------------

    def running(self) -> Iterator[Running]:
        """Go through what has not ended: executions, then triggers."""
        ids = [row[0] for row in self._store.rows(f"SELECT id FROM executions WHERE {LIVE}")]
        for at in range(0, len(ids), _IDS):
            some = ids[at : at + _IDS]
            marks = ", ".join("?" * len(some))
            yield from map(_running, self._store.rows(f"{_RUNNING} WHERE id IN ({marks}) AND {LIVE}", some))
        yield from map(_running, self._store.rows(_TRIGGERS))

    def subscriptions(self) -> list[tuple[str, int]]:
        """Give the durable subscriptions with their positions."""
        return self._store.rows("SELECT name, position FROM subscriptions")

    def oldest_need(self, writer: Any) -> int | None:
        """Give, in a transaction, the offset after which all events are needed; None if nobody needs any."""
        asked = (
            f"SELECT min(coalesce(snapshot_offset, first_offset)) FROM executions WHERE {LIVE}",
            "SELECT min(coalesce(snapshot_offset, first_offset)) FROM triggers",
            "SELECT min(position) FROM subscriptions",
        )
        found = [writer.execute(sql).fetchone()[0] for sql in asked]
        return min((f for f in found if f is not None), default=None)

    def first_needed_by_newest(self, count: int) -> int | None:
        """Give the offset after which the newest `count` executions that have ended could be replayed."""
        row = self._store.row(f"SELECT min(after) FROM ({_NEWEST_ENDED})", (count,))
        return None if row is None or row[0] is None else int(row[0])

    # --- executions -------------------------------------------------------------------------------------------------

    def ended(self, before: float | None = None) -> int:
        """Count executions that have ended, all or those that did so before a time."""
        sql = "SELECT count(*) FROM executions WHERE ended IS NOT NULL"
        row = self._store.row(sql) if before is None else self._store.row(f"{sql} AND ended < ?", (before,))
        return int(row[0]) if row else 0

    def beyond_bytes(self, most: int) -> int:
        """Count how many of the oldest have to go so that the values in files of the others take `most` bytes at most."""
        sql = (
            "SELECT e.ended, e.rowid, j.blob, max(j.size) FROM job_executions j JOIN executions e ON e.id = j.execution_id "
            "WHERE j.blob IS NOT NULL GROUP BY j.blob, e.id ORDER BY e.ended IS NULL DESC, e.ended DESC, e.rowid DESC"
        )
        seen: set[str] = set()
        total = 0
        for ended, place, blob, size in self._store.rows(sql):
            if blob not in seen:
                seen.add(blob)
                total += size or 0
                if total > most:
                    return self.ended() if ended is None else self._ended_by(ended, place)
        return 0

    def _ended_by(self, ended: float, place: int) -> int:
        """Count the executions that ended when this one did, or before."""
        sql = "SELECT count(*) FROM executions WHERE ended <= ? AND (ended, rowid) <= (?, ?)"
        row = self._store.row(sql, (ended, ended, place))
        return int(row[0]) if row else 0

    def oldest(self, count: int) -> list[tuple[str, str | None, int | None]]:
        """Give the oldest executions that have ended: id, and which trigger and event started it."""
        sql = (
            "SELECT id, trigger_id, event_offset FROM executions WHERE ended IS NOT NULL ORDER BY ended, rowid LIMIT ?"
        )
        return self._store.rows(sql, (count,))

    def named_by_parts(self, leaving: Collection[str]) -> set[tuple[str, str]]:
        """Give the executions, and the jobs in them, of which others, that stay, use values (`start_from`)."""
        found: set[tuple[str, str]] = set()
        for own, part in self._store.rows("SELECT id, part FROM executions WHERE part IS NOT NULL"):
            if own not in leaving:
                found.update((taken[0], job) for job, taken in json.loads(part).get("from", {}).items())
        return found

    def resumable(self) -> Iterator[tuple[int | None, dict[str, Any] | None]]:
        """Go through what did not succeed and may be resumed: the event that started it, and its state if it was kept."""
        sql = "SELECT event_offset, snapshot FROM executions WHERE status IN ('FAILED', 'STOPPED')"
        for offset, snapshot in self._store.rows(sql):
            yield offset, json.loads(snapshot) if snapshot else None

    def read_journal(self) -> None:
        """Find out what was left to do when somebody died while pruning; only who holds the right to prune may."""
        self.journal = json.loads(self._store.meta("pruning") or "[]")

    def drop_executions(self, writer: Any, ids: Iterable[str]) -> list[str]:
        """Delete the rows of some, unless they run again; what else belongs to them is noted, to be deleted next."""
        gone = []
        for one in ids:
            sql = "DELETE FROM executions WHERE id = ? AND ended IS NOT NULL"
            if writer.execute(sql, (one,)).rowcount:
                writer.execute("DELETE FROM cached_results WHERE execution_id = ?", (one,))
                gone.append(one)
        self._note(writer, [*self.journal, *gone])
        return gone

    def drop_execution(self, writer: Any, execution_id: str) -> None:
        """Delete the row of one, as `drop_executions` does; what had a trigger start it is not to start it again."""
        sql = "INSERT OR IGNORE INTO deleted_starts SELECT trigger_id, event_offset FROM executions WHERE id = ? AND trigger_id IN (SELECT id FROM triggers)"
        writer.execute(sql, (execution_id,))
        writer.execute("DELETE FROM executions WHERE id = ?", (execution_id,))
        writer.execute("DELETE FROM cached_results WHERE execution_id = ?", (execution_id,))
        self._note(writer, [*self.journal, execution_id])

    def facts(self, writer: Any, execution_id: str) -> tuple[str, str, str, str | None] | None:
        """Give, in a transaction, of an execution its namespace, workflow, status and owner; None if it is not there."""
        sql = "SELECT namespace, workflow, status, owner FROM executions WHERE id = ?"
        row: tuple[str, str, str, str | None] | None = writer.execute(sql, (execution_id,)).fetchone()
        return row

    def users(self, writer: Any, execution_id: str) -> list[str]:
        """Give the executions that began with results of one."""
        sql = "SELECT id, part FROM executions WHERE part IS NOT NULL AND instr(part, ?)"
        rows = writer.execute(sql, (execution_id,)).fetchall()
        return [
            one
            for one, part in rows
            if any(taken[0] == execution_id for taken in json.loads(part).get("from", {}).values())
        ]

    def drop_parts(self, writer: Any, rows: int) -> int:
        """Delete up to `rows` rows that belong to executions which are gone."""
        count = 0
        for table in _PARTS:
            key = "execution_id, job" + {"job_executions": ", number", "items": ", item"}.get(table, "")
            for one in self.journal:
                sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE execution_id = ? LIMIT ?)"
                count += int(writer.execute(sql, (one, rows - count)).rowcount)
                if count >= rows:
                    return count
        return count

    def traced(self, ids: Iterable[str]) -> list[str]:
        """Give those executions that have to do with lineage."""
        return [one for one in ids if lineage.is_known(self._store.reader(), one)]

    def note_jobs(self, ids: Iterable[str], writer: Any, rows: int) -> int:
        """Keep for the lineage what will be known of the jobs of executions that are going, of up to `rows` of them."""
        count = 0
        for one in ids:
            count += lineage.note_jobs(writer, one, rows - count)
            if count >= rows:
                break
        return count

    def drop_lineage(self, ids: Iterable[str], writer: Any, rows: int) -> int:
        """Delete from the lineage about `rows` jobs of executions which are gone, of those that nothing came from."""
        count = 0
        for one in ids:
            count += lineage.forget_jobs(writer, one, rows - count)
            if count >= rows:
                break
        return count

    def forget_journal(self, writer: Any) -> int:
        """All that was noted is deleted; give how much that was."""
        count = len(self.journal)
        self._note(writer, [])
        return count

    def _note(self, writer: Any, ids: list[str]) -> None:
        writer.execute("INSERT OR REPLACE INTO meta VALUES ('pruning', ?)", (json.dumps(ids),))
        self.journal = ids

    def count_runs(self, execution_id: str) -> int:
        """Count the runs of the jobs of an execution."""
        row = self._store.row("SELECT count(*) FROM job_executions WHERE execution_id = ?", (execution_id,))
        return int(row[0]) if row else 0

    def newest_run(self, execution_id: str, job: str) -> int:
        """Give the number of the newest run of a job; 0 before its first."""
        sql = "SELECT max(number) FROM job_executions WHERE execution_id = ? AND job = ?"
        row = self._store.row(sql, (execution_id, job))
        return int(row[0] or 0) if row else 0

    def runs(
        self, execution_id: str, job: str, after: int, before: int, limit: int
    ) -> list[tuple[int, int, float | None]]:
        """Give the oldest runs of a job with numbers between two: number, attempts, end."""
        sql = (
            "SELECT number, attempt, ended FROM job_executions WHERE execution_id = ? AND job = ? AND number > ? "
            "AND number < ? ORDER BY number LIMIT ?"
        )
        return self._store.rows(sql, (execution_id, job, after, before, limit))

    def drop_runs(self, writer: Any, execution_id: str, job: str, until: int) -> int:
        """Delete the rows of the runs of a job up to a number."""
        key = (execution_id, job, until)
        writer.execute("DELETE FROM cached_results WHERE execution_id = ? AND job = ? AND number <= ?", key)
        lineage.note_runs(writer, *key)
        sql = "DELETE FROM job_executions WHERE execution_id = ? AND job = ? AND number <= ?"
        count = int(writer.execute(sql, key).rowcount)
        lineage.forget_runs(writer, *key)
        return count

    # --- events -----------------------------------------------------------------------------------------------------

    def events_between(self, after: int, until: int) -> int:
        """Count events."""
        row = self._store.row("SELECT count(*) FROM events WHERE offset > ? AND offset <= ?", (after, until))
        return int(row[0]) if row else 0

    def offsets(self, after: int, until: int, limit: int) -> list[int]:
        """Give the offsets of the first events of a stretch of the log."""
        sql = "SELECT offset FROM events WHERE offset > ? AND offset <= ? ORDER BY offset LIMIT ?"
        return [row[0] for row in self._store.rows(sql, (after, until, limit))]

    def set_pruned(self, writer: Any, until: int) -> None:
        """Remember up to where the log is pruned, from now on, and of what time that is."""
        sql = "SELECT time FROM events WHERE offset <= ? AND type <> 'TIMER_FIRED' ORDER BY offset DESC LIMIT 1"
        time = (writer.execute(sql, (until,)).fetchone() or (0.0,))[0]
        for key, value in (("pruned_until", until), ("pruned_time", time)):
            writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def drop_events(self, writer: Any, first: int, last: int, but: Collection[int]) -> int:
        """Delete a stretch of the log."""
        left = f" AND offset NOT IN ({', '.join(map(str, but))})" if but else ""
        return int(writer.execute(f"DELETE FROM events WHERE offset BETWEEN ? AND ?{left}", (first, last)).rowcount)

    def failures(self, until: int) -> int:
        """Count the failures to handle events of the pruned part of the log."""
        row = self._store.row("SELECT count(*) FROM failed_events WHERE offset <= ?", (until,))
        return int(row[0]) if row else 0

    def drop_failures(self, writer: Any, until: int, rows: int) -> int:
        """Delete some of them."""
        sql = "DELETE FROM failed_events WHERE id IN (SELECT id FROM failed_events WHERE offset <= ? LIMIT ?)"
        return int(writer.execute(sql, (until, rows)).rowcount)

    # --- documents, owners ------------------------------------------------------------------------------------------

    _USED = "SELECT definition FROM executions UNION SELECT provenance FROM executions WHERE provenance IS NOT NULL"

    def documents(self) -> list[str]:
        """Give the documents that no execution needs."""
        return [row[0] for row in self._store.rows(f"SELECT hash FROM documents WHERE hash NOT IN ({self._USED})")]

    def drop_documents(self, writer: Any, hashes: Collection[str]) -> int:
        """Delete those of them that still nobody needs."""
        marks = ", ".join("?" * len(hashes))
        sql = f"DELETE FROM documents WHERE hash IN ({marks}) AND hash NOT IN ({self._USED})"
        return int(writer.execute(sql, tuple(hashes)).rowcount)

    def dead_owners(self, now: float) -> list[str]:
        """Give the owners of long ago that are gone; a young one may be about to take its lock."""
        rows = self._store.rows("SELECT id FROM owners WHERE started < ?", (now - YOUNG,))
        return [row[0] for row in rows if not self._store.is_owner_alive(row[0])]

    def drop_owners(self, writer: Any, ids: Iterable[str]) -> int:
        """Forget owners that are gone; their executions stay INTERRUPTED."""
        return sum(int(writer.execute("DELETE FROM owners WHERE id = ?", (one,)).rowcount) for one in ids)

    # --- files ------------------------------------------------------------------------------------------------------

    def blobs(self, now: float, leaving: Collection[str] = ()) -> Iterator[tuple[str, int]]:
        """Go through the blobs that were not touched for an hour and that no row names, but for those of what is leaving.

        Raises
        ------
        StoreError
            If the manifest of an artifact is damaged: nobody knows then which blobs it names.
        """
        given: set[str] = set()
        for (part,) in self._store.rows("SELECT part FROM executions WHERE part IS NOT NULL"):
            given.update(stored[2] for stored in json.loads(part).get("given", {}).values() if stored[2])
        for (manifest,) in self._store.rows(_MANIFESTS):
            given |= blobs_in(self._store.blobs, manifest)
        for digest, size, touched in self._store.blobs.files():
            if touched < now - YOUNG and digest not in given and not self._is_named(digest, leaving):
                yield digest, size

    def _is_named(self, digest: str, leaving: Collection[str]) -> bool:
        if self._store.row(_OF_VERSIONS, (digest, digest, digest)) is not None:
            return True
        return any(
            row[0] not in leaving
            for table in ("job_executions", "items")
            for row in self._store.rows(f"SELECT execution_id FROM {table} WHERE blob = ? LIMIT 1000", (digest,))
        )

    def folders(self, now: float) -> Iterator[Path]:
        """Go through the folders of logs and scratch files of executions that are not there any more."""
        for name in ("logs", "scratch"):
            for entry in _entries(self._store.home / name):
                is_old = entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < now - YOUNG
                if is_old and self._store.row("SELECT 1 FROM executions WHERE id = ?", (entry.name,)) is None:
                    yield Path(entry.path)

    def folders_of(self, execution_id: str) -> Iterator[Path]:
        """Go through the folders of an execution."""
        for name in ("logs", "scratch"):
            path = self._store.home / name / execution_id
            if path.is_dir():
                yield path


def delete_files(paths: Iterable[Path]) -> None:
    """Delete files and folders that may be there; what cannot be deleted now is found again next time."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _running(row: tuple[Any, ...]) -> Running:
    return Running._make((*row[:7], json.loads(row[7]) if row[7] else None))
