"""Opens connections to a store: the only place that does. Checks first that the file is what it should be.

Knows nothing of what is in the tables.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiflow.errors import ParameterError, StoreError
from aiflow.graph.condition import matches_glob
from aiflow.store.schema import APPLICATION_ID, VERSION, migrate

try:  # its SQLite is new enough to be free of the WAL-reset bug (before 3.51.3)
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:  # not Linux x86_64
    import sqlite3

__all__ = [
    "DatabaseError",
    "Reader",
    "begin",
    "comes_of_a_full_disk",
    "connect",
    "create_home",
    "find_store",
    "is_locked",
    "sqlite3",
]

DatabaseError = sqlite3.Error
BUSY_SECONDS = 30.0
opening = threading.RLock()
"""Held while a connection is opened, closed, or written with outside of a turn, and during a fork."""
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "fuse.sshfs", "glusterfs", "lustre")


def find_store(home: Path) -> Path:
    """Give the path of the database in a home."""
    return home / "aiflow.db"


def create_home(home: Path) -> None:
    """Make the directory and the store if they are not there; any number of processes may do so at once.

    Raises
    ------
    StoreError
        If the directory cannot be written, or is on a network drive.
    """
    path = find_store(home)
    if path.exists():
        return
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_network(home)
        with _locked(home / "create.lock"):
            for left in home.glob("new-*.db*"):  # by one who died while making it
                left.unlink()
            if not path.exists():
                _create(path)
    except OSError as error:
        raise StoreError(
            f"the home {home} cannot be made: {error.strerror or error}; choose another with home=… or AIFLOW_HOME"
        ) from error


def _create(path: Path) -> None:
    """Make the store beside its place and rename it: nobody ever sees half of it."""
    new = path.with_name(f"new-{os.getpid()}-{os.urandom(4).hex()}.db")
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(str(new), isolation_level=None)
    try:
        connection.execute("PRAGMA page_size = 2048")  # a commit writes whole pages, and ours change few bytes of each
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection, 0)
        connection.execute("COMMIT")
    finally:
        connection.close()
    os.rename(new, path)


class _locked:
    """Holds an exclusive lock on a file while it is entered."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        lock_file(self.descriptor, wait=True)

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)


def lock_file(descriptor: int, wait: bool = False, shared: bool = False) -> bool:
    """Take the lock of an open file; the kernel frees it when the process dies. Tell whether it was free.

    A `shared` one is refused only while somebody has the exclusive one: it is for looking, and any number may look.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return True
        except OSError:
            return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False


def _refuse_network(home: Path) -> None:
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return
    real = str(home.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2:
            point = fields[1].replace("\\040", " ")
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
                best, kind = point, fields[2]
    if kind in _NETWORK:
        raise StoreError(
            f"the home {home} is on a network drive ({kind}), where SQLite's locks do not hold; choose a local one"
        )


_KEEP = "move it away, or restore a backup (aiflow db backup makes them)"
_opened: Counter[tuple[int, int]] = Counter()
"""The files that this process has open, and how often: closing any other descriptor of one drops SQLite's locks on it."""


def check_file(path: Path) -> None:
    """Refuse what is not a store, before anything is written to it or beside it.

    Raises
    ------
    StoreError
        If the file is missing, empty, cut off, no SQLite database, another program's, or of a newer aiflow.
    """
    try:
        stat = path.stat()
        if not stat.st_size:
            raise StoreError(f"the store {path} is empty (zero length); {_KEEP}")
        if stat.st_size < 100:
            raise StoreError(f"{path} is not a SQLite database; {_KEEP}")
        if _opened[stat.st_dev, stat.st_ino]:
            return  # SQLite looks at it, in `_check_head`
        head = _head_of(path)
    except FileNotFoundError:
        raise StoreError(
            f"there is no store at {path}; run a workflow there first, or name another home with --home or AIFLOW_HOME"
        ) from None
    except OSError as error:
        raise StoreError(f"the store {path} cannot be read: {error.strerror}") from error
    if not head.startswith(b"SQLite format 3\x00"):
        raise StoreError(f"{path} is not a SQLite database; {_KEEP}")
    _check_marks(path, int.from_bytes(head[68:72], "big"), int.from_bytes(head[60:64], "big"))
    size, wanted = stat.st_size, _size_in(head)
    if size < wanted and not path.with_name(path.name + "-wal").exists():
        if (path.stat().st_size, _head_of(path)) != (size, head):  # somebody was bringing it up to date just then
            return check_file(path)
        raise StoreError(f"the store {path} is cut off: it should have {wanted} bytes, and has {size}; {_KEEP}")


