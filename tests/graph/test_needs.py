"""What a state that is kept asks of the past: whatever happens later, nothing else of before is asked for (rule 40)."""

import json

from hypothesis import given
from tests.graph.sim import Sim, finish, wander
from tests.strategies import KEYS, examples, histories, workflows

from aiflow.graph.needs import events_named, first_runs_wanted


@examples(25)
@given(workflows(), histories(), histories())
def test_40_what_a_state_does_not_name_is_never_asked_for_again(drawn, history, later):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=KEYS)
    state = json.loads(json.dumps(sim.state.dump()))
    named, wanted = events_named(state), first_runs_wanted(state)
    items = {index: job["items"] for index, job in state["jobs"].items()}
    head, before = max((e.offset for e, _ in sim.log), default=0), dict(sim.starts)
    wander(sim, later, keys=KEYS)
    finish(sim)
    for who, start in sim.starts.items():
        if before.get(who) is not start:
            assert {offset for offset in start.events if offset <= head} <= named, sim.story()
            for up, number in start.inputs:
                if drawn.nodes[up].is_stream and number > items.get(str(up), 0):
                    continue  # an item of later: items are counted over all runs of their stream
                assert number >= wanted.get(up, number), sim.story()
