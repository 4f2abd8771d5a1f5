"""A soak: many events, published by four processes and handled once each, in a home that is kept small meanwhile.

`python -m benchmarks.soak [--events N] [--quick]` runs it and prints what it came to. Each role is a process of its own:
publishers; a handler, which serves a trigger, runs an execution that hears each event, and has a durable subscription; and a
bystander, which reads and writes all the while. This process only watches them, and counts in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.bench import ROOT, Bench, opened
from benchmarks.sampling import p99

__all__ = ["main", "soak"]

PUBLISHERS, BATCH = 4, 20
TRIGGERED = 1000
"""Each so many events a publisher publishes one that starts an execution."""

EXECUTIONS, EVENTS, PRUNE_EACH = 100, 50_000, 5
"""What is kept, and how often it is pruned, in seconds."""

LAG = 5_000
"""Publishers wait while the handler is so many of its events behind: a queue without a bound is no soak."""

PATIENCE = 120.0


# --- what the processes do ------------------------------------------------------------------------------------------


def publish(home: Path, own: int, count: int) -> dict[str, Any]:
    """Publish `count` events, some at a time, and the one that starts an execution now and then."""
    import aiflow as af

    waited = 0.0
    with af.Project("soak", home=home) as project:
        for first in range(0, count, BATCH):
            project.publish_many([("n", [own, number]) for number in range(first, min(first + BATCH, count))])
            if first % TRIGGERED == 0:
                project.publish("go", {"own": own, "number": first})
            if first % 500 == 0:
                begun = time.perf_counter()
                while first * PUBLISHERS - handled(home) > LAG:
                    time.sleep(0.02)
                waited += time.perf_counter() - begun
    return {"waited": waited}


def handled(home: Path) -> int:
    """Give how many events the handler has handled, as it says itself from time to time."""
    with suppress(OSError, ValueError):
        return int((home / "handled").read_text())
    return 0


def handle(home: Path, count: int, events: int, prune_each: int) -> dict[str, Any]:
    """Handle each event once by a job, and once by a durable subscription; prune now and then; end when all came."""
    import aiflow as af
    from aiflow.serving import Server

    by_job, by_reader, by_trigger = (bytearray(count * PUBLISHERS) for _ in range(3))
    counts = {"job": 0, "reader": 0, "trigger": 0}

    def mark(seen: bytearray, what: str, own: int, number: int) -> None:
        place = own * count + number
        seen[place] = min(255, seen[place] + 1)
        counts[what] += 1

    @af.job
    def take() -> int:
        own, number = af.current().event.value  # type: ignore[union-attr]
        mark(by_job, "job", own, number)
        return int(number)

    @af.workflow(ends="never", name="soaking")
    def soaking() -> None:
        take().start_on(af.event("n"))

    @af.job
    def note(own: int, number: int) -> None:
        mark(by_trigger, "trigger", own, number)

    @af.workflow(start_on=af.event("go"), name="started", if_running="parallel")
    def started(own: int, number: int) -> None:
        note(own, number)

    def read(event: af.Event) -> None:
        mark(by_reader, "reader", *event.value)

    def left() -> int:
        return PUBLISHERS * (2 * count + -(-count // TRIGGERED)) - sum(counts.values())

    with af.Project("soak", home=home, keep={"executions": EXECUTIONS, "events": events}) as project:
        execution = project.start(soaking)
        with (
            project.subscribe(read, keys="n", name="reader", since="start"),
            Server(project, [started], prune_each=prune_each) as server,
        ):
            tell(home, "ready")
            before, moved = left(), time.monotonic()
            while left() > 0 and time.monotonic() - moved < PATIENCE:
                time.sleep(0.02)
                server.look_now_and_then()
                (home / "handled.new").write_text(str(min(counts["job"], counts["reader"])))
                os.replace(home / "handled.new", home / "handled")
                if left() != before:
                    before, moved = left(), time.monotonic()
        execution.stop().wait()
        project.prune()
        pruned_until, events = project._store.pruned_until, project.events.count()
    go = [own * count + number for own in range(PUBLISHERS) for number in range(0, count, TRIGGERED)]
    return {
        "lost": by_job.count(0) + by_reader.count(0) + sum(by_trigger[place] == 0 for place in go),
        "doubled": sum(n > 1 for seen in (by_job, by_reader, by_trigger) for n in seen),
        "handled": counts, "pruned_until": pruned_until, "events_left": events,
    }  # fmt: skip


def stand_by(home: Path) -> dict[str, Any]:
    """Read and write all the while; give how long each took."""
    import aiflow as af

    took: dict[str, list[float]] = {"write": [], "read": []}
    errors: list[str] = []
    with af.Project("soak", home=home) as project:
        while not (home / "done").exists():
            for what in ("write", "read"):
                begun = time.perf_counter()
                try:
                    if what == "write":
                        project.publish("beside", len(took["write"]))
                    else:
                        project.executions.list(limit=10)
                        project.events.latest("n")
                        project.events.count(keys="go")
                except af.AIFlowError as error:
                    errors.append(str(error))
                took[what].append((time.perf_counter() - begun) * 1000)
            time.sleep(0.01)
    return {"errors": errors[:5]} | {
        f"{what}_{name}_ms": round(of(values), 2)
        for what, values in took.items()
        for name, of in (("p50", statistics.median), ("p99", p99), ("max", max))
    } | {"times": len(took["write"])}  # fmt: skip


def reopen(home: Path) -> dict[str, Any]:
    """Open the store in a fresh process, and ask what everybody asks; then check its rows."""
    import aiflow as af
    from aiflow.store.checking import dangling

    import_of_the_rest = af.Project
    begun = time.perf_counter()
    with import_of_the_rest(home=home) as project:
        took = time.perf_counter() - begun
        project.executions.list(limit=10)
        listed = time.perf_counter() - begun
        return {"open_s": round(took, 3), "and_list_s": round(listed, 3), "dangling": dangling(project._store)[:5]}


def tell(home: Path, name: str) -> None:
    """Leave a file for the others to find."""
    (home / name).touch()


# --- watching them --------------------------------------------------------------------------------------------------


class Watched:
    """A process with a role, and what it takes of memory."""

    def __init__(self, bench: Bench, name: str, *words: object) -> None:
        self.name = name
        command = [sys.executable, "-m", "benchmarks.soak", "--role", *map(str, words)]
        self.process = subprocess.Popen(
            command, env=bench.environment(), cwd=bench.folder, stdout=subprocess.PIPE, text=True
        )
        self.sizes: list[int] = []

    def look(self) -> bool:
        """Note its resident memory; tell whether it still runs."""
        with suppress(OSError, ValueError, IndexError):
            self.sizes.append(int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4 // 1024)
        return self.process.poll() is None

    def answer(self) -> dict[str, Any]:
        """Give what it says at its end."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        if self.process.returncode:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {out}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    @property
    def memory_mb(self) -> dict[str, int]:
        """Megabytes at the start (when it had opened the home), at most, halfway and at the end."""
        sizes = [size for size in self.sizes if size > 0] or [0]
        start = sizes[min(len(sizes) - 1, 2)]
        return {"start": start, "half": sizes[len(sizes) // 2], "peak": max(sizes), "end": sizes[-1]}


def soak(
    bench: Bench, events: int, kept: int = EVENTS, prune_each: int = PRUNE_EACH, say: Any = lambda text: None
) -> dict[str, Any]:
    """Run all of it, and give what it came to; `kept` is how many events stay in the log."""
    home, each = bench.fresh(), events // PUBLISHERS
    home.mkdir()
    begun = time.perf_counter()
    running = [Watched(bench, "handler", "handle", home, each, kept, prune_each)]
    try:
        _wait_for(home / "ready", running)
        running.append(Watched(bench, "bystander", "stand_by", home))
        running += [Watched(bench, f"publisher {n}", "publish", home, n, each) for n in range(PUBLISHERS)]
        sizes = list(_sizes(home, running, say))
        published_in = time.perf_counter() - begun
        tell(home, "done")
        answers = {one.name: one.answer() for one in running}
    finally:
        for one in running:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
    return {
        "events": each * PUBLISHERS, "seconds": round(published_in, 1), **answers["handler"],
        "beside": answers["bystander"], "memory_mb": {one.name: one.memory_mb for one in running},
        "publishers_waited_s": [round(answers[one.name]["waited"]) for one in running[2:]],
        "home_mb": {"at_most": max(sizes), "end": _size(home), "over_time": sizes[:: max(1, len(sizes) // 20)]},
        "reopened": bench.answer_of("benchmarks.soak", "--role", "reopen", home),
    }  # fmt: skip


def _wait_for(path: Path, running: Sequence[Watched]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline or any(not one.look() for one in running):
            raise RuntimeError(f"{path.name} did not come")
        time.sleep(0.01)


def _sizes(home: Path, running: Sequence[Watched], say: Any) -> Iterator[float]:
    """Look at everybody until all but the bystander have ended; give the size of the home each time."""
    told = time.monotonic()
    while any([one.look() for one in running if one.name != "bystander"]):
        running[1].look()
        yield _size(home)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"{handled(home):>9,} handled, home {_size(home):.0f} MB, handler {running[0].sizes[-1]} MB")
        threading.Event().wait(0.25)


def _size(home: Path) -> float:
    total = 0
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return round(total / 1e6, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak, or a role in it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="20,000 events")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where the home is made, on a real disk")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.role:
        role, home, *numbers = options.role
        roles = {"publish": publish, "handle": handle, "stand_by": stand_by, "reopen": reopen}
        print(json.dumps(roles[role](Path(home), *map(int, numbers))))  # type: ignore[operator]
        return 0
    with opened(options.folder, options.quick) as bench:
        events = 20_000 if options.quick else options.events
        found = soak(bench, events, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(found, indent=1))
    return 0 if found["lost"] == found["doubled"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
