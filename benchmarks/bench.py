"""Owns where and how long one run of the benchmarks works: its folder on disk, its fresh homes, its sizes.

Knows nothing of the figures.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Bench", "opened", "peak_kb", "resident_kb"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run of the benchmarks.

    Attributes
    ----------
    folder
        A temporary folder on a real file system; all homes and floors' databases lie in it.
    quick
        Fewer repeats and smaller sizes, for a look; such figures are not to be quoted.
    """

    folder: Path
    quick: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def pick(self, full: int, quick: int) -> int:
        """Choose a size."""
        return quick if self.quick else full

    def fresh(self, what: str = "home") -> Path:
        """Give a path that nothing lies at yet."""
        return self.folder / f"{what}-{next(self._numbers)}"

    def environment(self) -> dict[str, str]:
        """Give the environment of fresh processes: as a user's, with compiled modules kept in our own folder."""
        environ = {
            k: v
            for k, v in os.environ.items()
            if k not in ("PYTHONDONTWRITEBYTECODE", "AIFLOW_HOME", "PYTHONPROFILEIMPORTTIME")
        }
        here = str(ROOT)
        paths = [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        paths = [str(Path(p).resolve()) for p in paths]
        return environ | {
            "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            "PYTHONPATH": os.pathsep.join([*paths, *([] if here in paths else [here])]),
        }

    def wall(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> float:
        """Run a program to its end and give the seconds that it took."""
        environ = self.environment() | dict(more or {})
        begun = time.perf_counter()
        subprocess.run(command, env=environ, cwd=self.folder, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun

    def answer_of(self, module: str, *arguments: object) -> Any:
        """Run a module of ours in a fresh process and give the JSON that it prints in its last line."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def opened(parent: Path | None, quick: bool) -> Iterator[Bench]:
    """Make the folder, beside the code unless another parent is named: not in /tmp, which may be memory."""
    parent = parent or ROOT / "build"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Bench(folder=Path(folder), quick=quick)


def resident_kb() -> float:
    """Give the memory that this process occupies now, in KB; the peak where the system does not tell."""
    return _status("VmRSS") or peak_kb()


def peak_kb() -> float:
    """Give the most memory that this process has occupied, in KB.

    Not `ru_maxrss` on Linux: that of a small process is never below its parent's at the fork.
    """
    found = _status("VmHWM")
    if found:
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform == "darwin" else float(most)


def _status(name: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file)
    except OSError:  # not Linux
        return 0.0
    return float(lines[name].split()[0])
