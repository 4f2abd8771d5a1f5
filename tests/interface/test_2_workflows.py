"""The public interface, sentence by sentence: 2. Workflows, and 3. Conditions (what there is of them for events and jobs)."""

import enum
import json
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import run_until_idle


@af.job
def load(path: str = "") -> list[int]:
    return [1, 2]


@af.job
def train(rows: list[int], k: int = 1) -> int:
    return sum(rows) * k


@af.job
def give(value: Any = None, *more: Any) -> Any:
    return value


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


# --- 2. workflows -----------------------------------------------------------------------------------------------------


def test_the_body_runs_once_per_execution_with_its_parameters_so_that_if_and_for_work(project: af.Project) -> None:
    bodies: list[int] = []

    @af.workflow
    def w(count: int = 1) -> None:
        bodies.append(count)
        for number in range(count):
            give(number)
        if count > 2:
            give.options(name="many")(count)

    names = [j.job for j in project.run(w, count=3).jobs]
    assert sorted(names) == ["give", "give_2", "give_3", "many"]
    assert bodies == [3]


def test_annotated_parameters_are_converted_and_checked(project: af.Project) -> None:
    @af.workflow
    def w(
        i: int, f: float, b: bool, s: str, p: Path, e: Colour, many: list[int], d: dict[str, Any], o: int | None = None
    ) -> None:
        give([i, f, b, s, str(p), e.value, many, d, o])

    texts = {"i": "3", "f": "2", "b": "yes", "s": 5, "p": "a/b", "e": "blue", "many": "[1, 2]", "d": '{"a": [1]}'}
    assert project.run(w, **(texts | {"s": "5"})).result("give") == [
        3,
        2.0,
        True,
        "5",
        "a/b",
        "blue",
        [1, 2],
        {"a": [1]},
        None,
    ]
    for name, wrong in {"i": "3.5", "f": "x", "b": "maybe", "e": "green", "many": "7,x", "d": "{"}.items():
        with pytest.raises(af.ParameterError, match=f"{name!r}"):
            project.run(w, **(texts | {"s": "5", name: wrong}))
    with pytest.raises(af.ParameterError, match=r"'manny'.*did you mean 'many'"):
        project.run(w, **texts, manny=1)
    with pytest.raises(af.ParameterError, match="'i'"):
        project.run(w)


def test_the_options_of_a_workflow_are_those_of_the_interface(project: af.Project) -> None:
    told: list[af.Execution] = []

    @af.workflow(
        name="named", namespace="theirs", stop_on=af.event("enough"), if_running="ignore", max_parallel=2, ends="quiet",
        on_failure=told.append, retries=2, timeout=30, runner="inline",
    )  # fmt: skip
    def w() -> None:
        """Say what it is for."""
        give(1)

    assert (w.name, w.description) == ("named", "Say what it is for.")
    options = w.graph.nodes["give"].options
    assert (options.retries, options.timeout, options.runner) == (2, 30.0, "inline")
    execution = project.run(w)
    assert (execution.workflow, execution.namespace) == ("named", "theirs")
    assert project.workflows.get("named")["description"] == "Say what it is for."


def test_on_failure_of_a_workflow_gets_the_execution(project: af.Project) -> None:
    from tests.children import until

    told: list[af.Execution] = []

    @af.job
    def fails() -> None:
        raise ValueError("no")

    @af.workflow(on_failure=told.append)
    def w() -> None:
        fails()

    execution = project.run(w, check=False)
    until(lambda: told)
    assert told == [execution]


def test_stop_on_stops_the_execution(aiflow_project: af.Project) -> None:
    @af.workflow(stop_on=af.event("enough"), ends="never")
    def w() -> None:
        give(1)

    execution = aiflow_project.start(w)
    run_until_idle(aiflow_project)
    assert execution.status == "RUNNING"
    aiflow_project.publish("enough")
    assert (execution.wait().status, execution.reason) == ("STOPPED", "stopped by event('enough')")


