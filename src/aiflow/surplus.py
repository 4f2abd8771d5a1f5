"""Decides what of the past a home can do without: by the limits of what is kept, and by what something still needs.

Knows nothing of how it is deleted, nor of SQL. The log is cut off at its beginning only (rule 40), so what is left is all that
happened since, and single older events that the states of what runs still name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aiflow.clock import Clock
from aiflow.graph.needs import events_named, first_runs_wanted
from aiflow.keep import Keep
from aiflow.store import log
from aiflow.store.leftovers import Running, Unwanted
from aiflow.store.store import Store

__all__ = ["Runs", "Surplus", "old_runs", "surplus", "why_kept"]

_DAY = 86400.0
_AT_A_TIME = 500
Runs = list[tuple[int, int, float | None]]
"""Runs of a job: number, attempts, end."""


@dataclass(slots=True)
class Surplus:
    """What may go."""

    executions: int = 0  # the oldest so many
    leaving: dict[str, None] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)  # executions and jobs of them, by others
    until: int = 0  # of the log
    pinned: list[int] = field(default_factory=list)  # older events that are needed
    running: list[tuple[Running, dict[int, int]]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)


def surplus(
    store: Store,
    clock: Clock,
    unwanted: Unwanted,
    keep: Keep,
    before: int | None,
    freshen: Callable[[int], Iterable[tuple[int, str]]],
) -> Surplus:
    """Decide what may go.

    Parameters
    ----------
    before
        Cut the log off at this offset, whatever `keep` says of events.
    freshen
        Called with an offset: have the states of this process moved beyond it, and say what else here needs the log from
        where, in words.
    """
    return _Decision(store, clock, unwanted, keep, before).made(freshen)


class _Decision:
    def __init__(self, store: Store, clock: Clock, unwanted: Unwanted, keep: Keep, before: int | None) -> None:
        self._store, self._clock, self._unwanted, self._keep, self._before = store, clock, unwanted, keep, before

    def made(self, freshen: Callable[[int], Iterable[tuple[int, str]]]) -> Surplus:
        plan, unwanted = Surplus(), self._unwanted
        plan.executions = self._too_many()
        until = self._wanted_end(plan)
        bounds_runs = self._keep.executions is not None or self._keep.days is not None
        needs = list(freshen(self._store.head() if bounds_runs else until))
        pinned: set[int] = set()
        kept_starts: dict[str, tuple[int, set[int]]] = {}
        for one in unwanted.running():
            named = events_named(one.state) if one.state else set()
            if one.definition is None:
                kept_starts[one.id] = (one.after, named)
            elif one.state and bounds_runs:
                plan.running.append((one._replace(state=None), first_runs_wanted(one.state)))
            pinned |= named if one.event_offset is None else named | {one.event_offset}
            needs.append((one.after, self._who(one)))
        for offset, state in unwanted.resumable():
            pinned |= events_named(state) if state else set()
            pinned |= set() if offset is None else {offset}
        needs += [(at, f"the subscription {name!r}, which is at offset {at}") for name, at in unwanted.subscriptions()]
        plan.until = max(self._store.pruned_until, min([until, *(at for at, _ in needs)]))
        plan.held = [who for at, who in sorted(needs) if at < until][:10]
        plan.pinned = sorted(at for at in pinned if at <= plan.until)
        self._choose(plan, kept_starts)
        return plan

    def _too_many(self) -> int:
        """Say how many of the oldest executions may go: all limits come to that."""
        keep, unwanted = self._keep, self._unwanted
        counts = [0]
        if keep.executions is not None:
            counts.append(unwanted.ended() - keep.executions)
        if keep.days is not None:
            counts.append(unwanted.ended(self._clock.now() - keep.days * _DAY))
        if keep.blobs is not None:
            counts.append(unwanted.beyond_bytes(keep.blobs))
        return max(counts)

    def _wanted_end(self, plan: Surplus) -> int:
        """Say up to where the log may go by the limits; its newest event always stays, for offsets go on from it."""
        keep, head = self._keep, self._store.head()
        if self._before is not None:
            return min(self._before, head) - 1
        ends = []
        if keep.events is not None:
            ends.append(head - max(keep.events, 1))
        if keep.days is not None:
            ends.append(log.offset_at(self._store.reader(), self._clock.now() - keep.days * _DAY))
        if keep.events is None and (keep.days is not None or plan.executions):
            stay = self._unwanted.ended() - plan.executions
            first = self._unwanted.first_needed_by_newest(stay) if stay else None
            whole = head - 1 if first is None else first
            ends = [min(whole, *ends)] if ends else [whole]
        return min(max(ends, default=0), head - 1)

    def _who(self, one: Running) -> str:
        if one.definition is None:
            state = "" if self._store.is_owner_alive(one.owner) else ", which nobody serves: serve it, or delete it"
            return f"the {one.kind} {one.name!r}{state}"
        if self._store.is_owner_alive(one.owner):
            return f"execution {one.id} of {one.name!r}, which is {one.kind}"
        return f"execution {one.id} of {one.name!r}, which is INTERRUPTED: resume it (aiflow execution resume {one.id})"

    def _choose(self, plan: Surplus, kept_starts: Mapping[str, tuple[int, set[int]]]) -> None:
        """Choose the executions that go: not those whose values others use, nor those that a trigger may ask for again."""
        found = self._unwanted.oldest(plan.executions)
        plan.used = self._unwanted.named_by_parts({one for one, _, _ in found})
        named = {one for one, _ in plan.used}
        for one, trigger, offset in found:
            after, starts = kept_starts.get(trigger or "", (0, set()))
            is_open = trigger in kept_starts and offset is not None and (offset > after or offset in starts)
            if one not in named and not is_open:
                plan.leaving[one] = None


def why_kept(execution_id: str, workflow: str, status: str, is_held: bool, users: Collection[str]) -> str | None:
    """Say why one execution cannot be deleted, which somebody asks for; None if it can.

    Parameters
    ----------
    status
        As its row has it.
    is_held
        Whether the process that ran it lives; one that has not ended and that nobody holds is INTERRUPTED, and can go.
    users
        Executions that began with results of it.
    """
    this = f"execution {execution_id} of {workflow!r}"
    if status in ("RUNNING", "STOPPING", "INIT") and is_held:
        return f"{this} is {status}: stop it first (aiflow execution stop {execution_id})"
    if users:
        some = ", ".join(sorted(users)[:3])
        return f"{this} is needed: execution {some} began with results of it (start_from); delete that first"
    return None


def old_runs(
    store: Store, unwanted: Unwanted, keep: Keep, now: float, plan: Surplus, is_over: Callable[[], bool]
) -> Iterator[tuple[Running, str, Runs]]:
    """Go through the old runs of executions that have not ended, whose values were used: some of one job at a time.

    Those that were given are taken to be gone when the next ones are asked for.
    """
    for one, wanted in plan.running:
        names = [node["name"] for node in (store.document(one.definition) or {"nodes": ()})["nodes"]]
        for index, first in wanted.items():
            job, after = names[index] if index < len(names) else None, 0
            while job is not None and (one.id, job) not in plan.used and not is_over():
                spare = 0 if keep.executions is None else unwanted.newest_run(one.id, job) - keep.executions + 1
                old = 0.0 if keep.days is None else now - keep.days * _DAY
                runs = unwanted.runs(one.id, job, after, first, _AT_A_TIME)
                going = 0
                while going < len(runs) and (runs[going][0] < spare or (runs[going][2] or now) < old):
                    going += 1
                if not going:
                    break
                yield one, job, runs[:going]
                after = runs[going - 1][0]
