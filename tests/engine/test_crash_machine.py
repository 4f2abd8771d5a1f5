"""Whatever people do, and whenever the process dies, between any two commits or at rest: the store stays what it must be."""

import contextlib
import tempfile
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests import invariants
from tests.faults import watch
from tests.strategies import examples

import aiflow as af
from aiflow.store.connection import sqlite3
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle

calls: Counter[tuple[str, str, int]] = Counter()


def called() -> None:
    job = af.current()
    calls[job.execution_id, job.job, job.number] += 1


@af.job
def plain(*values: Any) -> int:
    called()
    return len(values)


@af.job(retries=2, retry_delay=5)
def unsteady(n: int) -> int:
    called()
    if af.current().attempt == 1:
        raise ValueError("at first")
    return n


@af.job(allow_failure=True, retries=1, retry_delay=1)
def hopeless() -> None:
    called()
    raise ValueError("always")


@af.job
def react() -> Any:
    called()
    event = af.current().event
    return event.value if event is not None else None


@af.job
def tell(n: int) -> None:
    called()
    job = af.current()
    job.publish("inner", n, dedupe_key=f"{job.execution_id} {job.number}")


@af.workflow
def graph() -> None:
    """Edges, retries, failures that are allowed, an event of its own, a list, and a place that only one may have."""
    first = plain.options(limits={"one": 1})()
    second = unsteady(first)
    plain.options(name="after_failure")().after(hopeless())
    tell(second)
    react.options(name="inner")().start_on(af.event("inner").own())
    plain.map([1, 2, 3])
    plain.options(name="limited", limits={"one": 1})(second)


@af.workflow(ends="never")
def service() -> None:
    react().start_on(af.event("go"))


@af.workflow(ends="never")
def busy() -> None:
    """All the rules that a job can have."""
    node = react.options(if_running="merge")()
    node.start_on(af.event("go") & af.event("tick").times(2)).stop_on(af.event("stop")).restart_on(af.event("again"))
    plain().start_on(node.finished)
    unsteady(1).start_on(af.event("tick").sticky() & af.event("go"))


@af.workflow
def timed() -> None:
    """Ticks that all count, ticks that are merged, and a moment."""
    react().start_on(af.every(7, misfire="all"))
    plain.options(name="by_cron")().start_on(af.cron("* * * * *", tz="Europe/Berlin"))
    plain.options(name="once")().start_on(af.at(datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)))


KNN = af.Model("knn")


@af.workflow(ends="never")
def learning() -> None:
    """Changes of a model and values of a metric, and what is so of them at the start."""
    react().start_on(KNN.deployed.now())
    react.options(name="poor", if_running="queue")().start_on((KNN.metric("accuracy") < 0.5).now())


WORKFLOWS = {"graph": graph, "service": service, "busy": busy, "timed": timed, "learning": learning}
KEYS = ("go", "tick", "stop", "again", "other")


