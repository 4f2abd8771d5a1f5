"""Runs observing jobs: asks their probe every few seconds and shows the answer as the job's label, until stopped.

Knows nothing of what is observed. Each has a thread of its own, which sleeps; it takes no other job's place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from aiflow.runners.base import Call, Ended, Work
from aiflow.runners.calling import perform
from aiflow.runners.output import attach_log, close_log

__all__ = ["ObserveRunner"]


class ObserveRunner:
    """The runner of `af.observe`."""

    capacity: int | None = None

    def start(self, work: Work, done: Callable[[Work, Ended], Any]) -> None:
        """Begin to ask."""
        threading.Thread(
            target=self._watch, args=(work, done), name=f"aiflow-observe-{work.key.job}", daemon=True
        ).start()

    def _watch(self, work: Work, done: Callable[[Work, Ended], Any]) -> None:
        context, observation = work.context, work.job.function
        attach_log(context, lambda: work.log_path)

        def ask() -> None:
            while not context.stopping:
                context.set_label(str(observation()))
                context.wait_stop(observation.interval)  # type: ignore[attr-defined]  # an Observation

        try:
            ended = perform(lambda: Call(ask, (), {}), context, work.options)
        finally:
            close_log(context)
        done(work, ended)

    def stop(self, work: Work) -> None:
        """End it; what it observes goes on."""
        work.context.stop_event.set()

    def close(self) -> None:
        """Nothing to free: the threads end when their jobs are stopped."""
