"""Reads times as people write them.

Knows nothing of what they are times of.
"""

from __future__ import annotations

from datetime import datetime

import rich_click as click

__all__ = ["moment"]


def moment(text: str, option: str, besides: str = "") -> datetime:
    """Read a time in ISO 8601; without a zone it is local.

    Parameters
    ----------
    text
        What was said.
    option
        After which option.
    besides
        What else could have been said there, for the message.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is {f'neither {besides} nor a' if besides else 'no'} time such as 2026-11-23 or 2026-11-23T14:03",
            param_hint=option,
        ) from None
    return found.astimezone() if found.tzinfo is None else found
