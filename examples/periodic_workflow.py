"""Two workflows that the clock starts: one by the wall clock, one by an interval.

    aiflow serve examples/periodic_workflow.py

Each tick gives one execution, for as long as it is served; Ctrl-C ends that. `aiflow list schedules` shows both, and
`aiflow schedule pause periodic_by_interval` holds one, also from another terminal.
"""

import aiflow as af


@af.workflow(start_on=af.cron("* * * * *"))
def periodic_by_cron() -> None:
    af.command("echo Hello World!", name="task")


@af.workflow(start_on=af.every(20))
def periodic_by_interval() -> None:
    af.command("echo Hello World!", name="task")
