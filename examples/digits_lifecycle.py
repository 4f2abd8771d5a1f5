"""The whole life of a model on scikit-learn's digits: label, read, check, train, validate, deploy, answer, watch, train again.

    aiflow run examples/digits_lifecycle.py

Three candidates are trained, on a few pictures, on many and on very few: the second replaces the first, the third is worse
and is not let in. Meanwhile a camera sends pictures, and `answer` tells which digits they show, always by the version that
is deployed. Then dust falls on the lens. `watch` logs what share of the answers is right, as a metric of the version that
gave them, and when that stays low, pictures are labelled anew and all is done once more: the answers get good again,
and `answer` was never stopped.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

labelled = af.Dataset(
    "labelled_digits", uri="digits_labelled.npy", format="npy", description="pictures; the last column is the digit"
)
reader = af.Model("digit_reader", description="tells the digit that a picture of 8 × 8 shows")
PICTURES, DIGITS = load_digits(return_X_y=True)


def seen(at: slice, dusty: bool) -> np.ndarray:
    """Give pictures as the camera sees them, and their digits; dust makes light what was dark."""
    pictures = 16 - PICTURES[at] if dusty else PICTURES[at]
    return np.column_stack((pictures, DIGITS[at]))


@af.write_dataset(labelled)
def label() -> np.ndarray:
    """Have pictures labelled as the camera sees them: dusty ones, if it is a metric that asks for them."""
    return seen(slice(0, 1200), dusty=af.current().event is not None)


@af.read_dataset(labelled)
def read(version: af.DatasetVersion) -> np.ndarray:
    return version.read()


@af.dataset_validate(labelled)
def check(table: np.ndarray) -> dict[str, float] | bool:
    counts = np.bincount(table[:, -1].astype(int), minlength=10)
    return {"rows": len(table), "rarest": int(counts.min())} if counts.min() > 50 else False


@af.transform(outputs=2)
def split(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return table[:900], table[900:]


@af.train(reader)
def train(table: np.ndarray, count: int) -> KNeighborsClassifier:
    return KNeighborsClassifier(3).fit(table[:count, :-1], table[:count, -1])


@af.evaluate(reader)
def evaluate(model: KNeighborsClassifier, test: np.ndarray) -> dict[str, float]:
    return {"accuracy": model.score(test[:, :-1], test[:, -1])}


@af.model_validate(reader)
def validate(candidate: KNeighborsClassifier, test: np.ndarray, deployed: KNeighborsClassifier | None) -> bool:
    pictures, digits = test[:, :-1], test[:, -1]
    return deployed is None or candidate.score(pictures, digits) > deployed.score(pictures, digits)


@af.push_model(reader)
def push(version: af.ModelVersion) -> None:
    print(f"{version} answers from now on")


@af.job
def camera() -> Iterator[np.ndarray]:
    """Send 20 pictures at a time: clean ones, and from the fortieth time on dusty ones, until somebody says stop."""
    context, times = af.current(), af.current().state.get("times", 0)  # it goes on there after a crash
    while not context.wait_stop(0.02):
        at = 1200 + times * 20 % 580
        context.state["times"] = times = times + 1
        yield seen(slice(at, at + 20), dusty=times > 40)


@af.predict(reader, outputs=3)
def answer(
    model: af.LiveModel, batches: af.Stream[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, af.ModelVersion]]:
    for batch in batches:
        now, version = model.pinned()  # one version for all of a batch, whatever is deployed meanwhile
        yield now.predict(batch[:, :-1]), batch[:, -1], version


@af.monitor(reader)
def watch(model: KNeighborsClassifier, told: np.ndarray, digits: np.ndarray) -> dict[str, float]:
    return {"answered_right": float((told == digits).mean())}


@af.workflow
def digits_lifecycle(few: int = 60, many: int = 900, fewest: int = 20):
    """Train and deploy a reader of digits, and train it anew when its answers get bad."""
    labels = label()
    table = read(labels)
    check(table)
    lessons, test = split(table)
    pushed = None
    for name, count in (("few", few), ("many", many), ("fewest", fewest)):
        version = train.options(name=f"train_{name}")(lessons, count)
        if pushed is not None:  # one after the other, for each is compared with the one that is deployed then
            version.start_on(pushed.finished)
        evaluate.options(name=f"evaluate_{name}")(version, test)
        pushed = push.options(name=f"push_{name}")(validate.options(name=f"validate_{name}")(version, test))

    pictures = camera()
    told, digits, version = answer(pictures)
    watch(version, told, digits)
    right = reader.metric("answered_right")
    labels.restart_on((right < 0.5).times(3) & pushed.finished)  # not again before the last candidate is judged
    pictures.stop_on((right > 0.9).times(60))


if __name__ == "__main__":
    digits_lifecycle.run()
