"""A durable chain of 1,000 no-op jobs on threads: plain, with a live subscriber, and with every commit on the disk.

Knows nothing of how the time per job is taken.
"""

from __future__ import annotations

from functools import partial

from benchmarks.figure import Figure
from benchmarks.per_job import compare, profile

__all__ = ["FIGURES"]

FIGURES = (
    Figure(
        name="chain",
        title="chain of 1,000 no-op thread jobs",
        measure=partial(compare, what="chain of 1,000", most=0.9),
        profile=profile,
    ),
    Figure(
        name="chain-subscriber",
        title="the same with a live subscriber, until that has the last event",
        measure=partial(compare, what="chain of 1,000, live subscriber", most=1.2, subscribed=True),
        profile=partial(profile, subscribed=True),
    ),
    Figure(
        name="chain-full",
        title='the same with durability="full"',
        measure=partial(compare, what="chain of 1,000", most=0.7, durability="FULL"),
        profile=partial(profile, durability="FULL"),
    ),
)
