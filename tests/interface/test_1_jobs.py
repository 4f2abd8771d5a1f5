"""The public interface, sentence by sentence: 1. Jobs."""

import asyncio
import itertools
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.children import is_alive, until

import aiflow as af


@af.job
def load(count: int = 3) -> list[int]:
    return list(range(count))


@af.job
def train(rows: list[int], k: int = 1) -> int:
    return sum(rows) * k


@af.job
def give(value: Any = None, *more: Any, **named: Any) -> Any:
    return value


def test_outside_a_body_a_decorated_function_is_the_plain_function() -> None:
    assert train([1, 2], k=3) == 9
    assert [load.options(retries=3)(2), load(count=1)] == [[0, 1], [0]]


def test_inside_a_body_a_call_adds_a_node_and_nodes_among_the_arguments_make_data_edges() -> None:
    @af.workflow
    def w() -> None:
        a, b, c = load(), load(), load()
        node = give([a, 1], (b,), more={"c": c, "d": {"e": a}}, plain=5)
        assert isinstance(node, af.Node)

    assert {(e.source, e.target) for e in w.graph.edges if e.kind == "data"} == {
        ("load", "give"), ("load_2", "give"), ("load_3", "give"),
    }  # fmt: skip


def test_values_take_the_place_of_nodes_in_lists_tuples_and_dicts(project: af.Project) -> None:
    @af.workflow
    def w() -> None:
        rows = load(2)
        give({"list": [rows, 1], "tuple": (rows, "x"), "dict": {"deep": [rows]}})

    expected = {"list": [[0, 1], 1], "tuple": ([0, 1], "x"), "dict": {"deep": [[0, 1]]}}
    assert project.run(w).result("give") == expected


def test_a_constant_that_cannot_be_serialised_is_told_when_the_graph_is_built() -> None:
    @af.workflow
    def w() -> None:
        give(threading.Lock())

    with pytest.raises(af.GraphError, match=r"argument 0 of <node give> is a lock and cannot be serialised"):
        w.build()


@pytest.mark.parametrize(
    "use",
    [bool, len, list, lambda n: n == 1, lambda n: n < 1, lambda n: f"{n}", str, lambda n: 1 in n],
    ids=["if", "len", "iterating", "equal", "less", "formatting", "str", "in"],
)
def test_a_node_has_no_value_while_the_graph_is_built(use: Any) -> None:
    @af.workflow
    def w() -> None:
        use(load())

    with pytest.raises(af.GraphError, match=r"run_if.*map"):
        w.build()


def test_a_second_call_gets_a_number_and_options_are_set_for_one_call() -> None:
    @af.workflow
    def w() -> None:
        train([1])
        train([2])
        train.options(name="train_big", retries=3, tags=("big",))([3], 5)
        train([4])

    graph = w.graph
    assert [n.name for n in graph.nodes] == ["train", "train_2", "train_big", "train_3"]
    assert [n.options.retries or 0 for n in graph.nodes] == [0, 0, 3, 0]


def test_a_duplicate_explicit_name_is_a_graph_error() -> None:
    @af.workflow
    def w() -> None:
        train([1])
        load.options(name="train")()

    with pytest.raises(af.GraphError, match="two nodes of workflow 'w' are named 'train'"):
        w.build()


def test_several_outputs_unpack_and_index_and_one_channel_feeds_many(project: af.Project) -> None:
    @af.job(outputs=2)
    def split(n: int) -> tuple[int, int]:
        return n, n + 1

    @af.job(outputs=("x", "y"))
    def named(n: int) -> dict[str, int]:
        return {"x": n, "y": -n}

    @af.workflow
    def w() -> None:
        a, b = split(1)
        node = named(b)
        give(a)
        give([a, b])
        give([node["x"], node["y"], node[1]])

    execution = project.run(w)
    assert [execution.result(name) for name in ("give", "give_2", "give_3")] == [1, [1, 2], [2, -2, -2]]


def test_another_number_of_values_than_declared_fails_the_job_and_names_both(project: af.Project) -> None:
    @af.job(outputs=3)
    def split() -> tuple[int, int]:
        return 1, 2

    @af.workflow
    def w() -> None:
        split()

    with pytest.raises(af.ExecutionFailed, match="declares 3 outputs and returned 2 values"):
        project.run(w)


