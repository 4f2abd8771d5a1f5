"""What can be said of a job that runs on Flink, besides what can be said of every job.

Knows nothing of clusters; that a job is on Flink at all is its runner's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.flink_address import read_address
from aiflow.graph.params import is_secret_name

__all__ = ["FLINK", "FLINK_NAMES", "LOCAL", "FlinkOptions", "check_flink_option"]

FLINK = "flink"
"""The name of the runner."""

LOCAL = "local"
"""The target that is the cluster of the project's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkOptions:
    """The options of a job on Flink.

    Attributes
    ----------
    target
        ``"local"``, the cluster of the project's home, or the address of a session cluster: ``"http://host:8081"``.
    python
        The interpreter that has PyFlink, of the driver and of the workers; None for the one that runs aiflow.
    config
        Keys of Flink's configuration for this job, and their values as texts.
    parallelism
        How many parallel subtasks each operator has; None: 1.
    savepoint_on_stop
        Whether a stream that is stopped keeps its state in a savepoint first, to go on from there.
    fresh
        Whether a stream begins with empty state even if there is a savepoint.
    lost_after
        Seconds that its cluster may not answer before the job has FAILED.
    """

    target: str = LOCAL
    python: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    parallelism: int | None = None
    savepoint_on_stop: bool = True
    fresh: bool = False
    lost_after: float = 60.0

    @property
    def said(self) -> dict[str, Any]:
        """What is not as it is by default, as JSON data; what nobody may see is hidden."""
        found = {n: getattr(self, n) for n in FLINK_NAMES if getattr(self, n) != getattr(_DEFAULTS, n)}
        if "config" in found:
            hidden = {key for key in self.config if is_secret_name(key.replace("-", "_"))}
            found["config"] = {key: "***" if key in hidden else text for key, text in self.config.items()}
        return found


FLINK_NAMES = tuple(f.name for f in fields(FlinkOptions))
"""The options of a job that only a job on Flink has."""
_DEFAULTS = FlinkOptions()


def check_flink_option(key: str, value: Any, what: str) -> Any:
    """Check and normalise one of these options, but for durations.

    Raises
    ------
    ParameterError
        If it does not fit.
    """
    if key == "target":
        return _target(value, what)
    if key == "config":
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            raise ParameterError(f"{what} must be a dict of Flink's keys and their values, not {value!r}")
        return {k: _text(v, f"{what}[{k!r}]") for k, v in value.items()}
    if key == "python" and value is not None:
        if not isinstance(value, str | PurePath) or not str(value).strip():
            raise ParameterError(f"{what} must be the path of a Python interpreter, not {value!r}")
        return str(value)
    if key == "parallelism" and value is not None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ParameterError(f"{what} must be a whole number ≥ 1, not {value!r}")
    elif key in ("savepoint_on_stop", "fresh") and not isinstance(value, bool):
        raise ParameterError(f"{what} must be True or False, not {value!r}")
    return value


def _target(value: Any, what: str) -> str:
    if value == LOCAL:
        return LOCAL
    try:
        return read_address(value if isinstance(value, str) else "").url
    except ValueError as error:
        raise ParameterError(
            f"{what} must be 'local', the cluster of the project's home, or the address of a session cluster, not {value!r}: {error}"
        ) from None


def _text(value: Any, what: str) -> str:
    """Give a value of Flink's configuration as Flink writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float | PurePath):
        raise ParameterError(f"{what} must be a text, a number or a bool, not {value!r}")
    return str(value)
