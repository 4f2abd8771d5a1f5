"""What the store holds, noun by noun, as users ask for it: `project.executions`, `.jobs`.

Knows nothing of turns. Filters are names of fields; names take globs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any

from aiflow.errors import NotFound, ParameterError, suggest
from aiflow.execution import _JOB_ROW, Execution, JobExecution, _job_of
from aiflow.graph.card import Card, HasCard, Listing, Note, listed
from aiflow.graph.condition import is_glob
from aiflow.graph.execution import ExecutionStatus, JobStatus
from aiflow.graph.params import json_text, stored
from aiflow.keep import Keep
from aiflow.table import Table

if TYPE_CHECKING:
    from aiflow._project import Project

__all__ = ["Executions", "HasList", "Jobs", "where"]


def where(filters: dict[str, Any], known: tuple[str, ...], noun: str) -> tuple[str, list[Any]]:
    """Give the condition for SQL that filters by field say, and its values; raises `ParameterError` for other fields."""
    parts, values = [], []
    for name, value in filters.items():
        if name not in known:
            raise ParameterError(f"{noun} have no field {name!r} to filter by{suggest(name, known)}")
        if value is None:
            parts.append(f"{name} IS NULL")
            continue
        text = str(value) if not isinstance(value, int | float) else value
        parts.append(f"fits_glob(?, {name})" if isinstance(text, str) and is_glob(text) else f"{name} = ?")
        values.append(text)
    return " AND ".join(parts) or "1", values


def check_status(filters: dict[str, Any], known: type[StrEnum]) -> None:
    """Raise `ParameterError` if what is filtered by is no status: nothing would be found, whatever there is."""
    text = filters.get("status")
    if text is not None and not is_glob(str(text)) and str(text) not in known.__members__:
        raise ParameterError(f"there is no status {str(text)!r}{suggest(str(text).upper(), known.__members__)}")


class HasList(HasCard):
    """A view of one noun of a project, `list` among its verbs; notebooks show the first of what it lists."""

    _noun: str

    def __init__(self, project: Project) -> None:
        self._project = project

    def __repr__(self) -> str:
        return f"<{self._noun}s of project {self._project.name}>"

    def list(self, limit: int | None = 100, offset: int = 0) -> list[Any]:
        """Give what there is."""
        raise NotImplementedError

    def _card(self) -> Card:
        some = self.list(limit=_SHOWN + 1)
        more = [Note(f"… and more: project.{self._noun}s.list(limit=…)")] if len(some) > _SHOWN else []
        return Card(
            kind=f"{self._noun}s of project", name=self._project.name, parts=[listed(some[:_SHOWN], self._noun), *more]
        )


_SHOWN = 20
_FILTERS = ("workflow", "status", "context", "namespace", "id", "trigger_id")
_DERIVED = ("INTERRUPTED", "RUNNING", "STOPPING")
"""Statuses that the row alone does not tell: it depends on whether the owner lives."""

_SMALL = 200
"""Bytes that a result may have to stand in a table."""

_LAST_TO_END = (
    "SELECT id FROM executions WHERE status IN ('RUNNING', 'STOPPING', 'INIT') "
    "UNION ALL SELECT id FROM (SELECT id FROM executions WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT {0})"
)


_JSON_TYPES: tuple[tuple[type | UnionType, str], ...] = (
    (bool, "'true', 'false'"),  # a bool is an int, and so comes first
    (int | float, "'integer', 'real'"),
    (str, "'text'"),
    (NoneType, "'null'"),
    (list | tuple, "'array'"),
    (dict, "'object'"),
)
"""What SQLite calls the types of JSON data."""


def _where(filters: dict[str, Any], params: Mapping[str, Any] | None, since: datetime | None) -> tuple[str, list[Any]]:
    """Give the condition for SQL that executions are filtered by, and its values."""
    clause, values = where(filters, _FILTERS, "executions")
    for name, value in stored(params or {}).items():
        path, is_tree = '$."' + name.replace('"', "") + '"', isinstance(value, list | tuple | dict)
        kinds = next(kinds for kind, kinds in _JSON_TYPES if isinstance(value, kind))
        clause += f" AND coalesce(json_type(params, ?), 'null') IN ({kinds}) AND json_extract(params, ?) IS {'json(?)' if is_tree else '?'}"
        values += [path, path, json_text(value, f"the parameter {name!r}") if is_tree else value]
    if since is not None:
        clause, values = f"{clause} AND created >= ?", [*values, since.timestamp()]
    return clause, values


class Executions(HasList):
    """The executions of workflows; got as `project.executions`."""

    _noun = "execution"

    def find(self, execution_id: str) -> Execution | None:
        """Give an execution by its id, or by first characters that no other has; None if there is none."""
        store, columns = self._project._store, Execution.columns()
        row = store.row(f"SELECT {columns} FROM executions WHERE id = ?", (execution_id,))
        if row is None and execution_id and execution_id.isalnum():
            rows = store.rows(
                f"SELECT {columns} FROM executions WHERE id >= ? AND id < ? LIMIT 2", (execution_id, execution_id + "~")
            )
            if len(rows) > 1:
                raise ParameterError(
                    f"several executions begin with {execution_id!r}: {', '.join(r[0] for r in rows)}, …; give more of the id"
                )
            row = rows[0] if rows else None
        return None if row is None else Execution(self._project, row)

    def get(self, execution_id: str) -> Execution:
        """Give an execution by its id, or by its first characters; raises `NotFound`."""
        found = self.find(execution_id)
        if found is None:
            raise NotFound("execution", execution_id, [e.id for e in self.list(limit=5)])
        return found

    def list(
        self,
        limit: int | None = 100,
        offset: int = 0,
        *,
        params: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        **filters: Any,
    ) -> list[Execution]:
        """Give executions, newest first.

        Parameters
        ----------
        limit, offset
            How many at most, and after how many.
        params
            Only those whose parameters of these names have these values; how a number is written does not matter.
        since
            Only those that were begun then or later.
        **filters
            `workflow`, `status`, `context`, `namespace`, `id` or `trigger_id`; globs work.

        Raises
        ------
        ParameterError
            If there is no such field or status, or a value is no JSON data.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> @af.workflow
        ... def training(k: int = 3):
        ...     af.command(["true"], name="train")
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     runs = [project.run(training, k=k) for k in (1, 3, 3)]
        ...     len(project.executions.list(params={"k": 3}))
        2
        """
        check_status(filters, ExecutionStatus)
        status = filters.get("status")
        derived = status is not None and str(status) in _DERIVED
        if derived:
            filters = {k: v for k, v in filters.items() if k != "status"}
        clause, values = _where(filters, params, since)
        if derived:
            clause += " AND status IN ('RUNNING', 'STOPPING', 'INIT')"
        sql = f"SELECT {Execution.columns()} FROM executions WHERE {clause} ORDER BY created DESC, rowid DESC"
        if not derived and limit is not None:
            sql += f" LIMIT {int(limit)} OFFSET {int(offset)}"
        found = [Execution(self._project, row) for row in self._project._store.rows(sql, values)]
        if derived:
            found = [e for e in found if e.status == str(status)][offset : None if limit is None else offset + limit]
        return Listing(found, "execution")

    def count(self, *, params: Mapping[str, Any] | None = None, since: datetime | None = None, **filters: Any) -> int:
        """Count executions; the filters are those of `list`."""
        check_status(filters, ExecutionStatus)
        if str(filters.get("status")) in _DERIVED:
            return len(self.list(limit=None, params=params, since=since, **filters))
        clause, values = _where(filters, params, since)
        row = self._project._store.row(f"SELECT count(*) FROM executions WHERE {clause}", values)
        return int(row[0]) if row else 0

    def delete(self, execution: Execution | str) -> None:
        """Delete an execution with its jobs, their values, logs and scratch files.

        What it made by name stays: versions of models, datasets and artifacts, with what is known of where they came from,
        and metrics; and so do its events in the log, until they are pruned. Values in files go with the next pruning.

        Parameters
        ----------
        execution
            Which, or its id.

        Raises
        ------
        NotFound
            If there is no such execution.
        Conflict
            If it runs, or another execution began with results of it (`start_from`); nothing is deleted.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     with project.track("mistaken") as experiment:
        ...         pass
        ...     project.executions.delete(experiment.execution)
        ...     project.executions.list()
        []
        """
        from aiflow.pruning import Pruner

        found = self.get(execution.id if isinstance(execution, Execution) else execution)
        project = self._project
        Pruner(project._store, project._clock, project._shared.engine, Keep()).delete(found.id)

    def compare(self, *executions: Execution | str, workflow: Any = None, limit: int | None = 100) -> Table:
        """Lay executions side by side: parameters, results and metrics, one execution a row.

        Parameters
        ----------
        *executions
            Which: executions, or their ids.
        workflow
            Instead: the newest ones of this workflow or experiment, by name.
        limit
            How many of those at most.

        Returns
        -------
        Table
            With the columns `id`, `workflow`, `status`, `started` and `seconds`, then ``params.k`` for each parameter k,
            ``results.job`` for each job whose newest value is a small one of JSON data and says more than metrics do, and
            ``metrics.name`` for the newest value of each metric. What an execution has not is None. Parameters that must not be seen are hidden.

        Raises
        ------
        NotFound
            If there is no such execution.
        ParameterError
            If neither or both are given.

        Examples
        --------
        >>> import aiflow as af, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
        ...     for k in (3, 5):
        ...         with project.track("search", k=k) as experiment:
        ...             logged = experiment.log_metric("accuracy", 1 - 0.1 / k)
        ...     table = project.executions.compare(workflow="search")
        >>> table["params.k"], table["metrics.accuracy"]
        ([5, 3], [0.98, 0.9666666666666667])
        """
        if bool(executions) is (workflow is not None):
            raise ParameterError('compare takes executions or their ids, or workflow="name"')
        name = getattr(workflow, "name", workflow)
        found = [self.get(e.id if isinstance(e, Execution) else e) for e in executions] or self.list(
            limit, workflow=name
        )
        rows = [self._compared(execution) for execution in found]
        columns = ["id", "workflow", "status", "started", "seconds"]
        for part in ("params.", "results.", "metrics."):
            columns += dict.fromkeys(column for row in rows for column in row if column.startswith(part))
        return Table(columns, rows)

    def _compared(self, execution: Execution) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": execution.id, "workflow": execution.workflow, "status": str(execution.status),
            "started": execution.started, "seconds": execution.seconds,
        }  # fmt: skip
        row |= {f"params.{name}": value for name, value in execution.shown_params.items()}
        results = self._project._store.rows(
            "SELECT job, value FROM job_executions WHERE execution_id = ? AND status = 'SUCCESS' AND codec = 'json' "
            "AND size <= ? AND value <> 'null' ORDER BY number",
            (execution.id, _SMALL),
        )
        newest = self._project.metrics.newest(execution=execution)
        metrics = {name: one.value for name, one in newest.items()}
        values = {job: json.loads(text) for job, text in results}
        row |= {f"results.{job}": value for job, value in values.items() if not _is_in(value, metrics)}
        return row | {f"metrics.{name}": value for name, value in metrics.items()}


def _is_in(value: Any, metrics: Mapping[str, float]) -> bool:
    """Tell whether a result is a dict of nothing but numbers that are there as metrics."""
    return isinstance(value, dict) and bool(value) and value.items() <= metrics.items()


class Jobs(HasList):
    """The executions of jobs; got as `project.jobs`."""

    _noun = "job"

    def find(self, execution_id: str, job: str, number: int | None = None) -> JobExecution | None:
        """Give an execution of a job, the latest if no number is given; None if there is none.

        Raises
        ------
        NotFound
            If there is no such execution of a workflow, or no such job in it.
        """
        execution = self._project.executions.get(execution_id)
        latest = execution.job(job)
        if number is None or latest is None:
            return latest
        return next((one for one in execution.jobs if (one.job, one.number) == (job, number)), None)

    def get(self, execution_id: str, job: str, number: int | None = None) -> JobExecution:
        """Give an execution of a job, the latest if no number is given; raises `NotFound`."""
        found = self.find(execution_id, job, number)
        if found is None:
            raise NotFound("execution of job", job if number is None else f"{job} number {number}")
        return found

    def list(self, limit: int | None = 100, offset: int = 0, **filters: Any) -> list[JobExecution]:
        """Give executions of jobs, newest first; filter by `job`, `status`, `execution_id`."""
        check_status(filters, JobStatus)
        clause, values = where(filters, ("job", "status", "execution_id", "number", "attempt"), "jobs")
        if not filters and limit is not None:
            clause = f"execution_id IN ({_LAST_TO_END.format(self._enough(limit + offset))})"
        sql = f"SELECT execution_id, {_JOB_ROW} FROM job_executions WHERE {clause} ORDER BY started DESC, number DESC"
        if limit is not None:
            sql += f" LIMIT {int(limit)} OFFSET {int(offset)}"
        rows = self._project._store.rows(sql, values)
        return Listing((_job_of(row[1:], row[0], self._project) for row in rows), "job execution")

    def _enough(self, count: int) -> int:
        """Say in how many executions, from the last that ended, the newest `count` jobs are: none began after its own ended."""
        store, some = self._project._store, max(count, 10)
        while True:
            end = store.row(
                "SELECT ended FROM executions WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT 1 OFFSET ?", (some,)
            )
            if end is None:
                return some
            sql = f"SELECT count(*) FROM job_executions WHERE started >= ? AND execution_id IN ({_LAST_TO_END.format(some)})"
            found = store.row(sql, end)
            if found is None or found[0] >= count:
                return some
            some *= 8
