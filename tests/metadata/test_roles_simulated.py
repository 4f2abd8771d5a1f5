"""Lives of a model in virtual time, in any order and with processes that die: what is recorded agrees with what ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import examples

import aiflow as af
from aiflow.testing import Simulation, simulate

knn = af.Model("knn")


@af.job
def batches(count: int) -> Iterator[int]:
    state = af.current().state
    for n in range(state.get("next", 0), count):
        state["next"] = n + 1
        yield n


@af.train(knn, retries=1, retry_delay=0.5)
def fit(batch: int) -> int:
    if batch == 1 and af.current().attempt == 1:
        raise RuntimeError("at first")
    return batch


@af.evaluate(knn)
def score(model: int) -> dict[str, int]:
    return {"size": model}


@af.model_validate(knn)
def is_even(model: int, deployed: int | None) -> bool:
    return model % 2 == 0 and (deployed is None or deployed < model)


@af.push_model(knn)
def push(version: af.ModelVersion) -> None:
    af.current().wait_stop(1.0)


@af.predict(knn)
def answer(model: int) -> int:
    return model


@af.workflow
def life(count: int = 5) -> None:
    """Each batch is trained on; versions are looked at as they come, and the best one answers."""
    made = fit(batches(count))
    score(made)
    validated = is_even(made)
    push(validated)
    answer().start_on(knn.deployed).stop_on(af.event("never"))
    answer.options(name="first")()


def values(found: Simulation, job: str) -> list[Any]:
    return list(found.execution.results(job))


@examples(30)
@given(st.integers(0, 10_000), st.integers(0, 2), st.integers(1, 6), st.sampled_from((1, 2, 8)))
def test_31_each_batch_makes_one_version_and_each_version_goes_its_way_once(
    seed: int, crashes: int, count: int, workers: int
) -> None:
    found = simulate(life, seed=seed, crashes=crashes, params={"count": count}, workers=workers, until=3600)
    execution = found.execution
    versions = found.project.models.get("knn").versions()
    told = Counter((e.type, e.value["number"]) for e in found.events if e.type.startswith("MODEL_"))
    assert set(told.values()) == {1}, "a change was told twice"
    assert [v.number for v in versions] == list(range(1, count + 1))
    of = {v.number: found.project.models.load(v) for v in versions}
    assert sorted(of.values()) == list(range(count))
    assert sorted(v.number for v in values(found, "fit")) == [v.number for v in versions]
    metrics = found.project.metrics.history("size", model=knn)
    assert sorted((m.number, int(m.value)) for m in metrics) == sorted(of.items())
    validated = [v for v in values(found, "is_even") if v is not None]
    assert sorted(str(v) for v in values(found, "push")) == sorted(map(str, validated))
    rows = Counter((j.job, str(j.status)) for j in execution.jobs)
    assert rows["push", "SKIPPED"] == count - len(validated) == rows["is_even", "SUCCESS"] - rows["push", "SUCCESS"]
    deployed = [v for v in versions if v.stage == "DEPLOYED"]
    assert len(deployed) == 1
    assert sorted(values(found, "answer")) == sorted(of[v.number] for v in validated)
    assert values(found, "first")[0] in [of[v.number] for v in validated]
