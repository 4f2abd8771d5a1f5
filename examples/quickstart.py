"""Two programs, a function that waits for both, and a program that waits for an event that the function publishes.

aiflow run examples/quickstart.py
"""

import aiflow as af


@af.job
def task_3() -> None:
    af.publish("key", "This is a custom message.")


@af.workflow
def quickstart() -> None:
    task_1 = af.command("echo I am the 1st task.", name="task_1")
    task_2 = af.command("echo I am the 2nd task.", name="task_2")
    task_3().after(task_1, task_2)
    af.command("echo I am the 4th task.", name="task_4").start_on(af.event("key").own())
