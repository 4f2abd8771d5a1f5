from collections.abc import Callable
from typing import Any

import aiflow as af
from aiflow.cli.tree import draw_tree


@af.job
def one(i: int = 0) -> int:
    return i


@af.job
def many(*values: int) -> int:
    return len(values)


def tree(body: Callable[[], Any]) -> list[str]:
    return draw_tree(af.workflow(name="drawn")(body).graph).splitlines()


def test_many_alike_are_one_line_and_many_inputs_are_shortened() -> None:
    assert tree(lambda: many(*[one(i) for i in range(100)])) == [
        "one  … and 98 more of it",
        "one_100",
        "└─ many  ← one, one_2, one_3, … 95 more …, one_99",
    ]


def test_a_long_chain_is_a_list() -> None:
    def chain() -> None:
        node = one()
        for _ in range(20):
            node = one(node)

    lines = tree(chain)
    assert len(lines) == 21
    assert lines[:2] == ["one", "one_2  ← one"]


def test_what_else_a_job_depends_on_stands_beside_it() -> None:
    def mixed() -> None:
        first, second = one(1), one(2)
        many(first).run_if(second).after(first)
        many.map([1, 2]).restart_on(first.failed & af.event("again"))

    assert tree(mixed) == [
        "one",
        "one_2",
        "└─ many  ← one, run if one_2, after one",
        "many_2  (for each)  restart on all(one.failed, event('again'))",
    ]


def test_a_workflow_without_jobs_is_nothing() -> None:
    assert tree(lambda: None) == []
