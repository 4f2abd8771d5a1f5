"""The errors that aiflow raises on purpose, all of them.

Knows nothing of the rest of aiflow. Each error keeps the data that its message was made from.

    AIFlowError
    ├── GraphError (ValueError)         a workflow that cannot be built
    ├── ParameterError (ValueError)     a parameter, option or argument that does not fit
    ├── NotFound (LookupError)          no such thing; lists close names
    ├── Conflict (ValueError)           it exists already, and differently; or its state forbids this
    ├── ExecutionFailed (RuntimeError)  `run` waited for an execution that did not succeed
    ├── StoreError (RuntimeError)       the home cannot be used
    │   ├── OwnershipLost               another process took this execution over
    │   └── OffsetPruned                the log was pruned past the offset asked for
    └── RunnerError (RuntimeError)      a runner could not do its work
        └── FlinkError                  Flink could not
    Skip, Stopped                       control flow inside jobs, not errors
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "AIFlowError",
    "Conflict",
    "ExecutionFailed",
    "FlinkError",
    "GraphError",
    "NotFound",
    "OffsetPruned",
    "OwnershipLost",
    "ParameterError",
    "RunnerError",
    "Skip",
    "Stopped",
    "StoreError",
    "suggest",
]


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known names are close to `name`, as the tail of a message ('' if none is known).

    Examples
    --------
    >>> suggest("neighbours", ["neighbors", "path"])
    "; did you mean 'neighbors'?"
    """
    from difflib import get_close_matches

    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
    return f"; there is: {shown}"


class AIFlowError(Exception):
    """Anything that aiflow raises on purpose; catch this to catch them all."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        assert render is not None
        return render(self)


render: Callable[[AIFlowError], list[str]] | None = None
"""Set by the composition root: gives the traceback of an error as notebooks show it."""


class GraphError(AIFlowError, ValueError):
    """A workflow that cannot be built: a cycle, a duplicate name, a value used before it exists."""


class ParameterError(AIFlowError, ValueError):
    """A parameter, option or argument that does not fit what was declared."""


class NotFound(AIFlowError, LookupError):
    """Something asked for by name or id does not exist.

    Parameters
    ----------
    noun
        What was looked for, in the words of the glossary ("workflow", "model").
    name
        The name or id that was asked for.
    known
        The names that do exist; close ones are suggested.
    why
        Why it does not, if that is known.
    """

    def __init__(self, noun: str, name: object, known: Iterable[str] = (), why: str = "") -> None:
        self.noun, self.name, self.known, self.why = noun, name, tuple(known), why
        super().__init__(f"no {noun} {name!r}{suggest(str(name), self.known)}{f': {why}' if why else ''}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.noun, self.name, self.known, self.why)


class Conflict(AIFlowError, ValueError):
    """The same name with other fields, or a state that does not allow what was asked."""


class ExecutionFailed(AIFlowError, RuntimeError):
    """`run` waited for an execution, and it did not end in SUCCESS.

    Parameters
    ----------
    message
        Each failed job, its error and the last frames of its traceback.
    execution
        The `Execution`, to look into.
    """

    def __init__(self, message: str, execution: Any = None) -> None:
        self.execution = execution
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class StoreError(AIFlowError, RuntimeError):
    """The home cannot be opened, read or written; the message says why and what to do."""


class OwnershipLost(StoreError):
    """This process no longer owns the execution: another one took it over."""


class OffsetPruned(StoreError):
    """What was asked for needs events that were pruned from the log.

    Parameters
    ----------
    asker
        What asks for them: "since=17", "execution k3x… cannot be resumed".
    after
        The offset after which it needs all events; None if that is a time before the log begins.
    pruned
        The offset up to which the log was pruned.
    advice
        What to do instead.
    """

    def __init__(self, asker: str, after: int | None, pruned: int, advice: str) -> None:
        self.asker, self.after, self.pruned, self.advice = asker, after, pruned, advice
        wanted = "events from before that" if after is None else f"the events after offset {after}"
        super().__init__(f"{asker}: the log was pruned up to offset {pruned}, and {wanted} are needed; {advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.asker, self.after, self.pruned, self.advice)


class RunnerError(AIFlowError, RuntimeError):
    """A runner could not start, watch or stop a job."""


class FlinkError(RunnerError):
    """A Flink cluster, its driver or a job on it failed."""


class Skip(BaseException):
    """Raise it in a job to end that job execution as SKIPPED: ``raise af.Skip("no new rows")``."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class Stopped(BaseException):
    """Raised inside a job that must not go on: it was stopped, or its attempt has ended."""
