"""Makes the state of an execution from its log: a fold over its events, and nothing else.

Knows nothing of where the log is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiflow.graph import machine
from aiflow.graph.event import INTERNAL, Draft, Event, EventType
from aiflow.graph.state import ExecutionState

__all__ = ["replay"]


def replay(state: ExecutionState, events: Iterable[Event]) -> list[Draft]:
    """Step the events of a log into `state`; events that do not reach this execution are passed over.

    Returns
    -------
    list
        What the machine decided to say and what is not in the log: the process died in between. It stays in the
        state's outbox.
    """
    context, execution_id = state.context, state.execution_id
    begun = state.status != "INIT"
    for event in events:
        own = event.execution_id == execution_id and event.type in INTERNAL
        if not own and (not begun or event.type in INTERNAL):
            continue
        if not own and event.context not in (None, context, execution_id) and not state.plan.any_context:
            continue
        if own and event.type == EventType.REQUESTED and event.value.get("action") == "taken_over":
            continue
        begun = True
        if own and state.outbox and _same(state.outbox[0], event):
            state.outbox.popleft()
        if own or not state.status.is_ended:
            machine.step(state, event)
    return list(state.outbox)


def _same(draft: Draft, event: Event) -> bool:
    if draft.key != event.key or draft.type != event.type:
        return False
    return all(draft.value.get(k) == event.value.get(k) for k in ("status", "number", "attempt"))
