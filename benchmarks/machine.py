"""Says what the figures were taken on, and whether the machine was quiet enough to believe them.

Knows nothing of the figures. No path and no name of the machine is told.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path
from typing import Any

import aiflow as af
from aiflow.store.connection import sqlite3 as store_sqlite
from benchmarks import floors

__all__ = ["busy_share", "describe", "warnings_of"]

MEMORY = ("tmpfs", "ramfs", "devtmpfs")


def describe(folder: Path) -> dict[str, Any]:
    """Give the facts that the figures depend on."""
    return {
        "aiflow": af.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "sqlite_of_the_store": store_sqlite.sqlite_version,
        "sqlite_of_the_floors": sqlite3.sqlite_version,
        "file_system": _file_system(folder),
        "hand_over_us": round(min(floors.hand_over(2000) for _ in range(3)), 1),
        "busy_with_others": busy_share(0.5),
        "runs_first": _runs_first(),
    }


def _runs_first() -> bool:
    """Tell whether we run before all ordinary programs, so that it matters little what they do."""
    return hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO


def _file_system(folder: Path) -> str | None:
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    real, best, kind = f"{folder.resolve()}/", "", None
    for line in lines:
        _, point, found, *_ = line.split(" ")
        if real.startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, found
    return kind


def busy_share(seconds: float) -> float | None:
    """Give the share of all processors that others use while we sleep."""
    before = _processor_times()
    time.sleep(seconds)
    after = _processor_times()
    if before is None or after is None:
        return None
    passed = sum(after) - sum(before)
    idle = after[3] + after[4] - before[3] - before[4]
    return round(1 - idle / passed, 2) if passed else None


def _processor_times() -> list[int] | None:
    try:
        with open("/proc/stat", encoding="ascii") as file:
            return [int(field) for field in file.readline().split()[1:9]]
    except OSError:  # not Linux
        return None


def warnings_of(facts: dict[str, Any]) -> list[str]:
    """Give the reasons not to quote these figures."""
    out = []
    busy = facts["busy_with_others"]
    if busy is not None and busy > 0.1 and not facts["runs_first"]:
        out.append(
            f"other programs keep {busy:.0%} of the processors busy: all is slower, but hand-overs come out too cheap"
        )
    if facts["file_system"] in MEMORY:
        out.append(
            f"the homes lie in memory ({facts['file_system']}): nothing is durable; choose another place with --folder"
        )
    return out
