"""Which job executions worked on which versions, and which versions they made, in the ledger.

Knows nothing of what flows from job to job: that is known to who runs them.
"""

from __future__ import annotations

from aiflow.errors import NotFound
from aiflow.graph.thing import JOB, Thing
from aiflow.graph.versions import VERSIONS
from aiflow.ledger.book import Book
from aiflow.store import lineage

__all__ = ["made", "use"]


def use(book: Book, kind: str, name: str, number: int) -> None:
    """Record that a job works on a version; of somebody who is no job nothing is.

    What a job has made is not recorded as something that it has used: it would be its own ancestor.

    Raises
    ------
    NotFound
        If there is no such version.
    """
    if kind not in VERSIONS:
        raise NotFound("kind of versions", kind, VERSIONS)
    rows = book.rows(
        f"SELECT number FROM {kind}_versions WHERE {kind} = ? ORDER BY number = ? DESC LIMIT 8", (name, number)
    )
    if not rows or rows[0]["number"] != number:
        raise NotFound(
            f"version of {'an' if kind[0] == 'a' else 'a'} {kind}",
            f"{name}:{number}",
            [f"{name}:{r['number']}" for r in rows],
        )
    job, version = _job(book), Thing(kind, name, number)
    if job is not None and not lineage.is_linked(book, job, version):
        lineage.link(book, version, job, book.now)


def made(book: Book, kind: str, name: str, number: int) -> None:
    """Record that a job has made a version; of somebody who is no job nothing is."""
    job = _job(book)
    if job is not None:
        lineage.link(book, job, Thing(kind, name, number), book.now)


def _job(book: Book) -> Thing | None:
    _, execution_id, job, number = book.who
    return None if execution_id is None or job is None else Thing(JOB, job, number or 1, execution_id)
