"""What processes of their own do to the registry of models, for its tests."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any, Self

from tests import invariants
from tests.children import Fork, fork, fork_together, until
from tests.faults import watch

import aiflow as af
from aiflow.store.checking import named_blobs

# --- killed at each commit --------------------------------------------------------------------------------------------


def _acts(project: af.Project) -> list[Any]:
    """Give a life of a model, and of a dataset and an artifact, one change of the metadata after the other."""
    knn, data, artifacts = project.models, project.datasets, project.artifacts
    folder = project.home.parent / f"{project.home.name}-files"
    folder.mkdir(exist_ok=True)
    (folder / "1").write_text("n\n1\n")
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
        lambda: data.register("iris", uri=folder, format="csv"),
        lambda: data.get("iris").log(),
        lambda: artifacts.log(af.Artifact("report", uri=folder)),
        lambda: (folder / "2").write_text("more") and artifacts.get("report").log(),
        lambda: data.get("iris").log(),
        lambda: artifacts.delete("report"),
        lambda: artifacts.log("report", folder),
    ]


def _state(home: Path) -> Any:
    """Read what is in the registry, and what was said of it."""
    with af.Project("registry", home=home) as project:
        models = [[m.name, m.description] for m in project.models.list()]
        rows = project._store.rows("SELECT model, number, stage FROM model_versions ORDER BY id")
        stages = project._store.rows("SELECT number, stage, before FROM model_stages ORDER BY id")
        said = [
            [e.key, e.type, e.value] for e in project.events.list(types=["MODEL_*", "METADATA_CHANGED", "*T_CHANGED"])
        ]
        data = project._store.rows("SELECT dataset, number, hash FROM dataset_versions ORDER BY id")
        made = project._store.rows("SELECT artifact, number, hash, deleted IS NULL FROM artifact_versions ORDER BY id")
        for blob, whose in named_blobs(project._store).items():
            assert project._store.blobs.exists(blob), f"{whose} is lost"
        names = [[one.name for one in view.list()] for view in (project.datasets, project.artifacts)]
    return [models, rows, stages, said, data, made, names]


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
                shutil.rmtree(f"{home}-files")
    return [*kills, len(states) - 1]


# --- metrics ----------------------------------------------------------------------------------------------------------

BATCH = 40


def _measure(home: Path, at: int, after: bool) -> int:
    """Log metrics one by one and in batches, in an experiment, and be killed at the n-th COMMIT, just before or just after."""
    project = af.Project("registry", home=home)
    count = [0]
    assert project._shared.engine is not None

    def look(sql: str, is_after: bool) -> None:
        if sql == "COMMIT" and is_after == after:
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(project, before=lambda sql: look(sql, False), after=lambda sql: look(sql, True))
    with project.track("fit") as experiment:
        for n in range(3):
            experiment.log_metric("one", n, n)
            experiment.log_metrics([("many", n, step) for step in range(BATCH)])
    project.close()
    return count[0]


def _measured(home: Path) -> list[Any]:
    with af.Project("registry", home=home) as project:
        # A program that was being started in the moment of the kill holds the lock of the dead until it is begun.
        until(lambda: not project.executions.list(status="RUNNING"))
        statuses = [str(e.status) for e in project.executions.list()]
        return [project.metrics.count(name="one"), project.metrics.count(name="many"), statuses]


def die_at_each_commit_of_metrics(folder: str) -> list[Any]:
    """Kill just before and just after each commit: values and events of one call are there together, or not at all."""
    found = []
    with tempfile.TemporaryDirectory(dir=folder) as root:
        for after in (False, True):
            for at in range(1, 100):
                home = Path(root, f"{after}-{at}")
                outcome = Fork(_measure, home, at, after).wait()
                assert not outcome.error, outcome.error
                one, many, statuses = fork(_measured, home)
                assert many % BATCH == 0, f"killed at commit {at}, {many} values are there"
                assert one - many // BATCH in (0, 1)
                invariants.check(home)
                if not outcome.killed:
                    found.append([one, many, statuses])
                    break
                assert set(statuses) <= {"INTERRUPTED", "SUCCESS"}, statuses
                shutil.rmtree(home)
    return found


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


def log_at_once(home: str, folder: str, count: int) -> list[list[int]]:
    """Let `count` processes log the same, then each something of its own; give the numbers that they got."""
    with af.Project("registry", home=home) as project:
        project.datasets.register("iris", uri=f"{folder}/same", format="csv")
        project.artifacts.register("report")

    def act(number: int) -> Any:
        own = Path(folder, f"own-{number}")
        with af.Project("registry", home=home) as project:
            iris, report = project.datasets.get("iris"), project.artifacts.get("report")
            numbers = {iris.log().number for _ in range(10)}
            numbers |= {report.log(f"{folder}/same").number for _ in range(10)}
            own.write_text(f"{number}")
            return [*sorted(numbers), report.log(own).number]

    return fork_together(count, act)


# --- live models ------------------------------------------------------------------------------------------------------


def deploy_when_told(home: str) -> None:
    """Deploy the versions whose numbers come on standard input, one after the other."""
    with af.Project("shop", home=home) as project:
        for line in sys.stdin:
            print(project.models.get("knn").deploy(int(line)), flush=True)


def follow_after_a_fork(home: str) -> Any:
    """Deploy a second version after a fork, and see what answers on both sides of it."""
    with af.Project("shop", home=home) as project:
        knn = project.models.register("knn")
        knn.log([1], stage="DEPLOYED")
        knn.log([2])
        live = project.models.live("knn")

        def answers() -> list[int]:
            before = live.version.number
            project.publish("forked")
            until(lambda: live.version.number == 2)
            return [before, live.version.number]

        forked = Fork(answers)
        until(lambda: project.events.count(keys="forked"))
        before = live.version.number
        knn.deploy(2)
        after = live.version.number
        outcome = forked.wait()
        assert not outcome.error, outcome.error
        return {"child": outcome.result, "parent": [before, after]}


class Predicting:
    """Threads that predict without end, and note what was deployed before and after each prediction, by offsets of the log."""

    def __init__(self, project: af.Project, live: af.LiveModel, threads: int = 4) -> None:
        self.project, self.live = project, live
        self.made: list[tuple[int, int, int]] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._predict) for _ in range(threads)]
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert not self._errors, self._errors

    def _predict(self) -> None:
        store, live = self.project._store, self.live
        try:
            while not self._over.is_set():
                before = store.head()
                first, number = live.predict()
                assert first == number, "two versions in one call"
                self.made.append((before, number, store.head()))
        except BaseException as error:
            self._errors.append(error)
            raise

    def wait_for(self, number: int, count: int) -> None:
        """Wait until a version answers, and so many predictions were made in all."""
        until(
            lambda: self._errors or (len(self.made) >= count and any(made == number for _, made, _ in self.made[-100:]))
        )  # fmt: skip

    @property
    def versions(self) -> set[int]:
        """The versions that have answered."""
        return {number for _, number, _ in self.made}

    def check(self) -> None:
        """Each was made by a version that was deployed between the deployment before the last one at its beginning, and its end."""
        sql = "SELECT offset, number FROM model_stages WHERE stage = 'DEPLOYED' ORDER BY id"
        rows = self.project._store.rows(sql)
        offsets = [offset for offset, _ in rows]
        for before, number, after in self.made:
            first = max(bisect_right(offsets, before) - 2, 0)
            last = bisect_right(offsets, after)
            allowed = [n for _, n in rows[first:last]]
            assert number in allowed, (
                f"knn:{number} answered between offsets {before} and {after}, not one of {allowed}"
            )


def predict_all_the_while(home: str, last: int, count: int) -> dict[str, int]:
    """Predict until the last version answers and enough was predicted; tell which version answers."""
    with af.Project("shop", home=home) as project, project.models.live("knn") as live:
        with Predicting(project, live) as predicting:
            for number in range(1, last + 1):
                predicting.wait_for(number, count // last * number)
                print(f"\nat {number}", flush=True)
            predicting.wait_for(last, count)
        predicting.check()
        return {"made": len(predicting.made), "versions": len(predicting.versions)}


# --- for who waits ----------------------------------------------------------------------------------------------------


def log_validated(home: str, value: float) -> str:
    """Keep a version of the model knn that is VALIDATED."""
    with af.Project(home=home) as project:
        return str(project.models.get("knn").log(value, stage="VALIDATED"))
