"""Lets parts of this process take note of committed events of some key, before whoever brought them goes on.

Knows nothing of what they do then: it is called while a turn is held, so a note is quick, raises nothing and takes no turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from aiflow.graph.event import Event

__all__ = ["Noticing"]

logger = logging.getLogger(__name__)
Note = Callable[[Event], None]


class Noticing:
    """Who takes note of which keys."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[Note, ...]] = {}
        self._guard = threading.RLock()  # a collector of garbage may come in at any line

    def __bool__(self) -> bool:
        return bool(self._notes)

    def add(self, key: str, note: Note) -> None:
        """Have `note` called with each event of a key from now on."""
        with self._guard:
            self._notes[key] = (*self._notes.get(key, ()), note)

    def remove(self, key: str, note: Note) -> None:
        """End that; twice is fine."""
        with self._guard:
            left = tuple(one for one in self._notes.get(key, ()) if one is not note)
            if left:
                self._notes[key] = left
            else:
                self._notes.pop(key, None)

    def tell(self, events: Iterable[Event]) -> None:
        """Pass committed events on, in their order."""
        notes = self._notes
        for event in events:
            for note in notes.get(event.key, ()):
                try:
                    note(event)
                except (
                    Exception
                ):  # no thread can be started, say: the turn is committed, and those who wait must hear of it
                    logger.exception("Event %s (offset %d) could not be noted", event.key, event.offset)
