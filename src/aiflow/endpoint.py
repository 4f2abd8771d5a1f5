"""The address at which jobs on other machines publish, and ask for models: HTTP, on the loopback interface unless the settings say otherwise.

Knows nothing of engines: what comes goes to who opened it. Whoever asks must have the token and must mean this address:
a page in a browser of this machine does not. One process of a home listens; when that is gone, another one does, at
the same port and with the same token, so that jobs which go on meanwhile find it again.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import shutil
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from aiflow.errors import Conflict, FlinkError, ParameterError, StoreError
from aiflow.graph.event import Draft, Event, check_draft
from aiflow.graph.params import json_text
from aiflow.runners.wire import event_row
from aiflow.store.connection import lock_file

__all__ = ["EVENTS", "MODELS", "MOST", "OBJECTS", "Endpoint"]

logger = logging.getLogger(__name__)
EVENTS = "/events"
"""Takes events."""
MODELS = "/models"
"""Under it, by name: the row of the version that is deployed, or null."""
OBJECTS = "/objects"
"""Under it, by hash: the object of a version of a model."""
MOST = 1 << 20
"""Bytes of one request."""
_PIECE = 1 << 18

_LOOK, _SHORT, _PATIENCE = 0.5, 0.01, 10.0
_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
_ANYWHERE = frozenset(("0.0.0.0", "::", ""))

_METHODS = {EVENTS: "POST", MODELS: "GET", OBJECTS: "GET"}

Run = tuple[str, str, int]
"""An execution, a job of it and a number."""


class Desk(Protocol):
    """The home, as those know it who ask at its address."""

    def publish_for(self, run: Run, drafts: list[Draft]) -> list[Event]:
        """Publish on behalf of a job."""

    def deployed(self, model: str) -> dict[str, Any] | None:
        """Give the row of the version of a model that is deployed, or None."""

    def object_of(self, hash: str) -> Path | None:
        """Give the file with the object of a version of a model; None if no version has this hash."""


class Endpoint:
    """The address of a home.

    Parameters
    ----------
    folder
        Where `endpoint.json` is, with the address and the token; whoever listens holds its lock.
    desk
        Does what is asked for.
    address
        A host to listen on, or ``host:port``.
    """

    def __init__(self, folder: Path, desk: Desk, address: str = "127.0.0.1") -> None:
        self._file, self.desk = folder / "endpoint.json", desk
        split = urlsplit(f"//{address}")
        self._host, self._port = split.hostname or "127.0.0.1", split.port or 0
        self._closed = threading.Event()
        self._server: _Server | None = None
        self._lock = -1
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        said = self._read() if self._listen() else self._await_address()
        self.url, self.token = str(said["url"]), str(said["token"])
        self._thread = threading.Thread(target=self._serve, name="aiflow-endpoint", daemon=True)
        self._thread.start()

    @property
    def is_listening(self) -> bool:
        """Whether it is this process that listens."""
        return self._server is not None

    def close(self) -> None:
        """Listen no more; another process of the home takes over."""
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join()
        self._let_go()

    def forget(self) -> None:
        """Let go in a forked child: what is open is the parent's."""
        if self._server is not None:
            for one in (self._server.socket, *self._server.connected):
                one.close()
        if self._lock >= 0:
            os.close(self._lock)

    def _serve(self) -> None:
        while not self._closed.is_set():
            if self._server is not None or self._listen():
                if (
                    self._server is not None and not self._closed.is_set()
                ):  # who closes it meanwhile shuts the server down
                    self._server.serve_forever(poll_interval=0.05)
                return
            self._closed.wait(_LOOK)

    def _listen(self) -> bool:
        """Begin to listen, unless another process of this home does."""
        lock = os.open(self._file, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
        if not lock_file(lock):
            os.close(lock)
            return False
        said = self._read()
        token = said.get("token") or secrets.token_urlsafe(32)
        try:
            server = self._bound(self._port or said.get("port") or 0)
        except OSError as error:
            os.close(lock)
            raise FlinkError(
                f"nothing can listen on {self._host} for events of jobs on Flink: {error.strerror}"
            ) from error
        port = server.server_address[1]
        name = socket.gethostname() if self._host in _ANYWHERE else self._host
        server.endpoint, server.token, server.names = self, token, _names(name, self._host)
        text = json.dumps(
            {"url": f"http://{f'[{name}]' if ':' in name else name}:{port}", "port": port, "token": token}
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)
        self._lock, self._server = lock, server
        return True

    def _bound(self, port: int) -> _Server:
        try:
            return _server((self._host, port))
        except OSError:
            if not port or self._port:
                raise
            logger.warning(
                "Port %d, where jobs on Flink that run already publish, is taken by another program; they cannot publish any more",
                port,
            )
            return _server((self._host, 0))

    def _read(self) -> dict[str, Any]:
        try:
            said = json.loads(self._file.read_text())
        except (OSError, ValueError):  # it is being written
            return {}
        return said if isinstance(said, dict) else {}

    def _await_address(self) -> dict[str, Any]:
        """Read the address that the process has written that listens, or is about to."""
        for _ in range(int(_PATIENCE / _SHORT)):
            said = self._read()
            if said:
                return said
            self._closed.wait(_SHORT)
        raise FlinkError(
            f"{self._file} does not say where this home listens for events, although some process holds its lock"
        )

    def _let_go(self) -> None:
        if self._server is not None:
            self._server.server_close()
            self._server = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _names(name: str, host: str) -> frozenset[str]:
    """Give the names by which this address may be asked, besides the number of the interface on which a request came."""
    return frozenset((name.lower(), host.lower())) | (_LOOPBACK if host in _LOOPBACK else frozenset())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    endpoint: Endpoint
    token: str
    names: frozenset[str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client has gone in the midst of something."""
        logger.debug("A request for publishing was not finished", exc_info=True)

    def get_request(self) -> Any:
        """Take note of who is connected, so that closing ends that."""
        request, address = super().get_request()
        self.connected.add(request)
        return request, address

    def close_request(self, request: Any) -> None:
        """End a connection."""
        self.connected.discard(request)
        super().close_request(request)

    def server_close(self) -> None:
        """End all connections, too."""
        super().server_close()
        for request in tuple(self.connected):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def __init__(self, *args: Any, **options: Any) -> None:
        self.connected: set[Any] = set()
        super().__init__(*args, **options)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _server(address: tuple[str, int]) -> _Server:
    return (_Server6 if ":" in address[0] else _Server)(address, _Handler)


class _Refused(Exception):
    """A request that gets an error, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "aiflow", ""
    timeout = 60
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep what is asked out of the terminal."""
        logger.debug(format, *args)

    def do_POST(self) -> None:
        """Do what is asked for."""
        try:
            self._check_asker()
            self._serve(*self._place())
        except _Refused as refused:
            self.close_connection = True  # its body may not have been read
            self._reply(refused.status, {"error": str(refused)})
        except ParameterError as error:
            self._reply(400, {"error": str(error)})
        except Conflict as error:
            self._reply(409, {"error": str(error)})
        except StoreError as error:
            self._reply(503, {"error": str(error)})

    do_GET = do_POST
    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def _check_asker(self) -> None:
        """Refuse who has no token, who asks by another name, and whatever a page of a browser sends."""
        names = self.server.names | {str(self.connection.getsockname()[0]).lower()}
        for header, most in (("Host", 1), ("Origin", 0)):
            said = self.headers.get_all(header, [])
            if len(said) < most or not all(self._is_here(text, names, header == "Origin") for text in said):
                raise _Refused(403, f"the {header} of the request is not this address")
        given = self.headers.get_all("Authorization", [])
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), f"Bearer {self.server.token}".encode()):
            raise _Refused(403, "the token is wrong")

    def _place(self) -> tuple[str, str]:
        """Give what is asked for: the place, and the name below it."""
        place, _, name = urlsplit(self.path).path[1:].partition("/")
        place = f"/{place}"
        if place not in _METHODS or bool(name) is (place == EVENTS):
            raise _Refused(404, f"there are only {EVENTS}, {MODELS}/NAME and {OBJECTS}/HASH")
        if self.command != _METHODS[place]:
            raise _Refused(405, f"only {_METHODS[place]} is allowed at {place}")
        return place, unquote(name)

    def _serve(self, place: str, name: str) -> None:
        desk = self.server.endpoint.desk
        if place == EVENTS:
            self._reply(200, [event_row(event) for event in desk.publish_for(*self._asked())])
        elif place == MODELS:
            self._reply(200, desk.deployed(name))
        else:
            self._send_file(desk.object_of(name))

    def _is_here(self, text: str, names: frozenset[str], has_scheme: bool) -> bool:
        try:
            split = urlsplit(text if has_scheme else f"//{text}")
            port = split.port or 80
        except ValueError:
            return False
        is_plain = split.scheme == ("http" if has_scheme else "") and split.username is None
        rest = split.path or split.query or split.fragment
        return is_plain and not rest and (split.hostname or "") in names and port == self.server.server_address[1]

    def _asked(self) -> tuple[Run, list[Draft]]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refused(411, "a request needs a Content-Length")
        if int(length) > MOST:
            raise _Refused(413, f"a request takes {MOST:,} bytes at most, and this has {int(length):,}")
        try:
            said = json.loads(self.rfile.read(int(length)))
            execution_id, job, number = said["run"]
            drafts = [Draft(*draft) for draft in said["drafts"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ParameterError("a request is JSON data with run and drafts") from None
        if not (isinstance(execution_id, str) and isinstance(job, str) and isinstance(number, int)):
            raise ParameterError("a run is an execution, a job and a number")
        for draft in drafts:
            check_draft(draft)
            json_text(draft.value, f"the value of event {draft.key!r}")
        return (execution_id, job, number), [d._replace(execution_id=execution_id, time=0.0) for d in drafts]

    def _send_file(self, path: Path | None) -> None:
        try:
            file = None if path is None else path.open("rb")
        except FileNotFoundError:
            file = None
        if file is None:
            raise _Refused(404, "no version of a model has an object with this hash")
        with file:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            shutil.copyfileobj(file, self.wfile, _PIECE)

    def _reply(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
