"""The line between a stream and who takes it: marks that become checkpoints, giving again, and what a failure spoils."""

from typing import Any

from aiflow.runners.channel import Channel, Mark


class Saved:
    """Keeps the states of the checkpoints that were saved."""

    def __init__(self) -> None:
        self.states: list[dict[str, str]] = []

    def mark(self, *channels: Channel, state: str = "s") -> Mark:
        mark = Mark(self.states.append)
        mark.states["source"] = state
        for channel in channels:
            channel.put_mark(mark)
        mark.arrive()
        return mark


def passed(channel: Channel, state: str | None = None) -> Any:
    """Take what is next; a mark is passed."""
    item = channel.take()
    if type(item) is Mark:
        if state is not None:
            item.states["taker"] = state
        item.arrive()
    return item


def test_29_a_mark_is_saved_when_all_who_take_have_come_to_it() -> None:
    saved, one, other = Saved(), Channel(10), Channel(10)
    mark = saved.mark(one, other)
    passed(one)
    assert not mark.is_saved
    passed(other, "t")
    assert mark.is_saved
    assert saved.states == [{"source": "s", "taker": "t"}]


def test_a_mark_with_nobody_to_come_to_it_is_saved_at_once() -> None:
    saved, closed = Saved(), Channel(10)
    closed.close()
    assert saved.mark(closed).is_saved
    assert saved.mark().is_saved
    assert len(saved.states) == 2


def test_a_mark_of_which_there_is_nothing_to_save_is_just_passed() -> None:
    saved, channel = Saved(), Channel(10)
    mark = Mark(saved.states.append)
    channel.put_mark(mark)
    mark.arrive()
    passed(channel)
    assert mark.is_saved
    assert saved.states == []


def test_29_who_is_retried_gets_again_what_it_took_since_the_last_checkpoint() -> None:
    saved, channel = Saved(), Channel(10, keeps=True)
    channel.put(1)
    saved.mark(channel)
    channel.put(2)
    channel.put(3)
    taken = [passed(channel) for _ in range(4)]
    assert [i for i in taken if type(i) is int] == [1, 2, 3]
    channel.put(4)
    channel.rewind()
    assert list(channel.items) == [2, 3, 4]


def test_a_mark_that_is_given_again_waits_for_who_takes_it_again() -> None:
    saved, channel, other = Saved(), Channel(10, keeps=True), Channel(10)
    channel.put(1)
    mark = saved.mark(channel, other)
    passed(channel), passed(channel)
    channel.rewind()
    passed(other)
    assert not mark.is_saved
    passed(channel), passed(channel)
    assert mark.is_saved
    assert list(channel.items) == []


def test_who_takes_no_more_lets_marks_go_and_who_has_failed_spoils_them() -> None:
    saved, channel = Saved(), Channel(10)
    channel.put(1)
    mark = saved.mark(channel)
    channel.close()
    assert mark.is_saved
    assert len(saved.states) == 1
    broken = Channel(10)
    spoilt = saved.mark(broken)
    broken.close(is_broken=True)
    assert (spoilt.is_saved, spoilt.is_spoilt) == (True, True)
    assert saved.mark(broken).is_spoilt
    assert len(saved.states) == 1


def test_latest_keeps_the_newest_item_and_all_marks() -> None:
    saved, channel = Saved(), Channel(2, latest=True)
    for item in range(5):
        channel.put(item)
        if item == 2:
            saved.mark(channel)
    assert not channel.is_full
    found = [passed(channel), passed(channel)]
    assert (type(found[0]), found[1]) == (Mark, 4)


def test_who_waits_for_room_is_woken_when_half_of_the_line_is_empty() -> None:
    woken: list[int] = []
    channel = Channel(4)
    for item in range(4):
        channel.put(item)
    assert channel.is_full
    channel.on_room = lambda: woken.append(len(channel.items))
    for _ in range(3):
        channel.take()
    assert woken == [2]


def test_who_waits_for_an_item_is_woken_once() -> None:
    woken: list[str] = []
    channel = Channel(4)
    channel.on_item = lambda: woken.append("item")
    channel.put(1)
    channel.put(2)
    assert woken == ["item"]
    channel.on_item = lambda: woken.append("end")
    channel.end()
    assert woken == ["item", "end"]
