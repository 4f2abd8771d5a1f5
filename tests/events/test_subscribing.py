"""Subscribers get each event once and in order; none is in another's way; a named one goes on where it was."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from tests import invariants
from tests.children import child, until
from tests.events import deeds
from tests.faults import Disk

import aiflow as af
from aiflow.store.log import EventFilter
from aiflow.testing import ManualClock, run_until_idle
from aiflow.turns import Entry


class Collector:
    """A callback that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[af.Event] = []

    def __call__(self, event: af.Event) -> None:
        self.events.append(event)

    @property
    def values(self) -> list[Any]:
        return [e.value for e in self.events]


@pytest.fixture
def seen() -> Collector:
    return Collector()


def publish(project: af.Project, *numbers: int, key: str = "k") -> None:
    for number in numbers:
        project.publish(key, number)


def settled(project: af.Project) -> None:
    run_until_idle(project)


def test_a_subscriber_gets_later_events_in_order(project: af.Project, seen: Collector) -> None:
    publish(project, 1)
    with project.subscribe(seen):
        publish(project, 2, 3, 4)
        settled(project)
    publish(project, 5)
    assert seen.values == [2, 3, 4]
    assert [e.offset for e in seen.events] == [2, 3, 4]


def test_who_wants_other_keys_is_not_even_asked(project: af.Project, seen: Collector) -> None:
    asked: list[str] = []

    class Counted(EventFilter):
        def fits(self, event: af.Event) -> bool:
            asked.append(event.key)
            return super().fits(event)

    subscribe = project._shared.engine.subscriptions.subscribe
    many = [subscribe(print, Counted(f"other.{n}"), None, None, "events") for n in range(1000)]
    wants_it, wants_all = (subscribe(seen, Counted(keys), None, None, "events") for keys in ("k", None))
    project.publish("k", 1)
    settled(project)
    assert (asked, seen.values) == (["k", "k"], [1, 1])
    for one in (*many, wants_it, wants_all):
        one.close()
    deliveries = project._shared.engine.deliveries
    assert (deliveries.subscriptions, deliveries._by_key, deliveries._for_all) == ({}, {}, {})


def test_a_subscriber_gets_what_fits(project: af.Project) -> None:
    by = {
        "glob": (dict(keys="s.*"), [1, 2]),
        "several": (dict(keys=["s.a", "t"]), [1, 3]),
        "type": (dict(types="T"), [2]),
        "namespace": (dict(namespaces="far"), [3]),
        "sender": (dict(senders="me"), [1]),
        "all": (dict(), [1, 2, 3]),
    }
    found = {name: Collector() for name in by}
    for name, (filters, _) in by.items():
        project.subscribe(found[name], **filters)
    project.publish("s.a", 1, sender="me")
    project.publish("s.b", 2, type="T")
    project.publish("t", 3, namespace="far")
    settled(project)
    assert {name: found[name].values for name in by} == {name: wanted for name, (_, wanted) in by.items()}


@pytest.mark.parametrize("since", ["start", 0, 2, "now", None, "time"])
def test_a_subscriber_begins_where_it_says(tmp_path: Path, seen: Collector, since: Any) -> None:
    clock = ManualClock()
    with af.Project("events", home=tmp_path / "home", clock=clock) as project:
        publish(project, 1, 2)
        clock.advance(10)
        middle = clock.time
        publish(project, 3)
        project.subscribe(seen, since=middle if since == "time" else since)
        publish(project, 4)
        settled(project)
        assert seen.values == {"start": [1, 2, 3, 4], 0: [1, 2, 3, 4], 2: [3, 4], "time": [3, 4]}.get(since, [4])


def test_past_and_present_meet_without_gap_or_double(project: af.Project, seen: Collector) -> None:
    publish(project, *range(2500))
    stop = threading.Event()

    def go_on() -> None:
        number = 2500
        while not stop.is_set():
            project.publish("k", number)
            number += 1

    publishing = threading.Thread(target=go_on)
    publishing.start()
    project.subscribe(seen, since="start")
    until(lambda: len(seen.events) > 3000)
    stop.set()
    publishing.join()
    settled(project)
    assert seen.values == list(range(len(seen.values)))
    assert len(seen.values) == project.events.count()


