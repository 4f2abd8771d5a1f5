"""What a job is: a plain function with options; and what a call of one inside a workflow body is asked for.

Knows nothing of how jobs are run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, overload

from aiflow.errors import GraphError, ParameterError, suggest
from aiflow.graph.environments import environments_of, signature_of, without
from aiflow.graph.flink_options import FLINK, FLINK_NAMES, FlinkOptions, check_flink_option
from aiflow.graph.stream import stream_parameters

if TYPE_CHECKING:
    from aiflow.graph.building import Node
    from aiflow.graph.role import RoleSpec

__all__ = ["Fixed", "IfRunning", "Job", "JobOptions", "fixed", "job", "seconds"]


class IfRunning(StrEnum):
    """What a start does that arrives while the job is busy (rule 14)."""

    QUEUE = "queue"
    MERGE = "merge"
    IGNORE = "ignore"
    RESTART = "restart"
    PARALLEL = "parallel"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """Everything that can be said of a job besides its function; durations are seconds."""

    name: str | None = None
    runner: str | None = None
    retries: int | None = None
    retry_delay: float = 1.0
    retry_backoff: float = 2.0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    timeout: float | None = None
    outputs: int | tuple[str, ...] = 1
    stream: bool | None = None
    if_running: IfRunning | None = None
    max_parallel: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    stop_timeout: float = 10.0
    on_failure: Callable[..., Any] | str | tuple[str, ...] | None = None
    cache: bool | Callable[..., Any] = False
    persist: bool = True
    allow_failure: bool = False
    tags: tuple[str, ...] = ()
    latest: bool = False
    buffer: int = 1000
    checkpoint: float = 1.0
    flink: FlinkOptions | None = None  # of a job on Flink, and only of one; what is in it are options of the job

    @property
    def width(self) -> int:
        """How many outputs the job has."""
        return self.outputs if isinstance(self.outputs, int) else len(self.outputs)


OPTIONS = (*(f.name for f in fields(JobOptions) if f.name != FLINK), *FLINK_NAMES)
"""What can be said of a job."""


def seconds(value: float | timedelta, what: str) -> float:
    """Take a duration in seconds or as a `timedelta` and give seconds.

    Raises
    ------
    ParameterError
        If it is negative, not a number or not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ParameterError(f"{what} must be a number of seconds ≥ 0 or a timedelta, not {value!r}")
    return float(value)


