"""Says where an execution came from: code, Python, packages, host. Asked once in a while, never in a job's way.

Knows nothing of executions.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["provenance"]


@lru_cache(maxsize=1)
def _packages() -> dict[str, str]:
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name and name not in found:
            found[name] = distribution.version
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *args],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def provenance(source: str) -> dict[str, Any]:
    """Give what is known of the code and the machine as JSON data.

    Parameters
    ----------
    source
        The file that defines the workflow, or ''; its folder is asked for its git commit.
    """
    folder = Path(source).parent if source else Path.cwd()
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return {
        "git": {"commit": commit, "dirty": dirty} if commit else None,
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": _packages(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "pid": os.getpid(),
        "command": " ".join(getattr(sys, "orig_argv", sys.argv))[:1000],
        "source": source,
    }
