"""Conditions on the metadata: what they say, which events meet them, and what the machine makes of those."""

import copy
import json
import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.graph.sim import ME, Sim, every_log_replays, news  # noqa: F401 - a fixture for every test
from tests.strategies import examples, metadata_leaves, metric_leaves

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.artifact import Artifact
from aiflow.graph.condition import AskedCondition, Condition, event
from aiflow.graph.dataset import Dataset
from aiflow.graph.event import Event, is_finding
from aiflow.graph.job import job
from aiflow.graph.metadata import ChangeCondition, metric, number_in
from aiflow.graph.model import Model
from aiflow.graph.rule import is_external
from aiflow.graph.workflow import workflow

KNN, IRIS, REPORT = Model("knn"), Dataset("iris"), Artifact("report")
POOR = KNN.metric("accuracy") < 0.9
X = event("x")


@job
def a(): ...


@job
def b(): ...


def one(condition, **options):
    """A workflow of one job that a condition starts."""

    def body():
        a().start_on(condition)

    return workflow(body, **options)


# --- what they say ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (KNN.generated, "knn.generated"),
        (KNN.validated, "knn.validated"),
        (KNN.deployed, "knn.deployed"),
        (KNN.deprecated, "knn.deprecated"),
        (KNN.deleted, "knn.deleted"),
        (IRIS.changed, "iris.changed"),
        (REPORT.changed, "report.changed"),
        (KNN.deployed.now().own(), "knn.deployed.own().now()"),
        (POOR, "knn.metric('accuracy') < 0.9"),
        (IRIS.metric("missing") > 10, "iris.metric('missing') > 10"),
        (metric("loss") >= 0.5, "metric('loss') >= 0.5"),
        (metric("loss", namespace="shop*") <= -1, "metric('loss', namespace='shop*') <= -1"),
        (metric("loss") == 1e300, "metric('loss') == 1e+300"),
        (metric("loss") != math.inf, "metric('loss') != inf"),
        (metric("loss") < 0.5, "metric('loss') < 0.5"),
        (Fraction(1, 2) >= metric("loss"), "metric('loss') <= 0.5"),
        (POOR.now(), "(knn.metric('accuracy') < 0.9).now()"),
        (POOR.own().now().times(2), "(knn.metric('accuracy') < 0.9).own().now().times(2)"),
        (POOR.times(2), "(knn.metric('accuracy') < 0.9).times(2)"),
        (POOR.within(60), "(knn.metric('accuracy') < 0.9).within(60)"),
        (POOR.sticky() & X, "all((knn.metric('accuracy') < 0.9).sticky(), event('x'))"),
        (POOR | IRIS.changed, "any(knn.metric('accuracy') < 0.9, iris.changed)"),
    ],
)
def test_conditions_on_the_metadata_print_as_they_are_written(condition, text):
    assert str(condition) == text


def test_equal_conditions_on_the_metadata_are_equal_and_have_one_place_in_a_set():
    made = [
        KNN.deployed,
        KNN.deployed.now(),
        IRIS.changed,
        Artifact("iris").changed,
        POOR,
        KNN.metric("accuracy") <= 0.9,
    ]
    again = [
        KNN.deployed,
        KNN.deployed.now(),
        IRIS.changed,
        Artifact("iris").changed,
        POOR,
        KNN.metric("accuracy") <= 0.9,
    ]
    assert made == again
    assert len({*made, *again}) == len(made)
    assert Model("knn", description="another").deployed == KNN.deployed
    assert (metric("loss") < 1) == (metric("loss") < 1.0)


@examples(60)
@given(metadata_leaves())
def test_a_condition_on_the_metadata_comes_back_from_json_and_pickle_as_it_was(leaf):
    text = json.dumps(leaf.to_json(), allow_nan=False)
    assert Condition.from_json(json.loads(text)) == leaf
    assert pickle.loads(pickle.dumps(leaf)) == leaf
    assert hash(copy.deepcopy(leaf)) == hash(leaf)


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "change", "name": "knn", "type": "METADATA_CHANGED"},
        {"kind": "change", "name": "knn"},
        {"kind": "metric", "name": "loss", "operator": "=>", "value": 1},
        {"kind": "metric", "name": "loss", "operator": "<", "value": "NaN"},
        {"kind": "metric", "name": "loss", "operator": "<", "value": "many"},
        {"kind": "metric", "name": "loss", "operator": "<", "value": True},
    ],
)
def test_what_is_no_condition_on_the_metadata_is_not_read_as_one(data):
    with pytest.raises(ParameterError, match="not a condition"):
        Condition.from_json(data)


