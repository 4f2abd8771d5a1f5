"""1 -> 1,000 -> 1 with two workers.

Knows nothing of how the time per job is taken.
"""

from __future__ import annotations

from functools import partial

from benchmarks.figure import Figure
from benchmarks.per_job import compare, profile
from benchmarks.workflows import wide

__all__ = ["FIGURES"]

FIGURES = (
    Figure(
        name="wide",
        title="1 -> 1,000 -> 1, two workers",
        measure=partial(compare, what="1 -> 1,000 -> 1, two workers", most=1.1, workflow=wide),
        profile=partial(profile, workflow=wide),
    ),
)
