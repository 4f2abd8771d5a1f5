"""Which calls of jobs with roles make sense, and where each has the version that the job works on (`node.place`).

Knows nothing of running; building asks it for each node that has a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiflow.errors import GraphError
from aiflow.graph.building import Graph, Node
from aiflow.graph.change import Change, registration
from aiflow.graph.role import Place, Role, RoleSpec, place_of

__all__ = ["check_role", "registrations"]


def check_role(node: Node, role: RoleSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any], mapped: bool) -> None:
    """Note where a call of a job with a role has the version that it works on, and refuse what does not go together.

    Raises
    ------
    GraphError
        If the call can be read in no way, or an option makes no sense for the role.
    """
    options = node.options
    if role.gives is not None:
        gives = f"{node!r} is a job with the role {role}, whose value is a version of {role.name!r}; it"
        if options.outputs != 1:
            raise GraphError(f"{gives} cannot have outputs={options.outputs!r}")
        if not options.persist:
            raise GraphError(f"{gives} is always kept, so persist=False makes no sense")
        if options.cache and role.role in (Role.WRITE_DATASET, Role.PUSH_MODEL):
            raise GraphError(f"{gives} does something each time it runs, so it cannot have cache={options.cache!r}")
        if mapped and role.role is not Role.TRAIN:
            raise GraphError(f"{gives} cannot be mapped: call it once for each version")
    try:
        signature = node.job.signature
    except (TypeError, ValueError):  # a builtin that does not tell: it gets all that there is
        node.place = Place.EITHER if role.takes is not None else Place.NONE
        return

    def gives_version(value: Any) -> bool:
        if not isinstance(value, Node) or value.job.role is None:
            return False
        other = value.job.role
        return other.gives is not None and (other.gives, other.name) == (role.takes, role.name)

    node.place = place_of(role, signature, args, kwargs, node.job.name, gives_version)


def registrations(graph: Graph, folder: str) -> list[Change]:
    """Give the changes that register all that the roles of a graph's jobs name, each once.

    Parameters
    ----------
    graph
        The graph of a workflow.
    folder
        Where relative uris are taken from.
    """
    found: dict[tuple[str, str], list[Any]] = {}
    for node in graph.nodes:
        role = node.job.role
        for thing in () if role is None else (role.subject, role.base):
            if thing is not None:
                known = found.setdefault((thing.kind, thing.name), [])
                if all(thing.fields() != other.fields() for other in known):
                    known.append(thing)
    return [registration(thing, folder) for things in found.values() for thing in things]
