"""Acceptance by two small models, written from the text of rules 5 to 9, 13 and 19 alone: engine and model agree."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.acceptance.acts import end

import aiflow as af
from aiflow.testing import ManualClock, assert_replays, project_for_tests, run_until_idle, simulate

# ---------------------------------------------------------------------------------------------------------- conditions


@dataclass
class Leaf:
    """An event of a key, n times."""

    key: str
    n: int = 1
    hits: list[float] = field(default_factory=list)

    def feed(self, key: str, now: float) -> bool:
        if key == self.key:
            self.hits.append(now)
        return key == self.key

    def is_met(self) -> bool:
        return len(self.hits) >= self.n

    def consume(self) -> None:
        self.hits = []

    def latched(self) -> list[float]:
        return self.hits

    def forget(self, before: float) -> None:
        self.hits = [hit for hit in self.hits if hit >= before]

    def condition(self) -> af.Condition:
        return af.event(self.key).times(self.n) if self.n > 1 else af.event(self.key)


@dataclass
class Parts:
    """All of several parts, or any."""

    needs_all: bool
    parts: list[Any]

    def feed(self, key: str, now: float) -> bool:
        return any([part.feed(key, now) for part in self.parts])

    def is_met(self) -> bool:
        return (all if self.needs_all else any)(part.is_met() for part in self.parts)

    def consume(self) -> None:
        for part in self.parts:
            part.consume()

    def latched(self) -> list[float]:
        return [hit for part in self.parts for hit in part.latched()]

    def forget(self, before: float) -> None:
        for part in self.parts:
            part.forget(before)

    def condition(self) -> af.Condition:
        whole = self.parts[0].condition()
        for part in self.parts[1:]:
            whole = whole & part.condition() if self.needs_all else whole | part.condition()
        return whole


@dataclass
class Sticky:
    """What stays met after firing."""

    part: Leaf

    def __post_init__(self) -> None:
        self.feed, self.is_met, self.latched = self.part.feed, self.part.is_met, self.part.latched
        self.forget = self.part.forget

    def consume(self) -> None: ...

    def condition(self) -> af.Condition:
        return self.part.condition().sticky()


@dataclass
class Times:
    """The n-th meeting of a composite."""

    part: Any
    n: int
    hits: list[float] = field(default_factory=list)

    def feed(self, key: str, now: float) -> bool:
        matches = self.part.feed(key, now)
        if matches and self.part.is_met():
            self.hits.append(now)
            self.part.consume()
        return bool(matches)

    def is_met(self) -> bool:
        return len(self.hits) >= self.n

    def consume(self) -> None:
        self.hits = []
        self.part.consume()

    def latched(self) -> list[float]:
        return self.hits + self.part.latched()

    def forget(self, before: float) -> None:
        self.hits = [hit for hit in self.hits if hit >= before]
        self.part.forget(before)

    def condition(self) -> af.Condition:
        return self.part.condition().times(self.n)


@dataclass
class Within:
    """All parts inside of a window."""

    part: Any
    seconds: float

    def __post_init__(self) -> None:
        self.is_met, self.consume = self.part.is_met, self.part.consume
        self.latched, self.forget = self.part.latched, self.part.forget

    def feed(self, key: str, now: float) -> bool:
        matches = self.part.feed(key, now)
        if matches and self.part.latched():
            self.part.forget(max(self.part.latched()) - self.seconds)
        return bool(matches)

    def condition(self) -> af.Condition:
        return self.part.condition().within(self.seconds)


def any_model(draw: random.Random, depth: int, sticks: bool = True) -> Any:
    """Draw a model of a condition; sticky leaves stand under `&` only, where the text says what they do."""
    kind = draw.random()
    if depth == 0 or kind < 0.2:
        leaf = Leaf(draw.choice("abcd"), draw.choice([1, 1, 1, 2, 3]))
        return Sticky(leaf) if sticks and draw.random() < 0.2 else leaf
    if kind < 0.75:
        needs_all = draw.random() < 0.67
        count = draw.choice([2, 2, 3])
        return Parts(needs_all, [any_model(draw, depth - 1, sticks and needs_all) for _ in range(count)])
    if kind < 0.88:
        part = any_model(draw, depth - 1, sticks)
        return part if isinstance(part, Leaf | Sticky) else Times(part, draw.choice([2, 3]))
    return Within(any_model(draw, depth - 1, False), draw.choice([10.25, 20.25]))


@pytest.mark.parametrize("seed", range(6))
def test_rules_5_to_9_conditions_of_all_kinds_inside_each_other_fire_at_the_events_that_the_text_says(tmp_path, seed):
    draw, clock = random.Random(seed), ManualClock()
    models = {f"n{i}": any_model(draw, draw.choice([1, 2, 3])) for i in range(25)}
    fired: dict[str, list[int]] = {name: [] for name in models}
    expected: dict[str, list[int]] = {name: [] for name in models}

    @af.job
    def act():
        fired[af.current().job].append(af.current().event.offset)

    @af.workflow(ends="never")
    def flow():
        for name, model in models.items():
            act.options(name=name)().start_on(model.condition())

    with project_for_tests(tmp_path / "home", clock) as project:
        execution = project.start(flow)
        for _ in range(50):
            clock.advance(draw.choice([0, 1, 3, 7, 12]))
            event = project.publish(draw.choice("abcdx"))
            run_until_idle(project)
            for name, model in models.items():
                if model.feed(event.key, clock.now()) and model.is_met():
                    expected[name].append(event.offset)
                    model.consume()
        end(execution)
    for name, model in models.items():
        assert fired[name] == expected[name], f"{model.condition()}, seed {seed}"


# ----------------------------------------------------------------------------------------------------------- upstreams

LOST = object()  # the end of a run that has no value


def outcome(job: str, arguments: Any) -> Any:
    """What a run comes to: a value, or LOST by a skip or a failure; the same for the same arguments."""
    number = zlib.crc32(repr((job, arguments)).encode())
    return LOST if number % 6 == 0 or number % 7 == 0 else number


def come_to(arguments: Any) -> int:
    job = af.current().job
    value = outcome(job, arguments)
    if value is LOST:
        raise (af.Skip("by chance") if zlib.crc32(job.encode()) % 2 else ValueError("by chance"))
    return int(value)


def expected_ends(nodes: dict[str, Any], events: list[tuple[str, int]]) -> dict[str, list[Any]]:
    """Pair the ends of recurring upstreams first with first; values of one-shot ones stay."""
    ends: dict[str, list[Any]] = {}
    recurs: dict[str, bool] = {}
    for name, ups in nodes.items():
        if isinstance(ups, str):
            recurs[name], ends[name] = True, [outcome(name, value) for key, value in events if key == ups]
            continue
        recurs[name], ends[name] = any(recurs[up] for up, _ in ups), []
        for i in range(len(events) if recurs[name] else 1):
            row = [(ends[up] if recurs[up] else ends[up] * (i + 1))[i : i + 1] for up, _ in ups]
            if [LOST] in row:
                ends[name].append(LOST)
            elif [] in row:
                break
            else:
                values = tuple(value for [value], (_, by_data) in zip(row, ups, strict=True) if by_data)
                ends[name].append(outcome(name, values))
    return ends


@pytest.mark.parametrize("seed", range(6))
def test_rules_13_and_19_each_end_of_an_upstream_gives_one_run_or_one_skip_also_over_deaths_of_the_process(seed):
    draw = random.Random(seed)
    nodes: dict[str, Any] = {f"s{i}": f"k{i}" for i in range(draw.choice([1, 2, 3]))}
    keys = list(nodes.values())
    nodes["once"] = []
    for i in range(4):
        nodes[f"n{i}"] = [(up, draw.random() < 0.75) for up in draw.sample(list(nodes), min(len(nodes), 1 + i % 3))]

    @af.job
    def source():
        return come_to(af.current().event.value)

    @af.job
    def node(arguments):
        return come_to(tuple(arguments))

    @af.workflow(name=f"upstreams_{seed}", ends="never")
    def flow():
        made: dict[str, af.Node] = {}
        for name, ups in nodes.items():
            if isinstance(ups, str):
                made[name] = source.options(name=name)().start_on(af.event(ups))
                continue
            made[name] = node.options(name=name)([made[up] for up, by_data in ups if by_data])
            made[name].after(*(made[up] for up, by_data in ups if not by_data))

    events = [(draw.choice(keys), value) for value in range(20)]
    simulation = simulate(
        flow,
        [(50 + 3 * i, key, value) for i, (key, value) in enumerate(events)],
        seed=seed,
        until=20_000,
        durations={name: draw.choice([0, 1, 10, 40]) for name in nodes},
        crashes=seed % 3,
    )
    execution = simulation.execution
    for name, ends in expected_ends(nodes, events).items():
        assert execution.results(name) == [value for value in ends if value is not LOST], f"{name} of {nodes}"
    assert_replays(execution)
