"""How far a Flink job has come, read from what it tells of its operators.

Knows nothing of connections. Flink counts per operator; its figures per vertex miss what happens inside a chain, and are
all zero for a job that is one chain.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from aiflow.graph.mark import END
from aiflow.runners.flink_terms import ENDED

__all__ = ["Progress", "last_operators", "read_progress"]

_WATERMARK, _RECORDS = "currentInputWatermark", "numRecordsIn"
_OF_TABLE = re.compile(r"\[(\d+)\]:(\w+)\(").match
_INDENT = re.compile(r"(?:[: ]  )*(?:[+:]- )?").match


class Progress(NamedTuple):
    """How far a job has come; None: not known, or not yet.

    Of a job that has ended, the figures are those that somebody happened to ask for last; so they are not told.

    Attributes
    ----------
    records
        How many records its last operators (its sinks) have taken since it was started or restarted last.
    watermark
        Up to when its event time has come there, in milliseconds since 1970; ``2**63 - 1`` after the end of all input.
    """

    records: int | None
    watermark: int | None


def read_progress(job: Mapping[str, Any], ask: Callable[[str], Any]) -> Progress:
    """Read how far a job has come.

    Parameters
    ----------
    job
        What ``/jobs/:id`` says.
    ask
        Gives what a path below that says.
    """
    if job["state"] in ENDED:
        is_over = job["state"] == "FINISHED" and not _was_stopped(ask("/checkpoints"))
        return Progress(None, END if is_over else None)
    nodes = job["plan"]["nodes"]
    feeding = {source["id"] for node in nodes for source in node.get("inputs", ())}
    ends = [node for node in nodes if node["id"] not in feeding]
    parts = [_of_vertex(node, ask) for node in ends]
    if not parts:
        return Progress(None, None)
    records = [part.records for part in parts if part.records is not None]
    marks = [part.watermark for part in parts]
    return Progress(
        sum(records) if records else None, None if None in marks else min(m for m in marks if m is not None)
    )


def _was_stopped(checkpoints: Mapping[str, Any]) -> bool:
    """Tell whether a job that is FINISHED was stopped with a savepoint; else all of its input was used up."""
    savepoint = (checkpoints.get("latest") or {}).get("savepoint") or {}
    return savepoint.get("checkpoint_type") == "SYNC_SAVEPOINT"


def _of_vertex(node: Mapping[str, Any], ask: Callable[[str], Any]) -> Progress:
    path = f"/vertices/{quote(node['id'])}/subtasks/metrics"
    found = [str(one["id"]) for one in ask(path)]
    names = {name.rpartition(".")[0] for name in found if name.endswith(f".{_WATERMARK}")}
    last = {name for name in map(metric_name, last_operators(node.get("description", ""))) if name in names}
    wanted = [f"{name}.{gauge}" for name in sorted(last or names) for gauge in (_WATERMARK, _RECORDS)]
    if not wanted:
        return Progress(None, None)
    rows = {row["id"]: row for row in ask(f"{path}?get={quote(','.join(wanted))}&agg=min,sum")}
    marks = [row["min"] for name, row in rows.items() if name.endswith(_WATERMARK)]
    counts = [row["sum"] for name, row in rows.items() if name.endswith(_RECORDS)]
    if (
        not last
    ):  # unknown names: then what the operator that is furthest behind has taken, those before event time left out
        marks = [mark for mark in marks if _time(mark) is not None]
        counts = [min(counts)] if counts else []
    return Progress(int(sum(counts)) if counts else None, _time(min(marks)) if marks else None)


def _time(value: float) -> int | None:
    """Give a watermark; Flink says the least number for none, and the largest for the end. Both are rounded in JSON."""
    return None if value < -9.2e18 else END if value > 9.2e18 else int(value)


def last_operators(description: str) -> list[str]:
    """Give the names of the operators of a chain that no other one of it follows.

    Parameters
    ----------
    description
        How Flink draws the chain: an operator a line, each indented below the one that it takes from.

    Examples
    --------
    >>> last_operators("Source: a<br/>:- Map<br/>:  +- Sink: b<br/>+- [7]:Calc(select=[k])<br/>   +- sink[8]: Writer<br/>")
    ['Sink: b', 'sink[8]: Writer']
    """
    lines = [
        _read_line(line) for line in html.unescape(description.replace("<br/>", "\n")).splitlines() if line.strip()
    ]
    last: list[str] = []
    for (depth, name), (after, _) in zip(lines, [*lines[1:], (-1, "")], strict=True):
        if after <= depth:
            last.append(name)
    return list(_with_records(last, [name for _, name in lines]))


def _read_line(line: str) -> tuple[int, str]:
    indent = _INDENT(line)
    depth = indent.end() if indent else 0
    name = line[depth:]
    table = _OF_TABLE(name)
    return depth, f"{table[2]}[{table[1]}]" if table else name


def _with_records(last: Iterable[str], names: list[str]) -> Iterable[str]:
    """Take the writer of a sink for its committer, which sees no records but what was written."""
    for name in last:
        writer = name.removesuffix(": Committer") + ": Writer"
        yield writer if name.endswith(": Committer") and writer in names else name


def metric_name(operator: str) -> str:
    """Give the name of an operator as it stands in names of metrics: cut off, and some characters replaced."""
    return re.sub(r"[ .:,]", "_", operator[:80])
