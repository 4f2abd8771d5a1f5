"""What a workflow is: a function whose body builds a graph, with options of its own.

Knows nothing of projects, except that somebody can open the current one (`open_project`, set by the composition root).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, overload

from aiflow.errors import AIFlowError, GraphError, ParameterError, suggest
from aiflow.graph.building import Body, Graph, Unknown, activate, current_body, deactivate
from aiflow.graph.card import Card, Note, Part, listed
from aiflow.graph.condition import Condition, JobCondition, shown
from aiflow.graph.job import seconds
from aiflow.graph.params import bind, bind_call, is_secret_name, required

__all__ = ["Workflow", "defined", "defined_in", "find_defined", "is_defined_here", "workflow"]

defined: dict[str, Workflow] = {}
"""The workflows of this process by name; the latest definition of a name replaces the one before."""

_by_file: dict[tuple[str, str], Workflow] = {}


def find_defined(name: str, source: str = "") -> Workflow | None:
    """Find a workflow of this process: the one that `source` defines, if two files have one of the same name."""
    return _by_file.get((source, name), defined[name]) if name in defined else None


def defined_in(module: ModuleType) -> list[Workflow]:
    """Give the workflows that a module's own code defines, in their order; not those that it imports."""
    return [w for w in _by_file.values() if getattr(inspect.unwrap(w.function), "__globals__", None) is vars(module)]


def is_defined_here(name: str, source: str) -> bool:
    """Tell whether this process has a workflow as `source` defines it, or that file is gone and another one has it now."""
    found = find_defined(name, source)
    return found is not None and (found.source == source or not source or not Path(source).exists())


open_project: Callable[[], Any] | None = None
"""Gives the current project; set by the composition root."""

_OPTIONS = (
    "name", "namespace", "start_on", "stop_on", "if_running", "max_parallel", "context", "params", "ends", "on_failure",
    "retries", "timeout", "runner", "description", "wait_for_models",
)  # fmt: skip


