"""`run_until_idle` comes back when nothing is under way, whatever begins at the moment in which it looks."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiflow as af
from aiflow.testing import ManualClock, project_for_tests, run_until_idle

looked_again = threading.Event()


class MeddlingClock(ManualClock):
    """A clock by which somebody does something at the very moment in which the main thread asks it for the time."""

    meanwhile: Callable[[], Any] | None = None

    def now(self) -> float:
        if threading.current_thread() is threading.main_thread():
            act, self.meanwhile = self.meanwhile, None
            if act is not None:
                looked_again.clear()
                another = threading.Thread(target=act)
                another.start()
                another.join()
            else:
                looked_again.set()
        return super().now()


@af.job(runner="thread")
def work() -> bool:
    return looked_again.wait(60)


@af.workflow
def waiting() -> None:
    work.options(name="hourly")().start_on(af.every(3600))  # so that there is a timer to be looked at
    work().start_on(af.event("go"))


def test_what_somebody_begins_while_it_looks_is_waited_for(tmp_path: Path) -> None:
    clock = MeddlingClock()
    with project_for_tests(tmp_path, clock) as project:
        execution = project.start(waiting)
        run_until_idle(project)
        clock.meanwhile = lambda: project.publish("go")
        run_until_idle(project)
        assert execution.results("work") == [True]
        execution.stop()
