"""One attempt of a Flink job on its way: submitted, watched, stopped; or found again by what was noted of it.

Knows nothing of PyFlink and of engines. It lives on a thread of its own and speaks REST.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiflow.errors import FlinkError, NotFound, OwnershipLost, RunnerError, StoreError
from aiflow.graph.flink import FlinkJar, FlinkObserved
from aiflow.graph.flink_options import FlinkOptions
from aiflow.graph.mark import END, Passed, Reading, passed
from aiflow.graph.params import Secret
from aiflow.runners.base import Ended, Failure, failure_of
from aiflow.runners.flink_cluster import Address
from aiflow.runners.flink_rest import FlinkRest, Unreachable
from aiflow.runners.flink_submitting import Submitted
from aiflow.runners.flink_terms import ENDED, Note, checkpointed, doing, id_of, label, restoring
from aiflow.runners.output import JobLog

if TYPE_CHECKING:
    from aiflow.runners.flink import FlinkRunner

__all__ = ["FlinkWatch"]

logger = logging.getLogger(__name__)

QUICKEST, SLOWEST = 0.05, 0.5
"""Seconds between two looks at a job: soon after it has begun, and later."""

SAVING = 60.0
"""Seconds that a savepoint may take, at least: a state is large, or a bundle of records is in Python's hands."""

TELLING = 5.0
"""Seconds in which a cluster that says that a job has failed will say why."""

