"""What is told of a failed job whose error comes from a library."""

import aiflow as af


def _deep(depth: int) -> None:
    if depth:
        _deep_too(depth - 1)
    raise ValueError("too deep")


def _deep_too(depth: int) -> None:
    _deep(depth)


@af.job
def dig() -> None:
    _deep(9)


@af.workflow
def digging():
    dig()


def test_an_error_from_deep_below_is_told_with_the_line_of_the_job_that_led_there(aiflow_project):
    try:
        aiflow_project.run(digging)
    except af.ExecutionFailed as error:
        told = str(error)
    assert "in dig\n        _deep(9)" in told
    assert "…" in told
    assert 'raise ValueError("too deep")' in told
    assert len(told.splitlines()) < 20
