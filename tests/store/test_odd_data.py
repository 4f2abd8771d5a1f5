"""Whatever text or value goes in comes back the same, or is refused by name before anything is stored."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests import invariants
from tests.strategies import examples

import aiflow as af
from aiflow.testing import project_for_tests

ODD = [
    "\0",
    "a\0b",
    "🦑",
    "\ud800",
    "x\udfffy",
    "é" * 10_000,
    " ",
    "\n",
    "'; DROP TABLE events; --",
    "%s",
    "*",
    "[",
    "\u202e",
    "NULL",
]
texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=()), max_size=20))
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, math.nan, math.inf, -math.inf, -0.0, 5e-324]),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same, NaN and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return repr(a) == repr(b)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with project_for_tests(tmp_path_factory.mktemp("odd") / "home") as project:
        yield project
        invariants.check(project.home)


@examples(40)
@given(key=texts, value=json_values, sender=st.none() | texts, context=st.none() | texts, namespace=st.none() | texts)
@example(key="", value=1, sender=None, context=None, namespace=None)
@example(key="k", value=1, sender=None, context="\ud800", namespace=None)
@example(key="k", value=[10**5000], sender=None, context=None, namespace=None)
@example(key="k", value=10**5000, sender=None, context=None, namespace=None)
def test_an_event_comes_back_as_it_went_in_or_is_refused(
    project: af.Project, key: str, value: Any, sender: str | None, context: str | None, namespace: str | None
) -> None:
    before = project.events.count()
    try:
        event = project.publish(key, value, sender=sender, context=context, namespace=namespace)
    except af.ParameterError:
        assert project.events.count() == before
        return
    for found in (event, project.events.get(event.offset)):
        assert found is not None
        assert same(found.value, value)
        assert (found.key, found.sender, found.context) == (key, sender, context)
        assert found.namespace == (namespace or project.name)


@examples(40)
@given(key=texts)
def test_what_was_published_under_a_key_is_found_by_that_key(project: af.Project, key: str) -> None:
    try:
        event = project.publish(key, "found")
    except af.ParameterError:
        return
    if not any(c in key for c in "*?["):
        assert project.events.list(keys=key)[-1] == event
    assert project.events.list(keys="*", since=event.offset - 1) == [event]


@examples(40)
@given(value=json_values)
def test_a_value_of_a_job_comes_back_as_it_was_returned(project: af.Project, value: Any) -> None:
    @af.job
    def give() -> Any:
        return value

    @af.job
    def take(given: Any) -> bool:
        return same(given, value)

    @af.workflow
    def giving() -> None:
        take(give())

    execution = project.run(giving)
    assert execution.result("take") is True
    assert same(execution.result("give"), value)
    assert same(project.executions.get(execution.id).result("give"), value)


@examples(40)
@given(name=texts, text=texts)
def test_a_job_of_any_name_runs_and_logs_or_the_name_is_refused(project: af.Project, name: str, text: str) -> None:
    def speak() -> str:
        print(text)
        af.current().set_label(text)
        raise ValueError(text)

    @af.workflow
    def speaking() -> None:
        af.job(name=name)(speak)()

    try:
        execution = project.run(speaking, check=False)
    except (af.ParameterError, af.GraphError):
        return
    job = execution.job(name)
    assert job is not None
    assert (job.job, job.status) == (name, "FAILED")
    assert (job.error or "").startswith("ValueError")
    assert execution.logs(name)


@examples(30)
@given(value=json_values)
def test_a_parameter_comes_back_as_it_was_given_or_is_refused(project: af.Project, value: Any) -> None:
    @af.job
    def look() -> Any:
        return af.current().params["value"]

    @af.workflow
    def with_value(value: Any) -> None:
        look()

    try:
        execution = project.run(with_value, params={"value": value})
    except (af.ParameterError, af.GraphError):
        return
    assert same(project.executions.get(execution.id).params["value"], value)
    assert same(execution.result("look"), value)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({1, 2}, "set"),
        (object(), "object"),
        ({"a": [1, {2: 3}]}, "2"),
        (b"bytes", "bytes"),
        (lambda: 0, "function"),
        ({"deep": {"er": {"lock": __import__("threading").Lock()}}}, "lock"),
    ],
    ids=["set", "object", "number as key", "bytes", "function", "lock"],
)
def test_a_value_that_is_not_json_is_refused_by_name_and_stores_nothing(
    project: af.Project, value: Any, names: str
) -> None:
    before = project.events.count()
    with pytest.raises(af.ParameterError, match=names):
        project.publish("odd", value)
    with pytest.raises(af.ParameterError, match=names):
        project.publish_many([("fine", 1), ("odd", value)])
    assert project.events.count() == before


def test_a_value_that_holds_itself_is_refused(project: af.Project) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(af.ParameterError, match=r"holds itself|JSON"):
        project.publish("loop", value)


def test_numbers_beyond_what_sqlite_can_count_are_refused_or_find_nothing(project: af.Project) -> None:
    for ask in (
        lambda: project.events.list(since=2**63),
        lambda: project.events.list(until=2**70),
        lambda: project.events.list(limit=2**64),
        lambda: project.events.get(2**63),
    ):
        with contextlib.suppress(af.ParameterError):
            assert ask() in ([], None) or len(ask()) == project.events.count()
