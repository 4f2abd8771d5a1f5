"""Owns the configuration: where the home is, and what `pyproject.toml`, the environment and arguments say.

Knows nothing of what the values are used for. Arguments beat the environment, that beats the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiflow.errors import ParameterError, suggest
from aiflow.flinksettings import FlinkSettings, read_flink_settings
from aiflow.keep import Keep, read_keep

__all__ = ["Settings", "find_home", "load_settings"]

_KNOWN = ("name", "home", "durability", "workers", "limits", "keep", "plugins", "flink")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a project is opened with."""

    home: Path
    name: str | None = None
    durability: str = "normal"
    workers: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    keep: Keep = field(default_factory=Keep)
    flink: FlinkSettings = field(default_factory=FlinkSettings)


def find_home(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[Path, dict[str, Any]]:
    """Find the home, as git finds its own: `$AIFLOW_HOME`, else upwards `.aiflow` or a `pyproject.toml` with `[tool.aiflow]`.

    Returns
    -------
    tuple
        The directory (which need not exist), and the `[tool.aiflow]` table that belongs to it.
    """
    here = (start or Path.cwd()).resolve()
    table: dict[str, Any] = {}
    found: Path | None = None
    for folder in (here, *here.parents):
        table = _table(folder / "pyproject.toml")
        if (folder / ".aiflow").is_dir() or table:
            found = folder / ".aiflow"
        if found is not None:
            if "home" in table:
                found = folder / str(table["home"])
            break
    if environ.get("AIFLOW_HOME"):
        return Path(environ["AIFLOW_HOME"]).expanduser().resolve(), table
    return found or here / ".aiflow", table


def _table(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file).get("tool", {}).get("aiflow", {})
    except OSError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"{path} is not valid TOML: {error}") from None
    for key in table:
        if key not in _KNOWN:
            raise ParameterError(f"unknown setting {key!r} in [tool.aiflow] of {path}{suggest(key, _KNOWN)}")
    return dict(table)


def load_settings(
    *,
    name: str | None = None,
    home: str | Path | None = None,
    durability: str | None = None,
    workers: int | None = None,
    keep: Any = None,
) -> Settings:
    """Put arguments, environment and file together.

    Raises
    ------
    ParameterError
        If a value does not fit; the message names it.
    """
    if home is not None:
        path, table = Path(home).expanduser().resolve(), {}
        if path.parent.joinpath("pyproject.toml").is_file():
            table = _table(path.parent / "pyproject.toml")
    else:
        path, table = find_home()
    durability = durability or os.environ.get("AIFLOW_DURABILITY") or table.get("durability") or "normal"
    if durability not in ("normal", "full"):
        raise ParameterError(f"durability must be 'normal' or 'full', not {durability!r}")
    count = workers if workers is not None else os.environ.get("AIFLOW_WORKERS") or table.get("workers")
    if count is not None:
        try:
            count = int(count)
        except (TypeError, ValueError):
            raise ParameterError(f"workers must be a whole number ≥ 1, not {count!r}") from None
        if count < 1:
            raise ParameterError(f"workers must be a whole number ≥ 1, not {count!r}")
    return Settings(
        home=path, name=name or table.get("name"), durability=durability, workers=count,
        limits=table.get("limits", {}), keep=_keep(table, keep),
        flink=read_flink_settings(table.get("flink", {}), os.environ),
    )  # fmt: skip


def _keep(table: Mapping[str, Any], said: Any) -> Keep:
    """Put the limits of what is kept together, one by one."""
    found = read_keep(table.get("keep", {}), "[tool.aiflow]")
    found |= read_keep(os.environ.get("AIFLOW_KEEP", ""), "AIFLOW_KEEP")
    return found if said is None else found | read_keep(said, "the argument")