def test_a_slow_subscriber_reads_from_the_log_what_it_could_not_keep_in_mind(
    project: af.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiflow.events import deliveries

    held, seen = threading.Event(), Collector()

    def slow(event: af.Event) -> None:
        held.wait(20)
        seen(event)

    project.subscribe(slow)
    count = deliveries.BACKLOG + 3000
    project.publish("k", 0)
    for first in range(1, count, 1000):
        project.publish_many([("k", n) for n in range(first, min(first + 1000, count))])
    held.set()
    until(lambda: len(seen.events) == count, 60)
    assert seen.values == list(range(count))


def test_one_that_raises_is_recorded_and_passed_over(
    project: af.Project, seen: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(event: af.Event) -> None:
        if event.value == 2:
            raise ValueError("not two")
        seen(event)

    other = Collector()
    project.subscribe(picky)
    project.subscribe(other)
    with caplog.at_level(logging.CRITICAL):
        publish(project, 1, 2, 3)
        settled(project)
    assert seen.values == [1, 3]
    assert other.values == [1, 2, 3]
    failed = project._store.rows("SELECT offset, handler, error FROM failed_events")
    assert [(offset, error) for offset, _, error in failed] == [(2, "ValueError: not two")]
    assert "picky" in failed[0][1]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), af.Stopped("no"), af.Skip("no"), GeneratorExit()], ids=repr
)
def test_one_that_raises_what_is_no_exception_is_passed_over_too(
    project: af.Project, seen: Collector, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def leaving(event: af.Event) -> None:
        seen(event)
        if event.value == 1:
            raise error

    with caplog.at_level(logging.CRITICAL), project.subscribe(leaving):
        publish(project, 1, 2)
        settled(project)
    assert seen.values == [1, 2]
    assert project._store.rows("SELECT offset FROM failed_events") == [(1,)]


def test_ones_that_block_are_in_nobodys_way(project: af.Project, seen: Collector) -> None:
    held, blocked = threading.Event(), []

    def block(event: af.Event) -> None:
        blocked.append(event)
        held.wait(30)

    for _ in range(40):  # more than there are threads for deliveries
        project.subscribe(block)
    publish(project, 1)
    project.subscribe(seen)
    publish(project, 2)
    until(lambda: seen.values == [2])
    until(lambda: len(blocked) == 40)
    held.set()
    settled(project)
    assert len(blocked) == 80


def test_one_that_publishes_gets_what_it_published(project: af.Project, seen: Collector) -> None:
    def answer(event: af.Event) -> None:
        seen(event)
        if event.value < 5:
            project.publish("k", event.value + 1)

    project.subscribe(answer, keys="k")
    publish(project, 1)
    until(lambda: seen.values == [1, 2, 3, 4, 5])


def test_one_may_subscribe_and_close_from_within(project: af.Project, seen: Collector) -> None:
    subscriptions: list[Any] = []

    def change(event: af.Event) -> None:
        subscriptions[0].close()
        subscriptions.append(project.subscribe(seen))

    subscriptions.append(project.subscribe(change))
    publish(project, 1)
    until(lambda: len(subscriptions) == 2)
    publish(project, 2)
    settled(project)
    assert seen.values == [2]


def test_a_named_one_goes_on_after_the_last_event_whose_callback_returned(tmp_path: Path) -> None:
    first, second, third = Collector(), Collector(), Collector()
    with af.Project("events", home=tmp_path / "home") as project:
        project.subscribe(first, keys="k", name="worker", since="start")
        publish(project, 1, 2)
        settled(project)
    with af.Project("events", home=tmp_path / "home") as project:
        publish(project, 3)
        project.subscribe(second, keys="k", name="worker", since="start")
        publish(project, 4)
        settled(project)
    with af.Project("another", home=tmp_path / "home") as project:
        project.subscribe(third, keys="k", name="worker", since="start")
        settled(project)
    assert first.values == [1, 2]
    assert second.values == [3, 4]
    assert third.values == [1, 2, 3, 4], "names are per namespace"


def test_a_name_is_held_by_one_subscription_at_a_time(project: af.Project, seen: Collector) -> None:
    with project.subscribe(seen, keys="k", name="worker"):
        with pytest.raises(af.Conflict, match=r"'worker' of 'events' is open already, in this process.*another name"):
            project.subscribe(seen, name="worker")
        project.subscribe(seen, keys="none", name="another").close()
        publish(project, 1)
    with project.subscribe(seen, keys="k", name="worker"):
        publish(project, 2)
        settled(project)
    assert seen.values == [1, 2]


def test_a_name_that_another_process_holds_is_free_when_that_dies(tmp_path: Path, seen: Collector) -> None:
    home = str(tmp_path / "home")
    with child(deeds.subscribe_and_wait, home, "worker") as one, af.Project("events", home=home) as project:
        one.hear_of("subscribed")
        with pytest.raises(af.Conflict, match=rf"is open already, in process {one.pid} on "):
            project.subscribe(seen, name="worker")
        one.kill()
        with project.subscribe(seen, name="worker"):
            publish(project, 1)
            settled(project)
    assert seen.values == [1]


def test_a_name_of_a_subscription_that_could_not_be_made_is_free(project: af.Project, seen: Collector) -> None:
    disk = Disk(project)
    disk.full = True
    with pytest.raises(af.StoreError):
        project.subscribe(seen, name="worker")
    disk.full = False
    project.subscribe(seen, name="worker").close()


def test_a_named_one_passes_over_what_it_failed_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: af.Event) -> None:
        raise ValueError(event.value)

    seen = Collector()
    with af.Project("events", home=tmp_path / "home") as project, caplog.at_level(logging.CRITICAL):
        project.subscribe(fail, keys="k", name="worker")
        publish(project, 1)
        settled(project)
        assert project._store.rows("SELECT offset, handler FROM failed_events") == [(1, "worker")]
    with af.Project("events", home=tmp_path / "home") as project:
        project.subscribe(seen, keys="k", name="worker")
        publish(project, 2)
        settled(project)
    assert seen.values == [2]


