"""Streams as users have them: from job to job in memory, item by item to batch jobs, with state, stops and failures."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import invariants

import aiflow as af
from aiflow.testing import assert_replays, simulate

N = 40


@af.job
def numbers(n: int) -> Iterator[int]:
    me = af.current()
    for i in range(me.state.get("next", 0), n):
        me.state["next"] = i + 1
        yield i


@af.job
def twice(items: af.Stream) -> Iterator[int]:
    for item in items:
        yield 2 * item


@af.job
def total(items: "af.Stream[int]") -> int:
    return sum(items)


@af.job
def plus(item: int) -> int:
    return item + 1


@pytest.fixture(params=["thread", "process"])
def runner(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[af.Project]:
    with af.Project("streams", home=tmp_path / "home", workers=2) as project:
        yield project
        invariants.check(project.home)
        for execution in project.executions.list():
            assert_replays(execution)


def state_of(project: af.Project, job: str) -> Any:
    rows = list(project.db.query("SELECT state FROM job_states WHERE job = ?", [job]))
    return rows[0]["state"] if rows else None


def test_27_each_item_runs_a_batch_job_once_in_order_and_none_is_kept_then(project: af.Project, runner: str) -> None:
    @af.workflow(runner=runner)
    def flow() -> None:
        plus(numbers(N // 4 if runner == "process" else N))

    execution = project.run(flow, timeout=60)
    assert execution.results("plus") == list(range(1, len(execution.results("plus")) + 1))
    assert len(execution.results("plus")) == (N // 4 if runner == "process" else N)
    assert list(project.db["items"].rows) == []


def test_29_a_stream_goes_through_streams_to_a_function_that_returns_one_value(
    project: af.Project, runner: str
) -> None:
    @af.workflow(runner=runner)
    def flow() -> None:
        total(twice(numbers(5000)))

    execution = project.run(flow, timeout=60)
    assert execution.result("total") == 5000 * 4999
    assert state_of(project, "numbers") == '{"next":5000}'


def test_one_stream_feeds_all_that_depend_on_it_each_in_its_way(project: af.Project) -> None:
    @af.workflow
    def flow() -> None:
        stream = numbers(N)
        total(stream)
        total(twice(stream))
        plus(stream)

    execution = project.run(flow, timeout=60)
    assert (execution.result("total"), execution.result("total_2")) == (780, 1560)
    assert execution.results("plus") == list(range(1, N + 1))


def test_streams_take_no_places_of_batch_jobs(tmp_path: Path) -> None:
    @af.workflow
    def flow() -> None:
        for _ in range(5):
            plus(twice(numbers(3)))

    with af.Project("narrow", home=tmp_path / "narrow", workers=1) as project:
        execution = project.run(flow, timeout=60)
    assert [execution.results(f"plus{n}") for n in ("", "_2", "_5")] == [[1, 3, 5]] * 3


def test_28_a_stream_that_failed_goes_on_from_the_state_of_its_last_item(project: af.Project, runner: str) -> None:
    @af.job(retries=1, retry_delay=0)
    def fragile() -> Iterator[int]:
        me = af.current()
        for i in range(me.state.setdefault("next", 0), 6):
            me.state["next"] = i + 1
            if i == 3 and me.attempt == 1:
                raise ValueError("at first")
            yield i

    @af.workflow(runner=runner)
    def flow() -> None:
        stream = fragile()
        plus(stream)
        total(stream)

    execution = project.run(flow, timeout=60)
    assert execution.results("plus") == [1, 2, 3, 4, 5, 6]
    assert execution.result("total") == 15
    assert execution.job("fragile").attempt == 2


def test_28_a_stream_whose_process_dies_goes_on_from_the_state_of_its_last_item(project: af.Project) -> None:
    @af.job(runner="process", retries=1, retry_delay=0, buffer=4)
    def dying() -> Iterator[int]:
        import os

        me = af.current()
        for i in range(me.state.get("next", 0), 20):
            me.state["next"] = i + 1
            yield i
            if i == 11 and me.attempt == 1:
                os.kill(os.getpid(), 9)

    @af.workflow
    def flow() -> None:
        stream = dying()
        plus(stream)
        total(stream)

    execution = project.run(flow, timeout=60)
    assert execution.results("plus") == list(range(1, 21))
    assert execution.result("total") == 190
    assert execution.job("dying").attempt == 2


def test_29_who_takes_a_stream_and_fails_gets_again_what_it_took_since_the_last_checkpoint(project: af.Project) -> None:
    @af.job(retries=1, retry_delay=0)
    def adding(items: af.Stream) -> int:
        me = af.current()
        for item in items:
            if item == 30 and me.attempt == 1:
                raise ValueError("at first")
            me.state["sum"] = me.state.get("sum", 0) + item
        return int(me.state["sum"])

    @af.workflow
    def flow() -> None:
        adding(numbers.options(buffer=8)(N))

    assert project.run(flow, timeout=60).result("adding") == 780


def test_28_a_checkpoint_that_comes_late_does_not_put_back_the_state_of_a_stream(project: af.Project) -> None:
    gate, taken = threading.Event(), threading.Event()

    @af.job(checkpoint=0)
    def five() -> Iterator[int]:
        yield from numbers(5)
        af.current().wait_stop()

    @af.job
    def slow(items: af.Stream) -> int:
        for item in items:
            gate.wait(30)
            if item == 4:
                taken.set()
        return 1

    @af.workflow
    def flow() -> None:
        stream = five()
        plus(stream)
        slow(stream)

    execution = project.start(flow)
    wait_until(lambda: len(execution.results("plus")) == 5)
    assert state_of(project, "five") == '{"next":5}'
    gate.set()
    assert taken.wait(30)
    assert state_of(project, "five") == '{"next":5}'
    execution.stop_job("five")
    execution.wait(30)
    assert state_of(project, "five") == '{"next":5}'


def test_stopping_a_stream_closes_its_generator_at_a_yield_and_ends_its_consumers(
    project: af.Project, runner: str, tmp_path: Path
) -> None:
    mark = tmp_path / "closed"

    @af.job
    def endless(path: str) -> Iterator[int]:
        try:
            n = 0
            while True:
                n += 1
                yield n
                af.current().wait_stop(0.005)
        finally:
            Path(path).write_text("closed")

    @af.workflow(runner=runner)
    def flow() -> None:
        stream = endless(str(mark))
        plus(stream)
        total(stream)

    execution = project.start(flow)
    wait_until(lambda: execution.results("plus"))
    execution.stop_job("endless")
    execution.wait(60)
    assert mark.read_text() == "closed"
    assert execution.status == "SUCCESS"
    assert str(execution.job("endless").status) == "STOPPED"
    emitted = len(execution.results("plus"))
    assert execution.results("plus") == list(range(2, emitted + 2))
    assert execution.result("total") == emitted * (emitted + 1) // 2


def test_22_stopping_an_execution_stops_streams_and_those_that_wait_for_items(project: af.Project, runner: str) -> None:
    @af.job
    def silent() -> Iterator[int]:
        yield 1
        af.current().wait_stop()

    @af.workflow(runner=runner)
    def flow() -> None:
        total(twice(silent()))

    execution = project.start(flow)
    wait_until(lambda: len(execution.jobs) == 3)
    execution.stop()
    execution.wait(60)
    assert execution.status == "STOPPED"
    assert {str(j.status) for j in execution.jobs} == {"STOPPED"}


def wait_until(ready: Any, seconds: float = 60.0) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if ready():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come")


def test_a_yield_blocks_while_too_many_items_wait(project: af.Project) -> None:
    most = [0]
    used = [0]
    gate = threading.Event()

    @af.job(buffer=5)
    def eager() -> Iterator[int]:
        for i in range(30):
            most[0] = max(most[0], i - used[0])
            if i == 5:
                gate.set()
            yield i

    @af.job
    def slow(item: int) -> None:
        gate.wait(30)
        used[0] = item + 1

    @af.workflow
    def flow() -> None:
        slow(eager())

    execution = project.run(flow, timeout=60)
    assert execution.job("slow").number == 30
    assert most[0] <= 7


def test_12_a_job_with_a_rule_takes_a_stream_from_its_own_start_on() -> None:
    @af.job
    def ticking() -> Iterator[int]:
        for n in range(6):
            af.current().wait_stop(10)
            yield n

    @af.job
    def late(items: af.Stream) -> list[int]:
        return list(items)

    @af.workflow
    def flow() -> None:
        stream = ticking()
        total(stream)
        late(stream).start_on(af.event("now"))

    execution = simulate(flow, [(35, "now", None)]).execution
    assert execution.result("total") == 15
    assert execution.result("late") == [3, 4, 5]


def test_latest_gives_the_newest_item_only(project: af.Project) -> None:
    go = threading.Event()

    @af.job
    def quick() -> Iterator[int]:
        yield 0
        yield from range(1, 30)
        go.set()

    @af.job(latest=True)
    def slow(item: int) -> int:
        go.wait(30)
        return item

    @af.job(latest=True)
    def slow_stream(items: af.Stream) -> list[int]:
        go.wait(30)
        return list(items)

    @af.workflow
    def flow() -> None:
        stream = quick()
        slow(stream)
        slow_stream(stream)

    execution = project.run(flow, timeout=60)
    assert execution.results("slow")[-1] == 29
    assert len(execution.results("slow")) <= 2
    assert execution.result("slow_stream") == [29]


def test_outputs_of_a_stream_go_their_own_ways(project: af.Project) -> None:
    @af.job(outputs=2)
    def pairs() -> Iterator[tuple[int, str]]:
        yield 1, "a"
        yield 2, "b"

    @af.job
    def texts(items: af.Stream) -> list[str]:
        return list(items)

    @af.workflow
    def flow() -> None:
        number, text = pairs()
        plus(number)
        texts(text)

    execution = project.run(flow, timeout=60)
    assert execution.results("plus") == [2, 3]
    assert execution.result("texts") == ["a", "b"]


def test_an_item_of_the_wrong_width_fails_the_stream_and_names_both_numbers(project: af.Project) -> None:
    @af.job(outputs=2)
    def triples() -> Iterator[Any]:
        yield 1, 2, 3

    @af.workflow
    def flow() -> None:
        plus(triples()[0])

    with pytest.raises(af.ExecutionFailed, match="declares 2 outputs and yielded 3 values"):
        project.run(flow, timeout=60)


def test_state_that_is_no_json_fails_the_job_and_says_so(project: af.Project, runner: str) -> None:
    @af.job
    def odd() -> Iterator[int]:
        af.current().state["it"] = object()
        yield 1

    @af.workflow(runner=runner)
    def flow() -> None:
        plus(odd())

    with pytest.raises(af.ExecutionFailed, match="the state of job 'odd'"):
        project.run(flow, timeout=60)


def test_the_state_of_a_batch_job_is_kept_when_it_succeeds_and_only_then(project: af.Project, runner: str) -> None:
    @af.job(retries=1, retry_delay=0)
    def count(item: int) -> int:
        me = af.current()
        me.state["calls"] = me.state.get("calls", 0) + 1
        if me.number == 2 and me.attempt == 1:
            raise ValueError("at first")
        return int(me.state["calls"])

    @af.workflow(runner=runner)
    def flow() -> None:
        count(numbers.options(runner="thread")(3))

    assert project.run(flow, timeout=60).results("count") == [1, 2, 3]


def test_it_is_shown_how_many_items_a_stream_has_emitted(project: af.Project, runner: str) -> None:
    @af.workflow(runner=runner)
    def flow() -> None:
        total(numbers(1234))
        plus(numbers(3))

    execution = project.run(flow, timeout=60)
    assert [execution.job(job).label for job in ("numbers", "numbers_2", "total")] == ["1,234 items", "3 items", None]


def test_given_items_stand_for_a_stream(project: af.Project) -> None:
    @af.workflow
    def flow() -> None:
        total(twice(numbers(N)))

    assert project.run(flow, given={"numbers": [1, 2, 3]}, timeout=60).result("total") == 12


def test_a_stream_that_is_left_out_of_a_part_has_to_be_given_as_what_it_is(project: af.Project) -> None:
    @af.workflow
    def flow() -> None:
        stream = numbers(N)
        total(stream)
        plus(stream)

    project.run(flow, timeout=60)
    with pytest.raises(af.ParameterError, match="numbers is a stream, and its items are not kept.*given="):
        project.run(flow, only=["total"])
    with pytest.raises(af.ParameterError, match="plus runs once for each item of numbers"):
        project.run(flow, only=["plus"], given={"numbers": [1]})
    assert project.run(flow, only=["total"], given={"numbers": [1, 2]}, timeout=60).result("total") == 3


def test_an_inline_project_runs_streams_beside_its_jobs(aiflow_project: af.Project) -> None:
    @af.workflow
    def flow() -> None:
        stream = numbers(N)
        plus(stream)
        total(stream)

    execution = aiflow_project.run(flow)
    assert execution.results("plus") == list(range(1, N + 1))
    assert execution.result("total") == 780


def test_a_stream_that_waits_lets_a_test_go_on(aiflow_project: af.Project) -> None:
    @af.job
    def patient() -> Iterator[int]:
        yield 1
        af.current().wait_stop()

    @af.workflow
    def flow() -> None:
        stream = patient()
        plus(stream)
        total(stream)

    execution = aiflow_project.start(flow)
    af_testing_idle(aiflow_project)
    assert execution.results("plus") == [2]
    execution.stop()
    af_testing_idle(aiflow_project)
    assert execution.status == "STOPPED"


def af_testing_idle(project: af.Project) -> None:
    from aiflow.testing import run_until_idle

    run_until_idle(project)
