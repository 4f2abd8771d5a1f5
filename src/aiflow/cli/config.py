"""The command `config show`: what holds, and where it was said.

Knows nothing of what the settings do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import rich_click as click

from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Table, write
from aiflow.settings import ARGUMENT, Settings, load_settings
from aiflow.store.connection import find_store

__all__ = ["config"]

_OPTIONS = {"home": "--home", "name": "--namespace", "log_format": "--log-format"}


@click.group(cls=Group, examples="config show\nconfig show -o json")
def config() -> None:
    """See what is set, and where."""


@config.command(examples="config show\n$ AIFLOW_WORKERS=2 aiflow config show -o plain")
@click.pass_obj
def show(asked: Asked) -> None:
    """Show each setting, and where it was said: an option, a variable, a line of pyproject.toml, or nowhere."""
    settings = load_settings(name=asked.namespace, home=asked.home, log_format=asked.log_format)
    rows = [{"name": name, "value": value, "source": source} for name, value, source in _settings(settings, asked)]
    write(asked.output, rows, Table(rows, {"SETTING": "name", "VALUE": _text, "SAID BY": "source"}, wide=("SAID BY",)))


def _settings(settings: Settings, asked: Asked) -> Iterator[tuple[str, Any, str]]:
    def source(name: str) -> str:
        said = settings.said.get(name, "default")
        return _OPTIONS[name] if said == ARGUMENT else said

    yield "home", settings.home, source("home")
    if settings.insisted_name is None and find_store(settings.home).exists():
        with needs_home(asked) as project:
            yield "name", project.name, "the home, since it was made"
    else:
        yield "name", settings.name or "default", source("name")
    yield "durability", settings.durability, source("durability")
    yield "workers", settings.places, source("workers")
    for limit in fields(settings.keep):
        yield f"keep.{limit.name}", getattr(settings.keep, limit.name), source(f"keep.{limit.name}")
    if not settings.limits:
        yield "limits", {}, source("limits")
    for name, size in settings.limits.items():
        yield f"limits.{name}", size, source(f"limits.{name}")
    for one in fields(settings.flink):
        yield f"flink.{one.name}", getattr(settings.flink, one.name), source(f"flink.{one.name}")
    yield "plugins", list(settings.plugins), source("plugins")
    yield "log_format", settings.log_format, source("log_format")


def _text(row: Mapping[str, Any]) -> Any:
    if row["value"] is None:
        return "no limit" if row["name"].startswith("keep.") else "none"
    return ", ".join(row["value"]) or "none" if isinstance(row["value"], list) else row["value"] or "none"
