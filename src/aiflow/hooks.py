"""The door to pluggy: what plugins may add and what they are told.

Knows nothing of who asks. Entry points of the group ``aiflow`` are loaded when they are first needed.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from aiflow.errors import ParameterError, suggest

__all__ = [
    "has_observers",
    "hookimpl",
    "hookspec",
    "manager",
    "named",
    "plugin_runners",
    "plugin_serializers",
    "register",
    "registered",
    "tell",
    "unregister",
]

logger = logging.getLogger(__name__)
T = TypeVar("T")
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
    found = _Plugins("aiflow")
    found.add_hookspecs(Hooks)
    for entry in {(one.name, one.value): one for one in entry_points(group="aiflow")}.values():
        try:
            plugin = entry.load()
            _check(found, plugin)
            found.register(plugin, entry.name)
        except Exception as error:  # foreign code, and what is installed beside aiflow is not the user's doing
            told = {"plugin": entry.name}
            logger.warning(
                "The installed plugin %s (%s) is left out: %s: %s",
                entry.name, entry.value, type(error).__name__, error, extra=told,
            )  # fmt: skip
    return found


class _Plugins(pluggy.PluginManager):
    """Takes every function whose name begins with ``aiflow_`` for a hook, marked with `hookimpl` or not, as pytest does."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        marked = super().parse_hookimpl_opts(plugin, name)
        if marked is not None or not name.startswith("aiflow_") or not inspect.isroutine(getattr(plugin, name, None)):
            return marked
        return {
            "wrapper": False, "hookwrapper": False, "optionalhook": False, "tryfirst": False, "trylast": False, "specname": None,
        }  # fmt: skip


def register(plugin: Any) -> bool:
    """Add a plugin by hand; twice is fine. Tell whether it is new.

    Raises
    ------
    ParameterError
        If it has a function for a hook that there is not, or one that asks for what its hook does not give.
    """
    if manager().is_registered(plugin):
        return False
    _check(manager(), plugin)
    manager().register(plugin)
    return True


def registered(kind: type[T]) -> T | None:
    """Give the plugin of a class, if there is one."""
    return next((plugin for plugin in manager().get_plugins() if isinstance(plugin, kind)), None)


def _check(plugins: pluggy.PluginManager, plugin: Any) -> None:
    """Raise `ParameterError` for a name that no hook has, or an argument that a hook does not give."""
    known = {name: inspect.getfullargspec(hook).args[1:] for name, hook in vars(Hooks).items() if name[0] != "_"}
    for name in dir(plugin):
        options = plugins.parse_hookimpl_opts(plugin, name)
        if options is None or options["optionalhook"]:
            continue
        hook, who = options["specname"] or name, f"the plugin {_plugin_name(plugin)} does not fit"
        if hook not in known:
            raise ParameterError(f"{who}: there is no hook {hook}{suggest(hook, known)}")
        needed = [
            one for one in inspect.signature(getattr(plugin, name)).parameters.values() if one.default is one.empty
        ]
        asked = [one.name for one in needed if one.name not in known[hook]]
        if asked:
            gives = ", ".join(known[hook]) or "nothing"
            raise ParameterError(f"{who}: {name} asks for {', '.join(asked)}, but that hook gives {gives}")


def _plugin_name(plugin: Any) -> str:
    return str(getattr(plugin, "__name__", type(plugin).__qualname__))


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
