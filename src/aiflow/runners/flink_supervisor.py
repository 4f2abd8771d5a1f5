"""A program of its own: starts the processes of a local Flink cluster, keeps them up, and ends them when nobody is left.

Knows nothing of jobs. It outlives the process that started it; how to run the cluster comes on standard input as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError
from aiflow.runners.family import Family
from aiflow.runners.flink_distribution import write_configuration
from aiflow.runners.flink_folder import ClusterFolder
from aiflow.runners.flink_rest import FlinkRest

__all__ = ["Supervisor"]

logger = logging.getLogger("aiflow.flink")
_LOOK = 0.2  # seconds between looks at the processes
_USERS = 1.0  # seconds between looks at who uses the cluster
_PATIENCE = 10.0  # seconds that a process gets to end by itself
_LONGEST_PAUSE = 30.0  # seconds between two tries to start a process that dies again and again
_STEADY = 60.0  # seconds after which a process counts as well started
_MANY_TRIES = 5  # with other ports


class Supervisor:
    """One local cluster: a JobManager and a TaskManager.

    Parameters
    ----------
    folder
        Where it lies.
    plan
        What `LocalCluster` says: `flink` and `python` (paths), `environment`, `config` (keys of Flink), `starting` and
        `linger` (seconds).
    """

    def __init__(self, folder: ClusterFolder, plan: Mapping[str, Any]) -> None:
        self.folder, self.plan = folder, plan
        self.family = Family()
        self.ending = threading.Event()
        self.rest: FlinkRest | None = None
        self.parts: list[_Part] = []
        self.state: dict[str, Any] = {
            "state": "starting", "id": secrets.token_hex(4), "pid": os.getpid(), "started": time.time(),
            "python": plan["python"], "java": plan["environment"]["JAVA_HOME"], "restarts": 0,
        }  # fmt: skip

    def run(self) -> None:
        """Start, watch and end the cluster; returns when nothing of it is left."""
        self._say()
        is_failed = False
        try:
            self._start()
            self._watch()
        except FlinkError as error:
            is_failed = True
            logger.error("The cluster failed: %s", error)
            self._say(state="failed", message=str(error))
        finally:
            with suppress(OSError):  # somebody deleted the home: all the more has everything to end
                if not is_failed:
                    self._say(state="stopping")
            self._end()
            self.folder.clear(keep_state=is_failed)

    def _say(self, **news: Any) -> None:
        self.state.update(news)
        self.folder.write(self.state)

    # --- starting ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.family.watch()  # first: whoever kills this process does not leave Flink's behind
        for tries in range(_MANY_TRIES):
            config = {**_free_ports(), **self.plan["config"]}
            write_configuration(Path(self.plan["flink"]), self.folder.path, config)
            url = f"http://127.0.0.1:{config['rest.port']}"
            self.rest = FlinkRest(url, timeout=2.0)
            self.parts = [_Part(self, "jobmanager"), _Part(self, "taskmanager")]
            for part in self.parts:
                part.start()
            try:
                self._await()
            except _PortTaken as error:
                if "rest.port" in self.plan["config"] or tries + 1 == _MANY_TRIES:
                    raise
                logger.warning("Somebody else took a port; once more with others: %s", error)
                self._end()
            else:
                break
        self._say(state="ready", url=url, **{part.name: part.pid for part in self.parts})
        logger.info("The cluster is ready at %s", url)

    def _await(self) -> None:
        """Wait until the TaskManager has registered; raises with what the logs say if that cannot be any more."""
        end = time.monotonic() + self.plan["starting"]
        while not self._is_up():
            for part in self.parts:
                if not part.is_alive():
                    raise part.failure()
            if time.monotonic() > end:
                raise FlinkError(
                    f"the Flink cluster did not come up within {self.plan['starting']:.0f} s; see the logs in "
                    f"{self.folder.log}, of which the end is:\n{self.parts[-1].tail()}"
                )
            if self._is_wanted_no_more():
                raise FlinkError("the Flink cluster was stopped while it was starting")

    def _is_up(self) -> bool:
        assert self.rest is not None
        if not self.ending.wait(_LOOK):
            with suppress(FlinkError):
                return int(self.rest.overview()["slots-total"]) > 0
        return False

    # --- watching ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        used = looked = time.monotonic()
        while not self._is_wanted_no_more():
            self.ending.wait(_LOOK)
            for part in self.parts:
                part.keep_up()
            if self.state["state"] == "recovering" and self._is_up():
                self._say(state="ready")
            now = time.monotonic()
            if now - looked > _USERS:
                looked = now
                if self.folder.kept_file.exists() or self.folder.has_owners():
                    used = now
                elif now - used > self.plan["linger"] and self._leaves():
                    return

    def _leaves(self) -> bool:
        """Decide to end, unless somebody has just come."""
        with self.folder.gate():
            if self.folder.has_owners() or self.folder.kept_file.exists():
                return False
            logger.info("Nobody has used the cluster for %s s", self.plan["linger"])
            self._say(state="stopping")
            return True

    def _is_wanted_no_more(self) -> bool:
        return self.ending.is_set() or self.folder.stop_file.exists() or not self.folder.path.exists()

    def has_restarted(self, part: _Part) -> None:
        """Note that a process was started again."""
        self._say(state="recovering", restarts=self.state["restarts"] + 1, **{part.name: part.pid})

    def _end(self) -> None:
        for part in reversed(self.parts):
            part.ask_to_end()
        for part in reversed(self.parts):
            part.end()
        self.parts = []
        self.family.sweep()


class _Part:
    """One process of Flink with all that it has started: its Python workers."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self.name, self._supervisor, self._family = name, supervisor, supervisor.family
        self._out = supervisor.folder.log / f"{name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = ""
        self._began = self._next_try = 0.0
        self._pause = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        plan = self._supervisor.plan
        self._mark = self._family.join()
        script = Path(plan["flink"]) / "bin" / f"{self.name}.sh"
        with open(self._out, "wb") as out:
            self._process = subprocess.Popen(  # the script becomes java, by exec
                ["bash", str(script), "start-foreground"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env=self._family.environment(self._mark, plan["environment"]),
                cwd=self._supervisor.folder.home.parent,
                start_new_session=True,
            )  # fmt: skip
        self._began = time.monotonic()

    def keep_up(self) -> None:
        """Start the process again if it has died; what dies again and again is waited for longer and longer."""
        if self.is_alive():
            return
        now = time.monotonic()
        if self._process is not None:
            logger.warning("The %s died (%s); it is started again", self.name, self._process.returncode)
            if now - self._began > _STEADY:
                self._pause = 0.0
            self._next_try = now + self._pause
            self._pause = min(_LONGEST_PAUSE, max(1.0, 2 * self._pause))
            self.end()
        if now >= self._next_try:
            self.start()
            self._supervisor.has_restarted(self)

    def ask_to_end(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGTERM)

    def end(self) -> None:
        """See the process dead, and all that it has left: Python workers outlive a killed TaskManager."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._family.sweep(self._mark)
        self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(OSError):
            os.killpg(self._process.pid, number)

    def failure(self) -> FlinkError:
        """Say why it died, from its log."""
        text = self.tail()
        kind = _PortTaken if "Address already in use" in text or "BindException" in text else FlinkError
        code = None if self._process is None else self._process.returncode
        return kind(
            f"the {self.name} of the local Flink cluster ended with code {code} before it was up. The end of its logs in "
            f"{self._out.parent}:\n{text}"
        )

    def tail(self, lines: int = 25) -> str:
        """Give the end of what it said: on its output, or in its newest log."""
        service = {"jobmanager": "standalonesession", "taskmanager": "taskexecutor"}[self.name]
        logs = sorted(self._out.parent.glob(f"flink-aiflow-{service}-*.log"), key=lambda path: path.stat().st_mtime)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (self._out, *logs[-1:])]
        ends = ["\n".join(text.strip().splitlines()[-lines:]) for text in texts]
        return "\n".join(end for end in ends if end) or "(nothing)"


class _PortTaken(FlinkError):
    pass


def _free_ports() -> dict[str, int]:
    """Give two ports that are free now; somebody may take them before Flink does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    rest, rpc = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    return {"rest.port": rest, "rest.bind-port": rest, "jobmanager.rpc.port": rpc}


def main(home: str) -> None:
    """Be the supervisor of the home, unless there is one; whoever called it goes on at once."""
    plan = json.load(sys.stdin)
    if os.fork():
        os._exit(0)
    folder = ClusterFolder(Path(home))
    lock = folder.become_supervisor()
    if lock is None:
        return
    logging.basicConfig(
        filename=folder.log / "supervisor.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    supervisor = Supervisor(folder, plan)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.ending.set())
    try:
        supervisor.run()
    except BaseException:
        logger.exception("The supervisor failed")
        raise
    finally:
        supervisor.family.close()
        os.close(lock)


if __name__ == "__main__":
    main(sys.argv[1])
