"""How the local Flink cluster of a home is configured: how large it is, and what it runs on.

Knows nothing of Flink itself. Written in `[tool.aiflow.flink]`, and in the environment as `AIFLOW_FLINK_…`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from aiflow.errors import ParameterError, suggest
from aiflow.keep import read_size

__all__ = ["FlinkSettings", "read_flink_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkSettings:
    """What the local cluster is started with.

    Attributes
    ----------
    slots
        How many parallel parts of jobs run at a time.
    memory
        Bytes for the process that runs them, all of it; the JobManager takes another GB.
    java
        A directory as for `JAVA_HOME`; None: one is looked for.
    python
        The interpreter that has Flink, and that runs Python functions on it; None: that of aiflow.
    start_timeout
        Seconds in which it has to be up.
    linger
        Seconds that it goes on after the last project that used it has gone without closing.
    config
        Keys of Flink's own configuration, which beat all that aiflow sets.
    fetch
        Bytes that the rows may take which a job returns: more are not fetched.
    endpoint
        Where the project listens for what jobs on other clusters publish: a host, or ``host:port``.
    """

    slots: int = 8
    memory: int = 1536 << 20
    java: str | None = None
    python: str | None = None
    start_timeout: float = 300.0
    linger: float = 60.0
    config: Mapping[str, Any] = field(default_factory=dict)
    fetch: int = 1 << 30
    endpoint: str = "127.0.0.1"


def read_flink_settings(table: Any, environ: Mapping[str, str], where: str = "[tool.aiflow.flink]") -> FlinkSettings:
    """Read the settings: those of the environment beat those of a table.

    Raises
    ------
    ParameterError
        If one does not fit; the message names it, and where it stands.

    Examples
    --------
    >>> read_flink_settings({"slots": 2, "memory": "2 GiB"}, {"AIFLOW_FLINK_SLOTS": "4"}).slots
    4
    """
    if not isinstance(table, Mapping):
        raise ParameterError(f"{where} must be a table, not {table!r}")
    known = [one.name for one in fields(FlinkSettings)]
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ParameterError(f"unknown setting {name!r} in {where}{suggest(str(name), known)}")
        found[name] = _READERS[name](value, f"{name} in {where}")
    for name in known:
        variable = f"AIFLOW_FLINK_{name.upper()}"
        if said := environ.get(variable):
            found[name] = _READERS[name](said, variable)
    return FlinkSettings(**found)


def _count(value: Any, what: str) -> int:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParameterError(f"{what} must be a whole number ≥ 1, not {value!r}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ParameterError(f"{what} must be a path, not {value!r}")
    return value


def _address(value: Any, what: str) -> str:
    try:
        split = urlsplit(f"//{value}")
        is_one = (
            isinstance(value, str)
            and bool(split.hostname)
            and split.port != 0
            and split.netloc == value
            and "@" not in value
        )
    except ValueError:  # the port is none
        is_one = False
    if not is_one:
        raise ParameterError(
            f"{what} must be a host such as '0.0.0.0', or one with a port such as '10.0.0.5:7000', not {value!r}"
        )
    return str(value)


def _seconds(value: Any, what: str) -> float:
    try:
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ParameterError(f"{what} must be a number of seconds ≥ 0, not {value!r}")
    return seconds


def _config(value: Any, what: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ParameterError(f'{what} must be JSON such as {{"rest.port": 8081}}: {error}') from None
    if not isinstance(value, Mapping):
        raise ParameterError(f"{what} must be a table of Flink's keys, not {value!r}")
    return dict(_flat(value, what))


def _flat(table: Mapping[str, Any], what: str, prefix: str = "") -> list[tuple[str, Any]]:
    """Write nested tables with dots, for TOML makes tables of unquoted keys such as rest.port."""
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, what, f"{prefix}{name}.")
        elif isinstance(value, bool):
            found.append((prefix + name, str(value).lower()))
        elif isinstance(value, str | int | float):
            found.append((prefix + name, value))
        else:
            raise ParameterError(f"{prefix}{name} of {what} must be a text or a number, not {value!r}")
    return found


_READERS = {
    "slots": _count, "memory": read_size, "java": _text, "python": _text,
    "start_timeout": _seconds, "linger": _seconds, "config": _config,
    "fetch": read_size, "endpoint": _address,
}  # fmt: skip
