"""`simulate`: virtual time, and an order that follows from a seed. What is simulated is the real engine in a real store."""

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.invariants import check

import aiflow as af
from aiflow.errors import Conflict, NotFound, ParameterError
from aiflow.testing import Simulation, progress, simulate

DAY = 86_400.0


@af.job
def load() -> list[int]:
    return [1, 2, 3]


@af.job
def left(rows: list[int]) -> int:
    return sum(rows)


@af.job
def right(rows: list[int]) -> int:
    return len(rows)


@af.job
def join(a: int, b: int) -> float:
    return a / b


@af.workflow
def diamond() -> None:
    rows = load()
    join(left(rows), right(rows))


@af.job
def answer() -> Any:
    event = af.current().event
    return None if event is None else event.value


@af.workflow
def answering() -> None:
    answer().start_on(af.event("asked"))


@af.workflow(start_on=af.event("never"))
def served() -> None:
    load()


def ends(simulation: Simulation) -> list[str]:
    """The jobs in the order in which they ended."""
    return [e.key[4:] for e in simulation.events if e.key.startswith("job:") and e.value["status"] == "SUCCESS"]


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_tells_the_same_story() -> None:
    events = [((0, 100), f"other.{i}", i) for i in range(20)] + [(100, "asked", {"n": 1}), ("unasked", {"n": 2})]
    first, second = (simulate(answering, events, seed=7, until=200, durations={"answer": 3}) for _ in range(2))
    assert first.story == second.story
    assert len(first.story) > 25
    assert [e.id for e in first.executions] == [e.id for e in second.executions]


def test_the_same_seed_tells_the_same_story_in_another_process(tmp_path: Path) -> None:
    file = tmp_path / "etl.py"
    file.write_text(
        "import aiflow as af\nfrom aiflow.testing import simulate\n"
        "@af.job\ndef a(x): return x\n"
        "@af.workflow(start_on=af.event('go*', where=lambda e: e.value > 1), if_running='parallel')\n"
        "def etl():\n    a(a(a(1))); [a(n) for n in range(9)]\n"
        "events = [('go.' + name, n) for n, name in enumerate('abcdef')]\n"
        "print('\\n'.join(simulate(etl, events, seed=3, crashes=3).story))\n"
    )
    children = [
        subprocess.Popen([sys.executable, file], env={**os.environ, "PYTHONHASHSEED": number}, stdout=subprocess.PIPE)
        for number in ("1", "2")  # sets of texts have another order
    ]
    first, second = (child.communicate()[0].decode() for child in children)
    assert first == second
    assert "the process died" in first


def test_another_seed_has_another_order_where_it_is_free_and_the_same_outcome() -> None:
    simulations = [simulate(diamond, seed=seed) for seed in range(12)]
    assert {tuple(ends(one)) for one in simulations} == {
        ("load", "left", "right", "join"),
        ("load", "right", "left", "join"),
    }
    assert {one.execution.result("join") for one in simulations} == {2.0}


def test_events_of_no_certain_time_come_in_any_order_and_those_of_one_time_in_theirs() -> None:
    loose = [
        simulate(answering, [("asked", 1), ("asked", 2)], seed=seed).execution.results("answer") for seed in range(9)
    ]
    assert {tuple(one) for one in loose} >= {(1, 2), (2, 1)}
    timed = [simulate(answering, [(5, "asked", 1), (5, "asked", 2)], seed=seed).execution for seed in range(9)]
    assert {tuple(one.results("answer")) for one in timed} <= {(1,), (1, 2)}  # it may be over when the second one comes


def test_events_of_no_certain_time_come_before_or_after_time_has_moved() -> None:
    @af.workflow
    def hourly() -> None:
        answer().start_on(af.every(3600) & af.event("asked"))

    hours = set()
    for seed in range(8):
        (asked,) = (e for e in simulate(hourly, [("asked", 1)], seed=seed, until=DAY).events if e.key == "asked")
        hours.add(asked.time.hour)
    assert len(hours) > 3
    assert simulate(answering, [("asked", 1)]).end == datetime(2026, 1, 1, tzinfo=UTC)  # nothing else is due: at once