def test_a_graph_has_nodes_edges_a_networkx_graph_and_pictures() -> None:
    import networkx

    @af.workflow
    def iris(path: str = "iris.csv", k: int = 5) -> None:
        rows = load(path)
        fit = train(rows, k)
        give(fit).after(rows).start_on(fit.succeeded)

    graph = iris.build(k=3)
    assert isinstance(graph, af.Graph)
    assert [n.name for n in iris.graph.nodes] == [n.name for n in graph.nodes] == ["load", "train", "give"]
    assert isinstance(graph.nx, networkx.MultiDiGraph)
    assert set(graph.nx) == {"load", "train", "give"}
    assert graph.nx.nodes["train"]["node"] is graph.nodes["train"]
    assert sorted((a, b, data["kind"]) for a, b, data in graph.nx.edges(data=True)) == [
        ("load", "give", "after"), ("load", "train", "data"), ("train", "give", "data"), ("train", "give", "rule"),
    ]  # fmt: skip
    assert graph.to_mermaid().startswith("flowchart")
    assert graph.to_dot().startswith("digraph")
    assert graph.to_svg().startswith("<svg")
    assert graph._repr_svg_().startswith("<svg")


def test_data_and_after_edges_must_be_acyclic_and_rules_may_form_cycles() -> None:
    @af.workflow
    def cyclic() -> None:
        a = give(1)
        a.after(give.options(name="b")(a))

    with pytest.raises(af.GraphError, match=r"a cycle: (give → b → give|b → give → b)"):
        cyclic.build()

    @af.workflow
    def by_rules() -> None:
        a, b = give(1), give(2)
        a.start_on(b.succeeded)
        b.start_on(a.succeeded)

    assert len(by_rules.graph) == 2


def test_run_and_start_of_a_workflow_use_the_current_project(tmp_path: Path) -> None:
    @af.workflow
    def w(n: int = 1) -> None:
        give(n)

    with af.Project("current", home=tmp_path / "home") as project:
        assert w.run(n=2).result("give") == 2
        started = w.start(n=3)
        assert started.wait().result("give") == 3
        assert {e.id for e in project.executions.list()} >= {started.id}


def test_a_workflow_called_in_a_body_is_a_sub_workflow(project: af.Project) -> None:
    @af.workflow
    def inner(n: int = 1) -> Any:
        return train(load(), n)

    @af.workflow
    def outer() -> None:
        give(inner(n=5))

    assert [n.name for n in outer.graph.nodes] == ["inner.load", "inner.train", "give"]
    assert project.run(outer).result("give") == 15
    with pytest.raises(af.GraphError, match=r"inner\.run\(\)"):
        inner()


def test_what_is_said_of_a_node_returns_the_node() -> None:
    @af.workflow
    def w() -> None:
        a = give(1)
        b = give(2)
        go = af.event("go")
        chained = b.after(a).start_on(go).start_on(a.failed).stop_on(go).restart_on(go).run_if(a)
        assert chained is b
        assert [str(getattr(a, s)) for s in ("succeeded", "failed", "stopped", "skipped", "finished", "running")] == [
            f"give.{s}" for s in ("succeeded", "failed", "stopped", "skipped", "finished", "running")
        ]

    assert len(w.graph.nodes["give_2"].rules) == 4


# --- 3. conditions ----------------------------------------------------------------------------------------------------


