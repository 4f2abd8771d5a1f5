"""The function of one attempt in the driver: how it is sent there, what it says, and how it ended.

Knows nothing of clusters; the watch of the attempt is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiflow.errors import RunnerError
from aiflow.flinksettings import FlinkSettings
from aiflow.runners.base import Call, Ended, Failure
from aiflow.runners.calling import judge
from aiflow.runners.flink_asking import LeftAlone
from aiflow.runners.flink_cluster import Address
from aiflow.runners.flink_driving import OVER
from aiflow.runners.flink_jars import checked_jars
from aiflow.runners.flink_terms import JARS, Surroundings, as_config
from aiflow.runners.keeper import OPENER, ended_of, head_of, pack_call
from aiflow.runners.port import answer, explained
from aiflow.runners.streamed import Followed
from aiflow.runners.surroundings import here
from aiflow.runners.wire import Frame

if TYPE_CHECKING:
    from aiflow.runners.flink_watch import FlinkWatch

__all__ = ["Submitted"]


class Submitted:
    """A function that runs in the driver, for one watch.

    Attributes
    ----------
    ended
        How it ended, once it has.
    has_value
        Whether it gave a value, which only the driver has had.
    has_died
        Whether its driver has died with it, maybe between a submission and the word of it.
    """

    def __init__(self, watch: FlinkWatch, address: Address, python: str, savepoints: tuple[str | None, ...]) -> None:
        self.watch, self.address, self.python, self.savepoints = watch, address, python, savepoints
        self.ended: Ended | None = None
        self.has_value = self.has_died = False
        self._driver: Any = None

    def begin(self) -> Ended | None:
        """Send it to the driver; give how it failed if that cannot be.

        Raises
        ------
        FlinkError
            If there is no driver to be had.
        """
        work, runner = self.watch.work, self.watch.runner
        self._driver = runner.driver(self.python)
        try:
            call = work.load()
            body = pack_call(runner.host, work, call)
        except RunnerError as error:
            problem = str(error).removesuffix(", or use runner 'thread'")  # there is no Flink on it
            return Ended("FAILED", error=Failure("RunnerError", problem), retryable=False, reason=problem[:500])
        except BaseException as error:  # foreign code: reading a value may run anything
            return judge(error, work.options)
        followed = [one.version.model for one in (*call.args, *call.kwargs.values()) if type(one) is Followed]
        self.watch.follow(followed[0] if followed else "")
        self._driver.submit(work.key, self._head(call), body, self.take)
        return None

    def _head(self, call: Call) -> dict[str, Any]:
        watch, work, options = self.watch, self.watch.work, self.watch.options
        _, path, _ = here()
        identity = self._identity()
        paths = (identity, *(p for p in path if p and "-packages" not in p)) if self.address.is_local else ()
        where = Surroundings(
            self.address.url, self.python if self.address.is_local else options.python or self.address.python, paths,
            () if self.address.is_local else (identity,), self._given,
        )  # fmt: skip
        return head_of(watch.runner.host, work, call) | {
            "op": "submit",
            "opener": OPENER,
            "log": str(work.log_path),
            "config": as_config(
                where, f"{watch.context.workflow}.{work.key.job}", watch.is_stream, options.parallelism
            ),
            "rounds": watch.noted.rounds,
            "room": (watch.runner.settings or FlinkSettings()).fetch,
            "stream": watch.is_stream,
            "savepoints": list(self.savepoints),
        }

    @property
    def _given(self) -> dict[str, str]:
        """The configuration that the job's user gives; its jars are there."""
        given = {key: str(value) for key, value in self.watch.options.config.items()}
        urls = checked_jars(given.get(JARS, ""), Path(self.watch.context.folder))
        return {**given, JARS: ";".join(urls)} if urls else given

    def _identity(self) -> str:
        """Write down for the workers whose job they run, as a module; give its folder."""
        watch, context = self.watch, self.watch.context
        key = watch.work.key
        url, token = (None, None) if self.address.is_local else watch.runner.host.endpoint()
        job = {
            "home": str(watch.runner.home), "namespace": context.namespace, "execution_id": key.execution_id,
            "context": context.context, "job": key.job, "number": key.number,
            "url": url, "token": token, "origin": watch.noted.origin,
        }  # fmt: skip
        folder = Path(context.scratch, f"flink-{key.attempt}-{watch.noted.rounds}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "aiflow_flink_job.py").write_text(f"JOB = {job!r}\n", encoding="utf-8")
        return str(folder)

    # --- what the driver says, on its thread ------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """Take what it says: a Flink job that it has submitted, its end, or a question."""
        head, watch = frame.head, self.watch
        if head["op"] == "submitted":
            reply: dict[str, Any] = {"op": "reply", "id": head["id"], "value": None}
            try:
                watch.learn(head["job"])
            except LeftAlone:  # the attempt is over: the function hears it and ends
                reply["error"] = OVER
            except BaseException as error:
                reply["error"] = explained(error)
            self._driver.send(reply)
        elif head["op"] == "end":
            self.ended = ended_of(frame)
            stored = self.ended.stored
            self.has_value = stored is not None and stored[:2] != ("json", "null")
            watch.wake()
        elif head["op"] == "refused":
            self.ended = Ended("FAILED", error=Failure("FlinkError", head["why"]), reason=head["why"][:500])
            watch.wake()
        elif head["op"] == "died":
            self.has_died = True
            reason = f"the Flink driver, in which the function of {watch.work.key.job!r} ran, {head['how']}"
            tail = f"{reason}; the end of its standard error:\n{head['tail']}" if head["tail"] else reason
            self.ended = Ended("FAILED", error=Failure("FlinkError", tail), reason=reason[:500])
            watch.wake()
        else:
            self._driver.send(answer(watch.work, head))

    # --- for the watch ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the function to stop."""
        self._driver.send({"op": "stop", "key": self.watch.work.key})

    def forget(self) -> None:
        """Want to hear no more of it; a driver in which it still runs gets no other."""
        if self._driver is not None:
            self._driver.forget(self.watch.work.key, still_runs=self.ended is None)
