"""What came from what, as users ask for it: `project.lineage`.

Knows nothing of how it was recorded, nor of how it is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime, as_timestamp
from aiflow.errors import NotFound, ParameterError
from aiflow.execution import _JOB_ROW, Execution, JobExecution, _job_of
from aiflow.graph.execution import JobStatus
from aiflow.graph.naming import parted
from aiflow.graph.thing import JOB, KINDS, Thing
from aiflow.graph.version import Version
from aiflow.graph.versions import VERSIONS
from aiflow.ledger.book import columns, decoded
from aiflow.store import lineage

if TYPE_CHECKING:
    from aiflow._project import Project
    from aiflow.graph.topology import LineageGraph

__all__ = ["Lineage"]

_LITTLE = "its execution was pruned"
_KEY = "json_extract(a.value, '$[0]'), json_extract(a.value, '$[1]'), json_extract(a.value, '$[2]')"
_JOBS = (
    f"SELECT a.key, e.workflow, {', '.join(f'j.{name}' for name in _JOB_ROW.split(', '))} FROM json_each(?) a "
    f"JOIN job_executions j ON (j.execution_id, j.job, j.number) = ({_KEY}) LEFT JOIN executions e ON e.id = j.execution_id"
)
_PRUNED = (
    "SELECT a.key, n.workflow, n.attempt, n.status, n.started, n.ended FROM json_each(?) a "
    f"JOIN lineage_nodes n ON n.kind = 'job' AND (n.execution_id, n.name, n.number) = ({_KEY})"
)
_LATEST_THEN = "SELECT number FROM {0}_versions WHERE {0} = ? AND created <= ? ORDER BY number DESC LIMIT 1"
_DEPLOYED_THEN = (
    "SELECT number, EXISTS (SELECT 1 FROM model_stages s WHERE s.model = d.model AND s.stage IN ('DEPRECATED', 'DELETED') "
    "AND s.time >= d.time AND s.time <= ?2 AND s.number = d.number AND s.id > d.id) FROM model_stages d "
    "WHERE d.model = ?1 AND d.stage = 'DEPLOYED' AND d.time <= ?2 ORDER BY d.time DESC, d.id DESC LIMIT 1"
)
"""The version that was deployed last by some time, and whether it was so no longer."""


class Lineage:
    """What came from what: versions of datasets, models and artifacts, and the job executions between them.

    Got as `project.lineage`. All of it is recorded while workflows run, without anything that you do.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> @af.job
    ... def fit():
    ...     return str(af.current().project.models.get("knn").log([1, 2]))
    >>> @af.workflow
    ... def fits():
    ...     fit()
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     knn = project.models.register("knn")
    ...     execution = project.run(fits)
    ...     graph = project.lineage.upstream("knn:1")
    ...     [(str(node), graph.nodes[node]["kind"]) for node in graph if node != knn.latest()]
    ...     list(graph.predecessors(knn.latest())) == [execution.job("fit")]
    [('fit of ...', 'job')]
    True
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def upstream(self, thing: Any, as_of: datetime | None = None) -> LineageGraph:
        """Give all that something came from, on however long ways, and itself.

        Parameters
        ----------
        thing
            A version; a `JobExecution`, or an `Execution` for all of its jobs; or text. ``"knn:2"`` is a version. ``"knn"``
            is, of a model, the version that is deployed, and of a dataset or an artifact the latest version. Where several
            kinds have that name, ``"model knn:2"`` says which. ``"job k3vq/train:1"`` is a job execution.
        as_of
            Only what was recorded by then; a naive time is local. A bare name means what was deployed, or the latest, then.

        Returns
        -------
        LineageGraph
            A `networkx.DiGraph` whose nodes are `DatasetVersion`, `ModelVersion`, `ArtifactVersion` and `JobExecution`, with
            `kind` (``"dataset"``, ``"model"``, ``"artifact"`` or ``"job"``), and of jobs `workflow`; edges have the `time`
            when they were recorded. It shows itself as a picture in notebooks.

        Raises
        ------
        NotFound
            If there is no such thing; close names are listed.
        ParameterError
            If several kinds have that name.
        """
        return self._graph("upstream", thing, as_of)

    def downstream(self, thing: Any, as_of: datetime | None = None) -> LineageGraph:
        """Give all that came from something, and itself; arguments and result are those of `upstream`."""
        return self._graph("downstream", thing, as_of)

    def _graph(self, direction: str, asked: Any, as_of: datetime | None) -> LineageGraph:
        from aiflow.graph.topology import lineage_graph

        if as_of is not None and not isinstance(as_of, datetime):
            raise ParameterError(f"as_of takes a datetime, not {as_of!r}")
        until, store = inf if as_of is None else as_timestamp(as_of), self._project._store
        begin = self._asked(asked, until)
        ids = lineage.find(store, begin)
        found = lineage.walk(store, direction, ids.values(), until)
        known = lineage.things(store, {*ids.values(), *(end for a, b, _ in found for end in (a, b))})
        others = [thing for thing in begin if thing not in ids]
        things = [*others, *known.values()] if direction == "downstream" else [*known.values(), *others]
        objects = self._objects(things)
        nodes = [(objects[thing][0], {"kind": thing.kind, **objects[thing][1]}) for thing in things]
        edges = [
            (objects[known[a]][0], objects[known[b]][0], {"time": as_datetime(time)})
            for a, b, time in sorted(found)
            if a in known and b in known  # it may be pruned while we read
        ]
        return lineage_graph(nodes, edges, direction, [objects[thing][0] for thing in begin])

    # --- what is meant ----------------------------------------------------------------------------------------------

    def _asked(self, asked: Any, until: float) -> list[Thing]:
        if isinstance(asked, Version):
            return [self._version(asked.kind, asked.name, asked.number)]
        if isinstance(asked, JobExecution):
            return [self._job(asked.execution_id, asked.job, asked.number)]
        if isinstance(asked, Execution):
            rows = self._project._store.rows(
                "SELECT job, number FROM job_executions WHERE execution_id = ? AND status <> 'SKIPPED'", (asked.id,)
            )
            ran = [Thing(JOB, job, number, asked.id) for job, number in rows]
            return list(dict.fromkeys([*lineage.jobs_of(self._project._store, asked.id), *ran]))
        if isinstance(asked, str):
            return [self._named(asked.strip(), until)]
        kind = str(getattr(asked, "kind", ""))
        if kind in VERSIONS:  # what was declared, or what is registered
            return [self._then(kind, asked.name, until)]
        raise ParameterError(
            f"lineage is asked of a version, a job execution, an execution or a name, not of {asked!r}"
        )

    def _named(self, text: str, until: float) -> Thing:
        """Find what a text means: ``knn``, ``knn:2``, ``model knn:2``, ``job k3vq/train:1``."""
        word, _, rest = text.partition(" ")
        if word == JOB and rest:
            return self._job_named(rest.strip())
        kinds, said = ([word], rest.strip()) if word in VERSIONS and rest else (list(VERSIONS), text)
        name, number = parted(said)
        having = [kind for kind in kinds if self._has(kind, name)]
        fitting = having if number is None else [kind for kind in having if self._has(kind, name, number)]
        if len(fitting) > 1:
            ways = " or ".join(repr(f"{kind} {said}") for kind in fitting)
            raise ParameterError(f"{said!r} is {' and '.join(map(_a, fitting))}; say {ways}")
        if not having:
            noun = kinds[0] if len(kinds) == 1 else "dataset, model or artifact"
            raise NotFound(f"{noun} with versions", name, [one for kind in kinds for one in self._names(kind)])
        kind = (fitting or having)[0]
        return self._then(kind, name, until) if number is None else self._version(kind, name, number)

    def _version(self, kind: str, name: str, number: int) -> Thing:
        if not self._has(kind, name, number):
            raise NotFound(f"version of {_a(kind)}", f"{name}:{number}", self._versions_of(kind, name))
        return Thing(kind, name, number)

    def _then(self, kind: str, name: str, until: float) -> Thing:
        """Find the version that a bare name means at a time: the deployed one of a model, else the latest."""
        if not self._has(kind, name):
            raise NotFound(f"{kind} with versions", name, self._names(kind))
        store, at = self._project._store, "" if until == inf else f" at {as_datetime(until):%Y-%m-%d %H:%M:%S} UTC"
        if kind == "model":
            row = store.row(_DEPLOYED_THEN, (name, until))
            if row is None or row[1]:
                noun = f"version that is deployed{at} of the model"
                raise NotFound(noun, name, self._versions_of(kind, name))
        else:
            row = store.row(_LATEST_THEN.format(kind), (name, until))
            if row is None:
                raise NotFound(f"version{at} of the {kind}", name, self._versions_of(kind, name))
        return Thing(kind, name, row[0])

    def _has(self, kind: str, name: str, number: int | None = None) -> bool:
        sql = f"SELECT 1 FROM {kind}_versions WHERE {kind} = ?{'' if number is None else ' AND number = ?'} LIMIT 1"
        return self._project._store.row(sql, (name,) if number is None else (name, number)) is not None

    def _versions_of(self, kind: str, name: str) -> list[str]:
        sql = f"SELECT number FROM {kind}_versions WHERE {kind} = ? ORDER BY number DESC LIMIT 20"
        return [f"{name}:{row[0]}" for row in self._project._store.rows(sql, (name,))]

    def _names(self, kind: str) -> list[str]:
        return [row[0] for row in self._project._store.rows(f"SELECT DISTINCT {kind} FROM {kind}_versions")]

    def _job_named(self, text: str) -> Thing:
        begin, _, job = text.partition("/")
        job, colon, number = job.rpartition(":") if job.rpartition(":")[2].isdecimal() else (job, "", "")
        execution = self._project.executions.find(begin)
        return self._job(begin if execution is None else execution.id, job, int(number) if colon else None)

    def _job(self, execution_id: str, job: str, number: int | None) -> Thing:
        store = self._project._store
        sql = (
            "SELECT job, number FROM job_executions WHERE execution_id = ?1 AND status <> 'SKIPPED' "
            "UNION SELECT name, number FROM lineage_nodes WHERE execution_id = ?1 AND kind = 'job'"
        )
        known = store.rows(sql, (execution_id,))
        numbers = [n for name, n in known if name == job]
        if not numbers or (number is not None and number not in numbers):
            asked = f"{execution_id}/{job}" + ("" if number is None else f":{number}")
            raise NotFound("job execution", asked, [f"{execution_id}/{name}:{n}" for name, n in known])
        return Thing(JOB, job, max(numbers) if number is None else number, execution_id)

    # --- things as objects ------------------------------------------------------------------------------------------

    def _objects(self, things: Iterable[Thing]) -> dict[Thing, tuple[Any, dict[str, Any]]]:
        """Give each thing as the object that users know it by, and what else is said of it."""
        by_kind: dict[str, list[Thing]] = {kind: [] for kind in KINDS}
        for thing in things:
            by_kind[thing.kind].append(thing)
        found: dict[Thing, tuple[Any, dict[str, Any]]] = {}
        for kind, some in by_kind.items():
            if some:
                found |= self._jobs(some) if kind == JOB else self._versions(kind, some)
        return found

    def _versions(self, kind: str, things: Sequence[Thing]) -> dict[Thing, tuple[Any, dict[str, Any]]]:
        project, make = self._project, VERSIONS[kind]
        names = columns(project._store, f"{kind}_versions")
        sql = (
            f"SELECT {', '.join(f'v.{name}' for name in names)} FROM json_each(?) a JOIN {kind}_versions v "
            f"ON v.{kind} = json_extract(a.value, '$[0]') AND v.number = json_extract(a.value, '$[1]')"
        )
        rows = project._store.rows(sql, (json.dumps([(thing.name, thing.number) for thing in things]),))
        home = str(project.home)
        made = (make.of_row(decoded(dict(zip(names, row, strict=True))), home) for row in rows)
        return {Thing.of(version): (version, {}) for version in made}

    def _jobs(self, things: Sequence[Thing]) -> dict[Thing, tuple[Any, dict[str, Any]]]:
        project, found = self._project, {}
        for place, workflow, *row in self._matching(_JOBS, things):
            made = _job_of(tuple(row), things[place].execution_id, project)
            found[things[place]] = (made, {"workflow": workflow})
        gone = [thing for thing in things if thing not in found]
        for place, workflow, attempt, status, started, ended in self._matching(_PRUNED, gone) if gone else ():
            _, job, number, execution_id = gone[place]
            begun, over = (None if time is None else as_datetime(time) for time in (started, ended))
            made = JobExecution(
                job, number, attempt or 0, JobStatus(status or "INIT"), begun, over, reason=_LITTLE, execution_id=execution_id
            )  # fmt: skip
            found[gone[place]] = (made, {"workflow": workflow})
        return found

    def _matching(self, sql: str, jobs: Sequence[Thing]) -> list[tuple[Any, ...]]:
        keys = json.dumps([(thing.execution_id, thing.name, thing.number) for thing in jobs])
        return self._project._store.rows(sql, (keys,))


def _a(kind: str) -> str:
    return f"{'an' if kind[0] == 'a' else 'a'} {kind}"