class Workflow:
    """A workflow: its body builds a graph, once per execution, with that execution's parameters.

    Made by `af.workflow`.

    Attributes
    ----------
    name, description
        Its name, and what it is for (the docstring).
    options
        The options as given.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = options.get("name") or function.__name__
        for key in options:
            if key not in _OPTIONS:
                raise ParameterError(f"unknown option {key!r} of workflow {self.name!r}{suggest(key, _OPTIONS)}")
        self.options = dict(options)
        self.description: str = options.get("description") or inspect.getdoc(function) or ""
        self.namespace: str | None = options.get("namespace")
        self.ends: str | None = options.get("ends")
        self.max_parallel: int | None = options.get("max_parallel")
        self.if_running: str = options.get("if_running", "queue")
        self.stop_condition: Condition | None = options.get("stop_on")
        self.start_condition: Condition | None = options.get("start_on")
        self.context_function: Callable[[Any], Any] | None = options.get("context")
        self._check()
        self._defaults = {k: options[k] for k in ("retries", "timeout", "runner") if options.get(k) is not None}
        defined[self.name] = _by_file[self.source, self.name] = self

    def _check(self) -> None:
        what = f"of workflow {self.name!r}"
        if self.ends not in (None, "quiet", "never"):
            raise ParameterError(f"option 'ends' {what} must be None, 'quiet' or 'never', not {self.ends!r}")
        if self.if_running not in ("queue", "ignore", "parallel", "merge"):
            raise ParameterError(
                f"option 'if_running' {what} must be queue, ignore, parallel or merge, not {self.if_running!r}"
            )
        if self.options.get("wait_for_models") not in (None, True, False):
            raise ParameterError(
                f"option 'wait_for_models' {what} must be True or False, not {self.options['wait_for_models']!r}"
            )
        for key in ("context", "params"):
            function = self.options.get(key)
            if function is not None and not callable(function):
                raise ParameterError(f"option {key!r} {what} must be a function of an event, not {function!r}")
        width = self.max_parallel
        if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < 1):
            raise ParameterError(f"option 'max_parallel' {what} must be a whole number ≥ 1, not {width!r}")
        for key in ("start_on", "stop_on"):
            condition = self.options.get(key)
            if condition is not None and not isinstance(condition, Condition):
                raise ParameterError(
                    f"option {key!r} {what} must be a condition such as af.event('go'), not {shown(condition)}"
                )
            if key == "start_on" and condition is not None:
                for leaf in condition.leaves():
                    if isinstance(leaf, JobCondition):
                        raise ParameterError(
                            f"option 'start_on' {what} cannot wait for a job ({leaf}): it starts executions from outside; "
                            "wait for an event that the job publishes"
                        )
        if self.options.get("timeout") is not None:
            self.options["timeout"] = seconds(self.options["timeout"], f"option 'timeout' {what}")

    @property
    def signature(self) -> inspect.Signature:
        """The parameters."""
        return inspect.signature(self.function)

    @functools.cached_property
    def source(self) -> str:
        """The file that defines it, or ''."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        path = code.co_filename if code is not None else ""
        return str(Path(path).resolve()) if path and not path.startswith("<") and Path(path).exists() else ""

    @property
    def graph(self) -> Graph:
        """The graph that the body builds with the defaults of all parameters; those without one stay open, see `sketch`."""
        return self.sketch()

    def bind(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Convert and check parameters; raises `ParameterError`."""
        return bind(self.function, params, self.name)

    def build(self, **params: Any) -> Graph:
        """Run the body with these parameters and give its graph.

        Raises
        ------
        ParameterError
            If a parameter is unknown, missing or of the wrong type.
        GraphError
            If the body cannot be built: a cycle, a duplicate name, a value used while there is none.
        """
        return self.build_bound(self.bind(params))

    def sketch(self, **params: Any) -> Graph:
        """Run the body to look at its graph: what has no value is passed on to jobs as an unknown one.

        Raises
        ------
        ParameterError
            If a parameter is unknown or of the wrong type, or the body does more than to pass on what has no value.
        GraphError
            If the body cannot be built.

        Examples
        --------
        >>> import aiflow as af
        >>> @af.job
        ... def load(n): return list(range(n))
        >>> @af.workflow
        ... def loads(n: int):
        ...     load(n)
        >>> loads.sketch().nodes
        [load]
        """
        unknown = {name: Unknown(name) for name in required(self.function) if name not in params}
        bound = bind(self.function, params, self.name, unknown)
        if not unknown:
            return self.build_bound(bound)
        try:
            return self.build_bound(bound)
        except Exception as error:  # the body is the user's, and may do whatever it likes with what has no value
            told = str(error) if isinstance(error, AIFlowError) else f"{type(error).__name__}: {error}"
            values = [f"{name}=…" for name in unknown]
            raise ParameterError(
                f"the graph of workflow {self.name!r} cannot be seen without its parameters: {told}; look at "
                f"{self.function.__name__}.build({', '.join(values)}), or say {' '.join(f'-p {one}' for one in values)}"
            ) from error

    def build_bound(self, bound: Mapping[str, Any]) -> Graph:
        """Run the body with parameters that `bind` gave."""
        body = Body(self.name, self._defaults)
        token = activate(body)
        try:
            output = self.function(**bound)
        finally:
            deactivate(token)
        if inspect.iscoroutine(output) or inspect.isgenerator(output):
            output.close()
            raise GraphError(
                f"the body of workflow {self.name!r} must be a plain function: it builds the graph, and jobs do the work"
            )
        return Graph(self.name, body, output)

    def definition(self, graph: Graph) -> dict[str, Any]:
        """Give as JSON data what an execution of `graph` keeps: its structure, and what ends or stops it (rule 34)."""
        own = {"ends": self.ends, "stop_on": None if self.stop_condition is None else str(self.stop_condition)}
        return graph.definition() | {key: value for key, value in own.items() if value is not None}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Inside another workflow's body, include this one; outside it is a `GraphError`."""
        outer = current_body()
        if outer is None:
            raise GraphError(
                f"{self.name}() builds nothing outside a workflow body; run it with {self.name}.run(), look at it with {self.name}.graph"
            )
        inner = outer.include(self.name, self._defaults)
        token = activate(inner)
        try:
            given, named = bind_call(self.function, args, kwargs, self.name)
            return self.function(*given, **named)
        finally:
            deactivate(token)

    def run(self, **params: Any) -> Any:
        """Run in the current project and wait; see `Project.run`."""
        return self._project().run(self, **params)

    def start(self, **params: Any) -> Any:
        """Start in the current project without waiting; see `Project.start`."""
        return self._project().start(self, **params)

    def _project(self) -> Any:
        if open_project is None:
            raise GraphError("no project can be opened: import aiflow first")
        return open_project()

    def _repr_html_(self) -> str:
        try:
            return self.graph.to_svg()
        except ParameterError as error:  # the graph depends on a parameter without a default
            from aiflow.graph.html import card_html

            return card_html(self._card(str(error)))

    def _repr_svg_(self) -> str | None:
        try:
            return self.graph.to_svg()
        except ParameterError:
            return None

    def _card(self, why: str) -> Card:
        """Say what is known of it without its graph, and how that is shown."""
        rows = [
            {
                "parameter": p.name,
                "type": None if p.annotation is p.empty else inspect.formatannotation(p.annotation),
                "default": "required" if p.default is p.empty else "***" if is_secret_name(p.name) else repr(p.default),
            }
            for p in self.signature.parameters.values()
        ]
        about = self.description.split("\n\n")[0]
        parts: list[Part] = [*([Note(about)] if about else []), listed(rows, "parameter"), Note(f"no picture: {why}")]
        return Card(kind="workflow", name=self.name, parts=parts)

    def __repr__(self) -> str:
        return f"<workflow {self.name}{self.signature}>"


@overload
def workflow(function: Callable[..., Any], /, **options: Any) -> Workflow: ...
@overload
def workflow(function: None = None, /, **options: Any) -> Callable[[Callable[..., Any]], Workflow]: ...
def workflow(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a workflow: its body builds a graph of jobs.

    Parameters
    ----------
    function
        The body. Its annotated parameters are converted and checked at each execution.
    **options
        `name`, `namespace`, `start_on`, `stop_on`, `if_running`, `max_parallel`, `context`, `params`, `ends`,
        `on_failure`, `retries`, `timeout` (seconds), `runner`, `description`, `wait_for_models`.

    Raises
    ------
    ParameterError
        If an option is unknown or does not fit.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job
    ... def load(n): return list(range(n))
    >>> @af.job
    ... def total(rows): return sum(rows)
    >>> @af.workflow
    ... def sums(n: int = 4):
    ...     total(load(n))
    >>> sums.graph.nodes
    [load, total]
    """

    def decorate(f: Callable[..., Any]) -> Workflow:
        if not callable(f):
            raise ParameterError(f"@af.workflow is for functions, not for {f!r}")
        return Workflow(f, options)

    return decorate if function is None else decorate(function)
