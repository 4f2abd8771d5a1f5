"""What a project costs that has a live execution in which nothing happens, over five seconds.

Runs in fresh processes: `python -m benchmarks.idle ours|floor SECONDS FOLDER`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.bench import Bench, resident_kb
from benchmarks.figure import Figure, Reach, Reading

__all__ = ["FIGURES"]


def _measure(bench: Bench) -> list[Reading]:
    seconds, repeats = bench.pick(5, 2), bench.pick(3, 1)
    floor, ours = [], []
    for _ in range(repeats):
        floor.append(bench.answer_of("benchmarks.idle", "floor", seconds, bench.fresh("idle")))
        ours.append(bench.answer_of("benchmarks.idle", "ours", seconds, bench.fresh("idle")))
    where = f"idle, one live execution, {seconds} s"
    name = "a Python that sleeps"
    return [
        Reading(
            what=f"{where}: memory",
            unit="MB",
            ours=[o["mb"] for o in ours],
            floor=[f["mb"] for f in floor],
            floor_is=name,
            reach=Reach(of="ours", most=40),
        ),
        Reading(
            what=f"{where}: processor",
            unit="% of a core",
            ours=[o["cpu"] for o in ours],
            floor=[f["cpu"] for f in floor],
            floor_is=name,
            reach=Reach(of="ours", most=0.5),
        ),
    ]


def _watch(seconds: float) -> dict[str, float]:
    time.sleep(1.0)
    begun = time.process_time()
    time.sleep(seconds)
    return {"cpu": (time.process_time() - begun) / seconds * 100, "mb": resident_kb() / 1024}


def _live(seconds: float, home: Path) -> dict[str, float]:
    import aiflow as af
    from benchmarks.workflows import quiet

    with af.Project("bench", home=home) as project:
        execution = project.start(quiet)
        found = _watch(seconds)
        execution.stop().wait()
    return found


FIGURES = (Figure(name="idle", title="a project with a live execution in which nothing happens", measure=_measure),)


if __name__ == "__main__":
    print(
        json.dumps(
            _watch(float(sys.argv[2])) if sys.argv[1] == "floor" else _live(float(sys.argv[2]), Path(sys.argv[3]))
        )
    )
