"""Threads of which exactly one goes at a time: who would have to wait lies down in the midst of what it does.

Knows nothing of what is done, nor of who is to go next: it is told.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

__all__ = ["Seat", "Strands"]


class Seat:
    """Where one thread lies down."""

    __slots__ = ("nap",)

    def __init__(self) -> None:
        self.nap = threading.Lock()
        self.nap.acquire()


class Strands:
    """Does one thing after the other on one thread; on another one if somebody has to wait in the midst of one.

    Parameters
    ----------
    go_on
        Does one thing; False if there is none any more. Called by whichever thread goes.
    """

    def __init__(self, go_on: Callable[[], bool]) -> None:
        self._go_on = go_on
        self._spare: list[Seat] = []  # threads that lie between two things
        self._here = threading.local()
        self._claim: Seat | None = None  # who wants to go on when what is under way is over
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._context = contextvars.copy_context()

    def run(self) -> None:
        """Go on until there is nothing to do any more; raises what was raised."""
        self._spawn()
        try:
            self._over.wait()
        except BaseException:  # an interrupt
            self._over.set()
            raise
        if self._error is not None:
            raise self._error

    @property
    def seat(self) -> Seat | None:
        """The seat of the calling thread; None if it is not one of these."""
        return getattr(self._here, "seat", None)

    def lie_down(self, seat: Seat) -> None:
        """Let another thread go on, in the midst of what this one does; return when somebody has called it up."""
        if self._spare:
            self._spare.pop().nap.release()
        else:
            self._spawn()
        seat.nap.acquire()

    def call_up(self, seat: Seat, *, claims: bool = False) -> None:
        """Let a thread that lies in the midst of something go on; this one goes on some time after that.

        `claims`: right after that thing is done.
        """
        mine = self.seat
        assert mine is not None
        if claims:
            self._claim = mine
        else:
            self._spare.append(mine)
        seat.nap.release()
        mine.nap.acquire()

    def _spawn(self) -> None:
        threading.Thread(
            target=self._context.copy().run, args=(self._loop,), name="aiflow-simulation", daemon=True
        ).start()

    def _loop(self) -> None:
        seat = self._here.seat = Seat()
        try:
            while not self._over.is_set() and self._go_on():
                if self._claim is not None:
                    claim, self._claim = self._claim, None
                    self._spare.append(seat)
                    claim.nap.release()
                    seat.nap.acquire()
        except BaseException as error:  # raised where the simulation was asked for
            self._error = self._error or error
        self._over.set()
        while self._spare:
            self._spare.pop().nap.release()
