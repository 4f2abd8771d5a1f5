"""Jobs: plain functions outside of bodies, and options that are checked when they are given."""

import asyncio
import functools
import pickle
from datetime import timedelta

import pytest

from aiflow.errors import ParameterError
from aiflow.graph.job import IfRunning, Job, fixed, job, seconds


@job(retries=2, timeout=timedelta(minutes=1))
def double(x: int = 4) -> int:
    """Give twice as much."""
    return 2 * x


def test_outside_a_body_a_job_is_the_plain_function():
    assert double(3) == 6
    assert double() == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Give twice as much."
    assert repr(double) == "<job double>"


def test_options_are_normalised():
    assert double.spec.timeout == 60.0
    assert job(if_running="merge")(len).spec.if_running is IfRunning.MERGE
    assert job(tags="one")(len).spec.tags == ("one",)
    assert job(retry_on=ValueError)(len).spec.retry_on == (ValueError,)
    assert job(outputs=["x", "y"])(len).spec.outputs == ("x", "y")
    assert job(limits={"gpu": 1})(len).spec.limits == {"gpu": 1}


def test_options_make_another_job_and_leave_the_first_alone():
    other = double.options(name="twice", retries=0)
    assert (other.name, other.spec.retries, other.spec.timeout) == ("twice", 0, 60.0)
    assert (double.name, double.spec.retries) == ("double", 2)
    assert other(3) == 6


def test_decorating_a_job_again_changes_its_options():
    assert job(double, retries=5).spec.retries == 5


def test_what_kinds_of_functions_there_are():
    async def later(): ...

    def items():
        yield

    async def late_items():
        yield

    found = [(job(f).is_async, job(f).is_stream) for f in (double.function, later, items, late_items)]
    assert found == [(False, False), (True, False), (False, True), (False, True)]
    asyncio.run(job(later)())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retries": -1}, "whole number ≥ 0, not -1"),
        ({"retries": True}, "whole number ≥ 0, not True"),
        ({"retries": 1.5}, "whole number ≥ 0"),
        ({"retry_delay": -1}, "seconds ≥ 0"),
        ({"retry_delay": float("inf")}, "seconds ≥ 0"),
        ({"retry_backoff": 0}, "number > 0"),
        ({"retry_on": "ValueError"}, "exception classes"),
        ({"retry_on": int}, "exception classes"),
        ({"timeout": "soon"}, "seconds ≥ 0"),
        ({"stop_timeout": None}, "seconds ≥ 0"),
        ({"outputs": 0}, "≥ 1"),
        ({"outputs": ("x", "x")}, "different names"),
        ({"outputs": "xy"}, "different names"),
        ({"if_running": "wait"}, "queue, merge, ignore, restart, parallel"),
        ({"max_parallel": 0}, "≥ 1"),
        ({"limits": {"gpu": 0}}, "≥ 1"),
        ({"name": " "}, "not empty"),
        ({"runner": 3}, "name of a runner"),
        ({"retrys": 3}, "did you mean 'retries'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_naming_it_and_the_job(options, words):
    with pytest.raises(ParameterError, match=f"job 'double'.*{words}"):
        double.options(**options)


def test_only_functions_are_jobs():
    with pytest.raises(ParameterError, match="is for functions, not for 3"):
        job(3)


@pytest.mark.parametrize(("given", "value"), [(1, 1.0), (0.5, 0.5), (timedelta(minutes=1), 60.0), (0, 0.0)])
def test_durations_are_seconds(given, value):
    assert seconds(given, "it") == value


def test_a_job_of_a_module_can_be_sent_to_another_process():
    again = pickle.loads(pickle.dumps(Job(divmod, double.spec)))
    assert (again(7, 2), again.spec.retries) == ((3, 1), 2)


def test_fixed_keeps_its_value():
    assert fixed([1]).value == [1]


def test_what_has_no_name_of_its_own_is_called_by_its_kind():
    assert job(functools.partial(sorted, reverse=True)).name == "partial"
    assert job(functools.partial(sorted, reverse=True), name="downwards")([1, 2]) == [2, 1]
