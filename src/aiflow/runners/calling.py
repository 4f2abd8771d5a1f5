"""Calls the user's function of one attempt and says how that ended; the same in every runner and in child processes.

Knows nothing of threads, processes or stores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiflow.errors import ParameterError, Skip, Stopped
from aiflow.graph.job import JobOptions
from aiflow.runners.base import Call, Emitter, Ended, Failure, failure_of
from aiflow.runners.context import JobContext, enter, leave
from aiflow.runners.performed import Outcome, Performed

__all__ = ["enter_span_of", "finish", "judge", "perform", "perform_async"]


def perform(
    load: Callable[[], Call],
    context: JobContext,
    options: JobOptions,
    asked: Sequence[int | str | None] = (),
    outlet: Emitter | None = None,
) -> Ended:
    """Load the arguments, call the function, and say how it ended. Nothing that the function raises escapes.

    What the function of a stream job gives is gone through, and each item goes to the `outlet`.
    """
    token, leave_span = enter(context), enter_span_of(context)
    try:
        function, args, kwargs = load()
        value = function(*args, **kwargs)
        if outlet is not None:
            value = _drive(value, outlet, context)
    except BaseException as error:
        ended = judge(error, options, context)
    else:
        ended = finish(value, options, asked) if outlet is None else Ended("SUCCESS", value)
    finally:
        leave_span()
        leave(token)
    ended = keep_state(ended, context)
    if outlet is not None:
        outlet.finish(ended)
    return ended


def enter_span_of(context: JobContext) -> Callable[[], None]:
    """Let spans that the function makes be below that of its job; give what ends that."""
    if context.span is None:
        return _nothing
    try:
        from aiflow.spans import enter_span
    except ImportError:  # a process with other packages
        return _nothing
    return enter_span(context.span)


def _nothing() -> None: ...


def _drive(items: Iterator[Any], outlet: Emitter, context: JobContext) -> Any:
    """Emit what a generator yields, until it returns; asked to stop, it is closed at its `yield` (GeneratorExit)."""
    emit, items = outlet.emit, iter(items)
    try:
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            emit(item)
            if context.stopping:
                context.refuse_to_go_on()
    finally:
        close = getattr(items, "close", None)  # a generator has it; what stream=True was said of may not
        if close is not None:
            close()


def keep_state(ended: Ended, context: JobContext) -> Ended:
    """Note the state that is to be saved with the end of an attempt; one that is not JSON data fails it."""
    if ended.outcome not in ("SUCCESS", "STOPPED"):
        return ended
    try:
        ended.state = context.dump_state()
    except ParameterError as error:
        failure = failure_of(error)
        return Ended("FAILED", error=failure, retryable=False, reason=str(failure)[:500])
    return ended


async def perform_async(
    load: Callable[[], Call], context: JobContext, options: JobOptions, asked: Sequence[int | str | None] = ()
) -> Ended:
    """Do the same for an `async def` job."""
    token, leave_span = enter(context), enter_span_of(context)
    try:
        function, args, kwargs = load()
        value = await function(*args, **kwargs)
    except BaseException as error:
        return judge(error, options, context)
    finally:
        leave_span()
        leave(token)
    return keep_state(finish(value, options, asked), context)


def judge(error: BaseException, options: JobOptions, context: JobContext | None = None) -> Ended:
    """Say how an attempt ended that raised `error`; `retry_on` is judged here, where the exception is."""
    if isinstance(error, Skip):
        return Ended("SKIPPED", reason=error.reason or "the job raised Skip")
    if isinstance(error, Stopped) and (context is None or context.stopping or context.is_over):
        return Ended("STOPPED", reason=str(error) or "the job raised Stopped")
    failure = failure_of(error, skip_frames=_frames_of_ours(error))
    ended = Ended("FAILED", error=failure, retryable=isinstance(error, options.retry_on), reason=str(failure)[:500])
    ended.interrupted = isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
    return ended


_OURS = (__name__, Performed.__module__, "aiflow.mapping", "aiflow.runners.flink_driver", "aiflow.graph.environments")


def _frames_of_ours(error: BaseException) -> int:
    """Count the frames of a traceback that are about calling the user's function."""
    count, trace = 0, error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        count, trace = count + 1, trace.tb_next
    return count


def finish(value: Any, options: JobOptions, asked: Sequence[int | str | None] = ()) -> Ended:
    """Check the number of outputs of a returned value, and answer what `run_if` of other jobs asks of it.

    What comes of a job with a role is taken apart first.
    """
    if type(value) is Outcome:
        return _come_of(value, options, asked)
    declared = options.outputs
    if declared != 1:
        value, problem = _outputs(value, declared)
        if problem:
            return Ended("FAILED", error=Failure("ValueError", problem), retryable=False, reason=problem)
    if not asked:
        return Ended("SUCCESS", value)
    try:
        truth: Any = (
            bool(value) if tuple(asked) == (None,) else {str(o): bool(value if o is None else value[o]) for o in asked}
        )
    except Exception as error:  # the truth of a user's object: an array of several elements has none
        problem = f"run_if cannot tell whether the value is true: {error}"
        return Ended("FAILED", error=Failure(type(error).__name__, problem), retryable=False, reason=problem)
    return Ended("SUCCESS", value, truth=truth)


def _come_of(outcome: Outcome, options: JobOptions, asked: Sequence[int | str | None]) -> Ended:
    value, changes, gives, refused = outcome
    is_true = True if asked else None  # as a version is
    ended = finish(value, options, asked) if gives is None else Ended("SUCCESS", None, truth=is_true)
    if ended.outcome == "SUCCESS":
        ended.changes, ended.gives, ended.refused = changes, gives, refused
        ended.reason = refused
    return ended


def _outputs(value: Any, declared: int | tuple[str, ...]) -> tuple[Any, str | None]:
    width = declared if isinstance(declared, int) else len(declared)
    names = "" if isinstance(declared, int) else f" ({', '.join(declared)})"
    if isinstance(value, dict) and not isinstance(declared, int):
        if set(value) == set(declared):
            return {name: value[name] for name in declared}, None
        return (
            None,
            f"the job declares the outputs {', '.join(declared)} and returned a dict with {', '.join(map(str, value)) or 'nothing'}",
        )
    if not isinstance(value, tuple | list):
        return None, f"the job declares {width} outputs{names} and returned 1 value, a {type(value).__name__}"
    if len(value) != width:
        return None, f"the job declares {width} outputs{names} and returned {len(value)} values"
    return (tuple(value), None) if isinstance(declared, int) else (dict(zip(declared, value, strict=True)), None)
