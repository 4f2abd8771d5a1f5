"""How a body becomes a graph: names, edges, outputs, sub-workflows, and what is refused with which words."""

import json
import threading
from collections import namedtuple

import pytest

import aiflow as af
from aiflow.errors import GraphError, NotFound, ParameterError
from aiflow.graph.building import current_body, differences
from aiflow.graph.condition import StatusCondition, event
from aiflow.graph.job import fixed, job
from aiflow.graph.workflow import workflow


@job
def load(path="iris.csv", k=5):
    return [path, k]


@job
def train(rows, k=1, *, depth=2):
    return rows


@job
def report(*inputs): ...


@job(outputs=2)
def split(table):
    return table, table


@job(outputs=("left", "right"))
def parts():
    return 1, 2


def edges(w, **params):
    return [(e.source, e.target, e.kind) for e in w.build(**params).edges]


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_second_call_of_the_same_job_gets_a_number():
    @workflow
    def w():
        for _ in range(3):
            load()

    assert w.graph.nodes.keys() == ["load", "load_2", "load_3"]


def test_numbers_go_round_names_that_are_taken():
    @workflow
    def w():
        load.options(name="load_2")()
        for _ in range(3):
            load()

    assert w.graph.nodes.keys() == ["load_2", "load", "load_3", "load_4"]


def test_a_job_that_was_given_a_name_is_numbered_too():
    @job(name="fit")
    def anything(): ...

    @workflow
    def w():
        anything()
        anything()

    assert w.graph.nodes.keys() == ["fit", "fit_2"]


@pytest.mark.parametrize("name", ["train", "train_big"])
def test_a_duplicate_explicit_name_is_refused(name):
    @workflow
    def w():
        train.options(name=name)(1)
        train.options(name=name)(2)

    with pytest.raises(GraphError, match=f"two nodes of workflow 'w' are named '{name}'"):
        w.build()


def test_two_jobs_of_one_explicit_name_are_refused():
    @job(name="fit")
    def one(): ...

    @job(name="fit")
    def other(): ...

    @workflow
    def w():
        one()
        other()

    with pytest.raises(GraphError, match="are named 'fit'"):
        w.build()


def test_options_set_any_option_for_one_call_only():
    @workflow
    def w():
        train.options(name="big", retries=3)(1)
        train(1)

    assert [n.options.retries for n in w.graph.nodes] == [3, None]


def test_a_workflows_options_are_defaults_for_its_jobs():
    @workflow(retries=2, timeout=60, runner="inline")
    def w():
        train(1)
        train.options(retries=0, runner="process")(1)

    found = [(n.options.retries, n.options.timeout, n.options.runner) for n in w.graph.nodes]
    assert found == [(2, 60.0, "inline"), (0, 60.0, "process")]


# --- edges ------------------------------------------------------------------------------------------------------------


def test_arguments_that_are_nodes_make_data_edges_also_inside_lists_tuples_and_dicts():
    @workflow
    def w():
        a, b, c, d = load(), load(), load(), load()
        report([a], (b, [c]), {"d": {"e": d}}, a)

    assert [e[:2] for e in edges(w)] == [(name, "report") for name in ("load", "load_2", "load_3", "load_4")]


def test_a_node_in_a_keyword_argument_makes_an_edge():
    @workflow
    def w():
        train(rows=load(), k=3)

    assert edges(w) == [("load", "train", "data")]


def test_all_kinds_of_edges():
    @workflow
    def w():
        a = load()
        b = train(a)
        c = report().after(a, b).run_if(b)
        c.start_on(a.failed & event("go")).stop_on(b.running)

    assert edges(w) == [
        ("load", "train", "data"),
        ("train", "report", "data"),
        ("load", "report", "after"),
        ("train", "report", "after"),
        ("load", "report", "rule"),
        ("train", "report", "rule"),
    ]
    assert [e.label for e in w.graph.edges if e.label] == ["run if", "start on failed", "stop on running"]


def test_rules_and_edges_chain():
    @workflow
    def w():
        a = load()
        b = report()
        assert b.after(a).run_if(a).start_on(a.succeeded).stop_on(a.failed).restart_on(event("x")) is b

    assert [str(r) for r in w.graph.nodes["report"].rules] == [
        "START on load.succeeded",
        "STOP on load.failed",
        "RESTART on event('x')",
    ]


