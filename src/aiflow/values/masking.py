"""Hides in what is shown of an execution what its parameters keep secret.

Knows nothing of where it is shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from aiflow.graph.params import is_secret_name

__all__ = ["masked"]

_SHORTEST_SECRET = 4  # shorter texts occur by chance

_ASSIGNED = re.compile(r"\b(\w{1,80})=(\S+)")


def masked(value: Any, params: Mapping[str, Any]) -> Any:
    """Hide in data whatever an execution with these stored parameters must not show.

    Examples
    --------
    >>> masked({"said": "it is tulip", "command": "run f.py -p door_password=x"}, {"api_token": "tulip"})
    {'said': 'it is ***', 'command': 'run f.py -p door_password=***'}
    """
    return _masked(value, _secrets(params))


def _secrets(params: Mapping[str, Any]) -> list[str]:
    """Give the texts that must not be shown: of `Secret` parameters, and of plain ones with a secret name."""
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
        return _ASSIGNED.sub(lambda found: f"{found[1]}=***" if is_secret_name(found[1]) else found[0], value)
    if isinstance(value, dict):
        return {k: "***" if is_secret_name(k) and isinstance(v, str) else _masked(v, secrets) for k, v in value.items()}
    return [_masked(v, secrets) for v in value] if isinstance(value, list) else value
