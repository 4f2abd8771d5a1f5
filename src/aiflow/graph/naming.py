"""Which names datasets, models, artifacts and metrics may have.

Knows nothing of what they name.
"""

from __future__ import annotations

from aiflow.errors import ParameterError

__all__ = ["check_name", "check_texts", "parted"]


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
    """Check that what is given is text or None; raises `ParameterError` naming the field."""
    for field, value in given.items():
        if value is not None and not isinstance(value, str):
            raise ParameterError(f"{what}({name!r}, {field}=…) takes a text, not {value!r}")


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "AEIOaeio" else f"a {what}"
