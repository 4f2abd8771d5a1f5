"""What processes of their own do to the registry of models, for its tests."""

import os
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests import invariants
from tests.children import Fork, fork, fork_together
from tests.faults import watch

import aiflow as af

# --- killed at each commit --------------------------------------------------------------------------------------------


def _acts(project: af.Project) -> list[Any]:
    """Give a life of a model, one change of the metadata after the other."""
    knn = project.models
    return [
        lambda: knn.register("knn", description="first"),
        lambda: knn.get("knn").log([1]),
        lambda: knn.get("knn").log([2], stage="DEPLOYED"),
        lambda: knn.get("knn").deploy(1),
        lambda: (
            knn.get("knn").validate(1) if knn.get("knn").latest("GENERATED") else knn.update("knn", description="b")
        ),
        lambda: knn.get("knn").rollback(),
        lambda: knn.get("knn").delete(2),
        lambda: knn.get("knn").log([3], stage="DEPLOYED"),
        lambda: knn.delete("knn"),
        lambda: knn.register("knn"),
        lambda: knn.get("knn").log([4]),
    ]


def _state(home: Path) -> Any:
    """Read what is in the registry, and what was said of it."""
    with af.Project("registry", home=home) as project:
        models = [[m.name, m.description] for m in project.models.list()]
        rows = project._store.rows("SELECT model, number, stage FROM model_versions ORDER BY id")
        stages = project._store.rows("SELECT number, stage, before FROM model_stages ORDER BY id")
        said = [[e.key, e.type, e.value] for e in project.events.list(types=["MODEL_*", "METADATA_CHANGED"])]
        for number, hash_ in project._store.rows("SELECT number, hash FROM model_versions"):
            assert project._store.blobs.exists(hash_), f"version {number} has lost its object"
    return [models, rows, stages, said]


def _live(home: Path, at: int, after: bool) -> int:
    """Live that life, and be killed at the n-th COMMIT from the first change on, just before or just after it."""
    project = af.Project("registry", home=home)
    count = [0]
    assert project._shared.engine is not None  # its own beginnings are not the point

    def look(sql: str, is_after: bool) -> None:
        if sql == "COMMIT" and is_after == after:
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(project, before=lambda sql: look(sql, False), after=lambda sql: look(sql, True))
    for act in _acts(project):
        act()
    project.close()
    return count[0]


def _states(home: Path) -> list[Any]:
    """Give what the registry is before and after each change of a life that nobody disturbs."""
    with af.Project("registry", home=home) as project:
        states = [fork(_state, home)]
        for act in _acts(project):
            act()
            states.append(fork(_state, home))
    return states


def die_at_each_commit(folder: str) -> list[int]:
    """Kill just before and just after the first commit, the second, …: what is there is always what was there in between."""
    kills = [0, 0]
    with tempfile.TemporaryDirectory(dir=folder) as root:
        states = fork(_states, Path(root, "whole"))
        for after in (False, True):
            for at in range(1, 100):
                home = Path(root, f"{after}-{at}")
                outcome = Fork(_live, home, at, after).wait()
                assert not outcome.error, outcome.error
                if not outcome.killed:
                    assert fork(_state, home) == states[-1]
                    break
                kills[after] += 1
                assert fork(_state, home) == states[at if after else at - 1], f"killed at commit {at}"
                invariants.check(home)
                shutil.rmtree(home)
    return [*kills, len(states) - 1]


# --- at once ----------------------------------------------------------------------------------------------------------


def deploy_at_once(home: str, count: int, rounds: int) -> dict[str, Any]:
    """Let `count` processes deploy, roll back and log, while one more looks all the time at what is deployed."""
    with af.Project("registry", home=home) as project:
        knn = project.models.register("knn")
        for n in range(count):
            knn.log([n])
        knn.deploy(1)

    def act(number: int) -> Any:
        if number == count:
            return watch_deployed(home, count)
        with af.Project("registry", home=home) as project:
            knn = project.models.get("knn")
            done = Counter[str]()
            for n in range(rounds):
                try:
                    if n % 5 == 3:
                        knn.rollback()
                    elif n % 5 == 4:
                        knn.log([number, n], stage="DEPLOYED")
                    else:
                        knn.deploy((number + n) % count + 1)
                    done["done"] += 1
                except af.Conflict:
                    done["refused"] += 1
            project.publish("done", number)
        return dict(done)

    *done, looks = fork_together(count + 1, act)
    return {"done": done, "looks": looks}


def watch_deployed(home: str, count: int) -> dict[str, int]:
    """Look until all the others are done; give how often, and how many different versions were seen."""
    looks, seen = 0, set()
    with af.Project("registry", home=home) as project:
        knn = project.models.get("knn")
        while project.events.count(keys="done") < count:
            deployed = knn.versions("DEPLOYED")
            assert len(deployed) == 1, f"deployed at once: {[str(v) for v in deployed]}"
            assert knn.deployed is not None
            seen.add(deployed[0].number)
            looks += 1
    return {"looks": looks, "seen": len(seen)}