def test_the_seed_is_in_the_repr_in_the_story_and_at_what_is_raised() -> None:
    simulation = simulate(diamond, seed=41)
    assert repr(simulation) == "<simulation of diamond with seed=41: 1 SUCCESS>"
    assert simulation.story[0].startswith("simulation of diamond with seed=41 from 2026-01-01 00:00:00 UTC")
    with pytest.raises(ParameterError) as caught:
        simulate(diamond, seed=42, durations={"lode": 3})
    assert "did you mean" in str(caught.value)
    assert caught.value.__notes__ == ["in the simulation of diamond with seed=42"]


# --- time -----------------------------------------------------------------------------------------------------------


def test_jobs_take_the_virtual_time_that_is_said() -> None:
    simulation = simulate(diamond, durations={"left": 60, "right": 45.5})
    assert {job.job: job.seconds for job in simulation.execution.jobs} == {
        "load": 0,
        "left": 60,
        "right": 45.5,
        "join": 0,
    }
    assert simulation.end - simulation.start == timedelta(seconds=60)
    events = [(0, "asked", 1), (10, "asked", 2), (59, "asked", 3)]
    numbered = simulate(answering, events, durations=lambda job, number: 20 * number)
    assert [job.seconds for job in numbered.execution.jobs] == [20, 40, 60]


def test_retries_and_timeouts_take_virtual_time() -> None:
    @af.job(retries=3, retry_delay=600, retry_backoff=2)
    def flaky() -> int:
        if af.current().attempt < 3:
            raise OSError("not yet")
        return 7

    @af.job(timeout=30)
    def slow() -> None: ...

    @af.workflow
    def patient() -> None:
        flaky()
        slow()

    for seed in range(4):
        simulation = simulate(patient, durations={"slow": 60}, seed=seed)
        execution = simulation.execution
        assert execution.result("flaky") == 7
        assert execution.job("slow").reason == "timed out after 30 s"
        assert execution.job("slow").seconds in (30, 60)  # a thread hears of it at once, or only at its end
        assert execution.status == "FAILED"
        assert simulation.end - simulation.start == timedelta(seconds=1800)


def test_a_job_can_wait_itself_and_hears_of_being_stopped_meanwhile() -> None:
    @af.job
    def beating() -> int:
        count = 0
        while not af.current().wait_stop(60):
            count += 1
            af.current().publish("beat", count)
        return count

    @af.job
    async def sleeping() -> float:
        await asyncio.sleep(100)
        return asyncio.get_running_loop().time()

    @af.workflow
    def waiting() -> None:
        beating().stop_on(af.event("beat", 5))
        sleeping()
        af.observe(lambda: "fine", name="watch").stop_on(af.event("beat", 3))

    simulation = simulate(waiting)
    execution = simulation.execution
    assert execution.status == "SUCCESS"
    assert {job.job: job.seconds for job in execution.jobs} == {"beating": 300, "sleeping": 100, "watch": 180}
    assert execution.result("sleeping") == simulation.start.timestamp() + 100


def test_a_job_can_wait_for_another_execution() -> None:
    @af.job
    def outer() -> float:
        return float(diamond.run().result("join"))

    @af.workflow
    def nesting() -> None:
        outer()
        load()

    simulation = simulate(nesting, durations={"left": 60})
    assert [one.workflow for one in simulation.executions] == ["nesting", "diamond"]
    assert simulation.executions[0].result("outer") == 2.0
    assert simulation.executions[0].job("outer").seconds == 60  # type: ignore[union-attr]
    assert simulation.executions[0].job("load").seconds == 0  # type: ignore[union-attr]


def test_what_is_waited_for_with_a_timeout_times_out_in_virtual_time() -> None:
    told: list[str] = []

    @af.job
    def impatient() -> None:
        project, execution = af.project(), answering.start()
        for act in (lambda: execution.wait(timeout=60), lambda: project.run(answering, timeout=3600)):
            with pytest.raises(TimeoutError) as caught:
                act()
            told.append(str(caught.value))

    @af.workflow
    def waiting() -> None:
        impatient()

    simulation = simulate(waiting)
    assert "still RUNNING after 60 s" in told[0]
    assert "took longer than 3600 s and was stopped" in told[1]
    assert simulation.executions[0].job("impatient").seconds == 3660  # type: ignore[union-attr]


