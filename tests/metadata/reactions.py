"""What the tests of conditions on the metadata do in interpreters of their own."""

import threading
from typing import Any

import aiflow as af

KNN = af.Model("knn")


def deploy(home: str) -> int:
    """Deploy a version from another process, as the command line does."""
    with af.Project(home=home) as project:
        return project.models.get("knn").log([1], stage="DEPLOYED").number


@af.job
def tell() -> Any:
    return [[event.type, event.value] for event in af.current().events]


@af.workflow
def waits() -> None:
    tell().start_on(KNN.deployed.now() & af.event("go"))


def wait_and_die(home: str) -> None:
    """Start an execution that is told at its start what is so, and wait to be killed."""
    with af.Project("shop", home=home) as project:
        project.models.register(KNN).log(1, stage="DEPLOYED")
        print("waits", project.start(waits).id, flush=True)
        threading.Event().wait()
