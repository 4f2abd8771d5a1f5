"""A job that the one it started stops: control may go round in a circle, where data may not.

    aiflow run examples/control_cycle.py

`task_2` would take 100 s. Once it runs, `task_3` starts, and ends it, with all its processes: nothing is left of it.
AIFlow has this as the second of its two workflows called simple_workflow.
"""

import aiflow as af


@af.workflow
def control_cycle(seconds: float = 2.0) -> None:
    task_1 = af.command("echo before the sleep", name="task_1")
    task_2 = af.command("sleep 100", name="task_2").after(task_1)
    task_3 = af.command(f"sleep {seconds}", name="task_3").start_on(task_2.running)
    task_2.stop_on(task_3.succeeded)
