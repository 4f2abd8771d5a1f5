"""Shows on standard error how an execution goes: a live table in a terminal, a line per change elsewhere.

Knows nothing of how it was started or what it is for.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from aiflow.cli import logs
from aiflow.cli.board import Board, Row
from aiflow.cli.failures import say
from aiflow.cli.formats import STATUS_STYLES, cell
from aiflow.cli.records import duration

if TYPE_CHECKING:
    from aiflow import Event, Execution, Project

__all__ = ["Progress", "is_terminal"]


class Display(Protocol):
    """A way to show a board."""

    def open(self, board: Callable[[], Board | None]) -> None:
        """Begin; the board comes later."""

    def row(self, row: Row) -> None:
        """Show that a row has changed."""

    def waiting(self, text: str) -> None:
        """Show what is waited for; '' when things go on."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Progress:
    """A context manager that shows the execution which `follow` is given.

    Enter it before anything runs: what jobs print must go through the live display.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._display: Display = _Live(project) if is_terminal() else _Lines(project)
        self._board: Board | None = None
        self._subscription: Any = None
        self._is_over = threading.Event()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        self._display.open(lambda: self._board)
        return self

    def follow(self, execution: Execution, since: int) -> None:
        """Show an execution by its events after an offset."""
        live = self._project._shared.live(execution.id)
        names = execution.job_names if live is None else [v.name for v in live.plan.vertices if not v.given]
        self._board = Board(execution.id, names, execution.graph)
        types = ("JOB_STATUS_CHANGED", "EXECUTION_STATUS_CHANGED")
        self._subscription = self._project.subscribe(self._take, types=types, since=since)

    def waiting(self, text: str, is_busy: bool) -> None:
        """Say what is waited for: nothing has happened for a while."""
        self._display.waiting(text)

    def finish(self) -> None:
        """Wait until the end of the execution has been shown, a moment at most."""
        if self._board is not None:
            self._is_over.wait(5.0)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if not self._closed.is_set():
            self._closed.set()
            self._display.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None:
            self._subscription.close()
        self.close()

    def _take(self, event: Event) -> None:
        board = self._board
        if board is None or self._closed.is_set():
            return
        row = board.take(event)
        if row is not None:
            self._display.waiting("")
            self._display.row(row)
        if board.status in ("SUCCESS", "FAILED", "STOPPED"):
            self._is_over.set()


def is_terminal() -> bool:
    """Tell whether standard error is a terminal that can be drawn on."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Lines:
    """A line for each change, without any control characters."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._board: Callable[[], Board | None] = lambda: None

    def open(self, board: Callable[[], Board | None]) -> None:
        """Take note of what is to be shown."""
        self._board = board

    def row(self, row: Row) -> None:
        """Write a line."""
        more = [duration(row.seconds(0.0)) if row.ended is not None and row.status != "SKIPPED" else "", row.reason]
        if row.attempt > 1:
            more.insert(0, f"attempt {row.attempt}")
        name, status = f"{cell(row.name):<20}", f"{row.status:<8}"
        if logs.current() is not None:
            name, status = row.job, str(row.status)
        text = "  ".join([f"{name} {status}", *filter(None, map(cell, more))]).rstrip()
        ids: dict[str, Any] = {
            "execution_id": row.execution_id,
            "job": row.job,
            "number": row.number,
            "attempt": row.attempt,
        }
        say(text, "red" if row.status == "FAILED" else "", **ids, status=row.status)

    def waiting(self, text: str) -> None:
        """Write a line, with what busy jobs say of themselves."""
        if text:
            labels = _labels(self._project, self._board())
            say("; ".join([f"waiting for {cell(text)}", *(f"{job}: {cell(label)}" for job, label in labels.items())]))

    def close(self) -> None:
        """Nothing to put back."""


class _Live:
    """A table that is drawn again eight times a second; what jobs print appears above it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._live: Any = None
        self._waiting = ""

    def open(self, board: Callable[[], Board | None]) -> None:
        """Take the lower part of the terminal."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr, highlight=False)
        self._live = Live(
            get_renderable=lambda: self._draw(board(), console.height),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self._live.start()

    def row(self, row: Row) -> None:
        """Nothing to do: the next drawing shows it."""

    def waiting(self, text: str) -> None:
        """Have it shown below the table."""
        self._waiting = text

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def _draw(self, board: Board | None, height: int) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        if board is None:
            return Text("")
        now, labels = self._project._clock.now(), _labels(self._project, board)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(style="dim")  # the only one that gives way in a narrow terminal
        for row in board.selection(max(3, height - 5)):
            style = STATUS_STYLES.get(row.status, "")
            status: Any = Text("" if row.status == "INIT" else row.status, style)
            if row.status == "RUNNING":
                status = Spinner("dots", status, style=style)
                status.start_time = 0.0
            tries = f"attempt {row.attempt}" if row.attempt > 1 else ""
            note = "  ".join(filter(None, (tries, labels.get(row.job, ""), board.note(row))))
            took = "" if row.status == "SKIPPED" else duration(row.seconds(now))
            table.add_row(Text(cell(row.name)), status, took, Text(cell(note), no_wrap=True, overflow="ellipsis"))
        counts = Text("  ").join(
            Text(f"{n} {'not begun' if status == 'INIT' else status}", STATUS_STYLES.get(status, ""))
            for status, n in board.counts().items()
        )
        waiting = Text(f"waiting for {cell(self._waiting)}" if self._waiting else "", "yellow")
        return Group(table, counts, waiting) if self._waiting else Group(table, counts)


def _labels(project: Project, board: Board | None) -> dict[str, str]:
    """Read what busy jobs say of themselves, by job; labels are no events."""
    if board is None or not board.busy():
        return {}
    sql = (
        "SELECT job, label FROM job_executions "
        "WHERE execution_id = ? AND label IS NOT NULL AND ended IS NULL ORDER BY number"
    )
    try:
        return dict(project._store.rows(sql, (board.execution_id,)))
    except Exception:  # a drawing must not end because the store is busy or being closed
        return {}
