"""A folder for files to come into: the rows of each are counted, once, and the total is kept up.

    aiflow run examples/inbox.py -p folder=inbox

Put CSV files into the folder before or while it runs; Ctrl-C ends it. What was counted is not counted again, unless it
was changed since.
"""

import csv
import json
from pathlib import Path

import aiflow as af


@af.job
def count() -> tuple[str, int]:
    """Count the rows of the file that has arrived."""
    event = af.current().event
    assert event is not None
    with open(event.value["path"], newline="") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1  # the first line has the names
    return Path(event.value["path"]).name, rows


@af.job
def add_up(counted: tuple[str, int], folder: str) -> int:
    """Write down the rows of each file; this runs once for each count, in the same order."""
    kept = Path(folder, "rows.json")
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    rows[counted[0]] = counted[1]
    kept.write_text(json.dumps(rows, indent=1))
    print(f"{counted[0]} has {counted[1]} rows, all {len(rows)} files have {sum(rows.values())}")
    return sum(rows.values())


@af.workflow
def inbox(folder: Path = Path("inbox")) -> None:
    """Count what arrives in a folder, until it is stopped."""
    folder = folder.absolute()  # af.file would take it from here, from the folder of this example
    counted = count().start_on(af.file(folder / "*.csv"))
    add_up(counted, str(folder))
