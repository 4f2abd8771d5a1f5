"""Online learning: labelled pictures come in, a model is trained with them again and again, and the better one answers.

    aiflow run examples/online_learning.py -p pause=2

`preprocess` is a stream: each of its items trains a version, which is validated, and deployed if it is better than the one
before. `predict` knows nothing of that: it listens, and each deployment starts it, with the version that was deployed.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import aiflow as af

reader = af.Model("digit_reader", description="tells a handwritten digit from its picture")

PICTURES, DIGITS = load_digits(return_X_y=True)  # 8 × 8 pixels from 0 to 16
TEST, NEW = slice(1200, 1600), slice(1600, None)

Labelled = tuple[np.ndarray, np.ndarray]  # pictures, and the digits that they show


@af.job
def preprocess(step: int, pause: float) -> Iterator[Labelled]:
    """Give all that was labelled so far, shuffled, each time that there is more."""
    for end in range(step, 1200, step):
        order = np.random.default_rng(end).permutation(end)
        yield PICTURES[order], DIGITS[order]
        af.current().wait_stop(pause)


@af.train(reader)
def train(labelled: Labelled) -> Pipeline:
    return make_pipeline(StandardScaler(), SGDClassifier(random_state=0)).fit(*labelled)


@af.model_validate(reader)
def validate(candidate: Pipeline, deployed: Pipeline | None) -> bool:
    def score(model: Pipeline) -> float:
        return model.score(PICTURES[TEST], DIGITS[TEST])

    return deployed is None or score(candidate) > score(deployed)


@af.push_model(reader)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is the best so far")


@af.predict(reader)
def predict(model: Pipeline) -> str:
    answers = model.predict(PICTURES[NEW])
    line = (
        f"{af.current().version}: {''.join(map(str, answers[:20]))}…, {(answers == DIGITS[NEW]).mean():.1%} are right"
    )
    print(line)
    return line


@af.workflow(ends="quiet")  # when nothing runs any more; else it would wait for a version from elsewhere
def online_learning(step: int = 100, pause: float = 0.5) -> None:
    push(validate(train(preprocess(step, pause))))
    predict().start_on(reader.deployed)
