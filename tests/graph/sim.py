"""Drives the pure machine as an engine would, without one: a log, a clock that stands still, timers that wait.

Knows nothing of stores, threads and runners. Whoever uses it says what happens next (`publish`, `end`, `ask`, ...), or
lets `wander` choose by a list of numbers, so that the same numbers give the same history.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from aiflow.events import timetable
from aiflow.graph import asking, machine
from aiflow.graph.commands import ArmTimer, Ask, RetryLater, StartJob
from aiflow.graph.event import Draft, Event, EventType, job_key
from aiflow.graph.execution import ExecutionStatus
from aiflow.graph.file import file_key
from aiflow.graph.machine import Report
from aiflow.graph.mark import Reading, passed
from aiflow.graph.metadata import MetadataCondition, MetricCondition
from aiflow.graph.plan import GATE, Plan
from aiflow.graph.state import ExecutionState, Run, Start
from aiflow.graph.workflow import Workflow

JOB, EXECUTION = str(EventType.JOB_STATUS_CHANGED), str(EventType.EXECUTION_STATUS_CHANGED)
ME = "execution-1"
EPOCH = 1_000.0
OUTCOMES = ("SUCCESS", "FAILED", "STOPPED", "SKIPPED")


class Entry(NamedTuple):
    """One event of the log, and whether the machine itself decided on it (else it was brought from outside)."""

    event: Event
    decided: bool


_made: list[Sim] | None = None
_reloading = False


@pytest.fixture(autouse=True, params=[False, True], ids=["kept", "reloaded"])
def every_log_replays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test twice, once with the state going through JSON all the time, and replay what happened in the end.

    For modules that import this.
    """
    global _made, _reloading
    sims: list[Sim] = []
    _made, _reloading = sims, request.param
    yield
    _made, _reloading = None, False
    for sim in sims:
        assert sim.replay().dump() == sim.state.dump()