def test_the_body_may_decide_by_parameters():
    @workflow
    def w(n: int = 2, also: bool = False):
        for _ in range(n):
            load()
        if also:
            report()

    assert len(w.graph) == 2
    assert w.build(n="3", also="yes").nodes.keys() == ["load", "load_2", "load_3", "report"]


def test_the_graph_as_networkx():
    @workflow
    def w():
        train(load())

    graph = w.graph.nx
    assert list(graph.edges(data="kind")) == [("load", "train", "data")]
    assert graph.nodes["train"]["node"].name == "train"


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_outputs_unpack_and_index():
    @workflow
    def w():
        a, b = split(1)
        assert (a.output, b.output, split(1)[-1].output) == (0, 1, 1)
        left, right = parts()
        assert (left.output, right.output) == ("left", "right")
        assert parts()["right"].output == parts()[1].output == "right"
        assert a.name == "split[0]"
        report(a, b).after(left)

    assert edges(w) == [("split", "report", "data"), ("parts", "report", "after")]


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: split(1)[2], "outputs 0 to 1, not 2"),
        (lambda: split(1)["x"], "outputs 0 to 1, not 'x'"),
        (lambda: parts()["lift"], "no output 'lift'; did you mean 'left'"),
        (lambda: parts()[2], "no output 2"),
        (lambda: load()[0], "one output; say outputs=2"),
        (lambda: list(load()), "one output; say outputs=2"),
        (lambda: list(split(1)[0]), "cannot be gone through"),
    ],
    ids=["beyond", "text", "close name", "number", "index of one", "iterating one", "iterating an output"],
)
def test_outputs_that_are_not_there_are_refused(use, words):
    with pytest.raises(GraphError, match=words):
        workflow(use).build()


# --- nodes have no value ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda n: bool(n),
        lambda n: len(n),
        lambda n: n == 3,
        lambda n: n != 3,
        lambda n: n < 3,
        lambda n: 3 in n,
        lambda n: str(n),
        lambda n: f"{n}",
        lambda n: f"{n:>5}",
        lambda n: list(n),
    ],
    ids=["bool", "len", "eq", "ne", "lt", "in", "str", "fstring", "format", "list"],
)
def test_a_value_that_is_not_there_yet_is_refused_naming_run_if_and_map(use):
    with pytest.raises(GraphError, match=r"(?s)<node load>.*run_if.*map"):
        workflow(lambda: use(load())).build()


def test_a_node_can_be_shown_and_be_a_key():
    @workflow
    def w():
        a, b = load(), load()
        assert repr(a) == "<node load>"
        assert {a: 1, b: 2}[a] == 1

    w.build()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_cycle_of_edges_is_refused_and_shown_rules_may_form_one():
    @workflow
    def w(what: str):
        a = load()
        b = train(a)
        c = report(b)
        if what == "after":
            a.after(c)
        elif what == "run_if":
            a.run_if(c)
        elif what == "self":
            b.after(b)
        else:
            a.restart_on(c.succeeded)

    for what in ("after", "run_if"):
        with pytest.raises(GraphError, match="has a cycle: load → train → report → load; only rules"):
            w.build(what=what)
    with pytest.raises(GraphError, match="cycle: train → train"):
        w.build(what="self")
    assert len(w.build(what="rule")) == 3


def test_an_unknown_upstream_in_a_rule_is_refused_with_close_names():
    @workflow
    def w():
        load()
        report().start_on(StatusCondition("laod", "succeeded", ("SUCCESS",)))

    with pytest.raises(GraphError, match="waits for the job 'laod', which is not in workflow 'w'; did you mean 'load'"):
        w.build()


def test_a_node_of_another_workflow_is_refused():
    kept = []

    @workflow
    def one():
        kept.append(load())

    one.build()
    for use in (lambda: train(kept[0]), lambda: report([kept[0]]), lambda: report().after(kept[0])):
        with pytest.raises(GraphError, match="another workflow"):
            workflow(use).build()


