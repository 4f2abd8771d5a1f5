"""Folders are watched for real: by inotify, by watchdog's observer, and by looking again and again where neither is to be had."""

import ctypes
import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.children import alone, until
from tests.events import deeds
from watchdog.observers.polling import PollingObserver

from aiflow.clock import SystemClock
from aiflow.events.files import Inotify, Notice, Notifier, Observed
from aiflow.events.filewatch import FileWatch, Found
from aiflow.events.ticker import Ticker
from aiflow.events.watching import FileWatcher, Rhythm
from aiflow.graph.file import taken_apart

FAST = Rhythm(pulse=0.01, poll=0.02, audit=600.0)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def none(take: Callable[[Notice], None]) -> Notifier:
    """A notifier that is not to be had, as the kernel says it."""
    raise OSError(errno.ENOSPC, "inotify watch limit reached")


def observed(take: Callable[[Notice], None]) -> Notifier:
    """One by an observer as other systems have it: it tells nothing of closing. (Linux's own fails where warnings do.)"""
    return Observed(take, lambda: PollingObserver(timeout=0.02))


class Finds:
    """A watcher, and what it told."""

    def __init__(self, folder: Path, make: Callable[[Callable[[Notice], None]], Notifier]) -> None:
        self.folder, self.told = folder, list[Found]()
        clock = SystemClock()
        self.ticker = Ticker(clock, lambda: None)
        self.watcher = FileWatcher(clock.now, self.ticker.at, make=make, rhythm=FAST)

    def watch(self, pattern: str = "*.csv", settle: float = 0.0) -> FileWatch:
        watch = FileWatch(taken_apart(str(self.folder / pattern)), settle, dict, self.told.extend)
        self.watcher.watch(watch)
        self.ready()
        return watch

    def ready(self) -> None:
        """Wait until it has done what it was asked for."""
        done = threading.Event()
        self.watcher._put(done.set)
        assert done.wait(20)

    @property
    def names(self) -> list[str]:
        """The files that were told, those that are gone with a minus."""
        return ["-" * (f.version is None) + os.path.relpath(f.path, self.folder) for f in list(self.told)]

    def hear(self, *names: str) -> None:
        """Wait until these were told, and nothing else."""
        until(lambda: len(self.told) >= len(names))
        assert self.names == list(names)

    def close(self) -> None:
        self.watcher.close()
        self.ticker.close()


KINDS: list[Any] = [
    pytest.param(Inotify, id="inotify", marks=linux_only),
    pytest.param(observed, id="observer"),
    pytest.param(none, id="polling"),
]


@pytest.fixture(params=KINDS)
def finds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Finds]:
    (tmp_path / "inbox").mkdir()
    found = Finds(tmp_path / "inbox", request.param)
    yield found
    found.close()


@pytest.fixture
def noticed(tmp_path: Path) -> Iterator[Finds]:
    (tmp_path / "inbox").mkdir()
    found = Finds(tmp_path / "inbox", Inotify)
    yield found
    found.close()


# --- whatever brings the notices --------------------------------------------------------------------------------------


def test_26_what_is_there_and_what_is_closed_afterwards_is_found_once_and_in_order(finds: Finds) -> None:
    (finds.folder / "there.csv").write_text("1")
    finds.watch()
    finds.hear("there.csv")
    for number in range(5):
        (finds.folder / f"{number}.csv").write_text("1")
        (finds.folder / f"{number}.txt").write_text("1")
        until(lambda n=number: len(finds.told) == n + 2)
    finds.hear("there.csv", *(f"{n}.csv" for n in range(5)))


def test_26_what_is_renamed_into_place_is_complete(finds: Finds, tmp_path: Path) -> None:
    finds.watch()
    (tmp_path / "outside").write_text("1")
    os.replace(tmp_path / "outside", finds.folder / "a.csv")
    finds.hear("a.csv")
    (finds.folder / "inside.tmp").write_text("2")
    os.replace(finds.folder / "inside.tmp", finds.folder / "a.csv")
    finds.hear("a.csv", "a.csv")


