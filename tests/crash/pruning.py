"""A pruning that is killed at each of its commits in turn. Called in a fresh interpreter, like the other deeds."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import cloudpickle  # noqa: F401  # imported now, so that not every fork does it
from tests.children import Fork, fork
from tests.faults import watch

import aiflow as af
import aiflow.pruning
from aiflow.store.checking import dangling, named_blobs

LIMITS = {"executions": 2, "events": 20}


@af.job
def large(n: int) -> str:
    print("made", n)
    return f"{n}" * 20_000


@af.job
def hear() -> Any:
    event = af.current().event
    return None if event is None else event.value


@af.workflow
def once(n: int = 0) -> None:
    large(n)


@af.workflow(ends="never")
def service() -> None:
    hear().start_on(af.event("a") & af.event("b"))


def die_while_pruning(folder: str) -> dict[str, Any]:
    """Kill it before its n-th commit for n = 1, 2, …; each time, what is left is whole, and the next one finishes."""
    with tempfile.TemporaryDirectory(dir=folder) as root:
        first = Path(root, "first")
        execution_id = fork(_fill, first)
        for kills in range(1000):
            home = Path(root, str(kills))
            shutil.copytree(first, home)
            for blob in (home / "blobs").rglob("*"):
                os.utime(blob, (0, 0))
            outcome = Fork(_prune, home, kills).wait()
            assert not outcome.error, outcome.error
            assert fork(_damage, home) == [], f"killed at commit {kills}"
            found = fork(_go_on, home, execution_id)
            assert found == {"executions": 3, "heard": ["before"], "logs": 2, "blobs": 2}, f"{kills}: {found}"
            if not outcome.killed:
                return {"kills": kills}
            shutil.rmtree(home)
    raise AssertionError("it never ended")


def _fill(home: Path) -> str:
    with af.Project("prune", home=home) as project:
        for n in range(5):
            project.run(once, n=n)
        execution = project.start(service)
        project.publish("a", "latched")
        project.publish_many(["other"] * 3000)
        project._shared.await_records()
        project.close(detach=True)
    return execution.id


def _prune(home: Path, left: int) -> None:
    with af.Project("prune", home=home) as project:
        project.publish("other")  # the engine is there

        def die(sql: str) -> None:
            nonlocal left
            if sql == "COMMIT":
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        watch(project, before=die)
        project.prune(**LIMITS)  # type: ignore[arg-type]
        left = -1


def _damage(home: Path) -> list[str]:
    with af.Project("prune", home=home) as project:
        store = project._store
        missing = [blob for blob in named_blobs(store) if not store.blobs.exists(blob)]
        return [*dangling(store), *missing]


def _go_on(home: Path, execution_id: str) -> dict[str, Any]:
    with af.Project("prune", home=home) as project:
        project.prune(**LIMITS)  # type: ignore[arg-type]
        execution = project.executions.get(execution_id).resume()
        project.publish("b", "before")
        while not execution.results("hear"):
            pass
        heard = execution.results("hear")
        execution.stop().wait()
        blobs = sum(1 for path in (home / "blobs").rglob("*") if path.is_file())
        logs = sum(1 for path in (home / "logs").iterdir() if any(path.iterdir()))
        return {"executions": project.executions.count(), "heard": heard, "logs": logs, "blobs": blobs}