@pytest.mark.parametrize("verb", ["start_on", "stop_on", "restart_on"])
def test_a_rule_takes_a_condition(verb):
    def with_node():
        getattr(report(), verb)(load())

    def with_text():
        getattr(report(), verb)("go")

    with pytest.raises(GraphError, match=rf"{verb}\(…\) takes a condition .* not <node load> \(say load.succeeded"):
        workflow(with_node).build()
    with pytest.raises(GraphError, match=rf"{verb}\(…\) takes a condition such as .* not 'go'"):
        workflow(with_text).build()


@pytest.mark.parametrize("verb", ["after", "run_if"])
def test_an_edge_takes_a_node(verb):
    with pytest.raises(GraphError, match=rf"{verb}\(…\) takes nodes of the same workflow, not 3"):
        workflow(lambda: getattr(report(), verb)(3)).build()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train(), "missing a required argument: 'rows'"),
        (lambda: train(1, 2, 3), "too many positional arguments"),
        (lambda: train(1, z=3), "unexpected keyword argument 'z'"),
        (lambda: _keyword_only(), "missing a required .*argument: 'k'"),
    ],
    ids=["missing", "too many", "unknown", "keyword-only"],
)
def test_a_call_that_does_not_fit_the_function_is_refused(call, words):
    with pytest.raises(GraphError, match=words):
        workflow(call).build()


@job
def _keyword_only(*, k): ...


def test_a_constant_that_cannot_be_serialised_is_refused():
    with pytest.raises(GraphError, match=r"argument 0 of <node report> is a lock and cannot be serialised"):
        workflow(lambda: report(threading.Lock())).build()


def test_a_node_inside_an_object_that_nobody_looks_into_is_refused():
    pair = namedtuple("pair", "x y")
    with pytest.raises(GraphError, match="argument 0 of <node report> is a pair"):
        workflow(lambda: report(pair(load(), 1))).build()


def test_a_body_that_is_no_plain_function_is_refused():
    async def later(): ...

    def one_by_one():
        yield load()

    for body in (later, one_by_one):
        with pytest.raises(GraphError, match="must be a plain function"):
            workflow(body).build()


def test_a_body_that_raises_leaves_no_body_active():
    @workflow
    def w():
        raise KeyError("mine")

    with pytest.raises(KeyError):
        w.build()
    assert current_body() is None
    assert load(1, 2) == [1, 2], "outside a body it is the plain function"


# --- map --------------------------------------------------------------------------------------------------------------


def test_a_mapped_node_has_edges_from_its_lists():
    @workflow
    def w():
        train.map(load(), k=fixed(5))
        train.map([1, 2])

    assert edges(w) == [("load", "train", "data")]
    assert [n.mapped for n in w.graph.nodes] == [False, True, True]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train.map(fixed(1)), "all of its arguments are af.fixed"),
        (lambda: train.map(load(), k=5), r"write af.fixed\(5\)"),
    ],
    ids=["all fixed", "no list"],
)
def test_what_cannot_be_mapped_is_refused(call, words):
    with pytest.raises(GraphError, match=words):
        workflow(call).build()


def test_map_outside_a_body_is_refused():
    with pytest.raises(GraphError, match="works inside a workflow body only"):
        train.map([1])


# --- sub-workflows ----------------------------------------------------------------------------------------------------


@workflow
def iris(path: str = "x"):
    rows = load(path)
    return train(rows)


def test_a_sub_workflow_names_its_nodes_after_itself_and_returns_what_its_body_returned():
    @workflow
    def outer():
        report(iris("a"), iris("b"))
        load()

    assert outer.graph.nodes.keys() == ["iris.load", "iris.train", "iris_2.load", "iris_2.train", "report", "load"]
    assert edges(outer)[-2:] == [("iris.train", "report", "data"), ("iris_2.train", "report", "data")]


def test_sub_workflows_nest():
    @workflow
    def middle():
        return report(iris())

    @workflow
    def outer():
        middle()
        middle()

    names = outer.graph.nodes.keys()
    assert names[:3] == ["middle.iris.load", "middle.iris.train", "middle.report"]
    assert names[3:] == ["middle_2.iris.load", "middle_2.iris.train", "middle_2.report"]


def test_rules_of_a_sub_workflow_mean_its_own_nodes():
    @workflow
    def inner():
        report().start_on(load().failed)

    @workflow
    def outer():
        load()
        inner()

    assert edges(outer) == [("inner.load", "inner.report", "rule")]


