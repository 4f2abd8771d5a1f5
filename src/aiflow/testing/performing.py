"""Runs the jobs of a simulation: each is called when its time has come and the seed chooses it, and so is its end told.

Knows nothing of what else may happen; whatever the runner that a job names, its function is called in this process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from aiflow.errors import ParameterError, suggest
from aiflow.graph.flink import FlinkObserved
from aiflow.graph.job import seconds
from aiflow.runners.base import Call, Ended, Runner
from aiflow.runners.calling import perform
from aiflow.runners.output import attach_log, close_log, rewrap
from aiflow.testing.looping import perform_async

if TYPE_CHECKING:
    from aiflow.testing.simulating import Simulator

__all__ = ["Durations", "Run", "SimulatedRunner"]

_LONG = 300.0
"""Seconds of real time that the program of a command may take."""


class Durations:
    """How long jobs take, in seconds of virtual time.

    Parameters
    ----------
    given
        By the name of a job, or a function of its name and number; what is not said takes no time.
    """

    def __init__(self, given: Mapping[str, Any] | Callable[[str, int], Any] | None) -> None:
        if given is not None and not callable(given) and not isinstance(given, Mapping):
            raise ParameterError(f"durations are a dict of seconds by job, or a function(job, number), not {given!r}")
        self._given = given
        self.named = set(given) if isinstance(given, Mapping) else set()
        for job, value in given.items() if isinstance(given, Mapping) else ():
            seconds(value, f"the duration of job {job!r}")

    def of(self, job: str, number: int) -> float:
        """Give how long this run of a job takes."""
        if self._given is None:
            return 0.0
        found = self._given.get(job, 0.0) if isinstance(self._given, Mapping) else self._given(job, number)
        return seconds(found, f"the duration of job {job!r}")

    def check(self, jobs: Iterable[str], others: Iterable[str] = ()) -> None:
        """Raise `ParameterError` if a duration was given for a job that there is not; or something else, to `others`."""
        known = sorted(set(jobs))
        for what, names in (("durations", self.named), ("progress", set(others))):
            for name in sorted(names - set(known)) if known else ():
                raise ParameterError(f"{what}: no job {name!r}{suggest(name, known)}")


class Run:
    """One attempt of a job, or of an element of a mapped one, in a simulation."""

    def __init__(
        self, simulator: Simulator, runner: SimulatedRunner, work: Any, done: Callable[[Any, Ended], Any]
    ) -> None:
        self.simulator, self.runner, self.work, self.done = simulator, runner, work, done
        self.life = simulator.life
        self.naps = 0  # how often it has waited for a time

    def call(self) -> None:
        """Call the function; the end is told some time after that."""
        self.runner.waiting.pop(id(self.work), None)
        self.end(self._perform())

    def end(self, ended: Ended) -> None:
        """Have the end told some time, if the process still lives by now."""
        if self.life is self.simulator.life:
            self.simulator.later(partial(self.done, self.work, ended))
            self.simulator.look_for_files()

    def rest(self, ready: Callable[[], bool], timeout: float | None) -> None:
        """Let other things happen until something is so."""
        if self.life is self.simulator.life:
            self.simulator.rest(ready, timeout, self)

    def _perform(self) -> Ended:
        work, context, name = self.work, self.work.context, self.runner.name
        if name == "flink":
            return Ended("SUCCESS")
        if name not in ("thread", "inline", "process", "async", "observe"):
            return self._perform_by_itself()
        load = work.load if name != "observe" else lambda: Call(self._observe, (), {})
        outlet = None if work.outlet is None else _Outlet(work.outlet, self.rest)
        context.rest = self.rest
        rewrap()
        attach_log(context, lambda: work.log_path)
        try:
            if name == "async":
                return perform_async(work, self.simulator.clock, self.rest)
            return perform(load, context, work.options, work.asked_outputs, outlet)
        finally:
            close_log(context)

    def _observe(self) -> None:
        context, observation = self.work.context, self.work.job.function
        while not context.stopping:
            context.set_label(str(observation()))
            context.wait_stop(observation.interval)

    def _perform_by_itself(self) -> Ended:
        """Let a program, or what a plugin runs, come to its end; that takes real time, and no virtual one."""
        ends: list[Ended] = []
        is_over = threading.Event()

        def done(work: Any, ended: Ended) -> None:
            ends.append(ended)
            is_over.set()

        self.runner.real.start(self.work, done)
        if not is_over.wait(_LONG):
            self.runner.real.stop(self.work)
            is_over.wait()
        return ends[0]


class _Outlet:
    """Passes the items of a stream job on, and lets other things happen after each."""

    def __init__(self, outlet: Any, rest: Callable[[Callable[[], bool], float | None], None]) -> None:
        self._outlet, self._rest = outlet, rest

    def emit(self, item: Any) -> None:
        """Pass an item on."""
        self._outlet.emit(item)
        self._rest(_at_once, None)

    def finish(self, ended: Ended) -> None:
        """Wait until all have been taken."""
        self._outlet.finish(ended)


def _at_once() -> bool:
    return True


class SimulatedRunner:
    """A runner of a simulated project; `real` is the one that it stands for."""

    def __init__(self, simulator: Simulator, name: str, host: Any) -> None:
        self.name, self._simulator, self._host = name, simulator, host
        self.capacity: int | None = host.workers if name in ("thread", "process", "command") else None
        self.runs_in_place = name == "thread"
        self.keeps_running = name == "flink"
        self._real: Runner | None = None
        self.waiting: dict[int, Run] = {}  # those that were not called yet, by the id of their work

    @property
    def real(self) -> Runner:
        """The runner of this name that runs jobs by itself."""
        if self._real is None:
            self._real = self._host.make_runner(self.name)
        assert self._real is not None
        return self._real

    def start(self, work: Any, done: Callable[[Any, Ended], Any]) -> None:
        """Have the job called when its time has passed."""
        run = self.waiting[id(work)] = Run(self._simulator, self, work, done)
        duration = self._simulator.durations.of(work.key.job, work.key.number)
        is_endless = not duration and (work.options.stream or isinstance(work.job.function, FlinkObserved))
        if self.keeps_running:
            if work.noted is None:
                self._simulator.later(partial(work.note, work.noted_before or {}))
            else:
                duration += work.began - self._simulator.clock.now()
        if not (self.keeps_running and is_endless):  # else it runs until it is stopped
            self._simulator.after(duration, run.call)

    def stop(self, work: Any) -> None:
        """Ask: a job that takes its time hears of it now, or at its end; a process ends at once."""
        work.context.stop_event.set()
        run = self.waiting.get(id(work))
        if run is None:
            return
        if self.name in ("process", "command", "flink"):
            del self.waiting[id(work)]
            self._simulator.withdraw(run.call)
            run.end(Ended("STOPPED", reason="its process was ended" if self.name != "flink" else None))
        elif self._simulator.toss():
            self._simulator.withdraw(run.call)
            self._simulator.later(run.call)

    def close(self) -> None:
        """End what was started for real."""
        if self._real is not None:
            self._real.close()
