"""What every runner must do, as one suite; and the host, port and works that the tests of runners use.

The port is a real one: it keeps events and labels in memory and answers as the engine would.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.errors import Conflict, Skip, Stopped
from aiflow.graph.event import Draft, Event
from aiflow.graph.execution import RunKey
from aiflow.graph.job import Job, JobOptions
from aiflow.runners.base import Call, Ended, Runner
from aiflow.runners.channel import Channel, ChannelStream
from aiflow.runners.context import JobContext
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition that other threads or processes bring about, and give what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.002)
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class MemoryPort:
    """A port whose log is a list."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.labels: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.commit: Callable[[], None] = lambda: None
        self.over: set[RunKey] = set()
        self._lock = threading.Lock()

    def publish(self, key: RunKey, drafts: list[Draft]) -> list[Event]:
        if key in self.over:
            raise Stopped("this attempt is over")
        self.commit()
        with self._lock:
            if any(d.dedupe_key == "taken" for d in drafts):
                raise Conflict("the dedupe_key 'taken' was used before")
            events = [Event(len(self.log) + i, *draft[:7], time.time()) for i, draft in enumerate(drafts, 1)]
            self.log.extend(events)
        return events

    def set_label(self, key: RunKey, text: str) -> None:
        self.labels[key.job] = text

    def events(self, offsets: Iterable[int], key: RunKey) -> list[Event]:
        return [self.log[offset - 1] for offset in offsets]

    def project(self) -> Any:
        return "the project"

    def load_state(self, key: RunKey) -> str | None:
        return self.states.get(key.job)