def test_a_day_of_cron_and_many_events_take_a_moment() -> None:
    heard: list[int] = []

    @af.job
    def tick() -> None: ...

    @af.workflow(start_on=af.cron("*/10 * * * *"))
    def often() -> None:
        tick()

    @af.job
    def note() -> None:
        heard.append(af.current().event.value)  # type: ignore[union-attr]

    @af.workflow(start_on=af.event("sensor", where=lambda event: event.value % 50 == 0))
    def sensing() -> None:
        note()

    events = [((0, DAY), "sensor", number) for number in range(1000)]
    simulation = simulate(often, events, until=DAY, serve=[sensing], durations={"note": 5})
    counts = Counter(one.workflow for one in simulation.executions)
    assert counts == {"often": 144, "sensing": 20}
    assert sorted(heard) == list(range(0, 1000, 50))
    assert simulation.end - simulation.start == timedelta(days=1)
    assert all(one.status == "SUCCESS" for one in simulation.executions)


def test_what_follows_the_time_ends_at_until_or_when_nothing_else_comes() -> None:
    @af.workflow
    def every_minute() -> None:
        load().start_on(af.every(60))

    short = simulate(every_minute, until=600)
    assert len(short.execution.jobs) == 10
    assert short.execution.status == "RUNNING"
    assert short.story[-1] == "     600.000  every_minute is still RUNNING: it waits for every(60) (starts load)"
    assert simulate(every_minute).execution.jobs == []
    assert len(simulate(every_minute, [(150, "x", 1)]).execution.jobs) == 2
    at = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert len(simulate(every_minute, until=at).execution.jobs) == 5
    summer = datetime(2026, 3, 29, tzinfo=UTC)
    assert simulate(every_minute, until=60, start=summer).events[1].time == summer + timedelta(minutes=1)


# --- what is asked and told -----------------------------------------------------------------------------------------


def test_functions_of_the_user_are_asked_some_time() -> None:
    @af.condition(keys=["number"])
    def enough(event: af.Event, state: dict[str, int]) -> bool:
        state["sum"] = state.get("sum", 0) + event.value
        return state["sum"] >= 10

    @af.workflow(context=lambda event: {"a"} if event.value % 2 else af.BROADCAST)
    def summing() -> None:
        answer().start_on(enough)

    numbers = [(0, "number", n) for n in (2, 1, 4, 4, 8)]
    stories = []
    for seed in range(6):
        simulation = simulate(summing, numbers, seed=seed)
        assert simulation.execution.results("answer") == [4] or simulation.execution.results("answer") == [4, 8]
        stories.append(tuple(simulation.story[1:]))
    assert len(set(stories)) > 1


def test_workflows_with_start_on_are_served_and_their_params_functions_called() -> None:
    @af.job
    def greet(name: str) -> str:
        return f"hello {name}"

    @af.workflow(start_on=af.event("guest"), params=lambda event: {"name": event.value.title()}, if_running="parallel")
    def welcome(name: str = "") -> None:
        greet(name)

    simulation = simulate(welcome, [(1, "guest", "ada"), (2, "guest", "bob")], durations={"greet": 60})
    assert [one.result("greet") for one in simulation.executions] == ["hello Ada", "hello Bob"]
    assert [one.event.value for one in simulation.executions] == ["ada", "bob"]  # type: ignore[union-attr]
    with pytest.raises(ParameterError, match="come with the events"):
        simulate(welcome, params={"name": "x"})


def test_a_workflow_that_a_job_registers_is_served_too() -> None:
    @af.workflow(start_on=af.event("late"))
    def later() -> None:
        load()

    @af.job
    def register() -> None:
        af.project().triggers.register(later, af.event("special"), name="special")

    @af.workflow
    def registering() -> None:
        register()

    simulation = simulate(registering, [(10, "special", 1)], serve=[later])
    assert [one.workflow for one in simulation.executions] == ["registering", "later"]


def test_subscribers_hooks_and_on_failure_are_called_some_time() -> None:
    heard: list[str] = []

    @af.job(on_failure=lambda job: heard.append(job.status))
    def failing() -> None:
        af.subscribe(lambda event: heard.append(event.key), keys="said")
        af.publish("said", 1)
        raise ValueError

    @af.workflow
    def noisy() -> None:
        failing()

    assert simulate(noisy).execution.status == "FAILED"
    assert sorted(heard) == ["FAILED", "said"]


