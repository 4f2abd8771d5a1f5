"""Timers are called in their order, one's trouble is not another's, and closing ends the threads."""

import logging
import threading

import pytest
from tests.children import until

from aiflow.clock import SystemClock
from aiflow.events.ticker import Ticker
from aiflow.testing import ManualClock


def test_what_is_due_is_called_in_order_and_what_is_not_waits() -> None:
    clock, called = ManualClock(), []
    ticker = Ticker(clock, lambda: None)
    now = clock.now()
    for name, due in (("c", 3), ("a", 1), ("b", 2), ("d", 9)):
        ticker.at(now + due, lambda name=name: called.append(name))
    assert not ticker.run_due()
    clock._now += 3
    assert ticker.run_due()
    assert called == ["a", "b", "c"]
    assert ticker.next_due() == now + 9
    ticker.close()
    assert ticker.next_due() is None


def test_one_that_raises_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock, called = ManualClock(), []
    ticker = Ticker(clock, lambda: None)

    def fail() -> None:
        raise ValueError("no")

    ticker.at(clock.now() + 1, fail)
    ticker.at(clock.now() + 2, lambda: called.append(1))
    clock._now += 5
    with caplog.at_level(logging.CRITICAL):
        ticker.run_due()
    assert called == [1]
    ticker.close()


def test_a_timer_is_called_on_a_thread_of_the_tickers_own_when_its_time_comes() -> None:
    clock = SystemClock()
    ticker = Ticker(clock, lambda: None)
    called: list[tuple[int, str]] = []
    for number, delay in enumerate((0.02, 0.0, 0.01)):
        ticker.at(clock.now() + delay, lambda n=number: called.append((n, threading.current_thread().name)))
    until(lambda: len(called) == 3)
    assert {name for _, name in called} == {"aiflow-timer"}
    ticker.close()


def test_looking_happens_only_while_somebody_watches() -> None:
    looks = threading.Semaphore(0)
    ticker = Ticker(SystemClock(), looks.release, interval=0.001)
    ticker.watch()
    ticker.watch()
    assert looks.acquire(timeout=20)
    ticker.unwatch()
    assert ticker.is_watching
    ticker.unwatch()
    assert not ticker.is_watching
    ticker.close()
