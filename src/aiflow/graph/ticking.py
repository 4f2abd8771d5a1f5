"""Remembers when the conditions on time of an execution were due last, and asks for their next ticks (rules 20 and 23).

Knows nothing of what a tick does, of what time it is, and of when the next is due: that is worked out where there is a clock.
"""

from __future__ import annotations

from aiflow.graph.commands import ArmTimer
from aiflow.graph.event import Event, EventType
from aiflow.graph.state import ExecutionState
from aiflow.graph.timing import At, timer_key

__all__ = ["arm", "comes_still", "is_own_tick", "take"]

_TIMER = str(EventType.TIMER_FIRED)


def is_own_tick(state: ExecutionState, event: Event) -> bool:
    """Tell whether an event is a tick that this execution asked for; those of others do not meet its conditions on time."""
    return event.type == _TIMER and event.execution_id == state.execution_id


def take(state: ExecutionState, event: Event) -> None:
    """Note when an own tick was due, and ask for the next."""
    if event.key in state.plan.timers:
        state.ticked[event.key] = event.timestamp
        state.commands.append(ArmTimer(event.key, event.timestamp, state.began))


def arm(state: ExecutionState) -> None:
    """Ask for the next tick of each condition on time; where none is to come, none will."""
    state.commands += [ArmTimer(key, state.ticked.get(key), state.began) for key in state.plan.timers]


def comes_still(state: ExecutionState, moment: At) -> bool:
    """Tell whether a moment will be told when it has come; not if it was, or if it was past at the start."""
    return timer_key(moment) not in state.ticked and (moment.moment > state.began or moment.from_now)
