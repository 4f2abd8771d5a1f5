"""Values between jobs: by reference in threads, kept or not, several outputs, given ones, mapped ones."""

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.children import until

import aiflow as af
from aiflow.testing import run_until_idle


def test_threads_share_values_by_reference(project: af.Project) -> None:
    class Thing:
        pass

    thing = Thing()
    seen: list[Any] = []

    @af.job(persist=False)
    def unkept() -> Thing:
        return thing

    @af.job
    def look(one: Thing, many: list[Thing]) -> bool:
        seen.extend((one, *many))
        return True

    @af.workflow
    def sharing() -> None:
        made = unkept()
        look(made, [made, made])

    project.run(sharing)
    assert [s is thing for s in seen] == [True, True, True]


def test_a_value_that_is_not_kept_is_there_while_somebody_has_the_execution(project: af.Project) -> None:
    lock = threading.Lock()

    @af.job(persist=False)
    def unkept() -> Any:
        return lock

    @af.workflow
    def keeping() -> None:
        unkept()

    execution = project.run(keeping)
    assert execution.result("unkept") is lock
    again = project.executions.get(execution.id)
    assert again.result("unkept") is lock
    execution_id = execution.id
    del execution, again
    until(lambda: execution_id not in project._shared.engine.recent)  # its last thread may just be on its way out
    with pytest.raises(af.StoreError, match="not kept"):
        project.executions.get(execution_id).result("unkept")


def test_a_value_that_cannot_be_kept_fails_its_job_by_name(project: af.Project) -> None:
    @af.job(retries=3, retry_delay=0)
    def lock() -> Any:
        return threading.Lock()

    @af.workflow
    def locking() -> None:
        lock()

    with pytest.raises(af.ExecutionFailed, match=r"lock.*cannot be serialised.*persist=False"):
        project.run(locking)


def test_values_are_let_go_of_when_nobody_needs_them_any_more(project: af.Project) -> None:
    import gc
    import weakref

    class Big:
        pass

    seen: dict[str, Any] = {}
    held = threading.Event()

    @af.job
    def make() -> Big:
        seen["big"] = weakref.ref(big := Big())
        return big

    @af.job
    def use(big: Any) -> int:
        return 1

    @af.job
    def wait(one: int) -> None:
        gc.collect()
        seen["gone"] = seen["big"]() is None
        held.wait(20)

    @af.workflow
    def passing() -> None:
        big = make()
        wait([use(big), use(big)])

    execution = project.start(passing)
    until(lambda: "gone" in seen)
    held.set()
    execution.wait(20)
    assert seen["gone"]


def test_several_outputs_go_where_they_are_wanted(project: af.Project) -> None:
    @af.job(outputs=2)
    def split(n: int) -> tuple[int, int]:
        return n, -n

    @af.job(outputs=("x", "y"))
    def name(n: int) -> dict[str, int]:
        return {"y": n + 1, "x": n}

    @af.job
    def add(*numbers: int) -> list[int]:
        return list(numbers)

    @af.workflow
    def splitting() -> None:
        a, b = split(3)
        named = name(5)
        x, y = named
        add(a, b, b, x, y, named["x"], named[1])

    execution = project.run(splitting)
    assert execution.result("add") == [3, -3, -3, 5, 6, 5, 6]
    assert execution.result("split") == (3, -3)
    assert execution.result("name") == {"x": 5, "y": 6}
    assert project.executions.get(execution.id).result("split") == (3, -3)


@pytest.mark.parametrize(
    ("given", "says"), [((1, 2, 3), "2 outputs.*3 values"), ([1], "2 outputs.*1 values"), (7, "2 outputs.*1 value")]
)
def test_another_number_of_outputs_fails_the_job_with_both_numbers(project: af.Project, given: Any, says: str) -> None:
    @af.job(outputs=2, retries=2, retry_delay=0)
    def split() -> Any:
        return given

    @af.workflow
    def splitting() -> None:
        split()

    with pytest.raises(af.ExecutionFailed, match=says) as failed:
        project.run(splitting)
    assert failed.value.execution.job("split").attempt == 1


# --- map ------------------------------------------------------------------------------------------------------------


