"""A line for each job that has ended, in the file that AIFLOW_DIARY names."""

import os


def write(execution):
    path = os.environ.get("AIFLOW_DIARY")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{execution.job}\t{execution.status}\t{execution.label or ''}\n")
