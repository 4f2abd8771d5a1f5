"""What came from what: it is recorded while workflows run, in whatever way they run, and asked for by `project.lineage`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import networkx
import pytest
from tests.children import until
from tests.faults import Disk

import aiflow as af
from aiflow.graph.change import Change
from aiflow.store.checking import dangling
from aiflow.testing import ManualClock, project_for_tests, run_until_idle

RUNNERS = pytest.mark.parametrize("runner", ["thread", "process", "inline"])


def models() -> Any:
    return af.current().project.models.get("knn")


@af.job
def load(n: int = 1) -> list[int]:
    return [n]


@af.job
def clean(rows: list[int]) -> list[int]:
    return rows


@af.job
def fit(rows: Any) -> str:
    """Goes on from the version that there is."""
    before = models().latest()
    return str(models().log([rows, None if before is None else before.load()]))


@af.job
def score(fitted: str) -> int:
    version = models().latest()
    return len([version.load() for _ in range(3)])


@af.job
def show(*values: Any) -> Any:
    return values


@af.workflow
def life() -> None:
    show(score(fit(clean(load()))))


def name(thing: Any) -> str:
    """A version as it is written; a job with its number, if that is not 1."""
    if not isinstance(thing, af.JobExecution):
        return str(thing)
    return thing.job if thing.number == 1 else f"{thing.job}#{thing.number}"


def edges(graph: networkx.DiGraph[Any]) -> set[str]:
    return {f"{name(a)} > {name(b)}" for a, b in graph.edges}


CHAIN = {"load > clean", "clean > fit", "fit > knn:1", "fit > score", "knn:1 > score", "score > show"}


@pytest.fixture
def knn(project: af.Project) -> Any:
    return project.models.register("knn")


# --- what is recorded ---------------------------------------------------------------------------------------------------


@RUNNERS
def test_what_jobs_load_make_and_hand_on_is_recorded_in_every_runner(
    project: af.Project, knn: Any, runner: str
) -> None:
    execution = project.run(af.workflow(life.function, name="life", runner=runner))
    assert edges(project.lineage.downstream(execution)) == CHAIN
    graph = project.lineage.upstream("knn:1")
    assert edges(graph) == {"load > clean", "clean > fit", "fit > knn:1"}
    assert {name(x): graph.nodes[x]["kind"] for x in graph} == {
        "load": "job",
        "clean": "job",
        "fit": "job",
        "knn:1": "model",
    }
    assert graph.nodes[execution.job("fit")]["workflow"] == "life"
    assert edges(project.lineage.downstream("knn:1")) == {"knn:1 > score", "score > show"}


def test_a_version_comes_from_the_one_that_its_job_went_on_from(project: af.Project, knn: Any) -> None:
    first, second = project.run(life), project.run(life)
    graph = project.lineage.upstream("knn:2")
    assert {"knn:1 > fit", "fit > knn:2"} <= edges(graph)
    assert {one.execution_id for one in graph if isinstance(one, af.JobExecution)} == {first.id, second.id}
    assert list(project.lineage.upstream(knn.version(2))) == list(graph)


def test_an_execution_that_deals_with_no_versions_leaves_no_lineage(project: af.Project, knn: Any) -> None:
    @af.workflow
    def plain() -> None:
        show(clean(load()))

    execution = project.run(plain)
    assert project.db["lineage"].count == project.db["lineage_nodes"].count == 0
    assert set(project.lineage.upstream(execution)) == set(execution.jobs)


def test_what_is_logged_and_loaded_outside_of_jobs_stands_alone(project: af.Project, knn: Any) -> None:
    made = knn.log([1])
    assert made.load() == [1]
    assert list(project.lineage.upstream("knn:1")) == [made]
    assert project.lineage.upstream(made).size() == 0


@af.job
def makes_and_looks() -> Any:
    return models().log([1]).load()


def test_what_a_job_has_made_itself_is_not_what_it_came_from(project: af.Project, knn: Any) -> None:
    @af.workflow
    def own() -> None:
        makes_and_looks()

    project.run(own)
    assert edges(project.lineage.downstream("knn:1")) == set()
    assert edges(project.lineage.upstream("knn:1")) == {"makes_and_looks > knn:1"}


def test_a_run_if_counts_for_its_value_decides(project: af.Project, knn: Any) -> None:
    @af.job(outputs=("good", "bad"))
    def judge() -> dict[str, bool]:
        return {"good": True, "bad": False}

    @af.workflow
    def careful() -> None:
        verdict = judge()
        fit(load()).run_if(verdict["good"])

    execution = project.run(careful)
    assert edges(project.lineage.downstream(execution)) == {"judge > fit", "load > fit", "fit > knn:1"}


def test_after_is_no_lineage(project: af.Project, knn: Any) -> None:
    @af.workflow
    def ordered() -> None:
        fit(1).after(load())

    assert edges(project.lineage.downstream(project.run(ordered))) == {"fit > knn:1"}


def test_an_execution_that_turns_out_to_matter_is_recorded_from_its_beginning(project: af.Project, knn: Any) -> None:
    @af.job
    def split(rows: list[int]) -> list[int]:
        return rows

    @af.workflow
    def wide() -> None:
        rows = load()
        show(rows)
        fit(show.map([split(rows), rows]))

    execution = project.run(wide)
    expected = {"load > show", "load > split", "split > show_2", "load > show_2", "show_2 > fit", "fit > knn:1"}
    assert edges(project.lineage.downstream(execution)) == expected


@af.job
def numbers(n: int) -> Any:
    yield from range(n)


@af.job
def keep(value: Any) -> str:
    return str(models().log(value))


@RUNNERS
def test_27_each_item_of_a_stream_leads_from_the_stream_to_the_run_that_it_started(
    project: af.Project, knn: Any, runner: str
) -> None:
    @af.workflow(runner=runner)
    def flowing() -> None:
        keep(clean(numbers(3)))

    project.run(flowing)
    assert edges(project.lineage.upstream("knn:2")) == {"numbers > clean#2", "clean#2 > keep#2", "keep#2 > knn:2"}
    assert edges(project.lineage.upstream("knn:1")) == {"numbers > clean", "clean > keep", "keep > knn:1"}


def test_what_came_before_the_first_version_is_recorded_run_by_run(project: af.Project, knn: Any) -> None:
    @af.job
    def keeps_the_last(value: int) -> Any:
        return str(models().log(value)) if value == 4 else None

    @af.workflow
    def patient() -> None:
        keeps_the_last(clean(numbers(5)))

    execution = project.run(patient)
    found = edges(project.lineage.downstream(execution))
    assert {"numbers > clean", "clean > keeps_the_last", "numbers > clean#5", "clean#5 > keeps_the_last#5"} <= found
    assert len(found) == 11


@af.job
def takes_all(items: af.Stream) -> str:
    return str(models().log(list(items)))


def test_who_takes_a_stream_as_an_iterator_takes_of_its_run(project: af.Project, knn: Any) -> None:
    @af.workflow
    def taking() -> None:
        takes_all(numbers(3))

    project.run(taking)
    assert edges(project.lineage.upstream("knn:1")) == {"numbers > takes_all", "takes_all > knn:1"}


def test_a_mapped_job_is_one_job_execution_whatever_its_elements_load(project: af.Project, knn: Any) -> None:
    first = knn.log(1)

    @af.job
    def loads(n: int) -> Any:
        return first.load() + n

    @af.workflow
    def mapped() -> None:
        keep(loads.map(show(1, 2, 3)))

    project.run(mapped)
    assert edges(project.lineage.upstream("knn:2")) == {
        "show > loads",
        "knn:1 > loads",
        "loads > keep",
        "keep > knn:2",
    }


def test_a_retry_changes_nothing(project: af.Project, knn: Any) -> None:
    @af.job(retries=2, retry_delay=0)
    def unsure(rows: Any) -> str:
        made = str(models().log(rows))
        if made != "knn:3":
            raise ValueError(made)
        return made

    @af.workflow
    def trying() -> None:
        unsure(load())

    execution = project.run(trying)
    expected = {"load > unsure", "unsure > knn:1", "unsure > knn:2", "unsure > knn:3"}
    assert edges(project.lineage.downstream(execution)) == expected


broken = {"is": True}


@af.job
def fragile() -> int:
    if broken["is"]:
        raise OSError("not today")
    return 2


def test_34_a_resumed_execution_says_which_run_gave_the_value(project: af.Project, knn: Any) -> None:
    @af.workflow
    def resumed() -> None:
        fit(show(load(), fragile()))

    broken["is"] = True
    execution = project.start(resumed).wait()
    broken["is"] = False
    execution.resume().wait()
    assert execution.status == "SUCCESS"
    expected = {"load > show#2", "fragile#2 > show#2", "show#2 > fit#2", "fit#2 > knn:1"}
    assert edges(project.lineage.upstream("knn:1")) == expected


def test_a_part_of_a_workflow_comes_from_the_execution_whose_values_it_was_given(project: af.Project, knn: Any) -> None:
    @af.workflow
    def parted() -> None:
        fit(clean(load()))

    whole = project.run(parted, only=["load", "clean"])
    part = project.run(parted, start_from="fit")
    by_hand = project.run(parted, start_from="fit", given={"clean": [5]})
    graph = project.lineage.upstream("knn:1")
    assert edges(graph) == {"load > clean", "clean > fit", "fit > knn:1"}
    assert {whole.job("clean"), part.job("fit")} <= set(graph)
    assert edges(project.lineage.upstream("knn:2")) == {
        "load > clean",
        "clean > fit",
        "fit > knn:1",
        "knn:1 > fit",
        "fit > knn:2",
    }
    assert [name(x) for x in project.lineage.upstream("knn:2").predecessors(by_hand.job("fit"))] == ["knn:1"]


def test_37_the_value_of_an_equal_call_comes_from_that_call(project: af.Project, knn: Any) -> None:
    made = knn.log(1)

    @af.job(cache=True)
    def dear(n: int) -> Any:
        return made.load() + n

    @af.workflow
    def cached() -> None:
        keep(dear(1))

    first, second = project.run(cached), project.run(cached)
    graph = project.lineage.upstream("knn:3")
    assert graph.has_edge(first.job("dear"), second.job("dear"))
    assert edges(graph) == {"knn:1 > dear", "dear > dear", "dear > keep", "keep > knn:3"}


def test_a_job_that_a_rule_starts_takes_the_latest_values(tmp_path: Path) -> None:
    clock = ManualClock()

    @af.workflow(ends="never")
    def ruled() -> None:
        rows = load().start_on(af.event("load"))
        fit(rows).start_on(af.event("fit"))

    with project_for_tests(tmp_path, clock) as project:
        project.models.register("knn")
        execution = project.start(ruled)
        for key in ("load", "load", "fit", "fit", "load", "fit"):
            project.publish(key)
            run_until_idle(project)
        execution.stop()
        run_until_idle(project)
        found = edges(project.lineage.downstream(execution))
    takes = {one for one in found if one.startswith("load")}
    assert takes == {"load#2 > fit", "load#2 > fit#2", "load#3 > fit#3"}


def test_an_item_that_waited_while_its_stream_was_restarted_came_from_the_run_before(tmp_path: Path) -> None:
    clock = ManualClock()

    @af.job
    def pair(a: int, b: int) -> str:
        return str(models().log((a, b)))

    @af.workflow(ends="never")
    def restarted() -> None:
        ones = numbers.options(name="ones")(2).start_on(af.event("ones"))
        twos = numbers.options(name="twos")(1).start_on(af.event("twos"))
        pair(ones, twos)

    with project_for_tests(tmp_path, clock) as project:
        project.models.register("knn")
        execution = project.start(restarted)
        for key in ("ones", "ones", "twos", "twos", "twos"):
            project.publish(key)
            run_until_idle(project)
        execution.stop()
        run_until_idle(project)
        found = edges(project.lineage.downstream(execution))
    assert {one for one in found if one.startswith("ones")} == {"ones > pair", "ones > pair#2", "ones#2 > pair#3"}
    assert {one for one in found if one.startswith("twos")} == {"twos > pair", "twos#2 > pair#2", "twos#3 > pair#3"}


def test_a_stream_that_goes_on_with_what_was_trained_on_its_items_is_on_both_sides(
    project: af.Project, knn: Any
) -> None:
    knn.log(0)

    @af.job(buffer=1)
    def learns() -> Any:
        for n in range(1, 4):
            yield n
            while models().latest().number <= n:
                af.current().wait_stop(0.005)
            models().latest().load()

    @af.workflow
    def online() -> None:
        keep(learns())

    project.run(online)
    graph = project.lineage.upstream("knn:4")
    assert {"learns > keep#3", "keep#3 > knn:4", "knn:4 > learns"} <= edges(graph)
    assert str(graph).count("see above") >= 1


@af.job
def reads(n: int) -> int:
    rows = af.current().project.datasets.get("rows").latest().read()
    return len(rows) + n


@af.job
def writes(n: int) -> str:
    project = af.current().project
    found = project.datasets.get("more")
    found.path.write_text(f"n\n{n}\n")
    return str(found.log())


@af.job
def reports(*values: Any) -> str:
    context = af.current()
    path = context.scratch / "report.txt"
    path.write_text(str(values))
    return str(context.log_artifact(af.Artifact("report"), path))


@af.job
def looks(made: str) -> str:
    return str(af.current().project.artifacts.get("report").latest().read_text())


@RUNNERS
def test_datasets_and_artifacts_come_from_the_jobs_that_wrote_them_and_lead_to_those_that_read_them(
    project: af.Project, tmp_path: Path, runner: str
) -> None:
    for one in ("rows", "more"):
        (tmp_path / one).write_text("n\n1\n")
        project.datasets.register(one, uri=tmp_path / one, format="csv").log()

    @af.workflow(runner=runner)
    def data() -> None:
        looks(reports(writes(reads(1))))

    project.run(data)
    project.run(data)
    made = {"rows:1 > reads", "reads > writes", "writes > more:2", "writes > reports", "reports > report:1"}
    looked = {"reports > looks", "report:1 > looks"}
    assert edges(project.lineage.downstream("rows")) == made | looked
    graph = project.lineage.upstream("more:2")
    assert edges(graph) == {"rows:1 > reads", "reads > writes", "writes > more:2"}
    assert len(graph) == 4, "the second execution has found the same content, and has made no version"


def test_a_dataset_that_was_found_leads_to_the_job_that_recorded_it(project: af.Project, tmp_path: Path) -> None:
    from aiflow.values.contents import dataset_change

    (tmp_path / "rows").write_text("n\n1\n")
    project.datasets.register("rows", uri=tmp_path / "rows", format="csv")

    @af.job
    def finds() -> None:
        op, fields = dataset_change("rows", str(tmp_path / "rows"), None, "csv")
        af.current().change(Change(op, {**fields, "found": True}))

    @af.workflow
    def finding() -> None:
        finds()

    runs = [project.run(finding) for _ in range(2)]
    graph = project.lineage.downstream("rows:1")
    assert edges(graph) == {"rows:1 > finds"}
    assert set(graph) == {project.datasets.get("rows").latest(), *(run.job("finds") for run in runs)}


def test_what_is_tracked_is_a_job_execution_as_any_other(project: af.Project, knn: Any) -> None:
    knn.log([1])
    with project.track("try-out", k=3) as experiment:
        before = knn.version(1).load()
        knn.log([*before, 2])
    graph = project.lineage.upstream("knn:2")
    assert edges(graph) == {"knn:1 > try-out", "try-out > knn:2"}
    assert experiment.execution.job("try-out") in graph


model = af.Model("knn")


@af.train(model, base=model)
def trains(rows: Any, base: Any = None) -> Any:
    return rows


@af.evaluate(model)
def evaluates(found: Any, rows: Any) -> dict[str, float]:
    return {"size": 1.0}


@af.model_validate(model)
def validates(found: Any, deployed: Any) -> bool:
    return True


@af.push_model(model)
def pushes(version: af.ModelVersion) -> None: ...


@af.predict(model)
def predicts(found: Any, n: int) -> Any:
    return found


@RUNNERS
def test_jobs_with_roles_say_what_they_worked_on(project: af.Project, runner: str) -> None:
    project.models.register(model).log([0], stage="DEPLOYED")

    @af.workflow(runner=runner)
    def roles() -> None:
        rows = load()
        made = trains(rows)
        evaluates(made, rows)
        predicts(pushes(validates(made)), 1)

    execution = project.run(roles)
    assert edges(project.lineage.downstream(execution)) | {"knn:1 > trains", "knn:1 > validates"} == {
        "load > trains",
        "load > evaluates",
        "knn:1 > trains",
        "trains > knn:2",
        "trains > evaluates",
        "trains > validates",
        "knn:2 > evaluates",
        "knn:1 > validates",
        "knn:2 > validates",
        "validates > pushes",
        "knn:2 > pushes",
        "pushes > predicts",
        "knn:2 > predicts",
    }
    assert {"knn:1 > trains", "knn:1 > validates"} <= edges(project.lineage.downstream("knn:1"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_copy_of_a_job_may_log_and_load_and_only_what_it_makes_is_recorded(project: af.Project, knn: Any) -> None:
    knn.log([1])

    @af.job
    def forks(rows: Any) -> int:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.apply(in_a_copy)

    @af.workflow
    def forking() -> None:
        show(forks(load()))

    execution = project.run(forking)
    assert execution.result("forks") == 2
    found = edges(project.lineage.downstream(execution))
    assert found == {"load > forks", "forks > knn:2", "forks > show"}


def in_a_copy() -> int:
    found = models().version(1).load()
    return int(models().log([*found, 2]).number)


def test_an_execution_that_another_process_goes_on_with_is_traced_on(tmp_path: Path) -> None:
    @af.workflow(ends="never")
    def long() -> None:
        made = keep(load())
        show(made).start_on(af.event("go"))

    project = af.Project("shop", home=tmp_path)
    project.models.register("knn")
    execution = project.start(long)
    until(lambda: execution.results("keep"))
    project.close(detach=True)
    with af.Project("shop", home=tmp_path) as project:
        execution = project.executions.get(execution.id).resume()
        project.publish("go")
        until(lambda: execution.results("show"))
        execution.stop().wait()
        assert edges(project.lineage.downstream(execution)) == {"load > keep", "keep > knn:1", "keep > show"}


def test_a_turn_that_fails_records_nothing_and_the_next_one_all(project: af.Project, knn: Any) -> None:
    disk = Disk(project)

    @af.job(retries=1, retry_delay=0)
    def logs_twice(rows: Any) -> Any:
        disk.full = af.current().attempt == 1
        try:
            return str(models().log(rows))
        finally:
            disk.full = False

    @af.workflow
    def unlucky() -> None:
        show(logs_twice(load()))

    execution = project.run(unlucky)
    assert disk.refused
    expected = {"load > logs_twice", "logs_twice > knn:1", "logs_twice > show"}
    assert edges(project.lineage.downstream(execution)) == expected


# --- what is pruned -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pruned(tmp_path: Path) -> Iterator[af.Project]:
    """A project whose store will not have all that was in it."""
    with af.Project("shop", home=tmp_path, workers=4) as project:
        project.models.register("knn")
        yield project


def test_what_was_pruned_is_still_there_with_what_is_known_if_something_came_from_it(pruned: af.Project) -> None:
    execution = pruned.run(life)
    before = pruned.lineage.upstream("knn:1")
    assert pruned.prune(executions=0).went["executions"] == 1
    assert pruned.executions.list() == []
    graph = pruned.lineage.upstream("knn:1")
    assert edges(graph) == edges(before) == {"load > clean", "clean > fit", "fit > knn:1"}
    then, now = ({x.job: x for x in one if isinstance(x, af.JobExecution)} for one in (before, graph))
    assert now == then
    for job, one in now.items():
        told = (one.execution_id, one.number, one.attempt, one.status, one.started, one.ended)
        was = then[job]
        assert told == (execution.id, 1, 1, "SUCCESS", was.started, was.ended)
        assert one.reason == "its execution was pruned"
        assert graph.nodes[one]["workflow"] == "life"
    assert edges(pruned.lineage.downstream("knn:1")) == set()
    assert pruned.db["lineage_nodes"].count == 4
    assert dangling(pruned._store) == []


def test_pruning_forgets_jobs_from_which_nothing_came_however_long_the_way_to_them(pruned: af.Project) -> None:
    pruned.models.get("knn").log(1)

    @af.job
    def looks_on(value: Any) -> Any:
        return models().version(1).load()

    @af.workflow
    def idle() -> None:
        value = load()
        for _ in range(30):
            value = looks_on(value)

    for _ in range(3):
        pruned.run(idle)
    assert pruned.db["lineage"].count == 3 * 60
    pruned.prune(executions=1)
    assert pruned.db["lineage"].count == 60
    pruned.prune(executions=0)
    assert pruned.db["lineage"].count == 0
    assert [row["kind"] for row in pruned.db["lineage_nodes"].rows] == ["model"]


def test_old_runs_of_a_running_execution_are_pruned_and_those_that_made_something_are_known(pruned: af.Project) -> None:
    @af.job
    def sometimes(n: int) -> Any:
        return str(models().log(n)) if n in (1, 15) else None

    @af.workflow(ends="never")
    def service() -> None:
        sometimes(clean(numbers(20)))

    execution = pruned.start(service)
    until(lambda: len(execution.results("sometimes")) == 20)
    pruned.prune(executions=5)
    pruned.prune(executions=5)
    graph = pruned.lineage.downstream(execution)
    assert edges(pruned.lineage.upstream("knn:1")) == {
        "numbers > clean#2",
        "clean#2 > sometimes#2",
        "sometimes#2 > knn:1",
    }
    runs = {one.number: one for one in graph if isinstance(one, af.JobExecution) and one.job == "clean"}
    assert sorted(runs) == [2, *range(16, 21)]
    assert (runs[2].reason, runs[16].reason) == ("its execution was pruned", None)
    execution.stop().wait()
    assert dangling(pruned._store) == []


# --- how it is asked ----------------------------------------------------------------------------------------------------


def test_the_nodes_are_the_objects_that_users_hold(project: af.Project, knn: Any) -> None:
    execution = project.run(life)
    fitted = execution.job("fit")
    graph = project.lineage.downstream(fitted)
    assert isinstance(graph, networkx.DiGraph)
    assert graph.nodes[fitted]["kind"] == "job"
    assert graph.nodes[knn.latest()]["kind"] == "model"
    assert networkx.descendants(graph, fitted) == {knn.latest(), execution.job("score"), execution.job("show")}
    (found,) = [one for one in graph if one == knn.latest()]
    assert (found.stage, found.load()) == ("GENERATED", [[1], None])
    assert networkx.is_directed_acyclic_graph(graph)


def test_two_job_executions_are_equal_if_they_are_the_same_whatever_has_become_of_them(project: af.Project) -> None:
    @af.job
    def rests() -> None:
        af.current().wait_stop(60)

    @af.workflow
    def resting() -> None:
        rests()

    execution = project.start(resting)
    running = until(lambda: execution.job("rests"))
    execution.stop().wait()
    stopped = execution.job("rests")
    assert stopped is not None
    assert (stopped, hash(stopped)) == (running, hash(running))
    assert stopped.status != running.status


@pytest.fixture
def deployed(tmp_path: Path) -> Any:
    """Four versions: 1 deployed at 10 s, 2 at 20 s, back to 1 at 30 s, none from 40 s on."""
    clock = ManualClock()
    with project_for_tests(tmp_path, clock) as project:
        knn = project.models.register("knn")
        for number in (1, 2):
            project.run(life)
            clock.advance(10 * number - (clock.now() - BEGIN))
            knn.deploy(number)
        clock.advance(10)
        knn.rollback()
        clock.advance(10)
        knn.deprecate(1)
        yield project


BEGIN = ManualClock().now()


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(BEGIN + seconds, UTC)


@pytest.mark.parametrize(("seconds", "version"), [(10, 1), (19.9, 1), (20, 2), (29, 2), (30, 1), (39, 1)])
def test_a_bare_model_name_is_the_version_that_was_deployed_at_that_time(
    deployed: af.Project, seconds: float, version: int
) -> None:
    graph = deployed.lineage.upstream("knn", as_of=at(seconds))
    assert [one.number for one in graph.graph["asked"]] == [version]
    assert f"fit > knn:{version}" in edges(graph)


@pytest.mark.parametrize("seconds", [5, 40, 1000])
def test_where_none_was_deployed_the_versions_are_named(deployed: af.Project, seconds: float) -> None:
    with pytest.raises(af.NotFound, match=r"no version that is deployed at 20.* UTC of the model 'knn'.*'knn:1'"):
        deployed.lineage.upstream("knn", as_of=at(seconds))
    with pytest.raises(af.NotFound, match="no version that is deployed of the model 'knn'"):
        deployed.lineage.upstream("knn")


def test_as_of_leaves_out_what_was_recorded_later(deployed: af.Project) -> None:
    then = deployed.lineage.downstream("knn:1", as_of=at(9.9))
    assert edges(then) == {"knn:1 > score", "score > show"}
    assert "knn:1 > fit" in edges(deployed.lineage.downstream("knn:1", as_of=at(10)))
    assert edges(deployed.lineage.upstream("knn:2", as_of=at(5))) == set()
    assert deployed.lineage.upstream("knn:2").edges
    naive = at(9.9).astimezone().replace(tzinfo=None)
    assert edges(deployed.lineage.downstream("knn:1", as_of=naive)) == edges(then)


def test_edges_say_when_they_were_recorded(deployed: af.Project) -> None:
    graph = deployed.lineage.upstream("knn:2")
    times = {f"{name(a)} > {name(b)}": said["time"] for a, b, said in graph.edges(data=True)}
    assert times["fit > knn:1"] == at(0)
    assert times["knn:1 > fit"] == times["fit > knn:2"] == at(10)


def test_a_job_execution_can_be_named_by_text(project: af.Project, knn: Any) -> None:
    execution = project.run(life)
    named = project.lineage.upstream(f"job {execution.id[:5]}/score")
    assert named.graph["asked"] == (execution.job("score"),)
    assert edges(named) == CHAIN - {"score > show"}
    assert list(project.lineage.upstream(f"job {execution.id}/score:1")) == list(named)


def test_what_was_declared_or_registered_stands_for_its_name(project: af.Project, knn: Any) -> None:
    knn.log(1, stage="DEPLOYED")
    assert list(project.lineage.upstream(knn)) == list(project.lineage.upstream(af.Model("knn"))) == [knn.latest()]


def test_what_is_deleted_is_still_there_to_be_asked_for(project: af.Project, knn: Any) -> None:
    project.run(life)
    project.models.delete("knn")
    assert edges(project.lineage.upstream("knn:1")) == {"load > clean", "clean > fit", "fit > knn:1"}


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ("knm:1", af.NotFound, "no dataset, model or artifact with versions 'knm'; did you mean 'knn'?"),
        ("knn:7", af.NotFound, "no version of a model 'knn:7'; did you mean 'knn:1'?"),
        ("dataset knn", af.NotFound, "no dataset with versions 'knn'"),
        ("job nothing/fit", af.NotFound, "no job execution 'nothing/fit'"),
        ("knn:one", af.ParameterError, "a version is written NAME:NUMBER"),
        (7, af.ParameterError, "lineage is asked of a version, a job execution, an execution or a name, not of 7"),
        (af.Model("other"), af.NotFound, "no model with versions 'other'; there is: knn"),
        (af.ModelVersion("knn", 9), af.NotFound, "no version of a model 'knn:9'"),
        (af.JobExecution("fit", 1, 1, af.JobStatus.SUCCESS), af.NotFound, "no job execution '/fit:1'"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_close(
    project: af.Project, knn: Any, asked: Any, error: type[Exception], said: str
) -> None:
    knn.log(1)
    with pytest.raises(error) as raised:
        project.lineage.upstream(asked)
    assert str(raised.value).startswith(said)


def test_as_of_takes_a_datetime(project: af.Project, knn: Any) -> None:
    knn.log(1)
    with pytest.raises(af.ParameterError, match="as_of takes a datetime, not 12"):
        project.lineage.upstream("knn:1", as_of=12)  # type: ignore[arg-type]


def test_a_use_of_what_is_not_there_is_refused(project: af.Project, knn: Any) -> None:
    knn.log(1)

    @af.job
    def uses(kind: str, name: str, number: int) -> Any:
        with pytest.raises(af.NotFound) as raised:
            af.current().change(Change("use", {"kind": kind, "name": name, "number": number}))
        return str(raised.value)

    @af.workflow
    def using() -> None:
        uses.options(name="a")("model", "knn", 2)
        uses.options(name="b")("model", "knm", 1)
        uses.options(name="c")("events", "knn", 1)

    execution = project.run(using)
    assert execution.result("a") == "no version of a model 'knn:2'; did you mean 'knn:1'?"
    assert execution.result("b") == "no version of a model 'knm:1'"
    assert execution.result("c") == "no kind of versions 'events'; there is: artifact, dataset, model"
    assert project.db["lineage"].count == 0