def _whole(value: object, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ParameterError(f"{what} must be a whole number ≥ {least}, not {value!r}")
    return value


def check_options(options: Mapping[str, Any], owner: str, before: JobOptions | None = None) -> dict[str, Any]:
    """Check and normalise options as the user wrote them; give fields of `JobOptions`.

    Parameters
    ----------
    options
        What the user wrote.
    owner
        The job's name, for messages.
    before
        The options that these change.

    Raises
    ------
    ParameterError
        If a name is unknown (close names are suggested) or a value does not fit.
    """
    checked: dict[str, Any] = {}
    for key, value in options.items():
        what = f"option {key!r} of job {owner!r}"
        if key not in OPTIONS:
            raise ParameterError(f"unknown {what}{suggest(key, OPTIONS)}")
        if key in ("retry_delay", "stop_timeout", "checkpoint", "lost_after") or (
            key == "timeout" and value is not None
        ):
            value = seconds(value, what)
        elif key == "retry_backoff":
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ParameterError(f"{what} must be a number > 0, not {value!r}")
        elif key == "retries" and value is not None:
            value = _whole(value, what, 0)
        elif key == "buffer" or (key == "max_parallel" and value is not None):
            value = _whole(value, what, 1)
        elif key == "outputs":
            value = _check_outputs(value, what)
        elif key == "retry_on":
            value = _check_retry_on(value, what)
        elif key == "if_running" and value is not None:
            if value not in tuple(IfRunning):
                raise ParameterError(f"{what} must be one of {', '.join(IfRunning)}, not {value!r}")
            value = IfRunning(value)
        elif key == "limits":
            value = {str(name): _whole(size, f"{what}[{name!r}]", 1) for name, size in dict(value).items()}
        elif key == "tags":
            value = (value,) if isinstance(value, str) else tuple(value)
        elif key == "name" and value is not None and (not isinstance(value, str) or not value.strip()):
            raise ParameterError(f"{what} must be a text that is not empty, not {value!r}")
        elif key == "runner" and value is not None and not isinstance(value, str):
            raise ParameterError(f"{what} must be the name of a runner, not {value!r}")
        elif key in FLINK_NAMES:
            value = check_flink_option(key, value, what)
        checked[key] = value
    return _gather_flink(checked, owner, before)


def _gather_flink(checked: dict[str, Any], owner: str, before: JobOptions | None) -> dict[str, Any]:
    """Put what is said of a job on Flink into one value; nothing of that may be said of another job."""
    said = {key: checked.pop(key) for key in FLINK_NAMES if key in checked}
    runner = checked.get("runner") or (None if before is None or "runner" in checked else before.runner)
    if runner == FLINK:
        checked[FLINK] = replace((before.flink if before is not None else None) or FlinkOptions(), **said)
    elif said:
        raise ParameterError(
            f"option {next(iter(said))!r} of job {owner!r} is for jobs on Flink, and its runner is {runner or 'thread'!r}: "
            "write @af.flink_job, or say runner='flink' beside it"
        )
    elif before is not None and before.flink is not None:
        checked[FLINK] = None
    return checked


def _check_outputs(value: object, what: str) -> int | tuple[str, ...]:
    if isinstance(value, int):
        return _whole(value, what, 1)
    names = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not names or not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        raise ParameterError(f"{what} must be a number ≥ 1 or different names such as ('x', 'y'), not {value!r}")
    return names


def _check_retry_on(value: object, what: str) -> tuple[type[BaseException], ...]:
    kinds = (value,) if isinstance(value, type) else tuple(value) if isinstance(value, Iterable) else ()
    if not kinds or not all(isinstance(k, type) and issubclass(k, BaseException) for k in kinds):
        raise ParameterError(f"{what} must be exception classes, not {value!r}")
    return kinds


@dataclass(frozen=True, slots=True)
class Fixed:
    """An argument of `Job.map` that is the same for every element."""

    value: Any


def fixed(value: Any) -> Any:
    """Mark an argument of `map` as the same for every element: ``train.map(shards, k=af.fixed(5))``."""
    return Fixed(value)


class Job:
    """A function that can be a node of a workflow; made by `af.job`.

    Outside a workflow body it is the plain function. Inside one, a call adds a node to the graph.

    Attributes
    ----------
    role
        What it does in the life of a model or dataset, if it was made by one of the decorators for that.
    """

    def __init__(self, function: Callable[..., Any], options: JobOptions, role: RoleSpec | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.role = role
        self.spec = options
        self.name = options.name or str(getattr(function, "__name__", type(function).__name__))
        self.is_async = inspect.iscoroutinefunction(function)
        generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        self.is_stream = generator if options.stream is None else bool(options.stream)
        self.stream_parameters = stream_parameters(function)
        self.is_renamed = False  # whether its name is one call's own
        self._signature: inspect.Signature | None = None
        self._environments: dict[str, str] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; inside a workflow body, add a node instead."""
        from aiflow.graph.building import current_body

        body = current_body()
        return self.function(*args, **kwargs) if body is None else body.add(self, args, kwargs)

    def options(self, **options: Any) -> Job:
        """Give the same job with some options set otherwise, for one call.

        Examples
        --------
        >>> import aiflow as af
        >>> @af.job
        ... def train(k): return k
        >>> train.options(name="train_big", retries=3)(5)
        5
        """
        changed = Job(self.function, replace(self.spec, **check_options(options, self.name, self.spec)), self.role)
        changed.is_renamed = self.is_renamed or options.get("name") is not None
        return changed

    def on_flink(self) -> Job:
        """Give the same job on Flink: its workflow says so, and it names no runner."""
        changed = Job(self.function, replace(self.spec, runner=FLINK, flink=FlinkOptions()), self.role)
        changed.is_renamed = self.is_renamed
        return changed

    def in_role(self, role: RoleSpec) -> Job:
        """Give the same job with a role."""
        return Job(self.function, self.spec, role)

    def map(self, *args: Any, **kwargs: Any) -> Node:
        """Run once per element of a list that a job gives, and give the list of results in the same order.

        Several lists are walked together and must have the same length; `af.fixed(x)` is the same for every element.
        """
        from aiflow.graph.building import current_body

        body = current_body()
        if body is None:
            raise GraphError(
                f"{self.name}.map(...) makes a node and works inside a workflow body only; "
                f"outside, write [{self.name}(x) for x in …]"
            )
        return body.add(self, args, kwargs, mapped=True)

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the function, as calls in a workflow's body have to fit it: without its environments."""
        if self._signature is None:
            self._signature = without(signature_of(self.function), self.environments)
        return self._signature

    @property
    def environments(self) -> Mapping[str, str]:
        """The parameters that Flink's environments come to, each with ``"table"``, ``"stream_table"`` or ``"stream"``.

        Only a job on Flink has any.
        """
        if self._environments is None:
            is_on_flink = self.spec.runner == FLINK
            self._environments = environments_of(self.function, self.is_stream) if is_on_flink else {}
        return self._environments

    @property
    def _advice(self) -> str:
        return f"call it: {self.name}(…)"

    if not TYPE_CHECKING:  # else a checker would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            from aiflow.graph.building import Node

            if name in dir(Node):
                raise AttributeError(f"{self!r} has no {name!r}, but its call has: {self.name}(…).{name}")
            known = [one for one in dir(Job) if one[0] != "_"]
            raise AttributeError(f"{self!r} has no {name!r}{suggest(name, known)}")

    def __repr__(self) -> str:
        return f"<job {self.name}>" if self.role is None else f"<job {self.name}: {self.role}>"

    def __reduce__(self) -> Any:
        return _rebuild, (self.function, self.spec, self.role)


def _rebuild(function: Callable[..., Any], options: JobOptions, role: RoleSpec | None = None) -> Job:
    return Job(function, options, role)


@overload
def job(function: Callable[..., Any], /, **options: Any) -> Job: ...
@overload
def job(function: None = None, /, **options: Any) -> Callable[[Callable[..., Any]], Job]: ...
def job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a job: outside a workflow body still the function, inside one a call adds a node.

    Parameters
    ----------
    function
        The function; a generator function is a stream job, an `async def` runs on aiflow's own event loop. A parameter
        annotated `af.Stream` gets the items of a stream job as an iterator.
    **options
        See `docs/reference` for all: `name`, `runner`, `retries`, `retry_delay` (seconds), `timeout` (seconds),
        `outputs`, `if_running`, `max_parallel`, `limits`, `stop_timeout`, `persist`, `allow_failure`, `latest`, …

    Raises
    ------
    ParameterError
        If an option is unknown or does not fit; close names are suggested.

    Examples
    --------
    >>> import aiflow as af
    >>> @af.job(retries=2)
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(4)
    8
    """

    def decorate(f: Callable[..., Any]) -> Job:
        if isinstance(f, Job):
            return f.options(**options)
        if not callable(f):
            raise ParameterError(f"@af.job is for functions, not for {f!r}")
        name = getattr(f, "__name__", type(f).__name__)
        return Job(f, JobOptions(**check_options(options, options.get("name") or name)))

    return decorate if function is None else decorate(function)
