"""Holds names that only one may have at a time, across all processes of a home: a locked file for each.

Knows nothing of what the names are for. The kernel frees the lock of a process that dies, however it dies.
"""

from __future__ import annotations

import os
import socket
import threading
from hashlib import sha256
from pathlib import Path

from aiflow.errors import StoreError
from aiflow.store.connection import lock_file

__all__ = ["Names"]


class Names:
    """The names that are held through one opened home.

    Parameters
    ----------
    folder
        Where their files are; made when the first name is held.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[str, ...], int] = {}
        self._guard = threading.Lock()

    def hold(self, *name: str) -> str | None:
        """Hold a name; if somebody else has it, give in words who that is."""
        with self._guard:
            if name in self._held:
                return "this process"
            path = self._folder / f"{sha256(repr(name).encode()).hexdigest()[:32]}.lock"
            try:
                self._folder.mkdir(exist_ok=True, mode=0o700)
                file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"{path} cannot be written: {error.strerror}") from error
            if not lock_file(file):
                holder = os.pread(file, 300, 1).decode(errors="replace") if hasattr(os, "pread") else ""
                os.close(file)
                return holder or "another process"
            if hasattr(os, "pwrite"):  # for people; the first byte is what Windows locks
                os.ftruncate(file, 0)
                os.pwrite(file, f" process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            self._held[name] = file
            return None

    def free(self, *name: str) -> None:
        """Let go of a name. Its file stays: who removed it could remove that of the next holder."""
        with self._guard:
            file = self._held.pop(name, None)
        if file is not None:
            os.close(file)

    def close(self) -> None:
        """Let go of all names; also in a forked child, where the locks stay the parent's."""
        for name in list(self._held):
            self.free(*name)
