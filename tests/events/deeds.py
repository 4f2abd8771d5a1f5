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


def run_out_of_inotify(folder: str, what: str) -> dict[str, Any]:
    """Watch a folder while the kernel grants no inotify, and then does again; say what was found how.

    In a namespace of its own, so that nobody else has to do without. Raises `OSError` where there are none.
    """
    import ctypes
    import logging
    from pathlib import Path

    from tests.children import until

    from aiflow.events.filewatch import FileWatch, Found
    from aiflow.events.watching import FileWatcher, Rhythm
    from aiflow.graph.file import taken_apart

    limit = Path("/proc/sys/user", what)
    new_user = 0x1000_0000
    if ctypes.CDLL(None, use_errno=True).unshare(new_user) != 0:
        raise OSError(ctypes.get_errno(), "there can be no namespace")
    limit.write_text("0")
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("aiflow").addHandler(handler)
    found: list[Found] = []
    watcher = FileWatcher(lambda: 0.0, lambda due, action: None, rhythm=Rhythm(0.01, 0.02, 0.1))
    watcher.watch(FileWatch(taken_apart(f"{folder}/*.csv"), 0.0, dict, found.extend))
    Path(folder, "polled.csv").write_text("1")
    until(lambda: found)
    limit.write_text("100")
    until(lambda: any(not root.is_silent for root in watcher._roots.values()))
    Path(folder, "noticed.csv").write_text("1")
    until(lambda: len(found) == 2)
    watcher.close()
    return {"found": [Path(f.path).name for f in found], "said": said}
