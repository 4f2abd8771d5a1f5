"""Which version a job with a role works on, and how its calls are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aiflow as af
from aiflow.testing import project_for_tests, run_until_idle, serving

knn = af.Model("knn")
cnn = af.Model("cnn")


@af.train(knn)
def fit(value: Any) -> Any:
    return value


@af.job
def hand_on(value: Any) -> Any:
    return value


@af.evaluate(knn)
def look(model: Any) -> Any:
    return [model]


@af.evaluate(knn)
def score(model: Any, table: Any = "none", *more: Any) -> Any:
    return [model, table, *more]


@af.model_validate(knn)
def accept(model: Any) -> bool:
    return True


@af.push_model(knn)
def push(version: af.ModelVersion) -> None: ...


@af.predict(knn)
def tell(model: Any) -> Any:
    return model


@af.monitor(knn)
def watch(model: Any) -> Any:
    return [model]


@pytest.fixture
def still(tmp_path: Path) -> Iterator[af.Project]:
    """Jobs run inline, and time stands still."""
    with project_for_tests(tmp_path / "home") as project:
        yield project


@pytest.fixture
def models(still: af.Project) -> Any:
    """The model knn with a version of each stage; the object of each is the name of its stage."""
    models = still.models.register(knn)
    for stage in ("GENERATED", "VALIDATED", "DEPLOYED"):
        models.log(stage.lower(), stage=stage)
    return models


def value_of(project: af.Project, body: Any, job: str) -> Any:
    return project.run(af.workflow(body, name="flow", wait_for_models=False)).result(job)


# --- which version ----------------------------------------------------------------------------------------------------


def test_a_version_that_another_job_passes_on_stands_for_the_model(still: af.Project) -> None:
    assert value_of(still, lambda: look(hand_on(hand_on(fit("a")))), "look") == ["a"]


def test_a_version_may_come_by_keyword(still: af.Project) -> None:
    assert value_of(still, lambda: score(table="t", model=fit("a")), "score") == ["a", "t"]


def test_a_version_may_be_an_argument_of_the_workflow_itself(still: af.Project, models: Any) -> None:
    assert value_of(still, lambda: look(models.version(1)), "look") == ["generated"]


@pytest.mark.parametrize(
    ("job", "stage"), [(look, "deployed"), (tell, "deployed"), (watch, "deployed"), (accept, 1), (push, 2)]
)
def test_the_latest_version_of_the_fitting_stage_is_chosen(
    still: af.Project, models: Any, job: af.Job, stage: Any
) -> None:
    found = value_of(still, lambda: job(), job.name)
    assert (found.number if isinstance(found, af.ModelVersion) else found) in (stage, [stage])


def test_evaluate_takes_the_newest_that_is_not_out_of_use(still: af.Project, models: Any) -> None:
    models.log("newer")
    assert value_of(still, lambda: look(), "look") == ["newer"]
    models.deprecate(4)
    assert value_of(still, lambda: look(), "look") == ["deployed"]


def test_the_version_in_the_event_that_started_the_job_is_taken(still: af.Project, models: Any) -> None:
    @af.workflow
    def following() -> None:
        look().start_on(af.event("knn", type="MODEL_*").times(2))

    execution = still.start(following)
    models.log("first")
    still.models.register(cnn).log("another model's")
    models.log("second", stage="VALIDATED")
    models.log("third")  # is there when the job runs, and is not meant
    run_until_idle(still)
    assert execution.result("look") == ["second"]


def test_the_version_in_the_event_that_started_the_execution_is_taken(still: af.Project, models: Any) -> None:
    @af.workflow(start_on=af.event("knn", type="MODEL_GENERATED"))
    def started() -> None:
        accept()

    with serving(still, started):
        models.log("first")
        run_until_idle(still)
        (execution,) = still.executions.list()
        assert str(execution.result("accept")) == "knn:4"


def test_a_version_that_was_deleted_since_its_event_is_not_taken(still: af.Project, models: Any) -> None:
    @af.workflow(start_on=af.event("knn", type="MODEL_DELETED"))
    def started() -> None:
        look()

    with serving(still, started):
        models.delete(1)
        run_until_idle(still)
        (execution,) = still.executions.list()
        assert execution.result("look") == ["deployed"]


# --- calls that can be read both ways ---------------------------------------------------------------------------------


def test_a_call_that_can_be_read_both_ways_is_read_by_what_arrives(still: af.Project, models: Any) -> None:
    assert value_of(still, lambda: score(hand_on("t")), "score") == ["deployed", "t"]
    assert value_of(still, lambda: score(hand_on(fit("a"))), "score") == ["a", "none"]
    assert value_of(still, lambda: score(fit("b"), "t", "u"), "score") == ["b", "t", "u"]
    assert value_of(still, lambda: score(), "score") == ["b", "none"]


def test_a_version_of_another_model_is_an_input_like_any_other(still: af.Project, models: Any) -> None:
    other = still.models.register(cnn).log("x")
    assert value_of(still, lambda: score(hand_on(other)), "score") == ["deployed", other]


def test_a_call_that_fits_neither_way_is_an_error_that_names_both() -> None:
    @af.evaluate(knn)
    def two(model: Any, table: Any) -> Any: ...

    for call, told in (
        (lambda: two(), "nothing is given for 'model' and 'table'.*nothing is given for 'table'"),
        (lambda: two(1, 2, 3), "too many positional arguments.*too many positional arguments"),
        (lambda: two(fit(1)), "nothing is given for 'table'.*its first argument is a version of 'knn' already"),
        (lambda: two(x=1), "unexpected keyword argument 'x'.*unexpected keyword argument 'x'"),
    ):
        with pytest.raises(af.GraphError, match=f"a call of two does not fit two.*with a version of 'knn'.*{told}"):
            af.workflow(call, name="bad").build()


def test_a_function_without_a_place_for_its_model_is_refused() -> None:
    @af.push_model(knn)
    def nothing() -> None: ...

    with pytest.raises(af.GraphError, match=r"nothing is given in its place\).*too many positional arguments"):
        af.workflow(lambda: nothing(), name="bad").build()


def test_what_is_no_version_in_the_place_of_one_fails_the_job(still: af.Project) -> None:
    for value, told in ((3, "something of the type int"), (None, "None")):
        with pytest.raises(af.ExecutionFailed, match=f"look works on a version of 'knn', and {told} came in its place"):
            value_of(still, lambda value=value: look(hand_on(value)), "look")


def test_a_version_that_arrives_where_more_is_needed_fails_the_job(still: af.Project, models: Any) -> None:
    @af.evaluate(knn)
    def two(model: Any, table: Any) -> Any: ...

    with pytest.raises(af.ExecutionFailed, match=r"knn:1 came as the first argument of two.*two\(model"):
        value_of(still, lambda: two(hand_on(models.version(1))), "two")


# --- base and deployed ------------------------------------------------------------------------------------------------


@af.train(knn)
def extend(rows: list[int], base: list[int] | None) -> list[int]:
    return [*(base or []), *rows]


@af.train(knn)
def count(rows: list[int], base: int = 10) -> int:
    return base + len(rows)


def test_a_base_without_a_name_is_the_model_itself_and_none_at_first(still: af.Project) -> None:
    assert value_of(still, lambda: extend([1]), "extend").load() == [1]
    assert value_of(still, lambda: extend([2]), "extend").load() == [1, 2]


def test_at_first_the_default_of_the_function_stands_for_the_base(still: af.Project) -> None:
    assert value_of(still, lambda: count([1]), "count").load() == 11
    assert value_of(still, lambda: count([1]), "count").load() == 12


def test_the_base_is_deployed_before_validated_before_generated(still: af.Project, models: Any) -> None:
    @af.train(cnn, base=knn)
    def start(base: str) -> str:
        return base

    assert value_of(still, lambda: start(), "start").load() == "deployed"
    models.deprecate(3)
    assert value_of(still, lambda: start(), "start").load() == "validated"
    models.deprecate(2)
    assert value_of(still, lambda: start(), "start").load() == "generated"


def test_a_version_that_is_given_as_base_is_loaded(still: af.Project) -> None:
    assert value_of(still, lambda: extend([2], base=extend([1])), "extend_2").load() == [1, 2]


def test_deployed_is_none_at_first_and_may_be_given(still: af.Project, models: Any) -> None:
    @af.model_validate(knn)
    def compare(model: Any, deployed: Any, wanted: Any = None) -> bool:
        return bool(deployed == wanted)

    assert value_of(still, lambda: compare(fit("x"), wanted="deployed"), "compare") is not None
    assert value_of(still, lambda: compare(fit("x"), fit("y"), wanted="y"), "compare") is not None
    models.deprecate(3)
    assert value_of(still, lambda: compare(fit("x")), "compare") is not None


# --- outside of a workflow, and what decorators refuse ----------------------------------------------------------------


def test_outside_of_a_workflow_it_is_the_plain_function() -> None:
    assert (fit(3), look("m"), accept(None), push(None), score(1, 2)) == (3, ["m"], True, None, [1, 2])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: af.train("knn"), r"@af.train takes an af.Model, not 'knn'; write af.Model\('knn'\)"),  # type: ignore[arg-type]
        (lambda: af.train(af.Dataset("iris")), "@af.train takes an af.Model, not Dataset"),  # type: ignore[arg-type]
        (lambda: af.train(fit), r"@af.train needs an af.Model in parentheses: write @af.train\(…\)"),  # type: ignore[arg-type]
        (lambda: af.train(knn, base="cnn"), "base of @af.train takes an af.Model, not 'cnn'"),  # type: ignore[arg-type]
        (lambda: af.monitor("x"), r"takes an af.Model or af.Dataset, not 'x'; write af.Model\('x'\) or af.Dataset"),  # type: ignore[arg-type]
        (lambda: af.read_dataset(knn), "@af.read_dataset takes an af.Dataset, not Model"),  # type: ignore[arg-type]
        (lambda: af.write_artifact(None), "@af.write_artifact takes an af.Artifact, not None"),  # type: ignore[arg-type]
        (lambda: af.train(knn, retry=3)(lambda: 1), "unknown option 'retry' of job '<lambda>'; did you mean"),
        (lambda: af.predict(knn)(fit), r"fit is a job with the role train\(knn\) already"),
    ],
)
def test_a_decorator_refuses_what_does_not_fit(wrong: Any, told: str) -> None:
    with pytest.raises(af.ParameterError, match=told):
        wrong()


def test_a_role_takes_the_options_of_a_job_and_keeps_through_them() -> None:
    @af.train(knn, name="other", retries=2)
    def one() -> int:
        return 1

    assert (one.name, one.spec.retries, str(one.role)) == ("other", 2, "train(knn)")
    assert (one.options(name="third").name, str(one.options(retries=3).role)) == ("third", "train(knn)")
    again = af.evaluate(knn)(af.job(retries=5)(lambda model: 1))
    assert (again.spec.retries, str(again.role)) == (5, "evaluate(knn)")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cache": True}, "does something each time it runs, so it cannot have cache=True"),
        ({"outputs": 2}, "cannot have outputs=2"),
        ({"persist": False}, "persist=False makes no sense"),
    ],
)
def test_37_options_that_make_no_sense_for_a_role_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(af.GraphError, match=told):
        af.workflow(lambda: push.options(**options)(), name="bad").build()


def test_jobs_whose_value_is_a_version_are_not_mapped_but_those_that_train() -> None:
    with pytest.raises(af.GraphError, match="cannot be mapped"):
        af.workflow(lambda: push.map([1, 2]), name="bad").build()


# --- the role is part of the graph ------------------------------------------------------------------------------------


def test_34_the_role_is_part_of_the_definition_and_shown(still: af.Project) -> None:
    graph = af.workflow(lambda: look(fit("a")), name="flow").build()
    assert [node.get("role") for node in graph.definition()["nodes"]] == ["train(knn)", "evaluate(knn)"]
    assert 'fit<br/>train(knn)"' in graph.to_mermaid()
    assert 'label="fit\\ntrain(knn)"' in graph.to_dot()
    assert "train(knn)" in graph.to_svg()
