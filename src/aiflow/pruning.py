"""Prunes a home: has what is surplus deleted in small steps, between which others write, and tells what went.

Knows nothing of what may go (`surplus`), of SQL (`store/leftovers.py`), nor of when to prune.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.clock import Clock
from aiflow.errors import Conflict, NotFound
from aiflow.graph.event import Draft, EventType
from aiflow.graph.execution import RunKey
from aiflow.keep import Keep
from aiflow.live import log_path, scratch_path
from aiflow.store.leftovers import YOUNG, Running, Unwanted, delete_files
from aiflow.surplus import Runs, Surplus, old_runs, surplus, why_kept
from aiflow.turns import Entry

if TYPE_CHECKING:
    from aiflow.engine import Engine
    from aiflow.store.store import Store

__all__ = ["Pruned", "Pruner"]

_STEP = 0.004
"""Seconds that a step should take; then it is the turn of others, for as long."""

_FEWEST, _MOST = 50, 4000
_BATCH = 20
"""Rows of a step, executions of a batch."""

_WAIT = 30.0
_NAME = "pruning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was pruned, or would be.

    Attributes
    ----------
    went
        How many of each: `events`, `executions`, `runs` (rows of jobs), `blobs`, `blob_bytes`, `documents`, …
    before, after
        Bytes of `database`, `free` (of it, for what comes), `blobs`, `logs` and `scratch`.
    pruned_until
        The offset up to which the log is pruned now.
    held
        Who needs the log from further back than the limits would have it, in words.
    dry_run
        Whether nothing was deleted.
    """

    went: Mapping[str, int]
    before: Mapping[str, int]
    after: Mapping[str, int]
    pruned_until: int
    held: tuple[str, ...] = ()
    dry_run: bool = False