# --- a metric that is compared with nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda m: bool(m),
        lambda m: m and X,
        lambda m: not m,
        lambda m: m & X,
        lambda m: X & m,
        lambda m: m | X,
        lambda m: X | m,
        lambda m: one(m).build(),
        lambda m: workflow(start_on=m)(a),
        lambda m: workflow(stop_on=m)(a),
        lambda m: X & m < 3,
        lambda m: X | m >= 3,
        lambda m: m < 3 & m > 2,
        lambda m: m.now(),
        lambda m: m.times(3),
    ],
    ids=[
        "bool",
        "and",
        "not",
        "& x",
        "x &",
        "| x",
        "x |",
        "start_on",
        "workflow start_on",
        "stop_on",
        "x & m < 3",
        "x | m >= 3",
        "m < 3 & m > 2",
        "now",
        "times",
    ],
)
@pytest.mark.parametrize("made", [KNN.metric("auc"), IRIS.metric("auc"), metric("auc")], ids=repr)
def test_a_metric_that_is_compared_with_nothing_says_so(made, use):
    with pytest.raises((GraphError, ParameterError, AttributeError)) as caught:
        use(made)
    assert f"must be compared with something, in brackets beside & and |: ({made!r} < 0.9)" in str(caught.value)


def test_comparisons_cannot_be_chained():
    with pytest.raises(GraphError, match="use & and"):
        0.5 < metric("loss") < 0.9  # noqa: B015 - the point of it


@pytest.mark.parametrize("other", ["0.9", None, True, [1], 1j, KNN.metric("auc"), POOR], ids=repr)
@pytest.mark.parametrize("compare", ["__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"])
def test_a_metric_compares_with_numbers_only(compare, other):
    with pytest.raises(ParameterError, match="compares with a number, not with"):
        getattr(KNN.metric("accuracy"), compare)(other)


def test_a_metric_is_not_compared_with_what_is_no_value_of_a_float():
    with pytest.raises(ParameterError, match="nothing is less or more than NaN or equal to it"):
        metric("loss") == math.nan  # noqa: B015 - the point of it
    with pytest.raises(ParameterError, match="401 digits"):
        metric("loss") < 10**400  # noqa: B015 - the point of it


@pytest.mark.parametrize("name", ["", " ", "a:b", "l*", 3, None])
def test_a_metric_has_a_name_that_metrics_can_have(name):
    for make in (metric, KNN.metric, IRIS.metric):
        with pytest.raises(ParameterError, match="the name of a metric"):
            make(name)


@pytest.mark.parametrize("namespace", ["", 3])
def test_the_namespace_of_a_metric_is_a_text(namespace):
    with pytest.raises(ParameterError, match="namespace"):
        metric("loss", namespace=namespace)


def test_an_uncompared_metric_can_be_copied_and_is_no_key():
    assert repr(copy.deepcopy(KNN.metric("auc"))) == repr(pickle.loads(pickle.dumps(KNN.metric("auc"))))
    with pytest.raises(TypeError, match="unhashable"):
        hash(metric("loss"))


def test_a_model_in_the_place_of_a_condition_is_told_what_to_say():
    for thing, advice in ((KNN, r"say \.deployed"), (IRIS, r"say \.changed"), (REPORT, r"say \.changed")):
        with pytest.raises(GraphError, match=advice):
            one(thing).build()
        with pytest.raises(GraphError, match=advice):
            X & thing


# --- which events meet them -------------------------------------------------------------------------------------------


def happened(key="knn", kind="MODEL_DEPLOYED", value=None, **fields):
    return Event(1, key, value, kind, **{"namespace": "theirs", **fields})


