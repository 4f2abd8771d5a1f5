"""What jobs returned, as it may be shown: data as they are, objects by their short text, secrets as ``***``.

Knows nothing of tables. Objects are unpickled only if the caller says so: that runs code of theirs.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiflow.cli.formats import as_data, cell
from aiflow.errors import AIFlowError
from aiflow.graph.params import is_secret_name
from aiflow.values.codec import Stored

if TYPE_CHECKING:
    from aiflow import Execution

__all__ = ["results_of", "short"]

_LONGEST = 80
_LARGE = 1_000_000
_SHORTEST_SECRET = 4  # shorter texts occur by chance

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _LONGEST
_brief.maxlevel, _brief.maxdict = 3, 8


def results_of(execution: Execution, *, unpickle: bool) -> dict[str, Any]:
    """Give the latest value of each job that succeeded, by job name.

    Parameters
    ----------
    execution
        Whose jobs.
    unpickle
        Whether objects are loaded and shown by their `repr`; else by their kind and size.

    Returns
    -------
    dict
        JSON data; other objects as text.
    """
    rows = execution._project._store.rows(
        "SELECT job, codec, value, blob, size FROM job_executions WHERE execution_id = ? AND status = 'SUCCESS' ORDER BY started, job, number",
        (execution.id,),
    )
    secrets = _secrets(execution.params)
    latest = {row[0]: row[1:] for row in rows}
    return {job: _masked(_shown(execution, job, Stored(*stored), unpickle), secrets) for job, stored in latest.items()}


def _shown(execution: Execution, job: str, stored: Stored, unpickle: bool) -> Any:
    size = stored.size or 0
    is_data = stored.codec == "json"
    if not is_data and (not unpickle or size > _LARGE):
        return f"<{stored.codec or 'not kept'}, {size:,} bytes>" if stored.codec else "<not kept>"
    try:
        value = execution.result(job)
    except AIFlowError as error:
        return f"<{error}>"
    except Exception as error:  # unpickling runs foreign code
        return f"<cannot be read: {type(error).__name__}: {error}>"
    return as_data(value) if is_data or _is_plain(value) else short(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) <= _LARGE and all(isinstance(v, str | bool | int | float | None) for v in value)
    return isinstance(value, str | bool | int | float | os.PathLike) or getattr(value, "shape", None) == ()


def short(value: Any) -> str:
    """Give a short text of a value, on one line.

    Examples
    --------
    >>> short({"accuracy": 0.95}), len(short("x" * 1000)) <= 80
    ("{'accuracy': 0.95}", True)
    """
    try:
        text = _brief.repr(value) if isinstance(value, str | list | tuple | dict | set | frozenset | int) else repr(value)
    except Exception as error:  # a user's __repr__ may raise anything
        text = f"<{type(value).__qualname__}: its repr raised {type(error).__name__}>"
    text = cell(" ".join(text.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _secrets(params: Mapping[str, Any]) -> list[str]:
    """Give the texts that must not be shown: what stands behind `Secret` parameters, and plain ones of a secret name."""
    found = []
    for name, value in params.items():
        if isinstance(value, Mapping) and set(value) == {"$secret"}:
            found.append(os.environ.get(str(value["$secret"]).removeprefix("env:"), ""))
        elif is_secret_name(name) and isinstance(value, str):
            found.append(value)
    return [text for text in found if len(text) >= _SHORTEST_SECRET]


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, dict):
        return {k: "***" if is_secret_name(k) and isinstance(v, str) else _masked(v, secrets) for k, v in value.items()}
    return [_masked(v, secrets) for v in value] if isinstance(value, list) else value
