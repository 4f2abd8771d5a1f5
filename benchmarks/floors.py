"""Measures what the machine itself needs, with nothing but the standard library (and watchdog for files): the least there can be.

Knows nothing of aiflow. The definitions are those of the peers' comparison, so that all ratios have one denominator.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from benchmarks.bench import Bench

__all__ = [
    "Ancestries",
    "commits",
    "copied_and_hashed",
    "files_and_rows",
    "hand_over",
    "nothing",
    "notices",
    "pairs_of_rows",
    "publishers",
    "two_commits",
    "waits",
    "wakes",
]

RUNNING = "INSERT INTO task VALUES (?, 'RUNNING', ?)"
DONE = "UPDATE task SET state = 'SUCCESS', t = ? WHERE id = ?"
now = time.perf_counter


def _noop(*_: object) -> None:
    pass


def _database(bench: Bench, durability: str) -> sqlite3.Connection:
    connection = sqlite3.connect(bench.fresh("floor").with_suffix(".db"), isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability}")
    connection.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, state TEXT, t REAL)")
    return connection


def hand_over(n: int) -> float:
    """Give the microseconds of one submit and result through a pool of two threads."""
    with ThreadPoolExecutor(2) as pool:
        begun = now()
        for _ in range(n):
            pool.submit(_noop).result()
        return (now() - begun) / n * 1e6


def two_commits(bench: Bench, n: int, *, wide: bool = False, durability: str = "NORMAL") -> float:
    """Give the microseconds per job of a pool of two threads; RUNNING and SUCCESS are one autocommit transaction each.

    `wide`: all jobs are submitted at once (1 -> n -> 1), else each when the one before has ended.
    """
    connection, lock = _database(bench, durability), threading.Lock()

    def job(number: int) -> None:
        with lock:
            connection.execute(RUNNING, (number, time.time()))
        _noop()
        with lock:
            connection.execute(DONE, (time.time(), number))

    begun = now()
    with ThreadPoolExecutor(2) as pool:
        if wide:
            list(pool.map(job, range(n + 2)))
        else:
            for number in range(n):
                pool.submit(job, number).result()
    connection.close()
    return (now() - begun) / n * 1e6


def settled_two_commits(
    bench: Bench, n: int, *, wide: bool = False, durability: str = "NORMAL", settle: float = 0.4
) -> float:
    """Do the same, after `settle` seconds of it that do not count.

    The kernel starts both threads on one processor, where a hand-over is five times as cheap, and spreads them after
    some tenths of a second. What counts is the state that lasts.
    """
    until = now() + settle
    while now() < until:
        two_commits(bench, min(n, 500), wide=wide, durability=durability)
    return two_commits(bench, n, wide=wide, durability=durability)


def wakes(n: int) -> list[float]:
    """Give the microseconds from each `put` in one thread to the return of `get` in another that was blocked in it."""
    channel: queue.Queue[float] = queue.Queue()
    out: list[float] = []

    def read() -> None:
        while sent := channel.get():
            out.append((now() - sent) * 1e6)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(n):
        time.sleep(0.002)
        channel.put(now())
    channel.put(0.0)
    reader.join()
    return out


def notices(folder: Path, n: int) -> list[float]:
    """Give the milliseconds from each closing of a small file to the call of a handler of watchdog's observer."""
    from watchdog.events import FileClosedEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    came, out = threading.Event(), []

    class Handler(FileSystemEventHandler):
        def on_closed(self, event: object) -> None:
            out.append(now())
            came.set()

    folder.mkdir()
    observer = Observer()
    observer.schedule(Handler(), str(folder), event_filter=[FileClosedEvent])
    observer.start()
    took = []
    for number in range(n):
        came.clear()
        time.sleep(0.003)
        with open(folder / f"{number}.csv", "w", encoding="ascii") as file:
            file.write("1,2,3\n")
        closed = now()
        came.wait(10)
        took.append((out[-1] - closed) * 1e3)
    observer.stop()
    observer.join()
    return took


def queued(n: int) -> float:
    """Give how many numbers a second go from one thread to another through `queue.SimpleQueue`."""
    line: queue.SimpleQueue[int] = queue.SimpleQueue()

    def put() -> None:
        for number in range(n):
            line.put(number)

    writer = threading.Thread(target=put)
    begun = time.perf_counter()
    writer.start()
    for _ in range(n):
        line.get()
    took = time.perf_counter() - begun
    writer.join()
    return n / took


def waits(n: int, interval: float) -> list[float]:
    """Give the milliseconds by which `n` waits with a timeout end too late; each is `interval` seconds after the last."""
    condition, out, due = threading.Condition(), [], time.time()
    with condition:
        for _ in range(n):
            due += interval
            condition.wait(max(0.0, due - time.time()))
            out.append((time.time() - due) * 1e3)
    return out


