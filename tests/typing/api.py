"""Uses each public name once, as users do; never run, but checked by `mypy --strict` (`make types`)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_type
from zoneinfo import ZoneInfo

import aiflow as af
from aiflow.testing import ManualClock, Simulation, assert_replays, project_for_tests, run_until_idle, simulate

TOKEN = af.Secret("env:TOKEN")


@af.job
def load(path: str) -> list[int]:
    context = af.current()
    assert_type(context, af.JobContext)
    if context.stopping:
        raise af.Stopped("enough")
    if not path:
        raise af.Skip("no path")
    assert_type(context.publish("loaded", {"path": path}), af.Event)
    assert_type(context.event, af.Event | None)
    return [1, 2]


@af.job(runner="process", retries=2, retry_on=(OSError,), limits={"gpu": 1}, outputs=("x", "y"))
def split(rows: list[int], k: int = 1) -> tuple[list[int], list[int]]:
    return rows[:k], rows[k:]


@af.job(buffer=10, checkpoint=0.5)
def count() -> Iterator[int]:
    yield len(af.current().state)


@af.job(latest=True)
def add(items: af.Stream[int]) -> int:
    return sum(items)


KNN, IRIS = af.Model("knn"), af.Dataset("iris", uri="iris.csv", format="csv")


@af.read_dataset(IRIS)
def read(version: af.DatasetVersion) -> str:
    return str(version)


@af.transform
def scale(rows: list[int]) -> list[int]:
    return rows


@af.transform(retries=2)
def scale_again(rows: list[int]) -> list[int]:
    return rows


@af.dataset_validate(IRIS)
def check(rows: list[int]) -> bool:
    return bool(rows)


@af.write_dataset(IRIS)
def write(rows: list[int], dataset: af.Dataset) -> None: ...


@af.write_artifact(af.Artifact("report"))
def report(rows: list[int]) -> None: ...


@af.train(KNN, base=af.Model("first"), runner="process")
def fit(rows: list[int], base: object) -> object:
    return base


@af.evaluate(KNN)
def score(model: object, rows: list[int]) -> dict[str, float]:
    return {"accuracy": 1.0}


@af.model_validate(KNN)
def is_good(model: object, deployed: object | None) -> bool:
    return model is not deployed


@af.push_model(KNN)
def push(version: af.ModelVersion) -> None: ...


@af.predict(KNN)
def tell(model: object, row: int) -> int:
    return row


@af.monitor(KNN)
def watch(model: object) -> dict[str, float]:
    return {}


@af.flink_job(target="http://host:8081", parallelism=2, config={"a": 1})
def clean(t_env: object, path: str) -> str:
    return path


@af.flink_job
def clean_again(path: str) -> str:
    return path


@af.workflow
def flinking() -> None:
    rows: af.Node = clean(clean_again("raw"))
    af.flink_sql("SELECT f(1)", udfs={"f": str}, name="sql").after(rows)
    af.flink_jar(Path("app.jar"), "com.example.App", ["--input", Path("a"), 3, TOKEN], fresh=True)
    af.observe_flink(rows, "http://host:8081", interval=timedelta(seconds=5))


@af.workflow
def life() -> None:
    rows: af.Node = scale(scale_again(read()))
    write(rows).after(check(rows))
    made = fit(rows)
    report(score(made, rows))
    tell(push(is_good(made)), 1)
    watch()


@af.workflow
def adding() -> None:
    add(count())


@af.workflow
def plain(path: str = "a") -> None:
    load(path)


@af.workflow(stop_on=af.event("enough"), ends="quiet")
def flow(path: str = "rows.csv", token: str | af.Secret = TOKEN) -> None:
    rows: af.Node = load(path)
    parts = split.options(name="parts")(rows)
    condition: af.Condition = af.event("go", af.ANY, type=af.EventType.UNDEFINED) & rows.succeeded
    load("other").start_on(condition.within(60).own()).stop_on(parts.failed | parts.stopped).run_if(parts["x"])
    split.map(rows, k=af.fixed(3)).after(af.command(["echo", "hi"], name="hi"))
    load("more").start_on(enough & af.event("go", where=lambda event: event.offset > 3))
    af.observe(lambda: "fine", name="watch", interval=1.0).restart_on(af.every(timedelta(hours=1), misfire="skip"))
    times: af.Condition = af.cron("0 6 * * *", tz=ZoneInfo("Europe/Berlin")) | af.at(datetime.now().astimezone()).now()
    load("file").start_on(af.file(Path("inbox") / "*.csv", on="created", settle=timedelta(seconds=2)).now())
    knn, iris, report = af.Model("knn"), af.Dataset("iris"), af.Artifact("report")
    changed: af.Condition = knn.deployed.now() | knn.validated | iris.changed.own() | report.changed
    measured: af.Condition = (knn.metric("accuracy") < 0.9) & (af.metric("loss", namespace="*") != 1).now()
    load("model").start_on(changed).stop_on(measured | (iris.metric("missing") > 10))
    published: af.Event = af.flink.publish("speeding", {"car": 3}, dedupe_key="car 3")
    af.flink.Publisher(published, "alerts").publish(None, published.key)
    far = load.options(runner="flink")("far")
    come: af.Condition = (far.watermark >= "2026-01-31T12:00Z") | far.watermark.every(
        3600, since=datetime.now().astimezone()
    )
    load("hourly").start_on(come & (far.records >= 1000)).stop_on(far.records.every(5))
    load("again").start_on(af.Condition.from_json(times.to_json()))


@af.condition(keys=["num"])
def enough(event: af.Event, state: dict[str, int]) -> bool:
    state["sum"] = state.get("sum", 0) + int(event.value)
    return state["sum"] > 3


def build(workflow: af.Workflow, one: af.Job) -> af.Graph:
    graph = workflow.build(path="x")
    names: list[str] = [node.name for node in [*graph.nodes, *workflow.sketch().nodes]]
    print(names, one.name, graph.to_svg({"load": "SUCCESS"}), af.__version__, af.BROADCAST)
    return graph


def run() -> af.Execution:
    with af.Project("demo", home="home", durability="full", workers=2, keep={"executions": 100}) as project:
        execution = project.run(flow, check=False, timeout=10, path="x")
        lineage = project.lineage.upstream("knn:2", as_of=datetime.now().astimezone())
        print(lineage.to_svg(), lineage.to_mermaid(), project.lineage.downstream(execution).nodes["x"]["kind"])
        assert_type(execution.status, af.ExecutionStatus)
        assert_type(execution.started, datetime | None)
        for one in execution.jobs:
            assert_type(one, af.JobExecution)
            assert_type(one.status, af.JobStatus)
        assert_type(project.events.list(keys="sensor.*", limit=3), list[af.Event])
        assert_type(project.events.count(), int)
        assert_type(project.events.prune(before=7).pruned_until, int)
        assert_type(project.prune(days=30, blobs="2 GB", dry_run=True).held, tuple[str, ...])
        assert_type(project.executions.find("abc"), af.Execution | None)
        with project.subscribe(lambda event: print(event.key), keys=["a", "b"], since="start", name="reader"):
            project.publish_many([("a", 1), af.Draft("b", 2)])
        return execution


def current() -> af.Project:
    af.publish("hello", {"n": 1}, sender="me", context=None)
    with af.subscribe(print, keys="hello"):
        return af.project()


async def arun(project: af.Project) -> af.Execution:
    return await project.arun(flow, path="x")


def fail(project: af.Project) -> str:
    try:
        project.run(flow)
    except af.ExecutionFailed as failed:
        return str(failed.execution)
    except (af.GraphError, af.ParameterError, af.Conflict) as wrong:
        return str(wrong)
    except af.NotFound as missing:
        return missing.noun
    except (af.OwnershipLost, af.OffsetPruned, af.StoreError) as store:
        return str(store)
    except (af.FlinkError, af.RunnerError) as runner:
        return str(runner)
    except af.AIFlowError:
        raise
    return ""


def test(clock: ManualClock) -> None:
    with project_for_tests("home", clock) as project:
        execution = project.start(flow)
        clock.advance(60)
        clock.jump(timedelta(hours=-1))
        run_until_idle(project)
        assert_replays(execution)
    events = [(3.5, "go", 1), ("go", {"n": 2}), ((0, 60), "go", None), af.Draft("go")]
    until = timedelta(days=1)
    found = simulate(flow, events, seed=3, until=until, durations={"load": 2.0}, params={"path": "x"}, serve=[adding])
    assert_type(found, Simulation)
    assert found.execution in found.executions, found.story
    found = simulate(flow, durations=lambda job, number: 2.0 * number, home="home", crashes=2, workers=2)
    print(found.seed, [event.key for event in found.events], found.end - found.start)


def lives_of_models(project: af.Project) -> None:
    raw, knn = af.Dataset("iris", uri="iris.csv", format="csv"), af.Model("knn")
    report = af.Artifact("report", uri="report.html", type="html")
    print(raw.name, report.uri)
    version: af.ModelVersion = project.models.register(knn).log([1, 2], stage=af.Stage.VALIDATED)
    found: af.ModelVersion | None = project.models.get("knn").deployed
    print(version.number, found, version.load())
    assert_type(project.metrics.log("accuracy", 0.9, step=3, model=version), af.Metric)
    project.metrics.log_many({"loss": 0.1, "auc": 1}, model="knn:1")
    history: af.MetricHistory = project.metrics.history("accuracy", model=knn)
    assert_type(history.last, af.Metric | None)
    assert_type(history[1:].values, list[float])
    with project.models.live(knn, wait=2.5) as live:
        assert_type(live, af.LiveModel)
        assert_type(live.version, af.ModelVersion)
        model, pinned = live.pinned()
        print(live.predict([1.0]), model, pinned, live.problem)
    with project.track("search", k=3) as experiment:
        assert_type(experiment, af.Experiment)
        assert_type(experiment.log_model([1], "knn"), af.ModelVersion)
        experiment.set_result(experiment.log_metric("loss", 0.1).value)
    print(project.executions.compare(experiment.execution), project.metrics.compare("auc", model="knn")["value"])


def data_and_artifacts(project: af.Project) -> None:
    declared = af.Dataset("iris", uri="iris.csv", format="csv", schema={"width": float}, catalog={"table": "iris"})
    iris = project.datasets.register(declared)
    assert_type(iris.log(), af.DatasetVersion)
    assert_type(iris.latest(), af.DatasetVersion | None)
    assert_type(iris.versions(), list[af.DatasetVersion])
    print(iris.path, iris.version(1).path, iris.version(1).read())
    made = project.artifacts.log(af.Artifact("report", uri="out"), "elsewhere")
    assert_type(made, af.ArtifactVersion)
    assert_type(project.artifacts.get("report").log(), af.ArtifactVersion)
    with made.open("a.txt") as file:
        assert_type(file.read(), bytes)
    print(made.files, made.read_text("a.txt"), made.read_bytes("a.txt"), made.save_to("copy"))


def versions(data: af.DatasetVersion, made: af.ArtifactVersion) -> list[str | None]:
    return [data.hash, made.hash, str(data)]
