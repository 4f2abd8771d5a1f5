"""Traces for OpenTelemetry, as its own exporter gets them: the real SDK, in memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import StatusCode
from tests import hatchery

import aiflow as af
from aiflow import hooks
from aiflow.spans import Spans
from aiflow.testing import project_for_tests, simulate


@af.job(retries=1, retry_delay=0.0)
def shaky() -> int:
    if af.current().attempt == 1:
        raise ValueError("not yet")
    return 1


@af.job
def good() -> int:
    return 2


@af.job
def bad(value: int) -> None:
    raise KeyError("never")


@af.job
def after(value: None) -> None: ...


@af.workflow
def traced() -> None:
    good()
    after(bad(shaky()))


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def plugin(provider: TracerProvider) -> Iterator[Spans]:
    plugin = Spans(provider)
    yield plugin
    hooks.unregister(plugin)


def attempt(span: ReadableSpan) -> tuple[str, object]:
    return span.name, (span.attributes or {}).get("aiflow.job.attempt")


def test_an_execution_is_a_span_and_each_attempt_of_a_job_one_below_it(
    tmp_path: Path, exporter: InMemorySpanExporter, plugin: Spans
) -> None:
    with project_for_tests(tmp_path / "home", plugins=[plugin]) as project:
        execution = project.run(traced, check=False)
        started, ended = execution.started, execution.ended
    assert started is not None
    assert ended is not None
    *jobs, whole = exporter.get_finished_spans()
    assert (whole.name, whole.parent, whole.status.status_code) == ("workflow traced", None, StatusCode.ERROR)
    assert (whole.attributes or {})["aiflow.execution.id"] == execution.id
    assert whole.start_time == round(started.timestamp() * 1e9)
    assert whole.end_time == round(ended.timestamp() * 1e9)
    found = {attempt(span): span for span in jobs}
    assert {key: span.status.status_code for key, span in found.items()} == {
        ("job good", 1): StatusCode.OK,
        ("job shaky", 1): StatusCode.ERROR,
        ("job shaky", 2): StatusCode.OK,
        ("job bad", 1): StatusCode.ERROR,
    }
    assert {span.parent.span_id for span in jobs if span.parent} == {whole.context.span_id}
    assert found["job shaky", 1].status.description == "ValueError: not yet"
    (error,) = found["job bad", 1].events
    assert error.attributes is not None
    assert (error.name, error.attributes["exception.type"]) == ("exception", "KeyError")
    assert 'raise KeyError("never")' in str(error.attributes["exception.stacktrace"])


def test_what_is_stopped_and_what_is_resumed_has_spans_too(
    tmp_path: Path, exporter: InMemorySpanExporter, plugin: Spans
) -> None:
    @af.job
    def wait() -> None:
        af.current().wait_stop()

    @af.workflow
    def waiting() -> None:
        wait()

    with af.Project(home=tmp_path / "home", plugins=[plugin]) as project:
        execution = project.start(waiting)
        execution.stop().wait()
        execution.resume().stop().wait()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["job wait", "workflow waiting"] * 2
    assert {(span.attributes or {})["aiflow.status"] for span in spans} == {"STOPPED"}


def test_a_simulation_makes_no_spans_and_tells_the_same_story_as_without(
    exporter: InMemorySpanExporter, plugin: Spans
) -> None:
    @af.job
    def numbers() -> Iterator[int]:
        yield from range(4)

    @af.job
    def use(number: int) -> int:
        return number

    @af.workflow
    def using() -> None:
        use(numbers())

    untraced = simulate(using, seed=1).story
    hooks.register(plugin)
    assert simulate(using, seed=1).story == untraced
    assert exporter.get_finished_spans() == ()


def test_spans_that_a_job_makes_itself_are_below_its_own_in_every_runner(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider, plugin: Spans
) -> None:
    tracer = provider.get_tracer("mine")

    def mine() -> None:
        tracer.start_span("mine").end()

    @af.job
    def threaded() -> None:
        mine()

    @af.job(runner="inline")
    def inline() -> None:
        mine()

    @af.job
    async def waited() -> None:
        mine()

    @af.job
    def emits() -> Iterator[int]:
        mine()
        yield 1
        mine()

    @af.job(runner="process")
    def elsewhere() -> str:
        from opentelemetry import propagate

        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier["traceparent"]

    @af.workflow
    def all_of_them() -> None:
        threaded()
        inline()
        waited()
        emits()
        elsewhere()
        af.command("echo $TRACEPARENT", shell=True, name="program")

    with tracer.start_as_current_span("outside"), af.Project(home=tmp_path / "home", plugins=[plugin]) as project:
        execution = project.run(all_of_them)
        with project.track("experiment"):
            mine()
        mine()
    spans = exporter.get_finished_spans()
    named = {span.context.span_id: span.name for span in spans if span.context is not None}
    below = [named[span.parent.span_id] for span in spans if span.name == "mine" and span.parent is not None]
    own = ["threaded", "inline", "waited", "emits", "emits"]
    assert sorted(below) == sorted([*(f"job {name}" for name in own), "job experiment", "outside"])
    for name, told in (("elsewhere", execution.result("elsewhere")), ("program", execution.logs("program"))):
        _, trace_id, span_id, flags = told.strip().split("-")
        (job,) = [span for span in spans if span.name == f"job {name}"]
        assert (int(trace_id, 16), int(span_id, 16), flags) == (job.context.trace_id, job.context.span_id, "01")


def test_each_attempt_has_a_span_of_its_own_above_what_it_makes_and_executions_have_traces_of_their_own(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider, plugin: Spans
) -> None:
    tracer = provider.get_tracer("mine")

    @af.job(retries=1, retry_delay=0.0)
    def again() -> None:
        with tracer.start_as_current_span(f"attempt {af.current().attempt}"):
            if af.current().attempt == 1:
                raise ValueError("not yet")

    @af.workflow
    def tries() -> None:
        again()

    with project_for_tests(tmp_path / "home", plugins=[plugin]) as project:
        project.run(tries)
        project.run(tries)
    spans = exporter.get_finished_spans()
    jobs = {
        span.context.span_id: (span.attributes or {})["aiflow.job.attempt"]
        for span in spans
        if span.name == "job again"
    }
    inner = [span for span in spans if span.name.startswith("attempt")]
    assert [jobs[span.parent.span_id] for span in inner if span.parent] == [1, 2, 1, 2]
    assert len({span.context.trace_id for span in spans}) == 2


def test_what_is_not_sampled_has_nothing_below_it_that_is(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    plugin = Spans(provider)

    @af.job
    def makes() -> bool:
        with provider.get_tracer("mine").start_as_current_span("mine") as span:
            return span.is_recording()

    @af.workflow
    def making() -> None:
        makes()

    try:
        with project_for_tests(tmp_path / "home", plugins=[plugin]) as project:
            assert project.run(making).result("makes") is False
    finally:
        hooks.unregister(plugin)
    assert exporter.get_finished_spans() == ()


FLOW = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
import sys
import aiflow as af

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr, formatter=lambda s: s.name + "\\n")))
trace.set_tracer_provider(provider)

@af.job
def one():
    return 1

@af.workflow
def ones():
    one()
"""


def test_a_provider_that_is_set_up_in_the_process_gets_them_by_itself(tmp_path: Path) -> None:
    (tmp_path / "ones.py").write_text(FLOW)
    environment = {**os.environ, "AIFLOW_HOME": str(tmp_path / "home")}
    done = hatchery.run(["-m", "aiflow", "run", "ones.py"], cwd=tmp_path, env=environment, timeout=60)
    assert {"job one", "workflow ones"} <= set(done.stderr.splitlines())


def test_where_nobody_has_set_it_up_it_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import sys\nimport aiflow as af\n\n@af.job\ndef look():\n    return 'opentelemetry' in sys.modules\n\n"
        "@af.workflow\ndef looking():\n    look()\n"
    )
    words = [sys.executable, "-m", "aiflow", "run", "plain.py", "--home", "home", "-o", "json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["results"] == {"look": False}
