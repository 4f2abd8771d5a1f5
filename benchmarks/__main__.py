"""The command: `python -m benchmarks [NAME...] [--quick] [-o json] [--profile NAME]`.

Knows nothing of how a figure is taken. It never fails because of a time: figures are to be read, not to be asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchmarks import (
    ancestry,
    arriving,
    chain,
    cold,
    elsewhere,
    flink,
    growth,
    idle,
    machine,
    measuring,
    pieces,
    publishing,
    reaction,
    serving,
    simulating,
    storing,
    streaming,
    ticking,
    unconcerned,
    versions,
    wide,
)
from benchmarks.bench import Bench, opened
from benchmarks.figure import Figure, Reading

MODULES = (
    chain,
    wide,
    growth,
    streaming,
    reaction,
    elsewhere,
    arriving,
    ticking,
    publishing,
    cold,
    idle,
    pieces,
    measuring,
    unconcerned,
    simulating,
    storing,
    versions,
    serving,
    ancestry,
    flink,
)
FIGURES: dict[str, Figure] = {figure.name: figure for module in MODULES for figure in module.FIGURES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print it, and give the exit code."""
    options = _parsed(arguments)
    if options.list:
        for figure in FIGURES.values():
            print(f"{figure.name:18} {figure.title}{' (--profile)' if figure.profile else ''}")
        return 0
    _place(options.pin, options.realtime)
    with opened(options.folder, options.quick) as bench:
        if options.profile:
            print(_profile(bench, options.profile))
            return 0
        facts = machine.describe(bench.folder)
        if options.output == "text":
            print(_heading(facts, bench), flush=True)
        found = {}
        for name in options.names or FIGURES:
            found[name] = _measured(bench, FIGURES[name], options.output == "text")
    if options.output == "text":
        print("\n" + _summary([reading for readings in found.values() for reading in readings]))
    else:
        figures = {name: [reading.as_json() for reading in readings] for name, readings in found.items()}
        print(json.dumps({"machine": facts, "quick": options.quick, "figures": figures}, indent=1))
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to take; all, if none is named (see --list)")
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes and fewer repeats: for a look, not to be quoted"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="json has every sample")
    parser.add_argument(
        "--profile", metavar="NAME", help="say where the time of this figure goes, instead of taking any"
    )
    parser.add_argument(
        "--folder", type=Path, help="where homes and floors' databases are made, on a real disk (default: build)"
    )
    parser.add_argument(
        "--pin", action="store_true", help="use one processor only (Linux): steadier, and hand-overs are cheap"
    )
    parser.add_argument(
        "--realtime", action="store_true", help="run before all other programs (Linux, needs privileges)"
    )
    parser.add_argument("--list", action="store_true", help="list the figures")
    options = parser.parse_args(arguments)
    for name in (*options.names, *filter(None, [options.profile])):
        if name not in FIGURES:
            close = get_close_matches(name, FIGURES, 3) or FIGURES
            parser.error(f"there is no figure {name!r}; did you mean {', '.join(close)}?")
    if (options.pin or options.realtime) and not hasattr(os, "sched_setaffinity"):
        parser.error("--pin and --realtime need Linux")
    return options


def _place(pin: bool, realtime: bool) -> None:
    """Choose processors and precedence, for this process and all that it starts."""
    if pin:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if realtime:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            sys.exit("--realtime: this user may not run programs before all others")


def _profile(bench: Bench, name: str) -> str:
    figure = FIGURES[name]
    if figure.profile is None:
        return f"{name} has no profile; these have: {', '.join(f.name for f in FIGURES.values() if f.profile)}"
    return f"{figure.title}\n{figure.profile(bench)}"


def _measured(bench: Bench, figure: Figure, is_text: bool) -> list[Reading]:
    begun = time.perf_counter()
    if not is_text:
        print(f"{figure.name} ...", file=sys.stderr, flush=True)
    readings = figure.measure(bench)
    if is_text:
        print(f"\n{figure.name}: {figure.title} [{time.perf_counter() - begun:.0f} s]")
        for reading in readings:
            print(_line(reading), flush=True)
    return readings


def _heading(facts: dict[str, Any], bench: Bench) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value is not None)
    lines = [told, *(f"BEWARE: {text}" for text in machine.warnings_of(facts))]
    if bench.quick:
        lines.append("quick: fewer repeats and smaller sizes, not to be quoted")
    lines.append("medians (least to most); a ratio is ours / floor, of pairs that were measured one after the other")
    lines.append(f"  {'':44} {'':6} {'ours':>24} {'':11} {'floor':>24} {'ratio':>20}  reach")
    return "\n".join(lines)


def _line(reading: Reading) -> str:
    verdict = ""
    if reading.reach is not None:
        verdict = f"{reading.reach.text(reading.unit):18} {'reached' if reading.is_reached else 'NOT REACHED'}"
    ours, floor, ratio = (_shown(values) for values in (reading.ours, reading.floor, reading.ratios))
    ratio += " ×" if ratio else ""
    left = f"  {reading.what:44} {reading.durability:6} {ours:>24} {reading.unit:11}"
    return f"{left} {floor:>24} {ratio:>20}  {verdict}".rstrip()


def _summary(readings: list[Reading]) -> str:
    asked = [reading for reading in readings if reading.reach is not None]
    missed = [f"{r.what.strip()} ({r.durability})" for r in asked if not r.is_reached]
    if not asked:
        return "nothing of this has a bound to reach"
    return f"{len(asked) - len(missed)} of {len(asked)} reached" + (
        f"; not reached: {', '.join(missed)}" if missed else ""
    )


def _shown(values: Sequence[float]) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(statistics.median(values))} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 0.1
        else f"{value:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
