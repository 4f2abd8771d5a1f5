"""Stands between a client and a cluster, and loses what it is told to lose: requests, or the answers to them."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit


class Relay:
    """Passes on what comes to `url`; `lose` says what not.

    Attributes
    ----------
    lost
        The requests that were not answered so far.
    """

    def __init__(self, to: str) -> None:
        parts = urlsplit(to)
        self._to = str(parts.hostname), int(parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._losing: list[tuple[str, str, bool]] = []
        self.lost: list[str] = []

    def __enter__(self) -> Relay:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose(self, method: str, part: str, *, heard: bool) -> None:
        """Do not answer the next request whose path has a part; it comes to the cluster if it is to be `heard`."""
        with self._lock:
            self._losing.append((method, part, heard))

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = client.recv(65_536)
            method, _, rest = head.decode("latin-1").partition(" ")
            found = self._is_lost(method, rest.partition(" ")[0])
            if found is not None and not found[2]:
                return
            with socket.create_connection(self._to) as cluster:
                cluster.sendall(head)
                if found is None:
                    up = threading.Thread(target=_pass_on, args=(client, cluster), daemon=True)
                    up.start()
                    _pass_on(cluster, client)
                else:
                    threading.Thread(target=_pass_on, args=(client, cluster), daemon=True).start()
                    cluster.recv(65_536)

    def _is_lost(self, method: str, path: str) -> tuple[str, str, bool] | None:
        with self._lock:
            found = next((one for one in self._losing if one[0] == method and one[1] in path), None)
            if found is not None:
                self._losing.remove(found)
                self.lost.append(f"{method} {path}")
        return found


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
