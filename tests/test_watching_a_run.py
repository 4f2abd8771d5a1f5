"""A display that follows an execution: shown at once, brought up to date in its place, done when it has ended."""

import pytest

import aiflow as af
from aiflow.notebook import Watch, finish


class Screen:
    """What a notebook would show."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.updates: list[bool] = []

    def __call__(self, bundle: dict[str, str], is_update: bool) -> None:
        assert "<svg" in bundle["text/html"]
        self.shown.append(bundle["text/plain"])
        self.updates.append(is_update)


@af.job
def answer() -> int:
    return 42


@af.workflow
def asked() -> None:
    answer().start_on(af.event("question"))


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def execution(aiflow_project: af.Project) -> af.Execution:
    return aiflow_project.start(asked)


def test_a_display_shows_what_runs_and_then_its_end_in_the_same_place(
    aiflow_project: af.Project, execution: af.Execution, screen: Screen
) -> None:
    watch = Watch(execution, screen)
    watch.begin()
    assert "RUNNING" in screen.shown[0]
    assert "waits for event('question')" in screen.shown[0]
    aiflow_project.publish("question")
    watch.end()
    assert "SUCCESS" in screen.shown[-1]
    assert screen.updates == [False, *[True] * (len(screen.shown) - 1)]
    assert len(set(screen.shown)) == len(screen.shown), "what has not changed is not sent again"


def test_what_ends_soon_is_not_shown_at_all(execution: af.Execution, screen: Screen) -> None:
    watch = Watch(execution, screen, patience=60.0)
    watch.begin()
    execution.stop()
    watch.end()
    assert screen.shown == []


def test_the_end_is_shown_also_if_the_project_is_closed_with_it(
    aiflow_project: af.Project, execution: af.Execution, screen: Screen
) -> None:
    watch = Watch(execution, screen)
    watch.begin()
    aiflow_project.close(timeout=0.0)
    assert "STOPPED" in screen.shown[-1]
    finish(aiflow_project._shared)  # and nothing is left to be shown


def test_where_no_notebook_is_an_execution_shows_itself_as_anything_else_does(execution: af.Execution) -> None:
    with pytest.raises(NotImplementedError):
        execution._ipython_display_()


def test_a_display_that_breaks_does_no_harm(execution: af.Execution) -> None:
    shown = []

    def break_down(bundle: dict[str, str], is_update: bool) -> None:
        shown.append(bundle)
        if is_update:
            raise OSError("the notebook is gone")

    watch = Watch(execution, break_down)
    watch.begin()
    execution.stop()
    watch.end()
    assert len(shown) >= 2
    assert execution.status == "STOPPED"
