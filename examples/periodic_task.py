"""Two jobs that the clock starts, each with a follower: one by the wall clock, one by an interval.

    aiflow run examples/periodic_task.py -p interval=5

Each run of the first gives one run of its follower. It goes on until it is interrupted (Ctrl-C), or until `--timeout`.
"""

import aiflow as af


@af.job
def by_cron() -> str:
    return f"the minute {af.current().event.time:%H:%M} has begun"


@af.job
def by_interval() -> str:
    return f"tick at {af.current().event.time:%H:%M:%S}"


@af.job
def tell(text: str) -> str:
    print(text)  # to the terminal, and to the log of this run
    return text


@af.workflow
def periodic_task(cron: str = "* * * * *", interval: float = 10.0):
    tell.options(name="tell_minute")(by_cron().start_on(af.cron(cron)))
    tell.options(name="tell_tick")(by_interval().start_on(af.every(interval)))
