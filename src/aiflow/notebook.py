"""Shows executions in a notebook while they run: one display that is brought up to date in its place, until the end; and errors.

Knows nothing of what is shown, and is nothing where there is no kernel of a notebook. The only door to IPython, which it
never imports: it uses the one that runs the notebook.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiflow.display import execution_text
from aiflow.graph.html import card_html
from aiflow.runners.context import current_or_none

if TYPE_CHECKING:
    from aiflow.execution import Execution

__all__ = ["Watch", "finish", "rendered", "show", "shown_while_waiting"]

logger = logging.getLogger(__name__)

_OURS = str(Path(__file__).parent) + os.sep
_PAUSE, _SHARE = 0.25, 20
"""Seconds between two looks, and how many times longer than the look itself the pause is at least."""
_PATIENCE = 1.0
"""Seconds that somebody waits for an execution before it is shown without being asked for."""

_watches: list[Watch] = []

Screen = Callable[[dict[str, str], bool], None]
"""Shows a bundle of texts by their types, for the first time or in the place of what it showed before."""


class Watch:
    """One display of one execution, kept up to date by a thread of its own until it has ended.

    Parameters
    ----------
    execution
        What is shown.
    screen
        Where.
    cell
        In which cell of the notebook.
    patience
        Seconds before it is shown first; if it has ended by then, it is not.
    """

    def __init__(self, execution: Execution, screen: Screen, cell: object = None, patience: float = 0.0) -> None:
        self.execution, self.cell = execution, cell
        self._screen, self._patience = screen, patience
        self._seen = ""
        self._drawing, self._over = threading.Lock(), threading.Event()
        nothing = (
            contextvars.Context()
        )  # so what is sent belongs to the cell that is run at that time: others look only there
        self._thread = threading.Thread(target=nothing.run, args=(self._go,), name="aiflow-watch", daemon=True)

    @property
    def is_shown(self) -> bool:
        """Whether it has been shown at all."""
        return bool(self._seen)

    def begin(self) -> None:
        """Show it, if there is no patience, and go on in a thread."""
        _watches.append(self)
        if not self._patience:
            self._draw()
        self._thread.start()

    def end(self) -> None:
        """Show it once more as it stands, if it is shown at all, and then no more."""
        self._over.set()
        if self in _watches:
            _watches.remove(self)
        if self.is_shown:
            self._try_to_draw()

    def _go(self) -> None:
        pause = self._patience or _PAUSE
        while not self._over.wait(pause):
            began = time.monotonic()
            if not self._try_to_draw():
                break
            pause = max(_PAUSE, _SHARE * (time.monotonic() - began))
        if self in _watches:
            _watches.remove(self)

    def _try_to_draw(self) -> bool:
        """Draw it; tell whether there is more to come."""
        try:
            status = self.execution.status
            self._draw()
        except Exception as error:  # what is shown runs on, whatever becomes of its display; the project may be closed
            logger.debug("the display of execution %s ended: %s", self.execution.id, error)
            return False
        return not (status.is_ended or status == "INTERRUPTED")

    def _draw(self) -> None:
        with self._drawing:
            html = card_html(self.execution._card())
            if html != self._seen:
                self._screen({"text/html": html, "text/plain": execution_text(self.execution)}, bool(self._seen))
                self._seen = html


def show(execution: Execution) -> bool:
    """Show an execution that runs, and keep it up to date; tell whether it is shown.

    It is not if it has ended, or if there is no notebook. If it is shown by this cell already, nothing is done.
    """
    shell = _shell()
    if shell is None:
        return False
    if any(one.is_shown and (one.execution, one.cell) == (execution, _cell(shell)) for one in _last):
        return True
    status = execution.status
    if status.is_ended or status == "INTERRUPTED":
        return False
    _begin(Watch(execution, _screen(), _cell(shell)))
    return True


@contextmanager
def shown_while_waiting(execution: Execution) -> Iterator[None]:
    """Show an execution in the notebook, if there is one, while the cell waits for it for more than a moment."""
    shell = _shell()
    is_shown = any(one.execution == execution and one.is_shown for one in _watches)
    if shell is None or is_shown or current_or_none() is not None:  # what jobs wait for is their business
        yield
        return
    watch = Watch(execution, _screen(), _cell(shell), _PATIENCE)
    _begin(watch)
    try:
        yield
    finally:
        watch.end()


def finish(home: object) -> None:
    """Bring the displays of what runs in a home up to date for the last time: it is about to be closed."""
    for watch in [one for one in _watches if one.execution._project._shared is home]:
        watch.end()


def rendered(error: BaseException) -> list[str]:
    """Give the lines in which IPython shows the traceback of an error: the user's frames, and not aiflow's own."""
    links: list[TracebackType] = []
    link = error.__traceback__
    while link is not None:
        links.append(link)
        link = link.tb_next
    shown: TracebackType | None = None
    for link in reversed(links):
        if not link.tb_frame.f_code.co_filename.startswith(_OURS):
            shown = TracebackType(shown, link.tb_frame, link.tb_lasti, link.tb_lineno)
    lines: list[str] = (
        sys.modules["IPython"].get_ipython().InteractiveTB.structured_traceback(type(error), error, shown)
    )
    return lines


_last: list[Watch] = []
"""The displays of the newest cell that has any."""


def _begin(watch: Watch) -> None:
    if _last and _last[0].cell != watch.cell:
        _last.clear()
    _last.append(watch)
    watch.begin()


def _shell() -> Any:
    """Give the shell of the notebook; None if this process is the kernel of none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


def _cell(shell: Any) -> object:
    return shell.execution_count


def _screen() -> Screen:
    display = sys.modules["IPython"].display
    name = f"aiflow-{uuid4().hex}"

    def put(bundle: dict[str, str], is_update: bool) -> None:
        display.display(bundle, raw=True, display_id=name, update=is_update)

    return put