def test_a_mapped_job_runs_once_per_element_and_keeps_the_order(project: af.Project) -> None:
    at_once, most, guard = [0], [0], threading.Lock()
    meet = threading.Barrier(2)

    @af.job
    def numbers() -> list[int]:
        return list(range(10))

    @af.job(max_parallel=2)
    def double(n: int, k: int) -> int:
        with guard:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        meet.wait(20)
        with guard:
            at_once[0] -= 1
        return k * n

    @af.workflow
    def mapping() -> None:
        double.map(numbers(), k=af.fixed(2))

    execution = project.run(mapping)
    assert execution.result("double") == [2 * n for n in range(10)]
    assert most == [2]
    assert len(execution.jobs) == 2


def test_mapping_an_empty_list_gives_an_empty_list(project: af.Project) -> None:
    @af.job
    def nothing() -> list[int]:
        return []

    @af.job
    def double(n: int) -> int:
        return 2 * n

    @af.workflow
    def mapping() -> None:
        double.map(nothing())

    assert project.run(mapping).result("double") == []


def test_a_failed_element_fails_the_job_with_its_index_and_only_what_failed_runs_again(project: af.Project) -> None:
    calls: list[int] = []

    @af.job(retries=1, retry_delay=0, max_parallel=1)
    def picky(n: int) -> int:
        calls.append(n)
        if n == 2 and calls.count(2) == 1:
            raise ValueError("two")
        return n

    @af.job(max_parallel=1)
    def never(n: int) -> int:
        if n == 1:
            raise ValueError("one")
        return n

    @af.workflow
    def mapping() -> None:
        picky.map([0, 1, 2, 3])

    @af.workflow
    def failing() -> None:
        never.map([0, 1, 2])

    assert project.run(mapping).result("picky") == [0, 1, 2, 3]
    assert sorted(calls) == [0, 1, 2, 2, 3]
    with pytest.raises(af.ExecutionFailed, match=r"element \[1\] \(the 2nd of 3\): .*one"):
        project.run(failing)


@pytest.mark.parametrize(("value", "says"), [(5, "no list"), ([[1, 2], [1]], "different lengths")])
def test_what_cannot_be_mapped_fails_the_job(project: af.Project, value: Any, says: str) -> None:
    @af.job(outputs=2)
    def lists() -> Any:
        return value if isinstance(value, list) else (value, value)

    @af.job
    def add(a: int, b: int) -> int:
        return a + b

    @af.workflow
    def mapping() -> None:
        a, b = lists()
        add.map(a, b)

    with pytest.raises(af.ExecutionFailed, match=says):
        project.run(mapping)


def test_stopping_a_mapped_job_begins_no_more_elements(project: af.Project) -> None:
    begun: list[int] = []

    @af.job(max_parallel=2)
    def wait(n: int) -> None:
        begun.append(n)
        af.current().wait_stop(20)

    @af.workflow
    def mapping() -> None:
        wait.map(list(range(50)))

    execution = project.start(mapping)
    until(lambda: len(begun) == 2)
    execution.stop().wait(20)
    assert execution.status == "STOPPED"
    assert len(begun) == 2


def test_a_stop_that_comes_before_a_mapped_job_has_begun_lets_nothing_begin(project: af.Project) -> None:
    begun: list[int] = []

    @af.job
    def note(n: int) -> None:
        begun.append(n)

    @af.job
    def other() -> None:
        return None

    @af.workflow
    def mapping() -> None:
        mapped = note.map(list(range(50)))
        mapped.stop_on(other().running)  # decided in the same turn as its start

    execution = project.run(mapping, check=False)
    assert execution.job("note").status == "STOPPED"  # type: ignore[union-attr]
    run_until_idle(project)
    assert len(begun) < 50


# --- given values and parts -----------------------------------------------------------------------------------------


@af.job
def load() -> tuple[int, ...]:
    ran.append("load")
    return (1, 2, 3)


@af.job
def total(rows: tuple[int, ...]) -> int:
    ran.append("total")
    return sum(rows)


@af.job
def show(number: int) -> str:
    ran.append("show")
    return f"= {number}"


ran: list[str] = []


@af.workflow
def sums() -> None:
    show(total(load()))


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def test_a_part_takes_what_it_needs_from_the_newest_execution_that_has_it(project: af.Project) -> None:
    with pytest.raises(af.ParameterError, match=r"'load' is needed.*given="):
        project.run(sums, only="total")
    assert project.executions.count() == 0
    project.run(sums)
    ran.clear()
    part = project.run(sums, only="total")
    assert ran == ["total"]
    assert [j.job for j in part.jobs] == ["total"]
    assert part.result("total") == 6
    assert part.result("load") == (1, 2, 3), "what it was given can be asked of it, too"


