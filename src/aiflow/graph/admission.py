"""Decides which of the jobs that could start has a place: the workers of its runner, and named limits (rule 36).

Knows nothing of executions beyond a ticket's owner, and nothing of how jobs run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Admission", "Ticket"]


class Ticket(NamedTuple):
    """One job that would like to start: of whom, which, on what runner, and what it takes of named limits."""

    owner: Any
    vertex: int
    runner: str
    limits: Mapping[str, int]
    takes_slot: bool = True


class Admission:
    """Places for running jobs, first come, first served for each runner.

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
        self.blocked: dict[str, deque[Ticket]] = {}

    def offer(self, ticket: Ticket) -> None:
        """Put a ticket at the end of its runner's line."""
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
                short = self._short_of(ticket)
                if short is not None:
                    self.blocked.setdefault(short, deque()).append(ticket)
                    continue
                self._take(ticket, 1)
                return ticket
        return None

    def release(self, ticket: Ticket) -> None:
        """Give a place back; who waited for one of its limits gets back in line, in front."""
        self._take(ticket, -1)
        for name in ticket.limits:
            blocked = self.blocked.pop(name, None)
            if blocked:
                for other in reversed(blocked):
                    self.waiting[other.runner].appendleft(other)

    def retake(self, ticket: Ticket) -> None:
        """Take a place back that was given back by mistake."""
        self._take(ticket, 1)

    def _take(self, ticket: Ticket, sign: int) -> None:
        if ticket.takes_slot:
            self.used[ticket.runner] = self.used.get(ticket.runner, 0) + sign
        for name, amount in ticket.limits.items():
            self.taken[name] = self.taken.get(name, 0) + sign * amount

    def _short_of(self, ticket: Ticket) -> str | None:
        for name, amount in ticket.limits.items():
            if self.taken.get(name, 0) + amount > max(self.sizes.get(name, 1), amount):
                return name
        return None
