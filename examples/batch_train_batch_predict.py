"""The life of a model in one batch: train it, measure it, deploy it if it is better than the one in use, and predict.

    aiflow run examples/batch_train_batch_predict.py -p samples=300
    aiflow run examples/batch_train_batch_predict.py -p samples=900
    aiflow run examples/batch_train_batch_predict.py -p samples=100

The second is better than the first and takes its place. The third is not: `push` is skipped, and the version before goes
on predicting. Then look at what is recorded:

    aiflow model show digit_reader
    aiflow lineage show answers
"""

from pathlib import Path

import numpy as np
import sklearn.datasets
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import aiflow as af

digits = af.Dataset(
    "digits",
    uri=Path(sklearn.datasets.__file__).parent / "data/digits.csv.gz",
    description="8 × 8 pixels of a picture, and the digit that it shows",
)
answers = af.Dataset(
    "answers", uri="out/answers.npy", format="npy", description="digits that were read off new pictures"
)
reader = af.Model("digit_reader", description="tells a handwritten digit from its picture")


@af.read_dataset(digits, outputs=("lessons", "test", "new"))
def read(version: af.DatasetVersion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.loadtxt(version.path, delimiter=",")
    return rows[:1000], rows[1000:1400], rows[1400:, :-1]


@af.train(reader)
def train(lessons: np.ndarray, samples: int) -> Pipeline:
    model = make_pipeline(StandardScaler(), SGDClassifier(random_state=0))
    return model.fit(lessons[:samples, :-1], lessons[:samples, -1])


def accuracy(model: Pipeline, test: np.ndarray) -> float:
    return model.score(test[:, :-1], test[:, -1])


@af.evaluate(reader)
def evaluate(model: Pipeline, test: np.ndarray) -> dict[str, float]:
    return {"accuracy": accuracy(model, test)}


@af.model_validate(reader)
def validate(candidate: Pipeline, test: np.ndarray, deployed: Pipeline | None) -> bool:
    return deployed is None or accuracy(candidate, test) > accuracy(deployed, test)


@af.push_model(reader)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is put to use")


@af.predict(reader)
def predict(model: Pipeline, new: np.ndarray) -> np.ndarray:
    return model.predict(new)


@af.write_dataset(answers)
def write(predicted: np.ndarray) -> np.ndarray:
    return predicted


@af.workflow
def batch_train_batch_predict(samples: int = 300) -> None:
    lessons, test, new = read()
    version = train(lessons, samples)
    evaluate(version, test)
    pushed = push(validate(version, test))
    write(predict(new).start_on(pushed.finished))  # with a new version, or without
