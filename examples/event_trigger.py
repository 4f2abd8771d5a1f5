"""A workflow that publishes events, and one that is started by each of them.

    aiflow serve examples/event_trigger.py

`asking` runs at once and then every 10 s; each of its questions starts `answering`. So does each that somebody asks from
elsewhere, also while nobody serves: it is answered later. `aiflow event publish question '{"text": "who is there?"}'`
"""

import aiflow as af


@af.job
def ask() -> None:
    for text in ("is it warm?", "is it dry?"):
        af.publish("question", {"text": text})


@af.job
def answer(text: str) -> str:
    print(f"{text} yes")
    return f"{text} yes"


@af.workflow(start_on=af.every(10).now())
def asking() -> None:
    ask()


@af.workflow(start_on=af.event("question"))  # what the event's value calls `text` is the parameter
def answering(text: str) -> None:
    answer(text)
