"""Rule 36: places of runners, first come first served, and named limits that count across executions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

from aiflow.graph.admission import Admission, Ticket


def ticket(owner, runner="thread", takes_slot=True, **limits):
    return Ticket(owner, 0, runner, limits, takes_slot)


def admitted(admission):
    out = []
    while (one := admission.admit()) is not None:
        out.append(one)
    return out


def owners(tickets):
    return [t.owner for t in tickets]


def test_as_many_are_admitted_as_there_are_places_first_come_first_served():
    admission = Admission({"thread": 2})
    for owner in "abcd":
        admission.offer(ticket(owner))
    first = admitted(admission)
    assert owners(first) == ["a", "b"]
    admission.release(first[1])
    assert owners(admitted(admission)) == ["c"]


def test_a_runner_without_a_number_of_places_takes_all():
    admission = Admission({"flink": None})
    for owner in "abc":
        admission.offer(ticket(owner, "flink"))
        admission.offer(ticket(owner, "unknown"))
    assert len(admitted(admission)) == 6


def test_a_full_runner_does_not_hold_up_another():
    admission = Admission({"thread": 1, "process": 1})
    for owner in "ab":
        admission.offer(ticket(owner, "thread"))
        admission.offer(ticket(owner, "process"))
    assert sorted(t.runner for t in admitted(admission)) == ["process", "thread"]


def test_what_takes_no_place_is_admitted_to_a_full_runner():
    admission = Admission({"thread": 1})
    admission.offer(ticket("a"))
    admission.offer(ticket("stream", takes_slot=False))
    assert owners(admitted(admission)) == ["a", "stream"]


def test_36_a_limit_counts_across_owners_and_runners():
    admission = Admission({}, {"gpu": 2})
    for owner, runner in (("a", "thread"), ("b", "process"), ("c", "thread")):
        admission.offer(ticket(owner, runner, gpu=1))
    first = admitted(admission)
    assert len(first) == 2
    admission.release(first[0])
    assert len(admitted(admission)) == 1


def test_36_a_limit_without_a_size_is_one():
    admission = Admission()
    for owner in "ab":
        admission.offer(ticket(owner, licence=1))
    assert owners(admitted(admission)) == ["a"]


def test_36_what_waits_for_a_limit_holds_up_nobody_else():
    admission = Admission({"thread": 2}, {"gpu": 1})
    for owner, limits in (("a", {"gpu": 1}), ("b", {"gpu": 1}), ("c", {})):
        admission.offer(ticket(owner, **limits))
    assert owners(admitted(admission)) == ["a", "c"]


def test_36_what_waited_for_a_limit_comes_first_when_it_is_free_in_its_order():
    admission = Admission({"thread": 2}, {"gpu": 1})
    for owner in "abc":
        admission.offer(ticket(owner, gpu=1))
    (first,) = admitted(admission)
    admission.offer(ticket("d"))
    admission.offer(ticket("e"))
    assert owners(admitted(admission)) == ["d"]
    admission.release(first)
    assert owners(admitted(admission)) == ["b"]


def test_36_a_job_that_needs_more_than_there_is_runs_alone():
    admission = Admission({}, {"gpu": 2})
    admission.offer(ticket("small", gpu=1))
    admission.offer(ticket("huge", gpu=5))
    (small,) = admitted(admission)
    admission.release(small)
    (huge,) = admitted(admission)
    assert huge.owner == "huge"
    admission.offer(ticket("small", gpu=1))
    assert admitted(admission) == []


def test_36_several_limits_are_taken_together_or_not_at_all():
    admission = Admission({}, {"gpu": 1, "disk": 1})
    admission.offer(ticket("a", gpu=1))
    admission.offer(ticket("b", gpu=1, disk=1))
    admission.offer(ticket("c", disk=1))
    first = admitted(admission)
    assert owners(first) == ["a", "c"]
    admission.release(first[0])
    assert admitted(admission) == []
    admission.release(first[1])
    assert owners(admitted(admission)) == ["b"]


def test_36_who_needs_much_of_a_limit_is_not_passed_by_those_who_need_little_and_came_later():
    admission = Admission({}, {"gpu": 4})
    for owner in "abcd":
        admission.offer(ticket(owner, gpu=1))
    running = admitted(admission)
    admission.offer(ticket("large", gpu=4))
    assert admitted(admission) == []
    for later in range(4):
        admission.offer(ticket(later, gpu=1))
        admission.release(running.pop())
        assert owners(admitted(admission)) == (["large"] if later == 3 else [])


def test_36_who_waits_for_a_limit_is_not_passed_on_another_runner_either():
    admission = Admission({"thread": 1, "process": 1}, {"gpu": 1})
    admission.offer(ticket("first", "process", gpu=1))
    (first,) = admitted(admission)
    admission.offer(ticket("second", "thread", gpu=1))
    assert admitted(admission) == []
    admission.offer(ticket("other", "thread"))
    (other,) = admitted(admission)
    admission.release(first)
    admission.offer(ticket("third", "process", gpu=1))
    assert admitted(admission) == [], "the second waits for a thread, and its turn at the limit is kept"
    admission.release(other)
    assert owners(admitted(admission)) == ["second"]


def test_36_who_waits_for_two_limits_comes_to_both_in_its_turn():
    admission = Admission({}, {"gpu": 1, "disk": 1})
    for owner, limits in (("g", {"gpu": 1}), ("d", {"disk": 1}), ("both", {"gpu": 1, "disk": 1})):
        admission.offer(ticket(owner, **limits))
    on_gpu, on_disk = admitted(admission)
    for round in range(5):
        admission.offer(ticket(f"g{round}", gpu=1))
        admission.offer(ticket(f"d{round}", disk=1))
    admission.release(on_gpu)
    assert admitted(admission) == [], "nobody who came later passes the one that needs both"
    admission.release(on_disk)
    assert owners(admitted(admission)) == ["both"]


def test_36_those_who_wait_for_a_limit_are_forgotten_with_their_owner_and_the_next_ones_go_on():
    admission = Admission({}, {"gpu": 2})
    for owner, amount in (("a", 1), ("b", 2), ("c", 1)):
        admission.offer(ticket(owner, gpu=amount))
    assert owners(admitted(admission)) == ["a"]
    admission.forget("b")
    assert owners(admitted(admission)) == ["c"]


def test_36_one_release_looks_at_few_of_those_who_wait():
    admission = Admission({}, {"gpu": 1})
    for owner in range(1000):
        admission.offer(ticket(owner, gpu=1))
    (running,) = admitted(admission)
    admission.release(running)
    assert sum(map(len, admission.waiting.values())) == 1


def test_a_place_given_back_by_mistake_can_be_taken_back():
    admission = Admission({"thread": 1})
    admission.offer(ticket("a"))
    admission.offer(ticket("b"))
    (first,) = admitted(admission)
    admission.release(first)
    admission.retake(first)
    assert admitted(admission) == []


limits = st.dictionaries(st.sampled_from(("gpu", "disk")), st.integers(1, 3), max_size=2)
tickets = st.tuples(st.sampled_from(("thread", "process", "other")), limits)


@examples(40)
@given(st.lists(tickets, max_size=15), st.lists(st.integers(0, 10**6), max_size=30), st.integers(1, 3))
def test_36_no_place_or_limit_is_overdrawn_and_everybody_runs_in_the_end(offered, choices, places):
    admission = Admission({"thread": places, "process": 1}, {"gpu": 2})
    held, done, pending = [], [], [ticket(n, r, **names) for n, (r, names) in enumerate(offered)]
    pending.reverse()
    for choice in [*choices, *[1] * 100]:
        if choice % 2 == 0 and pending:
            admission.offer(pending.pop())
        elif held:
            one = held.pop(choice % len(held))
            admission.release(one)
            done.append(one)
        elif pending:
            admission.offer(pending.pop())
        held += admitted(admission)
        for runner, size in (("thread", places), ("process", 1)):
            assert sum(t.runner == runner for t in held) <= size
        for name, size in (("gpu", 2), ("disk", 1)):
            takers = [t.limits[name] for t in held if name in t.limits]
            assert sum(takers) <= size or len(takers) == 1
    assert sorted(owners(done)) == list(range(len(offered)))
    assert not any(admission.used.values())
    assert not any(admission.taken.values())


@pytest.mark.parametrize("same", [True, False])
def test_tickets_of_one_runner_keep_their_order_whoever_offers(same):
    admission = Admission({"thread": 1})
    given_in = [ticket("x" if same else n) for n in range(5)]
    for one in given_in:
        admission.offer(one)
    out = []
    while (one := admission.admit()) is not None:
        out.append(one)
        admission.release(one)
    assert all(a is b for a, b in zip(out, given_in, strict=True))
