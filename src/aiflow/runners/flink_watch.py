"""One attempt of a Flink job on its way: begun, watched, stopped.

Knows nothing of PyFlink and of engines. It lives on a thread of its own and speaks REST.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from aiflow.errors import FlinkError, NotFound, OwnershipLost, RunnerError, Stopped, StoreError
from aiflow.graph.change import Change
from aiflow.graph.flink import FlinkObserved
from aiflow.graph.flink_options import FlinkOptions
from aiflow.graph.mark import END, Passed, Reading, passed
from aiflow.runners.base import Ended, Failure, failure_of
from aiflow.runners.flink_asking import Asking, LeftAlone
from aiflow.runners.flink_beginning import Beginning
from aiflow.runners.flink_causes import is_covered
from aiflow.runners.flink_terms import ENDED, Note, doing, is_waiting, label, left
from aiflow.runners.output import JobLog

if TYPE_CHECKING:
    from aiflow.runners.flink import FlinkRunner

__all__ = ["FlinkWatch"]

logger = logging.getLogger(__name__)

QUICKEST, SLOWEST = 0.05, 0.5
"""Seconds between two looks at a job: soon after it has begun, and later."""

MEASURING = 0.5
"""Seconds between two looks at how far it is."""

SAVED = 2.0
"""Seconds between two looks at where its state lies."""


class FlinkWatch:
    """Watches over one attempt.

    Parameters
    ----------
    runner
        Knows the clusters and has the drivers.
    work, done
        The attempt, and whom to tell of its end.
    """

    def __init__(self, runner: FlinkRunner, work: Any, done: Callable[[Any, Ended], Any]) -> None:
        self._thread = threading.Thread(target=self._run, name=f"aiflow-flink-{work.key.job}", daemon=True)
        self.runner, self.work, self.done = runner, work, done
        self.options: FlinkOptions = work.options.flink or FlinkOptions()
        self.context = work.context
        self.log = JobLog(work.log_path, secrets=self.context.secrets)
        self.bell = threading.Event()
        self._noting = threading.Lock()
        self.context.stop_event.wakers.append(self.bell.set)
        self.noted = Note.load(work.noted)
        self.asking = Asking(self, self.noted.url or "http://127.0.0.1:1")
        self.is_owner = True  # whether stopping it ends the Flink job
        self._beginning = Beginning(self)
        self._is_sealed = False
        self._asked: set[str] = set()  # the jobs that this process has asked to stop
        self._said, self._measured_at, self._saved_at = "", 0.0, 0.0
        self._states: dict[str, str] = {}
        self._restarted: set[str] = set()  # those that Flink has started again, and it is not known why
        self._troubles: dict[str, str] = {}  # why it has started them again last
        self._slowest = SLOWEST
        self._deployed: SimpleQueue[int] = SimpleQueue()
        self._leave: Callable[[], None] | None = None

    # --- for others -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait until it has left."""
        self._thread.join(timeout)

    def wake(self) -> None:
        """Have it look again at once: it was asked to stop, the driver said something, or all is closed."""
        self.bell.set()

    @property
    def is_left(self) -> bool:
        """Whether it is to leave, and the Flink job to go on: the project closes, or another process has it."""
        return self.runner.is_closed or self.context.is_over

    @property
    def is_stream(self) -> bool:
        """Whether it has no end."""
        return bool(self.work.job.is_stream)

    def show(self, text: str) -> None:
        """Show something beside the job, unless it is there already."""
        if text != self._said and not self.is_left:
            self._said = text
            self.context.set_label(text)

    def say(self, text: str) -> None:
        """Write a line into the job's log."""
        self.log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    # --- its way ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Bring the attempt to its end, and tell it."""
        try:
            ended = self._live()
        except LeftAlone:
            ended = None
        except Stopped as stopped:
            ended = Ended("STOPPED", reason=str(stopped))
        except FlinkError as error:
            ended = Ended("FAILED", error=Failure("FlinkError", str(error)), reason=str(error)[:500])
        except (NotFound, RunnerError) as error:
            ended = Ended("FAILED", error=failure_of(error), reason=str(error)[:500])
        except Exception as error:  # a mistake of ours: the job must end all the same
            logger.exception("The watch of a Flink job failed")
            ended = Ended("FAILED", error=failure_of(error), reason=f"{type(error).__name__}: {error}"[:500])
        finally:
            if self._leave is not None:
                self._leave()
            self._beginning.leave()
            self.log.close()
            self.runner.ended(self)
        if ended is not None:
            with suppress(Stopped):  # what it showed until now was what the jobs were doing
                self.show("" if ended.outcome == "FAILED" else left(self.noted))
            self.done(self.work, ended)

    def _live(self) -> Ended:
        function = self.work.job.function
        if isinstance(function, FlinkObserved):
            return self._observe()
        ended = self._beginning.begin(function)
        if ended is None:
            self._listen()  # also if it was found again
            ended = self._watch()
        return ended

    def _observe(self) -> Ended:
        """Watch somebody else's job; stopping ends only the watching."""
        self.is_owner = False
        call = self.work.load()
        observed: FlinkObserved = call.function
        job = observed.job_id or str(call.args[0])
        self._slowest = observed.interval
        self.asking = Asking(self, observed.url)
        self.asking.greet()
        self.noted = Note(observed.url, observed.url, jobs=(job,), is_complete=True)
        self.say(f"observing Flink job {job} at {observed.url}")
        return self._watch()

    def keep(self, change: Callable[[Note], Note], news: Sequence[Passed] = ()) -> None:
        """Make durable what must be known after a crash; raises `LeftAlone` if the attempt is not ours (any more)."""
        with self._noting:
            note = change(self.noted)
            try:
                is_kept = not self.is_left and self.work.note(note.dump(), news)
            except (OwnershipLost, StoreError) as error:  # it is another process's, or the project is closed
                raise LeftAlone from error
            if not is_kept:
                if not self.is_left:  # the attempt is over: nobody wants what was begun for it
                    for job in note.jobs:
                        self.asking.cancel(job)
                raise LeftAlone
            self.noted = note

    def learn(self, job: str) -> None:
        """Note a Flink job that was submitted; one that cannot be noted is cancelled: who owns the attempt submits another."""
        self.say(f"submitted Flink job {job} to {self.asking.rest.url}")
        try:
            self.keep(lambda note: self._with_job(note, job))
        except LeftAlone:
            self.asking.cancel(job)
            raise

    def _with_job(self, note: Note, job: str) -> Note:
        if self._is_sealed:
            raise LeftAlone
        return note.with_job(job)

    def seal(self) -> tuple[str, ...]:
        """Take no more jobs of its function; give those that it has: of the two, a job that comes right now is one."""
        with self._noting:
            self._is_sealed = True
            return self.noted.jobs

    # --- the versions that its functions use ------------------------------------------------------------------------

    def follow(self, model: str) -> None:
        """Note that the functions of the job use the version of a model that is deployed, whichever that is."""
        if model != self.noted.follows:
            self.keep(lambda note: replace(note, follows=model))

    def _listen(self) -> None:
        """From now on, hear of deployments of that model."""
        if self.noted.follows:
            self._leave = self.runner.host.follow(self.noted.follows, self._deployed.put)

    def _note_uses(self) -> None:
        """Have it recorded that the job works on what was deployed since."""
        with suppress(Empty):
            while True:
                of = {"kind": "model", "name": self.noted.follows, "number": self._deployed.get_nowait()}
                try:
                    self.context.change(Change("use", of))
                except (NotFound, StoreError) as error:  # it was deleted since; the job goes on
                    self.say(f"that it works on {of['name']}:{of['number']} could not be recorded: {error}")

    # --- watching ---------------------------------------------------------------------------------------------------

    def _watch(self) -> Ended:
        """Watch the jobs to their end."""
        since, asked = time.monotonic(), False
        while True:
            if self.is_left:
                raise LeftAlone
            self.look(time.monotonic() - since)
            states = [self._states.get(job, "") for job in self.noted.jobs]
            if self.context.stopping and not asked:
                asked = True
                if not self.is_owner:
                    return Ended("STOPPED", reason="it is observed no longer")
                if "FAILED" not in states and (self.noted.is_asked or not all(state in ENDED for state in states)):
                    self.stop_jobs()
                    continue
            if all(state in ENDED for state in states) or "FAILED" in states:
                return self._ended(states)

    def look(self, age: float) -> None:
        """Wait a little, then see how the jobs are and what they have passed."""
        self.bell.wait(min(self._slowest, max(QUICKEST, age / 20)))
        self.bell.clear()
        for job in self.noted.jobs:
            if self._states.get(job) not in ENDED:
                state = self.asking.state_of(job)
                if state is None:
                    raise FlinkError(
                        f"the cluster at {self.asking.rest.url} does not know Flink job {job} any more: it was started anew, or has "
                        "forgotten a job that was over for long; retries= submits it again"
                    )
                if state != self._states.get(job):
                    self.say(f"Flink job {job} is {state}")
                    if state == "RESTARTING":
                        self._restarted.add(job)
                self._states[job] = state
        self._note_uses()
        self._measure()

    def _tell_troubles(self) -> None:
        """Say why Flink starts jobs again, as it may do for ever; in full if that is something new."""
        for job in tuple(self._restarted):
            cause = self.asking.cause_so_far(job)
            if cause is None:
                continue
            line, whole = cause
            if line != self._troubles.get(job):
                self.say(f"Flink job {job} is started again by Flink, for it has failed:\n{whole}")
            self._troubles[job] = line
            self._restarted.discard(job)

    def _measure(self) -> None:
        """Show how far the jobs are, and tell what they have passed; now and then, for the cluster counts once a second."""
        now = time.monotonic()
        running = [job for job in self.noted.jobs if self._states.get(job) not in ENDED]
        if now < self._measured_at + MEASURING or not running:
            return
        self._measured_at = now
        try:
            told = [self.asking.rest.job(job) for job in running]
            free = self.asking.rest.slots()[0] if any(map(is_waiting, told)) else None
            words = sorted({doing(job, free) for job in told})
            found = [self.asking.rest.progress(job) for job in running]
            self._tell_troubles()
        except (FlinkError, NotFound):  # it is shown as it was: the next look at its state tells what is wrong
            return
        records = [one.records for one in found if one.records is not None]
        watermarks = [one.watermark for one in found if one.watermark is not None]
        reading = Reading(min(watermarks) if len(watermarks) == len(found) else None, sum(records) if records else None)
        trouble = " and ".join(dict.fromkeys(self._troubles.values()))
        self.show(label(" and ".join(words), reading.records, reading.watermark, trouble))
        self._read(reading)
        if self.is_stream and self.is_owner and now > self._saved_at + SAVED:
            self._saved_at = now
            self._note_checkpoints()

    def _note_checkpoints(self) -> None:
        """Note where the newest states are: a cluster that dies tells no more, and what starts again begins with them."""
        known = dict(enumerate(self.noted.savepoints))
        self._note_states([self.asking.checkpoint(job) or known.get(i) for i, job in enumerate(self.noted.jobs)])

    def _note_states(self, states: Sequence[str | None]) -> None:
        if tuple(states) != self.noted.savepoints and (any(states) or any(self.noted.savepoints)):
            self.keep(lambda note: replace(note, savepoints=tuple(states)))

    def _read(self, reading: Reading) -> None:
        """Tell which marks were passed, each once over all crashes and restores: how far it had come is noted with that."""
        marks = self.work.marks
        if not marks:
            return
        before = Reading(self.noted.watermark, self.noted.records)
        news, furthest = passed(marks, before, reading), before.furthest(reading)
        is_first = any(old is None and new is not None for old, new in zip(before, furthest, strict=True))
        if news or is_first:  # between two marks it need not be known how far it is
            self.keep(lambda note: replace(note, watermark=furthest.watermark, records=furthest.records), news)

    # --- ending -----------------------------------------------------------------------------------------------------

    def stop_jobs(self) -> None:
        """Ask those jobs to stop that were not asked yet: streams by a savepoint, from which they can start again.

        That they were asked is noted first. A function that still runs may submit more, which are asked the next time.
        """
        if not self.noted.is_asked:
            self.keep(lambda note: replace(note, is_asked=True))
        jobs = self.noted.jobs
        if self._asked.issuperset(jobs):
            return
        is_saving = self.is_stream and self.options.savepoint_on_stop
        saved = dict(enumerate(self.noted.savepoints))
        for index, job in enumerate(jobs):
            if job not in self._asked:
                saved[index] = self._stop(job, is_saving) or saved.get(index)
                self._asked.add(job)
        if self.is_stream:
            self._note_states([saved.get(index) for index in range(len(jobs))] if is_saving else ())

    def _stop(self, job: str, is_saving: bool) -> str | None:
        """Have one of them end; give where its state is, if it is to be kept."""
        path = None
        if is_saving and self._states.get(job) not in ENDED:
            path = self.asking.stop_with_savepoint(job)
        if path is None and self._states.get(job) not in ENDED:
            self.asking.end(job)
        return path or (self.asking.saved(job) if is_saving else None)

    def _ended(self, states: list[str]) -> Ended:
        for job, state in zip(self.noted.jobs, states, strict=True):
            if state == "FAILED":
                for other in self.noted.jobs:
                    if self._states.get(other) not in ENDED and self.is_owner:
                        self.asking.end(other)
                return self.failed(job)
        if self.noted.is_asked:
            return Ended("STOPPED")
        if set(states) == {"FINISHED"} and self.is_owner:
            self._read(Reading(watermark=END))  # its input has ended, maybe between two looks
        if "CANCELED" in states:
            return Ended("STOPPED", reason="somebody cancelled it on the cluster")
        submitted = self._beginning.submitted
        return (submitted.ended if submitted is not None else None) or Ended("SUCCESS")

    def failed(self, job: str) -> Ended:
        """Say why one of its jobs has failed; a stream that is retried goes on from the last checkpoint."""
        line, whole = self.asking.cause(job)
        self.say(f"Flink job {job} failed:\n{whole or line}")
        if self.is_stream and self.is_owner:
            self._note_checkpoints()
        retryable = is_covered(line, whole, self.work.options.retry_on)
        return Ended("FAILED", error=Failure("FlinkError", line, whole), retryable=retryable, reason=line[:500])
