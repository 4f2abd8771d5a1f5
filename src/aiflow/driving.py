"""What a driver is: it does itself, one thing after the other, all that threads do otherwise. A home may be given one.

Knows nothing of what the things are, nor of how one of them is chosen (`testing.simulating` does that by a seed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Driver"]


class Driver(Protocol):
    """Decides what happens next, where threads would otherwise: nothing of a home that has one goes on by itself."""

    def runner(self, name: str, host: Any) -> Any:
        """Give the runner of this name (`runners.base.Runner`), which works for a home (`RunnerHost`)."""

    def later(self, action: Callable[[], Any]) -> None:
        """Call something some time, outside of any turn."""

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let other things happen until `ready`, or for `timeout` seconds; tell whether it was. Raises `Stopped` in the end."""

    def new_id(self) -> str:
        """Give an id that nobody has."""
