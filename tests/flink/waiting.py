"""Waiting for what real processes do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def until(ready: Callable[[], Any], timeout: float = 240.0) -> Any:
    """Look again and again until it is so, and give what was found; a cluster can be slow where much else runs."""
    end, pause = time.monotonic() + timeout, threading.Event()
    while not (found := ready()):
        assert time.monotonic() < end, "it did not come to pass"
        pause.wait(0.05)
    return found
