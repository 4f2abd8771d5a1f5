"""For tests of workflows: a clock that is moved by hand, a project in which nothing waits, and simulations by a seed.

Knows nothing of pytest.
"""

from aiflow.testing.clock import ManualClock
from aiflow.testing.projects import assert_replays, project_for_tests, run_until_idle, serving
from aiflow.testing.readings import progress
from aiflow.testing.simulation import Simulation, simulate

__all__ = [
    "ManualClock",
    "Simulation",
    "assert_replays",
    "progress",
    "project_for_tests",
    "run_until_idle",
    "serving",
    "simulate",
]
