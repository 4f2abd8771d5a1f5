"""What one attempt asks of the cluster that has its Flink jobs: again while it is silent, and so that no state is lost.

Knows nothing of notes and of what an end means to the attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aiflow.errors import FlinkError, NotFound, Stopped
from aiflow.runners.flink_rest import FlinkRest, Unreachable
from aiflow.runners.flink_terms import ENDED, has_no_room, slots_of

if TYPE_CHECKING:
    from aiflow.runners.flink_watch import FlinkWatch

__all__ = ["Asking", "LeftAlone", "standing"]

SAVING = 60.0
"""Seconds that a savepoint may take, at least: a state is large, or a bundle of records is in Python's hands."""

ENDING = 60.0
"""Seconds that a job may take to end after it was cancelled."""

TELLING = 5.0
"""Seconds in which a cluster that says that a job has failed will say why."""

APPEARING = 2.0
"""Seconds in which a cluster knows a job whose submission it has received, though who submitted it is dead."""

NOT_ALL_RUN = "Not all required tasks are currently running"
"""What Flink says of a savepoint that was asked for before all parts of a job run: its CheckpointFailureReason of that name."""

T = TypeVar("T")


class LeftAlone(Exception):
    """The watching ends, and the Flink job goes on: it is somebody else's, or is found again later."""


class Lost(FlinkError):
    """A cluster has not answered for as long as its job can bear."""


