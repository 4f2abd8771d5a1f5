"""Where something is: what a uri says, and from where it is taken if it is a relative path.

Knows nothing of what is there; it compares and joins texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["folder_for", "local_path"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://").match  # one letter would be a drive


def local_path(uri: str | None, folder: str | None) -> Path | None:
    """Give the path that a uri means; None if it is none, or if it is elsewhere (``s3://…``).

    Parameters
    ----------
    uri
        A path, absolute or relative, or a uri; ``file:///…`` is a path, too.
    folder
        Where a relative path begins; None: the working directory.

    Examples
    --------
    >>> local_path("data/iris.csv", "/srv/flows"), local_path("file:///srv/a%20b.csv", None)
    (PosixPath('/srv/flows/data/iris.csv'), PosixPath('/srv/a b.csv'))
    >>> local_path("s3://bucket/iris.csv", "/srv/flows") is None
    True
    """
    if not uri:
        return None
    scheme = _SCHEME(uri)
    if scheme is None:
        return Path(folder or "", uri)
    return Path(unquote(urlsplit(uri).path)) if scheme[1].lower() == "file" else None


def folder_for(uri: str | None, folder: str) -> str | None:
    """Give the folder to remember beside a uri: None where it would say nothing, as the uri is no relative path."""
    is_relative = bool(uri) and _SCHEME(uri or "") is None and not Path(uri or "").is_absolute()
    return folder if is_relative else None