@linux_only
@pytest.mark.parametrize("finds", [KINDS[0], KINDS[2]], indirect=True)
def test_26_a_slow_writer_is_waited_for(finds: Finds) -> None:
    finds.watch()
    with open(finds.folder / "slow.csv", "w") as file:
        for part in range(3):
            file.write(f"{part}\n")
            file.flush()
            (finds.folder / f"{part}.csv").write_text("1")  # by when this was told, the slow one was looked at, too
            until(lambda n=part: len(finds.told) == n + 1)
    finds.hear("0.csv", "1.csv", "2.csv", "slow.csv")


def test_26_settle_is_counted_from_the_last_change(finds: Finds) -> None:
    finds.watch(settle=0.05)
    for text in ("1", "12", "123"):
        (finds.folder / "a.csv").write_text(text)
    finds.hear("a.csv")
    version = finds.told[0].version
    assert version is not None
    assert version.size == 3


def test_26_a_folder_that_is_missing_at_the_start_is_watched_when_it_comes(finds: Finds) -> None:
    finds.watch("later/on/*.csv")
    (finds.folder / "later/on").mkdir(parents=True)
    (finds.folder / "later/on/a.csv").write_text("1")
    finds.hear("later/on/a.csv")
    (finds.folder / "later/on/b.csv").write_text("1")
    finds.hear("later/on/a.csv", "later/on/b.csv")


def test_26_a_folder_that_is_deleted_and_made_again_is_watched_again(finds: Finds) -> None:
    finds.watch()
    (finds.folder / "a.csv").write_text("1")
    finds.hear("a.csv")
    for turn in range(3):
        del finds.told[:]
        shutil.rmtree(finds.folder)
        finds.folder.mkdir()
        (finds.folder / f"{turn}.csv").write_text("1")
        until(lambda t=turn: f"{t}.csv" in finds.names)
        (finds.folder / "a.csv").write_text(f"again {turn}")
        until(lambda: "a.csv" in finds.names)


def test_26_another_folder_in_the_place_of_the_one_that_is_watched_is_noticed(finds: Finds, tmp_path: Path) -> None:
    finds.watch()
    (tmp_path / "next").mkdir()
    (tmp_path / "next/a.csv").write_text("1")
    finds.folder.rename(tmp_path / "before")
    (tmp_path / "next").rename(finds.folder)
    finds.hear("a.csv")
    (finds.folder / "b.csv").write_text("1")
    finds.hear("a.csv", "b.csv")


def test_26_folders_that_come_are_looked_into(finds: Finds, tmp_path: Path) -> None:
    finds.watch("**/*.csv")
    (finds.folder / "a/b").mkdir(parents=True)
    (finds.folder / "a/b/1.csv").write_text("1")
    finds.hear("a/b/1.csv")
    (tmp_path / "moved/in").mkdir(parents=True)
    (tmp_path / "moved/in/2.csv").write_text("1")
    (tmp_path / "moved").rename(finds.folder / "moved")
    finds.hear("a/b/1.csv", "moved/in/2.csv")
    (finds.folder / "moved/in/3.csv").write_text("1")
    finds.hear("a/b/1.csv", "moved/in/2.csv", "moved/in/3.csv")


def test_26_a_file_that_is_deleted_is_known_to_be_gone(finds: Finds) -> None:
    finds.watch()
    for turn in range(2):
        (finds.folder / "a.csv").write_text("1")
        until(lambda t=turn: len(finds.told) == 2 * t + 1)
        (finds.folder / "a.csv").unlink()
        until(lambda t=turn: len(finds.told) == 2 * t + 2)
    finds.hear("a.csv", "-a.csv", "a.csv", "-a.csv")


def test_several_watch_one_folder_and_who_lets_go_hears_no_more(finds: Finds) -> None:
    first = finds.watch()
    finds.watch("a*")
    deep = finds.watch("**/a*")
    (finds.folder / "a.csv").write_text("1")
    finds.hear("a.csv", "a.csv", "a.csv")
    for watch in (first, deep):
        finds.watcher.let_go(watch)
    finds.ready()
    del finds.told[:]
    (finds.folder / "a.csv").write_text("12")
    finds.hear("a.csv")
    finds.watcher.look()
    finds.ready()
    finds.hear("a.csv")


# --- when notices fail ------------------------------------------------------------------------------------------------


