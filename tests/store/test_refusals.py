"""What is not a store of this aiflow is refused by name, with what to do, and is left as it was, byte for byte."""

import hashlib
import os
import re
import shutil
import sqlite3 as other_sqlite
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.children import alone, until
from tests.store import deeds

import aiflow as af
from aiflow.store.connection import check_file, comes_of_a_full_disk, find_store
from aiflow.store.store import Store


def make(home: Path) -> Path:
    store = Store(home)
    store.set_meta("name", "made")
    store.close()
    return find_store(home)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(hashlib.sha256(b"garbage").digest() * 400)


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def text(path: Path) -> None:
    path.write_text("dear diary")


def foreign(path: Path) -> None:
    path.unlink()
    connection = other_sqlite.connect(path)
    connection.execute("CREATE TABLE cookies (name TEXT)")
    connection.execute("INSERT INTO cookies VALUES ('of a browser')")
    connection.commit()
    connection.close()


def foreign_with_version(path: Path) -> None:
    foreign(path)
    connection = other_sqlite.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("PRAGMA application_id = 42")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    connection = other_sqlite.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


SPOILED: list[tuple[Callable[[Path], None], str]] = [
    (empty, "zero length"),
    (garbage, "not a (SQLite )?database"),
    (short, "not a SQLite database"),
    (text, "not a (SQLite )?database"),
    (foreign, "another program"),
    (foreign_with_version, "another program"),
    (newer, "newer aiflow"),
    (torn, "cut off|aiflow db check"),
]


class Outdated(type(Path())):  # type: ignore[misc]
    """A path whose size is first told as it was a moment ago."""

    told = False

    def stat(self, **options: Any) -> os.stat_result:
        found = super().stat(**options)
        if self.told:
            return found
        self.told = True
        return os.stat_result([*found[:6], 9000, *found[7:]])


def test_a_store_that_somebody_brings_up_to_date_just_now_is_not_taken_for_cut_off(tmp_path: Path) -> None:
    path = Outdated(make(tmp_path))
    check_file(path)
    assert path.told


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(("spoil", "why"), SPOILED, ids=[f.__name__ for f, _ in SPOILED])
@pytest.mark.parametrize("seen_before", [True, False])
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], None], why: str, seen_before: bool
) -> None:
    path = make(tmp_path / "home")
    if not seen_before:  # a file that this process has never had open
        shutil.move(tmp_path / "home", tmp_path / "old")
        shutil.copytree(tmp_path / "old", tmp_path / "home")
    spoil(path)
    before = content(tmp_path / "home")
    for open_it in (af.Project, lambda home: Store(home, readonly=True)):
        with pytest.raises(af.StoreError) as refused:
            open_it(home=tmp_path / "home")
        assert str(path) in str(refused.value)
        assert re.search(why, str(refused.value))
    assert content(tmp_path / "home") == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="aiflow-readonly-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    (folder / "home").chmod(0o755)
    shutil.rmtree(folder)


def test_a_home_that_cannot_be_written_is_refused_for_writing_and_left_as_it_is(open_folder: Path) -> None:
    path = make(open_folder / "home")
    for one in (open_folder / "home").iterdir():
        one.chmod(0o444)
    (open_folder / "home").chmod(0o555)
    before = content(open_folder / "home")
    answer = alone(deeds.as_nobody, str(open_folder / "home"), "open")
    assert "cannot be written" in answer
    assert str(path) in answer
    assert content(open_folder / "home") == before


def test_a_home_that_cannot_be_written_can_be_read(open_folder: Path) -> None:
    make(open_folder / "home")
    for one in (open_folder / "home").iterdir():
        one.chmod(0o444)
    (open_folder / "home").chmod(0o555)
    before = content(open_folder / "home")
    assert alone(deeds.as_nobody, str(open_folder / "home"), "look") == "read made"
    assert content(open_folder / "home") == before


def test_a_home_that_cannot_be_made_is_named(open_folder: Path) -> None:
    (open_folder / "home").mkdir(mode=0o555)
    (open_folder / "home").chmod(0o555)
    answer = alone(deeds.as_nobody, str(open_folder / "home" / "deeper"), "open")
    assert "cannot be made" in answer
    assert "deeper" in answer


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(af.StoreError, match="home"):
        af.Project(home=tmp_path / "home")
    assert (tmp_path / "home").read_text() == "a file"


def test_a_store_that_was_deleted_while_it_is_open_is_an_error_at_the_next_write(tmp_path: Path) -> None:
    with af.Project("gone", home=tmp_path / "home") as project:
        project.publish("first")
        find_store(project.home).unlink()
        until(lambda: not is_written(project))  # it is looked for every few milliseconds
        with pytest.raises(af.StoreError, match=r"aiflow.db was deleted or replaced"):
            project.publish("second")


def is_written(project: af.Project) -> bool:
    try:
        project.publish("more")
    except af.StoreError:
        return False
    return True


def test_a_damaged_page_is_told_when_it_is_read(tmp_path: Path) -> None:
    with af.Project("flipped", home=tmp_path / "home") as project:
        project.publish_many([("key", "x" * 500) for _ in range(100)])
    path = find_store(tmp_path / "home")
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(af.StoreError, match="aiflow db check"), af.Project(home=tmp_path / "home") as project:
        project.events.list()


@pytest.mark.parametrize(
    ("said", "free", "is_full"),
    [
        ("disk I/O error", 0, True),
        ("database or disk is full", 4096, True),
        ("disk I/O error", 10**9, False),
        ("file is not a database", 0, False),
    ],
)
def test_a_store_that_cannot_be_opened_for_want_of_room_is_told_from_one_that_is_damaged(
    said: str, free: int, is_full: bool
) -> None:
    assert comes_of_a_full_disk(other_sqlite.OperationalError(said), free) is is_full
