"""What `af.observe` makes: a job that launches nothing and shows what a probe says, until it is stopped.

Knows nothing of how the probe is called again and again (that is its runner).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiflow.errors import GraphError
from aiflow.graph.building import current_body
from aiflow.graph.job import Job, JobOptions, check_options, seconds

if TYPE_CHECKING:
    from aiflow.graph.building import Node

__all__ = ["Observation", "observe"]


class Observation:
    """The function of an observing job."""

    def __init__(self, probe: Callable[[], Any], interval: float, name: str) -> None:
        self.probe, self.interval, self.__name__ = probe, interval, name
        self.__qualname__ = name

    def __call__(self) -> Any:
        """Ask once."""
        return self.probe()


def observe(
    probe: Callable[[], Any], *, name: str | None = None, interval: float | timedelta = 5.0, **options: Any
) -> Node:
    """Add a job that launches nothing: it stays RUNNING and shows what `probe()` says as its label, until stopped.

    Parameters
    ----------
    probe
        Called each `interval` seconds; the text of its answer is the label. An exception fails the job.
    name
        The job's name; by default the probe's.

    Raises
    ------
    GraphError
        Outside a workflow body, or with `cache`.
    """
    body = current_body()
    if body is None:
        raise GraphError("af.observe(…) makes a node and works inside a workflow body only")
    if options.get("cache"):
        raise GraphError("an observing job has no value and cannot be cached")
    probed = str(getattr(probe, "__name__", ""))
    chosen = name or (probed if probed.isidentifier() else "observe")
    function = Observation(probe, seconds(interval, "interval of af.observe"), chosen)
    given = {**options, "runner": "observe"} | ({"name": name} if name else {})
    return body.add(Job(function, JobOptions(**check_options(given, chosen))), (), {})
