"""What processes of their own do to a store, for its tests."""

import fcntl
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.children import Fork, fork, fork_together, until

NOBODY = 65534


def use_the_sqlite_of_the_standard_library() -> None:
    """Let aiflow find no pysqlite3, as on machines that have no wheel of it; only in a process that is fresh."""
    assert "aiflow.store.connection" not in sys.modules
    sys.modules["pysqlite3"] = None  # type: ignore[assignment]  # that is how an import is made to fail


# --- making ---------------------------------------------------------------------------------------------------------


def make_at_once(home: str, count: int) -> list[Any]:
    from aiflow.store.store import Store

    def make(number: int) -> Any:
        store = Store(Path(home))
        store.set_meta("name", f"process {number}")
        name = store.meta("name")
        store.close()
        return name

    return fork_together(count, make)


def make_old(path: Path, version: int) -> None:
    """Make the database of a store as an earlier aiflow has left it; version 0 is an empty one."""
    from aiflow.store.connection import sqlite3
    from aiflow.store.schema import APPLICATION_ID, MIGRATIONS

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    if version:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def die_while_migrating(home: str, since: int) -> int:
    """Be killed at each statement that makes a store of an older one, in turn; give how many statements there were."""
    from aiflow.store import connection as door
    from aiflow.store.schema import VERSION, migrate

    class Mortal:
        """A connection that is fatal at its n-th statement."""

        def __init__(self, connection: Any, left: int) -> None:
            self.connection, self.left = connection, left

        def execute(self, *args: Any) -> Any:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
            return self.connection.execute(*args)

    def make(path: Path, left: int) -> None:
        mortal = Mortal(door.sqlite3.connect(path, isolation_level=None), left)
        mortal.execute("BEGIN IMMEDIATE")
        migrate(mortal, since)
        mortal.execute("COMMIT")

    def look(path: Path) -> Any:
        connection = door.sqlite3.connect(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return [version, connection.execute("SELECT sum(length(sql)) FROM sqlite_schema").fetchone()[0] or 0]

    for left in range(200):
        path = Path(home, f"{left}.db")
        make_old(path, since)
        before = look(path)
        outcome = Fork(make, path, left).wait()
        assert not outcome.error, outcome.error
        after = fork(look, path)
        if not outcome.killed:
            assert after[0] == VERSION
            assert after[1] > before[1]
            return left
        assert after == before, f"killed at statement {left}, and it has (version, length of the schema) {after}"
    raise AssertionError("it never ended")


def leave_half_a_store(home: str) -> int:
    """Be killed while the store of a home is made, after its file was; then make it."""
    from aiflow.store import connection as door
    from aiflow.store.store import Store

    def die() -> None:
        Path(home).mkdir(mode=0o700)
        descriptor = os.open(Path(home, "create.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        door.lock_file(descriptor, wait=True)
        Path(home, "new-1-abcd.db").write_bytes(b"SQLite format 3\0 and so on")
        os.kill(os.getpid(), signal.SIGKILL)

    def make() -> int:
        store = Store(Path(home))
        store.set_meta("name", "alive")
        store.close()
        return len(list(Path(home).glob("new-*")))

    assert Fork(die).wait().killed == signal.SIGKILL
    left: int = fork(make)
    return left


# --- refusing -------------------------------------------------------------------------------------------------------


def as_nobody(home: str, doing: str) -> str:
    """Do something to a home as a user who may not write it; give the error, or ``"done"``."""
    import aiflow as af
    from aiflow.store.store import Store

    assert af.Project  # imported now: nobody may not read every Python

    def attempt() -> str:
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        try:
            if doing == "open":
                af.Project(home=home)
            elif doing == "look":
                store = Store(Path(home), readonly=True)
                found = store.meta("name")
                store.close()
                return f"read {found}"
        except af.StoreError as error:
            return str(error)
        return "done"

    answer: str = fork(attempt)
    return answer


# --- many processes -------------------------------------------------------------------------------------------------


def write_at_once(home: str, count: int, each: int) -> list[Any]:
    """Let `count` processes publish `each` events, some singly and some in batches; give the errors of each."""
    import aiflow as af

    def write(number: int) -> list[str]:
        errors: list[str] = []
        with af.Project("many", home=home) as project:
            done = 0
            while done < each:
                size = min(1 + done % 4, each - done)
                try:
                    project.publish_many([(f"w{number}", n) for n in range(done, done + size)])
                except af.AIFlowError as error:
                    errors.append(str(error))
                done += size
        return errors

    return fork_together(count, write)


def keep_writing_beside_one_who_closes(home: str, standard_library: bool) -> list[Any]:
    """Read on several threads (each opens a connection), and write on after another process has closed the home."""
    if standard_library:
        use_the_sqlite_of_the_standard_library()

    import aiflow as af

    def come_and_go() -> int:
        with af.Project("guest", home=home) as guest:
            guest.publish("guest", 1)
            return guest.events.count()

    def write() -> None:
        with af.Project("host", home=home) as host:
            host.publish("host", 0)
            for n in range(1, 4):
                reading = threading.Thread(target=host.events.count)
                reading.start()
                reading.join()
                os.write(to_guest[1], b"x")
                os.read(to_host[0], 1)
                host.publish("host", n)

    to_guest, to_host = os.pipe(), os.pipe()
    host = Fork(write)
    seen = []
    for _ in range(3):
        os.read(to_guest[0], 1)
        seen.append(fork(come_and_go))
        os.write(to_host[1], b"x")
    outcome = host.wait()
    assert not outcome.error, outcome.error
    return [*seen, fork(come_and_go)]


def use_after_a_fork(home: str) -> dict[str, Any]:
    """Fork a process that has the home open and runs something; the child uses the same project, and dies."""
    import warnings

    import aiflow as af

    warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads; that is the case here
    release = threading.Event()

    @af.job
    def wait() -> int:
        release.wait()
        return 1

    @af.workflow
    def waiting() -> None:
        wait()

    with af.Project("forked", home=home) as project:
        execution = project.start(waiting)
        project.publish("before", os.getpid())

        def in_the_child() -> dict[str, Any]:
            event = project.publish("inside", os.getpid())
            project.publish_many([("inside", n) for n in range(3)])
            with af.Project("another", home=home) as another:
                another.publish("another", 1)
                count = another.events.count(keys=["inside", "another"])
            return {"offset": event.offset, "count": count, "status": str(execution.status)}

        child = fork(in_the_child)
        release.set()
        execution.wait(20)
        project.publish("after", 1)
        keys = [e.key for e in project.events.list(types="UNDEFINED")]
        return {"child": child, "keys": keys, "status": str(execution.status)}


def die_beside_a_forked_child(home: str) -> list[str]:
    """A process that runs something forks and is killed; its child lives on. Is its execution INTERRUPTED?"""
    import warnings

    import aiflow as af

    warnings.simplefilter("ignore", DeprecationWarning)

    @af.job
    def wait() -> None:
        threading.Event().wait()

    @af.workflow
    def waiting() -> None:
        wait()

    down = os.pipe()

    def own() -> None:
        project = af.Project("forked", home=home)
        project.start(waiting)
        if os.fork() == 0:
            os.close(down[1])
            os.read(down[0], 1)  # until the test is over
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    def look() -> list[str]:
        with af.Project("forked", home=home) as project:
            return [str(e.status) for e in project.executions.list()]

    outcome = Fork(own).wait()
    assert outcome.killed == signal.SIGKILL, outcome
    found: list[str] = fork(look)
    os.close(down[1])
    return found


def look_at_a_dead_owner(home: str, count: int, times: int) -> list[Any]:
    """Ask `times` times in each of `count` processes whether a dead owner lives; give how often it seemed so."""
    from aiflow.store.store import Store

    def look(number: int) -> int:
        store = Store(Path(home))
        return sum(store.is_owner_alive("dead") for _ in range(times))

    return fork_together(count, look)


def fork_while_a_home_is_opened(folder: str) -> list[str]:
    """Fork between a turn and the opening of another home; the answers of the child and of who opens it."""
    import aiflow as af
    from aiflow import opening
    from aiflow.turns import Entry

    said: list[str] = []
    new = Path(folder, "new")
    new.mkdir()
    with af.Project("one", home=Path(folder, "old")) as project:
        engine = project._shared.engine
        begun, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            go_on.wait()

        def open_it() -> None:
            with af.Project("two", home=new):
                said.append("opened")

        threads = [threading.Thread(target=one, daemon=True) for one in (lambda: engine.submit(Entry(hold)), open_it)]
        threads.append(threading.Thread(target=lambda: said.append(fork(lambda: "forked")), daemon=True))
        with open(new / "create.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever opens the new home waits for this
            threads[0].start()
            begun.wait()
            threads[2].start()
            until(opening._forking.locked)
            threads[1].start()
            until(lambda: not opening.guard.acquire(blocking=False) or opening.guard.release())
            go_on.set()
            threads[0].join()
            until(engine.turns._lock.locked)  # the one who forks has it
        for thread in threads:
            thread.join(20)
    return sorted(said)
