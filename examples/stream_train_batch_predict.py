"""Learn from a stream: each batch of it makes a version of the model, which is validated while the learning goes on.

    aiflow run examples/stream_train_batch_predict.py -p pause=1

`train` is one job that takes a whole stream and yields what it has learned so far. Each version starts `validate`; one that is
better than what is in use starts `push`, and that starts `predict`, which reads all new pictures. It ends with the stream.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import aiflow as af

reader = af.Model("digit_reader", description="tells a handwritten digit from its picture")

PICTURES, DIGITS = load_digits(return_X_y=True)  # 8 × 8 pixels from 0 to 16
TEST, NEW = slice(1200, 1500), slice(1500, None)

Batch = tuple[np.ndarray, np.ndarray]  # pictures, and the digits that they show


@af.job
def lessons(size: int, pause: float) -> Iterator[Batch]:
    for start in range(0, 1200, size):
        yield PICTURES[start : start + size], DIGITS[start : start + size]
        af.current().wait_stop(pause)


@af.train(reader)
def train(batches: af.Stream[Batch]) -> Iterator[SGDClassifier]:
    model = SGDClassifier(random_state=0)
    for pictures, digits in batches:
        yield model.partial_fit(pictures, digits, classes=range(10))  # a version, as it is now


@af.model_validate(reader)
def validate(candidate: SGDClassifier, deployed: SGDClassifier | None) -> bool:
    def score(model: SGDClassifier) -> float:
        return model.score(PICTURES[TEST], DIGITS[TEST])

    return deployed is None or score(candidate) > score(deployed)


@af.push_model(reader)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is good enough")


@af.predict(reader)
def predict(model: SGDClassifier) -> str:
    right = (model.predict(PICTURES[NEW]) == DIGITS[NEW]).mean()
    print(f"{af.current().version} reads {right:.1%} of the new pictures rightly")
    return str(af.current().version)


@af.workflow(ends="quiet")  # when nothing runs any more; else it would wait for a version from elsewhere
def stream_train_batch_predict(size: int = 200, pause: float = 0.5) -> None:
    train(lessons(size, pause))
    validate().start_on(reader.generated)
    push().start_on(reader.validated)
    predict().start_on(reader.deployed)
