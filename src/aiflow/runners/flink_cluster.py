"""The local Flink cluster of a home, as its projects see it: there when they need it, shared, and gone with the last.

Knows nothing of jobs. The cluster itself belongs to its supervisor, a program of its own, so it outlives who started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError
from aiflow.flinksettings import FlinkSettings
from aiflow.runners import guard
from aiflow.runners.flink_distribution import client_environment, distribution_of, environment_of, interpreter
from aiflow.runners.flink_folder import ClusterFolder
from aiflow.runners.flink_java import find_java
from aiflow.runners.flink_rest import FlinkRest

__all__ = ["Address", "LocalCluster", "client_environment"]

_LOOK = 0.05  # seconds between looks at what the supervisor wrote
_BEGINNING = 20.0  # seconds in which a supervisor has begun
_ENDING = 40.0  # seconds in which a supervisor has ended all that it started


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is to be found.

    Attributes
    ----------
    url
        Of its REST interface.
    is_local
        Whether it is the home's own.
    python
        The interpreter that its Python workers use unless a job names another.
    """

    url: str
    is_local: bool
    python: str


class LocalCluster:
    """The cluster of a home.

    Parameters
    ----------
    home
        The project's home; everything lies in its folder ``flink``.
    settings
        How large it is, and what it runs on.
    """

    def __init__(self, home: Path, settings: FlinkSettings | None = None) -> None:
        self.folder, self.settings = ClusterFolder(home), settings or FlinkSettings()
        self._lock = threading.Lock()
        self._user: tuple[int, Path] | None = None

    def ensure(self, progress: Callable[[str], None] | None = None, python: str | None = None) -> Address:
        """Give the address of the cluster; start it if it is not up. Of many at once, one starts it and others wait.

        Parameters
        ----------
        progress
            Gets a line now and then, while it takes.
        python
            The interpreter whose Flink is started if the settings name none; by default this one.

        Raises
        ------
        FlinkError
            If it cannot be started; the message has what Java or Flink said.
        """
        began = time.monotonic()
        self.folder.make()
        while not self._join(python):
            self._wait_for_end("it was still ending")
        return self._wait_until_ready(began, progress)

    def keep(self) -> None:
        """Keep the cluster up until it is told to stop, whoever uses it."""
        self.folder.kept_file.touch()

    def stop(self) -> bool:
        """End the cluster, whoever uses it; returns when nothing of it is left, and tells whether it was up."""
        self._forget()
        if not self.folder.is_supervised():
            return False
        with self.folder.gate():
            self.folder.stop_file.touch()
        self._wait_for_end("it does not stop")
        return True

    def release(self) -> None:
        """Say that this process needs it no more; the last one ends it, unless it is to be kept."""
        if not self._forget():
            return
        with self.folder.gate():
            if self.folder.has_users() or self.folder.kept_file.exists() or not self.folder.is_supervised():
                return
            self.folder.stop_file.touch()
        self._wait_for_end("it does not stop")

    def leave(self) -> None:
        """Let go of the cluster while it works on; it ends `linger` seconds after the last who used it, unless somebody comes."""
        self._forget()

    def status(self) -> dict[str, Any]:
        """Tell how the cluster is: `state` (``"stopped"``, ``"starting"``, ``"ready"``, …), and more when it is up."""
        found = self.folder.read()
        if not self.folder.is_supervised():
            why = {"message": found["message"]} if found.get("state") == "failed" else {}
            return {"state": "stopped", **why, "log": str(self.folder.log)}
        told = {**found, "kept": self.folder.kept_file.exists(), "log": str(self.folder.log)}
        if found.get("state") == "ready":
            with suppress(FlinkError):
                overview = FlinkRest(found["url"]).overview()
                told |= {
                    "version": overview["flink-version"], "taskmanagers": overview["taskmanagers"],
                    "slots": overview["slots-total"], "free_slots": overview["slots-available"],
                    "running_jobs": overview["jobs-running"],
                }  # fmt: skip
        return told

    # --- starting ---------------------------------------------------------------------------------------------------

    def _join(self, python: str | None) -> bool:
        """Become a user of the cluster, which is started if there is none; False if it is about to end."""
        with self._lock, self.folder.gate():
            if self.folder.is_supervised():
                if self.folder.stop_file.exists() or self.folder.read().get("state") in ("stopping", "failed"):
                    return False
            else:
                plan = self._plan(python)
                self.folder.clear()
                self._spawn(plan)
            if self._user is None:
                self._user = self.folder.become_user()
            return True

    def _plan(self, python: str | None) -> dict[str, Any]:
        """Look for all that is needed, before anything is started."""
        settings = self.settings
        python = interpreter(settings.python or python or sys.executable)
        flink = distribution_of(python)
        java = find_java(chosen=settings.java)
        return {
            "flink": str(flink),
            "python": python,
            "environment": environment_of(flink, java, self.folder.path, python),
            "config": self._config(python),
            "starting": settings.start_timeout,
            "linger": settings.linger,
        }

    def _config(self, python: str) -> dict[str, Any]:
        path, here = self.folder.path, "127.0.0.1"
        return {
            "jobmanager.rpc.address": here,
            "jobmanager.bind-host": here,
            "jobmanager.memory.process.size": "1024m",
            "jobstore.expiration-time": 7 * 86_400,  # how jobs ended is asked by who was dead meanwhile
            "rest.address": here,
            "rest.bind-address": here,
            "taskmanager.host": here,
            "taskmanager.bind-host": here,
            "taskmanager.numberOfTaskSlots": self.settings.slots,
            "taskmanager.memory.process.size": f"{self.settings.memory >> 20}m",
            "taskmanager.memory.managed.fraction": 0.2,
            # Each part of a batch that sends rows to others needs so many: with Flink's 512, six of them took all that 1.5 GiB has.
            "taskmanager.network.sort-shuffle.min-buffers": 64,
            "cluster.registration.error-delay": "500 ms",
            "cluster.registration.initial-timeout": "200 ms",
            "cluster.registration.max-timeout": "2 s",
            "heartbeat.interval": 2000,  # a killed TaskManager is noticed after two of them
            "slot.request.timeout": 300_000,
            "resourcemanager.standalone.start-up-time": "200 d",  # else a job without a slot fails at once; 248 d is too far
            "web.refresh-interval": 200,  # milliseconds that what it tells of a job may be old
            "metrics.fetcher.update-interval": 1000,
            "execution.checkpointing.dir": (path / "checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": (path / "savepoints").as_uri(),
            "io.tmp.dirs": str(self.folder.tmp),
            "web.tmpdir": str(self.folder.tmp),
            "python.executable": python,
            "python.client.executable": python,
            **self.settings.config,
        }

    def _spawn(self, plan: dict[str, Any]) -> None:
        """Start the supervisor, and wait until it has written down that it lives."""
        path = os.pathsep.join(filter(None, (str(Path(guard.__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        environment = {name: value for name, value in os.environ.items() if name != guard.MARK}
        command = [sys.executable, "-P", "-m", "aiflow.runners.flink_supervisor", str(self.folder.home)]
        said = self.folder.log / "supervisor.out"
        with open(said, "wb") as out:
            started = subprocess.run(  # it comes back at once: the supervisor leaves it, and is nobody's child
                command, input=json.dumps(plan).encode(), stdout=out, stderr=out, cwd="/", check=False,
                env={**environment, "PYTHONPATH": path}, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + _BEGINNING
        while not self.folder.read():
            if started.returncode or time.monotonic() > end:
                text = said.read_text(encoding="utf-8", errors="replace").strip()
                raise FlinkError(
                    f"the supervisor of the Flink cluster did not start: {text or f'see {self.folder.log}'}"
                )
            time.sleep(_LOOK)

    def _wait_until_ready(self, began: float, progress: Callable[[str], None] | None) -> Address:
        told = 0
        while True:
            is_supervised = self.folder.is_supervised()  # before its state is read, which may be its last word
            found = self.folder.read()
            if found.get("state") == "ready" and is_supervised:
                return Address(found["url"], True, found["python"])
            if found.get("state") in ("failed", "stopping") or not is_supervised:
                self._forget()
                self._wait_for_end("it failed, and does not end")
                message = found.get("message", f"the local Flink cluster was ended; see the logs in {self.folder.log}")
                raise FlinkError(message)
            seconds = int(time.monotonic() - began)
            if progress is not None and seconds > told:
                told = seconds
                progress(f"a local Flink cluster is starting ({seconds} s)")
            time.sleep(_LOOK)

    def _wait_for_end(self, trouble: str) -> None:
        end = time.monotonic() + _ENDING
        while self.folder.is_supervised():
            if time.monotonic() > end:
                pid = self.folder.read().get("pid")
                raise FlinkError(
                    f"the local Flink cluster: {trouble} after {_ENDING:.0f} s; its supervisor is process {pid}, its logs "
                    f"are in {self.folder.log}"
                )
            time.sleep(_LOOK)

    def _forget(self) -> bool:
        with self._lock:
            user, self._user = self._user, None
        if user is not None:
            self.folder.leave(user)
        return user is not None
