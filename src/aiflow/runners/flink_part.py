"""One process of a local Flink cluster with all that it has started: it is kept up, and seen dead.

Knows nothing of the cluster that it is a part of.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError
from aiflow.runners.childprocess import fate
from aiflow.runners.family import Family
from aiflow.runners.flink_causes import why_ended
from aiflow.runners.flink_folder import ClusterFolder

__all__ = ["Part", "PortTaken"]

logger = logging.getLogger("aiflow.flink")
_PATIENCE = 10.0  # seconds that a process gets to end by itself
_LONGEST_PAUSE = 30.0  # seconds between two tries to start a process that dies again and again
_STEADY = 60.0  # seconds after which a process counts as well started
_SERVICES = {"jobmanager": "standalonesession", "taskmanager": "taskexecutor"}


class PortTaken(FlinkError):
    """A process of Flink could not listen where it should."""


class Part:
    """A JobManager or a TaskManager, with the Python workers that it starts.

    Parameters
    ----------
    name
        ``"jobmanager"`` or ``"taskmanager"``.
    folder, family
        Where the cluster lies, and whose child this is.
    plan
        See `Supervisor`.
    """

    def __init__(self, name: str, folder: ClusterFolder, family: Family, plan: Mapping[str, Any]) -> None:
        self.name, self._folder, self._family, self._plan = name, folder, family, plan
        self._out = folder.log / f"{name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = ""
        self._began = self._next_try = self._pause = 0.0

    @property
    def pid(self) -> int | None:
        """Its number, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def id(self) -> str:
        """What Flink calls it: another name after each start."""
        return self._mark.rstrip(";")

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        self._mark = self._family.join()
        script = Path(self._plan["flink"]) / "bin" / f"{self.name}.sh"
        more = ["-D", f"taskmanager.resource-id={self.id}"] if self.name == "taskmanager" else []
        with open(self._out, "wb") as out:
            self._process = subprocess.Popen(  # the script becomes java, by exec
                ["bash", str(script), "start-foreground", *more],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env=self._family.environment(self._mark, self._plan["environment"]),
                cwd=self._folder.home.parent,
                start_new_session=True,
            )  # fmt: skip
        self._began = time.monotonic()

    def keep_up(self) -> bool:
        """Start it again if it has died, later and later if it does so again and again; tell whether it was started."""
        if self.is_alive():
            return False
        now = time.monotonic()
        if self._process is not None:
            logger.warning("The %s %s; it is started again", self.name, fate(self._process.returncode))
            if now - self._began > _STEADY:
                self._pause = 0.0
            self._next_try = now + self._pause
            self._pause = min(_LONGEST_PAUSE, max(1.0, 2 * self._pause))
            self.end()
        if now < self._next_try:
            return False
        self.start()
        return True

    def ask_to_end(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._signal(signal.SIGTERM)

    def end(self) -> None:
        """See it dead, and all that it has left: Python workers outlive a killed TaskManager."""
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
        """Say why it died before the cluster was up, from its logs."""
        why = self.last_words()
        kind = PortTaken if "Address already in use" in why or "BindException" in why else FlinkError
        how = "was not started" if self._process is None else fate(self._process.returncode)
        return kind(
            f"the {self.name} of the local Flink cluster {how} before it was up:\n{why}\nIts logs are in {self._folder.log}"
        )

    def last_words(self) -> str:
        """Give what it said last that people need: on its output, or in its log."""
        pattern = f"flink-aiflow-{_SERVICES[self.name]}-*.log"
        logs = sorted(self._folder.log.glob(pattern), key=lambda path: path.stat().st_mtime)
        out, log = (
            path.read_text(encoding="utf-8", errors="replace") for path in (self._out, *(logs[-1:] or [self._out]))
        )
        return why_ended(out, log)
