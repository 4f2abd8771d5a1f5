"""What a call through a live model costs, and how soon it answers with a version that another process deploys.

Knows nothing of models: the object that is called does nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiflow as af
from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.sampling import p99

__all__ = ["FIGURES", "Constant"]

DEPLOYER = """
import sys, time
import aiflow as af
with af.Project(home=sys.argv[1]) as project:
    knn = project.models.get("knn")
    project.publish("warm")
    time.sleep(0.6)
    for number in range(2, int(sys.argv[2]) + 2):
        time.sleep(0.02)
        begun = time.perf_counter()
        knn.deploy(number)
        print(begun)
"""


class Constant:
    """Predicts always the same."""

    def __init__(self, number: int) -> None:
        self.number = number

    def predict(self, value: Any) -> int:
        """Give it."""
        return self.number


def _nanoseconds(call: Callable[[], Any], n: int) -> float:
    return min(timeit.repeat(call, number=n, repeat=5)) / n * 1e9


def _measure_calls(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(100_000, 20_000), bench.pick(7, 3)
    plain, floor, ours, pinned = Constant(1), [], [], []
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        project.models.register("knn").log(plain, stage="DEPLOYED")
        with project.models.live("knn") as live:
            for _ in range(repeats):
                floor.append(_nanoseconds(lambda: plain.predict(0), n))
                ours.append(_nanoseconds(lambda: live.predict(0), n))
                pinned.append(_nanoseconds(lambda: live.pinned()[0].predict(0), n))
    named = (
        ("a call through a live model", ours, Reach(of="ours", most=500)),
        ("a call of what is pinned", pinned, None),
    )
    return [
        Reading(what=what, unit="ns", ours=took, floor=floor, floor_is="the plain call", durability="-", reach=reach)
        for what, took, reach in named
    ]


def _swaps(bench: Bench, n: int) -> list[float]:
    """Give the milliseconds from before each deployment in another process to the first answer of that version here."""
    answered: dict[int, float] = {}
    over = threading.Event()
    with af.Project("bench", home=bench.fresh(), workers=2) as project:
        knn = project.models.register("knn")
        for number in range(1, n + 2):
            knn.log(Constant(number))
        knn.deploy(1)
        with project.models.live("knn") as live:

            def ask() -> None:
                while not over.is_set():
                    answered.setdefault(live.predict(0), time.perf_counter())
                    time.sleep(0.0002)

            asking = threading.Thread(target=ask)
            asking.start()
            command = [sys.executable, "-c", DEPLOYER, str(Path(project.home)), str(n)]
            done = subprocess.run(command, env=bench.environment(), check=True, stdout=subprocess.PIPE, text=True)
            for _ in range(1000):
                if n + 1 in answered:
                    break
                time.sleep(0.01)
            over.set()
            asking.join()
    begun = [float(line) for line in done.stdout.split()]
    return [(answered[k] - at) * 1e3 for k, at in enumerate(begun, 2) if k in answered]


def _measure_swaps(bench: Bench) -> list[Reading]:
    n, repeats = bench.pick(100, 30), bench.pick(5, 2)
    floor, ours = [], []
    for _ in range(repeats):
        floor.append([wake / 1e3 for wake in floors.wakes(n)])
        ours.append(_swaps(bench, n))
    return [
        Reading(
            what=f"another process deploys a small object, {name}",
            unit="ms",
            ours=[take(samples) for samples in ours],
            floor=[take(samples) for samples in floor],
            floor_is="a thread wakes (blocked queue)",
            reach=Reach(of="ours", most=100),
        )
        for name, take in (("p50", statistics.median), ("p99", p99))
    ]


FIGURES = (
    Figure(name="live", title="a call through a live model", measure=_measure_calls),
    Figure(name="live-swap", title="deploy in another process -> first answer here", measure=_measure_swaps),
)
