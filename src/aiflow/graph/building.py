"""How a workflow's body becomes a graph: nodes, their edges and their rules.

Knows nothing of running. A body is active on one context (thread or task) at a time; nodes have no value while it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, overload

from aiflow.errors import GraphError, NotFound, suggest
from aiflow.graph.condition import Condition, JobCondition, StatusCondition, shown
from aiflow.graph.flink_options import FLINK, FlinkOptions
from aiflow.graph.gauge import Gauge, GaugeCondition
from aiflow.graph.job import Fixed, Job, JobOptions
from aiflow.graph.params import Secret
from aiflow.graph.role import Place
from aiflow.graph.rule import Action, Rule

if TYPE_CHECKING:
    import networkx

__all__ = ["Body", "Edge", "Graph", "Node", "Output", "Unknown", "current_body"]

_active: ContextVar[Body | None] = ContextVar("aiflow_body", default=None)
current_body = _active.get


class Edge(NamedTuple):
    """An arrow of the graph; `kind` is ``"data"``, ``"after"`` or ``"rule"``."""

    source: str
    target: str
    kind: str
    label: str = ""


_NO_VALUE = (
    "{node} has no value while the graph is built, so {what}; at run time, other.run_if({name}) decides on it "
    "and job.map({name}) goes through its elements"
)


class _Valueless:
    """Refuses everything that would need the value of a node before it has run."""

    __slots__ = ()

    def _refuse(self, what: str) -> NoReturn:
        raise GraphError(_NO_VALUE.format(node=repr(self), what=what, name=getattr(self, "name", "node")))

    def __bool__(self) -> NoReturn:
        self._refuse("`if`, `and`, `or` and `not` cannot ask it")

    def __len__(self) -> NoReturn:
        self._refuse("`len` cannot count it")

    def __str__(self) -> NoReturn:
        self._refuse("it cannot be formatted (its name is node.name)")

    def __format__(self, spec: str) -> NoReturn:
        self._refuse("it cannot be formatted (its name is node.name)")

    def __eq__(self, other: object) -> NoReturn:
        self._refuse("it cannot be compared")

    def __index__(self) -> NoReturn:
        self._refuse("it is no number yet")

    __int__ = __float__ = __index__
    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __contains__ = __eq__

    def __add__(self, other: object) -> NoReturn:
        self._refuse("nothing can be computed with it (a job can: give it the node)")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = __add__
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __add__

    def __rshift__(self, other: object) -> NoReturn:
        _refuse_arrow(self, other)

    def __lshift__(self, other: object) -> NoReturn:
        _refuse_arrow(other, self)

    __rrshift__, __rlshift__ = __lshift__, __rshift__

    def __hash__(self) -> int:
        return id(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse("it cannot be part of an object that aiflow does not look into")


def _refuse_arrow(first: object, then: object) -> NoReturn:
    first, then = (getattr(one, "name", "other") for one in (first, then))
    raise GraphError(f"`>>` and `<<` say no order; write {then}.after({first})")


class Node(_Valueless):
    """One call of a job in a workflow's graph; it stands for the value that the job will give.

    Attributes
    ----------
    name
        Unique in the graph: the job's name, or with a number (``train_2``).
    job
        The `Job` that was called.
    """

    __slots__ = (
        "after_nodes",
        "args",
        "body",
        "conditions_",
        "data",
        "index",
        "job",
        "kwargs",
        "mapped",
        "name",
        "options",
        "place",
        "rules",
        "taken",
    )

    def __init__(self, body: Body, index: int, name: str, job: Job, options: JobOptions) -> None:
        self.body, self.index, self.name, self.job, self.options = body, index, name, job, options
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.data: tuple[Node, ...] = ()
        self.after_nodes: tuple[Node, ...] = ()
        self.conditions_: tuple[Node | Output, ...] = ()
        self.rules: tuple[Rule, ...] = ()
        self.mapped = False
        self.taken: tuple[Node, ...] = ()  # the stream jobs whose items it gets as iterators
        self.place = Place.NONE  # where the version is that it works on

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def _advice(self) -> str:
        return f"say {self.name}.succeeded, .failed, .finished, …"

    if not TYPE_CHECKING:  # else a checker would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in self.__slots__:
                raise AttributeError(name)
            hint = suggest(name, [known for known in dir(Node) if known[0] != "_" and known not in Node.__slots__])
            if "did you mean" in hint:
                raise AttributeError(f"{self!r} has no {name!r}{hint}")
            raise AttributeError(_NO_VALUE.format(node=repr(self), what=f".{name} cannot be taken", name=self.name))

    def __iter__(self) -> Iterator[Output]:
        if self.options.width == 1 and not isinstance(self.options.outputs, tuple):
            self._refuse("it cannot be gone through (it has one output; say outputs=2 for more)")
        names = self.options.outputs
        return iter([Output(self, n) for n in (range(names) if isinstance(names, int) else names)])

    def __getitem__(self, output: int | str) -> Output:
        names = self.options.outputs
        if isinstance(names, int):
            if names == 1:
                self._refuse(f"[{output!r}] cannot be taken (it has one output; say outputs=2 for more)")
            if not isinstance(output, int) or not -names <= output < names:
                raise GraphError(f"{self!r} has the outputs 0 to {names - 1}, not {output!r}")
            return Output(self, output % names)
        if isinstance(output, int) and -len(names) <= output < len(names):
            return Output(self, names[output])
        if output not in names:
            raise GraphError(f"{self!r} has no output {output!r}{suggest(str(output), names)}")
        return Output(self, output)

    def after(self, *nodes: Node | Output) -> Node:
        """Start only after these nodes have succeeded, without using their values."""
        self.after_nodes += tuple(self._other(n, "after") for n in nodes)
        return self

    def run_if(self, other: Node | Output) -> Node:
        """Skip this node unless the value of `other` is true at run time."""
        asked = self._other(other, "run_if")
        if asked.job.is_stream:
            from aiflow.graph.taking import check_asked

            check_asked(self, asked)
        self.conditions_ += (other,)
        return self

    def start_on(self, condition: Condition) -> Node:
        """Start each time the condition is met; then only rules start this node."""
        return self._rule(Action.START, condition)

    def stop_on(self, condition: Condition) -> Node:
        """Stop what runs of this node each time the condition is met."""
        return self._rule(Action.STOP, condition)

    def restart_on(self, condition: Condition) -> Node:
        """Stop what runs of this node and start it again each time the condition is met."""
        return self._rule(Action.RESTART, condition)

    def _rule(self, action: Action, condition: Condition) -> Node:
        verb = f"{action.lower()}_on"
        if not isinstance(condition, Condition):
            raise GraphError(f"{self!r}.{verb}(…) takes a condition such as af.event('go'), not {shown(condition)}")
        self.rules += (Rule(action, condition),)
        return self

    def _other(self, node: Node | Output, verb: str) -> Node:
        if not isinstance(node, Node | Output):
            raise GraphError(f"{self!r}.{verb}(…) takes nodes of the same workflow, not {shown(node)}")
        real = node.node
        if real.body.root is not self.body.root:
            raise GraphError(f"{real!r} belongs to another workflow than {self!r}")
        return real

    @property
    def node(self) -> Node:
        """The node itself (an `Output` has its node here)."""
        return self

    @property
    def succeeded(self) -> Condition:
        """Met when this job ends in SUCCESS."""
        return StatusCondition(self.name, "succeeded", ("SUCCESS",))

    @property
    def failed(self) -> Condition:
        """Met when this job ends in FAILED."""
        return StatusCondition(self.name, "failed", ("FAILED",))

    @property
    def stopped(self) -> Condition:
        """Met when this job ends in STOPPED."""
        return StatusCondition(self.name, "stopped", ("STOPPED",))

    @property
    def skipped(self) -> Condition:
        """Met when this job is SKIPPED."""
        return StatusCondition(self.name, "skipped", ("SKIPPED",))

    @property
    def finished(self) -> Condition:
        """Met when this job ends, in whatever way."""
        return StatusCondition(self.name, "finished", ("SUCCESS", "FAILED", "STOPPED", "SKIPPED"))

    @property
    def running(self) -> Condition:
        """Met when this job starts running."""
        return StatusCondition(self.name, "running", ("RUNNING",))

    @property
    def watermark(self) -> Gauge:
        """How far the events of this job have come, which runs on Flink; ``>=`` and ``every`` make conditions of it."""
        return _check_gauge(self, "watermark")

    @property
    def records(self) -> Gauge:
        """How many records this job has handled, which runs on Flink; ``>=`` and ``every`` make conditions of it."""
        return _check_gauge(self, "records")


def _check_gauge(node: Node, gauge: str) -> Gauge:
    runner = node.options.runner or "thread"
    if runner != FLINK:
        raise GraphError(f"{node!r} has no {gauge}: that is what a job on Flink has, and its runner is {runner!r}")
    return Gauge(node.name, gauge)


class Output(_Valueless):
    """One of several outputs of a node."""

    __slots__ = ("name", "node", "output")

    def __init__(self, node: Node, output: int | str) -> None:
        self.node, self.output = node, output
        self.name = f"{node.name}[{output!r}]"

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def _advice(self) -> str:
        return self.node._advice

    def __iter__(self) -> NoReturn:
        self._refuse("it cannot be gone through")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.node, name)


class Unknown(_Valueless):
    """Stands for a parameter without a value where a graph is only to be looked at; jobs may get it, and that is all."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<parameter {self.name}>"

    def _refuse(self, what: str) -> NoReturn:
        raise GraphError(f"the parameter {self.name!r} has no value, so {what}")

    def __iter__(self) -> NoReturn:
        self._refuse("it cannot be gone through")

    def __getitem__(self, at: object) -> NoReturn:
        self._refuse(f"[{at!r}] cannot be taken")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or name in self.__slots__:
            raise AttributeError(name)
        self._refuse(f".{name} cannot be taken")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Unknown, (self.name,)


