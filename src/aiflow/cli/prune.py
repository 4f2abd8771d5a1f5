"""The command `db prune`: what of the past goes, and how much room that makes.

Knows nothing of how it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.everywhere import Asked, Command, needs_home
from aiflow.cli.formats import Fields, Lines, Table, write
from aiflow.cli.times import moment

if TYPE_CHECKING:
    from aiflow.pruning import Pruned

__all__ = ["prune", "size"]

_EXAMPLES = """
db prune                               # by the limits of [tool.aiflow] keep
db prune --days 30 --blobs "2 GB"      # by these
db prune --executions 1000 --dry-run   # only tell what would go
db prune --before 120000               # events only, up to an offset or a time
"""
_PARTS = ("database", "blobs", "logs", "scratch")
_WORDS = {
    "runs": "runs of jobs",
    "failed_events": "failures to handle an event",
    "blobs": "values in files",
    "folders": "folders of logs and scratch files that were left over",
    "owners": "processes of the past",
}


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--executions", type=click.IntRange(min=0), metavar="N", help="Keep the newest N that have ended.")
@click.option("--days", type=click.FloatRange(min=0), metavar="DAYS", help="Keep what is younger.")
@click.option("--events", type=click.IntRange(min=0), metavar="N", help="Keep the newest N events.")
@click.option("--blobs", metavar="SIZE", help='Keep so many bytes of values in files, as "2 GB".')
@click.option("--before", metavar="OFFSET|TIME", help="Prune events only: those before this offset, or this time.")
@click.option("--dry-run", is_flag=True, help="Delete nothing; tell what would go.")
@click.option("--vacuum", is_flag=True, help="Give the room back to the file system; others cannot write meanwhile.")
@click.pass_obj
def prune(
    asked: Asked,
    executions: int | None,
    days: float | None,
    events: int | None,
    blobs: str | None,
    before: str | None,
    dry_run: bool,
    vacuum: bool,
) -> None:
    """Delete what is beyond the limits and what nobody needs any more, also while workflows run.

    What running and interrupted executions, triggers, schedules, subscriptions and cached values need is kept.
    """
    limits = {"executions": executions, "days": days, "events": events, "blobs": blobs}
    if before is not None and (dry_run or vacuum or any(limit is not None for limit in limits.values())):
        raise click.UsageError("--before stands alone: it prunes events, whatever the limits are")
    with needs_home(asked) as project:
        if before is not None:
            pruned = project.events.prune(_moment(before))
        else:
            pruned = project.prune(**limits, dry_run=dry_run, vacuum=vacuum)  # type: ignore[arg-type]
    write(asked.output, asdict(pruned), *_told(pruned))


def _moment(text: str) -> int | datetime:
    if text.isdecimal():
        return int(text)
    return moment(text, "--before", "an offset")


def _told(pruned: Pruned) -> list[Lines | Table | Fields]:
    parts: list[Lines | Table | Fields] = [Lines("there was nothing to prune")]
    if pruned.went:
        counts = {_WORDS.get(name, name): f"{n:,}" for name, n in pruned.went.items() if name != "blob_bytes"}
        parts = [Lines("this would go:" if pruned.dry_run else "this went:"), Fields(counts)]
    rows = [_row(part, pruned.before, pruned.after) for part in _PARTS]
    parts.append(Table(rows, {"": "part", "BEFORE": "before", "AFTER": "after"}))
    free = pruned.after.get("free", 0)
    notes = [f"{size(free)} of the database wait for new rows; --vacuum gives them back"] if free > 1_000_000 else []
    notes += [f"the log is needed from further back by {who}" for who in pruned.held]
    return [*parts, Lines("\n".join(notes))] if notes else parts


def _row(part: str, before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    return {"part": part, "before": size(before[part]), "after": size(after[part])}


def size(count: int) -> str:
    """Give a number of bytes in few characters."""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
