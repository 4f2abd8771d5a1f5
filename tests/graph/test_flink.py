"""Jobs on Flink as they are declared: their options, their environments, and what is refused. Nothing here needs PyFlink."""

from __future__ import annotations

import functools
import json
import pickle
import types
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aiflow as af
from aiflow.cli.tree import draw_tree
from aiflow.graph.building import differences
from aiflow.graph.environments import call, environments_of
from aiflow.graph.flink import FlinkJar, FlinkObserved, FlinkSql
from aiflow.graph.flink_options import FlinkOptions
from aiflow.graph.flink_sql import split_statements, sql_type

if TYPE_CHECKING:
    from pyflink import table
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import Table, TableEnvironment

KNN, RAW = af.Model("knn"), af.Dataset("raw", uri="raw.csv", format="csv")
ID = "a75e3cbdd2fee1a5a5d2ee5d5a0f9b36"
URL = "http://127.0.0.1:8081"


@af.flink_job
def clean(t_env: TableEnvironment, rows: list[int], k: int = 2) -> Table:
    return t_env, rows, k


@af.flink_job(stream=True)
def enrich(env: StreamExecutionEnvironment, source: str): ...


@af.job
def load():
    return [1]


def graph(body: Any, **options: Any) -> af.Graph:
    return af.workflow(**options)(body).graph


def refused(body: Any, *texts: str, error: type[Exception] = af.GraphError) -> None:
    with pytest.raises(error) as found:
        graph(body)
    for text in texts:
        assert text in str(found.value)


@af.flink_job
def misnamed(table_env): ...


@af.flink_job
def rightly(t_env, rows): ...


def test_a_call_that_does_not_fit_says_how_a_parameter_is_known_as_an_environment():
    refused(lambda: misnamed(), "missing a required argument: 'table_env'", "named t_env or env")
    refused(
        lambda: rightly(None, [1]), "too many positional arguments", "Flink's environment comes to 't_env' by itself"
    )


# --- options ----------------------------------------------------------------------------------------------------------


def test_a_flink_job_is_a_job_with_the_runner_flink_and_options_of_its_own():
    def f(t_env): ...

    given = {"target": f"{URL}/", "python": Path("/usr/bin/python3"), "parallelism": 2, "fresh": True}
    told = af.flink_job(**given, lost_after=timedelta(minutes=2), retries=1)(f)
    same = af.job(runner="flink", **given, lost_after=120, retries=1)(f)
    assert told.spec == same.spec
    assert told.spec.flink == FlinkOptions(
        target=URL, python="/usr/bin/python3", parallelism=2, fresh=True, lost_after=120.0
    )
    assert (told.spec.runner, told.spec.retries) == ("flink", 1)
    assert clean.spec.flink == FlinkOptions()
    assert load.spec.flink is None


def test_values_of_the_configuration_are_written_as_flink_writes_them():
    config = {"python.profile.enabled": True, "taskmanager.numberOfTaskSlots": 2, "a": "b"}
    found = af.flink_job(config=config)(len).spec.flink.config
    assert found == {"python.profile.enabled": "true", "taskmanager.numberOfTaskSlots": "2", "a": "b"}


def test_options_of_one_call_change_what_they_name():
    there = clean.options(target=URL, parallelism=3)
    assert there.options(fresh=True).spec.flink == FlinkOptions(target=URL, parallelism=3, fresh=True)
    assert there.options(name="other", retries=1).spec.flink == there.spec.flink
    assert clean.spec.flink == FlinkOptions()
    assert af.flink_job(clean, parallelism=4).spec.flink.parallelism == 4


def test_a_job_can_be_taken_to_flink_and_back_for_one_call():
    assert load.options(runner="flink", target=URL).spec.flink == FlinkOptions(target=URL)
    back = clean.options(runner="thread")
    assert back.spec.flink is None
    assert back.environments == {}