def _head_of(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(100)


def _size_in(head: bytes) -> int:
    """Give how many bytes a database has by its own account; 0 if it does not say."""
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    return (65536 if page == 1 else page) * pages if head[24:28] == head[92:96] else 0


def _check_marks(path: Path, application: int, version: int) -> None:
    if application not in (APPLICATION_ID, 0) or (application == 0 and version == 0):
        raise StoreError(f"{path} is a SQLite database of another program, not a store of aiflow; {_KEEP}")
    if version > VERSION:
        raise StoreError(
            f"the store {path} has schema {version}, made by a newer aiflow; this one knows {VERSION}: upgrade aiflow"
        )


class _Rows(list[tuple[Any, ...]]):
    """The answer to a question, as a cursor would give it."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Give all rows."""
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """Give the first row, or None."""
        return self[0] if self else None


class Connection(sqlite3.Connection):  # type: ignore[misc]  # pysqlite3 has no types
    """A connection of which `check_file` knows."""

    file: tuple[int, int] | None = None
    path = ""

    def close(self) -> None:
        """Close it."""
        super().close()
        if self.file is not None:
            _opened[self.file] -= 1
            self.file = None


class Reader(Connection):
    """A connection for reading: every answer is fetched whole (an open cursor makes SQLite's log grow).

    `lock` is held while SQLite is at work, so that nobody closes it or forks meanwhile; `thread` is whose it is.
    """

    thread: threading.Thread

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock = threading.Lock()

    def close(self) -> None:
        """Close it, when no thread is inside any more: that would be the end of this process."""
        with self.lock:
            super().close()

    def execute(self, sql: str, values: Iterable[Any] = ()) -> _Rows:
        """Ask; a failure is a `StoreError`."""
        with self.lock:
            try:
                return _Rows(super().execute(sql, tuple(values)).fetchall())
            except sqlite3.DatabaseError as error:
                raise StoreError(
                    f"the store {self.path} cannot be read: {error}; see what is wrong with: aiflow db check"
                ) from error
            except OverflowError as error:
                raise ParameterError(f"a number is too large to be found in the store: {error}") from error
            except UnicodeEncodeError as error:
                raise ParameterError(
                    f"a text has a character that cannot be stored (half of a surrogate pair): {error.object!r}"
                ) from error


def connect(home: Path, *, readonly: bool = False, durability: str = "normal", kind: Any = Connection) -> Any:
    """Open a connection; a store of an older schema is brought up to date first.

    Raises
    ------
    StoreError
        If the file is not a store that this aiflow can use; it is left as it was.
    """
    path = find_store(home)
    writable = os.access(path, os.W_OK) and os.access(home, os.W_OK)
    mode = "rw" if not readonly else "ro"
    if not writable and not path.with_name(path.name + "-wal").exists():
        mode += "&immutable=1"  # nobody can be writing, and SQLite could not make the files that it reads along with others by
    try:
        with opening:  # nobody may have opened it between the check and the closing of what the check opened
            check_file(path)
            if not readonly and not writable:
                raise StoreError(f"the store {path} cannot be written (permissions); it can be read only")
            return _open(path, mode, durability, kind)
    except sqlite3.DatabaseError as error:
        if comes_of_a_full_disk(error, shutil.disk_usage(home).free):
            raise StoreError(
                f"the store {path} cannot be opened, for its disk is full ({error}); make room there"
            ) from error
        raise StoreError(
            f"the store {path} cannot be opened: {error}; see what is wrong with: aiflow db check"
        ) from error


def comes_of_a_full_disk(error: Exception, free: int) -> bool:
    """Tell whether a store cannot be opened because the files are lacking room that SQLite makes beside it.

    Parameters
    ----------
    error
        What SQLite says: a full disk is an I/O error to it when it makes them.
    free
        Bytes that are free on that disk.
    """
    return free < 1 << 16 and str(error) in ("disk I/O error", "database or disk is full")


def _open(path: Path, mode: str, durability: str, kind: Any) -> Any:
    readonly = mode != "rw"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    stat = path.stat()
    connection = sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        cached_statements=256,
        factory=kind,
    )
    connection.path, connection.file = str(path), (stat.st_dev, stat.st_ino)
    _opened[connection.file] += 1
    connection.create_function(
        "fits_glob", 2, matches_glob, deterministic=True
    )  # SQLite's own GLOB has other sets: [^a], [
    try:
        application, version = (
            connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("application_id", "user_version")
        )
        _check_marks(path, application, version)
        if not readonly:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreError(f"the file system of {path} does not allow SQLite's WAL; choose another home")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")  # each checkpoint waits for the disk: 8 MB, not 2
        if version < VERSION and not readonly:
            begin(connection)
            migrate(connection, connection.execute("PRAGMA user_version").fetchone()[0])
            connection.execute("COMMIT")
        connection.execute("SELECT count(*) FROM meta").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def is_locked(error: BaseException) -> bool:
    """Tell whether an error of SQLite says no more than that somebody else is writing."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def begin(connection: Any, waits: bool = True, sleep: Callable[[float], None] = time.sleep) -> None:
    """Begin a write transaction; wait with short random pauses while another process has it, if it `waits`.

    SQLite's own waiting backs off and starves a writer beside a busy one (p99 of seconds); this one does not. So a
    connection that writes has no busy timeout of its own.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        return
    except sqlite3.OperationalError as error:
        if not waits or not is_locked(error):
            raise
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        sleep(random.uniform(0.0002, 0.001))
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise


def is_private(path: Path) -> bool:
    """Tell whether only the owner may read a file."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077