def find_nodes(value: Any, found: list[Node]) -> None:
    """Collect the nodes in an argument, also inside lists, tuples, sets and dicts; a job that was not called is a `GraphError`."""
    kind = type(value)
    if kind is Node:
        found.append(value)
    elif kind is Output:
        found.append(value.node)
    elif kind is list or kind is tuple or kind is set or kind is frozenset:
        for part in value:
            find_nodes(part, found)
    elif kind is dict:
        for part in value.values():
            find_nodes(part, found)
    elif kind is Fixed:
        find_nodes(value.value, found)
    elif kind is Job:
        raise GraphError(f"{value!r} stands where its value is meant; {value._advice}")


def _takes_arguments(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is None or code.co_argcount + code.co_kwonlyargcount > 0


_PLAIN = (str, int, float, bool, type(None), bytes, Secret)
check_constant: Callable[[Any], None] | None = None
"""Set by the composition root: raises if a constant argument cannot be serialised."""


class Body:
    """A workflow's body while it runs: collects the nodes."""

    def __init__(self, name: str, defaults: Mapping[str, Any], root: Body | None = None, prefix: str = "") -> None:
        self.name, self.defaults, self.prefix = name, defaults, prefix
        self.root: Body = root or self
        if root is None:
            self.nodes: list[Node] = []
            self.names: dict[str, Node] = {}
            self.counts: dict[str, int] = {}
            self.includes: dict[str, int] = {}
        else:
            self.nodes, self.names, self.counts, self.includes = root.nodes, root.names, root.counts, root.includes

    def add(self, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any], mapped: bool = False) -> Node:
        """Add a node for a call of `job`.

        Raises
        ------
        GraphError
            If the name is taken, an argument cannot be serialised or belongs to another workflow, or the call does
            not fit the function's signature.
        """
        options = job.spec
        name = self.unique(self.prefix + job.name, job)
        if self.defaults and any(getattr(options, k) is None for k in self.defaults):
            options = replace(options, **{k: v for k, v in self.defaults.items() if getattr(options, k) is None})
            if options.runner == FLINK and options.flink is None:
                job, options = job.on_flink(), replace(options, flink=FlinkOptions())
        node = Node(self, len(self.nodes), name, job, options)
        found: list[Node] = []
        for what, value in [*enumerate(args), *kwargs.items()] if args or kwargs else ():
            self._argument(node, what, value, found)
        if mapped:
            self._check_mapped(node, args, kwargs, found)
        if job.role is not None:
            from aiflow.graph.casting import check_role

            check_role(node, job.role, args, kwargs, mapped)
        elif not mapped and (args or kwargs or _takes_arguments(job.function)):
            self._check_call(node, args, kwargs)
        if options.flink is not None:
            from aiflow.graph.flink import check_flink

            check_flink(node, mapped)
        node.args, node.kwargs, node.mapped = args, kwargs, mapped
        node.data = tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)
        if job.is_stream or job.stream_parameters or any(up.job.is_stream for up in found):
            from aiflow.graph.taking import check_streams

            check_streams(node, args, kwargs, mapped)
        self.nodes.append(node)
        self.names[name] = node
        return node

    def unique(self, wanted: str, job: Job) -> str:
        """Give `wanted`, or with a number if it is taken; an explicit name that is taken is a `GraphError`."""
        other = self.names.get(wanted)
        if other is None:
            return wanted
        if job.is_renamed or (job.spec.name is not None and other.job.function is not job.function):
            raise GraphError(
                f"two nodes of workflow {self.root.name!r} are named {wanted!r}; give one of them another name"
            )
        number = self.counts.get(wanted, 1) + 1
        while f"{wanted}_{number}" in self.names:
            number += 1
        self.counts[wanted] = number
        return f"{wanted}_{number}"

    def _argument(self, node: Node, what: object, value: Any, found: list[Node]) -> None:
        kind = type(value)
        if kind in _PLAIN:
            return
        before = len(found)
        find_nodes(value, found)
        for other in found[before:]:
            if other.body.root is not self.root:
                raise GraphError(f"argument {what!r} of {node!r} is {other!r} of another workflow")
        if kind is Node or kind is Output or check_constant is None or len(found) > before:
            return
        try:
            check_constant(value)
        except Exception as error:  # foreign code: __reduce__ of any class
            raise GraphError(
                f"argument {what!r} of {node!r} is a {kind.__qualname__} and cannot be serialised ({error}); "
                "pass what it is made from, or make it in a job"
            ) from error

    def _check_call(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            node.job.signature.bind(*args, **kwargs)
        except TypeError as error:
            advice = ""
            if node.options.flink is not None:
                from aiflow.graph.environments import advice_on

                advice = f"; {advice_on(node.job.function, node.job.is_stream)}"
            raise GraphError(
                f"the call of {node!r} does not fit {node.job.name}{node.job.signature}: {error}{advice}"
            ) from None
        except ValueError:  # a builtin without a signature
            return

    def _check_mapped(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], found: list[Node]) -> None:
        walked = [v for v in [*args, *kwargs.values()] if not isinstance(v, Fixed)]
        if not walked:
            raise GraphError(f"{node.job.name}.map(…) needs a list to go through; all of its arguments are af.fixed")
        for value in walked:
            if not isinstance(value, _Valueless | list | tuple):
                raise GraphError(
                    f"{node.job.name}.map(…) goes through lists, and {value!r} is none; write af.fixed({value!r})"
                )

    def include(self, name: str, defaults: Mapping[str, Any]) -> Body:
        """Give the body of a sub-workflow, whose nodes are named ``name.…``; its own defaults go before these."""
        wanted = self.prefix + name
        number = self.includes.get(wanted, 0) + 1
        self.includes[wanted] = number
        prefix = f"{wanted}." if number == 1 else f"{wanted}_{number}."
        return Body(name, {**self.defaults, **defaults}, self.root, prefix)


