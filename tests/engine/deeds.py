"""What the tests of the engine do in interpreters of their own."""

import logging
import resource
import threading
from pathlib import Path
from typing import Any

import aiflow as af


def fill_the_disk(home: str) -> dict[str, Any]:
    """Let no file grow any more while a workflow runs, then let it."""
    logging.disable()
    release = threading.Event()

    @af.job
    def wait() -> int:
        release.wait()
        return 11

    @af.job
    def add(n: int) -> int:
        return n + 1

    @af.workflow
    def waiting() -> None:
        add(wait())

    with af.Project("full", home=home) as project:
        execution = project.start(waiting)
        project.publish("before", "x" * 1000)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = max(p.stat().st_size for p in Path(home).iterdir() if p.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, most))
        published, errors = 0, []
        while not errors:
            try:
                project.publish("filling", "x" * 5000)
                published += 1
            except af.StoreError as error:
                errors.append(str(error))
        release.set()
        for _ in range(3):
            try:
                project.publish("more", "x" * 5000)
                published += 1
            except af.StoreError as error:
                errors.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, most))
        execution.wait(30)
        counted = project.events.count(["filling", "more"])
        return {
            "refused": len(errors),
            "error": errors[0],
            "status": str(execution.status),
            "events": published,
            "result": [counted, execution.result("add")],
        }