def test_files_that_jobs_write_start_others(tmp_path: Path) -> None:
    @af.job
    def write() -> None:
        (tmp_path / "a.csv").write_text("1")

    @af.job
    def read() -> str:
        return Path(af.current().event.value["path"]).read_text()  # type: ignore[union-attr]

    @af.workflow
    def filing() -> None:
        write()
        read().start_on(af.file(str(tmp_path / "*.csv")))

    for seed in range(3):
        (tmp_path / "a.csv").unlink(missing_ok=True)
        simulation = simulate(filing, until=60, seed=seed)
        assert simulation.execution.results("read") == ["1"]


# --- streams, maps, limits, programs --------------------------------------------------------------------------------


def test_streams_flow_item_by_item_in_an_order_of_the_seed() -> None:
    order: list[str] = []

    @af.job
    def numbers() -> Iterator[int]:
        yield from range(5)

    @af.job
    def double(items: af.Stream[int]) -> Iterator[int]:
        for item in items:
            yield 2 * item

    @af.job
    def single(item: int) -> int:
        order.append(f"single {item}")
        return item

    @af.job(buffer=2)
    def total(items: af.Stream[int]) -> int:
        found = 0
        for item in items:
            order.append(f"total {item}")
            found += item
        return found

    @af.workflow
    def streaming() -> None:
        doubled = double(numbers())
        single(doubled)
        total(doubled)

    orders = set()
    for seed in range(6):
        order.clear()
        simulation = simulate(streaming, seed=seed)
        assert simulation.execution.results("single") == [0, 2, 4, 6, 8]
        assert simulation.execution.result("total") == 20
        orders.add(tuple(order))
    assert len(orders) > 1
    assert simulate(streaming, seed=3).story == simulate(streaming, seed=3).story


def test_maps_places_and_limits_hold() -> None:
    running: list[int] = []
    most: list[int] = []

    @af.job(max_parallel=2)
    def square(n: int) -> int:
        running.append(n)
        most.append(len(running))
        af.current().wait_stop(10)
        running.remove(n)
        return n * n

    @af.workflow
    def mapping() -> None:
        square.map(load())

    simulation = simulate(mapping)
    assert simulation.execution.result("square") == [1, 4, 9]
    assert max(most) == 2
    assert simulation.end - simulation.start == timedelta(seconds=20)

    @af.workflow
    def wide() -> None:
        for _ in range(6):
            load()

    assert simulate(wide, workers=2, durations=lambda job, number: 10).end == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


def test_jobs_of_processes_run_here_and_programs_for_real() -> None:
    @af.job(runner="process")
    def where() -> int:
        return os.getpid()

    @af.job(runner="process")
    def long() -> None: ...

    @af.workflow
    def mixed() -> None:
        where()
        af.command([sys.executable, "-c", "print('said')"], name="say")
        long().stop_on(af.event("enough"))

    execution = simulate(mixed, [(10, "enough", None)], durations={"long": 100}).execution
    assert execution.result("where") == os.getpid()
    assert execution.result("say") == "said"
    assert execution.job("long").seconds == 10  # type: ignore[union-attr]
    assert execution.job("long").status == "STOPPED"  # type: ignore[union-attr]


# --- crashes, homes, ends -------------------------------------------------------------------------------------------


def test_crashes_lose_nothing_whatever_was_under_way(tmp_path: Path) -> None:
    @af.job
    def one(n: int) -> int:
        return n

    @af.job
    def numbers() -> Iterator[int]:
        state = af.current().state
        for n in range(state.get("n", 0), 4):
            state["n"] = n + 1
            yield n

    @af.job
    async def nap() -> None:
        await asyncio.sleep(5)

    @af.workflow(start_on=af.event("go", where=lambda event: event.value > 0), if_running="parallel")
    def fragile() -> None:
        one(numbers())
        nap()
        one.options(name="last", retries=1, retry_delay=3)(7).start_on(af.event("late"))

    died = 0
    for seed in range(8):
        home = tmp_path / str(seed)
        events = [(0, "go", 0), (1, "go", 1), (1, "go", 2), (500, "late", None)]
        simulation = simulate(fragile, events, seed=seed, crashes=2, home=home, durations={"one": 2})
        died += sum("the process died" in line for line in simulation.story)
        assert [one.status for one in simulation.executions] == ["SUCCESS", "SUCCESS"], "\n".join(simulation.story)
        assert [one.results("one") for one in simulation.executions] == [[0, 1, 2, 3]] * 2
        check(home)
    assert died > 8


