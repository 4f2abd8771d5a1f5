"""What a user sees from Python: notebooks, tests, plugins, observability, and all that the original can do.

Written from the contract alone, before its author had read the source.
"""

from __future__ import annotations

import html.parser
import logging
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import ManualClock, run_until_idle, serving

BAD = "<script>alert('x')</script>&\"'"


class Tags(html.parser.HTMLParser):
    """Collects the tags and attributes of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def rich(value: Any) -> str:
    """The HTML or SVG that a notebook shows for a value."""
    bundle = getattr(value, "_repr_mimebundle_", None)
    if bundle is not None:
        made = bundle(include=None, exclude=None)
        data = made[0] if isinstance(made, tuple) else made
        assert "text/plain" in data
        return str(data.get("text/html") or data.get("image/svg+xml"))
    for name in ("_repr_html_", "_repr_svg_"):
        if hasattr(value, name):
            return str(getattr(value, name)())
    raise AssertionError(f"{type(value)} has no rich display")


def told(tmp_path: Path, code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a file with this code, in a process of its own."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(code))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "AIFLOW", "COV"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments],
        cwd=tmp_path,
        env=environment | variables,
        text=True,
        capture_output=True,
        timeout=100,
    )


# 27
def test_every_rich_display_is_html_in_which_names_are_text(aiflow_project: af.Project) -> None:
    @af.job(name=BAD)
    def job(x: str) -> str:
        af.current().set_label(BAD)
        af.current().publish(BAD, BAD)
        raise ValueError(BAD)

    @af.workflow(name=BAD, description=BAD)
    def flow(x: str = BAD) -> None:
        job(x).start_on(af.event(BAD) & af.event("go"))

    project = aiflow_project
    execution = project.start(flow)
    project.publish(BAD, BAD)
    project.publish("go", {"a": BAD})
    run_until_idle(project)
    assert execution.status == "FAILED"
    with project.track("plain", note=BAD) as experiment:
        for step in range(3):
            experiment.log_metric(BAD, step / 2, step=step)
        version = experiment.log_model({BAD: 1}, "knn", description=BAD)
    model = project.models.get("knn")
    dataset = project.datasets.register(af.Dataset("iris", uri="iris.csv", description=BAD, properties={BAD: BAD}))
    history = project.metrics.history(BAD)
    shown: dict[str, Any] = {
        "workflow": flow,
        "graph": flow.graph,
        "execution": execution,
        "job execution": execution.jobs[0],
        "event": project.events.latest("go"),
        "model": model,
        "version": version,
        "dataset": dataset,
        "declared": af.Model("knn", description=BAD),
        "history": history,
        "table": project.executions.compare(execution),
        "project": project,
    }
    for name, value in shown.items():
        text = rich(value)
        assert text.strip() not in ("", "None"), name
        tags = Tags(text).tags
        assert "script" not in {tag for tag, _ in tags}, name
        assert not [a for _, attributes in tags for a in attributes if a.startswith("on")], name
        assert "<script>alert" not in text, name
        assert " object at 0x" not in repr(value), name
        assert len(repr(value)) < 3000, name
    assert "script" in rich(execution)
    assert "script" in rich(flow)
    upstream = project.lineage.upstream(version)
    assert rich(upstream).strip()
    assert "knn" in rich(upstream)


# 29
def test_the_fixtures_isolate_tests_and_move_the_clock(tmp_path: Path) -> None:
    code = """
        import aiflow as af, pytest
        from datetime import timedelta

        ticks = []

        @af.job
        def tick():
            ticks.append(af.current().event.time)

        @af.workflow
        def ticking():
            tick().start_on(af.every(60))

        @pytest.mark.parametrize("n", range(3))
        def test_home_is_fresh(aiflow_project, n):
            assert aiflow_project.events.count() == 0 and aiflow_project.executions.list() == []
            assert af.project() is aiflow_project
            aiflow_project.publish("left behind")
            aiflow_project.models.register(af.Model("knn"))

        def test_time(aiflow_project, aiflow_clock):
            ticks.clear()
            execution = ticking.start()
            aiflow_clock.advance(timedelta(minutes=5))
            assert len(ticks) == 5
            assert [b - a for a, b in zip(ticks, ticks[1:])] == [timedelta(minutes=1)] * 4
            aiflow_clock.advance(59); assert len(ticks) == 5
            aiflow_clock.advance(1); assert len(ticks) == 6
            with pytest.raises(ValueError): aiflow_clock.advance(-1)
            execution.stop(); execution.wait(5)

        def test_clock_alone(aiflow_clock):
            aiflow_clock.advance(3)

        def test_red(aiflow_project):
            aiflow_project.publish("evidence")
            assert False

        def test_green(aiflow_project): pass
    """
    done = told(
        tmp_path, code, f"--basetemp={tmp_path / 'base'}", "--aiflow-keep", "-o", "tmp_path_retention_policy=none"
    )
    assert "1 failed, 6 passed" in done.stdout, done.stdout + done.stderr
    import re

    homes = [Path(p) for p in re.findall(r"(/\S+)", done.stdout) if (Path(p) / "aiflow.db").exists()]
    assert len(set(homes)) == 1, done.stdout
    with af.Project(home=homes[0]) as kept:
        assert kept.events.latest("evidence") is not None


# 30
def test_a_plugin_is_told_after_commit_and_may_take_part_of_the_arguments(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.seen: list[tuple[str, Any]] = []

        def aiflow_event_recorded(self, event: af.Event) -> None:
            self.seen.append(("event", event.offset))
            if event.key == "bad":
                raise RuntimeError("from the plugin")

        def aiflow_job_started(self) -> None:
            self.seen.append(("started", None))

        def aiflow_job_ended(self, execution: Any) -> None:
            self.seen.append(("ended", str(execution.status)))

        def aiflow_execution_ended(self, execution: Any) -> None:
            self.seen.append(("over", str(execution.status)))

    @af.job
    def one() -> int:
        return 1

    @af.workflow
    def flow() -> None:
        one()

    watcher = Watcher()
    with caplog.at_level(logging.INFO), af.Project("p", home=tmp_path / "h", plugins=[watcher]) as project:
        project.publish("bad")
        assert project.run(flow).status == "SUCCESS"
    names = [name for name, _ in watcher.seen]
    assert names.count("started") == 1
    assert ("ended", "SUCCESS") in watcher.seen
    assert ("over", "SUCCESS") in watcher.seen
    offsets = [n for name, n in watcher.seen if name == "event"]
    assert offsets == sorted(offsets)
    assert len(offsets) == len(set(offsets))
    [record] = [r for r in caplog.records if r.exc_info and "from the plugin" in str(r.exc_info[1])]
    assert "Watcher" in record.getMessage()

    class Typo:
        def aiflow_job_strated(self, execution: Any) -> None: ...

    class Wrong:
        def aiflow_job_ended(self, execution: Any, nonsense: int) -> None: ...

    for plugin, words in ((Typo(), ["aiflow_job_strated", "aiflow_job_started"]), (Wrong(), ["nonsense", "execution"])):
        with pytest.raises(af.AIFlowError) as failure:
            af.Project("p", home=tmp_path / "h", plugins=[plugin])
        assert not [word for word in words if word not in str(failure.value)], failure.value
    with pytest.raises(af.AIFlowError, match="no_such_module"):
        af.Project("p", home=tmp_path / "h", plugins=["no_such_module"])


# 32
def test_the_records_of_a_job_and_of_the_library_carry_the_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @af.job(retries=1, retry_delay=0)
    def one() -> int:
        af.current().logger.info("from the job's logger")
        logging.getLogger("mine").info("from a logger of the user")
        if af.current().attempt == 1:
            raise ValueError("once")
        return 1

    @af.workflow
    def flow() -> None:
        one()

    with caplog.at_level(logging.DEBUG), af.Project("p", home=tmp_path / "h") as project:
        execution = project.run(flow)
        text = execution.logs("one")
    assert "from a logger of the user" in text
    assert "from the job's logger" in text
    records = [r for r in caplog.records if "from the job's logger" in r.getMessage()]
    assert [r.__dict__.get("attempt") for r in records] == [1, 2]
    assert {(r.__dict__.get("execution_id"), r.__dict__.get("job")) for r in records} == {(execution.id, "one")}
    ours = [
        r for r in caplog.records if r.name.startswith("aiflow.") and r.__dict__.get("execution_id") == execution.id
    ]
    assert any(r.__dict__.get("job") == "one" for r in ours)


# 33
def test_opentelemetry_gets_a_span_for_the_execution_and_for_each_attempt_below_it(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    code = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        import aiflow as af

        @af.job(retries=1, retry_delay=0)
        def shaky():
            if af.current().attempt == 1:
                raise ValueError("once")

        @af.workflow
        def flow(): shaky()

        with af.Project("p", home="home") as project:
            execution = project.run(flow)
        spans = exporter.get_finished_spans()
        for span in spans:
            print(span.name, dict(span.attributes))
        attempts = [s for s in spans if "shaky" in s.name]
        whole = [s for s in spans if "flow" in s.name and "shaky" not in s.name]
        assert len(attempts) == 2 and len(whole) == 1
        assert {s.context.trace_id for s in attempts} == {whole[0].context.trace_id}
        assert {s.parent.span_id for s in attempts} == {whole[0].context.span_id}
        assert sorted(s.status.status_code.name for s in attempts)[0] == "ERROR"
        assert any(execution.id == value for s in attempts for value in s.attributes.values())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# 34
def test_a_paused_workflow_is_started_by_nothing_and_deleting_it_takes_its_triggers(
    aiflow_project: af.Project, aiflow_clock: ManualClock
) -> None:
    @af.job
    def one() -> int:
        return 1

    @af.workflow(start_on=af.event("go"), if_running="parallel")
    def flow() -> None:
        one()

    project = aiflow_project
    project.schedules.register(flow, af.every(60), name="often")
    with serving(project, flow):

        def count() -> int:
            run_until_idle(project)
            return project.executions.count()

        project.publish("go")
        assert count() == 1
        assert project.workflows.pause("flow")["paused"] is True
        project.workflows.pause("flow")
        assert project.triggers.get("flow").status == project.schedules.get("often").status == "PAUSED"
        project.publish("go")
        aiflow_clock.advance(150)
        assert count() == 1
        assert project.run(flow).status == "SUCCESS"  # a user who asks for it gets it
        project.schedules.pause("often")
        project.workflows.resume("flow")
        assert count() == 2, "what came while it was paused is passed over"
        aiflow_clock.advance(150)
        assert count() == 2, "what is paused by itself stays so"
        project.publish("go")
        assert count() == 3
        with pytest.raises(af.NotFound, match="flow"):
            project.workflows.pause("flwo")
        project.workflows.delete("flow")
        assert (project.workflows.list(), project.triggers.list(), project.schedules.list()) == ([], [], [])
        project.publish("go")
        assert count() == 3
        with pytest.raises(af.NotFound):
            project.workflows.delete("flow")
    said = [e.value["action"] for e in project.events.list(keys="flow", types="METADATA_CHANGED")]
    assert said == ["paused", "resumed", "deleted"]


# 35
def test_an_execution_is_deleted_with_what_is_its_own_and_nothing_else(tmp_path: Path) -> None:
    knn = af.Model("knn")

    @af.job
    def rows() -> list[int]:
        print("some text")
        return list(range(100_000))

    @af.train(knn)
    def fit(rows: list[int]) -> dict[str, int]:
        af.current().log_metric("loss", 0.5)
        return {"n": len(rows)}

    @af.job
    def waits() -> None:
        af.current().wait_stop(30)

    @af.workflow
    def flow() -> None:
        fit(rows())

    @af.workflow
    def endless() -> None:
        waits()

    with af.Project("p", home=tmp_path / "h") as project:
        kept, gone = project.run(flow), project.run(flow)
        running = project.start(endless)
        with pytest.raises(af.Conflict, match=running.id):
            project.executions.delete(running.id)
        running.stop()
        running.wait(20)
        project.executions.delete(gone.id)
        project.executions.delete(running)
        assert [e.id for e in project.executions.list()] == [kept.id]
        assert project.executions.find(gone.id) is None
        assert {j.execution_id for j in project.jobs.list()} == {kept.id}
        assert [v.number for v in project.models.get("knn").versions()] == [1, 2]
        assert project.models.get("knn").version(2).load() == {"n": 100_000}
        assert kept.result("rows")[-1] == 99_999
        assert "some text" in kept.logs("rows")
        with pytest.raises(af.NotFound, match=gone.id):
            project.executions.delete(gone.id)
        assert not list((tmp_path / "h" / "logs").rglob(f"*{gone.id}*"))
    check = subprocess.run(
        [sys.executable, "-m", "aiflow", "--home", str(tmp_path / "h"), "db", "check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert check.returncode == 0, check.stdout + check.stderr


# 36
def test_metadata_is_registered_listed_by_filter_updated_by_name_or_id_and_deleted_softly(
    aiflow_project: af.Project,
) -> None:
    project = aiflow_project
    raw = project.datasets.register(
        af.Dataset("raw", uri="a.csv", format="csv", schema={"x": "int"}, catalog={"table": "t"})
    )
    same = project.datasets.register(
        af.Dataset("raw", uri="a.csv", format="csv", schema={"x": "int"}, catalog={"table": "t"})
    )
    assert raw.id == same.id
    assert project.datasets.get(raw.id).name == "raw"
    project.datasets.register(af.Dataset("raw_2", uri="b.csv"))
    project.artifacts.register(af.Artifact("report", uri="out/r.html", type="html"))
    assert [d.name for d in project.datasets.list(name="raw*", limit=1)] in (["raw"], ["raw_2"])
    assert [d.name for d in project.datasets.list(format="csv")] == ["raw"]
    assert project.datasets.update(raw.id, description="new").description == "new"
    with pytest.raises(af.Conflict, match="update"):
        project.datasets.register(af.Dataset("raw", uri="other.csv"))
    with pytest.raises(af.ParameterError, match="descripton"):
        project.datasets.update("raw", descripton="x")
    with pytest.raises(af.ParameterError, match="nme"):
        project.datasets.list(nme="raw")
    with pytest.raises(af.NotFound, match="raw"):
        project.datasets.get("rwa")
    project.datasets.delete("raw")
    assert project.datasets.find("raw") is None
    again = project.datasets.register(af.Dataset("raw", uri="c.csv"))
    assert again.id != raw.id
    project.artifacts.delete("report")
    assert project.artifacts.list() == []
    with pytest.raises(af.NotFound):
        project.artifacts.delete("report")
    keys = [(e.type, e.key) for e in project.events.list(types="METADATA_CHANGED") if e.value["kind"] == "dataset"]
    assert len(keys) == 5, keys


# 37
def test_events_are_found_by_key_type_sender_namespace_time_and_offset(tmp_path: Path) -> None:
    clock = ManualClock()
    with af.Project("p", home=tmp_path / "h", clock=clock) as project:
        start = datetime.fromtimestamp(clock.now(), UTC)
        made = []
        for n in range(6):
            made.append(
                project.publish(f"sensor.{n % 2}", n, sender=f"s{n}", type="READING", namespace="x" if n > 3 else None)
            )
            clock.advance(10)
        events = project.events
        assert [e.value for e in events.list(keys="sensor.1", namespaces="*")] == [1, 3, 5]
        assert [e.value for e in events.list(keys=["sensor.0", "none"], senders="s[02]")] == [0, 2]
        assert events.count(types="READ*", namespaces="*") == 6
        assert [e.value for e in events.list(since=made[1].offset, until=made[3].offset)] in ([2, 3], [2])
        found = events.list(since=start + timedelta(seconds=15), until=start + timedelta(seconds=35))
        assert [e.value for e in found] == [2, 3]
        latest = events.latest("sensor.0")
        assert latest is not None
        assert latest.value in (2, 4)
        assert events.offset_at(datetime.now(UTC) + timedelta(days=900)) is not None
        first = project.publish("day", dedupe_key="a")
        assert project.publish("day", dedupe_key="a").offset == first.offset


# 38
def test_executions_and_jobs_are_listed_by_filters_and_acted_on_singly(tmp_path: Path) -> None:
    @af.job
    def quick() -> int:
        return 1

    @af.job
    def long() -> None:
        af.current().publish("up")
        af.current().wait_stop(30)

    @af.workflow
    def flow() -> None:
        quick()
        long()

    with af.Project("p", home=tmp_path / "h") as project:
        ups = project.events.follow(keys="up", timeout=20)
        execution = project.start(flow, context="monday")
        next(iter(ups))
        assert [e.id for e in project.executions.list(context="monday", workflow="fl*")] == [execution.id]
        assert project.executions.count(status="RUNNING") == 1
        assert [j.job for j in project.jobs.list(status="RUNNING")] == ["long"]
        execution.restart_job("long")
        next(iter(ups))
        execution.start_job("quick")
        execution.stop_job("long")
        execution.wait(20)
        assert execution.status == "SUCCESS"
        assert [j.status for j in execution.jobs if j.job == "long"] == ["STOPPED", "STOPPED"]
        assert execution.results("quick") == [1, 1]
        with pytest.raises(af.NotFound, match="quick"):
            execution.start_job("quik")
        with pytest.raises(af.ParameterError, match="statsu"):
            project.executions.list(statsu="RUNNING")
        with pytest.raises(af.ParameterError, match="RUNING"):
            project.executions.list(status="RUNING")
        assert project.executions.list(status="FAILED") == []


# 39
def test_serve_starts_one_workflow_at_once_in_one_line(tmp_path: Path) -> None:
    @af.job
    def one(n: int) -> int:
        return n

    @af.workflow(start_on=af.event("go"))
    def often(n: int = 0) -> None:
        one(n)

    @af.workflow
    def first(n: int = 1) -> None:
        one(n)

    with af.Project("p", home=tmp_path / "h") as project:
        project.serve(
            often, start=first, until=lambda: bool(project.executions.list(workflow="first", status="SUCCESS"))
        )
        assert [e.workflow for e in project.executions.list()] == ["first"]