MEASURING = 0.5
"""Seconds between two looks at how far it is."""


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
        self.rest = FlinkRest(self.noted.url or "http://127.0.0.1:1")
        self.is_owner = True  # whether stopping it ends the Flink job
        self._submitted: Submitted | None = None
        self._said, self._measured_at = "", 0.0
        self._states: dict[str, str] = {}
        self._slowest = SLOWEST

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

    # --- its way ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Bring the attempt to its end, and tell it."""
        try:
            ended = self._live()
        except _LeftAlone:
            ended = None
        except FlinkError as error:  # with no traceback: where in aiflow it was noticed says nothing
            ended = Ended("FAILED", error=Failure("FlinkError", str(error)), reason=str(error)[:500])
        except (NotFound, RunnerError) as error:
            ended = Ended("FAILED", error=failure_of(error), reason=str(error)[:500])
        except Exception as error:  # a mistake of ours: the job must end all the same
            logger.exception("The watch of a Flink job failed")
            ended = Ended("FAILED", error=failure_of(error), reason=f"{type(error).__name__}: {error}"[:500])
        finally:
            if self._submitted is not None:
                self._submitted.forget()
            self.log.close()
            self.runner.ended(self)
        if ended is not None:
            self.done(self.work, ended)

    def _live(self) -> Ended:
        function = self.work.job.function
        if isinstance(function, FlinkObserved):
            return self._observe()
        ended = self._find_again() if self.work.noted else None
        if ended is None and not (self.noted.is_complete and self.noted.jobs):
            if self.context.stopping:
                return Ended("STOPPED", reason="it was stopped before it began")
            ended = self._submit(function)
        return ended if ended is not None else self._watch()

    def _observe(self) -> Ended:
        """Watch somebody else's job; stopping ends only the watching."""
        self.is_owner = False
        call = self.work.load()
        observed: FlinkObserved = call.function
        job = observed.job_id or str(call.args[0])
        self._slowest = observed.interval
        self.rest = FlinkRest(observed.url)
        self.noted = Note(observed.url, observed.url, jobs=(job,), is_complete=True)
        self.say(f"observing Flink job {job} at {observed.url}")
        return self._watch()

    def _find_again(self) -> Ended | None:
        """Look for what an earlier process has submitted; None: go on, by watching if the note is complete."""
        note = self.noted
        if not self._still_there(note):
            self.say(f"the cluster at {note.url} has no Flink job of it any more; it is submitted again")
            self.noted = replace(note, rounds=note.rounds + 1, jobs=(), url="", is_complete=False)
            return None
        if note.is_complete:
            self.say(f"found again at {note.url}: {', '.join(note.jobs)}")
            return None
        self.say(
            f"the process that submitted it died before all was submitted; Flink jobs {', '.join(note.jobs)} are cancelled"
        )
        for job in note.jobs:
            self._cancel(job)
        self.noted = replace(note, rounds=note.rounds + 1, jobs=(), url="")
        return None

    def _still_there(self, note: Note) -> bool:
        """Tell whether its cluster knows its jobs, also one whose submission could not be noted; all of them are noted now."""
        address = self._address()
        if note.url != address.url:
            return False
        self.rest = FlinkRest(address.url)
        if not address.is_local:
            self.runner.host.endpoint()  # its functions go on publishing there
        jobs = dict.fromkeys((*note.jobs, id_of(self.work.key, note.rounds, len(note.jobs))))
        known = [job for job in jobs if self._state_of(job) is not None]
        self.noted = replace(note, jobs=tuple(known))
        return bool(known) and set(note.jobs) <= set(known)

    def _address(self) -> Address:
        return self.runner.address(self.options.target, self._show)

    def _show(self, text: str) -> None:
        """Show something beside the job, unless it is there already."""
        if text != self._said and not self.is_left:
            self._said = text
            self.context.set_label(text)

    def say(self, text: str) -> None:
        """Write a line into the job's log."""
        self.log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def keep(self, change: Callable[[Note], Note], news: Sequence[Passed] = ()) -> None:
        """Make durable what must be known after a crash; raises `_LeftAlone` if the attempt is not ours (any more)."""
        with self._noting:
            note = change(self.noted)
            try:
                is_kept = not self.is_left and self.work.note(note.dump(), news)
            except (OwnershipLost, StoreError) as error:  # it is another process's, or the project is closed
                raise _LeftAlone from error
            if not is_kept:
                if not self.is_left:  # the attempt is over: nobody wants what was begun for it
                    for job in note.jobs:
                        self._cancel(job)
                raise _LeftAlone
            self.noted = note

    def _complete(self, note: Note) -> Note:
        return replace(note, is_complete=True)

    # --- submitting -------------------------------------------------------------------------------------------------

    def _submit(self, function: Any) -> Ended | None:
        """Have the function run and its jobs submitted; None if they are to be watched to their end."""
        address = self._address()
        self.rest = FlinkRest(address.url)
        before, noted = Note.load(self.work.noted_before), self.noted
        earlier = () if self.options.fresh else before.savepoints
        savepoints = noted.savepoints or earlier if self.is_stream else ()
        origin = f"{self.work.key.number}.{self.work.key.attempt}.{noted.rounds}"
        if any(savepoints):
            origin = noted.origin or before.origin or origin
        furthest = Reading(before.watermark, before.records).furthest(Reading(noted.watermark, noted.records))
        begun = replace(
            noted, target=self.options.target, url=address.url, savepoints=savepoints, jobs=(), is_complete=False,
            origin=origin, records=furthest.records, watermark=furthest.watermark,
        )  # fmt: skip
        self.keep(lambda _: begun)
        if any(savepoints):
            self.say(f"starts from {', '.join(str(s) for s in savepoints if s)}")
        if isinstance(function, FlinkJar):
            return self._submit_jar(function)
        self._show("building")
        self._submitted = Submitted(self, address, savepoints)
        problem = self._submitted.begin()
        if problem is not None:
            return problem
        return self._until_returned()

    def _submit_jar(self, jar: FlinkJar) -> Ended | None:
        job = id_of(self.work.key, self.noted.rounds, 0)
        args = [a.resolve(os.environ) if isinstance(a, Secret) else a for a in jar.args]
        self._show("uploading the jar")
        config = (checkpointed() if self.is_stream else {}) | dict(self.options.config)
        uploaded = self.rest.upload_jar(Path(self.context.folder, jar.path))
        try:
            savepoint = restoring(self.noted.savepoints, 0)
            job = self.rest.run_jar(uploaded, jar.entry_class, args, self.options.parallelism, savepoint, config, job)
        except Unreachable:
            if self._state_of(job) is None:  # it did not answer in time, and may have done it all the same
                raise
        finally:
            self._delete_jar(uploaded)
        self.learn(job)
        self.keep(self._complete)
        return None

    def _delete_jar(self, uploaded: str) -> None:
        try:
            self.rest.delete_jar(uploaded)
        except FlinkError as error:  # it takes some room there, and the job goes on
            self.say(f"the jar {uploaded} could not be deleted on the cluster: {error}")

    def learn(self, job: str) -> None:
        """Note a Flink job that was submitted."""
        self.say(f"submitted Flink job {job} to {self.rest.url}")
        self.keep(lambda note: note.with_job(job))

    def _until_returned(self) -> Ended | None:
        """Wait until the function has returned, and look at what it has submitted meanwhile."""
        submitted, since = self._submitted, time.monotonic()
        assert submitted is not None
        asked_at: float | None = None
        while submitted.ended is None:
            if self.is_left:
                raise _LeftAlone
            if self.context.stopping and asked_at is None:
                asked_at = time.monotonic()
                submitted.stop()
                for job in self.noted.jobs:
                    self._cancel(job)
            if asked_at is not None and time.monotonic() > asked_at + self.work.options.stop_timeout:
                submitted.forget()
                return Ended(
                    "STOPPED",
                    reason=f"its function still ran {self.work.options.stop_timeout:g} s after it was asked to stop",
                )
            self._look(time.monotonic() - since)
        ended = submitted.ended
        if ended.outcome == "SUCCESS" and self.noted.jobs:
            if not submitted.has_value:
                self.keep(self._complete)
            return None
        if ended.outcome == "SUCCESS" and self.is_stream:
            problem = (
                f"{self.work.key.job} is a stream and has submitted nothing: build a pipeline with a sink on the environment "
                "that the function gets, or leave stream=True out"
            )
            return Ended("FAILED", error=Failure("FlinkError", problem), retryable=False, reason=problem)
        return self._why_failed(ended)

    def _why_failed(self, ended: Ended) -> Ended:
        """Put the cause that the cluster knows in the place of what the function raised because of it; end what still runs."""
        for job in self.noted.jobs:
            self._states[job] = self._state_of(job) or ""
        failed = [job for job, state in self._states.items() if state in ("FAILED", "FAILING")]
        for job, state in self._states.items():
            if state not in ENDED:
                self._cancel(job)
        return self._failed(failed[0]) if ended.outcome == "FAILED" and failed else ended

    # --- watching ---------------------------------------------------------------------------------------------------

    def _watch(self) -> Ended:
        """Watch the jobs to their end."""
        since, asked = time.monotonic(), False
        while True:
            if self.is_left:
                raise _LeftAlone
            self._look(time.monotonic() - since)
            states = [self._states.get(job, "") for job in self.noted.jobs]
            if all(state in ENDED for state in states) or "FAILED" in states:
                return self._ended(states, asked)
            if self.context.stopping and not asked:
                asked = True
                if not self.is_owner:
                    return Ended("STOPPED", reason="it is observed no longer")
                self._stop()

    def _look(self, age: float) -> None:
        """Wait a little, then see how the jobs are and what they have passed."""
        self.bell.wait(min(self._slowest, max(QUICKEST, age / 20)))
        self.bell.clear()
        for job in self.noted.jobs:
            if self._states.get(job) not in ENDED:
                state = self._state_of(job)
                if state is None:
                    raise FlinkError(
                        f"the cluster at {self.rest.url} does not know Flink job {job} any more: it was started anew, or has "
                        "forgotten a job that was over for long; retries= submits it again"
                    )
                if state != self._states.get(job):
                    self.say(f"Flink job {job} is {state}")
                self._states[job] = state
        self._measure()

    def _state_of(self, job: str) -> str | None:
        """Give the state of a Flink job, None if its cluster does not know it; a cluster that is silent is asked again."""
        silent_since, pause = 0.0, 0.25
        while True:
            try:
                return self.rest.state(job)
            except NotFound:
                return None
            except Unreachable as error:
                now = time.monotonic()
                silent_since = silent_since or now
                silence = now - silent_since
                if silence > self.options.lost_after:
                    raise FlinkError(
                        f"the Flink cluster at {self.rest.url} has not answered for {silence:.0f} s ({error}); is it up? "
                        "retries= submits the job again, lost_after= says how long to wait"
                    ) from error
                self._show(f"the cluster has not answered for {silence:.0f} s")
                if self.is_left:
                    raise _LeftAlone from error
                self.bell.wait(pause)
                self.bell.clear()
                pause = min(5.0, pause * 1.5)

    def _measure(self) -> None:
        """Show how far the jobs are, and tell what they have passed; now and then, for the cluster counts once a second."""
        now = time.monotonic()
        running = [job for job in self.noted.jobs if self._states.get(job) not in ENDED]
        if now < self._measured_at + MEASURING or not running:
            return
        self._measured_at = now
        try:
            words = sorted({doing(self.rest.job(job)) for job in running})
            found = [self.rest.progress(job) for job in running]
        except (FlinkError, NotFound):  # it is shown as it was: the next look at its state tells what is wrong
            return
        records = [one.records for one in found if one.records is not None]
        watermarks = [one.watermark for one in found if one.watermark is not None]
        reading = Reading(min(watermarks) if len(watermarks) == len(found) else None, sum(records) if records else None)
        self._show(label(" and ".join(words), reading.records, reading.watermark))
        self._read(reading)

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

    def _stop(self) -> None:
        """Ask the jobs to stop: streams by a savepoint, from which they can start again."""
        savepoints = list(self.noted.savepoints)
        for index, job in enumerate(self.noted.jobs):
            if self._states.get(job) in ENDED:
                continue
            path = None
            if self.is_stream and self.options.savepoint_on_stop:
                path = self._stop_with_savepoint(job)
            if path is None:
                self._cancel(job)
            savepoints[index:] = [*([None] * (index - len(savepoints))), path, *savepoints[index + 1 :]]
        self.keep(lambda note: replace(note, savepoints=tuple(savepoints)))

    def _stop_with_savepoint(self, job: str) -> str | None:
        self._show("stopping with a savepoint")
        end = time.monotonic() + max(self.work.options.stop_timeout, SAVING)
        try:
            request = self.rest.stop_with_savepoint(job)
            while time.monotonic() < end:
                path = self.rest.savepoint(job, request)
                if path is not None:
                    self.say(f"stopped Flink job {job} with savepoint {path}")
                    return path
                time.sleep(0.05)
            self.say(f"no savepoint of Flink job {job} was made in time; it is cancelled")
        except (FlinkError, NotFound) as error:
            self.say(f"no savepoint of Flink job {job} could be made, it is cancelled: {error}")
        return None

    def _cancel(self, job: str) -> None:
        try:
            self.rest.cancel(job)
        except (FlinkError, NotFound) as error:  # it is over already, or the cluster is gone: looking will tell
            self.say(f"Flink job {job} could not be cancelled: {error}")

    def _ended(self, states: list[str], asked: bool) -> Ended:
        for job, state in zip(self.noted.jobs, states, strict=True):
            if state == "FAILED":
                for other in self.noted.jobs:
                    if self._states.get(other) not in ENDED and self.is_owner:
                        self._cancel(other)
                return self._failed(job)
        if asked:
            return Ended("STOPPED")
        if set(states) == {"FINISHED"} and self.is_owner:
            self._read(Reading(watermark=END))  # its input has ended, maybe between two looks
        if "CANCELED" in states:
            return Ended("STOPPED", reason="somebody cancelled it on the cluster")
        return (self._submitted.ended if self._submitted is not None else None) or Ended("SUCCESS")

    def _failed(self, job: str) -> Ended:
        end, cause = time.monotonic() + TELLING, self.rest.root_cause(job)
        while cause is None and time.monotonic() < end:  # what a cluster tells of a job may be a few seconds old
            time.sleep(0.1)
            cause = self.rest.root_cause(job)
        line, whole = cause or (f"Flink job {job} failed, and its cluster does not say why", "")
        self.say(f"Flink job {job} failed:\n{whole or line}")
        if self.is_stream and self.is_owner:
            checkpoint = self.rest.latest_checkpoint(job)
            if checkpoint is not None:
                at = self.noted.jobs.index(job)
                savepoints = list(self.noted.savepoints)
                savepoints[at:] = [*([None] * (at - len(savepoints))), checkpoint, *savepoints[at + 1 :]]
                self.keep(lambda note: replace(note, savepoints=tuple(savepoints)))
        return Ended("FAILED", error=Failure("FlinkError", line, whole), reason=line[:500])


class _LeftAlone(Exception):
    """The watching ends, and the Flink job goes on: it is somebody else's, or is found again later."""
