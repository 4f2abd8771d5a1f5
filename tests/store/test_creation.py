"""A store is made whole or not at all, by any number of processes at once, and only its owner may read it."""

import os
import stat
from pathlib import Path

from tests.children import alone
from tests.store import deeds

import aiflow as af
from aiflow.store.connection import find_store, sqlite3
from aiflow.store.schema import APPLICATION_ID, VERSION
from aiflow.store.store import Store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_eight_processes_that_make_the_store_at_once_all_get_the_same_one(tmp_path: Path) -> None:
    names = alone(deeds.make_at_once, str(tmp_path / "home"), 8)
    assert len(set(names)) == 1
    assert not list((tmp_path / "home").glob("new-*"))


def test_a_store_that_is_made_says_what_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    assert store.writer.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert store.writer.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert store.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    store.close()


def test_durability_decides_whether_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    for durability, level in (("normal", 1), ("full", 2)):
        store = Store(tmp_path / "home", durability=durability)
        assert store.writer.execute("PRAGMA synchronous").fetchone() == (level,)
        store.close()


def test_only_the_owner_may_read_the_home(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with af.Project("private", home=tmp_path / "home") as project:

            @af.job
            def shout() -> bytes:
                print("hello")
                return b"x" * 100_000

            @af.workflow
            def shouting() -> None:
                shout()

            project.run(shouting)
            found = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
            assert {p.name for p in found} >= {
                "home",
                "aiflow.db",
                "aiflow.db-wal",
                "aiflow.db-shm",
                "blobs",
                "logs",
                "owners",
            }
            assert mode(tmp_path / "home") == 0o700
            assert {p: oct(mode(p)) for p in found if p.is_file() and mode(p) != 0o600} == {}
    finally:
        os.umask(before)


def test_opening_a_project_makes_the_folders_above_its_home(tmp_path: Path) -> None:
    with af.Project("deep", home=tmp_path / "a" / "b" / "home") as project:
        assert project.home == tmp_path / "a" / "b" / "home"
        assert find_store(project.home).is_file()


def test_opening_a_home_runs_nothing_and_starts_no_thread(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else set()
    with af.Project("quiet", home=tmp_path / "home") as project:
        project.events.count()
        assert project.executions.list() == []
        if before:
            assert set(os.listdir("/proc/self/task")) <= before


def test_what_only_reads_never_makes_a_home(tmp_path: Path) -> None:
    with_message = ""
    try:
        Store(tmp_path / "home", readonly=True)
    except af.StoreError as error:
        with_message = str(error)
    assert "there is no store" in with_message
    assert not (tmp_path / "home").exists()


def test_a_process_killed_at_any_statement_of_a_migration_leaves_the_old_schema_or_the_new(tmp_path: Path) -> None:
    assert alone(deeds.die_while_making, str(tmp_path)) > 10


def test_a_process_killed_while_it_makes_the_store_is_in_nobodys_way(tmp_path: Path) -> None:
    left = alone(deeds.leave_half_a_store, str(tmp_path / "home"))
    assert left == 0, "what it left is cleaned away"


def test_a_store_of_the_first_version_is_opened_and_has_all_tables(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    store.close()
    raw = sqlite3.connect(find_store(tmp_path / "home"))
    names = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    raw.close()
    assert names >= {
        "meta",
        "owners",
        "events",
        "documents",
        "workflows",
        "executions",
        "job_executions",
        "subscriptions",
        "failed_events",
    }
