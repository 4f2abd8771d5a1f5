"""Iris, with Flink: the clock trains, what becomes of a version validates and pushes it, and then Flink asks it of all flowers.

    aiflow run examples/flink_tutorial.py -p interval=20

It needs `pip install 'aiflow[flink,examples]'` and goes on until it is interrupted (Ctrl-C). Each version that is put to use gives
a new version of the answers: `aiflow lineage show answers` tells from which. AIFlow calls this example tutorial.
"""

from pathlib import Path

import numpy as np
import sklearn.datasets
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

CSV = Path(sklearn.datasets.__file__).parent / "data/iris.csv"
iris = af.Dataset("iris", uri=CSV, description="four measures of a flower, and its species")
answers = af.Dataset("answers", uri="out/answers.csv", format="csv", description="species as Flink was told them")
knn = af.Model("knn", description="knows a flower by its measures")


@af.read_dataset(iris)
def read(version: af.DatasetVersion) -> np.ndarray:
    rows = np.loadtxt(version.path, delimiter=",", skiprows=1)
    return np.random.default_rng(0).permutation(rows)


@af.train(knn)
def train(rows: np.ndarray, step: int) -> KNeighborsClassifier:
    state = af.current().state
    labelled = state["labelled"] = min(state.get("labelled", 0) + step, 100)
    return KNeighborsClassifier(3).fit(rows[:labelled, :4], rows[:labelled, 4])


@af.model_validate(knn)
def validate(candidate: KNeighborsClassifier, rows: np.ndarray, deployed: KNeighborsClassifier | None) -> bool:
    test = rows[100:, :4], rows[100:, 4]
    return deployed is None or candidate.score(*test) >= deployed.score(*test)


@af.push_model(knn)
def push(version: af.ModelVersion) -> None:
    print(f"{version} is put to use")


@af.predict(knn, runner="flink", if_running="merge")  # of several versions that came meanwhile, the newest
def predict(model: KNeighborsClassifier, t_env):
    from pandas import Series
    from pyflink.table.udf import udf

    def species(*measures):  # runs on the cluster, on many flowers at once
        return Series(model.predict(np.column_stack(measures)).astype(int))

    t_env.create_temporary_system_function("species", udf(species, result_type="BIGINT", func_type="pandas"))
    t_env.execute_sql(
        f"""CREATE TEMPORARY TABLE flowers (sl DOUBLE, sw DOUBLE, pl DOUBLE, pw DOUBLE, known INT) WITH (
            'connector' = 'filesystem', 'path' = '{CSV.as_uri()}', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true')"""
    )
    return t_env.sql_query("SELECT known, species(sl, sw, pl, pw) AS said FROM flowers WHERE pl IS NOT NULL")


@af.write_dataset(answers)
def write(table):
    return table


@af.workflow
def flink_tutorial(interval: float = 60.0, step: int = 10) -> None:
    rows = read()
    train(rows, step).start_on(af.every(interval))
    validate(rows).start_on(knn.generated)
    push().start_on(knn.validated)
    write(predict().start_on(knn.deployed))
