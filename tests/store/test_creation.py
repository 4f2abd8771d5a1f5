"""A store is made whole or not at all, by any number of processes at once, and only its owner may read it."""

import os
import stat
from pathlib import Path

import pytest
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
    for version in range(VERSION):
        folder = tmp_path / str(version)
        folder.mkdir()
        assert alone(deeds.die_while_migrating, str(folder), version) > 4


def test_a_process_killed_while_it_makes_the_store_is_in_nobodys_way(tmp_path: Path) -> None:
    left = alone(deeds.leave_half_a_store, str(tmp_path / "home"))
    assert left == 0, "what it left is cleaned away"


@af.job
def one() -> int:
    return 1


@af.workflow
def single() -> None:
    one()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_store_of_each_earlier_version_is_opened_with_what_is_in_it_and_goes_on(tmp_path: Path, version: int) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    deeds.make_old(find_store(home), version)
    old = sqlite3.connect(find_store(home), isolation_level=None)
    old.execute("INSERT INTO events (offset, time, key, type, value, namespace) VALUES (7, 1.0, 'old', 'X', '5', 'p')")
    old.execute(
        "INSERT INTO executions (id, workflow, namespace, status, params, definition, source, first_offset, created, started, ended) "
        "VALUES ('abcd', 'single', 'p', 'SUCCESS', '{}', 'none', '', 0, 1.0, 1.0, 2.0)"
    )
    old.execute(
        "INSERT INTO job_executions (execution_id, job, number, attempt, status, started, ended) "
        "VALUES ('abcd', 'one', 1, 1, 'SUCCESS', 1.0, 2.0)"
    )
    old.close()
    with af.Project("p", home=home) as project:
        former = project.executions.get("abcd").jobs[0]
        assert (former.job, former.status, former.note) == ("one", "SUCCESS", None)
        assert project.events.latest("old") == af.Event(7, "old", 5, "X", "p", timestamp=1.0)
        assert project.run(single).result("one") == 1
        assert [str(e.status) for e in project.executions.list()] == ["SUCCESS", "SUCCESS"]
        assert project.triggers.list() == []
