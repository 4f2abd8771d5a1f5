"""Which names datasets, models, artifacts and metrics may have.

Knows nothing of what they name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiflow.errors import ParameterError
from aiflow.graph.params import json_text

__all__ = ["check_name", "check_texts", "check_tree", "is_inside", "parted"]

_IS_ENCODED = re.compile(r"%(25)*(2e|2f|5c|00)", re.IGNORECASE).search  # dots, slashes and NUL, however often encoded
_IS_ELSEWHERE = re.compile(r"[\\\0]|^[A-Za-z]:").search  # what other systems take for a slash, an end, a drive


def is_inside(name: str) -> bool:
    """Tell whether a name, with ``/`` between its parts, stays inside of whatever it is relative to.

    Examples
    --------
    >>> is_inside("plots/roc.svg"), is_inside("../roc.svg"), is_inside("/roc.svg"), is_inside("%2e%2e/roc.svg")
    (True, False, False, False)
    """
    is_plain = all(part not in ("", ".", "..") for part in name.split("/"))
    return is_plain and not _IS_ELSEWHERE(name) and not _IS_ENCODED(name)


def check_name(what: str, name: object) -> str:
    """Give a name that can be one; ``name:2`` is how versions are written, so ``:`` is none of its characters.

    Raises
    ------
    ParameterError
        If it is no text, empty, or has a character that would make it something else elsewhere.
    """
    if not isinstance(name, str) or not name.strip():
        raise ParameterError(f"the name of {_a(what)} must be a text that is not empty, not {name!r}")
    if name != name.strip() or any(c in ":*?[" or not c.isprintable() for c in name):
        raise ParameterError(
            f"the name of {_a(what)} cannot be {name!r}: it must not have any of : * ? [ in it, nor control characters, nor "
            "spaces at its ends (versions are written name:2, and * is for searching)"
        )
    if not is_inside(name):
        raise ParameterError(
            f"the name of {_a(what)} cannot be {name!r}: it may have / between its parts, and none of these is '..', as if it "
            "led somewhere"
        )
    return name


def parted(text: str) -> tuple[str, int | None]:
    """Take what people write apart: ``knn:2`` is version 2 of knn, ``knn`` the whole of it.

    Raises
    ------
    ParameterError
        If what follows the colon is no number of a version.
    """
    name, colon, number = text.partition(":")
    if not colon:
        return name, None
    if not number.isdecimal() or not name:
        raise ParameterError(f"a version is written NAME:NUMBER, such as knn:2, not {text!r}")
    return name, int(number)


def check_texts(what: str, name: str, **given: object) -> None:
    """Check that what is given is text, or None but for the description; raises `ParameterError` naming the field."""
    for field, value in given.items():
        if not isinstance(value, str) and (value is not None or field == "description"):
            raise ParameterError(f"{what}({name!r}, {field}=…) takes a text, not {value!r}")
        if isinstance(value, str) and not value.isascii():
            _check_characters(value, f"{what}({name!r}, {field}=…)")


def check_tree(what: str, name: str, field: str, value: object) -> None:
    """Check that what is given is JSON data by text keys; raises `ParameterError` naming the field."""
    if not isinstance(value, Mapping):
        raise ParameterError(f"{what}({name!r}, {field}=…) takes a dict with texts as keys, not {value!r}")
    json_text(dict(value), f"{field} of {what}({name!r})")


def _check_characters(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParameterError(
            f"{where} has a character that cannot be stored (half of a surrogate pair): {text[:100]!r}"
        ) from None


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "AEIOaeio" else f"a {what}"
