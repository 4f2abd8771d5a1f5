"""The jars that a job brings along: where they are, and whether they are there, as Flink tries for minutes to send one that is not.

Knows nothing of clusters and of PyFlink.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from aiflow.errors import FlinkError
from aiflow.runners.flink_terms import jar_urls

__all__ = ["check_jar", "checked_jars"]


def checked_jars(said: str, folder: Path) -> list[str]:
    """Give the addresses of jars as `jar_urls` does; raises `FlinkError` if one on this machine is not there."""
    urls = jar_urls(said, folder)
    for url in urls:
        where = urlsplit(url)
        if where.scheme == "file":
            check_jar(Path(unquote(where.path)))
    return urls


def check_jar(path: Path) -> int:
    """Give the size of a jar, in bytes.

    Raises
    ------
    FlinkError
        If it is not there.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise FlinkError(f"the jar {path} cannot be read: {error.strerror}") from None