def test_map_runs_once_per_element_keeps_the_order_and_is_bounded(project: af.Project) -> None:
    at_once, most, guard = [0], [0], threading.Lock()

    @af.job(max_parallel=2)
    def slow(n: int, k: int) -> int:
        with guard:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.002 * (5 - n))
        with guard:
            at_once[0] -= 1
        return n * k

    @af.workflow
    def w() -> None:
        slow.map(load(5), k=af.fixed(10))
        train.map(load.options(name="none")(0), k=af.fixed(5))

    execution = project.run(w)
    assert execution.result("slow") == [0, 10, 20, 30, 40]
    assert execution.result("train") == []
    assert most[0] == 2


def test_a_failed_element_fails_the_node_with_its_index(project: af.Project) -> None:
    @af.job
    def halve(n: int) -> int:
        return 10 // n

    @af.workflow
    def w() -> None:
        halve.map(load(2))

    execution = project.run(w, check=False)
    job = execution.job("halve")
    assert job is not None
    assert job.error is not None
    assert job.error.startswith("element [0] (the 1st of 2): ZeroDivisionError")


def test_run_if_skips_the_node_and_what_depends_on_it_by_data_or_after(project: af.Project) -> None:
    @af.workflow
    def w() -> None:
        empty, full = load(0), load.options(name="full")(1)
        no = give(1).run_if(empty)
        give.options(name="data")(no)
        give.options(name="after")(2).after(no)
        give.options(name="yes")(3).run_if(full)

    execution = project.run(w)
    statuses = {j.job: (str(j.status), j.reason) for j in execution.jobs if j.job not in ("load", "full")}
    skipped = "give was skipped (run_if: load was not true)"
    assert statuses == {
        "give": ("SKIPPED", "run_if: load was not true"), "data": ("SKIPPED", skipped), "after": ("SKIPPED", skipped),
        "yes": ("SUCCESS", None),
    }  # fmt: skip


def test_a_job_may_raise_skip(project: af.Project) -> None:
    @af.job
    def skips() -> None:
        raise af.Skip("nothing new")

    @af.workflow
    def w() -> None:
        give(skips())

    execution = project.run(w)
    assert [(j.job, j.status, j.reason) for j in execution.jobs] == [
        ("skips", "SKIPPED", "nothing new"),
        ("give", "SKIPPED", "skips was skipped (nothing new)"),
    ]


def test_async_jobs_run_on_a_loop_of_aiflows_own(project: af.Project) -> None:
    @af.job
    async def where(n: int) -> int:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    @af.workflow
    def w() -> None:
        where(1)
        where(2)

    async def outside() -> tuple[int, af.Execution]:
        return id(asyncio.get_running_loop()), await project.arun(w)

    mine, execution = asyncio.run(outside())
    theirs = {execution.result("where"), execution.result("where_2")}
    assert len(theirs) == 1
    assert mine not in theirs


calls: list[int] = []


@af.job(cache=True)
def costly(n: int) -> int:
    calls.append(n)
    return n * 2


@af.job(cache=lambda n: n % 10)
def by_last_digit(n: int) -> int:
    calls.append(n)
    return n


# --- options ----------------------------------------------------------------------------------------------------------


def test_the_defaults_of_the_options_are_those_of_the_interface() -> None:
    @af.workflow
    def w() -> None:
        load()

    options = w.graph.nodes["load"].options
    expected: dict[str, Any] = {
        "retries": (0, None), "retry_delay": (1.0,), "retry_backoff": (2.0,), "retry_on": ((Exception,),), "timeout": (None,),
        "outputs": (1,), "if_running": (None,), "max_parallel": (None, 1), "limits": ({},), "stop_timeout": (10.0,),
        "on_failure": (None,), "cache": (False,), "persist": (True,), "allow_failure": (False,), "tags": ((),),
    }  # fmt: skip
    for name, values in expected.items():
        assert getattr(options, name) in values, name