@af.job(retries=2, retry_delay=5)
def flaky() -> int:
    if af.current().attempt == 1:
        raise ValueError("not yet")
    return 1


@af.job
def plain(*values: Any) -> int:
    return 1


@af.job(timeout=20)
def slow(*values: Any) -> int:
    return 1


@af.job
def counting() -> Iterator[int]:
    state = af.current().state
    for number in range(state.get("next", 0), 6):
        state["next"] = number + 1
        yield number


@af.job(buffer=2, retries=1, retry_delay=1)
def doubling(items: af.Stream[int]) -> Iterator[int]:
    for item in items:
        yield 2 * item


@af.job(limits={"gpu": 1})
def held(number: int) -> int:
    af.current().wait_stop(3)
    return number


@af.job
def pulse() -> None:
    while not af.current().wait_stop(7):
        af.current().publish("pulse")


@af.job
async def nap() -> None:
    await asyncio.sleep(9)


@af.condition(keys=["num"])
def third(event: af.Event, state: dict[str, int]) -> bool:
    state["count"] = state.get("count", 0) + 1
    return state["count"] % 3 == 0


@af.workflow
def everything() -> None:
    first = flaky()
    second, late = plain(first), slow(first)
    plain.options(name="each")(doubling(counting()))
    held.map([1, 2, 3])
    held.options(name="again", if_running="restart")(1).start_on(af.event("go")).stop_on(af.event("halt"))
    plain.options(name="merged", if_running="merge")().start_on(third | af.every(11))
    plain.options(name="odd", if_running="parallel", max_parallel=2)().start_on(
        af.event("go", where=lambda event: event.offset % 2)
    )
    pulse().stop_on(af.event("halt")).restart_on(af.event("more").times(2))
    nap().after(second).restart_on(af.event("go") & af.event("num").sticky())
    plain.options(name="last")(late).run_if(second)


@af.workflow(start_on=af.event("go") & af.event("num"))
def triggered() -> None:
    plain(flaky())


@af.workflow(start_on=af.every(13) & af.event("num", where=lambda event: True), if_running="ignore")
def scheduled() -> None:
    slow()


@pytest.mark.parametrize("seed", range(8))
def test_everything_at_once_in_any_order_and_over_crashes(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    events: list[Any] = [((0, 60), random.choice(["go", "num", "halt", "more"]), number) for number in range(12)]
    events += [(random.choice(["go", "num"]), number) for number in range(4)]
    times = {
        "plain": random.choice([0, 2]),
        "slow": random.choice([0, 30]),
        "each": random.choice([0, 1]),
        "flaky": 1.5,
    }
    simulation = simulate(
        everything, events, seed=seed, until=random.choice([40, 90]), serve=[triggered, scheduled], crashes=3,
        durations=lambda job, number: times.get(job, 0), workers=random.choice([1, 2, 8]), home=tmp_path / "home",
    )  # fmt: skip
    assert len(simulation.story) > 30
    check(simulation.project.home)


def test_what_is_open_here_cannot_be_driven_and_what_is_left_can_be_gone_on_with(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with af.Project(home=home), pytest.raises(Conflict, match="is open in this process"):
        simulate(diamond, home=home)
    first = simulate(answering, home=home)
    assert first.execution.status == "RUNNING"
    with af.Project(home=home) as project:
        assert project.executions.get(first.execution.id).status == "INTERRUPTED"
        assert [one.id for one in project.recover()] == [first.execution.id]
        project.publish("asked", 3)
        assert project.executions.get(first.execution.id).wait().result("answer") == 3
    assert simulate(answering, [("asked", 4)], home=home).execution.result("answer") == 4


def test_a_temporary_home_goes_with_the_last_who_holds_something_of_it() -> None:
    simulation = simulate(diamond)
    home, execution = simulation.project.home, simulation.execution
    del simulation
    gc.collect()
    assert execution.result("join") == 2.0
    del execution
    gc.collect()
    assert not home.exists()


def test_a_job_that_waits_for_what_never_comes_is_let_go_in_the_end() -> None:
    left: list[str] = []

    @af.job
    def stuck() -> None:
        try:
            answering.run()
        finally:
            left.append("let go")

    @af.workflow
    def sticking() -> None:
        stuck()

    simulation = simulate(sticking)
    assert left == ["let go"]
    assert simulation.executions[0].status == "RUNNING"
    assert "stuck (RUNNING)" in simulation.story[-2] + simulation.story[-1]


def test_what_cannot_be_simulated_is_refused() -> None:
    for event in (3, "asked", ("asked", 1, 2), (1, 2, 3), (-1, "asked", 2), ((1, 2, 3), "asked", 4)):
        with pytest.raises(ParameterError, match="an event for a simulation|the time of an event"):
            simulate(answering, [event])
    with pytest.raises(ParameterError, match="simulate takes workflows"):
        simulate(load)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="durations are a dict"):
        simulate(diamond, durations=3)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="only execution"):
        _ = simulate(diamond, [(0, "asked", 1)], serve=[answering], until=1).execution and simulate(served).execution


