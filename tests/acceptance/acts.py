"""What acceptance cases do again and again: publish and let things settle, wait for a fact, use the command line.

It knows the public interface only, as a user's own tests would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiflow as af
from aiflow.testing import assert_replays, run_until_idle

PATIENCE = 30.0  # seconds after which a fact that does not come is a failure: only a broken case waits so long


def tell(project: af.Project, *events: Any) -> None:
    """Publish keys, or pairs of key and value, one after the other, and let each have its effect."""
    for event in events:
        project.publish(*(event if isinstance(event, tuple) else (event,)))
        run_until_idle(project)


def until(fact: Callable[[], Any], what: str = "") -> Any:
    """Wait until `fact` is true, and return it."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not (answer := fact()):
        assert time.monotonic() < end, f"never came: {what or fact}"
        pause.wait(0.002)
    return answer


def end(execution: af.Execution) -> None:
    """Stop a service, and check that its log, replayed, gives the same decisions."""
    execution.stop()
    execution.wait(timeout=PATIENCE)
    assert_replays(execution)


class Gate:
    """A door that jobs on threads stand before until the case opens it."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def stand(self) -> None:
        """Wait here, whatever is asked of the job meanwhile."""
        self.arrived.release()
        assert self._open.wait(PATIENCE), "the gate was never opened"

    def wait_for_one(self) -> None:
        """Return when one more stands, or stood, before it."""
        assert self.arrived.acquire(timeout=PATIENCE), "nobody came to the gate"

    def open(self) -> None:
        """Let all pass, now and later."""
        self._open.set()


def write(path: Path, text: str) -> Path:
    """Write a file of Python."""
    path.write_text(textwrap.dedent(text))
    return path


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIFLOW_")}
    return kept | {"AIFLOW_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}


def begin(home: Path, *arguments: Any) -> subprocess.Popen[str]:
    """Begin a command line in a process of its own, in the folder above the home."""
    return subprocess.Popen(
        [sys.executable, "-m", "aiflow", *map(str, arguments)],
        cwd=home.parent,
        env=_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command_line(home: Path, *arguments: Any, code: int = 0) -> tuple[str, str]:
    """Run a command line, check its exit code, and return its two outputs."""
    process = begin(home, *arguments)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == code, f"exit code {process.returncode}, expected {code}\n{out}\n{err}"
    return out, err


def command_json(home: Path, *arguments: Any) -> Any:
    """Run a command line that succeeds and return what it says in JSON."""
    return json.loads(command_line(home, *arguments, "-o", "json")[0])
