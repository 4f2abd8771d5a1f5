"""Asks functions of the user about events: custom conditions, `where`, and a workflow's `context` (rule 9).

Knows nothing of turns: it is called on a worker, after the commit, and gives the answer as the value of an event.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from aiflow.errors import ParameterError
from aiflow.graph.asking import progress_of
from aiflow.graph.commands import Ask
from aiflow.graph.condition import AskedCondition, EventCondition
from aiflow.graph.event import BROADCAST, Draft, Event, EventType
from aiflow.graph.params import json_text
from aiflow.graph.plan import GATE, WORKFLOW
from aiflow.live import Live

__all__ = ["consult", "contexts_of", "memory_for"]

logger = logging.getLogger(__name__)


def memory_for(live: Live, ask: Ask) -> dict[str, Any]:
    """Give a copy of what a custom condition remembers; only in a turn, or while its question is open."""
    if ask.vertex == GATE:
        return {}
    known = progress_of(live.state, ask.vertex, ask.rule).memories.get(ask.leaf)
    return json.loads(json.dumps(known)) if known else {}


def consult(live: Live, ask: Ask, event: Event, memory: dict[str, Any]) -> Draft:
    """Ask, and give the answer as an event to be appended; nothing that the function raises escapes."""
    if ask.vertex == GATE:
        value = {"about": "context", "offset": ask.offset, **_context(live, event)}
    else:
        value = {"rule": ask.rule, "leaf": ask.leaf, "offset": ask.offset, **_condition(live, ask, event, memory)}
    on_job = ask.vertex not in (GATE, WORKFLOW)
    key = live.plan.vertices[ask.vertex].key if on_job else live.plan.key
    own = live.execution_id
    return Draft(key, value, str(EventType.CONDITION_ANSWERED), live.namespace, None, own, own)


def _condition(live: Live, ask: Ask, event: Event, memory: dict[str, Any]) -> dict[str, Any]:
    condition = (
        live.plan.stop_on if ask.vertex == WORKFLOW else live.plan.vertices[ask.vertex].rules[ask.rule].condition
    )
    assert condition is not None
    leaf = list(condition.leaves())[ask.leaf]
    if isinstance(leaf, AskedCondition):

        def fold() -> dict[str, Any]:
            answer = bool(leaf(event, memory))
            json_text(memory, f"the state of condition {leaf.name!r}")
            return {"answer": answer, "state": memory}

        return _asked(fold, str(leaf), event)
    where = leaf.where if isinstance(leaf, EventCondition) else None
    assert where is not None
    return _asked(lambda: {"answer": bool(where(event))}, str(leaf), event)


def _context(live: Live, event: Event) -> dict[str, Any]:
    function = live.context_function
    answer = _asked(lambda: {"answer": contexts_of(function, event)}, f"the context function of {live.workflow}", event)
    return {**answer, "answer": answer["answer"] or []}


def contexts_of(function: Callable[[Event], Any], event: Event) -> bool | list[str]:
    """Ask a workflow's `context` function whom an event is for: True for all, else a list of contexts.

    Raises
    ------
    ParameterError
        If it gives something else than a text, a set of texts, `af.BROADCAST` or None.
    """
    found = function(event)
    if found is BROADCAST:
        return True
    if found is None:
        return []
    texts = [found] if isinstance(found, str) else sorted(found) if isinstance(found, Iterable) else [found]
    if not all(isinstance(text, str) for text in texts):
        raise ParameterError(f"a context function gives a text, a set of texts, af.BROADCAST or None, not {found!r}")
    return texts


def _asked(ask: Callable[[], dict[str, Any]], what: str, event: Event) -> dict[str, Any]:
    try:
        return ask()
    except BaseException as error:  # foreign code, sys.exit() included: it counts as False, and `why` shows it
        told = {"offset": event.offset, "key": event.key}
        logger.warning("%s failed at event %s (offset %d)", what, event.key, event.offset, exc_info=True, extra=told)
        return {"answer": False, "error": f"{type(error).__name__}: {error}"[:500]}
