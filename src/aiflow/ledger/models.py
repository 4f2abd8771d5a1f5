"""The versions of models and their stages, in the ledger.

Knows nothing of the objects that are kept: they are in blobs already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiflow.errors import Conflict, NotFound
from aiflow.graph.event import EventType
from aiflow.graph.model import LEGAL, Stage
from aiflow.ledger import lineage, registry
from aiflow.ledger.book import Book

__all__ = ["delete_model", "log_model", "reach_stage", "roll_back", "set_stage"]


def log_model(book: Book, model: str | int, stage: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Record a new version; the next number of its name. As DEPLOYED, the version that was so is DEPRECATED."""
    name = registry.known(book, "model", model)["name"]
    number = book.row("SELECT coalesce(max(number), 0) + 1 AS next FROM model_versions WHERE model = ?", (name,))
    assert number is not None
    if stage == Stage.DEPLOYED:
        _retire(book, name)
    made = {"model": name, "number": number["next"], "stage": stage, "created": book.now, "updated": book.now}
    row = {**made, **fields, **book.made_by}
    row_id = book.insert("model_versions", row)
    lineage.made(book, "model", name, number["next"])
    _say(book, row_id, name, number["next"], stage, None)
    return {"id": row_id, **row}


def set_stage(book: Book, model: str | int, number: int, stage: str) -> dict[str, Any]:
    """Bring a version to a stage; where it is already, nothing changes. One is DEPLOYED at most: the former is DEPRECATED.

    Raises
    ------
    NotFound
        If there is no such model or version.
    Conflict
        If no version goes from its stage to that one.
    """
    name = registry.known(book, "model", model)["name"]
    row = version(book, name, number)
    before = Stage(row["stage"])
    if before == stage:
        return row
    if Stage(stage) not in LEGAL[before]:
        raise Conflict(_refusal(name, number, before, Stage(stage)))
    if stage == Stage.DEPLOYED:
        _retire(book, name)
    _move(book, row, stage)
    return version(book, name, number)


def reach_stage(book: Book, model: str | int, number: int, stage: str) -> dict[str, Any]:
    """Bring a version to a stage as `set_stage` does; where it has come further on the way to being used, nothing changes."""
    row = version(book, registry.known(book, "model", model)["name"], number)
    if stage == Stage.VALIDATED and row["stage"] in (Stage.DEPLOYED, Stage.DEPRECATED):
        return row
    return set_stage(book, model, number, stage)


def roll_back(book: Book, model: str | int) -> dict[str, Any]:
    """Deploy again the version that was deployed before the one that is now (or was last); again, the one before that.

    Raises
    ------
    Conflict
        If there is none to go back to.
    """
    name = registry.known(book, "model", model)["name"]
    sql = "SELECT number, rolled_back FROM model_stages WHERE model = ? AND stage = 'DEPLOYED' ORDER BY id"
    trail = _trail((row["number"], row["rolled_back"]) for row in book.rows(sql, (name,)))
    stages = {number: version(book, name, number)["stage"] for number in set(trail)}
    for number in reversed(trail[:-1]):
        if number != trail[-1] and stages[number] == Stage.DEPRECATED:
            row = version(book, name, number)
            _retire(book, name)
            _move(book, row, Stage.DEPLOYED, rolled_back=True)
            return version(book, name, number)
    if not trail:
        why = "no version of it was ever deployed"
    elif len(trail) == 1:
        why = f"no version was deployed before {name}:{trail[0]}"
    else:
        why = f"the versions that were deployed before {name}:{trail[-1]} are DELETED"
    raise Conflict(f"{name} cannot be rolled back: {why}; deploy a version by its number")


def _trail(deployed: Iterable[tuple[int, int]]) -> list[int]:
    """Give the way back: a deployment is one step more, and a roll-back takes back the steps since.

    So two roll-backs lead two versions back, and never to the one that the first has led away from.
    """
    trail: list[int] = []
    for number, rolled_back in deployed:
        if rolled_back:
            del trail[len(trail) - trail[::-1].index(number) :]
        elif trail[-1:] != [number]:
            trail.append(number)
    return trail


def delete_model(book: Book, model: str | int) -> dict[str, Any]:
    """Forget a model: all of its versions are DELETED, its name is free; their numbers are not used again."""
    row = registry.known(book, "model", model)
    for one in book.rows("SELECT * FROM model_versions WHERE model = ? AND stage <> 'DELETED'", (row["name"],)):
        _move(book, one, Stage.DELETED)
    return registry.delete(book, "model", row["id"])


def version(book: Book, name: str, number: int) -> dict[str, Any]:
    """Give the row of a version; raises `NotFound` with the versions that there are."""
    row = book.row("SELECT * FROM model_versions WHERE model = ? AND number = ?", (name, number))
    if row is None:
        known = book.rows("SELECT number FROM model_versions WHERE model = ? ORDER BY number DESC LIMIT 8", (name,))
        raise NotFound("version of a model", f"{name}:{number}", [f"{name}:{r['number']}" for r in known])
    return row


def _retire(book: Book, name: str) -> None:
    deployed = book.row("SELECT * FROM model_versions WHERE model = ? AND stage = 'DEPLOYED'", (name,))
    if deployed is not None:
        _move(book, deployed, Stage.DEPRECATED)


def _move(book: Book, row: Mapping[str, Any], stage: str, rolled_back: bool = False) -> None:
    book.update("model_versions", row["id"], {"stage": str(stage), "updated": book.now})
    _say(book, row["id"], row["model"], row["number"], str(stage), row["stage"], rolled_back)


def _say(
    book: Book, row_id: int, name: str, number: int, stage: str, before: str | None, rolled_back: bool = False
) -> None:
    value = {"id": row_id, "number": number, "stage": stage, "before": before}
    event = book.say(name, EventType(f"MODEL_{stage}"), value)
    change = {"model": name, "number": number, "stage": stage, "before": before, "rolled_back": int(rolled_back)}
    book.insert(
        "model_stages", {**change, "time": book.now, "offset": event.offset, "execution_id": book.who.execution_id}
    )  # fmt: skip


def _refusal(name: str, number: int, before: Stage, stage: Stage) -> str:
    if before is Stage.DELETED:
        return f"{name}:{number} is DELETED and cannot become {stage}; log it anew"
    ways = ", ".join(sorted(LEGAL[before]))
    return f"{name}:{number} is {before} and cannot become {stage}; from there it goes to {ways}"
