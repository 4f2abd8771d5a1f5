"""A live model in a process that Flink runs functions in: it has no project, and asks where the project is.

Knows nothing of how an object is replaced by the next one (`following`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

from aiflow import flink
from aiflow.endpoint import MODELS, OBJECTS
from aiflow.errors import StoreError
from aiflow.graph.model import ModelVersion
from aiflow.ledger.book import deployed
from aiflow.metadata.following import Follower
from aiflow.opening import serializers_of_plugins
from aiflow.runners.performed import load_model
from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec

__all__ = ["Afar"]

_PIECE = 1 << 18


class Afar(Follower):
    """What answers for a model there. A thread asks now and then, so that no call has to.

    Parameters
    ----------
    home, name, on_new_kind
        See `Follower`; `home` is a path on the machine of the project, which may be another one.
    """

    def __init__(self, home: str, name: str, on_new_kind: Callable[[], None]) -> None:
        super().__init__(home, name, on_new_kind)
        self._asked: ModelVersion | None = None  # what was deployed when somebody asked last
        self._place: _Place | None = None

    def ask(self) -> None:
        """Ask what is deployed; load it if that is something new, or something that could not be loaded a while ago."""
        try:
            found = self._deployed()
        except Exception as error:  # there was patience already, and there is a next time
            self._warn(StoreError(f"which version of {self.name!r} is deployed could not be told: {error}"))
            return
        is_retried = self._failed == self.told and self._elapsed() >= self._retry_at
        if found != self._asked or is_retried:
            self._asked, self.told = found, self.told + 1
            self.look()

    def _deployed(self) -> ModelVersion | None:
        row = self._there().deployed(self.name)
        return None if row is None else ModelVersion.of_row(row, self.home)

    def _object(self, version: ModelVersion) -> Any:
        return self._there().load(version)

    def _there(self) -> _Place:
        """Give where it asks; from the first time on, it is done again and again."""
        if self._place is None:
            _, way = flink.way_home()
            place = self._place = _Beside(way) if isinstance(way, flink.Local) else _Elsewhere(way)
            name = f"aiflow-live-{self.name}"
            threading.Thread(target=_keep_asking, args=(weakref.ref(self), place.pause), name=name, daemon=True).start()
        return self._place


def _keep_asking(follower: weakref.ref[Afar], pause: float) -> None:
    """Have a follower ask until nobody holds it any more."""
    while True:
        time.sleep(pause)
        one = follower()
        if one is None or one.is_closed:
            return
        one.ask()
        del one


class _Place(Protocol):
    @property
    def pause(self) -> float:
        """Seconds between two questions."""

    def deployed(self, name: str) -> dict[str, Any] | None:
        """Give the row of the version of a model that is deployed."""

    def load(self, version: ModelVersion) -> Any:
        """Give the object of a version."""


class _Beside:
    """The home is on this machine."""

    pause = 0.05

    def __init__(self, way: flink.Local) -> None:
        self._store = way.store
        self._codec = Codec(way.store.blobs, serializers=serializers_of_plugins)

    def deployed(self, name: str) -> dict[str, Any] | None:
        return deployed(self._store, name)

    def load(self, version: ModelVersion) -> Any:
        return load_model(self._codec, version)


class _Elsewhere:
    """The home is on another machine; its endpoint tells and sends what is kept."""

    pause = 1.0

    def __init__(self, way: flink.Remote) -> None:
        self._way = way

    def deployed(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._way.ask("GET", f"{MODELS}/{quote(name, safe='')}")
        return found

    def load(self, version: ModelVersion) -> Any:
        with TemporaryDirectory(prefix="aiflow-") as folder:  # what is mapped stays when its name is gone
            blobs = Blobs(Path(folder))
            if version.hash is not None:
                self._way.ask("GET", f"{OBJECTS}/{version.hash}", read=partial(_keep, blobs))
            return load_model(Codec(blobs, serializers=serializers_of_plugins), version)


def _keep(blobs: Blobs, answer: BinaryIO) -> None:
    with blobs.writer() as writer:
        while piece := answer.read(_PIECE):
            writer.write(piece)
        writer.commit()
