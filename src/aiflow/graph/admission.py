"""Decides which of the jobs that could start has a place: the workers of its runner, and named limits (rule 36).

Knows nothing of executions beyond a ticket's owner, and nothing of how jobs run.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

__all__ = ["Admission", "Ticket"]


class Ticket(NamedTuple):
    """One job that would like to start: of whom, which, on what runner, and what it takes of named limits.

    `arrival` is its place among all that need a limit; `offer` gives it.
    """

    owner: Any
    vertex: int
    runner: str
    limits: Mapping[str, int]
    takes_slot: bool = True
    arrival: int = 0


_arrival = attrgetter("arrival")


class Admission:
    """Places for running jobs, first come, first served for each runner and for each limit.

    Who has a place but is short of a limit steps aside and keeps its turn at that limit: nobody who came later takes of
    it, however little they need. Who comes first of all is thus held up by nobody who waits, so everybody's turn comes.

    Parameters
    ----------
    capacities
        Runner name to the number of its places; None or absent for as many as come.
    limits
        Limit name to its size; absent for 1.
    """

    def __init__(
        self, capacities: Mapping[str, int | None] | None = None, limits: Mapping[str, int] | None = None
    ) -> None:
        self.capacities: dict[str, int | None] = dict(capacities or {})
        self.sizes = dict(limits or {})
        self.used: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.waiting: dict[str, deque[Ticket]] = {}
        self._turns: dict[str, list[Ticket]] = {}  # who was short of a limit and has not started yet, by arrival
        self._aside: dict[int, Ticket] = {}  # those of them that are not in line, by arrival
        self._arrivals = 0

    def offer(self, ticket: Ticket) -> None:
        """Put a ticket at the end of its runner's line."""
        if ticket.limits:
            self._arrivals += 1
            ticket = ticket._replace(arrival=self._arrivals)
        line = self.waiting.get(ticket.runner)
        if line is None:
            line = self.waiting[ticket.runner] = deque()
        line.append(ticket)

    def admit(self) -> Ticket | None:
        """Give the next ticket that has a place, and take the place; None if none has."""
        for runner, line in self.waiting.items():
            while line:
                ticket = line[0]
                capacity = self.capacities.get(runner)
                if ticket.takes_slot and capacity is not None and self.used.get(runner, 0) >= capacity:
                    break
                line.popleft()
                if ticket.limits and not self._may_take(ticket):
                    self._aside[ticket.arrival] = ticket
                    continue
                self._take(ticket, 1)
                if ticket.limits:
                    self._leave(ticket)
                return ticket
        return None

    def release(self, ticket: Ticket) -> None:
        """Give a place back; who has its turn at one of its limits gets back in line, in front."""
        self._take(ticket, -1)
        if ticket.limits:
            self._call_next(ticket)

    def retake(self, ticket: Ticket) -> None:
        """Take a place back that was given back by mistake."""
        self._take(ticket, 1)

    def forget(self, owner: Any) -> None:
        """Drop all that an owner has waiting."""
        for line in self.waiting.values():
            for ticket in [t for t in line if t.owner is owner]:
                line.remove(ticket)
                self._leave(ticket)
        for ticket in [t for t in self._aside.values() if t.owner is owner]:
            del self._aside[ticket.arrival]
            self._leave(ticket)

    def short_of(self, owner: Any, vertex: int) -> str | None:
        """Name the limit that a waiting job has stepped aside for; None if it waits for a place, or not at all."""
        ticket = next((t for t in self._aside.values() if t.owner is owner and t.vertex == vertex), None)
        return None if ticket is None else self._shortage(ticket)

    def _take(self, ticket: Ticket, sign: int) -> None:
        if ticket.takes_slot:
            self.used[ticket.runner] = self.used.get(ticket.runner, 0) + sign
        for name, amount in ticket.limits.items():
            self.taken[name] = self.taken.get(name, 0) + sign * amount

    # --- turns at limits --------------------------------------------------------------------------------------------

    def _shortage(self, ticket: Ticket) -> str | None:
        """Name the limit that a ticket cannot take its part of: too much is taken, or it is somebody else's turn."""
        for name, amount in ticket.limits.items():
            turns = self._turns.get(name)
            if turns and turns[0].arrival < ticket.arrival:
                return name
            if self.taken.get(name, 0) + amount > max(self.sizes.get(name, 1), amount):
                return name
        return None

    def _may_take(self, ticket: Ticket) -> bool:
        """Tell whether no limit holds a ticket up; if one does, the ticket has its turn there from now on."""
        name = self._shortage(ticket)
        if name is None:
            return True
        turns = self._turns.setdefault(name, [])
        at = bisect_left(turns, ticket.arrival, key=_arrival)
        if at == len(turns) or turns[at] is not ticket:
            insort(turns, ticket, key=_arrival)
        return False

    def _leave(self, ticket: Ticket) -> None:
        """Let a ticket that starts, or is dropped, give up its turns; the next ones may be served as well."""
        for name in ticket.limits:
            turns = self._turns.get(name, [])
            at = bisect_left(turns, ticket.arrival, key=_arrival)
            if at < len(turns) and turns[at] is ticket:
                del turns[at]
        self._call_next(ticket)

    def _call_next(self, ticket: Ticket) -> None:
        """Call those back whose turn it is at a limit that a ticket had to do with, if they can start now."""
        for name in ticket.limits:
            turns = self._turns.get(name)
            first = turns[0] if turns else None
            if first is not None and first.arrival in self._aside and self._may_take(first):
                del self._aside[first.arrival]
                self.waiting[first.runner].appendleft(first)