class Pruner:
    """One pruning of a home.

    Parameters
    ----------
    store, clock
        The home, and the time.
    engine
        In whose turns it is done; None is enough for a dry run, which then may see states that are a little older.
    keep
        The limits.
    before
        Prune the log up to this offset (exclusive), whatever `keep` says of events.
    dry_run
        Delete nothing, only count.
    stop
        Set it to end it early; what is left to do is done next time.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        engine: Engine | None,
        keep: Keep,
        *,
        before: int | None = None,
        dry_run: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self._store, self._clock, self._engine, self._keep, self._before = store, clock, engine, keep, before
        self._stop, self._dry_run = stop or threading.Event(), dry_run
        self._rows = _FEWEST
        self._unwanted = Unwanted(store)
        self._went: dict[str, int] = {}

    def run(self, wait: bool = True, measure: bool = True) -> Pruned:
        """Prune. Without `measure`, the sizes before and after are not looked up.

        Raises
        ------
        Conflict
            If somebody else prunes this home, and goes on for 30 s; without `wait`, at once.
        """
        if self._dry_run:
            return self._report(self._count, measure)
        self._hold_name(wait)
        try:
            return self._report(self._delete, measure)
        finally:
            self._store.names.free(_NAME)

    def delete(self, execution_id: str) -> None:
        """Delete one execution, whatever the limits.

        Raises
        ------
        NotFound
            If it is not there.
        Conflict
            If it runs, others need it, or somebody else prunes this home and goes on for 30 s.
        """
        self._hold_name(True)
        try:
            self._unwanted.read_journal()
            self._finish_journal()
            self._in_steps(self._unwanted.note_jobs, [execution_id])
            self._step(partial(self._drop_one, execution_id))
            self._finish_journal()
        finally:
            self._store.names.free(_NAME)

    def _drop_one(self, execution_id: str, writer: Any, rows: int) -> int:
        unwanted, engine = self._unwanted, self._engine
        assert engine is not None
        facts = unwanted.facts(writer, execution_id)
        if facts is None:
            raise NotFound("execution", execution_id)
        namespace, workflow, status, owner = facts
        users = unwanted.users(writer, execution_id)
        reason = why_kept(execution_id, workflow, status, self._store.is_owner_alive(owner), users)
        if reason is not None:
            raise Conflict(reason)
        unwanted.drop_execution(writer, execution_id)
        value = {"kind": "execution", "id": execution_id, "action": "deleted"}
        engine.publish_now([Draft(workflow, value, str(EventType.METADATA_CHANGED), namespace, None, None, None)])
        return 1

    def _hold_name(self, wait: bool) -> None:
        deadline = time.monotonic() + _WAIT
        while (holder := self._store.names.hold(_NAME)) is not None:
            if not wait or time.monotonic() > deadline:
                raise Conflict(f"the home {self._store.home} is being pruned by {holder}; try again when that is done")
            self._stop.wait(0.05)

    def _report(self, act: Callable[[Surplus], None], measure: bool) -> Pruned:
        dry_run = self._dry_run
        before = self._sizes() if measure else {}
        if not dry_run:
            self._unwanted.read_journal()
            self._finish_journal()
        plan = surplus(self._store, self._clock, self._unwanted, self._keep, self._before, self._freshen)
        act(plan)
        after = before if dry_run or not measure else self._sizes()
        until = plan.until if dry_run else self._store.pruned_until
        went = {name: count for name, count in self._went.items() if count}
        return Pruned(went=went, before=before, after=after, pruned_until=until, held=tuple(plan.held), dry_run=dry_run)

    def _sizes(self) -> Mapping[str, int]:
        if not self._dry_run:
            self._store.empty_log()  # it grows by what is deleted, too
        return self._store.size

    def _freshen(self, until: int) -> Iterable[tuple[int, str]]:
        """Have the states of this process moved on, and say which of its subscribers still have to read what is older."""
        engine = self._engine
        if engine is None:
            return ()
        if until > self._store.pruned_until:
            engine.snapshots.keep_all(until)
        return [(at, "a subscriber of this process, which lags behind") for at in engine.deliveries.lagging()]

    # --- counting ---------------------------------------------------------------------------------------------------

    def _count(self, plan: Surplus) -> None:
        unwanted, now = self._unwanted, self._clock.now()
        stay = sum(1 for _ in plan.pinned)
        events = unwanted.events_between(0, plan.until)
        self._went = {
            "executions": len(plan.leaving),
            "events": max(0, events - stay),
            "failed_events": unwanted.failures(plan.until),
            "documents": len(unwanted.documents()),
        }
        self._add("runs", sum(len(runs) for _, _, runs in self._old_runs(plan)))
        self._add("runs", sum(map(unwanted.count_runs, plan.leaving)))
        for _, size in unwanted.blobs(now, plan.leaving):
            self._add("blobs", 1)
            self._add("blob_bytes", size)

    def _add(self, what: str, count: int) -> None:
        self._went[what] = self._went.get(what, 0) + count

    # --- deleting ---------------------------------------------------------------------------------------------------

    def _delete(self, plan: Surplus) -> None:
        todo = (self._delete_executions, self._delete_runs, self._delete_events, self._delete_rest, self._delete_files)
        for act in todo:
            if self._stop.is_set():
                return
            act(plan)

    def _step(self, act: Callable[[Any, int], int]) -> int:
        """Do one step in a turn, and then let others write for as long as it took."""
        engine = self._engine
        assert engine is not None
        took = 0.0

        def apply() -> int:
            nonlocal took
            begun = time.perf_counter()
            count = act(engine.store.writer, self._rows)
            took = time.perf_counter() - begun
            return count

        count: int = engine.submit(Entry(apply)).result
        self._rows = max(_FEWEST, min(_MOST, int(self._rows * _STEP / max(took, 1e-5)), 2 * self._rows))
        self._stop.wait(max(took, 0.001))
        return count

    def _delete_executions(self, plan: Surplus) -> None:
        ids = list(plan.leaving)
        for at in range(0, len(ids), _BATCH):
            if self._stop.is_set():
                return
            some = ids[at : at + _BATCH]
            self._in_steps(self._unwanted.note_jobs, some)
            self._add("executions", self._step(partial(self._drop_executions, some)))
            self._finish_journal()

    def _in_steps(self, act: Callable[[list[str], Any, int], int], ids: Iterable[str]) -> None:
        """Do something for the lineage of executions, until nothing is left to do; most have none."""
        traced = self._unwanted.traced(ids)
        while traced and self._step(partial(act, traced)):
            pass

    def _drop_executions(self, ids: list[str], writer: Any, rows: int) -> int:
        return len(self._unwanted.drop_executions(writer, ids))

    def _finish_journal(self) -> None:
        """Delete what belongs to executions that are gone: now, or after a crash in the middle of it."""
        unwanted = self._unwanted
        if not unwanted.journal:
            return
        while count := self._step(unwanted.drop_parts):
            self._add("runs", count)
        self._in_steps(unwanted.drop_lineage, unwanted.journal)
        for one in unwanted.journal:
            delete_files(unwanted.folders_of(one))
        self._step(lambda writer, _: unwanted.forget_journal(writer))

    def _old_runs(self, plan: Surplus) -> Iterator[tuple[Running, str, Runs]]:
        return old_runs(self._store, self._unwanted, self._keep, self._clock.now(), plan, self._stop.is_set)

    def _delete_runs(self, plan: Surplus) -> None:
        for one, job, runs in self._old_runs(plan):
            self._add("runs", self._step(partial(self._drop_runs, one.id, job, runs[-1][0])))
            for number, attempts, _ in runs:
                key = RunKey(one.id, job, number, 1)
                logs = [log_path(self._store.home, key._replace(attempt=n)) for n in range(1, attempts + 1)]
                delete_files([*logs, scratch_path(self._store.home, key)])

    def _drop_runs(self, execution_id: str, job: str, last: int, writer: Any, rows: int) -> int:
        return self._unwanted.drop_runs(writer, execution_id, job, last)

    def _delete_events(self, plan: Surplus) -> None:
        unwanted, pinned = self._unwanted, plan.pinned
        if plan.until > self._store.pruned_until:
            self._step(lambda writer, _: self._begin_events(writer, plan))
        at, until, kept = -1, self._store.pruned_until, set(pinned)
        while not self._stop.is_set() and (found := unwanted.offsets(at, until, self._rows)):
            going = [offset for offset in found if offset not in kept]
            if going:
                first, last = going[0], going[-1]
                but = pinned[bisect_left(pinned, first) : bisect_left(pinned, last)]
                self._add("events", self._step(partial(self._drop_events, first, last, but)))
            at = found[-1]
        while not self._stop.is_set() and (
            count := self._step(lambda writer, rows: unwanted.drop_failures(writer, until, rows))
        ):
            self._add("failed_events", count)

    def _drop_events(self, first: int, last: int, but: list[int], writer: Any, rows: int) -> int:
        return self._unwanted.drop_events(writer, first, last, but)

    def _begin_events(self, writer: Any, plan: Surplus) -> int:
        """Say that the log is pruned up to there, before anything is: who comes to need it from now on is told so."""
        need = self._unwanted.oldest_need(writer)
        if need is None or need >= plan.until:
            self._unwanted.set_pruned(writer, plan.until)
        return 0

    def _delete_rest(self, plan: Surplus) -> None:
        unwanted = self._unwanted
        hashes = unwanted.documents()
        if hashes:
            some = hashes[:500]
            self._add("documents", self._step(lambda writer, _: unwanted.drop_documents(writer, some)))
        owners = unwanted.dead_owners(self._clock.now())
        if owners:
            self._add("owners", self._step(lambda writer, _: unwanted.drop_owners(writer, owners)))
            delete_files(self._store.home / "owners" / f"{one}.lock" for one in owners)

    def _delete_files(self, plan: Surplus) -> None:
        now, blobs = self._clock.now(), self._store.blobs
        for digest, size in self._unwanted.blobs(now):
            if self._stop.is_set():
                return
            if blobs.sweep(digest, now - YOUNG):
                self._add("blobs", 1)
                self._add("blob_bytes", size)
        blobs.sweep_halves(now - YOUNG)
        for folder in self._unwanted.folders(now):
            delete_files([folder])
            self._add("folders", 1)
