"""Objects of models whose loading tests can follow; kept by name, so that they are loaded with what stands here."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any


class Numbered:
    """Predicts its own number, twice: both are of one object, or the versions were mixed."""

    def __init__(self, number: int) -> None:
        self.number = number

    def predict(self, value: Any = None) -> tuple[int, int]:
        return self.first(), self.number

    def first(self) -> int:
        return self.number


class Slow:
    """A large one, which waits while it is loaded until the test lets it."""

    begun, go = threading.Event(), threading.Event()

    def __init__(self, number: int) -> None:
        self.number, self.ballast = number, bytes(2 << 20)

    def __setstate__(self, state: dict[str, Any]) -> None:
        Slow.begun.set()
        assert Slow.go.wait(60)
        self.__dict__.update(state)

    def predict(self) -> int:
        return self.number


class Broken:
    """Cannot be loaded while `is_broken`."""

    is_broken = True
    tries = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        Broken.tries += 1
        if Broken.is_broken:
            raise ImportError("no module named 'gone'")
        self.__dict__.update(state)

    def predict(self) -> int:
        return self.number


alive: weakref.WeakSet[Heavy] = weakref.WeakSet()


class Heavy:
    """Is counted while it is in memory."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        alive.add(self)

    def predict(self) -> int:
        return self.number


def numbers_alive() -> list[int]:
    """Give the numbers of the heavy objects that were loaded and are still in memory."""
    gc.collect()
    return sorted(one.number for one in alive)


def double(value: int) -> int:
    """A function that is a model."""
    return 2 * value
