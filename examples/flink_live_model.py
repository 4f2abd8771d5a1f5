"""A stream on Flink names flowers with whichever model is deployed; while its answers are bad, it has the next one trained, and goes on.

Run it with `python -m aiflow run examples/flink_live_model.py`, after `pip install 'aiflow[flink,examples]'`.
"""

import time

from numpy.random import default_rng
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

knn = af.Model("live_knn", description="names a flower by its measures")
GOOD = 0.9


@af.train(knn)
def train():
    event = af.current().event  # what the stream has said; None the first time
    known = 5 if event is None else 2 * event.value["known"]
    flowers, chosen = load_iris(), default_rng(0).permutation(150)[:known]
    return KNeighborsClassifier(3).fit(flowers.data[chosen], flowers.target[chosen])


@af.push_model(knn)
def deploy(version: af.ModelVersion):
    print(f"{version} answers from now on")


@af.predict(knn, runner="flink", stream=True, config={"python.fn-execution.bundle.size": "10"})
def answer(env, model: af.LiveModel, per_second: int):
    from pyflink.common import Types, WatermarkStrategy
    from pyflink.datastream.connectors.number_seq import NumberSequenceSource

    flowers, answers = load_iris(), {}

    def name(n: int) -> str:  # on the cluster
        time.sleep(1 / per_second)
        now, version = model.pinned()
        flower = 37 * n % 150
        said = now.predict(flowers.data[[flower]])[0]
        given = answers.setdefault(version.number, [])
        given.append(said == flowers.target[flower])
        if len(given) == 150:  # each flower once
            told = {"version": version.number, "known": now.n_samples_fit_, "right": sum(given) / 150}
            af.flink.publish("answered", told, dedupe_key=f"answered {version}")
        return f"{flowers.target_names[said]} ({version})"

    numbers = env.from_source(NumberSequenceSource(0, 10**9), WatermarkStrategy.no_watermarks(), "numbers")
    numbers.map(name, output_type=Types.STRING()).print()


@af.workflow
def flink_live_model(per_second: int = 100):
    bad = af.event("answered", where=lambda event: event.value["right"] < GOOD).own()
    good = af.event("answered", where=lambda event: event.value["right"] >= GOOD).own()
    deploy(train().restart_on(bad))
    answer(per_second).stop_on(good)