def test_a_named_one_that_was_killed_handles_again_only_what_it_was_at(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    with af.Project("events", home=home) as project:
        project.publish_many([("work", n) for n in range(10)])
    with child(deeds.handle_and_die, home, "worker", 6) as one:
        handled = [one.hear() for _ in range(6)]
        assert one.process.wait(20) < 0
    assert handled == [str(n) for n in range(6)]
    seen = Collector()
    with af.Project("events", home=home) as project:
        project.subscribe(seen, keys="work", name="worker", since="start")
        until(lambda: len(seen.events) >= 4)
        settled(project)
    assert seen.values[-4:] == [6, 7, 8, 9]
    assert (
        len(seen.values) <= 5
    )  # the last that was handled may come again: it is saved after the callback has returned
    invariants.check(tmp_path / "home")


def test_a_full_disk_loses_no_event_of_a_subscriber(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen, again, disk_full_at = Collector(), Collector(), 3

    def handle(event: af.Event) -> None:
        disk.full = event.value >= disk_full_at
        seen(event)
        if event.value == 4:
            raise ValueError("four")

    with af.Project("events", home=tmp_path / "home") as project, caplog.at_level(logging.CRITICAL):
        disk = Disk(project)
        project.subscribe(handle, keys="k", name="worker")
        project.publish_many([("k", n) for n in range(8)])
        settled(project)
        assert disk.refused >= 4
        disk.full = False
    assert seen.values == list(range(8))
    with af.Project("events", home=tmp_path / "home") as project:
        project.subscribe(again, keys="k", name="worker")
        settled(project)
    assert again.values == list(range(3, 8)), "what could not be saved as handled comes again"


def test_what_was_saved_after_a_full_disk_covers_what_came_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen, again = Collector(), Collector()

    def handle(event: af.Event) -> None:
        disk.full = event.value == 2
        seen(event)

    with af.Project("events", home=tmp_path / "home") as project, caplog.at_level(logging.CRITICAL):
        disk = Disk(project)
        project.subscribe(handle, keys="k", name="worker")
        project.publish_many([("k", n) for n in range(5)])
        settled(project)
    with af.Project("events", home=tmp_path / "home") as project:
        project.subscribe(again, keys="k", name="worker")
        settled(project)
    assert (seen.values, again.values) == ([0, 1, 2, 3, 4], [])


def test_a_subscription_in_a_batch_that_failed_is_there_once(project: af.Project, seen: Collector) -> None:
    engine = project._shared.engine
    held = threading.Event()
    threads = [threading.Thread(target=lambda: engine.submit(Entry(lambda: held.wait(20))))]
    threads[0].start()
    until(lambda: not engine.turns.is_idle)

    def raise_it() -> None:
        def fail() -> None:
            raise ValueError("not this one")

        with pytest.raises(ValueError, match="not this one"):
            engine.submit(Entry(fail))

    threads += [threading.Thread(target=project.subscribe, args=(seen,)), threading.Thread(target=raise_it)]
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(engine.turns._inbox) == 2)
    held.set()
    for thread in threads:
        thread.join()
    publish(project, 1)
    settled(project)
    assert seen.values == [1]


def test_closing_a_subscription_ends_it_after_what_it_is_at(project: af.Project, seen: Collector) -> None:
    begun, held = threading.Event(), threading.Event()

    def slow(event: af.Event) -> None:
        begun.set()
        held.wait(20)
        seen(event)

    subscription = project.subscribe(slow)
    publish(project, 1, 2, 3)
    begun.wait(20)
    closing = threading.Thread(target=subscription.close)
    closing.start()
    until(lambda: subscription.closed)
    held.set()
    closing.join()
    assert seen.values == [1]
    publish(project, 4)
    settled(project)
    assert seen.values == [1]


def test_looking_for_events_of_others_ends_with_the_last_who_wants_them(project: af.Project, seen: Collector) -> None:
    ticker = project._shared.engine.ticker
    first, second = project.subscribe(seen), project.subscribe(seen)
    assert ticker.is_watching
    first.close()
    first.close()
    assert ticker.is_watching
    second.close()
    assert not ticker.is_watching


def test_a_callback_that_is_none_is_refused(project: af.Project) -> None:
    with pytest.raises(af.ParameterError, match="subscribe takes a function"):
        project.subscribe("k")  # type: ignore[arg-type]
