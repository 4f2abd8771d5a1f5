"""What a trigger is: a condition that starts executions of a workflow, seen as a graph of one job that never ends.

Knows nothing of how an execution is started: that is the work of the runner `STARTER`, whose job is over when the
execution has ended. So latches, counts, questions, timers, queues and recovery are those of any job (ADR 0006).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.building import Body, Graph, activate, deactivate
from aiflow.graph.condition import Condition
from aiflow.graph.event import CHANGES, Event, EventType
from aiflow.graph.file import FileCondition
from aiflow.graph.job import IfRunning, Job, JobOptions
from aiflow.graph.params import bind
from aiflow.graph.plan import STARTER, Plan
from aiflow.graph.timing import TimeCondition
from aiflow.graph.workflow import Workflow

__all__ = ["START", "check_params", "params_of", "trigger_plan"]

START = "start"
"""The name of a trigger's only job."""

_MANY = 1_000_000
_BRINGS = ((TimeCondition, {"due", "missed"}), (FileCondition, {"path", "size", "mtime", "change", "settle"}))


def _start() -> None:
    """Stand for the start of an execution; never called."""


def trigger_plan(name: str, condition: Condition, if_running: str, max_parallel: int | None, folder: str = "") -> Plan:
    """Make the plan of a trigger.

    Parameters
    ----------
    name
        Its name.
    condition
        Each time that it is met, an execution is to be started.
    if_running, max_parallel
        The options of the workflow (rule 14): how many executions of this trigger run at a time, and what becomes of a
        start that comes too early. `parallel` without a number: as many as come.
    folder
        Where relative patterns of files are taken from.
    """
    policy, width = IfRunning(if_running), max_parallel or 1
    if policy is IfRunning.PARALLEL and max_parallel is None:
        width = _MANY
    if policy is IfRunning.QUEUE and width > 1:
        policy = IfRunning.PARALLEL
    body = Body(f"trigger:{name}", {})
    token = activate(body)
    try:
        options = JobOptions(name=START, runner=STARTER, if_running=policy, max_parallel=width, persist=False)
        body.add(Job(_start, options), (), {}).start_on(condition)
    finally:
        deactivate(token)
    return Plan(Graph(body.name, body), ends="never", key=f"trigger:{name}", any_context=True, folder=folder)


def params_of(
    event: Event, signature: inspect.Signature, choose: Callable[[Event], Any] | None, fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the parameters of an execution that an event starts (rule 25).

    Parameters
    ----------
    event
        What met the condition.
    signature
        The parameters that the workflow has.
    choose
        The workflow's `params` function; without one, the keys of a dict value that are parameters are taken. What is null
        in an event of the metadata does not apply there, so a parameter with a default keeps that.
    fixed
        What the trigger itself gives; the event's go before.

    Raises
    ------
    ParameterError
        If `choose` gives no dict.
    """
    if choose is None:
        return {**fixed, **_named_alike(event, signature)}
    chosen = choose(event)
    if chosen is None:
        chosen = {}
    if not isinstance(chosen, Mapping):
        raise ParameterError(f"a params function gives a dict of parameters, not {chosen!r}")
    return {**fixed, **chosen}


def check_params(workflow: Workflow, condition: Condition, fixed: Mapping[str, Any]) -> None:
    """Check what a trigger gives itself, and that nothing is missing which no event that meets its condition can bring.

    Raises
    ------
    ParameterError
        If a parameter is unknown, does not fit its annotation, or would be missing at each start.
    """
    asked = workflow.signature.parameters
    brought = set(asked)  # by an event of the user, or what a function makes of it
    if workflow.options.get("params") is None:
        keys = [next((k for kind, k in _BRINGS if isinstance(leaf, kind)), brought) for leaf in condition.leaves()]
        brought &= set().union(*keys)
    for name, parameter in asked.items():
        is_needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if is_needed and name not in brought and name not in fixed:
            raise ParameterError(
                f"workflow {workflow.name!r} needs the parameter {name!r}, and {condition} does not bring it: "
                f"give it by params={{{name!r}: …}} (-p {name}=…), or a default"
            )
    bind(workflow.function, fixed, workflow.name, given=dict.fromkeys(brought - set(fixed)))


def _named_alike(event: Event, signature: inspect.Signature) -> dict[str, Any]:
    found = event.value if isinstance(event.value, dict) else {}
    is_metadata = event.type in CHANGES or event.type == EventType.METRIC_LOGGED
    return {
        name: found[name]
        for name, parameter in signature.parameters.items()
        if name in found and not (is_metadata and found[name] is None and parameter.default is not parameter.empty)
    }
