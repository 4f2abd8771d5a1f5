"""Rules 5, 6, 8 and 9 for one rule by itself: a table of what comes and what then fires."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import composites, event_leaves, examples

from aiflow.graph.condition import event
from aiflow.graph.rule import Progress

X, Y, Z = event("x"), event("y"), event("z")


def play(condition, story):
    """Give what fires: for each key of `story` (a number is a pause) that fires, the keys of its events."""
    progress, leaves, time, keys, fired = Progress(condition), list(condition.leaves()), 0.0, [""], []
    for step in story:
        if isinstance(step, int | float):
            time += step
            continue
        keys.append(step)
        touched = [n for n, leaf in enumerate(leaves) if leaf.key in (step, "*")]
        offsets = progress.take(touched, len(keys) - 1, time) if touched else None
        if offsets is not None:
            assert offsets == sorted(set(offsets))
            fired.append("".join(keys[o] for o in offsets))
    return fired


@pytest.mark.parametrize(
    ("condition", "story", "fired"),
    [
        # leaves, all, any
        (X, "xyx", ["x", "x"]),
        (X & Y, "xy", ["xy"]),
        (X & Y, "yx", ["yx"]),
        (X & Y, "xxyy", ["xy"]),
        (X & Y, "xyxy", ["xy", "xy"]),
        (X | Y, "xyx", ["x", "y", "x"]),
        (X & (Y | Z), "yxxz", ["yx", "xz"]),
        # in (a & b) | c fired by c, the latch of a is consumed too; it met nothing, so it is not among the events
        ((X & Y) | Z, "xzy", ["z"]),
        ((X & Y) | Z, "xzyx", ["z", "yx"]),
        (((X & Y) | Z).times(2), "xzyz", ["zz"]),
        ((X | Y) & Z, "yxz", ["yxz"]),  # both alternatives are met
        # one event may meet several leaves
        (event("*") & X, "x", ["x"]),
        (event("*") & X, "yx", ["x"]),
        # sticky
        (X.sticky() & Y, "xyyy", ["xy", "xy", "xy"]),
        (X.sticky() & Y, "yxxy", ["yx", "xy"]),
        (X.sticky(), "xx", ["x", "x"]),
        ((X & Y).sticky() & Z, "xyzz", ["xyz", "xyz"]),
        (X.sticky() | Y, "xy", ["x", "xy"]),
        (X.sticky().sticky() & Y, "xyy", ["xy", "xy"]),
        # times
        (X.times(1), "xx", ["x", "x"]),
        (X.times(2), "xxxxx", ["xx", "xx"]),
        (X.times(2) & Y, "xyxy", ["xyx"]),
        (X.times(2) & Y, "xxxxxy", ["xxy"]),  # it keeps the newest
        ((X & Y).times(2), "xyxxy", ["xyxy"]),
        ((X | Y).times(2), "xy", ["xy"]),
        (X.times(2) | Y, "xyx", ["y"]),
        (X.times(2).times(2), "xxxx", ["xxxx"]),
        (X.times(2).sticky() & Y, "xxyy", ["xxy", "xxy"]),
        ((X.sticky() & Y).times(2), "xyy", ["xyy"]),
        ((event("*") & X).times(2), "xx", ["xx"]),
        # what is met for good is counted only when something touches it
        (X.sticky().times(2) & Y, "xyx", ["xyx"]),
        (X.sticky().times(2).within(5), "xx", ["xx"]),
        # within
        ((X & Y).within(5), ["x", 5, "y"], ["xy"]),
        ((X & Y).within(5), ["x", 6, "y", "x"], ["yx"]),
        ((X & Y).within(5), ["x", 3, "x", 5, "y"], ["xy"]),
        ((X & Y).within(0), ["x", "y"], ["xy"]),
        (X.times(2).within(5), ["x", 6, "x", 5, "x"], ["xx"]),
        (X.within(5).times(2), ["x", 60, "x"], ["xx"]),
        (X.within(5) & Y, ["x", 60, "y"], ["xy"]),
        ((X & Y).within(5).times(2), ["x", "y", 60, "x", "y"], ["xyxy"]),
        ((X & Y).times(2).within(5), ["x", "y", 60, "x", "y"], []),
        ((X & Y).times(2).within(5), ["x", "y", 60, "x", "y", 5, "x", "y"], ["xyxy"]),
        ((X.sticky() & Y).within(5), ["x", "y", 5, "y", 6, "y"], ["xy", "xy"]),
        (((X & Y) | Z).within(5), ["x", 9, "z", "y", "x"], ["z", "yx"]),
    ],
)
def test_9_what_fires_and_by_which_events(condition, story, fired):
    assert play(condition, story) == fired


def test_9_a_latch_keeps_its_newest_event():
    progress = Progress(X & Y)
    progress.take([0], 1, 0.0)
    progress.take([0], 7, 0.0)
    assert progress.take([1], 9, 0.0) == [7, 9]


def test_9_what_is_counted_does_not_pile_up():
    progress = Progress(X.times(3) & Y)
    for offset in range(1, 1000):
        progress.take([0], offset, 0.0)
    assert len(progress.meetings[0]) == 3
    assert progress.take([1], 1000, 0.0) == [997, 998, 999, 1000]


stories = st.lists(st.sampled_from(("go", "stop", "tick", 1, 3)), max_size=30)


@examples(40)
@given(composites(event_leaves(own=False)), stories, st.integers(0, 30))
def test_a_progress_that_went_through_json_goes_on_as_if_it_had_not(condition, story, at):
    progress = other = Progress(condition)
    leaves, time = list(condition.leaves()), 0.0
    for offset, step in enumerate(story, 1):
        if offset == at:
            other = Progress(condition).load(json.loads(json.dumps(progress.dump())))
        if isinstance(step, int):
            time += step
            continue
        keys = {step, "t*" if step == "tick" else step}
        touched = [n for n, leaf in enumerate(leaves) if keys & set(leaf.keys_heard)]
        if not touched:
            continue
        fired = progress.take(touched, offset, time)
        if other is not progress:
            assert other.take(touched, offset, time) == fired
            assert other.dump() == progress.dump()


@examples(40)
@given(composites(event_leaves(own=False), refined=False), stories)
def test_a_condition_without_refinements_fires_as_plain_logic_says(condition, story):
    keys = [leaf.keys_heard[0] for leaf in condition.leaves()]

    def met_by(part, seen, numbers):
        parts = getattr(part, "parts", None)
        if parts is None:
            return {seen[number]} if (number := next(numbers)) in seen else set()
        met = [met_by(p, seen, numbers) for p in parts]
        return set().union(*met) if all(met) or type(part).__name__ == "Any_" else set()

    progress, seen = Progress(condition), {}
    for offset, step in enumerate(story, 1):
        touched = [n for n, key in enumerate(keys) if key in (step, "t*" if step == "tick" else step)]
        if not touched or isinstance(step, int):
            continue
        seen |= dict.fromkeys(touched, offset)
        expected = sorted(met_by(condition, seen, iter(range(len(keys))))) or None
        assert progress.take(touched, offset, 0.0) == expected
        if expected:
            seen = {}
