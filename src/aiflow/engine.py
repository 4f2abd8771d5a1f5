"""The shell around the machine: takes events, steps, commits, performs. One turn at a time, on whoever brings the event.

Knows nothing of how jobs run (runners), of what SQL is (store) or of why things are decided (graph). There is no engine
thread: a turn is held by the worker whose job ended, by a publisher, a timer or a watcher (`docs/architecture.md`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from aiflow import lifecycle
from aiflow.audience import Audience
from aiflow.clock import Clock
from aiflow.driving import Driver
from aiflow.errors import AIFlowError, ParameterError, Stopped, StoreError
from aiflow.events.pokes import Pokes
from aiflow.events.ticker import Ticker
from aiflow.events.watching import FileWatcher
from aiflow.folders import Folders
from aiflow.graph import asking, machine, ticking
from aiflow.graph.admission import Admission, Ticket
from aiflow.graph.change import Change, Who
from aiflow.graph.commands import Ask, Command, RetryLater, StopJob
from aiflow.graph.event import INTERNAL, Draft, Event, EventType, check_draft
from aiflow.graph.execution import ExecutionStatus, RunKey
from aiflow.graph.machine import Report
from aiflow.graph.metadata import MetadataCondition
from aiflow.graph.params import hide
from aiflow.graph.state import ExecutionState
from aiflow.graph.versions import use_of, version_of
from aiflow.items import Items
from aiflow.ledger import findings, ledger
from aiflow.ledger.book import Book
from aiflow.live import JobWork, Live, stop_request, taken_over
from aiflow.mapping import run_again
from aiflow.notes import Notes
from aiflow.noticing import Noticing
from aiflow.performing import Performer
from aiflow.recording import Recorder, storable
from aiflow.replaying import replay
from aiflow.runners.base import Ended, Failure, Runner, failure_of
from aiflow.runners.calling import finish
from aiflow.runners.performed import Outcome
from aiflow.snapshots import Snapshots
from aiflow.store import lineage, log
from aiflow.store.connection import DatabaseError, is_locked
from aiflow.store.store import STATE_SAVED, Store
from aiflow.subscribing import Subscriptions
from aiflow.telling import Telling
from aiflow.tracing import reused, trace
from aiflow.turns import Busy, Courtesy, Entry, Turns
from aiflow.values.codec import Stored
from aiflow.withholding import Withheld

__all__ = ["SHOWN_EACH", "SILENT", "Engine"]

logger = logging.getLogger(__name__)
_TRIES = 3
SHOWN_EACH, SILENT = 15.0, 60.0
"""Seconds between two signs that an owner works, and after how many without one another may be told to take over."""

_UNRECORDED = "how it ended could not be recorded"
_JOB, _EXECUTION = str(EventType.JOB_STATUS_CHANGED), str(EventType.EXECUTION_STATUS_CHANGED)
_TIMER = str(EventType.TIMER_FIRED)
_MODELS = frozenset(str(t) for t in EventType if t.startswith("MODEL_"))


class _Unhandled(Exception):
    """An event of another process could not be handled: the turn is tried again, and the event set aside in the end."""


class Engine:
    """Owns the turn of one home in this process.

    Parameters
    ----------
    store
        The home, opened for writing.
    clock
        Stamps events and drives timers.
    runners
        Gives a runner by name; called once per name.
    capacities, limits
        Places of each runner, sizes of named limits.
    project_of
        Gives a namespace's project, for `af.current().project`.
    driver
        Does what threads do otherwise; or None.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        runners: Callable[[str], Runner],
        *,
        limits: Mapping[str, int] | None = None,
        project_of: Callable[[str], Any] | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.store, self.clock, self.project_of = store, clock, project_of
        self.admission = Admission({}, limits)
        later = None if driver is None else driver.later
        self.performer = Performer(self, runners, self.admission, later)
        self.turns = Turns(self._turn)
        self.lives: dict[str, Live] = {}
        self.audience = Audience()
        self.subscriptions = Subscriptions(self, later)
        self.deliveries = self.subscriptions.deliveries
        self.pokes = Pokes(store.home / "owners", store.claim_owner(clock.now()))
        self.ticker = Ticker(clock, self.look, is_driven=driver is not None, pause=self.pokes.wait)
        self.folders = Folders(self, partial(FileWatcher, later=later))
        self.record = Recorder(store)
        self.courtesy = Courtesy()
        self.items = Items(self)
        self.withheld = Withheld(self)
        self.notes = Notes(self)
        self.telling: Telling | None = None
        self.span_of: Callable[[RunKey, str], str | None] | None = None  # says under which span a job's own ones belong
        self.noticing = Noticing()
        self._foreign = 0  # how many of the events of this turn are of other processes
        self._data_version: int | None = None
        self._ahead: list[tuple[int, tuple[Any, ...], Event | None]] = []  # read before the turn, and not taken yet
        self._shown = clock.now()
        self._bad: dict[int, int] = {}
        self.snapshots = Snapshots(self)
        self._touched: dict[str, Live] = {}
        self._stale: dict[str, Live] = {}
        self._fresh: list[Live] = []
        self._undo: list[Callable[[], None]] = []
        self._calls: list[Callable[[], Any]] = []
        self.recent: WeakValueDictionary[str, Live] = WeakValueDictionary()
        self.on_failure: Callable[[Any, Live, str | None], None] | None = None
        clock.attach(self)

    # --- the turn ---------------------------------------------------------------------------------------------------

    def submit(self, entry: Entry) -> Entry:
        """Have `entry` done in a turn; return when it is durable. Raises what its `apply` raised."""
        return self.turns.submit(entry)

    def _turn(self, entries: list[Entry]) -> None:
        if self._try(entries):
            self._perform(entries)
            return
        for entry in entries:  # one of them is at fault: each by itself
            self._try([entry])
            self._perform([entry])

    def _try(self, entries: list[Entry]) -> bool:
        """Do the entries in one transaction; on failure nothing of them has happened."""
        writer, head = self.store.writer, self.record.head
        self.record.now, self._foreign = self.clock.now(), 0
        try:
            has_others = self.pokes.has_others(self.record.now)
            if has_others:
                self._read_ahead()
                self.courtesy.give_way()
            self.store.begin(self.turns.may_wait)
            if self._stale:
                self._restore()
            self._catch_up()
            for entry in entries:
                entry.result = entry.apply()
                if self._fresh:
                    self.drain()
            self._admit()
            for live in self._touched.values():
                live.has_moved = True
                if live.flows is not None:
                    self.items.let_go(live)
                if live.withheld:
                    self.withheld.tidy(live)
            if self.record.head >= self.snapshots.due:
                self.snapshots.keep_next()
            self.record.flush()
            writer.execute("COMMIT")
            if has_others:
                self.courtesy.left()
        except _Unhandled:
            self._roll_back(head)
            return self._try(entries)
        except BaseException as error:
            self._roll_back(head)
            if is_locked(error) and not self.turns.may_wait:
                raise Busy from error
            if len(entries) == 1:
                entries[0].error = self._explain(error)
            return len(entries) == 1
        self._undo.clear()
        return True

    def _roll_back(self, head: int) -> None:
        try:
            self.store.writer.execute("ROLLBACK")
        except DatabaseError:  # there was no transaction: BEGIN itself failed
            pass
        self.record.forget(head)
        self.items.forget()
        self._data_version = None
        for undo in reversed(self._undo):
            undo()
        self._stale.update(self._touched)  # made anew at the next turn: now the store may be unreadable, too
        self._touched = {}
        self._calls, self._fresh, self._undo = [], [], []

    def _restore(self) -> None:
        """Make the states anew that a failed turn has spoilt."""
        for live in self._stale.values():
            if live.execution_id in self.lives:
                self._reload(live)
                self._touched[live.execution_id] = live
        self._stale = {}

    def _explain(self, error: BaseException) -> BaseException:
        if isinstance(error, DatabaseError):
            problem = StoreError(f"the store in {self.store.home} could not be written: {error}")
            problem.__cause__ = error
            return problem
        if isinstance(error, UnicodeEncodeError):
            return ParameterError(
                f"a text has a character that cannot be stored (half of a surrogate pair): {error.object[:100]!r}"
            )
        if isinstance(error, OverflowError):
            return ParameterError(f"a number is too large for the store: {error}")
        return error

    def _read_ahead(self) -> None:
        """Read what other processes appended before the turn begins: nobody else can write while it lasts."""
        last = self._ahead[-1][0] if self._ahead else self.record.head
        sql = f"SELECT {log.COLUMNS} FROM events WHERE offset > ? ORDER BY offset"
        for row in self.store.writer.execute(sql, (last,)).fetchall():
            try:
                self._ahead.append((row[0], row, log.event_of(row)))
            except Exception:  # it is told in the turn, where that is counted
                self._ahead.append((row[0], row, None))

    def _catch_up(self) -> None:
        """Take what other processes appended; if none wrote, nothing can have changed, ownership included."""
        version = self.store.writer.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return
        self._data_version = version
        self._read_ahead()
        rows, self._ahead = self._ahead, []
        if rows and rows[0][0] > self.record.head + 1:
            logger.warning(
                "The log was pruned up to offset %d before this process had read on from %d: its subscribers miss events",
                rows[0][0] - 1, self.record.head,
            )  # fmt: skip
        for offset, row, event in rows:
            self.record.head = offset
            try:
                self._take_foreign(row, event)
            except Exception as error:  # another program may have written anything
                self._bad[offset] = self._bad.get(offset, 0) + 1
                logger.warning(
                    "The event at offset %d could not be handled: %s", offset, error, extra={"offset": offset}
                )
                raise _Unhandled from error
        self._foreign = len(self.record.events)
        if self._fresh:
            self.drain()

    def _take_foreign(self, row: tuple[Any, ...], event: Event | None) -> None:
        tries = self._bad.get(row[0], 0)
        if tries < _TRIES:
            event = event or log.event_of(row)
            self.record.events.append(event)
            self._route(event)
            live = self.lives.get(event.execution_id or "")
            if live is not None and not live.is_traced:  # a copy of a job, say, that has logged something
                self._trace(live)
        elif tries == _TRIES:  # set aside, so that the next ones go on: aiflow list events --failed
            self._bad[row[0]] += 1
            sql = "INSERT INTO failed_events (offset, handler, error, time) VALUES (?, 'scheduler', ?, ?)"
            self.record.write(sql, (row[0], f"could not be handled {tries} times", self.record.now))

    def undo(self, action: Callable[[], Any]) -> None:
        """Have something done if this turn fails; only inside a turn."""
        self._undo.append(action)

    def has_touched(self, live: Live) -> bool:
        """Tell whether this turn has changed an execution."""
        return live.execution_id in self._touched

    # --- inside a turn ----------------------------------------------------------------------------------------------

    def say(self, live: Live, draft: Draft, ended: Ended | None = None, stored: Stored | None = None) -> None:
        """Append one of the machine's own events, write its row, and step it."""
        event = self.record.append(draft)
        value = event.value
        if draft.type == _JOB:
            self.record.write_job(live, event, value["status"], ended, stored)
        elif draft.type == _EXECUTION:
            self.record.write_execution(live, event, value["status"])
        if value["status"] == "FAILED":
            self._note_failure(live, draft)
        self.step(live, event)

    def step(self, live: Live, event: Event) -> None:
        """Let the machine take an event that was appended; only inside a turn."""
        state = live.state
        machine.step(state, event)
        self._touched[live.execution_id] = live
        if state.outbox or state.ready:
            self._fresh.append(live)

    def wake(self, live: Live) -> None:
        """Have what is ready in an execution looked at; only inside a turn."""
        self._touched[live.execution_id] = live
        self._fresh.append(live)

    def ask(self, live: Live, command: Command) -> None:
        """Have one more thing done after the commit; only inside a turn."""
        live.state.commands.append(command)
        self._touched[live.execution_id] = live

    def _note_failure(self, live: Live, draft: Draft) -> None:
        """Remember to call the `on_failure` of a job or of the workflow, after the commit."""
        action, job = live.on_failure, None
        if draft.type == _JOB:
            job = draft.key[4:]
            action = live.plan.vertices[live.plan.by_name[job]].node.options.on_failure
        if action is not None and self.on_failure is not None:
            self._calls.append(partial(self.on_failure, action, live, job))

    def _route(self, event: Event) -> None:
        """Bring an event to the executions that it may concern (rule 3)."""
        if event.type in INTERNAL:
            live = self.lives.get(event.execution_id or "")
            if live is not None:
                if event.type == EventType.REQUESTED and event.value.get("action") == "taken_over":
                    self._taken_over(live, event)
                else:
                    self.step(live, event)
            return
        if event.type in _MODELS:
            self.withheld.hear(event)
        own = None
        if event.type == _TIMER:  # a tick is for whoever armed the timer; others may listen
            own = self.lives.get(event.execution_id or "")
            if own is not None:
                self.step(own, event)
        for live in self.audience.of(event):
            if live is not own:
                self.step(live, event)

    def drain(self) -> None:
        """Let the machine say all that it wants to say, and note what is ready to start."""
        fresh = self._fresh
        while fresh:
            live = fresh.pop()
            outbox = live.state.outbox
            while outbox:
                self.say(live, outbox.popleft())
            if live.state.ready:
                self._offer(live)

    def _offer(self, live: Live) -> None:
        state = live.state
        ready, state.ready = state.ready, []
        for index in ready:
            job = state.jobs[index]
            if not job.ticketed:
                job.ticketed = True
                vertex = live.plan.vertices[index]
                if vertex.node.job.role is not None and self.withheld.holds(live, index):
                    job.ticketed = False
                    continue
                self.performer.runner(vertex.runner)
                self.admission.offer(Ticket(live, index, vertex.runner, vertex.limits, not vertex.flows))

    def _admit(self) -> None:
        admission = self.admission
        while True:
            ticket = admission.admit()
            if ticket is None:
                return
            live, index = ticket.owner, ticket.vertex
            state: ExecutionState = live.state
            state.jobs[index].ticketed = False
            draft = machine.dispatch(state, index, self.record.now) if live.execution_id in self.lives else None
            if draft is None:
                admission.release(ticket)
                continue
            live.tickets[index, draft.value["number"]] = ticket
            self.say(live, draft)
            if self._fresh:
                self.drain()
            if live.plan.vertices[index].parallel > 1 and machine.can_start(state, index):
                state.ready.append(index)
                self._offer(live)

    # --- after the commit -------------------------------------------------------------------------------------------

    def _perform(self, entries: list[Entry]) -> None:
        touched, self._touched = self._touched, {}
        events = self.record.take_events()
        calls, self._calls = self._calls, []
        self.items.committed()
        if self.noticing:
            self.noticing.tell(events)
        try:
            starts: list[JobWork] = []
            stops: list[tuple[Live, StopJob]] = []
            for live in touched.values():
                commands = live.state.commands
                if commands:
                    live.state.commands = []
                    self.performer.perform(live, commands, starts, stops)
                if live.flows is not None:
                    live.flows.follow(live.state, live.wanted_from, self.clock.elapsed())
            if starts:
                self.performer.start(starts)
            for live, command in stops:
                self.performer.stop(live, command)
        finally:
            for entry in entries:
                entry.finish()
        if len(events) > self._foreign:
            self.pokes.poke(self.record.now)
        if events and self.deliveries.subscriptions:
            self.deliveries.announce(events)
        for call in calls:
            self.later(call)
        if self.telling is not None and len(events) > self._foreign:
            self.telling.add(events[self._foreign :])

    def tell(self, hooks: Callable[[list[Event]], None]) -> None:
        """Have plugins told of what this process does from now on."""
        if self.telling is None:
            self.telling = Telling(hooks, self.later)

    def later(self, action: Callable[[], Any]) -> None:
        """Call something on a worker, outside of any turn."""
        self.performer.later(action)

    def end(self, live: Live) -> None:
        """Release who waits for an execution that has ended."""
        self._forget(live)
        live.end()

    def _forget(self, live: Live) -> None:
        if self.lives.pop(live.execution_id, None) is None:
            return
        self.ticker.unwatch()
        for timer in live.timers.values():
            self.ticker.cancel(timer)
        live.timers.clear()
        self.audience.remove(live)
        self.folders.release(live)
        self.withheld.forget(live)

    # --- what workers bring -----------------------------------------------------------------------------------------

    def report(self, work: JobWork, ended: Ended) -> bool:
        """Take the end of an attempt; tell whether the caller held the turn itself."""
        stored = None
        if type(ended.value) is Outcome:  # a plugin's runner gives what the function has returned
            ended = finish(ended.value, work.options, work.asked_outputs)
        if ended.outcome == "SUCCESS":
            stored = ended.stored
            if stored is None and work.options.persist and ended.gives is None:
                try:
                    stored = self.store.codec.encode(ended.value, f"the value of job {work.key.job!r}")
                except Exception as error:  # a user's __reduce__ may raise anything
                    failure = Failure(type(error).__name__, str(error))
                    ended = Ended("FAILED", error=failure, retryable=False, reason=str(failure)[:500])
        entry = Entry(lambda: self._take_report(work, ended, stored))
        while True:
            try:
                held = self.submit(entry).held
                if work.deadline is not None:
                    self.ticker.cancel(work.deadline)
                return held
            except StoreError as error:
                if self.turns.closed:
                    return True
                told = work.key._asdict()
                logger.error(
                    "The end of job %s could not be recorded, trying again: %s", work.key.job, error, extra=told
                )
                threading.Event().wait(0.5)
            except AIFlowError as error:  # what it changes of the metadata is not possible
                ended, stored = Ended("FAILED", error=failure_of(error), retryable=False, reason=str(error)[:500]), None
            except Exception as error:  # something in it cannot be recorded: that is told instead, once
                if ended.reason == _UNRECORDED:
                    raise
                told = work.key._asdict()
                logger.exception("The end of job %s could not be recorded as it was", work.key.job, extra=told)
                ended, stored = Ended("FAILED", error=failure_of(error), retryable=False, reason=_UNRECORDED), None
            entry = Entry(entry.apply)

    def _take_report(self, work: JobWork, ended: Ended, stored: Stored | None) -> None:
        live, index, number = work.live, work.vertex.index, work.key.number
        if live.works.get((index, number)) is not work:
            return
        if ended.interrupted:  # whoever pressed Ctrl-C means the whole execution
            self.publish_now([stop_request(live, "interrupted")])
        del live.works[index, number]
        mapped = live.mapped.pop((index, number), None) if live.mapped else None
        work.is_over = True
        ticket = live.tickets.pop((index, number), None)
        if ticket is not None:
            self.admission.release(ticket)
        self._undo.append(lambda: self._untake(work, mapped, ticket))
        if live.execution_id not in self.lives:
            return
        reason = hide(ended.reason, live.secrets) if ended.reason and live.secrets else ended.reason
        run = (live.state.jobs[index].runs or {}).get(number)
        is_late = run is not None and run.timed_out
        retryable = issubclass(TimeoutError, work.options.retry_on) if is_late else ended.retryable
        self._save_state(work, ended)
        report = Report(
            work.key.job,
            number,
            work.key.attempt,
            ended.outcome,
            retryable,
            ended.truth,
            reason,
            ended.refused is not None,
        )
        draft = machine.settle(live.state, report, self.record.now)
        if draft is not None and draft.value["status"] == "SUCCESS" and (ended.changes or work.versions):
            stored = self._make_changes(work, ended) or stored
            draft = machine.settle(live.state, report, self.record.now)  # a rule on what has changed may stop the job
        if draft is None:
            return
        status = draft.value["status"]
        if draft.value.get("reason") != reason:  # it ended otherwise than the runner saw it: by a timeout, say
            ended = Ended(status)
        if status == "SUCCESS":
            if ended.stored is None:
                live.keep(index, number, ended.value, work.options.persist)
            self.say(live, draft, ended, stored)
            if work.origin is not None:
                self._note_origin(work, work.origin)
            if work.cache_key is not None and stored is not None and ended.refused is None:
                sql = "INSERT OR REPLACE INTO cached_results VALUES (?, ?, ?, ?, ?)"
                self.record.write(sql, (work.cache_key, live.execution_id, work.key.job, number, self.record.now))
        else:
            self.say(live, draft, ended)
        if status != "RETRYING":
            live.used(index, number)

    def _make_changes(self, work: JobWork, ended: Ended) -> Stored | None:
        """Do what an attempt that succeeded changes of the metadata; its value may be a version that is made only now."""
        key = work.key
        who = Who(work.live.namespace, key.execution_id, key.job, key.number)
        given = self.change_now(who, (*ended.changes, *map(use_of, work.versions)))
        if ended.gives is None:
            return None
        numbers = (ended.gives,) if isinstance(ended.gives, int) else ended.gives
        home = str(self.store.home)
        versions = [version_of(ended.changes[n].gives or "", given[n], home) for n in numbers]
        ended.value = versions[0] if isinstance(ended.gives, int) else versions
        ended.stored = None
        return self.store.codec.encode(ended.value, f"the value of job {key.job!r}")

    def item_of(self, work: JobWork, outcome: Outcome) -> tuple[Any, Stored]:
        """Do what changes of the metadata with an item, and give the item, which may be a version made only now; in a turn."""
        ended = Ended("SUCCESS", outcome.value, changes=outcome.changes, gives=outcome.gives)
        stored = self._make_changes(work, ended)
        if stored is None and type(ended.value) is Stored:
            stored = ended.value
        return ended.value, stored or self.store.codec.encode(ended.value, f"an item of job {work.key.job!r}")

    def _note_origin(self, work: JobWork, origin: tuple[str, str, int]) -> None:
        """Note that the value of a run is that of an equal call."""
        execution_id, job, number, _ = work.key
        self.record.flush()
        link = reused(self.store.writer, execution_id, job, number, origin)
        if work.live.is_traced:
            self.record.link([link], self.record.now)

    def _save_state(self, work: JobWork, ended: Ended) -> None:
        """Keep the state of a job with its end; that of a batch job only if it succeeded."""
        if ended.state is not None and (ended.outcome == "SUCCESS" or work.vertex.flows):
            self.record.write(STATE_SAVED, (work.key.execution_id, work.key.job, ended.state))
        if work.vertex.stream:
            self.items.count(work)

    def insist(self, apply: Callable[[], Any]) -> None:
        """Have something done in a turn, however often the store cannot be written first; not once the project is closed."""
        while not self.turns.closed:
            try:
                self.submit(Entry(apply))
                return
            except StoreError as error:
                if not self.turns.closed:
                    logger.error("What was learned could not be recorded, trying again: %s", error)
                    threading.Event().wait(0.5)

    def take_answer(self, live: Live, question: Ask, draft: Draft) -> None:
        """Append what a function of the user answered, unless nobody waits for it any more; only inside a turn."""
        if live.execution_id in self.lives and asking.is_open(live.state, question):
            self.publish_now([draft])

    def _untake(self, work: JobWork, mapped: Any, ticket: Ticket | None) -> None:
        live, key = work.live, (work.vertex.index, work.key.number)
        live.works[key] = work
        if mapped is not None:
            live.mapped[key] = mapped
        if ticket is not None:
            live.tickets[key] = ticket
            self.admission.retake(ticket)

    def lend_place(self, key: RunKey) -> bool:
        """Let others have the place of a job that waits for them; False if it has none."""
        return self._change_place(key, False)

    def take_place_back(self, key: RunKey) -> None:
        """Give a job its place again, although there may be one too many at work for a while."""
        self._change_place(key, True)

    def _change_place(self, key: RunKey, takes: bool) -> bool:
        def apply() -> bool:
            live = self.lives.get(key.execution_id)
            place = (live.plan.by_name[key.job], key.number) if live is not None else (0, 0)
            ticket = live.tickets.get(place) if live is not None else None
            if live is None or ticket is None or ticket.takes_slot is takes:
                return False
            change(live, place, ticket._replace(takes_slot=takes), takes)
            self._undo.append(lambda: change(live, place, ticket, not takes))
            return True

        def change(live: Live, place: tuple[int, int], ticket: Ticket, takes: bool) -> None:
            live.tickets[place] = ticket
            alone = ticket._replace(limits={}, takes_slot=True)
            self.admission.retake(alone) if takes else self.admission.release(alone)

        return bool(self.submit(Entry(apply)).result)

    # --- what everybody brings --------------------------------------------------------------------------------------

    def publish_now(self, drafts: Iterable[Draft]) -> list[Event]:
        """Append and route drafts; only inside a turn. A draft whose `dedupe_key` is known gives the event of then."""
        events = []
        for draft in drafts:
            if draft.dedupe_key is not None:
                known = self._known(draft)
                if known is not None:
                    events.append(known)
                    continue
            event = self.record.append(draft)
            events.append(event)
            self._route(event)
            if self._fresh:
                self.drain()
        return events

    def say_now(self, draft: Draft, said: Iterable[tuple[str, Any, str]]) -> None:
        """Append and route events like a draft, each with a key and a value of its own; only inside a turn.

        Their offsets follow each other. With each value comes the same as JSON text.
        """
        hears = self.audience.hears
        for event in self.record.append_many(draft, said):
            if hears(event.key):
                self._route(event)
        if self._fresh:
            self.drain()

    @property
    def next_offset(self) -> int:
        """The offset that the next event of this turn will have."""
        return self.record.head + 1

    def _known(self, draft: Draft) -> Event | None:
        self.record.flush()  # what this turn has appended so far counts, too
        sql = f"SELECT {log.COLUMNS} FROM events WHERE namespace = ? AND dedupe_key = ?"
        row = self.store.writer.execute(sql, (draft.namespace, draft.dedupe_key)).fetchone()
        return None if row is None else log.event_of(row)

    def publish(self, key: RunKey | None, drafts: list[Draft]) -> list[Event]:
        """Append events durably and bring them to whom they concern; `key` is the job that asks, if one does."""
        if key is not None:
            for draft in drafts:
                check_draft(draft)
        result: list[Event] = self.submit(Entry(lambda: self.publish_now(drafts))).result
        return result

    def events(self, offsets: Iterable[int], key: RunKey | None = None) -> list[Event]:
        """Read events by their offsets."""
        return log.by_offsets(self.store.reader(), offsets)

    def set_label(self, key: RunKey, text: str) -> None:
        """Show a short text beside a job."""
        sql = "UPDATE job_executions SET label = ? WHERE execution_id = ? AND job = ? AND number = ?"
        live = self.lives.get(key.execution_id)
        text = hide(text, live.secrets) if live is not None else text
        self.submit(Entry(lambda: self.record.write(sql, (storable(text), key.execution_id, key.job, key.number))))

    def load_state(self, key: RunKey) -> str | None:
        """Give the state of a job that was saved last."""
        return self.store.state(key.execution_id, key.job)

    # --- the metadata -------------------------------------------------------------------------------------------------

    def change(self, key: RunKey, changes: list[Change]) -> list[Any]:
        """Do changes of the metadata on behalf of a job that runs here, in one transaction; give what each gives."""
        live = self.lives.get(key.execution_id)
        if live is None:
            raise Stopped(f"the execution of job {key.job!r} is over; nothing it does is recorded any more")
        return self.change_for(Who(live.namespace, key.execution_id, key.job, key.number), changes)

    def change_for(self, who: Who, changes: list[Change]) -> list[Any]:
        """Do changes of the metadata on behalf of somebody, in one transaction; give what each gives."""
        found: list[Any] = self.submit(Entry(lambda: self.change_now(who, changes))).result
        return found

    def change_now(self, who: Who, changes: Sequence[Change]) -> list[Any]:
        """Do changes of the metadata; only inside a turn."""
        self.record.flush()  # what this turn has written so far may be what they change
        book = Book(self.store.writer, self, who, self.record.now)
        found = [ledger.do(book, change) for change in changes]
        live = self.lives.get(who.execution_id or "")
        if live is not None and not live.is_traced and any(change.is_traced for change in changes):
            self._trace(live)
        return found

    def _trace(self, live: Live) -> None:
        """From when on an execution deals with versions, record what flows from job to job, and what did so far."""
        if lineage.is_known(self.store.writer, live.execution_id):
            self.undo(partial(setattr, live, "is_traced", False))
            live.is_traced = True
            self.record.flush()
            trace(self.store.writer, [live.execution_id])

    def findings(self, asking: Iterable[MetadataCondition], namespace: str, own: str) -> list[Draft]:
        """Give what is so already of what conditions wait for, as events for `own` alone; only inside a turn (`.now()`)."""
        asking = list(asking)
        if not asking:
            return []
        self.record.flush()  # what this turn has written so far is so
        book = Book(self.store.writer, self, Who(namespace), self.record.now)
        return findings.findings(book, asking, own)

    def project(self) -> Any:
        """Give the project of this engine."""
        return self.project_of("") if self.project_of is not None else None

    def look(self) -> None:
        """Take a turn if another process has appended events, or something was left to be done."""
        self.deliveries.relieve()
        self.turns.nudge()
        self.store.check_log_size()
        if self.clock.now() - self._shown >= SHOWN_EACH and not self.turns.closed:
            self.submit(Entry(self._show))
        if self.store.head() > self.record.head and not self.turns.closed:
            self.submit(Entry(lambda: None))

    def _show(self) -> None:
        """Say in the store that this owner works; one that is silent for long may lose its executions (rule 32)."""
        self._shown = self.record.now
        self.record.write("UPDATE owners SET seen = ? WHERE id = ?", (self.record.now, self.store.owner_id))

    def on_clock(self) -> bool:
        """A manual clock was moved: do what is due; tell whether anything was."""
        return self.ticker.run_due()

    def is_idle(self) -> bool:
        """Tell whether no job does anything, no turn is wanted and no subscriber has anything left."""
        held = self.turns.held
        return (
            self.folders.is_idle  # first what makes turns, then jobs, for what these have left is a turn, too
            and self.ticker.is_idle
            and self.deliveries.is_idle()
            and (self.telling is None or self.telling.is_idle)
            and self._is_at_rest()
            and self.turns.is_idle
            and self.turns.held == held  # else one came in between, and what was looked at before may have work again
        )

    def _is_at_rest(self) -> bool:
        """Tell whether no job does anything but wait for others or for a stop, and no question is open."""
        return all(live.is_idle for live in list(self.lives.values()))

    def settle(self) -> None:
        """Run and wait until nothing is under way; for a manual clock."""
        if self.project_of is not None and (project := self.project_of("")) is not None:
            project._shared.settle()

    # --- executions -------------------------------------------------------------------------------------------------

    def begin(self, live: Live, insert: Callable[[], None]) -> None:
        """Record a new execution and start what needs nothing; return when it is RUNNING."""

        def apply() -> None:
            insert()
            self._adopt(live)
            own, namespace = live.execution_id, live.namespace
            found = self.findings(live.plan.asking_now, namespace, own)
            value: dict[str, Any] = {"status": "RUNNING"} | ({"findings": len(found)} if found else {})
            self.say(live, Draft(live.plan.key, value, _EXECUTION, namespace, None, own, own))
            for finding in found:
                self.step(live, self.record.append(finding))
            self.drain()

        self.submit(Entry(apply))

    def _adopt(self, live: Live) -> None:
        live.port, live.run_again, live.prepare = self, run_again, lifecycle.prepare
        if live.execution_id not in self.lives:
            self.lives[live.execution_id] = self.recent[live.execution_id] = live
            self.snapshots.add(live)
            self.ticker.watch()
            self.folders.adopt(live)
            self._undo.append(partial(self._forget, live))
        self.audience.add(live)

    def take(self, live: Live, epoch_sql: tuple[str, tuple[Any, ...]], request: Draft | None = None) -> bool:
        """Go on with an execution that nobody owns, or that ended and is opened again; False if somebody was faster."""

        def apply() -> bool:
            if self.store.writer.execute(*epoch_sql).rowcount != 1:
                return False
            self.record.flush()  # what this turn has appended so far may concern it
            advice = "start it anew (start_from takes over what has succeeded)"
            self.store.check_reaches(live.needed_after, f"{live.plan.key} ({live.execution_id}) cannot go on", advice)
            self._reload(live)
            live.is_traced = lineage.is_known(self.store.writer, live.execution_id)
            self._adopt(live)
            self.record.append(taken_over(live, self.store.owner_id))
            self._touched[live.execution_id] = live
            for index, run in live.state.runs():
                if run.status in ("RUNNING", "STOPPING"):
                    if self.notes.find_again(live, index, run):
                        continue
                    lost = {"number": run.number, "attempt": run.attempt}
                    vertex = live.plan.vertices[index]
                    loss = Draft(
                        vertex.key,
                        lost,
                        str(EventType.JOB_LOST),
                        live.namespace,
                        None,
                        live.execution_id,
                        live.execution_id,
                    )
                    self.step(live, self.record.append(loss))
                elif run.status == "RETRYING":
                    live.state.commands.append(RetryLater(index, run.number, run.attempt, run.due))
            if live.state.status is ExecutionStatus.RUNNING:
                ticking.arm(live.state)
            if request is not None:
                self.step(live, self.record.append(request))
            self._fresh.append(live)
            self.drain()
            return True

        return bool(self.submit(Entry(apply)).result)

    def let_go(self, lives: list[Live]) -> None:
        """Own these triggers no longer; whoever serves them next goes on from the log."""

        def apply() -> None:
            for live in lives:
                sql = "UPDATE triggers SET owner = NULL WHERE id = ? AND owner = ?"
                self.record.write(sql, (live.execution_id, self.store.owner_id))
                self.snapshots.keep(live)
                self.publish_now([taken_over(live, None)])

        if lives and not self.turns.closed:
            self.submit(Entry(apply))

    def _reload(self, live: Live) -> None:
        """Make the state of an execution anew from the log: it is a fold over its events, nothing else."""
        state = live.fresh_state()
        events = log.of_execution(self.store.writer, live.execution_id, live.needed_after, live.plan.keys_heard)
        replay(state, [e for e in events if e.offset <= self.record.head])
        for job in state.jobs:
            job.ticketed = False
        state.ready = [i for i, _ in enumerate(state.jobs) if machine.can_start(state, i)]
        state.commands = []
        asking.ask_again(state)
        live.state = state
        for key in [k for k in live.tickets if k not in live.works]:  # it was to start in the turn that failed
            self.admission.release(live.tickets.pop(key))
        self._fresh.append(live)
        self.admission.forget(live)
        self.withheld.forget(live)

    def _taken_over(self, live: Live, event: Event) -> None:
        if event.value.get("owner") == self.store.owner_id:
            return
        live.lost = True
        self.performer.abandon(live)
        for ticket in live.tickets.values():
            self.admission.release(ticket)
        live.works, live.mapped, live.tickets = {}, {}, {}
        self._forget(live)
        live.end()

    def close(self) -> None:
        """End threads and runners; what is RUNNING in the store stays so, and is INTERRUPTED once the lock is free."""
        self.clock.detach(self)
        self.folders.close()
        self.pokes.hush()
        self.ticker.close()
        self.deliveries.close()
        self.turns.close()  # before the jobs hear of it: how they end now is not how they ended
        for live in list(self.lives.values()):
            for work in list(live.works.values()):
                work.context.abandon()
        self.performer.close()
        self.pokes.close()
        for live in list(self.lives.values()):
            live.lost = True
            live.end()
