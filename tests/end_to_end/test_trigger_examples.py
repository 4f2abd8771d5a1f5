"""E4, E12, E17 and E18 of the parity list: which executions an event is for, and which it starts."""

import os
from pathlib import Path

from tests import hatchery
from tests.end_to_end.conftest import Example

import aiflow as af
from aiflow.testing import ManualClock, run_until_idle, serving


def test_e4_events_reach_only_the_execution_of_their_context_also_from_a_new_process(
    example: Example, tmp_path: Path
) -> None:
    flow = example("workflow_contexts").workflow_contexts

    def publish_elsewhere(city: str, sky: str) -> None:
        words = ["-m", "aiflow", "event", "publish", "weather", f'{{"city": "{city}", "sky": "{sky}"}}']
        ran = hatchery.run(words, cwd=tmp_path, env={**os.environ, "AIFLOW_HOME": str(tmp_path / "home")}, timeout=60)
        assert ran.returncode == 0, ran.stderr

    with af.Project("weather", home=tmp_path / "home") as project:
        berlin, oslo = (project.start(flow, context=city) for city in ("berlin", "oslo"))
        publish_elsewhere("rome", "sun")
        publish_elsewhere("oslo", "snow")
        oslo.wait(60)
        project.publish("weather", {"city": "berlin", "sky": "rain"})
        berlin.wait(60)
        assert [one.results("tell") for one in (berlin, oslo)] == [["rain"], ["snow"]]
        assert [one.context for one in (berlin, oslo)] == ["berlin", "oslo"]


def test_e12_each_hour_has_an_execution_of_its_own_and_the_day_exactly_one(
    aiflow_project: af.Project, aiflow_clock: ManualClock, example: Example
) -> None:
    flows = example("workflow_per_event")

    def contexts(workflow: str) -> list[str | None]:
        return sorted(one.context for one in aiflow_project.executions.list(workflow=workflow, status="SUCCESS"))

    yesterday, today = ([f"{day}T{number:02}" for number in range(24)] for day in ("2025-12-31", "2026-01-01"))
    with serving(aiflow_project, flows.hourly_data, flows.hourly_preprocess, flows.daily):
        run_until_idle(aiflow_project)
        assert contexts("hourly_preprocess") == yesterday
        assert contexts("daily") == ["2025-12-31"]
        aiflow_clock.advance(24 * 3600)
        aiflow_project.publish("hourly_data", context=yesterday[7])  # once more; the day was whole before
        run_until_idle(aiflow_project)
    assert contexts("hourly_preprocess") == sorted([*yesterday, yesterday[7], *today])
    assert contexts("daily") == ["2025-12-31", "2026-01-01"]
    assert len(aiflow_project.executions.list()) == 2 + 49 + 2
    assert all(version.metrics["accuracy"] > 0.8 for version in aiflow_project.models.get("digit_reader").versions())


def test_e17_each_tick_gives_one_execution(
    aiflow_project: af.Project, aiflow_clock: ManualClock, example: Example
) -> None:
    flows = example("periodic_workflow")
    with serving(aiflow_project, flows.periodic_by_cron, flows.periodic_by_interval):
        aiflow_clock.advance(180)
    for workflow, ticks in (("periodic_by_cron", 3), ("periodic_by_interval", 9)):
        found = aiflow_project.executions.list(workflow=workflow)
        assert [str(one.status) for one in found] == ["SUCCESS"] * ticks
        assert len({one.event.time for one in found}) == ticks


def test_e18_each_event_starts_one_execution_of_the_other_workflow(
    aiflow_project: af.Project, aiflow_clock: ManualClock, example: Example
) -> None:
    flows = example("event_trigger")
    aiflow_project.triggers.register(flows.answering)
    aiflow_project.publish("question", {"text": "is anybody there?"})  # not yet, but that is no matter
    with serving(aiflow_project, flows.asking, flows.answering):
        aiflow_clock.advance(20)
    answers = aiflow_project.executions.list(workflow="answering")
    questions = aiflow_project.events.list("question")
    assert len(questions) == 1 + 3 * 2  # at once, after 10 s and after 20 s
    assert sorted(one.event.offset for one in answers) == [event.offset for event in questions]
    assert all(one.result("answer") == f"{one.event.value['text']} yes" for one in answers)
