"""Plugins: a runner of their own, and being told of what happens, in order, whatever they do."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.hooks import hookimpl, manager
from aiflow.runners.base import Ended, Runner, RunnerHost, Work
from aiflow.testing import run_until_idle, serving


@af.job
def double(n: int) -> int:
    return 2 * n


@af.job(runner="shouting")
def shout(text: str) -> str:
    return text


@af.workflow(start_on=af.event("go"))
def doubling(n: int = 1) -> None:
    double(n)


class Shouting:
    """A runner that runs jobs at once, and makes their values louder."""

    capacity: int | None = None

    def __init__(self, host: RunnerHost) -> None:
        self.home = host.home

    def start(self, work: Work, done: Any) -> None:
        function, args, kwargs = work.load()
        done(work, Ended("SUCCESS", function(*args, **kwargs).upper()))

    def stop(self, work: Work) -> None: ...

    def close(self) -> None: ...


class Runners:
    @hookimpl
    def aiflow_runners(self) -> dict[str, Any]:
        return {"shouting": Shouting}


class Witness:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[af.Event] = []
        self.told: list[tuple[str, str, str]] = []

    @hookimpl
    def aiflow_event_recorded(self, event: af.Event) -> None:
        self.events.append(event)

    @hookimpl
    def aiflow_job_started(self, execution: af.JobExecution) -> None:
        self.told.append(("started", execution.job, str(execution.status)))

    @hookimpl
    def aiflow_job_ended(self, execution: af.JobExecution) -> None:
        self.told.append(("ended", execution.job, str(execution.status)))

    @hookimpl
    def aiflow_execution_ended(self, execution: af.Execution) -> None:
        self.told.append(("over", execution.workflow, str(execution.status)))


class Clumsy:
    @hookimpl
    def aiflow_event_recorded(self, event: af.Event) -> None:
        raise RuntimeError("clumsy")


@pytest.fixture
def plugins() -> Iterator[list[Any]]:
    """Plugins that are forgotten after the test."""
    used: list[Any] = []
    yield used
    for plugin in used:
        if manager().is_registered(plugin):
            manager().unregister(plugin)


def test_a_plugin_adds_a_runner_by_name(tmp_path: Path, plugins: list[Any]) -> None:
    plugins.append(Runners())
    assert isinstance(Shouting, type)
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        execution = project.run(af.workflow(lambda: shout("hello"), name="loud"))
        assert execution.result("shout") == "HELLO"


def test_a_runner_that_nobody_gives_is_refused_with_close_names(tmp_path: Path) -> None:
    with (
        af.Project("p", home=tmp_path) as project,
        pytest.raises(af.ParameterError, match="no runner 'shoutin'.*thread"),
    ):
        project.run(af.workflow(lambda: shout.options(runner="shoutin")("hello"), name="loud"))


def test_observers_are_told_of_everything_in_order_and_of_triggers_only_the_events(
    tmp_path: Path, plugins: list[Any]
) -> None:
    witness = Witness()
    plugins.append(witness)
    with af.Project("p", home=tmp_path, plugins=plugins) as project, serving(project, doubling):
        for n in range(5):
            project.publish("go", {"n": n})
        run_until_idle(project)
        offsets = [event.offset for event in witness.events]
        assert offsets == [event.offset for event in project.events.list()]
        each = [("started", "double", "SUCCESS"), ("ended", "double", "SUCCESS"), ("over", "doubling", "SUCCESS")]
        assert [told[:2] for told in witness.told] == [told[:2] for told in each] * 5


def test_a_plugin_that_raises_is_named_in_the_log_and_changes_nothing(
    tmp_path: Path, plugins: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    witness = Witness()
    plugins += [Clumsy(), witness]
    with af.Project("p", home=tmp_path, plugins=plugins) as project, caplog.at_level(logging.ERROR):
        assert project.run(doubling, n=4).result("double") == 8
        run_until_idle(project)
        assert witness.told[-1] == ("over", "doubling", "SUCCESS")
    assert "failed in aiflow_event_recorded" in caplog.text


def test_a_plugin_is_told_of_what_this_process_does_not_of_what_others_do(tmp_path: Path, plugins: list[Any]) -> None:
    from tests.children import alone

    witness = Witness()
    plugins.append(witness)
    with af.Project("p", home=tmp_path, plugins=plugins) as project:
        project.publish("mine")
        alone(publish, str(tmp_path))
        project.publish("mine too")
        run_until_idle(project)
    assert [event.key for event in witness.events] == ["mine", "mine too"]


def publish(home: str) -> None:
    """Publish in another process."""
    with af.Project(home=home) as project:
        project.publish("theirs")


_: type[Runner] = Shouting
