"""What a metric is: a number that was logged under a name, of a model version, a dataset version, a job, or of nothing.

Knows nothing of how metrics are kept or drawn.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self

from aiflow.errors import ParameterError
from aiflow.graph.card import Card, HasCard
from aiflow.graph.dataset import Dataset, DatasetVersion
from aiflow.graph.model import Model, ModelVersion
from aiflow.graph.naming import check_name, parted
from aiflow.graph.version import Version

__all__ = ["Measure", "Metric", "Subject", "measure", "measures", "number_of", "spelled", "subject_of"]

Measure = tuple[str, float | str, int | None]
"""What is logged, as it travels: the name, the value (what JSON has no number for as text), the step."""

_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Metric(HasCard):
    """One value of a metric, as it was logged.

    Attributes
    ----------
    value
        A float, which may be NaN or infinite.
    step
        Which step of a training or the like, or None.
    timestamp
        When it was logged, in seconds since 1970 UTC; `time` is the same as a `datetime`.
    name
        What was measured.
    model, number
        The model and the number of its version, or None.
    dataset, dataset_number
        The dataset and the number of its version, or None.
    execution_id, job, job_number
        The job execution that logged it, or None.
    id
        The offset of its event in the log: a later one is larger.
    """

    value: float
    step: int | None = None
    timestamp: float = 0.0
    name: str = ""
    model: str | None = None
    number: int | None = None
    dataset: str | None = None
    dataset_number: int | None = None
    execution_id: str | None = None
    job: str | None = None
    job_number: int | None = None
    id: int = 0

    @classmethod
    def of(
        cls, measure: Measure, subject: Subject, timestamp: float, row_id: int,
        execution_id: str | None, job: str | None, job_number: int | None,
    ) -> Self:  # fmt: skip
        """Make the one that was logged just now."""
        name, value, step = measure
        return cls(float(value), step, timestamp, name, *subject, execution_id, job, job_number, row_id)

    @property
    def time(self) -> datetime:
        """When it was logged, as an aware `datetime` in UTC."""
        return datetime.fromtimestamp(self.timestamp, UTC)

    def _row(self) -> dict[str, Any]:
        said = ((self.model, self.number), (self.dataset, self.dataset_number))
        of = ", ".join(name if number is None else f"{name}:{number}" for name, number in said if name is not None)
        told = {
            "name": self.name,
            "value": self.value,
            "step": self.step,
            "time": self.time,
            "of": of or None,
            "job": self.job,
        }
        return told | {"execution": self.execution_id}

    def _card(self) -> Card:
        facts = self._row()
        return Card(kind="metric", name=facts.pop("name"), facts=facts)


class Subject(NamedTuple):
    """What a metric says something of: a version of a model, one of a dataset, both, or nothing.

    A number that is None means the model, or the dataset, as such.
    """

    model: str | None = None
    number: int | None = None
    dataset: str | None = None
    dataset_number: int | None = None


def subject_of(model: Any = None, dataset: Any = None, versions: Iterable[Version] = ()) -> Subject:
    """Say what a metric is of.

    Parameters
    ----------
    model, dataset
        A name, ``"knn:2"``, what was declared or registered, or a version of it. Without a number it is the one that is
        among `versions`, and else no version in particular.
    versions
        What the running job works on.

    Examples
    --------
    >>> subject_of("knn:2")
    Subject(model='knn', number=2, dataset=None, dataset_number=None)
    """
    if model is None and dataset is None:
        return _NOTHING
    known = {(v.kind, v.name): v.number for v in versions}
    return Subject(
        *_part("model", model, ModelVersion, Model, known), *_part("dataset", dataset, DatasetVersion, Dataset, known)
    )


_NOTHING = Subject()


def _part(
    kind: str, given: Any, version: type[Version], declared: type, known: Mapping[tuple[str, str], int]
) -> tuple[str | None, int | None]:
    if given is None:
        return None, None
    if isinstance(given, version):
        return given.name, given.number
    if isinstance(given, str):
        name, number = parted(given)
    elif isinstance(given, declared) or getattr(given, "kind", None) == kind:
        name, number = given.name, None
    else:
        raise ParameterError(f"{kind}= takes a name, an af.{declared.__name__} or a version of one, not {given!r}")
    return name, known.get((kind, name)) if number is None else number


def measures(metrics: Any, step: Any = None) -> list[Measure]:
    """Give what is to be logged, checked: of a dict of numbers by name, or of (name, value) and (name, value, step).

    Raises
    ------
    ParameterError
        If something does not fit; it names the metric.
    """
    if isinstance(metrics, str | bytes) or not isinstance(metrics, Iterable):
        raise ParameterError(f"metrics are a dict of numbers, or (name, value) or (name, value, step), not {metrics!r}")
    found = []
    for given in metrics.items() if isinstance(metrics, Mapping) else metrics:
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise ParameterError(
                f"metrics are a dict of numbers, or (name, value) or (name, value, step), not {given!r}"
            )
        found.append(measure(given[0], given[1], given[2] if len(given) == 3 else step))
    return found


def measure(name: Any, value: Any, step: Any = None) -> Measure:
    """Give one of them, checked."""
    if type(name) is not str:
        check_name("metric", name)
    checked = _checked(name)
    if type(value) is not float:
        value = number_of(checked, value)
    return checked, spelled(value), None if step is None else _step(checked, step)


@lru_cache(maxsize=512)
def _checked(name: str) -> str:
    return check_name("metric", name)


def number_of(name: str, value: Any) -> float:
    """Give the value of a metric as a float: of any number, of a scalar of NumPy and the like, and of True and False.

    Raises
    ------
    ParameterError
        If it is none, or too large for a float.
    """
    if isinstance(value, str | bytes | bytearray) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise ParameterError(f"metric {name!r} takes a number, not {_short(value)}")
    if getattr(value, "ndim", 0):
        shape = tuple(getattr(value, "shape", ()))
        raise ParameterError(f"metric {name!r} takes one number, not a {type(value).__name__} of the shape {shape}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(
            f"metric {name!r} takes a number that a float can be, not {_short(value)}: {error}"
        ) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _step(name: str, step: Any) -> int:
    try:
        if isinstance(step, bool):
            raise TypeError
        number = operator.index(step)
    except TypeError:
        raise ParameterError(f"the step of metric {name!r} must be a whole number, not {_short(step)}") from None
    if not _LEAST <= number <= _MOST:
        raise ParameterError(f"the step of metric {name!r} must fit into 64 bits, and {number} does not")
    return number


def spelled(value: float) -> float | str:
    """Give a number as JSON has it: itself, or ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.

    Examples
    --------
    >>> [spelled(float(x)) for x in ("0.5", "nan", "-inf")]
    [0.5, 'NaN', '-Infinity']
    """
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