@pytest.mark.parametrize(
    ("condition", "fields", "fits"),
    [
        (KNN.deployed, {}, True),
        (KNN.deployed, {"kind": "MODEL_VALIDATED"}, False),
        (KNN.deployed, {"kind": "METADATA_CHANGED"}, False),
        (KNN.deployed, {"kind": "UNDEFINED"}, False),
        (KNN.deployed, {"key": "svm"}, False),
        (KNN.deployed.own(), {"execution_id": "me"}, True),
        (KNN.deployed.own(), {"execution_id": "you"}, False),
        (KNN.deployed.own(), {}, False),
        (IRIS.changed, {"key": "iris", "kind": "DATASET_CHANGED"}, True),
        (IRIS.changed, {"key": "iris", "kind": "ARTIFACT_CHANGED"}, False),
        (REPORT.changed, {"key": "report", "kind": "ARTIFACT_CHANGED", "context": "me"}, True),
        (REPORT.changed, {"key": "report", "kind": "METADATA_CHANGED"}, False),
    ],
)
def test_3_which_changes_meet_a_condition_in_whatever_namespace(condition, fields, fits):
    assert condition.fits(happened(**fields), "ours", "me") is fits


def logged(value, model=None, dataset=None, **fields):
    said = {"value": value, "model": model, "number": None, "dataset": dataset, "dataset_number": None}
    return happened("loss", "METRIC_LOGGED", said, **fields)


@pytest.mark.parametrize(
    ("condition", "event", "fits"),
    [
        (metric("loss") < 1, logged(0.5), False),
        (metric("loss") < 1, logged(0.5, namespace="ours"), True),
        (metric("loss") < 1, logged(0.5, "svm", "iris", namespace="ours"), True),
        (metric("loss", namespace="th*") < 1, logged(0.5), True),
        (metric("loss", namespace="th*") < 1, logged(0.5, namespace="ours"), False),
        (KNN.metric("loss") < 1, logged(0.5, "knn"), True),
        (KNN.metric("loss") < 1, logged(0.5, "knn", "iris"), True),
        (KNN.metric("loss") < 1, logged(1.5, "knn"), False),
        (KNN.metric("loss") < 1, logged(0.5, "svm"), False),
        (KNN.metric("loss") < 1, logged(0.5, namespace="ours"), False),
        (IRIS.metric("loss") < 1, logged(0.5, "knn", "iris"), True),
        (IRIS.metric("loss") < 1, logged(0.5, "iris"), False),
        ((KNN.metric("loss") < 1).own(), logged(0.5, "knn"), False),
        ((KNN.metric("loss") < 1).own(), logged(0.5, "knn", execution_id="me"), True),
        (KNN.metric("auc") < 1, logged(0.5, "knn"), False),
        (metric("loss") != 1, happened("loss", "METRIC_LOGGED", "odd", namespace="ours"), False),
        (metric("loss") != 1, happened("loss", "METRIC_LOGGED", {}, namespace="ours"), False),
        (metric("loss") != 1, logged(True, namespace="ours"), False),
        (metric("loss") != 1, logged("2", namespace="ours"), False),
        (metric("loss") != 1, happened("loss", "MINE", {"value": 2}, namespace="ours"), False),
    ],
)
def test_3_which_values_meet_a_condition(condition, event, fits):
    assert condition.fits(event, "ours", "me") is fits


@examples(100)
@given(metric_leaves(), st.floats() | st.integers())
def test_a_value_meets_what_is_true_of_it_and_nan_meets_only_unequal(leaf, number):
    said = number if not isinstance(number, float) or math.isfinite(number) else "NaN"
    said = said if said != "NaN" or math.isnan(number) else f"{'-' if number < 0 else ''}Infinity"
    found = leaf.fits(Event(1, leaf.name, {**news(leaf), "value": said}, leaf.type, execution_id="me"), "default", "me")
    limit = float(leaf.value)
    value = number_in(number)
    true = {
        "<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit, "==": value == limit,
        "!=": value != limit,
    }  # fmt: skip
    assert found is true[leaf.operator]
    if said == "NaN":
        assert found is (leaf.operator == "!=")


def test_numbers_are_those_of_json_and_three_texts():
    assert [number_in(v) for v in (1, 2.5, "Infinity", "-Infinity", 10**400, -(10**400))] == [
        1.0, 2.5, math.inf, -math.inf, math.inf, -math.inf,
    ]  # fmt: skip
    assert math.isnan(number_in("NaN"))
    assert [number_in(v) for v in (None, True, "1", "inf", [], {})] == [None] * 6