def pairs_of_rows(bench: Bench, n: int, size: int) -> float:
    """Give how many pairs of rows a second go into two tables with the indexes that ours have, `size` pairs a commit."""
    connection = _database(bench, "NORMAL")
    for statement in _TWO_TABLES:
        connection.execute(statement)
    begun = now()
    for first in range(0, n, size):
        connection.execute("BEGIN IMMEDIATE")
        numbers = range(first, first + size)
        said = [(i, 0.0, "loss", '{"id":%d,"value":%r,"step":%d}' % (i, i * 0.1, i), "k3vqk3vqk3vq") for i in numbers]
        values = [(i, "loss", i * 0.1, i, 0.0, "k3vqk3vqk3vq") for i in numbers]
        connection.executemany("INSERT INTO said VALUES (?, ?, ?, ?, ?)", said)
        connection.executemany("INSERT INTO measured VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("COMMIT")
    rate = n / (now() - begun)
    connection.close()
    return rate


_TWO_TABLES = (
    "CREATE TABLE said (id INTEGER PRIMARY KEY, t REAL, name TEXT, value TEXT, run TEXT)",
    "CREATE INDEX said_by_name ON said (name, id)",
    "CREATE INDEX said_by_run ON said (run, id)",
    "CREATE TABLE measured (id INTEGER PRIMARY KEY, name TEXT, value REAL, step INTEGER, t REAL, run TEXT)",
    "CREATE INDEX measured_by_name ON measured (name)",
    "CREATE INDEX measured_by_run ON measured (run, name)",
)


class Ancestries:
    """A graph as two integers a row, each way with an index, and questions for all that leads to a node.

    Parameters
    ----------
    edges
        Source and target of each.
    """

    def __init__(self, bench: Bench, edges: Iterable[tuple[int, int]]) -> None:
        self._connection = _database(bench, "NORMAL")
        self._connection.execute("CREATE TABLE edge (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")
        self._connection.execute("CREATE INDEX edge_by_target ON edge (b, a)")
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO edge VALUES (?, ?)", edges)
        self._connection.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def milliseconds(self, node: int, count: int) -> float:
        """Give how long it takes to find the `count` edges that lead to a node."""
        begun = now()
        found = self._connection.execute(
            "WITH RECURSIVE up (id) AS (SELECT ? UNION SELECT a FROM up JOIN edge ON b = up.id) "
            "SELECT a, b FROM up JOIN edge ON b = up.id",
            (node,),
        ).fetchall()
        took = (now() - begun) * 1e3
        if len(found) != count:
            raise RuntimeError(f"{len(found)} edges instead of {count}")
        return took


def commits(bench: Bench, n: int, durability: str = "NORMAL", pause: float = 0.0) -> list[float]:
    """Give the microseconds of each of `n` inserts, one autocommit transaction each."""
    connection, out = _database(bench, durability), []
    for number in range(n):
        if pause:
            time.sleep(pause)
        begun = now()
        connection.execute(RUNNING, (number, 0.0))
        out.append((now() - begun) * 1e6)
    connection.close()
    return out


def files_and_rows(bench: Bench, n: int) -> float:
    """Give how many times a second a small object is pickled, hashed, written to a file, renamed, and named in a row."""
    connection, folder = _database(bench, "NORMAL"), bench.fresh("files")
    folder.mkdir()
    connection.execute("CREATE TABLE version (id INTEGER PRIMARY KEY, hash TEXT, t REAL)")
    begun = now()
    for number in range(n):
        data = pickle.dumps((number, [0.1 * k for k in range(32)]))
        digest = hashlib.sha256(data).hexdigest()
        new = f"{folder}/new-{number}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, data)
        os.close(descriptor)
        os.replace(new, f"{folder}/{digest}")
        connection.execute("INSERT INTO version VALUES (?, ?, ?)", (number, digest, time.time()))
    rate = n / (now() - begun)
    connection.close()
    return rate


def publishers(bench: Bench, n: int, threads: int = 8) -> float:
    """Give how many inserts a second `threads` threads do with one connection and a lock, one transaction each."""
    connection, lock = _database(bench, "NORMAL"), threading.Lock()

    def publish(first: int) -> None:
        for number in range(first, n, threads):
            with lock:
                connection.execute(RUNNING, (number, 0.0))

    begun = now()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(publish, range(threads)))
    rate = n / (now() - begun)
    connection.close()
    return rate


def nothing(bench: Bench) -> float:
    """Give the seconds of `python -c pass`."""
    return bench.wall([sys.executable, "-c", "pass"])


def nothing_peak_kb(bench: Bench) -> float:
    """Give the peak memory of a Python that has done nothing, in KB."""
    code = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    if not sys.platform.startswith("linux"):
        return 0.0
    done = subprocess.run(
        [sys.executable, "-c", code], env=bench.environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def copied_and_hashed(source: Path, target: Path) -> float:
    """Give the seconds to copy a file in pieces and hash them on the way."""
    target.unlink(missing_ok=True)
    begun, digest = now(), hashlib.sha256()
    with open(source, "rb") as reading, open(target, "wb") as writing:
        while piece := reading.read(1 << 18):
            digest.update(piece)
            writing.write(piece)
    digest.hexdigest()
    took = now() - begun
    target.unlink()
    return took
