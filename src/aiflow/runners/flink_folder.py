"""The folder of a local cluster: its locks, its users, and what it writes down of its state.

Knows nothing of Flink. Whoever dies frees its locks, so nothing here has to be repaired after a crash.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aiflow.errors import FlinkError

__all__ = ["ClusterFolder"]

_LOOKING = 1.0  # seconds; who only looks whether a lock is free has it for a moment
_YOUNG = 2.0  # seconds in which who made a lock file may not have locked it yet, and must not be hindered by a look


class ClusterFolder:
    """``home/flink``.

    Locks are on directories, so that no lock file is left behind: who holds `gate` changes what stands here, and who
    holds the lock on `log` is the supervisor.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.path = self.home / "flink"
        self.log, self.tmp = self.path / "log", self.path / "tmp"
        self.state_file, self.stop_file, self.kept_file = (
            self.path / name for name in ("cluster.json", "stop", "kept")
        )
        self._users = self.path / "users"

    def make(self) -> None:
        """Make the directory, if it is not there."""
        try:
            self.log.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise FlinkError(f"{self.path}, for the Flink cluster, cannot be made: {error.strerror}") from error

    @contextmanager
    def gate(self) -> Iterator[None]:
        """Hold the lock under which the cluster is started, taken into use and given up; it waits."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            _lock(descriptor, wait=True)
            yield
        finally:
            os.close(descriptor)

    # --- the supervisor ---------------------------------------------------------------------------------------------

    def become_supervisor(self) -> int | None:
        """Take the lock of the supervisor for as long as this process lives; None if there is one."""
        descriptor = os.open(self.log, os.O_RDONLY)
        end = time.monotonic() + _LOOKING
        while not _lock(descriptor):
            if time.monotonic() > end:
                os.close(descriptor)
                return None
            time.sleep(0.01)
        return descriptor

    def is_supervised(self) -> bool:
        """Tell whether a supervisor lives."""
        return _is_held(self.log)

    def read(self) -> dict[str, Any]:
        """Read the state that the last supervisor wrote; empty if there is none."""
        try:
            found = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state at once, so that nobody reads half of it."""
        half = self.state_file.with_name(f".{self.state_file.name}.{secrets.token_hex(4)}")
        half.write_text(json.dumps(state, indent=1), encoding="utf-8")
        half.replace(self.state_file)

    def clear(self, keep_state: bool = False) -> None:
        """Delete all that is of use only while the cluster is up: logs, checkpoints and savepoints stay."""
        clients = () if self.has_owners() else ("client/conf", "client/lib", "client/tmp")
        for folder in ("conf", "lib", "tmp", "users", *clients):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for file in (self.stop_file, self.kept_file, *(() if keep_state else (self.state_file,))):
            file.unlink(missing_ok=True)

    # --- who uses it ------------------------------------------------------------------------------------------------

    def become_user(self) -> tuple[int, Path]:
        """Say that this process uses the cluster, for as long as it lives; `leave` takes it back."""
        self._users.mkdir(exist_ok=True, mode=0o700)
        path = self._users / f"{os.getpid()}-{secrets.token_hex(4)}.lock"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        _lock(descriptor, wait=True)
        return descriptor, path

    def leave(self, user: tuple[int, Path]) -> None:
        """Use it no more."""
        user[1].unlink(missing_ok=True)
        os.close(user[0])

    def has_users(self) -> bool:
        """Tell whether any process uses it; what those that died have left is deleted."""
        found = False
        for path in _files(self._users):
            if _is_held(path):
                found = True
            elif not _is_young(path):
                path.unlink(missing_ok=True)
        return found

    def has_owners(self) -> bool:
        """Tell whether any process uses the cluster, or has the home open for running."""
        return self.has_users() or any(_is_young(path) or _is_held(path) for path in _files(self.home / "owners"))


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if name.endswith(".lock")]
    except OSError:
        return []


def _is_young(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < _YOUNG
    return False


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:
        raise FlinkError("a local Flink cluster runs on Linux and macOS; give the address of one as target") from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