def test_an_event_condition_without_a_type_is_met_by_changes_of_what_has_that_name_too():
    for kind in ("MODEL_DEPLOYED", "METADATA_CHANGED", "METRIC_LOGGED", "UNDEFINED"):
        assert event("knn").fits(happened(kind=kind, namespace="ours"), "ours", "me")
    assert not event("knn").fits(happened(), "ours", "me")
    assert event("knn", type="MODEL_*", namespace="*").fits(happened(), "ours", "me")


# --- what is so at the start ------------------------------------------------------------------------------------------


def test_what_was_found_at_the_start_is_for_the_conditions_that_asked_for_it_and_for_no_other():
    asked = KNN.deployed.now()
    found = happened(context="me", execution_id="me", sender=str(asked))
    assert is_finding(found)
    assert asked.fits(found, "ours", "me")
    deaf = [
        KNN.deployed, KNN.deployed.own().now(), KNN.validated.now(), KNN.deployed.own(), event("knn"), event("*", namespace="*"),
        event("knn", type="MODEL_DEPLOYED", namespace="*"), AskedCondition(lambda e, s: True),
    ]  # fmt: skip
    assert not any(leaf.fits(found, "theirs", "me") for leaf in deaf)
    assert not asked.fits(found, "ours", "you")
    assert asked.fits(happened(), "ours", "me")
    same = happened(context="me", execution_id="me", sender="a job")
    assert not is_finding(same)
    assert KNN.deployed.fits(same, "ours", "me"), "a job that publishes such an event itself says what has happened"


def test_now_is_met_by_what_is_so_and_the_event_says_the_same_as_the_one_then():
    sim = Sim(one(KNN.deployed.now()), is_so=True)
    first, found = sim.events[:2]
    assert first.value == {"status": "RUNNING", "findings": 1}
    assert (found.key, found.type, found.sender) == ("knn", "MODEL_DEPLOYED", "knn.deployed.now()")
    assert sim.starts["a", 1].events == (found.offset,)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_now_waits_for_a_change_if_nothing_is_so():
    sim = Sim(one(KNN.deployed.now()))
    assert sim.changes("a") == []
    sim.change(KNN.deployed)
    assert sim.changes("a") == ["RUNNING"]


def test_without_now_what_is_so_does_not_count():
    sim = Sim(one(KNN.deployed & POOR.now()), is_so=True)
    assert sim.changes("a") == []
    sim.change(KNN.deployed)
    assert sim.causes("a") == ["accuracy", "knn"]


@pytest.mark.parametrize("ends", [None, "quiet", "never"])
def test_20_an_execution_does_not_end_before_it_knows_all_that_is_so(ends):
    sim = Sim(one(KNN.deployed.now() & IRIS.changed.now() & POOR.now(), ends=ends), is_so=True)
    assert sim.causes("a") == ["knn", "iris", "accuracy"]
    sim.end("a")
    assert sim.status == ("RUNNING" if ends == "never" else "SUCCESS")


def test_20_what_is_so_and_is_not_enough_lets_a_quiet_execution_end():
    sim = Sim(one(KNN.deployed.now() & X, ends="quiet"), is_so=True)
    assert sim.status == "SUCCESS"
    assert sim.statuses()["a"] is None


def test_what_is_so_can_stop_an_execution_before_anything_runs():
    @workflow(stop_on=KNN.deployed.now())
    def w():
        a()
        b().start_on(IRIS.changed.now())

    sim = Sim(w, is_so=True, hold=True)
    assert sim.status == "STOPPED"
    assert sim.story() == ["RUNNING", "iris", "knn", "STOPPING", "STOPPED"]
    assert sim.running() == []


def test_what_is_so_stops_a_job_that_waits_for_its_turn():
    @workflow
    def w():
        a().stop_on(KNN.deployed.now())

    sim = Sim(w, is_so=True, hold=True)
    assert sim.changes("a") == ["SKIPPED"]
    assert sim.status == "SUCCESS"


