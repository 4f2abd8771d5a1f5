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
from aiflow.runners.flink_part import Part, PortTaken
from aiflow.runners.flink_rest import FlinkRest

__all__ = ["Supervisor"]

logger = logging.getLogger("aiflow.flink")
_LOOK = 0.2  # seconds between looks at the processes
_USERS = 1.0  # seconds between looks at who uses the cluster
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
        self.parts: list[Part] = []
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
            self.parts = [Part(name, self.folder, self.family, self.plan) for name in ("jobmanager", "taskmanager")]
            for part in self.parts:
                part.start()
            try:
                self._await()
            except PortTaken as error:
                if named := [key for key in _free_ports() if key in self.plan["config"]]:
                    raise FlinkError(f"a port is taken that the settings name ({', '.join(named)}): {error}") from error
                if tries + 1 == _MANY_TRIES:
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
                    f"the Flink cluster did not come up within {self.plan['starting']:g} s; see the logs in "
                    f"{self.folder.log}. The TaskManager said last:\n{self.parts[-1].last_words()}"
                )
            if self._is_wanted_no_more():
                raise FlinkError("the Flink cluster was stopped while it was starting")

    def _is_up(self) -> bool:
        assert self.rest is not None
        if not self.ending.wait(_LOOK):
            with suppress(FlinkError):
                return self.parts[-1].id in self.rest.taskmanagers()
        return False

    # --- watching ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        used = looked = time.monotonic()
        while not self._is_wanted_no_more():
            self.ending.wait(_LOOK)
            for part in self.parts:
                if part.keep_up():
                    restarts = self.state["restarts"] + 1
                    self._say(state="recovering", restarts=restarts, **{part.name: part.pid})
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

    def _end(self) -> None:
        for part in reversed(self.parts):
            part.ask_to_end()
        for part in reversed(self.parts):
            part.end()
        self.parts = []
        self.family.sweep()


def _free_ports() -> dict[str, int]:
    """Give two ports that are free now; somebody may take them before Flink does."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    rest, rpc = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    return {"rest.port": rest, "jobmanager.rpc.port": rpc}


def main(home: str) -> None:
    """Be the supervisor of the home, unless there is one; whoever called it goes on at once."""
    plan = json.load(sys.stdin)
    if os.fork():
        os._exit(0)
    folder = ClusterFolder(Path(home))
    if folder.become_supervisor() is None:  # the lock is free again when this process is gone
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


if __name__ == "__main__":
    main(sys.argv[1])
