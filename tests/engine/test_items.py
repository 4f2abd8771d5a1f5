"""Items of a stream go into the log in order and together, and a turn that fails loses none of them and doubles none."""

import logging
import threading
from collections.abc import Iterator

import pytest
from tests import invariants
from tests.children import until
from tests.faults import watch

import aiflow as af
from aiflow.store.connection import sqlite3
from aiflow.testing import assert_replays
from aiflow.turns import Entry

N = 30


def test_items_that_come_while_a_turn_is_held_are_durable_in_one(project: af.Project) -> None:
    turns, held = project._shared.engine.turns, threading.Event()
    come, go_on = threading.Semaphore(0), threading.Event()

    @af.job
    def numbers() -> Iterator[int]:
        come.release()
        go_on.wait(30)
        for n in range(N):
            af.current().state["next"] = n + 1
            yield n
            come.release()

    @af.job
    def same(n: int) -> int:
        return n

    @af.workflow
    def flow() -> None:
        same(numbers())

    execution = project.start(flow)
    come.acquire(timeout=30)
    holder = threading.Thread(target=turns.submit, args=(Entry(lambda: held.wait(30)),))
    holder.start()
    until(lambda: not turns.is_idle)
    go_on.set()
    for _ in range(N):
        assert come.acquire(timeout=30)
    held.set()
    holder.join(30)
    assert execution.wait(timeout=30).status == "SUCCESS"
    kinds = [event.type for event in project.events.list() if event.execution_id == execution.id]
    assert kinds[kinds.index("STREAM_ITEM") :][:N] == ["STREAM_ITEM"] * N
    assert execution.results("same") == list(range(N))
    assert_replays(execution)


@pytest.mark.parametrize("at", [3, 6, 11])
def test_a_commit_that_fails_loses_no_item_and_doubles_none(
    project: af.Project, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    caplog.set_level(logging.CRITICAL)
    count, used = [0], []

    def before(sql: str) -> None:
        count[0] += sql == "COMMIT"
        if sql == "COMMIT" and at <= count[0] < at + 2:  # of all that was brought together, and of each by itself
            raise sqlite3.OperationalError("disk I/O error")

    @af.job(retries=5)
    def numbers() -> Iterator[int]:
        state = af.current().state
        for n in range(state.get("next", 0), N):
            state["next"] = n + 1
            yield n

    @af.job
    def use(n: int) -> None:
        used.append(n)

    @af.workflow
    def flow() -> None:
        use(numbers())

    project.publish("before")
    watch(project, before=before)
    execution = project.start(flow)
    assert execution.wait(timeout=30).status == "SUCCESS"
    assert count[0] > at
    assert used == list(range(N))
    invariants.check(project.home)
    assert_replays(execution)
