"""Whatever people do with models, and whenever the store fails or the process dies: the registry is what a small model says."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests import invariants
from tests.faults import watch
from tests.strategies import examples

import aiflow as af
from aiflow.graph.change import Change
from aiflow.metadata.registered import do
from aiflow.store.connection import sqlite3
from aiflow.testing import ManualClock, project_for_tests

NAMES = ("knn", "3", "tree")  # one that looks like an id
TAKES = {
    "GENERATED": ("VALIDATED", "DEPLOYED", "DEPRECATED", "DELETED"),
    "VALIDATED": ("DEPLOYED", "DEPRECATED", "DELETED"),
    "DEPLOYED": ("DEPRECATED", "DELETED"),
    "DEPRECATED": ("DEPLOYED", "DELETED"),
    "DELETED": (),
}
VERBS = {"validate": "VALIDATED", "deploy": "DEPLOYED", "deprecate": "DEPRECATED", "delete": "DELETED"}
Refused = (af.Conflict, af.NotFound, af.ParameterError)


class Registry:
    """What the registry should hold, in dicts and lists; each act gives the error that it should meet, or None."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.stages: dict[str, dict[int, str]] = {name: {} for name in NAMES}
        self.objects: dict[tuple[str, int], Any] = {}
        self.said: list[tuple[str, str, Any]] = []
        self.trail: dict[str, list[int]] = {name: [] for name in NAMES}
        self.ids = 0

    def who(self, asked: Any) -> str | None:
        """Give the name of the model that is meant by a name, or by an id as a number or a text."""
        if isinstance(asked, str) and asked in self.models:
            return asked
        return next((name for name, one in self.models.items() if str(one["id"]) == str(asked)), None)

    def register(self, name: str, fields: dict[str, Any]) -> Any:
        wanted = {"description": "", "properties": {}, **fields}
        if name not in self.models:
            self.ids += 1
            self.models[name] = {"id": self.ids, **wanted}
            self.said.append((name, "METADATA_CHANGED", "registered"))
        else:
            self.change(name, {field: value for field, value in wanted.items() if value})

    def change(self, name: str, fields: dict[str, Any]) -> None:
        if {**self.models[name], **fields} != self.models[name]:
            self.models[name].update(fields)
            self.said.append((name, "METADATA_CHANGED", "updated"))

    def update(self, asked: Any, fields: dict[str, Any]) -> Any:
        name = self.who(asked)
        if name is None:
            return af.NotFound
        self.change(name, fields)

    def delete(self, asked: Any) -> Any:
        name = self.who(asked)
        if name is None:
            return af.NotFound
        for number in self.stages[name]:
            self.move(name, number, "DELETED")
        del self.models[name]
        self.said.append((name, "METADATA_CHANGED", "deleted"))

    def move(self, name: str, number: int, stage: str) -> None:
        before = self.stages[name].get(number)
        if before == stage:
            return
        if stage == "DEPLOYED":
            for other in [n for n, s in self.stages[name].items() if s == "DEPLOYED"]:
                self.move(name, other, "DEPRECATED")
        self.stages[name][number] = stage
        self.said.append((name, f"MODEL_{stage}", [number, stage, before]))

    def log(self, name: str, value: Any, stage: str) -> Any:
        if name not in self.models:
            return af.NotFound
        if stage in ("DEPRECATED", "DELETED"):
            return af.ParameterError
        number = len(self.stages[name]) + 1
        self.objects[name, number] = value
        self.move(name, number, stage)
        self.deployed(name, number, stage)

    def deployed(self, name: str, number: int, stage: str) -> None:
        if stage == "DEPLOYED" and self.trail[name][-1:] != [number]:
            self.trail[name].append(number)

    def set_stage(self, name: str, number: int, stage: str) -> Any:
        if name not in self.models or number not in self.stages[name]:
            return af.NotFound
        before = self.stages[name][number]
        if before == stage:
            return None
        if stage not in TAKES[before]:
            return af.Conflict
        self.move(name, number, stage)
        self.deployed(name, number, stage)

    def roll_back(self, name: str) -> Any:
        if name not in self.models:
            return af.NotFound
        trail = self.trail[name]
        for at in range(len(trail) - 2, -1, -1):
            if trail[at] != trail[-1] and self.stages[name][trail[at]] == "DEPRECATED":
                self.move(name, trail[at], "DEPLOYED")
                del trail[at + 1 :]
                return None
        return af.Conflict


