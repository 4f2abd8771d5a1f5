"""The door to pluggy: what plugins may add and what they are told.

Knows nothing of who asks. Entry points of the group ``aiflow`` are loaded when they are first needed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pluggy

from aiflow.errors import ParameterError

__all__ = [
    "has_observers",
    "hookimpl",
    "hookspec",
    "manager",
    "named",
    "plugin_runners",
    "plugin_serializers",
    "register",
    "tell",
    "unregister",
]

logger = logging.getLogger(__name__)
hookspec = pluggy.HookspecMarker("aiflow")
hookimpl = pluggy.HookimplMarker("aiflow")


class Hooks:
    """Everything that a plugin can implement."""

    @hookspec
    def aiflow_runners(self) -> dict[str, Callable[[Any], Any]]:
        """Give runners: a name, and a function that makes one of a `RunnerHost`."""
        return {}

    @hookspec
    def aiflow_serializers(self) -> list[Any]:
        """Give serializers of values, each an `aiflow.values.serializers.Serializer`; asked once."""
        return []

    @hookspec
    def aiflow_event_recorded(self, event: Any) -> None:
        """Be told of an event, after its commit."""

    @hookspec
    def aiflow_job_started(self, execution: Any) -> None:
        """Be told of a job that runs, after the commit."""

    @hookspec
    def aiflow_job_ended(self, execution: Any) -> None:
        """Be told of a job that ended, after the commit."""

    @hookspec
    def aiflow_execution_ended(self, execution: Any) -> None:
        """Be told of an execution that ended, after the commit."""


@lru_cache(maxsize=1)
def manager() -> pluggy.PluginManager:
    """Give the manager, with the installed plugins loaded."""
    found = pluggy.PluginManager("aiflow")
    found.add_hookspecs(Hooks)
    found.load_setuptools_entrypoints("aiflow")
    return found


def register(plugin: Any) -> bool:
    """Add a plugin by hand; twice is fine. Tell whether it is new."""
    if manager().is_registered(plugin):
        return False
    manager().register(plugin)
    return True


@cache
def named(name: str, folder: Path | None = None) -> Any:
    """Import a plugin: a module, or ``MODULE:NAME``, an object in one; of a class an object is made. Once per name.

    Parameters
    ----------
    name
        What to import.
    folder
        Where modules may lie, too, besides where Python looks.

    Raises
    ------
    ParameterError
        If it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        found = import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
        return found() if isinstance(found, type) else found
    except Exception as error:  # foreign code
        raise ParameterError(f"the plugin {name} cannot be imported: {type(error).__name__}: {error}") from error


def unregister(plugin: Any) -> None:
    """Take away a plugin that was added by hand."""
    manager().unregister(plugin)


def plugin_runners() -> dict[str, Callable[[Any], Any]]:
    """Give the runners of all plugins; of two with the same name the one registered last."""
    found: dict[str, Callable[[Any], Any]] = {}
    for runners in reversed(manager().hook.aiflow_runners()):
        found.update(runners)
    return found


_asked: dict[Any, list[Any]] = {}


def plugin_serializers() -> tuple[tuple[str, Any], ...]:
    """Give the serializers of all plugins, each with its plugin's name; those of the plugin registered last come first.

    A plugin is asked when this is called first, and then its answer is kept.

    Raises
    ------
    ParameterError
        If a plugin fails, or gives no list; names it.
    """
    found: list[tuple[str, Any]] = []
    for implementation in reversed(manager().hook.aiflow_serializers.get_hookimpls()):
        if implementation not in _asked:
            name = _name_of(implementation)
            try:
                offered: Any = implementation.function()
                _asked[implementation] = [(name, serializer) for serializer in offered]
            except Exception as error:  # foreign code
                raise ParameterError(
                    f"the plugin {name} failed in aiflow_serializers, which gives a list: {type(error).__name__}: {error}"
                ) from error
        found += _asked[implementation]
    return tuple(found)


def _name_of(implementation: Any) -> str:
    """Give the name of a plugin: that of its module or entry point; of an object its class's, as pluggy has a number."""
    name: str = implementation.plugin_name
    return type(implementation.plugin).__qualname__ if name.isdigit() else name


def has_observers(simulated: bool = False) -> bool:
    """Tell whether any plugin wants to be told of what happens."""
    names = ("aiflow_event_recorded", "aiflow_job_started", "aiflow_job_ended", "aiflow_execution_ended")
    return any(_implementations(name, simulated) for name in names)


def _implementations(name: str, simulated: bool) -> list[Any]:
    """Give who is told: of what is simulated, no plugin that says of itself ``of_simulations = False``."""
    found = getattr(manager().hook, name).get_hookimpls()
    return [one for one in found if not simulated or getattr(one.plugin, "of_simulations", True)]


def tell(name: str, simulated: bool = False, **arguments: Any) -> None:
    """Call one hook of every plugin; an exception is logged with the plugin's name and changes nothing."""
    for implementation in _implementations(name, simulated):
        try:
            wanted = {k: arguments[k] for k in implementation.argnames if k in arguments}
            implementation.function(**wanted)
        except Exception:  # foreign code
            told = {"plugin": _name_of(implementation), "hook": name}
            logger.exception("The plugin %s failed in %s", told["plugin"], name, extra=told)
