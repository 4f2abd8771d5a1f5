"""How an attempt of a Flink job begins: it is submitted, or found again by what was noted of it.

Knows nothing of PyFlink, and of what comes after the function has returned and its jobs are noted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiflow.errors import FlinkError, Stopped
from aiflow.graph.execution import RunKey
from aiflow.graph.flink import FlinkJar
from aiflow.graph.mark import Reading
from aiflow.graph.params import Secret
from aiflow.runners.base import Ended, Failure
from aiflow.runners.flink_asking import Asking, LeftAlone, standing
from aiflow.runners.flink_cluster import Address
from aiflow.runners.flink_distribution import distribution_of
from aiflow.runners.flink_rest import Unreachable
from aiflow.runners.flink_submitting import Submitted
from aiflow.runners.flink_terms import ENDED, Note, checkpointed, id_of, restoring

if TYPE_CHECKING:
    from aiflow.runners.flink_watch import FlinkWatch

__all__ = ["Beginning"]

_EARLY = "it was stopped before it began"


class Beginning:
    """Begins the attempt of a watch.

    Attributes
    ----------
    submitted
        Its function in the driver, if it was sent there.
    """

    def __init__(self, watch: FlinkWatch) -> None:
        self.watch, self.work = watch, watch.work
        self.submitted: Submitted | None = None

    def begin(self, function: Any) -> Ended | None:
        """Find the jobs of the attempt, or submit them; None if they are to be watched to their end."""
        watch = self.watch
        if watch.noted.is_asked:  # a crash came between asking its jobs to stop and their end
            watch.context.stop_event.set()
        if self.work.noted and self._is_found():
            return None
        if watch.context.stopping:
            return Ended("STOPPED", reason=_EARLY)
        return self._submit(function)

    def leave(self) -> None:
        """Want to hear no more of the function."""
        if self.submitted is not None:
            self.submitted.forget()

    @property
    def python(self) -> str:
        """The interpreter of its function."""
        watch = self.watch
        return watch.runner.python(watch.options.python, Path(watch.context.folder))

    def _address(self) -> Address:
        named = self.watch.options.python
        return self.watch.runner.address(self.watch.options.target, self._show_starting, named and self.python)

    def _show_starting(self, text: str) -> None:
        """Show what is waited for before anything is built, unless nobody waits for it any more."""
        watch = self.watch
        watch.show(text)
        if watch.is_left:
            raise LeftAlone
        if watch.context.stopping and not watch.noted.jobs:
            raise Stopped(_EARLY)

    # --- finding again ----------------------------------------------------------------------------------------------

    def _is_found(self) -> bool:
        """Look for what an earlier process has submitted; what is not whole is ended, and submitted once more."""
        watch, note = self.watch, self.watch.noted
        if not self._is_still_there(note):
            watch.say(f"the cluster at {note.url} has no Flink job of it any more; it is submitted again")
            for job in () if watch.noted is note else watch.noted.jobs:  # the others that it began with
                watch.asking.end(job)
            watch.noted = replace(note, rounds=note.rounds + 1, jobs=(), url="", is_complete=False)
            return False
        if note.is_complete:
            watch.say(f"found again at {note.url}: {', '.join(note.jobs)}")
            return True
        jobs = watch.noted.jobs
        watch.say(
            f"the process that submitted it died before all was submitted; Flink jobs {', '.join(jobs)} are cancelled"
        )
        for job in jobs:
            watch.asking.end(job)
        watch.noted = replace(note, rounds=note.rounds + 1, jobs=(), url="")
        return False

    def _is_still_there(self, note: Note) -> bool:
        """Tell whether its cluster knows its jobs, also one whose submission could not be noted; those are noted now."""
        watch, address = self.watch, self._address()
        if note.url != address.url:
            return False
        watch.asking = Asking(watch, address.url)
        if not address.is_local:
            watch.runner.host.endpoint()  # its functions go on publishing there
        known = [job for job in note.jobs if watch.asking.state_of(job) is not None]
        if not note.is_complete and watch.asking.appears(unsaid := _next_of(self.work.key, note)):
            known.append(unsaid)
        watch.noted = replace(note, jobs=tuple(known))
        return bool(known) and set(note.jobs) <= set(known)

    # --- submitting -------------------------------------------------------------------------------------------------

    def _submit(self, function: Any) -> Ended | None:
        """Have the function run and its jobs submitted."""
        watch = self.watch
        if not isinstance(
            function, FlinkJar
        ):  # before anything is locked: an interpreter that hangs holds up no other job
            distribution_of(self.python, self._show_starting)
        address = self._address()
        watch.asking = Asking(watch, address.url)
        watch.asking.greet()
        earlier = self._after(Note.load(self.work.noted_before))
        begun = self._begun(earlier, address.url)
        savepoints = begun.savepoints
        watch.keep(lambda _: begun)
        if any(savepoints):
            watch.say(f"starts from {', '.join(str(s) for s in savepoints if s)}")
        if isinstance(function, FlinkJar):
            return self._submit_jar(function)
        watch.show("building")
        self.submitted = Submitted(watch, address, self.python, savepoints)
        problem = self.submitted.begin()
        return problem if problem is not None else self._until_returned(self.submitted)

    def _begun(self, earlier: Note, url: str) -> Note:
        """Give what is noted before anything is submitted: where the state comes from, and how far the job had come before."""
        watch, noted, key = self.watch, self.watch.noted, self.work.key
        before = () if watch.options.fresh else earlier.savepoints
        savepoints = tuple(map(standing, noted.savepoints or before)) if watch.is_stream else ()
        origin = f"{key.number}.{key.attempt}.{noted.rounds}"
        if savepoints and all(savepoints):
            origin = noted.origin or earlier.origin or origin
        furthest = Reading(earlier.watermark, earlier.records).furthest(Reading(noted.watermark, noted.records))
        return replace(
            noted, target=watch.options.target, url=url, savepoints=savepoints, jobs=(), is_complete=False, origin=origin,
            records=furthest.records, watermark=furthest.watermark,
        )  # fmt: skip

    def _after(self, note: Note) -> Note:
        """See those jobs over that an earlier attempt had to leave: a cluster that was silent has gone on with them."""
        watch, key = self.watch, self.work.key
        ours = {
            id_of(key._replace(attempt=attempt), rounds, index)
            for attempt in range(1, key.attempt)
            for rounds in range(note.rounds + 1)
            for index in range(len(note.jobs))
        }
        savepoints = [*note.savepoints, *([None] * (len(note.jobs) - len(note.savepoints)))]
        for index, job in enumerate(note.jobs):
            if note.url == watch.asking.rest.url and job in ours and watch.asking.state_of(job) not in (None, *ENDED):
                watch.say(f"Flink job {job} of an earlier attempt still runs; it is cancelled")
                watch.asking.end(job)
                savepoints[index] = watch.asking.saved(job) or savepoints[index]
        for attempt in range(1, key.attempt):
            self._end_all((_next_of(key._replace(attempt=attempt), note),))
        return replace(note, savepoints=tuple(savepoints))

    def _submit_jar(self, jar: FlinkJar) -> Ended | None:
        watch, rest = self.watch, self.watch.asking.rest
        job = id_of(self.work.key, watch.noted.rounds, 0)
        args = [a.resolve(os.environ) if isinstance(a, Secret) else a for a in jar.args]
        watch.show("uploading the jar")
        config = (checkpointed() if watch.is_stream else {}) | dict(watch.options.config)
        uploaded = rest.upload_jar(Path(watch.context.folder, jar.path))
        try:
            savepoint = restoring(watch.noted.savepoints, 0)
            job = rest.run_jar(uploaded, jar.entry_class, args, watch.options.parallelism, savepoint, config, job)
        except Unreachable:
            if not watch.asking.appears(job):  # it did not answer in time, and may have done it all the same
                raise
        finally:
            self._delete_jar(uploaded)
        watch.learn(job)
        watch.keep(_complete)
        return None

    def _delete_jar(self, uploaded: str) -> None:
        try:
            self.watch.asking.rest.delete_jar(uploaded)
        except FlinkError as error:  # it takes some room there, and the job goes on
            self.watch.say(f"the jar {uploaded} could not be deleted on the cluster: {error}")

    def _until_returned(self, submitted: Submitted) -> Ended | None:
        """Wait until the function has returned, and look at what it has submitted meanwhile."""
        watch, since = self.watch, time.monotonic()
        asked_at: float | None = None
        while submitted.ended is None:
            if watch.is_left:
                raise LeftAlone
            if watch.context.stopping:
                if asked_at is None:
                    watch.show(f"was asked to stop, and has {self.work.options.stop_timeout:g} s for it")
                    submitted.stop()
                    asked_at = time.monotonic()
                watch.stop_jobs()
                if time.monotonic() > asked_at + self.work.options.stop_timeout:
                    return self._let_go(submitted)
            watch.look(time.monotonic() - since)
        return self._judged(submitted, submitted.ended)

    def _let_go(self, submitted: Submitted) -> Ended:
        """Leave a function that does not stop, and nothing on the cluster that it has submitted, or is just submitting.

        Its driver ends with it; one in which others' functions run, too, says to it what it submits that it is over, and it is cancelled.
        """
        watch = self.watch
        jobs = watch.seal()
        submitted.forget()
        watch.runner.retire()
        self._end_all(jobs)
        self._end_unsaid()
        late = f"its function still ran {self.work.options.stop_timeout:g} s after it was asked to stop, and is let go"
        return Ended("STOPPED", reason=late)

    def _end_unsaid(self) -> None:
        """End the job that a function which is gone has submitted and could not say so."""
        job = _next_of(self.work.key, self.watch.noted)
        if self.watch.asking.appears(job):
            self._end_all((job,))

    def _end_all(self, jobs: Iterable[str]) -> None:
        """End those of some jobs that run, and for which nobody waits any more."""
        for job in jobs:
            if self.watch.asking.state_of(job) not in (None, *ENDED):
                self.watch.say(f"Flink job {job} of a function that is gone still runs; it is cancelled")
                self.watch.asking.end(job)

    def _judged(self, submitted: Submitted, ended: Ended) -> Ended | None:
        watch = self.watch
        if watch.noted.is_asked:
            watch.stop_jobs()
        if ended.outcome == "SUCCESS" and watch.noted.jobs:
            if not submitted.has_value:
                watch.keep(_complete)
            return None
        if submitted.has_died:
            self._end_unsaid()
        if watch.noted.is_asked and ended.outcome == "FAILED":
            return Ended("STOPPED")  # what it waited for was cancelled, and Flink tells it so
        if ended.outcome == "SUCCESS" and watch.is_stream:
            problem = (
                f"{self.work.key.job} is a stream and has submitted nothing: build a pipeline with a sink on the environment "
                "that the function gets, or leave stream=True out"
            )
            return Ended("FAILED", error=Failure("FlinkError", problem), retryable=False, reason=problem)
        return self._why_failed(ended)

    def _why_failed(self, ended: Ended) -> Ended:
        """Put the cause that the cluster knows in the place of what the function raised because of it; end what still runs."""
        watch = self.watch
        states = {job: watch.asking.state_of(job) for job in watch.noted.jobs}
        failed = [job for job, state in states.items() if state in ("FAILED", "FAILING")]
        for job, state in states.items():
            if state is not None and state not in ENDED:
                watch.asking.end(job)
        return watch.failed(failed[0]) if ended.outcome == "FAILED" and failed else ended


def _next_of(key: RunKey, note: Note) -> str:
    """Give the id of the job that an attempt submits next, or has submitted without a word of it."""
    return id_of(key, note.rounds, len(note.jobs))


def _complete(note: Note) -> Note:
    return replace(note, is_complete=True)
