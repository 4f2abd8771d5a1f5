"""The command `lineage show`: what something came from, or what came from it, as a tree, a picture or data.

Knows nothing of how it was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from aiflow.cli.completion import things
from aiflow.cli.everywhere import Asked, Group, needs_home
from aiflow.cli.formats import Lines, Table, write
from aiflow.cli.times import moment
from aiflow.graph.thing import JOB, Thing

if TYPE_CHECKING:
    from aiflow.graph.topology import LineageGraph

__all__ = ["lineage"]

_EXAMPLES = """
lineage show knn:2                   # what made it
lineage show knn --as-of 2026-11-23  # what made what was live then
lineage show iris --down             # what came of the latest data
lineage show dataset iris:1 --down   # a model has that name, too
lineage show job k3vq/train
lineage show knn --svg > knn.svg
"""
_FIELDS = {
    JOB: ("attempt", "status", "started", "ended"),
    "dataset": ("uri", "format", "hash", "size", "rows", "created"),
    "model": ("stage", "type", "uri", "hash", "size", "created"),
    "artifact": ("type", "uri", "hash", "size", "created"),
}


@click.group(cls=Group, examples="lineage show knn:2\nlineage show iris --down")
def lineage() -> None:
    """See what came from what: versions, and the jobs between them."""


@lineage.command(examples=_EXAMPLES)
@click.argument("words", metavar="[KIND] NAME[:NUMBER]", nargs=-1, required=True, shell_complete=things)
@click.option("--up", "direction", flag_value="upstream", default=True, help="What it came from; that is the default.")
@click.option("--down", "direction", flag_value="downstream", help="What came from it.")
@click.option("--as-of", "as_of", metavar="TIME", help="As it was known at a time; local, unless it has a zone.")
@click.option("--svg", "picture", flag_value="svg", help="As a picture.")
@click.option("--mermaid", "picture", flag_value="mermaid", help="As Mermaid text.")
@click.pass_obj
def show(asked: Asked, words: tuple[str, ...], direction: str, as_of: str | None, picture: str | None) -> None:
    """Show what a version or a job came from, or what came from it.

    Without a number it is the version of a model that is deployed, or the latest of a dataset or artifact.

    KIND is model, dataset, artifact or job, where several have that name. A job is written EXECUTION/JOB[:NUMBER].
    """
    then = None if as_of is None else moment(as_of, "--as-of")
    with needs_home(asked) as project:
        ask = project.lineage.upstream if direction == "upstream" else project.lineage.downstream
        graph = ask(" ".join(words), as_of=then)
        if picture is not None:
            text = graph.to_svg() if picture == "svg" else graph.to_mermaid()
            write("table", None, Lines(text.rstrip("\n")))
            return
        data = lineage_record(graph)
        edges = Table(data["edges"], {"SOURCE": "source", "TARGET": "target", "TIME": "time"})
        write(asked.output, data, edges if asked.output == "plain" else Lines(str(graph)))


def lineage_record(graph: LineageGraph) -> dict[str, Any]:
    """Give a lineage as data; things are named as the command takes them."""
    names = {node: _name(node, said["kind"]) for node, said in graph.nodes(data=True)}
    nodes = []
    for node, name in names.items():
        kind = graph.nodes[node]["kind"]
        who = (
            {"execution_id": node.execution_id, "job": node.job, "workflow": graph.nodes[node]["workflow"]}
            if kind == JOB
            else {"name": node.name}
        )
        more = {field: getattr(node, field) for field in _FIELDS[kind]}
        nodes.append({"id": name, "kind": kind, **who, "number": node.number, **more})
    edges = [{"source": names[a], "target": names[b], "time": said["time"]} for a, b, said in graph.edges(data=True)]
    return {
        "of": [names[node] for node in graph.graph["asked"]],
        "direction": graph.graph["direction"],
        "nodes": nodes,
        "edges": edges,
    }


def _name(node: Any, kind: str) -> str:
    return str(Thing(JOB, node.job, node.number, node.execution_id) if kind == JOB else Thing.of(node))
