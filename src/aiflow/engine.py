"""The shell around the machine: takes events, steps, commits, performs. One turn at a time, on whoever brings the event.

Knows nothing of how jobs run (runners), of what SQL is (store) or of why things are decided (graph). There is no engine
thread: a turn is held by the worker whose job ended, by a publisher, a timer or a watcher (`docs/architecture.md`).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from aiflow.clock import Clock
from aiflow.errors import AIFlowError, StoreError
from aiflow.events.deliveries import Deliveries, Subscription
from aiflow.events.ticker import Ticker
from aiflow.graph import machine
from aiflow.graph.admission import Admission, Ticket
from aiflow.graph.commands import EndExecution, RetryLater, StartJob, StopJob
from aiflow.graph.event import INTERNAL, Draft, Event, EventType, job_key
from aiflow.graph.execution import ENDED, RunKey
from aiflow.graph.machine import Report
from aiflow.graph.params import hide, json_text
from aiflow.graph.state import ExecutionState
from aiflow.live import JobWork, Live
from aiflow.mapping import MappedRun
from aiflow.runners.base import Ended, Failure, Runner, failure_of
from aiflow.runners.calling import finish, judge
from aiflow.store import log
from aiflow.store.connection import DatabaseError, begin
from aiflow.store.log import EventFilter
from aiflow.store.store import APPEND, JOB_CHANGED, JOB_ENDED, JOB_RUNNING, JOB_SKIPPED, Store
from aiflow.values.codec import Stored
from aiflow.values.fingerprint import cache_key

__all__ = ["Engine", "Entry"]

logger = logging.getLogger(__name__)
_TURN_ENTRIES = 500
_TRIES = 3
_MAIN = threading.main_thread().ident
_JOB, _EXECUTION = str(EventType.JOB_STATUS_CHANGED), str(EventType.EXECUTION_STATUS_CHANGED)


class _Unhandled(Exception):
    """An event of another process could not be handled: the turn is tried again, and the event set aside in the end."""


class Entry:
    """One thing that somebody brought to be done in a turn: `apply` is called inside the transaction."""

    __slots__ = ("apply", "error", "finished", "following", "lead", "nap", "result", "takes_work")

    def __init__(self, apply: Callable[[], Any], takes_work: bool = False) -> None:
        self.apply = apply
        self.takes_work = takes_work
        self.finished = self.lead = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.following: JobWork | None = None
        self.nap: Any = None


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
    hooks
        Called after each commit, on a worker, with its events; or None.
    project_of
        Gives a namespace's project, for `af.current().project`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        runners: Callable[[str], Runner],
        *,
        limits: Mapping[str, int] | None = None,
        hooks: Callable[[list[Event]], None] | None = None,
        project_of: Callable[[str], Any] | None = None,
    ) -> None:
        self.store, self.clock, self.hooks, self.project_of = store, clock, hooks, project_of
        self._make_runner = runners
        self.runners: dict[str, Runner] = {}
        self.admission = Admission({}, limits)
        self.lives: dict[str, Live] = {}
        self._listeners: dict[str, dict[str, Live]] = {}
        self._pattern_listeners: dict[str, Live] = {}
        self.deliveries = Deliveries(self)
        self.ticker = Ticker(clock, self.look)
        self.head = store.head()
        self._data_version: int | None = None
        self._lock = threading.Lock()
        self._inbox: deque[Entry] = deque()
        self._events: list[Event] = []
        self._rows: list[tuple[Any, ...]] = []
        self._writes: list[tuple[str, tuple[Any, ...]]] = []
        self._bad: dict[int, int] = {}
        self._touched: dict[str, Live] = {}
        self._fresh: list[Live] = []
        self._undo: list[Callable[[], None]] = []
        self._calls: list[Callable[[], Any]] = []
        self._usher: threading.Thread | None = None
        self._usher_bell = threading.Semaphore(0)
        self._now = 0.0
        self._holder = 0
        self.recent: WeakValueDictionary[str, Live] = WeakValueDictionary()
        self.on_failure: Callable[[Any, Live, str | None], None] | None = None
        self.closed = False
        clock.attach(self)

    # --- the turn ---------------------------------------------------------------------------------------------------

    def submit(self, entry: Entry) -> Entry:
        """Have `entry` done in a turn; return when it is durable. Raises what its `apply` raised.

        Raises
        ------
        StoreError
            If the store cannot be written; nothing of the entry is.
        """
        if self.closed:
            raise StoreError("the project is closed")
        if self._holder == threading.get_ident():
            raise AIFlowError("a turn cannot begin inside a turn: this is a fault of aiflow")
        self._inbox.append(entry)
        if threading.get_ident() == _MAIN:
            self._call_usher()  # a KeyboardInterrupt could land in the middle of a turn
            self._wait(entry)
        elif self._lock.acquire(False):
            self._hold()
            if not entry.finished:
                self._wait(entry)
        else:
            self._wait(entry)
        if entry.error is not None:
            raise entry.error
        return entry

    def _wait(self, entry: Entry) -> None:
        while not entry.finished:
            nap = threading.Lock()
            nap.acquire()
            entry.nap = nap
            if entry.finished:
                return
            if not entry.lead:
                nap.acquire()
            if entry.lead:
                entry.lead, entry.nap = False, None
                if threading.get_ident() == _MAIN:
                    self._call_usher()
                elif self._lock.acquire(False):
                    self._hold()

    def _call_usher(self) -> None:
        if self._usher is None:
            self._usher = threading.Thread(target=self._ush, name="aiflow-usher", daemon=True)
            self._usher.start()
        self._usher_bell.release()

    def _ush(self) -> None:
        """Hold turns for those who must not: the main thread."""
        while not self.closed:
            self._usher_bell.acquire()
            if self._inbox and self._lock.acquire(False):
                self._hold()

    def _hold(self) -> None:
        """Take turns until the inbox is empty, or for as long as is fair; the caller has the lock, and loses it."""
        turns = 0
        while True:
            self._holder = threading.get_ident()
            try:
                while self._inbox and turns < 4:
                    turns += 1
                    self._turn()
            finally:
                self._holder = 0
                self._lock.release()
            if not self._inbox:
                return
            if turns >= 4:
                self._pass_on()
                return
            if not self._lock.acquire(False):
                return

    def _pass_on(self) -> None:
        """Let one of those who wait hold the next turns."""
        try:
            entry = self._inbox[0]
        except IndexError:
            return
        entry.lead = True
        nap = entry.nap
        if nap is not None:
            _release(nap)

    def _turn(self) -> None:
        entries: list[Entry] = []
        while self._inbox and len(entries) < _TURN_ENTRIES:
            entries.append(self._inbox.popleft())
        if self._try(entries):
            self._perform(entries)
            return
        for entry in entries:  # one of them is at fault: each by itself
            self._try([entry])
            self._perform([entry])

    def _try(self, entries: list[Entry]) -> bool:
        """Do the entries in one transaction; on failure nothing of them has happened."""
        writer, head = self.store.writer, self.head
        self._now = self.clock.now()
        try:
            begin(writer)
            self._catch_up()
            for entry in entries:
                entry.result = entry.apply()
                if self._fresh:
                    self._drain()
            self._admit()
            self._write()
            writer.execute("COMMIT")
        except _Unhandled:
            self._roll_back(head)
            return self._try(entries)
        except BaseException as error:
            self._roll_back(head)
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
        self.head, self._data_version = head, None
        for undo in reversed(self._undo):
            undo()
        touched, self._touched = self._touched, {}
        self._events, self._rows, self._writes, self._calls, self._fresh, self._undo = [], [], [], [], [], []
        for live in touched.values():
            if live.execution_id in self.lives:
                self._reload(live)

    def _explain(self, error: BaseException) -> BaseException:
        if isinstance(error, DatabaseError):
            problem = StoreError(f"the store in {self.store.home} could not be written: {error}")
            problem.__cause__ = error
            return problem
        return error

    def _catch_up(self) -> None:
        """Take what other processes appended; if none wrote, nothing can have changed, ownership included."""
        writer = self.store.writer
        version = writer.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return
        self._data_version = version
        rows = writer.execute(f"SELECT {log.COLUMNS} FROM events WHERE offset > ? ORDER BY offset", (self.head,)).fetchall()
        for row in rows:
            self.head = row[0]
            try:
                self._take_foreign(row)
            except Exception as error:  # another program may have written anything
                self._bad[row[0]] = self._bad.get(row[0], 0) + 1
                logger.warning("The event at offset %d could not be handled: %s", row[0], error)
                raise _Unhandled from error
        if self._fresh:
            self._drain()

    def _take_foreign(self, row: tuple[Any, ...]) -> None:
        tries = self._bad.get(row[0], 0)
        if tries < _TRIES:
            event = log.event_of(row)
            self._events.append(event)
            self._route(event)
        elif tries == _TRIES:  # set aside, so that the next ones go on: aiflow list events --failed
            self._bad[row[0]] += 1
            sql = "INSERT INTO failed_events (offset, handler, error, time) VALUES (?, 'scheduler', ?, ?)"
            self._writes.append((sql, (row[0], f"could not be handled {tries} times", self._now)))

    def _write(self) -> None:
        writer = self.store.writer
        rows, writes = self._rows, self._writes
        if rows:
            if len(rows) == 1:
                writer.execute(APPEND, rows[0])
            else:
                writer.executemany(APPEND, rows)
            self._rows = []
        if writes:
            i, n = 0, len(writes)
            while i < n:
                sql = writes[i][0]
                j = i + 1
                while j < n and writes[j][0] is sql:
                    j += 1
                if j == i + 1:
                    writer.execute(sql, writes[i][1])
                else:
                    writer.executemany(sql, [w[1] for w in writes[i:j]])
                i = j
            self._writes = []

    # --- inside a turn ----------------------------------------------------------------------------------------------

    def append(self, draft: Draft) -> Event:
        """Give a draft its offset; only inside a turn. It is not routed yet."""
        key, value, kind, namespace, sender, context, execution_id, time, dedupe_key = draft
        self.head = offset = self.head + 1
        if not time:
            time = self._now
        if kind != _JOB:
            text = json_text(value, f"the value of event {key!r}")
        elif len(value) == 3:  # the most common event by far
            text = '{"status":"%s","number":%d,"attempt":%d}' % (value["status"], value["number"], value["attempt"])
        else:
            text = json_text(value, "a status")
        self._rows.append((offset, time, key, kind, text, namespace, sender, context, execution_id, dedupe_key))
        event = Event(offset, key, value, kind, namespace, sender, context, execution_id, time)
        self._events.append(event)
        return event

    def write(self, sql: str, values: tuple[Any, ...]) -> None:
        """Have one statement done with the commit of this turn."""
        self._writes.append((sql, values))

    def say(self, live: Live, draft: Draft, ended: Ended | None = None, stored: Stored | None = None) -> None:
        """Append one of the machine's own events, write its row, and step it."""
        event = self.append(draft)
        value = event.value
        if draft.type == _JOB:
            self._write_job(live, event, value["status"], ended, stored)
        elif draft.type == _EXECUTION:
            self._write_execution(live, event, value["status"])
        self._step(live, event)

    def _step(self, live: Live, event: Event) -> None:
        state = live.state
        machine.step(state, event)
        self._touched[live.execution_id] = live
        if state.outbox or state.ready:
            self._fresh.append(live)

    def _write_job(self, live: Live, event: Event, status: str, ended: Ended | None, stored: Stored | None) -> None:
        value = event.value
        number, job, time = value["number"], event.key[4:], event.timestamp
        key = (live.execution_id, job, number)
        if status == "RUNNING":
            job_state = live.state.jobs[live.plan.by_name[job]]
            offsets = value.get("events") or (job_state.starts[0].events if value["attempt"] == 1 and job_state.starts else ())
            cause = offsets[-1] if offsets else None
            self._writes.append((JOB_RUNNING, (time, cause, value["attempt"], *key)))
        elif status == "SKIPPED":
            self._writes.append((JOB_SKIPPED, (time, time, value.get("reason"), event.offset, *key)))
        elif status in ENDED:
            error = _error_text(ended, live.secrets)
            if status == "FAILED":
                self._note_failure(live, job, number)
            kept = stored or (None, None, None, None)
            self._writes.append((JOB_ENDED, (status, time, value.get("reason"), error, *kept, *key)))
        else:
            self._writes.append((JOB_CHANGED, (status, value.get("reason"), _error_text(ended, live.secrets), *key)))

    def _note_failure(self, live: Live, job: str, number: int) -> None:
        action = live.plan.vertices[live.plan.by_name[job]].node.options.on_failure
        if action is not None and self.on_failure is not None:
            handler = self.on_failure
            self._calls.append(lambda: handler(action, live, job))

    def _write_execution(self, live: Live, event: Event, status: str) -> None:
        is_over = status in ("SUCCESS", "FAILED", "STOPPED")
        if status == "FAILED" and live.on_failure is not None and self.on_failure is not None:
            handler, action = self.on_failure, live.on_failure
            self._calls.append(lambda: handler(action, live, None))
        sql = "UPDATE executions SET status = ?, ended = ?, reason = ? WHERE id = ?"
        self._writes.append((sql, (status, event.timestamp if is_over else None, event.value.get("reason"), live.execution_id)))

    def _route(self, event: Event) -> None:
        """Bring an event to the executions that it may concern (rule 3)."""
        if event.type in INTERNAL:
            live = self.lives.get(event.execution_id or "")
            if live is not None:
                if event.type == EventType.REQUESTED and event.value.get("action") == "taken_over":
                    self._taken_over(live, event)
                else:
                    self._step(live, event)
            return
        by_key = self._listeners.get(event.key)
        if by_key:
            self._hear(by_key, event)
        if self._pattern_listeners:
            self._hear(self._pattern_listeners, event)

    def _hear(self, listeners: dict[str, Live], event: Event) -> None:
        context = event.context
        for live in list(listeners.values()):
            if context is None or live.context == context or live.execution_id == context:
                self._step(live, event)

    def _drain(self) -> None:
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
                self._runner(vertex.runner)
                self.admission.offer(Ticket(live, index, vertex.runner, vertex.limits, not vertex.stream))

    def _admit(self) -> None:
        admission = self.admission
        while True:
            ticket = admission.admit()
            if ticket is None:
                return
            live, index = ticket.owner, ticket.vertex
            state: ExecutionState = live.state
            state.jobs[index].ticketed = False
            draft = machine.dispatch(state, index, self._now) if live.execution_id in self.lives else None
            if draft is None:
                admission.release(ticket)
                continue
            live.tickets[index, draft.value["number"]] = ticket
            self.say(live, draft)
            if self._fresh:
                self._drain()
            if machine.can_start(state, index):
                state.ready.append(index)
                self._offer(live)

    # --- after the commit -------------------------------------------------------------------------------------------

    def _perform(self, entries: list[Entry]) -> None:
        starts: list[JobWork] = []
        for live in self._touched.values():
            commands = live.state.commands
            if commands:
                live.state.commands = []
                for command in commands:
                    self._do(live, command, starts)
        self._touched = {}
        events, self._events = self._events, []
        calls, self._calls = self._calls, []
        if starts:
            self._start(starts, entries)
        for entry in entries:
            entry.finished = True
            if entry.nap is not None:
                _release(entry.nap)
        if events and self.deliveries.subscriptions:
            self.deliveries.announce(events)
        for call in calls:
            self.later(call)
        if self.hooks is not None and events:
            hooks = self.hooks
            self.later(lambda: hooks(events))

    def _do(self, live: Live, command: Any, starts: list[JobWork]) -> None:
        kind = type(command)
        if kind is StartJob:
            run = (live.state.jobs[command.vertex].runs or {}).get(command.number)
            if run is not None:
                work = JobWork(live, live.plan.vertices[command.vertex], run, command, self)
                live.works[command.vertex, command.number] = work
                starts.append(work)
        elif kind is StopJob:
            self._stop_work(live, command)
        elif kind is RetryLater:
            self._later(live, command)
        elif kind is EndExecution:
            self._end(live)

    def _start(self, starts: list[JobWork], entries: list[Entry]) -> None:
        """Start jobs: the first ones on the workers that have just become free, the others wherever there is room."""
        free = [e for e in entries if e.takes_work and e.error is None]
        for work in starts:
            runner = self._runner_of(work)
            if work.options.timeout is not None:
                self._arm_timeout(work)
            if work.vertex.node.mapped:
                self._start_mapped(work, runner)
            elif work.options.cache:
                self.later(partial(self._start_cached, work, runner))
            elif free and getattr(runner, "runs_in_place", False):
                free.pop(0).following = work
            else:
                try:
                    runner.start(work, self.report_and_go_on if getattr(runner, "runs_in_place", False) else self.report)
                except Exception as error:  # a plugin's runner: its trouble is that job's
                    self._fail_later(work, error)

    def _start_cached(self, work: JobWork, runner: Runner) -> None:
        """Look for the value of an equal call first (rule 37); on a worker, for hashing reads the inputs."""
        try:
            work.cache_key = cache_key(work.load(), work.options.cache, self.store.codec)
        except BaseException as error:  # loading the inputs and a user's key function are foreign code
            self.report(work, judge(error, work.options))
            return
        sql = (
            "SELECT j.codec, j.value, j.blob, j.size FROM cached_results c JOIN job_executions j USING (execution_id, job, number) "
            "WHERE c.key = ? AND j.codec IS NOT NULL"
        )
        row = self.store.row(sql, (work.cache_key,))
        if row is None:
            runner.start(work, self.report)
            return
        work.cache_key = None
        stored = Stored(row[0], row[1], row[2], row[3] or 0)
        ended = finish(self.store.codec.decode(stored), work.options, work.asked_outputs) if work.asked_outputs else Ended("SUCCESS")
        ended.stored, ended.reason = stored, "the value of an equal call was used again"
        self.report(work, ended)

    def _start_mapped(self, work: JobWork, runner: Runner) -> None:
        kept = work.live.values.setdefault((-1 - work.vertex.index, work.key.number), {})
        width = work.options.max_parallel or runner.capacity or self.workers
        mapped = MappedRun(work, runner, width, self.report, kept)
        work.element = -1
        work.live.works[work.vertex.index, work.key.number] = work
        work.live.works[-1 - work.vertex.index, work.key.number] = mapped
        self.later(mapped.start)

    @property
    def workers(self) -> int:
        """How many jobs run at a time on threads."""
        return self._runner("thread").capacity or 1

    def later(self, action: Callable[[], Any]) -> None:
        """Call something on a worker thread, outside of any turn."""
        self._runner("thread").call(action)  # type: ignore[attr-defined]

    def _fail_later(self, work: JobWork, error: BaseException) -> None:
        failure = failure_of(error)
        self.later(lambda: self.report(work, Ended("FAILED", error=failure, reason=str(failure))))

    def _stop_work(self, live: Live, command: StopJob) -> None:
        work = live.works.get((command.vertex, command.number))
        if work is None:
            return
        work.context.stop_event.set()
        mapped = live.works.get((-1 - command.vertex, command.number))
        target = mapped.stop if mapped is not None else lambda: self._runner_of(work).stop(work)
        self.later(target)
        if getattr(self._runner_of(work), "runs_in_place", False) or work.options.runner == "inline":
            due = self.clock.now() + work.options.stop_timeout
            self.ticker.at(due, lambda: self._give_up(live, work))

    def _give_up(self, live: Live, work: JobWork) -> None:
        """A thread that does not end in time, in an execution that is ending, is abandoned (rule 22)."""
        if live.works.get((work.vertex.index, work.key.number)) is not work:
            return
        if str(live.state.status) == "STOPPING":
            work.context.is_over = True
            reason = f"could not be stopped: its thread still runs after {work.options.stop_timeout:g} s"
            self.report(work, Ended("STOPPED", reason=reason))
        else:
            self.set_label(work.key, "waits until the old thread has ended")

    def _arm_timeout(self, work: JobWork) -> None:
        key = work.key
        draft = Draft(
            job_key(key.job), {"number": key.number, "attempt": key.attempt}, str(EventType.JOB_TIMED_OUT), work.live.namespace, None,
            key.execution_id, key.execution_id,
        )  # fmt: skip

        def time_out() -> None:
            if work.live.works.get((work.vertex.index, key.number)) is work:
                self.submit(Entry(lambda: self.publish_now([draft])))

        assert work.options.timeout is not None
        self.ticker.at(self.clock.now() + work.options.timeout, time_out)

    def _later(self, live: Live, command: RetryLater) -> None:
        def retry() -> None:
            draft = machine.retry(live.state, command.vertex, command.number, command.attempt, self._now)
            if draft is not None and live.execution_id in self.lives:
                self.say(live, draft)

        self.ticker.at(command.due, lambda: self.submit(Entry(retry)))

    def _end(self, live: Live) -> None:
        self._forget(live)
        live.values = {k: v for k, v in live.values.items() if k[0] >= 0 and not live.plan.vertices[k[0]].node.options.persist}
        live.end()

    def _forget(self, live: Live) -> None:
        if self.lives.pop(live.execution_id, None) is None:
            return
        self.ticker.unwatch()
        for key in live.plan.by_key:
            listeners = self._listeners.get(key)
            if listeners is not None:
                listeners.pop(live.execution_id, None)
                if not listeners:
                    del self._listeners[key]
        self._pattern_listeners.pop(live.execution_id, None)

    # --- what workers bring -----------------------------------------------------------------------------------------

    def report(self, work: JobWork, ended: Ended) -> None:
        """Take the end of an attempt."""
        self._report(work, ended, False)

    def report_and_go_on(self, work: JobWork, ended: Ended) -> JobWork | None:
        """Take the end of an attempt; give the next work, which the caller must run on its own thread at once."""
        return self._report(work, ended, True)

    def _report(self, work: JobWork, ended: Ended, takes_work: bool) -> JobWork | None:
        stored = None
        if ended.outcome == "SUCCESS":
            stored = ended.stored
            if stored is None and work.options.persist:
                try:
                    stored = self.store.codec.encode(ended.value, f"the value of job {work.key.job!r}")
                except Exception as error:  # a user's __reduce__ may raise anything
                    failure = Failure(type(error).__name__, str(error))
                    ended = Ended("FAILED", error=failure, retryable=False, reason=str(failure)[:500])
        entry = Entry(lambda: self._take_report(work, ended, stored), takes_work)
        while True:
            try:
                self.submit(entry)
                return entry.following
            except StoreError as error:
                if self.closed:
                    return None
                logger.error("The end of job %s could not be recorded, trying again: %s", work.key.job, error)
                threading.Event().wait(0.5)
                entry = Entry(entry.apply, entry.takes_work)

    def _take_report(self, work: JobWork, ended: Ended, stored: Stored | None) -> None:
        live, index, number = work.live, work.vertex.index, work.key.number
        if live.works.get((index, number)) is not work:
            return
        del live.works[index, number]
        mapped = live.works.pop((-1 - index, number), None)
        if work._context is not None:
            work._context.is_over = True
        ticket = live.tickets.pop((index, number), None)
        if ticket is not None:
            self.admission.release(ticket)
        self._undo.append(lambda: self._untake(work, mapped, ticket))
        if live.execution_id not in self.lives:
            return
        reason = hide(ended.reason, live.secrets) if ended.reason and live.secrets else ended.reason
        report = Report(work.key.job, number, work.key.attempt, ended.outcome, ended.retryable, ended.truth, reason)
        draft = machine.settle(live.state, report, self._now)
        if draft is None:
            return
        status = draft.value["status"]
        if status == "SUCCESS":
            if ended.stored is None:
                live.keep(index, number, ended.value, work.options.persist)
            self.say(live, draft, ended, stored)
            if work.cache_key is not None and stored is not None:
                sql = "INSERT OR REPLACE INTO cached_results VALUES (?, ?, ?, ?, ?)"
                self.write(sql, (work.cache_key, live.execution_id, work.key.job, number, self._now))
        else:
            self.say(live, draft, ended)
        if status != "RETRYING":
            live.used(index)
            live.values.pop((-1 - index, number), None)

    def _untake(self, work: JobWork, mapped: Any, ticket: Ticket | None) -> None:
        live, key = work.live, (work.vertex.index, work.key.number)
        live.works[key] = work
        if mapped is not None:
            live.works[-1 - key[0], key[1]] = mapped
        if ticket is not None:
            live.tickets[key] = ticket
            self.admission.retake(ticket)

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
            event = self.append(draft)
            events.append(event)
            self._route(event)
            if self._fresh:
                self._drain()
        return events

    def _known(self, draft: Draft) -> Event | None:
        self._write()  # what this turn has appended so far counts, too
        sql = f"SELECT {log.COLUMNS} FROM events WHERE namespace = ? AND dedupe_key = ?"
        row = self.store.writer.execute(sql, (draft.namespace, draft.dedupe_key)).fetchone()
        return None if row is None else log.event_of(row)

    def publish(self, key: RunKey | None, drafts: list[Draft]) -> list[Event]:
        """Append events durably and bring them to whom they concern."""
        result: list[Event] = self.submit(Entry(lambda: self.publish_now(drafts))).result
        return result

    def events(self, offsets: Iterable[int]) -> list[Event]:
        """Read events by their offsets."""
        return log.by_offsets(self.store.reader(), offsets)

    def set_label(self, key: RunKey, text: str) -> None:
        """Show a short text beside a job."""
        sql = "UPDATE job_executions SET label = ? WHERE execution_id = ? AND job = ? AND number = ?"
        self.submit(Entry(lambda: self.write(sql, (text, key.execution_id, key.job, key.number))))

    def project(self) -> Any:
        """Give the project of this engine."""
        return self.project_of("") if self.project_of is not None else None

    def look(self) -> None:
        """Take a turn if another process has appended events."""
        self.deliveries.relieve()
        if self.store.head() > self.head and not self.closed:
            self.submit(Entry(lambda: None))

    def on_clock(self) -> bool:
        """A manual clock was moved: do what is due; tell whether anything was."""
        return self.ticker.run_due()

    def is_idle(self) -> bool:
        """Tell whether no job runs, no turn is wanted and no subscriber has anything left."""
        return not self._inbox and not any(live.works for live in self.lives.values()) and self.deliveries.is_idle()

    def settle(self) -> None:
        """Run and wait until nothing is under way; for a manual clock."""
        if self.project_of is not None and (project := self.project_of("")) is not None:
            project._settle()

    # --- executions -------------------------------------------------------------------------------------------------

    def begin(self, live: Live, insert: Callable[[], None]) -> None:
        """Record a new execution and start what needs nothing; return when it is RUNNING."""

        def apply() -> None:
            insert()
            self._adopt(live)
            draft = Draft(
                "execution:" + live.workflow, {"status": "RUNNING"}, _EXECUTION, live.namespace, None, live.execution_id, live.execution_id
            )
            self.say(live, draft)
            self._drain()

        try:
            self.submit(Entry(apply))
        except BaseException:
            self._forget(live)
            raise

    def _adopt(self, live: Live) -> None:
        if live.execution_id not in self.lives:
            self.lives[live.execution_id] = self.recent[live.execution_id] = live
            self.ticker.watch()
        for key in live.plan.by_key:
            self._listeners.setdefault(key, {})[live.execution_id] = live
        if live.plan.patterns:
            self._pattern_listeners[live.execution_id] = live

    def take(self, live: Live, epoch_sql: tuple[str, tuple[Any, ...]], request: Draft | None = None) -> bool:
        """Go on with an execution that nobody owns, or that ended and is opened again; False if somebody was faster."""

        def apply() -> bool:
            if self.store.writer.execute(*epoch_sql).rowcount != 1:
                return False
            self._reload(live)
            self._adopt(live)
            taken = Draft(
                "execution:" + live.workflow, {"action": "taken_over", "owner": self.store.owner_id}, str(EventType.REQUESTED), live.namespace,
                None, live.execution_id, live.execution_id,
            )  # fmt: skip
            self.append(taken)
            self._touched[live.execution_id] = live
            for index, run in live.state.runs():
                if run.status in ("RUNNING", "STOPPING"):
                    lost = {"number": run.number, "attempt": run.attempt}
                    vertex = live.plan.vertices[index]
                    loss = Draft(vertex.key, lost, str(EventType.JOB_LOST), live.namespace, None, live.execution_id, live.execution_id)
                    self._step(live, self.append(loss))
                elif run.status == "RETRYING":
                    live.state.commands.append(RetryLater(index, run.number, run.attempt, run.due))
            if request is not None:
                self._step(live, self.append(request))
            self._fresh.append(live)
            self._drain()
            return True

        return bool(self.submit(Entry(apply)).result)

    def _reload(self, live: Live) -> None:
        """Make the state of an execution anew from the log: it is a fold over its events, nothing else."""
        state = live.fresh_state()
        after = live.snapshot[1] if live.snapshot else 0
        events = log.of_execution(self.store.writer, live.execution_id, after, live.plan.hears)
        replay(state, [e for e in events if e.offset <= self.head], live)
        for job in state.jobs:
            job.ticketed = False
        state.ready = [i for i, _ in enumerate(state.jobs) if machine.can_start(state, i)]
        state.commands = []
        live.state = state
        for key in [k for k in live.tickets if k not in live.works]:  # it was to start in the turn that failed
            self.admission.release(live.tickets.pop(key))
        self._fresh.append(live)
        for line in (*self.admission.waiting.values(), *self.admission.blocked.values()):
            for ticket in [t for t in line if t.owner is live]:
                line.remove(ticket)

    def _taken_over(self, live: Live, event: Event) -> None:
        if event.value.get("owner") == self.store.owner_id:
            return
        live.lost = True
        for work in list(live.works.values()):
            if isinstance(work, JobWork):
                work.context.is_over = True
                work.context.stop_event.set()
                runner = self._runner_of(work)
                self.later(partial(runner.stop, work))
        for ticket in live.tickets.values():
            self.admission.release(ticket)
        live.works, live.tickets = {}, {}
        self._forget(live)
        live.end()

    # --- subscriptions ----------------------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[Event], Any], wanted: EventFilter, since: int | None, name: str | None, namespace: str) -> Subscription:
        """Add a subscription that begins after `since` (None: now)."""

        def apply() -> Subscription:
            start, position = self.head if since is None else since, since
            if name is not None:
                sql = "SELECT position FROM subscriptions WHERE namespace = ? AND name = ?"
                row = self.store.writer.execute(sql, (namespace, name)).fetchone()
                if row is not None:
                    start = position = row[0]
                else:
                    self.write("INSERT INTO subscriptions VALUES (?, ?, ?, ?)", (namespace, name, start, self._now))
            return self.deliveries.add(callback, wanted, start, name, namespace, live=position is None or start >= self.head)

        subscription: Subscription = self.submit(Entry(apply)).result
        self.ticker.watch()
        return subscription

    def read(self, wanted: EventFilter, after: int, limit: int) -> list[Event]:
        """Read past events for a subscriber."""
        return log.select(self.store.reader(), wanted, after, limit=limit)

    def join(self, subscription: Subscription) -> bool:
        """Between two commits: if the subscriber has read everything, it is fed from now on."""

        def apply() -> bool:
            if not log.select(self.store.writer, subscription.wanted, subscription.position, limit=1):
                subscription.live = True
            return subscription.live

        return bool(self.submit(Entry(apply)).result)

    def save_position(self, subscription: Subscription, offset: int) -> None:
        """Make a named subscription's position durable."""
        sql = "UPDATE subscriptions SET position = ?, updated = ? WHERE namespace = ? AND name = ?"
        self.submit(Entry(lambda: self.write(sql, (offset, self._now, subscription.namespace, subscription.name))))

    def record_failure(self, offset: int, handler: str, error: str) -> None:
        """Keep what a subscriber could not handle."""
        sql = "INSERT INTO failed_events (offset, handler, error, time) VALUES (?, ?, ?, ?)"
        self.submit(Entry(lambda: self.write(sql, (offset, handler, error, self._now))))

    # --- runners ----------------------------------------------------------------------------------------------------

    def _runner(self, name: str) -> Runner:
        runner = self.runners.get(name)
        if runner is None:
            runner = self.runners[name] = self._make_runner(name)
            self.admission.capacities[name] = runner.capacity
        return runner

    def _runner_of(self, work: JobWork) -> Runner:
        return self._runner(work.vertex.runner)

    def close(self) -> None:
        """End threads and runners; what is RUNNING in the store stays so, and is INTERRUPTED once the lock is free."""
        self.clock.detach(self)
        self.ticker.close()
        self.deliveries.close()
        for live in list(self.lives.values()):
            for work in list(live.works.values()):
                if isinstance(work, JobWork):
                    work.context.is_over = True
                    work.context.stop_event.set()
        for runner in self.runners.values():
            runner.close()
        with self._lock:
            self.closed = True
        self._usher_bell.release()
        for live in list(self.lives.values()):
            live.lost = True
            live.end()


