"""Turns: who holds them, what happens to signals in the main thread, and that nobody is forgotten."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from tests.children import until

import aiflow as af
from aiflow.deferring import deferred
from aiflow.turns import Busy, Courtesy, Entry, Turns


def nothing() -> None:
    pass


def test_a_signal_that_comes_meanwhile_is_handled_afterwards() -> None:
    done: list[str] = []

    def act() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        deferred(act)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
def test_each_handler_is_called_even_if_one_of_them_raises() -> None:
    called: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        called.append(number)
        raise RuntimeError(number)

    def act() -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(number)
        assert called == []

    before = [signal.signal(number, handle) for number in (signal.SIGUSR1, signal.SIGUSR2)]
    try:
        with pytest.raises(RuntimeError):
            deferred(act)
        assert called == [signal.SIGUSR1, signal.SIGUSR2]
        assert signal.getsignal(signal.SIGUSR1) is handle
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGUSR2, before[1])


def test_an_interrupt_of_the_main_thread_never_lands_inside_a_turn(project: af.Project) -> None:
    project.publish("before")
    engine = project._shared.engine

    def apply() -> None:
        signal.raise_signal(signal.SIGINT)
        engine.publish_now([af.graph.event.Draft("within")])

    with pytest.raises(KeyboardInterrupt):
        engine.submit(Entry(apply))
    project.publish("after")
    assert [event.key for event in project.events.list()] == ["before", "within", "after"]


def test_the_main_thread_does_not_wait_for_other_processes_inside_a_turn() -> None:
    held: list[bool] = []

    def do(entries: list[Entry]) -> None:
        held.append(threading.current_thread() is threading.main_thread())
        if not turns.may_wait:
            raise Busy
        for entry in entries:
            entry.result = entry.apply()
            entry.finish()

    turns = Turns(do)
    assert turns.submit(Entry(lambda: 7)).result == 7
    assert held == [True, False]
    turns.close()


class Passing:
    """Time that a test lets pass, and how long was slept."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.mark.parametrize(
    ("works", "rests", "gives"),
    [(0.002, 0.0, True), (0.002, 0.0005, True), (0.002, 0.0011, False), (0.05, 0.0, True), (0.05, 0.002, False)],
)
def test_who_is_busy_all_the_time_leaves_the_store_free_for_one_millisecond_in_twenty(
    works: float, rests: float, gives: bool
) -> None:
    time = Passing()
    courtesy = Courtesy(lambda: time.now, time.sleep)
    busy = 0.0
    for _ in range(int(2.0 / (works + rests))):
        courtesy.give_way()
        time.now += works
        busy += works + rests
        courtesy.left()
        time.now += rests
    turns = max(0.02, works)
    assert time.slept == pytest.approx(0.001 * busy / turns if gives else 0.0, rel=0.15)


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def interrupt() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Give what interrupts the main thread, once, when a condition holds.

    A signal that comes just before a thread falls asleep does not wake it, so it is sent until it has been noticed.
    """
    noticed = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if not noticed.is_set():
            noticed.set()
            raise KeyboardInterrupt

    def send(condition: Callable[[], object]) -> None:
        until(condition)
        while not noticed.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            noticed.wait(0.05)

    before = signal.signal(signal.SIGINT, handle)
    yield send
    signal.signal(signal.SIGINT, before)


def test_who_waits_behind_an_interrupted_main_thread_is_not_forgotten(
    interrupt: Callable[[Callable[[], object]], None],
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def do(entries: list[Entry]) -> None:
        begun.release()
        assert go_on.acquire(timeout=60)
        for entry in entries:
            entry.finish()

    turns = Turns(do)
    threads = [in_thread(lambda: turns.submit(Entry(nothing)))]
    assert begun.acquire(timeout=60)
    for _ in range(3):  # the first one holds as many turns as is fair
        threads.append(in_thread(lambda: turns.submit(Entry(nothing))))
        until(lambda: turns._inbox)
        go_on.release()
        assert begun.acquire(timeout=60)
    threads.append(in_thread(lambda: interrupt(lambda: turns._inbox)))
    with pytest.raises(KeyboardInterrupt):
        turns.submit(Entry(nothing))
    threads.append(in_thread(lambda: turns.submit(Entry(nothing))))
    until(lambda: len(turns._inbox) == 2)
    for _ in range(3):
        go_on.release()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    turns.close()


def test_who_was_on_the_way_in_when_it_was_closed_is_told() -> None:
    def do(entries: list[Entry]) -> None:
        raise AssertionError("nobody holds a turn any more")

    turns = Turns(do)
    turns.close()
    for me in (threading.get_ident(), 0):  # in the main thread, and in another one
        entry = Entry(nothing)
        turns._bring(entry, me)
        assert entry.finished
        assert str(entry.error) == "the project is closed"
