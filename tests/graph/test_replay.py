"""Rule 35: the state is a fold over the log, from its start or from a snapshot, whole or cut off anywhere."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.graph.sim import JOB, ME, Sim, wander
from tests.strategies import KEYS, examples, histories, workflows

from aiflow.graph.condition import event
from aiflow.graph.event import Draft
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow
from aiflow.replaying import replay

quick = examples(20)
ENDS = (None, None, "quiet", "never")


@job
def a(*inputs): ...


@job
def b(*inputs): ...


def test_35_what_was_decided_and_not_written_is_given_and_stays_to_be_said():
    @workflow
    def w():
        b(a())

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert sim.story() == ["RUNNING", "a RUNNING", "a FAILED", "b SKIPPED", "FAILED"]
    state = sim.fresh()
    missing = replay(state, sim.events[:3])
    assert [d.value["status"] for d in missing] == ["SKIPPED"]
    assert list(state.outbox) == missing


def test_35_events_for_others_do_not_reach_it():
    @workflow(ends="never")
    def w():
        a().start_on(event("go"))

    sim = Sim(w)
    mine, now = sim.events, len(sim.events)
    for number, other in enumerate(
        [
            Draft("go", context="another"),
            Draft("execution:w", {"action": "stop"}, "REQUESTED", execution_id="another"),
            Draft("job:a", {"status": "RUNNING", "number": 1, "attempt": 1}, JOB, execution_id="another"),
            Draft("execution:w", {"action": "taken_over", "owner": "x"}, "REQUESTED", execution_id=ME, context=ME),
        ]
    ):
        mine.append(sim._event(other, now + number + 1))
    state = sim.fresh()
    assert replay(state, mine) == []
    assert state.dump() == sim.state.dump()


def test_35_events_from_before_it_started_and_after_it_ended_change_nothing():
    @workflow
    def w():
        a().start_on(event("go"))

    sim = Sim(w)
    sim.publish("go")
    sim.end("a")
    before, after = sim._event(Draft("go"), 0), sim._event(Draft("go"), 99)
    state = sim.fresh()
    assert replay(state, [before, *sim.events, after]) == []
    assert state.dump() == sim.state.dump()


@quick
@given(workflows(ends=ENDS), histories())
def test_35_replaying_a_log_through_the_same_definition_gives_the_same_state_and_leaves_nothing_to_say(drawn, history):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=KEYS)
    state = sim.fresh()
    assert replay(state, sim.events) == []
    assert state.dump() == sim.state.dump()


@quick
@given(workflows(ends=ENDS), histories(), st.integers(0, 200))
def test_35_a_log_that_was_cut_off_anywhere_goes_on_as_it_did(drawn, history, at):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=KEYS, calm=True)
    at = min(at, len(sim.log) - 1)
    missing = replay(sim.fresh(), sim.events[:at])
    following = [d for e, d in zip(sim.events[at:], missing, strict=False) if _says(e, d)]
    assert following == missing


def _says(written, draft):
    return (written.key, written.type, written.value) == (draft.key, draft.type, draft.value)


@quick
@given(workflows(ends=ENDS), histories(), st.integers(0, 200))
def test_35_a_snapshot_and_the_events_since_give_the_same_as_all_events(drawn, history, at):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=KEYS)
    at = min(at, len(sim.log))
    half = sim.fresh()
    replay(half, sim.events[:at])
    state = sim.fresh().load(json.loads(json.dumps(half.dump())))
    assert replay(state, sim.events[at:]) == []
    assert state.dump() == sim.state.dump()


def test_35_a_log_of_another_definition_leaves_something_to_say():
    @workflow
    def w(edge: bool):
        x = a()
        b(x) if edge else b().start_on(x.succeeded)

    sim = Sim(w, edge=False)
    sim.end("a", "FAILED")
    assert [d.value["status"] for d in replay(Sim(w, edge=True).fresh(), sim.events[:3])] == ["SKIPPED"]
    assert replay(Sim(w, edge=False).fresh(), sim.events) == []
