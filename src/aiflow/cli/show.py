"""The command `show`.

Knows nothing of projects: a graph is built from the file alone.
"""

from __future__ import annotations

import inspect
from types import GenericAlias

import rich_click as click

from aiflow.cli.completion import files
from aiflow.cli.everywhere import Asked, Command
from aiflow.cli.failures import blame_user
from aiflow.cli.formats import Lines, write
from aiflow.cli.loading import load_workflow
from aiflow.cli.results import short
from aiflow.cli.run import workflow_params
from aiflow.cli.streams import stdout_is_for_data
from aiflow.cli.tree import draw_tree
from aiflow.errors import AIFlowError, ParameterError
from aiflow.graph.building import Graph
from aiflow.graph.params import is_secret_name
from aiflow.graph.workflow import Workflow

__all__ = ["build", "show"]

_EXAMPLES = """
show iris.py                        # a tree
show iris.py -p neighbors=7         # as it is with these parameters
show flows.py:nightly --svg > nightly.svg
show iris.py --mermaid              # for a page in Markdown
"""


def build(workflow: Workflow, pairs: tuple[str, ...]) -> Graph:
    """Build the graph, as far as that can be without values; what the body raises is shown with the user's frames only."""
    try:
        return workflow.sketch(**workflow_params(workflow, pairs))
    except AIFlowError:
        raise
    except Exception as error:  # the body is the user's code
        broken = blame_user(error, f"the body of workflow {workflow.name!r} raised:")
        if broken is None:
            raise
        raise broken from None


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("file", metavar="FILE[:WORKFLOW]", shell_complete=files)
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the workflow.")
@click.option("--mermaid", "picture", flag_value="mermaid", help="As Mermaid text.")
@click.option("--dot", "picture", flag_value="dot", help="As Graphviz DOT text.")
@click.option("--svg", "picture", flag_value="svg", help="As a picture.")
@click.pass_obj
def show(asked: Asked, file: str, pairs: tuple[str, ...], picture: str | None) -> None:
    """Show the graph of a workflow; nothing is run."""
    with stdout_is_for_data():
        workflow = load_workflow(file)
        title = f"{workflow.name}({', '.join(map(_parameter, workflow.signature.parameters.values()))})"
        about = workflow.description.strip().split("\n\n")[0]
        try:
            graph = build(workflow, pairs)
        except ParameterError:
            if picture is None and asked.output == "table":  # what there is to see without the graph
                write(asked.output, None, Lines("\n".join(filter(None, (title, about))), _MARKS))
            raise
        if picture is not None:
            text = {"mermaid": graph.to_mermaid, "dot": graph.to_dot, "svg": graph.to_svg}[picture]()
            write("table", None, Lines(text.rstrip("\n")))
            return
        met = {"start_on": workflow.start_condition, "stop_on": workflow.stop_condition}
        rules = {what: str(condition) for what, condition in met.items() if condition is not None}
        data = {
            **graph.definition(),
            "description": workflow.description,
            **rules,
            "edges": [edge._asdict() for edge in graph.edges],
        }
        told = [f"{what.replace('_', ' ')} {condition}" for what, condition in rules.items()]
        write(asked.output, data, Lines("\n".join(filter(None, (title, about, *told, draw_tree(graph)))), _MARKS))


_MARKS = {
    r"\A[\w.]+": "bold",
    r"[│├└─]": "dim",
    r"(?m)(?<=\w)  \([\w(), =-]+\)(?=  |$)": "dim",
    r"(?m)(?<=\S)  ← .*?(?=  |$)": "dim",
    r"(?:(?<=\S)  |(?m:^))(?:start|stop|restart) on .*": "cyan",
}
"""How a tree is painted: what is not the name of a job stands back."""


def _parameter(parameter: inspect.Parameter) -> str:
    kind, default = parameter.annotation, parameter.default
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    if isinstance(kind, GenericAlias):
        name = str(kind)
    typed = parameter.name + (f": {name}" if kind is not parameter.empty else "")
    shown = "***" if is_secret_name(parameter.name) and isinstance(default, str) else short(default)
    return typed if default is parameter.empty else f"{typed} = {shown}"
