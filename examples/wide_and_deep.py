"""Batch and stream together: old cases teach a base, new ones teach it further, and others are told by what is deployed.

    aiflow run examples/wide_and_deep.py -p pause=0.5

A wide part remembers which measures of a tumour go together, a deep part generalises. A table of old cases makes the base. Once
that is validated, a stream of new cases makes a version with each batch; versions that are better than the one before
are deployed, and each deployment starts `predict` again. The jobs that make streams ready know nothing of that and run through.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import aiflow as af

foundation = af.Model("wide_and_deep_base", description="what a table of old cases teaches")
wide_and_deep = af.Model("wide_and_deep", description="tells benign from malignant tumours; learns from each new case")

MEASURES, BENIGN = load_breast_cancer(return_X_y=True)
OLD, NEW, TEST, UNKNOWN = slice(0, 60), slice(60, 340), slice(340, 460), slice(460, 569)

Cases = tuple[np.ndarray, np.ndarray]  # measures, and whether the tumour is benign


class WideAndDeep:
    def __init__(self) -> None:
        self.crossed = PolynomialFeatures(2, interaction_only=True).fit_transform
        self.wide = SGDClassifier(loss="log_loss", alpha=0.01, random_state=0)
        self.deep = MLPClassifier((16, 8), learning_rate_init=0.01, random_state=0)

    def learn(self, measures: np.ndarray, benign: np.ndarray) -> "WideAndDeep":
        self.wide.partial_fit(self.crossed(measures > 0), benign, classes=[0, 1])
        self.deep.partial_fit(measures, benign, classes=[0, 1])
        return self

    def predict(self, measures: np.ndarray) -> np.ndarray:
        both = self.wide.predict_proba(self.crossed(measures > 0)) + self.deep.predict_proba(measures)
        return both.argmax(axis=1)

    def score(self, measures: np.ndarray, benign: np.ndarray) -> float:
        return float((self.predict(measures) == benign).mean())


def scaled(rows: slice) -> Cases:
    return StandardScaler().fit(MEASURES[OLD]).transform(MEASURES[rows]), BENIGN[rows]


@af.job(outputs=("old", "test"))
def preprocess() -> tuple[Cases, Cases]:
    return scaled(OLD), scaled(TEST)


@af.job
def preprocess_stream(rows: slice, size: int, pause: float) -> Iterator[Cases]:
    for at in range(rows.start, rows.stop, size):
        yield scaled(slice(at, at + size))
        af.current().wait_stop(pause)


# --- the base, from a table


@af.train(foundation)
def train_base(old: Cases) -> WideAndDeep:
    model = WideAndDeep()
    for _ in range(20):
        model.learn(*old)
    return model


@af.evaluate(foundation)
def evaluate_base(model: WideAndDeep, test: Cases) -> dict[str, float]:
    return {"accuracy": model.score(*test)}


@af.model_validate(foundation)
def validate_base(candidate: WideAndDeep, test: Cases) -> bool:
    return candidate.score(*test) > 0.8


# --- what is taught further, by a stream


@af.train(wide_and_deep, base=foundation)
def train(new: af.Stream[Cases], base: WideAndDeep) -> Iterator[WideAndDeep]:
    for cases in new:
        yield base.learn(*cases)


@af.model_validate(wide_and_deep)
def validate(candidate: WideAndDeep, test: Cases, deployed: WideAndDeep | None) -> bool:
    return deployed is None or candidate.score(*test) > deployed.score(*test)


@af.push_model(wide_and_deep)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is better")


@af.predict(wide_and_deep)
def predict(model: af.LiveModel, unknown: af.Stream[Cases]) -> Iterator[str]:
    for measures, _ in unknown:
        pinned, version = model.pinned()
        yield f"{version}: {pinned.predict(measures).sum()} of {len(measures)} are benign"


@af.job
def show(line: str) -> str:
    print(line)
    return line


@af.workflow(name="wide_and_deep", ends="quiet")  # when nothing runs any more
def workflow(pause: float = 1.0) -> None:
    old, test = preprocess()
    fitted = train_base(old)
    base = validate_base(fitted, test).after(evaluate_base(fitted, test))

    new = preprocess_stream.options(name="preprocess_new")(NEW, 40, pause)
    train(new, base)
    validate(test).start_on(wide_and_deep.generated)
    push().start_on(wide_and_deep.validated)

    unknown = preprocess_stream.options(name="preprocess_unknown")(UNKNOWN, 4, pause / 4)
    show(predict(unknown).restart_on(wide_and_deep.deployed))
