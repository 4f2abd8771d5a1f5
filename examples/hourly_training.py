"""A stream on Flink goes through the hours of its own time; each hour that it has passed trains a model, once.

Run it with `python -m aiflow run examples/hourly_training.py`, after `pip install 'aiflow[flink,examples]'`. Kill it with -9 in the
middle: the stream goes on without it for a minute, and `python -m aiflow run --resume examples/hourly_training.py` trains what was missed.
"""

from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

import aiflow as af

knn = af.Model("hourly_knn", description="knows a flower by its measures, as of one hour")
DAY = "2026-11-27"


def keep(folder: str, hour: str, n: int) -> int:
    """Called on the cluster: the flower goes to those of its hour (twice, if the stream was restored in between)."""
    with open(Path(folder, hour), "a") as file:
        file.write(f"{n}\n")
    return n


@af.train(knn)
def train(folder: str):
    hour = af.current().event.value["at"]  # where the hour ends
    seen = {int(n) % 150 for n in Path(folder, f"{int(hour[11:13]) - 1:02}").read_text().split()}
    flowers = load_iris()
    print(f"until {hour} there were {len(seen)} flowers")
    return KNeighborsClassifier(3).fit(flowers.data[list(seen)], flowers.target[list(seen)])


@af.workflow
def hourly_training(hours: int = 3, folder: str = "hours", per_second: int = 20):
    Path(folder).mkdir(exist_ok=True)
    stream = af.flink_sql(
        f"""
        CREATE TABLE flowers (
            n BIGINT, moment AS TIMESTAMPADD(MINUTE, CAST(2 * n AS INT), TIMESTAMP '{DAY} 00:00:00'), WATERMARK FOR moment AS moment
        ) WITH (
            'connector' = 'datagen', 'rows-per-second' = '{per_second}', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0',
            'fields.n.end' = '720'
        );
        CREATE TABLE kept (n BIGINT) WITH ('connector' = 'blackhole');
        INSERT INTO kept SELECT keep('{Path(folder).absolute()}', DATE_FORMAT(moment, 'HH'), n) FROM flowers;
        """,
        udfs={"keep": keep}, name="stream", stream=True,
    )  # fmt: skip
    train(folder).start_on(stream.watermark.every(3600, since=f"{DAY}T00:00Z"))
    stream.stop_on(stream.watermark >= f"{DAY}T{hours:02}:00Z")  # with a savepoint
