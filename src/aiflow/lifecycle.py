"""What jobs with roles do before their function: the versions that they work on are found, and put into the call.

Knows nothing of turns, and of what comes after the function (`runners/performed.py`). It runs on the worker, in the process
that has the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiflow.errors import NotFound, ParameterError, RunnerError
from aiflow.graph.event import Event, EventType
from aiflow.graph.model import Model, ModelVersion, Stage
from aiflow.graph.role import BASE_STAGES, SLOT, Place, Reading, Role, RoleSpec, read_call
from aiflow.graph.version import Version
from aiflow.ledger.book import decoded
from aiflow.live import JobWork
from aiflow.runners.base import Call
from aiflow.runners.performed import Loaded, Performed
from aiflow.runners.streamed import Followed, Streamed

__all__ = ["Finder", "prepare"]


def prepare(work: JobWork, call: Call) -> Call:
    """Give a call of a job with a role as it is made ready to be called by its runner.

    Parameters
    ----------
    work
        Whose call; it remembers which versions were chosen, for each element of a mapped job gets the same.
    call
        The user's function, with all that the workflow's body gives it.

    Raises
    ------
    NotFound
        If there is no version that it could work on.
    ParameterError
        If something else than a version came where one is needed.
    """
    spec, home = work.job.role, str(work.live.store.home)
    assert spec is not None
    function, args, kwargs = call
    if not isinstance(spec.subject, Model) and spec.subject is not None:
        raise RunnerError(f"jobs with the role {spec} cannot run yet")
    try:
        signature = work.job.signature
    except (TypeError, ValueError):  # a builtin that does not tell what it takes
        return Call(Performed(function, spec, None, home), args, kwargs)
    reading = read_call(spec, signature, args, kwargs, chosen=_is_chosen(work, spec, call))
    if reading.problem:
        raise ParameterError(f"the call of {work.key.job} does not fit {work.job.name}{signature}: {reading.problem}")
    version = _version(work, spec, reading) if spec.takes else None
    for name in spec.asks:
        _answer(work, spec, reading, name)
    performed = Performed(function, spec, version, home)
    if work.vertex.flows:
        performed = Streamed(function, spec, version, home, work.vertex.stream)
    return Call(performed, reading.bound.args, reading.bound.kwargs)


def _is_chosen(work: JobWork, spec: RoleSpec, call: Call) -> bool:
    """Tell whether the call leaves the place of the version out; if it can be read both ways, what arrived decides."""
    place = work.vertex.node.place
    if place is Place.EITHER:
        return not spec.is_of(read_call(spec, work.job.signature, call.args, call.kwargs, chosen=False).subject)
    if place is Place.CHOSEN and call.args and spec.is_of(call.args[0]):
        raise ParameterError(
            f"{call.args[0]} came as the first argument of {work.key.job}, where it stands for the model; then "
            f"{work.job.name}{work.job.signature} needs more arguments: give them, or leave the version out"
        )
    return place is Place.CHOSEN


def _version(work: JobWork, spec: RoleSpec, reading: Reading) -> Version | None:
    """Find the version that a job works on, and put what the function gets of it into the first place."""
    found = reading.subject
    is_chosen = found is SLOT
    if is_chosen:
        found = work.chosen("", lambda: _choose(work, spec))
    elif not spec.is_of(found):
        raise ParameterError(
            f"{work.key.job} works on a version of {spec.name!r}, and {_said(found)} came in its place; give what a job "
            f"with @af.train({spec.name}) gives, or leave it out"
        )
    assert isinstance(found, ModelVersion)
    if spec.role is Role.PUSH_MODEL:
        reading.put(None, found)
    elif work.vertex.flows and (spec.role is Role.PREDICT or (spec.role is Role.MONITOR and is_chosen)):
        reading.put(None, Followed(found))
    else:
        reading.put(None, Loaded(found))
    return found


def _said(value: Any) -> str:
    return (
        str(value) if value is None or isinstance(value, Version) else f"something of the type {type(value).__name__}"
    )


def _choose(work: JobWork, spec: RoleSpec) -> ModelVersion:
    find, context = _finder(work), work.context
    found = find.of_events(spec.name, context.event_offsets, context.cause) or find.latest(spec.name, spec.stages)
    if found is None:
        raise _missing(find, spec.name, spec.stages, f"for {work.key.job}")
    return found


def _missing(find: Finder, name: str, stages: Iterable[Iterable[Stage]], what_for: str) -> NotFound:
    wanted = " or ".join(str(s) for some in stages for s in some)
    rows = find.rows("SELECT number, stage FROM model_versions WHERE model = ? ORDER BY number DESC LIMIT 3", (name,))
    return NotFound(f"version ({wanted}) {what_for} of model", name, [f"{name}:{n} ({stage})" for n, stage in rows])


def _answer(work: JobWork, spec: RoleSpec, reading: Reading, name: str) -> None:
    """Put what a function asks for by the name of a parameter into its place."""
    given = reading.bound.arguments.get(name)
    model = spec.base if name == "base" and spec.base is not None else spec.subject
    if isinstance(given, ModelVersion) and isinstance(model, Model) and given.model == model.name:
        reading.put(name, Loaded(given))
    elif given is SLOT and name == "deployed":
        found = work.chosen(name, lambda: _finder(work).latest(spec.name, ((Stage.DEPLOYED,),)))
        reading.put(name, None if found is None else Loaded(found))
    elif given is SLOT and name == "base" and model is not None:
        find = _finder(work)
        found = work.chosen(name, lambda: find.latest(model.name, BASE_STAGES))
        if found is None and spec.base is not None:
            raise _missing(find, model.name, BASE_STAGES, f"for {work.key.job} to start from")
        if found is None and reading.bound.signature.parameters[name].default is not reading.bound.signature.empty:
            del reading.bound.arguments[name]  # the first version has none
        else:
            reading.put(name, None if found is None else Loaded(found))


# --- finding versions -------------------------------------------------------------------------------------------------

_MODEL_EVENTS = frozenset(
    str(t)
    for t in (
        EventType.MODEL_GENERATED,
        EventType.MODEL_VALIDATED,
        EventType.MODEL_DEPLOYED,
        EventType.MODEL_DEPRECATED,
    )
)
_COLUMNS = (
    "id", "model", "number", "stage", "uri", "hash", "codec", "size", "type", "description", "properties", "execution_id",
    "job", "job_number", "created", "updated",
)  # fmt: skip


class Finder(NamedTuple):
    """Finds versions of models.

    Attributes
    ----------
    rows
        Reads rows: of what is committed, or in the transaction of a turn.
    events
        Reads events by their offsets, likewise.
    home
        The home that has them.
    """

    rows: Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
    events: Callable[[Iterable[int]], list[Event]]
    home: str

    def of_events(self, name: str, offsets: Iterable[int], cause: int | None) -> ModelVersion | None:
        """Give the version in what started a job: of its own events the newest, else what started the execution."""
        for some in (offsets, () if cause is None else (cause,)):
            events = self.events(some) if some else ()
            numbers = [e.value["number"] for e in events if e.type in _MODEL_EVENTS and e.key == name]
            if numbers:
                return self._one("model = ? AND number = ? AND stage <> 'DELETED'", (name, numbers[-1]))
        return None

    def latest(self, name: str, stages: Iterable[Iterable[Stage]]) -> ModelVersion | None:
        """Give the newest version in the first of these groups of stages that has any."""
        for some in stages:
            wanted = tuple(map(str, some))
            clause = f"model = ? AND stage IN ({', '.join('?' * len(wanted))}) ORDER BY number DESC LIMIT 1"
            found = self._one(clause, (name, *wanted))
            if found is not None:
                return found
        return None

    def _one(self, clause: str, values: tuple[Any, ...]) -> ModelVersion | None:
        rows = self.rows(f"SELECT {', '.join(_COLUMNS)} FROM model_versions WHERE {clause}", values)
        return ModelVersion.of_row(decoded(dict(zip(_COLUMNS, rows[0], strict=True))), self.home) if rows else None


def _finder(work: JobWork) -> Finder:
    store = work.live.store
    return Finder(store.rows, work.port.events, str(store.home))
