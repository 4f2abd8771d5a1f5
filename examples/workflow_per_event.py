"""Data that come hourly are prepared by an execution for each hour; when a day is whole, one more learns from it.

    aiflow serve examples/workflow_per_event.py

`hourly_data` delivers the hours of a day: of yesterday at once, and then each midnight. Each hour is an event, whose context
goes to the execution of `hourly_preprocess` that it starts. The last of the 24, whichever it is, starts `daily`. Another day,
from another terminal:

    aiflow run examples/workflow_per_event.py:hourly_data -p day=2026-01-31

AIFlow calls this example workflow_on_event.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import aiflow as af

reader = af.Model("digit_reader", description="tells a handwritten digit from its picture")


def file_of(hour: str) -> Path:
    """Give the file with the data of an hour, which is written as 2026-01-31T07."""
    return Path(af.current().folder, "out", "hours", f"{hour}.npy")


@af.job
def deliver(day: date, size: int) -> None:
    """Write some labelled pictures for each hour, and say so."""
    pictures, digits = load_digits(return_X_y=True)
    for hour in (f"{day}T{number:02}" for number in range(24)):
        chosen = np.random.default_rng(int(hour[-2:])).choice(len(digits), size)
        file_of(hour).parent.mkdir(parents=True, exist_ok=True)
        np.save(file_of(hour), np.column_stack([pictures[chosen], digits[chosen]]))
        af.publish("hourly_data", context=hour)


def day_before(tick: af.Event) -> dict[str, date]:
    return {"day": tick.time.date() - timedelta(1)}


@af.workflow(start_on=af.cron("0 0 * * *").now(), params=day_before)
def hourly_data(day: date, size: int = 40) -> None:
    deliver(day, size)


@af.job
def preprocess() -> None:
    """Scale the pictures of the hour that this execution is for."""
    hour = af.current().context
    rows = np.load(file_of(hour))
    rows[:, :-1] /= 16
    np.save(file_of(hour), rows)
    af.publish("prepared", hour, context=hour[:10])  # of the day


@af.workflow(start_on=af.event("hourly_data"), if_running="parallel", max_parallel=4)
def hourly_preprocess() -> None:
    preprocess()


@af.condition(keys=["prepared"])
def day_is_whole(event: af.Event, state: dict[str, list[str]]) -> bool:
    """Met once a day: by the last of its hours."""
    hours = state.setdefault(event.context, [])
    if event.value in hours:
        return False
    hours.append(event.value)
    return len(hours) == 24


@af.train(reader)
def train() -> SGDClassifier:
    day = af.current().context
    rows = np.concatenate([np.load(file_of(f"{day}T{number:02}")) for number in range(24)])
    return SGDClassifier(random_state=0).fit(rows[:, :-1], rows[:, -1])


@af.evaluate(reader)
def evaluate(model: SGDClassifier) -> dict[str, float]:
    pictures, digits = load_digits(return_X_y=True)
    return {"accuracy": model.score(pictures / 16, digits)}


@af.workflow(start_on=day_is_whole)
def daily() -> None:
    evaluate(train())
