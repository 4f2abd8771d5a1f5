"""Timers are called in their order, one's trouble is not another's, a clock that is set moves durations along, closing ends all."""

import logging
import threading
from datetime import timedelta

import pytest
from tests.children import until

from aiflow.clock import SystemClock
from aiflow.events.ticker import Ticker
from aiflow.testing import ManualClock


class ParkingClock(ManualClock):
    """A manual clock that tells when the ticker's thread waits; it then leaves everything to the test."""

    def __init__(self) -> None:
        super().__init__()
        self.parked = threading.Event()

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        self.parked.set()
        super().wait(condition, until)


@pytest.fixture
def clock() -> ParkingClock:
    return ParkingClock()


@pytest.fixture
def ticker(clock: ParkingClock) -> Ticker:
    """A ticker whose thread is parked, and stays so while nothing is due sooner than in half a second."""
    ticker = Ticker(clock, lambda: None)
    ticker.at(clock.now() + 0.5, lambda: None)
    assert clock.parked.wait(20)
    return ticker


def turn(ticker: Ticker, clock: ManualClock, seconds: float) -> None:
    clock._now += seconds
    ticker.run_due()


def test_what_is_due_is_called_in_order_and_what_is_not_waits(ticker: Ticker, clock: ParkingClock) -> None:
    now, called = clock.now(), []
    for name, due in (("c", 3), ("a", 1), ("b", 2), ("d", 9)):
        ticker.at(now + due, lambda name=name: called.append(name))
    assert not ticker.run_due()
    turn(ticker, clock, 3)
    assert called == ["a", "b", "c"]
    assert ticker.next_due() == now + 9
    ticker.close()
    assert ticker.next_due() is None
    assert ticker.at(now, lambda: None).action is None


def test_one_that_raises_does_not_end_the_others(
    ticker: Ticker, clock: ParkingClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no")

    called: list[int] = []
    ticker.at(clock.now() + 1, fail)
    ticker.at(clock.now() + 2, lambda: called.append(1))
    with caplog.at_level(logging.CRITICAL):
        turn(ticker, clock, 5)
    assert called == [1]
    ticker.close()


def test_a_timer_that_is_cancelled_is_not_called_and_not_waited_for(ticker: Ticker, clock: ParkingClock) -> None:
    called: list[str] = []
    first, second = (ticker.at(clock.now() + due, lambda due=due: called.append(due)) for due in (1, 2))
    ticker.cancel(first)
    ticker.cancel(first)
    turn(ticker, clock, 1)
    assert (called, ticker.next_due()) == ([], second.due)
    turn(ticker, clock, 1)
    ticker.cancel(second)
    assert (called, ticker.next_due()) == ([2], None)
    ticker.close()


def test_timers_that_are_cancelled_keep_no_memory(ticker: Ticker, clock: ParkingClock) -> None:
    kept = ticker.at(clock.now() + 5, lambda: None)
    for _ in range(10_000):
        ticker.cancel(ticker.at(clock.now() + 3600, lambda: None))
    assert len(ticker._heap) < 200
    turn(ticker, clock, 1)
    assert ticker.next_due() == kept.due
    ticker.close()


@pytest.mark.parametrize("jump", [3600, -3600, 1.5])
def test_24_when_the_clock_is_set_durations_stay_what_they_were_and_appointments_when_they_were(
    ticker: Ticker, clock: ParkingClock, jump: float
) -> None:
    begun = clock.now()
    duration = ticker.at(begun + 60, lambda: None)
    appointment = ticker.at(begun + 7200, lambda: None, measures=False)
    clock.jump(timedelta(seconds=jump))
    ticker.run_due()
    assert (duration.due, appointment.due) == (begun + 60 + jump, begun + 7200)
    assert ticker.at(clock.now() + 5, lambda: None).due == clock.now() + 5, (
        "what comes later is measured by the new time"
    )
    assert ticker.next_due() == clock.now() + 0.5
    ticker.close()


def test_small_corrections_of_the_clock_are_put_together_until_they_make_a_second(
    ticker: Ticker, clock: ParkingClock
) -> None:
    due = clock.now() + 60
    timer = ticker.at(due, lambda: None)
    for _ in range(9):
        clock.jump(0.1)
        ticker.run_due()
    assert timer.due == due
    clock.jump(0.2)
    ticker.run_due()
    assert timer.due == pytest.approx(due + 1.1)
    ticker.close()


def test_24_an_appointment_that_the_clock_jumps_over_is_called_at_once_and_only_once(
    ticker: Ticker, clock: ParkingClock
) -> None:
    called: list[float] = []
    ticker.at(clock.now() + 1800, lambda: called.append(clock.now()), measures=False)
    for jump in (3600, -3600, 3600):
        clock.jump(jump)
        ticker.run_due()
    assert len(called) == 1
    ticker.close()


def test_the_steady_time_passes_evenly_and_is_not_set() -> None:
    clock, machine = ManualClock(), SystemClock()
    before = clock.elapsed()
    clock.advance(5)
    clock.jump(-100)
    assert clock.elapsed() - before == pytest.approx(5)
    assert machine.elapsed() <= machine.elapsed()


def test_a_timer_is_called_on_a_thread_of_the_tickers_own_when_its_time_comes() -> None:
    clock = SystemClock()
    ticker = Ticker(clock, lambda: None)
    called: list[tuple[int, str]] = []
    for number, delay in enumerate((0.02, 0.0, 0.01)):
        ticker.at(clock.now() + delay, lambda n=number: called.append((n, threading.current_thread().name)))
    until(lambda: len(called) == 3)
    assert {name for _, name in called} == {"aiflow-timer"}
    ticker.close()


def test_the_machines_clock_waits_until_it_is_time_and_others_may_have_the_lock_meanwhile() -> None:
    clock, condition = SystemClock(), threading.Condition()
    for delay in (0.0, 0.0001, 0.002):
        until_then = clock.now() + delay
        with condition:
            clock.wait(condition, until_then)
        assert clock.now() >= until_then
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            with condition:
                condition.notify()

    asking = threading.Thread(target=ask)
    asking.start()
    with condition:
        clock.wait(condition, clock.now() + 1000)
        clock.wait(condition, None)
    over.set()
    asking.join()


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
