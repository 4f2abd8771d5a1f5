"""A classifier is trained, and Flink SQL names the flowers of a file with it; each new version would start that again.

    aiflow run examples/flink_sql_workflow.py

The model becomes a function of SQL: its object goes to Flink with the job, so all rows are named by the version that started it.
Flink and a Java come with `pip install 'aiflow[flink]'`.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

if TYPE_CHECKING:  # PyFlink is in the process that builds the job, and need not be in this one
    from pyflink.table import Table, TableEnvironment

knn = af.Model("iris_knn", description="names the species of an iris by four measures")
unnamed = af.Dataset("unnamed_flowers", uri="unnamed_flowers.csv", description="four measures a line, no heading")
named = af.Dataset("named_flowers", uri="named_flowers.csv", format="csv")

MEASURES, SPECIES = load_iris(return_X_y=True)
TEST = np.arange(len(MEASURES)) % 3 == 0  # every third flower


@af.write_dataset(unnamed)
def collect(dataset: af.Dataset) -> None:
    with open(dataset.uri, "w", newline="") as file:
        csv.writer(file).writerows(MEASURES[TEST].tolist())


@af.train(knn)
def train(neighbors: int) -> KNeighborsClassifier:
    return KNeighborsClassifier(neighbors).fit(MEASURES[~TEST], SPECIES[~TEST])


@af.predict(knn, runner="flink", if_running="restart")  # a newer version does not wait for an older one
def predict(t_env: TableEnvironment, model: KNeighborsClassifier, flowers: af.DatasetVersion) -> Table:
    from pyflink.table.udf import udf

    @udf(result_type="BIGINT")
    def species(*measures: float) -> int:
        return int(model.predict([measures])[0])

    t_env.create_temporary_system_function("species", species)
    t_env.execute_sql(f"""
        CREATE TABLE flowers (sepal_length DOUBLE, sepal_width DOUBLE, petal_length DOUBLE, petal_width DOUBLE)
        WITH ('connector' = 'filesystem', 'path' = '{flowers.path}', 'format' = 'csv')
    """)
    return t_env.sql_query("""
        SELECT *, species(sepal_length, sepal_width, petal_length, petal_width) AS species FROM flowers
    """)


@af.write_dataset(named)
def write(flowers: pd.DataFrame) -> pd.DataFrame:
    print(f"{len(flowers)} flowers are named: {flowers.species.value_counts().sort_index().to_dict()}")
    return flowers


@af.workflow
def flink_sql_workflow(neighbors: int = 5) -> None:
    flowers = collect()
    train(neighbors).after(flowers)
    write(predict(flowers).start_on(knn.generated.own()))