def replay(state: ExecutionState, events: Iterable[Event], live: Live | None = None) -> list[Draft]:
    """Step events of a log; what the machine says on the way must be found in the log. Give what was not.

    What was decided and not logged yet (the process died in between) stays in the state's outbox.
    """
    context, execution_id = state.context, state.execution_id
    begun = state.status != "INIT"
    for event in events:
        own = event.execution_id == execution_id and event.type in INTERNAL
        if not own:
            if not begun or event.type in INTERNAL or not (event.context is None or event.context in (context, execution_id)):
                continue
        elif event.type == EventType.REQUESTED and event.value.get("action") == "taken_over":
            continue
        begun = True
        if own and state.outbox and _same(state.outbox[0], event):
            state.outbox.popleft()
        if state.status.is_ended and not own:
            continue
        machine.step(state, event)
    return list(state.outbox)


def _same(draft: Draft, event: Event) -> bool:
    if draft.key != event.key or draft.type != event.type:
        return False
    a, b = draft.value, event.value
    return all(a.get(k) == b.get(k) for k in ("status", "number", "attempt"))


def _error_text(ended: Ended | None, secrets: Iterable[str]) -> str | None:
    if ended is None or ended.error is None:
        return None
    error = ended.error
    message, trace = hide(error.message, secrets), hide(error.traceback[-20_000:], secrets)
    return json_text({"type": error.type, "message": message, "traceback": trace}, "an error")


def _release(nap: Any) -> None:
    try:
        nap.release()
    except RuntimeError:  # it was woken already
        pass


