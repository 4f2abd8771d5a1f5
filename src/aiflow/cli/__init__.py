"""The command line: `aiflow`, and the same as ``python -m aiflow``. The only place that knows of click and rich.

Holds no decision: each command turns words into calls of the public interface, and what comes back into text or data.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Carry out one command line and give its exit code.

    Parameters
    ----------
    args
        The words after ``aiflow``; by default those that this process was started with.

    Returns
    -------
    int
        0 done; 1 the execution failed, or the user's file is broken; 2 wrong usage; 3 a store problem; 130 and 143
        interrupted.
    """
    from aiflow.cli.entry import carry_out

    return carry_out(args)
