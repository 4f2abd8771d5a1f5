"""Owns what is done with many samples, and where they are taken.

Knows nothing of what they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["on_a_thread", "p99"]

T = TypeVar("T")


def p99(values: Sequence[float]) -> float:
    """Give the value that one in a hundred is above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def on_a_thread(work: Callable[[], T]) -> T:
    """Call `work` on a thread of its own, wait, and give what it gives."""
    out: list[T] = []
    thread = threading.Thread(target=lambda: out.append(work()))
    thread.start()
    thread.join()
    return out[0]
