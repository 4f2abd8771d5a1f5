"""Remembers: one object per home and process, with one connection that writes and one per thread that reads.

Knows nothing of what events mean; the engine decides what is written, and when.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from aiflow.errors import OffsetPruned, StoreError
from aiflow.graph.execution import RunKey
from aiflow.store import connection as door
from aiflow.store.names import Names
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored
from aiflow.values.serializers import Serializer

__all__ = ["Store", "document_hash"]

logger = logging.getLogger(__name__)
LARGE_LOG = 100_000_000
"""Bytes of write-ahead log after which something is wrong; SQLite empties it at about 16 MB."""

EVENT_COLUMNS = (
    "offset",
    "time",
    "key",
    "type",
    "value",
    "namespace",
    "sender",
    "context",
    "execution_id",
    "dedupe_key",
)
APPEND = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
JOB_RUNNING = """INSERT INTO job_executions (started, event_offset, attempt, inputs, status, execution_id, job, number)
    VALUES (?, ?, ?, ?, 'RUNNING', ?, ?, ?)
    ON CONFLICT (execution_id, job, number) DO UPDATE SET
    attempt = excluded.attempt, status = 'RUNNING', started = excluded.started, ended = NULL, reason = NULL, error = NULL, label = NULL"""
JOB_CHANGED = "UPDATE job_executions SET status = ?, reason = ?, error = coalesce(?, error) WHERE execution_id = ? AND job = ? AND number = ?"
JOB_ENDED = """UPDATE job_executions SET status = ?, ended = ?, reason = ?, error = ?, codec = ?, value = ?, blob = ?, size = ?,
    summary = ?
    WHERE execution_id = ? AND job = ? AND number = ?"""
JOB_SKIPPED = """INSERT INTO job_executions (status, started, ended, reason, event_offset, attempt, execution_id, job, number)
    VALUES ('SKIPPED', ?, ?, ?, ?, 1, ?, ?, ?)
    ON CONFLICT (execution_id, job, number) DO UPDATE SET status = 'SKIPPED', ended = excluded.ended, reason = excluded.reason, label = NULL"""

ITEM_COLUMNS = ("execution_id", "job", "item", "codec", "value", "blob", "size")
ITEM_ADDED = f"INSERT INTO items ({', '.join(ITEM_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
ITEMS_USED = "DELETE FROM items WHERE execution_id = ? AND job = ? AND item < ?"
ITEMS_COUNTED = "UPDATE job_executions SET items = ? WHERE execution_id = ? AND job = ? AND number = ?"
NOTED = "UPDATE job_executions SET note = ?, note_attempt = ? WHERE execution_id = ? AND job = ? AND number = ?"
STATE_SAVED = "INSERT INTO job_states VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state"


def document_hash(text: str) -> str:
    """Give the name under which a document is kept: equal texts are kept once."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """A home, opened.

    Parameters
    ----------
    home
        The directory. It is made, with a store in it, unless `readonly`.
    durability
        ``"normal"``: commits survive the death of the process; ``"full"``: the loss of power too.
    readonly
        Only look.
    serializers
        Gives those of plugins, for values; called when one is needed.

    Raises
    ------
    StoreError
        If the home cannot be used; it is left as it was.
    """

    def __init__(
        self,
        home: Path,
        *,
        durability: str = "normal",
        readonly: bool = False,
        serializers: Callable[[], Sequence[Serializer]] = tuple,
    ) -> None:
        self.home, self.readonly, self.durability = home, readonly, durability
        if not readonly:
            door.create_home(home)
        self._path = door.find_store(home)
        self.writer: Any = None if readonly else door.connect(home, durability=durability)
        self._told_size = 0
        self._inode = 0 if readonly else os.stat(self._path).st_ino
        self.blobs = Blobs(home / "blobs")
        self.codec = Codec(self.blobs, serializers=serializers)
        self.names = Names(home / "subscriptions")
        self._local = threading.local()
        self._readers: list[Any] = []
        self._guard = threading.Lock()
        self.owner_id: str | None = None
        self._owner_lock = -1
        if readonly:
            self.reader()

    def reader(self) -> Any:
        """Give this thread's connection for reading; fetch cursors whole (an open one makes the log of SQLite grow)."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = door.connect(self.home, readonly=True, kind=door.Reader)
            connection.thread = threading.current_thread()
            with self._guard:
                for gone in [one for one in self._readers if not one.thread.is_alive()]:
                    self._readers.remove(gone)
                    gone.close()
                self._readers.append(connection)
        return connection

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Read rows with this thread's connection."""
        found: list[tuple[Any, ...]] = self.reader().execute(sql, values)
        return found

    def row(self, sql: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        """Read one row, or None."""
        found = self.rows(sql, values)
        return found[0] if found else None

    # --- forks: no connection crosses one ---------------------------------------------------------------------------

    def hold_still(self) -> None:
        """Let no thread be inside SQLite; the caller holds the turn."""
        door.opening.acquire()
        self._guard.acquire()
        for reader in self._readers:
            reader.lock.acquire()

    def go_on(self) -> None:
        """End `hold_still`."""
        for reader in self._readers:
            reader.lock.release()
        self._guard.release()
        door.opening.release()

    def begin_anew(self) -> None:
        """Let go of what is the parent's, in a forked child, after `hold_still`.

        Closing is safe: the parent's locks are the kernel's, and keep SQLite here from taking itself for the last user.
        Not closing is not: SQLite would think that this process had the locks which it has inherited the memory of.
        """
        self.go_on()
        for connection in (*self._readers, self.writer):
            if connection is not None:
                connection.close()
        self._readers.clear()
        self._local, self.writer = threading.local(), None
        if self._owner_lock >= 0:
            os.close(self._owner_lock)  # the lock stays with the parent, and must not outlive it here
        self.owner_id, self._owner_lock = None, -1
        self.names.close()

    def reopen(self) -> None:
        """Open the writer again, if it was let go of after a fork."""
        if self.writer is None and not self.readonly:
            self.writer = door.connect(self.home, durability=self.durability)

    def close(self) -> None:
        """Close all connections, and free the owner's lock and all names."""
        self.names.close()
        with door.opening:  # nobody forks meanwhile
            with self._guard:
                for reader in self._readers:
                    reader.close()
                self._readers.clear()
            self._local = threading.local()
            if self.writer is not None:
                if self.owner_id is not None:
                    try:
                        self.writer.execute("DELETE FROM owners WHERE id = ?", (self.owner_id,))
                    except door.DatabaseError:  # somebody else is writing: the row does no harm
                        pass
                self.writer.close()
                self.writer = None
            if self._owner_lock >= 0:
                os.close(self._owner_lock)
                self._owner_path(self.owner_id or "").unlink(missing_ok=True)
                self._owner_lock = -1

    # --- writing ----------------------------------------------------------------------------------------------------

    def begin(self, waits: bool = True) -> None:
        """Begin a transaction of the writer; the caller holds the turn, and `waits` while another process is writing.

        Raises
        ------
        StoreError
            If the file was deleted or replaced meanwhile: SQLite itself would write on into a file that nobody can
            find any more. Looking costs a microsecond.
        """
        try:
            is_there = os.stat(self._path).st_ino == self._inode
        except OSError:
            is_there = False
        if not is_there:
            raise StoreError(
                f"the store {self._path} was deleted or replaced while it was open; nothing is written any more: open it again"
            )
        door.begin(self.writer, waits)

    def check_log_size(self, most: int = LARGE_LOG) -> None:
        """Warn if the write-ahead log has grown beyond `most` bytes, and again at each doubling."""
        try:
            size = os.stat(f"{self._path}-wal").st_size
        except OSError:  # nothing was written yet
            return
        if size > max(most, 2 * self._told_size):
            self._told_size = size
            logger.warning(
                "The write-ahead log of %s has grown to %d MB: some process keeps a reading transaction open, so that it "
                "cannot be emptied; find it with `fuser %s`, and end it",
                self._path, size >> 20, self._path,
            )  # fmt: skip

    # --- owners -----------------------------------------------------------------------------------------------------

    def _owner_path(self, owner: str) -> Path:
        return self.home / "owners" / f"{owner}.lock"

    def claim_owner(self, now: float) -> str:
        """Become an owner: hold a file lock that the kernel frees when this process dies (rule 32)."""
        if self.owner_id is None:
            owner = f"{os.getpid()}-{os.urandom(6).hex()}"
            path = self._owner_path(owner)
            try:
                path.parent.mkdir(exist_ok=True, mode=0o700)
                lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"the home {self.home} cannot be written: {error.strerror}") from error
            door.lock_file(lock)
            row = (owner, os.getpid(), socket.gethostname(), now, now)
            try:
                self.write([("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", row)])
            except BaseException:
                os.close(lock)
                path.unlink(missing_ok=True)
                raise
            self.owner_id, self._owner_lock = owner, lock
        return self.owner_id

    def is_owner_alive(self, owner: str | None) -> bool:
        """Tell whether an owner still holds its lock."""
        if owner is None:
            return False
        if owner == self.owner_id:
            return True
        try:
            descriptor = os.open(self._owner_path(owner), os.O_RDWR)
        except OSError:
            return False
        try:
            return not door.lock_file(descriptor, shared=True)
        finally:
            os.close(descriptor)

    def silence_of(self, owner: str | None, now: float) -> float:
        """Give the seconds since an owner has shown last that it works; nobody is silent for ever."""
        row = self.row("SELECT seen FROM owners WHERE id = ?", (owner,))
        return inf if row is None else now - float(row[0])

    # --- documents and values ---------------------------------------------------------------------------------------

    def put_document(self, text: str) -> str:
        """Keep a text under its hash; inside a transaction of the writer."""
        name = document_hash(text)
        self.writer.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (name, text))
        return name

    def document(self, name: str | None) -> Any:
        """Read a document as JSON data; None if it is not there."""
        row = self.row("SELECT text FROM documents WHERE hash = ?", (name,)) if name else None
        return json.loads(row[0]) if row else None

    def value(self, execution_id: str, job: str, number: int) -> Any:
        """Load the value of one successful execution of a job.

        Raises
        ------
        StoreError
            If it was not kept (`persist=False`) or is damaged.
        """
        row = self.row(
            "SELECT codec, value, blob, size FROM job_executions WHERE execution_id = ? AND job = ? AND number = ?",
            (execution_id, job, number),
        )
        if row is None or row[0] is None:
            raise StoreError(
                f"the value of {job} (number {number}) of execution {execution_id} was not kept (persist=False)"
            )
        return self.codec.decode(Stored(row[0], row[1], row[2], row[3] or 0))

    def item(self, execution_id: str, job: str, item: int) -> Any:
        """Load an item of a stream that a batch job has not used yet.

        Raises
        ------
        StoreError
            If it is not kept any more, or is damaged.
        """
        sql = "SELECT codec, value, blob, size FROM items WHERE execution_id = ? AND job = ? AND item = ?"
        row = self.row(sql, (execution_id, job, item))
        if row is None:
            raise StoreError(f"item {item} of {job} of execution {execution_id} is not kept any more")
        return self.codec.decode(Stored(row[0], row[1], row[2], row[3] or 0))

    def state(self, execution_id: str, job: str) -> str | None:
        """Read the state of a job that was saved last, as JSON text."""
        row = self.row("SELECT state FROM job_states WHERE execution_id = ? AND job = ?", (execution_id, job))
        return None if row is None else str(row[0])

    def note(self, key: RunKey) -> dict[str, Any] | None:
        """Read what the runner has noted of an attempt, or None."""
        sql = (
            "SELECT note FROM job_executions WHERE execution_id = ? AND job = ? AND number = ? "
            "AND attempt = ? AND note_attempt = attempt"
        )
        return _note_of(self.row(sql, key))

    def note_before(self, key: RunKey) -> dict[str, Any] | None:
        """Read the newest note of an earlier run of the same job, or of an earlier attempt of this run; or None."""
        sql = (
            "SELECT note FROM job_executions WHERE execution_id = ? AND job = ? AND note IS NOT NULL "
            "AND (number < ? OR (number = ? AND note_attempt < ?)) ORDER BY number DESC LIMIT 1"
        )
        execution_id, job, number, attempt = key
        return _note_of(self.row(sql, (execution_id, job, number, number, attempt)))

    def snapshot(self, table: str, owner_of_it: str) -> tuple[str, int] | None:
        """Read the state of an execution or a trigger that was kept last, and the offset up to which it is folded."""
        row = self.row(
            f"SELECT snapshot, snapshot_offset FROM {table} WHERE id = ? AND snapshot IS NOT NULL", (owner_of_it,)
        )
        return None if row is None else (row[0], row[1])

    def cached(self, key: str) -> tuple[Stored, tuple[str, str, int]] | None:
        """Find the value of an equal call of a cached job, and which that was: execution, job and number."""
        row = self.row(
            "SELECT j.codec, j.value, j.blob, j.size, j.summary, j.execution_id, j.job, j.number FROM cached_results c "
            "JOIN job_executions j USING (execution_id, job, number) WHERE c.key = ? AND j.codec IS NOT NULL",
            (key,),
        )
        if row is None or (row[2] is not None and not self.blobs.touch(row[2], row[3] or 0)):
            return None
        return Stored(row[0], row[1], row[2], row[3] or 0, row[4]), (row[5], row[6], row[7])

    # --- meta -------------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """Read one fact about the home."""
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep one fact about the home, unless it is there."""
        self.write([("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))])

    @property
    def pruned_until(self) -> int:
        """The offset up to which the log was pruned; 0 if it is whole."""
        return int(self.meta("pruned_until") or 0)

    def check_reaches(self, after: int, asker: str, advice: str) -> None:
        """Make sure, in a transaction of the writer, that the log still has all events after an offset.

        Raises
        ------
        OffsetPruned
            If it has not.
        """
        row = self.writer.execute("SELECT value FROM meta WHERE key = 'pruned_until'").fetchone()
        if row is not None and after < int(row[0]):
            raise OffsetPruned(asker, after, int(row[0]), advice)

    def head(self) -> int:
        """Give the offset of the newest event; 0 if there is none."""
        row = self.row("SELECT max(offset) FROM events")
        return int(row[0] or 0) if row else 0

    def write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Do small writes in one transaction; nobody else uses the writer meanwhile.

        Raises
        ------
        StoreError
            If they cannot be written; none of them is.
        """
        with door.opening:  # nobody forks meanwhile
            try:
                self.begin()
                for sql, values in statements:
                    self.writer.execute(sql, values)
                self.writer.execute("COMMIT")
            except door.DatabaseError as error:
                with suppress(door.DatabaseError):  # there may be no transaction any more
                    self.writer.execute("ROLLBACK")
                raise StoreError(f"the store in {self.home} could not be written: {error}") from error

    @property
    def size(self) -> Mapping[str, int]:
        """Bytes used by the parts of the home; `free` is what of the database waits for new rows."""
        pages, size = (self.rows(f"PRAGMA {what}")[0][0] for what in ("freelist_count", "page_size"))
        found = {"database": sum(p.stat().st_size for p in self.home.glob("aiflow.db*")), "free": pages * size}
        return found | {name: _bytes_in(self.home / name) for name in ("blobs", "logs", "scratch")}

    def empty_log(self) -> None:
        """Empty SQLite's write-ahead log, unless others are at it: then it is done another time."""
        connection = door.connect(self.home, durability=self.durability)
        with suppress(door.DatabaseError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()

    def shrink(self) -> None:
        """Write the database anew without what is free in it; others wait, for reading excepted.

        Raises
        ------
        StoreError
            If somebody else writes all the time, or there is no room for a second copy meanwhile.
        """
        connection = door.connect(self.home, durability=self.durability)
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(door.BUSY_SECONDS * 1000)}")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except door.DatabaseError as error:
            raise StoreError(f"the store in {self.home} could not be made smaller: {error}; try again later") from error
        finally:
            connection.close()


def _note_of(row: tuple[Any, ...] | None) -> dict[str, Any] | None:
    note: dict[str, Any] | None = None if row is None else json.loads(row[0])
    return note


def _bytes_in(folder: Path) -> int:
    """Add up the sizes of the files in a folder; they may go meanwhile."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total
