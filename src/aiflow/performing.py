"""Does what the machine decided, after the commit: starts and stops jobs, arms timers, calls what failed jobs ask for.

Knows nothing of turns and of the store's tables; what it learns (a job ended, a time came) it reports to the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime
from aiflow.consulting import consult, memory_for
from aiflow.events import timetable
from aiflow.graph import machine
from aiflow.graph.admission import Admission
from aiflow.graph.commands import ArmTimer, Ask, Command, EndExecution, RetryLater, StartJob, StopJob
from aiflow.graph.event import Draft, EventType, job_key
from aiflow.graph.execution import ExecutionStatus
from aiflow.live import JobWork, Live
from aiflow.mapping import MappedRun
from aiflow.runners.base import Ended, Runner, failure_of, keeps_running
from aiflow.runners.calling import finish, judge
from aiflow.runners.performed import Performed
from aiflow.turns import Entry
from aiflow.values.fingerprint import cache_key

if TYPE_CHECKING:
    from aiflow.engine import Engine

__all__ = ["Performer"]


class Performer:
    """The hands of the engine.

    Parameters
    ----------
    engine
        Who is told of ends and of times that came.
    make_runner
        Gives a runner by name; called once per name.
    admission
        Learns the capacities of the runners.
    later
        Calls something on a worker; by default one of the runner of threads.
    """

    def __init__(
        self,
        engine: Engine,
        make_runner: Callable[[str], Runner],
        admission: Admission,
        later: Callable[[Callable[[], Any]], None] | None = None,
    ) -> None:
        self.engine, self._make_runner, self._admission = engine, make_runner, admission
        self.later = later or self._on_a_worker
        self.runners: dict[str, Runner] = {}
        self._in_place: dict[str, bool] = {}
        self._foreign: set[str] = set()

    def runner(self, name: str) -> Runner:
        """Give a runner by name, made when it is first needed."""
        found = self.runners.get(name)
        if found is None:
            found = self._make_runner(name)
            self.add_runner(name, found)
        return found

    def add_runner(self, name: str, runner: Runner) -> None:
        """Let a runner be found by this name."""
        self.runners[name] = runner
        self._in_place[name] = bool(getattr(runner, "runs_in_place", False))
        if not type(runner).__module__.startswith("aiflow."):
            self._foreign.add(name)
        self._admission.capacities[name] = runner.capacity

    def _on_a_worker(self, action: Callable[[], Any]) -> None:
        """Call something on a worker thread, outside of any turn."""
        self.runner("thread").call(action)  # type: ignore[attr-defined]  # the thread runner is ours

    def perform(
        self, live: Live, commands: list[Command], starts: list[JobWork], stops: list[tuple[Live, StopJob]]
    ) -> None:
        """Do what was decided for one execution; works to start are added to `starts`, what is to be stopped then to `stops`."""
        timers: dict[str, ArmTimer] = {}
        for command in commands:
            if isinstance(command, StartJob):
                run = (live.state.jobs[command.vertex].runs or {}).get(command.number)
                if run is not None:
                    work = JobWork(live, live.plan.vertices[command.vertex], run, command, self.engine)
                    live.works[command.vertex, command.number] = work
                    self._connect(work)
                    starts.append(work)
            elif isinstance(command, StopJob):
                running = live.works.get((command.vertex, command.number))
                if running is not None:
                    running.context.stop_event.set()  # before it is started: both may be of one turn
                stops.append((live, command))
            elif isinstance(command, RetryLater):
                self._retry_later(live, command)
            elif isinstance(command, Ask):
                self._ask(live, command)
            elif isinstance(command, ArmTimer):
                timers[command.key] = command  # the newest: many ticks may have come in one turn
            elif isinstance(command, EndExecution):
                self.engine.end(live)
        for timer in timers.values():
            self._arm_timer(live, timer)

    def _connect(self, work: JobWork) -> None:
        """Lay the lines of the streams that a job gives or takes, before it runs."""
        live, vertex, key = work.live, work.vertex, work.key
        if live.flows is not None and vertex.pours:
            live.flows.open(vertex.index, key.number)
        if live.flows is not None and vertex.takes:
            live.flows.attach(vertex.index, work.run.start.inputs, key.attempt > 1 or work.has_note, live.state)

    def _ask(self, live: Live, question: Ask) -> None:
        """Have a function of the user asked on a worker; its answer is brought as an event (rule 9)."""
        engine, memory = self.engine, memory_for(live, question)
        live.questions.add(question)

        def answer() -> None:
            try:
                if live.execution_id in engine.lives:
                    draft = consult(live, question, engine.events((question.offset,))[0], memory)
                    engine.insist(lambda: engine.take_answer(live, question, draft))
            finally:
                live.questions.discard(question)

        self.later(answer)

    # --- starting ---------------------------------------------------------------------------------------------------

    def start(self, works: list[JobWork]) -> None:
        """Start jobs, each on its runner."""
        for work in works:
            name = work.vertex.runner
            runner, options = self.runner(name), work.options
            if options.timeout is not None:
                self._arm_timeout(work, options.timeout)
            if work.vertex.node.mapped:
                self._start_mapped(work, runner)
            elif options.cache:
                self.later(partial(self._start_cached, work, runner))
            elif name in self._foreign:
                self.later(partial(self._start_foreign, work, runner))
            else:
                try:
                    runner.start(work, self.engine.report)
                except Exception as error:  # the system may have no process or thread left: that is this job's trouble
                    self.later(partial(self._fail, work, error))

    def _fail(self, work: JobWork, error: Exception) -> None:
        failure = failure_of(error)
        self.engine.report(work, Ended("FAILED", error=failure, reason=str(failure)))

    def _start_foreign(self, work: JobWork, runner: Runner) -> None:
        """Start a job with a plugin's runner; on a worker, for it may do anything, such as report the end at once."""
        try:
            runner.start(work, self.engine.report)
            if work.context.stopping:  # it was asked to stop before it was started
                runner.stop(work)
        except Exception as error:  # foreign code: its trouble is that job's
            self._fail(work, error)

    def _start_mapped(self, work: JobWork, runner: Runner) -> None:
        kept = work.live.kept_elements(work)
        width = work.options.max_parallel or runner.capacity or self.runner("thread").capacity or 1
        mapped = MappedRun(work, runner, width, self.engine.report, kept)
        work.live.mapped[work.vertex.index, work.key.number] = mapped
        self.later(mapped.start)

    def _start_cached(self, work: JobWork, runner: Runner) -> None:
        """Look for the value of an equal call first (rule 37); on a worker, for hashing reads the inputs."""
        store = self.engine.store
        try:
            call, role = work.load(), ""
            performed = call.function
            if isinstance(performed, Performed):
                call, role = performed.compared(call.args, call.kwargs), str(performed.spec)
            work.cache_key = cache_key(call, work.options.cache, store.codec, role)
            found = None if work.has_note else store.cached(work.cache_key)
            if found is None:
                runner.start(work, self.engine.report)
                if work.context.stopping:  # it was asked to stop before it was started
                    runner.stop(work)
                return
            ended = (
                finish(store.codec.decode(found[0]), work.options, work.asked_outputs)
                if work.asked_outputs
                else Ended("SUCCESS")
            )
        except BaseException as error:  # loading inputs, a user's key function and a plugin's runner are foreign code
            self.engine.report(work, judge(error, work.options))
            return
        ended.stored, work.origin = found
        ended.reason = "the value of an equal call was used again"
        self.engine.report(work, ended)

    # --- stopping, and times ----------------------------------------------------------------------------------------

    def stop(self, live: Live, command: StopJob) -> None:
        """Ask a job to stop; after `start`, for it may have been started in the same turn."""
        key = command.vertex, command.number
        work = live.works.get(key)
        if work is None:
            return
        work.context.stop_event.set()
        runner = self.runner(work.vertex.runner)
        mapped = live.mapped.get(key)
        self.later(mapped.stop if mapped is not None else partial(runner.stop, work))
        if self._in_place[work.vertex.runner] or work.vertex.runner == "inline":
            due = self.engine.clock.now() + work.options.stop_timeout
            self.engine.ticker.at(due, partial(self._give_up, live, work))

    def _give_up(self, live: Live, work: JobWork) -> None:
        """A thread that does not end in time, in an execution that is ending, is abandoned (rule 22)."""
        if live.works.get((work.vertex.index, work.key.number)) is not work:
            return
        if live.state.status == "STOPPING":
            work.context.abandon()
            reason = f"could not be stopped: its thread still runs after {work.options.stop_timeout:g} s"
            self.engine.report(work, Ended("STOPPED", reason=reason))
        else:
            self.engine.set_label(work.key, "waits until the old thread has ended")

    def _arm_timeout(self, work: JobWork, timeout: float) -> None:
        key, live, engine = work.key, work.live, self.engine
        draft = Draft(
            job_key(key.job), {"number": key.number, "attempt": key.attempt}, str(EventType.JOB_TIMED_OUT), live.namespace,
            None, key.execution_id, key.execution_id,
        )  # fmt: skip

        def time_out() -> None:
            if live.works.get((work.vertex.index, key.number)) is work:
                engine.publish(None, [draft])

        now = engine.clock.now()
        work.deadline = engine.ticker.at(min(now, work.began or now) + timeout, time_out)

    def _retry_later(self, live: Live, command: RetryLater) -> None:
        engine, place = self.engine, (command.vertex, command.number)
        run = (live.state.jobs[command.vertex].runs or {}).get(command.number)
        if run is None or live.execution_id not in engine.lives:
            return

        def retry() -> None:
            live.timers.pop(place, None)
            draft = machine.retry(live.state, command.vertex, command.number, command.attempt, engine.record.now)
            if draft is not None and live.execution_id in engine.lives:
                engine.say(live, draft)

        latest = engine.clock.now() + machine.retry_delay(live.plan.vertices[command.vertex], run)
        due = min(command.due, latest)  # the clock may have been set back while nothing ran
        live.timers[place] = engine.ticker.at(due, lambda: engine.submit(Entry(retry)))

    def _arm_timer(self, live: Live, command: ArmTimer) -> None:
        """Have the next tick of a condition on time come when it is due; in the place of the one that is armed."""
        engine, condition = self.engine, live.plan.timers[command.key]
        armed = live.timers.pop(command.key, None)
        if armed is not None:
            engine.ticker.cancel(armed)
        if live.execution_id not in engine.lives:
            return
        due = timetable.first_due(condition, command.last, command.since, engine.clock.now())
        if due is not None:
            tick = partial(self._tick, live, command.key)
            live.timers[command.key] = engine.ticker.at(due, tick, measures=condition.measures)

    def _tick(self, live: Live, key: str) -> None:
        """A condition on time is due: tell the ticks that its `misfire` wants told."""
        engine, timer = self.engine, live.timers.get(key)
        if timer is None:
            return
        told, newest = timetable.ticks(live.plan.timers[key], timer.due, engine.clock.now())
        drafts = [
            Draft(
                key, {"due": as_datetime(due).isoformat(), "missed": missed}, str(EventType.TIMER_FIRED), live.namespace,
                None, None, live.execution_id, due,
            )
            for due, missed in told
        ]  # fmt: skip

        def tell() -> None:
            if live.timers.get(key) is not timer or live.state.status is not ExecutionStatus.RUNNING:
                return
            engine.publish_now(drafts)
            if not drafts:  # all were skipped, and no event will say so: go on after them
                engine.ask(live, ArmTimer(key, newest, newest))

        engine.submit(Entry(tell))

    def abandon(self, live: Live) -> None:
        """Stop everything of an execution that is no longer ours."""
        for work in live.works.values():
            work.context.abandon()
            runner = self.runner(work.vertex.runner)
            if not (work.has_note and keeps_running(runner)):  # else it is the other owner's now
                self.later(partial(runner.stop, work))

    def close(self) -> None:
        """Close all runners."""
        for runner in self.runners.values():
            runner.close()
