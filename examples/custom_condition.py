"""A condition of your own: three producers go on until the sum of what they published is 100, and one consumer takes it.

    aiflow run examples/custom_condition.py

`state` is kept for each rule and execution, and outlives a crash.
"""

import random

import aiflow as af


@af.condition(keys=["produced"])
def enough(event: af.Event, state: dict[str, int]) -> bool:
    """Met once: by the event with which the sum reaches 100."""
    before = state.get("sum", 0)
    state["sum"] = before + event.value
    return before < 100 <= state["sum"]


@af.job
def produce(pause: float) -> None:
    """Publish a number now and then, until it is stopped."""
    while not af.current().wait_stop(pause):
        af.publish("produced", random.randint(0, 9))


@af.workflow
def custom_condition(pause: float = 0.1) -> None:
    consumer = af.command("echo Got 100 records.", name="consumer").start_on(enough)
    for number in (1, 2, 3):
        produce.options(name=f"producer_{number}")(pause).stop_on(consumer.succeeded)