def test_what_is_so_restarts_a_job_that_has_not_begun_once():
    @workflow
    def w():
        a().restart_on(KNN.deployed.now())

    sim = Sim(w, is_so=True, hold=True)
    sim.start("a")
    sim.end("a")
    assert sim.story("a") == ["a RUNNING", "a SUCCESS"]
    assert sim.causes("a") == ["knn"]


def test_two_rules_that_ask_for_the_same_are_told_once():
    @workflow
    def w():
        a().start_on(KNN.deployed.now())
        b().start_on(KNN.deployed.now().times(1) & IRIS.changed.now())

    sim = Sim(w, is_so=True)
    assert [e.key for e in sim.events if is_finding(e)] == ["knn", "iris"]
    assert sim.running() == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("condition", "causes"),
    [
        (POOR.now().times(2), ["accuracy", "accuracy"]),
        (POOR.now().sticky() & X, ["accuracy", "x"]),
        ((POOR.now() & X).within(60), ["accuracy", "x"]),
        (POOR.now().own() | X, ["x"]),
    ],
    ids=str,
)
def test_what_is_so_counts_in_every_combination(condition, causes):
    sim = Sim(one(condition), is_so=True)
    assert sim.changes("a") == []
    if "x" in causes:
        sim.publish("x")
    else:
        sim.change(POOR)
    assert sim.causes("a") == causes


# --- the rules --------------------------------------------------------------------------------------------------------


def started_while_busy(condition, **options):
    @workflow
    def w():
        a.options(**options)().start_on(condition)

    sim = Sim(w)
    (leaf,) = condition.leaves()
    offsets = [sim.change(leaf).offset for _ in range(3)]
    while sim.running():
        sim.end("a")
    return [sim.starts["a", n].events for n in range(1, sim.state.job("a").number + 1)], offsets


@pytest.mark.parametrize("condition", [POOR, POOR.sticky(), metric("loss") > 1, IRIS.metric("missing") != 0], ids=str)
def test_14_starts_by_metrics_become_one_that_waits_unless_the_job_says_otherwise(condition):
    starts, (first, *others) = started_while_busy(condition)
    assert starts == [(first,), tuple(others)]
    starts, offsets = started_while_busy(condition, if_running="queue")
    assert starts == [(offset,) for offset in offsets]


@pytest.mark.parametrize("condition", [KNN.deployed, IRIS.changed, REPORT.changed, KNN.generated], ids=str)
def test_14_starts_by_changes_of_the_metadata_queue_each_with_its_own_event(condition):
    starts, offsets = started_while_busy(condition)
    assert starts == [(offset,) for offset in offsets]


@pytest.mark.parametrize("condition", [KNN.deployed, IRIS.changed, POOR, metric("loss") > 1], ids=str)
def test_20_a_node_that_waits_for_the_metadata_is_live_but_for_what_its_execution_alone_may_cause(condition):
    assert all(is_external(leaf) for leaf in condition.leaves())
    assert not any(is_external(leaf) for leaf in condition.own().leaves())
    waiting = Sim(one(condition))
    assert waiting.status == "RUNNING"
    alone = Sim(one(condition.own()))
    assert (alone.status, alone.statuses()) == ("SUCCESS", {"a": "SKIPPED"})

    @workflow
    def w():
        b()
        a().start_on(condition.own())

    caused, over = Sim(w), Sim(w)
    (leaf,) = condition.leaves()
    caused.change(leaf, execution_id=ME)
    assert caused.running() == [("b", 1), ("a", 1)]
    over.change(leaf)
    over.end("b")
    assert over.statuses()["a"] == "SKIPPED", "nobody is left who could"


def test_20_an_execution_that_has_run_all_its_jobs_is_over_though_more_could_come():
    sim = Sim(one(KNN.deployed))
    sim.change(KNN.deployed)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_the_index_finds_them_by_their_names():
    plan = Sim(one(KNN.deployed & POOR & IRIS.changed.now(), stop_on=metric("loss") > 1)).plan
    assert set(plan.by_key) == {"knn", "accuracy", "iris", "loss"}
    assert plan.patterns == []
    assert plan.asking_now == [IRIS.changed.now()]


def test_a_change_is_of_a_type_that_there_is():
    with pytest.raises(ValueError, match="MINE"):
        ChangeCondition("knn", "MINE")
