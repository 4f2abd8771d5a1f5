"""Keeps the events that wait for what a function of the user says of them, and takes the answers (rule 9).

Knows nothing of what an event that was let through does, and calls no function: that is asked for by a command, done on
a worker, and comes back as an event. For one job, events that concern the same rule are decided in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from aiflow.graph.commands import Ask
from aiflow.graph.event import Event, EventType
from aiflow.graph.plan import GATE, WORKFLOW, Spot
from aiflow.graph.rule import Progress
from aiflow.graph.state import ExecutionState, Gated, Held

__all__ = ["Through", "answered", "ask_again", "drop", "gate", "hold", "is_open", "progress_of"]


class Through(NamedTuple):
    """An event that waits no longer: which leaves it meets, and whether it still has to be tried on the rules."""

    spots: list[Spot]
    offset: int
    time: float
    is_new: bool


def gate(state: ExecutionState, spots: list[Spot], event: Event) -> bool:
    """Keep an event until the workflow's `context` function has said whom it is for; False if it may pass at once.

    An execution's own id always reaches it, and so do its own timers (rule 3).
    """
    if not state.plan.asks_context:
        return False
    is_open = event.context != state.execution_id and event.type != EventType.TIMER_FIRED
    if not is_open and not state.gated:
        return False
    state.gated.append(Gated(event.offset, event.timestamp, spots, is_open))
    state.busy += is_open
    if len(state.gated) == 1:
        state.commands.append(Ask(GATE, 0, 0, event.offset))
    return True


def hold(state: ExecutionState, spots: list[Spot], event: Event) -> list[Spot]:
    """Keep what has to wait for an answer, its own or an earlier one of the same rule; give what may be decided now."""
    by_vertex: dict[int, list[Spot]] = {}
    for spot in spots:
        by_vertex.setdefault(spot[0], []).append(spot)
    free: list[Spot] = []
    for vertex, its in by_vertex.items():
        held = Held(event.offset, event.timestamp)
        for spot in its:
            (held.open if spot in state.plan.asked else held.met).append(spot[1:])
        if not held.open and not any(held.rules & other.rules for other in state.held.get(vertex, ())):
            free += its
            continue
        state.held.setdefault(vertex, []).append(held)
        state.busy += len(held.open)
        _ask_next(state, vertex)
    return free


def _ask_next(state: ExecutionState, vertex: int) -> None:
    """Ask, of each rule, about the first event that is not answered: one question of a rule at a time."""
    asked: set[int] = set()
    for held in state.held.get(vertex, ()):
        for rule, leaf in held.open:
            if rule not in asked:
                asked.add(rule)
                if (rule, leaf) not in held.asked:
                    held.asked.add((rule, leaf))
                    state.commands.append(Ask(vertex, rule, leaf, held.offset))


def answered(state: ExecutionState, event: Event) -> list[Through]:
    """Take an answer; give the events that wait no longer. A second answer to the same question changes nothing."""
    value = event.value
    offset, vertex = value["offset"], _vertex_of(state, event)
    if vertex == GATE:
        return _let_through(state, offset, value["answer"])
    question = (value["rule"], value["leaf"])
    held = next((h for h in state.held.get(vertex, ()) if h.offset == offset and question in h.open), None)
    if held is None:
        return []
    held.open.remove(question)
    state.busy -= 1
    if value["answer"]:
        held.met.append(question)
    if "state" in value:
        progress_of(state, vertex, value["rule"]).memories[value["leaf"]] = value["state"]
    ready = _ready(state, vertex)
    _ask_next(state, vertex)
    return ready


def _vertex_of(state: ExecutionState, event: Event) -> int:
    if event.value.get("about") == "context":
        return GATE
    return state.plan.by_name[event.key[4:]] if event.key.startswith("job:") else WORKFLOW


def _ready(state: ExecutionState, vertex: int) -> list[Through]:
    """Take out what is answered and has nothing unanswered of the same rule before it."""
    ready: list[Through] = []
    waiting: list[Held] = []
    blocked: set[int] = set()
    for held in state.held[vertex]:
        if held.open or held.rules & blocked:
            blocked |= held.rules
            waiting.append(held)
        else:
            ready.append(
                Through([(vertex, rule, leaf) for rule, leaf in sorted(held.met)], held.offset, held.time, False)
            )
    if waiting:
        state.held[vertex] = waiting
    else:
        del state.held[vertex]
    return ready


def _let_through(state: ExecutionState, offset: int, answer: Any) -> list[Through]:
    if not state.gated or state.gated[0].offset != offset or not state.gated[0].is_open:
        return []
    first = state.gated.popleft()
    state.busy -= 1
    through = [first] if answer is True or _is_for(state, answer) else []
    while state.gated and not state.gated[0].is_open:
        through.append(state.gated.popleft())
    if state.gated:
        state.commands.append(Ask(GATE, 0, 0, state.gated[0].offset))
    return [Through(g.spots, g.offset, g.time, True) for g in through]


def _is_for(state: ExecutionState, contexts: Iterable[str]) -> bool:
    return any(c == state.execution_id or (c == state.context and c is not None) for c in contexts or ())


def is_open(state: ExecutionState, ask: Ask) -> bool:
    """Tell whether a question still waits for its answer."""
    if ask.vertex == GATE:
        return bool(state.gated) and state.gated[0].offset == ask.offset
    return any(h.offset == ask.offset and (ask.rule, ask.leaf) in h.open for h in state.held.get(ask.vertex, ()))


def ask_again(state: ExecutionState) -> None:
    """Ask once more what was asked and is not answered, by who takes over."""
    for vertex, all_held in state.held.items():
        for held in all_held:
            held.asked.clear()
        _ask_next(state, vertex)
    if state.gated:
        state.commands.append(Ask(GATE, 0, 0, state.gated[0].offset))


def drop(state: ExecutionState) -> None:
    """Forget all questions: nothing that they could meet acts any more."""
    state.busy -= sum(len(held.open) for all_held in state.held.values() for held in all_held)
    state.busy -= sum(gated.is_open for gated in state.gated)
    state.held.clear()
    state.gated.clear()


def progress_of(state: ExecutionState, vertex: int, rule: int) -> Progress:
    """Give how far a rule has come; made when it is first asked for."""
    if vertex == WORKFLOW:
        if state.stop_progress is None:
            assert state.plan.stop_on is not None
            state.stop_progress = Progress(state.plan.stop_on)
        return state.stop_progress
    job = state.jobs[vertex]
    if job.progress is None:
        job.progress = {}
    if rule not in job.progress:
        job.progress[rule] = Progress(state.plan.vertices[vertex].rules[rule].condition)
    return job.progress[rule]
