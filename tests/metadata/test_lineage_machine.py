"""Whatever a workflow looks like, in whatever order things happen, and wherever the process dies: lineage is what values say.

Each value says which run of which job gave it. So each run finds out by itself what it came from; what is recorded must be that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests import invariants
from tests.strategies import examples

import aiflow as af
from aiflow.testing import project_for_tests, simulate

Run = tuple[str, int]


@dataclass(frozen=True)
class Part:
    """One node: what it needs, what starts it, and what it does with the model."""

    needs: tuple[int, ...]
    after: tuple[int, ...]
    on: str | None
    is_stream: bool
    deed: str  # some of l(oad), m(ake) and f(ail once), in that order


@dataclass
class Seen:
    """What runs have found out themselves."""

    took: dict[Run, set[Run]] = field(default_factory=dict)
    used: set[tuple[int, Run]] = field(default_factory=set)  # loaded for sure
    tried: set[tuple[int, Run]] = field(default_factory=set)


def work(seen: Seen, deed: str, values: tuple[Any, ...]) -> Run:
    context = af.current()
    run = (context.job, context.number)
    seen.took.setdefault(run, set()).update(value[:2] for value in values)
    knn = context.project.models.get("knn")
    if "l" in deed:
        latest = knn.latest()
        seen.tried.add((latest.number, run))
        latest.load()
        seen.used.add((latest.number, run))
    if "m" in deed:
        knn.log(run)
    if "f" in deed and context.attempt == 1:
        raise ValueError("not yet")
    return run


def flow_of(parts: list[Part], seen: Seen) -> Any:
    def body() -> None:
        made: list[Any] = []
        for number, part in enumerate(parts):
            job = af.job(_function(part, seen), name=f"j{number}", retries=1, retry_delay=1)
            node = job(*[made[i] for i in part.needs]).after(*[made[i] for i in part.after])
            if part.on is not None:
                node.start_on(af.event(part.on))
            made.append(node)

    return af.workflow(body, name="drawn", ends="never")


def _function(part: Part, seen: Seen) -> Any:
    if part.is_stream:

        def stream(*values: Any) -> Iterator[Any]:
            run = work(seen, part.deed, values)
            yield from ((*run, item) for item in range(2))

        return stream

    def plain(*values: Any) -> Run:
        return work(seen, part.deed, values)

    return plain


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    found: list[Part] = []
    some = lambda n: st.lists(st.integers(0, n - 1), max_size=2, unique=True) if n else st.just([])  # noqa: E731
    for number in range(draw(st.integers(2, 6))):
        needs = tuple(draw(some(number)))
        after = tuple(i for i in draw(some(number)) if i not in needs)
        on = draw(st.sampled_from((None, "go", "again")))
        deed = draw(st.sampled_from(("", "", "l", "m", "lm", "lf", "mf")))
        found.append(Part(needs, after, on, draw(st.integers(0, 3)) == 3, deed))
    return found


@examples(40)
@given(
    parts(),
    st.lists(st.sampled_from(("go", "again")), min_size=2, max_size=8),
    st.integers(0, 2**32),
    st.integers(0, 2),
    st.lists(st.sampled_from((0, 1, 4)), min_size=6, max_size=6),
)
def test_the_recorded_lineage_is_what_the_values_say(
    drawn: list[Part], keys: list[str], seed: int, crashes: int, durations: list[float]
) -> None:
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        with project_for_tests(folder) as project:
            project.models.register("knn").log("the first one")
        flow = flow_of(drawn, seen)
        simulate(
            flow,
            [((0, 10), key, None) for key in keys],
            seed=seed,
            crashes=crashes,
            home=folder,
            durations=lambda job, number: durations[(int(job[1:]) + number) % 6],
            until=60,
        )
        with project_for_tests(folder) as project:
            (execution,) = project.executions.list()
            versions = project.models.get("knn").versions()
            graphs = [project.lineage.downstream(one) for one in (execution, *versions)]
        invariants.check(Path(folder))
    edges = {(said(a), said(b)) for graph in graphs for a, b in graph.edges}
    made = {((v.job, v.job_number), v.number) for v in versions if v.job is not None}
    own = {(number, run) for run, number in made}
    uses = {(a, b) for a, b in edges if isinstance(a, int)}
    assert {(a, b) for a, b in edges if isinstance(b, int)} == made
    assert seen.used - own <= uses <= seen.tried - own
    flowed = {(a, b) for a, b in edges - made - uses if b in seen.took}
    values = {(source, run) for run, sources in seen.took.items() for source in sources}
    assert flowed == (values if made or uses else set())


def said(thing: Any) -> Any:
    """A run as it says of itself who it is; a version by its number."""
    return (thing.job, thing.number) if isinstance(thing, af.JobExecution) else thing.number
