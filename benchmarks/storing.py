"""A file of 1 GB and an array of 500 MB: how fast they are hashed and stored, and the memory that this takes.

Memory is taken in fresh processes: `python -m benchmarks.storing file|store|load FOLDER SIZE`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from aiflow.values.blobs import Blobs
from aiflow.values.codec import Codec, Stored
from benchmarks import floors
from benchmarks.bench import Bench, peak_kb, resident_kb
from benchmarks.figure import Figure, Reach, Reading

__all__ = ["FIGURES"]


def _measure_file(bench: Bench) -> list[Reading]:
    size, repeats = bench.pick(1_000_000_000, 100_000_000), bench.pick(7, 3)
    folder = bench.fresh("storing")
    source = _file_in(folder, size)
    floor, ours = [], []
    for _ in range(repeats):
        floor.append(size / 1e6 / floors.copied_and_hashed(source, folder / "copy"))
        begun = time.perf_counter()
        Blobs(folder / "blobs").put_file(source)
        ours.append(size / 1e6 / (time.perf_counter() - begun))
        shutil.rmtree(folder / "blobs")
    memory = bench.answer_of("benchmarks.storing", "file", folder, size)
    shutil.rmtree(folder)
    return [
        Reading(
            what=f"a file of {size // 1_000_000:,} MB, hashed and stored",
            unit="MB/s",
            ours=ours,
            floor=floor,
            floor_is="plain code that reads, hashes and writes it",
            reach=Reach(of="ratio", least=0.8),
        ),
        Reading(
            what="  memory that this takes",
            unit="MB",
            ours=[memory["ours"]],
            floor=[memory["floor"]],
            floor_is="the same of the floor",
            reach=Reach(of="ours", most=10),
        ),
    ]


def _measure_array(bench: Bench) -> list[Reading]:
    size = bench.pick(500_000_000, 100_000_000)
    folder = bench.fresh("storing")
    folder.mkdir()
    stored = bench.answer_of("benchmarks.storing", "store", folder, size)
    loaded = bench.answer_of("benchmarks.storing", "load", folder, size)
    shutil.rmtree(folder)
    label = f"an array of {size // 1_000_000} MB"
    return [
        Reading(
            what=f"{label}, stored: memory beside it (peak)",
            unit="MB",
            ours=[stored["memory"]],
            reach=Reach(of="ours", most=50),
        ),
        Reading(
            what=f"{label}, loaded and read: memory (peak)",
            unit="MB",
            ours=[loaded["memory"]],
            floor=[size / 1e6],
            floor_is="the array",
            reach=Reach(of="ratio", most=1.1),
        ),
    ]


def _file_in(folder: Path, size: int) -> Path:
    """Make a file in which no two megabytes are the same, and have it in the system's cache."""
    folder.mkdir()
    path = folder / "source"
    with open(path, "wb") as file:
        for number in range(size // 1_000_000):
            file.write(number.to_bytes(8, "big") * 125_000)
    return path


def _memory_of_file(folder: Path) -> dict[str, float]:
    before = max(resident_kb(), peak_kb())
    floors.copied_and_hashed(folder / "source", folder / "copy")
    floor = peak_kb()
    Blobs(folder / "blobs").put_file(folder / "source")
    return {"floor": (floor - before) / 1e3, "ours": (peak_kb() - before) / 1e3}


def _memory_of_storing(folder: Path, size: int) -> dict[str, float]:
    import numpy

    codec = Codec(Blobs(folder / "blobs"))
    array = numpy.arange(size // 8)
    codec.encode(array[:100_000], "a small one")  # what is imported for the first time does not count
    before = peak_kb()
    stored = codec.encode(array, "an array")
    (folder / "stored").write_text(json.dumps(stored))
    return {"memory": (peak_kb() - before) / 1e3}


def _memory_of_loading(folder: Path) -> dict[str, float]:
    import numpy

    codec = Codec(Blobs(folder / "blobs"))
    small = codec.encode(numpy.arange(100_000), "a small one")
    codec.decode(small)
    before = peak_kb()
    array = codec.decode(Stored(*json.loads((folder / "stored").read_text())))
    assert int(array[-1]) == len(array) - 1
    array.sum()
    return {"memory": (peak_kb() - before) / 1e3}


def _answer(what: str, folder: Path, size: int) -> Any:
    if what == "file":
        return _memory_of_file(folder)
    return _memory_of_storing(folder, size) if what == "store" else _memory_of_loading(folder)


FIGURES = (
    Figure(name="store-file", title="a large file, hashed and stored", measure=_measure_file),
    Figure(name="store-array", title="the memory that a large array takes", measure=_measure_array),
)

if __name__ == "__main__":
    print(json.dumps(_answer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