class Nodes:
    """The nodes of a graph, in the order in which the body made them; also by name."""

    def __init__(self, nodes: list[Node], names: dict[str, Node]) -> None:
        self._nodes, self._names = nodes, names

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._names if isinstance(name, str) else any(name is n for n in self._nodes)

    def __getitem__(self, at: int | str) -> Node:
        if isinstance(at, int):
            return self._nodes[at]
        if at not in self._names:
            raise NotFound("job", at, self._names)
        return self._names[at]

    def keys(self) -> list[str]:
        """Give the names, in order."""
        return list(self._names)

    def __repr__(self) -> str:
        return f"[{', '.join(self._names)}]"


class Graph:
    """What a workflow's body made: nodes and edges; with pictures.

    Attributes
    ----------
    nodes
        The `Node`s in order; ``graph.nodes["train"]`` gives one by name.
    """

    def __init__(self, name: str, body: Body, output: Any = None) -> None:
        self.name, self.output = name, output
        self.nodes = Nodes(body.nodes, body.names)
        self._check()

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.nodes)} nodes>"

    @property
    def edges(self) -> list[Edge]:
        """The arrows: data and after edges, then those of rules that name a job's status."""
        return [e for node in self.nodes for e in _edges_into(node)]

    @property
    def nx(self) -> networkx.MultiDiGraph[str]:
        """The graph as a `networkx.MultiDiGraph` of names; each name has `node`, each edge has `kind`."""
        from aiflow.graph.topology import to_networkx

        return to_networkx(self)

    def to_mermaid(self, statuses: Mapping[str, str] | None = None) -> str:
        """Give the graph as Mermaid text."""
        from aiflow.graph.drawing import mermaid

        return mermaid(self, statuses)

    def to_dot(self, statuses: Mapping[str, str] | None = None) -> str:
        """Give the graph as Graphviz DOT text."""
        from aiflow.graph.drawing import dot

        return dot(self, statuses)

    def to_svg(self, statuses: Mapping[str, str] | None = None) -> str:
        """Give the graph as a picture, an SVG text; `statuses` (job name to status) colours the nodes."""
        from aiflow.graph.drawing import svg

        return svg(self, statuses)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    _repr_html_ = _repr_svg_

    def _check(self) -> None:
        forward = False
        names = self.nodes._names
        for node in self.nodes:
            for other in (*node.after_nodes, *(c.node for c in node.conditions_)):
                forward = forward or other.index >= node.index
            for rule in node.rules:
                for leaf in rule.leaves:
                    if isinstance(leaf, JobCondition) and leaf.job not in names:
                        raise GraphError(
                            f"a rule of {node!r} waits for the job {leaf.job!r}, which is not in workflow {self.name!r}{suggest(leaf.job, names)}"
                        )
                    if isinstance(leaf, GaugeCondition):
                        _check_gauge(names[leaf.job], leaf.gauge)
        if forward:
            from aiflow.graph.topology import find_cycle

            cycle = find_cycle(self)
            if cycle:
                if len(cycle) > 24:
                    cycle = [*cycle[:12], f"… {len(cycle) - 24} more …", *cycle[-12:]]
                raise GraphError(
                    f"workflow {self.name!r} has a cycle: {' → '.join(cycle)}; only rules (start_on, …) may form cycles"
                )

    def upstream(self, names: set[str]) -> set[str]:
        """Give the names of what these jobs need directly by data."""
        return {
            n.name for name in names for n in (*self.nodes[name].data, *(c.node for c in self.nodes[name].conditions_))
        }

    def definition(self) -> dict[str, Any]:
        """Give the structure as JSON data: names, edges, rules, constants and the options that decide (rule 34)."""
        return {"workflow": self.name, "nodes": [describe(n) for n in self.nodes]}


