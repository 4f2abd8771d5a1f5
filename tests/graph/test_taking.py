"""Which calls with streams a workflow body takes, and how it refuses the others."""

from __future__ import annotations

from typing import Any

import pytest

import aiflow as af
from aiflow.graph.plan import Plan
from aiflow.graph.stream import stream_parameters


@af.job
def numbers():
    yield 1


@af.job
def one():
    return 1


@af.job
def total(items: af.Stream): ...


@af.job
def merged(*streams: af.Stream[int], k: int = 1): ...


@af.job
def batch(x): ...


def built(body: Any, **options: Any) -> Any:
    return af.workflow(body, **options).graph if not options else af.workflow(**options)(body).graph


def refused(body: Any, text: str) -> None:
    with pytest.raises(af.GraphError) as found:
        built(body)
    assert text in str(found.value)


def test_a_parameter_is_a_stream_by_its_annotation_also_as_a_text():
    def f(a: af.Stream, b: Stream[int], c: list[int], d: "af.Stream", e: streams) -> af.Stream: ...  # noqa: F821, UP037

    def g(a, b: int): ...

    assert stream_parameters(f) == {"a", "b", "d"}
    assert stream_parameters(g) == set()
    f.__annotations__.update(a=af.Stream, b=af.Stream[int], d=int)
    assert stream_parameters(f) == {"a", "b"}


def test_a_node_knows_which_streams_it_takes_and_which_start_it():
    def body():
        stream = numbers()
        total(stream)
        batch(stream)
        merged(stream, numbers(), k=2)

    graph = built(body)
    plan = Plan(graph)
    by_name = {v.name: v for v in plan.vertices}
    assert by_name["total"].takes == {0}
    assert by_name["batch"].items == {0}
    assert len(by_name["merged"].takes) == 2
    assert (by_name["numbers"].emits, by_name["numbers"].pours, by_name["numbers_2"].emits) == (True, True, False)
    assert [v.name for v in plan.vertices if v.flows] == ["numbers", "total", "numbers_2", "merged"]


def test_a_stream_parameter_that_gets_no_stream_is_refused():
    refused(lambda: total(one()), "parameter 'items' of <node total> is an af.Stream and gets <node one>")
    refused(lambda: total([1, 2]), "which is no stream job: pass a job whose function yields")
    refused(lambda: merged(numbers(), one()), "parameter 'streams' of <node merged>")


def test_a_job_gets_a_stream_in_one_way_only():
    @af.job
    def both(items: af.Stream, item): ...

    refused(
        lambda: both(stream := numbers(), stream), "takes <node numbers> as a stream and <node numbers> item by item"
    )
    refused(lambda: merged(stream := numbers(), stream), "takes the same stream twice")
    refused(lambda: total(stream := numbers()).run_if(stream), "item by item")


def test_map_and_streams_do_not_go_together():
    refused(lambda: batch.map(numbers()), "batch.map(…) goes through a list, and <node numbers> is a stream")
    refused(lambda: numbers.map([1]), "is a stream job (a generator) and cannot be mapped")


def test_37_cache_and_streams_do_not_go_together():
    refused(lambda: numbers.options(cache=True)(), "it cannot have cache=True")
    refused(lambda: total.options(cache=True)(numbers()), "takes a stream, which gives something else each time")


def test_items_that_are_kept_nowhere_start_no_jobs():
    refused(lambda: batch(numbers.options(persist=False)()), "persist=False")
    built(lambda: total(numbers.options(persist=False)()))


def test_async_generators_are_refused_and_the_way_out_is_told():
    @af.job
    async def late():
        yield 1

    refused(lambda: late(), "use def, and asyncio.run inside it")


@pytest.mark.parametrize(("option", "value"), [("buffer", 0), ("buffer", 1.5), ("checkpoint", -1)])
def test_options_of_streams_are_checked(option, value):
    with pytest.raises(af.ParameterError, match=f"option '{option}' of job 'numbers'"):
        numbers.options(**{option: value})


def test_outside_of_a_body_functions_with_streams_are_plain_functions():
    assert list(numbers()) == [1]

    @af.job
    def add(items: af.Stream) -> int:
        return sum(items)

    assert add(iter([1, 2])) == 3


def test_the_structure_of_a_workflow_tells_streams():
    graph = built(lambda: total.options(latest=True)(numbers()))
    nodes = graph.definition()["nodes"]
    assert nodes[0]["stream"] is True
    assert (nodes[1]["takes"], nodes[1]["latest"]) == (["numbers"], True)