def test_a_start_from_runs_a_job_and_all_that_follows(project: af.Project) -> None:
    project.run(sums)
    ran.clear()
    project.run(sums, start_from="total")
    assert ran == ["total", "show"]


@pytest.mark.parametrize("value", [(4, 5), [4, 5], (b"\0\xff",) * 0 or (4, 5)])
def test_given_values_stand_for_jobs(project: af.Project, value: Any) -> None:
    execution = project.run(sums, given={"load": value})
    assert ran == ["total", "show"]
    assert execution.result("show") == "= 9"
    assert execution.result("load") == value
    assert project.executions.get(execution.id).result("load") == value


def test_given_and_only_together_run_one_job(project: af.Project) -> None:
    execution = project.run(sums, only=["show"], given={"total": 7})
    assert ran == ["show"]
    assert execution.result("show") == "= 7"


@pytest.mark.parametrize("wrong", [{"only": "lod"}, {"start_from": ["totl"]}, {"given": {"lode": 1}}], ids=str)
def test_a_part_that_is_not_there_is_named_with_close_names(project: af.Project, wrong: dict[str, Any]) -> None:
    with pytest.raises(af.NotFound, match="did you mean '(load|total)'"):
        project.run(sums, **wrong)
    assert project.executions.count() == 0


def test_what_is_given_must_be_serialisable(project: af.Project) -> None:
    with pytest.raises(af.RunnerError, match="the given value of job 'load'"):
        project.run(sums, given={"load": threading.Lock()})
    assert project.executions.count() == 0


# --- run_if and Skip ------------------------------------------------------------------------------------------------


def test_run_if_skips_what_depends_on_it_too(project: af.Project) -> None:
    @af.job
    def ask(answer: bool) -> bool:
        return answer

    @af.workflow
    def asking(answer: bool) -> None:
        shown = show(total(load()).run_if(ask(answer)))
        show(5).after(shown)

    yes, no = project.run(asking, answer=True), project.run(asking, answer=False)
    assert {j.job: str(j.status) for j in yes.jobs} == dict.fromkeys(
        ["ask", "load", "total", "show", "show_2"], "SUCCESS"
    )
    assert {j.job: str(j.status) for j in no.jobs} == {
        "ask": "SUCCESS", "load": "SUCCESS", "total": "SKIPPED", "show": "SKIPPED", "show_2": "SKIPPED"
    }  # fmt: skip
    assert no.status == "SUCCESS"
    assert "run_if" in (no.job("total").reason or "")  # type: ignore[union-attr]


def test_run_if_asks_one_of_several_outputs(project: af.Project) -> None:
    @af.job(outputs=("go", "rows"))
    def ask(go: bool) -> dict[str, Any]:
        return {"go": go, "rows": [1]}

    @af.workflow
    def asking(go: bool) -> None:
        asked = ask(go)
        total(asked["rows"]).run_if(asked["go"])

    assert project.run(asking, go=True).result("total") == 1
    assert project.run(asking, go=False).job("total").status == "SKIPPED"  # type: ignore[union-attr]


def test_a_job_may_skip_itself(project: af.Project) -> None:
    @af.job
    def skip() -> int:
        raise af.Skip("nothing new")

    @af.workflow
    def skipping() -> None:
        show(skip())

    execution = project.run(skipping)
    assert [(j.job, str(j.status), j.reason) for j in execution.jobs] == [
        ("skip", "SKIPPED", "nothing new"), ("show", "SKIPPED", "skip was skipped (nothing new)")
    ]  # fmt: skip


# --- after a restart ------------------------------------------------------------------------------------------------


def test_results_are_there_after_the_project_was_opened_again(tmp_path: Path) -> None:
    values = [
        None,
        True,
        1.5,
        "text",
        [1, {"a": None}],
        (1, 2),
        {3, 4},
        b"\0bytes" * 10_000,
        {"k": (1,)},
        list(range(20_000)),
    ]

    @af.job
    def give(at: int) -> Any:
        return values[at]

    @af.workflow
    def giving() -> None:
        for at in range(len(values)):
            give(at)

    with af.Project("values", home=tmp_path / "home") as project:
        execution_id = project.run(giving).id
    with af.Project("values", home=tmp_path / "home") as project:
        execution = project.executions.get(execution_id)
        assert [execution.result(name) for name in execution.job_names] == values
        for name in execution.job_names:
            assert type(execution.result(name)) is type(values[execution.job_names.index(name)])
