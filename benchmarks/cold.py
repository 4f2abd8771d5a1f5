"""What a fresh process costs: `import aiflow`, and a script of three jobs on a fresh home.

Knows nothing of what is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import floors
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Reach, Reading
from benchmarks.profiling import import_times

__all__ = ["FIGURES"]

IMPORT = [sys.executable, "-c", "import aiflow"]
SCRIPT = Path(__file__).with_name("three_jobs.py")


def _measure_import(bench: Bench) -> list[Reading]:
    repeats = bench.pick(15, 5)
    bench.wall(IMPORT)
    floors.nothing(bench)
    floor, ours = [], []
    for _ in range(repeats):
        floor.append(floors.nothing(bench) * 1e3)
        ours.append(bench.wall(IMPORT) * 1e3 - floor[-1])
    return [
        Reading(
            what="import aiflow, less python -c pass",
            unit="ms",
            ours=ours,
            floor=floor,
            floor_is="python -c pass",
            durability="-",
            reach=Reach(of="ours", most=80),
        )
    ]


def _measure_script(bench: Bench) -> list[Reading]:
    repeats = bench.pick(11, 4)
    command = [sys.executable, str(SCRIPT)]
    bench.wall(command, {"AIFLOW_HOME": str(bench.fresh())})
    floor, ours, floor_mb, ours_mb = [], [], [], []
    for _ in range(repeats):
        floor.append(floors.nothing(bench))
        ours.append(bench.wall(command, {"AIFLOW_HOME": str(bench.fresh())}))
    for _ in range(3):
        floor_mb.append(floors.nothing_peak_kb(bench) / 1024)
        environ = bench.environment() | {"AIFLOW_HOME": str(bench.fresh())}
        done = subprocess.run(
            [*command, "--memory"], env=environ, cwd=bench.folder, stdout=subprocess.PIPE, text=True, check=True
        )
        ours_mb.append(json.loads(done.stdout.splitlines()[-1]) / 1024)
    return [
        Reading(
            what="script of 3 jobs, fresh process and home",
            unit="s",
            ours=ours,
            floor=floor,
            floor_is="python -c pass",
            reach=Reach(of="ours", most=0.35),
        ),
        Reading(
            what="  the same, peak memory",
            unit="MB",
            ours=ours_mb,
            floor=floor_mb,
            floor_is="python -c pass",
            reach=Reach(of="ours", most=45),
        ),
    ]


def _import_times(bench: Bench, command: list[str]) -> str:
    environ = bench.environment() | {"AIFLOW_HOME": str(bench.fresh())}
    for _ in range(2):  # the first compiles
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *command[1:]],
            env=environ,
            cwd=bench.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    return import_times(done.stderr)


FIGURES = (
    Figure(
        name="import",
        title="import aiflow in a fresh process",
        measure=_measure_import,
        profile=lambda bench: _import_times(bench, IMPORT),
    ),
    Figure(
        name="script",
        title="a script of 3 jobs in a fresh process, on a fresh home: time and peak memory",
        measure=_measure_script,
        profile=lambda bench: _import_times(bench, [sys.executable, str(SCRIPT)]),
    ),
)