def test_flink_s_options_are_refused_on_another_runner_in_words_that_say_what_to_write():
    for options, runner in ({"target": URL}, "thread"), ({"parallelism": 2, "runner": "process"}, "process"):
        with pytest.raises(af.ParameterError, match=f"is for jobs on Flink, and its runner is '{runner}'") as found:
            af.job(**options)(len)
        assert "@af.flink_job" in str(found.value)
    for change in ({"fresh": True}, {"runner": "process", "fresh": True}):
        with pytest.raises(af.ParameterError, match="'fresh' of job 'load' is for jobs on Flink"):
            load.options(**change)
    with pytest.raises(af.ParameterError, match="is for jobs on Flink"):
        clean.options(runner="thread", target=URL)
    with pytest.raises(af.ParameterError, match="runner of @af.flink_job is always 'flink', not 'thread'"):
        af.flink_job(runner="thread")
    with pytest.raises(af.ParameterError, match="did you mean 'parallelism'"):
        af.flink_job(paralelism=2)(len)
    with pytest.raises(af.ParameterError, match="unknown option 'flink'"):
        af.job(flink=FlinkOptions())(len)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "host:8081"}, "'local', the cluster of the project's home, or the address of a session cluster"),
        ({"target": "host:8081"}, "does not begin with http:// or https://; write 'http://host:8081'"),
        ({"target": "http://user:pass@host:8081"}, "write one like 'http://host:8081'"),
        ({"target": None}, "not None"),
        ({"config": ["a"]}, "a dict of Flink's keys"),
        ({"config": {"a": [1]}}, r"\['a'\] of|\['a'\] must be a text"),
        ({"parallelism": 0}, "whole number ≥ 1"),
        ({"parallelism": True}, "whole number ≥ 1"),
        ({"python": ""}, "path of a Python interpreter"),
        ({"fresh": "yes"}, "True or False"),
        ({"lost_after": -1}, "seconds ≥ 0"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(options: dict[str, Any], text: str):
    with pytest.raises(af.ParameterError, match=text):
        af.flink_job(**options)(len)


def test_a_workflow_can_say_that_its_jobs_run_on_flink():
    @af.job
    def count(t_env, n): ...

    def body():
        count(3)
        af.command("true")
        load.options(runner="process")()

    nodes = graph(body, runner="flink").nodes
    assert [node.options.runner for node in nodes] == ["flink", "command", "process"]
    assert [node.options.flink for node in nodes] == [FlinkOptions(), None, None]
    assert nodes["count"].job.environments == {"t_env": "table"}
    assert count.environments == {}


# --- environments -----------------------------------------------------------------------------------------------------


def made(name: str, module: str) -> type:
    return types.new_class(name, (), {}, lambda ns: ns.update(__module__=module))


def test_environments_are_known_by_annotations_that_nothing_resolves():
    def f(a: TableEnvironment, b: table.StreamTableEnvironment, c: StreamExecutionEnvironment | None, d, e: str): ...

    f.__annotations__["d"] = "Optional['TableEnvironment']"
    assert environments_of(f) == {"a": "table", "b": "stream_table", "c": "stream", "d": "table"}
    assert clean.environments == {"t_env": "table"}
    assert enrich.environments == {"env": "stream"}


def test_environments_are_known_by_the_classes_themselves_and_not_by_classes_named_alike():
    def f(a, b, c, d): ...

    theirs, ours = made("TableEnvironment", "pyflink.table.table_environment"), made("TableEnvironment", "lab.tables")
    f.__annotations__.update(a=theirs, b=ours, c=theirs | None, d=list[theirs])
    assert environments_of(f) == {"a": "table", "c": "table"}


def test_a_text_that_names_something_in_the_module_means_that():
    def f(t_env: TE, b: TableEnvironment, c: lab.TableEnvironment): ...  # noqa: F821

    theirs, ours = made("TableEnvironment", "pyflink.table.table_environment"), made("TableEnvironment", "lab.tables")
    names = {"TE": theirs, "TableEnvironment": ours, "lab": types.SimpleNamespace(TableEnvironment=ours)}
    there = types.FunctionType(f.__code__, names, "f")
    there.__annotations__ = f.__annotations__
    assert environments_of(there) == {"t_env": "table"}


def test_an_annotation_that_says_nothing_leaves_it_to_the_names_t_env_and_env():
    def f(t_env: Any, rows: Any, *, env: unresolved.Any): ...  # noqa: F821
    def g(env: Any, t_env: dict[str, Any]): ...

    assert environments_of(f) == {"env": "stream", "t_env": "stream_table"}
    assert environments_of(g) == {"env": "stream"}


def test_without_annotation_the_names_t_env_and_env_say_it():
    assert environments_of(lambda t_env, rows: 0) == {"t_env": "table"}
    assert environments_of(lambda t_env, rows: 0, is_stream=True) == {"t_env": "stream_table"}
    assert environments_of(lambda env, t_env: 0) == {"env": "stream", "t_env": "stream_table"}
    assert environments_of(lambda *env, **t_env: 0) == {}

    def f(env: dict[str, str], t_env: str): ...

    assert environments_of(f) == {}
    assert environments_of(print) == environments_of(functools.partial(f, {})) == {}


def test_a_call_leaves_the_environment_out_wherever_it_stands():
    def first(t_env, rows, k=2): ...
    def last(rows, k=2, t_env=None): ...
    def named(rows, *, t_env, k=2): ...

    def body():
        for f in (first, last, named):
            af.flink_job(f)(load(), k=3)

    assert str(af.flink_job(named).signature) == "(rows, *, k=2)"
    assert graph(body).nodes.keys() == ["load", "first", "load_2", "last", "load_3", "named"]
    refused(lambda: clean(), "the call of <node clean> does not fit clean(rows", "missing a required argument: 'rows'")
    refused(lambda: clean("t_env", [1], 2), "too many positional arguments")


def test_the_environment_is_put_where_it_belongs():
    def first(t_env, /, rows, *more, k=2, **others):
        return t_env, rows, more, k, others

    def last(rows, k=2, t_env=None):
        return rows, k, t_env

    there = {"t_env": "T"}
    assert call(first, there, (1, 2, 3), {"k": 4, "x": 5}) == ("T", 1, (2, 3), 4, {"x": 5})
    assert call(last, there, (1,), {}) == (1, 2, "T")
    assert call(len, {}, ([1],), {}) == 1
    with pytest.raises(TypeError, match="missing a required argument: 'rows'"):
        call(last, there, (), {})


def test_outside_a_body_a_job_on_flink_is_the_plain_function():
    assert clean("T", [1]) == ("T", [1], 2)


def test_roles_read_calls_without_the_environment():
    @af.predict(KNN, runner="flink", parallelism=2)
    def first(t_env, model, rows): ...

    @af.predict(KNN, runner="flink")
    def last(model, rows, t_env: TableEnvironment): ...

    @af.write_dataset(RAW)
    @af.flink_job
    def write(t_env, dataset): ...

    def body():
        rows = load()
        for score in (first, last):
            score(rows)
            score(rows, rows)
        write()

    nodes = graph(body).nodes
    assert [str(nodes[name].place) for name in ("first", "first_2", "last", "last_2", "write")] == [
        "chosen", "given", "chosen", "given", "none",
    ]  # fmt: skip
    assert nodes["first"].options.flink == FlinkOptions(parallelism=2)
    refused(lambda: first(), "neither with a version of 'knn' in the first place", "first(model, rows)")


# --- streams, and what is refused -------------------------------------------------------------------------------------


def test_a_plain_function_can_be_a_stream_on_flink_and_others_follow_its_status():
    def body():
        stream = enrich("topic")
        clean([1]).start_on(stream.running)
        load().after(stream)

    nodes = graph(body).nodes
    assert nodes["enrich"].job.is_stream
    assert graph(body).edges == [("enrich", "clean", "rule", "start on running"), ("enrich", "load", "after", "")]


def test_nobody_gets_items_of_a_stream_on_flink():
    @af.job
    def total(items: af.Stream): ...

    words = "wants the items of <node enrich>", "af.flink.publish", "enrich.watermark", ".after(enrich)"
    refused(lambda: clean(enrich("topic")), *words)
    refused(lambda: total(enrich("topic")), *words)
    refused(lambda: load().run_if(enrich("topic")), *words)


def test_what_cannot_run_on_flink_is_refused():
    async def later(t_env): ...

    def items(t_env):
        yield 1

    def stream(t_env, items: af.Stream): ...

    refused(lambda: af.flink_job(later)(), "runs on Flink, and its function is an async def", "write def")
    refused(lambda: af.flink_job(items)(), "its function yields", "stream=True")
    refused(lambda: af.flink_job(stream)(load()), "'items' is an af.Stream", "once for each item")
    refused(lambda: clean.map([1, 2]), "cannot be mapped", "parallelism=")
    refused(lambda: enrich.options(cache=True)("a"), "cache=True")
    refused(lambda: enrich.options(outputs=2)("a"), "outputs=2")
    refused(lambda: af.train(KNN)(enrich)("a"), "no value; so it cannot make a model by train(knn)")
    assert len(graph(lambda: clean.options(cache=True, outputs=2)([1]))) == 1


# --- SQL --------------------------------------------------------------------------------------------------------------


def shout(text: str) -> str:
    return text.upper()


def test_sql_is_a_node_whose_program_can_be_pickled():
    def body():
        af.flink_sql("SELECT 1; SELECT 2", {"shout": shout}, name="words", target=URL).restart_on(KNN.deployed)
        af.flink_sql(["SELECT 3"])

    nodes = graph(body).nodes
    assert nodes.keys() == ["words", "flink_sql"]
    program = nodes["words"].job.function
    assert program == FlinkSql(("SELECT 1", "SELECT 2"), {"shout": shout})
    assert pickle.loads(pickle.dumps(program)) == program
    assert nodes["words"].options.flink == FlinkOptions(target=URL)
    with pytest.raises(af.GraphError, match="the runner of its job must be 'flink'"):
        program()


def test_statements_are_taken_apart_at_semicolons_but_not_in_texts_comments_and_sets():
    sql = """-- first; of all
    CREATE TABLE `a;b` (x STRING) WITH ('path' = 'it''s;here'); /* nothing; */ ;
    EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;
    SELECT /*+ OPTIONS('a'=';') */ "x" FROM `a;b`"""
    first, both, last = split_statements(sql)
    assert first.endswith("'it''s;here')")
    assert both.startswith("EXECUTE STATEMENT SET BEGIN")
    assert both.endswith("SELECT 2; END")
    assert last.startswith("SELECT /*+ OPTIONS")
    assert split_statements(["SELECT 1;", "SELECT 2;SELECT 3"]) == ("SELECT 1", "SELECT 2", "SELECT 3")


def test_a_plain_function_for_sql_says_by_its_annotation_what_it_gives():
    def f() -> date: ...
    def g() -> dict[str, list[Decimal]]: ...
    def h() -> float | None: ...
    def i(): ...
    def j() -> object: ...

    assert [sql_type(x) for x in (shout, f, g, h)] == [
        "STRING",
        "DATE",
        "MAP<STRING, ARRAY<DECIMAL(38, 18)>>",
        "DOUBLE",
    ]
    f.__annotations__["return"] = list[bool]
    assert sql_type(f) == "ARRAY<BOOLEAN>"
    for wrong in (i, j):
        with pytest.raises(af.ParameterError, match="udf"):
            sql_type(wrong)


def test_what_is_no_sql_is_refused():
    refused(lambda: af.flink_sql([load()]), "no part of af.flink_sql", "t_env.execute_sql")
    refused(lambda: af.flink_sql("SELECT 1", {"f": load()}), "no value while the graph is built")
    for statements, udfs, text in [
        ("SELECT 1", "SELECT 2", "several statements are one text, with ; between them, or one list"),
        (" ; -- nothing", None, "there is none in"),
        (3, None, "a text of SQL statements"),
        ("SELECT 1", {"no name": shout}, "a name that SQL can call it by"),
        ("SELECT 1", {"f": 3}, "cannot be called"),
        ("SELECT 1", {"f": lambda x: x}, "does not say what it returns"),
        ("SELECT 1", [shout], "must be a dict"),
    ]:
        refused(lambda s=statements, u=udfs: af.flink_sql(s, u), text, error=af.ParameterError)
    refused(lambda: af.flink_sql("SELECT 1", runner="thread"), "always 'flink'", error=af.ParameterError)
    for make in (lambda: af.flink_sql("a"), lambda: af.flink_jar("a.jar"), lambda: af.observe_flink(ID, URL)):
        with pytest.raises(af.GraphError, match="inside a workflow body only"):
            make()


# --- jars, and jobs of others -----------------------------------------------------------------------------------------


def test_a_jar_is_a_node_named_as_its_class_or_file():
    def body():
        af.flink_jar("libs/app.jar", "com.example.Count", ["--n", 3, Path("in"), af.Secret("env:TOKEN")], parallelism=2)
        af.flink_jar(Path("other-1.2.jar"))

    nodes = graph(body).nodes
    assert nodes.keys() == ["Count", "other-1_2"]
    args = ("--n", "3", "in", af.Secret("env:TOKEN"))
    assert nodes["Count"].job.function == FlinkJar("libs/app.jar", "com.example.Count", args)
    assert nodes["Count"].options.flink == FlinkOptions(parallelism=2)


def test_what_is_no_jar_is_refused():
    refused(lambda: af.flink_jar("a.jar", args=[load()]), "no part of af.flink_jar")
    for args in [("app.py",), ("a.jar", 3), ("a.jar", None, "--n 3"), ("a.jar", None, [None])]:
        refused(lambda a=args: af.flink_jar(*a), "af.flink_jar", error=af.ParameterError)


def test_a_job_of_somebody_else_is_watched_by_its_id_or_by_what_a_job_gives():
    def body():
        af.observe_flink(ID, URL, name="theirs", interval=timedelta(seconds=5))
        af.observe_flink(load(), f"{URL}/", lost_after=5)

    nodes = graph(body).nodes
    assert nodes["theirs"].job.function == FlinkObserved(ID, URL, 5.0)
    assert nodes["observe_flink"].job.function == FlinkObserved(None, URL, 1.0)
    assert nodes["observe_flink"].data == (nodes["load"],)
    assert nodes["observe_flink"].options.flink == FlinkOptions(target=URL, lost_after=5.0)


def test_what_nobody_can_watch_is_refused():
    for args, options, text in [
        (("job",), {}, "32 hexadecimal digits"),
        ((3,), {}, "a text, or a node"),
        ((ID,), {"parallelism": 2}, "'parallelism' says nothing there"),
        ((ID,), {"target": URL}, "'target' says nothing there"),
    ]:
        refused(lambda a=args, o=options: af.observe_flink(*a, URL, **o), text, error=af.ParameterError)
    refused(lambda: af.observe_flink(ID, "local"), "'local'", error=af.ParameterError)
    refused(lambda: af.observe_flink(ID, "host"), "http://host:8081", error=af.ParameterError)


# --- what decides about structure -------------------------------------------------------------------------------------


def test_the_definition_names_what_runs_where():
    def body():
        clean.options(target=URL, config={"s3.secret-key": "x", "a": "b"})([1])
        af.flink_sql("SELECT f(1)", {"f": shout})
        af.flink_jar("app.jar", "App", [af.Secret("env:TOKEN"), "x"])
        af.observe_flink(ID, URL)

    told = json.loads(json.dumps(graph(body).definition()))["nodes"]
    assert told == [
        {"name": "clean", "args": [[1]], "flink": {"target": URL, "config": {"s3.secret-key": "***", "a": "b"}}},
        {"name": "flink_sql", "statements": ["SELECT f(1)"], "udfs": ["f"]},
        {"name": "App", "jar": {"path": "app.jar", "entry_class": "App", "args": [{"secret": "env:TOKEN"}, "x"]}},
        {"name": "observe_flink", "observes": ID, "flink": {"target": URL}},
    ]


def test_another_statement_or_target_is_another_structure_and_another_function_is_not():
    def other(t_env, rows, k=2): ...

    def of(statement: str, target: str, function: Any = clean) -> dict[str, Any]:
        def body():
            af.flink_sql(statement, name="sql")
            function.options(name="clean", target=target)([1])

        return graph(body).definition()

    old = of("SELECT 1", "local")
    assert differences(old, of("SELECT 1", "local", af.flink_job(name="clean")(other))) == []
    assert differences(old, of("SELECT 2", "local")) == ["statements of job 'sql' was ['SELECT 1'] and is ['SELECT 2']"]
    assert "flink of job 'clean' was None" in differences(old, of("SELECT 1", URL))[0]


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_mark_what_runs_on_flink_and_say_what_it_is():
    def body():
        rows = clean.options(target=URL)(load())
        af.flink_sql("SELECT 1", name="sql").after(rows)
        af.flink_jar("app.jar").after(rows)
        af.observe_flink(ID, URL, name="theirs")

    drawn = graph(body)
    assert drawn.to_svg().count('<path class="flink"') == 4
    assert graph(load).to_svg().count('<path class="flink"') == 0
    for text in ("clean<br/>flink", "sql<br/>flink sql", "app<br/>flink jar", "theirs<br/>watches flink"):
        assert f'["{text}"]' in drawn.to_mermaid()
    assert f"runner: flink\\ntarget: {URL}" in drawn.to_dot()
    assert draw_tree(drawn).splitlines() == [
        "load",
        "└─ clean  (flink)",
        "   ├─ sql  (flink sql)",
        "   └─ app  (flink jar)",
        "theirs  (watches flink)",
    ]


def test_passwords_in_statements_are_kept_out_of_the_definition():
    def body():
        af.flink_sql("CREATE TABLE t (x INT) WITH ('username' = 'me', 'password'='it''s', 's3.access-key' = 'k')")

    (node,) = graph(body).definition()["nodes"]
    assert node["statements"][0].endswith("('username' = 'me', 'password'='***', 's3.access-key' = '***')")
