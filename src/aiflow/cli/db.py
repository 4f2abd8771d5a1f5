"""The commands `db …`: is the store sound, a copy of it, and what of the past goes.

Knows nothing of what the rows mean.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.failures import say
from aiflow.cli.formats import Lines, write
from aiflow.cli.prune import prune
from aiflow.errors import StoreError
from aiflow.store.checking import dangling, named_blobs

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
    """Check that the database and all values in files are what was written; exit code 3 if not."""
    asked: Asked = context.obj
    with needs_home(asked) as project:
        problems, blobs = _damage_of(project._store)
        data = {"home": str(project.home), "ok": not problems, "blobs": blobs, "problems": problems}
        write(
            asked.output,
            data,
            Lines("\n".join(problems or [f"{project.home} is sound: the database, and {blobs} values in files"])),
        )
    context.exit(3 if problems else 0)


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
        size = _copy(store, file)
        blobs = len(named_blobs(store))
        if blobs:
            say(f"{blobs} values stand in files of their own: copy {store.blobs.root} as well")
    write(asked.output, {"file": str(file), "size": size}, Lines(f"{file}: {size:,} bytes"))


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
