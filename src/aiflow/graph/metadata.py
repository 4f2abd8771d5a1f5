"""What conditions on the metadata are: a change of a model, dataset or artifact, and the value of a metric.

Knows nothing of models, datasets and artifacts but their names, nor of where metrics are kept.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from aiflow.errors import GraphError, ParameterError
from aiflow.graph.condition import Condition, Heard, matches_glob
from aiflow.graph.event import CHANGES, NOW, Event, EventType, is_finding
from aiflow.graph.naming import check_name

__all__ = ["ChangeCondition", "MetadataCondition", "MetricCondition", "Uncompared", "asking_now", "metric", "number_in"]

_METRIC = str(EventType.METRIC_LOGGED)
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
)
_SPECIAL = ("NaN", "Infinity", "-Infinity")


def number_in(value: Any) -> float | None:
    """Give the number that JSON data stand for, ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` among them; else None."""
    if isinstance(value, str):
        return float(value) if value in _SPECIAL else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a user's event may hold any number
        return math.inf if value > 0 else -math.inf


class MetadataCondition(Heard):
    """A leaf that changes of the metadata meet, whoever makes them; with ``.now()`` also what is so at the start.

    What is so at the start is told to an execution by events of its own: findings. Each is for the conditions that print
    as its sender does, so that a metric that was found for one meets no other.
    """

    __slots__ = ()
    name: str
    type: str
    from_now: bool

    @property
    def keys_heard(self) -> tuple[str, ...]:
        """The name: of the model, dataset or artifact, or of the metric."""
        return (self.name,)

    @property
    def asks_now(self) -> bool:
        """Whether it counts what is so at the start; that is nothing that the execution caused."""
        return self.from_now and not self.own_only

    def fits(self, event: Event, namespace: str, execution_id: str) -> bool:
        """Tell whether `event` is the change, seen from an execution in `namespace`."""
        if event.key != self.name or event.type != self.type:
            return False
        if is_finding(event):
            return self.asks_now and event.context == execution_id and event.sender == str(self)
        if self.own_only and event.execution_id != execution_id:
            return False
        return self._is_met(event, namespace)

    def _is_met(self, event: Event, namespace: str) -> bool:
        raise NotImplementedError

    @property
    def _refined(self) -> str:
        return ".own()" * self.own_only + NOW * self.from_now


@dataclass(frozen=True, slots=True)
class ChangeCondition(MetadataCondition):
    """A change of a model, dataset or artifact; made by ``model.deployed``, ``dataset.changed`` and their like."""

    name: str
    type: str
    own_only: bool = False
    from_now: bool = False

    def __post_init__(self) -> None:
        if self.type not in CHANGES:
            raise ValueError(f"no change of the metadata has the type {self.type!r}")
        object.__setattr__(self, "type", str(self.type))

    def __str__(self) -> str:
        return f"{self.name}.{self.type.partition('_')[2].lower()}{self._refined}"

    def _is_met(self, event: Event, namespace: str) -> bool:
        return True  # names are unique in a home, so it is the same thing in all namespaces


@dataclass(frozen=True, slots=True)
class MetricCondition(MetadataCondition):
    """A value of a metric that compares so; made by ``model.metric("accuracy") < 0.9`` and its like."""

    name: str
    operator: str
    value: float
    model: str | None = None
    dataset: str | None = None
    namespace: str | None = None
    own_only: bool = False
    from_now: bool = False

    def __post_init__(self) -> None:
        value = number_in(self.value)
        if self.operator not in _OPERATORS or value is None or math.isnan(value):
            raise ValueError(f"{self.value!r} is nothing that a metric can be compared with by {self.operator!r}")
        object.__setattr__(self, "value", value)

    def __str__(self) -> str:
        return f"({self._comparison}){self._refined}" if self._refined else self._comparison

    @property
    def enclosed(self) -> str:
        """In brackets, for what follows would belong to the number."""
        return str(self) if self._refined else f"({self._comparison})"

    @property
    def _comparison(self) -> str:
        value = int(self.value) if self.value.is_integer() and abs(self.value) < 1e15 else self.value
        return f"{Uncompared(self.name, self.model, self.dataset, self.namespace)!r} {self.operator} {value!r}"

    @property
    def type(self) -> str:  # type: ignore[override]  # of this kind there is one
        """The type of the events that meet it."""
        return _METRIC

    @property
    def merges(self) -> bool:
        """Metrics do: what starts a job late may look at the newest value."""
        return True

    def is_true_of(self, value: float) -> bool:
        """Compare a value; NaN is neither less nor more than anything nor equal to it, so only ``!=`` is true of it."""
        return _OPERATORS[self.operator](value, self.value)

    def is_in(self, namespace: str, ours: str) -> bool:
        """Tell whether a value that was logged in `namespace` counts, seen from `ours`."""
        if self.namespace is not None:
            return matches_glob(self.namespace, namespace)
        return self.model is not None or self.dataset is not None or namespace == ours

    def _is_met(self, event: Event, namespace: str) -> bool:
        said = event.value
        if not isinstance(said, dict) or not self.is_in(event.namespace, namespace):
            return False
        if self.model is not None and said.get("model") != self.model:
            return False
        if self.dataset is not None and said.get("dataset") != self.dataset:
            return False
        value = number_in(said.get("value"))
        return value is not None and self.is_true_of(value)


class Uncompared:
    """A metric that is not compared with anything yet, and so is no condition; ``<``, ``<=``, ``>``, ``>=``, ``==`` and ``!=`` make one.

    Got by `af.metric`, ``model.metric(name)`` and ``dataset.metric(name)``.
    """

    __slots__ = ("_dataset", "_model", "_name", "_namespace")
    __hash__ = None  # type: ignore[assignment]  # `==` makes a condition, so it is no key of a dict

    def __init__(
        self, name: str, model: str | None = None, dataset: str | None = None, namespace: str | None = None
    ) -> None:
        self._name, self._model, self._dataset, self._namespace = check_name("metric", name), model, dataset, namespace

    def __repr__(self) -> str:
        subject = self._model or self._dataset
        where = "" if self._namespace is None else f", namespace={self._namespace!r}"
        return f"{'' if subject is None else subject + '.'}metric({self._name!r}{where})"

    @property
    def _advice(self) -> str:
        return f"a metric must be compared with something, in brackets beside & and |: ({self!r} < 0.9)"

    def _compared(self, sign: str, other: Any) -> Condition:
        if isinstance(other, bool) or not isinstance(other, Real):
            raise ParameterError(f"{self!r} {sign} … compares with a number, not with {other!r}")
        try:
            value = float(other)
        except OverflowError:
            raise ParameterError(
                f"{self!r} {sign} …: the number has {len(str(other))} digits, which no float holds"
            ) from None
        if math.isnan(value):
            raise ParameterError(
                f"{self!r} {sign} NaN: nothing is less or more than NaN or equal to it. To hear of values that are NaN, say "
                f"af.event({self._name!r}, type='METRIC_LOGGED', where=lambda event: event.value['value'] == 'NaN')"
            )
        return MetricCondition(self._name, sign, value, self._model, self._dataset, self._namespace)

    def __lt__(self, other: float) -> Condition:
        return self._compared("<", other)

    def __le__(self, other: float) -> Condition:
        return self._compared("<=", other)

    def __gt__(self, other: float) -> Condition:
        return self._compared(">", other)

    def __ge__(self, other: float) -> Condition:
        return self._compared(">=", other)

    def __eq__(self, other: float) -> Condition:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: float) -> Condition:  # type: ignore[override]
        return self._compared("!=", other)

    def __bool__(self) -> NoReturn:
        raise GraphError(f"{self!r} is neither true nor false: {self._advice}")

    def __and__(self, other: object) -> NoReturn:
        raise GraphError(f"& and | combine conditions: {self._advice}")

    __or__ = __rand__ = __ror__ = __and__

    if not TYPE_CHECKING:  # else nothing would be a mistake

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            then = f".{name}(…)" if hasattr(Condition, name) else ""
            raise AttributeError(f"{self!r} has no {name!r}: {self._advice}{then}")


def metric(name: str, *, namespace: str | None = None) -> Uncompared:
    """Give a metric, to compare it with a number: that makes a condition, met by each value that is logged and compares so.

    Values of whatever subject count: of models, datasets, jobs or nothing. ``model.metric(name)`` and
    ``dataset.metric(name)`` count those of one.

    Parameters
    ----------
    name
        The name of the metric.
    namespace
        Of which project the values count, as a text or glob; by default those of the own one.

    Raises
    ------
    ParameterError
        If no metric can have that name; or, when it is compared, if the other is no number, or is NaN.

    Notes
    -----
    A value that is NaN meets ``!=`` and no other comparison. ``.now()`` counts the newest value at the start, too.

    Examples
    --------
    >>> import aiflow as af
    >>> print((af.metric("loss") >= 0.5) & af.event("go"))
    all(metric('loss') >= 0.5, event('go'))
    >>> print((af.Model("knn").metric("accuracy") < 0.9).now())
    (knn.metric('accuracy') < 0.9).now()
    """
    if namespace is not None and (not isinstance(namespace, str) or not namespace):
        raise ParameterError(f"af.metric(namespace=…) takes a text that is not empty, not {namespace!r}")
    return Uncompared(name, namespace=namespace)


def asking_now(leaves: Iterable[object]) -> list[MetadataCondition]:
    """Give those that count what is so at the start, each once."""
    found = (leaf for leaf in leaves if isinstance(leaf, MetadataCondition) and leaf.asks_now)
    return list({str(leaf): leaf for leaf in found}.values())