def _edges_into(node: Node) -> Iterator[Edge]:
    for source in node.data:
        yield Edge(source.name, node.name, "data")
    for condition in node.conditions_:
        yield Edge(condition.node.name, node.name, "data", "run if")
    for source in node.after_nodes:
        yield Edge(source.name, node.name, "after")
    for rule in node.rules:
        for leaf in rule.leaves:
            if isinstance(leaf, JobCondition):
                yield Edge(leaf.job, node.name, "rule", f"{rule.action.lower()} on {leaf.title}")


def describe(node: Node) -> dict[str, Any]:
    """Give what decides of one node as JSON data; what has its default is left out."""
    out: dict[str, Any] = {"name": node.name}
    if node.job.name != node.name:
        out["job"] = node.job.name
    if node.job.role is not None:
        out["role"] = str(node.job.role)
    if node.data:
        out["data"] = [n.name for n in node.data]
    if node.after_nodes:
        out["after"] = sorted(n.name for n in node.after_nodes)
    if node.conditions_:
        out["run_if"] = [c.name for c in node.conditions_]
    if node.rules:
        out["rules"] = [str(r) for r in node.rules]
    if node.mapped:
        out["mapped"] = True
    if node.args:
        out["args"] = [_constant(a) for a in node.args]
    if node.kwargs:
        out["kwargs"] = {k: _constant(v) for k, v in node.kwargs.items()}
    options = node.options
    if options.outputs != 1:
        out["outputs"] = options.outputs if isinstance(options.outputs, int) else list(options.outputs)
    if node.job.is_stream:
        out["stream"] = True
    if node.taken:
        out["takes"] = [n.name for n in node.taken]
    if options.latest:
        out["latest"] = True
    if options.if_running is not None:
        out["if_running"] = str(options.if_running)
    if options.allow_failure:
        out["allow_failure"] = True
    if options.flink is not None:
        from aiflow.graph.flink import describe_flink

        out |= describe_flink(node)
    return out


