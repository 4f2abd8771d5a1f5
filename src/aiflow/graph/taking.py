"""Which nodes take the items of a stream as an iterator, and which calls with streams make no sense.

Knows nothing of running; building asks it for each node that has to do with streams.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from aiflow.errors import GraphError
from aiflow.graph.building import Node, Output, find_nodes
from aiflow.graph.role import Place, read_call

__all__ = ["check_asked", "check_streams"]


def check_streams(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any], mapped: bool) -> None:
    """Find the streams that a node takes as iterators (`node.taken`), and refuse what does not go together.

    Raises
    ------
    GraphError
        If a stream parameter is fed by something that is no stream, if one job gets items in two ways, or if an option
        does not fit a stream job.
    """
    job = node.job
    for up in node.data:
        if up.job.is_stream:
            _check_gives_items(node, up)
    taken: list[Node] = []
    single: list[Node] = []
    if mapped:
        _check_mapped(node, args, kwargs)
        return
    for name, value in _arguments(node, args, kwargs):
        if name in job.stream_parameters:
            taken.append(_stream_of(node, name, value))
        else:
            find_nodes(value, single)
    if len(set(taken)) < len(taken):
        raise GraphError(f"{node!r} takes the same stream twice; take it once, and use itertools.tee inside the job")
    node.taken = tuple(taken)
    for up in single:
        if up.job.is_stream:
            check_asked(node, up)
    if node.options.cache and (job.is_stream or taken):
        what = "is a stream job" if job.is_stream else "takes a stream"
        raise GraphError(
            f"{node!r} {what}, which gives something else each time; it cannot have cache={node.options.cache!r}"
        )
    if inspect.isasyncgenfunction(job.function) or (job.is_async and taken):
        raise GraphError(
            f"{node!r} is an async def, and streams go through plain generators and functions: use def, and "
            "asyncio.run inside it for what has to be awaited"
        )


def check_asked(node: Node, up: Node) -> None:
    """Refuse a node that cannot be started once for each item of `up`."""
    _check_gives_items(node, up)
    if node.taken:
        raise GraphError(
            f"{node!r} takes {node.taken[0]!r} as a stream and {up!r} item by item; take all of them as an af.Stream"
        )
    if not up.options.persist:
        raise GraphError(
            f"{node!r} runs once for each item of {up!r}, and these are kept nowhere (persist=False): "
            "a crash would lose some; leave persist out, or take them as an af.Stream"
        )


def _check_gives_items(node: Node, up: Node) -> None:
    if up.options.flink is not None:
        raise GraphError(
            f"{node!r} wants the items of {up!r}, which is a stream on Flink: what flows in it stays there. Publish in it "
            f"(af.flink.publish) and start {node.name} by .start_on(af.event(…)), or by {up.name}.watermark or "
            f"{up.name}.records; for its order alone, say .after({up.name}) or .start_on({up.name}.running)"
        )


def _arguments(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give each argument of a call with the name of the parameter that takes it."""
    if not node.job.stream_parameters:
        yield from (("", value) for value in (*args, *kwargs.values()))
        return
    parameters = node.job.signature.parameters
    for name, value in _bound(node, args, kwargs).items():
        kind = parameters[name].kind
        several = kind is inspect.Parameter.VAR_POSITIONAL or kind is inspect.Parameter.VAR_KEYWORD
        parts = value if kind is inspect.Parameter.VAR_POSITIONAL else value.values() if several else (value,)
        yield from ((name, part) for part in parts)


def _bound(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the arguments of a call, which was checked before, by parameter."""
    role, signature = node.job.role, node.job.signature
    if role is None:
        return signature.bind(*args, **kwargs).arguments
    return read_call(role, signature, args, kwargs, chosen=node.place is Place.CHOSEN).bound.arguments


def _stream_of(node: Node, name: str, value: Any) -> Node:
    if not isinstance(value, Node | Output):
        raise GraphError(
            f"parameter {name!r} of {node!r} is an af.Stream and gets {value!r}, which is no stream job: "
            "pass a job whose function yields"
        )
    if not value.node.job.is_stream:
        raise GraphError(
            f"parameter {name!r} of {node!r} is an af.Stream and gets {value!r}, which is no stream job "
            "(its function returns instead of yielding)"
        )
    return value.node


def _check_mapped(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if node.job.is_stream:
        raise GraphError(f"{node.job.name} is a stream job (a generator) and cannot be mapped")
    found: list[Node] = []
    for value in (*args, *kwargs.values()):
        find_nodes(value, found)
    for up in found:
        if up.job.is_stream:
            raise GraphError(
                f"{node.job.name}.map(…) goes through a list, and {up!r} is a stream: "
                f"{node.job.name}({up.name}) runs once for each of its items anyway"
            )
