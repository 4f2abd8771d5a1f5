"""The runner ``"flink"``: where Flink jobs run, which driver submits them, and what is left when it closes.

Knows nothing of one job's way (flink_watch) and of PyFlink (the driver has it).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError
from aiflow.flinksettings import FlinkSettings
from aiflow.runners.base import Ended, RunnerHost, Work
from aiflow.runners.family import Family
from aiflow.runners.flink_cluster import Address, LocalCluster, client_environment
from aiflow.runners.flink_distribution import whole_path
from aiflow.runners.flink_driving import DriverProcess
from aiflow.runners.flink_java import find_java
from aiflow.runners.flink_watch import FlinkWatch

__all__ = ["FlinkRunner"]

_LEAVING = 5.0  # seconds in which the watches leave when the project is closed


class FlinkRunner:
    """Runs functions that build Flink jobs in a driver process, and watches what they submit on its cluster.

    The jobs outlive this process: what was noted of an attempt is enough to watch it again. Each attempt has a thread that
    sleeps most of the time.

    Parameters
    ----------
    host
        The project's home.
    settings
        Of its local cluster.
    """

    capacity: int | None = None
    keeps_running = True

    def __init__(self, host: RunnerHost, settings: FlinkSettings | None = None) -> None:
        self.host, self.settings = host, settings
        self.home = Path(host.home).absolute()
        self._lock, self._making = threading.RLock(), threading.Lock()
        self._family = Family()
        self._drivers: dict[str, DriverProcess] = {}
        self._retired: list[DriverProcess] = []
        self._watches: dict[tuple[Any, ...], FlinkWatch] = {}
        self._cluster: LocalCluster | None = None
        self._pid = os.getpid()
        self.is_closed = False

    # --- the protocol of runners ------------------------------------------------------------------------------------

    def start(self, work: Work, done: Callable[[Any, Ended], Any]) -> None:
        """Begin, or go on with what was noted of the attempt."""
        watch = FlinkWatch(self, work, done)
        with self._lock:
            self._watches[work.key] = watch
        watch.start()

    def stop(self, work: Work) -> None:
        """Ask a job to stop: a stream by a savepoint, a batch at once. One that belongs to somebody else now goes on."""
        watch = self._watches.get(work.key)
        if watch is not None:
            watch.wake()

    def close(self) -> None:
        """End the driver, and the local cluster if nobody else needs it; what still runs on a cluster is let go."""
        with self._lock:
            if self.is_closed or os.getpid() != self._pid:
                return
            self.is_closed = True
            watches, drivers = list(self._watches.values()), [*self._drivers.values(), *self._retired]
        for watch in watches:
            watch.wake()
        end = time.monotonic() + _LEAVING
        for watch in watches:
            watch.join(max(0.0, end - time.monotonic()))
        for driver in drivers:
            driver.close()
        self._family.close()
        if self._cluster is not None:
            is_used = any(watch.noted.jobs and watch.noted.target == "local" for watch in watches)
            self._cluster.leave() if is_used else self._cluster.release()  # what was left running is found again there

    # --- for the watches --------------------------------------------------------------------------------------------

    def ended(self, watch: FlinkWatch) -> None:
        """Learn that a watch is over."""
        with self._lock:
            if self._watches.get(watch.work.key) is watch:
                del self._watches[watch.work.key]
        self.retire()

    def retire(self) -> None:
        """End the drivers that are not used again and in which nobody's function runs, but for those that were let go."""
        with self._lock:
            self._retired += [driver for driver in self._drivers.values() if driver.is_stale]
            self._drivers = {python: driver for python, driver in self._drivers.items() if not driver.is_stale}
            over = [driver for driver in self._retired if not driver.is_busy]
            self._retired = [driver for driver in self._retired if driver.is_busy]
        for driver in over:
            driver.close()

    def address(self, target: str, progress: Callable[[str], Any], python: str | None = None) -> Address:
        """Give the cluster of a target; the local one is started if it is not up, with the Flink of `python` if need be."""
        if target != "local":
            return Address(target.rstrip("/"), is_local=False, python=self.python(None))
        with self._lock:
            if self._cluster is None:
                self._cluster = LocalCluster(self.home, self.settings)
            cluster = self._cluster
        return cluster.ensure(progress, python)

    def python(self, named: str | None, folder: Path = Path()) -> str:
        """Give the interpreter that has Flink for a job: the one that it names, or the settings do, or this one."""
        settings = self.settings or FlinkSettings()
        return whole_path(named, folder) if named else whole_path(settings.python or sys.executable, Path())

    def driver(self, python: str) -> DriverProcess:
        """Give the driver of a Python, a new one if it has died or knows other surroundings."""
        with self._making:  # asking another Python where its Flink is takes long; the engine waits for the other lock
            with self._lock:
                found = self._drivers.get(python)
                if found is not None and not found.is_stale:
                    return found
                if found is not None:
                    self._retired.append(found)
            folder = _own_folder(self.home / "flink" / "client")
            environment = client_environment(self._java(), folder, python)
            with self._lock:
                if self.is_closed:
                    raise FlinkError("the project is closed")
                made = self._drivers[python] = DriverProcess(python, environment, self._family, folder)
            return made

    def _java(self) -> Path:
        return find_java(chosen=None if self.settings is None else self.settings.java)


def _own_folder(parent: Path) -> Path:
    """Make a folder for one driver, and remove those that killed processes have left."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in parent.iterdir():
        if not _lives(old.name.partition("-")[0]):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True
