"""Says where the time goes: a profile of one thread, its own cost taken out, summed up by part of the house.

Knows nothing of what is profiled.
"""

from __future__ import annotations

import cProfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["import_times", "profiled"]

Key = tuple[str, int, str]

# The first text that is found in "file:function" says where a function belongs. A builtin that is not named here
# belongs to whoever calls it.
PARTS = (
    ("SQL", ("'execute' of", "'executemany' of", "'fetchone' of", "'fetchall' of", "aiflow/store/")),
    ("JSON and values", ("/json/", "aiflow/values/", "params.py")),
    (
        "waiting and locking",
        ("'acquire' of", "'release' of", "threading.py", "'__enter__' of '_thread", "'__exit__' of '_thread"),
    ),
    ("deciding (step)", ("aiflow/graph/",)),
    ("delivering", ("aiflow/events/",)),
    ("context, log, call", ("aiflow/runners/",)),
    ("work and values in memory", ("aiflow/live.py", "aiflow/mapping.py")),
    ("the turn", ("aiflow/",)),
    ("the job itself", ("benchmarks/",)),
)
REST = "the rest"


def _part(key: Key) -> str:
    file, _, function = key
    name = f"{file.replace(chr(92), '/')}:{function}"
    if "/aiflow/" in name:
        name = name[name.rindex("/aiflow/") + 1 :]
    elif "/benchmarks/" in name:
        name = name[name.rindex("/benchmarks/") + 1 :]
    return next((part for part, signs in PARTS if any(sign in name for sign in signs)), REST)


@dataclass(slots=True)
class Spent:
    """What one function needed by itself: with the builtins that it calls, without the profiler's own cost."""

    seconds: float = 0.0
    calls: int = 0


def _own_times(stats: dict[Key, Any]) -> dict[Key, Spent]:
    python, builtin = _overheads()
    found: dict[Key, Spent] = {}

    def add(key: Key, own: float, calls: int, overhead: float) -> Spent:
        spent = found.setdefault(key, Spent())
        spent.seconds += max(0.0, own - calls * overhead)
        return spent

    for key, (_, calls, own, _, callers) in stats.items():
        if key[0] == "~" and _part(key) == REST:
            for caller, (_, some, some_own, _) in callers.items():
                add(caller, some_own, some, builtin)
        else:
            add(key, own, calls, builtin if key[0] == "~" else python).calls += calls
    return found


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
        stats: dict[Key, Any] = profiler.stats
        counted = next(v for k, v in stats.items() if k[2] in ("_nothing", "<built-in method time.time>"))
        found.append(max(0.0, counted[2] / n - plain * 0.5))
    return found[0], found[1]


def profiled(work: Callable[[cProfile.Profile], None], n: int, plain_us: float, noun: str, top: int = 40) -> str:
    """Profile `work` some times, and report the time that was disturbed least.

    Parameters
    ----------
    work
        Enables the profiler it gets, on the thread that matters.
    n
        How many of `noun` the work does.
    plain_us
        What one costs without a profiler; the parts are scaled to it.
    """
    found: list[dict[Key, Any]] = []
    for _ in range(5):
        profiler = cProfile.Profile()
        work(profiler)
        profiler.disable()
        profiler.create_stats()
        found.append(profiler.stats)
    own = _own_times(min(found, key=lambda stats: sum(value[2] for value in stats.values())))
    total = sum(spent.seconds for spent in own.values()) or 1.0
    scale = plain_us / total
    parts: dict[str, Spent] = {}
    for key, spent in own.items():
        part = parts.setdefault(_part(key), Spent())
        part.seconds += spent.seconds
        part.calls += spent.calls
    lines = [
        f"{plain_us:.1f} µs per {noun} without a profiler; scaled to that, the profiler's own cost taken out, by part:"
    ]
    for name, part in sorted(parts.items(), key=lambda item: -item[1].seconds):
        share = f"{part.seconds * scale:7.1f} µs {part.seconds / total:5.0%} {part.calls / n:7.1f} calls"
        lines.append(f"  {share}  {name}")
    lines.append("by function, with the builtins that it calls:")
    for key, spent in sorted(own.items(), key=lambda item: -item[1].seconds)[:top]:
        share = f"{spent.seconds * scale:7.2f} µs {spent.seconds / total:5.0%} {spent.calls / n:7.2f} calls"
        lines.append(f"  {share}  {_shown(key)}")
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
