"""Knows which executions of this process hear of an event from outside (rule 3).

Knows nothing of what they make of it. An event costs nothing to those that have no leaf for its key, folder or pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiflow.graph.event import Event, EventType
from aiflow.graph.file import folders_of
from aiflow.live import Live

__all__ = ["Audience"]

_FILE = str(EventType.FILE_CHANGED)
_Index = dict[str, dict[str, Live]]


class Audience:
    """The executions that hear anything, by what they hear of."""

    def __init__(self) -> None:
        self._by_key: _Index = {}
        self._by_folder: _Index = {}
        self._with_patterns: dict[str, Live] = {}

    def add(self, live: Live) -> None:
        """Let an execution hear what its conditions wait for."""
        if live.plan.patterns:  # it is asked about everything, also the keys that are no patterns: once
            self._with_patterns[live.execution_id] = live
            return
        for index, name in self._places(live):
            index.setdefault(name, {})[live.execution_id] = live

    def remove(self, live: Live) -> None:
        """Let it hear nothing any more."""
        self._with_patterns.pop(live.execution_id, None)
        for index, name in self._places(live):
            hearers = index.get(name)
            if hearers is not None:
                hearers.pop(live.execution_id, None)
                if not hearers:
                    del index[name]

    def _places(self, live: Live) -> Iterator[tuple[_Index, str]]:
        yield from ((self._by_key, key) for key in live.plan.by_key)
        yield from ((self._by_folder, folder) for folder in live.plan.by_folder)

    def hears(self, key: str) -> bool:
        """Tell whether anybody may hear of an event with this key, one of files excepted."""
        return bool(self._with_patterns) or key in self._by_key

    def of(self, event: Event) -> list[Live]:
        """Give those that an event may concern, by its key and its context."""
        hearers: Mapping[str, Live] = self._by_key.get(event.key, {})
        if self._by_folder and event.type == _FILE:
            hearers = dict(hearers)
            for folder in folders_of(event):
                hearers.update(self._by_folder.get(folder, ()))
        context = event.context
        return [
            live
            for found in (hearers, self._with_patterns)
            for live in found.values()
            if context is None or live.context == context or live.execution_id == context or live.plan.any_context
        ]
