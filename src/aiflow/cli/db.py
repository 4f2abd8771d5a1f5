"""The commands `db …`: is the store sound, a copy of it, and what of the past goes.

Knows nothing of what the rows mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.failures import say
from aiflow.cli.formats import Lines, Table, write
from aiflow.cli.prune import prune, size
from aiflow.errors import StoreError
from aiflow.store.checking import dangling, named_blobs
from aiflow.store.weighing import weigh

if TYPE_CHECKING:
    from aiflow.store.store import Store

__all__ = ["db"]


@click.group(cls=Group, examples="db check\ndb backup /backups/aiflow-2026-11-23.db\ndb prune --days 30")
def db() -> None:
    """Check the store, copy it, or keep it small."""


db.add_command(prune)


@db.command(examples="db check\ndb check -o json")
@click.pass_context
def check(context: click.Context) -> None:
    """Check that the database and all values in files are what was written, and tell what takes how much room.

    Exit code 3 if something is damaged.
    """
    asked: Asked = context.obj
    with needs_home(asked) as project:
        problems, blobs = _damage_of(project._store)
        sizes = [] if problems else _sizes(project._store, blobs)
        data = {"home": str(project.home), "ok": not problems, "blobs": blobs, "problems": problems, "sizes": sizes}
        told = problems or [f"{project.home} is sound: the database, and {blobs} values in files"]
        table = Table(sizes, {"WHAT TAKES ROOM": "part", "COUNT": _count, "SIZE": lambda row: size(row["bytes"])})
        write(asked.output, data, Lines("\n".join(told)), *([table] if sizes else []))
    context.exit(3 if problems else 0)


def _sizes(store: Store, blobs: int) -> list[dict[str, Any]]:
    """Say what takes how much room; the parts of the database by about."""
    parts = [{"part": f"database: {part}", "count": w.rows, "bytes": w.bytes} for part, w in weigh(store).items()]
    files = {"blobs": blobs, "logs": None, "scratch": None}
    measured = store.size
    return parts + [{"part": part, "count": count, "bytes": measured[part]} for part, count in files.items()]


def _count(row: Mapping[str, Any]) -> str:
    return f"{row['count']:,}" if row["count"] else ""


def _damage_of(store: Store) -> tuple[list[str], int]:
    """Give what is wrong, in sentences, and the number of blobs that were read."""
    problems, blobs = [], {}
    try:
        problems += [f"database: {line}" for (line,) in store.rows("PRAGMA integrity_check") if line != "ok"]
        blobs = named_blobs(store)
        problems += dangling(store)
    except StoreError as error:
        return [*problems, str(error)], 0
    for digest, user in sorted(blobs.items()):
        try:
            store.blobs.open(digest).close()
        except StoreError as error:
            problems.append(f"{error} (it is {user})")
    return problems, len(blobs)


@db.command(examples="db backup /backups/aiflow-2026-11-23.db")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(asked: Asked, file: Path) -> None:
    """Copy the database into a new FILE, also while workflows run."""
    with needs_home(asked) as project:
        store = project._store
        copied = _copy(store, file)
        blobs = len(named_blobs(store))
        if blobs:
            say(f"{blobs} values stand in files of their own: copy {store.blobs.root} as well")
    write(asked.output, {"file": str(file), "size": copied}, Lines(f"{file}: {size(copied)}"))


def _copy(store: Store, file: Path) -> int:
    """Write the copy beside its place and link it there: never half of it, never over another file."""
    from aiflow.store.connection import DatabaseError, sqlite3

    if file.exists():
        raise click.UsageError(f"{file} exists already; it is not overwritten")
    half = file.with_name(f".{file.name}.{os.getpid()}.half")
    reader = store.reader()
    try:
        os.close(os.open(half, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        copy = sqlite3.connect(str(half))
        try:
            reader.backup(copy)
        finally:
            copy.close()
        os.link(half, file)
        return file.stat().st_size
    except (OSError, DatabaseError) as error:
        raise StoreError(f"the copy {file} could not be written: {error}") from error
    finally:
        half.unlink(missing_ok=True)
