"""One stream teaches a model, another one is read with it: the reader always has the version that is deployed.

    aiflow run examples/stream_train_stream_predict.py -p pause=0.5

`predict` gets an `af.LiveModel`. When a version is deployed, the next pictures are read with that; nothing is started again, and
none of the pictures is lost. The camera goes on until it is interrupted (Ctrl-C).
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


@af.job
def camera(pause: float) -> Iterator[np.ndarray]:
    """Send ten pictures at a time, until somebody stops it."""
    sent = 0
    while not af.current().wait_stop(pause):
        yield PICTURES[NEW].take(range(sent, sent + 10), axis=0, mode="wrap")
        sent += 10


@af.predict(reader)
def predict(model: af.LiveModel, pictures: af.Stream[np.ndarray]) -> Iterator[str]:
    for some in pictures:
        pinned, version = model.pinned()  # the object and its name belong together
        yield f"{version}: {''.join(map(str, pinned.predict(some)))}"


@af.job
def show(line: str) -> str:
    print(line)
    return line


@af.workflow
def stream_train_stream_predict(size: int = 200, pause: float = 1.0) -> None:
    train(lessons(size, pause))
    validate().start_on(reader.generated)
    push().start_on(reader.validated)
    show(predict(camera(pause / 3)))