def heard(project: af.Project, condition: af.Condition, *published: dict[str, Any]) -> list[list[Any]]:
    """Give, for each run of a job that starts on a condition, the values of its events."""

    @af.job
    def hears() -> list[Any]:
        return [e.value for e in af.current().events]

    @af.workflow(ends="never")
    def w() -> None:
        hears().start_on(condition)

    execution = project.start(w)
    for event in published:
        project.publish(**event)
    run_until_idle(project)
    results = execution.results("hears") if execution.job("hears") else []
    execution.stop()
    return results


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (af.event("sensor.*"), [1, 2]),
        (af.event("sensor.a", 1), [1]),
        (af.event(), [1, 2, 3, 4]),
        (af.event(type="ALARM"), [2]),
        (af.event("other", sender="kit*"), [3]),
        (af.event("far", namespace="th*"), [5]),
    ],
    ids=str,
)
def test_an_event_condition_takes_globs(aiflow_project: af.Project, condition: af.Condition, values: list[int]) -> None:
    published = (
        {"key": "sensor.a", "value": 1}, {"key": "sensor.b", "value": 2, "type": "ALARM"},
        {"key": "other", "value": 3, "sender": "kitchen"}, {"key": "other", "value": 4},
        {"key": "far", "value": 5, "namespace": "theirs"},
    )  # fmt: skip
    assert heard(aiflow_project, condition, *published) == [[v] for v in values]


def events(keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": f"{key}{n}"} for n, key in enumerate(keys)]


A, B, C = af.event("a"), af.event("b"), af.event("c")


@pytest.mark.parametrize(
    ("condition", "keys", "results"),
    [
        (A & B, "aab", [["a1", "b2"]]),
        (A | B, "ab", [["a0"], ["b1"]]),
        (A.times(2), "aaa", [["a0", "a1"]]),
        ((A & B).within(60), "ab", [["a0", "b1"]]),
        (A.sticky() & B, "abb", [["a0", "b1"], ["a0", "b2"]]),
        (A.own(), "a", []),
        ((A & B) | C, "ac", [["c1"]]),
    ],
    ids=str,
)
def test_conditions_combine(
    aiflow_project: af.Project, condition: af.Condition, keys: str, results: list[list[str]]
) -> None:
    assert heard(aiflow_project, condition, *events(keys)) == results


def test_a_status_is_met_by_a_job_of_the_same_execution(aiflow_project: af.Project) -> None:
    @af.job
    def fails() -> None:
        raise ValueError("no")

    @af.workflow
    def w() -> None:
        good, bad = give(1), fails()
        skipped = give.options(name="skipped")(bad)
        for name, condition in {
            "s": good.succeeded, "f": bad.failed, "k": skipped.skipped, "e": bad.finished, "r": good.running,
            "never": good.stopped,
        }.items():  # fmt: skip
            give.options(name=name)(name).start_on(condition)

    execution = aiflow_project.run(w, check=False)
    ran = {j.job for j in execution.jobs if j.status == "SUCCESS"}
    assert ran == {"give", "s", "f", "k", "e", "r"}
    assert execution.job("never").status == "SKIPPED"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "use", [lambda: A and B, lambda: A or B, lambda: not A, lambda: 1 if A else 2], ids=["and", "or", "not", "if"]
)
def test_conditions_refuse_the_words_of_python(use: Any) -> None:
    with pytest.raises(af.GraphError, match="use & and |"):
        use()


def test_conditions_compare_equal_and_print_readably() -> None:
    assert af.event("go", 1) == af.event("go", 1)
    assert af.event("go", 1) != af.event("go", 2)
    assert (A & B).times(2) == (af.event("a") & af.event("b")).times(2)
    assert hash(A & B) == hash(af.event("a") & af.event("b"))

    @af.workflow
    def w() -> None:
        node = train([1])
        give().start_on(node.succeeded & af.event("go"))
        assert str(node.succeeded & af.event("go")) == "all(train.succeeded, event('go'))"

    assert json.loads(json.dumps(w.definition(w.graph)))["nodes"][1]["rules"] == [
        "START on all(train.succeeded, event('go'))"
    ]


def test_a_body_that_calls_no_job_is_told(aiflow_project: af.Project, caplog: pytest.LogCaptureFixture) -> None:
    def load() -> int:
        """Stand for a job: somebody has forgotten its @af.job."""
        return 1

    @af.workflow
    def w() -> None:
        load()

    assert aiflow_project.run(w).status == "SUCCESS"
    assert caplog.messages == ["Nothing runs: the body of workflow 'w' called no job (a function with @af.job)"]
