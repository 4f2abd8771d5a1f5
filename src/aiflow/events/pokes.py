"""Pokes other processes of the same home when something was appended, so that they look at once and not at their next look.

Knows nothing of events: a poke has no content, may be lost, and may come for nothing. It goes over datagram sockets with
names in Linux's abstract space, which vanish with their process; elsewhere, nobody is poked.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["Pokes"]

_NAMES_EACH = 0.5
"""Seconds for which the list of the others is good."""

_POKE_EACH = 0.005
"""Seconds between two pokes at least; who was poked looks once more after this time."""

_IS_THERE = sys.platform == "linux"


class Pokes:
    """The pokes of one owner.

    Parameters
    ----------
    owners
        The folder of the home where each owner has a lock file.
    own
        The id of this owner.
    """

    def __init__(self, owners: Path, own: str) -> None:
        self._owners, self._own = owners, own
        self._names: list[bytes] = []
        self._named = self._poked = float("-inf")
        self._out: socket.socket | None = None
        self._in: socket.socket | None = None
        self._is_again = False
        self._hushed = threading.Event()

    def _address(self, owner: str) -> bytes:
        return b"\0aiflow-" + owner.encode()

    def poke(self, now: float) -> None:
        """Wake whoever else works in this home; `now` in seconds. Costs next to nothing if nobody does."""
        if not _IS_THERE or 0 <= now - self._poked < _POKE_EACH or not self.has_others(now):
            return
        self._poked = now
        if self._out is None:
            self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._out.setblocking(False)
        for name in self._names:
            with suppress(OSError):  # it is gone, does not listen, or was poked enough
                self._out.sendto(b"!", name)

    def has_others(self, now: float) -> bool:
        """Tell whether somebody else works in this home, or did a moment ago; looked up now and then only."""
        if not 0 <= now - self._named < _NAMES_EACH:
            self._named, self._names = now, self._others()
        return bool(self._names)

    def _others(self) -> list[bytes]:
        try:
            files = os.listdir(self._owners)
        except OSError:
            return []
        owners = (file.removesuffix(".lock") for file in files if file.endswith(".lock"))
        return [self._address(owner) for owner in owners if owner != self._own]

    def wait(self, timeout: float) -> None:
        """Wait until somebody pokes, `timeout` seconds at most; after a poke, the next time only until it could be missed.

        Called on one thread only, which also lets go of the socket when this is hushed: closing it under a thread that
        reads would give its number away.
        """
        listening = self._in or self._listen()
        if listening is None:
            self._hushed.wait(timeout)
            return
        listening.settimeout(_POKE_EACH if self._is_again else timeout)
        self._is_again = False
        with suppress(OSError):  # nobody did
            listening.recv(1)
            self._is_again = True
            listening.setblocking(False)
            while True:  # many pokes are one
                listening.recv(1)
        if self._hushed.is_set():
            listening.close()
            self._in = None

    def _listen(self) -> socket.socket | None:
        if not _IS_THERE or self._hushed.is_set():
            return None
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.bind(self._address(self._own))
        except OSError:
            listening.close()
            return None
        self._in = listening
        return listening

    def hush(self) -> None:
        """Listen no more; who waits stops waiting."""
        self._hushed.set()
        if self._in is not None:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waking:
                waking.setblocking(False)
                waking.sendto(b"!", self._address(self._own))

    def close(self) -> None:
        """Poke no more; nobody does any more when this is called."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def forget(self) -> None:
        """Let go of everything in a forked child: the sockets are the parent's."""
        self._hushed.set()
        self.close()
        if self._in is not None:
            self._in.close()
            self._in = None