class ListOutlet:
    """An outlet that keeps what comes, with the state that came along."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.states: list[str | None] = []
        self.ended: list[Ended] = []
        self.context: Any = None
        self.most = 1_000_000
        self.wakers: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        return len(self.items) >= self.most

    def has_room(self) -> bool:
        return not self.is_full

    def when_room(self, wake: Callable[[], None]) -> None:
        self.wakers.append(wake)

    def let_in(self, most: int) -> None:
        self.most = most
        while self.wakers:
            self.wakers.pop()()

    def accept(self, item: Any, state: str | None, truth: Any = None) -> bool:
        self.items.append(item)
        self.states.append(state)
        return not self.is_full

    def emit(self, item: Any) -> None:
        if not self.accept(item, self.context.dump_state()):
            self.context.wait_for(self.has_room, self.when_room)

    def finish(self, ended: Ended) -> None:
        self.ended.append(ended)


class Host:
    """What a runner sees of a project."""

    def __init__(self, home: Path, workers: int = 4) -> None:
        self.home, self.workers = home, workers
        self.codec = Codec(Blobs(home / "blobs"))
        self.serializers = ()

    def encode(self, value: Any, what: str) -> Stored:
        return self.codec.encode(value, what)


class OneWork:
    """One attempt of a job."""

    def __init__(
        self, bench: "Bench", function: Callable[..., Any], args: Any, kwargs: Any, options: JobOptions
    ) -> None:
        name = options.name or function.__name__
        self.key = RunKey("execution-1", name, next(bench.numbers), 1)
        self.options, self.asked_outputs, self.element = options, bench.asked, None
        self.job, self.outlet = Job(function, options), bench.outlet
        self.log_path = bench.home / "logs" / f"{self.key.number}.log"
        self.context = JobContext(
            self.key,
            bench.port,
            namespace="testing",
            workflow="bench",
            params={"k": 5},
            context="eu",
            event_offsets=bench.offsets,
            cause=1,
            scratch=bench.home / "scratch" / str(self.key.number),
        )
        if self.outlet is not None:
            self.outlet.context = self.context
        self._call = Call(function, args, kwargs)
        self.ends: list[Ended] = []
        self.over = threading.Event()

    def load(self) -> Call:
        return self._call

    def done(self, work: Any, ended: Ended) -> None:
        assert work is self
        self.ends.append(ended)
        self.over.set()

    def wait(self, seconds: float = 60.0) -> Ended:
        assert self.over.wait(seconds), f"{self.key.job} has not ended within {seconds} s"
        return self.ends[0]

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""


class Bench:
    """A runner with all that it needs, to run single functions on."""

    shares_objects = False
    """Whether items are handed on as the objects that they are."""

    def __init__(self, home: Path, make: Callable[[Host], Runner]) -> None:
        self.home, self.port, self.host = home, MemoryPort(), Host(home)
        self.numbers = iter(range(1, 1_000_000))
        self.offsets: tuple[int, ...] = ()
        self.asked: tuple[int | str | None, ...] = ()
        self.outlet: ListOutlet | None = None
        self.runner = make(self.host)

    def start(
        self,
        function: Callable[..., Any],
        *args: Any,
        _options: dict[str, Any] | None = None,
        stream: Channel | None = None,
        **kwargs: Any,
    ) -> OneWork:
        work = OneWork(self, function, args, kwargs, JobOptions(**(_options or {})))
        if stream is not None:
            items = ChannelStream(stream, work.context, lambda mark: None, None, self.host.codec.decode)
            work._call = Call(function, (items,), {})
        self.runner.start(work, work.done)
        return work

    def run(
        self, function: Callable[..., Any], *args: Any, _options: dict[str, Any] | None = None, **kwargs: Any
    ) -> Ended:
        return self.start(function, *args, _options=_options, **kwargs).wait()

    def value(self, ended: Ended) -> Any:
        assert ended.outcome == "SUCCESS", ended
        return ended.value if ended.stored is None else self.host.codec.decode(ended.stored)

    def items(self) -> list[Any]:
        """The items that have come so far, read if they came from another process."""
        assert self.outlet is not None
        return [self.host.codec.decode(i) if isinstance(i, Stored) else i for i in self.outlet.items]

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.value(self.run(function, *args, **kwargs))


class RunnerContract:
    """Derive from it and give the fixture `bench`."""

    @pytest.mark.parametrize(
        "value", [None, 7, "ü\n", [1, {"a": None}], (1, 2), {1: b"x"}, 1e300, range(100_000)], ids=str
    )
    def test_a_value_comes_back_as_it_was(self, bench: Bench, value: Any) -> None:
        back = bench.call(lambda: value)
        assert back == value
        assert type(back) is type(value)

    def test_arguments_arrive_by_place_and_by_name(self, bench: Bench) -> None:
        assert bench.call(lambda *args, **kwargs: [args, kwargs], 1, [2], x={"y": 3}) == [(1, [2]), {"x": {"y": 3}}]

    def test_a_closure_and_what_it_closes_over_arrive(self, bench: Bench) -> None:
        offset = 40

        def add(x: int) -> int:
            return x + offset

        assert bench.call(add, 2) == 42

    def test_an_exception_fails_the_job_with_its_type_text_and_traceback(self, bench: Bench) -> None:
        def explode() -> None:
            raise ZeroDivisionError("nothing left")

        ended = bench.run(explode)
        assert ended.outcome == "FAILED"
        assert ended.retryable
        assert ended.error is not None
        assert (ended.error.type, ended.error.message) == ("ZeroDivisionError", "nothing left")
        assert "in explode" in ended.error.traceback
        assert 'raise ZeroDivisionError("nothing left")' in ended.error.traceback
        assert "perform" not in ended.error.traceback

    def test_an_exception_with_two_arguments_keeps_its_text(self, bench: Bench) -> None:
        class Broken(Exception):
            def __init__(self, name: str, number: int) -> None:
                super().__init__(f"{name} is {number}")

        def explode() -> None:
            raise Broken("k", 3)

        error = bench.run(explode).error
        assert error is not None
        assert error.message == "k is 3"
        assert error.type.endswith("Broken")

    def test_retry_on_is_judged_where_the_exception_is(self, bench: Bench) -> None:
        class Temporary(Exception):
            pass

        def explode(kind: type[Exception]) -> None:
            raise kind("again")

        options = {"retry_on": (Temporary,)}
        assert bench.run(explode, Temporary, _options=options).retryable
        assert not bench.run(explode, ValueError, _options=options).retryable

    def test_a_recursion_without_end_fails_the_job_only(self, bench: Bench) -> None:
        def recurse(n: int) -> int:
            return recurse(n + 1)

        error = bench.run(recurse, 0).error
        assert error is not None
        assert error.type == "RecursionError"
        assert bench.call(lambda: "fine") == "fine"

    def test_sys_exit_fails_the_job_only(self, bench: Bench) -> None:
        def leave() -> None:
            raise SystemExit(0)

        ended = bench.run(leave)
        assert ended.outcome == "FAILED"
        assert ended.error is not None
        assert ended.error.type == "SystemExit"
        assert bench.call(lambda: "fine") == "fine"

    def test_skip_skips_with_its_reason(self, bench: Bench) -> None:
        def skip() -> None:
            raise Skip("no new rows")

        ended = bench.run(skip)
        assert (ended.outcome, ended.reason) == ("SKIPPED", "no new rows")

    def test_18_stopped_that_nobody_asked_for_is_a_failure_like_any_other(self, bench: Bench) -> None:
        def stop() -> None:
            raise Stopped("enough")

        ended = bench.run(stop)
        assert (ended.outcome, str(ended.error)) == ("FAILED", "Stopped: enough")

    def test_a_wrong_number_of_outputs_fails_and_names_both_numbers(self, bench: Bench) -> None:
        ended = bench.run(lambda: (1, 2, 3), _options={"outputs": 2})
        assert ended.outcome == "FAILED"
        assert not ended.retryable
        assert "declares 2 outputs" in str(ended.error)
        assert "returned 3" in str(ended.error)

    def test_named_outputs_come_by_name(self, bench: Bench) -> None:
        assert bench.call(lambda: (1, 2), _options={"outputs": ("x", "y")}) == {"x": 1, "y": 2}

    def test_what_run_if_asks_is_answered(self, bench: Bench) -> None:
        bench.asked = (None,)
        assert bench.run(lambda: []).truth is False
        assert bench.run(lambda: [0]).truth is True
        bench.asked = ("y",)
        assert bench.run(lambda: {"x": 1, "y": 0}, _options={"outputs": ("x", "y")}).truth == {"y": False}

    def test_current_tells_a_job_who_it_is(self, bench: Bench) -> None:
        def who() -> list[Any]:
            me = af.current()
            me.scratch.joinpath("mine.txt").write_text("here")
            return [me.execution_id, me.job, me.number, me.attempt, me.params, me.context, me.workflow, str(me.scratch)]

        work = bench.start(who)
        found = bench.value(work.wait())
        assert found[:-1] == ["execution-1", "who", work.key.number, 1, {"k": 5}, "eu", "bench"]
        assert Path(found[-1], "mine.txt").read_text() == "here"

    def test_events_are_published_in_order_and_come_back_with_their_offsets(self, bench: Bench) -> None:
        def count() -> list[Any]:
            return [af.current().publish(f"n{i}", {"i": i}).offset for i in range(50)]

        assert bench.call(count) == list(range(1, 51))
        assert [e.value["i"] for e in bench.port.log] == list(range(50))
        event = bench.port.log[0]
        assert (event.namespace, event.sender, event.execution_id) == ("testing", "count", "execution-1")

    def test_publish_returns_only_when_the_event_is_committed(self, bench: Bench, tmp_path: Path) -> None:
        asked, go_on, mark = threading.Event(), threading.Event(), tmp_path / "after"

        def commit() -> None:
            asked.set()
            assert go_on.wait(20)

        def tell() -> None:
            af.current().publish("x")
            mark.touch()

        bench.port.commit = commit
        work = bench.start(tell)
        assert asked.wait(20)
        assert not mark.exists()
        go_on.set()
        assert work.wait().outcome == "SUCCESS"
        assert mark.exists()

    def test_threads_of_a_job_may_publish_at_once(self, bench: Bench) -> None:
        def crowd() -> int:
            from concurrent.futures import ThreadPoolExecutor

            me = af.current()
            with ThreadPoolExecutor(8) as pool:
                return len({e.offset for e in pool.map(lambda i: me.publish("x", i), range(80))})

        assert bench.call(crowd) == 80
        assert sorted(e.value for e in bench.port.log) == list(range(80))

    def test_a_job_reads_what_started_it(self, bench: Bench) -> None:
        def look() -> list[Any]:
            me = af.current()
            return [me.event.value, [e.value for e in me.events]]

        key = RunKey("other", "sender", 1, 1)
        bench.port.publish(key, [Draft("a", 1), Draft("a", 2), Draft("a", 3)])
        assert bench.call(look) == [1, []]
        bench.offsets = (2, 3)
        assert bench.call(look) == [3, [2, 3]]

    def test_errors_of_the_engine_reach_the_job_as_what_they_are(self, bench: Bench) -> None:
        def twice() -> str:
            try:
                af.current().publish("x", dedupe_key="taken")
            except Conflict as error:
                return str(error)
            return "nothing"

        assert bench.call(twice) == "the dedupe_key 'taken' was used before"

    def test_what_an_ended_attempt_still_calls_is_refused(self, bench: Bench) -> None:
        def go_on() -> None:
            af.current().publish("x")

        work = OneWork(bench, go_on, (), {}, JobOptions())
        bench.port.over.add(work.key)
        bench.runner.start(work, work.done)
        assert "is over" in str(work.wait().error)
        assert bench.port.log == []

    def test_a_label_is_shown(self, bench: Bench) -> None:
        bench.call(lambda: af.current().set_label("half done"), _options={"name": "worker"})
        assert bench.port.labels == {"worker": "half done"}

    def test_what_is_printed_and_logged_is_in_the_log_when_the_end_is_told(self, bench: Bench) -> None:
        def talk() -> None:
            print("printed ü")
            logging.getLogger("mine").warning("logged %d", 1)
            af.current().logger.error("by the job")

        work = bench.start(talk)
        work.wait()
        assert "printed ü\n" in work.log
        assert "WARNING mine: logged 1\n" in work.log
        assert "ERROR aiflow.job.talk: by the job\n" in work.log

    def test_a_function_that_looks_sees_the_stop_and_ends_by_itself(self, bench: Bench) -> None:
        def patient() -> str:
            af.current().set_label("waiting")
            assert af.current().wait_stop(30)
            return f"stopping: {af.current().stopping}"

        work = bench.start(patient)
        until(lambda: bench.port.labels)
        bench.runner.stop(work)
        assert bench.value(work.wait()) == "stopping: True"

    def test_what_a_generator_yields_goes_out_in_order_and_what_it_returns_is_its_value(self, bench: Bench) -> None:
        def count() -> Iterator[Any]:
            for i in range(120):
                yield {"i": i}
            return "done"

        bench.outlet = ListOutlet()
        assert bench.call(count) == "done"
        assert bench.items() == [{"i": i} for i in range(120)]
        assert [e.outcome for e in bench.outlet.ended] == ["SUCCESS"]

    def test_the_state_of_a_job_goes_out_with_each_item_and_with_its_end(self, bench: Bench) -> None:
        def count() -> Iterator[int]:
            state = af.current().state
            for i in range(state["from"], 3):
                state["from"] = i + 1
                yield i
            state["done"] = True

        bench.port.states["count"] = '{"from":1}'
        bench.outlet = ListOutlet()
        ended = bench.run(count)
        assert bench.items() == [1, 2]
        assert bench.outlet.states == ['{"from":2}', '{"from":3}']
        assert ended.state == '{"from":3,"done":true}'

    def test_28_state_that_is_no_json_data_fails_the_job(self, bench: Bench) -> None:
        def odd() -> int:
            af.current().state["it"] = {1, 2}
            return 1

        ended = bench.run(odd)
        assert ended.outcome == "FAILED"
        assert "the state of job 'odd'" in str(ended.error)

    def test_a_generator_that_is_asked_to_stop_is_closed_at_its_yield(self, bench: Bench, tmp_path: Path) -> None:
        def endless(mark: str) -> Iterator[int]:
            try:
                while True:
                    yield 1
                    af.current().wait_stop(0.002)
            except GeneratorExit:
                Path(mark).touch()
                raise

        bench.outlet = ListOutlet()
        work = bench.start(endless, str(tmp_path / "closed"))
        until(lambda: bench.outlet is not None and bench.outlet.items)
        bench.runner.stop(work)
        assert work.wait().outcome == "STOPPED"
        assert (tmp_path / "closed").exists()

    def test_29_a_yield_waits_while_there_is_no_room_and_a_stop_wakes_it(self, bench: Bench) -> None:
        def eager() -> Iterator[int]:
            yield from range(10)

        bench.outlet = outlet = ListOutlet()
        outlet.most = 3
        work = bench.start(eager, _options={"buffer": 1})
        until(lambda: outlet.wakers)
        assert bench.items() == [0, 1, 2]
        outlet.let_in(5)
        until(lambda: outlet.wakers)
        assert bench.items() == [0, 1, 2, 3, 4]
        bench.runner.stop(work)
        assert work.wait().outcome == "STOPPED"

    def test_an_item_that_cannot_travel_fails_the_job_and_names_its_type(self, bench: Bench) -> None:
        def odd() -> Iterator[Any]:
            yield threading.Lock()

        bench.outlet = ListOutlet()
        ended = bench.run(odd)
        if bench.shares_objects:
            assert ended.outcome == "SUCCESS"
        else:
            assert ended.outcome == "FAILED"
            assert "lock" in str(ended.error)

    def test_a_job_takes_the_items_of_a_stream_as_an_iterator(self, bench: Bench) -> None:
        channel = Channel(1000)
        for i in range(300):
            channel.put(i)

        def add(items: af.Stream[int]) -> int:
            return sum(items)

        work = bench.start(add, stream=channel)
        channel.put(1_000_000)
        channel.end()
        assert bench.value(work.wait()) == 1_000_000 + 300 * 299 // 2

    def test_a_job_that_waits_for_an_item_is_woken_by_a_stop(self, bench: Bench) -> None:
        channel = Channel(1000)
        channel.put(1)

        def add(items: af.Stream[int]) -> int:
            af.current().set_label("runs")
            return sum(items)

        work = bench.start(add, stream=channel)
        until(lambda: bench.port.labels and not channel.items and channel.on_item is not None)
        bench.runner.stop(work)
        assert work.wait().outcome == "STOPPED"

    def test_the_end_is_told_once_whatever_comes_after(self, bench: Bench) -> None:
        work = bench.start(lambda: 1)
        work.wait()
        bench.runner.stop(work)
        bench.runner.stop(work)
        assert bench.call(lambda: 2) == 2
        assert len(work.ends) == 1

    def test_several_run_at_the_same_time(self, bench: Bench, tmp_path: Path) -> None:
        def meet(name: str, folder: str) -> bool:
            Path(folder, name).touch()
            end = time.monotonic() + 20
            while len(os.listdir(folder)) < 3 and time.monotonic() < end:
                time.sleep(0.002)
            return len(os.listdir(folder)) == 3

        folder = tmp_path / "meeting"
        folder.mkdir()
        works = [bench.start(meet, name, str(folder)) for name in "abc"]
        assert all(bench.value(w.wait()) for w in works)

    def test_reading_the_arguments_may_fail(self, bench: Bench) -> None:
        work = OneWork(bench, print, (), {}, JobOptions())

        def load() -> Call:
            raise LookupError("the value of 'rows' is gone")

        work.load = load  # type: ignore[method-assign]
        bench.runner.start(work, work.done)
        ended = work.wait()
        assert ended.outcome == "FAILED"
        assert "the value of 'rows' is gone" in str(ended.error)
