"""How a condition is written as JSON data, and made again of it.

Knows nothing of what conditions mean. What has its default is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.condition import All, Any_, Condition, EventCondition, StatusCondition, Sticky, Times, Within
from aiflow.graph.file import FileCondition
from aiflow.graph.gauge import GaugeCondition
from aiflow.graph.metadata import ChangeCondition, MetricCondition
from aiflow.graph.timing import At, Cron, Every, Misfire

__all__ = ["KINDS", "from_json", "to_json"]

KINDS: dict[str, type[Any]] = {
    "all": All, "any": Any_, "at": At, "change": ChangeCondition, "cron": Cron, "event": EventCondition, "every": Every,
    "file": FileCondition, "gauge": GaugeCondition, "metric": MetricCondition, "status": StatusCondition, "sticky": Sticky, "times": Times, "within": Within,
}  # fmt: skip
"""The name of each kind of conditions that can be written."""


def to_json(condition: Condition) -> dict[str, Any]:
    """Give a condition as JSON data; raises `ParameterError` if it holds a function."""
    names = {kind: name for name, kind in KINDS.items()}
    if type(condition) not in names:
        raise ParameterError(f"the condition {condition} cannot be written as JSON: it is made of a function")
    data: dict[str, Any] = {"kind": names[type(condition)]}
    for field in fields(condition):  # type: ignore[arg-type]  # all kinds are dataclasses
        value = getattr(condition, field.name)
        if value is field.default or (type(value) is bool and value == field.default):
            continue
        if callable(value):
            raise ParameterError(f"the condition {condition} cannot be written as JSON: {field.name} is a function")
        data[field.name] = _written(value)
    return data


def _written(value: Any) -> Any:
    if isinstance(value, Condition):
        return to_json(value)
    if isinstance(value, tuple):
        return [_written(part) for part in value]
    if isinstance(value, float) and math.isinf(value):  # no JSON data; a metric may be compared with it
        return "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, Misfire) else value


def from_json(data: Mapping[str, Any]) -> Condition:
    """Make the condition that `to_json` wrote; raises `ParameterError` if it did not."""
    try:
        given = dict(data)
        kind = KINDS[given.pop("kind")]
        made: Condition = kind(**{name: _read(name, value) for name, value in given.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise ParameterError(f"this is not a condition that to_json() gave: {data!r}") from error
    return made


def _read(name: str, value: Any) -> Any:
    if name == "inner":
        return from_json(value)
    if name == "parts":
        return tuple(from_json(part) for part in value)
    if name == "misfire":
        return Misfire(value)
    return tuple(value) if name in ("statuses", "on") else value