@pytest.mark.parametrize("policy", ["queue", "merge", "ignore", "restart", "parallel"])
def test_if_running_takes_these(policy: str) -> None:
    assert str(load.options(if_running=policy).spec.if_running) == policy
    with pytest.raises(af.ParameterError, match="if_running"):
        load.options(if_running=policy + "s")


def test_retries_come_after_a_delay_that_grows_and_only_for_what_retry_on_covers(
    aiflow_project: af.Project, aiflow_clock: Any
) -> None:
    times: list[float] = []

    @af.job(retries=2, retry_delay=10, retry_backoff=3, retry_on=(OSError,))
    def flaky() -> int:
        times.append(aiflow_clock.now())
        raise OSError("again") if len(times) < 3 else ValueError("never again")

    @af.workflow
    def w() -> None:
        flaky()

    execution = aiflow_project.start(w)
    aiflow_clock.advance(100)
    assert [b - a for a, b in itertools.pairwise(times)] == [10, 30]
    job = execution.job("flaky")
    assert job is not None
    assert (job.number, job.attempt, job.status, job.error) == (1, 3, "FAILED", "ValueError: never again")


def test_a_timeout_fails_the_job(project: af.Project) -> None:
    @af.job(timeout=0.05)
    def waits() -> None:
        af.current().wait_stop(30)

    @af.workflow
    def w() -> None:
        waits()

    with pytest.raises(af.ExecutionFailed, match=r"waits: timed out after 0.05 s"):
        project.run(w)


def test_on_failure_is_a_function_that_gets_the_job_execution_or_a_command(project: af.Project, tmp_path: Path) -> None:
    told: list[af.JobExecution] = []

    @af.job(on_failure=told.append)
    def fails() -> None:
        raise ValueError("no")

    code = "import os; open('told', 'w').write(os.environ['AIFLOW_JOB'])"
    note = [sys.executable, "-c", code.replace("told", str(tmp_path / "told"))]

    @af.workflow
    def w() -> None:
        fails()
        fails.options(name="noted", on_failure=note)()

    project.run(w, check=False)
    until(lambda: told)
    assert (told[0].job, told[0].status, told[0].error) == ("fails", "FAILED", "ValueError: no")
    until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text() == "noted")


def test_cache_uses_the_last_result_again_for_equal_code_and_inputs_or_by_a_key(project: af.Project) -> None:
    calls.clear()

    @af.workflow
    def w(n: int, m: int) -> None:
        costly(n)
        by_last_digit(m)

    first, again, other = (project.run(w, n=n, m=m) for n, m in ((1, 1), (1, 21), (3, 2)))
    assert [e.result("costly") for e in (first, again, other)] == [2, 2, 6]
    assert [e.result("by_last_digit") for e in (first, again, other)] == [1, 1, 2]
    assert sorted(calls) == [1, 1, 2, 3]


def test_what_is_not_persisted_is_there_while_python_runs_and_not_in_the_store(project: af.Project) -> None:
    @af.job(persist=False)
    def forgets() -> Any:
        return threading.Lock()  # it could not be stored

    @af.job
    def locked(lock: Any) -> bool:
        return bool(lock.acquire(blocking=False))

    @af.workflow
    def keeps() -> None:
        locked(forgets())

    execution = project.run(keeps)
    assert execution.result("locked") is True
    assert execution.result("forgets").locked()
    assert project.db["job_executions"].get((execution.id, "forgets", 1))["codec"] is None


def test_a_failure_that_is_allowed_fails_nothing_counts_for_after_and_skips_who_needs_the_value(
    project: af.Project,
) -> None:
    @af.job(allow_failure=True)
    def fails() -> None:
        raise ValueError("no")

    @af.workflow
    def w() -> None:
        bad = fails()
        give(1).after(bad)
        give.options(name="needs")(bad)

    execution = project.run(w)
    assert {j.job: str(j.status) for j in execution.jobs} == {
        "fails": "FAILED", "give": "SUCCESS", "needs": "SKIPPED",
    }  # fmt: skip


def test_an_unknown_option_is_refused_with_close_names() -> None:
    with pytest.raises(af.ParameterError, match="unknown option 'retires'.*did you mean 'retries'"):
        load.options(retires=2)