class Lives(RuleBasedStateMachine):
    """A project whose models are changed, while the store fails at any statement and the process dies at any commit."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="aiflow-registry-")
        self.home = Path(self._folder.name, "home")
        self.clock = ManualClock()
        self.twin = Registry()

    @initialize()
    def open(self) -> None:
        self.left, self.after, self.broken = 0, False, False
        self.project = project_for_tests(self.home, self.clock)
        watch(self.project, before=lambda sql: self._pass(sql, False), after=lambda sql: self._pass(sql, True))

    def _pass(self, sql: str, is_after: bool) -> None:
        if sql == "ROLLBACK":  # which SQLite does by itself, if it comes to that
            return
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        if self.left and is_after == self.after and (sql == "COMMIT" or not self.after):
            self.left -= 1
            if not self.left:
                self.broken = True
                raise sqlite3.OperationalError("disk I/O error")

    def _do(self, act: Any, expected: Any) -> Any:
        """Act on the project and on the twin; both change alike or not at all, and if the store fails, one or the other."""
        before = copy.deepcopy(self.twin)
        wanted = expected(self.twin)
        if wanted is not None:
            self.twin = before
        result: Any = None
        try:
            result = act(self.project)
        except af.StoreError:
            assert self.broken
        except Refused as error:
            assert isinstance(error, wanted or ()), f"{error!r}, not {wanted}"
        else:
            assert wanted is None, f"this should have been refused: {wanted}"
        if self.broken:
            if self.after:  # what was committed was committed, though whoever waited for it will never know
                self.project.close(detach=True)
                self.open()
            self.broken = False
            self.twin = before if self._said() == len(before.said) else self.twin
        return result

    def _said(self) -> int:
        return self.project.events.count(types=["MODEL_*", "METADATA_CHANGED"])

    def _as(self, name: str, how: str) -> Any:
        """Ask for a model by its name, by its id, or by what it is."""
        one = self.twin.models.get(name)
        if how == "declared":
            return af.Model(name)
        if one is None or how == "name":
            return name
        if how == "registered":
            return self.project.models.get(name)
        return one["id"] if how == "id" else str(one["id"])

    # --- what may happen ----------------------------------------------------------------------------------------------

    names = st.sampled_from(("knn", "knn", "knn", *NAMES))
    ways = st.sampled_from(["name", "id", "text", "declared", "registered"])
    fields = st.fixed_dictionaries(
        {},
        optional={
            "description": st.sampled_from(["", "a", "b"]),
            "properties": st.sampled_from([{}, {"k": [1, None]}]),
        },
    )

    @rule(name=names, fields=fields, declared=st.booleans())
    def register(self, name: str, fields: dict[str, Any], declared: bool) -> None:
        def act(project: af.Project) -> Any:
            return (
                project.models.register(af.Model(name, **fields))
                if declared
                else project.models.register(name, **fields)
            )

        self._do(act, lambda twin: twin.register(name, fields))

    @rule(name=names, how=ways, fields=fields)
    def update(self, name: str, how: str, fields: dict[str, Any]) -> None:
        asked = self._as(name, how)
        own = name if how in ("declared", "registered") else asked
        self._do(lambda p: p.models.update(asked, **fields), lambda twin: twin.update(own, fields))

    @rule(name=names, how=ways)
    def delete(self, name: str, how: str) -> None:
        asked = self._as(name, how)
        own = name if how in ("declared", "registered") else asked
        self._do(lambda p: p.models.delete(asked), lambda twin: twin.delete(own))

    @rule(name=names, value=st.integers(0, 3), stage=st.sampled_from(["DEPLOYED", "DEPLOYED", *TAKES]))
    def log(self, name: str, value: int, stage: str) -> None:
        self._do(
            lambda p: p.models.get(name).log([value], stage=stage),
            lambda twin: self._named(twin.log, name, [value], stage),
        )

    @rule(name=names, verb=st.sampled_from(["deploy", "deploy", *VERBS]), number=st.integers(0, 5))
    def move(self, name: str, verb: str, number: int) -> None:
        self._do(
            lambda p: getattr(p.models.get(name), verb)(number),
            lambda twin: self._named(twin.set_stage, name, number, VERBS[verb]),
        )

    @rule(name=names, times=st.integers(1, 3))
    def roll_back(self, name: str, times: int) -> None:
        for _ in range(times):
            self._do(lambda p: p.models.get(name).rollback(), lambda twin: self._named(twin.roll_back, name))

    def _named(self, act: Any, name: str, *more: Any) -> Any:
        """Act on the model that `get` finds: a name that is not registered may be the id of another."""
        return act(self.twin.who(name) or name, *more)

    @rule(names=st.lists(names, min_size=1, max_size=3), stage=st.sampled_from(["GENERATED", "DEPLOYED"]))
    def log_at_once(self, names: list[str], stage: str) -> None:
        """Several changes in one transaction: all or none."""

        def expected(twin: Registry) -> Any:
            return next((why for why in [twin.log(name, None, stage) for name in names] if why), None)

        def act(project: af.Project) -> Any:
            made = {"type": "", "description": "", "properties": {}}
            return do(project, *[Change("log_model", {"model": n, "stage": stage, "fields": made}) for n in names])

        if all(self.twin.who(name) in (None, name) for name in names):  # here, a name is not taken for an id
            self._do(act, expected)

    @rule(at=st.integers(1, 12))
    def fail(self, at: int) -> None:
        """The store will fail at its n-th statement from now, and nothing of that turn may stay."""
        self.left, self.after = at, False

    @rule(at=st.integers(1, 2))
    def die(self, at: int) -> None:
        """The process will die just after its n-th commit from now: what was committed stays."""
        self.left, self.after = at, True

    @rule()
    def open_again(self) -> None:
        self.project.close(detach=True)
        self.open()

    # --- what must be true --------------------------------------------------------------------------------------------

    @invariant()
    def the_registry_is_what_the_twin_says(self) -> None:
        if not self.home.exists():
            return
        twin, project = self.twin, self.project
        found = {
            m.name: {"id": m.id, "description": m.description, "properties": m.properties}
            for m in project.models.list()
        }
        assert found == twin.models
        rows = project._store.rows("SELECT model, number, stage FROM model_versions ORDER BY model, number")
        assert rows == sorted((m, n, s) for m, stages in twin.stages.items() for n, s in stages.items())
        for name in twin.models:
            knn, stages = project.models.get(name), twin.stages[name]
            assert {v.number: v.stage for v in knn.versions()} == {n: s for n, s in stages.items() if s != "DELETED"}
            deployed = [n for n, s in stages.items() if s == "DEPLOYED"]
            assert len(deployed) <= 1
            assert [knn.deployed.number if knn.deployed else None] == (deployed or [None])
            for version in knn.versions():
                if version.hash is not None:
                    assert version.load() == twin.objects[name, version.number]

    @invariant()
    def each_real_change_was_said_once_and_in_order(self) -> None:
        if not self.home.exists():
            return
        said = []
        for e in self.project.events.list(types=["MODEL_*", "METADATA_CHANGED"], limit=None):
            v = e.value
            said.append((e.key, e.type, v["action"] if "action" in v else [v["number"], v["stage"], v["before"]]))
        assert said == self.twin.said
        rows = self.project._store.rows(
            "SELECT s.model, e.type, json_array(s.number, s.stage, s.before) FROM model_stages s JOIN events e USING (offset) "
            "WHERE e.key = s.model AND e.time = s.time ORDER BY s.id"
        )
        stages = [one for one in self.twin.said if one[1] != "METADATA_CHANGED"]
        assert [(model, kind, json.loads(value)) for model, kind, value in rows] == stages

    def teardown(self) -> None:
        try:
            self.left, self.broken = 0, False
            self.the_registry_is_what_the_twin_says()
            if self.home.exists():
                invariants.check(self.home)
        finally:
            self.project.close(detach=True)
            self._folder.cleanup()


Lives.TestCase.settings = settings(
    examples(15), stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
test_the_registry_is_what_a_small_model_says_whatever_happens = Lives.TestCase
