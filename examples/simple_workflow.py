"""Two programs, one after the other.

    aiflow run examples/simple_workflow.py

The second starts when the first has succeeded. Then ask what they said: `aiflow list executions`, `aiflow execution logs ID`.
"""

import aiflow as af


@af.workflow
def simple_workflow() -> None:
    task_1 = af.command("echo hello from task_1", name="task_1")
    af.command("echo hello from task_2", name="task_2").after(task_1)
