"""What jobs returned, as it may be shown: data as they are, objects by their short text, secrets as ``***``.

Knows nothing of tables. Objects are unpickled only if the caller says so: that runs code of theirs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from aiflow.cli.formats import as_data, cell
from aiflow.errors import AIFlowError
from aiflow.values.codec import Stored
from aiflow.values.describing import LONGEST, Brief, is_number
from aiflow.values.masking import masked

if TYPE_CHECKING:
    from aiflow import Execution

__all__ = ["Result", "results_of", "short"]

_LARGE = 1_000_000


class _Open(Brief):
    """Has objects show themselves."""

    def other(self, x: Any) -> str:
        try:
            return repr(x)
        except Exception as error:  # a user's __repr__ may raise anything
            return f"<{type(x).__qualname__}: its repr raised {type(error).__name__}>"


_open = _Open()


class Result(NamedTuple):
    """What a job returned: for programs (JSON data, else the text), and as a short text for people."""

    data: Any
    text: str


def results_of(execution: Execution, *, unpickle: bool) -> dict[str, Result]:
    """Give the latest value of each job that succeeded, by job name, in the order of the body.

    Parameters
    ----------
    execution
        Whose jobs.
    unpickle
        Whether objects are loaded and shown by their `repr`; else by what was noted of them when they were written.
    """
    rows = execution._project._store.rows(
        "SELECT job, codec, value, blob, size, summary FROM job_executions WHERE execution_id = ? AND status = 'SUCCESS' "
        "ORDER BY number",
        (execution.id,),
    )
    latest = {row[0]: Stored(*row[1:]) for row in rows}
    shown = {job: _shown(execution, job, latest[job], unpickle) for job in execution.job_names if job in latest}
    return {job: Result(*masked(list(result), execution.params)) for job, result in shown.items()}


def _shown(execution: Execution, job: str, stored: Stored, unpickle: bool) -> Result:
    is_data = stored.codec in ("json", "version")  # reading these runs no code of anybody's
    if not is_data and (not unpickle or (stored.size or 0) > _LARGE):
        unknown = f"<{stored.codec}, {stored.size or 0:,} bytes>" if stored.codec else "<not kept>"
        text = cell(stored.summary or unknown)
        return Result(text, text)
    try:
        value = execution.result(job)
    except AIFlowError as error:
        return Result(f"<{error}>", cell(f"<{error}>"))
    except Exception as error:  # unpickling runs foreign code
        text = cell(f"<cannot be read: {type(error).__name__}: {error}>")
        return Result(text, text)
    text = short(value)
    return Result(as_data(value) if stored.codec == "json" or _is_plain(value) else text, text)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) <= _LARGE and all(isinstance(v, str | bool | int | float | None) for v in value)
    return isinstance(value, str | bool | int | float | os.PathLike) or is_number(value)


def short(value: Any) -> str:
    """Give a short text of a value, on one line.

    Examples
    --------
    >>> short({"accuracy": 0.95}), len(short("x" * 1000)) <= 80
    ("{'accuracy': 0.95}", True)
    >>> import numpy
    >>> short([numpy.float64(0.5)]), short(numpy.zeros((3, 4)))
    ('[0.5]', 'ndarray (3, 4) float64')
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        text = cell(_open.describe(value))
    except Exception as error:  # foreign code: `shape` of any class, digits that are too many for Python
        text = f"<{type(value).__qualname__}: its repr raised {type(error).__name__}>"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
