"""Pokes: who works in the same home is woken at once, and nobody waits for one that does not come."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.children import fork

from aiflow.events.pokes import Pokes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is poked")


@pytest.fixture
def owners(tmp_path: Path) -> Path:
    for name in ("one", "two", "dead"):
        (tmp_path / f"{tmp_path.name}{name}.lock").touch()
    return tmp_path


def pokes(owners: Path, name: str) -> Pokes:
    return Pokes(owners, owners.name + name)


class Sleeper:
    """A thread that waits for a poke again and again."""

    def __init__(self, waits: Pokes) -> None:
        self.waits, self.woken, self.is_over = waits, threading.Semaphore(0), False
        waits.wait(0.0)  # it listens from here on
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.is_over:
            self.waits.wait(60.0)
            self.woken.release()

    def end(self) -> None:
        self.is_over = True
        self.waits.hush()
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_a_poke_wakes_the_others_and_those_that_are_gone_do_no_harm(owners: Path) -> None:
    one, two = pokes(owners, "one"), pokes(owners, "two")
    sleeper = Sleeper(two)
    one.poke(1000.0)
    assert sleeper.woken.acquire(timeout=30)
    sleeper.end()
    one.close()


def test_who_was_poked_looks_once_more_since_pokes_that_come_close_are_left_out(owners: Path) -> None:
    one, two = pokes(owners, "one"), pokes(owners, "two")
    sleeper = Sleeper(two)
    one.poke(1000.0)
    one.poke(1000.001)
    assert sleeper.woken.acquire(timeout=30)
    assert sleeper.woken.acquire(timeout=30)
    sleeper.end()
    one.close()


def test_a_poke_from_another_process_comes_as_well(owners: Path) -> None:
    def poke_from_there() -> None:
        there = pokes(owners, "one")
        there.poke(1000.0)
        there.close()

    sleeper = Sleeper(pokes(owners, "two"))
    fork(poke_from_there)
    assert sleeper.woken.acquire(timeout=30)
    sleeper.end()


def test_nobody_is_poked_where_nobody_else_is_and_a_clock_that_was_set_back_keeps_nobody_from_it(owners: Path) -> None:
    alone = Pokes(owners / "nowhere", "one")
    alone.poke(5.0)
    alone.close()
    one, two = pokes(owners, "one"), pokes(owners, "two")
    sleeper = Sleeper(two)
    one.poke(5_000.0)
    assert sleeper.woken.acquire(timeout=30)
    one.poke(10.0)
    while not sleeper.woken.acquire(timeout=0.001):
        one.poke(10.0 + time.monotonic())
    sleeper.end()
    one.close()


def test_what_is_hushed_gives_its_socket_back_and_waits_only_as_long_as_it_is_told(owners: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    quiet = pokes(owners, "two")
    quiet.wait(0.0)
    quiet.hush()
    quiet.wait(0.0)
    quiet.wait(0.0)
    assert len(os.listdir("/proc/self/fd")) == before