class Lives(RuleBasedStateMachine):
    """A project that is opened, used and lost again and again; the clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        calls.clear()
        self._folder = tempfile.TemporaryDirectory(prefix="aiflow-machine-")
        self.home = Path(self._folder.name, "home")
        self.clock = ManualClock()
        self.acknowledged: list[int] = []
        self.published = 0
        self.finished: dict[tuple[str, str, int], int] = {}

    @initialize()
    def open(self) -> None:
        self.left = 0
        self.dies_after = self.dead = False
        self.project = project_for_tests(self.home, self.clock)
        watch(self.project, before=lambda sql: self._pass(sql, False), after=lambda sql: self._pass(sql, True))

    def _pass(self, sql: str, is_after: bool) -> None:
        """Die at the COMMIT that was chosen: from then on nothing of this life has any effect."""
        if sql == "COMMIT" and self.left and is_after == self.dies_after and not self.dead:
            self.left -= 1
            self.dead = not self.left
        if self.dead and sql != "ROLLBACK":
            if (engine := self.project._shared._engine) is not None:
                engine.turns.closed = True
            raise sqlite3.OperationalError("the process is dead")

    def _lose(self) -> None:
        self.project.close(detach=True)
        self.open()

    def _do(self, action: Any) -> Any:
        """Do something; if the process dies of it, open the home again. Give what it gave, or None."""
        if self.dead:  # something that went on by itself was fatal
            self._lose()
        result = None
        try:
            result = action()
            run_until_idle(self.project)
        except af.AIFlowError:
            if not self.dead:
                raise
        if self.dead:
            self._lose()
        return result

    # --- what may happen --------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(WORKFLOWS)), context=st.sampled_from([None, "a"]))
    def start(self, name: str, context: str | None) -> None:
        def action() -> None:
            home = self.project._shared
            if self.project.executions.count() < 6:
                with home.driving():  # no job runs before the provenance is written: so lives can be repeated
                    self.project.start(WORKFLOWS[name], context=context)
                    for pending in list(home.pending):
                        pending.wait(20)

        self._do(action)

    @rule(key=st.sampled_from(KEYS), context=st.sampled_from([None, None, "a", "b"]), many=st.integers(1, 3))
    def publish(self, key: str, context: str | None, many: int) -> None:
        numbers = range(self.published, self.published + many)
        self.published += many
        drafts = [{"key": key, "value": n, "context": context} for n in numbers]
        if self._do(lambda: self.project.publish_many(drafts)):
            self.acknowledged += numbers

    @rule(number=st.integers(0, 9), is_deployed=st.booleans())
    def change(self, number: int, is_deployed: bool) -> None:
        def action() -> None:
            model = self.project.models.register(KNN)
            if is_deployed:
                model.log(number, stage="DEPLOYED")
            else:
                self.project.metrics.log("accuracy", number / 10, model=KNN)

        self._do(action)

    @rule(seconds=st.sampled_from([1, 5, 30]))
    def wait(self, seconds: int) -> None:
        self._do(lambda: self.clock.advance(seconds))

    @rule(what=st.sampled_from(["stop", "start_job", "stop_job", "restart_job", "resume"]), at=st.integers(0, 5))
    def act(self, what: str, at: int) -> None:
        def action() -> None:
            found = self.project.executions.list()
            if not found:
                return
            execution = found[at % len(found)]
            names = () if what in ("stop", "resume") else (execution.job_names[at % len(execution.job_names)],)
            with contextlib.suppress(af.Conflict):
                getattr(execution, what)(*names)

        self._do(action)

    @rule(at=st.integers(1, 6), after=st.booleans())
    def arm(self, at: int, after: bool) -> None:
        """The process will die at its n-th COMMIT from now."""
        self.left, self.dies_after = at, after

    @rule()
    def die(self) -> None:
        self._lose()

    @rule()
    def recover(self) -> None:
        self._do(lambda: self.project.recover())

    # --- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_what_it_must_be(self) -> None:
        if not self.home.exists():
            return
        invariants.check(self.home)
        values = [e.value for e in self.project.events.list(KEYS)]
        assert len(values) == len(set(values))
        assert set(self.acknowledged) <= set(values)
        self._check_calls()
        self._check_ticks()

    def _check_ticks(self) -> None:
        """None is told twice or forgotten, and nobody has those of another."""
        told: dict[tuple[str | None, str], list[float]] = {}
        for tick in self.project.events.list(types="TIMER_FIRED"):
            told.setdefault((tick.execution_id, tick.key), []).append(tick.timestamp)
        for (execution_id, key), times in told.items():
            assert times == sorted(set(times)), f"{key} of {execution_id}: {times}"
            if "every" in key:
                assert [round(b - a, 6) for a, b in pairwise(times)] == [7] * (len(times) - 1)

    def _check_calls(self) -> None:
        for key, count in self.finished.items():
            assert calls[key] == count, f"{key} was called again after its success was durable"
        for job in self.project.jobs.list(limit=None, status="SUCCESS"):
            key = job.execution_id, job.job, job.number
            self.finished.setdefault(key, calls[key])

    @invariant()
    def decisions_can_be_made_again(self) -> None:
        if not self.home.exists():
            return
        for execution in self.project.executions.list(limit=None):
            assert_replays(execution)
            if execution.workflow == "timed" and execution.status == "RUNNING":
                self._check_timed(execution)
            if execution.workflow == "service" and execution.status == "RUNNING":
                self._check_service(execution)
            if execution.workflow == "learning" and execution.status == "RUNNING":
                self._check_learning(execution)

    def _check_learning(self, execution: af.Execution) -> None:
        """What was so at the start was told to it, once, and it has handled that and each change since, in order."""
        by_hand = {e.value["job"] for e in execution.events() if e.type == "REQUESTED" and "job" in e.value}
        if by_hand or "FAILED" in {str(j.status) for j in execution.jobs}:
            return
        for job, key, kind in (("react", "knn", "MODEL_DEPLOYED"), ("poor", "accuracy", "METRIC_LOGGED")):
            told = self.project.events.list(key, types=kind)
            real = [(e.offset > execution.first_offset, e.value) for e in told if e.context is None]
            before, since = ([value for is_later, value in real if is_later is later] for later in (False, True))
            was_so = [value for value in before[-1:] if value.get("value", 0) < 0.5]
            assert [e.value for e in told if e.context == execution.id] == was_so
            assert execution.results(job) == was_so + [value for value in since if value.get("value", 0) < 0.5]

    def _check_timed(self, execution: af.Execution) -> None:
        """Each tick has a run of its own, up to now."""
        requests = [e.value["action"] for e in execution.events() if e.type == "REQUESTED"]
        if set(requests) <= {"taken_over"} and "FAILED" not in {str(j.status) for j in execution.jobs}:
            ticks = self.project.events.list("timer:every*")
            own = [e.value for e in ticks if e.execution_id == execution.id]
            assert execution.results("react") == own
            assert execution.started is not None
            assert len(own) == (self.clock.now() - execution.started.timestamp()) // 7

    def _check_service(self, execution: af.Execution) -> None:
        """Each event that reached it was handled once and in order, also those of the time when it was interrupted."""
        by_hand = {e.value["job"] for e in execution.events() if e.type == "REQUESTED" and "job" in e.value}
        if by_hand or "FAILED" in {str(j.status) for j in execution.jobs}:
            return
        reached = self.project.events.list("go", since=execution.first_offset + 1)
        wanted = [e.value for e in reached if e.context in (None, execution.context)]
        assert execution.results("react") == wanted

    def teardown(self) -> None:
        try:
            self._do(lambda: None)
            self.left = 0
            self._do(lambda: self.project.recover())
            for execution in self.project.executions.list(status="RUNNING"):
                execution.stop()
            self._do(lambda: self.clock.advance(1000))
            assert all(e.status.is_ended for e in self.project.executions.list())
            self.the_store_is_what_it_must_be()
            self.decisions_can_be_made_again()
        finally:
            self.project.close(detach=True)
            self._folder.cleanup()


Lives.TestCase.settings = settings(
    examples(20),
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_any_life_leaves_the_store_as_it_must_be = Lives.TestCase