def test_26_where_notices_are_not_to_be_had_it_looks_again_and_again_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finds = Finds(tmp_path, none)
    finds.watch()
    finds.watch("**/*.txt")
    (tmp_path / "a.csv").write_text("1")
    finds.hear("a.csv")
    finds.close()
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert f"The folder {tmp_path} is looked through every 0.02 s" in said.getMessage()
    assert "inotify watch limit reached" in said.getMessage()


@linux_only
def test_26_a_folder_that_cannot_be_watched_any_more_is_polled_and_the_others_are_not(tmp_path: Path) -> None:
    class Exhausted(Inotify):
        def watch(self, folder: str, deep: bool) -> None:
            if folder.endswith("second"):
                raise OSError(errno.ENOSPC, "inotify watch limit reached")
            super().watch(folder, deep)

    finds = Finds(tmp_path, Exhausted)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        finds.watch(f"{name}/*.csv")
    assert {root.folder: root.is_silent for root in finds.watcher._roots.values()} == {
        str(tmp_path / "first"): False,
        str(tmp_path / "second"): True,
    }
    (tmp_path / "second/a.csv").write_text("1")
    finds.hear("second/a.csv")
    (tmp_path / "first/b.csv").write_text("1")
    finds.hear("second/a.csv", "first/b.csv")
    finds.close()


@linux_only
@pytest.mark.parametrize("what", ["max_inotify_instances", "max_inotify_watches"])
def test_26_when_the_kernel_grants_no_more_it_polls_until_the_kernel_does(what: str, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode:
        pytest.skip("there can be no namespace of its own here")
    told = alone(deeds.run_out_of_inotify, str(tmp_path), what)
    assert told["found"] == ["polled.csv", "noticed.csv"]
    assert len(told["said"]) == 1
    assert "cannot tell of changes in it" in told["said"][0]


@linux_only
def test_26_an_overflow_of_the_kernels_queue_loses_no_file(noticed: Finds, caplog: pytest.LogCaptureFixture) -> None:
    noticed.watch()
    flood = (
        "import os, sys; os.chdir(sys.argv[1]); open('x', 'w').close()\n"
        "for _ in range(9000): os.rename('x', 'y'); os.rename('y', 'x')\n"
        "open('lost.csv', 'w').close()"
    )
    command = f"{sys.executable} -S -c \"{flood}\" '{noticed.folder}'"
    assert ctypes.PyDLL(None).system(command.encode()) == 0  # the whole while, this holds the lock of the interpreter
    noticed.hear("lost.csv")
    assert "Inotify queue overflowed" in caplog.text


@linux_only
def test_it_holds_inotify_only_while_somebody_watches(noticed: Finds) -> None:
    def descriptors() -> int:
        found = 0
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # that of the listing itself
                found += "inotify" in os.readlink(f"/proc/self/fd/{name}")
        return found

    before = descriptors()
    watches = [noticed.watch(), noticed.watch("*.txt")]
    assert descriptors() == before + 1
    for watch in watches:
        noticed.watcher.let_go(watch)
    noticed.ready()
    assert descriptors() == before
    noticed.watch()
    (noticed.folder / "a.csv").write_text("1")
    noticed.hear("a.csv")


def test_what_is_found_is_told_again_until_it_is_taken(finds: Finds, caplog: pytest.LogCaptureFixture) -> None:
    refusals = iter((OSError("the disk is full"), OSError("the disk is full"), None))
    taken: list[Found] = []

    def take(found: list[Found]) -> None:
        if (error := next(refusals)) is not None:
            raise error
        taken.extend(found)

    finds.watcher.watch(FileWatch(taken_apart(str(finds.folder / "*.csv")), 0.0, dict, take))
    (finds.folder / "a.csv").write_text("1")
    until(lambda: taken)
    assert len(taken) == 1
    assert sum("Looking for files failed" in r.getMessage() for r in caplog.records) == 2


def test_closing_ends_the_thread_whatever_it_does(finds: Finds) -> None:
    finds.watch()
    thread = finds.watcher._thread
    assert thread is not None
    finds.close()
    assert not thread.is_alive()
    finds.watcher.look()
    (finds.folder / "a.csv").write_text("1")
    assert finds.told == []
