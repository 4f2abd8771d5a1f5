"""What an experiment is to the machine: an execution of one job, whose function is a block of the user's code.

Knows nothing of how the block is entered and left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.building import Body, Graph
from aiflow.graph.condition import Condition
from aiflow.graph.job import Job, JobOptions

__all__ = ["BLOCK", "Block", "is_block"]

BLOCK = "block"
"""The name of the runner of such jobs."""


class Block:
    """What stands for a workflow where there is none: a name, and a graph of one node of that name.

    Parameters
    ----------
    name
        The name of the experiment.
    source
        The file that has the block, or ''.
    """

    namespace: str | None = None
    description = ""
    ends: str | None = None
    stop_condition: Condition | None = None
    context_function: Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = {}

    def __init__(self, name: str, source: str = "") -> None:
        if not isinstance(name, str) or not name.strip():
            raise ParameterError(f"the name of an experiment must be a text that is not empty, not {name!r}")
        self.name, self.source = name, source

    @property
    def graph(self) -> Graph:
        """The graph: one node."""
        body = Body(self.name, {})
        body.add(Job(_block, JobOptions(name=self.name, runner=BLOCK)), (), {})
        return Graph(self.name, body)

    def definition(self, graph: Graph) -> dict[str, Any]:
        """Give as JSON data what the execution keeps."""
        return {**graph.definition(), "block": True}


def is_block(definition: Mapping[str, Any]) -> bool:
    """Tell whether an execution that keeps this is one of an experiment: its code is gone with its process."""
    return bool(definition.get("block"))


def _block() -> None:
    """Stand for the block, which is the user's own code."""
