"""Says where the time goes: a profile of one thread, its own cost taken out, summed up by part of the house.

Knows nothing of what is profiled.
"""

from __future__ import annotations

import cProfile
import time
from collections.abc import Callable
from typing import Any

__all__ = ["import_times", "profiled"]

Key = tuple[str, int, str]

# The first text that is found in "file:function" says where a function belongs.
PARTS = (
    ("SQL", ("sqlite3.", "'execute' of", "'executemany' of", "'fetchone' of", "'fetchall' of", "store/")),
    ("JSON and values", ("json", "values/", "params.py", "_scan_once", "'encode' of 'str'")),
    ("waiting and locking", ("'acquire'", "'release'", "_thread.", "threading.py", "'put' of '_queue", "'get' of '_queue")),
    ("deciding (step)", ("graph/",)),
    ("delivering", ("events/",)),
    ("context, log, call", ("runners/",)),
    ("values in memory, work", ("live.py", "mapping.py")),
    ("engine (turn)", ("engine.py", "clock.py", "_project.py")),
    ("the job itself", ("benchmarks/",)),
)


def _part(key: Key) -> str:
    file, _, function = key
    name = f"{file.replace(chr(92), '/')}:{function}"
    if "aiflow/" in name:
        name = name[name.rindex("aiflow/") :]
    return next((part for part, signs in PARTS if any(sign in name for sign in signs)), "the rest")


def _nothing() -> None:
    pass


def _overheads(n: int = 20_000) -> tuple[float, float]:
    """Give the seconds that the profiler adds to its own account of a Python function, and of a builtin."""
    found = []
    for function in (_nothing, time.time):
        begun = time.perf_counter()
        for _ in range(n):
            function()
        plain = (time.perf_counter() - begun) / n
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(n):
            function()
        profiler.disable()
        profiler.create_stats()
        stats: dict[Key, Any] = profiler.stats  # type: ignore[attr-defined]
        counted = next(v for k, v in stats.items() if k[2] in ("_nothing", "<built-in method time.time>"))
        found.append(max(0.0, counted[2] / n - plain * 0.5))
    return found[0], found[1]


def profiled(work: Callable[[cProfile.Profile], None], n: int, plain_us: float, noun: str, top: int = 30) -> str:
    """Profile `work`, which enables the profiler on the thread that matters.

    Parameters
    ----------
    n
        How many of `noun` the work does.
    plain_us
        What one costs without a profiler; the parts are scaled to it.
    """
    profiler = cProfile.Profile()
    work(profiler)
    profiler.disable()
    profiler.create_stats()
    stats: dict[Key, Any] = profiler.stats  # type: ignore[attr-defined]
    python, builtin = _overheads()
    parts: dict[str, list[float]] = {}
    for key, (_, calls, own, _, _) in stats.items():
        is_builtin = key[0] == "~"
        part = parts.setdefault(_part(key), [0.0, 0.0])
        part[0] += max(0.0, own - calls * (builtin if is_builtin else python))
        part[1] += calls
    total = sum(seconds for seconds, _ in parts.values()) or 1.0
    scale = plain_us / (total / n * 1e6)
    lines = [f"{plain_us:.1f} µs per {noun} without a profiler; by part, scaled to that (the profiler's own cost taken out):"]
    for part, (seconds, calls) in sorted(parts.items(), key=lambda item: -item[1][0]):
        lines.append(f"  {part:24} {seconds / n * 1e6 * scale:7.1f} µs {seconds / total:5.0%} {calls / n:7.1f} calls")
    lines.append(f"functions by their own time, per {noun}, as the profiler saw them:")
    for key, (_, calls, own, cumulative, _) in sorted(stats.items(), key=lambda item: -item[1][2])[:top]:
        lines.append(f"  {own / n * 1e6:7.2f} µs own {cumulative / n * 1e6:8.2f} µs in all {calls / n:6.2f} calls  {_shown(key)}")
    return "\n".join(lines)


def _shown(key: Key) -> str:
    file, line, function = key
    if file == "~":
        return function
    parts = file.replace("\\", "/").split("/")
    return f"{'/'.join(parts[-2:])}:{line} {function}"


def import_times(text: str, top: int = 25) -> str:
    """Sort what `python -X importtime` has written by each module's own time."""
    rows = []
    for line in text.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            rows.append((int(fields[0]), int(fields[1]), fields[2].strip()))
    rows.sort(reverse=True)
    lines = [f"  {own:7} {cumulative:7}  {name}" for own, cumulative, name in rows[:top]]
    return "\n".join(["modules by their own time (µs own, µs with what they import):", *lines])

