"""Executions that hear only what concerns them: a function of the event says which.

    aiflow run examples/workflow_contexts.py --context berlin

It waits for the weather of its city. Whoever publishes it need not know that executions have contexts:

    aiflow event publish weather '{"city": "oslo", "sky": "snow"}'      # changes nothing
    aiflow event publish weather '{"city": "berlin", "sky": "rain"}'    # the execution goes on, and ends

AIFlow calls this example workflow_on_events, and the function a context extractor.
"""

import aiflow as af


def city_of(event: af.Event) -> str | None:
    """Give the context of the executions that the event is for; None is for none of them."""
    return event.value["city"] if event.key == "weather" else None


@af.job
def wait() -> None:
    print(f"what is the weather in {af.current().context}?")


@af.job
def tell() -> str:
    event = af.current().event
    print(f"{event.value['sky']} in {af.current().context}")
    return event.value["sky"]


@af.workflow(context=city_of)
def workflow_contexts() -> None:
    wait()
    tell().start_on(af.event("weather"))
