"""E16 of the parity list: jobs by cron and by interval, each with a follower; n ticks give n runs of each."""

from tests.end_to_end.conftest import Example

import aiflow as af
from aiflow.testing import ManualClock, assert_replays


def test_e16_n_ticks_give_n_runs_of_the_jobs_and_of_their_followers(
    aiflow_project: af.Project, aiflow_clock: ManualClock, example: Example
) -> None:
    execution = aiflow_project.start(example("periodic_task").periodic_task, interval=10)
    aiflow_clock.advance(300)
    runs = {name: len(execution.results(name)) for name in execution.job_names}
    assert runs == {"by_cron": 5, "tell_minute": 5, "by_interval": 30, "tell_tick": 30}
    assert execution.results("tell_minute")[0] == "the minute 00:01 has begun"
    assert execution.results("tell_tick") == execution.results("by_interval")
    assert_replays(execution)
    execution.stop().wait(60)
