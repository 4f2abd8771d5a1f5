"""Decides whether a trigger is paused, by itself or with its workflow, and what it is told when that changes.

Knows nothing of rows and events: it is given flags, and says an action.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Pause", "action_of"]


class Pause(NamedTuple):
    """Why a trigger may be paused.

    Attributes
    ----------
    own
        Somebody has paused the trigger.
    of_workflow
        Somebody has paused what it starts: that pauses all that starts it, and takes away no pause of a trigger's own.
    """

    own: bool
    of_workflow: bool

    @property
    def is_on(self) -> bool:
        """Whether what comes is passed over."""
        return self.own or self.of_workflow


def action_of(before: Pause, after: Pause) -> str | None:
    """Give what whoever serves the trigger is asked for, or None: one of two pauses may end, and it stays paused.

    Examples
    --------
    >>> action_of(Pause(own=False, of_workflow=False), Pause(own=False, of_workflow=True))
    'pause'
    >>> action_of(Pause(own=True, of_workflow=True), Pause(own=True, of_workflow=False)) is None
    True
    """
    if before.is_on is after.is_on:
        return None
    return "pause" if after.is_on else "go_on"
