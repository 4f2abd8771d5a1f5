"""Jobs that start, stop and restart others by their status.

    aiflow run examples/action_on_status.py

`task_2` and `task_3` run beside `task_1`. When that ends, `task_2` is stopped; and when it has stopped, `task_3` runs again.
"""

import aiflow as af


@af.workflow
def action_on_status(seconds: float = 2.0) -> None:
    task_1 = af.command(f"sleep {seconds}", name="task_1")
    task_2 = af.command("sleep 60", name="task_2").start_on(task_1.running).stop_on(task_1.succeeded)
    af.command("echo hello", name="task_3").start_on(task_1.running).restart_on(task_2.stopped)
