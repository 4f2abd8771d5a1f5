"""Shows on a terminal what runs while workflows are served: a few lines that stay below what is told.

Knows nothing of serving, and does nothing where there is no terminal.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiflow.cli.board import Board
from aiflow.cli.formats import STATUS_STYLES, cell
from aiflow.cli.progress import is_terminal
from aiflow.cli.records import duration
from aiflow.graph.event import Event, EventType

__all__ = ["Running", "Watch"]

_ENDED = ("SUCCESS", "FAILED", "STOPPED")


class Running:
    """What runs, and how many have ended, from events in their order; any thread may look at it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._boards: dict[str, Board] = {}
        self._names: dict[str, tuple[str, float]] = {}
        self._ended: Counter[str] = Counter()

    def take(self, event: Event) -> None:
        """Take an event of an execution or of a job."""
        id_ = event.execution_id
        if id_ is None or not isinstance(event.value, dict):
            return
        with self._guard:
            if event.type == EventType.EXECUTION_STATUS_CHANGED and event.key.startswith("execution:"):
                self._names.setdefault(id_, (event.key.removeprefix("execution:"), event.timestamp))
                if event.value["status"] in _ENDED:
                    self._ended[event.value["status"]] += 1
                    self._boards.pop(id_, None)
                    del self._names[id_]
                    return
            if id_ in self._names:
                self._boards.setdefault(id_, Board(id_, ())).take(event)

    def lines(self, now: float, most: int) -> list[str]:
        """Give a line for each execution that runs, the oldest first, `most` at most."""
        with self._guard:
            running = [(id_, *self._names[id_], board) for id_, board in self._boards.items()]
        found = []
        for id_, name, since, board in running[:most]:
            jobs = [f"{row.name} {row.status.lower()} {duration(row.seconds(now))}".rstrip() for row in board.busy()]
            found.append("  ".join([name, id_, duration(max(0.0, now - since)), cell(", ".join(jobs)) or "waits"]))
        return found + ([f"… and {len(running) - most} more"] if len(running) > most else [])

    def counts(self) -> dict[str, int]:
        """Count the executions that run, and those that have ended by status."""
        with self._guard:
            return {"RUNNING": len(self._boards), **self._ended}


class Watch:
    """A context manager; enter it before anything runs, for what jobs print must go through it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.running = Running()
        self._now = now
        self._live: Any = None

    def __enter__(self) -> Self:
        if is_terminal():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stderr, highlight=False)
            self._live = Live(
                get_renderable=lambda: self._draw(console.height), console=console, transient=True, refresh_per_second=4
            )
            self._live.start()
        return self

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _draw(self, height: int) -> Any:
        from rich.console import Group
        from rich.text import Text

        lines = [
            Text(line, "dim", no_wrap=True, overflow="ellipsis")
            for line in self.running.lines(self._now(), max(3, height - 5))
        ]
        counts = [Text(f"{n} {status}", STATUS_STYLES.get(status, "")) for status, n in self.running.counts().items()]
        return Group(*lines, Text("  ").join(counts))
