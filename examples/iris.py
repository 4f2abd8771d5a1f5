"""A classifier on Fisher's iris data: jobs in a row, an event between them, and a report.

    aiflow run examples/iris.py -p neighbors=7

`evaluate` publishes an event when the accuracy passes a bar, and that event, not the end of a job, starts
`write_report`. With `-p bar=1.1` nothing passes, and `write_report` is skipped.
"""

import csv
import random
from pathlib import Path

import sklearn.datasets
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

Rows = list[tuple[list[float], int]]


@af.job
def read() -> Rows:
    """Read the file that comes with scikit-learn: measures of a flower, and its species as a number."""
    path = Path(sklearn.datasets.__file__).with_name("data") / "iris.csv"
    with open(path, newline="") as file:
        _, *lines = csv.reader(file)  # the first line has counts and names
    return [([float(cell) for cell in measures], int(species)) for *measures, species in lines]


@af.job(outputs=2)  # two values, which `train` and `evaluate` take one by one
def split(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    rows = random.Random(seed).sample(rows, len(rows))
    return rows[:100], rows[100:]


@af.job
def train(rows: Rows, neighbors: int) -> KNeighborsClassifier:
    measures, species = zip(*rows, strict=True)
    return KNeighborsClassifier(neighbors).fit(measures, species)


@af.job
def evaluate(model: KNeighborsClassifier, rows: Rows, bar: float) -> float:
    measures, species = zip(*rows, strict=True)
    accuracy = float(model.score(measures, species))
    print(f"{accuracy:.1%} of {len(rows)} flowers are named rightly")  # goes to the log of this job, too
    if accuracy >= bar:
        af.current().publish("accuracy_passed", accuracy)
    return accuracy


@af.job
def write_report(model: KNeighborsClassifier, rows: Rows, path: Path) -> Path:
    measures, species = zip(*rows, strict=True)
    matrix = confusion_matrix(species, model.predict(measures))
    passed = af.current().event  # the event that started this job
    path.write_text(f"accuracy {passed.value:.3f}\n\nconfusion matrix (rows: species, columns: predicted)\n{matrix}\n")
    return path


@af.workflow
def iris(neighbors: int = 5, bar: float = 0.9, seed: int = 2, report: Path = Path("iris_report.txt")):
    """Name iris flowers by their nearest neighbours, and report if that goes well."""
    training, test = split(read(), seed)
    model = train(training, neighbors)
    evaluate(model, test, bar)
    # own(): only an event of this very execution counts, so that nobody waits once no job of it can publish any more
    write_report(model, test, report).start_on(af.event("accuracy_passed").own())


if __name__ == "__main__":
    iris.run()
