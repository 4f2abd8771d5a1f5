"""Drives one home in virtual time: of all that may happen next, a seed chooses. The real engine, the real store.

Knows nothing of what is started first, and of what is told of it afterwards (that is `simulation`).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from aiflow._project import Project
from aiflow.errors import Stopped
from aiflow.opening import ALPHABET
from aiflow.testing.clock import ManualClock
from aiflow.testing.given import Given
from aiflow.testing.performing import Durations, Run, SimulatedRunner
from aiflow.testing.readings import Progress, tell
from aiflow.testing.strands import Seat, Strands

__all__ = ["Simulator"]

logger = logging.getLogger(__name__)
_NAPS = 1000
"""How often a job may wait for a time, and still keep a simulation going that has no end of its own."""


class _Wait:
    """Somebody who lies in the midst of something, until something is so."""

    __slots__ = ("due", "is_refused", "keeps_going", "ready", "seat")

    def __init__(self, seat: Seat, ready: Callable[[], bool], due: float | None, keeps_going: bool) -> None:
        self.seat, self.ready, self.due, self.keeps_going = seat, ready, due, keeps_going
        self.is_refused = False


class Simulator:
    """The driver (`aiflow.driving`) of a simulated project.

    Parameters
    ----------
    open_project
        Sets `project` of the one that is handed over, and begins; called again after each crash.
    close
        Called with the project in the end, before it is closed.
    clock
        Stands still unless nothing else can happen.
    random
        Chooses.
    given
        The events that come from outside.
    durations
        How long jobs take.
    until
        When it ends at the latest, in seconds since 1970; or None.
    crashes
        How often the process dies on the way.
    """

    def __init__(
        self,
        open_project: Callable[[Simulator], None],
        close: Callable[[Project], None],
        clock: ManualClock,
        random: Random,
        given: Given,
        durations: Durations,
        until: float | None,
        crashes: int,
    ) -> None:
        self._open, self._close, self.clock, self.given, self._until = open_project, close, clock, given, until
        self._random, self._ids = random, Random(random.random())
        self.durations, self._crashes_left = durations, crashes
        self.project: Project | None = None
        self.is_enough: Callable[[], bool] = lambda: False
        self.looks: Callable[[], Callable[[], Any] | None] = lambda: None  # something to be looked after by who serves
        self.choices = 0
        self._looked_at = -1  # at which choice, for files
        self.crashes: list[tuple[int, float]] = []  # after which offset, and when
        self.life: object = object()  # of the process that is simulated; another one after each crash
        self._crash_at = self._next_crash()
        self._bag: list[Callable[[], Any]] = []
        self._later: list[tuple[float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._waits: list[_Wait] = []
        self.strands = Strands(self._go_on)

    # --- what the project calls: the Driver -------------------------------------------------------------------------

    def runner(self, name: str, host: Any) -> SimulatedRunner:
        """Give a runner whose jobs wait for their turn here."""
        return SimulatedRunner(self, name, host)

    def later(self, action: Callable[[], Any]) -> None:
        """Have something called some time."""
        self._bag.append(action)

    def after(self, duration: float, action: Callable[[], Any]) -> None:
        """Have something called some time after so many seconds."""
        if duration <= 0:
            self._bag.append(action)
        else:
            heapq.heappush(self._later, (round(self.clock.now() + duration, 6), next(self._numbers), action))

    def withdraw(self, action: Callable[[], Any]) -> None:
        """Have something not called that was to be called."""
        self._bag = [one for one in self._bag if one != action]
        self._later = [entry for entry in self._later if entry[2] != action]
        heapq.heapify(self._later)

    def look_for_files(self) -> None:
        """Have somebody look some time whether files are there: a job may have written some."""
        assert self.project is not None
        folders = self.project._shared.engine.folders
        if folders.is_watching:
            self._bag.append(folders.look)

    def toss(self) -> bool:
        """Choose between two."""
        return self._random.random() < 0.5

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let other things happen until `ready`, or for `timeout` seconds; tell whether it was."""
        return ready() or self.rest(ready, timeout)

    def rest(self, ready: Callable[[], bool], timeout: float | None, run: Run | None = None) -> bool:
        """Do the same, and let at least one other thing happen; `run`: the job that waits, if one does."""
        seat, life = self.strands.seat, self.life
        due = None if timeout is None else round(self.clock.now() + timeout, 6)
        if seat is None:  # a thread that a job has made
            pause = threading.Event()
            while self.life is life and not (ready() or (due is not None and due <= self.clock.now())):
                pause.wait(0.001)
            return ready()
        if run is not None and due is not None:
            run.naps += 1
        wait = _Wait(seat, ready, due, run is None or run.naps <= _NAPS)
        self._waits.append(wait)
        self.strands.lie_down(seat)
        if wait.is_refused:
            raise Stopped("the simulated process is gone")
        return ready()

    def new_id(self) -> str:
        """Give an id that follows from the seed."""
        while True:
            found = "".join(self._ids.choices(ALPHABET, k=12))
            assert self.project is not None
            if self.project._store.row("SELECT 1 FROM executions WHERE id = ?", (found,)) is None:
                return found

    # --- one thing after the other ----------------------------------------------------------------------------------

    def _go_on(self) -> bool:
        """Do one of the things that can be done now; move the time if there is none. False when it is over."""
        try:
            if self.project is None:
                self._open(self)
                return True
            self.choices += 1
            if self.choices == self._crash_at:
                self._crash()
                return True
            is_enough = self.is_enough()
            if self._choose(is_enough) or (not is_enough and self._move()):
                return True
            self._close(self.project)
            self.die()
        except BaseException:
            self.die()
            raise
        return False

    def _choose(self, is_enough: bool) -> bool:
        """Do one of the things that can be done now; tell whether there was one."""
        assert self.project is not None
        look = self.looks()
        if look is not None:
            self._bag.append(look)
        now, ticker, given = self.clock.now(), self.project._shared.engine.ticker, self.given
        others: list[Callable[[], Any]] = [partial(self._call_up, w) for w in self._waits if self._may_go_on(w, now)]
        due = ticker.next_due()
        if due is not None and due <= now:
            others.append(ticker.run_next)
        if not is_enough:
            if given.next_due is not None and given.next_due <= now:
                others.append(self._give_due)
            if given.offers_loose():  # if nothing else is to be done, the time may move before one comes
                others.append(self._give_loose)
        count = len(self._bag) + len(others)
        if not count:
            return False
        at = self._random.randrange(count)
        if at >= len(self._bag):
            return self._do(others[at - len(self._bag)])
        self._bag[at], self._bag[-1] = self._bag[-1], self._bag[at]
        return self._do(self._bag.pop())

    def _do(self, action: Callable[[], Any]) -> bool:
        try:
            action()
        except Stopped:  # it waited for something when the process died
            pass
        except Exception:  # as on a worker: whatever was asked for, the others go on
            logger.exception("An action failed in a simulation")
        return True

    def _move(self) -> bool:
        """Let the time go to when something is due; False if nothing will be."""
        assert self.project is not None
        now, engine = self.clock.now(), self.project._shared.engine
        folders = engine.folders
        if not engine.turns.is_idle:  # an item was left for the next turn, which would come at once
            engine.turns.nudge()
            return True
        if folders.is_watching and self.choices - self._looked_at > 2:  # more was done than to look
            self._looked_at = self.choices
            folders.look()
            return True
        due = min((d for d in self._dues() if d is not None), default=None)
        if due is None or (self._until is not None and due > self._until) or not self._is_awaited():
            if self.given.is_any_loose:
                return self._do(self._give_loose)
            if self._until is not None:
                self.clock.move_to(self._until)
            return False
        self.clock.move_to(max(now, due))
        while self._later and self._later[0][0] <= due:
            self._bag.append(heapq.heappop(self._later)[2])
        return True

    def _dues(self) -> list[float | None]:
        assert self.project is not None
        later = self._later[0][0] if self._later else None
        waits = [wait.due for wait in self._waits]
        return [later, *waits, self.given.next_due, self.project._shared.engine.ticker.next_due()]

    def _is_awaited(self) -> bool:
        """Whether something more is to come than what time brings again and again."""
        if self._until is not None or not self.given.is_empty or self._later:
            return True
        if any(wait.due is not None and wait.keeps_going for wait in self._waits):
            return True
        assert self.project is not None
        engine = self.project._shared.engine
        again = [
            live.timers.get(key)
            for live in engine.lives.values()
            for key, condition in live.plan.timers.items()
            if condition.keeps_open
        ]
        return bool(set(engine.ticker.waiting()) - set(again))

    # --- what can be chosen -----------------------------------------------------------------------------------------

    def _may_go_on(self, wait: _Wait, now: float) -> bool:
        return (wait.due is not None and wait.due <= now) or wait.ready()

    def _call_up(self, wait: _Wait, claims: bool = False) -> None:
        self._waits.remove(wait)
        self.strands.call_up(wait.seat, claims=claims)

    def _give_due(self) -> None:
        self._publish(self.given.take_due())

    def _give_loose(self) -> None:
        self._publish(self.given.take_loose())

    def _publish(self, draft: Any) -> None:
        assert self.project is not None
        if isinstance(draft, Progress):
            tell(self.project._shared.engine, draft)
        else:
            self.project.publish_many([draft])

    # --- crashes ----------------------------------------------------------------------------------------------------

    def _next_crash(self) -> int | None:
        """Choose when the process dies next: after a few choices, or after some hundred, whatever there will be."""
        if not self._crashes_left:
            return None
        self._crashes_left -= 1
        return self.choices + int(2 ** self._random.uniform(1, 8))

    def _crash(self) -> None:
        assert self.project is not None
        self.crashes.append((self.project._store.head(), self.clock.now()))
        self.die()
        self._crash_at = self._next_crash()

    def die(self) -> None:
        """Close the project as if the process had died: what is under way is lost, the store stays as it is."""
        project, self.project, self.life = self.project, None, object()
        if project is None:
            return
        project.close(detach=True)
        project.__exit__(None, None, None)
        for wait in list(self._waits):
            wait.is_refused = True
            if self.strands.seat is not None:
                self._call_up(wait, claims=True)
        self._bag.clear()
        self._later.clear()
