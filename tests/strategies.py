"""What Hypothesis may think up, and how much: conditions, workflows and histories. Everything drawn prints as what it is.

Knows nothing of what should be true of them (that is the tests).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from aiflow.graph.condition import AskedCondition, Condition, StatusCondition, event
from aiflow.graph.event import CHANGES
from aiflow.graph.file import file
from aiflow.graph.job import Job, JobOptions, check_options
from aiflow.graph.metadata import ChangeCondition, MetricCondition
from aiflow.graph.stream import Stream
from aiflow.graph.timing import At, Cron, Every, Misfire
from aiflow.graph.workflow import Workflow

DEEP = int(os.environ.get("AIFLOW_EXAMPLES", "0"))
"""How many examples each property shall have, instead of the few of an everyday run."""

SAME = bool(DEEP or os.environ.get("CI"))
"""Whether they are always the same: what decides about a change must not depend on luck, and what is deep can be repeated."""


def examples(count: int) -> settings:
    """Give the settings of a property of which `count` examples are tried in an everyday run."""
    return settings(
        max_examples=DEEP or count, derandomize=SAME, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


KEYS = ("go", "stop", "tick")
STATUSES = {
    "succeeded": ("SUCCESS",),
    "failed": ("FAILED",),
    "finished": ("SUCCESS", "FAILED", "STOPPED", "SKIPPED"),
    "running": ("RUNNING",),
    "skipped": ("SKIPPED",),
    "stopped": ("STOPPED",),
}


@dataclass(frozen=True)
class DrawnNode:
    """One node: which earlier nodes it needs, its rules and options."""

    data: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    run_if: int | None = None
    rules: tuple[tuple[str, Condition], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    is_stream: bool = False


@dataclass(frozen=True)
class Drawn:
    """A workflow of nodes ``j0``, ``j1``, …"""

    nodes: tuple[DrawnNode, ...]
    ends: str | None = None
    stop_on: Condition | None = None

    def workflow(self) -> Workflow:
        """Make the workflow."""
        return Workflow(self._body, {"name": "drawn", "ends": self.ends, "stop_on": self.stop_on})

    def _body(self) -> None:
        made: list[Any] = []
        for number, drawn in enumerate(self.nodes):
            options = JobOptions(**check_options({"name": f"j{number}", **drawn.options}, "drawn"))
            function = _yield_nothing if drawn.is_stream else _do_nothing
            node = Job(function, options)([made[i] for i in drawn.data], *[made[i] for i in drawn.streams])
            node.after(*[made[i] for i in drawn.after])
            if drawn.run_if is not None:
                node.run_if(made[drawn.run_if])
            for action, condition in drawn.rules:
                getattr(node, action)(condition)
            made.append(node)


def _do_nothing(inputs: Any, *streams: Stream[Any]) -> None: ...


def _yield_nothing(inputs: Any, *streams: Stream[Any]) -> Iterator[None]:
    yield


def status_leaves(jobs: int, names: Sequence[str] = tuple(STATUSES)) -> st.SearchStrategy[Condition]:
    """A job of the workflow reaching a status."""
    number, name = st.integers(0, jobs - 1), st.sampled_from(names)
    return st.builds(lambda i, n: StatusCondition(f"j{i}", n, STATUSES[n]), number, name)


def event_leaves(keys: Sequence[str] = KEYS, own: bool | None = None) -> st.SearchStrategy[Condition]:
    """An event with one of these keys; `own` tells whether only those of the execution itself count (None: either)."""
    owns = st.booleans() if own is None else st.just(own)
    globs = st.sampled_from((*keys, "t*"))
    kinds = st.sampled_from((event, event, event, _with_where, _custom))
    return st.builds(lambda kind, key, own: kind(key).own() if own else kind(key), kinds, globs, owns)


def _with_where(key: str) -> Condition:
    return event(key, where=_is_never_called)


def _custom(key: str) -> Condition:
    return AskedCondition(_is_never_called, (key, "never"))


def _is_never_called(*_: Any) -> bool:
    raise AssertionError("functions of the user are not called while it is decided")


def time_leaves() -> st.SearchStrategy[Condition]:
    """A condition on time: soon, for a `Sim` begins at 1,000 seconds; some are past by then."""
    misfire, now = st.sampled_from(tuple(Misfire)), st.booleans()
    every = st.builds(Every, st.sampled_from((1.0, 7.5)), misfire, now)
    cron = st.builds(Cron, st.just("* * * * *"), st.just("UTC"), misfire, now)
    return every | cron | st.builds(At, st.sampled_from((990.0, 1_000.0, 1_005.0, 1_030.0)), now)


def file_leaves() -> st.SearchStrategy[Condition]:
    """A condition on files that a `Sim` lets arrive."""
    patterns = st.sampled_from(("in/*.csv", "in/a.csv", "**/a*", "/folder/in/b.csv"))
    on = st.sampled_from(("created", "modified", ("created", "modified")))
    made = st.builds(file, patterns, on, st.sampled_from((0.0, 2.5)))
    return st.builds(lambda condition, now: condition.now() if now else condition, made, st.booleans())


def metadata_leaves() -> st.SearchStrategy[Condition]:
    """A change of the metadata or a value of a metric; a `Sim` makes changes that some of them wait for."""
    kinds = st.sampled_from(
        sorted(CHANGES - {"ARTIFACT_CHANGED"})
    )  # that of a dataset of the same name prints as it does
    changes = st.builds(ChangeCondition, st.sampled_from(("knn", "iris", "go")), kinds, st.booleans(), st.booleans())
    return changes | metric_leaves()


def metric_leaves() -> st.SearchStrategy[MetricCondition]:
    """A value of a metric, of a model, a dataset or whatever, that compares so."""
    name, sign = st.sampled_from(("loss", "auc")), st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
    number = st.sampled_from((0.0, -1.5, 3.0)) | st.floats(allow_nan=False)
    subjects = (
        ("knn", None, None),
        (None, "iris", None),
        (None, None, None),
        (None, None, "*"),
        (None, None, "default"),
    )
    made = lambda name, sign, number, subject, own, now: MetricCondition(name, sign, number, *subject, own, now)  # noqa: E731
    return st.builds(made, name, sign, number, st.sampled_from(subjects), st.booleans(), st.booleans())


def composites(leaves: st.SearchStrategy[Condition], refined: bool = True) -> st.SearchStrategy[Condition]:
    """All and any of `leaves`; `refined`: also times, within and sticky."""

    def larger(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        both = st.builds(lambda a, b: a & b, inner, inner) | st.builds(lambda a, b: a | b, inner, inner)
        if not refined:
            return both
        times = st.builds(lambda c, n: c.times(n), inner, st.integers(2, 3))
        within = st.builds(lambda c, s: c.within(s), inner, st.sampled_from((0.0, 1.0, 5.0)))
        return both | times | within | st.builds(lambda c: c.sticky(), inner)

    return st.recursive(leaves, larger, max_leaves=4)


def _some(earlier: int, most: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    if not earlier:
        return st.just(())
    return st.lists(st.integers(0, earlier - 1), max_size=most, unique=True).map(lambda found: tuple(sorted(found)))


def options() -> st.SearchStrategy[dict[str, Any]]:
    """Options that decide what a job does next."""
    policies = st.sampled_from((None, None, "queue", "merge", "ignore", "restart", "parallel"))
    return st.fixed_dictionaries(
        {},
        optional={
            "retries": st.integers(0, 2),
            "allow_failure": st.booleans(),
            "if_running": policies,
            "max_parallel": st.integers(1, 3),
            "timeout": st.just(60.0),
            "latest": st.booleans(),
        },
    )


@st.composite
def workflows(
    draw: st.DrawFn,
    *,
    external: bool = True,
    refined: bool = True,
    actions: Sequence[str] = ("start_on", "stop_on", "restart_on"),
    ends: Sequence[str | None] = (None,),
    most: int = 6,
) -> Drawn:
    """A workflow: data and `after` edges without cycles, `run_if`, rules with or without cycles, options.

    `external`: rules may wait for events that others publish. `refined`: as in `composites`.
    """
    size = draw(st.integers(1, most))
    leaves = status_leaves(size) | event_leaves(own=None if external else True)
    if external:
        leaves |= time_leaves() | file_leaves() | metadata_leaves()
    rule = st.tuples(st.sampled_from(tuple(actions)), composites(leaves, refined))
    nodes: list[DrawnNode] = []
    for number in range(size):
        data, run_if = draw(_some(number)), draw(st.none() | st.integers(0, number - 1)) if number else None
        streams = tuple(i for i in data if nodes[i].is_stream) if draw(st.booleans()) else ()
        if streams:  # who takes streams as iterators gets nothing item by item
            data = tuple(i for i in data if i not in streams)
            run_if = None if run_if is not None and nodes[run_if].is_stream else run_if
        rules = tuple(draw(st.lists(rule, max_size=2)))
        is_stream = draw(st.integers(0, 3)) == 3
        nodes.append(DrawnNode(data, streams, draw(_some(number)), run_if, rules, draw(options()), is_stream))
    stop_on = draw(st.none() | event_leaves()) if external else None
    return Drawn(tuple(nodes), draw(st.sampled_from(tuple(ends))), stop_on)


@st.composite
def pipelines(draw: st.DrawFn) -> Drawn:
    """A job that the event ``go`` starts again and again, and jobs below it that all need it, directly or not."""
    chosen = {"retries": st.integers(0, 1), "if_running": st.sampled_from((None, "queue", "parallel"))}
    options = st.fixed_dictionaries(chosen, optional={"max_parallel": st.integers(1, 3)})
    nodes = [DrawnNode(rules=(("start_on", event("go")),), options=draw(options))]
    for number in range(1, draw(st.integers(2, 6))):
        ups = st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True)
        asked = draw(st.none() | st.none() | st.integers(0, number - 1))
        nodes.append(DrawnNode(tuple(draw(ups)), (), draw(_some(number)), asked, options=draw(options)))
    return Drawn(tuple(nodes), "never")


@st.composite
def brooks(draw: st.DrawFn) -> Drawn:
    """A stream, and jobs that each of its items starts, directly or not."""
    options = st.fixed_dictionaries({"retries": st.integers(0, 1), "if_running": st.sampled_from((None, "parallel"))})
    nodes = [DrawnNode(options={"retries": 1}, is_stream=True)]
    for number in range(1, draw(st.integers(2, 5))):
        ups = st.lists(st.integers(0, number - 1), min_size=1, max_size=2, unique=True)
        nodes.append(DrawnNode(tuple(draw(ups)), options=draw(options)))
    return Drawn(tuple(nodes), draw(st.sampled_from((None, "never"))))


def histories(most: int = 40) -> st.SearchStrategy[list[int]]:
    """Numbers that `tests.graph.sim.wander` takes its choices from."""
    return st.lists(st.integers(0, 10**6), max_size=most)
