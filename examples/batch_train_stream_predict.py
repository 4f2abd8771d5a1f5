"""Train every few seconds with what has been labelled meanwhile, while a camera sends pictures that are read all the time.

    aiflow run examples/batch_train_stream_predict.py -p interval=2

The clock starts `train`; what becomes of a version starts `validate`, `push` and, again and again, `predict`. The camera is not
stopped by that: what it sends meanwhile is read by the next. It goes on until it is interrupted (Ctrl-C).
"""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import aiflow as af

reader = af.Model("digit_reader", description="tells a handwritten digit from its picture")

PICTURES, DIGITS = load_digits(return_X_y=True)  # 8 × 8 pixels from 0 to 16
TEST, NEW = slice(1200, 1500), slice(1500, None)


@af.train(reader)
def train(step: int) -> GaussianNB:
    state = af.current().state
    labelled = state["labelled"] = min(state.get("labelled", 0) + step, TEST.start)
    return GaussianNB(var_smoothing=0.01).fit(PICTURES[:labelled], DIGITS[:labelled])


@af.model_validate(reader)
def validate(candidate: GaussianNB, deployed: GaussianNB | None) -> bool:
    def score(model: GaussianNB) -> float:
        return model.score(PICTURES[TEST], DIGITS[TEST])

    return deployed is None or score(candidate) > score(deployed)


@af.push_model(reader)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is good enough")


@af.job
def camera(pause: float) -> Iterator[np.ndarray]:
    """Send a few pictures now and then."""
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
def batch_train_stream_predict(interval: float = 5.0, pause: float = 1.0, step: int = 200) -> None:
    train(step).start_on(af.every(interval))
    validate().start_on(reader.generated)
    push().start_on(reader.validated)
    show(predict(camera(pause)).restart_on(reader.deployed))