def _constant(value: Any) -> Any:
    """Describe a constant argument as JSON data that is the same each time the body is run."""
    kind = type(value)
    if kind is Node or kind is Output:
        return {"node": value.name}
    if value is None or kind is bool or kind is int or kind is float or kind is str:
        return value
    if kind is list or kind is tuple:
        return [_constant(v) for v in value]
    if kind is dict and all(isinstance(k, str) for k in value):
        return {k: _constant(v) for k, v in value.items()}
    if kind is Fixed:
        return {"fixed": _constant(value.value)}
    if kind is Secret:
        return {"secret": value.reference}
    if kind is Unknown:
        return {"parameter": value.name}
    return {"type": f"{kind.__module__}.{kind.__qualname__}"}


def differences(old: dict[str, Any], new: dict[str, Any], limit: int = 5) -> list[str]:
    """Say how two definitions differ, in sentences; an empty list if they are the same."""
    before = {n["name"]: n for n in old["nodes"]}
    after = {n["name"]: n for n in json.loads(json.dumps(new["nodes"]))}
    found = [f"job {name!r} is gone" for name in before if name not in after]
    found += [f"job {name!r} is new" for name in after if name not in before]
    for what in sorted({*old, *new} - {"nodes"}):
        if old.get(what) != new.get(what):
            found.append(f"{what} of the workflow was {old.get(what)!r} and is {new.get(what)!r}")
    for name, was in before.items():
        now = after.get(name)
        if now is None or now == was:
            continue
        for what in sorted({*was, *now}):
            if was.get(what) != now.get(what):
                found.append(f"{what} of job {name!r} was {was.get(what)!r} and is {now.get(what)!r}")
    if not found and list(before) != list(after):
        found.append("the jobs stand in another order")
    return found if len(found) <= limit else [*found[:limit], f"… and {len(found) - limit} more"]


@overload
def activate(body: Body) -> Any: ...
@overload
def activate(body: None) -> Any: ...
def activate(body: Body | None) -> Any:
    """Make `body` the active one of this context; give the token for `deactivate`."""
    return _active.set(body)


def deactivate(token: Any) -> None:
    """Undo `activate`."""
    _active.reset(token)