def test_the_defaults_of_a_sub_workflow_hold_for_its_jobs_and_those_of_the_outer_one_for_the_rest():
    @workflow(retries=3)
    def inner():
        load()

    @workflow(retries=1, runner="inline")
    def outer():
        load()
        inner()

    assert [(n.options.retries, n.options.runner) for n in outer.graph.nodes] == [(1, "inline"), (3, "inline")]


def test_a_workflow_called_outside_a_body_says_how_to_run_it():
    with pytest.raises(GraphError, match=r"run it with iris.run\(\)"):
        iris()


def test_bodies_on_several_threads_do_not_mix():
    barrier, graphs = threading.Barrier(4), []

    @workflow
    def w(n: int):
        for _ in range(n):
            barrier.wait(60)
            load()

    threads = [threading.Thread(target=lambda: graphs.append(w.build(n=5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(g) for g in graphs] == [5] * 4


# --- nodes and definitions --------------------------------------------------------------------------------------------


def test_nodes_are_found_by_name_and_place():
    nodes = iris.graph.nodes
    assert nodes["train"] is nodes[1]
    assert "load" in nodes
    assert nodes[0] in nodes
    assert "nothing" not in nodes
    assert repr(nodes) == "[load, train]"
    with pytest.raises(NotFound, match="no job 'trian'; did you mean 'train'"):
        nodes["trian"]


def definition(**changes):
    @workflow(ends=changes.get("ends"), stop_on=changes.get("stop_on"))
    def w(n: int = 1):
        a = load(k=changes.get("k", 5))
        b = report(a) if changes.get("edge", True) else report()
        if changes.get("rule"):
            b.stop_on(a.failed)
        if changes.get("more"):
            load()

    return w.definition(w.graph)


def test_a_definition_is_json_and_the_same_each_time():
    assert json.loads(json.dumps(definition())) == definition()
    assert differences(definition(), definition()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": 6}, "kwargs of job 'load' was {'k': 5} and is {'k': 6}"),
        ({"edge": False}, "data of job 'report' was ['load'] and is None"),
        ({"rule": True}, "rules of job 'report' was None and is ['STOP on load.failed']"),
        ({"more": True}, "job 'load_2' is new"),
        ({"ends": "never"}, "ends of the workflow was None and is 'never'"),
        ({"stop_on": event("enough")}, "stop_on of the workflow was None and is \"event('enough')\""),
    ],
    ids=["constant", "edge", "rule", "node", "ends", "stop_on"],
)
def test_differences_are_told_in_sentences(changes, words):
    found = differences(definition(), definition(**changes))
    assert words in found
    assert f"job {'load_2'!r} is gone" in differences(definition(more=True), definition()) or "more" not in changes


def test_unknown_options_are_refused_with_close_names():
    with pytest.raises(ParameterError, match="unknown option 'retris' of job 'f'; did you mean 'retries'"):

        @job(retris=3)
        def f(): ...

    with pytest.raises(ParameterError, match="unknown option 'ens' of workflow 'g'; did you mean 'ends'"):

        @workflow(ens="never")
        def g(): ...


def test_the_public_names_are_these():
    assert (af.job, af.workflow, af.event, af.fixed) == (job, workflow, event, fixed)


def in_body(use):
    """Build a workflow whose body does something with its nodes."""

    @workflow
    def body():
        use()

    return body.build()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("suceeded", r"<node load> has no 'suceeded'; did you mean 'succeeded'\?"),
        ("shape", r"<node load> has no value while the graph is built, so \.shape cannot be taken"),
    ],
)
def test_a_node_says_why_it_has_no_such_attribute(name, said):
    with pytest.raises(AttributeError, match=said):
        in_body(lambda: getattr(load(), name))


@pytest.mark.parametrize("use", [lambda node: node + 1, lambda node: 2 * node], ids=["left", "right"])
def test_nothing_can_be_computed_with_a_node(use):
    with pytest.raises(GraphError, match="nothing can be computed with it"):
        in_body(lambda: use(load()))


@pytest.mark.parametrize(
    "use",
    [
        lambda: train(load),
        lambda: train([{"rows": load}]),
        lambda: train.map(load),
        lambda: train.map([1], k=fixed(load)),
        lambda: report().after(load),
        lambda: report().run_if(load),
        lambda: report().start_on(load),
    ],
    ids=["argument", "in a list", "mapped", "fixed", "after", "run_if", "start_on"],
)
def test_a_job_that_was_not_called_is_no_node(use):
    with pytest.raises(GraphError, match=r"<job load>.*call it: load\(…\)"):
        in_body(use)


