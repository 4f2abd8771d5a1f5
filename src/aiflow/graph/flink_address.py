"""The address of a Flink cluster, taken apart; all who need a part of one ask here.

Knows nothing of connections. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["FlinkAddress", "read_address"]

_WHOLE = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_PORTS = {"http": 80, "https": 443}


class FlinkAddress(NamedTuple):
    """Where the REST interface of a cluster is.

    Attributes
    ----------
    url
        As it was given, without a slash at its end.
    scheme, host, port, path
        Its parts; the port is 80 for http and 443 for https if it names none.
    names_port
        Whether it names one.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str
    names_port: bool

    def __str__(self) -> str:
        return self.url if self.names_port else f"{self.url} (port {self.port}, for it names none)"


def read_address(text: str) -> FlinkAddress:
    """Take an address apart.

    Raises
    ------
    ValueError
        If it is none; the text says what it lacks and what to write.

    Examples
    --------
    >>> read_address("http://flink:8081/").port, str(read_address("https://flink"))
    (8081, 'https://flink (port 443, for it names none)')
    >>> read_address("flink:8081")
    Traceback (most recent call last):
    ValueError: it does not begin with http:// or https://; write 'http://flink:8081'
    """
    url = text.rstrip("/")
    if "://" not in text and _WHOLE.fullmatch(f"http://{url}"):
        raise ValueError(
            f"it does not begin with http:// or https://; write 'http://{url}{'' if ':' in url else ':8081'}'"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, or too large a one
        port = 0
    if port == 0 or not _WHOLE.fullmatch(url) or not parts.hostname:
        raise ValueError("write one like 'http://host:8081'")
    return FlinkAddress(url, parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path, port is not None)