class Sim:
    """One execution of a workflow.

    Parameters
    ----------
    workflow
        What to run.
    hold
        Whether jobs that may start wait for `start`; otherwise each starts as soon as it may.
    chosen, given
        As in `Plan`.
    ends
        In the place of the workflow's own option, if given.
    reloading
        Whether the state goes through JSON after each thing that happens, as if the process had been replaced (None:
        as the fixture `every_log_replays` says, else no).
    checked
        Whether the invariants are looked at after each thing that happens (not for large graphs).
    context
        The context of the execution.
    is_so
        Whether all that its conditions with ``.now()`` wait for is so at the start.
    """

    def __init__(
        self,
        workflow: Workflow,
        *,
        hold: bool = False,
        chosen: Collection[str] | None = None,
        given: Collection[str] = (),
        ends: str | None = "",
        reloading: bool | None = None,
        checked: bool = True,
        context: str | None = None,
        is_so: bool = False,
        **params: Any,
    ) -> None:
        graph = workflow.build(**params)
        ends = workflow.ends if ends == "" else ends
        asks_context = workflow.context_function is not None
        self.plan = Plan(
            graph, chosen, given=given, stop_on=workflow.stop_condition, ends=ends, asks_context=asks_context, folder="/folder"
        )  # fmt: skip
        self.hold, self.checked, self.context = hold, checked, context
        self.reloading = (_reloading if reloading is None else reloading) and checked
        self.now = EPOCH
        self.log: list[Entry] = []
        self.commands: list[Any] = []
        self.timers: list[RetryLater] = []
        self.asked: dict[Ask, None] = {}
        self.clocks: dict[str, float] = {}
        self.readings: dict[str, Reading] = {}
        self.announced: set[int] = set()
        self.starts: dict[tuple[str, int], Start] = {}
        self.state = self.fresh()
        if _made is not None:
            _made.append(self)
        found = [self.finding(leaf) for leaf in self.plan.asking_now] if is_so else []
        self.bring(self.about_me("RUNNING", **({"findings": len(found)} if found else {})), *found)

    # --- what happens -----------------------------------------------------------------------------------------------

    def bring(self, *drafts: Draft) -> None:
        """Append these and let the machine take them; what it decides comes after all of them, as in the engine."""
        for draft in drafts:
            self._take(draft, decided=False)
        most = len(self.log) + 1_000 + 3 * len(self.plan)
        while self.state.outbox:
            self._take(self.state.outbox.popleft(), decided=True)
            assert len(self.log) < most, "the machine talks without end"
        self._perform()
        if self.reloading:
            self.state = self.fresh().load(json.loads(json.dumps(self.state.dump())))
            self._perform()
        if self.checked:
            self.check()
        if not self.hold:
            self._start_all()

    def publish(self, key: str, value: Any = None, **fields: Any) -> Event:
        """Let a user publish an event."""
        offset = len(self.log)
        self.bring(Draft(key, value, **fields))
        return self.log[offset].event

    def arrive(self, path: str, change: str = "created", settle: float = 0.0, context: str | None = None) -> Event:
        """Let a file be told; one with a context is for the ``.now()`` of that execution."""
        value = {"path": path, "size": 1, "mtime": 1.0, "change": change} | ({"settle": settle} if settle else {})
        return self.publish(file_key(path), value, type=str(EventType.FILE_CHANGED), context=context)

    def change(self, leaf: MetadataCondition, is_so: bool = True, execution_id: str | None = None) -> Event:
        """Let the metadata change as a condition waits for, or (not `is_so`) otherwise, if there is a way."""
        return self.publish(leaf.name, news(leaf, is_so), type=leaf.type, execution_id=execution_id)

    def ask(self, action: str, job: str | None = None) -> None:
        """Let somebody ask for ``stop``, ``resume``, ``start_job``, ``stop_job`` or ``restart_job``."""
        self.bring(self.asking(action, job))

    def start(self, job: str) -> bool:
        """Give a job a place to run in; False if it cannot start."""
        return self._dispatch(self.plan.by_name[job])

    def end(self, job: str, outcome: str = "SUCCESS", number: int | None = None, **fields: Any) -> None:
        """Let the runner report that a job has ended (the oldest running one, if no number is given)."""
        run = self.run_of(job, number)
        assert run is not None, f"{job} does not run: {self.story()}"
        draft = machine.settle(self.state, Report(job, run.number, run.attempt, outcome, **fields), self.now)
        assert draft is not None, f"{job} does not run: {run.status}"
        self.bring(draft)

    def answer(self, said: Any = True, question: Ask | None = None, **fields: Any) -> Ask:
        """Let a function of the user answer (the question that was asked first, if none is given)."""
        ask = question or self.questions[0]
        del self.asked[ask]
        own = f"execution:{self.plan.graph.name}"
        key = own if ask.vertex < 0 else self.plan.vertices[ask.vertex].key
        about = {"about": "context"} if ask.vertex == GATE else {"rule": ask.rule, "leaf": ask.leaf}
        value = {**about, "offset": ask.offset, "answer": said, **fields}
        self.bring(Draft(key, value, str(EventType.CONDITION_ANSWERED), context=ME, execution_id=ME))
        return ask

    def emit(self, job: str, count: int = 1, number: int | None = None, truth: Any = None) -> None:
        """Let a running stream job yield some items."""
        for _ in range(count):
            run = self.run_of(job, number)
            assert run is not None, f"{job} does not run: {self.story()}"
            value = {"number": run.number, "item": self.state.job(job).items + 1}
            value |= {} if truth is None else {"truth": truth}
            self.bring(Draft(job_key(job), value, str(EventType.STREAM_ITEM), context=ME, execution_id=ME))

    def items_of(self, job: str, up: str) -> list[int]:
        """The items of a stream that the runs of a job were started by, in the order of their numbers."""
        index = self.plan.by_name[up]
        found = [
            (number, dict(start.inputs).get(index)) for (name, number), start in self.starts.items() if name == job
        ]
        return [item for _, item in sorted(found) if item is not None]

    def come_due(self) -> None:
        """Turn the clock to the first retry that waits, and let it come."""
        timer = min(self.timers, key=lambda t: t.due)
        self.timers.remove(timer)
        self.now = max(self.now, timer.due)
        draft = machine.retry(self.state, timer.vertex, timer.number, timer.attempt, self.now)
        if draft is not None:
            self.bring(draft)

    def tick(self, key: str | None = None) -> float:
        """Turn the clock to the next tick of a condition on time (the first that is due, if none is named); give its time."""
        key = key or min(self.clocks, key=lambda k: self.clocks[k])
        due = self.clocks.pop(key)
        self.now = max(self.now, due)
        self.bring(self.about_time(key, due))
        return due

    def lose(self, *jobs: str) -> None:
        """Let the process die under running jobs, and another one take over."""
        self.bring(*(self.about_run(job, EventType.JOB_LOST) for job in jobs))

    def time_out(self, job: str) -> None:
        """Let a running job take longer than its timeout."""
        self.bring(self.about_run(job, EventType.JOB_TIMED_OUT))

    def read(self, job: str, **gauges: int) -> None:
        """Let the gauges of a running job be read: what it has passed is told."""
        now, before = Reading(**gauges), self.readings.get(job, Reading())
        run = self.about_run(job, EventType.JOB_PASSED)
        told = passed(self.plan.marks_of(self.plan.by_name[job]), before, now)
        self.readings[job] = before.furthest(now)
        self.bring(*(run._replace(value=run.value | one.value) for one in told))

    # --- drafts -----------------------------------------------------------------------------------------------------

    def about_me(self, status: str, **more: Any) -> Draft:
        """Say that the execution has this status."""
        value = {"status": status, **more}
        return Draft(f"execution:{self.plan.graph.name}", value, EXECUTION, context=ME, execution_id=ME)

    def finding(self, leaf: MetadataCondition) -> Draft:
        """Say that what a condition waits for is so already."""
        return Draft(leaf.name, news(leaf), leaf.type, sender=str(leaf), context=ME, execution_id=ME)

    def asking(self, action: str, job: str | None = None) -> Draft:
        """Make a request."""
        value = {"action": action} | ({} if job is None else {"job": job})
        key = f"execution:{self.plan.graph.name}"
        return Draft(key, value, str(EventType.REQUESTED), context=ME, execution_id=ME)

    def about_time(self, key: str, due: float, execution_id: str = ME) -> Draft:
        """Say that a condition on time was due."""
        value = {"due": due, "missed": 0}
        return Draft(key, value, str(EventType.TIMER_FIRED), execution_id=execution_id, time=due)

    def about_run(self, job: str, kind: str, number: int | None = None) -> Draft:
        """Say that this befell a running job."""
        run = self.run_of(job, number)
        assert run is not None, f"{job} does not run: {self.story()}"
        value = {"number": run.number, "attempt": run.attempt}
        return Draft(job_key(job), value, str(kind), context=ME, execution_id=ME)

    # --- what is to be seen -----------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """The status of the execution."""
        return str(self.state.status)

    @property
    def events(self) -> list[Event]:
        """The log."""
        return [entry.event for entry in self.log]

    def statuses(self) -> dict[str, str | None]:
        """How each job ended last."""
        return {vertex.name: self.state.jobs[vertex.index].last for vertex in self.plan.vertices}

    def story(self, *jobs: str) -> list[str]:
        """Tell the log as short texts: ``a RUNNING``, ``a#2 RUNNING`` (a later number), ``go``, ``STOPPING``."""
        told = []
        for event in self.events:
            if event.type == JOB:
                job, number = event.key[4:], event.value["number"]
                if not jobs or job in jobs:
                    told.append(f"{job}{'' if number == 1 else f'#{number}'} {event.value['status']}")
            elif not jobs:
                told.append(event.value["status"] if event.type == EXECUTION else event.key)
        return told

    def changes(self, job: str, number: int | None = None) -> list[str]:
        """All statuses that a job went through, in order."""
        return [e.value["status"] for e in self.of_job(job) if number is None or e.value["number"] == number]

    def of_job(self, job: str) -> list[Event]:
        """All changes of a job's status."""
        return [e for e in self.events if e.type == JOB and e.key == job_key(job)]

    def reason(self, job: str) -> str | None:
        """The reason in the latest change of a job's status."""
        reason: str | None = self.of_job(job)[-1].value.get("reason")
        return reason

    def causes(self, job: str, number: int = 1) -> list[str]:
        """The keys of the events that a run was started by."""
        started = self.starts[job, number]
        return [self.events[offset - 1].key for offset in started.events]

    def run_of(self, job: str, number: int | None = None) -> Run | None:
        """The run of a job that is in the hands of a runner."""
        runs = (self.state.job(job).runs or {}).values()
        found = (r for r in runs if r.status in ("RUNNING", "STOPPING") and number in (None, r.number))
        return next(found, None)

    def running(self) -> list[tuple[str, int]]:
        """What is in the hands of runners: (job, number)."""
        runs = [(self.plan.vertices[i].name, run) for i, run in self.state.runs()]
        return [(name, run.number) for name, run in runs if run.status in ("RUNNING", "STOPPING")]

    def startable(self) -> list[str]:
        """The jobs that would start if there were room."""
        return [v.name for v in self.plan.vertices if machine.can_start(self.state, v.index)]

    @property
    def changing(self) -> list[MetadataCondition]:
        """The conditions that a change of the metadata can meet."""
        heard = (leaf for leaves in self.plan.by_key.values() for leaf, _ in leaves)
        return [leaf for leaf in heard if isinstance(leaf, MetadataCondition)]

    @property
    def questions(self) -> list[Ask]:
        """What functions of the user were asked and have not answered."""
        return [ask for ask in self.asked if asking.is_open(self.state, ask)]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happens any more unless somebody outside does something."""
        return not (self.running() or self.startable() or self.timers or self.questions)

    # --- again ------------------------------------------------------------------------------------------------------

    def fresh(self) -> ExecutionState:
        """A state in which nothing has happened."""
        return ExecutionState(self.plan, ME, context=self.context)

    def replay(self) -> ExecutionState:
        """Take the whole log into a fresh state; what the machine decides must be what the log has, and no more."""
        state = self.fresh()
        for event, decided in self.log:
            if decided:
                assert state.outbox, f"decided then and not now: {event}"
                draft = state.outbox.popleft()
                assert self._event(draft, event.offset) == event
            machine.step(state, event)
        assert not state.outbox, f"decided now and not then: {state.outbox}"
        return state

    def check(self) -> None:
        """Hold what must be true between any two things that happen."""
        state, vertices = self.state, self.plan.vertices
        assert not state.outbox
        busy = 0
        for vertex, job in zip(vertices, state.jobs, strict=True):
            assert not job.starved or job.starts
            busy += len(job.runs or ()) + (job.restart is not None)
            busy += 0 if job.starved else len(job.starts or ())
            assert len(job.runs or ()) <= vertex.parallel
            assert all(number <= job.number for number in job.runs or ())
            if machine.can_start(state, vertex.index):
                assert vertex.index in self.announced, f"nobody was told that {vertex.name} may start"
            if state.status is ExecutionStatus.RUNNING:
                ends = [(vertices[up], state.jobs[up].last, needed) for up, needed in vertex.needs]
                good = [up.given or machine._is_good(up, last, needed) for up, last, needed in ends]
                assert job.need == good.count(False)
                assert job.bad == sum(last is not None and not g for (_, last, _), g in zip(ends, good, strict=True))
        opened = [held.open for all_held in state.held.values() for held in all_held]
        busy += sum(map(len, opened)) + sum(gated.is_open for gated in state.gated)
        assert bool(self.questions) == bool(any(opened) or state.gated), "nobody was asked"
        assert state.busy == busy >= 0
        assert state.unended == sum(j.last is None for j in state.jobs)
        if state.status.is_ended:
            assert busy == 0

    # --- inside -----------------------------------------------------------------------------------------------------

    def _event(self, draft: Draft, offset: int) -> Event:
        key, value, kind, namespace, sender, context, execution_id, time, _ = draft
        return Event(offset, key, value, kind, namespace, sender, context, execution_id, time or self.now)

    def _take(self, draft: Draft, decided: bool) -> None:
        value = json.loads(json.dumps(draft.value))
        event = self._event(draft._replace(value=value), len(self.log) + 1)
        self.log.append(Entry(event, decided))
        machine.step(self.state, event)

    def _perform(self) -> None:
        self.announced.update(self.state.ready)
        commands, self.state.commands, self.state.ready = self.state.commands, [], []
        self.commands += commands
        for command in commands:
            if isinstance(command, RetryLater):
                self.timers.append(command)
            elif isinstance(command, Ask):
                self.asked[command] = None
            elif isinstance(command, ArmTimer):
                condition = self.plan.timers[command.key]
                due = timetable.first_due(condition, command.last, command.since, self.now)
                if due is not None:
                    self.clocks[command.key] = due
            elif isinstance(command, StartJob):
                job = self.plan.vertices[command.vertex].name
                run = self.run_of(job, command.number)
                if run is not None:
                    self.starts[job, command.number] = run.start

    def _dispatch(self, index: int) -> bool:
        draft = machine.dispatch(self.state, index, self.now)
        if draft is not None:
            hold, self.hold = self.hold, True
            self.bring(draft)
            self.hold = hold
        if not machine.can_start(self.state, index):
            self.announced.discard(index)
        return draft is not None

    def _start_all(self) -> None:
        while self.announced:
            self._dispatch(min(self.announced))


def news(leaf: MetadataCondition, is_so: bool = True) -> dict[str, Any]:
    """Make the value of an event that meets a condition on the metadata, or (not `is_so`) does not, if there is one."""
    if not isinstance(leaf, MetricCondition):
        return {"id": 1, "number": 1, "stage": None, "before": None}
    values = (leaf.value, 0.0, math.nextafter(leaf.value, -math.inf), math.nextafter(leaf.value, math.inf), math.nan)
    value = next((v for v in values if leaf.is_true_of(v) is is_so), 0.0)
    said = value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return {"value": said, "model": leaf.model, "number": None, "dataset": leaf.dataset, "dataset_number": None}


class Choice:
    """Turns a number into choices: asked in the same way, it chooses the same; 0 chooses what is first."""

    def __init__(self, number: int) -> None:
        self.number = number

    def among(self, options: Sequence[Any]) -> Any:
        """Take one of them."""
        self.number, at = divmod(self.number, len(options))
        return options[at]


def wander(sim: Sim, numbers: Iterable[int], *, keys: Sequence[str] = (), calm: bool = False) -> None:
    """Let a history happen: one thing for each number. `calm`: nobody asks for anything, and no process dies."""
    for number in numbers:
        _happen(sim, Choice(number), keys, calm)


def _happen(sim: Sim, choice: Choice, keys: Sequence[str], calm: bool) -> None:
    running, startable = sim.running(), sim.startable()
    verbs = ["start"] * (3 * bool(startable)) + ["end"] * (3 * bool(running)) + ["come due"] * bool(sim.timers)
    verbs += ["arrive"] * (2 * bool(sim.plan.by_folder))
    changing = sim.changing
    verbs += ["change"] * (2 * bool(changing))
    verbs += ["publish"] * (2 * bool(keys)) + ["answer"] * (3 * bool(sim.questions))
    verbs += ["tick"] * bool(sim.clocks and sim.status == "RUNNING")
    verbs += ["emit"] * (3 * bool(_flowing(sim)))
    if not calm:
        verbs += ["ask", "batch"] + ["lose"] * bool(running) + ["time out"] * bool(_timed(sim))
    if not verbs:
        return
    verb = choice.among(verbs)
    if verb == "emit":
        job, number = choice.among(_flowing(sim))
        sim.emit(job, 1, number, choice.among((True, False)))
    elif verb == "start":
        sim.start(choice.among(startable))
    elif verb == "end":
        job, number = choice.among(running)
        outcome = choice.among(("SUCCESS", "SUCCESS", "SUCCESS", "REFUSED", "FAILED", "SKIPPED", "STOPPED"))
        is_refused = outcome == "REFUSED" and not sim.plan.vertices[sim.plan.by_name[job]].stream
        outcome = "SUCCESS" if outcome == "REFUSED" else outcome
        sim.end(job, outcome, number, truth=choice.among((True, False)), is_refused=is_refused)
    elif verb == "come due":
        sim.come_due()
    elif verb == "answer":
        sim.answer(choice.among((True, True, False)), choice.among(sim.questions))
    elif verb == "tick":
        sim.tick(choice.among(sorted(sim.clocks)))
    elif verb == "arrive":
        name, settle = choice.among(("in/a.csv", "in/b.csv", "in/c.txt", "b.csv")), choice.among((0.0, 2.5))
        sim.arrive(f"/folder/{name}", choice.among(("created", "modified")), settle, choice.among((None, None, ME)))
    elif verb == "change":
        caused_by = choice.among((None, ME)) if running else None
        sim.change(choice.among(changing), choice.among((True, True, False)), caused_by)
    elif verb == "publish":
        sim.now += choice.among((0, 1, 10))
        sim.publish(choice.among(keys), execution_id=choice.among((None, ME)) if running else None)
    elif verb == "ask":
        sim.bring(_request(sim, choice))
    elif verb == "batch":
        sim.bring(*[_outside(sim, choice, keys) for _ in range(choice.among((2, 3)))])
    else:
        job, number = choice.among(running if verb == "lose" else _timed(sim))
        kind = EventType.JOB_LOST if verb == "lose" else EventType.JOB_TIMED_OUT
        sim.bring(sim.about_run(job, kind, number))


def _flowing(sim: Sim) -> list[tuple[str, int]]:
    """The running streams whose items start jobs; none once the execution stops, for the engine refuses them then."""
    if sim.state.status is not ExecutionStatus.RUNNING:
        return []
    return [(job, number) for job, number in sim.running() if sim.plan.vertices[sim.plan.by_name[job]].emits]


def _timed(sim: Sim) -> list[tuple[str, int]]:
    return [(job, number) for job, number in sim.running() if sim.plan.vertices[sim.plan.by_name[job]].timeout]


def _request(sim: Sim, choice: Choice) -> Draft:
    action = choice.among(("start_job", "stop_job", "restart_job") * 3 + ("stop", "resume"))
    return sim.asking(action, choice.among(list(sim.plan.by_name)) if action.endswith("_job") else None)


def _outside(sim: Sim, choice: Choice, keys: Sequence[str]) -> Draft:
    kind = choice.among(("publish", "ask", "lose", "time out") if keys else ("ask", "lose", "time out"))
    running = _timed(sim) if kind == "time out" else sim.running()
    if kind == "publish":
        return Draft(choice.among(keys), execution_id=choice.among((None, ME)) if sim.running() else None)
    if kind == "ask" or not running:
        return _request(sim, choice)
    job, number = choice.among(running)
    return sim.about_run(job, EventType.JOB_LOST if kind == "lose" else EventType.JOB_TIMED_OUT, number)


def finish(sim: Sim, outcome: str = "SUCCESS", limit: int = 300) -> bool:
    """Let all that runs end and all that can start run, until nothing happens; False if that goes on and on."""
    for _ in range(limit):
        if sim.is_quiet:
            return True
        for job in sim.startable():
            sim.start(job)
        for job, number in sim.running():
            if sim.run_of(job, number):
                sim.end(job, outcome, number, truth=True)
        for question in sim.questions:
            if asking.is_open(sim.state, question):
                sim.answer(True, question)
        if sim.timers:
            sim.come_due()
    return sim.is_quiet