def test_a_job_says_that_it_is_a_call_of_it_that_has_what_nodes_have():
    with pytest.raises(AttributeError, match=r"<job load> has no 'succeeded', but its call has: load\(…\)\.succeeded"):
        in_body(lambda: report().start_on(load.succeeded))
    with pytest.raises(AttributeError, match=r"<job load> has no 'optoins'; did you mean 'options'\?"):
        load.optoins  # noqa: B018 - it raises
    assert not hasattr(load, "shape")


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: load() >> report(), r"`>>` and `<<` say no order; write report\.after\(load\)"),
        (lambda: report() << load(), r"write report\.after\(load\)"),
        (lambda: load() >> [train(1), report()], r"write other\.after\(load\)"),
        (lambda: [train(1)] >> report(), r"write report\.after\(other\)"),
    ],
    ids=["right", "left", "to a list", "from a list"],
)
def test_arrows_between_nodes_are_told_that_after_says_the_order(use, said):
    with pytest.raises(GraphError, match=said):
        in_body(use)


def test_asking_a_node_whether_it_has_an_attribute_is_answered():
    asked = []
    in_body(lambda: asked.extend(hasattr(load(), name) for name in ("name", "shape", "__array__", "_repr_html_")))
    assert asked == [True, False, False, False]


# --- what can be seen without values ----------------------------------------------------------------------------------


def test_a_body_that_only_hands_a_parameter_on_to_jobs_has_a_graph_without_its_value():
    @workflow
    def inner(depth: int):
        train([depth], depth=depth)

    @workflow
    def flow(path: str, k: int, names: list[str], optional: int = 2):
        train(load(path, k=k), k=optional)
        load.map(names)
        inner(k)

    assert flow.graph.nodes.keys() == ["load", "train", "load_2", "inner.train"]
    assert flow._repr_html_() == flow._repr_svg_() == flow.graph.to_svg()
    first = flow.sketch(k=3).definition()["nodes"][0]
    assert first == {"name": "load", "args": [{"parameter": "path"}], "kwargs": {"k": 3}}
    with pytest.raises(ParameterError, match="no parameter 'q'"):
        flow.sketch(q=1)
    with pytest.raises(ParameterError, match="needs the parameter 'path'"):
        flow.build()


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (lambda n: range(n), "the parameter 'n' has no value, so it is no number yet"),
        (lambda n: 1 if n else 2, "so `if`, `and`, `or` and `not` cannot ask it"),
        (lambda n: list(n), "so it cannot be gone through"),
        (lambda n: n[0], "so [0] cannot be taken"),
        (lambda n: n.upper(), "so .upper cannot be taken"),
        (lambda n: f"{n}.csv", "so it cannot be formatted"),
        (lambda n: n == 2, "so it cannot be compared"),
        (lambda n: open(n), "TypeError: expected str"),
        (lambda n: event(n), "takes a text that is not empty"),
    ],
    ids=["number", "asked", "iterated", "taken", "attribute", "formatted", "compared", "opened", "event"],
)
def test_a_body_that_needs_a_value_has_a_card_that_says_how_its_graph_is_seen(use, why):
    @workflow
    def flow(n: int, db_password: str = "rosebud", k=3):
        """Do it.

        And more.
        """
        use(n)

    with pytest.raises(
        ParameterError, match="the graph of workflow 'flow' cannot be seen without its parameters"
    ) as told:
        _ = flow.graph
    assert why in str(told.value)
    assert str(told.value).endswith("; look at flow.build(n=…), or say -p n=…")
    assert flow._repr_svg_() is None
    page = flow._repr_html_()
    for text in ("flow", "Do it.", "required", "int", "flow.build(n=…)"):
        assert text in page
    assert "rosebud" not in page
    assert "And more" not in page


def test_what_is_wrong_in_a_body_whose_parameters_are_given_is_raised_as_it_is():
    @workflow
    def flow(n: int):
        raise KeyError(n)

    with pytest.raises(KeyError):
        flow.sketch(n=1)
