"""Metrics, as users ask for them: `project.metrics`.

Knows nothing of turns: what is logged is logged by the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiflow.clock import as_datetime
from aiflow.errors import NotFound, ParameterError, suggest
from aiflow.graph.card import Listing
from aiflow.graph.change import Change
from aiflow.graph.metric import Metric, Subject, measure, measures, subject_of
from aiflow.graph.params import mask
from aiflow.metadata.history import COLUMNS, MetricHistory, Row, metric_of
from aiflow.metadata.plots import MetricPlot, plot_of
from aiflow.metadata.registered import do, page
from aiflow.runners.context import current_or_none
from aiflow.table import Table
from aiflow.views import HasList, where

if TYPE_CHECKING:
    from aiflow.graph.version import Version

__all__ = ["Metrics"]

_FILTERS = ("name", "model", "model_number", "dataset", "dataset_number", "execution_id", "job", "job_number",
            "namespace", "step")  # fmt: skip

_NEWEST = """WITH RECURSIVE names(name) AS (
    SELECT min(name) FROM metrics WHERE {of}
    UNION ALL SELECT (SELECT min(name) FROM metrics WHERE {of} AND name > names.name) FROM names WHERE name IS NOT NULL)
SELECT {columns} FROM names JOIN metrics ON id = (SELECT max(id) FROM metrics WHERE {of} AND name = names.name{more})
WHERE names.name IS NOT NULL"""
"""The newest of each name, found by jumping from name to name in an index: there may be many values of each."""


class Metrics(HasList):
    """The metrics; got as `project.metrics`.

    Examples
    --------
    >>> import aiflow as af, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, af.Project("demo", home=folder) as project:
    ...     first = project.models.register("knn").log([1, 2])
    ...     logged = project.metrics.log("accuracy", 0.9, model=first)
    ...     print(project.metrics.latest("accuracy", model="knn").value, first.metrics)
    0.9 {'accuracy': 0.9}
    """

    _noun = "metric"

    # --- logging ----------------------------------------------------------------------------------------------------

    def log(self, name: str, value: Any, step: int | None = None, *, model: Any = None, dataset: Any = None) -> Metric:
        """Log one value of a metric, on behalf of the running job if there is one; it is durable when this returns.

        Parameters
        ----------
        name
            What was measured.
        value
            A number, NaN and infinities among them, or a scalar of NumPy and the like.
        step
            Which step of a training or the like.
        model, dataset
            What it says something of: a name, ``"knn:2"``, an `af.Model`, a version. Without a number it is the version
            that the running job works on, if it works on one of that name.

        Raises
        ------
        ParameterError
            If the name, the value or the step cannot be one; nothing is logged.
        NotFound
            If there is no such model, dataset or version.
        """
        one, subject, job = measure(name, value, step), subject_of(model, dataset, _worked_on()), current_or_none()
        made = do(self._project, Change("log_metrics", {"metrics": [one], **subject._asdict()}))[0]
        made_by = (None, None, None) if job is None else (job.execution_id, job.job, job.number)
        return Metric.of(one, subject, made["time"], made["id"], *made_by)

    def log_many(self, metrics: Any, step: int | None = None, *, model: Any = None, dataset: Any = None) -> None:
        """Log many values at once: all of them, or none.

        Parameters
        ----------
        metrics
            Numbers by name, as a dict; or ``(name, value)`` and ``(name, value, step)``, as a list or the like.
        step, model, dataset
            See `log`.
        """
        ready = measures(metrics, step)
        if ready:
            fields = {"metrics": ready, **subject_of(model, dataset, _worked_on())._asdict()}
            do(self._project, Change("log_metrics", fields))

    # --- asking -----------------------------------------------------------------------------------------------------

    def history(
        self, name: str, *, model: Any = None, dataset: Any = None, execution: Any = None, job: str | None = None
    ) -> MetricHistory:
        """Give the values of a metric, oldest first.

        Parameters
        ----------
        name
            Which.
        model, dataset
            Only what was logged of these: a name, ``"knn:2"``, an `af.Model`, a version. Without a number: of whatever version.
        execution, job
            Only what was logged by these: an `Execution` or its id, the name of a job.

        Returns
        -------
        MetricHistory
            Without any values, if no such metric was logged; it says then which names are close.

        Raises
        ------
        NotFound
            If there is no such model or dataset; close names are listed.
        """
        clause, values = _clause(name, model, dataset, execution, job)
        rows = self._rows(f"{clause} ORDER BY id", values)
        return MetricHistory(name, rows, self._tell, "" if rows else self._hint(name, model, dataset))

    def _hint(self, name: str, model: Any, dataset: Any) -> str:
        """Say which names are close to one of which nothing was found; raise `NotFound` if what it is asked of is not there."""
        subject = subject_of(model, dataset)
        if subject.model is not None:
            self._project.models.get(subject.model)
        if subject.dataset is not None:
            self._project.datasets.get(subject.dataset)
        names = self.names()
        return "" if name in names else suggest(name, names)

    def latest(
        self, name: str, *, model: Any = None, dataset: Any = None, execution: Any = None, job: str | None = None
    ) -> Metric | None:
        """Give the newest value of a metric, or None; what is asked for is said as in `history`."""
        clause, values = _clause(name, model, dataset, execution, job)
        rows = self._rows(f"{clause} ORDER BY id DESC LIMIT 1", values)
        return metric_of(rows[0]) if rows else None

    find = latest

    def get(
        self, name: str, *, model: Any = None, dataset: Any = None, execution: Any = None, job: str | None = None
    ) -> Metric:
        """Give the newest value of a metric; what is asked for is said as in `history`.

        Raises
        ------
        NotFound
            If there is none; close names are listed.
        """
        found = self.latest(name, model=model, dataset=dataset, execution=execution, job=job)
        if found is None:
            raise NotFound("metric", name, self.names())
        return found

    def names(self) -> list[str]:
        """Give the names of all metrics."""
        sql = """WITH RECURSIVE names(name) AS (SELECT min(name) FROM metrics
            UNION ALL SELECT (SELECT min(name) FROM metrics WHERE name > names.name) FROM names WHERE name IS NOT NULL)
            SELECT name FROM names WHERE name IS NOT NULL"""
        return [row[0] for row in self._project._store.rows(sql)]

    def count(self, **filters: Any) -> int:
        """Count values of metrics; the filters are those of `list`."""
        clause, values = where(_renamed(filters), _FILTERS, "metrics")
        found = self._project._store.row(f"SELECT count(*) FROM metrics WHERE {clause}", values)
        return int(found[0]) if found else 0

    def newest(self, *, model: Any = None, dataset: Any = None, execution: Any = None) -> dict[str, Metric]:
        """Give the newest value of each metric by name: of a model, a dataset or an execution, or of a version.

        Raises
        ------
        ParameterError
            If not just one of them is given.
        """
        asked = [(k, v) for k, v in (("model", model), ("dataset", dataset), ("execution", execution)) if v is not None]
        if len(asked) != 1:
            raise ParameterError("newest takes one of model=, dataset= and execution=")
        kind, of = asked[0]
        if kind == "execution":
            column, value, number = "execution_id", _id_of(of), None
        else:
            column, (value, number) = kind, _named(subject_of(**{kind: of}), kind)
        more = "" if number is None else f" AND {kind}_number = ?2"
        sql = _NEWEST.format(of=f"{column} = ?1", more=more, columns=COLUMNS.replace("name", "metrics.name", 1))
        rows = self._project._store.rows(sql, (value,) if number is None else (value, number))
        return {one.name: one for one in map(metric_of, rows)}

    def _tell(self, executions: Iterable[str]) -> dict[str, str]:
        """Say how executions are told from each other: by the parameters in which they differ."""
        ids = list(executions)[:_MOST_TOLD]
        sql = f"SELECT id, params FROM executions WHERE id IN ({', '.join('?' * len(ids))})"
        params = {row[0]: mask(json.loads(row[1])) for row in self._project._store.rows(sql, ids)}
        names = dict.fromkeys(name for given in params.values() for name in given)
        differ = [n for n in names if len({json.dumps(given.get(n)) for given in params.values()}) > 1]
        return {i: ", ".join(f"{n}={given[n]}" for n in differ if n in given) for i, given in params.items()}

    def _rows(self, clause: str, values: list[Any]) -> list[Row]:
        return self._project._store.rows(f"SELECT {COLUMNS} FROM metrics WHERE {clause}", values)

    def compare(self, name: str, *, model: Any = None, dataset: Any = None) -> Table:
        """Lay the versions of a model side by side by the newest value that each has of a metric.

        Parameters
        ----------
        name
            The metric.
        model
            A name or what was declared; None for the versions of all models that have the metric.
        dataset
            Only what was logged of this dataset, or this version of it.

        Returns
        -------
        Table
            With the columns `number`, `stage`, `value`, `step` and `time`; the versions in order, those that are DELETED
            left out. A version without the metric has None there. Without `model`, the first column is `model`.

        Raises
        ------
        NotFound
            If there is no such model.
        """
        subject = subject_of(model, dataset)
        asked = ["name = ?"]
        values: list[Any] = [name]
        for column, value in (("dataset", subject.dataset), ("dataset_number", subject.dataset_number)):
            if value is not None:
                asked.append(f"{column} = ?")
                values.append(value)
        newest = (
            f"SELECT max(id) FROM metrics WHERE {' AND '.join(asked)} AND model = v.model AND model_number = v.number"
        )
        join, of, columns = "JOIN", "", ["model", *_COMPARED]
        if subject.model is not None:
            found = self._project.models.get(subject.model)
            join, of, columns = "LEFT JOIN", " AND v.model = ?", [*_COMPARED]
            values.append(found.name)
        rows = self._project._store.rows(
            f"SELECT v.model, v.number, v.stage, m.value, m.special, m.step, m.time FROM model_versions v {join} metrics m "
            f"ON m.id = ({newest}) WHERE v.stage <> 'DELETED'{of} ORDER BY v.model, v.number",
            values,
        )
        return Table(columns, [dict(zip(("model", *_COMPARED), _compared(row), strict=True)) for row in rows])

    def plot(
        self,
        *names: str,
        model: Any = None,
        dataset: Any = None,
        execution: Any = None,
        job: str | None = None,
        x: str | None = None,
    ) -> MetricPlot:
        """Plot one or more metrics together; what is asked for is said as in `history`.

        Along steps, each job that logged values has a line for each thing that they are of. Along times, each version has
        one; but if each has one value only, these are one line.

        Parameters
        ----------
        *names
            Which metrics.
        x
            ``"step"``, ``"time"`` or ``"order"``; by default the one that fits.

        Returns
        -------
        MetricPlot
            A picture in notebooks; text where it is printed.

        Raises
        ------
        ParameterError
            If no metric is named.
        """
        if not names:
            raise ParameterError("plot takes the names of metrics")
        found = [self.history(n, model=model, dataset=dataset, execution=execution, job=job) for n in names]
        return plot_of(found, x, self._tell)

    def list(self, limit: int | None = 100, offset: int = 0, **filters: Any) -> list[Metric]:
        """Give values of metrics, newest first; filter by fields, names take globs."""
        clause, values = where(_renamed(filters), _FILTERS, "metrics")
        return Listing(map(metric_of, self._rows(f"{clause} ORDER BY id DESC{page(limit, offset)}", values)), "metric")


_MOST_TOLD = 100
"""How many executions are told from each other; a plot has fewer lines."""

_COMPARED = ("number", "stage", "value", "step", "time")


def _compared(row: Row) -> Row:
    model, number, stage, value, special, step, time = row
    return model, number, stage, value if special is None else float(special), step, time and as_datetime(time)


def _worked_on() -> tuple[Version, ...]:
    job = current_or_none()
    return () if job is None else job.works_on


def _named(subject: Subject, kind: str) -> tuple[Any, int | None]:
    return subject[:2] if kind == "model" else subject[2:]


def _id_of(execution: Any) -> str:
    return str(getattr(execution, "id", execution))


def _renamed(filters: dict[str, Any]) -> dict[str, Any]:
    """Let `number`, as a metric has it, stand for the column `model_number`."""
    return {"model_number" if k == "number" else k: v for k, v in filters.items()}


def _clause(name: str, model: Any, dataset: Any, execution: Any, job: str | None) -> tuple[str, list[Any]]:
    """Give the condition for SQL that asks for a metric, and its values; what is not given does not filter."""
    subject = subject_of(model, dataset)
    asked = {
        "name": name, "model": subject.model, "model_number": subject.number, "dataset": subject.dataset,
        "dataset_number": subject.dataset_number, "execution_id": None if execution is None else _id_of(execution),
        "job": job,
    }  # fmt: skip
    given = {column: value for column, value in asked.items() if value is not None}
    return " AND ".join(f"{column} = ?" for column in given), list(given.values())