class Asking:
    """Asks a cluster, for one watch.

    Attributes
    ----------
    rest
        The cluster.
    """

    def __init__(self, watch: FlinkWatch, url: str) -> None:
        self.watch, self.rest = watch, FlinkRest(url)

    def greet(self) -> None:
        """Make sure that a cluster is there, before anything is built for it.

        Raises
        ------
        FlinkError
            If nobody answers in time, or something else does.
        """
        version = self._patiently(self.rest.config, Unreachable).get("flink-version")
        if not version:
            raise FlinkError(f"{self.rest.url} is no Flink cluster: it tells no version of Flink")
        self.watch.say(f"the cluster at {self.rest.url} runs Flink {version}")

    def state_of(self, job: str) -> str | None:
        """Give the state of a Flink job, None if its cluster does not know it; a cluster in trouble is asked again."""
        try:
            return self._patiently(lambda: self.rest.state(job))
        except NotFound:
            return None

    def _patiently(self, ask: Callable[[], T], trouble: type[FlinkError] = FlinkError) -> T:
        watch, silent_since, pause = self.watch, 0.0, 0.25
        while True:
            try:
                return ask()
            except trouble as error:
                now = time.monotonic()
                silent_since = silent_since or now
                silence = now - silent_since
                if silence > watch.options.lost_after:
                    why = str(error).removeprefix(f"no Flink cluster answers at {self.rest.url}: ")
                    raise Lost(
                        f"the Flink cluster at {self.rest.address} has not answered for {silence:.0f} s ({why}); is it up, and is that "
                        "its address? retries= submits the job again, lost_after= says how long to wait"
                    ) from error
                watch.show(f"the cluster has not answered for {silence:.0f} s")
                self.pause(pause)
                if watch.context.stopping and not watch.noted.jobs:
                    raise Stopped("it was stopped before it began") from error
                pause = min(5.0, pause * 1.5)

    def pause(self, seconds: float) -> None:
        """Wait, or until the watch is woken; raises `LeftAlone` if it is to leave."""
        self.watch.bell.wait(seconds)
        self.watch.bell.clear()
        if self.watch.is_left:
            raise LeftAlone

    def appears(self, job: str) -> bool:
        """Tell whether a job is there whose submitter has died: the cluster may have received it and not know it yet."""
        end = time.monotonic() + APPEARING
        while self.state_of(job) is None:
            if time.monotonic() > end:
                return False
            self.pause(0.1)
        return True

    # --- ending jobs ------------------------------------------------------------------------------------------------

    def cancel(self, job: str) -> None:
        """Ask a job to end at once."""
        try:
            self.rest.cancel(job)
        except (FlinkError, NotFound) as error:  # it is over already, or the cluster is gone: looking will tell
            self.watch.say(f"Flink job {job} could not be cancelled: {error}")

    def end(self, job: str) -> None:
        """Cancel a job and see it over, so that nothing of it runs beside what comes next."""
        self.cancel(job)
        end = time.monotonic() + ENDING
        while (state := self.state_of(job)) is not None and state not in ENDED:
            if time.monotonic() > end:
                raise FlinkError(
                    f"Flink job {job} was cancelled and is still {state} after {ENDING:.0f} s; nothing is submitted beside it"
                )
            self.pause(0.1)

    def stop_with_savepoint(self, job: str) -> str | None:
        """Have a job write a savepoint and end; None if that cannot be. To ask twice is to ask once: a crash may lie between.

        A cluster that does not answer for a while is asked again: to cancel the job because of that would lose its state.
        So is one whose parts do not all run yet, as in the moment after a start, unless there is no room for it.
        """
        watch, request = self.watch, job
        watch.show("stopping with a savepoint")
        end = time.monotonic() + max(watch.work.options.stop_timeout, SAVING)
        try:
            while time.monotonic() < end:
                self._patiently(partial(self.rest.stop_with_savepoint, job, request=request), Unreachable)
                try:
                    path = self._savepoint(job, request, end)
                except FlinkError as error:
                    if NOT_ALL_RUN not in str(error):
                        raise
                    if (
                        has_no_room(self.rest.job(job), self.rest.slots()[0])
                        and self.rest.latest_checkpoint(job) is None
                    ):
                        watch.say(
                            f"Flink job {job} has found too few free slots so far and has no state; it is cancelled"
                        )
                        return None
                    request = f"{int(request, 16) + 1:032x}"  # one number is one answer
                    self.pause(0.25)
                    continue
                if path is not None:
                    watch.say(f"stopped Flink job {job} with savepoint {path}")
                    return path
            watch.say(f"no savepoint of Flink job {job} was made in time; it is cancelled")
        except Lost:
            raise
        except (FlinkError, NotFound) as error:
            watch.say(f"no savepoint of Flink job {job} could be made, it is cancelled: {error}")
        return None

    def _savepoint(self, job: str, request: str, end: float) -> str | None:
        """Wait until a savepoint that was asked for is written, or for None until the end."""
        while (path := self._written(job, request)) is None and time.monotonic() < end:
            self.pause(0.05)
        return path

    def _written(self, job: str, request: str) -> str | None:
        """Give the savepoint that was asked for, if it is written."""
        return self._patiently(lambda: self.rest.savepoint(job, request), Unreachable)

    # --- what is left of a job --------------------------------------------------------------------------------------

    def checkpoint(self, job: str) -> str | None:
        """Give where the newest state of a job lies, as far as its cluster tells."""
        try:
            return self.rest.latest_checkpoint(job)
        except (FlinkError, NotFound):
            return None

    def saved(self, job: str) -> str | None:
        """Give where the last state of a job that has ended lies: its savepoint if it was asked for one, maybe by a process that is dead.

        That is asked for first, since what a cluster tells of checkpoints may be some seconds old. None if there is no state.
        """
        end, path = time.monotonic() + TELLING, None
        try:
            path = self._savepoint(job, job, end)  # a job may end before that is known
        except Lost:
            raise
        except (FlinkError, NotFound):  # it was not asked for, or long ago, or could not be written
            pass
        try:
            return path or self._patiently(lambda: self.rest.latest_checkpoint(job), Unreachable)
        except NotFound:
            return None

    def cause(self, job: str) -> tuple[str, str]:
        """Tell why a job has failed: in a line, and in full."""
        end, cause = time.monotonic() + TELLING, self.cause_so_far(job)
        while cause is None and time.monotonic() < end:  # what a cluster tells of a job may be a few seconds old
            time.sleep(0.1)
            cause = self.cause_so_far(job)
        return cause or (f"Flink job {job} failed, and its cluster does not say why", "")

    def cause_so_far(self, job: str) -> tuple[str, str] | None:
        """Tell why a job failed last, as far as its cluster tells it by now; it is asked once."""
        cause = self.rest.root_cause(job)
        if cause is not None and "NoResourceAvailableException" in cause[1]:
            return self._too_few_slots(job), cause[1]
        return cause

    def _too_few_slots(self, job: str) -> str:
        needed, (free, total) = slots_of(self.rest.job(job)), self.rest.slots()
        return (
            f"Flink job {job} found too few free slots in time: it needs {needed}, and of the {total} of its cluster {free} are free now; "
            "end another stream, lower parallelism=, or give the cluster more slots"
        )


def standing(path: str | None) -> str | None:
    """Give the newest checkpoint beside one, if they lie on this machine: Flink deletes those that it has newer ones of.

    Examples
    --------
    >>> standing("s3://states/chk-7")
    's3://states/chk-7'
    """
    folder, _, name = (path or "").rpartition("/")
    if not folder.startswith("file:") or not name.startswith("chk-"):
        return path
    whole = [at.parent.name for at in Path("/" + folder.removeprefix("file:").lstrip("/")).glob("chk-*/_metadata")]
    newest = max(whole, key=lambda one: int(one[4:]) if one[4:].isdigit() else -1, default=name)
    return f"{folder}/{newest}"
