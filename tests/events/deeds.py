"""What other processes do with the events of a home. Each function is called in a fresh interpreter."""

import sys
from typing import Any

from tests.children import fork_together

import aiflow as af


def publish_on_command(home: str) -> int:
    """Publish what standard input says, a key a line; answer with the offset."""
    with af.Project("other", home=home) as project:
        count = 0
        print("ready", flush=True)
        for line in sys.stdin:
            print(project.publish(line.strip(), count, namespace="events").offset, flush=True)
            count += 1
    return count


def publish_together(home: str, count: int, each: int) -> list[Any]:
    """Let `count` processes publish with the same dedupe keys; give the offsets that each was given."""

    def publish(number: int) -> list[int]:
        with af.Project("events", home=home) as project:
            return [project.publish("once", number, dedupe_key=f"key {n}").offset for n in range(each)]

    return fork_together(count, publish)


def handle_and_die(home: str, name: str, until: int) -> None:
    """Subscribe by name, write down what is handled, and be killed by the event with the value `until`."""
    import os
    import signal
    import threading

    project = af.Project("events", home=home)

    def handle(event: af.Event) -> None:
        if event.value == until:
            os.kill(os.getpid(), signal.SIGKILL)
        print(event.value, flush=True)

    project.subscribe(handle, keys="work", name=name, since="start")
    threading.Event().wait()


def subscribe_and_wait(home: str, name: str) -> None:
    """Subscribe by name, say so, and wait to be killed."""
    import threading

    project = af.Project("events", home=home)
    project.subscribe(print, name=name)
    print("subscribed", flush=True)
    threading.Event().wait()
