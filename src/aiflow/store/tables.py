"""The store as tables, for users' own questions: a read-only `sqlite_utils.Database`.

Knows nothing of what the engine does with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiflow.store.connection import connect

if TYPE_CHECKING:
    import sqlite_utils

__all__ = ["read_only"]


def read_only(home: Path) -> sqlite_utils.Database:
    """Open the tables of a home for reading."""
    import sqlite_utils

    return sqlite_utils.Database(connect(home, readonly=True), execute_plugins=False)
