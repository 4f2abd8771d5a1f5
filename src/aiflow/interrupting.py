"""Makes Ctrl-C stop what `run` waits for: gracefully the first time, at once the second time.

Knows nothing of how executions are stopped. A KeyboardInterrupt may land between any two lines; so, while the main
thread begins and awaits an execution, the signal only takes a note, and a thread does the stopping.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Self

from aiflow.runners.context import current_or_none

if TYPE_CHECKING:
    from aiflow.execution import Execution

__all__ = ["Interrupts"]


class Interrupts:
    """A context manager; it does nothing outside the main thread, or where somebody else handles SIGINT.

    Attributes
    ----------
    came
        Whether the signal came.
    """

    def __init__(self) -> None:
        self.came = False
        self._execution: Execution | None = None
        self._is_ours = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch(self, execution: Execution) -> None:
        """Say which execution is to be stopped; at once if the signal came before."""
        self._execution = execution
        if self.came:
            self._stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.came or current_or_none() is not None:  # the second one; or an inline job runs here, and is meant
            self.came = True
            raise KeyboardInterrupt
        self.came = True
        if self._execution is not None:
            self._stop()

    def _stop(self) -> None:
        assert self._execution is not None
        threading.Thread(
            target=self._execution.stop, args=("interrupted",), name="aiflow-stopping", daemon=True
        ).start()