# --- programs and observers -------------------------------------------------------------------------------------------


def test_a_command_runs_a_program_and_its_output_is_the_last_line(project: af.Project, tmp_path: Path) -> None:
    show = "import os, sys; print('first'); print(os.environ['COLOUR'], os.getcwd(), sys.argv[1])"

    @af.workflow
    def w() -> None:
        af.command([sys.executable, "-c", show, "$HOME"], name="list", env={"COLOUR": "red"}, cwd=str(tmp_path))
        af.command("echo 'no shell' $HOME | cat", name="text")
        af.command("echo one; echo two", shell=True, name="shell")

    execution = project.run(w)
    assert execution.result("list") == f"red {tmp_path} $HOME"
    assert execution.result("text") == "no shell $HOME | cat"
    assert execution.result("shell") == "two"


def test_a_program_that_exits_otherwise_than_with_0_fails_with_the_code_and_the_end_of_its_standard_error(
    project: af.Project,
) -> None:
    @af.workflow
    def w() -> None:
        af.command("echo oh dear >&2; exit 4", shell=True, name="sad")

    job = project.run(w, check=False).job("sad")
    assert job is not None
    assert job.error is not None
    assert "exited with code 4" in job.error
    assert "oh dear" in job.error


def test_stopping_a_program_ends_its_whole_group(project: af.Project, tmp_path: Path) -> None:
    @af.workflow
    def w() -> None:
        af.command(f"sleep 60 & echo $! > {tmp_path}/pid; wait", shell=True, name="group")

    execution = project.start(w)
    pid = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    assert is_alive(pid)
    execution.stop().wait(20)
    until(lambda: not is_alive(pid))
    assert execution.job("group").status == "STOPPED"  # type: ignore[union-attr]


def test_observe_launches_nothing_and_shows_the_answer_as_its_label_until_it_is_stopped(project: af.Project) -> None:
    answers = iter(range(1, 1_000_000))

    @af.workflow
    def w() -> None:
        af.observe(lambda: f"answer {next(answers)}", name="watch", interval=0.001)

    execution = project.start(w)

    def label() -> Any:
        job = execution.job("watch")
        return job and job.label

    until(lambda: str(label()).startswith("answer") and int(label().split()[1]) > 2)
    assert execution.job("watch").status == "RUNNING"  # type: ignore[union-attr]
    execution.stop_job("watch")
    execution.wait(20)
    assert execution.job("watch").status == "STOPPED"  # type: ignore[union-attr]


def test_json_of_a_value_comes_back_as_it_was(project: af.Project) -> None:
    value = {"text": "é", "numbers": [1, 2.5, None, True], "nested": {"a": []}}

    @af.workflow
    def w() -> None:
        give(value)

    execution = project.run(w)
    assert json.dumps(project.executions.get(execution.id).result("give")) == json.dumps(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, "of the type int, which is no list"),
        ("text", "of the type str, which is no list"),
        ({"a": 1}, "of the type dict, which is no list"),
        (
            pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
            r"DataFrame, which is no list; of a table, give the rows: table\.to_dict",
        ),
    ],
    ids=["number", "text", "dict", "table"],
)
def test_map_goes_through_lists_and_not_through_columns_keys_or_letters(
    aiflow_project: af.Project, value: Any, told: str
) -> None:
    @af.job
    def gives() -> Any:
        return value

    @af.job
    def each(one: Any) -> Any:
        return one

    @af.workflow
    def w() -> None:
        each.map(gives())

    with pytest.raises(af.ExecutionFailed, match=rf"each is mapped over a value .*{told}") as failed:
        aiflow_project.run(w)
    assert "mapping.py" not in str(failed.value)


@pytest.mark.parametrize("value", [(1, 2), range(1, 3), np.array([1, 2]), pd.Series([1, 2])], ids=str)
def test_map_goes_through_whatever_else_has_a_length(aiflow_project: af.Project, value: Any) -> None:
    @af.job
    def gives() -> Any:
        return value

    @af.job
    def each(one: Any) -> int:
        return int(one) * 10

    @af.workflow
    def w() -> None:
        each.map(gives())

    assert aiflow_project.run(w).result("each") == [10, 20]
