"""Owns the workflows that are measured. Their jobs do nothing but count.

Knows nothing of clocks.
"""

from __future__ import annotations

import itertools
from typing import Any

import aiflow as af

__all__ = ["chain", "count_of_jobs", "noop", "quiet", "wide"]

_counter = itertools.count()  # `next` of it is atomic, and needs no lock


def count_of_jobs() -> int:
    """Give how many bodies have run since the last call."""
    global _counter
    found, _counter = next(_counter), itertools.count()
    return found


@af.job
def noop(*_: Any) -> None:
    """Count."""
    next(_counter)


@af.workflow
def chain(n: int = 1000) -> None:
    """`n` jobs, each with the value of the one before."""
    node = noop()
    for _ in range(n - 1):
        node = noop(node)


@af.workflow
def wide(n: int = 1000) -> None:
    """One job, `n` jobs that need it, and one that needs all of those."""
    first = noop()
    noop.options(name="last")([noop(first) for _ in range(n)])


@af.job
def waiting() -> None:
    """Never starts here."""


def _wait() -> None:
    waiting().start_on(af.event("never"))


quiet: af.Workflow = af.workflow(_wait, name="quiet", ends="never")
"""An execution that waits for an event which does not come."""