# --- jobs on Flink --------------------------------------------------------------------------------------------------


@af.job(runner="flink")
def clicks() -> None: ...


@af.job
def hour() -> Any:
    event = af.current().event
    return None if event is None else event.value["at"]


@af.workflow
def by_the_hour() -> None:
    source = clicks()
    hour().start_on(source.watermark.every(3600))
    load.options(name="many")().start_on((source.records >= 1000) & source.succeeded)


def test_what_a_job_on_flink_passes_starts_jobs_once_each_also_when_the_process_dies_and_the_gauges_go_back() -> None:
    hours = (9, 11, 10, 12, 11, 15)
    read = [
        (t, progress("clicks", watermark=f"2026-01-31T{h:02}:30Z", records=h * 100)) for t, h in enumerate(hours, 1)
    ]
    crashed = 0
    for seed in range(12):
        simulation = simulate(
            by_the_hour,
            [*read, (7, progress("clicks", watermark="end"))],
            durations={"clicks": 8},
            seed=seed,
            crashes=3,
        )
        crashed += sum("another one goes on" in line for line in simulation.story)
        execution = simulation.execution
        told = [e.value["at"] for e in simulation.events if e.type == "JOB_PASSED" and "every" in e.value]
        assert told == sorted(set(told)), simulation
        if "clicks was lost" not in "\n".join(simulation.story):  # it was found again, wherever the process died
            assert [at[11:16] for at in told] == [f"{h}:00" for h in range(10, 17)], simulation
            assert execution.results("hour") == told, simulation
        assert len(execution.results("many")) == 1, "\n".join(simulation.story)
    assert crashed > 12


@af.flink_job(stream=True)
def flowing(env): ...


@af.workflow
def flows() -> None:
    flowing().stop_on(af.event("enough"))
    af.observe_flink("ab" * 16, "http://nowhere:8081", name="theirs").stop_on(af.event("enough"))
    flowing.options(name="short")()


def test_streams_on_flink_and_what_is_observed_there_go_on_until_they_are_stopped() -> None:
    simulation = simulate(flows, [(60, "enough", None)], durations={"short": 5}, seed=3, crashes=1)
    ended = {
        e.key[4:]: (str(e.value["status"]), e.time - simulation.start)
        for e in simulation.events
        if e.key.startswith("job:")
    }
    assert {job: (status, after.total_seconds()) for job, (status, after) in ended.items()} == {
        "flowing": ("STOPPED", 60), "theirs": ("STOPPED", 60), "short": ("SUCCESS", 5),
    }  # fmt: skip
    assert simulation.execution.status == "SUCCESS"


def test_progress_that_nobody_can_make_is_refused() -> None:
    for wrong in ({}, {"records": -1}, {"records": True}, {"watermark": "2026-01-31"}):
        with pytest.raises(ParameterError, match="progress|time zone"):
            progress("clicks", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="progress: no job 'click'.*did you mean 'clicks'"):
        simulate(by_the_hour, [(1, progress("click", records=5))])
