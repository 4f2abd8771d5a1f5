"""Says in short what jobs that have not begun wait for, and what an execution waits for in which nothing happens.

Knows nothing of turns, and of where it is shown; it reads definitions, statuses, and the state where this process has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aiflow.events.scanning import folder_problem
from aiflow.graph import machine
from aiflow.graph.plan import WORKFLOW
from aiflow.graph.rule import Action

if TYPE_CHECKING:
    from aiflow.execution import Execution
    from aiflow.graph.admission import Admission
    from aiflow.live import Live

__all__ = ["NotBegun", "Quiet", "not_begun", "waits_for", "waits_of"]

_START = f"{Action.START} on "
_MOST = 3


class NotBegun(NamedTuple):
    """A job that has not run yet: whether only a place is missing, and what it waits for, in words."""

    job: str
    is_queued: bool
    waits: str


def not_begun(execution: Execution, statuses: Mapping[str, str], admission: Admission | None = None) -> list[NotBegun]:
    """Give the jobs of an execution that have not run yet, or not since it was resumed, in the order of its body.

    Parameters
    ----------
    execution
        Whose jobs; those that are given or left out are not among them.
    statuses
        The latest status of each job that has run.
    admission
        Who knows which limit a job waits for, in the process that runs it.
    """
    nodes = {node["name"]: node for node in execution.definition["nodes"] if execution.takes_part(node["name"])}
    if execution.status.is_ended:
        return [NotBegun(name, False, "did not run") for name in nodes if name not in statuses]
    live = execution.live
    left = [n for n in nodes if n not in statuses or (statuses[n] != "QUEUED" and live and live.is_to_begin(n))]

    def status_of(name: str) -> str | None:
        return statuses.get(name) if name in nodes else "SUCCESS"

    found, place = [], "a place" if execution.status != "INTERRUPTED" else "its execution to be resumed"
    for name in left:
        held_up = _held_up_by(live, name, admission) if live is not None else None
        text = held_up or waits_of(nodes[name], status_of)
        found.append(NotBegun(name, bool(held_up or not text), f"waits for {text or place}"))
    return found


def _held_up_by(live: Live, job: str, admission: Admission | None) -> str | None:
    """Say what a job waits for that nothing but room holds back; None if it is not so far."""
    index = live.plan.by_name.get(job)
    if index is None or not machine.can_start(live.state, index):
        return None
    limit = admission.short_of(live, index) if admission is not None else None
    return "a place" if limit is None else f"the limit {limit}"


def waits_of(node: Mapping[str, Any], status_of: Callable[[str], str | None]) -> str:
    """Say which conditions and upstreams a job waits for; '' if for none.

    Parameters
    ----------
    node
        The job as it stands in the definition of its execution.
    status_of
        Gives the latest status of another job; None if it has not run yet.

    Examples
    --------
    >>> report = {"name": "report", "data": ["fit"], "after": ["load"], "rules": ["START on event('go')"]}
    >>> waits_of(report, {"load": "SUCCESS", "fit": "RUNNING"}.get)
    "event('go') and fit"
    """
    rules = [rule.removeprefix(_START) for rule in node.get("rules", ()) if rule.startswith(_START)]
    ups = [*node.get("data", ()), *(name.partition("[")[0] for name in node.get("run_if", ())), *node.get("after", ())]
    missing = [name for name in dict.fromkeys(ups) if status_of(name) != "SUCCESS"]
    return " and ".join([*([" or ".join(rules)] if rules else []), *_first(missing, _MOST)])


def waits_for(live: Live, most: int = 8) -> str:
    """Say what an execution of this process waits for: what it is at, and what else would start or stop something."""
    plan, state = live.plan, live.state
    vertices, runs = plan.vertices, state.runs()
    lines = [f"{vertices[i].name}{f' ({run.number})' if run.number > 1 else ''} ({run.status})" for i, run in runs]
    lines += [
        f"{v.name} (QUEUED{f': {live.withheld[v.index].text}' if v.index in live.withheld else ''})"
        for v in vertices
        if not state.jobs[v.index].runs and machine.can_start(state, v.index)
    ]
    for vertex in vertices:
        conditions = [str(rule.condition) for rule in vertex.rules if rule.action is not Action.STOP]
        if conditions and not state.jobs[vertex.index].runs:
            lines.append(f"{' or '.join(conditions)} (starts {vertex.name}{_folder_problems(live, vertex.index)})")
    if plan.stop_on is not None:
        lines.append(f"{plan.stop_on} (stops it{_folder_problems(live, WORKFLOW)})")
    if not lines and plan.ends == "never":
        return "somebody to stop it"
    return ", ".join(_first(lines, most)) or "its end"


def _folder_problems(live: Live, index: int) -> str:
    found = [
        folder_problem(seen.apart) for told in live.plan.by_folder.values() for seen, spot in told if spot[0] == index
    ]
    return "".join(f"; {text}" for text in dict.fromkeys(found) if text)


class Quiet:
    """Says what an execution waits for when nothing has happened in it for a while (rule 20); the same thing once.

    Parameters
    ----------
    home
        The opened home, whose clock and engine are asked.
    live
        The execution.
    say
        Gets what is waited for, and whether a job is busy; None to say nothing.
    """

    def __init__(self, home: Any, live: Live, say: Callable[[str, bool], None] | None) -> None:
        self._home, self._live, self._say = home, live, say
        self._newest: int = home.engine.record.head
        self._said = ""

    def look(self) -> None:
        """Look whether anything has happened since the last look; called after each spell of waiting.

        Raises
        ------
        TimeoutError
            If the clock stands still and nothing is under way: then nothing would ever come.
        """
        live, sql = self._live, "SELECT max(offset) FROM events WHERE execution_id = ?"
        newest = self._home.store.row(sql, (live.execution_id,))[0] or 0
        at_rest = self._home.clock.stands_still and self._home.engine.is_idle() and not live.ended.is_set()
        if newest > self._newest and not at_rest:
            self._newest = newest
            return
        text = waits_for(live)
        if self._say is not None and text != self._said:
            self._say(text, bool(live.works))
        self._said = text
        if at_rest:
            raise TimeoutError(
                f"execution {live.execution_id} of {live.workflow} waits for {text}, and the clock stands still, so that "
                "nothing would ever come; use start() instead of run(), and then publish, advance the clock or stop it"
            )


def _first(names: Iterable[str], most: int) -> list[str]:
    names = list(names)
    return names if len(names) <= most else [*names[:most], f"{len(names) - most} more"]
