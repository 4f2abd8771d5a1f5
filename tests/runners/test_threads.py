"""The thread runner: who runs what is started, and that nothing in the line is forgotten."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runners.contract import Bench, OneWork, until

from aiflow.graph.job import JobOptions
from aiflow.runners.base import Ended, Work
from aiflow.runners.threads import ThreadRunner


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "home", ThreadRunner)
    yield bench
    bench.runner.close()


class Crew:
    """Starts works on a thread runner, and keeps who ran them; `then` is what is done when one has ended."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ran: list[str] = []
        self.then: Callable[[Work], Any] = lambda work: None

    def start(self, *functions: Callable[[], Any]) -> None:
        for function in functions:
            self.bench.runner.start(OneWork(self.bench, function, (), {}, JobOptions()), self.done)

    def done(self, work: Work, ended: Ended) -> Any:
        assert ended.outcome == "SUCCESS"
        self.ran.append(threading.current_thread().name)
        return self.then(work)


@pytest.fixture
def crew(bench: Bench) -> Crew:
    return Crew(bench)


def nothing() -> None:
    pass


def test_what_is_started_while_an_end_is_told_runs_on_the_same_thread(crew: Crew) -> None:
    crew.then = lambda work: crew.start(nothing) if len(crew.ran) < 100 else None
    crew.start(nothing)
    until(lambda: len(crew.ran) == 100)
    assert len(set(crew.ran)) == 1


def test_one_worker_goes_through_many_short_jobs(crew: Crew) -> None:
    crew.then = lambda work: crew.start(*[nothing] * 300) if len(crew.ran) == 1 else None
    crew.start(nothing)
    until(lambda: len(crew.ran) == 301)


def test_a_job_behind_a_long_one_is_taken_by_another_worker(crew: Crew) -> None:
    both = threading.Barrier(3, timeout=20)
    crew.then = lambda work: crew.start(both.wait, both.wait, both.wait) if len(crew.ran) == 1 else None
    crew.start(nothing)
    until(lambda: len(crew.ran) == 4)


def test_an_action_does_not_wait_for_a_job(crew: Crew, bench: Bench) -> None:
    called, go_on = threading.Event(), threading.Event()

    def then(work: Work) -> None:
        if len(crew.ran) == 1:
            crew.start(lambda: go_on.wait(20))
            bench.runner.call(called.set)

    crew.then = then
    crew.start(nothing)
    assert called.wait(20)
    go_on.set()
    until(lambda: len(crew.ran) == 2)


def test_of_two_workers_with_short_jobs_one_rests_and_nothing_is_left_lying(crew: Crew) -> None:
    left = iter(range(2000))

    def then(work: Work) -> bool:
        for _ in zip(range(2), left, strict=False):
            crew.start(nothing)
        return False  # as if another thread had held the turn

    crew.then = then
    crew.start(nothing, nothing)
    until(lambda: len(crew.ran) == 2002)


def test_a_worker_whose_report_fails_still_takes_what_waits_for_it(crew: Crew) -> None:
    def then(work: Work) -> None:
        if len(crew.ran) == 1:
            crew.start(nothing)
            raise RuntimeError("a fault of ours")

    crew.then = then
    crew.start(nothing)
    until(lambda: len(crew.ran) == 2)
