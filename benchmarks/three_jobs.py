"""The script whose start-up is measured: three jobs, once. With `--memory` it prints its own peak in KB.

Knows nothing of the benchmarks, so that only aiflow is imported.
"""

import sys

import aiflow as af


@af.job
def load() -> list[int]:
    """Give some rows."""
    return [1, 2, 3]


@af.job
def total(rows: list[int]) -> int:
    """Sum them up."""
    return sum(rows)


@af.job
def report(value: int) -> str:
    """Say it."""
    return f"the total is {value}"


@af.workflow
def three() -> None:
    """Load, sum up, report."""
    report(total(load()))


if __name__ == "__main__":
    with af.Project("bench") as project:
        execution = project.run(three)
    if "--memory" in sys.argv:
        from benchmarks.bench import peak_kb

        print(peak_kb())
