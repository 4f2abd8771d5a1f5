"""One job on Flink: a table goes in, what Flink makes of it comes out. Flink and a Java come with `pip install 'aiflow[flink]'`.

    aiflow run examples/flink_job.py

The cluster of the project's home is started when it is first needed, which takes a few seconds, and ends with the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from sklearn.datasets import load_iris

import aiflow as af

if TYPE_CHECKING:  # PyFlink is in the process that builds the job, and need not be in this one
    from pyflink.table import Table, TableEnvironment


@af.job
def read() -> pd.DataFrame:
    """Read measures of flowers in cm, and their species by name."""
    bunch = load_iris(as_frame=True)
    species = bunch.target.map(dict(enumerate(map(str, bunch.target_names))))
    return bunch.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis=1).assign(
        species=species
    )


@af.flink_job(parallelism=2)
def preprocess(t_env: TableEnvironment, flowers: pd.DataFrame) -> Table:
    """Give the petals of each species on average, in mm."""
    t_env.create_temporary_view("flowers", t_env.from_pandas(flowers))
    return t_env.sql_query("""
        SELECT species, AVG(petal_length) * 10 AS length, AVG(petal_width) * 10 AS width, COUNT(*) AS n
        FROM flowers GROUP BY species
    """)


@af.job
def show(petals: pd.DataFrame) -> None:
    print(petals.sort_values("length").to_string(index=False))


@af.workflow
def flink_job() -> None:
    show(preprocess(read()))
